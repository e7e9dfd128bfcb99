"""All that a report may tell about a probe, and about the knee that it looked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from touchstone.facts.identity import Cost, Identity, Interval, Step
from touchstone.facts.knee_trials import Knee, Tried
from touchstone.facts.observed import Answer
from touchstone.facts.probe_events import Identified, ProbeStory
from touchstone.facts.wording import brief, figure, percentage, plural
from touchstone.limiter.knee import why_words
from touchstone.report.probe_advice import Advice, advice
from touchstone.report.probe_sentences import (
    Reading,
    describe_family,
    describe_rate,
    lasting,
    plain_rate,
    rate_unit,
    readings,
    sentence,
)
from touchstone.report.probe_sentences import noun as noun_of

# Of trials that over-drive, which are not about how long answers take.
_CAPACITY_WORDS = {"passed": "answers kept up", "failed": "answers did not keep up"}
_MARK_WORDS = {
    "passed": "kept",
    "failed": "missed",
    "late": "generator late",
    "refused": "refused",
    "cut": "cut short",
}
_STAGE_WORDS = {"capacity": "over-drive", "bracket": "bracket", "confirm": "confirm"}


@dataclass(frozen=True, slots=True)
class KneeView:
    """A knee, ready to be told.

    Attributes:
        sentence: What was found.
        tried: The trials, in order.
    """

    operation: str
    sentence: str
    knee: Knee
    tried: tuple[Tried, ...]

    @property
    def lines(self) -> tuple[tuple[str, ...], ...]:
        """A row for each trial: what for, rate, reads, p50, p99, missed, how late reads were sent, what it tells."""
        return tuple(map(_trial_line, self.tried))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What else is known, by name."""
        return tuple(_knee_facts(self.knee))


def knee_sentence(operation: str, knee: Knee, what: str = "read") -> str:
    """What was found, in one sentence.

    Args:
        what: What one request is called.
    """
    cost = f"{plural(knee.requests, 'request')}, {brief(knee.seconds, 2)}"
    if knee.is_known and knee.rate_per_s is not None:
        rate = knee.rate_per_s
        found = f"{figure(rate.value)} {what}s a second with {limit_words(knee)}"
        ends = f"({figure(rate.low)}–{figure(rate.high)})"
        return f"knee of {operation}: {found} {ends}, confirmed by {knee.confirmed_by:,}; {cost}"
    kept = ""
    if knee.kept_per_s and knee.why not in ("rate-limited", "never"):
        rate_ = figure(knee.kept_per_s)
        kept = f"; up to {rate_} {what}s a second it was kept (p99 {brief(knee.kept_p99_s)})"
    return f"knee of {operation}: not told: {why_words(knee)}{kept}; {cost}"


def limit_words(knee: Knee) -> str:
    """What answers are to keep, such as ``p99 ≤ 100 ms``."""
    return f"p99 ≤ {brief(knee.slo_s)}"


def knee_view(operation: str, knee: Knee | None, tried: Sequence[Tried], slo_s: float) -> KneeView:
    """The view of a knee; of a search that was killed before it said anything, of its trials."""
    known = knee or _unsaid_knee(tried, slo_s)
    return KneeView(operation, knee_sentence(operation, known), known, tuple(tried))


def _unsaid_knee(tried: Sequence[Tried], slo_s: float) -> Knee:
    kept = [each for each in tried if each.mark == "passed" and each.outcome.p99_s <= slo_s]
    best = max(kept, key=lambda each: each.trial.rate_per_s, default=None)
    seconds = sum(each.outcome.lasted_s for each in tried)
    requests = sum(each.outcome.sent for each in tried)
    if best is None:
        return Knee(slo_s, "interrupted", requests=requests, seconds=seconds)
    return Knee(
        slo_s,
        "interrupted",
        kept_per_s=best.trial.rate_per_s,
        kept_p99_s=best.outcome.p99_s,
        requests=requests,
        seconds=seconds,
    )


