"""The JSON form of a window of samples: each histogram as a list of cells, empty ones as null."""

import math
from typing import Any

from touchstone.facts.histogram import Histogram
from touchstone.facts.sample import Window

_NUMBERS = ("worker", "at_s", "count", "body_bytes")
_TEXTS = ("operation", "outcome")
_HISTOGRAMS = ("response", "service", "late")


def encode(window: Window) -> dict[str, Any]:
    """The window as JSON values."""
    plain = {name: getattr(window, name) for name in (*_NUMBERS, *_TEXTS, "paced")}
    plain["done_at"] = round(window.done_at, 6)
    return plain | {name: _encode(getattr(window, name)) for name in _HISTOGRAMS}


def decode(event: dict[str, Any]) -> Window:
    """The window that `encode` wrote.

    Raises:
        ValueError: the event is something else; the message names the field.
    """
    values: dict[str, Any] = {name: _number(event, name) for name in _NUMBERS}
    values |= {name: _text(event, name) for name in _TEXTS}
    values |= {name: _decode(event.get(name), name) for name in _HISTOGRAMS}
    paced = event.get("paced", True)
    if paced is not True and paced is not False:
        raise ValueError(f"paced: expected true or false, got {paced!r:.80}")
    try:
        return Window(**values, paced=paced, done_at=_seconds(event.get("done_at", 0.0)))
    except ValueError:
        raise ValueError(f"done_at: expected seconds, 0 or more, got {event['done_at']!r:.80}") from None


def _number(event: dict[str, Any], name: str) -> int:
    value = event.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{name}: expected a whole number of 0 or more, got {value!r:.80}")


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if isinstance(value, str):
        return value
    raise ValueError(f"{name}: expected a text, got {value!r:.80}")


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
        cells = {_whole(edge): _whole(count) for edge, count in value["cells"]}
        return (
            Histogram()
            if not cells
            else Histogram(cells, _seconds(value["sum_s"]), _seconds(value["min_s"]), _seconds(value["max_s"]))
        )
    except (TypeError, ValueError, KeyError, OverflowError):
        raise ValueError(f"{name}: expected the cells of a histogram, got {value!r:.80}") from None


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise ValueError
