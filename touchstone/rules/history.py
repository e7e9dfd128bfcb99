"""The exchanges of a run in order; from them, the versions with their owners and documents.

The sender of a request adds a note (`Call.note`) with facts that its bytes do not contain. Note of a publish:

    content     identity of the meaning of the document; equal for short and canonical form
    outcome     ready | failed | unknown: the end of its build
    sleep_s     minimum duration of its build steps, in seconds
    marker      text that only its build prints
    force, auto_build   the query of the request, as booleans
    invalid     empty | unparsable | schema, for a deliberately invalid document

Note ``limit`` of a request that provokes a limit: *round*, from 1, and *phase*, in this order:

    beside     a start of another version, whose build runs during the reads; before the key rests
    reads      a read before the burst; only in rounds that test whether reads are charged
    burst      a start of a ready version, repeated until one is refused; with reads at least as long
    other-key  a start of another ready version by its owner, while the first key is refused
    confirm    a start by the first key right after that, to show that it is still refused
    retry      a start after Retry-After, else 1 s, 2 s, 4 s, ... (api-intro#rate-limits); *gave_up*: the last retry

In a round with *builds*, each start is of an unbuilt version. ``cancelled``: all builds except the first are cancelled
at once, and all are over before other-key and confirm. ``kept``: all builds run until the responses to these. From the
second round on, one or two starts are served first. Then the key rests equally long in each round.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Literal, TypeVar

from touchstone.contract.document import Contract
from touchstone.facts.exchange import Credential, Exchange

_ACCOUNTS: frozenset[Credential] = frozenset({"primary", "second"})  # only these can own versions

Outcome = Literal["ready", "failed", "unknown"]

_Subject = TypeVar("_Subject", bound=str | Exchange)
_Result = TypeVar("_Result")
_SEQ = attrgetter("seq")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Time limits of a target, in seconds."""

    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Content:
    """Document of a version, with the facts from its publisher."""

    ref: str
    owner: Credential
    key: str
    outcome: Outcome
    sleep_s: float
    marker: str
    published_seq: int  # seq of its publish; 0 for a configured version
    from_at: float  # when its publish was sent; certain from *sure_at* on
    sure_at: float
    digest: str = ""  # in the response to the publish, or empty
    until_at: float = float("inf")  # when the document was replaced or deleted; infinite for the current document


