"""Other clients with the same key: the probability that they have used up a limit; no I/O."""

import math
from dataclasses import dataclass

import numpy as np

from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Params, State

# Shares of the limit that other clients may use, from none to many, and the log priors of these hypotheses.
SHARES = np.array([0.0, 0.04, 0.12, 0.35])[:, None]
PRIOR = np.log(np.array([0.91, 0.04, 0.04, 0.01]))[:, None]
UNSHARED, SHARED = slice(1), slice(1, None)  # the hypotheses without and with other clients
_NEWLY = 0.5  # probability that other clients began at the probe's first request, instead of long before
_NOISE = 1e-4  # probability of a refusal that nothing explains
_TOKEN_AWAY = 0.1  # probability that a bucket that others use as well holds one token more than computed
_MOST, _STEPS, _LEAST_MEAN, _MOST_MEAN = 160, 240, 1e-3, 100.0
_PER_STEP = math.log(_MOST_MEAN / _LEAST_MEAN) / (_STEPS - 1)


def _tails() -> Array:
    """Table of Poisson probabilities of n or more arrivals: one row for each mean, one column for each n."""
    means = np.geomspace(_LEAST_MEAN, _MOST_MEAN, _STEPS)[:, None]
    counts = np.arange(_MOST)[None, :]
    factorials = np.array([math.lgamma(count + 1) for count in range(_MOST)])
    chances = np.exp(counts * np.log(means) - means - factorials[None, :])
    below = np.concatenate([np.zeros((_STEPS, 1)), np.cumsum(chances, axis=1)[:, :-1]], axis=1)
    return np.concatenate([np.clip(1.0 - below, 0.0, 1.0), np.zeros((_STEPS, 1))], axis=1)


# For each of SHARES, the flattened table of `_tails`; its rows belong to the mean for the whole limit.
_SHIFTS = np.rint(np.log(np.maximum(SHARES, 1e-9)) / _PER_STEP).astype(np.int64)
_TABLES = _tails()[np.clip(np.arange(2 * _STEPS) + _SHIFTS, 0, _STEPS - 1)].reshape(len(SHARES), -1)


def at_least(count: Array, most: Array) -> Array:
    """Probability of *count* or more requests of other clients, with the mean *most* × share; one row per share."""
    steps = np.rint(np.log(np.maximum(most, _LEAST_MEAN) / _LEAST_MEAN) / _PER_STEP)
    places = np.minimum(steps, 2 * _STEPS - 1) * (_MOST + 1) + np.floor(np.minimum(np.maximum(count, 0), _MOST))
    places = places.astype(np.int64)
    return _TABLES.take(places, axis=1) if places.ndim == 1 else np.take_along_axis(_TABLES, places, axis=1)


@dataclass(frozen=True, slots=True)
class Known:
    """Bounds on the requests that other clients hold: those that count against the limit. One entry per limiter."""

    had: Array  # requests that others held at the last refusal: all that the probe seemed to have left
    below: Array  # other clients held fewer requests than this at the last accepted request
    shut_until: Array  # time until which the limiter refuses everything after the last refusal
    held_at: Array  # time of the first of the latest consecutive refusals with equal *had*
    refused_at: float = LONG_AGO
    began_at: float = LONG_AGO

    @classmethod
    def nothing(cls, size: int, began_at: float = LONG_AGO) -> "Known":
        """Bounds before the first request."""
        before = np.full(size, LONG_AGO)
        return cls(np.zeros(size), np.full(size, np.inf), before, before, LONG_AGO, began_at)

    def refused(self, kind: Kind, left: Array, at: float, shut_until: Array) -> "Known":
        """Bounds after a refusal at *at*; without other clients, the limiter would have accepted *left* requests."""
        # For kinds with *levels*, the state already includes these requests; a bucket's may lack a part of a token.
        had = np.minimum(left, 1.0 if kind.fills else 0.0 if kind.levels else np.inf)
        held_at = np.where((had == self.had) & np.isinf(self.below), self.held_at, at)
        return Known(had, np.full(len(left), np.inf), shut_until, held_at, at, self.began_at)

    def gone(self, kind: Kind, params: Params, at: float) -> Array:
        """Share of the requests in *had* that no longer count at *at*."""
        return np.asarray(np.minimum((at - self.refused_at) / kind.lasts_s(params), 1.0))

    def kept(self, kind: Kind, params: Params, at: float) -> Array:
        """Probability that a request in *had* still counts, or that others sent another instead; one row per share."""
        lasts, since, shut = kind.lasts_s(params), self.gone(kind, params, at), self.shut_until > self.refused_at
        first = np.where(shut, (self.refused_at - self.held_at) / lasts, 0.0)
        first = np.where(first < 1.0, first, 0.0)
        per_s = SHARES * params["limit"] / kind.refill_s(params)
        # While the limiter accepts nothing, other clients may send again, on average after half of that time.
        found_empty = np.exp(-0.5 * per_s * np.where(shut, lasts * since, 0.0))
        return np.asarray((1.0 - found_empty * np.minimum(first + since, 1.0)) / (1.0 - found_empty * first))

    def have(self, count: Array, came: Array, kind: Kind, params: Params, at: float) -> Array:
        """Probability that others hold *count* or more requests, sent within the share *came* of a refill time."""
        most = params["limit"] * came
        found = at_least(count, most)
        if self.had.any():
            kept = self.kept(kind, params, at)
            all_left = kept**self.had
            found = all_left * at_least(count - self.had, most)
            found = found + (1.0 - all_left) * at_least(count - np.floor(self.had * kept), most)
        ever = self.shut_until <= LONG_AGO
        if not ever.any() or kind.fills:
            return found
        # Before the first refusal it is unknown whether other clients were active before the first request.
        newly = at_least(count, params["limit"] * np.minimum((at - self.began_at) / kind.refill_s(params), 1.0))
        return np.where(ever, (1.0 - _NEWLY) * found + _NEWLY * newly, found)


def took_all(kind: Kind, params: Params, state: State, left: Array, at: float, known: Known) -> Array:
    """Probability that other clients hold all *left* requests that remain at *at*; one row for each of SHARES."""
    left = np.maximum(left, 1.0)
    came = np.minimum(np.maximum(at - known.shut_until, 0.0) / kind.refill_s(params), 1.0)
    if kind.fills:
        # In a bucket that seems full, others can only hold requests of the last *token_s* seconds.
        came = np.where(state["full"] <= at, 1.0 / params["limit"], came)
    found = known.have(left, came, kind, params, at)
    if np.isfinite(known.below).any():
        below = known.have(known.below, came, kind, params, at)
        found = np.where(left < known.below, (found - below) / np.maximum(1.0 - below, 1e-9), 0.0)
    found = np.minimum(np.maximum(found, _NOISE), 1.0 - _NOISE)
    found[0] = _NOISE  # the first of SHARES: no other clients
    return found


def came_first(
    early_s: Array, kind: Kind, params: Params, state: State, since_s: float, *, accepted: bool
) -> Array | float:
    """Probability, by share, that others made the limiter change *early_s* sooner; last refusal: *since_s* ago."""
    if kind.fills and accepted:
        return np.where((early_s < params["token_s"]) & (SHARES > 0), _TOKEN_AWAY, 0.0)
    if "idle" not in state:
        return 0.0
    per_s = SHARES * params["limit"] / params[kind.scales[0]]
    by_now, before = (np.maximum(state["idle"] - early_s - ago_s, 0.0) for ago_s in (0.0, since_s))
    return np.asarray(-np.expm1(-per_s * (by_now - before)))
