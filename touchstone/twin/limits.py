"""
How many builds an account may start: three rate limiters, and the text that names one. Pure; times are passed in.
"""

import difflib
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from touchstone.errors import UsageError

Algorithm = Literal["fixed-window", "sliding-log", "token-bucket"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
FORM = "[ALGORITHM:]STARTS/SECONDS[,burst=N], for example 8/4 or token-bucket:8/4,burst=16"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """
    A limit on build starts per account.

    Attributes:
        limit: Starts per window, at least 1.
        window_s: Length of the window in seconds, above 0.
        algorithm: How starts are counted. A fixed window opens with the first start that it counts.
        burst: Size of the bucket; only for ``token-bucket``, *limit* where it is None.
    """

    limit: int
    window_s: float
    algorithm: Algorithm = "fixed-window"
    burst: int | None = None

    @classmethod
    def parse(cls, text: str, where: str = "rate") -> "RateLimit":
        """
        Reads the text form of a limit.

        Args:
            text: ``[ALGORITHM:]STARTS/SECONDS[,burst=N]``.
            where: What the message calls the place that the text comes from, such as ``--rate``.

        Raises:
            UsageError: the text has another form, names an unknown algorithm, or a number is out of range.
        """
        head, colon, tail = text.strip().rpartition(":")
        numbers, comma, option = tail.partition(",")
        starts, _, window = numbers.partition("/")
        algorithm = _algorithm(head if colon else ALGORITHMS[0], where)
        burst = _burst(option, algorithm, text, where) if comma else None
        try:
            limit, window_s = int(starts), float(window)
        except ValueError:
            raise UsageError(f"{where}: found {text!r}; expected {FORM}") from None
        if limit < 1 or not 0 < window_s < float("inf"):
            raise UsageError(f"{where}: found {text!r}; expected at least 1 start and more than 0 seconds, e.g. 1/1")
        return cls(limit, window_s, algorithm, burst)


def _algorithm(name: str, where: str) -> Algorithm:
    for algorithm in get_args(Algorithm):
        if name == algorithm:
            return algorithm  # type: ignore[no-any-return]  # get_args() is untyped; the loop makes it one of them
    near = difflib.get_close_matches(name, ALGORITHMS, n=1, cutoff=0)[0]
    known = ", ".join(ALGORITHMS)
    raise UsageError(f"{where}: unknown algorithm {name!r}; expected one of {known}; did you mean {near}?")


def _burst(option: str, algorithm: Algorithm, text: str, where: str) -> int:
    name, _, value = option.partition("=")
    if name.strip() != "burst" or not value.strip().isdecimal() or int(value) < 1:
        raise UsageError(f"{where}: found {option!r} in {text!r}; expected burst=N with N at least 1, e.g. burst=16")
    if algorithm != "token-bucket":
        raise UsageError(f"{where}: found {option!r} in {text!r}; only a token-bucket has a burst; leave it out")
    return int(value)


class Limiter(Protocol):
    """
    Counts the starts of one account.
    """

    def wait_s(self, now_at: float) -> float:
        """
        Seconds from *now_at* until a start would be let through; 0 where it would be now. Changes nothing.
        """

    def take(self, now_at: float) -> None:
        """
        Counts one start.
        """


class Unlimited:
    """
    Lets everything through.
    """

    def wait_s(self, now_at: float) -> float:  # noqa: ARG002  # the protocol has it
        """
        Always 0.
        """
        return 0.0

    def take(self, now_at: float) -> None:  # the protocol has it
        """
        Counts nothing.
        """


class FixedWindow:
    """
    At most *limit* starts in a window; a new window opens with the first start after the last one closed.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._closes_at = float("-inf")
        self._taken = 0

    def wait_s(self, now_at: float) -> float:
        """
        Seconds until the full window closes.
        """
        if now_at >= self._closes_at or self._taken < self._limit:
            return 0.0
        return self._closes_at - now_at

    def take(self, now_at: float) -> None:
        """
        Counts one start, in a new window where the last one has closed.
        """
        if now_at >= self._closes_at:
            self._closes_at, self._taken = now_at + self._window_s, 0
        self._taken += 1


class SlidingLog:
    """
    At most *limit* starts in any stretch of *window_s* seconds.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self._window_s = window_s
        self._expires_at: deque[float] = deque([float("-inf")] * limit, maxlen=limit)

    def wait_s(self, now_at: float) -> float:
        """
        Seconds until the oldest of the last *limit* starts leaves the stretch.
        """
        return max(0.0, self._expires_at[0] - now_at)

    def take(self, now_at: float) -> None:
        """
        Counts one start and forgets the oldest.
        """
        self._expires_at.append(now_at + self._window_s)


class TokenBucket:
    """
    A bucket of *burst* tokens, full at first, that gains *limit* tokens in *window_s* seconds without steps.

    The state is the time at which the bucket was, or would have been, full: no rounding adds up.
    """

    def __init__(self, limit: int, window_s: float, burst: int) -> None:
        self._token_s = window_s / limit
        self._depth_s = (burst - 1) * self._token_s
        self._full_at = float("-inf")

    def wait_s(self, now_at: float) -> float:
        """
        Seconds until the bucket holds one token.
        """
        return max(0.0, self._full_at - self._depth_s - now_at)

    def take(self, now_at: float) -> None:
        """
        Takes one token.
        """
        self._full_at = max(self._full_at, now_at) + self._token_s


def limiter_for(rate: RateLimit | None) -> Limiter:
    """
    A fresh limiter for one account; one that lets everything through where *rate* is None.
    """
    if rate is None:
        return Unlimited()
    if rate.algorithm == "sliding-log":
        return SlidingLog(rate.limit, rate.window_s)
    if rate.algorithm == "token-bucket":
        return TokenBucket(rate.limit, rate.window_s, rate.burst or rate.limit)
    return FixedWindow(rate.limit, rate.window_s)
