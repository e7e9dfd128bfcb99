"""Which arrival is which action, by their weights."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from touchstone.errors import UsageError
from touchstone.loadgen.chance import uniforms

Actions = NDArray[np.uint16]

_STREAM = 1  # arrivals are drawn from stream 0


def assign(count: int, weights: Mapping[str, float], seed: int | None = None) -> Actions:
    """The action of each of *count* arrivals, as its place in *weights*.

    Args:
        weights: How much of each action; only their ratios count.
        seed: None to spread the actions as evenly as can be. With a seed each arrival draws its own, so that the
            arrivals of each action are a Poisson process where all of them are one.

    Raises:
        UsageError: a weight is no number of 0 or more, or all are 0.
    """
    parts = _whole(weights)
    return _spread(count, parts) if seed is None else _drawn(count, parts, seed)


def _whole(weights: Mapping[str, float]) -> Sequence[int]:
    """The weights as whole numbers in lowest terms, which no rounding can favour."""
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UsageError(f"weight of {name}: found {weight!r}; expected a number of 0 or more")
    exact = [Fraction(str(weight)) for weight in weights.values()]
    if not any(exact):
        raise UsageError(f"weights of {', '.join(weights) or 'nothing'}: all are 0; expected one above 0")
    scale = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * scale) for weight in exact]
    divisor = math.gcd(*whole)
    return [weight // divisor for weight in whole]


def _spread(count: int, parts: Sequence[int]) -> Actions:
    """An order in which each action has had its share of any number of first arrivals, less than one arrival off.

    Arrival j of an action with the share w must come after j/w - 1 others and before (j + 1)/w arrivals are through.
    Whichever may come and has to come first comes next: in unit steps that keeps every such window.

    Source: Baruah, Cohen, Plaxton and Varvel, "Proportionate Progress" (1996), for one processor.
    """
    total = sum(parts)
    length = min(count, total)
    order = np.empty(length, dtype=np.uint16)
    present = [action for action, part in enumerate(parts) if part]
    given = [0] * len(parts)
    earliest = [0] * len(parts)
    latest = [-(-total // part) if part else 0 for part in parts]
    for slot in range(length):
        action = min((action for action in present if earliest[action] <= slot), key=latest.__getitem__)
        order[slot] = action
        given[action] += 1
        earliest[action] = given[action] * total // parts[action]
        latest[action] = -(-(given[action] + 1) * total // parts[action])
    # After as many arrivals as the weights add up to, everything is even and begins anew.
    return np.resize(order, count) if length else order


def _drawn(count: int, parts: Sequence[int], seed: int) -> Actions:
    edges = np.cumsum(np.array(parts, dtype=np.float64)) / sum(parts)
    found: Actions = np.searchsorted(edges, uniforms(seed, _STREAM, count), side="right").astype(np.uint16)
    return found
