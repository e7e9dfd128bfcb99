"""
The walk of one version through the life of its builds: which states are possible, given what was seen so far.

The server's state is hidden, so the walk holds the set of states that explain all answers. A request takes effect at
some moment between being sent and being answered; where requests overlap, every order is possible. The set may be too
large, which costs a verdict, but never too small, which would blame a correct server. After a finding the walk takes
the server's word for where it is, so that one fault is told once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from touchstone.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.lifecycle import Cause, State, consistent, step
from touchstone.rules.history import Content, History

ANYTHING = frozenset(State)
UNDER_WAY = frozenset({State.BUILDING, State.CANCELLING})
MUTATING = frozenset({"startBuild", "cancelBuild", "publishTemplate", "deleteTemplate"})

# A build step `sleep N` may end a little early by another clock; nothing is concluded from the last tenth.
CLOCK_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Build:
    """
    The build that is or was last under way.

    Attributes:
        start: The accepted start, or the publish with auto_build, that began it.
        earliest_end_at: Its steps cannot have run before; minus infinity where nothing is known.
        surely_begun: No earlier build can have been joined by *start*.
        before: The status before it, or empty where that is in doubt.
        after_cancel: A build of the version was cancelled before, under the same content.
        overlapped: Several starts overlapped when it began.
    """

    start: Exchange
    earliest_end_at: float
    surely_begun: bool
    before: str
    after_cancel: bool
    overlapped: bool = False


@dataclass
class Walk:
    """
    The possible states of one version at one moment, and what of the past still matters.
    """

    ref: str
    history: History
    possible: frozenset[State] = ANYTHING
    content: Content | None = None
    build: Build | None = None
    cancel: Exchange | None = None
    cancels: int = 0
    settled: bool = False
    replaced: bool = False
    reused: bool = False
    idle_cancel: Exchange | None = None
    last_read: Exchange | None = None
    refused: list[Exchange] = field(default_factory=list)
    goldens: set[str] = field(default_factory=set)
    open: list[Exchange] = field(default_factory=list)
    overlapping: set[int] = field(default_factory=set)
    windows: dict[int, frozenset[State]] = field(default_factory=dict)

    def points(self) -> Iterator[tuple[float, bool, Exchange]]:
        """
        Each exchange of the story twice, when it was sent and when it was done, in the order of time.
        """
        story = [e for e in self.history.story(self.ref) if e.operation in MUTATING or e.operation == "getBuild"]
        moments = [(e.sent_at, True, e) for e in story] + [(e.done_at, False, e) for e in story]
        return iter(sorted(moments, key=lambda moment: (moment[0], moment[1], moment[2].seq)))

    def reach(self, now: float) -> frozenset[State]:
        """
        The states that are possible at *now*, whatever the builder did by itself and the open requests did so far.
        """
        states = self.possible
        while True:
            more = states | self._by_itself(states, now)
            for exchange in self.open:
                more |= self.effect(exchange, more)
            if more == states:
                return states
            states = more

    def effect(self, exchange: Exchange, states: Iterable[State]) -> frozenset[State]:
        """
        The states after *exchange* took effect in one of *states*.
        """
        if exchange.operation == "startBuild":
            return step(states, Cause.START)
        if exchange.operation == "cancelBuild":
            return step(states, Cause.CANCEL)
        return ANYTHING

    def owns(self, exchange: Exchange) -> bool:
        """
        Whether the exchange shows the key of the account whose version this is.
        """
        owner = self.history.owner(self.ref) or "primary"
        return exchange.credential == owner or (owner, exchange.credential) == ("primary", "lowercase-scheme")

    def takes_effect(self, exchange: Exchange) -> bool:
        """
        Whether the answer leaves open that a mutating request changed something.
        """
        if exchange.operation not in MUTATING or exchange.request.method in ("HEAD", "OPTIONS"):
            return False
        return exchange.response is None or exchange.status >= 500 or 200 <= exchange.status < 300

    def begin(self, content: Content | None) -> None:
        """
        The version has new content: what was known of its builds no longer counts.
        """
        under_way = bool(self.reach(content.from_at if content else 0.0) & UNDER_WAY) and self.content is not None
        replaced = self.content is not None
        self.content, self.build, self.cancel, self.idle_cancel, self.last_read = content, None, None, None, None
        self.cancels, self.settled, self.reused, self.replaced = 0, False, False, replaced
        if content is None or under_way or self._shares_digest(content):
            # Ambiguity 42: what a replaced or deleted version's running build becomes is nobody's promise.
            self.possible = ANYTHING
        elif content.key in self.goldens:
            self.possible = frozenset({State.NOT_BUILT, State.READY})
        else:
            self.possible = frozenset({State.NOT_BUILT})

    def resync(self, status: str) -> None:
        """
        Takes the server's word after a finding.
        """
        states = consistent(ANYTHING, status) - {State.CANCELLING}
        self.possible = states or ANYTHING
        self.cancel = None

    def earliest_end_at(self) -> float:
        """
        When the steps of the build under way can have run at the earliest.
        """
        return self.build.earliest_end_at if self.build else float("-inf")

    def cancelled_elsewhere(self, since_at: float, until_at: float) -> Exchange | None:
        """
        An accepted cancel of another version between the two moments, or None.
        """
        for exchange in self.history.cancels:
            if exchange.ref != self.ref and since_at <= exchange.done_at and exchange.sent_at <= until_at:
                return exchange
        return None

    def refusals(self, operations: frozenset[str]) -> dict[str, Exchange]:
        """
        The refused requests since the last read that could explain a change, by the claim that they would break.
        """
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

    def _by_itself(self, states: frozenset[State], now: float) -> frozenset[State]:
        outcome = self.content.outcome if self.content else "unknown"
        ended = now >= self.earliest_end_at()
        more: set[State] = set()
        if State.BUILDING in states:
            if outcome != "failed" and ended:
                more |= step({State.BUILDING}, Cause.SUCCEED)
            if outcome != "ready":
                more |= step({State.BUILDING}, Cause.FAIL)
        if State.CANCELLING in states:
            more |= step({State.CANCELLING}, Cause.SETTLE)
            if self._may_have_finished_first(now) and outcome != "failed":
                more.add(State.READY)
        return frozenset(more)

    def _may_have_finished_first(self, now: float) -> bool:
        """
        Whether the build can have been over before its cancel arrived: a race that nobody loses.
        """
        cancelled_at = self.cancel.done_at if self.cancel else now
        return cancelled_at >= self.earliest_end_at()

    def _shares_digest(self, content: Content) -> bool:
        others = (c for c in self.history.all_contents() if c.ref != self.ref)
        return bool(content.digest) and any(c.digest == content.digest for c in others)
