"""Which stimulus tells most for what it costs; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.stimulus import Segment, Stimulus, drain, spread
from touchstone.limiter.belief import Belief
from touchstone.limiter.filling import steady
from touchstone.limiter.foresight import Crowd, Foreseen, Script, crowds, foresee, quantile, refills
from touchstone.limiter.kinds import NEVER, Array
from touchstone.limiter.tiers import Tiered

_CROWD = 140
_FAMILY_WORTH = 1.0
# What a bit is worth of times that are known well enough.
_NARROW_WORTH = 0.02
# Up to which shares of all moments requests are spread, where the last of them is so many times as far as the first.
_FAR, _UNKNOWN = (0.25, 0.6), 4.0
# More than any limit.
_MANY = 1_000_000
# Times that are closer than this, as a share of themselves, are as good as the same; of two times one is known that
# lies within so much, and the other one matters in so many steps.
_SAME, _KNOWN, _FEW_STEPS = 0.005, 0.02, 12
# How likely it has to be that requests are accepted before a burst of them is thought of.
_WORTH_TRYING = 0.1
# What tells less is not worth sending.
_LEAST_BITS = 0.003
# A request costs as much as its share of the limit, a second as its share of the time that the limit takes to refill.
_REFUSED_PRICE = 0.03
# Room that the limiter gains meanwhile costs as much as this share of so many requests: it has to be spent before the
# next refusal tells something.
_GAINED = 0.5
# So many times as far as a moment is uncertain from an edge, and of so many kinds, an answer is foreseen for sure.
_BESIDE, _KINDS = 3.0, 4
# Of so many requests at least the first poll consists: it tells when a limiter that is full gives again, and the edge
# that it finds is what all later ones are held against.
_FIRST_POLL, _POLLS = 7, ("poll", "poll, one more")
_LATE = 0.85


@dataclass(frozen=True, slots=True)
class Prices:
    """What a stimulus costs, in parts of what it takes to spend the limit once.

    Attributes:
        request: Of one request.
        refused: Of one that is refused, besides.
        second: Of one second.
        least: Of any stimulus at all.
    """

    request: float
    refused: float
    second: float
    least: float = 0.03


@dataclass(frozen=True, slots=True)
class Choice:
    """The stimulus that was chosen, and why.

    Attributes:
        bits: What is to be learned from it, of all that is not known.
        family_bits: What of that is about the family.
    """

    stimulus: Stimulus
    bits: float
    family_bits: float
    cost: float


def choose(
    belief: Belief,
    now: float,
    pace_s: float,
    blur_s: float,
    rng: np.random.Generator,
    most: int = 10_000,
    *,
    first: bool = False,
    narrow: bool = False,
    aside: bool = True,
) -> Choice | None:
    """The stimulus with the most to learn for its cost; None where nothing more is to be learned.

    Args:
        now: The earliest that a request can be sent, on the clock of the run.
        most: Requests that it may consist of.
        first: Whether nothing was sent yet since the limiter was full for the first time.
        narrow: Whether its times are known well enough, so that only its kind and its limit are to be learned.
        aside: Whether what only others could explain is left out, as long as nothing says that there are any.
    """
    found = crowds(belief, _CROWD, rng, aside=aside)
    refill, weights = refills(found)
    limit = quantile(np.concatenate([c.params["limit"] for c in found]), weights, 0.5)
    prices = Prices(1.0 / (limit + 5), _REFUSED_PRICE, 0.2 / max(quantile(refill, weights, 0.5), 4 * pace_s))
    stimuli = [s for s in candidates(found, now, pace_s, blur_s, int(limit)) if s.most <= most + 2]
    if not stimuli:
        return None
    if first:
        stimuli = [s for s in stimuli if s.name in _POLLS and s.most >= _FIRST_POLL] or stimuli
    script = Script.of(stimuli)
    seen = [foresee(crowd, script, pace_s, blur_s) for crowd in found]
    bits, family_bits = _worth(found, seen)
    cost = _cost(found, seen, now, prices, 0.0 if first else _GAINED)
    plain = np.maximum(bits, 0.0) * (_NARROW_WORTH if narrow else 1.0)
    worth = (plain + _FAMILY_WORTH * np.maximum(family_bits, 0.0)) / cost
    best = int(np.argmax(worth))
    if bits[best] < _LEAST_BITS and family_bits[best] < _LEAST_BITS:
        return None
    return Choice(stimuli[best], float(bits[best]), float(family_bits[best]), float(cost[best]))


def _worth(found: Sequence[Crowd], seen: Sequence[Foreseen]) -> tuple[Array, Array]:
    """Bits that each stimulus tells: of all that is worth knowing, and of the kind and its limit.

    Of times it is not worth knowing more than a small share of themselves.
    For the latter unlikely kinds count for more than they weigh, as the square root of it: to be sure of one kind means
    to rule out what is left of the others.
    """
    mark = np.concatenate([one.mark for one in seen], axis=1)
    coins = np.concatenate([one.coins for one in seen], axis=1)
    weights = np.concatenate([crowd.weights for crowd in found])
    names = np.concatenate([_MANY * number + crowd.params["limit"] for number, crowd in enumerate(found)])
    _, kind = np.unique(names, return_inverse=True)
    place = _places(found)
    both = _entropies(mark * _MANY + place, weights) - _entropies(place[None, :], weights)
    whole = _entropies(mark, weights) - both - coins @ weights
    shares = np.sqrt([crowd.weights.sum() for crowd in found])
    evened = np.concatenate(
        [crowd.weights * share / crowd.weights.sum() for crowd, share in zip(found, shares / shares.sum(), strict=True)]
    )
    inside = np.zeros(len(mark))
    for number in range(int(kind.max()) + 1):
        mine = kind == number
        share = evened[mine].sum()
        inside += share * _entropies(mark[:, mine], evened[mine] / share)
    return whole, _entropies(mark, evened) - inside - 0.5 * (coins @ evened)


def _places(found: Sequence[Crowd]) -> NDArray[np.int64]:
    """A number for each possible limiter, the same for those of a kind whose numbers are as good as the same."""
    rows = [
        np.stack(
            [
                np.full(len(crowd), float(number)),
                crowd.params["limit"],
                np.rint(crowd.params["phase"] / _SAME),
                *_times(crowd),
            ]
        )
        for number, crowd in enumerate(found)
    ]
    longest = max(len(part) for part in rows)
    padded = [np.pad(part, ((0, longest - len(part)), (0, 0))) for part in rows]
    _, place = np.unique(np.concatenate(padded, axis=1), axis=1, return_inverse=True)
    return place.ravel()


def _times(crowd: Crowd) -> list[Array]:
    """The times of each limiter, in steps that matter.

    Of two times one that is known well enough matters no more, and the other one no more closely than in a few steps:
    else whatever tells of the first one would seem to tell of the other.
    """
    logs = [np.log(crowd.params[name]) for name in crowd.kind.scales]
    wide = [log for log in logs if np.ptp(log) > _KNOWN]
    if len(logs) == 1 or len(wide) != 1:
        return [np.rint(log / _SAME) for log in logs]
    ranks = np.argsort(np.argsort(wide[0]))
    return [np.floor(ranks * (_FEW_STEPS / len(crowd))), np.zeros(len(crowd))]


def _entropies(mark: NDArray[np.int64], weights: Array) -> Array:
    order = np.argsort(mark, axis=1, kind="stable")
    ranked = np.take_along_axis(mark, order, axis=1)
    heavy = weights[order]
    new = np.ones_like(ranked, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    groups = np.cumsum(new, axis=1) - 1
    flat = groups + np.arange(len(mark))[:, None] * mark.shape[1]
    sums = np.bincount(flat.ravel(), weights=heavy.ravel(), minlength=mark.size).reshape(mark.shape)
    return np.asarray(-(sums * np.log2(np.maximum(sums, 1e-300))).sum(axis=1))


def _cost(found: Sequence[Crowd], seen: Sequence[Foreseen], now: float, prices: Prices, room: float) -> Array:
    """What each stimulus costs.

    Args:
        room: What one more request that the limiter would let through afterwards costs, as a share of one that is sent.
    """
    total = np.zeros(len(seen[0].mark))
    for crowd, one in zip(found, seen, strict=True):
        gained = one.room - crowd.kind.room(crowd.params, crowd.state, np.full(len(crowd), now))
        each = (
            prices.request * (one.sent + room * gained)
            + prices.refused * one.refused
            + prices.second * np.maximum(one.end_at - now, 0.0)
        )
        total = total + each @ crowd.weights
    return total + prices.least


def candidates(found: Sequence[Crowd], now: float, pace_s: float, blur_s: float, limit: int) -> Iterator[Stimulus]:
    """Stimuli that may tell something: around the moments at which the possible limiters would change their answers."""
    most = int(max(crowd.params["limit"].max() for crowd in found)) + 2
    free, turn = _moments(found, None, now)
    moments = sorted({now, *_ahead(free, now), *_ahead(turn, now)})
    for at in moments:
        yield Stimulus("one request", (Segment((at,)),))
        yield Stimulus("two requests", (Segment((at, at)),))
        yield Stimulus("drain", (drain(at, most),))
        yield Stimulus("poll", (Segment(tuple(at + (pace_s + 3 * blur_s) * i for i in range(4)), "accepted"),))
    for at in _beside(found, now, blur_s):
        yield Stimulus("one request", (Segment((at,)),))
        yield Stimulus("drain", (drain(at, most),))
    rest_s = quantile(*refills(found), 0.9)
    for times in (1.05, 2.1):
        # Long enough to be as it was in the beginning.
        yield Stimulus("rest, drain", (drain(now + times * rest_s, most),))
        if isinstance(found[0].kind, Tiered):
            yield Stimulus("rest, steady", (steady(found[0].kind, now + times * rest_s, 2 * most),))
    yield from _spaced(turn, now, (), "", limit, most)
    yield from _spaced(free, now, (), "", limit, most)
    yield from _polls(free, now, (), "", most)
    yield from _polls(turn, now, (), "", most)
    starts = sorted({q for q in (_at(free, 0.5), _at(free, 0.95), _at(turn, 0.95)) if q > now})
    if _share_by(free, now) > _WORTH_TRYING:
        starts = [now, *starts]
    sizes = sorted({size for size in (1, 2, limit // 4, limit // 2, limit - 1) if size >= 1})
    # What fills it late in its window tells one that closes from one that lets go of each by itself.
    late = now + _LATE * (_at(turn, 0.03) - now)
    prefixes: list[tuple[str, Segment]] = []
    for start in [*starts[:3], *([late] if late > now + 1e-3 else [])]:
        prefixes += [(f"{size} at once", Segment((start,) * size)) for size in sizes]
        prefixes.append(("drain", drain(start, most)))
    prefixes += [("steady", steady(crowd.kind, now, 2 * most)) for crowd in found[:1] if isinstance(crowd.kind, Tiered)]
    script = Script.of([Stimulus(name, (segment,)) for name, segment in prefixes])
    seen = [foresee(crowd, script, pace_s, blur_s) for crowd in found]
    for row, (name, segment) in enumerate(prefixes):
        yield from _after(found, seen, row, (segment,), name, limit, most)


def _after(
    found: Sequence[Crowd],
    seen: Sequence[Foreseen],
    row: int,
    before: tuple[Segment, ...],
    name: str,
    limit: int,
    most: int,
) -> Iterator[Stimulus]:
    end = float(max(one.end_at[row].max() for one in seen))
    free, turn = _moments(found, [(one, row) for one in seen], end)
    for at in sorted({*_ahead(free, end, (0.25, 0.5, 0.75)), *_ahead(turn, end, (0.25, 0.5, 0.75))}):
        yield Stimulus(f"{name}, one later", (*before, Segment((at,))))
        yield Stimulus(f"{name}, two later", (*before, drain(at, 2)))
        yield Stimulus(f"{name}, drain later", (*before, drain(at, most)))
    yield from _spaced(turn, end, before, f"{name}, ", limit, most)
    yield from _polls(free, end, before, f"{name}, ", most)


def _polls(
    moments: tuple[Array, Array], now: float, before: tuple[Segment, ...], name: str, most: int
) -> Iterator[Stimulus]:
    """One now and then until one is accepted, so that each step is as likely as any other to bring it."""
    for count in (3, 5, 8, 12):
        shares = [(number + 0.5) / count for number in range(count)]
        at = tuple(sorted(set(_ahead(moments, now, shares))))
        if len(at) < 2:
            continue
        part = Segment(at, "accepted")
        yield Stimulus(f"{name}poll", (*before, part))
        yield Stimulus(f"{name}poll, one more", (*before, part, Segment((now,))))
        yield Stimulus(f"{name}poll, drain", (*before, part, drain(now, most)))


def _spaced(
    moments: tuple[Array, Array], now: float, before: tuple[Segment, ...], name: str, limit: int, most: int
) -> Iterator[Stimulus]:
    low, high = max(now, _at(moments, 0.03)), _at(moments, 0.97)
    if high <= now + 1e-6 or high <= low:
        return
    for count in sorted({2, 3, 6, max(2, limit // 2), max(2, limit - 1)}):
        part = spread(low, high, count)
        yield Stimulus(f"{name}{count} spread", (*before, part))
        yield Stimulus(f"{name}{count} spread, drain", (*before, part, drain(high, most)))
    # Nobody knows how long: each step is as likely as any other to be the one, as far as there is an end to it.
    for share in _FAR if high > _UNKNOWN * (low - now + 1e-3) else ():
        count = max(2, limit - 1)
        at = tuple(sorted(set(_ahead(moments, now, [share * (number + 1) / count for number in range(count)]))))
        if len(at) > 1:
            yield Stimulus(f"{name}{count} ahead, drain", (*before, Segment(at), drain(at[-1], most)))


def _moments(
    found: Sequence[Crowd], seen: Sequence[tuple[Foreseen, int]] | None, now: float
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """When each possible limiter would let one in, and when it would change otherwise; with their weights."""
    free, turn, weights = [], [], []
    for number, crowd in enumerate(found):
        if seen is None:
            params, state = crowd.params, crowd.state
        else:
            one, row = seen[number]
            params, state = crowd.params, one.state(row)
        free.append(np.maximum(crowd.kind.free_at(params, state), now))
        turn.append(np.maximum(crowd.kind.turn_at(params, state), now))
        weights.append(crowd.weights)
    joint = np.concatenate(weights)
    return (np.concatenate(free), joint), (np.concatenate(turn), joint)


def _beside(found: Sequence[Crowd], now: float, blur_s: float) -> list[float]:
    """Just before and just after the moment at which each of the likeliest kinds changes: it is in no doubt there."""
    moments = []
    for crowd in sorted(found, key=lambda one: -one.weights.sum())[:_KINDS]:
        kind, known = crowd.kind, (crowd.params, crowd.state)
        for changes_at in (kind.free_at(*known), kind.turn_at(*known)):
            low, high = np.quantile(changes_at, (0.02, 0.98))
            moments += [low - _BESIDE * blur_s, high + _BESIDE * blur_s]
    return sorted({float(at) for at in moments if now < at < NEVER / 2})


def _at(moments: tuple[Array, Array], share: float) -> float:
    return quantile(moments[0], moments[1], share)


def _share_by(moments: tuple[Array, Array], at: float) -> float:
    """What share of *moments* has come by *at*."""
    return float((moments[0] <= at + 1e-6) @ moments[1])


def _ahead(
    moments: tuple[Array, Array], now: float, shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
) -> list[float]:
    """Moments by which these shares of what is still to come has come."""
    values, weights = moments
    ahead = values > now + 1e-6
    if not ahead.any():
        return []
    return [quantile(values[ahead], weights[ahead], share) for share in shares]
