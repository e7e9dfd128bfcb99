"""What is different between two load runs beyond noise, operation by operation; pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from touchstone.facts.events import RunLog
from touchstone.facts.sample import Histogram, Window
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import FEW, Metrics, Operation, Percentile, metrics
from touchstone.loadgen.outcomes import Kind, kind_of
from touchstone.loadgen.totals import ALL, LASTING, is_timed
from touchstone.loadgen.workloads import AT_ONCE
from touchstone.report import resampling
from touchstone.report.compare_workloads import Mismatch, mismatches
from touchstone.report.resampling import Floats, Interval

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
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
class LoadComparison:
    """Two load runs beside each other.

    Attributes:
        operations: All of them together first, then each that one of the runs used.
        mismatches: Empty where the two had the same to do.
        timed: Whether times are response times; in a closed model there are service times only.
        block_s: Seconds in a block of either run; see `touchstone.resampling`.
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
class _Side:
    """One run, cut into blocks.

    Attributes:
        scheduled_s: For how many of its seconds arrivals were scheduled; all of them where all arrive at once.
    """

    log: RunLog
    numbers: Metrics
    timed: bool
    first_s: int
    seconds: int
    block_s: int
    scheduled_s: int

    @property
    def blocks(self) -> int:
        # Seconds left over at the end are part of the last whole block: a short one would look like a lull.
        return max(1, self.seconds // self.block_s)

    def block(self, at_s: int) -> int:
        return min((at_s - self.first_s) // self.block_s, self.blocks - 1)

    def windows(self, operation: str) -> list[Window]:
        return [window for window in self.log.windows if operation in (ALL, window.operation)]

    def operation(self, name: str) -> Operation | None:
        if name == ALL:
            return self.numbers.total
        return next((one for one in self.numbers.operations if one.name == name), None)


def compare_loads(before: RunLog, after: RunLog) -> LoadComparison:
    """Compares two load runs."""
    first, second = before.workload, after.workload
    assert first is not None
    assert second is not None
    timed = first.model == second.model == "open"
    sides = [_side(log, timed=timed) for log in (before, after)]
    names = sorted({one.name for side in sides for one in side.numbers.operations})
    return LoadComparison(
        before=sides[0].numbers,
        after=sides[1].numbers,
        operations=tuple(_operation(name, sides, SEED + 10 * place) for place, name in enumerate([ALL, *names])),
        capacities=(capacity(before), capacity(after)),
        mismatches=mismatches(before, after),
        timed=timed,
        block_s=(sides[0].block_s, sides[1].block_s),
        rated_s=(sides[0].scheduled_s, sides[1].scheduled_s),
    )


def _side(log: RunLog, *, timed: bool) -> _Side:
    at_s = [window.at_s for window in log.windows] or [0]
    seconds = max(at_s) - min(at_s) + 1
    planned = log.workload
    scheduled_s = seconds
    if planned is not None and planned.arrivals != AT_ONCE:
        scheduled_s = min(seconds, math.ceil(planned.duration_s))
    return _Side(log, metrics(log), timed, min(at_s), seconds, resampling.block_s(seconds), scheduled_s)


def _operation(name: str, sides: Sequence[_Side], seed: int) -> OperationChange:
    before, after = (side.operation(name) for side in sides)
    return OperationChange(name, before, after, _times(name, sides, seed), _counts(name, sides, seed))


def _times(name: str, sides: Sequence[_Side], seed: int) -> tuple[Change, ...]:
    found, timed = [side.operation(name) for side in sides], sides[0].timed
    whole = [one.whole if one else None for one in found]
    kinds = [(one.response if timed else one.service) if one else None for one in whole]
    if kinds[0] is None or kinds[1] is None:
        return ()
    pairs = [(kinds[0].at(share), kinds[1].at(share)) for share in SHARES]
    samples = min(kind.count + kind.never for kind in kinds if kind)
    runs = [resampling.durations(_durations(name, side), side.blocks) for side in sides]
    blocks = _too_few_blocks(run.counts for run in runs)
    strays = resampling.ratios(runs[0], runs[1], SHARES, seed)
    return tuple(
        _time(*pair, stray, _too_few_samples(pair, samples) or blocks)
        for pair, stray in zip(pairs, strays, strict=True)
    )


def _durations(name: str, side: _Side) -> Iterable[tuple[int, Histogram]]:
    for window in side.windows(name):
        if is_timed(window) and not (name == ALL and window.operation in LASTING):
            yield side.block(window.at_s), window.response if side.timed else window.service


def _too_few_blocks(counted: Iterable[Floats]) -> Lack | None:
    have = min(map(resampling.telling, counted))
    return Lack(have, resampling.FEWEST_BLOCKS, "block") if have < resampling.FEWEST_BLOCKS else None


def _too_few_samples(pair: tuple[Percentile, Percentile], have: int) -> Lack | None:
    need = math.ceil(round(FEW / (1 - pair[0].share), 6))
    return None if all(one.sure for one in pair) else Lack(have, need, "sample")


def _time(before: Percentile, after: Percentile, stray: tuple[float, float], lack: Lack | None) -> Change:
    values = (before.value_s, after.value_s)
    if lack:
        return Change(before.key, *values, None, TOO_FEW, lack)
    if not all(values) or not all(map(math.isfinite, (*stray, *values))):
        return Change(before.key, *values, None, UNCERTAIN)
    value = math.log(after.value_s / before.value_s)
    apart = Interval(*(math.expm1(bound) for bound in (value, value + stray[0], value + stray[1])))
    return Change(before.key, *values, apart, _verdict(apart, "faster", "slower", MATTERS))


def _verdict(apart: Interval, less: Verdict, more: Verdict, matters: float) -> Verdict:
    if not apart.has_zero:
        return more if apart.value > 0 else less
    return NOISE if -matters <= apart.low and apart.high <= matters else UNCERTAIN


def _counts(name: str, sides: Sequence[_Side], seed: int) -> tuple[Change, ...]:
    found = [side.operation(name) for side in sides]
    if found[0] is None or found[1] is None:
        return ()
    return tuple(_count(statistic, name, sides, seed) for statistic in _COUNTED)


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
    part, sent, seconds = np.zeros(side.blocks), np.zeros(side.blocks), np.zeros(side.blocks)
    is_rate = statistic.endswith("_per_s")
    until_s = side.first_s + (side.scheduled_s if is_rate else side.seconds)
    for window in (window for window in side.windows(name) if window.at_s < until_s):
        kind = kind_of(window.outcome)
        part[side.block(window.at_s)] += window.count * (kind in _COUNTED[statistic])
        sent[side.block(window.at_s)] += window.count * (kind != "unsent")
    for at_s in range(side.first_s, until_s):
        seconds[side.block(at_s)] += 1
    return part, (seconds if is_rate else sent)
