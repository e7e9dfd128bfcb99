"""Limits that end a run or a wait early: builds, time, failed waits, and a target that stopped responding."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.rules.possible_states import CLOCK_SHARE
from touchstone.target.call import Call, asks_auto_build, may_publish, may_start

# The target counts as silent if it has sent no response for more than this many seconds.
SILENT_S = 10.0
# After this many consecutive requests without a response, in one case or in several, the remaining cases are skipped.
UNANSWERED_REQUESTS = 5
SILENT_REMOVALS = 3  # After this many consecutive removals without a response, a sweep has to remove the rest


class Silence:
    """Detects a silent target: *fewest* or more consecutive requests got no response for over SILENT_S seconds."""

    def __init__(self, fewest: int = 1) -> None:
        self._fewest = fewest
        self._unanswered = 0
        self._since = 0.0

    def record(self, sent_at: float, *, answered: bool) -> None:
        """Records whether a finished request of any client was *answered*."""
        self._since = self._since if self._unanswered else sent_at
        self._unanswered = 0 if answered else self._unanswered + 1

    def lasts(self, at_s: float) -> bool:
        """Whether the target is silent at the time *at_s*."""
        return self._unanswered >= self._fewest and at_s - self._since > SILENT_S


class Stop(threading.Event):
    """Is set to end a run. *why*: reason for the cases that the stop cuts short; empty after an interrupt."""

    why = ""


# A wait ends after this many consecutive reads of not_built, over this many seconds.
IDLE_POLLS, IDLE_S = 10, 1.0

# After a failed wait, the next ones for the same event get this share of the time. After this many failed waits in a
# row, no wait for the event follows.
TIRED_SHARE, GIVEN_UP_AFTER = 0.1, 3
FAULT_S = 10.0  # longest wait for the end of a state that is itself a fault
_SURE_TIMES = 2  # A shortened wait is at least this many times as long as the longest successful wait


class FailedWaits:
    """Counts consecutive failed waits for each event; a failed wait shortens the next wait for the same event."""

    def __init__(self) -> None:
        self._times: Counter[Hashable] = Counter()
        self._longest_s: dict[Hashable, float] = {}

    def limit_s(self, key: Hashable, most_s: float, needed_s: float = 0.0, *, is_fault: bool = False) -> float:
        """Returns how many seconds the next wait for the event *key* may take; 0 if no wait may follow.

        *most_s*: time limit of the first wait; *needed_s*: minimum time until the event, if known; *is_fault*: whether
        the state that has to end is itself a fault, so that even the first wait is short.
        """
        times = self._times[key]
        if times >= GIVEN_UP_AFTER:
            return 0.0
        if not times and not is_fault:
            return most_s
        short_s = min(TIRED_SHARE * most_s, FAULT_S if is_fault else most_s) + needed_s
        return min(most_s, max(short_s, _SURE_TIMES * self._longest_s.get(key, 0.0)))

    def add(self, key: Hashable, most: int = GIVEN_UP_AFTER) -> None:
        """Counts a wait that ended without its event, up to *most*; *key* stands for the event."""
        self._times[key] = min(self._times[key] + 1, most)

    def lift(self, key: Hashable, most: int, waited_s: float = 0.0) -> None:
        """Records a successful wait of *waited_s* seconds; reduces the number of failed waits to *most* if greater."""
        self._times[key] = min(self._times[key], most)
        self._longest_s[key] = max(self._longest_s.get(key, 0.0), waited_s)


class Flow:
    """Builds of the run in flight, and how many of them the target admits at a time; thread-safe.

    Attributes:
        room: Number of builds that may be in flight. A refused start reduces it to the builds that are, and a start
            accepted beyond it shows that the refusal had another reason.
        moves: Number of builds that have begun or ended so far.
        length_s: Longest time that a build took to become ready, besides its sleeps, as far as reads showed it.
        least_s: The shortest such time; 0 until a build is ready.
        wait_s: Wait that the last start requested, if it was refused; else 0.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = self.room = most
        self.moves = 0
        self.length_s = self.least_s = self.wait_s = 0.0
        self._began_at: dict[str, float] = {}  # in the order of the beginnings
        self._free_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def began(self, ref: str) -> None:
        """Records that a build of *ref* runs."""
        with self._lock:
            self.moves, self.wait_s = self.moves + 1, 0.0
            self._began_at.setdefault(ref, time.monotonic())
            if len(self._began_at) > self.room:
                self.room = self._most

    def ended(self, ref: str, lasts_s: float | None = None) -> None:
        """Records that no build of *ref* runs. *lasts_s*: duration of the sleeps of a build that became ready."""
        with self._lock:
            before = list(self._began_at)
            began_at, now = self._began_at.pop(ref, None), time.monotonic()
            self._free_at.pop(ref, None)
            if began_at is not None:
                self._free_at |= dict.fromkeys(before[before.index(ref) + 1 :], now)
            self.moves += began_at is not None
            if began_at is not None and lasts_s is not None:
                took_s = max(0.0, now - began_at - lasts_s)
                self.length_s, self.least_s = max(self.length_s, took_s), min(self.least_s or took_s, took_s)

    def free_s(self, ref: str) -> float:
        """Returns how long ago the last build that began before the one of *ref* ended; infinity if none ended since.

        A server may queue builds, so that a build runs only after all that began before.
        """
        with self._lock:
            return time.monotonic() - self._free_at.get(ref, float("-inf"))

    def refused(self, requested_s: float) -> None:
        """Records that a start got a 429, which requested a wait of *requested_s* seconds."""
        with self._lock:
            self.wait_s = requested_s
            self.room = max(1, min(self.room, len(self._began_at)))

    def may_end(self, within_s: float) -> bool:
        """Whether a build in flight began less than *within_s* seconds ago."""
        with self._lock:
            return any(time.monotonic() - at < within_s for at in self._began_at.values())


