"""The scale of a time line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.report.timeline import Scale, Stretch


def test_scale_without_long_pauses_is_even() -> None:
    """Where something happens all along, a share of the line is a share of the time."""
    scale = Scale([(10.0, 11.0), (11.5, 12.0), (13.0, 14.0)])

    assert [scale.share(at) for at in (10.0, 11.0, 12.0, 14.0)] == [0.0, 0.25, 0.5, 1.0]
    assert scale.pauses == ()


def test_long_pause_is_drawn_short() -> None:
    """A pause longer than all the rest gives its room to what happened, and its length is kept."""
    scale = Scale([(0.0, 1.0), (99.0, 100.0)])

    assert scale.pauses == (Stretch("pause", pytest.approx(0.48), 0.04, "nothing was asked for 98 s"),)
    assert scale.share(1.0) == pytest.approx(0.48)
    assert scale.share(99.0) == pytest.approx(0.52)


def test_time_within_something_long_is_no_pause() -> None:
    """A stream that is open for minutes is something that happens."""
    assert Scale([(0.0, 100.0), (1.0, 2.0), (99.0, 99.5)]).pauses == ()


def test_single_moment_has_a_scale() -> None:
    """A version that was asked about once, in no time at all, still has a line."""
    assert Scale([(5.0, 5.0)]).share(5.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e3)), min_size=1, max_size=12))
def test_scale_keeps_the_order_of_time(moments: list[tuple[float, float]]) -> None:
    """Whatever happened when, later is never drawn before earlier, and nothing leaves the line."""
    busy = sorted((begin, begin + length) for begin, length in moments)
    scale = Scale(busy)
    points = sorted(at for pair in busy for at in pair)
    shares = [scale.share(at) for at in points]

    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] <= 1.0 + 1e-9
