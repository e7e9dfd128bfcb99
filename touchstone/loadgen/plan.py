"""A load run before anything is sent: its schedule, the versions that it needs, and what it costs; pure."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from touchstone.errors import UsageError, nearest
from touchstone.facts.events import Limit, Workload
from touchstone.loadgen.arrivals import MAX_ARRIVALS, Times, Trace, due_times, parse
from touchstone.loadgen.workloads import ACTIONS, AT_ONCE, Options
from touchstone.rules.history import Content

# A flow reads the status of its build so often.
POLL_S = 0.25

# What a build is reckoned to take besides its steps.
_OVERHEAD_S = 0.5

# The longest burst of load/aftermath.py, which has three; it waits after each, and before the second and the third one.
AFTERMATH_BURST = 120
_AFTERMATH_WAITS = 5

# The turns of load/room.py. Of the time that a cancel may take it waits once in each, two and a half times in two of
# them, and once at the end.
ROOM_TURNS = 4
_ROOM_WAITS = 10
_LEAST_ROOM, _MOST_ROOM = 3, 100
# Builds that fill the host last until they are cancelled.
_ROOM_S = 60.0

# Requests of the smoke test; to publish and delete a version; and to start and read one that is built beforehand.
_SMOKE, _AROUND, _BUILT_BEFORE = 3, 2, 27
# How long a wait may last when patience is over, and how long after the last arrival the last answer may come.
_BEYOND_S = 2.0

# One in so many builds that are polled to their end fails.
_FAILS_EVERY = 5

# Watchers come after this moment, and within this share of a build's time; their logs are compared with each other.
_WATCH_FROM_S, _WATCH_SHARE = 0.3, 0.25
_FEWEST_WATCHERS = 2
MAX_BUILDS = 100_000

# One arrival: its number in the whole run, from 0; its action, as a place in ACTIONS; when it is due, in seconds since
# the schedule began; and which of the arrivals that begin a build of their own it is, from 0, or -1.
ARRIVAL = np.dtype([("number", "u4"), ("action", "u2"), ("due_s", "f8"), ("nth_build", "i4")])

_NAMES = tuple(ACTIONS)
_OWN_BUILD = np.array([action.builds == "own" for action in ACTIONS.values()])
_LASTS = np.array([action.lasts for action in ACTIONS.values()])


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Arrivals in the order in which they are due, all before *duration_s*; for *rows* see `ARRIVAL`."""

    duration_s: float
    rows: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """How many arrivals each action has that has any."""
        found = np.bincount(self.rows["action"], minlength=len(_NAMES))
        return {name: int(count) for name, count in zip(_NAMES, found, strict=True) if count}

    def builders(self, *builds: str) -> int:
        """How many arrivals may begin such a build."""
        return sum(number for name, number in self.counts.items() if ACTIONS[name].builds in builds)

    def share(self, worker: int, workers: int) -> "Schedule":
        """What one of several workers, counted from 0, is to send: the arrivals are dealt action by action."""
        mine = np.sort(np.argsort(self.rows["action"], kind="stable")[worker::workers])
        return Schedule(self.duration_s, self.rows[mine])


def draw_up(options: Options) -> Schedule:
    """The schedule of a run; for its errors see `plan`."""
    match options.scenario.name:
        case "fairness":
            return _fairness(options)
        case "watchers":
            return _watchers(options)
    if options.arrivals == AT_ONCE:
        return _scheduled({"start": np.zeros(options.builds)}, options.duration_s)
    arrivals = parse(options.arrivals, options.duration_s)
    due_s = due_times(arrivals, options.duration_s, options.seed)
    names = list(options.mix)
    if isinstance(arrivals, Trace) and arrivals.actions:
        actions = _traced(arrivals, len(due_s), names)
    else:
        actions = assign(len(due_s), options.mix, options.seed if arrivals.is_poisson else None)
    return _scheduled({name: due_s[actions == n] for n, name in enumerate(names)}, options.duration_s)


def assign(count: int, weights: Mapping[str, float], seed: int | None = None) -> NDArray[np.intp]:
    """The action of each of *count* arrivals, as its place in *weights*: at even distances, or drawn with *seed*."""
    shares = np.array([*weights.values()]) / math.fsum(weights.values())
    if seed is not None:
        return np.random.default_rng((seed, 1)).choice(len(shares), size=count, p=shares)
    numbers = np.floor(shares * count + 1e-9).astype(int)
    numbers[np.argsort(numbers - shares * count, kind="stable")[: count - numbers.sum()]] += 1
    # At even distances, each action a little after the one before: rare ones of the same share do not come together.
    places = [(np.arange(n) + (action + 0.5) / len(shares)) / max(n, 1) for action, n in enumerate(numbers)]
    return np.repeat(np.arange(len(shares)), numbers)[np.argsort(np.concatenate(places), kind="stable")]


