"""Walks through the exchanges about one version and keeps the set of states in which the version can be.

A request takes effect between its sending and its response; without a response, at any later time. Overlapping requests
take effect in any order. If the set is too large, a fault may stay hidden. It is never too small, because a correct
server would then be blamed. After a finding, the walk adopts the reported status, so that one fault is one finding.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from touchstone.contract.answers import Cause, State, consistent, step
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.rules.history import EXCHANGING, Content, History

ANYTHING = frozenset(State)
STARTABLE = frozenset({State.NOT_BUILT, State.FAILED})  # a start begins a build in these states
UNDER_WAY = frozenset({State.BUILDING, State.CANCELLING})
MUTATING = EXCHANGING | {"startBuild", "cancelBuild"}

CLOCK_SHARE = 0.9  # clocks differ: a step `sleep N` counts as 0.9 N seconds

NEVER_AT = float("-inf")


@dataclass(frozen=True, slots=True)
class Build:
    """The current or last build."""

    start: Exchange  # the last accepted start, or publish with auto_build, that can have begun it
    surely_begun: bool = False  # *start* cannot have joined an earlier build
    before: str = ""  # the status before the build; empty if uncertain
    after_cancel: bool = False  # an earlier build of the same document was cancelled
    overlapped: bool = False  # overlapping starts began the build
    joined: Exchange | None = None  # the last start during the build


@dataclass
class Flight:
    """A request that has no response yet."""

    exchange: Exchange
    window: frozenset[State]  # states possible at some time since the request was sent
    beside: set[str]  # operations of overlapping requests that can have taken effect
    acts: bool = False  # whether the request itself can have taken effect


@dataclass
class Walk:
    """The possible states of one version at one time, and the facts from its past that still matter."""

    ref: str
    history: History
    possible: frozenset[State] = ANYTHING
    content: Content | None = None  # None if missing or uncertain, or if another version shares the builds
    build: Build | None = None
    cancel: Exchange | None = None
    cancels: int = 0
    settled: bool = False
    replaced: bool = False
    reused: bool = False
    idle_cancel: Exchange | None = None
    last_read: Exchange | None = None
    free_at: float = NEVER_AT  # last time at which surely no uncancelled build ran
    lingering: bool = False  # a build of an earlier document may still run
    hasty: bool = False  # a build failed before its steps can have run
    deaf: bool = False  # a cancel got 404 during a build, so that a 404 is no evidence any more
    overtaken: bool = False  # the build may have ended before its cancel, even if the cancel was accepted
    denied: Exchange | None = None  # cancel with status 404 since the last read, although a build may have run
    lost_track: bool = False  # a build began with an unknown document: nothing can be judged any more
    shelf: dict[str, frozenset[State]] = field(default_factory=dict)  # possible states at the end of documents, by key
    refused: list[Exchange] = field(default_factory=list)  # refused requests since the last read
    refused_late: list[Exchange] = field(default_factory=list)  # starts with status 429 before the last read
    open: list[Exchange] = field(default_factory=list)
    flights: dict[int, Flight] = field(default_factory=dict)

    def points(self) -> Iterator[tuple[float, bool, Exchange]]:
        """Yields each exchange twice, in the order of time: with True for its sending, and with False for its end."""
        story = [e for e in self.history.story(self.ref) if e.operation in MUTATING or e.operation == "getBuild"]
        moments = [(e.sent_at, 1, e.seq, e) for e in story]
        # At equal times, responses come before requests, except if a response and its own request have the same time.
        moments += [(e.done_at, 2 if e.sent_at == e.done_at else 0, e.seq, e) for e in story]
        return ((at, order == 1, exchange) for at, order, _, exchange in sorted(moments, key=lambda m: m[:3]))

    def reach(self, now: float) -> frozenset[State]:
        """Returns the states possible at *now*: the build may have gone on, and open requests may have taken effect."""
        states = self.possible
        while True:
            more = states | self._by_itself(states, now)
            for exchange in self.open:
                more |= self.effect(exchange, more)
            if more == states:
                return states
            states = more

    def effect(self, exchange: Exchange, states: Iterable[State]) -> frozenset[State]:
        """Returns the states that are possible if *exchange* takes effect in one of *states*."""
        if exchange.operation == "startBuild":
            return step(states, Cause.START)
        if exchange.operation == "cancelBuild":
            return step(states, Cause.CANCEL)
        return ANYTHING

    @property
    def sleep_s(self) -> float:
        """Minimum duration of the build steps in seconds; 0 if unknown."""
        return self.content.sleep_s if self.content else 0.0

    def owns(self, exchange: Exchange) -> bool:
        """Whether the exchange has the key of the version's owner."""
        owner = self.history.owner(self.ref) or "primary"
        return exchange.credential == owner or (owner, exchange.credential) == ("primary", "lowercase-scheme")

    def mark_free(self, now: float) -> None:
        """Sets *free_at* to *now* if surely no uncancelled build runs."""
        if State.BUILDING not in self.reach(now):
            self.free_at = now

    def leave(self, now: float) -> None:
        """Discards the facts about builds, because the document is replaced, deleted or uncertain."""
        states = self.reach(now)
        if self.content:
            self.shelf[self.content.key] = self.shelf.get(self.content.key, frozenset()) | states
            self.lingering |= bool(states & UNDER_WAY)
        self.content, self.build, self.cancel, self.idle_cancel, self.last_read = None, None, None, None, None
        self.cancels, self.settled, self.reused, self.replaced, self.denied = 0, False, False, False, None
        self.overtaken = False
        self.possible, self.free_at = ANYTHING, NEVER_AT
        self.refused.clear()
        self.refused_late.clear()

    def begin(self, content: Content, now: float) -> None:
        """Records that the version has *content* from *now* on."""
        before, known = self.content, content.key in self.shelf
        if before:
            self.leave(now)
        # Versions with the same digest share builds, which are judged elsewhere.
        shared = any(other.ref != self.ref for other in self.history.sharing(content))
        reuses_digest = before is not None and before.key != content.key and before.digest == content.digest != ""
        if self.lost_track or shared or reuses_digest:
            return
        left = self.shelf.get(content.key, frozenset())
        if not self.lingering and not left & UNDER_WAY:
            self.possible = left | {State.NOT_BUILT}
        # Otherwise a build of an earlier document may run, and its end is not documented (ambiguity 7.42).
        self.content, self.lingering = content, False
        self.replaced = before is not None and before.key != content.key and not known

    def doubt(self) -> None:
        """Discards the facts that depend on the order of requests, because that order is unknown."""
        self.cancel, self.settled, self.idle_cancel, self.replaced = None, False, None, False
        if self.build:
            self.build = replace(self.build, surely_begun=False, before="")

    def resync(self, status: str, before: frozenset[State]) -> None:
        """Goes on after a finding: adopts the reported *status*, and keeps the states *before*: either may be right."""
        states = consistent(ANYTHING, status) - {State.CANCELLING}
        self.possible = (states or ANYTHING) | before
        if self.build:
            self.build = replace(self.build, surely_begun=False)
        self.cancel, self.free_at, self.replaced = None, NEVER_AT, False

    def had_golden(self) -> bool:
        """Whether the version had the same document earlier, and may have built it then."""
        left = self.shelf.get(self.content.key, frozenset()) if self.content else ANYTHING
        return bool(left & (UNDER_WAY | {State.READY}))

    def earliest_end_at(self, began_at: float) -> float:
        """Returns the earliest time at which the steps can have ended if the build began at *began_at*."""
        return began_at + self.content.sleep_s * CLOCK_SHARE if self.content else NEVER_AT

    def cancelled_elsewhere(self, since_at: float, until_at: float) -> Exchange | None:
        """Returns an accepted cancel of another version between two times, or None."""
        return next(cancels_of_others(self.ref, since_at, until_at, self.history.cancels), None)

    def reads_as(self, exchange: Exchange) -> str | None:
        """Returns the status in the owner's next read after *exchange*; None if no read followed."""
        for read in self.history.story(self.ref):
            later = read.operation == "getBuild" and read.status == 200 and read.sent_at >= exchange.done_at
            if later and self.owns(read):
                return str(read.body.get("status"))
        return None

    def refusals(self, operations: frozenset[str]) -> dict[str, Exchange]:
        """Returns the refused requests since the last read, by the claim that is broken if the request took effect."""
        claims: dict[str, Exchange] = {}
        for exchange in self.refused:
            if exchange.operation not in operations:
                continue
            if exchange.credential in REFUSED_CREDENTIALS:
                claims["auth.refused-changes-nothing"] = exchange
            elif not self.owns(exchange):
                claims["access.others-change-nothing"] = exchange
            elif exchange.status == 429 and exchange.operation == "startBuild":
                claims["limit.refused-start-starts-nothing"] = exchange
        return claims

    def limited(self) -> list[Exchange]:
        """Starts with status 429 since the last build began."""
        now = (e for e in self.refused if e.status == 429 and e.operation == "startBuild" and self.owns(e))
        return [*self.refused_late, *now]

    def _by_itself(self, states: frozenset[State], now: float) -> frozenset[State]:
        outcome = self.content.outcome if self.content else "unknown"
        more: set[State] = set()
        if State.BUILDING in states:
            if outcome != "failed" and now >= self.earliest_end_at(self.free_at):
                more |= step({State.BUILDING}, Cause.SUCCEED)
            if outcome != "ready":
                more |= step({State.BUILDING}, Cause.FAIL)
        if State.CANCELLING in states:
            more |= step({State.CANCELLING}, Cause.SETTLE)
            if self.overtaken:
                more.add(State.READY)
        return frozenset(more)


def cancels_of_others(ref: str, since_at: float, until_at: float, cancels: Iterable[Exchange]) -> Iterator[Exchange]:
    """Cancels of other versions than *ref* that overlap the time between *since_at* and *until_at*."""
    return (e for e in cancels if e.ref != ref and since_at <= e.done_at and e.sent_at <= until_at)
