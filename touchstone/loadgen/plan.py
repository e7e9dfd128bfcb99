"""A load run before anything is sent: its schedule, the versions that it needs, and who sends."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from touchstone.errors import UsageError
from touchstone.facts.load_events import Limit, Workload
from touchstone.loadgen.arrivals import parse
from touchstone.loadgen.cost import Cost, Reckoning, rooms
from touchstone.loadgen.curves import Times
from touchstone.loadgen.schedule import MAX_ARRIVALS, Schedule, draw_up, due_times
from touchstone.loadgen.trace import Trace
from touchstone.loadgen.workloads import AT_ONCE, BUILDS, MAY_BUILD, OPERATION_OF, SINGLE, Options

# Every so manieth build that is polled to its end fails, since targets meet failing builds as well.
_FAILS_EVERY = 5

# The share of a build's time within which all its watchers come, and after which moment they do.
_WATCH_FROM_S, _WATCH_SHARE = 0.3, 0.25
# Their logs are compared with each other.
_FEWEST_WATCHERS = 2

# Builds that fill the host after a storm last until they are cancelled.
_ROOM_S = 60.0

# Each of them is published beforehand.
MAX_BUILDS = 100_000


@dataclass(frozen=True, slots=True)
class Need:
    """A version that has to be published before the run.

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
class Plan:
    """A run's schedule and what it needs.

    Attributes:
        schedule: Every arrival, in order of its due time.
        needs: In the order in which arrivals use them.
    """

    options: Options
    schedule: Schedule
    needs: tuple[Need, ...]

    def scheduled(self) -> dict[str, int]:
        """How many arrivals each operation has."""
        counts: Counter[str] = Counter()
        for name, number in self.schedule.counts.items():
            counts[OPERATION_OF[name]] += number
        return dict(counts)

    def nth_build(self) -> dict[int, int]:
        """By the number of each arrival that begins a build of its own, which of those it is, from 0."""
        names = self.schedule.names
        numbers = [n for n, action in enumerate(self.schedule.actions) if names[action] in BUILDS]
        return {number: nth for nth, number in enumerate(numbers)}

    def workload(self, began_at: float, workers: int, limits: tuple[Limit, ...]) -> Workload:
        """The plan as the run log holds it. A closed model follows no schedule, and none is told."""
        options = self.options
        return Workload(
            scenario=options.scenario.name,
            says=options.scenario.says,
            model=options.model,
            arrivals=options.arrivals_told,
            began_at=began_at,
            duration_s=self.schedule.duration_s,
            scheduled=self.scheduled() if options.model == "open" else {},
            workers=workers,
            seed=options.seed,
            options=options.public(),
            limits=limits,
        )

    def cost(self, build_timeout_s: float, patience_s: float, cancel_timeout_s: float = 0.0) -> Cost:
        """What the run costs on a target that lets a build take *build_timeout_s* and is waited for *patience_s*.

        Args:
            cancel_timeout_s: For so much longer the log of a build is followed that does not end.
        """
        return self._reckoning.cost(build_timeout_s, patience_s, cancel_timeout_s)

    def sends(self) -> int:
        """How many requests the load sends where nothing is refused, without what sets up and clears up."""
        return self._reckoning.sends()

    def builds(self) -> int:
        """How many builds the run may begin."""
        return self._reckoning.builds()

    def builds_after(self, most: int) -> int:
        """How many of *most* builds are kept for what one worker does when all arrivals are over."""
        return min(self._reckoning.after, most)

    def share_of_builds(self, most: int, number: int, workers: int) -> int:
        """How many of *most* builds one of the workers may begin: those of its arrivals, and its share of the rest."""
        most -= self.builds_after(most)
        own = [_may_build(self.schedule.share(each, workers)) for each in range(workers)]
        spare = most - sum(own)
        dealt, kept = (spare, own[number]) if spare >= 0 else (most, 0)
        return kept + dealt // workers + (number < dealt % workers)

    @property
    def _reckoning(self) -> Reckoning:
        ready = sum(need.role == "ready" for need in self.needs)
        return Reckoning(self.options, self.schedule, len(self.needs), ready)


def plan(options: Options) -> Plan:
    """The plan of a run; the same options give the same plan.

    Raises:
        UsageError: the arrival curve cannot be read, or what it comes to is nothing, too much, or makes no sense.
    """
    schedule = _schedule(options)
    number = sum(number for name, number in schedule.counts.items() if name in BUILDS)
    if number > MAX_BUILDS:
        raise UsageError(
            f"{options.scenario.name}: plans {number:,} builds; expected {MAX_BUILDS:,} at most, since each has a "
            f"version that is published beforehand; {options.lowering('builds')}"
        )
    return Plan(options, schedule, tuple(_needs(options, schedule)))


