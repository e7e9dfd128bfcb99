"""What a probe writes down: what it was to find out, what it sent, each answer, and what it came to.

All points in time are seconds on the clock of the run, which begins at `Probing.origin_utc`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from touchstone.facts.identity import Identity, Interval, Step
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus

MISS_SHARE = 0.01  # The percentile that is to stay within the limit, as the share of reads that may miss it.

Stage = Literal["capacity", "bracket", "confirm"]
Mark = Literal[
    "passed",
    "failed",
    "late",  # it failed, and the generator was too late for that to show anything of the target
    "refused",  # some were answered with 429: what follows is no latency
    "cut",  # it was cut short, and shows nothing
]
KneeWhy = Literal[
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
    """What is asked for, and what it may cost."""

    slo_s: float  # How long an answer may take, from the moment at which its read was due.
    most_requests: int  # Reads that may be sent for it.


@dataclass(frozen=True, slots=True)
class Trial:
    """Reads that come at one mean rate and know nothing of each other."""

    number: int  # Which one of the search, from 1.
    stage: Stage
    rate_per_s: float
    arrivals: int  # How many; a bound.
    seed: int  # Of their moments.
    most_missed: int | None = None  # It is stopped when more than so many have missed the limit; None where it is not.

    @property
    def lasts_s(self) -> float:
        """How long it is likely to take until the last one is due."""
        return self.arrivals / self.rate_per_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the reads of a trial. Times of answers count from when the read was due."""

    due: int  # Reads that came due before the trial ended, or was stopped.
    sent: int  # Those of them that were sent.
    slow: int = 0  # Answers that took longer than allowed.
    failed: int = 0  # No answer within the time-out, or a failing server.
    refused: int = 0  # Answers with 429.
    late: int = 0  # Reads that were sent later than a tenth of what an answer may take.
    late_p99_s: float = 0.0  # How late reads were sent.
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    due_per_s: float = 0.0  # Reads that came due a second, once the first answers were there.
    done_per_s: float = 0.0  # Answers a second over the same time, without those of a failing server.
    lasted_s: float = 0.0  # From the first moment to the last answer.
    blocks: tuple[tuple[int, int], ...] = ()  # By second: how many were due, and of these slow or failed.
    stopped: bool = False  # Whether it was stopped before all reads were due.
    began_at: float = 0.0  # Run second at which it began.
    barred: int = 0  # The status with which the target let the key not in; 0 where it did.

    @property
    def missed(self) -> int:
        """Reads that a user would not have had in time, whoever is to blame but the generator."""
        return self.slow + self.failed


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial that is over, and what it shows."""

    trial: Trial
    outcome: Outcome
    mark: Mark


@dataclass(frozen=True, slots=True)
class Knee:
    """What is known of a knee."""

    slo_s: float
    why: KneeWhy = ""  # Why nothing more is asked; empty while more is.
    rate_per_s: Interval | None = None  # Between a rate that is kept and the lowest that was not; None if unknown.
    capacity_per_s: float | None = None  # Answers a second where more was asked; None where that was not reached.
    kept_per_s: float = 0.0  # The highest rate at which a trial passed, with *kept_p99_s*; 0 where none did.
    kept_p99_s: float = 0.0
    last_per_s: float = 0.0  # The rate of the last trial.
    ceiling_per_s: float | None = None  # The highest rate of a trial that the limiter found allows; None for any.
    confirmed_by: int = 0  # Reads of the trial that confirmed the knee.
    missed: Interval | None = None  # The share of them that missed the limit.
    requests: int = 0  # Reads that were sent for it.
    seconds: float = 0.0  # How long the trials took.

    @property
    def is_known(self) -> bool:
        """Whether the knee is known."""
        return self.why == "confirmed"


@dataclass(frozen=True, slots=True)
class Probing:
    """What a probe was to find out, and for how much."""

    operation: str  # operationId of the requests whose limiter is looked for.
    seed: int
    terms: dict[str, Any]  # `touchstone.limiter.terms.Terms` as JSON values.
    origin_utc: float  # Seconds since 1970 at run second 0; kept where a probe goes on later.
    spent_s: float = 0.0  # Seconds that it had taken before it was interrupted; 0 where it was not.
    began_at: float = 0.0  # Run second at which it went on after that; 0 where it was not interrupted.
    knee: KneeTerms | None = None  # None where no knee is looked for.


@dataclass(frozen=True, slots=True)
class Sending:
    """One stimulus that is about to be sent."""

    number: int  # Which one of the probe, from 1.
    stimulus: Stimulus


@dataclass(frozen=True, slots=True)
class Answered:
    """One limited request and its answer."""

    stimulus: int  # Number of its stimulus.
    answer: Answer
    status: int  # 0 where no answer came.
    seq: int = 0  # ``seq`` of its exchange, whether that is kept or not.
    ref: str = ""  # The version that it was about.

    @property
    def heeded(self) -> bool:
        """Whether it tells of a limiter: it was let through, or refused with 429. A failing server tells nothing."""
        return self.answer.accepted or self.status == 429

    @property
    def may_have_begun(self) -> bool:
        """Whether a start may have begun a build: of one that was not answered nobody knows."""
        return self.answer.accepted or not self.status or self.status >= 500


@dataclass(frozen=True, slots=True)
class Heard:
    """One stimulus of which all is sent and answered, or that was cut short."""

    stimulus: int
    at: float  # When that was.
    families: dict[str, float] = field(default_factory=dict)  # Probability of each family; empty if unknown.
    requests: int = 0  # Limited requests of the whole probe so far; *refused* of them were refused.
    refused: int = 0
    builds: int = 0  # Builds that began so far, or may have.


@dataclass(frozen=True, slots=True)
class Identified:
    """What a probe came to, also where it was cut short."""

    identity: Identity
    steps: tuple[Step, ...] = ()  # One for each stimulus.


@dataclass(frozen=True, slots=True)
class ProbeStory:
    """All that a run log tells of a probe, each kind in the order in which it was written."""

    probing: Probing
    sent: tuple[Sending, ...] = ()
    answers: tuple[Answered, ...] = ()
    heard: tuple[Heard, ...] = ()
    identified: Identified | None = None  # What was said last; None where the probe was killed before it said anything.
    tried: tuple[Tried, ...] = ()  # Trials of the search for a knee.
    knee: Knee | None = None  # What that came to; None where there was none, or it was killed before it said anything.

    @property
    def finished(self) -> bool:
        """Whether the probe came to an end of its own, so that nothing is left to be sent."""
        if self.identified is None or self.identified.identity.why in ("", "interrupted"):
            return False
        return self.probing.knee is None or (self.knee is not None and self.knee.why not in ("", "interrupted"))

    def answers_to(self, number: int) -> tuple[Answer, ...]:
        """What the probe heard of the stimulus with this number."""
        return in_order(answered for answered in self.answers if answered.stimulus == number)

    @property
    def last_at(self) -> float:
        """When something was heard last."""
        times = [answered.answer.done_at for answered in self.answers]
        times += [tried.outcome.began_at + tried.outcome.lasted_s for tried in self.tried]
        return max(times, default=self.probing.began_at)


def in_order(answers: Iterable[Answered]) -> tuple[Answer, ...]:
    """What a probe hears of these answers, in the order in which their requests were sent."""
    heeded = (answered.answer for answered in answers if answered.heeded)
    return tuple(sorted(heeded, key=lambda answer: (answer.sent_at, answer.stream)))


def story(facts: Mapping[str, list[Any]]) -> ProbeStory | None:
    """What the facts of a run log, by the type of their events, tell of a probe; None where the run was none."""
    if not facts["probe"]:
        return None
    return ProbeStory(
        probing=facts["probe"][-1],
        sent=tuple(facts["stimulus"]),
        answers=tuple(facts["answer"]),
        heard=tuple(facts["heard"]),
        identified=facts["identity"][-1] if facts["identity"] else None,
        tried=tuple(facts["tried"]),
        knee=facts["knee"][-1] if facts["knee"] else None,
    )