def _traced(trace: Trace, count: int, names: list[str]) -> NDArray[np.intp]:
    for name, line in zip(trace.actions, trace.lines, strict=True):
        if name not in names:
            near = nearest(name, names)
            hint = f"; {near}" if near.startswith("did you mean") else ""
            raise UsageError(
                f"{trace.path}:{line}: found {name!r} in the column operation; expected an action of this run: "
                f"{', '.join(sorted(names))}{hint}"
            )
    return np.array([names.index(name) for name in trace.actions[:count]])


def _fairness(options: Options) -> Schedule:
    """The modest starts all the time, and in the second half so many greedy ones between each and the next."""
    arrivals = parse(options.arrivals, options.duration_s)
    if isinstance(arrivals, Trace) and arrivals.actions:
        raise UsageError(f"--arrivals {arrivals}: fairness says itself whose start each is; drop the column operation")
    modest = due_times(arrivals, options.duration_s, options.seed)
    weights = [options.mix.get(name, 0.0) for name in ("modest", "greedy")]
    times = round(weights[1] / weights[0]) if weights[0] else 0
    if times < 1:
        mix = ",".join(f"{name}={weight:g}" for name, weight in options.mix.items())
        raise UsageError(
            f"--mix {mix!r}: fairness sets a greedy key beside a modest one; expected both, such as modest=1,greedy=20"
        )
    _few_enough(len(modest) * times, options)
    edges = np.append(modest[modest >= options.duration_s / 2], options.duration_s)
    greedy = [np.linspace(begin, end, times, endpoint=False) for begin, end in pairwise(edges)]
    return _scheduled({"modest": modest, "greedy": np.concatenate([np.zeros(0), *greedy])}, options.duration_s)


def _watchers(options: Options) -> Schedule:
    """The builds at once, and their watchers before the output begins, half-way through a build."""
    number = options.builds * options.watchers
    if options.watchers < _FEWEST_WATCHERS:
        raise UsageError(
            f"--watchers {options.watchers}: whether all who watch a build get the same log takes two of them; "
            f"expected {_FEWEST_WATCHERS} or more"
        )
    _few_enough(number, options)
    until_s = _WATCH_SHARE * options.build_s
    if until_s < _WATCH_FROM_S:
        raise UsageError(
            f"--build-s {options.build_s:g}: watchers come before half of a build's time is over, when its output "
            f"begins; expected {_WATCH_FROM_S / _WATCH_SHARE:g} s or more"
        )
    watch = np.linspace(_WATCH_FROM_S, until_s, number)
    return _scheduled({"host": np.zeros(options.builds), "watch": watch}, until_s + _WATCH_FROM_S)


def _few_enough(number: int, options: Options, what: str = "arrivals", most: int = MAX_ARRIVALS) -> None:
    if number > most:
        name = options.scenario.name
        raise UsageError(f"{name}: plans {number:,} {what}; expected {most:,} at most; {options.advice}")


