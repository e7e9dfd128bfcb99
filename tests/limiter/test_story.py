"""What all answers together say of the network, and which of them tell of the rate."""

import pytest

from tests.limiter.answers import at_once, row
from touchstone.limiter.story import Story


def test_moments_are_of_what_is_not_left_out() -> None:
    """What something else refused is not among the moments."""
    story = Story(row("+--+"), {1})
    assert [moment.accepted for moment in story.moments()] == [True, False, True]
    assert Story(row("+-"), {0, 1}).moments() == []
    assert Story().moments() == []


def test_moment_lies_between_request_and_answer() -> None:
    """The limiter decided after the request was sent and before the answer was there."""
    answers = [*row("+-"), *row("+", 1.0, took_s=0.009)]
    for answer, moment in zip(answers, Story(answers).moments(), strict=True):
        assert answer.sent_at < moment.at < answer.done_at
        assert moment.at - moment.blur_s < answer.sent_at + (answer.done_at - answer.sent_at) / 2 + 1e-9


@pytest.mark.parametrize("took_s", [0.02, 0.2, 3.0])
def test_late_answer_may_have_been_decided_at_any_time(took_s: float) -> None:
    """However late an answer is, the network may have held it back on the way there or on the way back."""
    *_, late = Story([*row("++"), *row("+", 1.0, took_s=took_s)]).moments()
    assert late.at - late.blur_s <= 1.0 + 0.003
    assert late.at + late.blur_s >= 1.0 + took_s - 0.003


def test_seconds_are_from_the_first_request_to_the_last_answer() -> None:
    """The answer that comes last ends it, whichever request was sent last."""
    assert Story().seconds == 0.0
    assert Story(at_once("++", 2.0, [0.5, 0.1])).seconds == 0.5


def test_pace_is_that_of_requests_that_wait_for_each_other() -> None:
    """What is sent at once has no pace; nothing is faster than the quickest answer."""
    serial = row("+++", step_s=0.005)
    assert Story(serial).pace_s() == pytest.approx(0.005)
    assert Story([*serial, *at_once("++++", 1.0)]).pace_s() == pytest.approx(0.005)
    assert Story(row("+", took_s=0.02)).pace_s() == pytest.approx(0.02)


def test_blur_grows_with_what_answers_take_beyond_the_quickest() -> None:
    """The middle of all counts."""
    steady = Story(row("+++"))
    loose = Story([*row("+"), *row("++", 1.0, took_s=0.011)])
    assert 0 < steady.blur_s() < 0.002
    assert loose.blur_s() - steady.blur_s() == pytest.approx(0.005)


def test_few_late_answers_blur_the_ends_of_a_window() -> None:
    """One of them may be all that tells when it ended, however quick most are; of very many, a single one is not."""
    few = Story([*row("+" * 8), *row("++", 1.0, took_s=0.011)])
    one = Story([*row("+" * 40), *row("+", 1.0, took_s=0.011)])
    assert few.blur_s(0.9) > 2 * few.blur_s()
    assert one.blur_s(0.9) == pytest.approx(one.blur_s())
