"""Decisions of the twin's limiters, start by start, with a cap on builds that the caller ends."""

import math

from touchstone.twin import RateLimit
from touchstone.twin.limits import accept, limiter_of, parted


class Starts:
    """A limiter of starts, and perhaps a cap on builds in flight; each accepted start begins a build."""

    def __init__(self, rate: RateLimit | str) -> None:
        tiers, self._most_builds = parted(RateLimit.parse(rate) if isinstance(rate, str) else rate)
        self._limiter, self._running = limiter_of(tiers), 0

    def wait_s(self, now_at: float) -> float:
        is_full = self._most_builds is not None and self._running >= self._most_builds
        return math.inf if is_full else self._limiter.wait_s(now_at)

    def decide(self, now_at: float) -> tuple[bool, float]:
        """Accepts or rejects a start; returns whether it was accepted, and the delay of its response in seconds."""
        if self.wait_s(now_at) > 0:
            self._limiter.refuse(now_at)
            return False, 0.0
        self._running += 1
        return True, accept(self._limiter, now_at)

    def ended(self) -> None:
        """Ends a build, if one runs."""
        self._running = max(0, self._running - 1)
