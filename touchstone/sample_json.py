"""
The JSON form of a window of samples: each histogram as a list of cells, empty ones as null.
"""

from typing import Any

from touchstone.histogram import Histogram
from touchstone.sample import Window

_NUMBERS = ("worker", "at_s", "count", "body_bytes")
_HISTOGRAMS = ("response", "service", "late")


def encode(window: Window) -> dict[str, Any]:
    """
    The window as JSON values.
    """
    plain = {name: getattr(window, name) for name in (*_NUMBERS, "operation", "outcome", "paced")}
    return plain | {name: _encode(getattr(window, name)) for name in _HISTOGRAMS}


def decode(event: dict[str, Any]) -> Window:
    """
    The window that `encode` wrote.

    Raises:
        ValueError: the event is something else; the message names the field.
    """
    values: dict[str, Any] = {name: _number(event, name) for name in _NUMBERS}
    values |= {name: _decode(event.get(name), name) for name in _HISTOGRAMS}
    operation, outcome = str(event.get("operation", "")), str(event.get("outcome", ""))
    return Window(**values, operation=operation, outcome=outcome, paced=bool(event.get("paced", True)))


def _number(event: dict[str, Any], name: str) -> int:
    value = event.get(name)
    if isinstance(value, int):
        return value
    raise ValueError(f"{name}: expected a whole number, got {value!r:.80}")


def _encode(histogram: Histogram) -> dict[str, Any] | None:
    if not histogram.cells:
        return None
    return {
        "cells": sorted([edge, count] for edge, count in histogram.cells.items()),
        "sum_s": round(histogram.sum_s, 9),
        "min_s": round(histogram.min_s, 9),
        "max_s": round(histogram.max_s, 9),
    }


def _decode(value: Any, name: str) -> Histogram:
    if value is None:
        return Histogram()
    try:
        cells = {int(edge): int(count) for edge, count in value["cells"]}
        return Histogram(cells, float(value["sum_s"]), float(value["min_s"]), float(value["max_s"]))
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"{name}: expected the cells of a histogram, got {value!r:.80}") from None
