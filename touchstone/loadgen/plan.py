"""Load scenarios as data, and the plan of a load run: schedule, required versions, and cost; no I/O."""

import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from touchstone.errors import UsageError, nearest, similar
from touchstone.facts.events import Limit, Model, Workload
from touchstone.loadgen.arrivals import MAX_ARRIVALS, Times, Trace, due_times, parse
from touchstone.rules.history import Content


class Stopped(Exception):
    """Nothing more is sent: the run was stopped, or its budget of requests or builds is used up."""


@dataclass(frozen=True, slots=True)
class Action:
    """Kind of arrival: what its client does."""

    operation: str = "startBuild"  # operation of the first request, the only one whose time the schedule sets
    # version that the action may build: its ``own``, a ``shared`` one, or none (empty)
    builds: Literal["", "own", "shared"] = ""
    lasts: bool = False  # whether the client goes on until the build has ended
    follow_ups: int = 0  # requests after the first one, without polls and retries
    is_followed: bool = False  # whether some client follows the log of the build
    follows: bool = False  # whether the client of this action follows a log


TABLES = tomllib.loads(Path(__file__).with_name("workloads.toml").read_text("utf-8"))
ACTIONS: Mapping[str, Action] = {name: Action(**values) for name, values in TABLES["actions"].items()}
INVARIANTS: tuple[str, ...] = tuple(TABLES["invariants"])
_CLAIMS = ("http.answers", "http.no-server-error", "http.status-is-documented")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load scenario with its defaults."""

    name: str
    description: str
    arrivals: str  # arrival curve as text; or ``at once``: one arrival per build, all at the same moment
    duration_s: float
    mix: Mapping[str, float]  # weights of the actions among the arrivals, all above zero
    builds: int = 0
    watchers: int = 0  # number of clients that follow the log of each build
    # duration of the steps of a build in seconds; *lines* is the number of lines that the steps print
    build_s: float = 0.5
    lines: int = 1
    ready: int = 0  # number of versions that are built before the run begins, so that clients can read them
    needs_second: bool = False
    drift: bool = False  # whether the last part of the run is compared with the first part
    # claims that the scenario tests; a run without a verdict on each of these is no pass
    claims: tuple[str, ...] = _CLAIMS

    def uses(self, flag: str) -> bool:
        """Whether a command-line flag, without its leading dashes, affects the scenario."""
        uses = {
            "builds": self.builds,
            "watchers": self.watchers,
            "lines": any(ACTIONS[action].is_followed for action in self.mix),
            "rate": not self.watchers,
            "arrivals": not self.watchers,
            "mix": len(self.mix) > 1 and not self.watchers,
            "build-s": not self.needs_second,
            "users": self.arrivals != AT_ONCE and not self.needs_second,
        }
        return bool(uses.get(flag, True))


AT_ONCE = "at once"
USERS = 8

SCENARIOS: Mapping[str, Scenario] = {
    name: Scenario(name, **values | {"claims": (*_CLAIMS, *values.get("claims", ()))})
    for name, values in TABLES["scenarios"].items()
}


@dataclass(frozen=True, slots=True)
class Options:
    """A scenario with the settings of one run."""

    scenario: Scenario
    arrivals: str
    duration_s: float
    mix: Mapping[str, float]
    seed: int
    model: Model = "open"
    users: int = USERS  # number of clients in a closed model; each sends its next request after a response
    builds: int = 0
    watchers: int = 0
    build_s: float = 0.5
    lines: int = 1
    ready: int = 0
    max_requests: int | None = None  # requests that the run may send, without set-up and clean-up; None for no limit

    @property
    def arrivals_text(self) -> str:
        """Arrivals as text for reports; in a closed model, the number of clients."""
        return self.arrivals if self.model == "open" else f"after each response, by {self.users} clients"

    @property
    def advice(self) -> str:
        """Advice on the flags that reduce the load."""
        if self.arrivals == AT_ONCE:
            return "lower --builds or --watchers" if self.watchers else "lower --builds"
        return "lower --duration" if self.arrivals.startswith("trace:") else "lower --rate or --duration"


def scenario(name: str) -> Scenario:
    """Scenario by name; raises `UsageError` if the name is unknown."""
    if name not in SCENARIOS:
        raise UsageError(f"scenario {name!r}: no such scenario; {nearest(name, tuple(SCENARIOS))}")
    return SCENARIOS[name]


def mix_of(text: str, default: Mapping[str, float]) -> dict[str, float]:
    """Weights above 0 from ``action=weight,…``; raises `UsageError` for an unknown action or an invalid weight."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        if name not in default:
            raise UsageError(f"--mix {part.strip()!r}: unknown action; {nearest(name, tuple(default))}")
        if name in weights:
            raise UsageError(f"--mix {text!r}: {name} has two weights; keep one of them")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] < float("inf"):
            raise UsageError(f"--mix {part.strip()!r}: expected action=weight with a weight of 0 or more")
    if not (kept := {name: weight for name, weight in weights.items() if weight}):
        raise UsageError(f"--mix {text!r}: no action is left; give one of {', '.join(default)} a weight above 0")
    return kept


