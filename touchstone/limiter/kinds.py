"""Kinds of rate limiters: families with their options. Each kind simulates many limiters at once; no I/O.

Parameters and states are arrays with one entry for each simulated limiter. Times are seconds on one clock. The phase is
the share of a window or tick that had passed at the first request. Every kind is monotone: a limiter that would accept
a request now would also accept it later, unless other requests come first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.probe import LEAST_BLUR_S, Moment

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Params = Mapping[str, Array]
State = dict[str, Any]  # arrays with one entry per limiter; all limiters share the logs and scalars

LONG_AGO, NEVER = -1e12, 1e12  # finite stand-ins for infinity, so that differences are defined
_MOST_EMPTY = 64  # highest limit to try for a bucket that starts empty; more after many accepted requests
# A refusal may mean lateness: of a token by this share of its time, of a tick by these seconds.
_SOON, _SOON_TICK_S = 0.25, 0.001
_SOON_FIRST_S = 2 * LEAST_BLUR_S  # the first of two limiters may still refuse this long after `free_at`


def is_shared(name: str, value: Any) -> bool:
    """Whether all limiters share the part *name* of a state."""
    return name.endswith("log") or np.ndim(value) == 0


def chosen(mask: Array | Mask, later: State, before: State) -> State:
    """Returns the state *later* for each limiter with a true *mask*, else *before*; logs always come from *later*."""
    return {
        name: value
        if name.endswith("log") or (np.ndim(value) == 0 and np.ndim(before[name]) == 0)
        else np.where(mask, value, before[name])
        for name, value in later.items()
    }


class Kind:
    """Kind of limiter. *text*: its notation in `serve --rate`, without numbers; *phase*: whether it follows a clock."""

    scales: tuple[str, ...] = ("window_s",)  # time parameters; the first is the window, or the time of one token
    levels = True  # whether a refusal sets the state to "limit reached", which includes requests of other clients
    closes = False  # whether it refuses everything from a refusal to the end of the window
    least = 2  # smallest limit

    def __init__(self, text: str, prior: float = 0.0, *, phase: bool = False) -> None:
        self.text, self.prior, self.phase = text, prior, phase
        self.family, *options = text.split(",")
        self.options = dict(option.split("=") for option in options)
        self.tick_s, self.early = (float(self.options.get(name, 0)) for name in ("tick", "early"))
        self.empty = "starts" in self.options
        self.fills = self.scales[0] == "token_s"  # whether it refills token by token

    def limits(self, accepted: int, most: int, least: int) -> Sequence[int]:
        """Possible limits, from about *least* to *most*, if *accepted* requests came before the first refusal."""
        return range(max(self.least, least), most + 1)

    def start(self, params: Params, at: float) -> State:
        """State before the first request, which is sent at *at*."""
        raise NotImplementedError

    def free_at(self, params: Params, state: State) -> Array:
        """Time from which on the limiter accepts a request, if no other request comes first."""
        raise NotImplementedError

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        """State after a request at *at*; *accepted*: decision of the target, which this limiter may contradict."""
        raise NotImplementedError

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        """Number of requests that the limiter accepts at *at*, one right after the other."""
        raise NotImplementedError

    def turn_at(self, params: Params, state: State) -> Array:
        """Time at which the counted requests expire or the next window begins, even if the limit is not reached."""
        return np.asarray(state["opened"] + params["window_s"])

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        """Time until which the limiter refuses all requests after a refusal at *at*, unless other clients send any."""
        return self.turn_at(params, state) if self.closes else np.full_like(params["limit"], at)

    def open_since(self, params: Params, state: State, at: float) -> Array:
        """Earliest time at which another client may have sent a request that still counts at *at*."""
        return np.full_like(params["limit"], LONG_AGO)

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        """Error of `free_at` in seconds, if times have the relative error *share* and the phase the error *phase*."""
        return np.asarray(share * params[self.scales[0]])

    def refill_s(self, params: Params) -> Array:
        """Seconds after which the whole limit is available again."""
        time_s = params[self.scales[-1]]
        return np.asarray(time_s * params["limit"] if self.fills else time_s)

    def lasts_s(self, params: Params) -> Array:
        """Longest time in seconds for which a request counts; for a bucket, the time until a token is refilled."""
        return params["token_s"] if self.fills else self.refill_s(params)

    def begins(self, moments: Sequence[Moment]) -> int:
        """Index of the first decision to use: the first accepted request; 0 if a new account has no tokens."""
        if self.empty:  # in other cases, earlier requests caused refusals before the first acceptance
            return 0
        return next((number for number, moment in enumerate(moments) if moment.accepted), len(moments))


def _clock_slack_s(params: Params, state: State, at: Array | float, share: Array, phase: Array, windows: int) -> Array:
    length = params["window_s"]
    return np.asarray(share * (np.maximum(at - state["origin"], 0.0) + windows * length) + phase * length)


def _steps(params: Params, state: State, at: Array | float) -> Array:
    """Number of windows that have ended by *at*; the window in *state* is the first of them."""
    return np.asarray(np.maximum(0.0, np.floor((at - state["opened"]) / params["window_s"])))


class _FixedWindow(Kind):
    """Accepts *limit* requests per window, which a request opens; with ``refused=restart``, a refusal restarts it."""

    closes = True

    def start(self, params: Params, at: float) -> State:
        nothing = np.zeros_like(params["window_s"])
        return {"opened": np.full_like(nothing, LONG_AGO), "count": nothing, "idle": nothing}

    def free_at(self, params: Params, state: State) -> Array:
        full = state["count"] >= params["limit"]
        return np.where(full, state["opened"] + params["window_s"], LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        length, limit = params["window_s"], params["limit"]
        closed = at >= state["opened"] + length
        over = accepted & ~closed & (state["count"] >= limit)  # a new window must have begun
        idle = np.where(closed, np.minimum(at - state["opened"] - length, length), state["idle"])
        accepting = {
            "opened": np.where(closed | over, at, state["opened"]),
            "count": np.where(closed | over, 1.0, state["count"] + 1.0),
            "idle": np.where(over, length / 4, idle),
        }
        if "refused" in self.options:
            refusing = {"opened": at, "count": limit, "idle": idle}
        else:  # a refused request opens no window
            refusing = state | {"count": np.where(closed, state["count"], limit)}
        return {name: np.where(accepted, value, refusing[name]) for name, value in accepting.items()}

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        limit = params["limit"]
        left = np.maximum(limit - state["count"], 0.0)
        return np.where(at >= state["opened"] + params["window_s"], limit, left)

    def open_since(self, params: Params, state: State, at: float) -> Array:
        closes_at = state["opened"] + params["window_s"]
        return np.asarray(np.where(at >= closes_at, closes_at, state["opened"] - state["idle"]))


class _ClockWindow(_FixedWindow):
    """Accepts *limit* requests per window; a clock determines when windows begin."""

    least = 1

    def start(self, params: Params, at: float) -> State:
        length = params["window_s"]
        return {"opened": at - params["phase"] * length, "count": np.zeros_like(length), "origin": at}

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        length, limit = params["window_s"], params["limit"]
        steps = _steps(params, state, at)
        opened = state["opened"] + steps * length
        count = np.where(steps > 0, 0.0, state["count"])
        over = accepted & (count >= limit)
        soon = np.logical_not(accepted) & (count == 0) & (limit > 0)
        opened = np.where(over, opened + length, np.where(soon, opened - length, opened))
        count = np.where(accepted, np.where(over, 1.0, count + 1.0), limit)
        return {"opened": opened, "count": count, "origin": state["origin"]}

    def open_since(self, params: Params, state: State, at: float) -> Array:
        return np.asarray(state["opened"] + _steps(params, state, at) * params["window_s"])

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        return _clock_slack_s(params, state, at, share, phase, 1)


class _BlockingWindow(Kind):
    """Fixed window: the first refusal blocks all requests for *block_s* seconds, then a new window begins."""

    scales = ("window_s", "block_s")
    closes = True

    def start(self, params: Params, at: float) -> State:
        nothing = np.full_like(params["window_s"], LONG_AGO)
        return {"opened": nothing, "count": np.zeros_like(nothing), "until": nothing}

    def free_at(self, params: Params, state: State) -> Array:
        full = state["count"] >= params["limit"]
        return np.maximum(state["until"], np.where(full, state["opened"] + params["window_s"], LONG_AGO))

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        fresh = (at >= state["opened"] + params["window_s"]) | (accepted & (state["count"] >= params["limit"]))
        opened = np.where(accepted, np.where(fresh, at, state["opened"]), LONG_AGO)
        count = np.where(accepted, np.where(fresh, 1.0, state["count"] + 1.0), 0.0)
        # Without an accepted request since the last block began, a refusal belongs to that block.
        begun = (state["count"] > 0) | (state["until"] <= LONG_AGO)
        shuts = np.logical_not(accepted) & (at >= state["until"]) & begun
        return {"opened": opened, "count": count, "until": np.where(shuts, at + params["block_s"], state["until"])}

    def turn_at(self, params: Params, state: State) -> Array:
        return np.asarray(np.maximum(state["until"], state["opened"] + params["window_s"]))

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        limit = params["limit"]
        left = np.where(at >= state["opened"] + params["window_s"], limit, np.maximum(limit - state["count"], 0.0))
        return np.where(at < state["until"], 0.0, left)

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        return np.asarray(share * np.where(state["until"] > LONG_AGO, params["block_s"], params["window_s"]))


class _SlidingCounter(Kind):
    """Limits the count of the current window plus a share of the previous window's count.

    The share is the part of the previous window that lies in the last *window_s* seconds. ``opens=first``: the first
    request after two idle windows opens a window. ``refused=count``: refused requests count as well. ``rule=below``:
    the sum without the new request must be below the limit.
    """

    levels = False

    def start(self, params: Params, at: float) -> State:
        length = params["window_s"]
        opened = at - params["phase"] * length if self.phase else np.full_like(length, at - 1e9)
        return {"opened": opened, "count": np.zeros_like(length), "last": np.zeros_like(length), "origin": at}

    def free_at(self, params: Params, state: State) -> Array:
        length, limit = params["window_s"], params["limit"]
        count, last, opened = state["count"], state["last"], state["opened"]
        most = limit if "rule" in self.options else limit - 1.0
        room = most - count
        share = np.where(last > 0, 1.0 - room / np.maximum(last, 1e-9), LONG_AGO)
        here = np.where(count < limit, opened + length * np.maximum(share, 0.0), NEVER)
        here = np.where((count < limit) & (share <= 0), LONG_AGO, here)
        after = opened + length + length * np.maximum(0.0, 1.0 - most / np.maximum(count, 1e-9))
        return np.where(here < opened + length, here, after)

    def _counts(self, state: State, steps: Array) -> tuple[Array, Array]:
        """The counts of the previous and the current window after *steps* more windows."""
        last = np.where(steps == 0, state["last"], np.where(steps == 1, state["count"], 0.0))
        return last, np.where(steps == 0, state["count"], 0.0)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        steps = _steps(params, state, at)
        opened = state["opened"] + steps * params["window_s"]
        last, count = self._counts(state, steps)
        counted = True if "refused" in self.options else accepted
        found = {"opened": opened, "count": np.where(counted, count + 1.0, count), "last": last}
        if not self.phase:
            # Only counted requests open windows, so a pause lasts from one counted request to the next.
            found["opened"] = np.where(steps >= 2, at, opened)
            found = {name: np.where(counted, value, state[name]) for name, value in found.items()}
        return found | {"origin": state["origin"]}

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        steps = _steps(params, state, at)
        last, count = self._counts(state, steps)
        weighted = last * (1.0 - np.clip((at - state["opened"]) / params["window_s"] - steps, 0.0, 1.0))
        left = params["limit"] - count - weighted
        return np.asarray(np.clip(np.ceil(left) if "rule" in self.options else np.floor(left), 0.0, None))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        if self.phase:
            return _clock_slack_s(params, state, at, share, phase, 2)
        return np.asarray(share * 2 * params["window_s"])


class _SlidingLog(Kind):
    """Accepts *limit* requests in any *window_s* seconds; with ``refused=count``, refused requests count as well.

    All simulated limiters share one log until they decide differently. Then each has a log, along the last axis.
    """

    levels = False

    def start(self, params: Params, at: float) -> State:
        return {"log": np.zeros(0), "size": 0}

    def free_at(self, params: Params, state: State) -> Array:
        log, size, limit = state["log"], state["size"], params["limit"]
        index = np.asarray(size - limit).astype(np.int64)
        if log.shape[-1] == 0:
            return np.full(np.shape(limit), LONG_AGO)
        inside = np.clip(index, 0, log.shape[-1] - 1)
        oldest = log[inside] if log.ndim == 1 else log.reshape(-1)[_places(log, inside)]
        return np.where(index >= 0, oldest + params["window_s"], LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        counted = True if "refused" in self.options else accepted
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
        # An entry that does not count lies behind the end of the log, and is never read.
        log.reshape(-1)[_places(log, np.asarray(size))] = at
        return {"log": log, "size": size + np.asarray(counted, dtype=np.int64)}

    def turn_at(self, params: Params, state: State) -> Array:
        log = state["log"]
        if log.ndim == 1:
            return (log[-1] if len(log) else LONG_AGO) + params["window_s"]
        last = np.maximum(np.asarray(state["size"]) - 1, 0)
        return np.asarray(log.reshape(-1)[_places(log, last)] + params["window_s"])

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        log, limit, since = state["log"], params["limit"], at - params["window_s"]
        if log.ndim == 1:
            inside = len(log) - np.searchsorted(log, since, side="right")
        else:
            places = np.arange(log.shape[-1]) < np.asarray(state["size"])[..., None]
            inside = ((log > since[..., None]) & places).sum(axis=-1)
        return np.asarray(np.maximum(limit - inside, 0.0))

    def shut_until(self, params: Params, state: State, at: float) -> Array:
        log, length = state["log"], params["window_s"]
        oldest = np.searchsorted(log, at - length, side="right")
        return np.append(log, at)[oldest] + np.where(oldest < len(log), length, 0.0)


def _places(log: Array, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of many logs, the index of one entry in the flattened array of all logs."""
    return np.asarray(np.arange(index.size).reshape(index.shape) * log.shape[-1] + index)


