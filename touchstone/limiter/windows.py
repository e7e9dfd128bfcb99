"""Limiters that count in windows: fixed ones, and the weighted sum of two."""

from dataclasses import dataclass

import numpy as np

from touchstone.limiter.kinds import LONG_AGO, NEVER, Array, AtAnyTime, Mask, Params, State, where


@dataclass(frozen=True, slots=True)
class Windowed(AtAnyTime):
    """What counts in windows of one length, one after the other on a clock or each opened by a request.

    Attributes:
        opens: ``first``: by a request; ``clock``: one after the other.
    """

    name: str
    opens: str
    family: str = ""
    scales: tuple[str, ...] = ("window_s",)

    @property
    def phase(self) -> bool:
        """Whether windows lie on a clock."""
        return self.opens == "clock"

    def turn_at(self, params: Params, state: State) -> Array:
        """When the window closes."""
        return np.asarray(state["opened"] + params["window_s"])

    def _slack_s(
        self, params: Params, state: State, at: Array | float, moved: tuple[Array, Array], count: int
    ) -> Array:
        """The share of so many windows, or on a clock of all the time since the beginning, with the phase."""
        length, (share, phase) = params["window_s"], moved
        if self.phase:
            return np.asarray(share * (np.maximum(at - state["origin"], 0.0) + count * length) + phase * length)
        return np.asarray(share * count * length)


