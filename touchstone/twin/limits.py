"""How many builds an account may start: windows, logs, gaps and buckets, and the limiter that a text names."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from touchstone.twin.limit_text import FAMILIES, FORM, RateLimit
from touchstone.twin.limiters import (
    GRAIN_S,
    BuildCap,
    Concurrency,
    DecayingCounter,
    LeakyBucket,
    Limiter,
    SlidingCounter,
    Tiers,
    decide,
    window_of,
)

__all__ = [
    "FAMILIES",
    "FORM",
    "FixedWindow",
    "Limiter",
    "MinimumGap",
    "RateLimit",
    "SlidingLog",
    "TokenBucket",
    "Unlimited",
    "decide",
    "limiter_for",
    "limiter_of",
    "parted",
]


class Unlimited(Limiter):
    """Lets everything through."""

    def wait_s(self, now_at: float) -> float:  # noqa: ARG002  # the protocol has it
        """Always 0."""
        return 0.0

    def take(self, now_at: float) -> None:  # the protocol has it
        """Counts nothing."""


class FixedWindow(Limiter):
    """At most *limit* starts in a window; a new window opens with the first start after the last one closed.

    Args:
        limit: Starts in a window.
        window_s: Length of a window in seconds.
        on_clock: Windows begin at multiples of their length instead.
        block_s: Seconds for which the first start that a full window refuses shuts it; a fresh window follows.
        restarts: Every start that a full window refuses lets it begin anew, as full as it is.
    """

    def __init__(
        self,
        limit: int,
        window_s: float,
        *,
        on_clock: bool = False,
        block_s: float | None = None,
        restarts: bool = False,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._on_clock, self._block_s, self._restarts = on_clock, block_s, restarts
        self._closes_at = float("-inf")
        self._shut_until_at = float("-inf")
        self._taken = 0

    def wait_s(self, now_at: float) -> float:
        """Seconds until the full window closes, or the block ends."""
        if now_at < self._shut_until_at:
            return self._shut_until_at - now_at
        if now_at >= self._closes_at or self._taken < self._limit:
            return 0.0
        return self._closes_at - now_at

    def take(self, now_at: float) -> None:
        """Counts one start, in a new window where the last one has closed."""
        if now_at >= self._closes_at:
            opens = window_of(now_at, self._window_s) if self._on_clock else None
            self._closes_at = now_at + self._window_s if opens is None else (opens + 1) * self._window_s
            self._taken = 0
        self._taken += 1

    def refuse(self, now_at: float) -> None:
        """Shuts the full window, or lets it begin anew, where it is one that does."""
        if now_at < self._shut_until_at or self.wait_s(now_at) <= 0:
            return
        if self._block_s is not None:
            self._shut_until_at, self._closes_at = now_at + self._block_s, float("-inf")
        elif self._restarts:
            self._closes_at = now_at + self._window_s


class SlidingLog(Limiter):
    """At most *limit* starts in any stretch of *window_s* seconds.

    Args:
        limit: Starts in a stretch.
        window_s: Length of the stretch in seconds.
        counts_refused: Refused starts are in the log as well.
    """

    def __init__(self, limit: int, window_s: float, *, counts_refused: bool = False) -> None:
        self._window_s = window_s
        self._counts_refused = counts_refused
        self._expires_at: deque[float] = deque([float("-inf")] * limit, maxlen=limit)

    def wait_s(self, now_at: float) -> float:
        """Seconds until the oldest of the last *limit* starts leaves the stretch."""
        return max(0.0, self._expires_at[0] - now_at)

    def take(self, now_at: float) -> None:
        """Counts one start and forgets the oldest."""
        self._expires_at.append(now_at + self._window_s)

    def refuse(self, now_at: float) -> None:
        """Counts it as well, where refused starts count."""
        if self._counts_refused:
            self.take(now_at)


class MinimumGap(Limiter):
    """At least *gap_s* seconds between two starts that are let through."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._free_at = float("-inf")

    def wait_s(self, now_at: float) -> float:
        """Seconds until the gap is over."""
        return max(0.0, self._free_at - now_at)

    def take(self, now_at: float) -> None:
        """Begins a gap."""
        self._free_at = now_at + self._gap_s


