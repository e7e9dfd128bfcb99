"""What is believed of a limiter, in numbers with intervals and as the text that makes a twin behave like it; pure."""

from collections.abc import Sequence

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.limiter.catalogue import OPTIONS_OF
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import Array, Tiered

_LOW, _HIGH = 0.025, 0.975
# A cell is spread over so many points where quantiles are taken: any place in it is as likely as any other.
_POINTS = 9


def tier(cells: Cells) -> Tier:
    """The likeliest limit of one kind, with its numbers."""
    limit, share = likeliest_limit(cells)
    mine = cells.limits == limit
    kind = cells.kind.second if isinstance(cells.kind, Tiered) else cells.kind
    options = dict(OPTIONS_OF[kind.name])
    times = {name: _interval(cells, row, mine) for row, name in enumerate(cells.kind.scales)}
    family = kind.family
    counted = _limits(cells, limit, share)
    if "token_s" in times:
        token = times["token_s"]
        window = Interval(token.value * limit, token.low * limit, token.high * limit)
        rate = Interval(1 / token.value, 1 / token.high, 1 / token.low)
        text = _bucket(limit, window, rate, options)
        return Tier(family, text, {"burst": counted, "rate_per_s": rate, "window_s": window}, options)
    if "gap_s" in times:
        return Tier(family, f"{family}:{plain(times['gap_s'])}", {"gap_s": times["gap_s"]}, options)
    if "block_s" in times:
        options["block"] = plain(times["block_s"])
    return Tier(
        family, _text(family, f"{limit:g}/{plain(times['window_s'])}", options), {"limit": counted, **times}, options
    )


def _bucket(limit: float, window: Interval, rate: Interval, options: dict[str, str]) -> str:
    """By the time that fills a bucket, or by a whole number in a second, a minute or an hour where that is shorter."""
    best = f"{limit:g}/{plain(window)}"
    for unit_s in (1, 60, 3600):
        number = plain(Interval(rate.value * unit_s, rate.low * unit_s, rate.high * unit_s))
        text = f"{number}/{unit_s},burst={limit:g}"
        if "." not in number and len(number) < len(plain(window)):
            best = text
            break
    return _text("token-bucket", best, options)


def _text(family: str, numbers: str, options: dict[str, str]) -> str:
    return f"{family}:{numbers}" + "".join(f",{name}={value}" for name, value in options.items())


def likeliest_limit(cells: Cells) -> tuple[float, float]:
    """The limit that weighs most, and its share."""
    weights = _weights(cells)
    limits, index = np.unique(cells.limits, return_inverse=True)
    sums = np.bincount(index, weights=weights)
    best = int(np.argmax(sums))
    return float(limits[best]), float(sums[best])


def _weights(cells: Cells) -> Array:
    masses = cells.masses()
    weights = np.exp(masses - masses.max())
    return np.asarray(weights / weights.sum())


def _limits(cells: Cells, limit: float, share: float) -> Interval:
    order = np.argsort(cells.limits, kind="stable")
    sums = np.cumsum(_weights(cells)[order])
    values = cells.limits[order]
    low = values[min(int(np.searchsorted(sums, _LOW)), len(values) - 1)]
    high = values[min(int(np.searchsorted(sums, _HIGH)), len(values) - 1)]
    if share >= _HIGH - _LOW:
        low = high = limit
    return Interval(limit, float(low), float(high))


def _interval(cells: Cells, row: int, mine: Array) -> Interval:
    logs, wide, weights = cells.logs[row][mine], cells.wide[mine], _weights(cells)[mine]
    steps = (np.arange(_POINTS) * 2 + 1 - _POINTS) / _POINTS
    points = (logs[:, None] + wide[:, None] * steps).ravel()
    heavy = np.repeat(weights / weights.sum() / _POINTS, _POINTS)
    low, middle, high = (float(np.exp(value)) for value in quantiles(points, heavy, (_LOW, 0.5, _HIGH)))
    return Interval(middle, low, high)


def quantiles(values: Array, weights: Array, shares: Sequence[float]) -> list[float]:
    """The values below which these shares of the weight lie."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    places = np.minimum(np.searchsorted(sums, np.asarray(shares) * sums[-1]), len(order) - 1)
    return [float(value) for value in values[order][places]]


def plain(number: Interval) -> str:
    """
    The shortest decimal that is as good as the middle of what is known: a tenth of its width away from there at most.

    A whole or a half number of seconds within the interval is written where nothing else is that short.
    """
    width = number.high - number.low
    for digits in range(1, 10):
        text = f"{number.value:.{digits}g}"
        near = width / 2 if digits == 1 else width / 4
        if abs(float(text) - number.value) <= near and number.low <= float(text) <= number.high:
            return _without_exponent(float(text))
    return _without_exponent(number.value)


def _without_exponent(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
