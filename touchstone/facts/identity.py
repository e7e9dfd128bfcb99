"""
What a probe says in the end, and on the way: which limiter it is, with which numbers, how sure that is, at what cost.
"""

from dataclasses import dataclass, field
from typing import Literal

Why = Literal["", "settled", "nothing left to learn", "budget", "interrupted"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, and where it lies with a probability of 95 %.

    Attributes:
        value: Its median.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tier:
    """One limiter.

    Attributes:
        family: As `touchstone serve --rate` names it.
        text: All of it, as `touchstone serve --rate` takes it.
        numbers: Each of its numbers by name: ``limit`` (also of ``concurrency`` and ``builds``), ``window_s``,
            ``burst``, ``rate_per_s``, ``gap_s``, ``block_s``, ``delay``; those that it has.
        options: What sets it apart from others of its family, as in *text*: ``{"opens": "clock"}``.
    """

    family: str
    text: str
    numbers: dict[str, Interval] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runner:
    """A family, and how it stands.

    Attributes:
        probability: From 0 to 1.
        text: The likeliest of its limiters.
        lost: Why it is not this one, in words; empty of the likeliest.
    """

    family: str
    probability: float
    text: str
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent, or may be.

    Attributes:
        builds: Starts that were accepted.
    """

    requests: int
    refused: int
    builds: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of the limiters of one operation.

    Attributes:
        tiers: The limiters that a request has to pass, one or two; none where nothing was refused.
        families: Every family that is still possible, the likeliest first.
        alike: Other texts that no request can tell from *tiers*.
        unlimited_to: Requests one after the other of which none was refused, where no rate was found.
        uncapped_to: Requests that were under way at once without a refusal that the rate does not explain; 0 for none.
        holds_to: Builds that were in flight at once without such a refusal; 0 for none.
        others_share: The share of what the limiter gives that somebody else takes.
        sure: Whether one family and its numbers stand out.
        why: Why nothing more is asked; empty while more is.
        findings: Where an answer's own words disagree with how the limiter behaves, in words.
        notes: What else is to be known, in words.
    """

    tiers: tuple[Tier, ...]
    families: tuple[Runner, ...]
    cost: Cost
    alike: tuple[str, ...] = ()
    unlimited_to: int = 0
    uncapped_to: int = 0
    holds_to: int = 0
    others_share: Interval = Interval(0.0, 0.0, 0.0)
    sure: bool = False
    why: Why = ""
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What `touchstone serve --rate` takes to be limited alike."""
        return "+".join(tier.text for tier in self.tiers) or "none"


@dataclass(frozen=True, slots=True)
class Step:
    """One stimulus, and what was known after it.

    Attributes:
        name: What was sent, in words.
        at: When it ended, in seconds on the clock of the run.
        bits: What was to be learned from it, of all that was not known.
        families: Probability of each family after it.
    """

    name: str
    at: float
    bits: float
    families: dict[str, float]
