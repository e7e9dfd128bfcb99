"""
What the page of a probe draws: requests over time, the room of the limiter that was found, and how sure it was; pure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from touchstone.facts.identity import Step
from touchstone.facts.knee_trials import Tried
from touchstone.facts.observed import Answer
from touchstone.facts.wording import brief, chance_words, figure, plural
from touchstone.report.charts import (
    SIDE,
    Axis,
    Chart,
    Key,
    Linear,
    Log,
    Note,
    Shape,
    Tick,
    clock_axis,
    height,
    line,
    place,
)
from touchstone.report.probe_sentences import WHY_WORDS, describe_family, describe_free, describe_others, stimuli
from touchstone.report.probe_view import KneeView, ProbeView, limit_words

_SINCE = "the first request"
_LANES = ("accepted", "refused")
_LANE_SHARE = 0.34  # how high a mark is, as a share of the height
_MARKS = 500  # beside each other; requests that lie closer share one
_SHORT_SHARE = 0.3  # what is drawn once more begins the run and is no more of it than this
_EARLY = 40  # so many requests of it
_MOST_NAMED = 6  # families that have a colour of their own
_DOT = 7  # half of the width of the mark of a trial, of SIDE
_TALL = 26
_MOST_LIMITS = 30.0  # beyond this many times the limit it does not matter how long answers took
_SEEN = 0.02  # of a family that was never as likely as this, nothing is to be seen


@dataclass(frozen=True, slots=True)
class Pictures:
    """The charts of a probe.

    Attributes:
        whole: Requests, and room below them, over the whole run.
        early: The same of its beginning; empty where the whole run shows it well.
        families: How likely each family was after each stimulus; None where none was thought of.
        leaders: For each stimulus the likeliest families after it, in words, with how likely they are.
        began_at: When the first request was sent.
        tried: What was tried without meeting a limit, in words.
        others: What others take, in words.
        why: Why nothing more was asked, in words.
        knee: How long answers take by the rate at which reads come; None where no knee was looked for.
    """

    whole: tuple[Chart, ...]
    early: tuple[Chart, ...]
    families: Chart | None
    leaders: tuple[tuple[tuple[str, str], ...], ...]
    began_at: float
    tried: tuple[str, ...]
    others: str
    why: str
    knee: Chart | None = None


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of the run on an axis."""

    from_at: float
    to_at: float

    @property
    def length_s(self) -> float:
        return max(self.to_at - self.from_at, 1e-3)

    def share(self, at: float) -> float:
        return min(max((at - self.from_at) / self.length_s, 0.0), 1.0)

    def axis(self) -> Axis:
        return clock_axis(self.length_s, _SINCE)


def pictures(probe: ProbeView) -> Pictures:
    """The charts of a probe."""
    every = sorted([*probe.answers, *probe.failed], key=lambda answer: answer.sent_at)
    begin = every[0].sent_at if every else 0.0
    whole = _Span(begin, max([begin, *(answer.done_at for answer in every), *(step.at for step in probe.steps)]))
    early = _early(every, whole)
    identity = probe.identity
    return Pictures(
        whole=(_lanes(probe, whole, "All requests"),) if every else (),
        early=(_lanes(probe, early, f"The first {brief(early.length_s, 2)}"),) if early else (),
        families=_families(probe, whole) if any(step.families for step in probe.steps) else None,
        leaders=tuple(_leaders(step) for step in probe.steps),
        began_at=begin,
        tried=tuple(describe_free(identity)) if identity.tiers else (),
        others=describe_others(identity.others_share),
        why=WHY_WORDS[identity.why],
        knee=knee_chart(probe.knee) if probe.knee else None,
    )


def _early(every: Sequence[Answer], whole: _Span) -> _Span | None:
    """The beginning of the run, where the whole is too long to show it."""
    if len(every) < 2:
        return None
    last = every[min(_EARLY, len(every)) - 1]
    to_at = min(last.done_at, whole.from_at + _SHORT_SHARE * whole.length_s)
    inside = [answer for answer in every if answer.done_at <= to_at]
    if len(inside) < 3 or inside[-1].done_at - whole.from_at > _SHORT_SHARE * whole.length_s:
        return None
    return _Span(whole.from_at, inside[-1].done_at + 0.02 * (inside[-1].done_at - whole.from_at))


