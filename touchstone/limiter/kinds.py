"""What every kind of limiter is to the identification: what it keeps in mind, and from when on it lets the next one in.

A kind is simulated for many parameters at once: parameters and states are arrays of any one shape, times are seconds on
one clock. Every kind here is monotone: if nothing is sent, what is refused now is accepted from some moment on, and
stays so. That moment is all that is asked of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.observed import LEAST_BLUR_S, Moment

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Params = Mapping[str, Array]
State = dict[str, Any]

# Long before and long after everything: infinities of which differences can be taken.
LONG_AGO, NEVER = -1e12, 1e12


class Kind(Protocol):
    """One kind of limiter.

    Its state is a mapping: an array of the shape of the parameters is kept for each of them, all else is shared.
    """

    @property
    def name(self) -> str:
        """Its family, and what sets it apart from others of that."""

    @property
    def family(self) -> str:
        """The family that it is told as."""

    @property
    def scales(self) -> tuple[str, ...]:
        """Names of its times in seconds; the first is its window, or the time of one token."""

    @property
    def phase(self) -> bool:
        """Whether it has a phase, as a share of its first time."""

    @property
    def levels(self) -> bool:
        """Whether a refusal tells it how much others took: it goes on from there as if nothing were left."""

    @property
    def empty(self) -> bool:
        """Whether it has nothing to give when it meets its first request."""

    def start(self, params: Params, at: float) -> State:
        """What it keeps in mind before the first request, which comes at *at*."""

    def free_at(self, params: Params, state: State) -> Array:
        """From when on one request is accepted, if none comes before."""

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """What it keeps in mind after a request at *at* was accepted or refused.

        An answer that the kind itself would not have given is taken as true: something else was counted too.
        """

    def turn_at(self, params: Params, state: State) -> Array:
        """When what was counted is forgotten, or the next window begins, whether it is full or not."""

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """How many requests it would let through at *at*, one right after the other."""

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        """Until when nobody is let in after a refusal at *at*, as long as only what is known of was counted."""

    def open_since(self, params: Params, state: State, at: float) -> Array:
        """Since when somebody else may have taken of what is left at *at*."""

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """
        By how much the moment moves if the times change by *share* of themselves and the phase by *phase*, in seconds.
        """


class AtAnyTime:
    """What is never shut and never known to be untouched: somebody else may have taken a part of it at any time."""

    __slots__ = ()

    @property
    def empty(self) -> bool:
        """It is full."""
        return False

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        """No longer than until the refusal itself."""
        return np.full_like(params["limit"], at)

    def open_since(self, params: Params, state: State, at: float) -> Array:
        """All the time."""
        return np.full_like(params["limit"], LONG_AGO)


def begins(kind: Kind, moments: Sequence[Moment]) -> int:
    """The number of the first moment that tells of a kind.

    What was refused before anything was let through was filled by somebody else before, unless it starts empty.
    """
    if kind.empty:
        return 0
    return next((number for number, moment in enumerate(moments) if moment.accepted), len(moments))


def where(mask: Mask | bool, one: Any, other: Any) -> Any:
    """``numpy.where`` that costs nothing where the answer is the same everywhere."""
    if isinstance(mask, bool):
        return one if mask else other
    return np.where(mask, one, other)


def refill_s(kind: Kind, params: Params) -> Array:
    """In how many seconds a kind gives its limit once more."""
    time_s = params[kind.scales[-1]]
    return np.asarray(time_s * params["limit"] if kind.scales[0] == "token_s" else time_s)


_FIRST = "first."
# What is refused so soon after the first one should have let it in may be the first one's all the same.
_BLUR_S = 2 * LEAST_BLUR_S


@dataclass(frozen=True, slots=True)
class Tiered(AtAnyTime):
    """A limiter that is known already, and one behind it whose parameters are looked for.

    Attributes:
        known: Parameters of the first one.
        loose: How far its times may be from there, as a share of themselves.
    """

    first: Kind
    known: Mapping[str, float]
    second: Kind
    loose: float

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first.name}+{self.second.name}"

    @property
    def family(self) -> str:
        """Both families."""
        return f"{self.first.family}+{self.second.family}"

    @property
    def scales(self) -> tuple[str, ...]:
        """Those of the one behind."""
        return self.second.scales

    @property
    def phase(self) -> bool:
        """Of the one behind."""
        return self.second.phase

    @property
    def levels(self) -> bool:
        """As the one behind."""
        return self.second.levels

    @property
    def empty(self) -> bool:
        """Where one of both is."""
        return self.first.empty or self.second.empty

    def _known(self, params: Params) -> Params:
        shape = np.shape(params["limit"])
        return {name: np.full(shape, value) for name, value in self.known.items()}

    def _split(self, state: State) -> tuple[State, State]:
        first = {name.removeprefix(_FIRST): value for name, value in state.items() if name.startswith(_FIRST)}
        return first, {name: value for name, value in state.items() if not name.startswith(_FIRST)}

    def _joined(self, first: State, second: State) -> State:
        return {_FIRST + name: value for name, value in first.items()} | second

    def start(self, params: Params, at: float) -> State:
        """What both keep in mind."""
        return self._joined(self.first.start(self._known(params), at), self.second.start(params, at))

    def free_at(self, params: Params, state: State) -> Array:
        """When the later one lets a request in."""
        first, second = self._split(state)
        return np.maximum(self.first.free_at(self._known(params), first), self.second.free_at(params, second))

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Both are told; a refusal is the first one's where that explains it."""
        first, second = self._split(state)
        known = self._known(params)
        loose = np.full(np.shape(params["limit"]), self.loose)
        until = self.first.free_at(known, first) + self.first.slack_s(known, first, at, loose, loose) + _BLUR_S
        mine = np.logical_not(accepted) & (at < until)
        later = self.second.update(params, second, at, accepted)
        told = {
            name: value if _is_log(name) or np.ndim(value) == 0 else np.where(mine, second[name], value)
            for name, value in later.items()
        }
        theirs = np.logical_not(accepted) & ~mine
        kept = self.first.update(known, first, at, accepted)
        behind = {
            name: value if _is_log(name) or np.ndim(value) == 0 else np.where(theirs, first[name], value)
            for name, value in kept.items()
        }
        return self._joined(behind, told)

    def turn_at(self, params: Params, state: State) -> Array:
        """When the one behind forgets."""
        return self.second.turn_at(params, self._split(state)[1])

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """The lesser of both."""
        first, second = self._split(state)
        known = self._known(params)
        return np.minimum(self.first.room(known, first, at), self.second.room(params, second, at))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """Of the one that decides."""
        first, second = self._split(state)
        known = self._known(params)
        loose = np.full(np.shape(params["limit"]), self.loose)
        decides = self.first.free_at(known, first) >= self.second.free_at(params, second)
        return np.where(
            decides,
            self.first.slack_s(known, first, at, loose, loose),
            self.second.slack_s(params, second, at, share, phase),
        )


def _is_log(name: str) -> bool:
    return name in ("log", "size")
