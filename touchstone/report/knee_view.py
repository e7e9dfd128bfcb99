"""The knee of a probe, ready to be told: its sentence, its trials, and the picture of them; pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from touchstone.facts.figures import brief, figure, percentage
from touchstone.facts.knee_trials import Knee, Tried
from touchstone.limiter.knee import why_words
from touchstone.report.chart import SIDE, Chart, Key, Linear, Log, Note, Shape, height, line, place
from touchstone.rules.verdict import plural

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
_DOT = 7  # half of the width of a mark, of SIDE
_TALL = 26
# Beyond this many times the limit it does not matter how long answers took.
_MOST_LIMITS = 30.0


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
        return tuple(map(_line, self.tried))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What else is known, by name."""
        return tuple(_facts(self.knee))


def sentence(operation: str, knee: Knee, what: str = "read") -> str:
    """What was found, in one sentence.

    Args:
        what: What one request is called.
    """
    cost = f"{plural(knee.requests, 'request')}, {brief(knee.seconds, 2)}"
    if knee.told and knee.rate_per_s is not None:
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
    known = knee or _unsaid(tried, slo_s)
    return KneeView(operation, sentence(operation, known), known, tuple(tried))


def _unsaid(tried: Sequence[Tried], slo_s: float) -> Knee:
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


def _line(tried: Tried) -> tuple[str, ...]:
    trial, outcome = tried.trial, tried.outcome
    share = outcome.missed / outcome.due if outcome.due else 0.0
    told = _MARK_WORDS[tried.mark]
    if trial.stage == "capacity":
        told = _CAPACITY_WORDS.get(tried.mark, told)
    return (
        _STAGE_WORDS[trial.stage],
        figure(trial.rate_per_s),
        f"{outcome.due:,}",
        brief(outcome.p50_s),
        brief(outcome.p99_s),
        percentage(share, 2),
        brief(outcome.late_p99_s),
        f"{told}{', stopped early' if outcome.stopped and tried.mark != 'cut' else ''}",
    )


def _facts(knee: Knee) -> Iterable[tuple[str, str]]:
    yield "Asked for", limit_words(knee)
    if knee.capacity_per_s:
        yield "Capacity", f"{figure(knee.capacity_per_s)} answers a second where more is asked"
    if knee.ceiling_per_s is not None:
        yield "Rate limit", f"lets a trial have {figure(knee.ceiling_per_s)} reads a second"
    if knee.missed:
        ends = f"{percentage(knee.missed.low, 2)} to {percentage(knee.missed.high, 2)}"
        yield "Missed at the knee", f"{percentage(knee.missed.value, 2)} of {knee.confirmed_by:,} ({ends})"


def knee_chart(view: KneeView) -> Chart | None:
    """How long answers take by the rate at which reads come; None where no trial tells."""
    told = sorted((each for each in view.tried if each.mark in ("passed", "failed")), key=_rate)
    if not told:
        return None
    knee = view.knee
    x = Linear(max(_rate(each) for each in told), 6)
    most_s = min(max(each.outcome.p99_s for each in told), _MOST_LIMITS * knee.slo_s)
    y = Log(min(each.outcome.p50_s for each in told), max(most_s, 1.5 * knee.slo_s))
    limit = y.share(knee.slo_s)
    shapes = [Shape(f"M0 {height(limit)}H{SIDE}", "cap", limit_words(knee))]
    if knee.rate_per_s:
        ends = (knee.rate_per_s.low, knee.rate_per_s.value, knee.rate_per_s.high)
        low, middle, high = map(x.share, ends)
        shapes.insert(0, Shape(f"M{place(low)} 0H{place(high)}V{SIDE}H{place(low)}z", "p-room", "the knee"))
        shapes.append(Shape(f"M{place(middle)} 0V{SIDE}", "p-one", "the knee"))
    for css, times in (("service", {_rate(e): e.outcome.p50_s for e in told}), ("response", _worst(told))):
        shapes.append(Shape(line((x.share(rate), y.share(value)) for rate, value in times.items()), css))
    shapes += _dots(told, x, y, knee.slo_s)
    return Chart(
        title="Latency by offered rate",
        words=_words(view, told),
        x=x.axis("reads a second that come, in each trial"),
        y=y.axis("time, from due"),
        shapes=tuple(shapes),
        keys=(
            Key("response", "p99", "line"),
            Key("service", "median", "line"),
            Key("cap", limit_words(knee), "line"),
            *([Key("p-room", "the knee lies here")] if knee.rate_per_s else []),
        ),
        notes=(Note(limit, limit_words(knee), ""),),
        height_px=220,
    )


def _worst(told: Sequence[Tried]) -> dict[float, float]:
    """By rate, the longest p99 of its trials."""
    found: dict[float, float] = {}
    for each in told:
        found[_rate(each)] = max(found.get(_rate(each), 0.0), each.outcome.p99_s)
    return found


def _rate(tried: Tried) -> float:
    return tried.trial.rate_per_s


def _dots(told: Sequence[Tried], x: Linear, y: Log, slo_s: float) -> list[Shape]:
    """A mark for the p99 of each trial, those that missed in another colour."""
    paths = {"k-passed": "", "k-failed": ""}
    for each in told:
        left, top = place(x.share(_rate(each))), height(y.share(each.outcome.p99_s))
        paths["k-passed" if each.outcome.p99_s <= slo_s else "k-failed"] += (
            f"M{left - _DOT} {top - _TALL // 2}h{2 * _DOT}v{_TALL}h-{2 * _DOT}z"
        )
    return [Shape(d, css) for css, d in paths.items() if d]


def _words(view: KneeView, told: Sequence[Tried]) -> str:
    first, last = told[0], told[-1]
    ends = ", ".join(f"p99 {brief(e.outcome.p99_s)} at {figure(_rate(e))} a second" for e in (first, last))
    knee = view.knee.rate_per_s
    return f"{ends}{f'; the knee is at {figure(knee.value)}' if knee and math.isfinite(knee.value) else ''}."