def _leaders(step: Step) -> tuple[tuple[str, str], ...]:
    found = sorted(step.families.items(), key=lambda item: -item[1])[:2]
    return tuple((describe_family(name), chance_words(share)) for name, share in found if share >= _SEEN)


def _lanes(probe: ProbeView, span: _Span, title: str) -> Chart:
    """Each request as a mark, in one lane for those let through and one for those refused."""
    groups: Mapping[str, list[Answer]] = {"accepted": [], "held": [], "refused": [], "failed": []}
    least_s = min((answer.done_at - answer.sent_at for answer in probe.answers), default=0.0)
    for answer in probe.answers:
        if answer.sent_at <= span.to_at:
            late_s = answer.done_at - answer.sent_at - least_s
            sort = "held" if late_s > max(0.05, 4 * least_s) else "accepted"
            groups[sort if answer.accepted else "refused"].append(answer)
    groups["failed"].extend(answer for answer in probe.failed if answer.sent_at <= span.to_at)
    shapes = [Shape(_bars(groups["held"], span, 0.75), "p-held")]
    shapes += [
        Shape(_marks(groups[sort], span, lane), f"p-{sort}")
        for sort, lane in (("accepted", 0.75), ("held", 0.75), ("refused", 0.25), ("failed", 0.25))
    ]
    lanes = Axis("", tuple(Tick(share, name) for name, share in zip(_LANES, (0.75, 0.25), strict=True)))
    counts = {sort: len(found) for sort, found in groups.items() if found}
    return Chart(
        title=title,
        caption=f"{_describe_counts(counts)}.",
        x=span.axis(),
        y=lanes,
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=tuple(Key(f"p-{sort}", _SORTS[sort], "tick") for sort in counts),
        height_px=96,
    )


_SORTS = {"accepted": "accepted", "held": "held back, then accepted", "refused": "refused", "failed": "failed"}


def _describe_counts(counts: Mapping[str, int]) -> str:
    total = plural(sum(counts.values()), "request")
    return ": ".join([total, ", ".join(f"{number} {_SORTS[sort]}" for sort, number in counts.items())])


def _marks(answers: Iterable[Answer], span: _Span, lane: float) -> str:
    places = sorted({round(span.share(answer.sent_at) * _MARKS) for answer in answers})
    long = round(_LANE_SHARE * SIDE)
    return "".join(f"M{place(at / _MARKS)} {height(lane) - long // 2}v{long}" for at in places)


def _bars(answers: Iterable[Answer], span: _Span, lane: float) -> str:
    """For how long answers were held back, each a thin bar."""
    spans = ((place(span.share(answer.sent_at)), place(span.share(answer.done_at))) for answer in answers)
    return "".join(f"M{left} {height(lane) - 60}H{right}v120H{left}z" for left, right in spans if right > left)


def _families(probe: ProbeView, span: _Span) -> Chart:
    """How likely each family was, stacked; the likeliest in the end lies lowest."""
    names = _named(probe)
    last = {name: probe.steps[-1].families.get(name, 0.0) for name in names}
    shapes, floor = [], [0.0] * len(probe.steps)
    for number, name in enumerate(names):
        ceiling = [low + step.families.get(name, 0.0) for low, step in zip(floor, probe.steps, strict=True)]
        shapes.append(Shape(_band(probe, span, floor, ceiling), f"q{number}", describe_family(name)))
        floor = ceiling
    if any(top < 1 - _SEEN for top in floor):
        shapes.append(Shape(_band(probe, span, floor, [1.0] * len(floor)), "q-others", "others"))
    odds = [f" {chance_words(last[name])}" if last[name] >= _SEEN else "" for name in names]
    keys = [Key(f"q{number}", f"{describe_family(name)}{odds[number]}") for number, name in enumerate(names)]
    keys += [Key("q-others", "others")] if len(shapes) > len(names) else []
    shares = Axis("probability after each stimulus", tuple(Tick(n / 4, f"{25 * n} %") for n in range(5)))
    caption = f"After {stimuli(len(probe.steps))}."
    return Chart("How sure it became", caption, span.axis(), shares, tuple(shapes), tuple(keys), height_px=170)


