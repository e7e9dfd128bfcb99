"""What the search for a knee asks for and is told: trials at one rate each, what became of them, and what is known."""

from dataclasses import dataclass
from typing import Literal

from touchstone.facts.identity import Interval

# The percentile that is to stay within the limit, as the share of reads that may miss it.
MISS_SHARE = 0.01

Stage = Literal["capacity", "bracket", "confirm"]
Mark = Literal[
    "passed",
    "failed",
    "late",  # it failed, and the generator was too late for that to tell of the target
    "refused",  # some were answered with 429: what follows is no latency
    "cut",  # it was cut short, and tells nothing
]
Why = Literal[
    "",
    "confirmed",
    "generator-limited",
    "rate-limited",
    "out of reach",
    "requests",
    "seconds",
    "never",
    "unsteady",
    "unsettled",
    "failing",
    "interrupted",
]


@dataclass(frozen=True, slots=True)
class KneeTerms:
    """What is asked for, and what it may cost.

    Attributes:
        slo_s: How long an answer may take, from the moment at which its read was due.
        most_requests: Reads that may be sent for it.
    """

    slo_s: float
    most_requests: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Reads that come at one mean rate and know nothing of each other.

    Attributes:
        number: Which one of the search, from 1.
        arrivals: How many; a bound.
        seed: Of their moments.
        most_missed: It is stopped when more than so many have missed the limit; None where it is not.
    """

    number: int
    stage: Stage
    rate_per_s: float
    arrivals: int
    seed: int
    most_missed: int | None = None

    @property
    def lasts_s(self) -> float:
        """How long it is likely to take until the last one is due."""
        return self.arrivals / self.rate_per_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the reads of a trial. Times of answers count from when the read was due.

    Attributes:
        due: Reads that came due before the trial ended, or was stopped.
        sent: Those of them that were sent.
        slow: Answers that took longer than allowed.
        failed: No answer within the time-out, or a failing server.
        refused: Answers with 429.
        late: Reads that were sent later than a tenth of what an answer may take.
        late_p99_s: How late reads were sent.
        due_per_s: Reads that came due a second, once the first answers were there.
        done_per_s: Answers a second over the same time, without those of a failing server.
        lasted_s: From the first moment to the last answer.
        blocks: For each second of the trial, how many were due in it and how many of these were slow or failed.
        stopped: Whether it was stopped before all reads were due.
        began_at: Run second at which it began.
        barred: The status with which the target let the key not in; 0 where it did.
    """

    due: int
    sent: int
    slow: int = 0
    failed: int = 0
    refused: int = 0
    late: int = 0
    late_p99_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    due_per_s: float = 0.0
    done_per_s: float = 0.0
    lasted_s: float = 0.0
    blocks: tuple[tuple[int, int], ...] = ()
    stopped: bool = False
    began_at: float = 0.0
    barred: int = 0

    @property
    def missed(self) -> int:
        """Reads that a user would not have had in time, whoever is to blame but the generator."""
        return self.slow + self.failed


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial that is over, and what it tells."""

    trial: Trial
    outcome: Outcome
    mark: Mark


@dataclass(frozen=True, slots=True)
class Knee:
    """What is known of a knee.

    Attributes:
        rate_per_s: The knee, between a rate that is kept for sure and the lowest one that was not; None where it is not
            told.
        why: Why nothing more is asked; empty while more is.
        capacity_per_s: Answers a second where more was asked than the target can; None where that was not reached.
        kept_per_s: The highest rate at which a trial passed; 0 where none did. *kept_p99_s* is the latency there.
        last_per_s: The rate of the last trial.
        ceiling_per_s: The highest rate that the limiter that was found lets a trial have; None for any.
        confirmed_by: Reads of the trial that confirmed the knee.
        missed: The share of them that missed the limit.
        requests: Reads that were sent for it.
        seconds: How long the trials took.
    """

    slo_s: float
    why: Why = ""
    rate_per_s: Interval | None = None
    capacity_per_s: float | None = None
    kept_per_s: float = 0.0
    kept_p99_s: float = 0.0
    last_per_s: float = 0.0
    ceiling_per_s: float | None = None
    confirmed_by: int = 0
    missed: Interval | None = None
    requests: int = 0
    seconds: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the knee is known."""
        return self.why == "confirmed"
