"""What every kind of limiter is to the identification: what it keeps in mind, and from when on it lets the next one in.

A kind is simulated for many parameters at once: parameters and states are arrays of any one shape, times are seconds on
one clock. Every kind here is monotone: if nothing is sent, what is refused now is accepted from some moment on, and
stays so. That moment is all that is asked of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.observed import Moment

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
