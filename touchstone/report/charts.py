"""Parts of a chart: axes, texts and shapes. Shapes lie in a square of SIDE by SIDE units, which the page stretches."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from touchstone.facts.wording import brief, figure

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


class Linear:
    """A linear axis from 0 to at least *most*."""

    def __init__(self, most: float, ticks: int = 4) -> None:
        most = max(most, 1e-9)
        self._step = _nice(most / ticks)
        self.end = self._step * math.ceil(most / self._step - 1e-9)

    def share(self, value: float) -> float:
        """Position of a value on the axis, from 0 to 1; a value beyond an end gets that end."""
        return min(max(value / self.end, 0.0), 1.0)

    def axis(self, name: str) -> Axis:
        """The axis called *name*, with its ticks."""
        values = [self._step * number for number in range(round(self.end / self._step) + 1)]
        return Axis(name, tuple(Tick(self.share(value), figure(value, 6)) for value in values))


class Log:
    """A logarithmic axis of durations."""

    def __init__(self, least_s: float, most_s: float) -> None:
        least_s = max(least_s, 1e-6)
        low = _nice(least_s, -1)
        # The upper end is at least ten times the lower end, so that the axis has several ticks.
        high = _nice(max(most_s, least_s, 5 * low))
        low = _nice(min(low, high / 9.9), -1)
        self._low, self._high = math.log10(low), math.log10(high)

    def share(self, value_s: float) -> float:
        """Position of a duration on the axis, from 0 to 1; a duration beyond an end gets that end."""
        at = math.log10(max(value_s, 1e-9))
        return min(max((at - self._low) / (self._high - self._low), 0.0), 1.0)

    def axis(self, name: str) -> Axis:
        """The axis called *name*, with as many ticks as there is room for labels."""
        # If the axis spans more than 2.4 powers of ten, only the powers of ten get a label.
        steps = (1, 2, 5) if self._high - self._low < 2.4 else (1,)
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in values if self._low - 1e-9 <= math.log10(value) <= self._high + 1e-9]
        return Axis(name, tuple(Tick(self.share(value), brief(value)) for value in inside))


def _nice(value: float, direction: int = 1) -> float:
    """Rounds to 1, 2 or 5 times a power of ten: up, or down if *direction* is negative."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    if direction < 0:
        return max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))
    return min(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def clock_axis(length_s: float, since: str = "the schedule began") -> Axis:
    """Axis of the time since the event *since*: in seconds, or in minutes if *length_s* is above 300."""
    unit, factor = ("minutes", 60.0) if length_s > 300 else ("seconds", 1.0)
    step = _nice(max(length_s / factor, 1e-9) / 6)
    count = math.floor(length_s / factor / step + 1e-9)
    ticks = tuple(Tick(step * n * factor / length_s, figure(step * n, 6)) for n in range(count + 1))
    return Axis(f"{unit} since {since}", ticks)


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
