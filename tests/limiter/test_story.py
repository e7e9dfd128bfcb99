"""What all answers say of the network and of the limiter, and what a stimulus consists of."""

from dataclasses import replace

import pytest

from tests.limiter.answers import at_once, most_accepted, row
from touchstone.facts.probe import Answer, Segment, Stimulus, drain, stream, volley, waits
from touchstone.limiter.story import Story

POLL = Segment((1.0, 2.0, 3.0, 4.0), "accepted")


def test_moments_are_of_what_is_not_left_out() -> None:
    assert [moment.accepted for moment in Story(row("+--+"), {1}).moments()] == [True, False, True]
    assert Story(row("+-"), {0, 1}).moments() == Story().moments() == []


def test_moment_lies_between_request_and_answer() -> None:
    answers = [*row("+-"), *row("+", 1.0, took_s=0.009)]
    for answer, moment in zip(answers, Story(answers).moments(), strict=True):
        assert answer.sent_at < moment.at < answer.done_at
        assert moment.at - moment.blur_s < answer.sent_at + (answer.done_at - answer.sent_at) / 2 + 1e-9


@pytest.mark.parametrize("took_s", [0.02, 0.2, 3.0])
def test_late_answer_may_have_been_decided_at_any_time(took_s: float) -> None:
    *_, late = Story([*row("++"), *row("+", 1.0, took_s=took_s)]).moments()
    assert late.at - late.blur_s <= 1.0 + 0.003
    assert late.at + late.blur_s >= 1.0 + took_s - 0.003


def test_seconds_end_with_the_answer_that_comes_last() -> None:
    assert Story().seconds == 0.0
    assert Story(at_once("++", 2.0, [0.5, 0.1])).seconds == 0.5


def test_pace_is_that_of_requests_that_wait_for_each_other() -> None:
    serial = row("+++", step_s=0.005)
    assert Story(serial).pace_s() == pytest.approx(0.005)
    assert Story([*serial, *at_once("++++", 1.0)]).pace_s() == pytest.approx(0.005)
    assert Story(row("+", took_s=0.02)).pace_s() == pytest.approx(0.02)
    assert Story([*serial, *row("++", 1.0, step_s=0.05)], alone_from=3).pace_s() == pytest.approx(0.05)


def test_blur_grows_with_what_answers_take_beyond_the_quickest() -> None:
    steady = Story(row("+++"))
    assert 0 < steady.blur_s() < 0.002
    assert Story([*row("+"), *row("++", 1.0, took_s=0.011)]).blur_s() - steady.blur_s() == pytest.approx(0.005)
    few = Story([*row("+" * 8), *row("++", 1.0, took_s=0.011)])
    one = Story([*row("+" * 40), *row("+", 1.0, took_s=0.011)])
    assert few.blur_s(0.9) > 2 * few.blur_s()
    assert one.blur_s(0.9) == pytest.approx(one.blur_s())


@pytest.mark.parametrize(("limits", "expected"), [((3.0, 3.0), 3.0), ((3.0, 4.0), None), ((), None)])
def test_field_counts_only_where_all_answers_agree(limits: tuple[float, ...], expected: float | None) -> None:
    answers = [Answer(0.0, 0.1, True, quota={"limit": limit}) for limit in limits]
    assert Story([*answers, *row("+")]).reported("limit") == expected


@pytest.mark.parametrize(
    ("segments", "requests", "builds", "left"),
    [
        ((drain(0, 8),), 20, 20, [8]),
        ((drain(0, 8),), 5, 20, [5]),
        ((drain(0, 8),), 20, 3, [3]),
        ((volley(0, 8),), 20, 3, [3]),
        ((stream(0, 8, 0.1),), 20, 3, [3]),
        ((POLL,), 20, 1, [4]),
        ((POLL, drain(4, 8)), 20, 3, [4, 2]),
        ((drain(0, 8), POLL), 10, 9, [8, 2]),
        ((Segment((1.0,) * 3, together=True, holds=True), POLL, Segment((5.0,), alone=True)), 8, 5, [3, 4, 1]),
    ],
)
def test_stimulus_is_cut_to_the_budget(
    segments: tuple[Segment, ...], requests: int, builds: int, left: list[int]
) -> None:
    whole = Stimulus("a", segments, frees=1, bits=2.0, stage="builds")
    cut = whole.within(requests, builds)
    assert [len(segment.at) for segment in cut.segments] == left
    assert cut.most <= requests
    assert most_accepted(cut) <= builds
    assert replace(cut, segments=segments) == whole


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        ([0.001, 0.001, *[0.1] * 4], True),
        ([0.001, 0.001, *[0.1] * 3], False),
        ([0.001, 0.1, 0.101, 0.099, 0.105], True),
        ([0.001, 0.001, *[0.022] * 9], False),
        ([0.001, 0.001, *[0.022] * 10], True),
        ([0.001, 0.001, *[0.022, 0.027] * 5], False),
        ([0.001, *[0.006] * 20], False),
        ([0.1] * 20, False),
        ([0.001, *[0.1] * 9, 0.001], False),
    ],
)
def test_answers_wait_for_others_where_all_take_as_long(took_s: list[float], expected: bool) -> None:
    assert waits(took_s) == expected


def test_segment_ends_with_its_answer_or_once_answers_wait() -> None:
    slow, plain = [0.1] * 4, drain(0.0, 9)
    assert plain.ends_with(accepted=False, took_s=[])
    assert not plain.ends_with(accepted=True, took_s=slow)
    assert POLL.ends_with(accepted=True, took_s=[])
    assert not POLL.ends_with(accepted=False, took_s=[])
    queued = replace(plain, quick_s=0.001)
    assert queued.ends_with(accepted=True, took_s=slow)
    assert not queued.ends_with(accepted=True, took_s=slow[1:])
