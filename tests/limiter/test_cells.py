"""What answers tell of the cells of one kind of limiter."""

import numpy as np
import pytest

from tests.limiter.answers import KINDS, row
from touchstone.facts.probe import Moment, moments
from touchstone.limiter.cells import Cells, grid


def likely_after_refusals(count: int, wide: float, wide_phase: float, at: float) -> float:
    """How likely so many refusals are for a bucket that was emptied just after its tick, as a logarithm."""
    params = {"limit": 2.0, "token_s": 0.3, "phase": 0.0}
    cells = Cells.point(KINDS["token-bucket,tick=1"], params, wide)
    cells.wide_phase = np.array([wide_phase])
    story = [Moment(0.1, 0.001, True)] * 2
    cells.update(story + [Moment(at + 0.002 * number, 0.001, False) for number in range(count)])
    return float((cells.likely + cells.run)[0, 0])


def test_refusals_in_a_row_near_one_tick_count_once() -> None:
    once = likely_after_refusals(1, 1e-4, 0.1, 1.11)
    assert once < -0.1
    assert likely_after_refusals(3, 1e-4, 0.1, 1.11) == pytest.approx(once, abs=0.1)


def test_refusals_that_may_be_near_several_ticks_count_each() -> None:
    none, once, thrice = (likely_after_refusals(count, 2.5, 1e-4, 0.99) for count in (0, 1, 3))
    assert once - none < -0.5
    assert thrice - none == pytest.approx(3 * (once - none), abs=0.1)


@pytest.mark.parametrize(
    "name", ["fixed-window,opens=clock", "fixed-window,block=", "sliding-counter,opens=first", "token-bucket"]
)
def test_answers_weigh_the_same_at_once_and_one_by_one(name: str) -> None:
    kind = KINDS[name]
    story = moments(row("+++--+-+++--++-", step_s=0.3), 0.001)
    whole, parts = (grid(kind, range(3, 6), [(0.1, 10.0)] * len(kind.scales), 20, 0.1) for _ in range(2))
    whole.update(story)
    for end in range(1, len(story) + 1):
        parts.update(story[:end])
    assert np.allclose(whole.likely + whole.run, parts.likely + parts.run)
    assert np.allclose(whole.run, parts.run)
    assert np.array_equal(whole.vague, parts.vague)


def test_cells_begin_with_the_first_accepted_request() -> None:
    params = {"limit": 3.0, "window_s": 2.0}
    story = [Moment(7.0 + number / 10, 0.001, outcome == "+") for number, outcome in enumerate("---+++-")]
    whole, later, bit_by_bit = (Cells.point(KINDS["sliding-log"], params, 0.001) for _ in range(3))
    whole.update(story)
    later.update(story[3:])
    for count in (2, 3, 5, 7):
        bit_by_bit.update(story[:count])
        assert (bit_by_bit.likely == 0.0).all() or count > 3
    assert whole.known.began_at == 7.3
    assert whole.masses() == pytest.approx(later.masses())
    assert whole.masses() == pytest.approx(bit_by_bit.masses())
