"""All that a report may tell about a probe, and about the knee that it looked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from touchstone.facts.identity import Cost, Identity, Interval, Step
from touchstone.facts.observed import Answer
from touchstone.facts.probe_events import Identified, Knee, ProbeStory, Tried
from touchstone.facts.wording import brief, figure, plural
from touchstone.limiter.knee import why_words
from touchstone.report.probe_advice import Advice, advice
from touchstone.report.probe_sentences import (
    describe_family,
    describe_free,
    describe_limiter,
    describe_numbers,
    describe_others,
    noun,
    sentence,
)

_NUMBER_NAMES = {
    "limit": "limit",
    "window_s": "window",
    "rate_per_s": "rate",
    "burst": "burst",
    "gap_s": "gap",
    "block_s": "shut for",
    "delay": "answered at once",
}


@dataclass(frozen=True, slots=True)
class KneeView:
    """A knee, ready to be reported.

    Attributes:
        tried: The trials, in order.
    """

    operation: str
    knee: Knee
    tried: tuple[Tried, ...]

    @property
    def limit(self) -> str:
        """What answers are to keep, such as ``p99 ≤ 100 ms``."""
        return f"p99 ≤ {brief(self.knee.slo_s)}"

    @property
    def sentence(self) -> str:
        """What was found."""
        knee = self.knee
        cost = f"{plural(knee.requests, 'request')}, {brief(knee.seconds, 2)}"
        if knee.is_known and knee.rate_per_s is not None:
            rate = knee.rate_per_s
            found = f"{figure(rate.value)} reads a second with {self.limit} ({figure(rate.low)}–{figure(rate.high)})"
            return f"knee of {self.operation}: {found}, confirmed by {knee.confirmed_by:,}; {cost}"
        kept = ""
        if knee.kept_per_s and knee.why not in ("rate-limited", "never"):
            kept = f"; up to {figure(knee.kept_per_s)} reads a second it was kept (p99 {brief(knee.kept_p99_s)})"
        return f"knee of {self.operation}: not known: {why_words(knee)}{kept}; {cost}"


@dataclass(frozen=True, slots=True)
class ProbeView:
    """A probe, ready to be reported.

    Attributes:
        operation: operationId of the requests.
        answers: In the order in which they were sent.
        failed: Answers that tell nothing of a limiter: no answer, or a failing server.
        steps: One for each stimulus.
        advice: What a client should do.
        knee: None where none was looked for.
    """

    operation: str
    answers: tuple[Answer, ...]
    failed: tuple[Answer, ...]
    identity: Identity
    steps: tuple[Step, ...]
    advice: Advice
    knee: KneeView | None = None

    @property
    def noun(self) -> str:
        """What one request is called."""
        return noun(self.operation)

    @property
    def sentence(self) -> str:
        """What was found."""
        return sentence(self.identity, self.operation)

    @property
    def limiter(self) -> str:
        """The limiter that was found, or the likeliest."""
        return describe_limiter(self.identity.tiers, self.noun)

    @property
    def tried(self) -> list[str]:
        """What was tried beside the limiter without finding a cap."""
        return list(describe_free(self.identity)) if self.identity.tiers else []

    @property
    def others(self) -> str:
        """What others take of the limit; empty where they take nothing."""
        return describe_others(self.identity.others_share)

    @property
    def numbers(self) -> Iterator[tuple[str, str, str, str]]:
        """A row for each number or option: its name, whose it is, its value, and its 95 % interval where it has one."""
        for tier in self.identity.tiers:
            family, values = describe_family(tier.family), describe_numbers(tier, self.noun)
            if "rate_per_s" in values:
                values.pop("window_s", None)  # which says the same of a bucket
            for name, value in values.items():
                yield _NUMBER_NAMES[name], family, value, _ends(name, tier.numbers[name])
            for name, value in tier.options.items():
                if name not in values:
                    yield name, family, value, ""


def _ends(name: str, number: Interval) -> str:
    if number.low == number.high:
        return "certain"
    unit = " a second" if name == "rate_per_s" else " s" if name.endswith("_s") else ""
    return f"{figure(number.low, 4)} to {figure(number.high, 4)}{unit}"


def probe_of(story: ProbeStory | None) -> ProbeView | None:
    """The view of what a run log tells of a probe; None where the run was none."""
    if story is None:
        return None
    heeded = [one.answer for one in story.answers if one.heeded]
    failed = [one.answer for one in story.answers if not one.heeded]
    operation = story.probing.operation
    found = story.identified or Identified(Identity((), (), _spent(heeded), why="interrupted"))
    return ProbeView(
        operation=operation,
        answers=tuple(sorted(heeded, key=lambda answer: (answer.sent_at, answer.stream))),
        failed=tuple(failed),
        identity=found.identity,
        steps=tuple(found.steps),
        advice=advice(found.identity, operation),
        knee=_knee_of(story),
    )


def _knee_of(story: ProbeStory) -> KneeView | None:
    """The view of its knee; of a search that was killed before it said anything, of its trials."""
    if story.probing.knee is None:
        return None
    requests = sum(each.outcome.sent for each in story.tried)
    seconds = sum(each.outcome.lasted_s for each in story.tried)
    knee = story.knee or Knee(story.probing.knee.slo_s, "interrupted", requests=requests, seconds=seconds)
    return KneeView(story.probing.operation, knee, tuple(story.tried))


def _spent(heeded: Sequence[Answer]) -> Cost:
    """What a probe cost that was killed before it said anything."""
    refused = sum(not answer.accepted for answer in heeded)
    took_s = max((a.done_at for a in heeded), default=0.0) - min((a.sent_at for a in heeded), default=0.0)
    return Cost(len(heeded), refused, len(heeded) - refused, took_s)
