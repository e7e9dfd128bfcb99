"""What a run knows so far: its exchanges in order, and from them which versions exist, whose they are, what they hold.

What bytes do not say, whoever sends a request says in its note (`Call.note`). Of a publish, what the document is:

    content     identity of the meaning of the document; equal for sugar and canonical form
    outcome     ready | failed | unknown: how its build ends
    sleep_s     seconds that its build steps take at least
    marker      text that its build prints and no other build does
    force, auto_build   the query of the request, as booleans
    invalid     empty | unparsable | schema, where the document is wrong on purpose

Of a request that provokes a limit, the note ``limit``: its *round*, from 1, and its *phase*, in this order:

    beside     a start of another version, whose build runs during the reads; before the key rests
    reads      a read before the burst; only in rounds that ask whether reads are charged
    burst      a start of a ready version, one after the other until one is refused; with reads at least as long
    other-key  a start by another key of a ready version of its own, while the first key is refused
    confirm    a start by the first key right after that, which shows that it still was refused
    retry      a start after Retry-After, else 1 s, 2 s, 4 s, ... (api-intro#rate-limits); *gave_up* ends it

In a round of *builds* each start is of an unbuilt version; ``cancelled``: each but the first is cancelled at once, and
all are over before other-key and confirm; ``kept``: each runs on until these are answered. From the second round on one
or two starts are served first, then the key rests for the same time in each round, and no other start runs beside.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from touchstone.contract.document import Contract
from touchstone.facts.exchange import Credential, Exchange

_ACCOUNTS: frozenset[Credential] = frozenset({"primary", "second"})  # others have no versions, whatever a server says

Outcome = Literal["ready", "failed", "unknown"]

_Subject = TypeVar("_Subject", bound=str | Exchange)
_Worked = TypeVar("_Worked")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a target may take; seconds."""

    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Content:
    """What a published version holds, as its publisher meant it."""

    ref: str
    owner: Credential
    key: str
    outcome: Outcome
    sleep_s: float
    marker: str
    published_seq: int  # The publish that put it there; 0 for a template that the user gave.
    from_at: float  # When that publish was sent. Before its answer nobody can rely on it.
    sure_at: float
    digest: str = ""  # What publishing answered, or empty.
    until_at: float = float("inf")  # When it was replaced or deleted, infinite while it stands.


@dataclass
class History:
    """The exchanges of a run in the order of *seq*, with indexes. Grows by *add*; rules only read."""

    contract: Contract
    bounds: Bounds = Bounds()
    given: Mapping[str, Content] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    _stories: dict[str, list[Exchange]] = field(default_factory=lambda: defaultdict(list))
    _contents: dict[str, list[Content]] = field(default_factory=lambda: defaultdict(list))
    cancels: list[Exchange] = field(default_factory=list)
    _worked_out: dict[object, Any] = field(default_factory=dict, init=False)

    @classmethod
    def knowing(cls, contract: Contract, contents: Iterable[Content]) -> "History":
        """A history in which *contents* stand published though it holds none of the exchanges that put them there."""
        history = cls(contract)
        for content in contents:
            history._contents[content.ref].append(content)
        return history

    def add(self, exchange: Exchange) -> None:
        """Takes one more finished exchange; exchanges that overlapped may arrive in any order."""
        self._worked_out.clear()
        _insert(self.exchanges, exchange)
        if exchange.ref is None:
            return
        if exchange.operation == "cancelBuild" and exchange.status == 202:
            _insert(self.cancels, exchange)
        _insert(self._stories[exchange.ref], exchange)
        if exchange.operation in ("publishTemplate", "deleteTemplate"):
            self._contents[exchange.ref] = list(_contents(self._stories[exchange.ref]))

    def once(self, work: Callable[[_Subject, "History"], _Worked], subject: _Subject) -> _Worked:
        """What *work* makes of a ref or an exchange: many rules ask, and it stays until an exchange is added."""
        key = work, subject.seq if isinstance(subject, Exchange) else subject
        return self._kept(key, lambda: work(subject, self))

    def overall(self, work: Callable[["History"], _Worked]) -> _Worked:
        """What *work* makes of all versions together; kept likewise."""
        return self._kept(work, lambda: work(self))

    def _kept(self, key: object, make: Callable[[], _Worked]) -> _Worked:
        if key not in self._worked_out:
            self._worked_out[key] = make()
        worked: _Worked = self._worked_out[key]
        return worked

    def story(self, ref: str) -> tuple[Exchange, ...]:
        """All exchanges about *ref* in the order in which they were sent."""
        return tuple(self._stories.get(ref, ()))

    def contents(self, ref: str) -> tuple[Content, ...]:
        """What *ref* held one after the other; empty for a version that this run neither published nor was given."""
        if ref in self.given:
            return (self.given[ref],)
        return tuple(self._contents.get(ref, ()))

    def content(self, ref: str, at: float) -> Content | None:
        """What *ref* certainly held at *at*, or None where it held nothing or that is in doubt."""
        return next((c for c in self.contents(ref) if c.sure_at <= at < c.until_at), None)

    def exists(self, ref: str, exchange: Exchange) -> bool | None:
        """Whether *ref* existed all the time of *exchange*; None where it came or went then, or that is in doubt."""
        if ref.startswith("system/"):
            return None
        story = self.story(ref)
        deletes = [e for e in story if e.operation == "deleteTemplate" and 200 <= e.status < 300]
        deletes = [e for e in deletes if e.sent_at < exchange.done_at]
        owners = {content.owner for content in self.contents(ref)}
        if len(owners) == 1 and any(e.credential not in owners | {"lowercase-scheme"} for e in deletes):
            return None  # somebody else was told that it is deleted, which may be as wrong as that it was found
        lost = [e for e in story if e.operation == "deleteTemplate" and e.status == 404 and e.seq != exchange.seq]
        for content in self.contents(ref):
            if any(content.owner == e.credential and content.sure_at <= e.sent_at < exchange.done_at for e in lost):
                continue  # what its owner's delete did not find may be gone
            if content.sure_at <= exchange.sent_at and all(e.done_at <= content.from_at for e in deletes):
                return True
        publishes = [e for e in story if _maybe_published(e) and e.sent_at < exchange.done_at]
        if not publishes and ref not in self.given:
            return False
        # A publish that may have worked and was not answered is over nobody knows when.
        published_by = max((p.done_at if 200 <= p.status < 500 else float("inf") for p in publishes), default=0.0)
        return False if any(published_by <= e.sent_at and e.done_at <= exchange.sent_at for e in deletes) else None

    def owner(self, ref: str) -> Credential | None:
        """Whose version *ref* is, or None for one that this run does not know."""
        contents = self.contents(ref)
        return contents[-1].owner if contents else None

    def views(self, ref: str) -> tuple["History", ...]:
        """The history once for each account that has or tried to have *ref*, as far as that one can see it."""
        tried = (e.credential for e in self.story(ref) if e.operation == "publishTemplate" and "content" in e.note)
        published = (content.owner for content in self.contents(ref))
        owners = dict.fromkeys((*published, *(credential for credential in tried if credential in _ACCOUNTS)))
        if len(owners) < 2 or not owners.keys() <= _ACCOUNTS:
            return (self,)
        return tuple(self._visible_to(owner, ref) for owner in owners)

    def _visible_to(self, owner: Credential, ref: str) -> "History":
        story = [e for e in self.story(ref) if e.credential == owner or e.credential not in _ACCOUNTS]
        return replace(
            self,
            cancels=[e for e in self.cancels if e.ref != ref or e in story],
            _stories=defaultdict(list, self._stories | {ref: story}),
            _contents=defaultdict(list, self._contents | {ref: list(_contents(story))}),
        )

    def sharing(self, content: Content) -> Iterator[Content]:
        """Everything that may have one build with *content*, which is among it; some of it twice."""
        alike = self.overall(_alike)
        found = (*alike[content.digest], *alike["marker", content.marker])
        return (other for other in found if shares_builds(other, content))

    def all_contents(self) -> Iterator[Content]:
        """Everything that the run published or was given."""
        yield from self.given.values()
        for contents in self._contents.values():
            yield from contents