def _trial_line(tried: Tried) -> tuple[str, ...]:
    trial, outcome = tried.trial, tried.outcome
    share = outcome.missed / outcome.due if outcome.due else 0.0
    mark = _MARK_WORDS[tried.mark]
    if trial.stage == "capacity":
        mark = _CAPACITY_WORDS.get(tried.mark, mark)
    return (
        _STAGE_WORDS[trial.stage],
        figure(trial.rate_per_s),
        f"{outcome.due:,}",
        brief(outcome.p50_s),
        brief(outcome.p99_s),
        percentage(share, 2),
        brief(outcome.late_p99_s),
        f"{mark}{', stopped early' if outcome.stopped and tried.mark != 'cut' else ''}",
    )


def _knee_facts(knee: Knee) -> Iterable[tuple[str, str]]:
    yield "Asked for", limit_words(knee)
    if knee.capacity_per_s:
        yield "Capacity", f"{figure(knee.capacity_per_s)} answers a second where more is asked"
    if knee.ceiling_per_s is not None:
        yield "Rate limit", f"lets a trial have {figure(knee.ceiling_per_s)} reads a second"
    if knee.missed:
        ends = f"{percentage(knee.missed.low, 2)} to {percentage(knee.missed.high, 2)}"
        yield "Missed at the knee", f"{percentage(knee.missed.value, 2)} of {knee.confirmed_by:,} ({ends})"


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
    knee: KneeView | None = None,
) -> ProbeView:
    """The view of a probe."""
    numbers = tuple(line for tier in readings(identity.tiers) for line in _lines(tier, noun_of(operation)))
    return ProbeView(
        operation,
        sentence(identity, operation),
        tuple(sorted(answers, key=lambda answer: (answer.sent_at, answer.stream))),
        tuple(failed),
        identity,
        tuple(steps),
        numbers,
        advice(identity, operation),
        knee,
    )


def probe_of(story: ProbeStory | None) -> ProbeView | None:
    """The view of what a run log tells of a probe; None where the run was none."""
    if story is None:
        return None
    heeded = [one.answer for one in story.answers if one.heeded]
    failed = [one.answer for one in story.answers if not one.heeded]
    operation, sought = story.probing.operation, story.probing.knee
    found = story.identified or Identified(_unsaid(heeded))
    knee = knee_view(operation, story.knee, story.tried, sought["slo_s"]) if sought else None
    return probe_view(operation, heeded, found.identity, found.steps, failed, knee)


def _unsaid(heeded: Sequence[Answer]) -> Identity:
    """What is known of a probe that was killed before it said anything: what it cost."""
    refused = sum(not answer.accepted for answer in heeded)
    took_s = max((a.done_at for a in heeded), default=0.0) - min((a.sent_at for a in heeded), default=0.0)
    cost = Cost(len(heeded), refused, len(heeded) - refused, took_s)
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
    numbers = dict(tier.numbers)
    if "rate_per_s" in numbers:  # which says the same of a bucket
        numbers.pop("limit", None)
        numbers.pop("window_s", None)
    family = describe_family(tier.family)
    if "delay" in numbers and not tier.value("delay"):  # which is usual
        numbers.pop("delay")
    for name in numbers:
        number = tier.numbers[name]
        if name == "rate_per_s" and name in tier.measured:
            number = plain_rate(number)
        interval = _ends(number, name) if name in tier.measured else ""
        unit = "build" if tier.family == "builds" else what
        yield NumberLine(family, _NAMES[name], _told(number.value, name, unit), interval)
    names = {"opens": "opens", "refused": "a refusal", "rule": "rule", "starts": "starts"}
    meant = {"count": "counts too", "restart": "opens it anew", "first": "with the first one", "clock": "on the clock"}
    for option, word in tier.options.items():
        yield NumberLine(family, names.get(option, option), meant.get(word, word))


def _told(value: float, name: str, what: str) -> str:
    if name == "rate_per_s":
        return describe_rate(value, what)
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