# Seconds between two polls of a build.
POLL_S = 0.25

# Estimated seconds that a build takes besides its steps.
_OVERHEAD_S = 0.5

# load/aftermath.py sends three bursts of at most this many starts. It waits before two bursts, and after each.
AFTERMATH_BURST = 120
_AFTERMATH_WAITS = 5

# Cancels of load/room.py, and the sum of its waits in units of cancel_timeout_s: 4 after the cancels, 2.5 before every
# other cancel, and 1 at the end.
ROOM_TURNS = 4
_ROOM_WAITS = 10
_LEAST_ROOM, _MOST_ROOM = 3, 100
# Seconds that the builds of load/room.py would run: longer than its client needs until it cancels them.
_ROOM_S = 60.0

# Numbers of requests: for the smoke test; to publish and delete a version; to build a version before the run.
_SMOKE, _AROUND, _BUILT_BEFORE = 3, 2, 27
# Extra seconds for the last wait of a client, and for the response to the last arrival.
_BEYOND_S = 2.0

# Every fifth of the builds that are polled to the end is made to fail.
_FAILS_EVERY = 5

# Watchers arrive between this second of the schedule and this share of the duration of a build.
_WATCH_FROM_S, _WATCH_SHARE = 0.3, 0.25
MAX_BUILDS = 100_000

# One arrival: its number in the whole run, from 0; its action, as an index into ACTIONS; when it is due, in seconds
# since the schedule began; and its number among the arrivals that build a version of their own, from 0 (else -1).
ARRIVAL = np.dtype([("number", "u4"), ("action", "u2"), ("due_s", "f8"), ("nth_build", "i4")])

_NAMES = tuple(ACTIONS)
_OWN_BUILD = np.array([action.builds == "own" for action in ACTIONS.values()])
_LASTS = np.array([action.lasts for action in ACTIONS.values()])


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Arrivals in order of their due times, all before *duration_s*; `ARRIVAL` describes *rows*."""

    duration_s: float
    rows: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Number of arrivals for each action that has any."""
        found = np.bincount(self.rows["action"], minlength=len(_NAMES))
        return {name: int(count) for name, count in zip(_NAMES, found, strict=True) if count}

    def builders(self, *builds: str) -> int:
        """Number of arrivals that may build a version of one of the kinds *builds*, ``own`` or ``shared``."""
        return sum(number for name, number in self.counts.items() if ACTIONS[name].builds in builds)

    def share(self, worker: int, workers: int) -> "Schedule":
        """Part of the schedule for one worker (number 0 to workers - 1). The workers get the arrivals in turn."""
        mine = np.sort(np.argsort(self.rows["action"], kind="stable")[worker::workers])
        return Schedule(self.duration_s, self.rows[mine])


def schedule_of(options: Options) -> Schedule:
    """Schedule of a run; raises the same errors as `plan`."""
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
    """Assigns actions to *count* arrivals, as indexes into *weights*: evenly spaced, or at random with *seed*."""
    shares = np.array([*weights.values()]) / math.fsum(weights.values())
    if seed is not None:
        return np.random.default_rng((seed, 1)).choice(len(shares), size=count, p=shares)
    numbers = np.floor(shares * count + 1e-9).astype(int)
    numbers[np.argsort(numbers - shares * count, kind="stable")[: count - numbers.sum()]] += 1
    # Each action has its own offset, so that rare actions of equal weight do not come together.
    places = [(np.arange(n) + (action + 0.5) / len(shares)) / max(n, 1) for action, n in enumerate(numbers)]
    return np.repeat(np.arange(len(shares)), numbers)[np.argsort(np.concatenate(places), kind="stable")]


def _traced(trace: Trace, count: int, names: list[str]) -> NDArray[np.intp]:
    for name, line in zip(trace.actions, trace.lines, strict=True):
        if name not in names:
            expected = f"expected an action of this run: {', '.join(sorted(names))}{similar(name, names)}"
            raise UsageError(f"{trace.path}:{line}: found {name!r} in the column operation; {expected}")
    return np.array([names.index(name) for name in trace.actions[:count]])


def _fairness(options: Options) -> Schedule:
    """Schedule with modest starts all the time; in the second half, several greedy starts follow each modest one."""
    arrivals = parse(options.arrivals, options.duration_s)
    if isinstance(arrivals, Trace) and arrivals.actions:
        raise UsageError(f"--arrivals {arrivals}: fairness chooses the key of each start; drop the column operation")
    modest = due_times(arrivals, options.duration_s, options.seed)
    weights = [options.mix.get(name, 0.0) for name in ("modest", "greedy")]
    times = round(weights[1] / weights[0]) if weights[0] else 0
    if times < 1:
        mix = ",".join(f"{name}={weight:g}" for name, weight in options.mix.items())
        expected = "expected both, such as modest=1,greedy=20"
        raise UsageError(f"--mix {mix!r}: fairness compares a modest and a greedy key; {expected}")
    _few_enough(len(modest) * times, options)
    edges = np.append(modest[modest >= options.duration_s / 2], options.duration_s)
    greedy = [np.linspace(begin, end, times, endpoint=False) for begin, end in pairwise(edges)]
    return _scheduled({"modest": modest, "greedy": np.concatenate([np.zeros(0), *greedy])}, options.duration_s)


