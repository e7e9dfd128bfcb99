"""What ends a run early: builds and time that are spent, and a target that answers nobody any more.

A build is reserved before the request that may begin it.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.facts.exchange import Exchange
from touchstone.rules.walk import CLOCK_SHARE
from touchstone.target.call import Call, asks_auto_build, may_publish, may_start

# Whoever waits for the end of a build gives up when nobody has been answered for so long; a pause is as long at least.
SILENT_S = 10.0
# After so many requests in a row, of whatever case, that nobody answers the cases that are left are not tried.
UNHEARD_REQUESTS = 10
# Once nobody has answered so many removals in a row the rest is left to a sweep: each would take its whole timeout.
SILENT_REMOVALS = 3


class Silence:
    """
    Hears how requests end, whoever sent them.

    Args:
        fewest: So many in a row have to end without an answer before it is called silence.
    """

    def __init__(self, fewest: int = 1) -> None:
        self._fewest = fewest
        self._vain = 0
        self._vain_from: float | None = None

    def hear(self, sent_at: float, *, answered: bool) -> None:
        """
        Hears of a request that has ended.
        """
        self._vain = 0 if answered else self._vain + 1
        if answered:
            self._vain_from = None
        elif self._vain_from is None:
            self._vain_from = sent_at

    def lasts(self, at_s: float) -> bool:
        """
        Whether all that ended in the last SILENT_S seconds, and anything did, ended without an answer.
        """
        lasted = self._vain_from is not None and at_s - self._vain_from > SILENT_S
        return lasted and self._vain >= self._fewest


SPENT = "the budget of builds is spent; raise --max-builds or max_builds"

STATES = frozenset({"not_built", "building", "ready", "failed"})
# Refusals that name another reason than a limit, and those that may be for one.
REFUSALS = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
LIMITS = frozenset({409, 429})
# What may end a build, or have it count for other content.
ENDS = frozenset({"cancelBuild", "deleteTemplate", "publishTemplate"})


@dataclass(frozen=True, slots=True)
class Received:
    """The answer to a call.

    Attributes:
        operation: operationId of what was asked, or empty.
        ref: The version that it was about, or empty.
        status: The status code, or 0 without an answer.
    """

    call: Call
    operation: str
    ref: str
    status: int
    body: Mapping[str, Any]
    sent_at: float
    done_at: float

    @property
    def accepted(self) -> bool:
        """Whether it was let through."""
        return 200 <= self.status < 300

    @property
    def state(self) -> str:
        """The status of the build that it shows; empty where it shows none."""
        state = self.body.get("auto_build" if self.operation == "publishTemplate" else "status")
        return state if isinstance(state, str) else ""

    @classmethod
    def of(cls, call: Call, exchange: Exchange) -> "Received":
        """The answer that an exchange holds."""
        ref, times = exchange.ref or "", (exchange.sent_at, exchange.done_at)
        return cls(call, exchange.operation, ref, exchange.status, exchange.body, *times)

    @property
    def digest(self) -> str:
        """The digest of the version; empty where it shows none."""
        digest = self.body.get("digest")
        return digest if isinstance(digest, str) else ""


class Budget:
    """What a run may still spend; usable from several threads.

    A build is reserved before a request is sent that may begin one. It is given back where an answer shows that none
    began: a golden that is reused, a refusal for another reason than a limit, or a join that is certain. A refusal for
    a limit shows nothing by itself. The next read of the version does, where nothing but a start went before it.
    Publishing is free once a read has shown that it begins no build.

    Args:
        builds: How many may begin.
        ready: Versions that are known to be ready.

    Attributes:
        builds: How many may still begin.
        until_at: Moment of the run's clock at which it stops sending, or infinity.
    """

    def __init__(self, builds: int, until_at: float = float("inf"), ready: Iterable[str] = ()) -> None:
        self.builds = builds
        self.until_at = until_at
        self._lock = threading.Lock()
        self._ready = set(ready)
        # What each version had reserved without an answer that settles it: since when, and whether by publishing.
        self._doubts: dict[str, list[tuple[float, bool]]] = {}
        # Starts that count, digests that were started, and versions that were published.
        self._starts: Counter[str] = Counter()
        self._digests: set[str] = set()
        self._published: dict[str, float] = {}
        # Until when a build surely runs, and requests under way that may end it.
        self._running: dict[str, float] = {}
        self._ending: Counter[str] = Counter()
        # Whether publishing begins builds; None while no read has shown it. What was kept meanwhile for that alone.
        self._publishing_builds: bool | None = None
        self._for_publishing = 0
        self._deceived = False

    def may_begin(self, call: Call) -> bool:
        """Whether *call* may begin a build."""
        if may_start(call):
            return True
        return may_publish(call) and (asks_auto_build(call) or self._publishing_builds is not False)

    def reserve(self, ref: str, look: Callable[[str], None]) -> bool:
        """Reserves a build for a request that may begin one; whether one was left.

        Args:
            look: Reads the status of a version whose builds are in doubt; called while no build is left.
        """
        if self._reserved(ref):
            return True
        for doubtful in tuple(self._doubts):
            look(doubtful)
            if self._reserved(ref):
                return True
        return False

    def look_through(self, look: Callable[[str], None]) -> None:
        """Reads the status of each version whose builds are in doubt."""
        for ref in tuple(self._doubts):
            if ref in self._doubts:
                look(ref)

    def is_doubtful(self, ref: str) -> bool:
        """Whether a status of *ref* may show that builds are to be given back."""
        return ref in self._doubts

    def _reserved(self, ref: str) -> bool:
        with self._lock:
            if self.builds <= 0:
                return False
            self.builds -= 1
            self._starts[ref] += 1
            return True

    def sends(self, call: Call) -> None:
        """Notes that a request is sent now, which may end a build."""
        if call.operation in ENDS:
            with self._lock:
                self._ending[call.ref or ""] += 1
                self._running.pop(call.ref or "", None)

    def receive(self, answer: Received, *, reserved: bool, lasts_s: float = 0.0) -> None:
        """Updates the budget by one answer.

        Args:
            reserved: Whether a build was reserved for the request.
            lasts_s: Seconds that a build of the version takes at least.
        """
        ref = answer.ref
        with self._lock:
            if answer.call.operation in ENDS:
                self._ending[answer.call.ref or ""] -= 1
            if answer.operation in ENDS and answer.status not in REFUSALS | LIMITS:
                self._write_off(self._doubts.pop(ref, []))
                self._running.pop(ref, None)
            if reserved:
                self._settle(answer, lasts_s)
            if answer.operation == "publishTemplate" and answer.accepted:
                self._published[ref] = answer.done_at
                self._ready.discard(ref)
            elif answer.operation == "deleteTemplate":
                self._published.pop(ref, None)
                self._ready.discard(ref)
            elif answer.operation == "getBuild":
                self._read(answer)
            if self._starts[ref] > 0 and answer.digest:
                self._digests.add(answer.digest)

    def _settle(self, answer: Received, lasts_s: float) -> None:
        """Keeps the reserved build, gives it back, or leaves that to the next read."""
        ref, accepted, publishing = answer.ref, answer.accepted, self._publishing_builds
        plain = answer.operation == "publishTemplate" and not asks_auto_build(answer.call)
        if accepted and answer.state == "ready":
            self._ready.add(ref)
            self._digests.add(answer.digest)
            self._give_back(ref)
        elif accepted and answer.state == "building":
            if not self._ending[ref] and answer.done_at <= self._running.get(ref, float("-inf")):
                self._give_back(ref)
            elif not self._doubts.get(ref) and not publishing:
                self._running[ref] = answer.sent_at + CLOCK_SHARE * lasts_s
        elif (answer.status in REFUSALS and not self._deceived) or (plain and publishing is False):
            self._give_back(ref)
        elif plain and accepted and publishing is None:
            self._doubt(answer, published=True)
        elif answer.status in REFUSALS | LIMITS or (accepted and answer.state == "not_built"):
            self._doubt(answer, published=False)

    def _doubt(self, answer: Received, *, published: bool) -> None:
        self._doubts.setdefault(answer.ref, []).append((answer.done_at, published))
        self._starts[answer.ref] -= 1

    def _read(self, answer: Received) -> None:
        """Settles the doubts of a version by a status read that was sent after them."""
        ref, state = answer.ref, "not_built" if answer.status == 404 else answer.state
        if state not in STATES:
            return
        nothing_began = state == "not_built" or (state == "ready" and ref in self._ready)
        doubts = self._doubts.pop(ref, [])
        if later := [doubt for doubt in doubts if doubt[0] > answer.sent_at]:
            self._doubts[ref] = later
        settled = [doubt for doubt in doubts if doubt not in later]
        if nothing_began:
            self.builds += len(settled)
        else:
            self._write_off(settled)
        if self._starts[ref] <= 0 and self._published.get(ref, float("inf")) <= answer.sent_at:
            if answer.state == "not_built" and self._publishing_builds is None:
                self._trust_publishing()
            elif not nothing_began and answer.digest not in self._digests:
                # An unannounced build: from now on no refusal is believed, and publishing costs a build.
                self._deceived = self._publishing_builds = True
                self._starts[ref] += 1
                self.builds -= not settled
        (self._ready.add if state == "ready" else self._ready.discard)(ref)
        if state != "building":
            self._running.pop(ref, None)

    def _write_off(self, doubts: Iterable[tuple[float, bool]]) -> None:
        """
        Counts doubtful builds as begun. Those reserved for publishing alone come back once it is known to begin none.
        """
        self._for_publishing += sum(published for _, published in doubts)

    def _trust_publishing(self) -> None:
        self._publishing_builds = False
        self.builds += self._for_publishing
        for ref, doubts in list(self._doubts.items()):
            left = [doubt for doubt in doubts if not doubt[1]]
            self.builds += len(doubts) - len(left)
            self._doubts[ref] = left
        self._doubts = {ref: doubts for ref, doubts in self._doubts.items() if doubts}

    def _give_back(self, ref: str) -> None:
        self.builds += 1
        self._starts[ref] -= 1
