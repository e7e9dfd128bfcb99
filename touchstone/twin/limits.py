"""Limiters of starts: windows, logs, counts, gaps, buckets, queues, caps, alone or in tiers; and the one of a text."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from touchstone.twin.limit_text import RateLimit

# Where a limit ends only after a moment, this is the least that is left to wait at that moment; a clock of epoch
# seconds has no finer grain.
GRAIN_S = 1e-6


class Limiter(Protocol):
    """Counts the starts of one account. Times never go back."""

    def wait_s(self, now_at: float) -> float:
        """Seconds from *now_at* until a start would be let through; 0 where it would be now. Changes nothing.

        Infinite where it depends on the end of a build, which nobody knows.
        """

    def take(self, now_at: float) -> None:
        """Counts one start, which is let through."""

    def refuse(self, now_at: float) -> None:  # noqa: ARG002  # some limiters need it
        """Is told that a start was refused, by this tier or by another one. Most limiters do not care."""
        return

    def delay_s(self, now_at: float) -> float:  # noqa: ARG002  # the protocol has it
        """Seconds by which the answer of a start is held back that is let through now. Changes nothing."""
        return 0.0

    def ended(self, now_at: float) -> None:  # noqa: ARG002  # some limiters need it
        """Is told that a build which one of the starts began has ended. Most limiters do not care."""
        return


def decide(limiter: Limiter, now_at: float) -> tuple[bool, float]:
    """Lets one start through, or refuses it; either is counted. Of a build that ends, tell ``limiter.ended``.

    Returns:
        Whether it is let through, and the seconds by which its answer is held back.
    """
    if limiter.wait_s(now_at) > 0:
        limiter.refuse(now_at)
        return False, 0.0
    return True, let_through(limiter, now_at)


def let_through(limiter: Limiter, now_at: float) -> float:
    """Counts one start, and returns the seconds by which its answer is held back."""
    delay_s = limiter.delay_s(now_at)
    limiter.take(now_at)
    return delay_s


def window_of(now_at: float, window_s: float) -> int:
    """The number of the window around *now_at*, where each begins at its number times its length.

    The edges are those products as they are rounded, so that the end of a window is never still in it.
    """
    number = math.floor(now_at / window_s)
    if number * window_s > now_at:
        return number - 1
    return number + 1 if (number + 1) * window_s <= now_at else number


class SlidingCounter(Limiter):
    """The starts of two windows, those of the earlier one weighted by the share of it that the last *window_s* hold.

    Args:
        limit: What the sum may reach.
        window_s: Length of a window in seconds.
        opens_first: The first start after two idle windows opens one, and the next ones follow without a gap; else
            windows begin at multiples of their length.
        counts_refused: Refused starts are counted as well.
        below: A start is let through while the sum without it is below *limit*; else while the sum with it is not
            above.
    """

    def __init__(
        self,
        limit: int,
        window_s: float,
        *,
        opens_first: bool = False,
        counts_refused: bool = False,
        below: bool = False,
    ) -> None:
        self._limit, self._window_s = limit, window_s
        self._opens_first, self._counts_refused, self._below = opens_first, counts_refused, below
        # Windows are numbered from the origin, so that edges do not drift.
        self._origin_at = 0.0 if not opens_first else -math.inf
        self._window, self._before, self._taken = 0, 0, 0

    def _rolled(self, now_at: float) -> tuple[float, int, int, int]:
        """The origin, the window around *now_at*, and the starts of the one before it and of itself."""
        if self._origin_at == -math.inf:
            return now_at, 0, 0, 0
        window = window_of(now_at - self._origin_at, self._window_s)
        if window == self._window:
            return self._origin_at, window, self._before, self._taken
        if window == self._window + 1:
            return self._origin_at, window, self._taken, 0
        return (now_at, 0, 0, 0) if self._opens_first else (self._origin_at, window, 0, 0)

    def wait_s(self, now_at: float) -> float:
        """Seconds until enough of the earlier window is out."""
        origin_at, window, before, taken = self._rolled(now_at)
        opened_at = origin_at + window * self._window_s
        inside = 1 - (now_at - opened_at) / self._window_s
        total = before * inside + taken
        if total < self._limit if self._below else total + 1 <= self._limit:
            return 0.0
        most = self._limit if self._below else self._limit - 1
        if taken > most or (taken == most and (self._below or not before)):
            # Not in this window, whatever leaves it.
            opened_at, before, taken = opened_at + self._window_s, taken, 0
        share_out = max(0.0, 1 - (most - taken) / before)
        return max(GRAIN_S, opened_at + share_out * self._window_s - now_at)

    def take(self, now_at: float) -> None:
        """Counts one start in the present window."""
        self._origin_at, self._window, self._before, self._taken = self._rolled(now_at)
        self._taken += 1

    def refuse(self, now_at: float) -> None:
        """Counts it as well, where refused starts count."""
        if self._counts_refused:
            self.take(now_at)


class DecayingCounter(Limiter):
    """A count that is multiplied by exp(-t / *decay_s*) after t seconds; with one more it may reach *limit*.

    Args:
        limit: What the count may reach, at least 2.
        decay_s: Seconds after which a count is 1/e of itself.
    """

    def __init__(self, limit: int, decay_s: float) -> None:
        self._limit, self._decay_s = limit, decay_s
        self._count, self._counted_at = 0.0, 0.0

    def _left(self, now_at: float) -> float:
        return self._count * math.exp((self._counted_at - now_at) / self._decay_s) if self._count else 0.0

    def wait_s(self, now_at: float) -> float:
        """Seconds until there is room for one more."""
        count = self._left(now_at)
        if count + 1 <= self._limit:
            return 0.0
        return max(GRAIN_S, self._decay_s * math.log(count / (self._limit - 1)))

    def take(self, now_at: float) -> None:
        """Counts one start."""
        self._count, self._counted_at = self._left(now_at) + 1, now_at


class LeakyBucket(Limiter):
    """One start is served each *window_s* / *limit* seconds; up to *burst* wait behind it, and more are refused.

    Args:
        limit: Starts in *window_s*.
        window_s: Seconds.
        burst: How many may wait.
        delay: How many of those do not have to: only what is beyond them is held back.

    Source: nginx, ngx_http_limit_req_module, ``limit_req … burst= delay=``.
    """

    def __init__(self, limit: int, window_s: float, burst: int, delay: int = 0) -> None:
        self._start_s = window_s / limit
        self._queue_s = burst * self._start_s
        self._spared_s = delay * self._start_s
        self._free_at = -math.inf

    def wait_s(self, now_at: float) -> float:
        """Seconds until the queue has a place."""
        return _left_s(self._free_at - self._queue_s, now_at)

    def delay_s(self, now_at: float) -> float:
        """Seconds until it is the turn of a start that comes now, less those that it is spared."""
        return _left_s(self._free_at - self._spared_s, now_at)

    def take(self, now_at: float) -> None:
        """Puts one start into the queue."""
        self._free_at = max(self._free_at, now_at) + self._start_s


def _left_s(due_at: float, now_at: float) -> float:
    """Seconds until *due_at*; none where rounding alone makes it later."""
    return due_at - now_at if due_at - now_at > GRAIN_S else 0.0


class Concurrency(Limiter):
    """At most *limit* starts being answered at once.

    Args:
        limit: How many.
        takes_s: Seconds that each takes to be answered.
    """

    def __init__(self, limit: int, takes_s: float) -> None:
        self._limit, self._takes_s = limit, takes_s
        self._ends_at: list[float] = []

    def wait_s(self, now_at: float) -> float:
        """Seconds until enough are answered."""
        left_s = sorted(ends_at - now_at for ends_at in self._ends_at if ends_at > now_at)
        return left_s[-self._limit] if len(left_s) >= self._limit else 0.0

    def delay_s(self, now_at: float) -> float:  # noqa: ARG002  # the protocol has it
        """What each start takes."""
        return self._takes_s

    def take(self, now_at: float) -> None:
        """Begins to answer one."""
        self.hold(now_at, self._takes_s)

    def hold(self, now_at: float, seconds: float) -> None:
        """Begins to answer one that takes so long, other tiers included."""
        self._ends_at = [ends_at for ends_at in self._ends_at if ends_at > now_at]
        self._ends_at.append(now_at + seconds)


class BuildCap(Limiter):
    """At most *limit* builds in flight; each start that is let through begins one."""

    def __init__(self, limit: int) -> None:
        self._limit, self._running = limit, 0

    def wait_s(self, now_at: float) -> float:  # noqa: ARG002  # the protocol has it
        """Infinite where there is no room."""
        return 0.0 if self._running < self._limit else math.inf

    def take(self, now_at: float) -> None:  # noqa: ARG002  # the protocol has it
        """Counts one build more."""
        self._running += 1

    def ended(self, now_at: float) -> None:  # noqa: ARG002  # the protocol has it
        """Counts one build less."""
        self._running = max(0, self._running - 1)


class Tiers(Limiter):
    """Several limiters in a row: a start goes through only if each lets it, and is counted by each only then.

    Each is told of every refused start, whichever of them refused it. What the tiers hold back adds up.
    """

    def __init__(self, limiters: Sequence[Limiter]) -> None:
        self._limiters = tuple(limiters)

    def wait_s(self, now_at: float) -> float:
        """The longest wait of all."""
        return max(limiter.wait_s(now_at) for limiter in self._limiters)

    def delay_s(self, now_at: float) -> float:
        """The delays of all, one after the other."""
        return sum(limiter.delay_s(now_at) for limiter in self._limiters)

    def take(self, now_at: float) -> None:
        """Counts one start in each."""
        delay_s = self.delay_s(now_at)
        for limiter in self._limiters:
            if isinstance(limiter, Concurrency):
                limiter.hold(now_at, delay_s)
            else:
                limiter.take(now_at)

    def refuse(self, now_at: float) -> None:
        """Tells each."""
        for limiter in self._limiters:
            limiter.refuse(now_at)

    def ended(self, now_at: float) -> None:
        """Tells each."""
        for limiter in self._limiters:
            limiter.ended(now_at)


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
