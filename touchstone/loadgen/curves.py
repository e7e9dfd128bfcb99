"""Arrival rates as functions of the seconds since a run began, with their exact integrals and the inverse of those.

Every curve is a row of pieces on each of which the rate is a straight line. Its integral is a quadratic there, and is
inverted as one: no step size, and no error that grows with the length of a run.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchstone.loadgen.chance import exponentials

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a curve, up to where the next one begins.

    Attributes:
        from_s: Where it begins.
        rate_per_s: The rate there.
        slope_per_s2: By how much the rate grows each second.
    """

    from_s: float
    rate_per_s: float
    slope_per_s2: float = 0.0

    def rate(self, at_s: float) -> float:
        """The rate at a time that lies on this piece."""
        return self.rate_per_s + self.slope_per_s2 * (at_s - self.from_s)

    def count(self, until_s: float) -> float:
        """How many arrivals this piece expects from its beginning to *until_s*."""
        length_s = until_s - self.from_s
        return (self.rate_per_s + self.slope_per_s2 * length_s / 2) * length_s


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate that the schedule follows to the arrival.

    Attributes:
        text: How it is written for ``--arrivals``.
        pieces: In order; the first one begins at 0, the last one has no end.
    """

    text: str
    pieces: tuple[Piece, ...]

    def __str__(self) -> str:
        return self.text

    def rate(self, at_s: float) -> float:
        """Arrivals a second at *at_s*; at a step it is what begins there."""
        return max((piece for piece in self.pieces if piece.from_s <= at_s), key=_from_s).rate(at_s)

    def count(self, until_s: float) -> float:
        """The exact integral of the rate from 0 to *until_s*: how many arrivals are expected before it."""
        ends = [*(piece.from_s for piece in self.pieces[1:]), math.inf]
        passed = (
            piece.count(min(end, until_s))
            for piece, end in zip(self.pieces, ends, strict=True)
            if piece.from_s < until_s
        )
        return math.fsum(passed)

    def times(self, counts: Times) -> Times:
        """When the integral reaches each of *counts*: the inverse of `count`.

        Args:
            counts: Above 0, and no more than the curve ever reaches.
        """
        starts = np.array([self.count(piece.from_s) for piece in self.pieces])
        # A count at the very edge of two pieces belongs to the earlier one: the later one may be a pause.
        number = np.maximum(np.searchsorted(starts, counts, side="left") - 1, 0)
        from_s, rate, slope = (
            np.array(values)[number]
            for values in zip(*((p.from_s, p.rate_per_s, p.slope_per_s2) for p in self.pieces), strict=True)
        )
        rest = counts - starts[number]
        # The root of `rate * x + slope / 2 * x**2 = rest`, in the form that has no difference in it to lose digits by.
        root = np.sqrt(np.maximum(rate * rate + 2 * slope * rest, 0))
        found: Times = from_s + 2 * rest / (rate + root)
        return found

    def due(self, duration_s: float, _seed: int) -> Times:
        """When each arrival before *duration_s* is due: the n-th one, from 0, where the integral is n + 0.5.

        Not where it is n: that puts the first arrival at 0 and the last one onto the end of the run, where the last
        bit of a product says whether it is in it. Half an arrival further in, as many arrivals are due in any time
        from the beginning as the integral rounds to, and none is near an edge.
        """
        arrivals = math.ceil(self.count(duration_s) - 0.5)
        return self.times(np.arange(arrivals, dtype=np.float64) + 0.5)


@dataclass(frozen=True, slots=True)
class Poisson:
    """Arrivals that know nothing of each other, at a mean rate that follows a curve."""

    curve: Curve

    def __str__(self) -> str:
        return f"poisson:{self.curve.text.removeprefix('constant:')}"

    def rate(self, at_s: float) -> float:
        """The mean of arrivals a second at *at_s*."""
        return self.curve.rate(at_s)

    def count(self, until_s: float) -> float:
        """The mean of arrivals before *until_s*."""
        return self.curve.count(until_s)

    def due(self, duration_s: float, seed: int) -> Times:
        """When each arrival before *duration_s* is due, by *seed*.

        Gaps are drawn in expected arrivals instead of in seconds, where they all have a mean of 1, and the curve says
        when that many are over: Çinlar's method, which is exact for any rate.
        """
        return self.curve.times(exponentials(seed, self.count(duration_s)))


def constant(rate_per_s: float) -> Curve:
    """The same rate for ever."""
    return Curve(f"constant:{written(rate_per_s)}", (Piece(0, rate_per_s),))


def ramp(first_per_s: float, last_per_s: float, over_s: float, *, is_whole_run: bool) -> Curve:
    """From one rate to another in a straight line, and then on at that.

    Args:
        is_whole_run: Whether *over_s* is how long the run takes, which the text leaves out.
    """
    text = f"ramp:{written(first_per_s)}..{written(last_per_s)}{'' if is_whole_run else f'/{written(over_s)}s'}"
    slope = (last_per_s - first_per_s) / over_s
    return Curve(text, (Piece(0, first_per_s, slope), Piece(over_s, last_per_s)))


def staircase(first_per_s: float, last_per_s: float, levels: int, duration_s: float) -> Curve:
    """From one rate to another in *levels* equal steps, each of them as long as the others."""
    step = (last_per_s - first_per_s) / (levels - 1)
    pieces = (Piece(duration_s * level / levels, first_per_s + step * level) for level in range(levels))
    return Curve(f"staircase:{written(first_per_s)}..{written(last_per_s)}/{levels}", tuple(pieces))


def spike(rate_per_s: float, peak_per_s: float, from_s: float, length_s: float) -> Curve:
    """One rate, and another one for a while."""
    text = f"spike:{written(rate_per_s)}..{written(peak_per_s)}@{written(from_s)}s+{written(length_s)}s"
    before = (Piece(0, rate_per_s),) if from_s > 0 else ()
    return Curve(text, (*before, Piece(from_s, peak_per_s), Piece(from_s + length_s, rate_per_s)))


def written(value: float) -> str:
    """A number as short as it reads back."""
    return str(int(value)) if value == int(value) else repr(value)


def _from_s(piece: Piece) -> float:
    return piece.from_s