class TokenBucket(Limiter):
    """A bucket of *burst* tokens, full at first, that gains *limit* tokens in *window_s* seconds without steps.

    The state is the time at which the bucket was, or would have been, full: no rounding adds up.

    Args:
        limit: Tokens gained in *window_s*.
        window_s: Seconds.
        burst: Tokens that the bucket holds.
        starts_empty: It is empty when it meets its first start, let through or refused.
        tick_s: Tokens are added only at whole multiples of so many seconds.
        early: The share of a token that a start may lack; the bucket then owes it.
    """

    def __init__(
        self,
        limit: int,
        window_s: float,
        burst: int,
        *,
        starts_empty: bool = False,
        tick_s: float | None = None,
        early: float = 0.0,
    ) -> None:
        self._token_s = window_s / limit
        self._size_s = burst * self._token_s
        self._depth_s = (burst - 1 + early) * self._token_s
        self._tick_s = tick_s
        self._full_at: float | None = None if starts_empty else float("-inf")

    def _last_tick_at(self, now_at: float) -> float:
        return now_at if self._tick_s is None else window_of(now_at, self._tick_s) * self._tick_s

    def _due_at(self, now_at: float) -> float:
        return self._last_tick_at(now_at) + self._size_s if self._full_at is None else self._full_at

    def wait_s(self, now_at: float) -> float:
        """Seconds until the bucket holds one token."""
        due_at = self._due_at(now_at) - self._depth_s
        # Sums of parts of a second are rounded; the grain keeps a token from being late for that, by a tick at worst.
        if due_at - self._last_tick_at(now_at) <= GRAIN_S:
            return 0.0
        if self._tick_s is None:
            return due_at - now_at
        tick = max(window_of(now_at, self._tick_s) + 1, math.ceil((due_at - GRAIN_S) / self._tick_s))
        return tick * self._tick_s - now_at

    def take(self, now_at: float) -> None:
        """Takes one token."""
        self._full_at = max(self._due_at(now_at), self._last_tick_at(now_at)) + self._token_s

    def refuse(self, now_at: float) -> None:
        """A bucket that was empty at first fills from now on."""
        self._full_at = self._due_at(now_at)


def limiter_for(rate: RateLimit | None) -> Limiter:
    """A fresh limiter for one account; one that lets everything through where *rate* is None."""
    return limiter_of(rate.tiers if rate is not None else ())


def limiter_of(tiers: Sequence[RateLimit]) -> Limiter:
    """A fresh limiter for one account that has to pass these tiers; with none, it passes."""
    limiters = [_MAKERS[tier.family](tier) for tier in tiers]
    if not limiters:
        return Unlimited()
    return limiters[0] if len(limiters) == 1 else Tiers(limiters)


def parted(rate: RateLimit | None) -> tuple[list[RateLimit], int | None]:
    """What a limit says of starts, and what it says of builds.

    Returns:
        The tiers that count starts, and how many builds may be in flight; None for any number.
    """
    tiers = rate.tiers if rate is not None else ()
    caps = [tier.limit for tier in tiers if tier.family == "builds"]
    return [tier for tier in tiers if tier.family != "builds"], min(caps, default=None)


def _fixed_window(rate: RateLimit) -> Limiter:
    on_clock, restarts = rate.opens == "clock", rate.refused == "restart"
    return FixedWindow(rate.limit, rate.window_s, on_clock=on_clock, block_s=rate.block_s, restarts=restarts)


def _sliding_counter(rate: RateLimit) -> Limiter:
    first, counts, below = rate.opens == "first", rate.refused == "count", rate.rule == "below"
    return SlidingCounter(rate.limit, rate.window_s, opens_first=first, counts_refused=counts, below=below)


def _token_bucket(rate: RateLimit) -> Limiter:
    burst, empty, early = rate.burst or rate.limit, rate.starts == "empty", rate.early or 0.0
    return TokenBucket(rate.limit, rate.window_s, burst, starts_empty=empty, tick_s=rate.tick_s, early=early)


_MAKERS: Mapping[str, Callable[[RateLimit], Limiter]] = {
    "none": lambda _: Unlimited(),
    "fixed-window": _fixed_window,
    "sliding-log": lambda rate: SlidingLog(rate.limit, rate.window_s, counts_refused=rate.refused == "count"),
    "sliding-counter": _sliding_counter,
    "decaying-counter": lambda rate: DecayingCounter(rate.limit, rate.window_s),
    "token-bucket": _token_bucket,
    "minimum-gap": lambda rate: MinimumGap(rate.window_s),
    "leaky-bucket": lambda rate: LeakyBucket(rate.limit, rate.window_s, rate.burst or 0, rate.delay or 0),
    "concurrency": lambda rate: Concurrency(rate.limit, rate.takes_s or 0.0),
    "builds": lambda rate: BuildCap(rate.limit),
}
