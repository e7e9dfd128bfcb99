"""Starts at chosen times before a limiter that a text names."""

import itertools

from touchstone.twin import RateLimit, decide, limiter_for
from touchstone.twin.limits import GRAIN_S


def lets(text: str, times: list[float]) -> str:
    """Of the starts at *times*, ``y`` for each that is let through and ``n`` for each that is not."""
    limiter = limiter_for(RateLimit.parse(text))
    return "".join("y" if decide(limiter, at)[0] else "n" for at in times)


def delays_s(text: str, times: list[float]) -> list[float | None]:
    """By how much the answers of the starts at *times* are held back; None for those that are refused."""
    limiter = limiter_for(RateLimit.parse(text))
    decisions = (decide(limiter, at) for at in times)
    return [delay_s if through else None for through, delay_s in decisions]


def waits_until_free(text: str, began_at: float) -> None:
    """Starts until refused, six times; each time it is refused shortly before the end of the wait, and not after it."""
    limiter, at = limiter_for(RateLimit.parse(text)), began_at
    for number in range(6):
        at += 0.01 * number
        list(itertools.takewhile(bool, (decide(limiter, at)[0] for _ in range(100))))
        wait_s = limiter.wait_s(at)
        assert wait_s > 0
        assert limiter.wait_s(at + wait_s - 10 * GRAIN_S) > 0
        at += wait_s + 2 * GRAIN_S
        assert limiter.wait_s(at) == 0
