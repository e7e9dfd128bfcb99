"""Result of a probe: the identified limiter, its parameters, their certainty, and the cost."""

import math
from dataclasses import dataclass, field
from typing import Literal

Why = Literal["", "settled", "nothing left to learn", "budget", "interrupted"]

_Z = 1.959964  # quantile of the normal distribution, for intervals of 95 %


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimated number and its 95 % interval."""

    value: float  # Median of the estimate.
    low: float
    high: float

    @classmethod
    def of_share(cls, share: float, count: float) -> "Interval":
        """A share of *count* observations, with its interval (E. B. Wilson, 1927)."""
        squared = _Z * _Z / count
        middle = (share + squared / 2) / (1 + squared)
        half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
        return cls(share, max(0.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class Tier:
    """One of the limiters that a request must pass."""

    family: str  # Name as in `touchstone serve --rate`.
    text: str  # Family, parameters and options, in the form of `touchstone serve --rate`.
    # Names: limit (of a rate, concurrent requests or builds), window_s, burst, rate_per_s, gap_s, block_s, delay.
    numbers: dict[str, Interval] = field(default_factory=dict)  # Parameters by name.
    options: dict[str, str] = field(default_factory=dict)  # Options of the family, such as ``{"opens": "clock"}``.


@dataclass(frozen=True, slots=True)
class Runner:
    """A family of limiters that the target may use, and its probability."""

    family: str
    probability: float  # From 0 to 1.
    text: str  # The most likely limiter of this family.
    lost: str = ""  # Evidence against the family, as text; empty for the most likely family.


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a probe."""

    requests: int
    refused: int
    builds: int  # Accepted starts.
    seconds: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Identified limiters of one operation."""

    tiers: tuple[Tier, ...]  # Limiters that a request must pass, one or two; none if no request was rejected.
    families: tuple[Runner, ...]  # All families that are still possible, the most likely first.
    cost: Cost
    alike: tuple[str, ...] = ()  # Other limiters that no request can distinguish from *tiers*, as text.
    unlimited_to: int = 0  # Number of requests without a rejection, if no rate limit was found; else 0.
    uncapped_to: int = 0  # Most concurrent requests that were all accepted; 0 if none were sent.
    holds_to: int = 0  # Most builds in flight at once; 0 if the probe cancelled each build immediately.
    refused_for_s: float = 0.0  # Longest time from a refusal to the next acceptance, or to the end; 0: no refusal.
    others_share: Interval = Interval(0.0, 0.0, 0.0)  # Share of the limit that other clients use.
    sure: bool = False  # Whether the result is certain: one family and its parameters stand out.
    why: Why = ""  # Why the probe stopped; empty while it runs.
    findings: tuple[str, ...] = ()  # Where responses contradict the limiter, as sentences.
    notes: tuple[str, ...] = ()  # Other remarks, as sentences.

    @property
    def text(self) -> str:
        """The limiters in the form of `touchstone serve --rate`."""
        return "+".join(tier.text for tier in self.tiers) or "none"


@dataclass(frozen=True, slots=True)
class Step:
    """One stimulus (a group of requests), and the probabilities after its responses."""

    name: str  # Description of the stimulus.
    at: float  # End of the stimulus, in seconds since the start of the run.
    bits: float  # Expected information gain in bits.
    families: dict[str, float]  # Probability of each family after the stimulus.
