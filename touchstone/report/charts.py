"""Parts of a chart: axes, texts, and shapes in a square of SIDE units that the page stretches; pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from touchstone.facts.wording import brief, figure

SIDE = 1000


class Tick(NamedTuple):
    """One mark on an axis; *share* is its position, from 0 at the left or lower end to 1."""

    share: float
    label: str


class Axis(NamedTuple):
    """One axis; its name includes the unit."""

    name: str
    ticks: tuple[Tick, ...]


class Shape(NamedTuple):
    """One SVG path; *css* are its classes, *title* is its tooltip."""

    d: str
    css: str
    title: str = ""


class Note(NamedTuple):
    """A text in the chart, at the height *share*."""

    share: float
    text: str
    css: str


class Key(NamedTuple):
    """Legend entry of a CSS class; its symbol, *sort*, is ``area``, ``line`` or ``tick``."""

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
        """Position of a value, from 0 to 1."""
        return min(max(value / self.end, 0.0), 1.0)

    def axis(self, name: str) -> Axis:
        """The axis with its ticks."""
        values = [self._step * number for number in range(round(self.end / self._step) + 1)]
        return Axis(name, tuple(Tick(self.share(value), figure(value, 6)) for value in values))


class Log:
    """A logarithmic axis of durations."""

    def __init__(self, least_s: float, most_s: float) -> None:
        least_s = max(least_s, 1e-6)
        low = _nice(least_s, -1)
        # At least a decade, which leaves room for ticks.
        high = _nice(max(most_s, least_s, 5 * low))
        low = _nice(min(low, high / 9.9), -1)
        self._low, self._high = math.log10(low), math.log10(high)

    def share(self, value_s: float) -> float:
        """Position of a duration, from 0 to 1."""
        at = math.log10(max(value_s, 1e-9))
        return min(max((at - self._low) / (self._high - self._low), 0.0), 1.0)

    def at_s(self, share: float) -> float:
        """Duration at a position."""
        return float(10 ** (self._low + share * (self._high - self._low)))

    def axis(self, name: str) -> Axis:
        """The axis with as many ticks as labels fit."""
        # From 2.4 decades on, only labels of powers of ten fit.
        steps = (1, 2, 5) if self._high - self._low < 2.4 else (1,)
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in values if self._low - 1e-9 <= math.log10(value) <= self._high + 1e-9]
        return Axis(name, tuple(Tick(self.share(value), brief(value)) for value in inside))


def _nice(value: float, direction: int = 1) -> float:
    """Next number of the form 1, 2 or 5 times a power of ten, upwards or, for -1, downwards."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    if direction < 0:
        return max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))
    return min(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def clock_axis(length_s: float, since: str = "the schedule began") -> Axis:
    """Axis of the time since an event, in seconds or minutes."""
    unit, factor = ("minutes", 60.0) if length_s > 300 else ("seconds", 1.0)
    step = _nice(max(length_s / factor, 1e-9) / 6)
    count = math.floor(length_s / factor / step + 1e-9)
    ticks = tuple(Tick(step * n * factor / length_s, figure(step * n, 6)) for n in range(count + 1))
    return Axis(f"{unit} since {since}", ticks)


def place(share: float) -> int:
    """A share of the width as a coordinate."""
    return round(share * SIDE)


def height(share: float) -> int:
    """A share of the height as a coordinate; coordinates count from the top."""
    return SIDE - round(share * SIDE)


def bars(columns: Sequence[tuple[float, float]], count: int) -> str:
    """Path of adjacent bars, each from one share of the height to another; empty ones are left out."""
    parts = []
    for number, (low, high) in enumerate(columns):
        bottom, top = height(low), height(high)
        if top < bottom:
            left, right = place(number / count), place((number + 1) / count)
            gap = 1 if count > 120 else min(8, (right - left) // 5)
            parts.append(f"M{left} {bottom}V{top}H{max(right - gap, left + 1)}V{bottom}z")
    return "".join(parts)


def line(points: Iterable[tuple[float, float]]) -> str:
    """Path through points, given as shares of width and height."""
    coordinates = [f"{place(x)} {height(y)}" for x, y in points]
    return "M" + "L".join(coordinates) if coordinates else ""


def stairs(points: Sequence[tuple[float, float]], end: float) -> str:
    """Path that keeps its height until the next point, and from the last one until *end*."""
    if not points:
        return ""
    steps = "".join(f"H{place(x)}V{height(y)}" for x, y in points[1:])
    return f"{line(points[:1])}{steps}H{place(end)}"
