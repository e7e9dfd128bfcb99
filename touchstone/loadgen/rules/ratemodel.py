"""Whether a limit on the starts of each key, by itself, can have refused what was refused and served what was served.

Nobody knows the numbers of a limit, nor how it counts. But whatever they are, in a stretch of time as long as its
window a key is served at most twice what the limit allows (where windows follow each other, the end of one and the
beginning of the next), and a start is refused only after as many as it allows. That holds for windows that follow the
clock or open with a start, for a log of the last starts, and for a bucket of tokens, whose window is the time in which
it fills. So no limit explains a run if, for windows of each length, twice the fewest starts before a refusal are less
than the most that were served. It is assumed that all keys have the same limit.

A limit may count refused starts as well; that is tried, too. What cannot be excluded is taken for an explanation.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from touchstone.loadgen.rules.record import Start

_SHORTEST_S = 0.001
# Each length that is tried is so many times the one before it.
_STEP = 1.05
_STRADDLED = 2
# Refusals that may be somebody else's doing.
_LEFT_OUT = 1

Times = NDArray[np.float64]


def explains(keys: Sequence[Sequence[Start]], is_of_rate: Callable[[Start], bool], slack_s: float = 0.0) -> bool:
    """
    Whether a limit of each key explains which of its starts were refused; one single refusal may be left unexplained.

    Args:
        keys: The starts of each key.
        is_of_rate: Whether nothing but a rate can have refused a start.
        slack_s: By how much points in time may be wrong to each other.
    """
    return any(_explains([_Key(key, is_of_rate, every=every) for key in keys], slack_s) for every in (False, True))


class _Key:
    """What one key started: all that a limit may count, what it counts for sure, what it served, and what it refused.

    Attributes:
        length_s: From the first start to the last answer.
    """

    def __init__(self, starts: Sequence[Start], is_of_rate: Callable[[Start], bool], *, every: bool) -> None:
        may_count = [start for start in starts if every or start.may_act]
        counts = [start for start in starts if start.is_served or (every and start.is_refused)]
        self.may_count = _columns(may_count)
        self.counts = _columns(counts)
        self.served = _times(start for start in starts if start.is_served)
        self.refused = _times(start for start in starts if start.is_refused and is_of_rate(start))
        self._itself = 1 if every else 0
        sent, done = _columns(starts)
        self.length_s = float(done[-1] - sent[0]) if len(sent) else 0.0

    def before_refusals(self, window_s: float) -> Times:
        """How many starts can have counted when each refused one was refused."""
        sent, done = self.may_count
        begun = np.searchsorted(sent, self.refused[:, 1], side="right")
        gone = np.searchsorted(done, self.refused[:, 0] - window_s, side="left")
        return np.asarray(begun - gone - self._itself, dtype=np.float64)

    def most(self, window_s: float) -> float:
        """The most starts that surely counted within a window in which one was served, itself among them."""
        if not len(self.served):
            return 0.0
        sent, done = self.counts
        # Surely within: sent after the window began, and answered before the served one was sent.
        over = np.searchsorted(done, self.served[:, 0], side="right")
        early = np.searchsorted(sent, self.served[:, 1] - window_s, side="left")
        return float(np.max(np.maximum(over - early, 0))) + 1.0


def _times(starts: Iterable[Start]) -> Times:
    times = [(start.sent_at, start.done_at) for start in starts]
    return np.array(times, dtype=np.float64).reshape(-1, 2)


def _columns(starts: Iterable[Start]) -> tuple[Times, Times]:
    times = _times(starts)
    return np.sort(times[:, 0]), np.sort(times[:, 1])


def _explains(keys: Sequence[_Key], slack_s: float) -> bool:
    longest_s = max([_SHORTEST_S, *(key.length_s for key in keys)]) * _STEP
    steps = int(np.ceil(np.log(longest_s / _SHORTEST_S) / np.log(_STEP))) + 1
    lengths_s = [float(length_s) for length_s in _SHORTEST_S * _STEP ** np.arange(steps + 1)]
    return any(_fits(keys, shorter_s - slack_s, longer_s + slack_s) for shorter_s, longer_s in pairwise(lengths_s))


def _fits(keys: Sequence[_Key], shorter_s: float, longer_s: float) -> bool:
    before = np.concatenate([np.empty(0), *(key.before_refusals(longer_s) for key in keys)])
    if len(before) <= _LEFT_OUT:
        return True
    fewest = np.partition(before, _LEFT_OUT)[_LEFT_OUT]
    return bool(max(key.most(shorter_s) for key in keys) <= _STRADDLED * fewest)