def _watchers(options: Options) -> Schedule:
    """Schedule: all builds start at once, and all watchers arrive before the output, in the first half of a build."""
    number = options.builds * options.watchers
    if options.watchers < 2:
        why = "a comparison of logs needs two watchers of a build; expected 2 or more"
        raise UsageError(f"--watchers {options.watchers}: {why}")
    _few_enough(number, options)
    until_s = _WATCH_SHARE * options.build_s
    if until_s < _WATCH_FROM_S:
        why = "watchers must come before the output begins, half-way through a build"
        raise UsageError(f"--build-s {options.build_s:g}: {why}; expected {_WATCH_FROM_S / _WATCH_SHARE:g} s or more")
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
    """Version to publish before the run."""

    # ``own`` (for one arrival), ``shared`` (several clients build it), ``ready`` (built before the run), ``beside``
    # (for load/aftermath.py) or ``room`` (for load/room.py)
    role: str
    purpose: str
    sleep_s: float = 0.0
    fails: bool = False
    halved: bool = False
    more_lines: int = 0
    second: bool = False  # whether the version belongs to the second key


@dataclass(frozen=True, slots=True)
class Plan:
    """Schedule of a run, and the versions that it needs, in the order of their use."""

    options: Options
    schedule: Schedule
    needs: tuple[Need, ...]

    def workload(self, began_at: float, workers: int, limits: tuple[Limit, ...]) -> Workload:
        """The plan as an event of the run log. A closed model has no scheduled requests."""
        options = self.options
        scheduled: Counter[str] = Counter()
        for name, number in self.schedule.counts.items() if options.model == "open" else ():
            scheduled[ACTIONS[name].operation] += number
        return Workload(
            scenario=options.scenario.name,
            says=options.scenario.description,
            model=options.model,
            arrivals=options.arrivals_text,
            began_at=began_at,
            duration_s=self.schedule.duration_s,
            scheduled=dict(scheduled),
            workers=workers,
            seed=options.seed,
            options=asdict(options) | {"scenario": options.scenario.name},
            limits=limits,
        )

    def builds(self) -> int:
        """Number of builds that the schedule may begin."""
        return self._ready + self.builds_after + self.schedule.builders("own", "shared")

    @property
    def builds_after(self) -> int:
        """Number of builds that the closing steps of a storm may begin, after all arrivals."""
        return 1 + _rooms(self.schedule) + ROOM_TURNS if self._is_storm else 0

    def sends(self) -> int:
        """Number of requests of the load if nothing is refused, without set-up and clean-up."""
        polls = math.ceil((self.options.build_s + _OVERHEAD_S) / POLL_S)
        firsts = sum((1 + ACTIONS[name].follow_ups) * number for name, number in self.schedule.counts.items())
        return firsts + polls * self.schedule.builders("own") + self._is_storm * AFTERMATH_BURST

    def around(self) -> int:
        """Number of requests for set-up and clean-up, including cancels of shared versions."""
        each = _AROUND + bool(self.schedule.builders("shared"))
        return _SMOKE + each * len(self.needs) + _BUILT_BEFORE * self._ready

    def least_s(self) -> float:
        """Minimum duration in seconds: until the last arrival and the end of the steps of each build."""
        schedule, build_s = self.schedule, self.options.build_s
        if self.options.model == "closed":
            return schedule.duration_s if len(schedule) > self.schedule.builders("own", "shared") else build_s
        over_s = schedule.rows["due_s"] + build_s * _LASTS[schedule.rows["action"]]
        return math.floor(10 * float(np.max(over_s))) / 10

    def most_s(self, build_timeout_s: float, patience_s: float, cancel_timeout_s: float) -> float:
        """Maximum duration in seconds if responses are fast, starts are refused, and builds take as long as allowed."""
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
    """Published versions of a run, by role (see `Need`). Roles of the second key end in ``-second``."""

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contents: Mapping[str, Content] = field(default_factory=dict)

    def refs(self, role: str) -> tuple[str, ...]:
        """Refs of a role; empty if the run has none."""
        return self.roles.get(role, ())


def plan(options: Options) -> Plan:
    """Plan of a run, which depends only on *options*; raises `UsageError` if the plan is empty or too large."""
    schedule = schedule_of(options)
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
    for name in (_NAMES[action] for action in schedule.rows["action"] if _OWN_BUILD[action]):
        nth[name] += 1
        if ACTIONS[name].is_followed:
            needs.append(Need("own", name, sleep_s=options.build_s, halved=True, more_lines=options.lines - 1))
        elif name == "cancel":
            needs.append(Need("own", name, sleep_s=2 * options.build_s))
        else:
            needs.append(Need("own", name, sleep_s=options.build_s, fails=nth[name] % _FAILS_EVERY == 0))
    return needs


def _rooms(storm: Schedule) -> int:
    return min(max(_LEAST_ROOM, len(storm) // 2 - 2), _MOST_ROOM)
