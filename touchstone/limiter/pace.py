"""Pace of a client: how fast it may send requests so that the identified limiter refuses none; no I/O."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from touchstone.facts.identity import Identity, Tier

# Safety factor for all times: travel times differ from request to request, and some limiters count coarsely.
_MARGIN = 1.05
# For requests at random times: usable share of the rate, and standard deviations below the limit.
_USED, _UNLIKELY = 0.95, 4.0
_MOST_OTHERS = 0.95


@dataclass(frozen=True, slots=True)
class Pace:
    """Pace at which a client is never refused. A field that is None sets no limit."""

    spacing_s: float = 0.0  # from one request to the next; 0 if only concurrent requests or builds are limited
    burst: int | None = None  # requests at once after a rest
    rest_s: float = 0.0  # pause before a burst
    after_s: float = 0.0  # from a burst to the next request
    free_s: float | None = None  # wait after a refusal; None if refusals end as soon as a request or a build ends
    harmful: bool = False  # whether a refused request extends the wait
    at_once: int | None = None  # most requests in flight
    in_flight: int | None = None  # most builds in flight

    def beside(self, others_share: float) -> "Pace":
        """Pace for a client if other clients use the share *others_share* of the limit."""
        left = 1 - min(max(others_share, 0.0), _MOST_OTHERS)
        burst = None if self.burst is None else max(math.floor(self.burst * left + 1e-9), 1)
        spacing_s, rest_s, after_s = (each / left for each in (self.spacing_s, self.rest_s, self.after_s))
        return replace(self, spacing_s=spacing_s, burst=burst, rest_s=rest_s, after_s=after_s)


def pace(tiers: Iterable[Tier]) -> Pace:
    """Pace at which no limiter in *tiers* refuses a request, even if parameters lie at the worse ends of intervals."""
    paces = [Pace(), *map(_pace, tiers)]

    def known(name: str) -> list[Any]:
        return [value for value in (getattr(one, name) for one in paces) if value is not None]

    most = ("spacing_s", "rest_s", "after_s", "free_s", "harmful")
    worst: dict[str, Any] = {name: max(known(name), default=None) for name in most}
    worst |= {name: min(known(name), default=None) for name in ("burst", "at_once", "in_flight")}
    return Pace(**worst)


def _pace(tier: Tier) -> Pace:
    numbers, harmful = tier.numbers, tier.options.get("refused") in ("count", "restart")
    if tier.family == "minimum-gap":
        gap_s = numbers["gap_s"].high
        return _spaced(1, gap_s, gap_s, gap_s, gap_s)
    if "rate_per_s" in numbers:
        return _bucket(tier)
    count = _whole(numbers["limit"].low)
    if tier.family == "concurrency":
        return Pace(burst=count, at_once=count)
    if late_s := float(tier.options.get("late", 0.0)):
        return replace(_spaced(1, late_s, late_s, late_s, late_s), in_flight=max(count - 1, 1))
    if tier.family == "builds":
        return Pace(burst=count, in_flight=count)
    window_s = numbers["window_s"].high
    if tier.family == "sliding-counter":
        # Limit - 1 requests in each window are always accepted; with a limit of 1, a request after an empty window.
        steady = count if tier.options.get("rule") == "below" else count - 1
        free_s = 2 * window_s if harmful or count == 1 else window_s * (1 + 1 / count)
        spacing_s = window_s / steady if steady else 2 * window_s
        return _spaced(count, spacing_s, 2 * window_s, 2 * window_s, free_s, harmful=harmful)
    free_s = max(window_s, numbers["block_s"].high if "block_s" in numbers else 0.0)
    return _spaced(count, window_s / count, window_s, window_s, free_s, harmful=harmful)


def _bucket(tier: Tier) -> Pace:
    rate, burst = tier.numbers["rate_per_s"], tier.numbers["burst"].low
    token_s = spacing_s = 1 / max(rate.low, rate.value / 50)  # the lower end of a very wide interval is far too slow
    if tier.family == "leaky-bucket":
        places = round(burst) + 1
        return _spaced(places, token_s, places * token_s, token_s, token_s)
    depth, tick_s = _whole(burst), float(tier.options.get("tick", 0.0))
    if tick_s and depth < 1 + tick_s / token_s:
        # The bucket cannot hold all tokens of one tick.
        of_use = math.floor(min(depth, tick_s / token_s + 1e-9))
        spacing_s = tick_s / of_use if of_use else tick_s * math.ceil(token_s / tick_s - 1e-9)
    rest_s = depth * token_s + tick_s
    return _spaced(depth, spacing_s, rest_s, rest_s if tick_s else token_s, token_s + tick_s)


def _whole(number: float) -> int:
    return max(math.floor(number + 1e-6), 1)


def _spaced(
    burst: int, spacing_s: float, rest_s: float, after_s: float, free_s: float, *, harmful: bool = False
) -> Pace:
    """Adds 5 % to each time; if *burst* is 1, adds at least 10 ms or 10 % to *spacing_s*, whichever is less."""
    jitter_s = max(min(0.01, 0.1 * spacing_s), (_MARGIN - 1) * spacing_s)
    spacing_s = spacing_s * _MARGIN if burst > 1 else spacing_s + jitter_s
    return Pace(spacing_s, burst, rest_s * _MARGIN, max(after_s * _MARGIN, spacing_s), free_s * _MARGIN, harmful)


def ceiling(identity: Identity) -> tuple[float, float]:
    """Highest mean rate per second of reads at random times, and the seconds until the whole limit is available again.

    The rate is 0 if reads may be refused at any rate, and infinite without a limiter.
    """
    left = _USED * (1 - min(identity.others_share.high, _MOST_OTHERS))
    rates = [_by_chance(tier, left) for tier in identity.tiers]
    return min(rates, default=math.inf), pace(identity.tiers).rest_s


def _by_chance(tier: Tier, left: float) -> float:
    """Highest mean rate per second of a Poisson process that stays ``_UNLIKELY`` standard deviations below the limit.

    Source: for a bucket, the heavy-traffic limit of M/D/1 (J. F. C. Kingman, 1962). If a share of the rate is used, the
    bucket is empty with probability exp(-2 count (1 - share)).
    """
    found = _pace(tier)
    if not found.spacing_s or found.burst is None:
        return math.inf
    numbers, count = tier.numbers, left * found.burst
    if "rate_per_s" in numbers:
        if tier.family == "leaky-bucket":  # the limiter itself delays requests in its queue
            count = left * numbers["delay"].low if "delay" in numbers else 0.0
        return left / found.spacing_s * max(0.0, 1 - _UNLIKELY * _UNLIKELY / (2.5 * max(count, 1.0)))
    root = (math.sqrt(_UNLIKELY * _UNLIKELY + 4 * math.floor(count)) - _UNLIKELY) / 2
    return root * root / (found.burst * found.spacing_s) if count > _UNLIKELY else 0.0
