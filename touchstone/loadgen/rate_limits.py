"""Whether rate limits by themselves could have refused those starts that were refused and served the others; pure.

Two questions, since a doubt must never accuse. `fits` tries the usual kinds, each at every size up to what was served:
a log of the last starts, a window that opens with the first start after the last one has closed, one that opens by the
clock, and a bucket. That one of them fits proves nothing; that none does is why a run may say that something else
refuses as well. `explains` assumes no kind: what cannot be excluded for any of them is taken for an explanation.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from touchstone.loadgen.record import Start

_MOST_STARTS = 600  # the first so many are enough, and bound what the trials cost
_MOST_SIZES = 200
_MOST_LENGTHS = 8
_TOLERATED_SHARE = 0.02  # of the refused starts might have been served: nobody knows when the target took them up
_ROUNDS = 40
# A window by the clock is hardly ever of another length.
_CLOCK_S = (*range(1, 13), 15, 20, 24, 30, 40, 45, 60, 90, 120, 180, 240, 300, 600, 900, 1800, 3600)
_MOST_GAPS, _OPENINGS_EACH = 4, 12

_SHORTEST_S = 0.001
_STEP = 1.05  # each length that is tried is so many times the one before it
_STRADDLED = 2
_LEFT_OUT = 1  # refusals that may be somebody else's doing

Times = NDArray[np.float64]


def fits(starts: Iterable[Start]) -> bool:
    """Whether one rate limit of a usual kind explains all of *starts*, each of which was served or refused."""
    # A served start counts from when it was sent, a refusal from when it was known: what is early fills, what is late
    # meets what was filled.
    ordered = sorted(starts, key=lambda start: start.sent_at if start.is_served else start.done_at)[:_MOST_STARTS]
    served = sum(start.is_served for start in ordered)
    tolerated = _TOLERATED_SHARE * (len(ordered) - served)
    for size in range(1, min(served, _MOST_SIZES) + 1):
        if _log_fits(ordered, size) or _bucket_fits(ordered, size, tolerated):
            return True
        if any(_windows_fit(ordered, size, length_s, tolerated) for length_s in _lengths_s(ordered, size)):
            return True
    openings = _openings(ordered)
    return any(_clock_fits(ordered, opened_at, length_s, tolerated) for length_s in _CLOCK_S for opened_at in openings)


def _log_fits(starts: Sequence[Start], size: int) -> bool:
    """Whether there are at most *size* starts in any stretch of one length.

    It must be longer than each refusal needs, and no longer than each served start allows.
    """
    taken: list[Start] = []
    needed_s, allowed_s = 0.0, math.inf
    for start in starts:
        oldest = taken[-size] if len(taken) >= size else None
        if start.is_served:
            allowed_s = min(allowed_s, start.done_at - oldest.sent_at) if oldest else allowed_s
            taken.append(start)
        else:
            needed_s = max(needed_s, start.sent_at - oldest.done_at) if oldest else math.inf
    return needed_s < allowed_s


def _lengths_s(starts: Sequence[Start], size: int) -> list[float]:
    """How long a window of *size* starts may be: until a start was served again, or a round number just below that."""
    longest_s: set[float] = set()
    taken: list[Start] = []
    for before, start in zip([None, *starts], starts, strict=False):
        if start.is_served:
            if before is not None and not before.is_served and len(taken) >= size:
                longest_s.add(start.done_at - taken[-size].sent_at)
            taken.append(start)
    return sorted({length_s for most_s in sorted(longest_s)[:_MOST_LENGTHS] for length_s in _round(most_s)})


def _round(most_s: float) -> Iterator[float]:
    """The length itself, and what it would be in whole seconds, halves or tenths."""
    yield most_s
    yield from (length_s for parts in (1, 2, 10) if (length_s := math.floor(most_s * parts) / parts))


def _windows_fit(starts: Sequence[Start], size: int, length_s: float, tolerated: float) -> bool:
    """Whether windows of one length, each of which opens with a start, decide as the target did."""
    opener: Start | None = None
    taken = generous = 0
    for start in starts:
        if start.is_served:
            if opener is None or start.sent_at - opener.sent_at >= length_s or taken == size:
                if opener is not None and start.done_at - opener.sent_at < length_s:
                    return False
                opener, taken = start, 0
            taken += 1
        else:
            generous += opener is None or taken < size or start.sent_at - opener.done_at >= length_s
    return generous <= tolerated


def _openings(starts: Sequence[Start]) -> tuple[float, ...]:
    """Moments at which a window may have opened: between a refused start and the next one that was served.

    Where these are closest to each other, little is left to choose from.
    """
    gaps = sorted((s.done_at - r.sent_at, r.sent_at) for r, s in pairwise(starts) if s.is_served and not r.is_served)
    parts = range(_OPENINGS_EACH + 1)
    return tuple(at + part * length_s / _OPENINGS_EACH for length_s, at in gaps[:_MOST_GAPS] for part in parts)


def _clock_fits(starts: Sequence[Start], opened_at: float, length_s: float, tolerated: float) -> bool:
    """Whether windows of one length that follow each other without a gap decide as the target did.

    Each lets in as many as the fullest of them: one that is not full may refuse nobody.
    """
    windows: dict[int, int] = {}
    needed: list[int] = []
    for start in starts:
        both = {math.floor((at - opened_at) / length_s) for at in (start.sent_at, start.done_at)}
        if start.is_served:
            # Nobody knows which of two windows took it up: the emptier one leaves more room for a fit.
            taker = min(sorted(both), key=lambda number: windows.get(number, 0))
            windows[taker] = windows.get(taker, 0) + 1
        else:
            needed.append(max(windows.get(number, 0) for number in both))
    size = max(windows.values(), default=0)
    return sum(taken < size for taken in needed) <= tolerated


def _bucket_fits(starts: Sequence[Start], size: int, tolerated: float) -> bool:
    """Whether a bucket of *size* tokens, full at first, fits at the slowest pace that serves all that was served."""
    low, high = 0.0, 1e4
    for _ in range(_ROUNDS):
        middle = (low * high) ** 0.5 if low else high / 2
        if _is_served(starts, size, middle):
            high = middle
        else:
            low = middle
        if low and high / low < 1.0002:
            break
    tokens, at, generous = float(size), -math.inf, 0
    for start in starts:
        tokens = min(size, tokens + high * max(0.0, start.sent_at - at))
        at = max(at, start.sent_at)
        if start.is_served:
            tokens -= 1
        else:
            generous += tokens >= 1
    return generous <= tolerated


def _is_served(starts: Sequence[Start], size: int, per_s: float) -> bool:
    """Whether each served start found a token, taken up as late as may be after one taken up as soon as may be."""
    tokens, at = float(size), -math.inf
    for start in starts:
        if start.is_served:
            tokens = min(size, tokens + per_s * max(0.0, start.done_at - at)) - 1
            at = max(at, start.sent_at)
            if tokens < 0:
                return False
    return True


def explains(keys: Sequence[Sequence[Start]], is_of_rate: Callable[[Start], bool], slack_s: float = 0.0) -> bool:
    """Whether a limit of each key explains which of its starts were refused, but for a single one.

    Whatever the numbers of a limit are, and however it counts, in a stretch of time as long as its window a key is
    served at most twice what the limit allows (where windows follow each other, the end of one and the beginning of the
    next), and a start is refused only after as many as it allows. That holds for windows that follow the clock or open
    with a start, for a log of the last starts, and for a bucket of tokens, whose window is the time in which it fills.
    So no limit explains a run if, for windows of each length, twice the fewest starts before a refusal are less than
    the most that were served. All keys are taken to have the same limit. One that counts refused starts is tried, too.

    Args:
        keys: The starts of each key.
        is_of_rate: Whether nothing but a rate can have refused a start.
        slack_s: By how much points in time may be wrong to each other.
    """
    longest_s = _STEP * max([_SHORTEST_S, *(max(s.done_at for s in key) - key[0].sent_at for key in keys if key)])
    steps = int(np.ceil(np.log(longest_s / _SHORTEST_S) / np.log(_STEP))) + 1
    windows = [
        (float(shorter_s) - slack_s, float(longer_s) + slack_s)
        for shorter_s, longer_s in pairwise(_SHORTEST_S * _STEP ** np.arange(steps + 1))
    ]
    for every in (False, True):
        counted = [_Key(key, is_of_rate, every=every) for key in keys]
        if any(_explain(counted, *window) for window in windows):
            return True
    return False


def _explain(keys: Sequence["_Key"], shorter_s: float, longer_s: float) -> bool:
    before = np.concatenate([np.empty(0), *(key.before_refusals(longer_s) for key in keys)])
    if len(before) <= _LEFT_OUT:
        return True
    fewest = np.partition(before, _LEFT_OUT)[_LEFT_OUT]
    return bool(max(key.most(shorter_s) for key in keys) <= _STRADDLED * fewest)


class _Key:
    """What one key started: what a limit may count, what it counts for sure, what it served, and what it refused."""

    def __init__(self, starts: Sequence[Start], is_of_rate: Callable[[Start], bool], *, every: bool) -> None:
        self._may_count = _columns(start for start in starts if every or start.may_act)
        self._counts = _columns(start for start in starts if start.is_served or (every and start.is_refused))
        self._served = _times(start for start in starts if start.is_served)
        self._refused = _times(start for start in starts if start.is_refused and is_of_rate(start))
        self._itself = int(every)

    def before_refusals(self, window_s: float) -> Times:
        """How many starts can have counted when each refused one was refused."""
        sent, done = self._may_count
        begun = np.searchsorted(sent, self._refused[:, 1], side="right")
        gone = np.searchsorted(done, self._refused[:, 0] - window_s, side="left")
        return np.asarray(begun - gone - self._itself, dtype=np.float64)

    def most(self, window_s: float) -> float:
        """The most starts that surely counted within a window in which one was served, itself among them."""
        if not len(self._served):
            return 0.0
        sent, done = self._counts
        # Surely within: sent after the window began, and answered before the served one was sent.
        over = np.searchsorted(done, self._served[:, 0], side="right")
        early = np.searchsorted(sent, self._served[:, 1] - window_s, side="left")
        return float(np.max(np.maximum(over - early, 0))) + 1.0


def _times(starts: Iterable[Start]) -> Times:
    times = [(start.sent_at, start.done_at) for start in starts]
    return np.array(times, dtype=np.float64).reshape(-1, 2)


def _columns(starts: Iterable[Start]) -> tuple[Times, Times]:
    times = _times(starts)
    return np.sort(times[:, 0]), np.sort(times[:, 1])
