"""Families of limiters that count, log, or fill: windows, logs, counters and buckets, on arrays of numbers; pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


# So little of a token's time after a token should have come it may still be on its way.
_SOON = 0.25
# The same of a tick, in seconds, besides how far its place may be from where it is thought to be.
_SOON_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class TokenBucket(AtAnyTime):
    """A bucket of *limit* tokens that gains one in *token_s*; its state is the time at which it would be full.

    Attributes:
        empty: Whether it is empty when it meets its first request, and fills from then on.
        early: The part of a token that may be missing when a request is let in.
        tick_s: Tokens come only at whole multiples of this on a clock; 0 for at any time.
    """

    name: str
    empty: bool = False
    early: float = 0.0
    tick_s: float = 0.0
    family: str = "token-bucket"
    scales: tuple[str, ...] = ("token_s",)
    levels: bool = True

    @property
    def phase(self) -> bool:
        """Whether it is not known when its tokens come."""
        return self.tick_s > 0

    def start(self, params: Params, at: float) -> State:
        """A full bucket, or an empty one."""
        token_s = params["token_s"]
        full = np.full_like(token_s, LONG_AGO)
        if self.empty:
            full = at + params["limit"] * token_s
        tick = at - params["phase"] * self.tick_s if self.tick_s else np.zeros_like(token_s)
        since = np.full_like(token_s, at)
        return {"full": full, "since": since, "tick": tick, "refused": LONG_AGO, "let_in": LONG_AGO}

    def _taken_at(self, state: State, at: Array | float) -> Array:
        if not self.tick_s:
            return np.asarray(at)
        return np.asarray(state["tick"] + np.floor((at - state["tick"]) / self.tick_s) * self.tick_s)

    def free_at(self, params: Params, state: State) -> Array:
        """When it holds one token, or as much of one as it takes."""
        free = np.asarray(state["full"] - (params["limit"] - 1.0 + self.early) * params["token_s"])
        if not self.tick_s:
            return free
        return self._ticked(state, free)

    def _ticked(self, state: State, at: Array) -> Array:
        """The first tick that is not before *at*."""
        ticks = np.ceil((at - state["tick"]) / self.tick_s - 1e-9)
        return np.where(at > LONG_AGO / 2, state["tick"] + ticks * self.tick_s, LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Takes a token."""
        token_s = params["token_s"]
        now = self._taken_at(state, at)
        full, since = state["full"], state["since"]
        fullest = now + (params["limit"] - 1.0 + self.early) * token_s
        taken = np.minimum(np.maximum(full, now), fullest) + token_s
        since = where(accepted, np.where(full <= now, now, since), since)
        if accepted is not False:
            let_in = where(accepted, at, state["let_in"])
            return {
                **state,
                "full": where(accepted, taken, np.maximum(full, fullest)),
                "since": since,
                "let_in": let_in,
            }
        return {**state, "full": self._emptied(params, state, now, at), "refused": at}

    def _emptied(self, params: Params, state: State, now: Array, at: Array | float) -> Array:
        """When a bucket would be full of which others took whole tokens, until none was left.

        A token that would have come a moment ago may not have been there yet instead, nor a tick with all its tokens;
        and a bucket that others emptied while it would have been full went on to fill all the same.

        Args:
            now: The last tick, or *at* where there are none.
        """
        token_s, full = params["token_s"], state["full"]
        late_s = _SOON_TICK_S + params.get("wide_phase", np.zeros(1)) * self.tick_s
        soon = (at - now < late_s) & (state["let_in"] < now) if self.tick_s else False
        held = params["limit"] + self.early - np.maximum(full - now, 0.0) / token_s
        fullest = now + (params["limit"] - 1.0 + self.early) * token_s
        whole = np.where((held < 1.0 + _SOON) | (state["since"] > state["refused"]), 0.0, np.floor(held))
        emptied = np.where(whole > 0, np.maximum(full, now) + whole * token_s, np.maximum(full, fullest))
        return np.where(soon, full, emptied)

    def turn_at(self, params: Params, state: State) -> Array:
        """When it is full again."""
        full = np.asarray(state["full"])
        return self._ticked(state, full) if self.tick_s else full

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """Its whole tokens."""
        missing = np.maximum(state["full"] - self._taken_at(state, at), 0.0) / params["token_s"]
        return np.asarray(np.clip(np.floor(params["limit"] - missing + self.early + 1e-9), 0.0, None))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of the time since it was last full, and the phase of its ticks."""
        token_s = params["token_s"]
        if not self.tick_s:
            return np.asarray(share * np.maximum(np.abs(at - state["since"]), token_s))
        # A token that comes a little later may miss its tick, and then comes with the next one; what was there when it
        # was full does not.
        free = state["full"] - (params["limit"] - 1.0 + self.early) * token_s
        moved, free = share * np.abs(free - state["since"]), free - state["tick"]
        ticks = np.ceil((free + moved) / self.tick_s) - np.ceil((free - moved) / self.tick_s)
        return np.asarray((ticks + phase) * self.tick_s)


@dataclass(frozen=True, slots=True)
class DecayingCounter(AtAnyTime):
    """A count that falls by a share of itself in each moment: to 1/e in *window_s*."""

    name: str = "decaying-counter"
    family: str = "decaying-counter"
    scales: tuple[str, ...] = ("window_s",)
    phase: bool = False
    levels: bool = True

    def start(self, params: Params, at: float) -> State:
        """A count of zero."""
        length = params["window_s"]
        return {"count": np.zeros_like(length), "at": np.full_like(length, at), "since": np.full_like(length, at)}

    def free_at(self, params: Params, state: State) -> Array:
        """When the count has fallen to one below the limit."""
        most = params["limit"] - 1.0
        count = np.maximum(state["count"], 1e-12)
        fallen = state["at"] + params["window_s"] * np.log(count / np.maximum(most, 1e-9))
        return np.where(count > most, fallen, LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """Lets the count decay, and counts."""
        count = state["count"] * np.exp(-np.maximum(at - state["at"], 0.0) / params["window_s"])
        fullest = params["limit"] - 1.0
        counted = where(accepted, np.minimum(count, fullest) + 1.0, np.maximum(count, fullest))
        idle = state["count"] < 1e-9
        return {
            "count": np.asarray(counted),
            "at": np.broadcast_to(np.asarray(at), np.shape(counted)),
            "since": np.where(idle, at, state["since"]),
        }

    def turn_at(self, params: Params, state: State) -> Array:
        """When the count has fallen to 1/e."""
        return np.asarray(state["at"] + params["window_s"])

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """By how much the count is below the limit."""
        count = state["count"] * np.exp(-np.maximum(at - state["at"], 0.0) / params["window_s"])
        return np.asarray(np.clip(np.floor(params["limit"] - count + 1e-9), 0.0, None))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """The share of the time in which it decayed."""
        return np.asarray(share * np.maximum(np.abs(at - state["since"]), params["window_s"] / params["limit"]))
