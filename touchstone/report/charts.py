"""Charts of a load run and a probe; no I/O. Shapes lie in a square of SIDE by SIDE units, which the page stretches."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from touchstone.facts.events import Attempt
from touchstone.facts.identity import Step
from touchstone.facts.probe import Answer
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT
from touchstone.facts.wording import brief, describe_chance, figure, plural
from touchstone.loadgen.capacity import Capacity
from touchstone.loadgen.metrics import ALL, KINDS, LASTING, Kind, Metrics, Times, kind_of, name_of
from touchstone.report.probe_view import KneeView, ProbeView, describe_family
from touchstone.report.texts import TEXTS
from touchstone.report.view import LoadView

SIDE = 1000


class Tick(NamedTuple):
    """A mark on an axis; its position *share* goes from 0 (left or bottom end) to 1 (right or top end)."""

    share: float
    label: str


class Axis(NamedTuple):
    """One axis; its name includes the unit."""

    name: str
    ticks: tuple[Tick, ...]


class Shape(NamedTuple):
    """An SVG path: path data *d*, CSS classes *css*, and tooltip *title*."""

    d: str
    css: str
    title: str = ""


class Note(NamedTuple):
    """A text in the chart; its height *share* goes from 0 (bottom) to 1 (top)."""

    share: float
    text: str
    css: str


class Key(NamedTuple):
    """A legend entry for the shapes with the CSS class *css*; its symbol *sort* is ``area``, ``line`` or ``tick``."""

    css: str
    text: str
    sort: str = "area"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; *caption* is also its description for screen readers."""

    title: str
    caption: str
    x: Axis
    y: Axis
    shapes: tuple[Shape, ...]
    keys: tuple[Key, ...] = ()
    notes: tuple[Note, ...] = ()
    height_px: int = 200


class Scale(NamedTuple):
    """Positions on an axis of numbers, or on a logarithmic one of durations; *ends* are numbers or their logarithms."""

    ends: tuple[float, float]
    values: Sequence[float]  # those with a tick
    is_log: bool = False

    def share(self, value: float) -> float:
        """Position of a value on the axis, from 0 to 1; a value beyond an end gets that end."""
        at = math.log10(max(value, 1e-9)) if self.is_log else value
        return min(max((at - self.ends[0]) / (self.ends[1] - self.ends[0]), 0.0), 1.0)

    def axis(self, name: str) -> Axis:
        """The axis called *name*, with its ticks."""
        return Axis(name, tuple(Tick(self.share(v), brief(v) if self.is_log else figure(v, 6)) for v in self.values))


def linear(most: float, ticks: int = 4) -> Scale:
    """Scale from 0 to at least *most*."""
    most = max(most, 1e-9)
    step = _nice(most / ticks)
    values = [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]
    return Scale((0.0, values[-1]), values)


def logarithmic(least_s: float, most_s: float) -> Scale:
    """Scale of durations; its upper end is at least ten times the lower end, so that the axis has several ticks."""
    least_s = max(least_s, 1e-6)
    low = _nice(least_s, -1)
    high = _nice(max(most_s, least_s, 5 * low))
    low = _nice(min(low, high / 9.9), -1)
    # If the axis spans more than 2.4 powers of ten, only the powers of ten get a label.
    steps = (1, 2, 5) if math.log10(high / low) < 2.4 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (step * 10.0**power for power in powers for step in steps)
    inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return Scale((math.log10(low), math.log10(high)), inside, is_log=True)


