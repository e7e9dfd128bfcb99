"""Somebody else who uses the same key: how likely it is that they took what a limiter had left; pure."""

import math
from dataclasses import dataclass

import numpy as np

from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Params, State

# Which share others may take: none, few, some, many; and how likely each is beforehand.
SHARES = np.array([0.0, 0.04, 0.12, 0.35])[:, None]
PRIOR = np.log(np.array([0.91, 0.04, 0.04, 0.01]))[:, None]
_NEWLY = 0.5  # probability that others begin with the first request, instead of long before it
_NOISE = 1e-4  # a refusal that nothing explains
_TOKEN_AWAY = 0.1  # probability that a token is there already of a bucket that is not known to a token
_MOST, _STEPS, _LEAST_MEAN, _MOST_MEAN = 160, 240, 1e-3, 100.0
_PER_STEP = math.log(_MOST_MEAN / _LEAST_MEAN) / (_STEPS - 1)


def _tails() -> Array:
    """How likely it is that at least so many come, for a row of means; of a Poisson distribution."""
    means = np.geomspace(_LEAST_MEAN, _MOST_MEAN, _STEPS)[:, None]
    counts = np.arange(_MOST)[None, :]
    factorials = np.array([math.lgamma(count + 1) for count in range(_MOST)])
    chances = np.exp(counts * np.log(means) - means - factorials[None, :])
    below = np.concatenate([np.zeros((_STEPS, 1)), np.cumsum(chances, axis=1)[:, :-1]], axis=1)
    return np.concatenate([np.clip(1.0 - below, 0.0, 1.0), np.zeros((_STEPS, 1))], axis=1)


# The same for each of SHARES, by the mean of all that a limiter gives; each flat.
_SHIFTS = np.rint(np.log(np.maximum(SHARES, 1e-9)) / _PER_STEP).astype(np.int64)
_TABLES = _tails()[np.clip(np.arange(2 * _STEPS) + _SHIFTS, 0, _STEPS - 1)].reshape(len(SHARES), -1)


def at_least(count: Array, most: Array) -> Array:
    """How likely it is that so many or more came, of *most* in all; one row for each of SHARES."""
    steps = np.rint(np.log(np.maximum(most, _LEAST_MEAN) / _LEAST_MEAN) / _PER_STEP)
    places = np.minimum(steps, 2 * _STEPS - 1) * (_MOST + 1) + np.floor(np.minimum(np.maximum(count, 0), _MOST))
    places = places.astype(np.int64)
    return _TABLES.take(places, axis=1) if places.ndim == 1 else np.take_along_axis(_TABLES, places, axis=1)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of others for each of many possible limiters."""

    had: Array  # all that would have been left else when it last refused
    below: Array  # they had less than this when it last accepted
    shut_until: Array  # they got nothing else after that refusal until then
    held_at: Array  # since when they had as much at each refusal, with nothing accepted in between
    refused_at: float = LONG_AGO
    began_at: float = LONG_AGO

    @classmethod
    def nothing(cls, size: int, began_at: float = LONG_AGO) -> "Known":
        """Before the first request."""
        before = np.full(size, LONG_AGO)
        return cls(np.zeros(size), np.full(size, np.inf), before, before, LONG_AGO, began_at)

    def refused(self, kind: Kind, left: Array, at: float, shut_until: Array) -> "Known":
        """What is known after one was refused at *at* all the same."""
        # A kind that goes on as if nothing were left has it in mind already; of a bucket but for the part of a token.
        had = np.minimum(left, 1.0 if kind.fills else 0.0 if kind.levels else np.inf)
        held_at = np.where((had == self.had) & np.isinf(self.below), self.held_at, at)
        return Known(had, np.full(len(left), np.inf), shut_until, held_at, at, self.began_at)

    def gone(self, kind: Kind, params: Params, at: float) -> Array:
        """What share of it is gone by now."""
        return np.asarray(np.minimum((at - self.refused_at) / kind.lasts_s(params), 1.0))

    def kept(self, kind: Kind, params: Params, at: float) -> Array:
        """How likely it is that others have one still or again that they had at the last refusal; one row a share."""
        lasts, since, shut = kind.lasts_s(params), self.gone(kind, params, at), self.shut_until > self.refused_at
        first = np.where(shut, (self.refused_at - self.held_at) / lasts, 0.0)
        first = np.where(first < 1.0, first, 0.0)
        per_s = SHARES * params["limit"] / kind.refill_s(params)
        # Where nothing else is let in meanwhile, they may have come once more, half of that time later on average.
        found_empty = np.exp(-0.5 * per_s * np.where(shut, lasts * since, 0.0))
        return np.asarray((1.0 - found_empty * np.minimum(first + since, 1.0)) / (1.0 - found_empty * first))

    def have(self, count: Array, came: Array, kind: Kind, params: Params, at: float) -> Array:
        """How likely it is that others have so many, having come in this share of what it takes to be full again."""
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
        # Nobody knows whether they were there before the first request, as long as nothing was refused.
        newly = at_least(count, params["limit"] * np.minimum((at - self.began_at) / kind.refill_s(params), 1.0))
        return np.where(ever, (1.0 - _NEWLY) * found + _NEWLY * newly, found)


def took_all(kind: Kind, params: Params, mind: State, left: Array, at: float, known: Known) -> Array:
    """How likely it is that others have all that would be *left* at *at*; one row for each of SHARES."""
    left = np.maximum(left, 1.0)
    came = np.minimum(np.maximum(at - known.shut_until, 0.0) / kind.refill_s(params), 1.0)
    if kind.fills:
        # What was taken from a bucket that is full again has come back.
        came = np.where(mind["full"] <= at, 1.0 / params["limit"], came)
    found = known.have(left, came, kind, params, at)
    if np.isfinite(known.below).any():
        below = known.have(known.below, came, kind, params, at)
        found = np.where(left < known.below, (found - below) / np.maximum(1.0 - below, 1e-9), 0.0)
    found = np.minimum(np.maximum(found, _NOISE), 1.0 - _NOISE)
    found[0] = _NOISE  # nobody
    return found


def came_first(
    early_s: Array, kind: Kind, params: Params, mind: State, since_s: float, *, accepted: bool
) -> Array | float:
    """How likely it is that others had it move on so much sooner, *since_s* after it had not; a row for each share."""
    if kind.fills and accepted:
        return np.where((early_s < params["token_s"]) & (SHARES > 0), _TOKEN_AWAY, 0.0)
    if "idle" not in mind:
        return 0.0
    per_s = SHARES * params["limit"] / params[kind.scales[0]]
    by_now, before = (np.maximum(mind["idle"] - early_s - ago_s, 0.0) for ago_s in (0.0, since_s))
    return np.asarray(-np.expm1(-per_s * (by_now - before)))
