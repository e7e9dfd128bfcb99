"""Limiters of the twin without a server, for probes in virtual time."""

import math

from touchstone.twin import RateLimit
from touchstone.twin.limits import Limiter, accept, limiter_of, parted


class Limited(Limiter):
    """All limits on one account: those on starts, and the cap on running builds, which the engine checks by itself."""

    def __init__(self, rate: RateLimit) -> None:
        starts, self._most_builds = parted(rate)
        self._limiter, self._running = limiter_of(starts), 0

    def wait_s(self, now_at: float) -> float:
        """Seconds until a start would be accepted; infinite if a build must end first."""
        is_full = self._most_builds is not None and self._running >= self._most_builds
        return math.inf if is_full else self._limiter.wait_s(now_at)

    def delay_s(self, now_at: float) -> float:
        """Delay in seconds of the response to a start that is accepted now."""
        return self._limiter.delay_s(now_at)

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        """Counts one accepted start."""
        self._running += 1
        self._limiter.take(now_at, delay_s)

    def refuse(self, now_at: float) -> None:
        """Counts one rejected start."""
        self._limiter.refuse(now_at)

    def ended(self) -> None:
        """Counts the end of a build."""
        self._running = max(0, self._running - 1)


def limiter_for(text: str) -> Limited:
    """The limiter with a text form, such as ``token-bucket:8/4+builds:3``."""
    return Limited(RateLimit.parse(text))


def decide(limiter: Limiter, now_at: float) -> tuple[bool, float]:
    """Accepts or rejects one start; returns whether it was accepted, and the delay of its response in seconds."""
    if limiter.wait_s(now_at) > 0:
        limiter.refuse(now_at)
        return False, 0.0
    return True, accept(limiter, now_at)
