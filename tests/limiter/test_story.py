"""What all answers say of the network and of the limiter, and what a stimulus consists of."""

from dataclasses import replace

import pytest

from tests.limiter.answers import most_accepted, row
from touchstone.facts.probe import Answer, Segment, Stimulus, drain, stream, volley, waits
from touchstone.limiter.rate_inference import Story

POLL = Segment((1.0, 2.0, 3.0, 4.0), "accepted")


@pytest.mark.parametrize(("limits", "expected"), [((3.0, 3.0), 3.0), ((3.0, 4.0), None), ((), None)])
def test_field_counts_only_where_all_answers_agree(limits: tuple[float, ...], expected: float | None) -> None:
    answers = [Answer(0.0, 0.1, True, quota={"limit": limit}) for limit in limits]
    assert Story([*answers, *row("+")]).quote() == (expected, None)


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
        ((Segment((1.0,) * 3, together=True, holds=True), POLL, Segment((5.0,), beside=0)), 8, 5, [3, 4, 1]),
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
