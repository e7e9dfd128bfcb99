"""What answers tell of a cell that is wide: those in a row that are near one edge tell of it once."""

import numpy as np
import pytest

from touchstone.facts.observed import Moment
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import KINDS

PARAMS = {"limit": 2.0, "token_s": 0.3, "phase": 0.0}


def told(count: int, wide: float, wide_phase: float, at: float) -> float:
    """
    How unlikely so many refusals make a bucket that was emptied a tenth of a second after its tick, as a logarithm.
    """
    cells = Cells.point(next(kind for kind in KINDS if kind.text == "token-bucket,tick=1"), PARAMS, wide)
    cells.wide_phase = np.array([wide_phase])
    story = [Moment(0.1, 0.001, True)] * 2
    story += [Moment(at + 0.002 * number, 0.001, False) for number in range(count)]
    cells.see(story)
    return float((cells.likely + cells.run)[0, 0])


def test_refusals_in_a_row_near_a_tick_tell_of_it_once() -> None:
    """Where exactly it is only a smaller cell can say."""
    once = told(1, 1e-4, 0.1, 1.11)
    assert once < -0.1
    assert told(3, 1e-4, 0.1, 1.11) == pytest.approx(once, abs=0.1)


def test_refusals_that_may_be_near_several_ticks_tell_each_for_itself() -> None:
    """A cell so wide that everything is near some tick would be ruled out by nothing."""
    none, once, thrice = (told(count, 2.5, 1e-4, 0.99) for count in (0, 1, 3))
    assert once - none < -0.5
    assert thrice - none == pytest.approx(3 * (once - none), abs=0.1)
