"""
What is different between two load runs beyond noise, operation by operation; pure.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from touchstone import resampling
from touchstone.capacity import Capacity, capacity
from touchstone.histogram import Histogram
from touchstone.loadfacts import Workload
from touchstone.metrics import FEW, Metrics, Operation, Percentile, metrics
from touchstone.outcomes import Kind, kind_of
from touchstone.resampling import Floats, Interval
from touchstone.runfacts import RunLog
from touchstone.sample import Window
from touchstone.totals import ALL, LASTING, is_timed
from touchstone.workloads import AT_ONCE

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
SEED = 1

Verdict = Literal["slower", "faster", "more", "less", "no difference beyond noise", "too few samples"]
NOISE: Verdict = "no difference beyond noise"
TOO_FEW: Verdict = "too few samples"
_COUNTED: dict[str, tuple[Kind, ...]] = {
    "throughput_per_s": ("served",),
    "error_share": ("error",),
    "refused_share": ("refused",),
}


@dataclass(frozen=True, slots=True)
class Change:
    """
    One statistic in two runs.

    Attributes:
        statistic: Its name with its unit.
        before: In the first run; None where it cannot be told, as is *after*.
        apart: How far they are apart, with its interval: of times and rates as a share of *before*, of shares as they
            are; None where that cannot be told.
        verdict: What is to be said of it.
    """

    statistic: str
    before: float | None
    after: float | None
    apart: Interval | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class OperationChange:
    """
    One operation in two runs; it is missing where a run never used it.
    """

    name: str
    before: Operation | None
    after: Operation | None
    times: tuple[Change, ...]
    counted: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """
    Something that the two workloads have not in common, in words, so that a difference may be its doing.
    """

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LoadComparison:
    """
    Two load runs beside each other.

    Attributes:
        operations: All of them together first, then each that one of the runs used.
        mismatches: Empty where the two had the same to do.
        timed: Whether times are response times; in a closed model there are service times only.
        block_s: Seconds in a block of either run; see `touchstone.resampling`.
    """

    before: Metrics
    after: Metrics
    operations: tuple[OperationChange, ...]
    capacities: tuple[Capacity | None, Capacity | None]
    mismatches: tuple[Mismatch, ...]
    timed: bool
    block_s: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Side:
    """
    One run, cut into blocks.

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
    """
    Compares two load runs.
    """
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
        mismatches=tuple(_mismatches(before, after, first, second)),
        timed=timed,
        block_s=(sides[0].block_s, sides[1].block_s),
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
    if any(side.blocks < resampling.FEWEST_BLOCKS for side in sides):
        return tuple(_unclear(*pair) for pair in pairs)
    runs = [resampling.durations(_durations(name, side), side.blocks) for side in sides]
    strays = resampling.ratios(runs[0], runs[1], SHARES, seed)
    return tuple(_time(*pair, stray) for pair, stray in zip(pairs, strays, strict=True))


def _durations(name: str, side: _Side) -> Iterable[tuple[int, Histogram]]:
    for window in side.windows(name):
        if is_timed(window) and not (name == ALL and window.operation in LASTING):
            yield side.block(window.at_s), window.response if side.timed else window.service


def _unclear(before: Percentile, after: Percentile) -> Change:
    return Change(before.key, before.value_s, after.value_s, None, TOO_FEW)


def _time(before: Percentile, after: Percentile, stray: tuple[float, float]) -> Change:
    values = (before.value_s, after.value_s)
    if not (before.sure and after.sure and all(values)) or not all(map(math.isfinite, (*stray, *values))):
        return _unclear(before, after)
    value = math.log(after.value_s / before.value_s)
    apart = Interval(math.expm1(value), math.expm1(value + stray[0]), math.expm1(value + stray[1]))
    verdict: Verdict = NOISE if apart.has_zero else "slower" if apart.value > 0 else "faster"
    return Change(before.key, before.value_s, after.value_s, apart, verdict)


def _counts(name: str, sides: Sequence[_Side], seed: int) -> tuple[Change, ...]:
    found = [side.operation(name) for side in sides]
    if found[0] is None or found[1] is None:
        return ()
    enough = all(side.blocks >= resampling.FEWEST_BLOCKS for side in sides)
    return tuple(_count(statistic, name, sides, seed, enough=enough) for statistic in _COUNTED)


def _count(statistic: str, name: str, sides: Sequence[_Side], seed: int, *, enough: bool) -> Change:
    sums = [_sums(statistic, name, side) for side in sides]
    values = [float(part.sum() / max(whole.sum(), 1e-12)) for part, whole in sums]
    seen = sum(part.sum() for part, _ in sums)
    if not enough or (0 < seen < FEW and values[0] != values[1]):
        return Change(statistic, values[0], values[1], None, TOO_FEW)
    apart = resampling.shares_apart(sums[0], sums[1], seed)
    if statistic.endswith("_per_s") and values[0]:
        apart = Interval(*(bound / values[0] for bound in (apart.value, apart.low, apart.high)))
    verdict: Verdict = NOISE if apart.has_zero else "more" if apart.value > 0 else "less"
    return Change(statistic, values[0], values[1], apart, verdict)


def _sums(statistic: str, name: str, side: _Side) -> tuple[Floats, Floats]:
    """
    For each block what a statistic counts, and what it counts it among: requests sent, or seconds.

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


def _target(log: RunLog) -> str:
    target = log.header.target
    # The embedded twin has another port each time, and is the same server all the same.
    return "the embedded twin" if target.kind == "embedded" else target.url


def _mismatches(before: RunLog, after: RunLog, first: Workload, second: Workload) -> Iterable[Mismatch]:
    pairs = (
        ("target", _target(before), _target(after)),
        ("scenario", first.scenario, second.scenario),
        ("model", first.model, second.model),
        ("engine", first.engine, second.engine),
        ("arrivals", first.arrivals, second.arrivals),
        ("duration", f"{first.duration_s:g} s", f"{second.duration_s:g} s"),
        ("workers", str(first.workers), str(second.workers)),
    )
    yield from (Mismatch(*pair) for pair in pairs if pair[1] != pair[2])
    told = {"scenario", "arrivals", "duration_s", "model", "engine", "seed"}
    for name in sorted({*first.options, *second.options} - told):
        old, new = first.options.get(name), second.options.get(name)
        if old != new:
            yield Mismatch(name, str(old), str(new))
