"""What a probe says: which limiter it is, with which numbers, how sure that is, at what cost."""

from dataclasses import dataclass, field
from typing import Literal

Why = Literal["", "settled", "nothing left to learn", "budget", "interrupted"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, and where it lies with a probability of 95 %."""

    value: float  # Its median.
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tier:
    """One limiter."""

    family: str  # As `touchstone serve --rate` names it.
    text: str  # All of it, as `touchstone serve --rate` takes it.
    # limit (also of concurrency and builds), window_s, burst, rate_per_s, gap_s, block_s, delay; those that it has
    numbers: dict[str, Interval] = field(default_factory=dict)  # By name, such as ``limit``, ``window_s``, ``gap_s``.
    options: dict[str, str] = field(default_factory=dict)  # What sets it apart in its family: ``{"opens": "clock"}``.


@dataclass(frozen=True, slots=True)
class Runner:
    """A family, and how it stands."""

    family: str
    probability: float  # From 0 to 1.
    text: str  # The likeliest of its limiters.
    lost: str = ""  # Why it is not this one, in words; empty of the likeliest.


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent, or may be."""

    requests: int
    refused: int
    builds: int  # Starts that were accepted.
    seconds: float


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of the limiters of one operation."""

    tiers: tuple[Tier, ...]  # The limiters that a request has to pass, one or two; none where nothing was refused.
    families: tuple[Runner, ...]  # Every family that is still possible, the likeliest first.
    cost: Cost
    alike: tuple[str, ...] = ()  # Other texts that no request can tell from *tiers*.
    unlimited_to: int = 0  # Requests one after the other of which none was refused, where no rate was found.
    uncapped_to: int = 0  # Requests under way at once without a refusal that the rate does not explain; 0 for none.
    holds_to: int = 0  # Builds that were in flight at once without such a refusal; 0 for none.
    others_share: Interval = Interval(0.0, 0.0, 0.0)  # The share of what the limiter gives that somebody else takes.
    sure: bool = False  # Whether one family and its numbers stand out.
    why: Why = ""  # Why nothing more is asked; empty while more is.
    findings: tuple[str, ...] = ()  # Where an answer's own words disagree with how the limiter behaves, in words.
    notes: tuple[str, ...] = ()  # What else is to be known, in words.

    @property
    def text(self) -> str:
        """What `touchstone serve --rate` takes to be limited alike."""
        return "+".join(tier.text for tier in self.tiers) or "none"


@dataclass(frozen=True, slots=True)
class Step:
    """One stimulus, and what was known after it."""

    name: str  # What was sent, in words.
    at: float  # When it ended, in seconds on the clock of the run.
    bits: float  # What was to be learned from it, of all that was not known.
    families: dict[str, float]  # Probability of each family after it.
