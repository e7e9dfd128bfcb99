"""The time of a run cut into columns that a chart has room for; pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from touchstone.report.load_view import LoadView

MOST_COLUMNS = 240


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
    last = [second.at_s + 1.0 for second in load.numbers.seconds[-1:]]
    return _columns(load.origin_s, max([*last, _last_build_s(load)]))


def columns_of_builds(load: LoadView) -> Columns:
    """The columns of the time in which builds were started and in flight."""
    return _columns(load.origin_s, max([_last_build_s(load), *(a.done_at for a in load.attempts)]))


def _last_build_s(load: LoadView) -> float:
    return load.capacity.steps[-1].at_s if load.capacity and load.capacity.steps else 0.0


def _columns(origin_s: int, end_s: float) -> Columns:
    length_s = max(1, math.ceil(end_s - origin_s))
    width_s = math.ceil(length_s / MOST_COLUMNS)
    return Columns(origin_s, width_s, math.ceil(length_s / width_s))


def most(values: Iterable[float]) -> float:
    """The largest of *values*, at least 1 for an axis."""
    return max([1.0, *values])
