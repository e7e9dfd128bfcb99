"""The kinds of limiter that are known, and what each may be at the beginning."""

import math

import numpy as np
import pytest

from touchstone.limiter.account import Candidate
from touchstone.limiter.catalogue import ENTRIES, OPTIONS_OF, WINDOW_S, Entry, behind, beyond, cells_of
from touchstone.twin.limits import FAMILIES

BY_NAME = {entry.kind.name: entry for entry in ENTRIES}
# What is found in other ways: see caps.py and queues.py.
ELSEWHERE = {"none", "leaky-bucket", "concurrency", "builds"}


def limits(entry: Entry, accepted: int, *, wide: bool = False) -> set[int]:
    """What the limit of a kind may be."""
    cells = cells_of(entry, accepted, wide)
    return set() if cells is None else {int(limit) for limit in cells.limits}


def test_each_kind_is_there_once_and_is_told_by_its_options() -> None:
    """The two lists agree."""
    assert len(BY_NAME) == len(ENTRIES)
    assert set(BY_NAME) == set(OPTIONS_OF)
    told = {(entry.kind.family, *sorted(OPTIONS_OF[name].items())) for name, entry in BY_NAME.items()}
    assert len(told) == len(ENTRIES) - 1, "only a window that blocks is told by a number instead"


def test_each_family_of_the_twin_is_known() -> None:
    """What the twin can be, a probe can find."""
    assert {entry.kind.family for entry in ENTRIES} | ELSEWHERE == set(FAMILIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=list(BY_NAME))
def test_each_limit_weighs_its_part_of_the_kind_beforehand(entry: Entry) -> None:
    """As much as one over itself, into however many cells it is cut."""
    cells = cells_of(entry, 1 if entry.kind.family == "minimum-gap" else 6, True)
    assert cells is not None
    limits = np.unique(cells.limits)
    weights = [limit * np.exp(cells.prior[cells.limits == limit]).sum() for limit in limits]
    assert weights == pytest.approx([weights[0]] * len(weights))
    assert 0 < entry.prior < 0.5


def test_kinds_weigh_as_is_thought_beforehand() -> None:
    """Where the limit is the same."""
    for entry in ENTRIES:
        cells, other = cells_of(entry, 6, True), cells_of(ENTRIES[0], 6, True)
        assert cells is not None
        assert other is not None
        limit = cells.limits[0]
        one, first = (np.exp(c.prior[c.limits == max(limit, 5)]).sum() for c in (cells, other))
        if limit > 1:
            assert one / first == pytest.approx(entry.prior / ENTRIES[0].prior)


@pytest.mark.parametrize("accepted", [2, 3, 8, 100])
@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "minimum-gap"])
def test_limit_may_be_what_was_accepted(name: str, accepted: int) -> None:
    """And not more, unless the kind gives while it is asked, or began empty."""
    found = limits(BY_NAME[name], accepted)
    assert accepted in found
    if not name.endswith("empty"):
        assert max(found) == accepted
    assert min(found) >= 1


@pytest.mark.parametrize("accepted", [2, 8, 100])
@pytest.mark.parametrize("name", BY_NAME)
def test_limit_may_be_more_where_somebody_else_takes_a_part(name: str, accepted: int) -> None:
    """All that it may be otherwise is among it."""
    few, more = limits(BY_NAME[name], accepted), limits(BY_NAME[name], accepted, wide=True)
    assert few <= more
    if name != "minimum-gap":
        assert max(more) > accepted


@pytest.mark.parametrize("accepted", [3, 8, 100])
@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "minimum-gap"])
def test_first_request_may_be_forgotten_by_the_burst(name: str, accepted: int) -> None:
    """It comes half a second before, and a window may be shorter."""
    assert accepted - 1 in limits(BY_NAME[name], accepted)


