"""Arrivals, the scheduled first requests of clients: parses ``--arrivals``, and computes when each arrival is due.

Each due time is computed from the integral of the rate, not from the arrival before, so that errors do not add up.
"""

import csv
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchstone.contract.files import read_regular
from touchstone.errors import Unfit, UsageError, checked, nearest

Times = NDArray[np.float64]

MAX_ARRIVALS = 50_000_000  # at 18 bytes each, these fit into 1 GB
PLACE = "--arrivals"

HELP = (
    "Arrivals a second: 20, ramp:5..50 or ramp:5..50/10s, staircase:10..50/5, spike:10..100@8s+2s, poisson: before any "
    "of these, or trace:FILE."
)

_TRACE_FORM = "one time in seconds per line, or a table with a column at_s, and perhaps operation with actions"


class Piece(NamedTuple):
    """Section of a rate curve, from second *from_s* to the next section; *rate_per_s* is the rate at *from_s*."""

    from_s: float
    rate_per_s: float
    slope_per_s2: float = 0.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Rate of arrivals over time."""

    text: str
    pieces: tuple[Piece, ...]  # sections in order. The first section begins at 0, the last section has no end
    # whether arrivals are random and the curve is their mean rate; if not, they follow it exactly
    is_poisson: bool = False

    def __str__(self) -> str:
        return self.text

    def count(self, until_s: float) -> float:
        """Exact integral of the rate from 0 to *until_s*: the expected number of arrivals before *until_s*."""
        from_s, rate, slope = np.array(self.pieces).T
        length_s = np.clip(until_s - from_s, 0, np.append(from_s[1:], math.inf) - from_s)
        return float(np.sum((rate + slope * length_s / 2) * length_s))

    def times(self, counts: Times) -> Times:
        """Inverse of `count`: for each of *counts*, all above 0, the time at which that many arrivals are expected."""
        starts = np.array([self.count(piece.from_s) for piece in self.pieces])
        # A count that is reached just where two pieces meet belongs to the earlier piece: the later may have rate 0.
        number = np.maximum(np.searchsorted(starts, counts, side="left") - 1, 0)
        from_s, rate, slope = np.array(self.pieces).T[:, number]
        rest = counts - starts[number]
        # Solves `rate * x + slope / 2 * x**2 = rest`, in a form without the subtraction that would lose digits.
        found: Times = from_s + 2 * rest / (rate + np.sqrt(np.maximum(rate * rate + 2 * slope * rest, 0)))
        return found

    def due(self, duration_s: float, seed: int) -> Times:
        """Due times of the arrivals before *duration_s*.

        Without Poisson, arrival n, counted from 0, is due when the integral of the rate reaches n + 0.5. With Poisson,
        the sum of n + 1 random numbers with a mean of 1 replaces n + 0.5 (Çinlar's method, exact for any rate).
        """
        total = self.count(duration_s)
        if not self.is_poisson:
            return self.times(np.arange(math.ceil(total - 0.5), dtype=np.float64) + 0.5)
        most = int(total + 10 * math.sqrt(total) + 20)  # more gaps than are ever needed
        sums = np.cumsum(-np.log(np.random.default_rng((seed, 0)).random(most)))
        return self.times(sums[: np.searchsorted(sums, total, side="left")])


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrival times from a file, with the line number of each; *actions* is empty if the file has no actions."""

    path: str
    at_s: tuple[float, ...]  # seconds since the schedule began
    actions: tuple[str, ...] = ()
    lines: tuple[int, ...] = field(default=(), repr=False)

    is_poisson = False

    def __str__(self) -> str:
        return f"trace:{self.path}"

    def count(self, until_s: float) -> float:
        """Number of arrivals before *until_s*."""
        return float(bisect_left(self.at_s, until_s))

    def due(self, duration_s: float, _seed: int) -> Times:
        """Due times of the arrivals before *duration_s*."""
        return np.array(self.at_s[: int(self.count(duration_s))], dtype=np.float64)


Arrivals = Curve | Trace


def parse(text: str, duration_s: float) -> Arrivals:
    """Parses the value of ``--arrivals``; raises `UsageError` if it is invalid. *duration_s*: length of the run."""
    kind, _, rest = text.partition(":")
    if kind == "trace":
        if not rest:
            raise UsageError(f"{PLACE}: found a trace without a file; expected trace:FILE, a file of arrival times")
        return read_trace(Path(rest))
    if kind == "poisson":
        curve = checked(PLACE, text, lambda _: _curve(rest, duration_s, "poisson:"))
        return Curve(f"poisson:{curve.text.removeprefix('constant:')}", curve.pieces, is_poisson=True)
    return checked(PLACE, text, lambda _: _curve(text, duration_s))


def due_times(arrivals: Arrivals, duration_s: float, seed: int) -> Times:
    """Due times of all arrivals before *duration_s*, in order; raises `UsageError` if there are none or too many."""
    expected = arrivals.count(duration_s)
    if expected > MAX_ARRIVALS:
        advice = f"expected at most {MAX_ARRIVALS:,}; lower the rate or shorten the run"
        raise UsageError(f"{PLACE}: {arrivals} makes {expected:,.0f} arrivals in {duration_s:g} s; {advice}")
    # Rounding errors must neither reorder arrivals nor move an arrival past the end.
    found: Times = np.minimum(np.maximum.accumulate(arrivals.due(duration_s, seed)), np.nextafter(duration_s, 0))
    if not len(found):
        raise UsageError(f"{PLACE}: {arrivals} makes no arrival in {duration_s:g} s; raise the rate or run for longer")
    return found


def _curve(text: str, duration_s: float, before: str = "") -> Curve:
    name, colon, rest = text.partition(":")
    if not colon and re.match(r"[-+.\d]", text):
        name, rest = "constant", text
    if name not in _KINDS:
        likes = [f"{before}{like}" for _, like, _ in _KINDS.values()]
        others = [] if before else ["poisson: and one of these", "trace:FILE"]
        known = _KINDS if before else (*_KINDS, "poisson", "trace")
        raise Unfit(f"{', '.join(likes + others)}; {nearest(name, known)}")
    form, like, pieces_of = _KINDS[name]
    match = re.fullmatch(form.replace("NUMBER", r"(\d{1,9}(?:\.\d{1,9})?)"), rest)
    if match is None:
        raise Unfit(f"{before}{like}")
    pieces = pieces_of([float(number) for number in match.groups() if number is not None], duration_s)
    if not any(piece.rate_per_s for piece in pieces):
        raise Unfit(f"{before}{like} with a rate above 0")
    return Curve(f"{name}:{rest}", pieces)


def _ramp(numbers: Sequence[float], duration_s: float) -> tuple[Piece, ...]:
    first, last, over_s = (*numbers, duration_s)[:3]
    if not over_s:
        raise Unfit("a ramp over more than 0 seconds")
    return Piece(0, first, (last - first) / over_s), Piece(over_s, last)


def _staircase(numbers: Sequence[float], duration_s: float) -> tuple[Piece, ...]:
    first, last, levels = numbers[0], numbers[1], int(numbers[2])
    if levels < 2:
        raise Unfit("a staircase of 2 levels or more")
    step = (last - first) / (levels - 1)
    return tuple(Piece(duration_s * level / levels, first + step * level) for level in range(levels))


def _spike(numbers: Sequence[float], duration_s: float) -> tuple[Piece, ...]:
    rate, peak, from_s, length_s = numbers
    if not length_s:
        raise Unfit("a spike that lasts more than 0 seconds")
    if from_s >= duration_s:
        raise Unfit(f"a spike that begins before the run ends, after {duration_s:g} s")
    before = (Piece(0, rate),) if from_s > 0 else ()
    return (*before, Piece(from_s, peak), Piece(from_s + length_s, rate))


# For each kind of curve: pattern of its parameters, an example, and the function that returns its pieces.
_KINDS: Mapping[str, tuple[str, str, Callable[[Sequence[float], float], tuple[Piece, ...]]]] = {
    "constant": (r"NUMBER", "constant:20", lambda numbers, _: (Piece(0, numbers[0]),)),
    "ramp": (r"NUMBER\.\.NUMBER(?:/NUMBERs)?", "ramp:5..50 or ramp:5..50/10s", _ramp),
    "staircase": (r"NUMBER\.\.NUMBER/(\d{1,4})", "staircase:10..50/5", _staircase),
    "spike": (r"NUMBER\.\.NUMBER@NUMBERs\+NUMBERs", "spike:10..100@8s+2s", _spike),
}


def read_trace(path: Path) -> Trace:
    """Reads arrival times from a file: either one time in seconds per line, or CSV with a header.

    CSV has a column ``at_s`` with times and optionally a column ``operation`` with actions of the scenario, such as
    ``read``. Other columns, blank lines and comments after ``#`` are ignored. Raises `UsageError` if the file cannot be
    read, has another form, or contains times out of order.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        message = f"{PLACE}: {path} cannot be read: {error.strerror}; expected a file with {_TRACE_FORM}"
        raise UsageError(message) from None
    except UnicodeDecodeError:
        raise UsageError(f"{PLACE}: {path} is not text; expected {_TRACE_FORM}") from None
    rows = [
        (number, [cell.strip() for cell in next(csv.reader([kept]))])
        for number, line in enumerate(text.splitlines(), start=1)
        if (kept := line.partition("#")[0].strip())
    ]
    if not rows:
        raise UsageError(f"{PLACE}: {path} holds no arrival; expected {_TRACE_FORM}")
    first, columns = rows[0]
    if len(columns) == 1 and columns[0] != "at_s":  # no header: the line is a time
        columns = ["at_s"]
    elif "at_s" not in columns:
        raise UsageError(f"{path}:{first}: found the columns {', '.join(columns)}; expected one of them to be at_s")
    else:
        rows = rows[1:]
    at_s, actions = [0.0], []
    for number, cells in rows:
        values = dict(zip(columns, cells, strict=False))
        at_s.append(_trace_time(values.get("at_s", ""), at_s[-1], f"{path}:{number}"))
        if "operation" in columns:
            actions.append(values.get("operation", ""))
    return Trace(str(path), tuple(at_s[1:]), tuple(actions), tuple(number for number, _ in rows))


def _trace_time(text: str, last_s: float, place: str) -> float:
    try:
        at_s = float(text)
    except ValueError:
        at_s = math.nan
    if not (math.isfinite(at_s) and at_s >= 0):
        raise UsageError(f"{place}: found {text!r}; expected seconds since the run began, such as 12.5")
    if at_s < last_s:
        raise UsageError(f"{place}: found {at_s:g} after {last_s:g}; expected times in order; sort the file")
    return at_s
