"""Choice of the next stimulus: the one with the most expected information for its cost; no I/O."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.probe import Segment, Stimulus, drain
from touchstone.limiter.belief import Belief, quantiles
from touchstone.limiter.cells import UNSHARED, picked
from touchstone.limiter.kinds import LONG_AGO, NEVER, Array, Kind, State, Tiered, chosen, is_shared

ALONE = 0.1  # other clients with a lower probability are ignored
_SAMPLE = 140  # limiters drawn from the posterior, whose responses to each stimulus are predicted
_UNTIL = {"": -1, "refused": 0, "accepted": 1}  # the decision that ends a segment
_NARROW_WORTH = 0.02  # value of one bit of information about times, if these are exact enough
_MANY = 1_000_000  # more than any limit
# Times within _SAME count as equal. If only one time is not yet known within _KNOWN, it is cut into _FEW_STEPS steps.
_SAME, _KNOWN, _FEW_STEPS = 0.005, 0.02, 12
_WORTH_TRYING = 0.1  # least probability of an acceptance now for a burst that begins at once
_LEAST_BITS = 0.003  # least information of a stimulus that is worth sending
# Prices, if a whole limit costs about 1: of a stimulus, a refused request, a refill; in requests: of regained room.
_LEAST_PRICE, _REFUSED_PRICE, _REFILL_PRICE, _GAINED = 0.03, 0.03, 0.2, 0.5
_BESIDE, _KINDS = 3.0, 4  # distance from a change, in time errors, at which a response is certain; number of kinds
_FIRST_POLL, _POLLS = 7, ("poll", "poll, one more")  # a poll sends requests until one is accepted; least size at first
_LATE = 0.85  # a burst this late in a window distinguishes a fixed window from a log
_GENTLY = 1.05  # interval between requests that the first limiter accepts, in refill times of one request
# Stimuli are tried at these quantiles of the times of future changes: alone, and after another stimulus.
_SHARES, _FEW_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98), (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Draws:
    """Limiters of one kind, drawn from the posterior, with weights; the weights of all kinds sum to 1."""

    kind: Kind
    params: dict[str, Array]
    state: State
    weights: Array

    def __len__(self) -> int:
        return len(self.weights)


def sample_posterior(belief: Belief, size: int, rng: np.random.Generator, *, aside: bool = True) -> list[Draws]:
    """Draws about *size* limiters from the posterior. With *aside*, other clients are ignored if they are unlikely."""
    aside = aside and belief.others() < ALONE
    masses = [cells.masses_with(UNSHARED) if aside else cells.masses() for cells in belief.cells]
    total = np.logaddexp.reduce(np.concatenate(masses))
    shares = np.array([np.exp(mass - total).sum() for mass in masses])
    wanted = np.sqrt(shares) * (shares > 1e-3)
    wanted = np.ceil(size * wanted / wanted.sum())
    found, whole = [], shares[wanted > 0].sum()
    for cells, mass, share, count in zip(belief.cells, masses, shares, wanted.astype(int), strict=True):
        if count:
            bounds = np.cumsum(np.exp(mass - total)) / share
            picks = np.minimum(np.searchsorted(bounds, (np.arange(count) + rng.random()) / count), len(cells) - 1)
            some = picked(cells, picks)
            found.append(Draws(cells.kind, some.params(), some.state, np.full(count, share / count / whole)))
    return found


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted responses of the drawn limiters of one kind: one row per stimulus, one column per limiter."""

    mark: NDArray[np.int64]  # equal for limiters with equal responses
    noise_bits: Array  # entropy of unpredictable decisions: those too close to a change of decision
    sent: Array  # number of requests
    refused: Array  # number of refused requests
    end_at: Array  # time of the last response
    state: State


def _steps(stimuli: Sequence[Stimulus]) -> Array:
    """For each request of each stimulus: due time, number of its segment (from 1), outcome that ends the segment."""
    numbered = (enumerate(each.segments, 1) for each in stimuli)
    steps = [[(at, number, _UNTIL[part.until]) for number, part in parts for at in part.at] for parts in numbered]
    return np.array(list(itertools.zip_longest(*steps, fillvalue=(LONG_AGO, 0, -1))), dtype=np.float64)


