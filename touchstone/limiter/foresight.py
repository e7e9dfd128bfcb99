"""What each possible limiter would answer to each possible stimulus; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.belief import Belief
from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Mask, State, refill_s

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