@pytest.mark.parametrize(("accepted", "limit"), [(1, {1}), (2, {1}), (3, set()), (8, set())])
def test_gap_lets_one_through(accepted: int, limit: set[int]) -> None:
    """Where more were accepted at once it is none; the first request may be forgotten by the burst."""
    assert limits(BY_NAME["minimum-gap"], accepted) == limit


def test_one_at_a_time_is_a_gap() -> None:
    """With a limit of 1 a log, a window that a request opens and a full bucket are the same, and are not told apart."""
    found = {name for name, entry in BY_NAME.items() if 1 in limits(entry, 1)}
    assert found == {"minimum-gap", "fixed-window/clock"}


@pytest.mark.parametrize("entry", ENTRIES, ids=list(BY_NAME))
@pytest.mark.parametrize("true_s", [0.05, 1.0, 60.0, 3600.0])
def test_times_that_are_published_are_within_the_cells(entry: Entry, true_s: float) -> None:
    """From a fraction of a second to an hour, each lies in some cell."""
    cells = cells_of(entry, 1 if entry.kind.family == "minimum-gap" else 6, False)
    assert cells is not None
    for row in cells.logs:
        assert (np.abs(row - np.log(true_s)) <= cells.wide + 1e-9).any()


def test_what_is_behind_a_limiter_weighs_no_more_than_that_one_did() -> None:
    """By as much less as it was unlikely that the first one is just what it is; of each kind, limit and time alike."""
    log = next(entry.kind for entry in ENTRIES if entry.kind.name == "sliding-log")
    first = Candidate(log, {"limit": np.array([5.0]), "window_s": np.array([1.3]), "phase": np.zeros(1)})
    likely, unlikely = (behind(first, 0.01, 20, 10.0, luck) for luck in (0.0, -7.0))
    assert len(likely) == len(unlikely) == 3
    for one, other in zip(likely, unlikely, strict=True):
        assert np.allclose(one.prior - other.prior, 7.0)
        assert one.limits.min() == 6


def test_count_that_decays_forgets_some_of_a_burst_while_it_lasts() -> None:
    """Its limit may be less than what was accepted."""
    assert {60, 59, 50, 45} <= limits(BY_NAME["decaying-counter"], 60)


@pytest.mark.parametrize("name", ["sliding-log", "fixed-window", "sliding-counter/first-below"])
def test_limit_beyond_what_was_accepted_weighs_its_part_of_the_kind_beforehand(name: str) -> None:
    """As much as where somebody else is thought of from the beginning, in the times that are left of it."""
    entry = BY_NAME[name]
    cells, whole = beyond(entry.kind, 20, [(1.0, 2.0)]), cells_of(entry, 20, wide=True)
    assert cells is not None
    assert whole is not None
    assert set(cells.limits) == {limit for limit in whole.limits if limit > 20}
    part = math.log(2.0) / math.log(WINDOW_S[1] / WINDOW_S[0])
    one, all_of_it = (np.exp(each.prior[each.limits == 25]).sum() for each in (cells, whole))
    assert one == pytest.approx(part * all_of_it)


def test_nothing_is_beyond_what_was_thought_of() -> None:
    """A bucket that began empty may hold more than it ever gave; a gap lets one through."""
    assert beyond(BY_NAME["token-bucket/empty"].kind, 2, [(0.1, 0.2)]) is None
    assert beyond(BY_NAME["minimum-gap"].kind, 1, [(0.1, 0.2)]) is None


def test_limit_beyond_is_looked_for_closely() -> None:
    """All that was seen is weighed at once: a window that is off by more than this would not have given it."""
    kind = next(entry.kind for entry in ENTRIES if entry.kind.name == "fixed-window")
    cells = beyond(kind, 20, [(4.0, 6.0)])
    assert cells is not None
    assert cells.wide.max() < 0.001
    assert np.exp(cells.logs.min()) == pytest.approx(4.0, rel=0.001)
    assert np.exp(cells.logs.max()) == pytest.approx(6.0, rel=0.001)