class _MinimumGap(Kind):
    """Accepts a request *gap_s* seconds or more after the last accepted one, as most families with a limit of 1 do."""

    scales = ("gap_s",)
    levels = False

    def limits(self, accepted: int, most: int, least: int) -> Sequence[int]:
        return (1,) if accepted <= 2 or most > accepted else ()

    def start(self, params: Params, at: float) -> State:
        return {"last": np.full_like(params["gap_s"], LONG_AGO)}

    def free_at(self, params: Params, state: State) -> Array:
        return np.asarray(state["last"] + params["gap_s"])

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        return {"last": np.where(accepted, at, state["last"])}

    turn_at = free_at

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        return np.where(at >= self.free_at(params, state), 1.0, 0.0)


class _TokenBucket(Kind):
    """Bucket of *limit* tokens that gains a token every *token_s* seconds; its state is when it will be full.

    ``early``: part of a token that an accepted request may lack. ``tick``: seconds between two refills by a clock.
    """

    scales = ("token_s",)

    def limits(self, accepted: int, most: int, least: int) -> Sequence[int]:
        if self.empty:
            return range(2, max(2 * most, _MOST_EMPTY) + 1)
        return range(max(2, accepted // 2) if self.phase else 2, most + 1)

    def start(self, params: Params, at: float) -> State:
        token_s = params["token_s"]
        full = at + params["limit"] * token_s if self.empty else np.full_like(token_s, LONG_AGO)
        tick = at - params["phase"] * self.tick_s if self.tick_s else np.zeros_like(token_s)
        since = np.full_like(token_s, at)
        return {"full": full, "since": since, "tick": tick, "refused": LONG_AGO, "let_in": LONG_AGO}

    def _most_s(self, params: Params) -> Array:
        """Seconds that a bucket may lack until it is full of tokens, and still accept a request."""
        return np.asarray((params["limit"] - 1.0 + self.early) * params["token_s"])

    def _taken_at(self, state: State, at: Array | float) -> Array:
        if not self.tick_s:
            return np.asarray(at)
        return np.asarray(state["tick"] + np.floor((at - state["tick"]) / self.tick_s) * self.tick_s)

    def free_at(self, params: Params, state: State) -> Array:
        return self._ticked(state, np.asarray(state["full"] - self._most_s(params)))

    def _ticked(self, state: State, at: Array) -> Array:
        """First tick of the clock at or after *at*; without a clock, *at*."""
        if not self.tick_s:
            return at
        ticks = np.ceil((at - state["tick"]) / self.tick_s - 1e-9)
        return np.where(at > LONG_AGO / 2, state["tick"] + ticks * self.tick_s, LONG_AGO)

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        now, full = self._taken_at(state, at), state["full"]
        fullest = now + self._most_s(params)
        if accepted is False:
            return state | {"full": self._emptied(params, state, now, at), "refused": at}
        taken = np.minimum(np.maximum(full, now), fullest) + params["token_s"]
        return state | {
            "full": np.where(accepted, taken, np.maximum(full, fullest)),
            "since": np.where(accepted & (full <= now), now, state["since"]),
            "let_in": np.where(accepted, at, state["let_in"]),
        }

    def _emptied(self, params: Params, state: State, now: Array, at: Array | float) -> Array:
        """Time at which a bucket will be full after a refusal, caused by other clients, a late token or a late tick."""
        token_s, full = params["token_s"], state["full"]
        late_s = _SOON_TICK_S + params.get("wide_phase", np.zeros(1)) * self.tick_s
        soon = (at - now < late_s) & (state["let_in"] < now) if self.tick_s else False
        held = params["limit"] + self.early - np.maximum(full - now, 0.0) / token_s
        whole = np.where((held < 1.0 + _SOON) | (state["since"] > state["refused"]), 0.0, np.floor(held))
        fullest = now + self._most_s(params)
        emptied = np.where(whole > 0, np.maximum(full, now) + whole * token_s, np.maximum(full, fullest))
        return np.where(soon, full, emptied)

    def turn_at(self, params: Params, state: State) -> Array:
        return self._ticked(state, np.asarray(state["full"]))

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        missing = np.maximum(state["full"] - self._taken_at(state, at), 0.0) / params["token_s"]
        return np.asarray(np.clip(np.floor(params["limit"] - missing + self.early + 1e-9), 0.0, None))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        if not self.tick_s:
            return np.asarray(share * np.maximum(np.abs(at - state["since"]), params["token_s"]))
        # A token that is a little late may miss its tick, and comes with the next tick.
        free = state["full"] - self._most_s(params)
        moved, free = share * np.abs(free - state["since"]), free - state["tick"]
        ticks = np.ceil((free + moved) / self.tick_s) - np.ceil((free - moved) / self.tick_s)
        return np.asarray((ticks + phase) * self.tick_s)


_FIRST = "first."


class Tiered(Kind):
    """First limiter with *known* parameters, and an unknown second one. *loose*: relative error of times in *known*.

    A refusal counts for the second limiter only if the first cannot explain it.
    """

    def __init__(self, first: Kind, known: Mapping[str, float], second: Kind, loose: float) -> None:
        super().__init__(second.text, phase=second.phase)
        self.first, self.known, self.second, self.loose = first, known, second, loose
        self.text, self.family = f"{first.text}+{second.text}", f"{first.family}+{second.family}"
        self.scales, self.levels, self.fills = second.scales, second.levels, second.fills
        self.empty = first.empty or second.empty

    def _split(self, params: Params, state: State) -> tuple[Params, State, State]:
        """Parameters of the first limiter, and the states of both."""
        known = {name: np.full(np.shape(params["limit"]), value) for name, value in self.known.items()}
        first = {name.removeprefix(_FIRST): value for name, value in state.items() if name.startswith(_FIRST)}
        return known, first, {name: value for name, value in state.items() if not name.startswith(_FIRST)}

    def _first_slack_s(self, known: Params, first: State, at: Array | float) -> Array:
        loose = np.full(np.shape(known["limit"]), self.loose)
        return self.first.slack_s(known, first, at, loose, loose)

    def start(self, params: Params, at: float) -> State:
        first = self.first.start(self._split(params, {})[0], at)
        return {_FIRST + name: value for name, value in first.items()} | self.second.start(params, at)

    def free_at(self, params: Params, state: State) -> Array:
        known, first, second = self._split(params, state)
        return np.maximum(self.first.free_at(known, first), self.second.free_at(params, second))

    def update(self, params: Params, state: State, at: Array | float, accepted: Mask | bool) -> State:
        known, first, second = self._split(params, state)
        until = self.first.free_at(known, first) + self._first_slack_s(known, first, at) + _SOON_FIRST_S
        by_first = np.logical_not(accepted) & (at < until)
        by_second = np.logical_not(accepted) & ~by_first
        first = chosen(~by_second, self.first.update(known, first, at, accepted), first)
        second = chosen(~by_first, self.second.update(params, second, at, accepted), second)
        return {_FIRST + name: value for name, value in first.items()} | second

    def turn_at(self, params: Params, state: State) -> Array:
        return self.second.turn_at(params, self._split(params, state)[2])

    def room(self, params: Params, state: State, at: Array | float) -> Array:
        known, first, second = self._split(params, state)
        return np.minimum(self.first.room(known, first, at), self.second.room(params, second, at))

    def slack_s(self, params: Params, state: State, at: Array | float, share: Array, phase: Array) -> Array:
        known, first, second = self._split(params, state)
        decides = self.first.free_at(known, first) >= self.second.free_at(params, second)
        behind_s = self.second.slack_s(params, second, at, share, phase)
        return np.where(decides, self._first_slack_s(known, first, at), behind_s)


KINDS: tuple[Kind, ...] = (
    _FixedWindow("fixed-window", 0.15),
    _ClockWindow("fixed-window,opens=clock", 0.10, phase=True),
    _FixedWindow("fixed-window,refused=restart", 0.015),
    _BlockingWindow("fixed-window,block=", 0.03),
    _SlidingLog("sliding-log", 0.16),
    _SlidingLog("sliding-log,refused=count", 0.04),
    _SlidingCounter("sliding-counter", 0.04, phase=True),
    _SlidingCounter("sliding-counter,rule=below", 0.04, phase=True),
    _SlidingCounter("sliding-counter,refused=count", 0.02, phase=True),
    _SlidingCounter("sliding-counter,opens=first", 0.025),
    _SlidingCounter("sliding-counter,opens=first,refused=count", 0.025),
    _SlidingCounter("sliding-counter,rule=below,refused=count", 0.015, phase=True),
    _SlidingCounter("sliding-counter,opens=first,rule=below", 0.015),
    _SlidingCounter("sliding-counter,opens=first,rule=below,refused=count", 0.015),
    _TokenBucket("token-bucket", 0.19),
    _TokenBucket("token-bucket,starts=empty", 0.02),
    _TokenBucket("token-bucket,early=0.5", 0.02),
    _TokenBucket("token-bucket,tick=1", 0.02, phase=True),
    _MinimumGap("minimum-gap", 0.09),
)
