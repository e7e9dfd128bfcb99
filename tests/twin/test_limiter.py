"""What a limiter is asked and told, whichever it is."""

import pytest

from touchstone.twin import RateLimit, decide, limiter_for
from touchstone.twin.limits import FixedWindow, Limiter, window_of


class Told(FixedWindow):
    """Remembers what it is told."""

    def __init__(self) -> None:
        super().__init__(1, 4.0)
        self.told: list[tuple[str, float]] = []

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        super().take(now_at)
        self.told.append(("take", now_at))

    def refuse(self, now_at: float) -> None:
        self.told.append(("refuse", now_at))


def test_decision_takes_or_refuses_once() -> None:
    """One call asks, and tells the limiter what has become of the start."""
    limiter = Told()
    assert [decide(limiter, at) for at in (1.0, 2.0, 5.0)] == [(True, 0.0), (False, 0.0), (True, 0.0)]
    assert limiter.told == [("take", 1.0), ("refuse", 2.0), ("take", 5.0)]


def test_limiter_that_does_not_care_lets_itself_be_told() -> None:
    """Refusals, delays and ends of builds mean nothing to most limiters."""
    limiter = Limiter()
    limiter.refuse(1.0)
    limiter.ended(1.0)
    assert (limiter.wait_s(1.0), limiter.delay_s(1.0)) == (0.0, 0.0)


@pytest.mark.parametrize("window_s", [0.1, 0.3, 1.0, 2.73, 60.0])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 29, 100, 600_000_007])
def test_window_begins_at_its_edge_and_ends_before_the_next(number: int, window_s: float) -> None:
    """The edges are the rounded products, and belong to the window that begins there."""
    edge_at = number * window_s
    assert window_of(edge_at, window_s) == number
    assert window_of((number + 0.5) * window_s, window_s) == number


def test_every_refused_start_is_told_to_both_tiers() -> None:
    """A log that counts refused starts counts those that the other tier refused, too."""
    limiter = limiter_for(RateLimit.parse("sliding-log:2/10,refused=count+minimum-gap:1"))
    assert [decide(limiter, at)[0] for at in (0.0, 0.5, 2.0, 10.4, 10.6)] == [True, False, False, False, False]
    assert limiter.wait_s(10.6) == pytest.approx(9.8)
