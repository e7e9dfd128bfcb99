"""
How far a difference between two runs may be chance: a bootstrap over blocks of seconds; pure, and the same every time.

Requests of one second share their fate, so whole blocks of seconds are drawn, not single requests: each run is cut into
blocks of about the cube root of its length, as many blocks as it has are drawn anew with replacement, ROUNDS times, and
what the difference comes to in all but the outermost 5 % of the rounds is the interval. Few blocks know little of how
much blocks vary; the interval is widened for that by Student's t. Blocks that hold nothing tell nothing, and do not
count as blocks there.

Times and rates are compared by the logarithm of their quotient, so that nothing becomes less by more than 100 %; shares
by their difference, which ends at one. An interval holds the difference that was measured.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from touchstone.facts.sample import Histogram

ROUNDS = 1_000
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5
_MOST_BLOCKS = 400
_PER_E_FOLD = 400  # durations are told apart by a quarter of a per cent; what is reported comes from finer cells

_HALF = 0.5

Floats = npt.NDArray[np.float64]
# Of one run, for each block what is counted, and what it is counted among.
Counted = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference, and the bounds that it lies within unless chance played an uncommon trick."""

    value: float
    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """Whether no difference at all lies within."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True, slots=True)
class Durations:
    """How many durations of which length each block of a run holds.

    Attributes:
        counts: A row for each block, a column for each length.
        lengths_s: Of the columns, ascending.
    """

    counts: Floats
    lengths_s: Floats


def block_s(seconds: int) -> int:
    """
    How many seconds a block of a run of so many seconds has; a short run is cut finer, so that it has enough blocks.
    """
    root = math.ceil(math.cbrt(seconds) - 1e-9)
    return max(1, min(root, seconds // FEWEST_BLOCKS), math.ceil(seconds / _MOST_BLOCKS))


def durations(parts: Iterable[tuple[int, Histogram]], blocks: int) -> Durations:
    """The durations of histograms, each with the number of its block."""
    rows: list[int] = []
    edges: list[int] = []
    numbers: list[int] = []
    for block, histogram in parts:
        rows += [block] * len(histogram.cells)
        edges += histogram.cells.keys()
        numbers += histogram.cells.values()
    grains = np.floor(np.log(np.maximum(np.array(edges, dtype=np.float64), 1.0)) * _PER_E_FOLD)
    columns, places = np.unique(grains, return_inverse=True)
    flat = np.array(rows, dtype=np.int64) * len(columns) + places.ravel()
    summed = np.bincount(flat, weights=np.array(numbers, dtype=np.float64), minlength=blocks * len(columns))
    counts = summed.astype(np.float64).reshape(blocks, len(columns))
    return Durations(counts, np.exp((columns + 0.5) / _PER_E_FOLD) / 1e9)


def weights(blocks: int, seed: int, rounds: int = ROUNDS) -> Floats:
    """How often each block is drawn in each round; a row for each round."""
    chance = np.random.default_rng(seed)
    return chance.multinomial(blocks, np.full(blocks, 1 / blocks), size=rounds).astype(np.float64)


def quantiles_s(counts: Floats, lengths_s: Floats, shares: Sequence[float]) -> Floats:
    """For each row of *counts* the durations that *shares* of it do not exceed; not a number for an empty row."""
    sums = counts.cumsum(axis=1)
    totals = sums[:, -1:]
    ranks = np.maximum(np.ceil(totals * np.array(shares) - 1e-9), 1.0)
    found = np.stack([lengths_s[np.argmax(sums >= ranks[:, [n]], axis=1)] for n in range(len(shares))], axis=1)
    found[totals[:, 0] == 0] = np.nan
    return found


def telling(counted: Floats) -> int:
    """How many blocks hold anything."""
    return int(np.count_nonzero(counted if counted.ndim == 1 else counted.sum(axis=1)))


def ratios(
    before: Durations, after: Durations, shares: Sequence[float], seed: int, rounds: int = ROUNDS
) -> list[tuple[float, float]]:
    """
    For each of *shares*, how far the logarithm of the quotient of the quantiles strays: below and above its value.
    """
    strays = [_strayed(run, shares, seed + number, rounds) for number, run in enumerate((before, after))]
    return _middle(strays[1] - strays[0], min(telling(before.counts), telling(after.counts)))


def _strayed(run: Durations, shares: Sequence[float], seed: int, rounds: int) -> Floats:
    drawn = weights(len(run.counts), seed, rounds) @ run.counts
    whole = quantiles_s(run.counts.sum(axis=0, keepdims=True), run.lengths_s, shares)
    strayed: Floats = np.log(quantiles_s(drawn, run.lengths_s, shares)) - np.log(whole)
    return strayed


def shares_apart(before: Counted, after: Counted, seed: int) -> Interval:
    """The difference of two shares, from -1 to 1."""
    values = [_whole(*run) for run in (before, after)]
    drawn = [_drawn(*run, seed + number) for number, run in enumerate((before, after))]
    ((low, high),) = _middle((drawn[1] - values[1]) - (drawn[0] - values[0]), _telling(before, after))
    apart = values[1] - values[0]
    return Interval(apart, max(apart + low, -1.0), min(apart + high, 1.0))


def rates_apart(before: Counted, after: Counted, seed: int) -> Interval:
    """By what share of the first of two rates, neither of which is zero, the second is larger; never below -1.

    A round in which nothing was counted stands for half of one, since a logarithm knows no zero.
    """
    values = [_whole(*run) for run in (before, after)]
    logs = []
    for number, (part, whole) in enumerate((before, after)):
        least = _HALF / float(whole.sum())
        logs.append(np.log(np.maximum(_drawn(part, whole, seed + number), least)) - math.log(values[number]))
    ((low, high),) = _middle(logs[1] - logs[0], _telling(before, after))
    apart = math.log(values[1] / values[0])
    return Interval(*(math.expm1(bound) for bound in (apart, apart + low, apart + high)))


def _whole(part: Floats, whole: Floats) -> float:
    return float(part.sum() / whole.sum()) if whole.sum() else 0.0


def _drawn(part: Floats, whole: Floats, seed: int) -> Floats:
    """What the quotient comes to in each round; not a number where its blocks hold nothing to count among."""
    rounds = weights(len(part), seed)
    among: Floats = rounds @ whole
    found: Floats = np.divide(rounds @ part, among, out=np.full(len(among), np.nan), where=among > 0)
    return found


def _telling(before: Counted, after: Counted) -> int:
    return min(telling(whole) for _, whole in (before, after))


def _middle(rounds: Floats, blocks: int) -> list[tuple[float, float]]:
    """Of each column, the bounds of what is not outermost, as wide as so few blocks make them.

    The difference that was measured, which strays by nothing, is within them however skewed the rounds are.
    """
    tail = (1 - CONFIDENCE) / 2
    columns = rounds.reshape(len(rounds), -1)
    if blocks < 2:  # they vary by nobody knows how much
        return [(-math.inf, math.inf)] * columns.shape[1]
    factor = _widening(blocks)
    bounds = np.nanquantile(columns, [tail, 1 - tail], axis=0) * factor
    return [(min(float(low), 0.0), max(float(high), 0.0)) for low, high in bounds.T]


def _widening(blocks: int) -> float:
    """How much wider an interval from so few blocks has to be.

    Student's t stands for the normal z, by the expansion of Cornish and Fisher, and n - 1 for n.
    """
    z, freedom = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), blocks - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return t / z * math.sqrt(blocks / freedom)
