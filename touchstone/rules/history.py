"""
What a run knows so far: its exchanges in order, and from them which versions exist, whose they are, what they hold.

Everything here follows from exchanges and from what the user said about given templates; nothing is looked up.
The sender of a publish says in the exchange's note what the document means, since its bytes alone do not:

    content     identity of the meaning of the document; equal for sugar and canonical form
    outcome     ready | failed | unknown: how its build ends
    sleep_s     seconds that its build steps take at least
    marker      text that its build prints and no other build does
    force, auto_build   the query of the request, as booleans
    invalid     empty | unparsable | schema, where the document is wrong on purpose
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from touchstone.contract import Contract
from touchstone.exchange import Credential, Exchange

Outcome = Literal["ready", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How long a target may take; seconds.
    """

    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Content:
    """
    What a published version holds, as its publisher meant it.

    Attributes:
        published_seq: The publish that put it there; 0 for a template that the user gave.
        from_at: When that publish was sent. Before its answer nobody can rely on it.
        until_at: When it was replaced or deleted, infinite while it stands.
        digest: What publishing answered, or empty.
    """

    ref: str
    owner: Credential
    key: str
    outcome: Outcome
    sleep_s: float
    marker: str
    published_seq: int
    from_at: float
    sure_at: float
    digest: str = ""
    until_at: float = float("inf")


@dataclass
class History:
    """
    The exchanges of a run in the order of *seq*, with indexes. Grows by *add*; rules only read.
    """

    contract: Contract
    bounds: Bounds = Bounds()
    given: Mapping[str, Content] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    _stories: dict[str, list[Exchange]] = field(default_factory=lambda: defaultdict(list))
    _contents: dict[str, list[Content]] = field(default_factory=lambda: defaultdict(list))
    cancels: list[Exchange] = field(default_factory=list)

    def add(self, exchange: Exchange) -> None:
        """
        Takes one more finished exchange; exchanges that overlapped may arrive in any order.
        """
        _insert(self.exchanges, exchange)
        if exchange.ref is None:
            return
        if exchange.operation == "cancelBuild" and exchange.status == 202:
            _insert(self.cancels, exchange)
        _insert(self._stories[exchange.ref], exchange)
        if exchange.operation in ("publishTemplate", "deleteTemplate"):
            self._contents[exchange.ref] = list(_contents(self._stories[exchange.ref]))

    def story(self, ref: str) -> tuple[Exchange, ...]:
        """
        All exchanges about *ref* in the order in which they were sent.
        """
        return tuple(self._stories.get(ref, ()))

    def contents(self, ref: str) -> tuple[Content, ...]:
        """
        What *ref* held one after the other; empty for a version that this run neither published nor was given.
        """
        if ref in self.given:
            return (self.given[ref],)
        return tuple(self._contents.get(ref, ()))

    def content(self, ref: str, at: float) -> Content | None:
        """
        What *ref* certainly held at *at*, or None where it held nothing or that is in doubt.
        """
        return next((c for c in self.contents(ref) if c.sure_at <= at < c.until_at), None)

    def exists(self, ref: str, exchange: Exchange) -> bool | None:
        """
        Whether *ref* existed all the time of *exchange*; None where it came or went meanwhile or that is in doubt.
        """
        if ref.startswith("system/"):
            return None
        found = [c for c in self.contents(ref) if c.from_at < exchange.done_at]
        if not found:
            return None if self._maybe_published(ref, exchange.done_at) else False
        last = found[-1]
        if last.until_at <= exchange.sent_at:
            return False if self._deleted(ref, exchange.sent_at) else None
        return True if found[0].sure_at <= exchange.sent_at and last.until_at >= exchange.done_at else None

    def owner(self, ref: str) -> Credential | None:
        """
        Whose version *ref* is, or None for one that this run does not know.
        """
        contents = self.contents(ref)
        return contents[-1].owner if contents else None

    def all_contents(self) -> Iterator[Content]:
        """
        Everything that the run published or was given.
        """
        yield from self.given.values()
        for contents in self._contents.values():
            yield from contents

    def _maybe_published(self, ref: str, at: float) -> bool:
        unanswered = (e for e in self.story(ref) if e.operation == "publishTemplate" and e.sent_at <= at)
        return any(e.response is None or e.status >= 500 or 200 <= e.status < 300 for e in unanswered)

    def _deleted(self, ref: str, at: float) -> bool:
        return any(e.operation == "deleteTemplate" and e.status == 200 and e.done_at <= at for e in self.story(ref))


def _insert(exchanges: list[Exchange], exchange: Exchange) -> None:
    if exchanges and exchanges[-1].seq > exchange.seq:
        exchanges.insert(bisect_left(exchanges, exchange.seq, key=lambda e: e.seq), exchange)
    else:
        exchanges.append(exchange)


def _contents(story: list[Exchange]) -> Iterator[Content]:
    """
    The contents that successful publishes and deletes of one version lead to, each closed by the next.
    """
    current: Content | None = None
    for exchange in story:
        if not 200 <= exchange.status < 300:
            continue
        if exchange.operation == "publishTemplate" and "content" in exchange.note:
            published = _published(exchange)
            if current and current.key == published.key and current.owner == published.owner:
                continue
            if current:
                yield _until(current, exchange.sent_at)
            current = published
        elif exchange.operation == "deleteTemplate" and current:
            yield _until(current, exchange.sent_at)
            current = None
    if current:
        yield current


def _published(exchange: Exchange) -> Content:
    note = exchange.note
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
        digest=str(exchange.body.get("digest", "")),
    )


def _until(content: Content, at: float) -> Content:
    return Content(**{name: getattr(content, name) for name in content.__slots__} | {"until_at": at})
