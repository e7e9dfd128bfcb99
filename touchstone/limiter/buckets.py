"""Limiters that fill or drain with time: buckets of tokens, with or without a queue, and a count that decays."""

from dataclasses import dataclass

import numpy as np

from touchstone.limiter.kinds import LONG_AGO, Array, AtAnyTime, Mask, Params, State, where

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
