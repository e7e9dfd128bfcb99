"""Somebody else who uses the same key: how likely it is that they took what a limiter had left; pure.

They come at any moment, as often as a share of what the limiter gives for good. What they took is not seen, but it
lasts: where they had all of it a moment ago, they have it still.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Mask, Params, State, refill_s

# Which share others may take: none, few, some, many; and how likely each is beforehand.
SHARES = np.array([0.0, 0.04, 0.12, 0.35])[:, None]
PRIOR = np.log(np.array([0.91, 0.04, 0.04, 0.01]))[:, None]
# How likely it is that others begin with the first request, instead of long before it.
_NEWLY = 0.5
# A refusal that nothing explains.
_NOISE = 1e-4
# How likely a token is to be there already of a bucket that is not known to a token.
_TOKEN_AWAY = 0.1
_MOST, _STEPS, _LEAST_MEAN, _MOST_MEAN = 160, 240, 1e-3, 100.0


def _tails() -> Array:
    """How likely it is that at least so many come, for a row of means; of a Poisson distribution."""
    means = np.geomspace(_LEAST_MEAN, _MOST_MEAN, _STEPS)[:, None]
    counts = np.arange(_MOST)[None, :]
    factorials = np.array([math.lgamma(count + 1) for count in range(_MOST)])
    chances = np.exp(counts * np.log(means) - means - factorials[None, :])
    below = np.concatenate([np.zeros((_STEPS, 1)), np.cumsum(chances, axis=1)[:, :-1]], axis=1)
    tails = np.clip(1.0 - below, 0.0, 1.0)
    return np.concatenate([tails, np.zeros((_STEPS, 1))], axis=1)


_PER_STEP = math.log(_MOST_MEAN / _LEAST_MEAN) / (_STEPS - 1)


def _by_share() -> Array:
    """The same for each of SHARES, by the mean of all that a limiter gives; each flat."""
    tails, steps = _tails(), np.arange(2 * _STEPS)
    shifts = np.rint(np.log(np.maximum(SHARES[:, 0], 1e-9)) / _PER_STEP).astype(np.int64)
    return np.array([tails[np.clip(steps + shift, 0, _STEPS - 1)].ravel() for shift in shifts])


_BY_SHARE = _by_share()
# What limiters keep in mind that others may have changed.
MINDED = ("full", "idle")


def _layers(values: Array, like: Array) -> Array:
    """One layer for each of SHARES before all that *like* has."""
    return values.reshape(-1, *[1] * np.ndim(like))


def at_least(count: Array, most: Array) -> Array:
    """How likely it is that so many or more came; one layer for each of SHARES.

    Args:
        most: How many would have come if they took all that the limiter gives.
    """
    return _look_up(count, _rows(most), _BY_SHARE)


def _rows(most: Array) -> NDArray[np.int64]:
    """Where the tail for each mean begins in a flat table."""
    steps = np.rint(np.log(np.maximum(most, _LEAST_MEAN) / _LEAST_MEAN) / _PER_STEP)
    return np.minimum(steps, 2 * _STEPS - 1).astype(np.int64) * (_MOST + 1)


def _look_up(count: Array, rows: NDArray[np.int64], tables: Array) -> Array:
    places = rows + np.minimum(np.maximum(count, 0), _MOST).astype(np.int64)
    each = places if places.ndim > np.ndim(rows) else [places] * len(tables)
    return np.array([table.take(mine) for table, mine in zip(tables, each, strict=True)])


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of others for each of many possible limiters.

    Attributes:
        had: What they had in mind of the limiter when it last refused: all that it would have had left else.
        below: They had less than this when it last accepted.
        shut_until: Until when they got nothing else after that refusal.
        held_at: Since when they had as much at each refusal, with nothing accepted in between.
        refused_at: When it last refused.
        began_at: When the first request was sent.
    """

    had: Array
    below: Array
    shut_until: Array
    held_at: Array
    refused_at: float | Array = LONG_AGO
    began_at: float = LONG_AGO

    @classmethod
    def nothing(cls, size: int, began_at: float = LONG_AGO) -> "Known":
        """Before the first request."""
        before = np.full(size, LONG_AGO)
        return cls(np.zeros(size), np.full(size, np.inf), before, before, LONG_AGO, began_at)

    def accepted(self, left: Array) -> "Known":
        """What is known after one was let through, before which so many would have been left if nobody else came."""
        return replace(self, below=left)

    def refused(self, kind: Kind, left: Array, at: float, shut_until: Array) -> "Known":
        """What is known after one was refused at *at* all the same."""
        # A kind that goes on as if nothing were left has it in mind already; of a bucket but for the part of a token.
        most = 0.0 if kind.levels else np.inf
        had = np.minimum(left, 1.0 if _fills(kind) else most)
        held_at = np.where((had == self.had) & np.isinf(self.below), self.held_at, at)
        return Known(had, np.full(len(left), np.inf), shut_until, held_at, at, self.began_at)

    def gone(self, kind: Kind, params: Params, at: float | Array) -> Array:
        """What share of it is gone by now."""
        return np.asarray(np.minimum((at - self.refused_at) / lasts_s(kind, params), 1.0))

    def of(self, mask: Mask) -> "Known":
        """Of some of the limiters."""
        return replace(
            self,
            had=self.had[mask],
            below=self.below[mask],
            shut_until=self.shut_until[mask],
            held_at=self.held_at[mask],
        )

    def joined(self, other: "Known") -> "Known":
        """Of these and others, of the same story."""
        return Known(
            np.concatenate([self.had, other.had]),
            np.concatenate([self.below, other.below]),
            np.concatenate([self.shut_until, other.shut_until]),
            np.concatenate([self.held_at, other.held_at]),
            other.refused_at,
            other.began_at,
        )


