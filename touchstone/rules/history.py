"""The exchanges of a run in order, and the versions that they show, with owners and documents.

The sender of a request adds a note (`Call.note`) with facts that the request does not contain. Note of a publish:

    content     key of the document; equal documents have equal keys, in short and in canonical form
    outcome     how the build ends: ready | failed | unknown
    sleep_s     minimum duration of the build steps, in seconds
    marker      text that only the build of this document prints
    force, auto_build   boolean query parameters of the request
    invalid     for a deliberately invalid document: empty | unparsable | schema

Note of a conditional request: *stored*, the number of the exchange whose response the cache of the case has stored.

Note of a request during which the client closed the connection: *left*, request | answer | response (`Call.leaves`).

Tests provoke a limit in rounds: starts until one is refused, then retries until one is accepted. The note ``limit`` of
each request has *round*, a number from 1, and *phase*, the purpose of the request. The phases in order:

    beside     a start of another version, whose build runs during the reads; afterwards the key rests
    reads      a read before the burst; only in rounds that test whether reads count against the limit
    burst      a start of a ready version, repeated until one is refused; a burst after reads lasts at least as long
    other-key  a start by another account of its own ready version, while the first key is refused
    confirm    a start with the first key right after that, to show that this key is still refused
    retry      a start after Retry-After, else after 1 s, 2 s, 4 s, ... (api-intro#rate-limits); *gave_up*: the last

If the note has *builds*, each start is of an unbuilt version. ``cancelled``: each build except the first is cancelled
at once, and all builds end before other-key and confirm. ``kept``: all builds run until these two have responses. From
the second round on, one or two starts are accepted first. If reads are tested, the key then rests equally long.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Literal, TypeVar

from touchstone.contract.document import Contract
from touchstone.facts.exchange import Credential, Exchange

EXCHANGING = frozenset({"publishTemplate", "deleteTemplate"})  # these change the document of a version
_ACCOUNTS: frozenset[Credential] = frozenset({"primary", "second"})  # only these can own versions

Outcome = Literal["ready", "failed", "unknown"]

_Subject = TypeVar("_Subject", bound=str | tuple[str, str] | Exchange)
_Result = TypeVar("_Result")
_SEQ = attrgetter("seq")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Time limits of a target, in seconds."""

    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Content:
    """One document of a version, with the facts that the case noted when it published the document."""

    ref: str
    owner: Credential
    key: str
    outcome: Outcome
    sleep_s: float
    marker: str
    published_seq: int  # seq of the publish; 0 for a configured version
    from_at: float  # when the publish was sent; from *sure_at* on, the version surely has the document
    sure_at: float
    digest: str = ""  # from the response to the publish; empty if missing
    until_at: float = float("inf")  # when the document was replaced or deleted; infinite for the current document