def _nice(value: float, direction: int = 1) -> float:
    """Rounds to 1, 2 or 5 times a power of ten: up, or down if *direction* is negative."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    if direction < 0:
        return max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))
    return min(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def place(share: float) -> int:
    """Converts a share of the width to a coordinate; both count from the left."""
    return round(share * SIDE)


def height(share: float) -> int:
    """Converts a share of the height, counted from the bottom, to a coordinate, counted from the top."""
    return SIDE - round(share * SIDE)


def bars(columns: Sequence[tuple[float, float]]) -> str:
    """Path of adjacent bars; *columns* has the lower and upper end of each bar, as shares of the height."""
    parts, count = list[str](), len(columns)
    for number, (low, high) in enumerate(columns):
        bottom, top = height(low), height(high)
        if top < bottom:
            left, right = place(number / count), place((number + 1) / count)
            gap = 1 if count > 120 else min(8, (right - left) // 5)
            parts.append(f"M{left} {bottom}V{top}H{max(right - gap, left + 1)}V{bottom}z")
    return "".join(parts)


def line(points: Iterable[tuple[float, float]]) -> str:
    """Path through points, given as shares of width and height."""
    return "M" + "L".join(f"{place(x)} {height(y)}" for x, y in points)


def stairs(points: Sequence[tuple[float, float]]) -> str:
    """Path of steps: the height of a point lasts until the next point, and that of the last point to the right end."""
    steps = "".join(f"H{place(x)}V{height(y)}" for x, y in points[1:])
    return f"{line(points[:1])}{steps}H{SIDE}"


def marks(points: Iterable[tuple[float, float]], rise_share: float) -> str:
    """Path of vertical marks that begin at points and end higher by *rise_share*; close ones become one mark."""
    places = sorted({(round(x * _MOST_MARKS), y) for x, y in points})
    return "".join(f"M{place(x / _MOST_MARKS)} {height(y)}v{-round(rise_share * SIDE)}" for x, y in places)


MOST_COLUMNS = 240
_MOST_MARKS = 500  # number of marks that fit side by side
_POINTS = 72
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
Curve = tuple[str, str, str, Times]  # CSS class, caption, legend, durations


def load_pictures(load: LoadView) -> dict[str, Any]:
    """Charts of a load run by name; a chart without data is None."""
    found = load.capacity
    builds_end_s = found.steps[-1].at_s if found and found.steps else 0.0
    # Every chart begins at the start of the schedule, or at an earlier first request.
    origin_s = min([int(load.workload.began_at), *(window.at_s for window in load.windows)])
    near = columns_between(origin_s, max([builds_end_s, *(attempt.done_at for attempt in load.attempts)]))
    whole = columns_between(origin_s, max([builds_end_s, *(window.at_s + 1.0 for window in load.windows)]))
    rows = [(kind_of(window.outcome), window.at_s, window.count) for window in load.windows]
    due = [(window.at_s, window.count) for window in load.windows if window.paced or window.outcome == UNSENT]
    return {
        "starts": starts_chart(load.attempts, near) if found else None,
        "flight": flight_chart(found, near) if found and found.steps else None,
        "requests": _stacked_chart("Requests", "due by schedule", rows, due, whole) if rows else None,
        "latency": latency_charts(load.numbers),
    }


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of equal width that divide the time axis of a chart."""

    origin_s: float  # run second at which the first column begins
    width_s: float  # width of a column
    count: int  # number of columns
    since: str = "the schedule began"  # the event at that second

    def column(self, at_s: float) -> int:
        """Number of the column of a moment; outside the chart, number of the nearest column."""
        return min(max(int((at_s - self.origin_s) // self.width_s), 0), self.count - 1)

    def share(self, at_s: float) -> float:
        """Position of a moment on the time axis, from 0 to 1."""
        return min(max((at_s - self.origin_s) / (self.width_s * self.count), 0.0), 1.0)

    def axis(self) -> Axis:
        """The time axis: in seconds, or in minutes if it is longer than 300 s."""
        length_s = self.width_s * self.count
        unit, unit_s = ("minutes", 60.0) if length_s > 300 else ("seconds", 1.0)
        step = _nice(length_s / unit_s / 6)
        numbers = range(math.floor(length_s / unit_s / step + 1e-9) + 1)
        ticks = tuple(Tick(step * n * unit_s / length_s, figure(step * n, 6)) for n in numbers)
        return Axis(f"{unit} since {self.since}", ticks)


def columns_between(origin_s: int, end_s: float) -> Columns:
    """Columns from *origin_s* to *end_s*, at most MOST_COLUMNS."""
    length_s = max(1, math.ceil(end_s - origin_s))
    width_s = math.ceil(length_s / MOST_COLUMNS)
    return Columns(origin_s, width_s, math.ceil(length_s / width_s))


def starts_chart(attempts: Sequence[Attempt], columns: Columns) -> Chart:
    """Chart of the starts that need a new build, or of all starts if none does; a line shows first tries."""
    starts = [attempt for attempt in attempts if attempt.fresh] or attempts
    outcomes = [str(one.status) if one.status else CUT_OFF if one.cut_off else NO_ANSWER for one in starts]
    rows = [(kind_of(outcome), one.sent_at, 1) for outcome, one in zip(outcomes, starts, strict=True)]
    due = [(one.intended_at, 1) for one in starts if one.number == 1]
    return _stacked_chart("Starts", "first tries", rows, due, columns)


def _stacked_chart(
    what: str, line: str, rows: Iterable[tuple[Kind, float, int]], due: Iterable[tuple[float, int]], columns: Columns
) -> Chart:
    """Chart of *rows* (kind, run second, count), stacked by kind, with a line for *due* (run second, count)."""
    counts, outline = np.zeros((len(KINDS), columns.count), dtype=int), np.zeros(columns.count)
    for kind, at_s, number in rows:
        counts[KINDS.index(kind), columns.column(at_s)] += number
    for at_s, number in due:
        outline[columns.column(at_s)] += number / columns.width_s
    edges = np.vstack([np.zeros(columns.count), np.cumsum(counts / columns.width_s, axis=0)])
    scale = linear(max(1.0, float(edges[-1].max()), float(outline.max())))
    shapes, keys, texts = [], [], []
    for kind, low, high, own in zip(KINDS, edges[:-1], edges[1:], counts, strict=True):
        if own.any():
            stack = [(scale.share(float(a)), scale.share(float(b))) for a, b in zip(low, high, strict=True)]
            shapes.append(Shape(bars(stack), f"k-{kind}"))
            keys.append(Key(f"k-{kind}", TEXTS["kinds"][kind]))
            texts.append(f"{int(own.sum()):,} {TEXTS['kinds'][kind]}")
    steps = [(n / columns.count, scale.share(float(number))) for n, number in enumerate(outline)]
    return Chart(
        title=f"{what} by outcome",
        caption=f"{int(counts.sum()):,} in total: {', '.join(texts) or 'none sent'}.",
        x=columns.axis(),
        y=scale.axis(f"{what.lower()} per second"),
        shapes=(*shapes, Shape(stairs(steps), "due"), *_hits(columns, counts)),
        keys=(*keys, Key("due", line, "line")),
    )


def _hits(columns: Columns, counts: np.ndarray) -> Iterable[Shape]:
    """Yields an invisible shape for each column with requests; the tooltip of the shape counts the requests by kind."""
    for n, column in enumerate(counts.T):
        text = ", ".join(f"{number:,} {kind}" for kind, number in zip(KINDS, column, strict=True) if number)
        if text:
            first_s = n * columns.width_s
            last = f"s {first_s} to {first_s + columns.width_s - 1}" if columns.width_s > 1 else f" {first_s}"
            left, right = place(n / columns.count), place((n + 1) / columns.count)
            yield Shape(f"M{left} 0H{right}V{SIDE}H{left}z", "hit", f"second{last}: {text}")


def flight_chart(found: Capacity, columns: Columns) -> Chart:
    """Chart of the builds in flight over time, with a line for the capacity and a mark for each refused start."""
    refused_at = [max(refusal.sure, min(refusal.at_most, found.at_least)) for refusal in found.refusals]
    possible = (step.sure + step.unsure for step in found.steps)
    scale = linear(max([1, found.at_least + 1, *(at + 1 for at in refused_at), *possible]))
    sure = [(columns.share(step.at_s), scale.share(step.sure)) for step in found.steps]
    unsure = [(columns.share(step.at_s), scale.share(step.sure + step.unsure)) for step in found.steps]
    level = scale.share(found.at_least)
    closing = f"V{SIDE}H{place(sure[0][0])}z"
    shapes = [Shape(stairs(unsure) + closing, "f-unsure"), Shape(stairs(sure) + closing, "f-sure")]
    shapes.append(Shape(f"M0 {height(level)}H{SIDE}", "cap"))
    keys = [Key("f-sure", "certainly in flight"), Key("f-unsure", "possibly in flight")]
    caption = f"Maximum: {plural(found.at_least, 'build')} certainly in flight at once"
    for is_below, number, css, where in (
        (False, found.refused_full, "r-full", "at the maximum"),
        (True, found.refused_below, "r-below", "below the maximum"),
    ):
        if number:
            pairs = zip(found.refusals, refused_at, strict=True)
            points = ((columns.share(one.at_s), scale.share(at)) for one, at in pairs if one.below is is_below)
            shapes.append(Shape(marks(points, 0.08), css))
            keys.append(Key(css, f"start refused {where}", "tick"))
            caption += f"; {plural(number, 'start')} refused {where}"
    known = f"capacity {found.at_least}" + (f" to {found.at_most}" if (found.at_most or 0) > found.at_least else "")
    return Chart(
        title="Builds in flight and refused starts",
        caption=f"{caption}.",
        x=columns.axis(),
        y=scale.axis("builds in flight"),
        shapes=tuple(shapes),
        keys=tuple(keys),
        notes=(Note(level, known if found.is_known else f"maximum {found.at_least}", "cap"),),
    )


def curve(times: Times, nines: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Latency by percentile, up to *nines* nines (2 is 99 %, 3 is 99.9 %) or the last sample with a response.

    Sure and unsure points (number of nines, seconds); beyond a sure point lie at least FEW samples.
    """
    count = times.count + times.never
    reach = min(nines, math.log10(count)) if count > 1 else 0.0
    every = [(float(x), times.at(1 - 10.0**-x)) for x in np.linspace(0.0, reach, _POINTS)]
    points = [(x, one.value_s) for x, one in every if math.isfinite(one.value_s)]
    turn = sum(one.sure for _, one in every[: len(points)])
    return points[:turn], points[max(turn - 1, 0) :]


def percentile_charts(*groups: Mapping[str, Sequence[Curve]]) -> tuple[Chart, ...]:
    """Charts by title with their curves, the first on top. The charts of a group have the same axis of durations."""
    # Up to 99.9 % if there are 1,000 samples, and up to 99 % otherwise.
    counts = (times.count for group in groups for curves in group.values() for *_, times in curves)
    nines = 3.0 if max(counts, default=0) >= 1_000 else 2.0
    charts = list[Chart]()
    for group in filter(None, groups):
        cells = [times.cells for curves in group.values() for *_, times in curves]
        # The axis omits the shortest 1 % and the longest 0.1 %.
        scale = logarithmic(min(one.quantile_s(0.01) for one in cells), max(one.quantile_s(0.999) for one in cells))
        charts += (_percentile_chart(title, curves, nines, scale) for title, curves in group.items())
    return tuple(charts)


def _percentile_chart(title: str, curves: Sequence[Curve], nines: float, scale: Scale) -> Chart:
    shapes, captions = list[Shape](), list[str]()
    for css, name, _, times in curves:
        for points, suffix in zip(curve(times, nines), ("", " unsure"), strict=True):
            if len(points) > 1:
                path = line((x / nines, scale.share(value)) for x, value in points)
                shapes.insert(0, Shape(path, f"{css}{suffix}"))
        percentiles = map(times.at, _SHARES[1:])
        values = (f"{one.name} {brief(one.value_s)}{'' if one.sure else '?'}" for one in percentiles)
        captions.append(f"{name} {', '.join(values)}")
    # 90 to 99 % takes as much room as 99 to 99.9 %.
    marks = [(-math.log10(1 - share), share) for share in _SHARES]
    ticks = (Tick(at / nines, name_of(share) if share else "min") for at, share in marks if at <= nines + 1e-9)
    return Chart(
        title=title,
        caption="; ".join(captions),
        x=Axis("percentile", tuple(ticks)),
        y=scale.axis("time"),
        shapes=tuple(shapes),
        keys=tuple(Key(css, key, "line") for css, _, key, _ in curves),
        height_px=210,
    )


def latency_charts(numbers: Metrics) -> tuple[Chart, ...]:
    """One latency chart per operation. Followed logs have an axis of their own, because they last as long as builds."""
    briefs, logs = dict[str, list[Curve]](), dict[str, list[Curve]]()
    for one in [numbers.total, *numbers.operations] if len(numbers.operations) > 1 else numbers.operations:
        rows = (
            ("response", "response time, from the due time", one.whole.response),
            ("service", "service time, from sending", one.whole.service),
        )
        if curves := [(css, css, key, times) for css, key, times in rows if times]:
            title = f"{'All operations' if one.name == ALL else one.name}: {plural(curves[0][3].count, 'sample')}"
            (logs if one.name in LASTING else briefs)[title] = curves
    return percentile_charts(briefs, logs)


_LANES = {"accepted": 0.75, "held": 0.75, "refused": 0.25, "failed": 0.25}
_SORTS = {"accepted": "accepted", "held": "delayed, then accepted", "refused": "refused", "failed": "failed"}
_LEAST_SHARE = 0.02  # families that were never more likely than this are not drawn


def probe_pictures(probe: ProbeView) -> dict[str, Chart | None]:
    """Charts of a probe by name: requests, families, knee; a chart without data is None."""
    every = [*probe.answers, *probe.failed]
    begin = min((answer.sent_at for answer in every), default=0.0)
    end = max([begin, *(answer.done_at for answer in every), *(step.at for step in probe.steps)])
    time = Columns(begin, max(end - begin, 1e-3), 1, "the first request")
    return {
        "requests": _requests(probe, time) if every else None,
        "families": _families(probe.steps, time) if any(step.families for step in probe.steps) else None,
        "knee": knee_chart(probe.knee) if probe.knee else None,
    }


def _requests(probe: ProbeView, time: Columns) -> Chart:
    groups: dict[str, list[Answer]] = {"accepted": [], "held": [], "refused": [], "failed": list(probe.failed)}
    least_s = min((answer.done_at - answer.sent_at for answer in probe.answers), default=0.0)
    for answer in probe.answers:
        late_s = answer.done_at - answer.sent_at - least_s
        sort = "held" if late_s > max(0.05, 4 * least_s) else "accepted"
        groups[sort if answer.accepted else "refused"].append(answer)
    spans = sorted(tuple(place(time.share(at)) for at in (one.sent_at, one.done_at)) for one in groups["held"])
    top = height(_LANES["held"]) - 60
    shapes = [Shape("".join(f"M{left} {top}H{right}v120H{left}z" for left, right in spans if right > left), "p-held")]
    for sort, answers in groups.items():
        points = ((time.share(answer.sent_at), _LANES[sort] - 0.17) for answer in answers)
        shapes.append(Shape(marks(points, 0.34), f"p-{sort}"))
    counts = {sort: len(answers) for sort, answers in groups.items() if answers}
    described = ", ".join(f"{number} {_SORTS[sort]}" for sort, number in counts.items())
    return Chart(
        title="Requests by outcome",
        caption=f"{plural(sum(counts.values()), 'request')}: {described}.",
        x=time.axis(),
        y=Axis("", tuple(Tick(_LANES[name], name) for name in ("accepted", "refused"))),
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=tuple(Key(f"p-{sort}", _SORTS[sort], "tick") for sort in counts),
        height_px=96,
    )


def _families(steps: Sequence[Step], time: Columns) -> Chart:
    """Probabilities of the six likeliest families, stacked; the family that is likeliest at the end lies lowest."""
    last = steps[-1].families
    best = {name: max(step.families.get(name, 0.0) for step in steps) for step in steps for name in step.families}
    likely = sorted((name for name in best if best[name] >= _LEAST_SHARE), key=lambda name: -best[name])[:6]
    shapes, keys, floor = list[Shape](), list[Key](), [0.0] * len(steps)
    edges = [*(place(time.share(step.at)) for step in steps), SIDE]
    for number, name in enumerate(sorted(likely, key=lambda name: -last.get(name, 0.0))):
        top = [low + step.families.get(name, 0.0) for low, step in zip(floor, steps, strict=True)]
        odds = f" {describe_chance(last[name])}" if last.get(name, 0.0) >= _LEAST_SHARE else ""
        shapes.append(Shape(_band(edges, floor, top), f"q{number}", describe_family(name)))
        keys.append(Key(f"q{number}", describe_family(name) + odds))
        floor = top
    if min(floor) < 1 - _LEAST_SHARE:
        shapes.append(Shape(_band(edges, floor, [1.0] * len(floor)), "q-others", "others"))
        keys.append(Key("q-others", "others"))
    shares = Axis("probability after each stimulus", tuple(Tick(n / 4, f"{25 * n} %") for n in range(5)))
    caption = f"{len(steps):,} stimuli." if len(steps) > 1 else "1 stimulus."
    return Chart("Probability of each family", caption, time.axis(), shares, tuple(shapes), tuple(keys), height_px=170)


def _band(edges: Sequence[int], floor: Sequence[float], top: Sequence[float]) -> str:
    """Path of the area between the step curves *floor* and *top*; a step reaches from one of *edges* to the next."""
    upper = "".join(f"V{height(share)}H{edges[n + 1]}" for n, share in enumerate(top))
    lower = "".join(f"V{height(floor[n])}H{edges[n]}" for n in reversed(range(len(floor))))
    return f"M{edges[0]} {height(floor[0])}{upper}{lower}z"


def knee_chart(view: KneeView) -> Chart | None:
    """Chart of latency by rate of reads, with the knee if it is known; None if no trial has a result."""
    conclusive = [each for each in view.tried if each.mark in ("passed", "failed")]
    trials = [(each.trial.rate_per_s, each.outcome.p50_s, each.outcome.p99_s) for each in conclusive]
    if not trials:
        return None
    rates, medians_s, p99s_s = zip(*sorted(trials, key=lambda trial: trial[0]), strict=True)
    knee, slo_s = view.knee, view.knee.slo_s
    x = linear(rates[-1], 6)
    y = logarithmic(min(medians_s), max(min(max(p99s_s), 30 * slo_s), 1.5 * slo_s))
    limit = y.share(slo_s)
    shapes = [
        Shape(f"M0 {height(limit)}H{SIDE}", "cap", view.limit),
        Shape(line(zip(map(x.share, rates), map(y.share, medians_s), strict=True)), "service"),
        Shape(line(zip(map(x.share, rates), map(y.share, p99s_s), strict=True)), "response"),
    ]
    keys = [Key("response", "p99", "line"), Key("service", "median", "line"), Key("cap", view.limit, "line")]
    caption = ", ".join(f"p99 {brief(p99s_s[end])} at {figure(rates[end])} per second" for end in (0, -1))
    if knee.rate_per_s:
        found = knee.rate_per_s
        low, middle, high = (place(x.share(rate)) for rate in (found.low, found.value, found.high))
        shapes.insert(0, Shape(f"M{low} 0H{high}V{SIDE}H{low}z", "p-room", "the knee"))
        shapes.append(Shape(f"M{middle} 0V{SIDE}", "p-one", "the knee"))
        keys.append(Key("p-room", "interval of the knee"))
        caption += f"; the knee is at {figure(knee.rate_per_s.value)} per second"
    return Chart(
        title="Latency by offered rate",
        caption=f"{caption}.",
        x=x.axis("offered reads per second, by trial"),
        y=y.axis("response time, from the due time"),
        shapes=tuple(shapes),
        keys=tuple(keys),
        notes=(Note(limit, view.limit, ""),),
        height_px=220,
    )
