"""Which stimulus tells most for what it costs; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.stimulus import Segment, Stimulus, drain, spread
from touchstone.limiter.belief import Belief
from touchstone.limiter.filling import steady
from touchstone.limiter.kinds import LONG_AGO, NEVER, Array, Kind, Mask, State, Tiered, refill_s

_UNTIL = {"": 0, "refused": 1, "accepted": 2}
# Below this it is taken for granted that nobody else takes a part.
ALONE = 0.1
# Stimuli that are over are put aside when they are so many of those that were left.
_MANY_OVER = 0.1


@dataclass(frozen=True, slots=True)
class Crowd:
    """Some of the possible limiters of one kind, picked as they are likely.

    Attributes:
        weights: How much each stands for; all crowds together make 1.
    """

    kind: Kind
    params: dict[str, Array]
    state: State
    weights: Array

    def __len__(self) -> int:
        return len(self.weights)


def crowds(belief: Belief, size: int, rng: np.random.Generator, *, aside: bool = True) -> list[Crowd]:
    """A sample of all that is possible, of about *size* limiters.

    Args:
        aside: Whether what only others could explain is left out, as long as nothing says that there are any.
    """
    aside = aside and belief.others() < ALONE
    weights = [cells.alone() if aside else cells.masses() for cells in belief.cells]
    total = np.logaddexp.reduce(np.concatenate(weights))
    masses = [weight - total for weight in weights]
    shares = np.array([np.exp(mass).sum() for mass in masses])
    wanted = np.sqrt(shares) * (shares > 1e-3)
    wanted = np.ceil(size * wanted / wanted.sum())
    found = []
    for cells, mass, share, count in zip(belief.cells, masses, shares, wanted.astype(int), strict=True):
        if count == 0:
            continue
        bounds = np.cumsum(np.exp(mass)) / share
        picks = np.minimum(np.searchsorted(bounds, (np.arange(count) + rng.random()) / count), len(cells) - 1)
        params = {name: values[picks] for name, values in cells.params().items()}
        state = {
            name: value[picks] if np.shape(value) == (len(cells),) and not name.endswith("log") else value
            for name, value in cells.state.items()
        }
        found.append(Crowd(cells.kind, params, state, np.full(count, share / count)))
    whole = sum(crowd.weights.sum() for crowd in found)
    return [Crowd(c.kind, c.params, c.state, c.weights / whole) for c in found]


@dataclass(frozen=True, slots=True)
class Script:
    """Several stimuli, step by step beside each other: one row each."""

    at: Array
    segment: NDArray[np.int64]
    until: NDArray[np.int64]

    @classmethod
    def of(cls, stimuli: Sequence[Stimulus]) -> "Script":
        """The steps of *stimuli*, padded to the longest."""
        longest = max(stimulus.most for stimulus in stimuli)
        at = np.full((len(stimuli), longest), np.nan)
        segment = np.zeros((len(stimuli), longest), dtype=np.int64)
        until = np.zeros((len(stimuli), longest), dtype=np.int64)
        for row, stimulus in enumerate(stimuli):
            place = 0
            for number, part in enumerate(stimulus.segments):
                end = place + len(part.at)
                at[row, place:end] = part.at
                segment[row, place:end] = number + 1
                until[row, place:end] = _UNTIL[part.until]
                place = end
        return cls(at, segment, until)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What one crowd answers to several stimuli; one row for each stimulus, one column for each limiter.

    Attributes:
        mark: A number that is the same where all answers are the same.
        coins: Bits of it that nobody can foresee: the moment is too close to call.
        sent: Requests until it leaves off.
        refused: How many of them are refused.
        end_at: When the last of them is answered.
        room: How many more it would then let through.
        states: What each limiter then keeps in mind, for some of the rows each.
    """

    mark: NDArray[np.int64]
    coins: Array
    sent: Array
    refused: Array
    end_at: Array
    room: Array
    states: Sequence[tuple[NDArray[np.int64], State]]

    def state(self, row: int) -> State:
        """What each limiter keeps in mind after one stimulus."""
        for rows, state in self.states:
            found = np.flatnonzero(rows == row)
            if len(found):
                return {name: value[found[0]] if _in_rows(name, value) else value for name, value in state.items()}
        raise LookupError(f"stimulus {row} was not foreseen")


@dataclass
class _Running:
    """Stimuli that are not over yet, side by side."""

    rows: NDArray[np.int64]
    state: State
    mark: NDArray[np.int64]
    coins: Array
    sent: Array
    refused: Array
    closed: NDArray[np.int64]
    now: Array

    @classmethod
    def of(cls, crowd: Crowd, rows: int) -> "_Running":
        """As many stimuli, of which nothing is sent yet."""
        shape = (rows, len(crowd))
        return cls(
            np.arange(rows),
            _spread(crowd.state, shape),
            mark=np.zeros(shape, dtype=np.int64),
            coins=np.zeros(shape),
            sent=np.zeros(shape),
            refused=np.zeros(shape),
            closed=np.zeros(shape, dtype=np.int64),
            now=np.full(shape, LONG_AGO),
        )

    def part(self, mask: Mask) -> "_Running":
        """Some of them."""
        state = {name: value[mask] if _in_rows(name, value) else value for name, value in self.state.items()}
        return _Running(
            self.rows[mask],
            state,
            self.mark[mask],
            self.coins[mask],
            self.sent[mask],
            self.refused[mask],
            self.closed[mask],
            self.now[mask],
        )


