"""A limiter behind another one: a request has to pass both, and is counted by both only then."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from touchstone.facts.observed import LEAST_BLUR_S
from touchstone.limiter.kinds import Array, AtAnyTime, Kind, Mask, Params, State

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
