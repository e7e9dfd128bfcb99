"""What a probe writes down: what it was to find out, what it sent, each answer, and what it came to.

All points in time are seconds on the clock of the run, which begins at `Probing.origin_utc`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.facts.identity import Identity, Step
from touchstone.facts.knee_trials import Knee, Tried
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus


@dataclass(frozen=True, slots=True)
class Probing:
    """What a probe was to find out, and for how much.

    Attributes:
        operation: operationId of the requests whose limiter is looked for.
        terms: `touchstone.limiter.terms.Terms` as JSON values.
        origin_utc: Seconds since 1970 at run second 0. A probe that goes on later keeps the clock of its beginning.
        spent_s: Seconds that it had taken before it was interrupted; 0 where it was not.
        began_at: Run second at which it went on after that; 0 where it was not interrupted.
        knee: `touchstone.facts.knee_trials.KneeTerms` as JSON values; None where no knee is looked for.
    """

    operation: str
    seed: int
    terms: dict[str, Any]
    origin_utc: float
    spent_s: float = 0.0
    began_at: float = 0.0
    knee: dict[str, Any] | None = None


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
        stimulus: Number of the stimulus that it belongs to.
        answer: As the probe hears it, where it does: see *heeded*.
        status: 0 where no answer came.
        late_s: How much later it was sent than it was meant to be.
        seq: ``seq`` of its exchange, whether that is kept or not.
        ref: The version that it was about.
    """

    stimulus: int
    answer: Answer
    status: int
    late_s: float
    seq: int = 0
    ref: str = ""

    @property
    def heeded(self) -> bool:
        """Whether it tells of a limiter: it was let through, or refused with 429. A failing server tells nothing."""
        return self.answer.accepted or self.status == 429


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
