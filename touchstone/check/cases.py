"""Cases of a run: their declarations, order and schedule, how long they take, and which of them a proof can skip.

A proof that has found its fault still has to show that the check blames no other claim. It therefore completes
the general cases and judges two thirds of all other claims. It skips cases that judge no new claim.
"""

import heapq
import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from touchstone.check.budget import Flow
from touchstone.contract.answers import FINISHED
from touchstone.facts.runlog import read
from touchstone.target.connections import in_background

if TYPE_CHECKING:
    import pytest

FAIR_SHARE = 2 / 3


@dataclass(frozen=True, slots=True)
class Quarry:
    """Goal of a proof: each glob in *breaks* matches a broken claim; with *any_one*, at least one glob does."""

    breaks: tuple[str, ...]
    any_one: bool = False

    def is_found(self, broken: Collection[str]) -> bool:
        """Whether the broken claims suffice to count the fault as found."""
        found = [any(fnmatchcase(claim, glob) for claim in broken) for glob in self.breaks]
        return any(found) if self.any_one else all(found)

    def expects(self, claim: str) -> bool:
        """Whether *claim* matches a glob in *breaks*."""
        return any(fnmatchcase(claim, glob) for glob in self.breaks)

    def may_stop(self, broken: Collection[str], judged: Collection[str], claims: Iterable[str]) -> bool:
        """Whether the goal is reached, and at least FAIR_SHARE of the *claims* outside the goal are *judged*."""
        others = [claim for claim in claims if not self.expects(claim)]
        had_a_chance = sum(claim in judged for claim in others)
        return self.is_found(broken) and had_a_chance >= FAIR_SHARE * len(others)

    def may_skip(self, case: Collection[str], broken: Collection[str], judged: Collection[str]) -> bool:
        """Whether the goal is reached, and a case for the claims *case* would judge no new claim outside the goal."""
        return self.is_found(broken) and all(claim in judged or self.expects(claim) for claim in case)


# The cases in this file run before all others, and without cancels: they show how the target behaves in general.
GENERAL_CASES = "test_lifecycle.py"
LAST_CASES = "test_wrap_up.py"
ALWAYS = (GENERAL_CASES, LAST_CASES)  # a proof that has found its fault runs these cases as well
LONGEST = 99  # more builds than any case has, one after the other
ALONE = 3  # the first stage whose cases run one by one

# Costs in requests: of a build, which has to be awaited, and of a generated request, which has to be computed.
BUILD_COSTS = 5
GENERATED_CASES, GENERATED_COSTS = "test_generated.py", 20


@dataclass(frozen=True, slots=True)
class Declared:
    """Declaration of a case: its name and its pytest marks."""

    id: str  # file and function without ``test_``: ``cancel.in_flight[x]`` for ``test_cancel.py::test_in_flight[x]``
    file: str
    title: str = ""
    claims: tuple[str, ...] = ()
    builds: int = 0  # maximum number of builds that the case begins
    at_once: int = 0  # maximum number of builds of the case that run at the same time
    lengths: int = 0  # number of builds that run one after the other, and to their end
    requests: int = 0  # approximate number of requests, without polls
    profile: str = "quick"  # the smallest profile that runs the case
    is_given: bool = False  # whether the case also runs with ``publish = "never"``
    is_once: bool = False  # whether the case gets no second attempt; generated cases get none
    is_alone: bool = False  # whether no other case may run meanwhile, because the case observes the account as a whole
    cancels: bool = False  # whether the case cancels builds

    @property
    def stage(self) -> int:
        """Number of the stage. Cases of one stage run side by side, except those alone and the last ones.

        Cancels come late: if a build goes wrong while nobody cancels anything, no cancel can be the reason.
        """
        if self.file in ALWAYS:
            return 0 if self.file == GENERAL_CASES else 4
        return ALONE if self.is_alone else 2 if self.cancels else 1

    @property
    def is_generated(self) -> bool:
        """Whether Hypothesis generates the requests.

        Only one such case runs at a time, because Hypothesis uses ast.parse, which in CPython 3.11 fails in threads.
        """
        return self.file == GENERATED_CASES

    @property
    def order(self) -> tuple[int, int, int]:
        """Sort key: by stage, then generated cases, then the longest. Cases that run one by one keep their order."""
        if self.stage >= ALONE:
            return self.stage, 0, 0
        return self.stage, -LONGEST if self.is_generated else -self.lengths, -self.requests

    def place(self, quarry: Quarry) -> tuple[int, float, float]:
        """Sort key in a proof: by stage, then cases for claims of *quarry*, then the others, cheap ones first."""
        if self.stage >= ALONE:
            return self.order
        each = GENERATED_COSTS if self.is_generated else 1
        likely = any(map(quarry.expects, self.claims))
        return self.stage, not likely, (each * self.requests + BUILD_COSTS * self.builds) / len(self.claims)


