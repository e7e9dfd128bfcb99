"""A load run before anything is sent: its schedule, the versions that it needs, and what it costs; pure."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from touchstone.errors import UsageError
from touchstone.facts.events import Limit, Workload
from touchstone.facts.patience import poll_s
from touchstone.loadgen.arrivals import Times, Trace, parse
from touchstone.loadgen.schedule import MAX_ARRIVALS, Schedule, draw_up, due_times
from touchstone.loadgen.workloads import AT_ONCE, BUILDS, MAY_BUILD, OPERATION_OF, SINGLE, Options
from touchstone.rules.history import Content

# A flow reads the status of its build so often.
POLL_S = 0.25

# What a build takes besides its steps is not known beforehand; so much is reckoned with.
_OVERHEAD_S = 0.5

# What storm does at its end on one version that is ready: bursts up to this length, to be refused and served again.
AFTERMATH_BURST = 120
# Three such bursts, three times as many reads, and as much again while the last burst is drawn out. After each burst it
# waits for its way back, and before the second and the third one as long as that took the first time. Where the first
# one is served to its end there is nothing to wait for, and that is all.
_AFTERMATH_MOST = 9 * AFTERMATH_BURST
_AFTERMATH_BURSTS, _AFTERMATH_WAITS = 3, 5

# Before that, where somebody was refused, one client waits for its turn, fills the host, and in each of so many turns
# cancels a build and starts another one: see load/room.py.
ROOM_TURNS = 4
_LEAST_ROOM, _MOST_ROOM = 3, 100
# Starts of a turn that are refused, the cancel, and the start that follows; and reads until a cancelled build has
# ended, which come fast at first and then once a second.
_ROOM_REQUESTS, _ROOM_READS = 8, 9
# Of the time that a cancel may take: once in each turn, two and a half times in two of them, and once at the end.
_ROOM_WAITS = 10

# Requests before and after the run: of the smoke test and one look at a version that was published, and about each
# version, which is published and deleted, and cancelled where it may be building, and once more where it was.
_SMOKE, _MOST_SMOKE, _AROUND, _CANCELS = 3, 7, 2, 2
# Reads while a version is built beforehand come fast at first and then once a second: see `touchstone.facts.patience`.
_EARLY_READS = 50
# Before a build that runs is known to, and where it ends, besides the polls in between.
_MORE_POLLS = 3
# The start of a version of its own that is refused is followed by two reads: did it begin something all the same?
PER_REFUSAL = 3
# By so much a wait may end after patience is over, since a client never comes back before it was told to; and the last
# answer may come after the last arrival.
_BEYOND_S = 2.0
# Whoever cancels is done with a build before its steps are.
_TO_THE_END: frozenset[str] = BUILDS - {"cancel"}
_FOLLOWS: frozenset[str] = frozenset({"stream", "watch"})
# What follows a start besides polls: a cancel, a log, or of a race the cancel and a read.
_FOLLOW_UPS: Mapping[str, int] = {"cancel": 1, "stream": 1, "race": 2}

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
class Cost:
    """What a run costs where nothing is refused, and at worst.

    How much a target admits nobody knows before the run, and whoever is refused comes back again and again: far more
    builds than are admitted at once cost a multiple of *requests*. At worst each build takes as long as the target
    allows, and each start is refused once a second for as long as it is waited for. What a target costs more that
    refuses publishes, cancels and deletes as well is not counted.

    Attributes:
        builds: At most.
        requests: Where nothing is refused, set-up and clean-up included.
        most_requests: At worst; None where a closed model sends as many as are answered.
        around: The part of *requests* that sets up and clears up, one after the other.
        per_refusal: Requests that a refused start costs until it comes back; 0 where nobody comes back.
        least_seconds: Without set-up and clean-up; steps of builds and arrivals take so long where nothing else does.
        most_seconds: At worst, without set-up and clean-up and the time that answers take.
    """

    builds: int
    requests: int
    most_requests: int | None
    around: int
    per_refusal: int
    least_seconds: float
    most_seconds: float


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
            arrivals=options.arrivals_text,
            began_at=began_at,
            duration_s=self.schedule.duration_s,
            scheduled=self.scheduled() if options.model == "open" else {},
            workers=workers,
            seed=options.seed,
            options=options.public(),
            limits=limits,
        )

    def builds_after(self, most: int) -> int:
        """How many of *most* builds are kept for what one worker does when all arrivals are over."""
        return min(self._after, most)

    def share_of_builds(self, most: int, number: int, workers: int) -> int:
        """How many of *most* builds one of the workers may begin: those of its arrivals, and its share of the rest."""
        most -= self.builds_after(most)
        own = [_may_build(self.schedule.share(each, workers)) for each in range(workers)]
        spare = most - sum(own)
        dealt, kept = (spare, own[number]) if spare >= 0 else (most, 0)
        return kept + dealt // workers + (number < dealt % workers)

    def cost(self, build_timeout_s: float, patience_s: float, cancel_timeout_s: float = 0.0) -> Cost:
        """What the run costs on a target that lets a build take *build_timeout_s* and is waited for *patience_s*.

        Args:
            cancel_timeout_s: For so much longer the log of a build is followed that does not end.
        """
        refusals, races = math.ceil(patience_s), self._races
        around = self._around()
        most_around = (
            _MOST_SMOKE
            + (_AROUND + _CANCELS) * len(self.needs)
            + (1 + _EARLY_READS + math.ceil(build_timeout_s) + refusals) * self._ready
        )
        most_polls = math.ceil(build_timeout_s / POLL_S) + _MORE_POLLS
        most = self._firsts() + (most_polls + PER_REFUSAL * refusals) * self._own_builds + refusals * races
        if self._is_storm:
            most += _AFTERMATH_MOST + _AFTERMATH_BURSTS * refusals + self._room(math.ceil(cancel_timeout_s))
        allowed = self.options.max_requests
        bounded = self.options.model == "open" or allowed is not None
        return Cost(
            builds=self.builds(),
            requests=around + _within(self.sends(), allowed),
            most_requests=most_around + _within(most, allowed) if bounded else None,
            around=around,
            per_refusal=PER_REFUSAL if self._own_builds else min(races, 1),
            least_seconds=self._least_s(),
            most_seconds=self._most_s(build_timeout_s, patience_s + _BEYOND_S, cancel_timeout_s),
        )

    def _room(self, reads: int) -> int:
        """What filling the host costs at worst: a cancel is waited for in each turn, and all of them at the end."""
        waits = (ROOM_TURNS + 1) * (_ROOM_READS + reads)
        return 3 * rooms(self.schedule) + ROOM_TURNS * _ROOM_REQUESTS + waits

    def sends(self) -> int:
        """How many requests the load sends where nothing is refused, without what sets up and clears up."""
        polls = math.ceil((self.options.build_s + _OVERHEAD_S) / POLL_S)
        return self._firsts() + polls * self._own_builds + self._is_storm * AFTERMATH_BURST

    def _firsts(self) -> int:
        """The arrivals, and what follows each of them besides polls."""
        counts = self.schedule.counts
        return len(self.schedule) + sum(_FOLLOW_UPS.get(name, 0) * number for name, number in counts.items())

    def _around(self) -> int:
        """What sets up and clears up. What clients race for is cancelled, since nobody has seen it end."""
        raced = len(self.needs) if self._races else 0
        return _SMOKE + _AROUND * len(self.needs) + (1 + _reads_until(_OVERHEAD_S)) * self._ready + raced

    def _least_s(self) -> float:
        schedule, build_s = self.schedule, self.options.build_s
        if self.options.model == "closed":
            return schedule.duration_s if len(schedule) > self._own_builds + self._races else build_s
        lasting = np.isin(schedule.actions, [n for n, name in enumerate(schedule.names) if name in _TO_THE_END])
        return math.floor(10 * float(np.max(schedule.due_s + build_s * lasting))) / 10

    def _most_s(self, build_timeout_s: float, wait_s: float, cancel_timeout_s: float) -> float:
        most_s = self.schedule.duration_s + _BEYOND_S
        if self._own_builds:
            most_s += wait_s + build_timeout_s
        elif self._races:
            most_s += wait_s + self.options.build_s
        if not _FOLLOWS.isdisjoint(self.schedule.counts):
            most_s += cancel_timeout_s
        if self._is_storm:
            most_s += (1 + _AFTERMATH_WAITS) * wait_s + _ROOM_WAITS * cancel_timeout_s
        return math.ceil(most_s)

    def builds(self) -> int:
        """How many builds the run may begin."""
        return self._ready + self._after + self._own_builds + self._races

    @property
    def _after(self) -> int:
        """How many of them may begin when all arrivals are over."""
        return 1 + rooms(self.schedule) + ROOM_TURNS if self._is_storm else 0

    @property
    def _own_builds(self) -> int:
        return sum(number for name, number in self.schedule.counts.items() if name in BUILDS)

    @property
    def _is_storm(self) -> bool:
        """Whether something comes after the arrivals: see load/aftermath.py. One more version is built then."""
        return self.options.scenario.name == "storm"

    @property
    def _races(self) -> int:
        return self.schedule.counts.get("race", 0)

    @property
    def _ready(self) -> int:
        return sum(need.role == "ready" for need in self.needs)


@dataclass(frozen=True, slots=True)
class Stage:
    """The versions of one load run.

    Attributes:
        roles: Refs by role, in the order in which arrivals use them; see `Need`. Those of the
            second key have a role that ends in ``-second``.
        contents: What the rules know of each version.
        latency_s: What a status read took before the run.
    """

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contents: Mapping[str, Content] = field(default_factory=dict)
    latency_s: float = 0.0

    def refs(self, role: str) -> tuple[str, ...]:
        """The refs of a role; empty where the run has none."""
        return tuple(self.roles.get(role, ()))

    def public(self) -> dict[str, Any]:
        """The stage as JSON values."""
        contents = {ref: {k: v for k, v in asdict(c).items() if k != "until_at"} for ref, c in self.contents.items()}
        return {"roles": {k: list(v) for k, v in self.roles.items()}, "contents": contents, "latency_s": self.latency_s}

    @classmethod
    def from_public(cls, values: Mapping[str, Any]) -> "Stage":
        """The stage that `public` wrote."""
        return cls(
            {role: tuple(refs) for role, refs in values["roles"].items()},
            {ref: Content(**content) for ref, content in values["contents"].items()},
            float(values["latency_s"]),
        )


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
    """What goes on beside an arrival by plan; see `touchstone.facts.load_events.Attempt`."""
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
            f"--mix {_mix_text(options.mix)!r}: fairness sets a greedy key beside a modest one; "
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


def _mix_text(mix: Mapping[str, float]) -> str:
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


def _reads_until(lasts_s: float) -> int:
    """How many reads see a version built that takes so long."""
    reads, waited_s = 1, 0.0
    while waited_s < lasts_s:
        waited_s += poll_s(waited_s)
        reads += 1
    return reads


def _within(requests: int, allowed: int | None) -> int:
    """So many of the load's requests as ``--max-requests`` lets through."""
    return requests if allowed is None else min(requests, allowed)


def rooms(storm: Schedule) -> int:
    """How many builds may fill the host after a storm; with one more than the host admits their client is refused."""
    return min(max(_LEAST_ROOM, len(storm) // 2 - 2), _MOST_ROOM)
