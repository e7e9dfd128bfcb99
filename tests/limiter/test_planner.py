"""What is believed of a limiter after it was asked, and which stimulus is chosen next."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.limiter.answers import KINDS
from touchstone.facts.observed import Answer, Moment, moments
from touchstone.limiter.belief import Belief, behind
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import Array
from touchstone.limiter.planner import Draws, Prediction, _worth, candidates, choose, sample_posterior
from touchstone.twin import RateLimit, decide, limiter_for

WAY_S, SPREAD_S = 0.0004, 0.0003
# One, and the rest at once after 0.2 s; then about where a window of 2.37 s ends, where its slots come back one by one.
OPENING = (10.0, *(10.2 + 0.002 * number for number in range(5)))
STORY = (*OPENING, 11.0, 12.0, 12.3, 12.4, 12.402, 12.5, 12.6, 12.602, 13.5, 13.9, 14.5, 14.75, 14.8, 14.9)
LOG, WINDOW, BUCKET = "sliding-log:4/2.37", "fixed-window:4/2.37", "token-bucket:2/2.37,burst=4"


def answers_of(text: str, times: Sequence[float]) -> list[Answer]:
    """What a limiter answers to requests at *times*, over a network that takes a little longer now and then."""
    limiter, chance, answers = limiter_for(RateLimit.parse(text)), random.Random(1), []
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


def test_candidates_are_many_and_none_is_in_the_past() -> None:
    found = list(candidates(sample_posterior(believed(LOG, OPENING), 100, rng()), 10.3, 0.002, 0.001, 4))
    assert len({stimulus.name for stimulus in found}) > 10
    assert min(at for stimulus in found for segment in stimulus.segments for at in segment.at) >= 10.3


@pytest.mark.parametrize(("others", "aside"), [(0.09, True), (0.11, False)])
def test_what_only_others_explain_is_left_aside_while_others_are_unlikely(
    monkeypatch: pytest.MonkeyPatch, others: float, aside: bool
) -> None:
    belief = replace(believed(LOG, STORY[:9]))
    belief.cells = [replace(cells, likely=cells.likely.copy()) for cells in belief.cells]
    monkeypatch.setattr(Belief, "others", lambda _: others)
    for cells in belief.cells:
        if cells.kind.text == "fixed-window":
            cells.likely[0] -= 50.0
    weights = [cells.alone() if aside else cells.masses() for cells in belief.cells]
    whole = np.logaddexp.reduce(np.concatenate(weights))
    shares = {
        cells.kind.text: float(np.exp(np.logaddexp.reduce(weight) - whole))
        for cells, weight in zip(belief.cells, weights, strict=True)
    }
    found = {draws.kind.text: draws.weights.sum() for draws in sample_posterior(belief, 140, rng())}
    assert found == pytest.approx({name: share for name, share in shares.items() if share > 1e-3}, abs=0.005)
    assert ("fixed-window" not in found) is aside
    assert "fixed-window" in {draws.kind.text for draws in sample_posterior(belief, 140, rng(), aside=False)}


def test_window_may_be_filled_shortly_before_it_closes() -> None:
    found, now = sample_posterior(believed(WINDOW), 140, rng()), 14.95
    likely = next(draws for draws in found if draws.kind.text == "fixed-window")
    closes = float(np.min(likely.kind.turn_at(likely.params, likely.state)))
    fills = [one for one in candidates(found, now, 0.001, 0.001, 4) if one.name.startswith("3 at once")]
    late = [one for one in fills if now + 0.5 * (closes - now) < one.segments[0].at[0] < closes]
    assert late
    assert all(one.segments[-1].at[0] >= one.segments[0].at[0] for one in late)


def worth(name: str, marks: list[list[int]], **numbers: list[float]) -> tuple[Array, Array]:
    """What stimuli are worth that tell limiters with these numbers apart as *marks* say, all of them as likely."""
    size = len(marks[0])
    params = {"phase": np.zeros(size)} | {name: np.array(values, dtype=np.float64) for name, values in numbers.items()}
    nothing = np.zeros((len(marks), size))
    predicted = Prediction(np.array(marks), nothing, nothing, nothing, nothing, {})
    return _worth([Draws(KINDS[name], params, {}, np.full(size, 1 / size))], [predicted])


def test_bits_about_the_limit_count_as_those_about_the_kind() -> None:
    bits, about_kind = worth(
        "sliding-log", [[0, 0, 1, 1], [0, 1, 0, 1]], limit=[5, 5, 6, 6], window_s=[1.0, 2.0, 1.0, 2.0]
    )
    assert bits == pytest.approx([1.0, 1.0])
    assert about_kind == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize(
    ("name", "numbers", "bits"),
    [
        ("sliding-log", {"window_s": [1.0, 1.001]}, 0.0),
        ("sliding-log", {"window_s": [1.0, 1.02]}, 1.0),
        ("fixed-window,opens=clock", {"window_s": [1.0, 1.0], "phase": [0.5, 0.501]}, 0.0),
        ("fixed-window,opens=clock", {"window_s": [1.0, 1.0], "phase": [0.5, 0.6]}, 1.0),
    ],
)
def test_numbers_as_good_as_the_same_are_not_worth_telling_apart(
    name: str, numbers: dict[str, list[float]], bits: float
) -> None:
    assert worth(name, [[0, 1]], limit=[5, 5], **numbers)[0] == pytest.approx([bits])


def test_limit_behind_another_gets_a_steady_stream() -> None:
    first = Cells.point(KINDS["sliding-log"], {"limit": 4.0, "window_s": 2.0}, 0.0)
    belief = Belief(4)
    belief.cells = behind(first, 0.001, 12, 20.0)
    belief.update([Moment(10.0, 0.001, True)])
    found = sample_posterior(belief, 40, rng(1))
    most = max(int(draws.params["limit"].max()) for draws in found)
    streams = {one.name: one.segments[0] for one in candidates(found, 30.0, 0.001, 0.001, 8) if "steady" in one.name}
    streams = {name: part for name, part in streams.items() if name.startswith(("steady", "rest, steady"))}
    assert len(streams) > 1
    for part in streams.values():
        assert len(part.at) > 2 * most
        assert np.diff(part.at) == pytest.approx(1.05 * 2.0 / 4.0)
        assert part.until == "refused"
    assert streams["rest, steady"].at[0] > 35.0
    assert min(part.at[0] for part in streams.values()) == pytest.approx(30.0)
