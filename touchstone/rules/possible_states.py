"""The walk of one version through its builds: which states are possible, given what was seen so far.

A request takes effect at some moment between being sent and being answered, one without an answer at any later moment;
where requests overlap, every order is possible. The set may be too large, which costs a verdict, but never too small,
which would blame a correct server. After a finding the walk takes the server's word, so that one fault is told once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from touchstone.contract.lifecycle import Cause, State, consistent, step
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.rules.history import Content, History

ANYTHING = frozenset(State)
STARTABLE = frozenset({State.NOT_BUILT, State.FAILED})  # from here a start begins a build
UNDER_WAY = frozenset({State.BUILDING, State.CANCELLING})
EXCHANGING = frozenset({"publishTemplate", "deleteTemplate"})
MUTATING = EXCHANGING | {"startBuild", "cancelBuild"}

CLOCK_SHARE = 0.9  # A step `sleep N` may end a little early by another clock: the last tenth is no evidence.

NEVER_AT = float("-inf")


@dataclass(frozen=True, slots=True)
class Build:
    """The build that is or was last under way."""

    start: Exchange  # The last accepted start, or publish with auto_build, that can have begun it.
    surely_begun: bool = False  # No earlier build can have been joined by *start*.
    before: str = ""  # The status before it, or empty where that is in doubt.
    after_cancel: bool = False  # A build of the version was cancelled before, under the same content.
    overlapped: bool = False  # Several starts overlapped when it began.
    joined: Exchange | None = None  # The last start that came while it ran.


@dataclass
class Flight:
    """A request on its way."""

    exchange: Exchange
    window: frozenset[State]  # The states that were possible at some moment since it was sent.
    beside: set[str]  # The operations of the other requests that can have taken effect meanwhile.


@dataclass
class Walk:
    """The possible states of one version at one moment, and what of the past still matters."""

    ref: str
    history: History
    possible: frozenset[State] = ANYTHING
    content: Content | None = None  # None where that is nothing, in doubt, or built elsewhere as well.
    build: Build | None = None
    cancel: Exchange | None = None
    cancels: int = 0
    settled: bool = False
    replaced: bool = False
    reused: bool = False
    idle_cancel: Exchange | None = None
    last_read: Exchange | None = None
    free_at: float = NEVER_AT  # The last moment at which surely no build was running that nobody had cancelled.
    lingering: bool = False  # A build of earlier content may still be under way.
    hasty: bool = False  # A build was seen to fail before its steps can have run.
    deaf: bool = False  # A cancel found nothing while a build ran, so that what is not found says nothing any more.
    overtaken: bool = False  # The build may have been over when it was cancelled, whatever its status says then.
    denied: Exchange | None = None  # The cancel since the last read that found nothing where a build may have run.
    astray: bool = False  # Something was built while nobody knew what the version held; nothing more can be said of it.
    shelf: dict[str, frozenset[State]] = field(default_factory=dict)  # The states that earlier contents were left in.
    refused: list[Exchange] = field(default_factory=list)  # The refused requests since the last read.
    refused_late: list[Exchange] = field(default_factory=list)  # Starts that a limit refused before it.
    open: list[Exchange] = field(default_factory=list)
    flights: dict[int, Flight] = field(default_factory=dict)

    def points(self) -> Iterator[tuple[float, bool, Exchange]]:
        """Each exchange of the story twice, when it was sent and when it was done, in the order of time."""
        story = [e for e in self.history.story(self.ref) if e.operation in MUTATING or e.operation == "getBuild"]
        moments = [(e.sent_at, 1, e.seq, e) for e in story]
        # What was answered at the moment when another request was sent took effect before it, if not in no time itself.
        moments += [(e.done_at, 2 if e.sent_at == e.done_at else 0, e.seq, e) for e in story]
        return ((at, order == 1, exchange) for at, order, _, exchange in sorted(moments, key=lambda m: m[:3]))

    def reach(self, now: float) -> frozenset[State]:
        """The states that are possible at *now*, whatever the builder did by itself and open requests did so far."""
        states = self.possible
        while True:
            more = states | self._by_itself(states, now)
            for exchange in self.open:
                more |= self.effect(exchange, more)
            if more == states:
                return states
            states = more

    def effect(self, exchange: Exchange, states: Iterable[State]) -> frozenset[State]:
        """The states after *exchange* took effect in one of *states*."""
        if exchange.operation == "startBuild":
            return step(states, Cause.START)
        if exchange.operation == "cancelBuild":
            return step(states, Cause.CANCEL)
        return ANYTHING

    @property
    def sleep_s(self) -> float:
        """Seconds that the build steps take at least; 0 where that is not known."""
        return self.content.sleep_s if self.content else 0.0

    def owns(self, exchange: Exchange) -> bool:
        """Whether the exchange shows the key of the account whose version this is."""
        owner = self.history.owner(self.ref) or "primary"
        return exchange.credential == owner or (owner, exchange.credential) == ("primary", "lowercase-scheme")

    def mark_free(self, now: float) -> None:
        """Takes note where surely no build is running at *now*."""
        if State.BUILDING not in self.reach(now):
            self.free_at = now

    def leave(self, now: float) -> None:
        """The content is replaced, deleted or in doubt: what was known of its builds no longer counts."""
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
        """The version holds *content* from now on."""
        before, known = self.content, content.key in self.shelf
        if before:
            self.leave(now)
        # The builds of another version with the same digest are its builds, too; what they are is judged elsewhere.
        shared = any(other.ref != self.ref for other in self.history.sharing(content))
        taken_for = before is not None and before.key != content.key and before.digest == content.digest != ""
        if self.astray or shared or taken_for:
            return
        left = self.shelf.get(content.key, frozenset())
        if not self.lingering and not left & UNDER_WAY:
            self.possible = left | {State.NOT_BUILT}
        # Ambiguity 42: otherwise what a replaced or deleted version's running build becomes is nobody's promise.
        self.content, self.lingering = content, False
        self.replaced = before is not None and before.key != content.key and not known

    def doubt(self) -> None:
        """The order of things is unknown: nothing can be said any more of when a build began and who cancelled it."""
        self.cancel, self.settled, self.idle_cancel, self.replaced = None, False, None, False
        if self.build:
            self.build = replace(self.build, surely_begun=False, before="")

    def resync(self, status: str, before: frozenset[State]) -> None:
        """Takes the server's word after a finding, or goes on as if it had not been said: one will be right."""
        states = consistent(ANYTHING, status) - {State.CANCELLING}
        self.possible = (states or ANYTHING) | before
        if self.build:
            self.build = replace(self.build, surely_begun=False)
        self.cancel, self.free_at, self.replaced = None, NEVER_AT, False

    def had_golden(self) -> bool:
        """Whether the content may have been built when the version held it before."""
        left = self.shelf.get(self.content.key, frozenset()) if self.content else ANYTHING
        return bool(left & (UNDER_WAY | {State.READY}))

    def earliest_end_at(self, began_at: float) -> float:
        """When the steps of a build that began at *began_at* can have run at the earliest."""
        return began_at + self.content.sleep_s * CLOCK_SHARE if self.content else NEVER_AT

    def cancelled_elsewhere(self, since_at: float, until_at: float) -> Exchange | None:
        """An accepted cancel of another version between the two moments, or None."""
        return next(cancels_of_others(self.ref, since_at, until_at, self.history.cancels), None)

    def reads_as(self, exchange: Exchange) -> str | None:
        """What the next status read of the owner says that was sent after *exchange* was answered; None without one."""
        for read in self.history.story(self.ref):
            later = read.operation == "getBuild" and read.status == 200 and read.sent_at >= exchange.done_at
            if later and self.owns(read):
                return str(read.body.get("status"))
        return None

    def refusals(self, operations: frozenset[str]) -> dict[str, Exchange]:
        """The refused requests since the last read that could explain a change, by the claim that they would break."""
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
        """The starts that a limit refused since the last build began."""
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
    """Those of *cancels* that are about another version than *ref* and were on their way between two moments."""
    return (e for e in cancels if e.ref != ref and since_at <= e.done_at and e.sent_at <= until_at)


def lost(exchange: Exchange) -> bool:
    """Whether nobody knows if and when a request took effect: it got no answer, or one from something in between."""
    return exchange.response is None or exchange.status >= 500
