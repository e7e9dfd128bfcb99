"""The requests of one worker: no more than its share of the budget, however many workers there are."""

import pytest

from touchstone.loadgen.budget import Budget, share_of


def test_budget_is_kept_and_its_end_is_told_once() -> None:
    """What another process sends counts as well; whoever asks when nothing is left is refused, however often."""
    told: list[str] = []
    budget = Budget(3, lambda: told.append("over"))
    budget.spend(2)
    assert (budget.take(), budget.is_over, told) == (True, False, [])
    assert (budget.take(), budget.take(), budget.is_over, told) == (False, False, True, ["over"])


def test_without_a_bound_there_is_always_room() -> None:
    """A worker whose run has no budget may send any number of requests."""
    budget = Budget(None, lambda: None)
    budget.spend(10**9)
    assert budget.take()


@pytest.mark.parametrize(("whole", "workers"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_shares_add_up_to_the_whole(whole: int, workers: int) -> None:
    """Nothing is lost and nothing is added where something is dealt, and no share is larger than another but by one."""
    shares = [share_of(whole, number, workers) or 0 for number in range(workers)]
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1
    assert share_of(None, 0, workers) is None