def declared_by(item: "pytest.Item", profile: str) -> Declared:
    """Returns the declaration of *item*; *profile* selects the cost if the mark ``cost`` has one for each profile."""
    cost, smallest = item.get_closest_marker("cost"), item.get_closest_marker("profile")
    costs = cost.kwargs if cost else {}
    given = (costs.get(name, 0) for name in ("builds", "requests"))
    builds, requests = (int(value[profile] if isinstance(value, Mapping) else value) for value in given)
    at_once = int(costs.get("at_once", min(builds, 1)))
    return Declared(
        id=f"{item.path.stem.removeprefix('test_')}.{item.name.removeprefix('test_')}",
        file=item.path.name,
        title=" ".join((getattr(getattr(item, "function", None), "__doc__", "") or "").split()),
        claims=tuple(" ".join(" ".join(mark.args) for mark in item.iter_markers("claims")).split()),
        builds=builds,
        at_once=at_once,
        lengths=int(costs.get("lengths", math.ceil(builds / at_once) if at_once else 0)),
        requests=requests,
        profile=str(smallest.args[0]) if smallest else "quick",
        is_given=item.get_closest_marker("given") is not None,
        is_once=item.get_closest_marker("once") is not None,
        cancels=item.get_closest_marker("cancels") is not None,
        is_alone=item.get_closest_marker("alone") is not None,
    )


# --- which cases run side by side -----------------------------------------------------------------------------------

# After a stop, cases get this many seconds to end; what still runs then is left to the clean-up.
STOP_S = 5.0


@dataclass(eq=False)
class Job:
    """A case to run. *body* runs it; *result* then holds its exception, if any."""

    case: Declared
    body: Callable[[], None]
    result: "Future[None]" = field(default_factory=Future)


class Scheduler:
    """Starts jobs in the order of `add`, as soon as threads and room for builds are free.

    No job starts before all jobs of an earlier stage have ended. A job that needs more builds at once than there is
    room for runs while no other job builds.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._threads = flow.room + READERS
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._lock = threading.Lock()

    def add(self, jobs: Iterable[Job]) -> None:
        """Adds *jobs* and starts the first ones."""
        with self._lock:
            self._waiting += jobs
        self._start()

    def stop(self) -> None:
        """Starts no further job, and waits up to STOP_S seconds for the running ones."""
        with self._lock:
            self._waiting.clear()
            running = list(self._running)
        wait((job.result for job in running), timeout=STOP_S)

    def _start(self) -> None:
        with self._lock:
            stage = min((job.case.stage for job in (*self._running, *self._waiting)), default=0)
            for job in [job for job in self._waiting if job.case.stage == stage]:
                if len(self._running) >= self._threads:
                    return
                if self._has_room(job.case):
                    self._waiting.remove(job)
                    self._running.append(job)
                    job.result.add_done_callback(partial(self._end, job))
                    in_background(job.result, job.body)

    def _has_room(self, case: Declared) -> bool:
        if case.is_generated and any(job.case.is_generated for job in self._running):
            return False
        held = sum(job.case.at_once for job in self._running)
        return not case.at_once or not held or held + case.at_once <= self._flow.room

    def _end(self, job: Job, _: "Future[None]") -> None:
        with self._lock:
            self._running.remove(job)
        self._start()


# --- how long they take ---------------------------------------------------------------------------------------------

BUILD_S, LATENCY_S = 120.0, 0.1  # of the documented service, and of a usual connection
READERS = 4  # cases that may run beside those that build


@dataclass(frozen=True, slots=True)
class Pace:
    """Time of a build and of a request, in seconds, and where they come from."""

    build_s: float
    latency_s: float
    source: str


def duration_s(cases: Iterable[Declared], pace: Pace, room: int) -> float:
    """Returns the estimated duration of *cases* in their order, with *room* for builds at a time."""
    total_s = 0.0
    for stage, group in groupby(cases, key=lambda case: case.stage):
        running: list[tuple[float, int]] = []  # when each running case ends, and its builds at once
        now_s = 0.0
        for case in group:
            needed = room if stage >= ALONE else min(case.at_once, room)
            while running and (needed + sum(n for _, n in running) > room or len(running) >= room + READERS):
                now_s, _ = heapq.heappop(running)
            took_s = case.lengths * pace.build_s + case.requests * pace.latency_s
            heapq.heappush(running, (now_s + took_s, needed))
        total_s += max(at_s for at_s, _ in running)
    return total_s


def seen_in(run_log: Path) -> Pace | None:
    """Returns the median times of a build and of a status read in an earlier run log; None if it shows no build."""
    began_at: dict[str, float] = {}
    builds, reads = list[float](), list[float]()
    for exchange in read(run_log).exchanges:
        status, ref = exchange.body.get("status"), exchange.ref or ""
        if exchange.operation == "startBuild" and status == "building":
            began_at.setdefault(ref, exchange.sent_at)
        elif exchange.operation == "getBuild" and exchange.status == 200:
            reads.append(exchange.elapsed_s)
            began = began_at.pop(ref, None) if status != "building" else None
            builds += [exchange.done_at - began] if began is not None and status in FINISHED else []
    return Pace(median(builds), median(reads), f"as in {run_log}") if builds else None