def _may_build(schedule: Schedule) -> int:
    return sum(number for name, number in schedule.counts.items() if name in MAY_BUILD)


def phase_of(options: Options, due_s: float) -> str:
    """What goes on beside an arrival by plan; see `touchstone.loadfacts.Attempt`."""
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
    """The modest starts all the time, and in the second half so many greedy ones between each and the next."""
    arrivals = parse(options.arrivals, options.duration_s)
    if isinstance(arrivals, Trace) and arrivals.operations:
        raise UsageError(f"--arrivals {arrivals}: fairness says itself whose start each is; drop the column operation")
    modest = due_times(arrivals, options.duration_s, options.seed)
    if not len(modest):
        raise UsageError(
            f"--arrivals: {arrivals} makes no arrival in {options.duration_s:g} s; raise the rate or run for longer"
        )
    weights = [options.mix.get(name, 0.0) for name in ("modest", "greedy")]
    times = round(weights[1] / weights[0]) if weights[0] else 0
    if times < 1:
        raise UsageError(
            f"--mix {_told(options.mix)!r}: fairness sets a greedy key beside a modest one; "
            "expected both, such as modest=1,greedy=20"
        )
    _few_enough(len(modest) * times, options)
    edges = np.append(modest[modest >= options.duration_s / 2], options.duration_s)
    pieces = [np.linspace(begin, end, times, endpoint=False) for begin, end in pairwise(edges)]
    return _merged({"modest": modest, "greedy": np.concatenate([np.zeros(0), *pieces])}, options.duration_s)


def _watchers(options: Options) -> Schedule:
    """The builds at once, and their watchers before the output begins, which is when half of a build's time is over."""
    number = options.builds * options.watchers
    if options.watchers < _FEWEST_WATCHERS:
        raise UsageError(
            f"--watchers {options.watchers}: whether all who watch a build get the same log takes two of them; "
            f"expected {_FEWEST_WATCHERS} or more"
        )
    _few_enough(number, options)
    if _WATCH_SHARE * options.build_s < _WATCH_FROM_S:
        raise UsageError(
            f"--build-s {options.build_s:g}: watchers come before half of a build's time is over, when its output "
            f"begins; expected {_WATCH_FROM_S / _WATCH_SHARE:g} s or more"
        )
    until_s = _WATCH_SHARE * options.build_s
    watch = np.linspace(_WATCH_FROM_S, until_s, number)
    return _merged({"host": np.zeros(options.builds), "watch": watch}, until_s + _WATCH_FROM_S)


def _few_enough(number: int, options: Options) -> None:
    if number > MAX_ARRIVALS:
        raise UsageError(
            f"{options.scenario.name}: plans {number:,} arrivals; expected {MAX_ARRIVALS:,} at most; "
            f"{options.lowering('arrivals')}"
        )


def _told(mix: Mapping[str, float]) -> str:
    return ",".join(f"{name}={weight:g}" for name, weight in mix.items())


def _merged(due_s: Mapping[str, Times], duration_s: float) -> Schedule:
    times = np.concatenate(list(due_s.values()))
    actions = np.concatenate([np.full(len(each), n, dtype=np.uint16) for n, each in enumerate(due_s.values())])
    order = np.argsort(times, kind="stable")
    return Schedule(tuple(due_s), duration_s, times[order], actions[order], np.arange(len(order), dtype=np.uint32))


def _needs(options: Options, schedule: Schedule) -> list[Need]:
    ready = [Need("ready", "ready") for _ in range(0 if SINGLE.isdisjoint(options.mix) else options.ready)]
    match options.scenario.name:
        case "fairness":
            return [Need("ready", "modest"), Need("ready", "greedy", second=True)]
        case "churn":
            return [Need("shared", "race", sleep_s=options.build_s) for _ in range(options.builds)]
        case "storm":
            ready = [Need("ready", "ready"), Need("beside", "beside", sleep_s=options.build_s)]
            ready += [Need("room", "room", sleep_s=_ROOM_S) for _ in range(rooms(schedule))]
    names = (schedule.names[index] for index in schedule.actions)
    nth: Counter[str] = Counter()
    for name in names:
        if name in BUILDS:
            ready.append(_own(options, name, nth[name]))
            nth[name] += 1
    return ready


def _own(options: Options, action: str, nth: int) -> Need:
    """The version of an arrival that builds.

    Args:
        nth: Which arrival of this action it is, from 0. By its number among all arrivals it could not be told which
            builds are to fail: in an even mix each action comes at the same distance again and again.
    """
    match action:
        case "host" | "stream":
            return Need("own", action, sleep_s=options.build_s, halved=True, more_lines=options.lines - 1)
        case "cancel":
            return Need("own", action, sleep_s=2 * options.build_s)
    return Need("own", action, sleep_s=options.build_s, fails=nth % _FAILS_EVERY == _FAILS_EVERY - 1)