def _scheduled(due_s: Mapping[str, Times], duration_s: float) -> Schedule:
    rows = np.zeros(sum(map(len, due_s.values())), ARRIVAL)
    rows["due_s"] = np.concatenate(list(due_s.values()))
    rows["action"] = np.repeat([_NAMES.index(name) for name in due_s], [len(times) for times in due_s.values()])
    rows = rows[np.argsort(rows["due_s"], kind="stable")]
    rows["number"] = np.arange(len(rows))
    builds = _OWN_BUILD[rows["action"]]
    rows["nth_build"] = np.where(builds, np.cumsum(builds) - 1, -1)
    return Schedule(duration_s, rows)


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
    """A run's schedule and what it needs, in the order in which arrivals use it."""

    options: Options
    schedule: Schedule
    needs: tuple[Need, ...]

    def workload(self, began_at: float, workers: int, limits: tuple[Limit, ...]) -> Workload:
        """The plan as the run log holds it. A closed model follows no schedule."""
        options = self.options
        scheduled: Counter[str] = Counter()
        for name, number in self.schedule.counts.items() if options.model == "open" else ():
            scheduled[ACTIONS[name].operation] += number
        return Workload(
            scenario=options.scenario.name,
            says=options.scenario.says,
            model=options.model,
            arrivals=options.arrivals_text,
            began_at=began_at,
            duration_s=self.schedule.duration_s,
            scheduled=dict(scheduled),
            workers=workers,
            seed=options.seed,
            options=options.public(),
            limits=limits,
        )

    def builds(self) -> int:
        """How many builds the run may begin."""
        return self._ready + self.builds_after + self.schedule.builders("own", "shared")

    @property
    def builds_after(self) -> int:
        """How many of them may begin when all arrivals are over."""
        return 1 + _rooms(self.schedule) + ROOM_TURNS if self._is_storm else 0

    def sends(self) -> int:
        """How many requests the load sends where nothing is refused."""
        polls = math.ceil((self.options.build_s + _OVERHEAD_S) / POLL_S)
        firsts = sum((1 + ACTIONS[name].follow_ups) * number for name, number in self.schedule.counts.items())
        return firsts + polls * self.schedule.builders("own") + self._is_storm * AFTERMATH_BURST

    def around(self) -> int:
        """How many requests set up and clear up. What clients race for is cancelled: nobody has seen it end."""
        each = _AROUND + bool(self.schedule.builders("shared"))
        return _SMOKE + each * len(self.needs) + _BUILT_BEFORE * self._ready

    def least_s(self) -> float:
        """How long steps of builds and arrivals take where nothing else does."""
        schedule, build_s = self.schedule, self.options.build_s
        if self.options.model == "closed":
            return schedule.duration_s if len(schedule) > self.schedule.builders("own", "shared") else build_s
        over_s = schedule.rows["due_s"] + build_s * _LASTS[schedule.rows["action"]]
        return math.floor(10 * float(np.max(over_s))) / 10

    def most_s(self, build_timeout_s: float, patience_s: float, cancel_timeout_s: float) -> float:
        """How long it takes at worst, but for slow answers: starts are refused, and builds take all their time."""
        most_s, wait_s = self.schedule.duration_s + _BEYOND_S, patience_s + _BEYOND_S
        if self.schedule.builders("own"):
            most_s += wait_s + build_timeout_s
        elif self.schedule.builders("shared"):
            most_s += wait_s + self.options.build_s
        if any(ACTIONS[name].follows for name in self.schedule.counts):
            most_s += cancel_timeout_s
        if self._is_storm:
            most_s += (1 + _AFTERMATH_WAITS) * wait_s + _ROOM_WAITS * cancel_timeout_s
        return math.ceil(most_s)

    @property
    def _is_storm(self) -> bool:
        return self.options.scenario.name == "storm"

    @property
    def _ready(self) -> int:
        return sum(need.role == "ready" for need in self.needs)


@dataclass(frozen=True, slots=True)
class Stage:
    """A run's versions: refs by role, see `Need`; those of the second key have a role that ends in ``-second``."""

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contents: Mapping[str, Content] = field(default_factory=dict)

    def refs(self, role: str) -> tuple[str, ...]:
        """The refs of a role; empty where the run has none."""
        return self.roles.get(role, ())


def plan(options: Options) -> Plan:
    """The plan of a run, the same for the same options; a `UsageError` where it comes to nothing or too much."""
    schedule = draw_up(options)
    _few_enough(schedule.builders("own"), options, "builds", MAX_BUILDS)
    return Plan(options, schedule, tuple(_needs(options, schedule)))


def _needs(options: Options, schedule: Schedule) -> list[Need]:
    needs = [Need("ready", "ready")] * (options.ready if "read" in options.mix else 0)
    match options.scenario.name:
        case "fairness":
            return [Need("ready", "modest"), Need("ready", "greedy", second=True)]
        case "churn":
            return [Need("shared", "race", sleep_s=options.build_s)] * options.builds
        case "storm":
            needs = [Need("ready", "ready"), Need("beside", "beside", sleep_s=options.build_s)]
            needs += [Need("room", "room", sleep_s=_ROOM_S)] * _rooms(schedule)
    nth: Counter[str] = Counter()
    for name in (_NAMES[action] for action in schedule.rows["action"]):
        if ACTIONS[name].builds == "own":
            needs.append(_own(options, name, nth[name]))
            nth[name] += 1
    return needs


def _own(options: Options, action: str, nth: int) -> Need:
    if ACTIONS[action].is_followed:
        return Need("own", action, sleep_s=options.build_s, halved=True, more_lines=options.lines - 1)
    if action == "cancel":
        return Need("own", action, sleep_s=2 * options.build_s)
    return Need("own", action, sleep_s=options.build_s, fails=nth % _FAILS_EVERY == _FAILS_EVERY - 1)


def _rooms(storm: Schedule) -> int:
    return min(max(_LEAST_ROOM, len(storm) // 2 - 2), _MOST_ROOM)
