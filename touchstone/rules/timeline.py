"""Derives when a build of one version surely ran, and when surely none ran.

A build surely ran between two times if a later read shows it, and no other build can have begun in between. Surely no
build ran if a read showed that the last build was over. `possible_states.py` tells which responses are possible.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from touchstone.contract.answers import AT_REST, STATUSES
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import EXCHANGING, Content, History
from touchstone.rules.messages import SUCCESS


def owned(exchange: Exchange, history: History) -> bool:
    """Whether the request has the key of the version's owner."""
    owner = history.owner(exchange.ref) if exchange.ref else None
    return exchange.credential == owner or (owner, exchange.credential) == ("primary", "lowercase-scheme")


def is_read(exchange: Exchange, history: History) -> bool:
    """Whether the exchange is a status read by the owner."""
    return is_status_read(exchange) and owned(exchange, history)


def is_status_read(exchange: Exchange) -> bool:
    """Whether the exchange is a status read with one of the four documented statuses."""
    read = exchange.operation == "getBuild" and exchange.request.method == "GET" and exchange.status == 200
    status = exchange.body.get("status")
    return read and isinstance(status, str) and status in STATUSES


def may_have_acted(exchange: Exchange) -> bool:
    """Whether a mutating request can have taken effect."""
    if exchange.request.method in {"HEAD", "OPTIONS"} or exchange.note.get("left") == "request":
        return False
    if exchange.operation == "publishTemplate" and exchange.status == 429 and exchange.note.get("auto_build"):
        return True  # maybe only the build was refused (ambiguity 7.40)
    return exchange.response is None or exchange.status >= 500 or exchange.status in SUCCESS


def acted_by(exchange: Exchange) -> float:
    """Returns the time by which a request surely took effect: its end if it succeeded, else infinity."""
    return exchange.done_at if exchange.status in SUCCESS else float("inf")


def begins(exchange: Exchange) -> bool:
    """Whether a request may have begun a build. A start that got ready with reused true began none.

    A publish may have begun one even if its ``auto_build`` is ``ready`` (ambiguity 7.41).
    """
    if exchange.operation == "startBuild":
        reuses = exchange.body.get("status") == "ready" and exchange.body.get("reused") is True
        return may_have_acted(exchange) and not reuses
    if exchange.operation == "publishTemplate" and exchange.note.get("auto_build"):
        return may_have_acted(exchange)
    return False


def reports_building(exchange: Exchange) -> bool:
    """Whether the response to a start, or publish with auto_build, reports a running build."""
    key = "status" if exchange.operation == "startBuild" else "auto_build"
    return exchange.status in SUCCESS and exchange.body.get(key) == "building"


@dataclass(frozen=True, slots=True)
class Running:
    """Evidence that one build surely ran."""

    start: Exchange  # the first request that can have begun the build
    starts: tuple[Exchange, ...]  # all requests that can have begun or joined the build
    last_read: Exchange  # a later read that shows the build
    content: Content


