"""
What each possible limiter would answer to each possible stimulus; pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchstone.limiter.belief import Belief
from touchstone.limiter.kinds import LONG_AGO, Array, Kind, State, refill_s
from touchstone.limiter.stimulus import Stimulus

_UNTIL = {"": 0, "refused": 1, "accepted": 2}


@dataclass(frozen=True, slots=True)
class Crowd:
    """
    Some of the possible limiters of one kind, picked as they are likely.

    Attributes:
        weights: How much each stands for; all crowds together make 1.
    """

    kind: Kind
    params: dict[str, Array]
    state: State
    weights: Array

    def __len__(self) -> int:
        return len(self.weights)


def crowds(belief: Belief, size: int, rng: np.random.Generator) -> list[Crowd]:
    """
    A sample of all that is possible, of about *size* limiters.
    """
    total = belief.evidence()
    masses = [cells.masses() - total for cells in belief.cells]
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
    """
    Several stimuli, step by step beside each other: one row each.
    """

    at: Array
    segment: NDArray[np.int64]
    until: NDArray[np.int64]

    @classmethod
    def of(cls, stimuli: Sequence[Stimulus]) -> "Script":
        """
        The steps of *stimuli*, padded to the longest.
        """
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
    """
    What one crowd answers to several stimuli; one row for each stimulus, one column for each limiter.

    Attributes:
        mark: A number that is the same where all answers are the same.
        coins: Bits of it that nobody can foresee: the moment is too close to call.
        sent: Requests until it leaves off.
        refused: How many of them are refused.
        end_at: When the last of them is answered.
        room: How many more it would then let through.
        params: Parameters, in the shape of the rest.
        state: What each limiter then keeps in mind.
    """

    mark: NDArray[np.int64]
    coins: Array
    sent: Array
    refused: Array
    end_at: Array
    room: Array
    params: dict[str, Array]
    state: State


def foresee(crowd: Crowd, script: Script, pace_s: float, blur_s: float, seed: int = 1) -> Foreseen:
    """
    Has each limiter of *crowd* answer each stimulus.

    Args:
        pace_s: From one request to the next where each waits for the last one's answer.
        blur_s: How far from where it is thought a moment may be.
    """
    rows, steps = script.at.shape
    shape = (rows, len(crowd))
    params = {name: np.broadcast_to(values, shape) for name, values in crowd.params.items()}
    state = _spread(crowd.state, shape)
    marks = np.random.default_rng(seed).integers(1, 2**52, size=(steps, 2))
    mark, coins = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    sent, refused, closed = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64)
    now = np.full(shape, LONG_AGO)
    for step in range(steps):
        segment, until = script.segment[:, step, None], script.until[:, step, None]
        active = (segment > 0) & (closed != segment)
        if not active.any():
            continue
        at = np.where(active, np.fmax(script.at[:, step, None], now), now)
        free = crowd.kind.free_at(params, state)
        accepted = at >= free
        share = np.clip(0.5 + np.abs(at - free) / (2.8 * blur_s), 0.5, 1.0)
        coins += np.where(active & (share < 1), _bits(share), 0.0)
        later = crowd.kind.update(params, state, at, accepted)
        state = later if active.all() else _masked(active, later, state)
        mark = np.where(active, mark ^ np.where(accepted, marks[step, 0], marks[step, 1]), mark)
        sent += active
        refused += active & ~accepted
        stops = ((until == 1) & ~accepted) | ((until == 2) & accepted)
        closed = np.where(active & stops, segment, closed)
        now = np.where(active, at + pace_s, now)
    return Foreseen(mark, coins, sent, refused, now, crowd.kind.room(params, state, now), params, state)


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
    """
    The value below which *share* of the weight lies.
    """
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(sums, share * sums[-1])), len(order) - 1)])


def refills(found: Sequence[Crowd]) -> tuple[Array, Array]:
    """
    In how many seconds each possible limiter gives its limit once more, and what each weighs.
    """
    values = np.concatenate([refill_s(crowd.kind, crowd.params) for crowd in found])
    return values, np.concatenate([crowd.weights for crowd in found])
