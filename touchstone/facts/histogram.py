"""A histogram of durations whose cells are narrower than 0.1 % of what they hold; two of them add up without loss."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

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
    """How many durations fell into which cell.

    Attributes:
        cells: Counts by lower edge in nanoseconds; see `cell`.
        sum_s: The sum of all durations, exact.
        min_s: The shortest one, exact; infinite where there is none.
        max_s: The longest one, exact.
    """

    cells: dict[int, int] = field(default_factory=dict)
    sum_s: float = 0.0
    min_s: float = float("inf")
    max_s: float = 0.0

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
        """The smallest duration that at least *share* of all do not exceed; 0 where there is none.

        It is within 0.05 %, of what is shorter than 2 µs within a nanosecond.

        Args:
            share: From 0 to 1.
            never: How many more there are that never end; where they are needed, the answer is infinity.
        """
        # Rounded, since a share that was a rank over the count times the count may be a bit more than the rank.
        rank = max(1, math.ceil(round(share * (self.count + never), 6)))
        seen = 0
        for edge in sorted(self.cells):
            seen += self.cells[edge]
            if seen >= rank:
                return min(max(middle_s(edge), self.min_s), self.max_s)
        return math.inf if never else 0.0

    def share_above(self, limit_s: float) -> float:
        """The share of durations longer than *limit_s*, up to the width of a cell; 0 where there is none."""
        if self.max_s <= limit_s:
            return 0.0  # exact, where the longest one is in the cell of the limit
        above = sum(count for edge, count in self.cells.items() if middle_s(edge) > limit_s)
        return above / self.count if self.cells else 0.0
