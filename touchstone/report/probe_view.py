"""All that a report may tell about a probe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from touchstone.facts.figures import figure
from touchstone.facts.identity import Cost, Identity, Interval, Step
from touchstone.facts.knee_trials import Knee, Tried
from touchstone.facts.observed import Answer
from touchstone.report.knee_view import KneeView, knee_view
from touchstone.report.probe_advice import Advice, advice
from touchstone.report.probe_tier import Reading, readings
from touchstone.report.probe_words import family_words, lasting, plain_rate, rate_unit, rate_words, sentence
from touchstone.report.probe_words import noun as noun_of
from touchstone.rules.verdict import plural


class _Probing(Protocol):
    @property
    def operation(self) -> str: ...

    @property
    def knee(self) -> dict[str, Any] | None: ...


class _Answered(Protocol):
    @property
    def answer(self) -> Answer: ...

    @property
    def heeded(self) -> bool: ...


class _Identified(Protocol):
    @property
    def identity(self) -> Identity: ...

    @property
    def steps(self) -> tuple[Step, ...]: ...


class Story(Protocol):
    """What a run log tells of a probe: `touchstone.probefacts.ProbeStory`."""

    @property
    def probing(self) -> _Probing:
        """What it was to find out."""

    @property
    def answers(self) -> Iterable[_Answered]:
        """Each limited request and its answer."""

    @property
    def identified(self) -> _Identified | None:
        """What it came to; None where it was killed before it said anything."""

    @property
    def tried(self) -> Sequence[Tried]:
        """The trials of the search for a knee."""

    @property
    def knee(self) -> Knee | None:
        """What that came to; None where it was killed before it said anything, or there was none."""


@dataclass(frozen=True, slots=True)
class NumberLine:
    """One number of a limiter, ready to be told.

    Attributes:
        name: In words.
        value: With its unit.
        interval: Where it lies with a probability of 95 %, in that unit; empty where the probe does not say.
    """

    tier: str
    name: str
    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class ProbeView:
    """A probe, ready to be told.

    Attributes:
        operation: operationId of the requests.
        sentence: What was found.
        answers: In the order in which they were sent.
        failed: Answers that tell nothing of a limiter: no answer, or a failing server.
        steps: One for each stimulus.
        numbers: Those of the limiter that was found.
        advice: What a client should do.
        knee: None where none was looked for.
    """

    operation: str
    sentence: str
    answers: tuple[Answer, ...]
    failed: tuple[Answer, ...]
    identity: Identity
    steps: tuple[Step, ...]
    numbers: tuple[NumberLine, ...]
    advice: Advice
    knee: KneeView | None = None

    @property
    def noun(self) -> str:
        """What one request is called."""
        return noun_of(self.operation)


def probe_view(
    operation: str,
    answers: Sequence[Answer],
    identity: Identity,
    steps: Sequence[Step],
    failed: Sequence[Answer] = (),
) -> ProbeView:
    """The view of a probe."""
    ordered = tuple(sorted(answers, key=lambda answer: (answer.sent_at, answer.stream)))
    numbers = tuple(line for tier in readings(identity.tiers) for line in _lines(tier, noun_of(operation)))
    return ProbeView(
        operation,
        sentence(identity, operation),
        ordered,
        tuple(failed),
        identity,
        tuple(steps),
        numbers,
        advice(identity, operation),
    )


def told(story: Story | None) -> ProbeView | None:
    """The view of what a run log tells of a probe; None where the run was none."""
    if story is None:
        return None
    answered, found = list(story.answers), story.identified
    heard = [one.answer for one in answered if one.heeded]
    failed = [one.answer for one in answered if not one.heeded]
    operation, sought = story.probing.operation, story.probing.knee
    if found is None:
        view = probe_view(operation, heard, _unsaid(heard), (), failed)
    else:
        view = probe_view(operation, heard, found.identity, found.steps, failed)
    return replace(view, knee=knee_view(operation, story.knee, story.tried, sought["slo_s"])) if sought else view


def _unsaid(heard: Sequence[Answer]) -> Identity:
    """What is known of a probe that was killed before it said anything: what it cost."""
    refused = sum(not answer.accepted for answer in heard)
    took_s = max((a.done_at for a in heard), default=0.0) - min((a.sent_at for a in heard), default=0.0)
    cost = Cost(len(heard), refused, len(heard) - refused, took_s)
    return Identity((), (), cost, why="interrupted")


_NAMES = {
    "limit": "limit",
    "window_s": "window",
    "rate_per_s": "rate",
    "burst": "burst",
    "gap_s": "gap",
    "block_s": "shut for",
    "delay": "answered at once",
    "tick_s": "filled each",
    "early": "may be missing",
    "takes_s": "each takes",
}


def _lines(tier: Reading, what: str) -> Iterable[NumberLine]:
    shown = dict(tier.numbers)
    if "rate_per_s" in shown:  # which says the same of a bucket
        shown.pop("limit", None)
        shown.pop("window_s", None)
    family = family_words(tier.family)
    if "delay" in shown and not tier.value("delay"):  # which is usual
        shown.pop("delay")
    for name in shown:
        number = tier.numbers[name]
        if name == "rate_per_s" and name in tier.measured:
            number = plain_rate(number)
        interval = _ends(number, name) if name in tier.measured else ""
        unit = "build" if tier.family == "builds" else what
        yield NumberLine(family, _NAMES[name], _told(number.value, name, unit), interval)
    words = {"opens": "opens", "refused": "a refusal", "rule": "rule", "starts": "starts"}
    meant = {"count": "counts too", "restart": "opens it anew", "first": "with the first one", "clock": "on the clock"}
    for option, word in tier.options.items():
        yield NumberLine(family, words.get(option, option), meant.get(word, word))


def _told(value: float, name: str, what: str) -> str:
    if name == "rate_per_s":
        return rate_words(value, what)
    if name.endswith("_s"):
        return lasting(value)
    if name == "early":
        return f"{value:g} of a token"
    return plural(round(value), what)


def _ends(number: Interval, name: str) -> str:
    low, high = number.low, number.high
    if low == high:
        return "certain"
    if name == "rate_per_s":
        unit, unit_s = rate_unit(number.value)
        return f"{figure(low * unit_s, 4)} to {figure(high * unit_s, 4)} {unit}"
    return f"{figure(low, 4)} to {figure(high, 4)}{' s' if name.endswith('_s') else ''}"
