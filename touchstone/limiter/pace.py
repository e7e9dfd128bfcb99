"""How fast a client may go so that a limiter that was found never refuses it, or hardly ever by chance; pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from touchstone.facts.identity import Identity, Tier

# Off the edge of what was measured: two requests of a client do not travel equally long.
_MARGIN = 1.02
# Requests that come by chance: off the edge by so much, and beyond it by so many standard deviations at most.
_USED, _UNLIKELY = 0.95, 4.0
_MOST_OTHERS = 0.95


@dataclass(frozen=True, slots=True)
class Pace:
    """How a client is never refused; None for any number.

    Attributes:
        spacing_s: From one request to the next; 0 where the limiter does not count over time.
        burst: Requests that it may send at once after *rest_s* without any, and *after_s* before the next one.
        free_s: After a refusal; None where that depends on an answer or on the end of a build.
        harmful: Whether a request that is refused makes the wait longer.
        at_once: Requests that may be under way; *in_flight* is about builds.
    """

    spacing_s: float = 0.0
    burst: int | None = None
    rest_s: float = 0.0
    after_s: float = 0.0
    free_s: float | None = None
    harmful: bool = False
    at_once: int | None = None
    in_flight: int | None = None

    def beside(self, others_share: float) -> "Pace":
        """The pace beside others who take a share of what there is."""
        left = 1 - min(max(others_share, 0.0), _MOST_OTHERS)
        burst = None if self.burst is None else max(math.floor(self.burst * left + 1e-9), 1)
        spacing_s, rest_s, after_s = (each / left for each in (self.spacing_s, self.rest_s, self.after_s))
        return replace(self, spacing_s=spacing_s, burst=burst, rest_s=rest_s, after_s=after_s)


def pace(tiers: Iterable[Tier]) -> Pace:
    """The pace that all of *tiers* let through, by the worse ends of their numbers."""
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
    if tier.family == "builds":
        return Pace(burst=count, in_flight=count)
    window_s = numbers["window_s"].high
    if tier.family == "decaying-counter":
        count = max(count, 2)
        spacing_s = -window_s * math.log(1 - 1 / count)
        return _spaced(count - 1, spacing_s, window_s * math.log(count), spacing_s, spacing_s)
    if tier.family == "sliding-counter":
        # With one less in a window there is always room for one more; with a limit of one, only beside an empty window.
        steady = count if tier.options.get("rule") == "below" else count - 1
        free_s = 2 * window_s if harmful or count == 1 else window_s * (1 + 1 / count)
        spacing_s = window_s / steady if steady else 2 * window_s
        return _spaced(count, spacing_s, 2 * window_s, 2 * window_s, free_s, harmful=harmful)
    free_s = max(window_s, numbers["block_s"].high if "block_s" in numbers else 0.0)
    return _spaced(count, window_s / count, window_s, window_s, free_s, harmful=harmful)


def _bucket(tier: Tier) -> Pace:
    rate, burst = tier.numbers["rate_per_s"], tier.numbers["burst"].low
    token_s = spacing_s = 1 / max(rate.low, rate.value / 50)  # of which next to nothing may be known
    if tier.family == "leaky-bucket":
        places = round(burst) + 1
        return _spaced(places, token_s, places * token_s, token_s, token_s)
    depth, tick_s = _whole(burst), float(tier.options.get("tick", 0.0))
    if tick_s and depth < 1 + tick_s / token_s:
        # Tokens come in lots, and the bucket does not hold those of a whole tick.
        of_use = math.floor(min(depth, tick_s / token_s + 1e-9))
        spacing_s = tick_s / of_use if of_use else tick_s * math.ceil(token_s / tick_s - 1e-9)
    rest_s = depth * token_s + tick_s
    return _spaced(depth, spacing_s, rest_s, rest_s if tick_s else token_s, token_s + tick_s)


def _whole(number: float) -> int:
    return max(math.floor(number + 1e-6), 1)


def _spaced(
    burst: int, spacing_s: float, rest_s: float, after_s: float, free_s: float, *, harmful: bool = False
) -> Pace:
    """A pace off the edge of the least times; 10 ms more, or a tenth, where a limiter forgives no jitter."""
    jitter_s = max(min(0.01, 0.1 * spacing_s), (_MARGIN - 1) * spacing_s)
    spacing_s = spacing_s * _MARGIN if burst > 1 else spacing_s + jitter_s
    return Pace(spacing_s, burst, rest_s * _MARGIN, max(after_s * _MARGIN, spacing_s), free_s * _MARGIN, harmful)


def ceiling(identity: Identity) -> tuple[float, float]:
    """The highest mean rate a second at which reads that come by chance are let through, and the rest before them.

    The rate is 0 where any may be refused, infinite without a limiter; the rest is in seconds.
    """
    left = _USED * (1 - min(identity.others_share.high, _MOST_OTHERS))
    rates = [_by_chance(tier, left) for tier in identity.tiers]
    return min(rates, default=math.inf), pace(identity.tiers).rest_s


def _by_chance(tier: Tier, left: float) -> float:
    """The highest mean rate of a Poisson process that stays within a limiter by so many standard deviations.

    Source: of a bucket, the heavy-traffic limit of M/D/1 (J. F. C. Kingman, 1962): the share of its rate that is used
    leaves a chance of exp(-2 count (1 - share)) to meet it empty.
    """
    found = _pace(tier)
    if not found.spacing_s or found.burst is None:
        return math.inf
    numbers, count = tier.numbers, left * found.burst
    if "rate_per_s" in numbers:
        if tier.family == "leaky-bucket":  # what waits in a queue is answered late, and that is the limiter's doing
            count = left * numbers["delay"].low if "delay" in numbers else 0.0
        return left / found.spacing_s * max(0.0, 1 - _UNLIKELY * _UNLIKELY / (2.5 * max(count, 1.0)))
    root = (math.sqrt(_UNLIKELY * _UNLIKELY + 4 * math.floor(count)) - _UNLIKELY) / 2
    return root * root / (found.burst * found.spacing_s) if count > _UNLIKELY else 0.0
