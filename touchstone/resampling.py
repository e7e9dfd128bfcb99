"""
How far a difference between two runs may be chance: a bootstrap over blocks of seconds; pure, and the same every time.

Requests of one second share their fate, so whole blocks of seconds are drawn, not single requests: each run is cut into
blocks of about the cube root of its length, as many blocks as it has are drawn anew with replacement, ROUNDS times, and
what the difference comes to in all but the outermost 5 % of the rounds is the interval. Few blocks know little of how
much blocks vary; the interval is widened for that by Student's t.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from touchstone.histogram import Histogram

ROUNDS = 1_000
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5
_MOST_BLOCKS = 400
_PER_E_FOLD = 400  # durations are told apart by a quarter of a per cent; what is reported comes from finer cells

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """
    A difference, and the bounds that it lies within unless chance played an uncommon trick.
    """

    value: float
    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """
        Whether no difference at all lies within.
        """
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True, slots=True)
class Durations:
    """
    How many durations of which length each block of a run holds.

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
    """
    The durations of histograms, each with the number of its block.
    """
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
    """
    How often each block is drawn in each round; a row for each round.
    """
    chance = np.random.default_rng(seed)
    return chance.multinomial(blocks, np.full(blocks, 1 / blocks), size=rounds).astype(np.float64)


def quantiles_s(counts: Floats, lengths_s: Floats, shares: Sequence[float]) -> Floats:
    """
    For each row of *counts* the durations that *shares* of it do not exceed; not a number for an empty row.
    """
    sums = counts.cumsum(axis=1)
    totals = sums[:, -1:]
    ranks = np.maximum(np.ceil(totals * np.array(shares) - 1e-9), 1.0)
    found = np.stack([lengths_s[np.argmax(sums >= ranks[:, [n]], axis=1)] for n in range(len(shares))], axis=1)
    found[totals[:, 0] == 0] = np.nan
    return found


def ratios(
    before: Durations, after: Durations, shares: Sequence[float], seed: int, rounds: int = ROUNDS
) -> list[tuple[float, float]]:
    """
    For each of *shares*, how far the logarithm of the quotient of the quantiles strays: below and above its value.
    """
    strays = [_strayed(run, shares, seed + number, rounds) for number, run in enumerate((before, after))]
    spread = strays[1] - strays[0]
    factor = _widening(min(len(before.counts), len(after.counts)))
    return [(low * factor, high * factor) for low, high in _middle(spread)]


def _strayed(run: Durations, shares: Sequence[float], seed: int, rounds: int) -> Floats:
    drawn = weights(len(run.counts), seed, rounds) @ run.counts
    whole = quantiles_s(run.counts.sum(axis=0, keepdims=True), run.lengths_s, shares)
    strayed: Floats = np.log(quantiles_s(drawn, run.lengths_s, shares)) - np.log(whole)
    return strayed


def shares_apart(before: tuple[Floats, Floats], after: tuple[Floats, Floats], seed: int) -> Interval:
    """
    The difference of two quotients, each of sums over the blocks of a run.

    Args:
        before: Of one run, for each block what is counted, and what it is counted among.
        after: The same of the other.
    """
    values, strays = [], []
    for number, (part, whole) in enumerate((before, after)):
        value = _quotient(part.sum(), whole.sum())
        drawn = weights(len(part), seed + number)
        values.append(float(value))
        strays.append(_quotient(drawn @ part, drawn @ whole) - value)
    factor = _widening(min(len(before[0]), len(after[0])))
    ((low, high),) = _middle((strays[1] - strays[0])[:, np.newaxis])
    apart = values[1] - values[0]
    return Interval(apart, apart + low * factor, apart + high * factor)


def _quotient(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.divide(part, np.maximum(whole, 1e-12))
    return found


def _middle(rounds: Floats) -> list[tuple[float, float]]:
    """
    Of each column, the bounds of what is not outermost.
    """
    tail = (1 - CONFIDENCE) / 2
    bounds = np.nanquantile(rounds, [tail, 1 - tail], axis=0)
    return [(float(low), float(high)) for low, high in bounds.T]


def _widening(blocks: int) -> float:
    """
    How much wider an interval from so few blocks has to be.

    Student's t stands for the normal z, by the expansion of Cornish and Fisher, and n - 1 for n.
    """
    z, freedom = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), blocks - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return t / z * math.sqrt(blocks / freedom)