class Timeline:
    """The builds of one version, as far as its owner's reads show them."""

    def __init__(self, ref: str, history: History) -> None:
        self.ref = ref
        story = sorted(history.story(ref), key=lambda e: (e.sent_at, e.seq))
        self._history = history
        self.reads = tuple(e for e in story if is_read(e, history))
        self.beginnings = tuple(e for e in story if begins(e))
        self._begun_sent_at = [e.sent_at for e in self.beginnings]
        self._begun_acted_by = list(accumulate(map(acted_by, self.beginnings), max))
        self.cancels = tuple(e for e in story if e.operation == "cancelBuild" and may_have_acted(e))
        reuses = (e for e in story if e.operation == "startBuild" and e.status in SUCCESS and not begins(e))
        self.reuses = tuple(e for e in reuses if owned(e, history))
        self._rests = tuple(e for e in self.reads if e.body["status"] in AT_REST) + self.reuses
        self._rest_sent_at, self._rest_ended_at = first_ends(self._rests)
        changes = [e for e in story if e.operation in EXCHANGING and (may_have_acted(e) or self._overwrote(e))]
        self._doubtful_at = min((e.sent_at for e in changes if _is_doubtful(e, changes)), default=float("inf"))
        contents = history.contents(ref)
        shared = any(other.ref != ref for content in contents for other in history.sharing(content))
        # whether no other account or version shares its builds
        self._alone = len({content.owner for content in contents}) == 1 and not shared

    def _overwrote(self, change: Exchange) -> bool:
        """Whether *change* is a publish with status 409, and the next read shows another digest than before."""
        content = self._history.content(self.ref, change.sent_at) if change.status == 409 else None
        read = self.read_after(change.done_at)
        return bool(content and content.digest and read and read.body.get("digest") != content.digest)

    def content(self, since_at: float, until_at: float) -> Content | None:
        """Returns the document that the version surely had all the time; None if unsure or if versions share builds."""
        if not self._alone or self._doubtful_at < until_at:
            return None
        content = self._history.content(self.ref, since_at)
        return content if content and content.until_at >= until_at else None

    def read_after(self, at: float) -> Exchange | None:
        """The first read sent at or after *at*."""
        return next((read for read in self.reads if read.sent_at >= at), None)

    def read_before(self, at: float) -> Exchange | None:
        """The last read that ended by *at*."""
        return next((read for read in reversed(self.reads) if read.done_at <= at), None)

    def begun_by(self, at: float) -> Exchange | None:
        """The last request that ended no later than *at* and may have begun a build."""
        return next((e for e in reversed(self.beginnings) if e.done_at <= at), None)

    def settled(self, exchange: Exchange, by_at: float) -> bool:
        """Whether a read before *by_at* showed the end of the build that *exchange* began or cancelled."""
        first = bisect_left(self._rest_sent_at, acted_by(exchange))
        return first < len(self._rests) and self._rest_ended_at[first] <= by_at

    def over(self, exchange: Exchange) -> bool:
        """Whether reads before *exchange* showed the end of every build that can have begun before its response."""
        begun = (e for e in self.beginnings if e.sent_at < exchange.done_at)
        return self._alone and all(self.settled(e, exchange.sent_at) for e in begun)

    def running(self, since_at: float, until_at: float) -> Running | None:
        """Returns evidence that one build surely ran, without a cancel, between two times; None without evidence."""
        last_read = self.read_after(until_at)
        if last_read is None or last_read.body["status"] != "building":
            return None
        content = self.content(since_at, last_read.done_at)
        begun = [e for e in self.beginnings if e.sent_at < last_read.done_at and not self.settled(e, since_at)]
        if content is None or not any(reports_building(e) for e in begun):
            return None
        own = (e.seq == content.published_seq or content.sure_at <= e.sent_at for e in begun)
        if any(acted_by(e) > since_at for e in begun) or not all(own):
            return None
        if any(e.sent_at < last_read.done_at and not self.settled(e, since_at) for e in self.cancels):
            return None
        return Running(begun[0], tuple(begun), last_read, content)

    def idle(self, since_at: float, until_at: float) -> bool:
        """Whether surely no build ran between two times."""
        content = self.content(since_at, until_at)
        if content is None:
            return False
        if not content.published_seq and not any(rest.done_at <= since_at for rest in self._rests):
            return False
        return all(self.settled(e, since_at) for e in self.beginnings if e.sent_at < until_at)

    def rested(self, since_at: float, until_at: float) -> bool:
        """Whether a read between two times showed that no build ran."""
        return any(rest.sent_at >= since_at and rest.done_at <= until_at for rest in self._rests)

    def rest_before(self, exchange: Exchange) -> Exchange | None:
        """Returns the last read before *exchange* if it shows no build and none ran until the response, else None."""
        read = self.read_before(exchange.sent_at)
        if read is None or read.body["status"] not in AT_REST or not self.idle(read.done_at, exchange.done_at):
            return None
        return read

    def begun_between(self, since_at: float, until_at: float) -> bool:
        """Whether a build can have begun between two times."""
        before = bisect_left(self._begun_sent_at, until_at)
        return before > 0 and self._begun_acted_by[before - 1] > since_at

    def end(self, since_at: float, after_at: float) -> Exchange | None:
        """Returns the first read after *after_at* that shows no build; None if one can have begun since *since_at*."""
        rest = next((e for e in self.reads if e.sent_at >= after_at and e.body["status"] in AT_REST), None)
        if rest is None or self.begun_between(since_at, rest.done_at):
            return None
        return rest if self.content(since_at, rest.done_at) else None


def ended_before(ref: str, start: Exchange, history: History) -> float:
    """Returns when the last of the other builds that began before *start* ended; the build may have waited for it."""
    ends = [float("-inf")]
    for other in {content.ref for content in history.all_contents()} - {ref}:
        timeline = history.once(Timeline, other)
        begun_at = max((e.sent_at for e in timeline.beginnings if e.sent_at < start.sent_at), default=float("inf"))
        ends += [e.done_at for e in timeline.reads if e.sent_at > begun_at and e.body["status"] in AT_REST][:1]
    return max(ends)


def first_ends(rests: Iterable[Exchange]) -> tuple[list[float], list[float]]:
    """Returns the times of sending, in order, and for each the earliest end of the exchanges sent then or later."""
    ordered = sorted(rests, key=lambda e: e.sent_at)
    return [e.sent_at for e in ordered], list(accumulate((e.done_at for e in reversed(ordered)), min))[::-1]


def _is_doubtful(change: Exchange, changes: list[Exchange]) -> bool:
    """Whether the document is uncertain after *change*, because that failed, overlapped or has no note ``content``."""
    unknown = change.operation == "publishTemplate" and "content" not in change.note
    return unknown or any(e.overlaps(change) for e in changes if e is not change) or change.status not in SUCCESS
