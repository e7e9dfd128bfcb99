"""How fast reads may come without one being refused by the limiter that was found, though they come by chance; pure.

Each family is taken for one that is stricter: for its count in any window, or for a bucket.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.identity import Identity, Tier
from touchstone.loadgen.arrivals import exponentials

# Kept off the edge of what is measured.
_MARGIN = 0.95
# A schedule is like these: the longest trial, by several seeds.
_ARRIVALS, _SEEDS = 2_500, 4
_STEPS = 24
# The last window weighs as much as is left of it, which is more than what it holds where that came late.
_WEIGHED, _DECAYED = 0.8, 0.5

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a limiter lets a trial have.

    Attributes:
        rate_per_s: The highest mean rate; 0 where any may be refused.
        rest_s: Seconds without a read after which all of it is there again.
    """

    rate_per_s: float
    rest_s: float


@dataclass(frozen=True, slots=True)
class _Strict:
    """So many in any window, where *rate_per_s* is 0; else a bucket of so many that fills at that rate."""

    count: float
    window_s: float
    rate_per_s: float = 0.0

    def admits(self, due_s: Times) -> bool:
        """Whether none of these is refused."""
        if self.rate_per_s:
            owed = np.arange(len(due_s)) - self.rate_per_s * due_s
            return bool(np.max(owed - np.minimum.accumulate(owed)) + 1 <= self.count)
        count = math.floor(self.count)
        return count >= 1 and bool(np.all(due_s[count:] - due_s[:-count] > self.window_s))

    @property
    def most_per_s(self) -> float:
        """What it lets through in the long run."""
        return self.rate_per_s or self.count / self.window_s

    @property
    def full_s(self) -> float:
        """How long it takes until nothing is remembered."""
        return self.count / self.rate_per_s if self.rate_per_s else 2 * self.window_s


def ceiling(identity: Identity) -> Ceiling | None:
    """What the limiters that were found let a trial have; None where there is none that counts over time."""
    left = _MARGIN * (1 - min(identity.others_share.high, 0.95))
    strict = [found for tier in identity.tiers if (found := _strict(tier, left))]
    if not strict:
        return None
    return Ceiling(min(map(_highest, strict)), max(one.full_s for one in strict))


def _strict(tier: Tier, left: float) -> _Strict | None:
    numbers = tier.numbers
    match tier.family:
        case "fixed-window" | "sliding-log" | "sliding-counter":
            weighed = _WEIGHED if tier.family == "sliding-counter" else 1.0
            window_s = max(numbers["window_s"].high, numbers["block_s"].high if "block_s" in numbers else 0.0)
            return _Strict(weighed * left * numbers["limit"].low, window_s)
        case "decaying-counter":
            count, window_s = numbers["limit"].low, numbers["window_s"].high
            return _Strict(_DECAYED * left * count, window_s, _DECAYED * left * count / window_s)
        case "token-bucket" | "leaky-bucket":
            rate_per_s = left * _rate(tier)
            # What waits in a queue is answered late, and that is the limiter's doing.
            spared = "burst" if tier.family == "token-bucket" else "delay"
            at_once = numbers[spared].low if spared in numbers else 0.0
            return _Strict(max(left * at_once, 1.0), 0.0, rate_per_s)
        case "minimum-gap":
            return _Strict(1.0, 0.0, left / numbers["gap_s"].high)
    return None


def _rate(tier: Tier) -> float:
    numbers = tier.numbers
    if "rate_per_s" in numbers:
        return max(numbers["rate_per_s"].low, 1e-6)
    return numbers["limit"].low / numbers["window_s"].high


def _highest(strict: _Strict) -> float:
    """The highest rate at which none of some schedules is refused; 0 where that is next to nothing."""
    gaps = [exponentials(seed, 2 * _ARRIVALS)[:_ARRIVALS] for seed in range(_SEEDS)]
    low, high = 0.0, strict.most_per_s
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if all(strict.admits(sums / middle) for sums in gaps):
            low = middle
        else:
            high = middle
    return low if low > strict.most_per_s / 100 else 0.0
