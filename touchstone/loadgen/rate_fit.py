"""Whether one rate limit by itself could have refused those starts that were refused and served the others; pure.

Four kinds are tried, each at every size up to what was served: a log of the last starts, a window that opens with the
first start after the last one has closed, one that opens by the clock, and a bucket. That one of them fits proves
nothing; that none does is why a run may say that something else refuses as well.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_MOST_STARTS = 600  # the first so many are enough to tell, and bound what the trials cost
_MOST_SIZES = 200
_MOST_LENGTHS = 8
_TOLERATED_SHARE = 0.02  # of the refused starts might have been served: nobody knows when the target took them up
_ROUNDS = 40
# A window by the clock is hardly ever of another length.
_CLOCK_S = (*range(1, 13), 15, 20, 24, 30, 40, 45, 60, 90, 120, 180, 240, 300, 600, 900, 1800, 3600)
_MOST_GAPS, _OPENINGS_EACH = 4, 12


@dataclass(frozen=True, slots=True)
class Decided:
    """One start that was served or refused, somewhere between these two moments."""

    sent_at: float
    done_at: float
    served: bool


def fits(starts: Sequence[Decided]) -> bool:
    """Whether one rate limit explains all of *starts*."""
    # A served start counts from when it was sent, a refusal from when it was known: what is early fills, what is late
    # meets what was filled.
    ordered = sorted(starts, key=lambda start: start.sent_at if start.served else start.done_at)[:_MOST_STARTS]
    served = sum(start.served for start in ordered)
    sizes = range(1, min(served, _MOST_SIZES) + 1)
    if any(_log_fits(ordered, size) or _window_fits(ordered, size) or _bucket_fits(ordered, size) for size in sizes):
        return True
    openings = _openings(ordered)
    return any(_clock_fits(ordered, opened_at, length_s) for length_s in _CLOCK_S for opened_at in openings)


def _tolerated(starts: Sequence[Decided]) -> float:
    return _TOLERATED_SHARE * sum(not start.served for start in starts)


def _log_fits(starts: Sequence[Decided], size: int) -> bool:
    """At most *size* starts in any stretch of one length.

    It must be longer than each refusal needs, and no longer than each served start allows.
    """
    taken: list[Decided] = []
    needed_s, allowed_s = 0.0, float("inf")
    for start in starts:
        oldest = taken[-size] if len(taken) >= size else None
        if start.served:
            allowed_s = min(allowed_s, start.done_at - oldest.sent_at) if oldest else allowed_s
            taken.append(start)
        else:
            needed_s = max(needed_s, start.sent_at - oldest.done_at) if oldest else float("inf")
    return needed_s < allowed_s


def _window_fits(starts: Sequence[Decided], size: int) -> bool:
    """At most *size* starts from the first one on, for one length of time.

    It is at most as long as it took until a start was served again, and likely a round number below that.
    """
    longest_s: set[float] = set()
    taken: list[Decided] = []
    for before, start in zip([None, *starts], starts, strict=False):
        if start.served:
            if before is not None and not before.served and len(taken) >= size:
                longest_s.add(start.done_at - taken[-size].sent_at)
            taken.append(start)
    lengths_s = {round_s for most_s in sorted(longest_s)[:_MOST_LENGTHS] for round_s in _round(most_s)}
    return any(_windows_decide(starts, size, length_s) for length_s in sorted(lengths_s))


def _round(most_s: float) -> Iterator[float]:
    """The length itself, and what it would be if it were told in whole seconds, halves or tenths."""
    yield most_s
    for parts in (1, 2, 10):
        if length_s := math.floor(most_s * parts) / parts:
            yield length_s


def _windows_decide(starts: Sequence[Decided], size: int, length_s: float) -> bool:
    """Whether windows of one length decide as the target did."""
    opener: Decided | None = None
    taken = generous = 0
    for start in starts:
        if start.served:
            if opener is None or start.sent_at - opener.sent_at >= length_s or taken == size:
                if opener is not None and start.done_at - opener.sent_at < length_s:
                    return False
                opener, taken = start, 0
            taken += 1
        else:
            generous += opener is None or taken < size or start.sent_at - opener.done_at >= length_s
    return generous <= _tolerated(starts)


def _openings(starts: Sequence[Decided]) -> tuple[float, ...]:
    """Moments at which a window may have opened: between a refused start and the next one that was served.

    Where these are closest to each other, little is left to choose from.
    """
    gaps = sorted((s.done_at - r.sent_at, r.sent_at) for r, s in pairwise(starts) if s.served and not r.served)
    parts = range(_OPENINGS_EACH + 1)
    return tuple(at + part * length_s / _OPENINGS_EACH for length_s, at in gaps[:_MOST_GAPS] for part in parts)


def _clock_fits(starts: Sequence[Decided], opened_at: float, length_s: float) -> bool:
    """Whether windows of one length that follow each other without a gap decide as the target did.

    Each lets in as many as the fullest of them: one that is not full may refuse nobody.
    """
    windows: dict[int, int] = {}
    needed: list[tuple[int, int]] = []
    for start in starts:
        first = math.floor((start.sent_at - opened_at) / length_s)
        last = math.floor((start.done_at - opened_at) / length_s)
        if start.served:
            # Nobody knows which of two windows took it up: the emptier one leaves more room for a fit.
            taker = min((first, last), key=lambda number: windows.get(number, 0))
            windows[taker] = windows.get(taker, 0) + 1
        else:
            needed.append((first, windows.get(first, 0)))
            if last != first:
                needed[-1] = max(needed[-1], (last, windows.get(last, 0)), key=lambda one: one[1])
    size = max(windows.values(), default=0)
    return sum(taken < size for _, taken in needed) <= _tolerated(starts)


def _bucket_fits(starts: Sequence[Decided], size: int) -> bool:
    """
    A bucket of *size* tokens, full at first, that fills at one pace: the slowest one that serves all that was served.
    """
    low, high = 0.0, 1e4
    for _ in range(_ROUNDS):
        middle = (low * high) ** 0.5 if low else high / 2
        if _is_served(starts, size, middle):
            high = middle
        else:
            low = middle
        if low and high / low < 1.0002:
            break
    return _generous(starts, size, high) <= _tolerated(starts)


def _is_served(starts: Sequence[Decided], size: int, per_s: float) -> bool:
    """
    Whether each served start would have found a token, taken up as late as may be after one taken up as soon as may be.
    """
    tokens, at = float(size), float("-inf")
    for start in starts:
        if start.served:
            tokens = min(size, tokens + per_s * max(0.0, start.done_at - at)) - 1
            at = max(at, start.sent_at)
            if tokens < 0:
                return False
    return True


def _generous(starts: Sequence[Decided], size: int, per_s: float) -> int:
    """How many refused starts would have got a token."""
    tokens, at, generous = float(size), float("-inf"), 0
    for start in starts:
        tokens = min(size, tokens + per_s * max(0.0, start.sent_at - at))
        at = max(at, start.sent_at)
        if start.served:
            tokens -= 1
        else:
            generous += tokens >= 1
    return generous
