"""What `touchstone.limiter` thinks a limiter would do, beside limiters that were written apart from it: the twin's."""

import copy
import random

import numpy as np
import pytest

from touchstone.limiter.kinds import KINDS as ALL
from touchstone.limiter.kinds import Kind, Tiered
from touchstone.twin import RateLimit, decide, limiter_for
from touchstone.twin.limits import FAMILIES, Limiter

WINDOW_S = 1.7
PAUSES_S = (0.0011, 0.0173, 0.171, 0.613, 0.00037, 2.9171)
# No kind here lets through so many at once.
MANY = 50
BY_TEXT = {kind.text: kind for kind in ALL}
NUMBERS = {
    "fixed-window": ("5/1.7", {"limit": 5, "block_s": 2.5}),
    "sliding-log": ("5/1.7", {"limit": 5}),
    "sliding-counter": ("5/1.7", {"limit": 5}),
    "decaying-counter": ("5/1.7", {"limit": 5}),
    "token-bucket": ("10/1.7,burst=5", {"limit": 5, "token_s": 0.17}),
    "minimum-gap": ("1.7", {"limit": 1, "gap_s": 1.7}),
}
KINDS: dict[str, tuple[Kind, dict[str, float]]] = {
    kind.text.replace(kind.family, f"{kind.family}:{NUMBERS[kind.family][0]}").replace("block=", "block=2.5"): (
        kind,
        NUMBERS[kind.family][1],
    )
    for kind in ALL
}
for first, second in (("sliding-log", "fixed-window"), ("fixed-window", "sliding-log")):
    known = {"limit": 3.0, "phase": 0.0, "window_s": 0.6}
    KINDS[f"{first}:3/0.6+{second}:5/1.7"] = (Tiered(BY_TEXT[first], known, BY_TEXT[second], 0.0), {"limit": 5})


def test_each_family_of_the_twin_is_known() -> None:
    """What the twin can be, a probe can find; queues and caps in other ways."""
    assert {kind.family for kind in ALL} | {"none", "leaky-bucket", "concurrency", "builds"} == set(FAMILIES)


def begun(text: str, at: float) -> tuple[Kind, dict[str, np.ndarray], Limiter]:
    """A kind with its parameters, and the twin's limiter of that text, before the first request comes at *at*."""
    kind, given = KINDS[text]
    period_s = 1.0 if "tick" in text else WINDOW_S
    values = {"window_s": WINDOW_S, "phase": (at % period_s) / period_s, **given}
    return kind, {name: np.array([value]) for name, value in values.items()}, limiter_for(RateLimit.parse(text))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", KINDS)
def test_kind_answers_as_the_twins_limiter_does(text: str, seed: int) -> None:
    """Four hundred requests at random times, some close together and some after a pause, are answered alike."""
    chance = random.Random(seed)
    at = 1000.0 + chance.random()
    kind, params, limiter = begun(text, at)
    state = kind.start(params, at)
    for number in range(400):
        expected, _ = decide(limiter, at)
        actual = bool(at >= kind.free_at(params, state)[0])
        assert actual == expected, f"request {number} at {at}"
        state = kind.update(params, state, at, expected)
        at += chance.choice(PAUSES_S)


@pytest.mark.parametrize("text", KINDS)
def test_room_is_what_the_twins_limiter_lets_through_at_once(text: str) -> None:
    """After each of a hundred requests at random times, a copy of the limiter is drained at once."""
    chance = random.Random(7)
    at = 1000.0 + chance.random()
    kind, params, limiter = begun(text, at)
    state = kind.start(params, at)
    for number in range(100):
        drained, room = copy.deepcopy(limiter), 0
        while number and room < MANY and decide(drained, at)[0]:
            room += 1
        if number:
            assert kind.room(params, state, np.array([at]))[0] == room, f"after request {number}, at {at}"
        accepted, _ = decide(limiter, at)
        state = kind.update(params, state, at, accepted)
        at += chance.choice(PAUSES_S)


def test_bucket_that_fills_by_ticks_is_full_with_one() -> None:
    """Not when the tokens that it is given then are thought to have come."""
    kind = BY_TEXT["token-bucket,tick=1"]
    params = {"limit": np.array([4.0]), "phase": np.zeros(1), "token_s": np.array([0.3])}
    state = kind.start(params, 0.0)
    for _ in range(4):
        state = kind.update(params, state, 0.1, True)
    assert kind.turn_at(params, state)[0] == 2.0
    assert kind.room(params, state, np.full(1, 1.99))[0] == 3.0
    assert kind.room(params, state, np.full(1, 2.0))[0] == 4.0


@pytest.mark.parametrize(("refused_at", "let_in_at", "left"), [(1.05, 0.1, 3), (1.05, 1.01, 1), (1.1, 0.1, 1)])
def test_tick_may_come_a_little_later_than_thought(refused_at: float, let_in_at: float, left: int) -> None:
    """
    What is refused just after it says nothing of its tokens, unless one of them was had already; later others had them.
    """
    kind = BY_TEXT["token-bucket,tick=1"]
    params = {
        "limit": np.full(1, 4.0),
        "phase": np.zeros(1),
        "token_s": np.full(1, 0.3),
        "wide_phase": np.full(1, 0.08),
    }
    state = kind.start(params, 0.0)
    for _ in range(4):
        state = kind.update(params, state, 0.1, True)
    if let_in_at > 1.0:
        state = kind.update(params, state, let_in_at, True)
    state = kind.update(params, state, refused_at, False)
    assert kind.room(params, state, np.full(1, 1.5))[0] == left


def test_last_token_of_a_full_bucket_waits_for_no_tick() -> None:
    """
    What was there when it was full does not depend on how long a token takes; the one after that may miss its tick.
    """
    kind = BY_TEXT["token-bucket,tick=1"]
    params = {"limit": np.full(1, 4.0), "phase": np.zeros(1), "token_s": np.full(1, 0.7), "wide_phase": np.zeros(1)}
    state, slacks_s = kind.start(params, 0.0), []
    for _ in range(4):
        state = kind.update(params, state, 5.0, True)
        slacks_s.append(float(kind.slack_s(params, state, 5.0, np.full(1, 0.01), np.zeros(1))[0]))
    assert slacks_s[:3] == [0.0, 0.0, 0.0]
    assert kind.slack_s(params, state, 5.0, np.full(1, 0.5), np.zeros(1))[0] == 1.0


def test_log_lets_nobody_in_until_its_oldest_leaves() -> None:
    """Those that have left it already do not count, and an empty one is not shut."""
    kind, params = BY_TEXT["sliding-log"], {"limit": np.array([3.0]), "window_s": np.array([2.0])}
    state = kind.start(params, 0.0)
    assert kind.shut_until(params, state, 0.5)[0] == 0.5
    for at in (0.0, 1.0, 1.5):
        state = kind.update(params, state, at, True)
    assert [kind.shut_until(params, state, at)[0] for at in (1.6, 2.5, 3.2)] == [2.0, 3.0, 3.5]
