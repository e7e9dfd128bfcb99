"""
A load run before anything is sent: its schedule, the versions that it needs, and what it costs at least and at worst.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from touchstone.arrivals import parse
from touchstone.curves import Times
from touchstone.loadfacts import Engine, Limit, Workload
from touchstone.schedule import Schedule, draw_up, due_times
from touchstone.workloads import AT_ONCE, BUILDS, OPERATION_OF, SINGLE, Options

# From so many single requests a second on, each worker hands them to the bulk engine: a greenlet each would be late.
BULK_FROM_PER_S = 1_000.0

# A flow reads the status of its build so often.
POLL_S = 0.25

# What a build takes besides its steps is not known beforehand; so much is reckoned with.
_OVERHEAD_S = 0.5

# Every so manieth build of a mix fails, since targets meet failing builds as well.
_FAILS_EVERY = 5

# The share of watchers' time before the output begins within which they all come, and after which moment.
_WATCH_FROM_S, _WATCH_SHARE = 0.3, 0.25

# What storm does at its end on one version that is ready: bursts up to this length, to be refused and served again.
AFTERMATH_BURST = 120


@dataclass(frozen=True, slots=True)
class Need:
    """
    A version that has to be published before the run.

    Attributes:
        role: What it is for: ``own`` (one for each arrival that builds), ``shared``, or ``ready`` (built beforehand).
        second: Whether it belongs to the second key.
    """

    role: str
    purpose: str
    sleep_s: float = 0.0
    fails: bool = False
    halved: bool = False
    more_lines: int = 0
    second: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """
    What a run costs: likely and at worst, set-up and clean-up included.
    """

    builds: int
    requests: int
    most_requests: int
    seconds: float
    most_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A run's schedule and what it needs.

    Attributes:
        schedule: Every arrival, in order of its due time.
        needs: In the order in which arrivals use them.
    """

    options: Options
    schedule: Schedule
    needs: tuple[Need, ...]

    @property
    def single_per_s(self) -> float:
        """
        How many requests without a sequel are due in the busiest second.
        """
        singles = np.isin(self.schedule.actions, [n for n, name in enumerate(self.schedule.names) if name in SINGLE])
        seconds = np.floor(self.schedule.due_s[singles]).astype(int)
        return float(np.bincount(seconds).max()) if len(seconds) else 0.0

    def engine(self, workers: int) -> tuple[Engine, str]:
        """
        Who sends the requests, and why.
        """
        per_s = self.single_per_s / max(workers, 1)
        if self.options.engine == "bulk":
            return "bulk", "asked for by --engine"
        if self.options.engine == "flows":
            return "flows", "asked for by --engine"
        if self.options.model == "open" and per_s > BULK_FROM_PER_S:
            return "bulk", f"{per_s:,.0f} single requests a second and worker, more than {BULK_FROM_PER_S:,.0f}"
        return "flows", f"{per_s:,.0f} single requests a second and worker, up to {BULK_FROM_PER_S:,.0f}"

    def scheduled(self) -> dict[str, int]:
        """
        How many arrivals each operation has.
        """
        counts: Counter[str] = Counter()
        for name, number in self.schedule.counts.items():
            counts[OPERATION_OF[name]] += number
        return dict(counts)

    def nth_build(self) -> dict[int, int]:
        """
        By the number of each arrival that begins a build of its own, which of those it is, from 0.
        """
        names = self.schedule.names
        numbers = [n for n, action in enumerate(self.schedule.actions) if names[action] in BUILDS]
        return {number: nth for nth, number in enumerate(numbers)}

    def workload(self, began_at: float, workers: int, limits: tuple[Limit, ...]) -> Workload:
        """
        The plan as the run log holds it.
        """
        options = self.options
        engine, reason = self.engine(workers)
        return Workload(
            scenario=options.scenario.name,
            says=options.scenario.says,
            model=options.model,
            engine=engine,
            engine_reason=reason,
            arrivals=options.arrivals,
            began_at=began_at,
            duration_s=options.duration_s,
            scheduled=self.scheduled(),
            workers=workers,
            seed=options.seed,
            options=options.public(),
            limits=limits,
        )

    def cost(self, build_timeout_s: float, patience_s: float) -> Cost:
        """
        What the run costs on a target that lets a build take *build_timeout_s* and is waited for *patience_s*.
        """
        by_action = self.schedule.counts
        polls = math.ceil((self.options.build_s + _OVERHEAD_S) / POLL_S)
        most_polls = math.ceil(build_timeout_s / POLL_S) + math.ceil(patience_s)
        after = 5 * AFTERMATH_BURST if self.options.scenario.name == "storm" else 0
        builds = self.builds()
        building = sum(number for name, number in by_action.items() if name in BUILDS or name == "race")
        ready = sum(need.role == "ready" for need in self.needs)
        fixed = len(self.schedule) + 3 * len(self.needs)
        return Cost(
            builds=builds,
            requests=fixed + polls * (building + ready) + after // 4,
            most_requests=fixed + most_polls * (building + ready) + after,
            seconds=round(self.options.duration_s + self.options.build_s + _OVERHEAD_S, 1),
            most_seconds=round(self.options.duration_s + patience_s + build_timeout_s, 1),
        )

    def builds(self) -> int:
        """
        How many builds the run may begin.
        """
        by_action = self.schedule.counts
        ready = sum(need.role == "ready" for need in self.needs)
        beside = 1 if self.options.scenario.name == "storm" else 0
        return ready + beside + sum(number for name, number in by_action.items() if name in BUILDS or name == "race")


