"""
How a limiter is filled once more.
"""

from itertools import pairwise

import pytest

from tests.limiter.made import row
from touchstone.limiter.buckets import TokenBucket
from touchstone.limiter.filling import Filling, fillings
from touchstone.limiter.kinds import Kind
from touchstone.limiter.logs import SlidingLog
from touchstone.limiter.observed import Moment
from touchstone.limiter.story import Story
from touchstone.limiter.tiers import Tiered
from touchstone.limiter.windows import SlidingCounter


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
    """
    A moment later, so that it is surely full, or before anybody else can come.
    """
    story = Story(row("+++-"))
    stimulus = Filling(kind, 3.0, 2.0, 50.0).once_more(story, 49.9)
    (fills,) = stimulus.segments
    assert fills.at[0] == pytest.approx(50.0 + after_s, abs=0.02)
    assert fills.until == "refused"
    assert len(fills.at) >= 5


def test_second_of_two_limiters_is_filled_by_a_steady_stream() -> None:
    """
    A burst would meet the first one only.
    """
    log = SlidingLog("sliding-log")
    pair = Tiered(log, {"limit": 4.0, "phase": 0.0, "wide_phase": 0.0, "window_s": 2.0}, log, 0.01)
    (stream,) = Filling(pair, 9.0, 20.0, 50.0).once_more(Story(row("+++-")), 49.9).segments
    assert stream.at[0] == pytest.approx(50.05)
    assert {round(b - a, 6) for a, b in pairwise(stream.at)} == {0.525}
    assert (len(stream.at), stream.until) == (20, "refused")


@pytest.mark.parametrize(("outcomes", "count"), [("+++-+++-", 2), ("++-+++-", 1), ("+++", 0)])
def test_filling_ends_with_a_refusal(outcomes: str, count: int) -> None:
    """
    What was let through and not refused after it is none.
    """
    moments = [Moment(float(number), 0.001, outcome == "+") for number, outcome in enumerate(outcomes)]
    assert fillings(moments, 3.0) == count
