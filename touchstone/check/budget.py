"""What ends a run or a wait early: spent builds and time, waits in vain, a target that answers nobody any more."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.contract.lifecycle import STATUSES
from touchstone.rules.possible_states import CLOCK_SHARE
from touchstone.target.call import Call, asks_auto_build, may_publish, may_start

# Whoever waits for the end of a build gives up when nobody has been answered for so long; a pause is as long at least.
SILENT_S = 10.0
# After so many unanswered requests in a row, of whatever case, the cases that are left are not tried.
UNHEARD_REQUESTS = 10
SILENT_REMOVALS = 3  # After so many unanswered removals in a row the rest is left to a sweep


class Silence:
    """How long a target has answered nobody; at least *fewest* requests in a row have to end without an answer."""

    def __init__(self, fewest: int = 1) -> None:
        self._fewest = fewest
        self._vain = 0
        self._vain_from = 0.0

    def hear(self, sent_at: float, *, answered: bool) -> None:
        """Takes note of a request that has ended, whoever sent it."""
        self._vain_from = self._vain_from if self._vain else sent_at
        self._vain = 0 if answered else self._vain + 1

    def lasts(self, at_s: float) -> bool:
        """Whether all that ended in the last SILENT_S seconds, and anything did, ended without an answer."""
        return self._vain >= self._fewest and at_s - self._vain_from > SILENT_S


# After so many reads in a row, over so many seconds, that say not_built, or that nobody answers, a wait is given up.
IDLE_POLLS, IDLE_S = 10, 1.0
UNANSWERED_POLLS, UNANSWERED_S = 10, 5.0

# Once a wait was in vain, the next ones take this share of it; after so many in a row there is none any more.
TIRED_SHARE, GIVEN_UP_AFTER = 0.1, 3
_SURE_TIMES = 2  # No wait is cut to less than so many times the longest one that ended well


class Vain:
    """The waits in a row that ended in vain, by what they waited for."""

    def __init__(self) -> None:
        self._times: Counter[Hashable] = Counter()
        self._longest_s: dict[Hashable, float] = {}

    def limit_s(self, key: Hashable, most_s: float, needed_s: float = 0.0, *, is_fault: bool = False) -> float:
        """How long the next wait for *key* may take; 0 where it is given up.

        Args:
            most_s: How long the first one may take.
            needed_s: What a wait for it takes at least, as far as that is known.
            is_fault: Whether what is waited out is a fault by itself, so that even the first wait is a short one.
        """
        times = self._times[key]
        if times >= GIVEN_UP_AFTER:
            return 0.0
        if not times and not is_fault:
            return most_s
        return min(most_s, max(TIRED_SHARE * most_s + needed_s, _SURE_TIMES * self._longest_s.get(key, 0.0)))

    def add(self, key: Hashable) -> None:
        """Takes note of a wait that ended in vain."""
        self._times[key] += 1

    def lift(self, key: Hashable, most: int, waited_s: float = 0.0) -> None:
        """Takes note of a wait of *waited_s* that ended well: no more than *most* of those in vain count any more."""
        self._times[key] = min(self._times[key], most)
        self._longest_s[key] = max(self._longest_s.get(key, 0.0), waited_s)


SPENT = "the budget of builds is spent; raise --max-builds or max_builds"

# Refusals that name another reason than a limit, and those that may be for one.
REFUSALS = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
LIMITS = frozenset({409, 429})
# What may end a build, or have it count for other content.
ENDS = frozenset({"cancelBuild", "deleteTemplate", "publishTemplate"})


@dataclass(frozen=True, slots=True)
class Received:
    """The answer to a call; operation and ref are empty outside the contract, and status is 0 without an answer."""

    call: Call
    operation: str
    ref: str
    status: int
    body: Mapping[str, Any]
    sent_at: float
    done_at: float

    @property
    def state(self) -> str:
        """The status of the build that an answer shows: ``not_built`` without such a version, empty for none."""
        if self.operation == "getBuild" and self.status == 404:
            return "not_built"
        state = self.body.get("auto_build" if self.operation == "publishTemplate" else "status")
        return state if isinstance(state, str) else ""


class Budget:
    """Builds that a run may still begin, and its time; usable from several threads.

    A build is reserved before a request that may begin one. It is given back where the answer shows that none began. A
    refusal for a limit leaves a doubt, which the next read of the version settles unless another call went before.
    Publishing is free once a read of what was published has shown ``not_built``.

    Attributes:
        builds: How many may still begin.
        until_at: Moment of the run's clock at which it stops sending, or infinity.
    """

    def __init__(self, builds: int, until_at: float = float("inf"), ready: Iterable[str] = ()) -> None:
        self.builds = builds
        self.until_at = until_at
        self._lock = threading.Lock()
        self._ready = set(ready)
        # By version: builds reserved without an answer that settles it, each since when, and whether for publishing.
        self._doubts: dict[str, list[tuple[float, bool]]] = {}
        # By version: until when a build surely runs, and requests under way that may end it.
        self._running: dict[str, float] = {}
        self._ending: Counter[str] = Counter()
        self._publishing_is_free = False
        self._kept_for_publishing = 0

    def may_begin(self, call: Call) -> bool:
        """Whether *call* may begin a build."""
        return may_start(call) or (may_publish(call) and (asks_auto_build(call) or not self._publishing_is_free))

    def reserve(self, look: Callable[[str], None]) -> bool:
        """Reserves a build, if one is left; while none is, *look* reads the status of each version in doubt."""
        if self.builds <= 0:
            self.look_through(look)
        with self._lock:
            is_left = self.builds > 0
            self.builds -= is_left
        return is_left

    def look_through(self, look: Callable[[str], None]) -> None:
        """Reads the status of each version whose builds are in doubt."""
        for ref in tuple(self._doubts):
            look(ref)

    def is_doubtful(self, ref: str) -> bool:
        """Whether a status of *ref* may show that builds are to be given back."""
        return ref in self._doubts

    def sends(self, call: Call) -> None:
        """Takes note of a request that is sent now, which may end a build."""
        if call.operation in ENDS:
            with self._lock:
                self._ending[call.ref or ""] += 1
                self._running.pop(call.ref or "", None)

    def receive(self, answer: Received, *, reserved: bool, lasts_s: float = 0.0) -> None:
        """Updates the budget by one answer; a build of the version takes *lasts_s* seconds at least."""
        ref = answer.ref
        with self._lock:
            if answer.call.operation in ENDS:
                self._ending[answer.call.ref or ""] -= 1
            if answer.operation in ENDS and answer.status not in REFUSALS | LIMITS:
                self._keep(self._doubts.pop(ref, []))
                self._running.pop(ref, None)
                if answer.operation != "cancelBuild":
                    self._ready.discard(ref)
            if reserved:
                self._settle(answer, lasts_s)
            if answer.operation == "getBuild" and answer.state in STATUSES:
                self._read(answer)

    def _settle(self, answer: Received, lasts_s: float) -> None:
        ref, accepted = answer.ref, 200 <= answer.status < 300
        publishes = answer.operation == "publishTemplate" and not asks_auto_build(answer.call)
        if accepted and answer.state == "ready":
            self._ready.add(ref)
            self.builds += 1
        elif accepted and answer.state == "building":
            if not self._ending[ref] and answer.done_at <= self._running.get(ref, float("-inf")):
                self.builds += 1
            elif ref not in self._doubts:
                self._running[ref] = answer.sent_at + CLOCK_SHARE * lasts_s
        elif answer.status in REFUSALS or (publishes and self._publishing_is_free):
            self.builds += 1
        elif answer.status in LIMITS or (accepted and (publishes or answer.state == "not_built")):
            self._doubts.setdefault(ref, []).append((answer.done_at, publishes and accepted))

    def _read(self, answer: Received) -> None:
        ref, state = answer.ref, answer.state
        doubts = self._doubts.pop(ref, [])
        settled = [doubt for doubt in doubts if doubt[0] <= answer.sent_at]
        if len(settled) < len(doubts):
            self._doubts[ref] = [doubt for doubt in doubts if doubt[0] > answer.sent_at]
        if state == "not_built" or (state == "ready" and ref in self._ready):
            self.builds += len(settled)
        else:
            self._keep(settled)
        if answer.status == 200 and state == "not_built" and any(published for _, published in settled):
            self._trust_publishing()
        (self._ready.add if state == "ready" else self._ready.discard)(ref)
        if state != "building":
            self._running.pop(ref, None)

    def _keep(self, doubts: Iterable[tuple[float, bool]]) -> None:
        """Counts doubtful builds as begun; those for publishing come back once it is known to begin none."""
        self._kept_for_publishing += sum(published for _, published in doubts)

    def _trust_publishing(self) -> None:
        self._publishing_is_free = True
        self.builds += self._kept_for_publishing + sum(p for doubts in self._doubts.values() for _, p in doubts)
        self._kept_for_publishing = 0
        left = {ref: [doubt for doubt in doubts if not doubt[1]] for ref, doubts in self._doubts.items()}
        self._doubts = {ref: doubts for ref, doubts in left.items() if doubts}