def _fills(kind: Kind) -> bool:
    return kind.scales[0] == "token_s"


def lasts_s(kind: Kind, params: Params) -> Array:
    """How long what others took of a limiter is missing at most; of a bucket one token."""
    return params["token_s"] if _fills(kind) else refill_s(kind, params)


def took_all(kind: Kind, params: Params, mind: State, left: Array, at: float | Array, known: Known) -> Array:
    """How likely it is that others have all that would be *left* at *at*; one layer for each of SHARES.

    Args:
        mind: What each limiter keeps in mind of MINDED.
    """
    left = np.maximum(left, 1.0)
    limit = params["limit"]
    came = np.minimum(np.maximum(at - known.shut_until, 0.0) / refill_s(kind, params), 1.0)
    if _fills(kind):
        # What was taken from a bucket that is full again has come back.
        came = np.where(mind["full"] <= at, 1.0 / limit, came)
    tail = _Tail(kind, params, at, known, _rows(limit * came))
    now = tail.of(left)
    if np.isfinite(known.below).any():
        below = tail.of(known.below)
        now = np.where(left < known.below, (now - below) / np.maximum(1.0 - below, 1e-9), 0.0)
    nobody = np.full((1, *now.shape[1:]), _NOISE)
    return np.concatenate([nobody, np.minimum(np.maximum(now, _NOISE), 1.0 - _NOISE)])


@dataclass(frozen=True, slots=True)
class _Tail:
    """How likely it is that others have so many at a moment; without the layer of nobody.

    Attributes:
        rows: Where the tail for those that came begins in a flat table, if they came all the time.
    """

    kind: Kind
    params: Params
    at: float | Array
    known: Known
    rows: NDArray[np.int64]

    def of(self, count: Array) -> Array:
        """For a *count*.

        Nobody knows whether they were there before the first request, as long as nothing was refused.
        """
        kept = _kept(self.kind, self.params, self.at, self.known)
        found, ever = _still(count, self.rows, self.known.had, kept), self.known.shut_until <= LONG_AGO
        if not ever.any() or _fills(self.kind):
            return found
        came = np.minimum((self.at - self.known.began_at) / refill_s(self.kind, self.params), 1.0)
        newly = _look_up(count, _rows(self.params["limit"] * came), _BY_SHARE[1:])
        return np.where(ever, (1.0 - _NEWLY) * found + _NEWLY * newly, found)


def _kept(kind: Kind, params: Params, at: float | Array, known: Known) -> Array:
    """
    How likely it is that others have again or still one that they had at the last refusal; without the layer of nobody.

    Each came at any moment of as long as it lasts, and goes in as long again. Where nothing else is let in meanwhile,
    they may have come once more before the next request shows that it is gone, half of that time later on average.
    """
    lasts = lasts_s(kind, params)
    since = np.minimum((at - known.refused_at) / lasts, 1.0)
    shut = known.shut_until > known.refused_at
    first = np.where(shut, (known.refused_at - known.held_at) / lasts, 0.0)
    first = np.where(first < 1.0, first, 0.0)
    per_s = _layers(SHARES[1:], since) * params["limit"] / refill_s(kind, params)
    found_empty = np.exp(-0.5 * per_s * np.where(shut, lasts * since, 0.0))
    return np.asarray((1.0 - found_empty * np.minimum(first + since, 1.0)) / (1.0 - found_empty * first))


def _still(count: Array, rows: NDArray[np.int64], had: Array, kept: Array) -> Array:
    """How likely it is that others have so many, with those that they had already; without the layer of nobody."""
    tables = _BY_SHARE[1:]
    if not had.any():
        return _look_up(count, rows, tables)
    all_left = kept**had
    few = np.floor(had * kept)
    return all_left * _look_up(count - had, rows, tables) + (1.0 - all_left) * _look_up(count - few, rows, tables)


def came_first(
    early_s: Array, kind: Kind, params: Params, mind: State, since_s: float | Array, *, accepted: bool
) -> Array:
    """How likely it is that a limiter moves on so much sooner, since others came before; one layer for each of SHARES.

    They may have opened the window; and a bucket from which they took something is not known to a token.

    Args:
        mind: What each limiter keeps in mind of MINDED.
        since_s: How long ago it was seen not to have moved on yet.
    """
    shares = _layers(SHARES, early_s)
    if _fills(kind) and accepted:
        return np.where((early_s < params["token_s"]) & (shares > 0), _TOKEN_AWAY, 0.0)
    if "idle" not in mind:
        return np.zeros_like(shares)
    per_s = shares * params["limit"] / params[kind.scales[0]]
    by_now, before = (np.maximum(mind["idle"] - early_s - ago_s, 0.0) for ago_s in (0.0, since_s))
    return np.asarray(-np.expm1(-per_s * (by_now - before)))
