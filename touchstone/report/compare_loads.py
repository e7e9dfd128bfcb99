"""What is different between two runs beyond noise, operation by operation, and what they had not in common to do; pure.

What varied within each run is noise; another machine or a busy neighbour is not in it, and so a difference may come
from that.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from touchstone.facts.events import RunLog, Workload
from touchstone.facts.sample import Histogram, Window
from touchstone.facts.wording import percentage
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.loading import is_loopback
from touchstone.loadgen.metrics import (
    ALL,
    FEW,
    LASTING,
    Kind,
    Metrics,
    Operation,
    is_timed,
    kind_of,
    metrics,
)
from touchstone.loadgen.workloads import AT_ONCE, SCENARIOS
from touchstone.report import resampling
from touchstone.report.resampling import Durations, Floats, Interval

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
ANSWER_SHARES = (0.5, 0.9)
SEED = 1

Verdict = Literal[
    "slower",
    "faster",
    "more",
    "less",
    "no difference beyond noise",
    "too uncertain to tell",  # no difference is possible, and so is one that matters
    "too few to tell",
]
NOISE: Verdict = "no difference beyond noise"
UNCERTAIN: Verdict = "too uncertain to tell"
TOO_FEW: Verdict = "too few to tell"
# Where these are not excluded nobody says that there is no difference: one by half, or by a tenth of all requests.
MATTERS, MATTERS_POINTS = 0.5, 0.1
_COUNTED: dict[str, tuple[Kind, ...]] = {
    "throughput_per_s": ("served",),
    "error_share": ("error",),
    "refused_share": ("refused",),
}


@dataclass(frozen=True, slots=True)
class Lack:
    """How many of something the run with fewer has, and how many it takes."""

    have: int
    need: int
    what: str


@dataclass(frozen=True, slots=True)
class Change:
    """One statistic in two runs.

    Attributes:
        statistic: Its name with its unit.
        before: In the first run; None where it cannot be told, as is *after*.
        apart: How far they are apart, with its interval: of times and rates as a share of *before*, of shares as they
            are; None where that cannot be told.
        verdict: What is to be said of it.
        lack: What there is too little of; None where there is enough.
    """

    statistic: str
    before: float | None
    after: float | None
    apart: Interval | None
    verdict: Verdict
    lack: Lack | None = None

    @property
    def tells(self) -> bool:
        """Whether it says something: a share of nothing in both runs does not."""
        return bool(self.before or self.after)


@dataclass(frozen=True, slots=True)
class OperationChange:
    """One operation in two runs; it is missing where a run never used it."""

    name: str
    before: Operation | None
    after: Operation | None
    times: tuple[Change, ...]
    counted: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that the two runs had not in common to do."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LoadComparison:
    """Two load runs beside each other.

    Attributes:
        operations: All of them together first, then each that one of the runs used.
        mismatches: Empty where the two had the same to do.
        timed: Whether times are response times; in a closed model there are service times only.
        block_s: Seconds in a block of either run; see `touchstone.report.resampling`.
        rated_s: Seconds that the throughput of either run is over.
    """

    before: Metrics
    after: Metrics
    operations: tuple[OperationChange, ...]
    capacities: tuple[Capacity | None, Capacity | None]
    mismatches: tuple[Mismatch, ...]
    timed: bool
    block_s: tuple[int, int]
    rated_s: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AnswerTimes:
    """The times of one operation in two runs that were no load.

    Attributes:
        counts: How many answers there are in either.
        changes: One for each of ANSWER_SHARES.
    """

    operation: str
    counts: tuple[int, int]
    changes: tuple[Change, ...]

    @property
    def differ(self) -> bool:
        """Whether any of them differs beyond noise."""
        return any(change.verdict not in (NOISE, UNCERTAIN, TOO_FEW) for change in self.changes)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The seconds of a run, cut into blocks; those left over at the end are part of the last whole block."""

    first_s: int
    seconds: int

    @property
    def block_s(self) -> int:
        return resampling.block_s(self.seconds)

    @property
    def number(self) -> int:
        return max(1, self.seconds // self.block_s)

    def of(self, at_s: float) -> int:
        return min((int(at_s) - self.first_s) // self.block_s, self.number - 1)


@dataclass(frozen=True, slots=True)
class _Side:
    """One load run.

    Attributes:
        scheduled_s: For how many of its seconds arrivals were scheduled; all of them where all arrive at once.
    """

    log: RunLog
    numbers: Metrics
    timed: bool
    blocks: _Blocks
    scheduled_s: int

    def windows(self, operation: str) -> list[Window]:
        return [window for window in self.log.windows if operation in (ALL, window.operation)]

    def operation(self, name: str) -> Operation | None:
        return next((one for one in (self.numbers.total, *self.numbers.operations) if one.name == name), None)

    def durations(self, name: str) -> Durations:
        parts = (
            (self.blocks.of(window.at_s), window.response if self.timed else window.service)
            for window in self.windows(name)
            if is_timed(window) and not (name == ALL and window.operation in LASTING)
        )
        return resampling.durations(parts, self.blocks.number)


def compare_loads(before: RunLog, after: RunLog) -> LoadComparison:
    """Compares two load runs."""
    first, second = before.workload, after.workload
    assert first is not None
    assert second is not None
    timed = first.model == second.model == "open"
    sides = [_side(before, first, timed=timed), _side(after, second, timed=timed)]
    names = sorted({one.name for side in sides for one in side.numbers.operations})
    return LoadComparison(
        before=sides[0].numbers,
        after=sides[1].numbers,
        operations=tuple(_operation(name, sides, SEED + 10 * place) for place, name in enumerate([ALL, *names])),
        capacities=(capacity(before), capacity(after)),
        mismatches=mismatches(before, after),
        timed=timed,
        block_s=(sides[0].blocks.block_s, sides[1].blocks.block_s),
        rated_s=(sides[0].scheduled_s, sides[1].scheduled_s),
    )


def _side(log: RunLog, workload: Workload, *, timed: bool) -> _Side:
    at_s = [window.at_s for window in log.windows] or [0]
    seconds = max(at_s) - min(at_s) + 1
    scheduled_s = seconds if workload.arrivals == AT_ONCE else min(seconds, math.ceil(workload.duration_s))
    return _Side(log, metrics(log), timed, _Blocks(min(at_s), seconds), scheduled_s)


def _operation(name: str, sides: Sequence[_Side], seed: int) -> OperationChange:
    before, after = (side.operation(name) for side in sides)
    if before is None or after is None:
        return OperationChange(name, before, after, (), ())
    counted = tuple(_count(statistic, name, sides, seed) for statistic in _COUNTED)
    return OperationChange(name, before, after, _times(name, (before, after), sides, seed), counted)


def _times(name: str, found: Sequence[Operation], sides: Sequence[_Side], seed: int) -> tuple[Change, ...]:
    first, second = (one.whole.response if sides[0].timed else one.whole.service for one in found)
    if first is None or second is None:
        return ()
    samples = min(first.count + first.never, second.count + second.never)
    pairs = [(first.at(share), second.at(share)) for share in SHARES]
    lacks = [
        None if all(one.sure for one in pair) else _too_few_samples(pair[0].share, samples, "sample") for pair in pairs
    ]
    values = [(pair[0].key, pair[0].value_s, pair[1].value_s) for pair in pairs]
    return _time_changes(values, lacks, [side.durations(name) for side in sides], SHARES, seed)


def compare_answers(before: RunLog, after: RunLog) -> tuple[AnswerTimes, ...]:
    """Compares the times of the operations that two runs used which were no load, in the order of their names.

    Times are those of answers that were no refusal.
    """
    first, second = _answers(before), _answers(after)
    blocks = [_Blocks(0, max((int(e.sent_at) + 1 for e in log.exchanges), default=1)) for log in (before, after)]
    return tuple(_answer_times(name, (first[name], second[name]), blocks) for name in sorted(first) if name in second)


def _answers(log: RunLog) -> dict[str, dict[int, Histogram]]:
    """By operation and the second in which they were asked for, how long answers took."""
    found: dict[str, dict[int, Histogram]] = defaultdict(lambda: defaultdict(Histogram))
    for exchange in log.exchanges:
        name = exchange.operation
        if name and name not in LASTING and exchange.response and 200 <= exchange.status < 300:
            found[name][int(exchange.sent_at)].add(exchange.elapsed_s)
    return found


def _answer_times(name: str, parts: Sequence[dict[int, Histogram]], blocks: Sequence[_Blocks]) -> AnswerTimes:
    first, second = (Histogram.merged(part.values()) for part in parts)
    samples = min(first.count, second.count)
    runs = [
        resampling.durations(((cut.of(at_s), one) for at_s, one in part.items()), cut.number)
        for part, cut in zip(parts, blocks, strict=True)
    ]
    values = [(f"p{100 * share:.0f}_s", first.quantile_s(share), second.quantile_s(share)) for share in ANSWER_SHARES]
    lacks = [_too_few_samples(share, samples, "answer") for share in ANSWER_SHARES]
    return AnswerTimes(name, (first.count, second.count), _time_changes(values, lacks, runs, ANSWER_SHARES, SEED))


def _too_few_samples(share: float, have: int, what: str) -> Lack | None:
    need = math.ceil(round(FEW / (1 - share), 6))
    return Lack(have, need, what) if have < need else None


def _too_few_blocks(runs: Iterable[Floats]) -> Lack | None:
    have = min(map(resampling.telling, runs))
    return Lack(have, resampling.FEWEST_BLOCKS, "block") if have < resampling.FEWEST_BLOCKS else None


def _time_changes(
    values: Sequence[tuple[str, float, float]],
    lacks: Sequence[Lack | None],
    runs: Sequence[Durations],
    shares: Sequence[float],
    seed: int,
) -> tuple[Change, ...]:
    """For each percentile its change, from its name and its value in either run in seconds."""
    strays = resampling.ratios(runs[0], runs[1], shares, seed)
    blocks = _too_few_blocks(run.counts for run in runs)
    found = []
    for (key, before, after), lack, stray in zip(values, lacks, strays, strict=True):
        apart, verdict = None, UNCERTAIN
        if lack or blocks:
            verdict = TOO_FEW
        elif before and after and all(map(math.isfinite, (*stray, before, after))):
            value = math.log(after / before)
            apart = Interval(*(math.expm1(bound) for bound in (value, value + stray[0], value + stray[1])))
            verdict = _verdict(apart, "faster", "slower", MATTERS)
        found.append(Change(key, before, after, apart, verdict, lack or blocks))
    return tuple(found)


def _verdict(apart: Interval, less: Verdict, more: Verdict, matters: float) -> Verdict:
    if not apart.has_zero:
        return more if apart.value > 0 else less
    return NOISE if -matters <= apart.low and apart.high <= matters else UNCERTAIN


def _count(statistic: str, name: str, sides: Sequence[_Side], seed: int) -> Change:
    sums = [_sums(statistic, name, side) for side in sides]
    before, after = (float(part.sum() / whole.sum()) if whole.sum() else 0.0 for part, whole in sums)
    seen = int(sum(part.sum() for part, _ in sums))
    lack = _too_few_blocks(whole for _, whole in sums)
    if 0 < seen < FEW and before != after:
        lack = Lack(seen, FEW, "event")
    if lack:
        return Change(statistic, before, after, None, TOO_FEW, lack)
    if not statistic.endswith("_per_s"):
        apart = resampling.shares_apart(sums[0], sums[1], seed)
        return Change(statistic, before, after, apart, _verdict(apart, "less", "more", MATTERS_POINTS))
    if before and after:
        apart = resampling.rates_apart(sums[0], sums[1], seed)
        return Change(statistic, before, after, apart, _verdict(apart, "less", "more", MATTERS))
    # From nothing to something no share leads; so many events are no chance.
    return Change(statistic, before, after, None, NOISE if before == after else "more" if after else "less")


def _sums(statistic: str, name: str, side: _Side) -> tuple[Floats, Floats]:
    """For each block what a statistic counts, and what it counts it among: requests sent, or seconds.

    A rate is that of the schedule: what is still polled afterwards makes a short run no slower than a long one.
    """
    part, sent, seconds = np.zeros((3, side.blocks.number))
    is_rate = statistic.endswith("_per_s")
    until_s = side.blocks.first_s + (side.scheduled_s if is_rate else side.blocks.seconds)
    for window in (window for window in side.windows(name) if window.at_s < until_s):
        kind = kind_of(window.outcome)
        part[side.blocks.of(window.at_s)] += window.count * (kind in _COUNTED[statistic])
        sent[side.blocks.of(window.at_s)] += window.count * (kind != "unsent")
    for at_s in range(side.blocks.first_s, until_s):
        seconds[side.blocks.of(at_s)] += 1
    return part, (seconds if is_rate else sent)


def mismatches(before: RunLog, after: RunLog) -> tuple[Mismatch, ...]:
    """What two load runs had not in common to do, in words, so that a difference may be its doing.

    What says nothing about the load is left out: a seed, the folder that a trace lies in, the port of a server on this
    machine, weights that come to the same shares, and options that the scenario or the model has no use for.
    """
    first, second = _work(before), _work(after)
    pairs = ((what, first.get(what, "–"), second.get(what, "–")) for what in (first | second))
    return tuple(Mismatch(*pair) for pair in pairs if pair[1] != pair[2])


def _work(log: RunLog) -> dict[str, str]:
    workload = log.workload
    assert workload is not None
    kind, _, path = workload.arrivals.partition(":")
    traced = f"trace {PurePath(path).name} of {sum(workload.scheduled.values()):,}"
    work = {
        "target": _target(log),
        "scenario": workload.scenario,
        "model": workload.model,
        "arrivals": traced if kind == "trace" else workload.arrivals,
        "duration": f"{workload.duration_s:g} s",
        "workers": str(workload.workers),
    }
    chosen = SCENARIOS.get(workload.scenario)
    for name, what in _OPTIONS.items():
        value = workload.options.get(name)
        heeded = workload.model == "closed" if name == "users" else not chosen or chosen.heeds(name.replace("_", "-"))
        if value is not None and heeded:
            work[what] = _mix(value) if isinstance(value, dict) else str(value)
    return work


def _target(log: RunLog) -> str:
    target = log.header.target
    # The embedded twin has another port each time, and is the same server all the same.
    if target.kind == "embedded":
        return "the embedded twin"
    return "a server on this machine" if is_loopback(urlsplit(target.url).hostname or "") else target.url


def _mix(weights: dict[str, float]) -> str:
    whole = sum(weights.values()) or 1.0
    return ", ".join(f"{name} {percentage(weight / whole)}" for name, weight in sorted(weights.items()) if weight)


# By option what people call it.
_OPTIONS = {
    "mix": "mix",
    "users": "clients",
    "builds": "builds",
    "watchers": "watchers of a build",
    "build_s": "seconds of a build",
    "lines": "lines of a followed build",
    "max_requests": "requests at most",
}