def foresee(crowd: Crowd, script: Script, pace_s: float, blur_s: float, seed: int = 1) -> Foreseen:
    """Has each limiter of *crowd* answer each stimulus.

    Args:
        pace_s: From one request to the next where each waits for the last one's answer.
        blur_s: How far from where it is thought a moment may be.
    """
    rows, steps = script.at.shape
    marks = np.random.default_rng(seed).integers(1, 2**52, size=(steps, 2))
    last = script.segment.max(axis=1)
    ends = np.where(script.segment > 0, np.arange(steps)[None, :], 0).max(axis=1)
    running = _Running.of(crowd, rows)
    done: list[_Running] = []
    for step in range(steps):
        _step(running, crowd, script, step, (pace_s, blur_s), marks[step])
        over = (ends[running.rows] <= step) | (running.closed == last[running.rows, None]).all(axis=1)
        if over.sum() >= _MANY_OVER * len(over):
            done.append(running.part(over))
            running = running.part(~over)
        if not len(running.rows):
            break
    return _foreseen(crowd, done)


def _step(
    running: _Running, crowd: Crowd, script: Script, step: int, times_s: tuple[float, float], marks: NDArray[np.int64]
) -> None:
    """Sends what is next of each stimulus, but for those that are over."""
    pace_s, blur_s = times_s
    rows, state = running.rows, running.state
    params = {name: np.broadcast_to(values, running.mark.shape) for name, values in crowd.params.items()}
    segment, until = script.segment[rows, step, None], script.until[rows, step, None]
    active = (segment > 0) & (running.closed != segment)
    if not active.any():
        return
    at = np.where(active, np.fmax(script.at[rows, step, None], running.now), running.now)
    free = crowd.kind.free_at(params, state)
    accepted = at >= free
    close = active & (np.abs(at - free) < 1.4 * blur_s)
    if close.any():
        running.coins[close] += _bits(0.5 + np.abs(at - free)[close] / (2.8 * blur_s))
    later = crowd.kind.update(params, state, at, accepted)
    running.state = later if active.all() else _masked(active, later, state)
    running.mark ^= np.where(active, np.where(accepted, marks[0], marks[1]), 0)
    running.sent += active
    running.refused += active & ~accepted
    stops = ((until == 1) & ~accepted) | ((until == 2) & accepted)
    running.closed = np.where(active & stops, segment, running.closed)
    running.now = np.where(active, at + pace_s, running.now)


def _foreseen(crowd: Crowd, done: Sequence[_Running]) -> Foreseen:
    """All stimuli in their own order."""
    order = np.argsort(np.concatenate([part.rows for part in done]), kind="stable")
    rooms = []
    for part in done:
        params = {name: np.broadcast_to(values, part.mark.shape) for name, values in crowd.params.items()}
        rooms.append(crowd.kind.room(params, part.state, part.now))
    return Foreseen(
        np.concatenate([part.mark for part in done])[order],
        np.concatenate([part.coins for part in done])[order],
        np.concatenate([part.sent for part in done])[order],
        np.concatenate([part.refused for part in done])[order],
        np.concatenate([part.now for part in done])[order],
        np.concatenate(rooms)[order],
        [(part.rows, part.state) for part in done],
    )


def _in_rows(name: str, value: Any) -> bool:
    """Whether a part of a state is one for each stimulus, and not one for all."""
    return np.ndim(value) > 1 or (np.ndim(value) == 1 and not name.endswith("log"))


def _spread(state: State, shape: tuple[int, int]) -> State:
    return {
        name: value if name.endswith("log") or np.ndim(value) == 0 else np.broadcast_to(np.asarray(value), shape)
        for name, value in state.items()
    }


def _masked(active: Array, later: State, before: State) -> State:
    found: State = {}
    for name, value in later.items():
        old = before[name]
        if name.endswith("log"):
            # An entry beyond the size of a log is not read, and is written over by the next one.
            found[name] = value
        elif np.ndim(value) == 0 and np.ndim(old) == 0:
            found[name] = value
        else:
            found[name] = np.where(active, value, old)
    return found


def _bits(share: Array) -> Array:
    rest = np.maximum(1 - share, 1e-12)
    return np.asarray(-(share * np.log2(share) + rest * np.log2(rest)))


def quantile(values: Array, weights: Array, share: float) -> float:
    """The value below which *share* of the weight lies."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(sums, share * sums[-1])), len(order) - 1)])


def refills(found: Sequence[Crowd]) -> tuple[Array, Array]:
    """In how many seconds each possible limiter gives its limit once more, and what each weighs."""
    values = np.concatenate([refill_s(crowd.kind, crowd.params) for crowd in found])
    return values, np.concatenate([crowd.weights for crowd in found])


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