@dataclass(frozen=True, slots=True)
class FixedWindow(Windowed):
    """So many in one window.

    Attributes:
        opens: ``first``: with the first request after the last one has closed; ``clock``: one after the other.
        refused: ``restart`` where a refused request opens the window anew.
    """

    opens: str = "first"
    family: str = "fixed-window"
    refused: str = ""
    levels: bool = True

    def start(self, params: Params, at: float) -> State:
        """No window is open, or one since some moment before."""
        length = params["window_s"]
        opened = at - params["phase"] * length if self.phase else np.full_like(length, LONG_AGO)
        idle = {} if self.phase else {"idle": np.zeros_like(length)}
        return {"opened": opened, "count": np.zeros_like(length), "origin": at, **idle}

    def free_at(self, params: Params, state: State) -> Array:
        """At once where there is room in the window, else when it closes."""
        full = state["count"] >= params["limit"]
        return np.where(full, state["opened"] + params["window_s"], LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Opens a window where it is time, and counts."""
        if self.phase:
            return self._on_clock(params, state, at, accepted)
        length, limit = params["window_s"], params["limit"]
        closed = at >= state["opened"] + length
        idle = np.where(closed, np.minimum(at - state["opened"] - length, length), state["idle"])
        opened = np.where(closed, at, state["opened"])
        count = np.where(closed, 0.0, state["count"])
        over = accepted & (count >= limit)  # it cannot be the same window any more
        opened = np.where(over, at, opened)
        count = where(accepted, np.where(over, 1.0, count + 1.0), np.maximum(count, limit))
        if self.refused == "restart":
            opened = where(accepted, opened, np.broadcast_to(np.asarray(at), np.shape(opened)))
        else:
            opened = where(accepted, opened, state["opened"])  # a refused request opens none
            idle = where(accepted, np.where(over, length / 4, idle), state["idle"])
            count = where(accepted, count, np.where(closed, state["count"], count))
        return {"opened": opened, "count": count, "origin": state["origin"], "idle": idle}

    def _on_clock(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Windows that come a little sooner or later than these parameters say are taken for the same windows."""
        length, limit = params["window_s"], params["limit"]
        steps = np.maximum(0.0, np.floor((at - state["opened"]) / length))
        opened = state["opened"] + steps * length
        count = np.where(steps > 0, 0.0, state["count"])
        over = accepted & (count >= limit)
        soon = np.logical_not(accepted) & (count == 0) & (limit > 0)
        opened = np.where(over, opened + length, np.where(soon, opened - length, opened))
        count = where(accepted, np.where(over, 1.0, count + 1.0), np.maximum(count, limit))
        return {"opened": opened, "count": count, "origin": state["origin"]}

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """What is left of the limit, or all of it when the window has closed."""
        limit = params["limit"]
        left = np.maximum(limit - state["count"], 0.0)
        return np.where(at >= state["opened"] + params["window_s"], limit, left)

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        """When the window closes."""
        return self.turn_at(params, state)

    def open_since(self, params: Params, state: State, at: float) -> Array:
        """Since the last window closed."""
        length, opened = params["window_s"], state["opened"]
        if self.phase:
            return np.asarray(opened + np.maximum(0.0, np.floor((at - opened) / length)) * length)
        return np.asarray(np.where(at >= opened + length, opened + length, opened - state["idle"]))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of the window, or on a clock of all the time since the beginning."""
        return self._slack_s(params, state, at, (share, phase), 1)


@dataclass(frozen=True, slots=True)
class BlockingWindow(AtAnyTime):
    """A fixed window whose first refusal shuts for a time of its own; a fresh window follows."""

    name: str = "fixed-window/block"
    family: str = "fixed-window"
    scales: tuple[str, ...] = ("window_s", "block_s")
    phase: bool = False
    levels: bool = True

    def start(self, params: Params, at: float) -> State:
        """No window is open, and nothing is shut."""
        nothing = np.full_like(params["window_s"], LONG_AGO)
        return {"opened": nothing, "count": np.zeros_like(nothing), "until": nothing}

    def free_at(self, params: Params, state: State) -> Array:
        """When it is no longer shut, or else when the full window closes."""
        full = state["count"] >= params["limit"]
        return np.maximum(state["until"], np.where(full, state["opened"] + params["window_s"], LONG_AGO))

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Counts, or shuts."""
        closed = at >= state["opened"] + params["window_s"]
        fresh = closed | (accepted & (state["count"] >= params["limit"]))
        opened = where(accepted, np.where(fresh, at, state["opened"]), LONG_AGO)
        count = where(accepted, np.where(fresh, 1.0, state["count"] + 1.0), 0.0)
        # What is refused with nothing accepted since it was shut is refused since it still is.
        begun = (state["count"] > 0) | (state["until"] <= LONG_AGO)
        shuts = np.logical_not(accepted) & (at >= state["until"]) & begun
        until = np.where(shuts, at + params["block_s"], state["until"])
        shape = np.shape(until)
        return {"opened": np.broadcast_to(opened, shape), "count": np.broadcast_to(count, shape), "until": until}

    def turn_at(self, params: Params, state: State) -> Array:
        """When it is no longer shut, or the window closes."""
        return np.asarray(np.maximum(state["until"], state["opened"] + params["window_s"]))

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """Nothing while it is shut, else as of any window."""
        limit = params["limit"]
        left = np.where(at >= state["opened"] + params["window_s"], limit, np.maximum(limit - state["count"], 0.0))
        return np.where(at < state["until"], 0.0, left)

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        """When it is no longer shut."""
        return self.turn_at(params, state)

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of the longer one of its two times."""
        return np.asarray(share * np.where(state["until"] > LONG_AGO, params["block_s"], params["window_s"]))


@dataclass(frozen=True, slots=True)
class SlidingCounter(Windowed):
    """The count of this window and that of the last one, as far as it reaches into the time of one window.

    Attributes:
        opens: ``clock``, or ``first``: with the first request after two idle windows.
        counts_refused: Whether a refused request counts as well.
        below: Whether the sum has to be below the limit before a request, instead of within it after.
    """

    opens: str = "clock"
    family: str = "sliding-counter"
    counts_refused: bool = False
    below: bool = False
    levels: bool = False

    def start(self, params: Params, at: float) -> State:
        """Two empty windows."""
        length = params["window_s"]
        opened = at - params["phase"] * length if self.phase else np.full_like(length, at - 1e9)
        return {"opened": opened, "count": np.zeros_like(length), "last": np.zeros_like(length), "origin": at}

    def free_at(self, params: Params, state: State) -> Array:
        """When enough of the last window is out of reach, in this window or in the next."""
        length, limit = params["window_s"], params["limit"]
        count, last, opened = state["count"], state["last"], state["opened"]
        most = limit if self.below else limit - 1.0
        room = most - count
        share = np.where(last > 0, 1.0 - room / np.maximum(last, 1e-9), LONG_AGO)
        here = np.where(count < limit, opened + length * np.maximum(share, 0.0), NEVER)
        here = np.where((count < limit) & (share <= 0), LONG_AGO, here)
        after = opened + length + length * np.maximum(0.0, 1.0 - most / np.maximum(count, 1e-9))
        return np.where(here < opened + length, here, after)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Moves on to the window of *at*, and counts."""
        length = params["window_s"]
        steps = np.maximum(0.0, np.floor((at - state["opened"]) / length))
        opened = state["opened"] + steps * length
        if self.opens == "first":
            opened = np.where(steps >= 2, at, opened)
        last = np.where(steps == 0, state["last"], np.where(steps == 1, state["count"], 0.0))
        count = np.where(steps == 0, state["count"], 0.0)
        counted = True if self.counts_refused else accepted
        found = {"opened": opened, "count": where(counted, count + 1.0, count), "last": last}
        if self.opens == "first":
            # Only what counts moves the windows on: a pause is one in which nothing counted.
            found = {name: np.asarray(where(counted, value, state[name])) for name, value in found.items()}
        return {**found, "origin": state["origin"]}

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """By how much the weighted sum is below the limit."""
        length = params["window_s"]
        steps = np.maximum(0.0, np.floor((at - state["opened"]) / length))
        last = np.where(steps == 0, state["last"], np.where(steps == 1, state["count"], 0.0))
        count = np.where(steps == 0, state["count"], 0.0)
        weighted = last * (1.0 - np.clip((at - state["opened"]) / length - steps, 0.0, 1.0))
        left = params["limit"] - count - weighted
        return np.asarray(np.clip(np.ceil(left) if self.below else np.floor(left), 0.0, None))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of two windows, or on a clock of all the time since the beginning."""
        return self._slack_s(params, state, at, (share, phase), 2)
