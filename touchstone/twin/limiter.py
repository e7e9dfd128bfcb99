"""What every limiter of starts can be asked and told. Pure; times are passed in."""

import math
from typing import Protocol

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
