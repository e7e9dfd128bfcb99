"""What a probe writes down: what it was to find out, what it sent, each answer, and what it came to.

All points in time are seconds on the clock of the run, which begins at `Probing.origin_utc`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from touchstone.facts.identity import Identity, Interval, Step
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus

# The percentile that is to stay within the limit, as the share of reads that may miss it.
MISS_SHARE = 0.01

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
    why: KneeWhy = ""
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


@dataclass(frozen=True, slots=True)
class Probing:
    """What a probe was to find out, and for how much.

    Attributes:
        operation: operationId of the requests whose limiter is looked for.
        terms: `touchstone.limiter.terms.Terms` as JSON values.
        origin_utc: Seconds since 1970 at run second 0. A probe that goes on later keeps the clock of its beginning.
        spent_s: Seconds that it had taken before it was interrupted; 0 where it was not.
        began_at: Run second at which it went on after that; 0 where it was not interrupted.
        knee: None where no knee is looked for.
    """

    operation: str
    seed: int
    terms: dict[str, Any]
    origin_utc: float
    spent_s: float = 0.0
    began_at: float = 0.0
    knee: KneeTerms | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """One stimulus that is about to be sent.

    Attributes:
        number: Which one of the probe, from 1.
    """

    number: int
    stimulus: Stimulus


@dataclass(frozen=True, slots=True)
class Answered:
    """One limited request and its answer.

    Attributes:
        stimulus: Number of its stimulus.
        status: 0 where no answer came.
        seq: ``seq`` of its exchange, whether that is kept or not.
        ref: The version that it was about.
    """

    stimulus: int
    answer: Answer
    status: int
    seq: int = 0
    ref: str = ""

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
    """One stimulus of which all is sent and answered, or that was cut short.

    Attributes:
        at: When that was.
        families: Probability of each family after it; empty where nothing is known.
        requests: Limited requests of the whole probe so far; *refused* of them were refused.
        builds: Builds that began so far, or may have.
    """

    stimulus: int
    at: float
    families: dict[str, float] = field(default_factory=dict)
    requests: int = 0
    refused: int = 0
    builds: int = 0


@dataclass(frozen=True, slots=True)
class Identified:
    """What a probe came to, also where it was cut short.

    Attributes:
        steps: One for each stimulus.
    """

    identity: Identity
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeStory:
    """All that a run log tells of a probe, each kind in the order in which it was written.

    Attributes:
        identified: What was said last; None where the probe was killed before it said anything.
        tried: Trials of the search for a knee.
        knee: What that came to; None where there was none, or it was killed before it said anything.
    """

    probing: Probing
    sent: tuple[Sending, ...] = ()
    answers: tuple[Answered, ...] = ()
    heard: tuple[Heard, ...] = ()
    identified: Identified | None = None
    tried: tuple[Tried, ...] = ()
    knee: Knee | None = None

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
