"""What answers tell of the cells of one kind of limiter."""

import numpy as np
import pytest

from tests.limiter.answers import KINDS, bursts, row
from touchstone.facts.probe import Moment, moments
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.story import Story

CLOCK = KINDS["fixed-window,opens=clock"]


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


def test_cell_too_wide_for_its_clock_is_not_ruled_out_by_its_middle() -> None:
    params = {"limit": 5.0, "window_s": 10.0, "phase": 0.1}
    narrow, wide = (Cells.point(CLOCK, params, share) for share in (1e-4, 0.5))
    wide.wide_phase = np.array([0.6])
    for cells in (narrow, wide):
        cells.update(moments(row("++++++", step_s=0.5), 0.001))
    assert (narrow.likely + narrow.run)[0, 0] < -9.0
    assert (wide.likely + wide.run)[0, 0] > -2.0
    # More than two windows hold are too many at any place.
    wide.update(moments(row("+" * 12, step_s=0.5), 0.001))
    assert (wide.likely + wide.run)[0, 0] < -9.0


def test_window_with_an_unknown_place_on_its_clock_refuses_no_idle_key() -> None:
    idle, busy = (grid(CLOCK, [4], [(0.05, 0.2)], 4, 0.1) for _ in range(2))
    story = bursts("++++", "", "", "", "", "", "", "-")
    idle.update(story[:-1])
    before = (idle.likely + idle.run)[0]
    idle.update(story)
    assert ((idle.likely + idle.run)[0] < before - 5).all()
    busy.update(bursts("+", "", "", "", "", "", "", "++++-"))
    assert (busy.likely + busy.run)[0].max() > -5


@pytest.mark.parametrize(
    ("limit", "hint_s", "misled"), [(4, 9.0, False), (4, 3.0, True), (5, 9.0, False), (5, 3.0, False), (5, 60.0, True)]
)
def test_hint_contradicts_others_only_where_it_is_longer_than_all_lasts(
    limit: int, hint_s: float, misled: bool
) -> None:
    cells = Cells.point(KINDS["sliding-log"], {"limit": float(limit), "window_s": 9.0}, 1e-4)
    (refused,) = Story(row("-", 0.5)).moments()
    cells.update([*Story(row("++++")).moments(), Moment(refused.at, refused.blur_s, False, hint_s)])
    assert cells.misled[0] > 0.5 if misled else cells.misled[0] < 0.01


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
