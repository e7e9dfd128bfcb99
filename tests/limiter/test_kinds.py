"""
What `touchstone.limiter` thinks a limiter would do, beside limiters that were written apart from it: the twin's.
"""

import random

import numpy as np
import pytest

from touchstone.limiter.buckets import DecayingCounter, TokenBucket
from touchstone.limiter.kinds import Kind
from touchstone.limiter.logs import MinimumGap, SlidingLog
from touchstone.limiter.windows import BlockingWindow, FixedWindow, SlidingCounter
from touchstone.twin import RateLimit, decide, limiter_for

WINDOW_S = 1.7
KINDS: dict[str, tuple[Kind, dict[str, float]]] = {
    "fixed-window:5/1.7": (FixedWindow("a"), {"limit": 5}),
    "fixed-window:5/1.7,opens=clock": (FixedWindow("a", opens="clock"), {"limit": 5}),
    "fixed-window:5/1.7,block=2.5": (BlockingWindow(), {"limit": 5, "block_s": 2.5}),
    "fixed-window:5/1.7,refused=restart": (FixedWindow("a", refused="restart"), {"limit": 5}),
    "sliding-log:5/1.7": (SlidingLog("a"), {"limit": 5}),
    "sliding-log:5/1.7,refused=count": (SlidingLog("a", counts_refused=True), {"limit": 5}),
    "sliding-counter:5/1.7": (SlidingCounter("a"), {"limit": 5}),
    "sliding-counter:5/1.7,rule=below": (SlidingCounter("a", below=True), {"limit": 5}),
    "sliding-counter:5/1.7,refused=count": (SlidingCounter("a", counts_refused=True), {"limit": 5}),
    "sliding-counter:5/1.7,opens=first": (SlidingCounter("a", opens="first"), {"limit": 5}),
    "decaying-counter:5/1.7": (DecayingCounter(), {"limit": 5}),
    "token-bucket:10/1.7,burst=5": (TokenBucket("a"), {"limit": 5, "token_s": 0.17}),
    "token-bucket:10/1.7,burst=5,early=0.5": (TokenBucket("a", early=0.5), {"limit": 5, "token_s": 0.17}),
    "minimum-gap:1.7": (MinimumGap(), {"limit": 1, "gap_s": 1.7}),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", KINDS)
def test_kind_answers_as_the_twins_limiter_does(text: str, seed: int) -> None:
    """
    Four hundred requests at random times, some close together and some after a pause, are answered alike.
    """
    kind, given = KINDS[text]
    chance = random.Random(seed)
    limiter = limiter_for(RateLimit.parse(text))
    at = 1000.0 + chance.random()
    phase = (at % WINDOW_S) / WINDOW_S
    params = {name: np.array([value]) for name, value in {"window_s": WINDOW_S, "phase": phase, **given}.items()}
    state = kind.start(params, at)
    for number in range(400):
        expected, _ = decide(limiter, at)
        actual = bool(at >= kind.free_at(params, state)[0])
        assert actual == expected, f"request {number} at {at}"
        state = kind.update(params, state, at, expected)
        at += chance.choice([0.0011, 0.0173, 0.171, 0.613, 0.00037, 2.9171])