def _named(probe: ProbeView) -> list[str]:
    best: dict[str, float] = {}
    for step in probe.steps:
        for name, chance in step.families.items():
            best[name] = max(best.get(name, 0.0), chance)
    likely = [name for name in sorted(best, key=lambda name: -best[name]) if best[name] >= _SEEN][:_MOST_NAMED]
    last = probe.steps[-1].families
    return sorted(likely, key=lambda name: -last.get(name, 0.0))


def _band(probe: ProbeView, span: _Span, floor: Sequence[float], ceiling: Sequence[float]) -> str:
    """The area between two stairs: what was known holds until the next stimulus ended."""
    edges = [place(span.share(step.at)) for step in probe.steps] + [SIDE]
    upper = "".join(f"V{height(top)}H{edges[n + 1]}" for n, top in enumerate(ceiling))
    lower = "".join(f"V{height(floor[n])}H{edges[n]}" for n in reversed(range(len(floor))))
    return f"M{edges[0]} {height(floor[0])}{upper}{lower}z"


def knee_chart(view: KneeView) -> Chart | None:
    """How long answers take by the rate at which reads come; None where no trial tells."""
    trials = sorted((each for each in view.tried if each.mark in ("passed", "failed")), key=_rate)
    if not trials:
        return None
    knee = view.knee
    x = Linear(max(_rate(each) for each in trials), 6)
    most_s = min(max(each.outcome.p99_s for each in trials), _MOST_LIMITS * knee.slo_s)
    y = Log(min(each.outcome.p50_s for each in trials), max(most_s, 1.5 * knee.slo_s))
    limit = y.share(knee.slo_s)
    shapes = [Shape(f"M0 {height(limit)}H{SIDE}", "cap", limit_words(knee))]
    if knee.rate_per_s:
        ends = (knee.rate_per_s.low, knee.rate_per_s.value, knee.rate_per_s.high)
        low, middle, high = map(x.share, ends)
        shapes.insert(0, Shape(f"M{place(low)} 0H{place(high)}V{SIDE}H{place(low)}z", "p-room", "the knee"))
        shapes.append(Shape(f"M{place(middle)} 0V{SIDE}", "p-one", "the knee"))
    for css, times in (("service", {_rate(e): e.outcome.p50_s for e in trials}), ("response", _worst(trials))):
        shapes.append(Shape(line((x.share(rate), y.share(value)) for rate, value in times.items()), css))
    shapes += _dots(trials, x, y, knee.slo_s)
    return Chart(
        title="Latency by offered rate",
        caption=_describe_knee(view, trials),
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


def _worst(trials: Sequence[Tried]) -> dict[float, float]:
    """By rate, the longest p99 of its trials."""
    found: dict[float, float] = {}
    for each in trials:
        found[_rate(each)] = max(found.get(_rate(each), 0.0), each.outcome.p99_s)
    return found


def _rate(tried: Tried) -> float:
    return tried.trial.rate_per_s


def _dots(trials: Sequence[Tried], x: Linear, y: Log, slo_s: float) -> list[Shape]:
    """A mark for the p99 of each trial, those that missed in another colour."""
    paths = {"k-passed": "", "k-failed": ""}
    for each in trials:
        left, top = place(x.share(_rate(each))), height(y.share(each.outcome.p99_s))
        paths["k-passed" if each.outcome.p99_s <= slo_s else "k-failed"] += (
            f"M{left - _DOT} {top - _TALL // 2}h{2 * _DOT}v{_TALL}h-{2 * _DOT}z"
        )
    return [Shape(d, css) for css, d in paths.items() if d]


def _describe_knee(view: KneeView, trials: Sequence[Tried]) -> str:
    first, last = trials[0], trials[-1]
    ends = ", ".join(f"p99 {brief(e.outcome.p99_s)} at {figure(_rate(e))} a second" for e in (first, last))
    knee = view.knee.rate_per_s
    return f"{ends}{f'; the knee is at {figure(knee.value)}' if knee and math.isfinite(knee.value) else ''}."
