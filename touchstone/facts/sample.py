"""Timed requests under load: one sample, a histogram of durations, and the samples of one second that are alike."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter

# A cell is named by its lower edge in nanoseconds. 2**10 cells an octave: an edge and the next one are less than
# 0.098 % apart, and the middle of a cell is less than 0.049 % from whatever fell into it.
_CELL_BITS = 11
_NS = 1_000_000_000


def cell(value_s: float) -> int:
    """The lower edge in nanoseconds of the cell that *value_s* falls into; nothing is shorter than nothing."""
    ns = int(value_s * _NS)
    if ns <= 0:
        return 0
    shift = ns.bit_length() - _CELL_BITS
    return ns >> shift << shift if shift > 0 else ns


def middle_s(edge: int) -> float:
    """The middle in seconds of the cell with the lower edge *edge*."""
    shift = edge.bit_length() - _CELL_BITS
    return (edge + (1 << shift) / 2) / _NS if shift > 0 else edge / _NS


@dataclass(slots=True)
class Histogram:
    """How many durations fell into which cell."""

    cells: dict[int, int] = field(default_factory=dict)  # Counts by lower edge in nanoseconds; see `cell`.
    sum_s: float = 0.0  # The sum of all durations, exact.
    min_s: float = float("inf")  # The shortest one, exact; infinite where there is none.
    max_s: float = 0.0  # The longest one, exact.

    def add(self, value_s: float, count: int = 1) -> None:
        """Counts a duration, or the same one several times. One below zero counts as zero."""
        value_s = max(value_s, 0.0)
        edge = cell(value_s)
        self.cells[edge] = self.cells.get(edge, 0) + count
        self.sum_s += value_s * count
        self.min_s = min(self.min_s, value_s)
        self.max_s = max(self.max_s, value_s)

    def merge(self, other: "Histogram") -> None:
        """Adds all that *other* counted."""
        for edge, count in other.cells.items():
            self.cells[edge] = self.cells.get(edge, 0) + count
        self.sum_s += other.sum_s
        self.min_s = min(self.min_s, other.min_s)
        self.max_s = max(self.max_s, other.max_s)

    @classmethod
    def merged(cls, parts: Iterable["Histogram"]) -> Self:
        """The sum of several."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.cells.values())

    @property
    def mean_s(self) -> float:
        """Their mean; 0 where there is none."""
        return self.sum_s / self.count if self.cells else 0.0

    def quantile_s(self, share: float, never: int = 0) -> float:
        """The smallest duration, to 0.05 %, that at least *share* of all do not exceed; 0 where there is none.

        Args:
            share: From 0 to 1.
            never: How many more there are that never end; where they are needed, the answer is infinity.
        """
        # Rounded, since a share that was a rank over the count times the count may be a bit more than the rank.
        rank = max(1, math.ceil(round(share * (self.count + never), 6)))
        below = 0
        for edge in sorted(self.cells):
            below += self.cells[edge]
            if below >= rank:
                return min(max(middle_s(edge), self.min_s), self.max_s)
        return math.inf if never else 0.0

    def share_above(self, limit_s: float) -> float:
        """The share of durations longer than *limit_s*, up to the width of a cell; 0 where there is none."""
        if self.max_s <= limit_s:
            return 0.0  # exact, where the longest one is in the cell of the limit
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


# Outcomes that are no status: the request got no complete answer, had none yet when the run was stopped and it was cut
# off with it, or was never sent.
NO_ANSWER = "no-answer"
CUT_OFF = "cut-off"
UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed request; all times in seconds since the run started."""

    operation: str  # operationId of the contract.
    outcome: str  # The status as text, such as ``202``, NO_ANSWER, or CUT_OFF.
    intended_at: float  # When the schedule said that it was to be sent. In a closed model, when it was sent.
    sent_at: float  # Just before its first byte was written.
    done_at: float  # When the last byte of the answer had arrived, or the request was given up or cut off.
    body_bytes: int = 0  # Length of the answer's body.

    @property
    def response_s(self) -> float:
        """What a user waited: from the moment at which the request was due."""
        return self.done_at - self.intended_at

    @property
    def service_s(self) -> float:
        """What the target took: from the moment at which the request was sent."""
        return self.done_at - self.sent_at

    @property
    def late_s(self) -> float:
        """What the generator added: from due to sent."""
        return self.sent_at - self.intended_at


@dataclass(slots=True)
class Window:
    """The samples of an operation and outcome that a worker was to send within a second; those alike add up."""

    worker: _Whole  # Number of the worker, from 0.
    at_s: _Whole  # The second: samples are intended from here to one later.
    operation: str
    outcome: str  # See `Sample`; UNSENT counts arrivals and has empty histograms.
    count: _Whole = 0  # How many samples, or how many unsent arrivals.
    response: _Stored = field(default_factory=Histogram)
    service: _Stored = field(default_factory=Histogram)
    late: _Stored = field(default_factory=Histogram)
    body_bytes: _Whole = 0
    paced: Annotated[bool, Field(strict=True)] = True  # Whether a schedule, not another request, set the moment.
    done_at: _Seconds = 0.0  # When the last of them was done; 0 where nobody wrote it down.

    def add(self, sample: Sample) -> None:
        """Counts one sample."""
        self.count += 1
        self.response.add(sample.response_s)
        self.service.add(sample.service_s)
        self.late.add(sample.late_s)
        self.body_bytes += sample.body_bytes
        self.done_at = max(self.done_at, sample.done_at)
