"""Confidence interval of a difference between two runs: a block bootstrap with a fixed seed; no I/O.

Requests of the same second are correlated, so a run is divided into blocks of seconds. In each of ROUNDS rounds, blocks
are drawn with replacement, and the difference is computed from them. The interval contains the middle 95 % of these
differences. If there are few blocks, Student's t widens the interval. Times and rates are compared by the logarithm of
their ratio, shares by their difference.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from touchstone.facts.identity import Interval
from touchstone.facts.sample import Histogram

ROUNDS = 1_000
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5
_MOST_BLOCKS = 400
_PER_E_FOLD = 400  # durations are counted in cells that are 0.25 % wide; values in reports come from finer cells

Floats = npt.NDArray[np.float64]


class Durations(NamedTuple):
    """Counts of durations in each block of a run."""

    counts: Floats  # rows are blocks, columns are durations
    lengths_s: Floats  # durations of the columns, ascending


def block_s(seconds: int) -> int:
    """Length of a block in seconds: the cube root of *seconds*, changed if that gives too few or too many blocks."""
    root = math.ceil(math.cbrt(seconds) - 1e-9)
    return max(1, min(root, seconds // FEWEST_BLOCKS), math.ceil(seconds / _MOST_BLOCKS))


def durations(parts: Iterable[tuple[int, Histogram]], blocks: int) -> Durations:
    """Counts durations by block; *parts* are pairs of a block number and a histogram."""
    cells = np.array([(b, edge, n) for b, part in parts for edge, n in part.cells.items()], dtype=np.float64)
    rows, edges, numbers = cells.reshape(-1, 3).T
    columns, places = np.unique(np.floor(np.log(np.maximum(edges, 1.0)) * _PER_E_FOLD), return_inverse=True)
    counts = np.zeros((blocks, len(columns)))
    np.add.at(counts, (rows.astype(int), places.ravel()), numbers)
    return Durations(counts, np.exp((columns + 0.5) / _PER_E_FOLD) / 1e9)


def quantiles_s(counts: Floats, lengths_s: Floats, shares: Sequence[float]) -> Floats:
    """Quantiles of each row of *counts* at *shares*, in seconds; NaN for an empty row."""
    sums = counts.cumsum(axis=1)
    ranks = np.maximum(np.ceil(sums[:, -1:] * np.array(shares) - 1e-9), 1.0)
    found = np.stack([lengths_s[np.argmax(sums >= ranks[:, [n]], axis=1)] for n in range(len(shares))], axis=1)
    found[sums[:, -1] == 0] = np.nan
    return found


def count_filled(blocks: Floats) -> int:
    """Number of blocks that are not empty."""
    return int(np.count_nonzero(blocks.reshape(len(blocks), -1).sum(axis=1)))


def ratios(before: Durations, after: Durations, shares: Sequence[float], seed: int) -> list[Interval]:
    """Relative change from the first run to the second of each percentile in *shares* (0.99 for p99); at least -1."""
    logs = [lambda sums, run=run: np.log(quantiles_s(sums, run.lengths_s, shares)) for run in (before, after)]
    return [Interval(*map(math.expm1, one)) for one in _apart((before.counts, after.counts), logs, seed)]


def shares_apart(before: Floats, after: Floats, seed: int) -> Interval:
    """Difference of two shares, from -1 to 1. Each row of the inputs is a block: number of events and of requests."""
    ((value, low, high),) = _apart((before, after), (_quotient, _quotient), seed)
    return Interval(value, max(low, -1.0), min(high, 1.0))


def rates_apart(before: Floats, after: Floats, seed: int) -> Interval:
    """Relative difference from the first rate to the second, never below -1; neither rate may be zero.

    If the blocks of a round have no events, they count as half an event, because zero has no logarithm.
    """
    halves = [0.5 / float(run[:, 1].sum()) for run in (before, after)]
    logs = [lambda sums, half=half: np.log(np.maximum(_quotient(sums), half)) for half in halves]
    (apart,) = _apart((before, after), logs, seed)
    return Interval(*map(math.expm1, apart))


def _quotient(sums: Floats) -> Floats:
    """First column divided by the second; NaN if the second is zero."""
    part, whole = sums[:, [0]], sums[:, [1]]
    found: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return found


def _apart(
    runs: Sequence[Floats], statistics: Sequence[Callable[[Floats], Floats]], seed: int
) -> list[Sequence[float]]:
    """Difference of each statistic between two runs, with its interval, which is infinite for fewer than two blocks."""
    strays, values = [], []
    for number, (run, statistic) in enumerate(zip(runs, statistics, strict=True)):
        chance = np.random.default_rng(seed + number)
        drawn = chance.multinomial(len(run), np.full(len(run), 1 / len(run)), size=ROUNDS) @ run
        values.append(statistic(run.sum(axis=0, keepdims=True)))
        strays.append(statistic(drawn) - values[-1])
    apart = np.nan_to_num(values[1] - values[0])[0]
    blocks = min(map(count_filled, runs))
    if blocks < 2:
        return [(float(value), -math.inf, math.inf) for value in apart]
    tail, freedom = (1 - CONFIDENCE) / 2, blocks - 1
    # For few blocks, Student's t (by a Cornish-Fisher expansion) over the normal z, times √(n / (n - 1)).
    z = NormalDist().inv_cdf(1 - tail)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    widening = t / z * math.sqrt(blocks / freedom)
    bounds = np.nanquantile(strays[1] - strays[0], [tail, 1 - tail], axis=0) * widening
    low, high = apart + np.minimum(bounds[0], 0.0), apart + np.maximum(bounds[1], 0.0)
    return [list(map(float, one)) for one in zip(apart, low, high, strict=True)]
