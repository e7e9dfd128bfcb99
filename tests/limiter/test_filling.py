"""How a limiter is filled once more."""

from itertools import pairwise

import pytest

from tests.limiter.answers import row
from touchstone.facts.observed import Moment
from touchstone.limiter.families import SlidingCounter, SlidingLog, TokenBucket
from touchstone.limiter.filling import Filling, fillings, met_once
from touchstone.limiter.kinds import Kind, Tiered
from touchstone.limiter.story import Story


@pytest.mark.parametrize(
    ("kind", "after_s"),
    [
        pytest.param(TokenBucket("token-bucket"), 0.05, id="bucket"),
        pytest.param(TokenBucket("token-bucket/tick", tick_s=1.0), 1.05, id="a-tick-later"),
        pytest.param(SlidingCounter("sliding-counter"), 2.05, id="when-all-is-forgotten"),
        pytest.param(SlidingLog("sliding-log"), 0.02, id="before-anybody-else-can-come"),
    ],
)
def test_limiter_that_was_refused_last_is_filled_when_it_is_full(kind: Kind, after_s: float) -> None:
    """A moment later, so that it is surely full, or before anybody else can come."""
    story = Story(row("+++-"))
    stimulus = Filling(kind, 3.0, 2.0, 50.0).once_more(story, 49.9)
    (fills,) = stimulus.segments
    assert fills.at[0] == pytest.approx(50.0 + after_s, abs=0.02)
    assert fills.until == "refused"
    assert len(fills.at) >= 5


def test_second_of_two_limiters_is_filled_by_a_steady_stream() -> None:
    """A burst would meet the first one only."""
    log = SlidingLog("sliding-log")
    pair = Tiered(log, {"limit": 4.0, "phase": 0.0, "wide_phase": 0.0, "window_s": 2.0}, log, 0.01)
    (stream,) = Filling(pair, 9.0, 20.0, 50.0).once_more(Story(row("+++-")), 49.9).segments
    assert stream.at[0] == pytest.approx(50.05)
    assert {round(b - a, 6) for a, b in pairwise(stream.at)} == {0.525}
    assert (len(stream.at), stream.until) == (20, "refused")


@pytest.mark.parametrize(("outcomes", "count"), [("+++-+++-", 2), ("++-+++-", 1), ("+++", 0)])
def test_filling_ends_with_a_refusal(outcomes: str, count: int) -> None:
    """What was let through and not refused after it is none."""
    moments = [Moment(float(number), 0.001, outcome == "+") for number, outcome in enumerate(outcomes)]
    assert fillings(moments, 3.0) == count


@pytest.mark.parametrize(
    ("kind", "room", "begins_at"),
    [
        pytest.param(SlidingLog("sliding-log"), 3, 9.0, id="roomy"),
        pytest.param(SlidingLog("sliding-log"), 2, 50.05, id="when-it-is-full"),
        pytest.param(SlidingCounter("sliding-counter"), 0, 11.05, id="two-windows-after-the-first-refusal"),
    ],
)
def test_what_is_let_through_besides_begins_where_it_counts(kind: Kind, room: int, begins_at: float) -> None:
    """With room for half of the limit at once; what forgets slowly has to forget, and needs no more than that."""
    story = Story(row("+++-", 1.0))
    refused_at = story.moments()[-1].at
    found = Filling(kind, 6.0, 5.0, 50.0).begins_at(story, 9.0, room)
    assert found == pytest.approx(begins_at + (refused_at - 1.0 if begins_at == 11.05 else 0.0))
    assert Filling(kind, 6.0, 5.0, 50.0).begins_at(story, 70.0, room) == pytest.approx(70.0, abs=0.06)


@pytest.mark.parametrize(
    ("family", "limit", "refused_at", "once"),
    [
        pytest.param("sliding-log", 20.0, (3.0,), True, id="one-filling"),
        pytest.param("sliding-log", 20.0, (3.0, 4.0), False, id="two-fillings"),
        pytest.param("sliding-counter", 20.0, (3.0, 6.9), True, id="remembered"),
        pytest.param("sliding-counter", 20.0, (3.0, 7.1), False, id="forgotten"),
        pytest.param("sliding-counter", 12.0, (3.0, 7.1), False, id="few"),
        pytest.param("sliding-counter", 12.0, (7.1,), True, id="few-and-once"),
    ],
)
def test_limit_is_met_again_by_another_filling(
    family: str, limit: float, refused_at: tuple[float, ...], once: bool
) -> None:
    """Of what forgets slowly by a refusal two windows after the first one, unless it lets only few through."""
    moments = []
    for at in refused_at:
        moments += [Moment(at - 0.5, 0.001, True)] * round(limit) + [Moment(at, 0.001, False)]
    assert met_once(family, limit, 2.0, moments) is once
