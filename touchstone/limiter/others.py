"""
Somebody else who uses the same key: how likely it is that they took what a limiter had left; pure.

They come at any moment, as often as a share of what the limiter gives for good. What they took is not seen, but it
lasts: where they had all of it a moment ago, they have it still.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Mask, Params, State, refill_s

# Which share others may take: none, few, some, many; and how likely each is beforehand.
SHARES = np.array([0.0, 0.04, 0.12, 0.35])[:, None]
PRIOR = np.log(np.array([0.91, 0.04, 0.04, 0.01]))[:, None]
# A refusal that nothing explains.
_NOISE = 1e-4
# How likely a token is to be there already of a bucket that is not known to a token.
_TOKEN_AWAY = 0.1
_MOST, _STEPS, _LEAST_MEAN, _MOST_MEAN = 160, 240, 1e-3, 100.0


def _tails() -> Array:
    """
    How likely it is that at least so many come, for a row of means; of a Poisson distribution.
    """
    means = np.geomspace(_LEAST_MEAN, _MOST_MEAN, _STEPS)[:, None]
    counts = np.arange(_MOST)[None, :]
    factorials = np.array([math.lgamma(count + 1) for count in range(_MOST)])
    chances = np.exp(counts * np.log(means) - means - factorials[None, :])
    below = np.concatenate([np.zeros((_STEPS, 1)), np.cumsum(chances, axis=1)[:, :-1]], axis=1)
    tails = np.clip(1.0 - below, 0.0, 1.0)
    return np.concatenate([tails, np.zeros((_STEPS, 1))], axis=1)


_TAILS = _tails()
_PER_STEP = math.log(_MOST_MEAN / _LEAST_MEAN) / (_STEPS - 1)
_SHIFTS = np.log(np.maximum(SHARES, 1e-9)) / _PER_STEP


def at_least(count: Array, most: Array) -> Array:
    """
    How likely it is that so many or more came; one row for each of SHARES.

    Args:
        most: How many would have come if they took all that the limiter gives.
    """
    steps = np.log(np.maximum(most, _LEAST_MEAN) / _LEAST_MEAN) / _PER_STEP + _SHIFTS
    rows = np.clip(np.rint(steps), 0, _STEPS - 1).astype(np.int64)
    columns = np.clip(count, 0, _MOST).astype(np.int64)
    return np.asarray(_TAILS[rows, columns])


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is known of others for each of many possible limiters.

    Attributes:
        had: What they had in mind of the limiter when it last refused: all that it would have had left else.
        below: They had less than this when it last accepted.
        refused_at: When it last refused.
    """

    had: Array
    below: Array
    refused_at: float = LONG_AGO

    @classmethod
    def nothing(cls, size: int) -> "Known":
        """
        Before the first request.
        """
        return cls(np.zeros(size), np.full(size, np.inf))

    def after(self, kind: Kind, left: Array, at: float, *, accepted: bool) -> "Known":
        """
        What is known after an answer at *at*, before which so many would have been left if nobody else came.
        """
        if accepted:
            return replace(self, below=left)
        # A kind that goes on as if nothing were left has it in mind already; of a bucket but for the part of a token.
        most = 0.0 if kind.levels else np.inf
        had = np.minimum(left, 1.0 if _fills(kind) else most)
        return Known(had, np.full(len(left), np.inf), at)

    def gone(self, kind: Kind, params: Params, at: float) -> Array:
        """
        What share of it is gone by now.
        """
        return np.asarray(np.minimum((at - self.refused_at) / lasts_s(kind, params), 1.0))

    def of(self, mask: Mask) -> "Known":
        """
        Of some of the limiters.
        """
        return Known(self.had[mask], self.below[mask], self.refused_at)

    def joined(self, other: "Known") -> "Known":
        """
        Of these and others, of the same story.
        """
        had, below = np.concatenate([self.had, other.had]), np.concatenate([self.below, other.below])
        return Known(had, below, other.refused_at)


def _fills(kind: Kind) -> bool:
    return kind.scales[0] == "token_s"


def lasts_s(kind: Kind, params: Params) -> Array:
    """
    How long what others took of a limiter is missing at most; of a bucket one token.
    """
    return params["token_s"] if _fills(kind) else refill_s(kind, params)


def took_all(kind: Kind, params: Params, state: State, at: float, known: Known) -> Array:
    """
    How likely it is that others have all that would be left at *at*; one row for each of SHARES.
    """
    left = np.maximum(kind.room(params, state, at), 1.0)
    limit = params["limit"]
    gone = known.gone(kind, params, at)
    came = np.minimum((at - known.refused_at) / refill_s(kind, params), 1.0)
    if _fills(kind):
        # What was taken from a bucket that is full again has come back.
        came = np.where(state["full"] <= at, 1.0 / limit, came)
    now = _at_least(left, limit * came, known.had, gone)
    if np.isfinite(known.below).any():
        below = _at_least(known.below, limit * came, known.had, gone)
        now = np.where(left < known.below, (now - below) / np.maximum(1.0 - below, 1e-9), 0.0)
    found = np.clip(now, _NOISE, 1.0 - _NOISE)
    found[0] = _NOISE
    return np.asarray(found)


def _at_least(count: Array, most: Array, had: Array, gone: Array) -> Array:
    """
    The same where some of what they had is gone, each for itself.
    """
    if not had.any():
        return at_least(count, most)
    all_left = (1.0 - gone) ** had
    few = np.floor(had * (1.0 - gone))
    return all_left * at_least(count - had, most) + (1.0 - all_left) * at_least(count - few, most)


def came_first(early_s: Array, kind: Kind, params: Params, state: State, *, accepted: bool) -> Array:
    """
    How likely it is that a limiter moves on so much sooner, since others came before; one row for each of SHARES.

    They may have opened the window; and a bucket from which they took something is not known to a token.
    """
    if _fills(kind) and accepted:
        return np.where((early_s < params["token_s"]) & (SHARES > 0), _TOKEN_AWAY, 0.0)
    if "idle" not in state:
        return np.zeros((len(SHARES), 1))
    per_s = SHARES * params["limit"] / params[kind.scales[0]]
    return np.asarray(-np.expm1(-per_s * np.maximum(state["idle"] - early_s, 0.0)))
