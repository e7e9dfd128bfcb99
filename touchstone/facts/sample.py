"""Measurements of a load run: samples of single requests, histograms of durations, and windows of one second."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter

# A cell is a bucket of a histogram. Its key is its lower edge in nanoseconds. With 2**10 cells for each doubling, edges
# differ by less than 0.098 %, and the middle of a cell differs by less than 0.049 % from any value in it.
_CELL_BITS = 11
_NS = 1_000_000_000


def cell(value_s: float) -> int:
    """Returns the lower edge, in nanoseconds, of the cell (bucket) that contains *value_s*; 0 for a negative value."""
    ns = int(value_s * _NS)
    if ns <= 0:
        return 0
    shift = ns.bit_length() - _CELL_BITS
    return ns >> shift << shift if shift > 0 else ns


def middle_s(edge: int) -> float:
    """Returns the middle, in seconds, of the histogram cell whose lower edge is *edge* nanoseconds."""
    shift = edge.bit_length() - _CELL_BITS
    return (edge + (1 << shift) / 2) / _NS if shift > 0 else edge / _NS


@dataclass(slots=True)
class Histogram:
    """Histogram of durations: the number of durations in each cell (bucket)."""

    cells: dict[int, int] = field(default_factory=dict)  # Counts by lower edge in nanoseconds; see `cell`.
    sum_s: float = 0.0  # Exact sum of all durations.
    min_s: float = float("inf")  # Exact minimum; infinite without durations.
    max_s: float = 0.0  # Exact maximum.

    def add(self, value_s: float, count: int = 1) -> None:
        """Counts a duration *count* times; a negative duration counts as zero."""
        value_s = max(value_s, 0.0)
        edge = cell(value_s)
        self.cells[edge] = self.cells.get(edge, 0) + count
        self.sum_s += value_s * count
        self.min_s = min(self.min_s, value_s)
        self.max_s = max(self.max_s, value_s)

    def merge(self, other: "Histogram") -> None:
        """Adds the counts of *other*."""
        for edge, count in other.cells.items():
            self.cells[edge] = self.cells.get(edge, 0) + count
        self.sum_s += other.sum_s
        self.min_s = min(self.min_s, other.min_s)
        self.max_s = max(self.max_s, other.max_s)

    @classmethod
    def merged(cls, parts: Iterable["Histogram"]) -> Self:
        """Returns the sum of several histograms."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    @property
    def count(self) -> int:
        """Number of durations."""
        return sum(self.cells.values())

    @property
    def mean_s(self) -> float:
        """Mean duration; 0 without durations."""
        return self.sum_s / self.count if self.cells else 0.0

    def quantile_s(self, share: float, never: int = 0) -> float:
        """Returns the quantile *share* of the durations, within 0.05 %; 0 without durations.

        *share*: from 0 to 1, such as 0.99; *never*: number of infinite durations in addition, such as no response.
        """
        # Rounded, because rank / count * count can be slightly more than rank.
        rank = max(1, math.ceil(round(share * (self.count + never), 6)))
        below = 0
        for edge in sorted(self.cells):
            below += self.cells[edge]
            if below >= rank:
                return min(max(middle_s(edge), self.min_s), self.max_s)
        return math.inf if never else 0.0

    def share_above(self, limit_s: float) -> float:
        """Returns the share of durations longer than *limit_s*, to within 0.1 % of *limit_s*; 0 without durations."""
        if self.max_s <= limit_s:
            return 0.0  # exact, even if the longest duration is in the same cell as the limit
        above = sum(count for edge, count in self.cells.items() if middle_s(edge) > limit_s)
        return above / self.count if self.cells else 0.0


def _encode(histogram: Histogram) -> dict[str, Any] | None:
    if not histogram.cells:
        return None
    sums = {name: round(getattr(histogram, name), 9) for name in ("sum_s", "min_s", "max_s")}
    return {"cells": sorted([edge, count] for edge, count in histogram.cells.items()), **sums}


def _decode(value: Any) -> Histogram:
    if value is None or isinstance(value, Histogram):
        return value or Histogram()
    try:
        cells = _CELLS.validate_python(dict(value["cells"]))
        sums = (_SUM.validate_python(value[name]) for name in ("sum_s", "min_s", "max_s"))
        return Histogram(cells, *sums) if cells else Histogram()
    except (TypeError, ValueError, KeyError):
        raise ValueError("expected the cells of a histogram") from None


_Whole = Annotated[int, Field(strict=True, ge=0)]
_Seconds = Annotated[float, Field(ge=0), PlainSerializer(lambda at_s: round(at_s, 6))]
_CELLS = TypeAdapter(dict[_Whole, _Whole])
_SUM = TypeAdapter(Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)])
_Stored = Annotated[Histogram, PlainSerializer(_encode), PlainValidator(_decode)]


# Outcomes without a status: no complete response, interrupted by the end of the run, and never sent.
NO_ANSWER = "no-answer"
CUT_OFF = "cut-off"
UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed request; times are seconds since the start of the run."""

    operation: str  # operationId of the contract.
    outcome: str  # Status as text, such as ``202``, or NO_ANSWER or CUT_OFF.
    intended_at: float  # Scheduled time of sending; in a closed model, the actual time of sending.
    sent_at: float  # Just before the first byte was written.
    done_at: float  # Arrival of the last byte of the response, or the end of waiting.
    body_bytes: int = 0  # Length of the response body.

    @property
    def late_s(self) -> float:
        """How many seconds after its scheduled time the load generator sent the request."""
        return self.sent_at - self.intended_at


@dataclass(slots=True)
class Window:
    """Sum of the samples of one worker that have the same second, operation and outcome."""

    worker: _Whole  # Number of the worker, from 0.
    at_s: _Whole  # Start of the second in which the samples were due.
    operation: str
    outcome: str  # As in `Sample`, or UNSENT: then, the histograms are empty.
    count: _Whole = 0  # Number of samples, or of requests that were due and not sent.
    response: _Stored = field(default_factory=Histogram)
    service: _Stored = field(default_factory=Histogram)
    late: _Stored = field(default_factory=Histogram)
    body_bytes: _Whole = 0
    paced: Annotated[bool, Field(strict=True)] = True  # Whether a schedule set the times of sending.
    done_at: _Seconds = 0.0  # End of the last sample; 0 if unknown.

    def add(self, sample: Sample) -> None:
        """Adds one sample."""
        self.count += 1
        self.response.add(sample.done_at - sample.intended_at)
        self.service.add(sample.done_at - sample.sent_at)
        self.late.add(sample.late_s)
        self.body_bytes += sample.body_bytes
        self.done_at = max(self.done_at, sample.done_at)
