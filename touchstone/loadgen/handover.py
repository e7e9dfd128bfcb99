"""What `touchstone load` hands to the Locust process that it starts, and what a master hands to each of its workers.

The first goes through the environment: it holds keys, which no file and no command line may. The second goes over the
network and holds none: a worker on another machine has its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from touchstone.check.handover import Carried
from touchstone.config import HANDOVER, UNBOUNDED_BUILDS
from touchstone.errors import UsageError
from touchstone.loadgen.plan import Plan, Stage
from touchstone.loadgen.schedule import Schedule
from touchstone.loadgen.workloads import Options

# How a line begins with which a worker says why it has no part in the run, and one that says how it comes along.
REFUSAL, PROGRESS = "touchstone: ", "touchstone worker: "

# Exchanges that a run keeps besides evidence, so that whole stories can be judged after it.
MAX_KEPT = 20_000


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
class LoadHandover(Carried):
    """What one Locust process is to do.

    Attributes:
        url: Base URL of the target.
        run_log: Path of the run log; empty on a worker, which reports to the master.
        go_file: File that says what is to be done, for a large run has more refs than an environment holds; empty on
            a worker, which is told by the master.
        limits: The thresholds, as [operation, statistic, value].
        aborts: Whether the run ends as soon as one of them is broken.
        workers: How many workers the master waits for; 1 where the process does all by itself.
    """

    url: str
    run_log: str = ""
    go_file: str = ""
    limits: list[list[Any]] = field(default_factory=list)
    aborts: bool = False
    workers: int = 1

    def go(self) -> Go:
        """What is to be done."""
        return Go.from_public(json.loads(Path(self.go_file).read_text(encoding="utf-8")))


def received_load(environ: Mapping[str, str]) -> LoadHandover:
    """The hand-over that this process was started with.

    Raises:
        UsageError: there is none, or that of something else: Locust was started by hand.
    """
    text = environ.get(HANDOVER)
    try:
        return LoadHandover(**json.loads(text or ""))
    except (ValueError, TypeError):
        # It may hold keys, and is not shown.
        advice = "run `touchstone load SCENARIO` (`touchstone load --help`)"
        raise UsageError(f"load: not started by touchstone; {advice}") from None