def shares_builds(one: Content, other: Content) -> bool:
    """Whether two contents may have one build: their digests are equal, or one is not known and they print the same."""
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.published_seq > 0 < other.published_seq and one.marker == other.marker


def _alike(history: History) -> dict[object, list[Content]]:
    found: dict[object, list[Content]] = defaultdict(list)
    for content in history.all_contents():
        found["marker", content.marker].append(content)
        if content.digest:
            found[content.digest].append(content)
    return found


def _insert(exchanges: list[Exchange], exchange: Exchange) -> None:
    if exchanges and exchanges[-1].seq > exchange.seq:
        exchanges.insert(bisect_left(exchanges, exchange.seq, key=lambda e: e.seq), exchange)
    else:
        exchanges.append(exchange)


def _contents(story: list[Exchange]) -> Iterator[Content]:
    """The contents that successful publishes and deletes of one version lead to, each closed by the next."""
    current: Content | None = None
    for exchange in story:
        if not 200 <= exchange.status < 300:
            continue
        if exchange.operation == "publishTemplate" and "content" in exchange.note:
            published = _published(exchange)
            same = current and current.key == published.key and current.owner == published.owner
            # force is told to delete and publish again, so the same content may begin anew
            if same and not exchange.note.get("force"):
                continue
            if current:
                yield replace(current, until_at=exchange.sent_at)
            current = published
        elif exchange.operation == "deleteTemplate" and current:
            yield replace(current, until_at=exchange.sent_at)
            current = None
    if current:
        yield current


def _published(exchange: Exchange) -> Content:
    note, digest = exchange.note, exchange.body.get("digest")
    return Content(
        ref=exchange.ref or "",
        owner=exchange.credential,
        key=note["content"],
        outcome=note.get("outcome", "unknown"),
        sleep_s=float(note.get("sleep_s", 0.0)),
        marker=note.get("marker", ""),
        published_seq=exchange.seq,
        from_at=exchange.sent_at,
        sure_at=exchange.done_at,
        digest=digest if isinstance(digest, str) else "",
    )


def _maybe_published(exchange: Exchange) -> bool:
    """Whether a publish shows that something is there: also one whose build is refused (ambiguity 40), or a 409."""
    if exchange.operation != "publishTemplate":
        return False
    half = exchange.status == 429 and bool(exchange.note.get("auto_build"))
    return half or exchange.response is None or exchange.status in {409, *range(200, 300), *range(500, 600)}
