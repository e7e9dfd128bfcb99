"""What is believed of a limiter after it was asked, and which stimulus is chosen next."""

import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from tests.limiting import decide, limiter_for
from touchstone.facts.probe import Answer, moments
from touchstone.limiter.belief import Belief
from touchstone.limiter.planner import choose

WAY_S, SPREAD_S = 0.0004, 0.0003
# One, and the rest at once after 0.2 s; then about where a window of 2.37 s ends, where its slots come back one by one.
OPENING = (10.0, *(10.2 + 0.002 * number for number in range(5)))
STORY = (*OPENING, 11.0, 12.0, 12.3, 12.4, 12.402, 12.5, 12.6, 12.602, 13.5, 13.9, 14.5, 14.75, 14.8, 14.9)
LOG, WINDOW, BUCKET = "sliding-log:4/2.37", "fixed-window:4/2.37", "token-bucket:2/2.37,burst=4"


def answers_of(text: str, times: Sequence[float]) -> list[Answer]:
    """What a limiter answers to requests at *times*, over a network that takes a little longer now and then."""
    limiter, chance, answers = limiter_for(text), random.Random(1), []
    for at in times:
        decided_at = at + WAY_S + SPREAD_S * chance.random()
        accepted, _ = decide(limiter, decided_at)
        answers.append(Answer(at, decided_at + WAY_S + SPREAD_S * chance.random(), accepted))
    return answers


@cache
def believed(text: str, times: Sequence[float] = STORY) -> Belief:
    """The belief after the answers of a limiter, the first refusal of which ends the opening burst; never changed."""
    answers = answers_of(text, times)
    belief = Belief(next(number for number, answer in enumerate(answers) if not answer.accepted))
    belief.update(moments(answers, 2 * WAY_S))
    return belief


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("text", [LOG, WINDOW, BUCKET])
def test_kind_that_answered_is_the_likeliest(text: str) -> None:
    belief, kind = believed(text), text.partition(":")[0]
    assert next(iter(belief.kinds())).split(",")[0] == kind
    cells = next(cells for cells in belief.cells if cells.kind.text == kind)
    true_s = 2.37 / 2 if kind == "token-bucket" else 2.37
    near = np.abs(cells.logs[0] - np.log(true_s)) <= cells.wide + 1e-3
    assert (near & (cells.limits == 4)).any()
    shares = np.exp(cells.masses() - cells.masses().max())
    assert np.average(cells.wide, weights=shares) < 0.005  # the grid begins with cells of 4 % either way


def test_answers_rule_out_kinds_and_one_refusal_rules_out_none() -> None:
    opened = believed(LOG, OPENING).kinds()
    assert all(opened[name] > 0.01 for name in ("fixed-window", "sliding-log", "token-bucket"))
    assert believed(LOG).kinds().get("fixed-window", 0.0) < 0.01


def test_choice_depends_on_seed_and_answers_alone() -> None:
    belief = believed(LOG, OPENING)
    first, second = (choose(belief, 10.3, 0.002, 0.001, rng()) for _ in range(2))
    assert first is not None
    assert first == second
    assert first.bits > 0
    assert min(at for segment in first.segments for at in segment.at) >= 10.3