SPENT = "the budget of builds is spent; raise --max-builds or max_builds"

# Statuses of refused requests: a limit never causes those in REFUSALS, and may cause those in LIMITS.
REFUSALS = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
LIMITS = frozenset({409, 429})
# Operations that may end a build or replace its document.
ENDS = frozenset({"cancelBuild", "deleteTemplate", "publishTemplate"})


@dataclass(frozen=True, slots=True)
class Received:
    """Response to a call. *status* is 0 without a response; *operation* and *ref* are empty outside the contract."""

    call: Call
    operation: str
    ref: str
    status: int
    body: Mapping[str, Any]
    sent_at: float
    done_at: float

    @property
    def state(self) -> str:
        """Build status in the response; ``not_built`` for a 404 to a status read, empty if the response has none."""
        if self.operation == "getBuild" and self.status == 404:
            return "not_built"
        state = self.body.get("auto_build" if self.operation == "publishTemplate" else "status")
        return state if isinstance(state, str) else ""


def _may_end(call: Call, operation: str | None) -> bool:
    """Whether a call of *operation* may end a build; a publish may only with ``force``."""
    return operation in ENDS and (call.operation != "publishTemplate" or "force" in call.query)


class Budget:
    """Builds and time that a run may still spend; thread-safe.

    One build is reserved before each request that may begin a build. The reservation is released if the response shows
    that no build began. After a 409 or 429, the reservation is uncertain until the next status read of the version. A
    read of ``not_built`` after a publish shows that publishing begins no build; from then on, it needs no reservation.

    Attributes:
        builds: Number of builds that the run may still begin.
        until_at: Time on the run's clock after which no request is sent; infinity without a time limit.
        doubts: Uncertain reservations by version: for each, the time of the response, and whether it was of a publish.
    """

    def __init__(self, builds: int, until_at: float = float("inf"), ready: Iterable[str] = ()) -> None:
        self.builds = builds
        self.until_at = until_at
        self._lock = threading.Lock()
        self._ready = set(ready)
        self.doubts: dict[str, list[tuple[float, bool]]] = {}
        # By version: the time until which its build certainly runs; the number of unanswered requests that may end it.
        self._running: dict[str, float] = {}
        self._ending: Counter[str] = Counter()
        self._publishing_is_free = False
        self._kept_for_publishing = 0

    def may_begin(self, call: Call) -> bool:
        """Whether *call* may begin a build."""
        return may_start(call) or (may_publish(call) and (asks_auto_build(call) or not self._publishing_is_free))

    def reserve(self, read: Callable[[str], None]) -> bool:
        """Reserves a build; returns whether one was left. If none seems left, first resolves uncertain reservations."""
        if self.builds <= 0:
            self.resolve(read)
        with self._lock:
            is_left = self.builds > 0
            self.builds -= is_left
        return is_left

    def resolve(self, read: Callable[[str], None]) -> None:
        """Resolves uncertain reservations: calls *read*, which reads the status, for each version that has any."""
        for ref in tuple(self.doubts):
            read(ref)

    def sends(self, call: Call) -> None:
        """Records that *call* is being sent. A cancel, delete or publish may end a build from now on."""
        if _may_end(call, call.operation):
            with self._lock:
                self._ending[call.ref or ""] += 1

    def receive(self, answer: Received, *, reserved: bool, lasts_s: float = 0.0) -> None:
        """Updates the budget after a response. *reserved*: a build was reserved; *lasts_s*: minimum build time."""
        ref = answer.ref
        with self._lock:
            if _may_end(answer.call, answer.call.operation):
                self._ending[answer.call.ref or ""] -= 1
            if _may_end(answer.call, answer.operation) and answer.status not in REFUSALS | LIMITS:
                self._keep(self.doubts.pop(ref, []))
                self._running.pop(ref, None)
                if answer.operation != "cancelBuild":
                    self._ready.discard(ref)
            if reserved:
                self._settle(answer, lasts_s)
            if answer.operation == "getBuild" and answer.status in (200, 404):
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
            elif ref not in self.doubts:
                self._running[ref] = answer.sent_at + CLOCK_SHARE * lasts_s
        elif answer.status in REFUSALS or (publishes and self._publishing_is_free):
            self.builds += 1
        elif answer.status in LIMITS or (accepted and (publishes or answer.state == "not_built")):
            self.doubts.setdefault(ref, []).append((answer.done_at, publishes and accepted))

    def _read(self, answer: Received) -> None:
        ref, state = answer.ref, answer.state
        doubts = self.doubts.pop(ref, [])
        settled = [doubt for doubt in doubts if doubt[0] <= answer.sent_at]
        if len(settled) < len(doubts):
            self.doubts[ref] = [doubt for doubt in doubts if doubt[0] > answer.sent_at]
        if state == "not_built" or (state == "ready" and ref in self._ready):
            self.builds += len(settled)
        else:
            self._keep(settled)
        if answer.status == 200 and state == "not_built" and any(published for _, published in settled):
            self._publishing_is_free = True
            self.builds += self._kept_for_publishing + sum(p for doubts in self.doubts.values() for _, p in doubts)
            self._kept_for_publishing = 0
            left = {ref: [doubt for doubt in doubts if not doubt[1]] for ref, doubts in self.doubts.items()}
            self.doubts = {ref: doubts for ref, doubts in left.items() if doubts}
        (self._ready.add if state == "ready" else self._ready.discard)(ref)
        if state != "building":
            self._running.pop(ref, None)

    def _keep(self, doubts: Iterable[tuple[float, bool]]) -> None:
        """Counts uncertain reservations as builds; those of publishes only until publishing proves to begin none."""
        self._kept_for_publishing += sum(published for _, published in doubts)
