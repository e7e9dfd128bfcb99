"""Limiters that remember when requests came: a log of the last ones, and the time since the last one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchstone.limiter.kinds import LONG_AGO, Array, AtAnyTime, Mask, Params, State, where


@dataclass(frozen=True, slots=True)
class SlidingLog(AtAnyTime):
    """So many in any stretch of one length.

    The log is one for all parameters as long as answers are given from outside; where each simulation decides for
    itself there is one more axis, the last one, with a log for each.
    """

    name: str
    counts_refused: bool = False
    family: str = "sliding-log"
    scales: tuple[str, ...] = ("window_s",)
    phase: bool = False
    levels: bool = False

    def start(self, params: Params, at: float) -> State:
        """An empty log."""
        return {"log": np.zeros(0), "size": 0}

    def free_at(self, params: Params, state: State) -> Array:
        """When the oldest of the last *limit* leaves the stretch."""
        log, size, limit = state["log"], state["size"], params["limit"]
        index = np.asarray(size - limit).astype(np.int64)
        if log.shape[-1] == 0:
            return np.full(np.shape(limit), LONG_AGO)
        inside = np.clip(index, 0, log.shape[-1] - 1)
        oldest = log[inside] if log.ndim == 1 else log.reshape(-1)[_places(log, inside)]
        return np.where(index >= 0, oldest + params["window_s"], LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Adds to the log what counts."""
        counted = True if self.counts_refused else accepted
        log, size = state["log"], state["size"]
        if log.ndim == 1 and isinstance(counted, bool) and np.ndim(at) == 0:
            return {"log": np.append(log, at), "size": size + 1} if counted else state
        shape = np.shape(params["limit"])
        if log.ndim == 1:
            log = np.broadcast_to(log, (*shape, len(log)))
            size = np.full(shape, size)
        if np.max(size, initial=0) >= log.shape[-1]:
            log = np.concatenate([log, np.full((*shape, max(16, log.shape[-1] // 2)), LONG_AGO)], axis=-1)
        elif not log.flags.writeable:
            log = log.copy()
        # Where nothing is counted the entry is beyond the size of the log, and not read.
        log.reshape(-1)[_places(log, np.asarray(size))] = at
        return {"log": log, "size": size + np.asarray(counted, dtype=np.int64)}

    def turn_at(self, params: Params, state: State) -> Array:
        """When the last one leaves the stretch."""
        log = state["log"]
        if log.ndim == 1:
            return (log[-1] if len(log) else LONG_AGO) + params["window_s"]
        last = np.maximum(np.asarray(state["size"]) - 1, 0)
        return np.asarray(log.reshape(-1)[_places(log, last)] + params["window_s"])

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """What of the limit the log does not hold."""
        log, limit, since = state["log"], params["limit"], at - params["window_s"]
        if log.ndim == 1:
            inside = len(log) - np.searchsorted(log, since, side="right")
        else:
            places = np.arange(log.shape[-1]) < np.asarray(state["size"])[..., None]
            inside = ((log > since[..., None]) & places).sum(axis=-1)
        return np.asarray(np.maximum(limit - inside, 0.0))

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        """When the oldest of all in the stretch leaves it."""
        log, length = state["log"], params["window_s"]
        oldest = np.searchsorted(log, at - length, side="right")
        return np.append(log, at)[oldest] + np.where(oldest < len(log), length, 0.0)

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of the window."""
        return share * params["window_s"]


def _places(log: Array, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where one entry of each of many logs lies if they are laid one after the other."""
    return np.asarray(np.arange(index.size).reshape(index.shape) * log.shape[-1] + index)


@dataclass(frozen=True, slots=True)
class MinimumGap(AtAnyTime):
    """One request, and the next one not before some time has passed.

    With a limit of 1 a log, a window that the first request opens and a bucket of one token are all this.
    """

    name: str = "minimum-gap"
    family: str = "minimum-gap"
    scales: tuple[str, ...] = ("gap_s",)
    phase: bool = False
    levels: bool = False

    def start(self, params: Params, at: float) -> State:
        """Nothing came yet."""
        return {"last": np.full_like(params["gap_s"], LONG_AGO)}

    def free_at(self, params: Params, state: State) -> Array:
        """When the gap is over."""
        return np.asarray(state["last"] + params["gap_s"])

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Remembers what was accepted."""
        shape = np.shape(state["last"])
        return {"last": np.broadcast_to(where(accepted, np.asarray(at), state["last"]), shape)}

    def turn_at(self, params: Params, state: State) -> Array:
        """When the gap is over."""
        return self.free_at(params, state)

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """One, when the gap is over."""
        return np.where(at >= self.free_at(params, state), 1.0, 0.0)

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of the gap."""
        return share * params["gap_s"]
