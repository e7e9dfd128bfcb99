"""
A stimulus, and as much of it as there is room for.
"""

import pytest

from tests.limiter.made import most_accepted
from touchstone.limiter.stimulus import Segment, Stimulus, drain, spread, volley

POLL = Segment((1.0, 2.0, 3.0, 4.0), "accepted")


@pytest.mark.parametrize(
    ("segments", "requests", "builds", "left"),
    [
        ((drain(0, 8),), 20, 20, [8]),
        ((drain(0, 8),), 5, 20, [5]),
        ((drain(0, 8),), 20, 3, [3]),
        ((volley(0, 8),), 20, 3, [3]),
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
    """
    Segments are cut from the end; one that ends with the first acceptance begins one build at most.
    """
    stimulus = Stimulus("a", segments, frees=1, bits=2.0, stage="builds").within(requests, builds)
    assert [len(segment.at) for segment in stimulus.segments] == left
    assert stimulus.most <= requests
    assert most_accepted(stimulus) <= builds
    assert (stimulus.name, stimulus.frees, stimulus.bits, stimulus.stage) == ("a", 1, 2.0, "builds")


def test_what_there_is_room_for_stays_as_it_is() -> None:
    """
    A stimulus that fits is the same one.
    """
    stimulus = Stimulus("a", (volley(1.0, 3, holds=True), POLL, Segment((5.0,), alone=True)))
    assert stimulus.within(8, 5) == stimulus


@pytest.mark.parametrize(("count", "at"), [(1, (3.0,)), (2, (2.0, 4.0)), (3, (2.0, 3.0, 4.0))])
def test_spread_is_even(count: int, at: tuple[float, ...]) -> None:
    """
    The first is at the beginning and the last at the end; one alone is in the middle.
    """
    assert spread(2.0, 4.0, count).at == at