def plan(options: Options) -> Plan:
    """
    The plan of a run; the same options give the same plan.

    Raises:
        UsageError: the arrival curve cannot be read.
    """
    schedule = _schedule(options)
    return Plan(options, schedule, tuple(_needs(options, schedule)))


def phase_of(options: Options, due_s: float) -> str:
    """
    What goes on beside an arrival by plan; see `touchstone.loadfacts.Attempt`.
    """
    if options.scenario.name != "fairness":
        return ""
    return "alone" if due_s < options.duration_s / 2 else "beside-greedy"


def _schedule(options: Options) -> Schedule:
    if options.scenario.name == "fairness":
        return _fairness(options)
    if options.scenario.name == "watchers":
        return _watchers(options)
    if options.arrivals == AT_ONCE:
        return _merged({"start": np.zeros(options.builds)}, options.duration_s)
    return draw_up(parse(options.arrivals, options.duration_s), options.duration_s, options.mix, options.seed)


def _fairness(options: Options) -> Schedule:
    """
    The modest starts all the time, and in the second half so many greedy ones between each and the next.
    """
    arrivals = parse(options.arrivals, options.duration_s)
    modest = due_times(arrivals, options.duration_s, options.seed)
    times = round(options.mix.get("greedy", 0.0) / options.mix.get("modest", 1.0))
    edges = np.append(modest[modest >= options.duration_s / 2], options.duration_s)
    pieces = [np.linspace(begin, end, times, endpoint=False) for begin, end in pairwise(edges)]
    return _merged({"modest": modest, "greedy": np.concatenate([np.zeros(0), *pieces])}, options.duration_s)


def _watchers(options: Options) -> Schedule:
    """
    The builds at once, and their watchers before the output begins, which is when half of a build's time is over.
    """
    number = options.builds * options.watchers
    until_s = max(_WATCH_FROM_S, _WATCH_SHARE * options.build_s)
    watch = np.linspace(_WATCH_FROM_S, until_s, number)
    return _merged({"host": np.zeros(options.builds), "watch": watch}, until_s + _WATCH_FROM_S)


def _merged(due_s: Mapping[str, Times], duration_s: float) -> Schedule:
    times = np.concatenate(list(due_s.values()))
    actions = np.concatenate([np.full(len(each), n, dtype=np.uint16) for n, each in enumerate(due_s.values())])
    order = np.argsort(times, kind="stable")
    return Schedule(tuple(due_s), duration_s, times[order], actions[order], np.arange(len(order), dtype=np.uint32))


def _needs(options: Options, schedule: Schedule) -> list[Need]:
    ready = [Need("ready", "ready") for _ in range(options.ready)]
    match options.scenario.name:
        case "fairness":
            return [Need("ready", "modest"), Need("ready", "greedy", second=True)]
        case "churn":
            return [Need("shared", "race", sleep_s=options.build_s) for _ in range(options.builds)]
        case "storm":
            ready = [Need("ready", "ready"), Need("beside", "beside", sleep_s=options.build_s)]
    names = [schedule.names[index] for index in schedule.actions]
    return [*ready, *(_own(options, name, number) for number, name in enumerate(names) if name in BUILDS)]


def _own(options: Options, action: str, number: int) -> Need:
    match action:
        case "host" | "stream":
            return Need("own", action, sleep_s=options.build_s, halved=True, more_lines=options.lines - 1)
        case "cancel":
            return Need("own", action, sleep_s=2 * options.build_s)
    return Need("own", action, sleep_s=options.build_s, fails=number % _FAILS_EVERY == _FAILS_EVERY - 1)
