"""Whether a target answers more slowly or faster in a second run that was no load, operation by operation; pure.

Times are those of answers that were no refusal. What varied within each run is noise, as for loads; another machine or
a busy neighbour is not in it, and so a difference may come from that.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

from touchstone.facts.events import RunLog
from touchstone.facts.sample import Histogram
from touchstone.loadgen.metrics import FEW
from touchstone.loadgen.totals import LASTING
from touchstone.report import resampling
from touchstone.report.compare_loads import MATTERS, NOISE, SEED, TOO_FEW, UNCERTAIN, Change, Lack
from touchstone.report.resampling import Durations, Interval

SHARES = (0.5, 0.9)


@dataclass(frozen=True, slots=True)
class AnswerTimes:
    """The times of one operation in two runs.

    Attributes:
        counts: How many answers there are in either.
        changes: One for each of SHARES.
    """

    operation: str
    counts: tuple[int, int]
    changes: tuple[Change, ...]

    @property
    def differ(self) -> bool:
        """Whether any of them differs beyond noise."""
        return any(change.verdict not in (NOISE, UNCERTAIN, TOO_FEW) for change in self.changes)


@dataclass(frozen=True, slots=True)
class _Side:
    """The answers of one operation in one run, by the second in which they were asked for."""

    seconds: int
    parts: dict[int, Histogram]

    @property
    def count(self) -> int:
        return sum(sum(part.cells.values()) for part in self.parts.values())

    def durations(self) -> Durations:
        length_s = resampling.block_s(self.seconds)
        pieces = ((at_s // length_s, part) for at_s, part in self.parts.items())
        return resampling.durations(pieces, math.ceil(self.seconds / length_s))


def compare_answers(before: RunLog, after: RunLog) -> tuple[AnswerTimes, ...]:
    """Compares the times of the operations that both runs used, in the order of their names."""
    first, second = _sides(before), _sides(after)
    return tuple(_compared(name, first[name], second[name]) for name in sorted(first) if name in second)


def _sides(log: RunLog) -> dict[str, _Side]:
    parts: dict[str, dict[int, Histogram]] = defaultdict(lambda: defaultdict(Histogram))
    seconds = 1
    for exchange in log.exchanges:
        seconds = max(seconds, int(exchange.sent_at) + 1)
        name = exchange.operation
        if name and name not in LASTING and exchange.response and 200 <= exchange.status < 300:
            parts[name][int(exchange.sent_at)].add(exchange.elapsed_s)
    return {name: _Side(seconds, dict(found)) for name, found in parts.items()}


def _compared(name: str, before: _Side, after: _Side) -> AnswerTimes:
    counts, runs = (before.count, after.count), (before.durations(), after.durations())
    values = [resampling.quantiles_s(run.counts.sum(axis=0, keepdims=True), run.lengths_s, SHARES)[0] for run in runs]
    blocks = min(resampling.telling(run.counts) for run in runs)
    strays = resampling.ratios(*runs, SHARES, SEED)
    changes = []
    for number, share in enumerate(SHARES):
        need = math.ceil(round(FEW / (1 - share), 6))
        lack = Lack(min(counts), need, "answer") if min(counts) < need else None
        if blocks < resampling.FEWEST_BLOCKS:
            lack = lack or Lack(blocks, resampling.FEWEST_BLOCKS, "block")
        pair = (float(values[0][number]), float(values[1][number]))
        changes.append(_change(f"p{100 * share:.0f}_s", pair, strays[number], lack))
    return AnswerTimes(name, counts, tuple(changes))


def _change(statistic: str, pair: tuple[float, float], stray: tuple[float, float], lack: Lack | None) -> Change:
    if lack:
        return Change(statistic, *pair, None, TOO_FEW, lack)
    value = math.log(pair[1] / pair[0])
    if not all(map(math.isfinite, (value, *stray))):
        return Change(statistic, *pair, None, UNCERTAIN)
    apart = Interval(*(math.expm1(bound) for bound in (value, value + stray[0], value + stray[1])))
    if not apart.has_zero:
        return Change(statistic, *pair, apart, "slower" if apart.value > 0 else "faster")
    return Change(statistic, *pair, apart, NOISE if apart.low >= -MATTERS and apart.high <= MATTERS else UNCERTAIN)
