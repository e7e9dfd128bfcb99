"""A stimulus, and as much of it as there is room for."""

from dataclasses import replace

import pytest

from tests.limiter.answers import most_accepted
from touchstone.facts.stimulus import Segment, Stimulus, drain, spread, stream, volley, waits

POLL = Segment((1.0, 2.0, 3.0, 4.0), "accepted")


@pytest.mark.parametrize(
    ("segments", "requests", "builds", "left"),
    [
        ((drain(0, 8),), 20, 20, [8]),
        ((drain(0, 8),), 5, 20, [5]),
        ((drain(0, 8),), 20, 3, [3]),
        ((volley(0, 8),), 20, 3, [3]),
        ((stream(0, 8, 0.1),), 20, 3, [3]),
        ((POLL,), 20, 1, [4]),
        ((POLL,), 3, 1, [3]),
        ((POLL, drain(4, 8)), 20, 3, [4, 2]),
        ((drain(0, 8), POLL), 20, 8, [8]),
        ((drain(0, 8), POLL), 10, 9, [8, 2]),
    ],
)
def test_no_more_is_sent_or_accepted_than_there_is_room_for(
    segments: tuple[Segment, ...], requests: int, builds: int, left: list[int]
) -> None:
    """Segments are cut from the end; one that ends with the first acceptance begins one build at most."""
    stimulus = Stimulus("a", segments, frees=1, bits=2.0, stage="builds").within(requests, builds)
    assert [len(segment.at) for segment in stimulus.segments] == left
    assert stimulus.most <= requests
    assert most_accepted(stimulus) <= builds
    assert (stimulus.name, stimulus.frees, stimulus.bits, stimulus.stage) == ("a", 1, 2.0, "builds")


def test_what_there_is_room_for_stays_as_it_is() -> None:
    """A stimulus that fits is the same one."""
    stimulus = Stimulus("a", (volley(1.0, 3, holds=True), POLL, Segment((5.0,), alone=True)))
    assert stimulus.within(8, 5) == stimulus


@pytest.mark.parametrize(("count", "at"), [(1, (3.0,)), (2, (2.0, 4.0)), (3, (2.0, 3.0, 4.0))])
def test_spread_is_even(count: int, at: tuple[float, ...]) -> None:
    """The first is at the beginning and the last at the end; one alone is in the middle."""
    assert spread(2.0, 4.0, count).at == at


def test_stream_waits_for_no_answer_and_ends_with_a_refusal() -> None:
    """One in each gap."""
    segment = stream(2.0, 3, 0.5)
    assert (segment.at, segment.together, segment.until) == ((2.0, 2.5, 3.0), True, "refused")


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        ([0.001, 0.001, *[0.1] * 4], True),
        ([0.001, 0.001, *[0.1] * 3], False),
        ([0.001, 0.1, 0.101, 0.099, 0.105], True),
        ([0.001, 0.1, 0.13, 0.1, 0.12], False),
        ([0.001, 0.001, *[0.022] * 9], False),
        ([0.001, 0.001, *[0.022] * 10], True),
        ([0.001, 0.001, *[0.022, 0.026] * 5], True),
        ([0.001, 0.001, *[0.022, 0.027] * 5], False),
        ([0.001, *[0.006] * 20], False),
        ([0.1] * 20, False),
        ([0.1, *[0.13] * 20], False),
        ([0.001, *[0.1] * 9, 0.001], False),
        ([0.001, *[0.1] * 3, 0.001, *[0.1] * 3], False),
        ([0.05, *[0.22] * 4], False),
        ([0.05, *[0.26] * 4], True),
    ],
)
def test_answers_wait_for_others_where_all_take_as_long(took_s: list[float], expected: bool) -> None:
    """Longer than the quickest one: a few by much, or many by less. A server or a network is not that steady."""
    assert waits(took_s) == expected


def test_segment_ends_with_what_it_is_sent_until() -> None:
    """Or once answers wait for others, where it says what an answer takes that does not."""
    slow, plain = [0.1] * 4, drain(0.0, 9)
    assert plain.ends_with(accepted=False, took_s=[])
    assert not plain.ends_with(accepted=True, took_s=slow)
    assert POLL.ends_with(accepted=True, took_s=[])
    assert not POLL.ends_with(accepted=False, took_s=[])
    queued = replace(plain, quick_s=0.001)
    assert queued.ends_with(accepted=True, took_s=slow)
    assert not queued.ends_with(accepted=True, took_s=slow[1:])
