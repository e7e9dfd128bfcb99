"""Each simulated kind of limiter, beside the twin's limiter of the same text, which shares no code with it."""

import copy
import random

import numpy as np
import pytest

from tests.limiter.answers import KINDS
from tests.limiting import decide, limiter_for
from touchstone.limiter.cells import came_first
from touchstone.limiter.kinds import Kind, Tiered
from touchstone.twin.limits import Limiter

WINDOW_S = 1.7
PAUSES_S = (0.0011, 0.0173, 0.171, 0.613, 0.00037, 2.9171)
# No kind here lets through so many at once.
MANY = 50
NUMBERS: dict[str, tuple[str, dict[str, float]]] = {
    "fixed-window": ("5/1.7", {"limit": 5, "block_s": 2.5}),
    "sliding-log": ("5/1.7", {"limit": 5}),
    "sliding-counter": ("5/1.7", {"limit": 5}),
    "token-bucket": ("10/1.7,burst=5", {"limit": 5, "token_s": 0.17}),
    "minimum-gap": ("1.7", {"limit": 1, "gap_s": 1.7}),
}
SIMULATED: dict[str, tuple[Kind, dict[str, float]]] = {
    kind.text.replace(kind.family, f"{kind.family}:{NUMBERS[kind.family][0]}").replace("block=", "block=2.5"): (
        kind,
        NUMBERS[kind.family][1],
    )
    for kind in KINDS.values()
}
for first, second in (("sliding-log", "fixed-window"), ("fixed-window", "sliding-log")):
    known = {"limit": 3.0, "phase": 0.0, "window_s": 0.6}
    SIMULATED[f"{first}:3/0.6+{second}:5/1.7"] = (Tiered(KINDS[first], known, KINDS[second], 0.0), {"limit": 5})


def begun(text: str, at: float) -> tuple[Kind, dict[str, np.ndarray], Limiter]:
    """A kind with its parameters, and the twin's limiter of that text, before the first request comes at *at*."""
    kind, given = SIMULATED[text]
    period_s = 1.0 if "tick" in text else WINDOW_S
    values = {"window_s": WINDOW_S, "phase": (at % period_s) / period_s, **given}
    return kind, {name: np.array([value]) for name, value in values.items()}, limiter_for(text)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("text", SIMULATED)
def test_kind_decides_and_has_room_as_the_twins_limiter(text: str, seed: int) -> None:
    chance = random.Random(seed)
    at = 1000.0 + chance.random()
    kind, params, limiter = begun(text, at)
    state = kind.start(params, at)
    for number in range(250):
        if number % 4 == 1:
            drained, room = copy.deepcopy(limiter), 0
            while room < MANY and decide(drained, at)[0]:
                room += 1
            assert kind.room(params, state, np.array([at]))[0] == room, f"request {number} at {at}"
        expected, _ = decide(limiter, at)
        assert bool(at >= kind.free_at(params, state)[0]) == expected, f"request {number} at {at}"
        state = kind.update(params, state, at, expected)
        at += chance.choice(PAUSES_S)


@pytest.mark.parametrize(("refused_at", "let_in_at", "left"), [(1.05, 0.1, 3), (1.05, 1.01, 1), (1.1, 0.1, 1)])
def test_refusal_just_after_a_tick_may_be_its_lateness(refused_at: float, let_in_at: float, left: int) -> None:
    kind, values = KINDS["token-bucket,tick=1"], {"limit": 4.0, "phase": 0.0, "token_s": 0.3, "wide_phase": 0.08}
    params = {name: np.array([value]) for name, value in values.items()}
    state = kind.start(params, 0.0)
    for _ in range(4):
        state = kind.update(params, state, 0.1, True)
    if let_in_at > 1.0:
        state = kind.update(params, state, let_in_at, True)
    state = kind.update(params, state, refused_at, False)
    assert kind.room(params, state, np.full(1, 1.5))[0] == left


def test_others_may_have_opened_a_window_early_but_not_a_log() -> None:
    params = {"limit": np.array([20.0]), "window_s": np.array([2.0]), "phase": np.zeros(1)}
    window, log = KINDS["fixed-window"], KINDS["sliding-log"]
    states = [kind.update(params, kind.start(params, 0.0), 0.0, True) for kind in (window, log)]
    state = window.update(params, states[0], 3.0, True)
    early = [came_first(np.array([s]), window, params, state, 9.0, accepted=True)[:, 0] for s in (0.1, 0.9, 1.1)]
    assert early[0][0] == early[2].max() == 0.0
    assert (early[0][1:] > early[1][1:]).all()
    assert came_first(np.array([0.1]), log, params, states[1], 9.0, accepted=True) == 0.0
