"""Latency by percentile: how long answers take, with as many nines as the samples carry; pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.facts.figures import brief
from touchstone.facts.histogram import Histogram, middle_s
from touchstone.loadgen.metrics import ALL, FEW, LASTING, Metrics, Operation, Times, name_of
from touchstone.report.chart import Axis, Chart, Key, Log, Shape, Tick, line
from touchstone.rules.verdict import plural

_POINTS = 72
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
_KEYS = {"response": "response time, from due", "service": "service time, from sent"}


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
    seen = np.cumsum([cells.cells[edge] for edge in edges])
    ranks = np.maximum(np.ceil(count * (1 - 10.0**-at) - 1e-9), 1)
    places = np.searchsorted(seen, ranks[ranks <= seen[-1]])
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
    return tuple(_chart(one, nines, _scale([one]) if one.name in LASTING else scale) for one, _ in drawn)


def _scale(operations: Iterable[Operation]) -> Log:
    kinds = [times for one in operations for times in (one.whole.response, one.whole.service) if times]
    return Log(
        min(times.cells.quantile_s(0.01) for times in kinds), max(times.cells.quantile_s(0.999) for times in kinds)
    )


def _chart(one: Operation, nines: float, scale: Log) -> Chart:
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
        words=_words(response, service),
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


def _words(response: Times | None, service: Times | None) -> str:
    parts = []
    for times, name in ((response, "response"), (service, "service")):
        if times:
            told = [
                f"{p.name} {brief(p.value_s)}{'' if p.sure else '?'}" for p in times.percentiles if p.share in _SHARES
            ]
            parts.append(f"{name} {', '.join(told)}")
    return "; ".join(parts).capitalize() + "."