def predict(draws: Draws, stimuli: Sequence[Stimulus], pace_s: float, blur_s: float) -> Prediction:
    """Simulates how each drawn limiter responds to each stimulus."""
    shape, rng = (len(stimuli), len(draws)), np.random.default_rng(1)
    params = {name: np.broadcast_to(value, shape) for name, value in draws.params.items()}
    own = {name: value for name, value in draws.state.items() if not is_shared(name, value)}
    state = draws.state | {name: np.broadcast_to(value, shape) for name, value in own.items()}
    mark = np.zeros(shape, dtype=np.int64)
    noise_bits, sent, refused, closed, now = (np.full(shape, value) for value in (0.0, 0.0, 0.0, 0.0, LONG_AGO))
    for due_at, segment, until in _steps(stimuli).transpose(0, 2, 1)[..., None]:
        active, marks = (segment > 0) & (closed != segment), rng.integers(1, 2**52, size=2)
        if not active.any():
            continue
        at = np.where(active, np.maximum(due_at, now), now)
        ahead = at - draws.kind.free_at(params, state)
        accepted = ahead >= 0
        close = active & (np.abs(ahead) < 1.4 * blur_s)
        if close.any():
            share = 0.5 + np.abs(ahead[close]) / (2.8 * blur_s)
            rest = np.maximum(1 - share, 1e-12)
            noise_bits[close] += -(share * np.log2(share) + rest * np.log2(rest))
        state = chosen(active, draws.kind.update(params, state, at, accepted), state)
        mark ^= np.where(active, np.where(accepted, *marks), 0)
        sent += active
        refused += active & ~accepted
        closed = np.where(active & (until == accepted), segment, closed)
        now = np.where(active, at + pace_s, now)
    return Prediction(mark, noise_bits, sent, refused, now, state)


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted times, one for each drawn limiter, such as the time of its next change of decision."""

    at: Array
    weights: Array

    def by(self, share: float) -> float:
        """Time by which the fraction *share* of all times has come (a quantile; 0.5 is the median)."""
        return quantiles(self.at, self.weights, [share])[0]

    def ahead(self, now: float, shares: Sequence[float] = _SHARES) -> list[float]:
        """Quantiles *shares* of those times that are after *now*, in order."""
        later = self.at > now + 1e-6
        some = Moments(self.at[later], self.weights[later])
        return sorted({some.by(share) for share in shares}) if later.any() else []


def refills(found: Sequence[Draws]) -> Moments:
    """Refill time of each drawn limiter, in seconds."""
    return _moments(found, [draws.kind.refill_s(draws.params) for draws in found])


def _moments(found: Sequence[Draws], values: Sequence[Array]) -> Moments:
    return Moments(np.concatenate(values), np.concatenate([draws.weights for draws in found]))


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
) -> Stimulus | None:
    """The stimulus with the most expected information for its cost; None if there is nothing left to learn.

    *now*: earliest time of a request, in run seconds; *first*: whether nothing was sent since the first refusal;
    *narrow*: whether the times are exact enough, so that kind and limit matter most; *aside*: whether to ignore other
    clients if these are unlikely.
    """
    found = sample_posterior(belief, _SAMPLE, rng, aside=aside)
    limit = int(_moments(found, [draws.params["limit"] for draws in found]).by(0.5))
    stimuli = [each for each in candidates(found, now, pace_s, blur_s, limit) if each.most <= most + 2]
    if first:
        stimuli = [each for each in stimuli if each.name in _POLLS and each.most >= _FIRST_POLL] or stimuli
    if not stimuli:
        return None
    second = _REFILL_PRICE / max(refills(found).by(0.5), 4 * pace_s)
    predictions = [predict(draws, stimuli, pace_s, blur_s) for draws in found]
    bits, family_bits = _worth(found, predictions)
    cost = _cost(found, predictions, now, (1.0 / (limit + 5), second, 0.0 if first else _GAINED))
    worth = (np.maximum(bits, 0.0) * (_NARROW_WORTH if narrow else 1.0) + np.maximum(family_bits, 0.0)) / cost
    best = int(np.argmax(worth))
    chosen = stimuli[best]
    tells = bits[best] >= _LEAST_BITS or family_bits[best] >= _LEAST_BITS
    # The limit may be higher than all likely limiters have it: a drain ends only with a refusal.
    more = (limit if part == drain(part.at[0], len(part.at)) else 0 for part in chosen.segments)
    parts = (replace(part, at=part.at + part.at[:1] * n) for part, n in zip(chosen.segments, more, strict=True))
    return replace(chosen, segments=tuple(parts), bits=float(bits[best])) if tells else None


def _worth(found: Sequence[Draws], predictions: Sequence[Prediction]) -> tuple[Array, Array]:
    """Expected information of each stimulus in bits: about all parameters, and about kind and limit only."""
    mark = np.concatenate([one.mark for one in predictions], axis=1)
    noise_bits = np.concatenate([one.noise_bits for one in predictions], axis=1)
    weights = np.concatenate([draws.weights for draws in found])
    names = np.concatenate([_MANY * number + draws.params["limit"] for number, draws in enumerate(found)])
    _, kind = np.unique(names, return_inverse=True)
    _, place = np.unique(np.concatenate([_places(draws) for draws in found]) + _MANY * kind, return_inverse=True)
    # One kind is certain only with evidence against all others, so unlikely kinds get more than their weight.
    evened = np.concatenate([draws.weights / np.sqrt(draws.weights.sum()) for draws in found])
    evened /= evened.sum()
    whole = _entropies(mark, weights) - _left(mark, place, weights) - noise_bits @ weights
    return whole, _entropies(mark, evened) - _left(mark, kind, evened) - 0.5 * (noise_bits @ evened)


def _left(mark: NDArray[np.int64], names: NDArray[np.int64], weights: Array) -> Array:
    """Entropy of the responses that remains if *names* are known, in bits."""
    return _entropies(mark * _MANY + names, weights) - _entropies(names[None, :], weights)


def _places(draws: Draws) -> NDArray[np.int64]:
    """Numbers for the drawn limiters of one kind; equal for practically equal times and phases."""
    logs = [np.log(draws.params[name]) for name in draws.kind.scales]
    unknown = [log for log in logs if np.ptp(log) > _KNOWN]
    steps = [np.rint(log / _SAME) for log in logs]
    if len(logs) > len(unknown) == 1:  # otherwise, information about the known time would count as well
        steps = [np.floor(np.argsort(np.argsort(unknown[0])) * (_FEW_STEPS / len(draws)))]
    _, place = np.unique(np.array([*steps, np.rint(draws.params["phase"] / _SAME)]), axis=1, return_inverse=True)
    return np.asarray(place.ravel())


def _entropies(mark: NDArray[np.int64], weights: Array) -> Array:
    order = np.argsort(mark, axis=1, kind="stable")
    ranked = np.take_along_axis(mark, order, axis=1)
    new = np.ones_like(ranked, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    groups = np.cumsum(new, axis=1) - 1 + np.arange(len(mark))[:, None] * mark.shape[1]
    sums = np.bincount(groups.ravel(), weights=weights[order].ravel(), minlength=mark.size).reshape(mark.shape)
    return np.asarray(-(sums * np.log2(np.maximum(sums, 1e-300))).sum(axis=1))


def _cost(
    found: Sequence[Draws], predictions: Sequence[Prediction], now: float, prices: tuple[float, float, float]
) -> Array:
    """Cost of each stimulus; *prices*: of a request, of a second, and, in requests, of regaining room for one."""
    request, second, gained = prices
    total = np.full(len(predictions[0].mark), _LEAST_PRICE)
    for draws, one in zip(found, predictions, strict=True):
        params = {name: np.broadcast_to(value, one.mark.shape) for name, value in draws.params.items()}
        room = draws.kind.room(params, one.state, one.end_at)
        room = room - draws.kind.room(draws.params, draws.state, np.full(len(draws), now))
        each = request * (one.sent + gained * room) + _REFUSED_PRICE * one.refused
        total = total + (each + second * np.maximum(one.end_at - now, 0.0)) @ draws.weights
    return total


def candidates(found: Sequence[Draws], now: float, pace_s: float, blur_s: float, limit: int) -> Iterator[Stimulus]:
    """Yields stimuli around the times at which the drawn limiters change their decisions."""
    most = int(max(draws.params["limit"].max() for draws in found)) + 2
    free, turn = _changes(found, [draws.state for draws in found], now)
    rest_s, kind = refills(found).by(0.9), found[0].kind
    yield from _once([now, *free.ahead(now), *turn.ahead(now), *_beside(found, now, blur_s)], most)
    for times in (1.05, 2.1):
        yield Stimulus("rest, drain", (drain(now + times * rest_s, most),))
        if isinstance(kind, Tiered):
            yield Stimulus("rest, steady", (steady(kind, now + times * rest_s, 2 * most),))
    for moments in (turn, free):
        yield from _spaced(moments, now, limit, most)
        yield from _polls(moments, now, most)
    prefixes = list(_prefixes(found, now, (free, turn), limit, most))
    predictions = [predict(draws, prefixes, pace_s, blur_s) for draws in found]
    for row, prefix in enumerate(prefixes):
        end = float(max(one.end_at[row].max() for one in predictions))
        states = [{n: v[row] if np.ndim(v) > 1 else v for n, v in one.state.items()} for one in predictions]
        free, turn = _changes(found, states, end)
        once = _once([*free.ahead(end, _FEW_SHARES), *turn.ahead(end, _FEW_SHARES)], most)
        for each in (*once, *_spaced(turn, end, limit, most), *_polls(free, end, most)):
            yield Stimulus(f"{prefix.name}, {each.name}", prefix.segments + each.segments)


def _prefixes(
    found: Sequence[Draws], now: float, changes: tuple[Moments, Moments], limit: int, most: int
) -> Iterator[Stimulus]:
    free, turn = changes
    starts = sorted({at for at in (free.by(0.5), free.by(0.95), turn.by(0.95)) if at > now})
    if float((free.at <= now + 1e-6) @ free.weights) > _WORTH_TRYING:
        starts = [now, *starts]
    late = now + _LATE * (turn.by(0.03) - now)
    for start in [*starts[:2], *([late] if late > now + 1e-3 else [])]:
        for size in sorted({size for size in (1, limit // 2, limit - 1) if size >= 1}):
            yield Stimulus(f"{size} at once", (Segment((start,) * size),))
        yield Stimulus("drain", (drain(start, most),))
    if isinstance(found[0].kind, Tiered):
        yield Stimulus("steady", (steady(found[0].kind, now, 2 * most),))


def _once(moments: Sequence[float], most: int) -> Iterator[Stimulus]:
    for at in sorted(set(moments)):
        yield Stimulus("one request", (Segment((at,)),))
        yield Stimulus("two requests", (Segment((at, at)),))
        yield Stimulus("drain", (drain(at, most),))


def _polls(moments: Moments, now: float, most: int) -> Iterator[Stimulus]:
    """Yields requests until one is accepted; each has the same probability of being the accepted one."""
    for count in (4, 10):
        at = tuple(moments.ahead(now, [(number + 0.5) / count for number in range(count)]))
        if len(at) > 1:
            part = Segment(at, "accepted")
            yield Stimulus("poll", (part,))
            yield Stimulus("poll, one more", (part, Segment((now,))))
            yield Stimulus("poll, drain", (part, drain(now, most)))


def _spaced(moments: Moments, now: float, limit: int, most: int) -> Iterator[Stimulus]:
    """Yields requests that are spread evenly over the possible times of a change of decision."""
    low, high = max(now, moments.by(0.03)), moments.by(0.97)
    for count in sorted({3, max(2, limit // 2), max(2, limit - 1)} if high > max(low, now + 1e-6) else ()):
        step_s = (high - low) / (count - 1)
        part = Segment(tuple(low + step_s * number for number in range(count)))
        yield Stimulus(f"{count} spread", (part,))
        yield Stimulus(f"{count} spread, drain", (part, drain(high, most)))


def _changes(found: Sequence[Draws], states: Sequence[State], now: float) -> tuple[Moments, Moments]:
    """For each limiter drawn at random: when it next accepts a request, and when its counts or its window end."""
    each = [(draws.kind, (draws.params, state)) for draws, state in zip(found, states, strict=True)]
    free = _moments(found, [np.maximum(kind.free_at(*known), now) for kind, known in each])
    return free, _moments(found, [np.maximum(kind.turn_at(*known), now) for kind, known in each])


def _beside(found: Sequence[Draws], now: float, blur_s: float) -> list[float]:
    """Times just before the first and just after the last possible change of each of the likeliest kinds."""
    moments = []
    for draws in sorted(found, key=lambda one: -one.weights.sum())[:_KINDS]:
        kind, known = draws.kind, (draws.params, draws.state)
        for changes_at in (kind.free_at(*known), kind.turn_at(*known)):
            low, high = np.quantile(changes_at, (0.02, 0.98))
            moments += [float(low - _BESIDE * blur_s), float(high + _BESIDE * blur_s)]
    return [at for at in moments if now < at < NEVER / 2]


def steady(kind: Tiered, now_at: float, count: int) -> Segment:
    """Requests at a pace that the first of two limiters accepts, until the second limiter refuses a request."""
    known = {name: np.asarray(value) for name, value in kind.known.items()}
    step_s = _GENTLY * float(kind.first.refill_s(known)) / kind.known["limit"]
    return Segment(tuple(now_at + number * step_s for number in range(count)), "refused")
