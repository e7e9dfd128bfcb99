"""What the page of a load run draws: requests over time, builds in flight, latency by percentile; pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.facts.events import Attempt
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Histogram, middle_s
from touchstone.facts.wording import brief, plural
from touchstone.loadgen.capacity import Capacity
from touchstone.loadgen.metrics import ALL, FEW, LASTING, Kind, Metrics, Operation, Times, kind_of, name_of
from touchstone.report import load_sentences
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
    bars,
    clock_axis,
    height,
    line,
    place,
    stairs,
)
from touchstone.report.load_view import LoadView

MOST_COLUMNS = 240
# From below to above in a stack.
STACK: tuple[Kind, ...] = ("served", "declined", "refused", "error", "cut", "unsent")
KIND_WORDS: Mapping[Kind, str] = {
    "served": "served (2xx)",
    "declined": "nothing there or too late (404, 409)",
    "refused": "refused (429)",
    "error": "error (5xx, no answer, other)",
    "cut": "cut off when the run was stopped",
    "unsent": "due, but never sent",
}
_MARK_SHARE = 0.08  # how high a refusal is drawn, as a share of the height
_MOST_MARKS = 320  # beside each other; refusals that lie closer share one
_POINTS = 72
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
_KEYS = {"response": "response time, from due", "service": "service time, from sent"}


@dataclass(frozen=True, slots=True)
class Pictures:
    """Charts of a load run, None where there is nothing to draw, and its sentences by name.

    Attributes:
        starts: Starts over time, where builds were started.
        requests: All requests over time.
        latency: One for each operation, all of them together first where there are several.
    """

    texts: Mapping[str, str]
    starts: Chart | None
    flight: Chart | None
    requests: Chart | None
    latency: tuple[Chart, ...]


def pictures(load: LoadView) -> Pictures:
    """The charts and sentences of a load run."""
    near, found = columns_of_builds(load), load.capacity
    return Pictures(
        texts=load_sentences.describe(load),
        starts=starts_chart(load.attempts, near) if found else None,
        flight=flight_chart(found, near) if found and found.steps else None,
        requests=requests_chart(load, columns_of(load)) if load.windows else None,
        latency=latency_charts(load.numbers),
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of equal width.

    Attributes:
        origin_s: Where the first one begins, since the run started.
        width_s: Whole seconds that each has.
        count: How many there are.
    """

    origin_s: int
    width_s: int
    count: int

    @property
    def length_s(self) -> int:
        """What they span together."""
        return self.width_s * self.count

    def column(self, at_s: float) -> int:
        """The column that a moment falls into; the nearest one where it falls into none."""
        return min(max(int((at_s - self.origin_s) // self.width_s), 0), self.count - 1)

    def share(self, at_s: float) -> float:
        """Where a moment lies on the whole."""
        return min(max((at_s - self.origin_s) / self.length_s, 0.0), 1.0)

    def name(self, column: int) -> str:
        """A column in words, such as ``second 12`` or ``seconds 12 to 14``."""
        first = column * self.width_s
        return f"second {first}" if self.width_s == 1 else f"seconds {first} to {first + self.width_s - 1}"


def columns_of(load: LoadView) -> Columns:
    """The columns of a run, from its first arrival to its last request."""
    return _columns(load.origin_s, max([_last_build_s(load), *(window.at_s + 1.0 for window in load.windows)]))


def columns_of_builds(load: LoadView) -> Columns:
    """The columns of the time in which builds were started and in flight."""
    return _columns(load.origin_s, max([_last_build_s(load), *(a.done_at for a in load.attempts)]))


def _last_build_s(load: LoadView) -> float:
    return load.capacity.steps[-1].at_s if load.capacity and load.capacity.steps else 0.0


def _columns(origin_s: int, end_s: float) -> Columns:
    length_s = max(1, math.ceil(end_s - origin_s))
    width_s = math.ceil(length_s / MOST_COLUMNS)
    return Columns(origin_s, width_s, math.ceil(length_s / width_s))


@dataclass(frozen=True, slots=True)
class _Counted:
    """Requests by column: what came of them, and how many of them were new."""

    kinds: dict[Kind, list[int]]
    due: list[int]


def _empty(columns: Columns) -> _Counted:
    return _Counted({kind: [0] * columns.count for kind in STACK}, [0] * columns.count)


def requests_chart(load: LoadView, columns: Columns) -> Chart:
    """All requests, and what came due by schedule as a line."""
    counted = _empty(columns)
    for window in load.windows:
        column = columns.column(window.at_s)
        counted.kinds[kind_of(window.outcome)][column] += window.count
        counted.due[column] += window.count if window.paced or window.outcome == UNSENT else 0
    return _stacked_chart("Requests", "came due by schedule", counted, columns)


def starts_chart(attempts: Iterable[Attempt], columns: Columns) -> Chart:
    """
    Starts that need room on the host, and the first tries among them as a line; of a run without such starts, all.
    """
    counted = _empty(columns)
    starts = list(attempts)
    for attempt in [one for one in starts if one.fresh] or starts:
        outcome = str(attempt.status) if attempt.status else CUT_OFF if attempt.cut_off else NO_ANSWER
        counted.kinds[kind_of(outcome)][columns.column(attempt.sent_at)] += 1
        counted.due[columns.column(attempt.intended_at)] += attempt.number == 1
    return _stacked_chart("Starts", "first tries", counted, columns)


def _stacked_chart(what: str, line: str, counted: _Counted, columns: Columns) -> Chart:
    per_s = {kind: [number / columns.width_s for number in counted.kinds[kind]] for kind in STACK}
    tops = [sum(per_s[kind][n] for kind in STACK) for n in range(columns.count)]
    due = [number / columns.width_s for number in counted.due]
    scale = Linear(max([1.0, *tops, *due]))
    used = [kind for kind in STACK if any(counted.kinds[kind])]
    outline = [(n / columns.count, scale.share(number)) for n, number in enumerate(due)]
    shapes = (*_stack(per_s, scale), Shape(stairs(outline, 1.0), "due"), *_hits(columns, counted))
    return Chart(
        title=f"{what}, and how they were answered",
        caption=_describe_counted(counted),
        x=clock_axis(columns.length_s),
        y=scale.axis(f"{what.lower()} a second"),
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=(*(Key(f"k-{kind}", KIND_WORDS[kind]) for kind in used), Key("due", line, "line")),
    )


def _stack(per_s: Mapping[Kind, Sequence[float]], scale: Linear) -> Iterable[Shape]:
    floor = [0.0] * len(per_s["served"])
    for kind in STACK:
        ceiling = [low + more for low, more in zip(floor, per_s[kind], strict=True)]
        stack = [(scale.share(low), scale.share(high)) for low, high in zip(floor, ceiling, strict=True)]
        yield Shape(bars(stack, len(stack)), f"k-{kind}")
        floor = ceiling


def _hits(columns: Columns, counted: _Counted) -> Iterable[Shape]:
    """For each column with requests an invisible shape that says what is in it."""
    for n in range(columns.count):
        text = ", ".join(f"{counted.kinds[kind][n]:,} {kind}" for kind in STACK if counted.kinds[kind][n])
        if text:
            left, right = place(n / columns.count), place((n + 1) / columns.count)
            yield Shape(f"M{left} 0H{right}V{SIDE}H{left}z", "hit", f"{columns.name(n)}: {text}")


def _describe_counted(counted: _Counted) -> str:
    sums = {kind: sum(counted.kinds[kind]) for kind in STACK}
    text = ", ".join(f"{sums[kind]:,} {KIND_WORDS[kind]}" for kind in STACK if sums[kind])
    return f"Of {sum(sums.values()):,}: {text or 'none was sent'}."


def flight_chart(found: Capacity, columns: Columns) -> Chart:
    """Builds in flight against the capacity, each refused start marked at the number that was in flight."""
    refused_at = [max(refusal.sure, min(refusal.at_most, found.at_least)) for refusal in found.refusals]
    tops = [float(step.sure + step.unsure) for step in found.steps]
    scale = Linear(max([1.0, *tops, *(level + 1.0 for level in refused_at), found.at_least + 1.0]))
    sure = [(columns.share(step.at_s), scale.share(step.sure)) for step in found.steps]
    unsure = [(columns.share(step.at_s), scale.share(step.sure + step.unsure)) for step in found.steps]
    level = scale.share(found.at_least)
    shapes = [
        Shape(_area(unsure), "f-unsure"),
        Shape(_area(sure), "f-sure"),
        Shape(f"M0 {height(level)}H{SIDE}", "cap"),
        *_refusals(found, refused_at, columns, scale),
    ]
    keys = [Key("f-sure", "surely in flight"), Key("f-unsure", "end not seen yet")]
    keys += [Key("r-full", "start refused, no room", "tick")] if found.refused_full else []
    keys += [Key("r-below", "start refused though there was room", "tick")] if found.refused_below else []
    return Chart(
        title="Builds in flight, and where starts were refused",
        caption=_describe_flight(found),
        x=clock_axis(columns.length_s),
        y=scale.axis("builds in flight"),
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=tuple(keys),
        notes=(
            Note(
                level, f"capacity {describe_level(found)}" if found.is_known else f"most seen: {found.at_least}", "cap"
            ),
        ),
    )


def describe_level(found: Capacity) -> str:
    """The capacity as a number, or as two where the run leaves room."""
    if found.at_most is None or found.at_most <= found.at_least:
        return str(found.at_least)
    return f"{found.at_least} to {found.at_most}"


def _describe_flight(found: Capacity) -> str:
    full, below = found.refused_full, found.refused_below
    parts = [f"at most {plural(found.at_least, 'build')} surely in flight at once"]
    parts += [f"{plural(full, 'start')} refused while so many were"] if full else []
    parts += [f"{plural(below, 'start')} refused while fewer were"] if below else []
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _area(points: Sequence[tuple[float, float]]) -> str:
    path = stairs(points, 1.0)
    return f"{path}V{SIDE}H{place(points[0][0])}z" if path else ""


def _refusals(found: Capacity, levels: Sequence[int], columns: Columns, scale: Linear) -> Iterable[Shape]:
    """Refusals close to each other share a mark."""
    marks: dict[tuple[int, int, bool], int] = {}
    for refusal, level in zip(found.refusals, levels, strict=True):
        key = (round(columns.share(refusal.at_s) * _MOST_MARKS), level, refusal.below)
        marks[key] = marks.get(key, 0) + 1
    for below, css in ((False, "r-full"), (True, "r-below")):
        path = "".join(
            f"M{place(at / _MOST_MARKS)} {height(scale.share(level))}v{-round(_MARK_SHARE * SIDE)}"
            for at, level, is_below in sorted(marks)
            if is_below is below
        )
        yield Shape(path, css)


@dataclass(frozen=True, slots=True)
class Curve:
    """Durations by percentile.

    Attributes:
        sure: Points that enough samples lie beyond: number of nines, duration.
        unsure: The points after them.
    """

    sure: tuple[tuple[float, float], ...]
    unsure: tuple[tuple[float, float], ...]


def curve(cells: Histogram, nines: float, never: int = 0) -> Curve:
    """The curve of a histogram, up to so many nines, and no further than its last sample.

    Args:
        never: How many more there are that never end: the curve ends where they begin.
    """
    count = cells.count + never
    reach = min(nines, math.log10(count)) if count > 1 else 0.0
    at = np.linspace(0.0, reach, _POINTS)
    edges = sorted(cells.cells)
    below = np.cumsum([cells.cells[edge] for edge in edges])
    ranks = np.maximum(np.ceil(count * (1 - 10.0**-at) - 1e-9), 1)
    places = np.searchsorted(below, ranks[ranks <= below[-1]])
    values = [min(max(middle_s(edges[place]), cells.min_s), cells.max_s) for place in places]
    points = [(float(x), value) for x, value in zip(at, values, strict=False)]
    turn = sum(count * 10.0**-x >= FEW for x, _ in points)
    return Curve(tuple(points[:turn]), tuple(points[max(turn - 1, 0) :]))


def nines_axis(nines: float) -> Axis:
    """The axis of percentiles: as much room for 90 to 99 % as for 99 to 99.9 %."""
    shares = [share for share in _SHARES if -math.log10(1 - share) <= nines + 1e-9]
    ticks = tuple(Tick(-math.log10(1 - share) / nines, name_of(share) if share else "min") for share in shares)
    return Axis("percentile", ticks)


def nines_of(counts: Iterable[int]) -> float:
    """How many nines are drawn, where the most samples are so many."""
    return 3.0 if max(counts, default=0) >= 1_000 else 2.0


def latency_charts(numbers: Metrics) -> tuple[Chart, ...]:
    """A chart for each operation, all of them together first where there are several.

    The axes are the same for all but followed logs, which last as long as their builds.
    """
    operations = [numbers.total, *numbers.operations] if len(numbers.operations) > 1 else list(numbers.operations)
    drawn = [(one, times) for one in operations if (times := one.whole.times)]
    if not drawn:
        return ()
    nines = nines_of(times.count for _, times in drawn)
    scale = _scale([one for one, _ in drawn if one.name not in LASTING] or [one for one, _ in drawn])
    return tuple(_latency_chart(one, nines, _scale([one]) if one.name in LASTING else scale) for one, _ in drawn)


def _scale(operations: Iterable[Operation]) -> Log:
    kinds = [times for one in operations for times in (one.whole.response, one.whole.service) if times]
    return Log(
        min(times.cells.quantile_s(0.01) for times in kinds), max(times.cells.quantile_s(0.999) for times in kinds)
    )


def _latency_chart(one: Operation, nines: float, scale: Log) -> Chart:
    response, service = one.whole.response, one.whole.service
    shapes: list[Shape] = []
    keys: list[Key] = []
    # The response time is drawn last, over the other, and named first.
    for times, css in ((service, "service"), (response, "response")):
        if times:
            shapes += curve_shapes(curve(times.cells, nines, times.never), css, nines, scale)
            keys.insert(0, Key(css, _KEYS[css], "line"))
    times = response or service
    assert times is not None
    return Chart(
        title=f"{'All operations' if one.name == ALL else one.name}: {plural(times.count, 'sample')}",
        caption=_describe_latency(response, service),
        x=nines_axis(nines),
        y=scale.axis("time"),
        shapes=tuple(shapes),
        keys=tuple(keys),
        height_px=210,
    )


def curve_shapes(drawn: Curve, css: str, nines: float, scale: Log) -> list[Shape]:
    """The curve as lines; where it rests on few samples, as another one."""
    parts = ((drawn.sure, css), (drawn.unsure, f"{css} unsure"))
    return [Shape(line(_places(points, nines, scale)), name) for points, name in parts if len(points) > 1]


def _places(points: Sequence[tuple[float, float]], nines: float, scale: Log) -> Iterable[tuple[float, float]]:
    return ((x / nines, scale.share(value)) for x, value in points)


def _describe_latency(response: Times | None, service: Times | None) -> str:
    parts = []
    for times, name in ((response, "response"), (service, "service")):
        if times:
            values = [
                f"{p.name} {brief(p.value_s)}{'' if p.sure else '?'}" for p in times.percentiles if p.share in _SHARES
            ]
            parts.append(f"{name} {', '.join(values)}")
    return "; ".join(parts).capitalize() + "."
