"""How far a difference between two runs may be chance: a block bootstrap with a fixed seed; pure.

Requests of one second share their fate, so blocks of about the cube root of a run's length are drawn with replacement,
ROUNDS times. The interval leaves out the outermost 5 %, and is widened for few blocks by Student's t. Times and rates
are compared by the logarithm of their quotient, shares by their difference.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from touchstone.facts.sample import Histogram

ROUNDS = 1_000
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5
_MOST_BLOCKS = 400
_PER_E_FOLD = 400  # cells of durations are a quarter of a per cent wide; what is reported comes from finer ones

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A difference, and the bounds that it lies within unless chance played an uncommon trick."""

    value: float
    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """Whether no difference at all lies within."""
        return self.low <= 0.0 <= self.high


class Durations(NamedTuple):
    """How many durations of which length each block of a run holds."""

    counts: Floats  # a row for each block, a column for each length
    lengths_s: Floats  # of the columns, ascending


def block_s(seconds: int) -> int:
    """How many seconds a block of a run of so many seconds has; a short run is cut finer, to have enough blocks."""
    root = math.ceil(math.cbrt(seconds) - 1e-9)
    return max(1, min(root, seconds // FEWEST_BLOCKS), math.ceil(seconds / _MOST_BLOCKS))


def durations(parts: Iterable[tuple[int, Histogram]], blocks: int) -> Durations:
    """The durations of histograms, each with the number of its block."""
    cells = np.array([(b, edge, n) for b, part in parts for edge, n in part.cells.items()], dtype=np.float64)
    rows, edges, numbers = cells.reshape(-1, 3).T
    columns, places = np.unique(np.floor(np.log(np.maximum(edges, 1.0)) * _PER_E_FOLD), return_inverse=True)
    counts = np.zeros((blocks, len(columns)))
    np.add.at(counts, (rows.astype(int), places.ravel()), numbers)
    return Durations(counts, np.exp((columns + 0.5) / _PER_E_FOLD) / 1e9)


def quantiles_s(counts: Floats, lengths_s: Floats, shares: Sequence[float]) -> Floats:
    """For each row of *counts* the durations that *shares* of it do not exceed; not a number for an empty row."""
    sums = counts.cumsum(axis=1)
    ranks = np.maximum(np.ceil(sums[:, -1:] * np.array(shares) - 1e-9), 1.0)
    found = np.stack([lengths_s[np.argmax(sums >= ranks[:, [n]], axis=1)] for n in range(len(shares))], axis=1)
    found[sums[:, -1] == 0] = np.nan
    return found


def telling(blocks: Floats) -> int:
    """How many blocks hold anything."""
    return int(np.count_nonzero(blocks.reshape(len(blocks), -1).sum(axis=1)))


def ratios(before: Durations, after: Durations, shares: Sequence[float], seed: int) -> list[Interval]:
    """For each of *shares*, by what share of the first of two quantiles the second is longer; never below -1."""
    logs = [lambda sums, run=run: np.log(quantiles_s(sums, run.lengths_s, shares)) for run in (before, after)]
    return [Interval(*map(math.expm1, one)) for one in _apart((before.counts, after.counts), logs, seed)]


def shares_apart(before: Floats, after: Floats, seed: int) -> Interval:
    """The difference of two shares, from -1 to 1; each block is what is counted, and what it is counted among."""
    ((value, low, high),) = _apart((before, after), (_quotient, _quotient), seed)
    return Interval(value, max(low, -1.0), min(high, 1.0))


def rates_apart(before: Floats, after: Floats, seed: int) -> Interval:
    """By what share of the first of two rates, neither of which is zero, the second is larger; never below -1.

    A round in which nothing was counted stands for half of one, since a logarithm knows no zero.
    """
    halves = [0.5 / float(run[:, 1].sum()) for run in (before, after)]
    logs = [lambda sums, half=half: np.log(np.maximum(_quotient(sums), half)) for half in halves]
    (apart,) = _apart((before, after), logs, seed)
    return Interval(*map(math.expm1, apart))


def _quotient(sums: Floats) -> Floats:
    """What was counted over what it was counted among; not a number where that is nothing."""
    part, whole = sums[:, [0]], sums[:, [1]]
    found: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return found


def _apart(runs: Sequence[Floats], statistics: Sequence[Callable[[Floats], Floats]], seed: int) -> list[Interval]:
    """How far each value of a statistic is apart in two runs; endless where blocks vary unknowably."""
    strays, values = [], []
    for number, (run, statistic) in enumerate(zip(runs, statistics, strict=True)):
        chance = np.random.default_rng(seed + number)
        drawn = chance.multinomial(len(run), np.full(len(run), 1 / len(run)), size=ROUNDS) @ run
        values.append(statistic(run.sum(axis=0, keepdims=True)))
        strays.append(statistic(drawn) - values[-1])
    apart = np.nan_to_num(values[1] - values[0])[0]
    blocks = min(map(telling, runs))
    if blocks < 2:
        return [Interval(float(value), -math.inf, math.inf) for value in apart]
    tail = (1 - CONFIDENCE) / 2
    bounds = np.nanquantile(strays[1] - strays[0], [tail, 1 - tail], axis=0) * _widening(blocks)
    low, high = apart + np.minimum(bounds[0], 0.0), apart + np.maximum(bounds[1], 0.0)
    return [Interval(*map(float, one)) for one in zip(apart, low, high, strict=True)]


def _widening(blocks: int) -> float:
    """Student's t over the normal z, by the expansion of Cornish and Fisher, and n - 1 for n."""
    z, freedom = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), blocks - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return t / z * math.sqrt(blocks / freedom)
