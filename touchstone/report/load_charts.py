"""Charts of a load run: requests over time, builds in flight, latency by percentile; no I/O."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.facts.events import Attempt
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, middle_s
from touchstone.facts.wording import brief, plural
from touchstone.loadgen.capacity import Capacity
from touchstone.loadgen.metrics import ALL, FEW, KINDS, LASTING, Kind, Metrics, Times, kind_of, name_of
from touchstone.report import charts
from touchstone.report.charts import SIDE, Axis, Chart, Key, Linear, Log, Note, Shape, Tick, height, line, place
from touchstone.report.view import LoadView

MOST_COLUMNS = 240
KIND_TEXTS: Mapping[Kind, str] = {
    "served": "served (2xx)",
    "declined": "not found or conflict (404, 409)",
    "refused": "refused (429)",
    "error": "error (5xx, no response, other)",
    "cut": "cut off at the end of the run",
    "unsent": "due, but never sent",
}
_MARK_SHARE = 0.08  # height of the mark of a refused start, as a share of the chart's height
_MOST_MARKS = 320  # number of marks that fit side by side; refusals closer than that share a mark
_POINTS = 72
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
Curve = tuple[str, str, str, Times]  # CSS class, caption, legend, durations


def pictures(load: LoadView) -> dict[str, Any]:
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

    origin_s: int  # run second at which the first column begins
    width_s: int  # width of a column, in whole seconds
    count: int  # number of columns

    def column(self, at_s: float) -> int:
        """Number of the column of a moment; outside the chart, number of the nearest column."""
        return min(max(int((at_s - self.origin_s) // self.width_s), 0), self.count - 1)

    def share(self, at_s: float) -> float:
        """Position of a moment on the time axis, from 0 to 1."""
        return min(max((at_s - self.origin_s) / (self.width_s * self.count), 0.0), 1.0)


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
    scale = Linear(max(1.0, float(edges[-1].max()), float(outline.max())))
    shapes, keys, texts = [], [], []
    for kind, low, high, own in zip(KINDS, edges[:-1], edges[1:], counts, strict=True):
        if own.any():
            stack = [(scale.share(float(a)), scale.share(float(b))) for a, b in zip(low, high, strict=True)]
            shapes.append(Shape(charts.bars(stack), f"k-{kind}"))
            keys.append(Key(f"k-{kind}", KIND_TEXTS[kind]))
            texts.append(f"{int(own.sum()):,} {KIND_TEXTS[kind]}")
    steps = [(n / columns.count, scale.share(float(number))) for n, number in enumerate(outline)]
    return Chart(
        title=f"{what} by outcome",
        caption=f"{int(counts.sum()):,} in total: {', '.join(texts) or 'none sent'}.",
        x=charts.clock_axis(columns.width_s * columns.count),
        y=scale.axis(f"{what.lower()} per second"),
        shapes=(*shapes, Shape(charts.stairs(steps), "due"), *_hits(columns, counts)),
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
    scale = Linear(
        max([1, found.at_least + 1, *(at + 1 for at in refused_at), *(s.sure + s.unsure for s in found.steps)])
    )
    sure = [(columns.share(step.at_s), scale.share(step.sure)) for step in found.steps]
    unsure = [(columns.share(step.at_s), scale.share(step.sure + step.unsure)) for step in found.steps]
    level = scale.share(found.at_least)
    closing = f"V{SIDE}H{place(sure[0][0])}z"
    shapes = [
        Shape(charts.stairs(unsure) + closing, "f-unsure"),
        Shape(charts.stairs(sure) + closing, "f-sure"),
        Shape(f"M0 {height(level)}H{SIDE}", "cap"),
    ]
    keys = [Key("f-sure", "certainly in flight"), Key("f-unsure", "possibly in flight")]
    caption = f"Maximum: {plural(found.at_least, 'build')} certainly in flight at once"
    marks = Counter(  # refusals close to each other share a mark
        (refusal.below, round(columns.share(refusal.at_s) * _MOST_MARKS), at)
        for refusal, at in zip(found.refusals, refused_at, strict=True)
    )
    for is_below, number, css, where in (
        (False, found.refused_full, "r-full", "at the maximum"),
        (True, found.refused_below, "r-below", "below the maximum"),
    ):
        if number:
            path = (
                f"M{place(x / _MOST_MARKS)} {height(scale.share(at))}v{-round(_MARK_SHARE * SIDE)}"
                for is_own, x, at in sorted(marks)
                if is_own is is_below
            )
            shapes.append(Shape("".join(path), css))
            keys.append(Key(css, f"start refused {where}", "tick"))
            caption += f"; {plural(number, 'start')} refused {where}"
    is_range = found.at_most is not None and found.at_most > found.at_least
    known = f"capacity {found.at_least}{f' to {found.at_most}' if is_range else ''}"
    return Chart(
        title="Builds in flight and refused starts",
        caption=f"{caption}.",
        x=charts.clock_axis(columns.width_s * columns.count),
        y=scale.axis("builds in flight"),
        shapes=tuple(shapes),
        keys=tuple(keys),
        notes=(Note(level, known if found.is_known else f"maximum {found.at_least}", "cap"),),
    )


def curve(times: Times, nines: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Latency by percentile, up to *nines* nines (2 is 99 %, 3 is 99.9 %) or the last sample with a response.

    Sure and unsure points (number of nines, seconds); beyond a sure point lie at least FEW samples.
    """
    count, cells = times.count + times.never, times.cells.cells
    reach = min(nines, math.log10(count)) if count > 1 else 0.0
    at = np.linspace(0.0, reach, _POINTS)
    edges = sorted(cells)
    below = np.cumsum([cells[edge] for edge in edges])
    ranks = np.maximum(np.ceil(count * (1 - 10.0**-at) - 1e-9), 1)
    places = np.searchsorted(below, ranks[ranks <= below[-1]])
    values = [min(max(middle_s(edges[place]), times.min_s), times.max_s) for place in places]
    points = [(float(x), value) for x, value in zip(at, values, strict=False)]
    turn = sum(count * 10.0**-x >= FEW for x, _ in points)
    return points[:turn], points[max(turn - 1, 0) :]


