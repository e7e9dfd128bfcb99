"""What the processes of a load run hand to each other: the command to Locust, a master to its workers, a worker back.

The first goes through the environment: it holds keys, which no file and no command line may. The others go over the
network and hold none: a worker on another machine has its own.
"""

import json
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from touchstone.check.handover import Handover
from touchstone.config import UNBOUNDED_BUILDS
from touchstone.facts import runlog
from touchstone.facts.events import Limit
from touchstone.facts.sample import UNSENT, Histogram, Sample, Window
from touchstone.loadgen.plan import Plan, Stage
from touchstone.loadgen.schedule import Schedule
from touchstone.loadgen.workloads import Options

# How a line begins with which a worker says why it has no part in the run, and one that says how it comes along.
REFUSAL, PROGRESS = "touchstone: ", "touchstone worker: "

# Exchanges that a run keeps besides evidence, so that whole stories can be judged after it.
MAX_KEPT = 20_000

# An arrival that is sent later than this has met a generator that cannot keep up.
BEHIND_S = 0.1


@dataclass(frozen=True, slots=True)
class Go:
    """What the workers of a run do together.

    Attributes:
        began_at: Run second at which the schedule begins.
        origin: Value of the master's monotonic clock at run second 0.
        first_seq: Exchanges are numbered from here, in steps of *workers*.
        builds: How many the workers may begin, all together.
    """

    options: Options
    stage: Stage
    run_id: str
    began_at: float
    origin: float
    workers: int = 1
    first_seq: int = 1
    builds: int = UNBOUNDED_BUILDS

    def public(self) -> dict[str, Any]:
        """The same as JSON values."""
        values = {each.name: getattr(self, each.name) for each in fields(Go)}
        return values | {"options": self.options.public(), "stage": self.stage.public()}

    @classmethod
    def from_public(cls, values: Mapping[str, Any]) -> "Go":
        """What `public` wrote."""
        options, stage = Options.from_public(values["options"]), Stage.from_public(values["stage"])
        return cls(**{**values, "options": options, "stage": stage})


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's part of a run.

    Attributes:
        number: Which one of the workers it is, from 0.
        schedule: The arrivals that are its own.
        nth_build: By the number of each of its arrivals that begins a build, which of those of the run it is, from 0.
        arrivals: How many the whole schedule has.
        keep_every: One story in so many is kept whole.
        builds: How many it may begin; *builds_after* are added where it does what comes after all arrivals.
        origin: Value of its own monotonic clock at run second 0.
        clock_offset_s: See `touchstone.facts.load_events.Worker`.
    """

    go: Go
    number: int
    schedule: Schedule
    nth_build: Mapping[int, int]
    arrivals: int
    keep_every: int
    builds: int
    builds_after: int
    origin: float
    clock_offset_s: float = 0.0
    clock_error_s: float = 0.0

    def public(self) -> dict[str, Any]:
        """The same as values that Locust's messages hold."""
        values = {each.name: getattr(self, each.name) for each in fields(Part)}
        builds = [list(pair) for pair in self.nth_build.items()]
        return values | {"go": self.go.public(), "schedule": self.schedule.to_bytes(), "nth_build": builds}

    @classmethod
    def from_public(cls, values: Mapping[str, Any]) -> "Part":
        """What `public` wrote."""
        schedule, builds = Schedule.from_bytes(values["schedule"]), dict(values["nth_build"])
        return cls(**{**values, "go": Go.from_public(values["go"]), "schedule": schedule, "nth_build": builds})


def deal(go: Go, plan: Plan, number: int, build_timeout_s: float, patience_s: float) -> Part:
    """One worker's part of a run; the other two are those of `Plan.cost`."""
    schedule, builds = plan.schedule.share(number, go.workers), plan.nth_build()
    reads = plan.schedule.counts.get("read", 0)
    stories = plan.cost(build_timeout_s, patience_s).requests - reads
    return Part(
        go=go,
        number=number,
        schedule=schedule,
        nth_build={arrival: builds[arrival] for arrival in schedule.numbers.tolist() if arrival in builds},
        arrivals=len(plan.schedule),
        keep_every=max(1, -(-stories // MAX_KEPT)),
        builds=plan.share_of_builds(go.builds, number, go.workers),
        builds_after=plan.builds_after(go.builds),
        origin=go.origin,
    )


def share_of(whole: int | None, number: int, workers: int) -> int | None:
    """One worker's share of something that is dealt evenly; all shares together are the whole, None of None."""
    return None if whole is None else whole // workers + (number < whole % workers)


@dataclass(frozen=True, slots=True)
class LoadHandover(Handover):
    """What one Locust process is to do; its run log is empty on a worker, which reports to the master.

    Attributes:
        go_file: File that says what is to be done, for a large run has more refs than an environment holds; empty on
            a worker, which the master sends its part.
        limits: The thresholds.
        aborts: Whether the run ends as soon as one of them is broken.
        workers: How many workers the master waits for; 1 where the process does all by itself.
    """

    by_hand = ("load", "touchstone load SCENARIO")

    go_file: str = ""
    limits: tuple[Limit, ...] = ()
    aborts: bool = False
    workers: int = 1

    def go(self) -> Go:
        """What is to be done."""
        return Go.from_public(json.loads(Path(self.go_file).read_text(encoding="utf-8")))


class Collector:
    """What one worker has to report: samples by second, and everything else in order.

    Attributes:
        late: Lateness of the scheduled arrivals so far.
        sent: Scheduled arrivals sent so far.
        unsent: Scheduled arrivals that came due and were not sent.
        unwatched: Watchers among them that had nothing to watch.
        over_budget: Those of them that --max-requests left no room for.
        undone: Clients that were not done and send nothing more.
        behind_from_s: When an arrival that was sent too late was due first; None where none was.
    """

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._windows: dict[tuple[int, str, str, bool], Window] = {}
        self._events: list[dict[str, Any]] = []
        self.late = Histogram()
        self.sent = 0
        self.unsent = 0
        self.unwatched = 0
        self.over_budget = 0
        self.undone = 0
        self.behind_from_s: float | None = None

    def sample(self, sample: Sample, *, paced: bool) -> None:
        """Counts a sample. One that the schedule paced counts for the generator as well."""
        self._window(int(sample.intended_at), sample.operation, sample.outcome, paced).add(sample)
        if paced:
            self.sent += 1
            self.late.add(sample.late_s)
            if sample.late_s > BEHIND_S:
                since_s = self.behind_from_s
                self.behind_from_s = sample.intended_at if since_s is None else min(since_s, sample.intended_at)

    def skip(self, operation: str, intended_at: float, *, over_budget: bool = False) -> None:
        """Counts an arrival that came due and was not sent."""
        self.unsent += 1
        self.over_budget += over_budget
        self._window(int(intended_at), operation, UNSENT, paced=True).count += 1

    def write(self, event: runlog.Event) -> None:
        """Keeps an event of the run log."""
        self._events.append(runlog.encode(event))

    def drain(self, fold: Callable[[Window], None] = lambda _window: None) -> list[dict[str, Any]]:
        """All that was not reported yet, as events of a run log; *fold* is given each window first."""
        windows, self._windows = self._windows, {}
        events, self._events = self._events, []
        for window in windows.values():
            fold(window)
        return [*map(runlog.encode, windows.values()), *events]

    def _window(self, at_s: int, operation: str, outcome: str, paced: bool) -> Window:
        key = (at_s, operation, outcome, paced)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(self._worker, at_s, operation, outcome, paced=paced)
        return window


def rss_bytes() -> int:
    """Memory of this process that is in RAM; where the system does not tell it, the most that it has been."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
