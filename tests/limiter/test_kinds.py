"""Each simulated kind of limiter, beside the twin's limiter of the same text, which shares no code with it."""

import copy
import random

import numpy as np
import pytest

from tests.limiter.answers import KINDS, row
from tests.limiting import decide, limiter_for
from touchstone.limiter.kinds import Kind, Tiered
from touchstone.limiter.story import Story
from touchstone.twin.limits import Limiter

WINDOW_S = 1.7
PAUSES_S = (0.0011, 0.0173, 0.171, 0.613, 0.00037, 2.9171)
# No kind here lets through so many at once.
MANY = 50
NUMBERS: dict[str, tuple[str, dict[str, float]]] = {
    "fixed-window": ("5/1.7", {"limit": 5, "block_s": 2.5}),
    "sliding-log": ("5/1.7", {"limit": 5}),
    "sliding-counter": ("5/1.7", {"limit": 5}),
    "decaying-counter": ("5/1.7", {"limit": 5}),
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


def tick_params(**more: float) -> dict[str, np.ndarray]:
    values = {"limit": 4.0, "phase": 0.0, "token_s": 0.3, "wide_phase": 0.0} | more
    return {name: np.array([value]) for name, value in values.items()}


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


def test_bucket_with_ticks_is_full_at_a_tick() -> None:
    kind, params = KINDS["token-bucket,tick=1"], tick_params()
    state = kind.start(params, 0.0)
    for _ in range(4):
        state = kind.update(params, state, 0.1, True)
    assert kind.turn_at(params, state)[0] == 2.0
    assert [kind.room(params, state, np.full(1, at))[0] for at in (1.99, 2.0)] == [3.0, 4.0]


@pytest.mark.parametrize(("refused_at", "let_in_at", "left"), [(1.05, 0.1, 3), (1.05, 1.01, 1), (1.1, 0.1, 1)])
def test_refusal_just_after_a_tick_may_be_its_lateness(refused_at: float, let_in_at: float, left: int) -> None:
    kind, params = KINDS["token-bucket,tick=1"], tick_params(wide_phase=0.08)
    state = kind.start(params, 0.0)
    for _ in range(4):
        state = kind.update(params, state, 0.1, True)
    if let_in_at > 1.0:
        state = kind.update(params, state, let_in_at, True)
    state = kind.update(params, state, refused_at, False)
    assert kind.room(params, state, np.full(1, 1.5))[0] == left


def test_full_log_is_shut_until_its_oldest_leaves() -> None:
    kind, params = KINDS["sliding-log"], {"limit": np.array([3.0]), "window_s": np.array([2.0])}
    state = kind.start(params, 0.0)
    assert kind.shut_until(params, state, 0.5)[0] == 0.5
    for at in (0.0, 1.0, 1.5):
        state = kind.update(params, state, at, True)
    assert [kind.shut_until(params, state, at)[0] for at in (1.6, 2.5, 3.2)] == [2.0, 3.0, 3.5]


@pytest.mark.parametrize(
    ("name", "outcomes", "first"),
    [("sliding-log", "--++-", 2), ("sliding-log", "--", 2), ("token-bucket,starts=empty", "--++-", 0)],
)
def test_early_refusals_count_only_for_a_bucket_that_starts_empty(name: str, outcomes: str, first: int) -> None:
    assert KINDS[name].begins(Story(row(outcomes)).moments()) == first


@pytest.mark.parametrize(("late_s", "count"), [(0.0005, 3), (0.05, 10)])
def test_refusal_counts_for_the_second_limiter_only_where_the_first_does_not_explain_it(
    late_s: float, count: int
) -> None:
    both = Tiered(KINDS["sliding-log"], {"limit": 3.0, "window_s": 1.0}, KINDS["fixed-window"], 1e-5)
    params = {"limit": np.array([10.0]), "window_s": np.array([60.0]), "phase": np.zeros(1)}
    state = both.start(params, 0.0)
    for _ in range(3):
        state = both.update(params, state, 0.0, True)
    assert both.update(params, state, 1.0 + late_s, False)["count"] == [count]


def test_fixed_window_is_open_to_others_since_it_closed() -> None:
    params = {"limit": np.array([20.0]), "window_s": np.array([2.0]), "phase": np.zeros(1), "token_s": np.array([0.1])}

    def full(kind: Kind) -> dict[str, object]:
        state = kind.start(params, 0.0)
        for _ in range(20):
            state = kind.update(params, state, 0.0, True)
        return state

    window, clock, log = (KINDS[name] for name in ("fixed-window", "fixed-window,opens=clock", "sliding-log"))
    assert window.open_since(params, full(window), 2.5)[0] == 2.0
    assert window.open_since(params, window.update(params, full(window), 2.5, True), 3.0)[0] == 2.0
    assert clock.open_since(params, full(clock), 5.0)[0] == 4.0
    assert log.open_since(params, full(log), 5.0)[0] < -1e9


def test_emptied_bucket_keeps_the_time_of_its_next_token() -> None:
    kind = KINDS["token-bucket"]
    params = {"limit": np.array([20.0]), "token_s": np.array([0.1])}
    state = kind.start(params, 0.0)
    for _ in range(20):
        state = kind.update(params, state, 0.0, True)
    empty = kind.update(params, state, 0.05, False)
    assert kind.free_at(params, kind.update(params, empty, 0.35, False))[0] == pytest.approx(0.4)
    assert kind.free_at(params, kind.update(params, empty, 0.11, False))[0] == pytest.approx(0.11)
