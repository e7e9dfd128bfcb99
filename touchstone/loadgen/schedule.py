"""A schedule: when each arrival of a run is due and what it is, worked out before the run and dealt to its workers."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from touchstone.errors import UsageError, nearest
from touchstone.loadgen.arrivals import Arrivals, Poisson, Times, Trace

Actions = NDArray[np.uint16]

MAX_ARRIVALS = 50_000_000  # 14 bytes each: what a machine with 1 GB still holds

_TYPES: Mapping[str, type[Any]] = {"due_s": np.float64, "actions": np.uint16, "numbers": np.uint32}


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Arrivals in the order in which they are due. The arrays are of one length and cannot be written to.

    Attributes:
        names: The actions of the scenario.
        duration_s: How long the run takes; every arrival is due before.
        due_s: When each one is due, in seconds since the schedule began.
        actions: What each one is, as a place in *names*.
        numbers: Which one of the whole schedule each is, from 0; a worker's share keeps them.
    """

    names: tuple[str, ...]
    duration_s: float
    due_s: Times
    actions: Actions
    numbers: NDArray[np.uint32]

    def __post_init__(self) -> None:
        for name, kind in _TYPES.items():
            array: NDArray[Any] = np.array(getattr(self, name), dtype=kind)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.due_s)

    @property
    def counts(self) -> dict[str, int]:
        """How many arrivals of each action there are."""
        found = np.bincount(self.actions, minlength=len(self.names))
        return dict(zip(self.names, map(int, found), strict=True))

    def share(self, worker: int, workers: int) -> "Schedule":
        """What one of several workers is to send. Together, their shares are the schedule, each arrival once.

        Arrivals are dealt like cards, in turn, but one action after the other: a mix that repeats itself every few
        arrivals would otherwise hand some worker all of one action. So any two workers have the same number of
        arrivals, in all and of each action, but for one.

        Args:
            worker: Which one, from 0.
        """
        mine = np.sort(np.argsort(self.actions, kind="stable")[worker::workers])
        return Schedule(self.names, self.duration_s, self.due_s[mine], self.actions[mine], self.numbers[mine])

    def to_bytes(self) -> bytes:
        """The schedule as an archive of NumPy arrays."""
        archive = io.BytesIO()
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _TYPES}
        np.savez(archive, names=np.array(self.names), duration_s=np.array(self.duration_s), **arrays)
        return archive.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The schedule that `to_bytes` wrote."""
        with np.load(io.BytesIO(data)) as archive:
            arrays = (archive[name] for name in _TYPES)
            return cls(tuple(map(str, archive["names"])), float(archive["duration_s"]), *arrays)


def draw_up(
    arrivals: Arrivals, duration_s: float, weights: Mapping[str, float], seed: int, place: str = "--arrivals"
) -> Schedule:
    """The schedule of a run: the arrivals of a Poisson process draw their actions, all others spread them evenly.

    Args:
        weights: How much of each action; only their ratios count. A trace that says what its arrivals are names some
            of these.
        place: Where the arrivals were written down, for the message of an error.

    Raises:
        UsageError: there is no arrival, or too many, or a trace names an action that *weights* lacks.
    """
    due_s = due_times(arrivals, duration_s, seed, place)
    if not len(due_s):
        raise UsageError(f"{place}: {arrivals} makes no arrival in {duration_s:g} s; raise the rate or run for longer")
    if isinstance(arrivals, Trace) and arrivals.operations:
        actions = _traced(arrivals, len(due_s), list(weights))
    else:
        actions = assign(len(due_s), weights, seed if isinstance(arrivals, Poisson) else None)
    return Schedule(tuple(weights), duration_s, due_s, actions, np.arange(len(due_s), dtype=np.uint32))


def due_times(arrivals: Arrivals, duration_s: float, seed: int, place: str = "--arrivals") -> Times:
    """When each arrival is due: in order, from 0 on and before *duration_s*; the same for the same seed.

    Raises:
        UsageError: there are too many for one run.
    """
    expected = arrivals.count(duration_s)
    if expected > MAX_ARRIVALS:
        raise UsageError(
            f"{place}: {arrivals} makes {expected:,.0f} arrivals in {duration_s:g} s; expected at most "
            f"{MAX_ARRIVALS:,}; lower the rate or shorten the run"
        )
    # A root is off by some units of the last place, which must not reorder two arrivals nor push one over the end.
    found: Times = np.minimum(np.maximum.accumulate(arrivals.due(duration_s, seed)), np.nextafter(duration_s, 0))
    return found


def assign(count: int, weights: Mapping[str, float], seed: int | None = None) -> Actions:
    """The action of each of *count* arrivals, as its place in *weights*.

    Args:
        weights: Numbers of 0 or more, not all of them 0.
        seed: None to spread each action evenly over the arrivals. With a seed each arrival draws its own, so that the
            arrivals of each action are a Poisson process where all of them are one.
    """
    shares = np.array([*weights.values()]) / math.fsum(weights.values())
    if seed is not None:
        # Stream 0 of the seed is that of the arrivals.
        return np.random.default_rng((seed, 1)).choice(len(shares), size=count, p=shares).astype(np.uint16)
    numbers = np.floor(shares * count + 1e-9).astype(int)
    numbers[np.argsort(numbers - shares * count, kind="stable")[: count - numbers.sum()]] += 1
    # At even distances, each action a little after the one before: rare ones of the same share do not come together.
    places = [(np.arange(n) + (action + 0.5) / len(shares)) / max(n, 1) for action, n in enumerate(numbers)]
    found: Actions = np.repeat(np.arange(len(shares)), numbers)[
        np.argsort(np.concatenate(places), kind="stable")
    ].astype(np.uint16)
    return found


def _traced(trace: Trace, count: int, names: list[str]) -> Actions:
    for name, line in zip(trace.operations, trace.lines, strict=True):
        if name not in names:
            near = nearest(name, names)
            hint = f"; {near}" if near.startswith("did you mean") else ""
            raise UsageError(
                f"{trace.path}:{line}: found {name!r} in the column operation; expected an action of this run: "
                f"{', '.join(sorted(names))}{hint}"
            )
    return np.array([names.index(name) for name in trace.operations[:count]], dtype=np.uint16)