@dataclass
class History:
    """The exchanges of a run in the order of *seq*, with indexes. Rules do not modify a history."""

    contract: Contract
    bounds: Bounds = Bounds()
    given: Mapping[str, Content] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    _stories: dict[str, list[Exchange]] = field(default_factory=lambda: defaultdict(list))
    _contents: dict[str, list[Content]] = field(default_factory=lambda: defaultdict(list))
    cancels: list[Exchange] = field(default_factory=list)
    # in the order of their ends: by operation and status, and by operation, status and case
    similar: dict[tuple[object, ...], list[Exchange]] = field(default_factory=lambda: defaultdict(list))
    _cache: dict[object, Any] = field(default_factory=dict, init=False)

    @classmethod
    def knowing(cls, contract: Contract, contents: Iterable[Content]) -> "History":
        """Creates a history that knows *contents* without the exchanges that published them."""
        history = cls(contract)
        for content in contents:
            history._contents[content.ref].append(content)
        return history

    def add(self, exchange: Exchange) -> Exchange:
        """Adds a finished exchange; returns it as rules judge it. Those that overlapped may be added in any order."""
        self._cache.clear()
        exchange = _as_received(exchange, self._stories.get(exchange.ref or "", ()))
        insort(self.exchanges, exchange, key=_SEQ)
        for key in ((exchange.operation, exchange.status), (exchange.operation, exchange.status, exchange.case)):
            self.similar[key].append(exchange)
        if exchange.ref is None:
            return exchange
        if exchange.operation == "cancelBuild" and exchange.status == 202:
            insort(self.cancels, exchange, key=_SEQ)
        insort(self._stories[exchange.ref], exchange, key=_SEQ)
        if exchange.operation in EXCHANGING:
            self._contents[exchange.ref] = list(_contents(self._stories[exchange.ref]))
        return exchange

    def once(self, work: Callable[[_Subject, "History"], _Result], subject: _Subject) -> _Result:
        """Returns ``work(subject, history)``, cached until an exchange is added."""
        key = work, subject.seq if isinstance(subject, Exchange) else subject
        return self._cached(key, lambda: work(subject, self))

    def overall(self, work: Callable[["History"], _Result]) -> _Result:
        """Returns ``work(history)``, cached until an exchange is added."""
        return self._cached(work, lambda: work(self))

    def _cached(self, key: object, make: Callable[[], _Result]) -> _Result:
        if key not in self._cache:
            self._cache[key] = make()
        result: _Result = self._cache[key]
        return result

    def story(self, ref: str) -> tuple[Exchange, ...]:
        """Returns the story of *ref*: all exchanges about that version, in the order of sending."""
        return tuple(self._stories.get(ref, ()))

    def contents(self, ref: str) -> tuple[Content, ...]:
        """Successive documents of *ref*; empty if this run did not publish the version and it is not configured."""
        if ref in self.given:
            return (self.given[ref],)
        return tuple(self._contents.get(ref, ()))

    def content(self, ref: str, at: float) -> Content | None:
        """Returns the document that *ref* had at the time *at*, or None if that is uncertain."""
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
            return None  # somebody else's delete succeeded, so that the version may be gone
        lost = [e for e in story if e.operation == "deleteTemplate" and e.status == 404 and e.seq != exchange.seq]
        for content in self.contents(ref):
            if any(content.owner == e.credential and content.sure_at <= e.sent_at < exchange.done_at for e in lost):
                continue  # the owner's delete got a 404, so that the version may be gone
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
        """Returns one history per account that published *ref* or tried to, without others' requests for *ref*."""
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
        """Yields the documents that may share a build with *content*, and *content* itself. Some come twice."""
        alike = self.overall(_alike)
        found = (*alike[content.digest], *alike["marker", content.marker])
        return (other for other in found if shares_builds(other, content))

    def all_contents(self) -> Iterator[Content]:
        """The documents of all published and configured versions."""
        yield from self.given.values()
        for contents in self._contents.values():
            yield from contents


def _as_received(exchange: Exchange, story: Iterable[Exchange]) -> Exchange:
    """Returns the exchange with the response that a client uses: of a 304 the stored one, of a whole 206 a 200.

    Source: RFC 9111 4.3.3; RFC 9110 15.3.7.
    """
    response = exchange.response
    if response and response.status == 206:
        whole = f"bytes 0-{len(response.body) - 1}/{len(response.body)}"
        is_whole = response.header("content-range") == whole
        return replace(exchange, response=replace(response, status=200)) if is_whole else exchange
    if response is None or response.status != 304:
        return exchange
    stored = next((e.response for e in story if e.seq == exchange.note.get("stored")), None)
    conditional = stored and stored.header("etag") == dict(exchange.request.headers).get("If-None-Match")
    return replace(exchange, response=stored) if conditional else exchange


def shares_builds(one: Content, other: Content) -> bool:
    """Whether two documents may share a build: their digests are equal or, if a digest is unknown, their markers."""
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
    """Yields in order each document that a version had, as its successful publishes and deletes show."""
    current: Content | None = None
    for exchange in story:
        if not 200 <= exchange.status < 300:
            continue
        if exchange.operation == "publishTemplate" and "content" in exchange.note:
            published = _published(exchange)
            same = current and current.key == published.key and current.owner == published.owner
            # With force, the server deletes the version first. So even the same document counts as a new one.
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
    """Whether a publish may have stored a version, even if it got a 409, or a 429 with auto_build (ambiguity 7.40)."""
    if exchange.operation != "publishTemplate" or exchange.note.get("left") == "request":
        return False
    half = exchange.status == 429 and bool(exchange.note.get("auto_build"))
    return half or exchange.response is None or exchange.status in {409, *range(200, 300), *range(500, 600)}
