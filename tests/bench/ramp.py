"""
What a naive search for a limit costs on the limiters of the twin: open-loop steps, each twice as fast, then bisections.
"""

import math
from dataclasses import dataclass

from touchstone.twin import RateLimit, decide, limiter_for
from touchstone.twin.limits import Limiter

STEP_S = 5.0
MOST_REFUSED = 0.05
BISECTIONS = 4
# Requests a second of the first step, and of the last one where nothing is ever refused.
FIRST_PER_S, LAST_PER_S = 1.0, 1024.0
_CAPS = ("none", "builds", "concurrency")


@dataclass(frozen=True, slots=True)
class Ramp:
    """One search.

    Attributes:
        per_s: The one number that it finds: the fastest rate of which no more than MOST_REFUSED was refused.
        error: By which share of the true rate that is off; infinite where there is none.
    """

    requests: int
    seconds: float
    per_s: float
    error: float


def steady_per_s(text: str) -> float:
    """Requests a second that a limiter lets through for good; infinite where none is refused that comes alone."""
    return min(map(_steady_per_s, RateLimit.parse(text).tiers))


def _steady_per_s(tier: RateLimit) -> float:
    if tier.family in _CAPS:
        return tier.limit / tier.options["takes_s"] if "takes_s" in tier.options else math.inf
    if tier.family == "decaying-counter":
        return 1 / (tier.window_s * math.log(tier.limit / (tier.limit - 1)))
    return tier.limit / tier.window_s


def ramp(text: str, began_at: float = 1000.0) -> Ramp:
    """Searches for the rate of a limiter, which is asked without a network and in virtual time."""
    limiter = limiter_for(RateLimit.parse(text))
    requests, steps, good, per_s = 0, 0, 0.0, FIRST_PER_S
    bad = math.inf
    while bad == math.inf and per_s <= LAST_PER_S:
        refused = _step(limiter, began_at + STEP_S * steps, per_s)
        requests, steps = requests + _count(per_s), steps + 1
        good, bad = (good, per_s) if refused > MOST_REFUSED else (per_s, bad)
        per_s *= 2
    for _ in range(BISECTIONS if bad < math.inf else 0):
        per_s = (good + bad) / 2
        refused = _step(limiter, began_at + STEP_S * steps, per_s)
        requests, steps = requests + _count(per_s), steps + 1
        good, bad = (good, per_s) if refused > MOST_REFUSED else (per_s, bad)
    true = steady_per_s(text)
    return Ramp(requests, STEP_S * steps, good, abs(good / true - 1) if true < math.inf else math.inf)


def _count(per_s: float) -> int:
    return max(1, math.floor(STEP_S * per_s))


def _step(limiter: Limiter, at: float, per_s: float) -> float:
    """Sends one step, whose builds end at once.

    Returns:
        The share that was refused.
    """
    count = _count(per_s)
    refused = 0
    for number in range(count):
        accepted, _ = decide(limiter, at + number / per_s)
        refused += not accepted
        if accepted:
            limiter.ended(at + number / per_s)
    return refused / count
