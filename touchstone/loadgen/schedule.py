"""A schedule: when each arrival of a run is due and what it is, worked out before the run and dealt to its workers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from touchstone.errors import UsageError, nearest
from touchstone.loadgen.arrivals import Arrivals
from touchstone.loadgen.curves import Poisson, Times
from touchstone.loadgen.mix import Actions, assign
from touchstone.loadgen.trace import Trace

MAX_ARRIVALS = 50_000_000  # 14 bytes each: what a machine with 1 GB still holds

# Whatever the machine, so that bytes can cross from one to another.
_TYPES: Mapping[str, np.dtype[Any]] = {
    "due_s": np.dtype("<f8"),
    "actions": np.dtype("<u2"),
    "numbers": np.dtype("<u4"),
}
_NS = 1e-9


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
            array: NDArray[Any] = np.array(getattr(self, name), dtype=kind.newbyteorder("="))
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.due_s)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def counts(self) -> dict[str, int]:
        """How many arrivals of each action there are."""
        found = np.bincount(self.actions, minlength=len(self.names))
        return dict(zip(self.names, map(int, found), strict=True))

    @property
    def per_second(self) -> NDArray[np.int64]:
        """How many arrivals are due in each whole second of the run."""
        seconds = int(-(-self.duration_s // 1))
        found: NDArray[np.int64] = np.bincount(self.due_s.astype(np.int64), minlength=seconds)
        return found

    @property
    def peak_per_s(self) -> int:
        """The most arrivals that are due within any one second, wherever it begins."""
        # Times that are a second apart but for a rounding error are a second apart.
        ends = np.searchsorted(self.due_s, self.due_s + (1 - _NS), side="left")
        return int(np.max(ends - np.arange(len(self)), initial=0))

    @property
    def longest_gap_s(self) -> float:
        """The longest time without an arrival; before the first one and after the last one count."""
        return float(np.max(np.diff(self.due_s, prepend=0.0, append=self.duration_s)))

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says, in hexadecimal: two that agree on it are the same."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

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
        """The schedule as a line of JSON and its arrays."""
        head = json.dumps({"arrivals": len(self), "duration_s": self.duration_s, "names": self.names})
        return b"".join([head.encode(), b"\n", *(getattr(self, name).astype(kind) for name, kind in _TYPES.items())])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The schedule that `to_bytes` wrote.

        Raises:
            ValueError: the bytes are something else, or not all of it.
        """
        line, _, rest = data.partition(b"\n")
        try:
            head = json.loads(line)
            names, duration_s, arrivals = tuple(map(str, head["names"])), float(head["duration_s"]), head["arrivals"]
            size = sum(kind.itemsize for kind in _TYPES.values()) * arrivals
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"schedule: expected a line of JSON first, got {line!r:.80}") from None
        if len(rest) != size:
            raise ValueError(f"schedule of {arrivals} arrivals: expected {size} bytes after its line, got {len(rest)}")
        return cls(names, duration_s, **_arrays(rest, arrivals))


def draw_up(
    arrivals: Arrivals, duration_s: float, weights: Mapping[str, float], seed: int, place: str = "--arrivals"
) -> Schedule:
    """The schedule of a run: the arrivals of a Poisson process draw their actions, all others spread them evenly.

    Args:
        weights: How much of each action; see `mix.assign`. A trace that says what its arrivals are names some of these.
        place: Where the arrivals were written down, for the message of an error.

    Raises:
        UsageError: there is no arrival, or too many, or a trace names an action that *weights* lacks.
    """
    due_s = due_times(arrivals, duration_s, seed, place)
    if not len(due_s):
        raise UsageError(f"{place}: {arrivals} makes no arrival in {duration_s:g} s; raise the rate or run for longer")
    if isinstance(arrivals, Trace) and arrivals.operations:
        actions = _named(arrivals, len(due_s), list(weights))
    else:
        actions = assign(len(due_s), weights, seed if isinstance(arrivals, Poisson) else None)
    return Schedule(tuple(weights), duration_s, due_s, actions, np.arange(len(due_s), dtype=np.uint32))


def due_times(arrivals: Arrivals, duration_s: float, seed: int, place: str = "--arrivals") -> Times:
    """
    When each arrival is due: in order, from 0 on and before *duration_s*. The same seed gives the same times anywhere.

    Raises:
        UsageError: there are too many for one run.
    """
    expected = arrivals.count(duration_s)
    if expected > MAX_ARRIVALS:
        raise UsageError(
            f"{place}: {arrivals} makes {expected:,.0f} arrivals in {duration_s:g} s; expected at most "
            f"{MAX_ARRIVALS:,}; lower the rate or shorten the run"
        )
    due_s = arrivals.due(duration_s, seed)
    # A root is off by some units of the last place, which must not reorder two arrivals nor push one over the end.
    found: Times = np.minimum(np.maximum.accumulate(due_s), np.nextafter(duration_s, 0))
    return found


def _named(trace: Trace, count: int, names: list[str]) -> Actions:
    for name, line in zip(trace.operations, trace.lines, strict=True):
        if name not in names:
            near = nearest(name, names)
            hint = f"; {near}" if near.startswith("did you mean") else ""
            raise UsageError(
                f"{trace.path}:{line}: found {name!r} in the column operation; expected an action of this run: "
                f"{', '.join(sorted(names))}{hint}"
            )
    return np.array([names.index(name) for name in trace.operations[:count]], dtype=np.uint16)


def _arrays(data: bytes, arrivals: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    for name, kind in _TYPES.items():
        found[name] = np.frombuffer(data, dtype=kind, count=arrivals, offset=at)
        at += arrivals * kind.itemsize
    return found
