"""What is believed of a limiter after it was asked, and what is asked next; in virtual time, of the twin's limiters."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from tests.limiter.answers import row
from touchstone.facts.observed import Answer, moments
from touchstone.facts.stimulus import Segment, Stimulus
from touchstone.limiter.belief import Belief
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.kinds import KINDS, Array
from touchstone.limiter.planner import Crowd, Foreseen, _worth, candidates, choose, crowds
from touchstone.twin import RateLimit, decide, limiter_for

BY_TEXT = {kind.text: kind for kind in KINDS}
WAY_S, SPREAD_S = 0.0004, 0.0003
QUICKEST_S = 2 * WAY_S


def ask(text: str, times: Sequence[float]) -> list[Answer]:
    """What a limiter answers to requests at *times*, over a network that takes a little longer now and then."""
    limiter, chance, answers = limiter_for(RateLimit.parse(text)), random.Random(1), []
    for at in times:
        met_at = at + WAY_S + SPREAD_S * chance.random()
        accepted, _ = decide(limiter, met_at)
        answers.append(Answer(at, met_at + WAY_S + SPREAD_S * chance.random(), accepted))
    return answers


def believed(answers: Sequence[Answer]) -> Belief:
    """The belief after *answers*, the first refusal of which ends the opening burst."""
    opening = next(number for number, answer in enumerate(answers) if not answer.accepted)
    belief = Belief(opening)
    belief.see(moments(answers, QUICKEST_S))
    return belief


# One, and the rest at once after 0.2 s; then about where a window of 2.37 s ends, where its slots come back one by one.
OPENING = [10.0, *(10.2 + 0.002 * number for number in range(8))]
STORY = [*OPENING, 11.0, 12.0, 12.3, 12.4, 12.402, 12.5, 12.6, 12.602, 13.5, 13.9, 14.5, 14.75, 14.8, 14.9]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("fixed-window:8/2.37", "fixed-window"),
        ("sliding-log:8/2.37", "sliding-log"),
        ("token-bucket:4/2.37,burst=8", "token-bucket"),
    ],
)
def test_kind_that_answered_is_the_likeliest(text: str, kind: str) -> None:
    """The family of the limiter that was asked leads, and cells around its true window or token are left."""
    belief = believed(ask(text, STORY))
    assert next(iter(belief.kinds())).split(",")[0] == kind
    cells = next(cells for cells in belief.cells if cells.kind.text == kind)
    true_s = 2.37 if kind != "token-bucket" else 2.37 / 4
    near = np.abs(cells.logs[0] - np.log(true_s)) <= cells.wide + 1e-3
    assert (near & (cells.limits == 8)).any()


def test_cells_that_matter_are_cut_until_they_tell_no_more() -> None:
    """The grid begins with cells of 4 % either way; after the story what is likely lies in far smaller ones."""
    belief = believed(ask("sliding-log:8/2.37", STORY))
    cells = next(cells for cells in belief.cells if cells.kind.text == "sliding-log")
    shares = np.exp(cells.masses() - cells.masses().max())
    assert np.average(cells.wide, weights=shares) < 0.005


def test_kinds_that_answers_contradict_are_given_up() -> None:
    """After the slots of a log came back one by one, no window that gives all at once is left with any weight."""
    kinds = believed(ask("sliding-log:8/2.37", STORY)).kinds()
    assert kinds.get("fixed-window", 0.0) < 0.01


def test_first_refusal_alone_decides_nothing() -> None:
    """After the opening burst windows, logs and buckets are all still possible."""
    kinds = believed(ask("sliding-log:8/2.37", OPENING)).kinds()
    assert all(kinds[name] > 0.01 for name in ("fixed-window", "sliding-log", "token-bucket"))


def test_same_seed_and_answers_choose_the_same_stimulus() -> None:
    """What is asked next depends on nothing but the seed and the answers."""
    answers = ask("sliding-log:8/2.37", OPENING)
    chosen = [choose(believed(answers), 10.3, 0.002, 0.001, np.random.default_rng(3)) for _ in range(2)]
    assert chosen[0] is not None
    assert chosen[0] == chosen[1]
    assert chosen[0].bits > 0


def test_nothing_is_planned_for_the_past() -> None:
    """Every stimulus that is thought of begins now or later."""
    found = crowds(believed(ask("sliding-log:8/2.37", OPENING)), 100, np.random.default_rng(3))
    thought_of = list(candidates(found, 10.3, 0.002, 0.001, 8))
    assert len({stimulus.name for stimulus in thought_of}) > 10
    assert min(at for stimulus in thought_of for segment in stimulus.segments for at in segment.at) >= 10.3


def test_unlikely_kind_is_tried_where_the_likely_one_is_in_no_doubt() -> None:
    """One request after the likely one lets go for sure, and before the other one does; and one before either does."""
    found = []
    for name, window_s, weight in (("fixed-window", 0.5, 0.995), ("sliding-log", 0.53, 0.005)):
        kind = BY_TEXT[name]
        params = {"limit": np.full(2, 4.0), "phase": np.zeros(2), "window_s": window_s + np.array([0.0, 1e-4])}
        state = kind.start(params, 10.0)
        for _ in range(4):
            state = kind.update(params, state, 10.0, True)
        found.append(Crowd(kind, params, state, np.full(2, weight / 2)))
    alone = [one.segments[0].at[0] for one in candidates(found, 10.1, 0.001, 0.001, 4) if one.name == "one request"]
    assert any(10.5001 + 0.002 < at < 10.53 - 0.002 for at in alone)
    assert any(10.49 < at < 10.5 - 0.002 for at in alone)


@pytest.mark.parametrize(("others", "aside"), [(0.09, True), (0.11, False)])
def test_what_only_others_explain_is_not_asked_about(
    monkeypatch: pytest.MonkeyPatch, others: float, aside: bool
) -> None:
    """Each kind weighs what it would if nobody else came, until it is likely that somebody does."""
    belief = believed(ask("sliding-log:8/2.37", STORY[:11]))
    monkeypatch.setattr(Belief, "others", lambda _: others)
    for cells in belief.cells:
        if cells.kind.text == "fixed-window":
            cells.likely[0] -= 50.0
            cells._weight = None
    weights = [cells.alone() if aside else cells.masses() for cells in belief.cells]
    whole = np.logaddexp.reduce(np.concatenate(weights))
    shares = {
        cells.kind.text: float(np.exp(np.logaddexp.reduce(weight) - whole))
        for cells, weight in zip(belief.cells, weights, strict=True)
    }
    found = {crowd.kind.text: crowd.weights.sum() for crowd in crowds(belief, 140, np.random.default_rng(1))}
    assert found == pytest.approx({name: share for name, share in shares.items() if share > 1e-3}, abs=0.005)
    assert ("fixed-window" not in found) is aside
    whole = {crowd.kind.text for crowd in crowds(belief, 140, np.random.default_rng(1), aside=False)}
    assert "fixed-window" in whole


def test_limiter_may_be_filled_late_in_its_window() -> None:
    """What is sent shortly before a window closes tells one that closes from one that lets go of each by itself."""
    belief = believed(ask("fixed-window:8/2.37", STORY))
    now = 14.95
    found = crowds(belief, 140, np.random.default_rng(1))
    closes = min(float(np.min(crowd.kind.turn_at(crowd.params, crowd.state))) for crowd in found)
    fills = [one for one in candidates(found, now, 0.001, 0.001, 8) if one.name.startswith("7 at once")]
    late = [one for one in fills if now + 0.5 * (closes - now) < one.segments[0].at[0] < closes]
    assert late
    assert all(one.segments[-1].at[0] >= one.segments[0].at[0] for one in late)


def test_bits_about_the_limit_count_as_those_about_the_kind() -> None:
    """
    The first stimulus tells two limits apart, the second two windows: only the first counts for more than its bits.
    """
    bits, told = worth("sliding-log", [[0, 0, 1, 1], [0, 1, 0, 1]], limit=[5, 5, 6, 6], window_s=[1.0, 2.0, 1.0, 2.0])
    assert bits == pytest.approx([1.0, 1.0])
    assert told == pytest.approx([1.0, 0.0])


def worth(name: str, marks: list[list[int]], **numbers: list[float]) -> tuple[Array, Array]:
    """What stimuli are worth that tell limiters with these numbers apart as *marks* say, all of them as likely."""
    kind = BY_TEXT[name]
    size = len(marks[0])
    params = {"phase": np.zeros(size)} | {name: np.array(values, dtype=np.float64) for name, values in numbers.items()}
    nothing = np.zeros((len(marks), size))
    seen = Foreseen(np.array(marks), nothing, nothing, nothing, nothing, {})
    return _worth([Crowd(kind, params, {}, np.full(size, 1 / size))], [seen])


@pytest.mark.parametrize(("apart", "bits"), [(0.001, 0.0), (0.02, 1.0)])
def test_times_that_are_as_good_as_the_same_are_not_worth_telling_apart(apart: float, bits: float) -> None:
    """Half a percent is as good as the same; two are not."""
    told, _ = worth("sliding-log", [[0, 1]], limit=[5, 5], window_s=[1.0, 1.0 + apart])
    assert told == pytest.approx([bits])


@pytest.mark.parametrize(("apart", "bits"), [(0.001, 0.0), (0.1, 1.0)])
def test_place_on_the_clock_is_worth_knowing(apart: float, bits: float) -> None:
    """It says when the next window begins."""
    told, _ = worth("fixed-window,opens=clock", [[0, 1]], limit=[5, 5], window_s=[1.0, 1.0], phase=[0.5, 0.5 + apart])
    assert told == pytest.approx([bits])


@pytest.mark.parametrize("known", [True, False])
def test_of_two_times_the_one_that_is_known_matters_no_more(known: bool) -> None:
    """
    What tells only of how long it is shut is worth nothing where that is known, however many windows there may be.
    """
    count = 240
    shut_s = [1.0 + (0.0001 if known else 1.0) * (number % 2) for number in range(count)]
    marks = [[number % 2 for number in range(count)], [int(number >= count / 2) for number in range(count)]]
    windows_s = [float(number + 1) for number in range(count)]
    of_shut, of_window = worth("fixed-window,block=", marks, limit=[5] * count, window_s=windows_s, block_s=shut_s)[0]
    assert of_window == pytest.approx(1.0)
    assert of_shut == pytest.approx(0.0 if known else 1.0, abs=0.01)


@pytest.mark.parametrize(("narrow", "chosen"), [(False, 0), (True, 1)])
def test_times_that_are_known_are_worth_little(monkeypatch: pytest.MonkeyPatch, narrow: bool, chosen: int) -> None:
    """What tells a bit of them is chosen before what tells a tenth of one of the kind, until they are narrow enough."""
    stimuli = [Stimulus(name, (Segment((11.0,)),)) for name in ("of times", "of the kind")]
    monkeypatch.setattr("touchstone.limiter.planner.candidates", lambda *_: iter(stimuli))
    monkeypatch.setattr("touchstone.limiter.planner._worth", lambda *_: (np.array([1.0, 0.1]), np.array([0.0, 0.1])))
    monkeypatch.setattr("touchstone.limiter.planner._cost", lambda *_: np.ones(2))
    belief = believed(ask("sliding-log:8/2.37", OPENING))
    choice = choose(belief, 10.3, 0.002, 0.001, np.random.default_rng(3), narrow=narrow)
    assert choice is not None
    assert choice.name == stimuli[chosen].name


@pytest.mark.parametrize(
    "name", ["fixed-window,opens=clock", "fixed-window,block=", "sliding-counter,opens=first", "token-bucket"]
)
def test_answers_weigh_the_same_all_at_once_and_one_by_one(name: str) -> None:
    """Runs of answers that are alike included, wherever the story is cut."""
    kind = BY_TEXT[name]
    answers = row("+++--+-+++--++-", step_s=0.3)
    story = moments(answers, 0.001)
    whole, parts = (grid(kind, range(3, 6), [(0.1, 10.0)] * len(kind.scales), 20, 0.1) for _ in range(2))
    whole.see(story)
    for end in range(1, len(story) + 1):
        parts.see(story[:end])
    assert np.allclose(whole.likely + whole.run, parts.likely + parts.run)
    assert np.allclose(whole.run, parts.run)
    assert np.array_equal(whole.vague, parts.vague)


def test_cell_that_is_too_wide_for_a_place_on_its_clock_is_not_ruled_out_by_its_middle() -> None:
    """Six in the middle's window of five: another place of the clock would have let them through."""
    kind = BY_TEXT["fixed-window,opens=clock"]
    story = moments(row("++++++", step_s=0.5), 0.001)
    narrow = Cells.point(kind, {"limit": 5.0, "window_s": 10.0, "phase": 0.1}, 1e-4)
    wide = Cells.point(kind, {"limit": 5.0, "window_s": 10.0, "phase": 0.1}, 0.5)
    wide.wide_phase = np.array([0.6])
    for cells in (narrow, wide):
        cells.see(story)
    assert (narrow.likely + narrow.run)[0, 0] < -9.0
    assert (wide.likely + wide.run)[0, 0] > -2.0
    # More than two windows hold are too many at any place.
    wide.see(moments(row("+" * 12, step_s=0.5), 0.001))
    assert (wide.likely + wide.run)[0, 0] < -9.0