def nines_of(counts: Iterable[int]) -> float:
    """Number of nines to draw: three (99.9 %) if one of *counts* (samples per curve) is 1,000 or more; else two."""
    return 3.0 if max(counts, default=0) >= 1_000 else 2.0


def scale_of(curves: Sequence[Curve]) -> Log:
    """Axis for all durations except the shortest 1 % and the longest 0.1 %."""
    shortest, longest = (
        f([times.cells.quantile_s(at) for *_, times in curves]) for f, at in ((min, 0.01), (max, 0.999))
    )
    return Log(shortest, longest)


def percentile_chart(title: str, curves: Sequence[Curve], nines: float, scale: Log) -> Chart:
    """Chart with *curves*; the first curve lies on top."""
    shapes: list[Shape] = []
    captions = []
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
    """One latency chart per operation. Followed logs have a scale of their own, because they last as long as builds."""
    operations = [numbers.total, *numbers.operations] if len(numbers.operations) > 1 else list(numbers.operations)
    drawn: dict[str, list[Curve]] = {}
    for one in operations:
        rows = (
            ("response", "response time, from the due time", one.whole.response),
            ("service", "service time, from sending", one.whole.service),
        )
        if curves := [(css, css, key, times) for css, key, times in rows if times]:
            drawn[one.name] = curves
    nines = nines_of(curves[0][3].count for curves in drawn.values())
    shared = [curve for name, curves in drawn.items() if name not in LASTING for curve in curves]
    return tuple(
        percentile_chart(
            f"{'All operations' if name == ALL else name}: {plural(curves[0][3].count, 'sample')}",
            curves,
            nines,
            scale_of(curves if name in LASTING else shared),
        )
        for name, curves in drawn.items()
    )