@dataclass
class History:
    """The exchanges of a run in the order of *seq*, with indexes; rules only read it."""

    contract: Contract
    bounds: Bounds = Bounds()
    given: Mapping[str, Content] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    _stories: dict[str, list[Exchange]] = field(default_factory=lambda: defaultdict(list))
    _contents: dict[str, list[Content]] = field(default_factory=lambda: defaultdict(list))
    cancels: list[Exchange] = field(default_factory=list)
    _cache: dict[object, Any] = field(default_factory=dict, init=False)

    @classmethod
    def knowing(cls, contract: Contract, contents: Iterable[Content]) -> "History":
        """Creates a history that knows *contents* without the exchanges that published them."""
        history = cls(contract)
        for content in contents:
            history._contents[content.ref].append(content)
        return history

    def add(self, exchange: Exchange) -> None:
        """Adds a finished exchange; overlapping ones may arrive in any order."""
        self._cache.clear()
        insort(self.exchanges, exchange, key=_SEQ)
        if exchange.ref is None:
            return
        if exchange.operation == "cancelBuild" and exchange.status == 202:
            insort(self.cancels, exchange, key=_SEQ)
        insort(self._stories[exchange.ref], exchange, key=_SEQ)
        if exchange.operation in ("publishTemplate", "deleteTemplate"):
            self._contents[exchange.ref] = list(_contents(self._stories[exchange.ref]))

    def once(self, work: Callable[[_Subject, "History"], _Result], subject: _Subject) -> _Result:
        """Returns ``work(subject, history)``, cached until the next exchange."""
        key = work, subject.seq if isinstance(subject, Exchange) else subject
        return self._cached(key, lambda: work(subject, self))

    def overall(self, work: Callable[["History"], _Result]) -> _Result:
        """Returns ``work(history)``, cached until the next exchange."""
        return self._cached(work, lambda: work(self))

    def _cached(self, key: object, make: Callable[[], _Result]) -> _Result:
        if key not in self._cache:
            self._cache[key] = make()
        result: _Result = self._cache[key]
        return result

    def story(self, ref: str) -> tuple[Exchange, ...]:
        """All exchanges about *ref*, in the order of sending."""
        return tuple(self._stories.get(ref, ()))

    def contents(self, ref: str) -> tuple[Content, ...]:
        """Successive documents of *ref*; empty if the version is neither published by this run nor configured."""
        if ref in self.given:
            return (self.given[ref],)
        return tuple(self._contents.get(ref, ()))

    def content(self, ref: str, at: float) -> Content | None:
        """The document of *ref* at *at*; None if uncertain."""
        return next((c for c in self.contents(ref) if c.sure_at <= at < c.until_at), None)

    def exists(self, ref: str, exchange: Exchange) -> bool | None:
        """Whether *ref* existed during the whole *exchange*; None if that changed meanwhile or is uncertain."""
        if ref.startswith("system/"):
            return None
        story = self.story(ref)
        deletes = [e for e in story if e.operation == "deleteTemplate" and 200 <= e.status < 300]
        deletes = [e for e in deletes if e.sent_at < exchange.done_at]
        owners = {content.owner for content in self.contents(ref)}
        if len(owners) == 1 and any(e.credential not in owners | {"lowercase-scheme"} for e in deletes):
            return None  # a foreign delete succeeded, so that its existence is uncertain
        lost = [e for e in story if e.operation == "deleteTemplate" and e.status == 404 and e.seq != exchange.seq]
        for content in self.contents(ref):
            if any(content.owner == e.credential and content.sure_at <= e.sent_at < exchange.done_at for e in lost):
                continue  # a 404 to the owner's delete makes its existence uncertain
            if content.sure_at <= exchange.sent_at and all(e.done_at <= content.from_at for e in deletes):
                return True
        publishes = [e for e in story if _maybe_published(e) and e.sent_at < exchange.done_at]
        if not publishes and ref not in self.given:
            return False
        # A publish without a response may take effect at any later time.
        published_by = max((p.done_at if 200 <= p.status < 500 else float("inf") for p in publishes), default=0.0)
        return False if any(published_by <= e.sent_at and e.done_at <= exchange.sent_at for e in deletes) else None

    def owner(self, ref: str) -> Credential | None:
        """Account that owns *ref*, or None if unknown."""
        contents = self.contents(ref)
        return contents[-1].owner if contents else None

    def views(self, ref: str) -> tuple["History", ...]:
        """One history for each account that has or tried to publish *ref*, with the exchanges that concern it."""
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
        """Documents that may share a build with *content*, itself included, with duplicates."""
        alike = self.overall(_alike)
        found = (*alike[content.digest], *alike["marker", content.marker])
        return (other for other in found if shares_builds(other, content))

    def all_contents(self) -> Iterator[Content]:
        """The documents of all published and configured versions."""
        yield from self.given.values()
        for contents in self._contents.values():
            yield from contents


def shares_builds(one: Content, other: Content) -> bool:
    """Whether two documents may share a build: the same digest, or the same marker if a digest is unknown."""
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


def _contents(story: list[Exchange]) -> Iterator[Content]:
    """Documents from the successful publishes and deletes of one version; each document lasts until the next change."""
    current: Content | None = None
    for exchange in story:
        if not 200 <= exchange.status < 300:
            continue
        if exchange.operation == "publishTemplate" and "content" in exchange.note:
            published = _published(exchange)
            same = current and current.key == published.key and current.owner == published.owner
            # force deletes and publishes again, so that the same document may begin anew
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
    """Whether a publish may have stored a version: also after a 409, and a 429 to auto_build (ambiguity 7.40)."""
    if exchange.operation != "publishTemplate":
        return False
    half = exchange.status == 429 and bool(exchange.note.get("auto_build"))
    return half or exchange.response is None or exchange.status in {409, *range(200, 300), *range(500, 600)}
