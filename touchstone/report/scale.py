"""A scale of time that shortens the pauses in which nothing happened, so that what happened has room."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_LONG_SHARE = 0.55  # a pause that takes more of the line than this is shortened
_SHORT_SHARE = 0.04  # to this
_MOST = 3


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is drawn shorter than it was."""

    start_share: float
    width_share: float
    length_s: float


class Scale:
    """Maps points in time to shares of a line, from 0 at the first beginning to 1 at the last end.

    Args:
        busy: When something happened, as beginnings and ends in seconds, in the order of the beginnings.
    """

    def __init__(self, busy: Sequence[tuple[float, float]]) -> None:
        self.begin_s = busy[0][0]
        self.end_s = max(self.begin_s + 0.001, *(end for _, end in busy))
        gaps = _gaps(busy)
        long = _long(gaps, self.end_s - self.begin_s)
        edges = [self.begin_s, *(edge for gap in gaps if gap in long for edge in gap), self.end_s]
        drawn_s = (self.end_s - self.begin_s) - sum(end - begin for begin, end in long)
        per_s = (1 - _SHORT_SHARE * len(long)) / drawn_s
        self._edges, self._shares = edges, [0.0]
        for number, (begin, end) in enumerate(pairwise(edges)):
            width = _SHORT_SHARE if number % 2 else (end - begin) * per_s
            self._shares.append(self._shares[-1] + width)
        starts = range(1, len(edges) - 1, 2)
        self.pauses = tuple(Pause(self._shares[n], _SHORT_SHARE, edges[n + 1] - edges[n]) for n in starts)

    def share(self, at_s: float) -> float:
        """Where *at_s* lies on the line."""
        number = min(max(bisect_right(self._edges, at_s) - 1, 0), len(self._edges) - 2)
        begin, end = self._edges[number], self._edges[number + 1]
        within = (at_s - begin) / (end - begin) if end > begin else 0.0
        return self._shares[number] + within * (self._shares[number + 1] - self._shares[number])


def _gaps(busy: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    gaps, until = [], busy[0][1]
    for begin, end in busy:
        if begin > until:
            gaps.append((until, begin))
        until = max(until, end)
    return gaps


def _long(gaps: list[tuple[float, float]], length_s: float) -> set[tuple[float, float]]:
    """The gaps to shorten: each that would take more than its share of what the longer ones leave."""
    long: set[tuple[float, float]] = set()
    for gap in sorted(gaps, key=lambda g: g[0] - g[1]):
        width_s = gap[1] - gap[0]
        if width_s <= _LONG_SHARE * length_s or len(long) == _MOST:
            break
        long.add(gap)
        length_s -= width_s
    return long
