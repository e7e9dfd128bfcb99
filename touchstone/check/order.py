"""In which order the cases run, and which are left out once a proof is complete."""

from collections.abc import Callable

import pytest

from touchstone.check.early_stop import Quarry
from touchstone.check.plan import Cost

# What goes wrong anyway is to be seen before what is special, or it would be blamed on what is special.
GENERAL_CASES = "test_lifecycle.py"
LAST_CASES = "test_wrap_up.py"

# In requests: a build is waited for, and a request that is drawn is computed first.
BUILD_COSTS = 5
DRAWN_CASES, DRAWN_COSTS = "test_generated.py", 20


def general_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """The cases as files and lines order them, but for the general ones, which come first."""
    return sorted(items, key=lambda item: item.path.name != GENERAL_CASES)


def culprits_first(
    items: list[pytest.Item],
    quarry: Quarry | None,
    declared: Callable[[pytest.Item], tuple[str, ...]],
    cost: Callable[[pytest.Item], Cost],
) -> list[pytest.Item]:
    """The order of a proof: general cases, likely culprits, what judges most for its cost, a last look.

    A case is a likely culprit if it sets out to show what is expected to be broken. Once that is found, nothing is
    expected any more, and *quarry* is None.
    """

    def place(item: pytest.Item) -> tuple[int, float]:
        if item.path.name == GENERAL_CASES:
            return (0, 0)
        if item.path.name == LAST_CASES:
            return (3, 0)
        claims = declared(item)
        likely = quarry is not None and any(map(quarry.expects, claims))
        return (1 if likely else 2, _weight(item, cost(item)) / len(claims))

    return sorted(items, key=place)


def _weight(item: pytest.Item, spends: Cost) -> float:
    each = DRAWN_COSTS if item.path.name == DRAWN_CASES else 1
    return each * spends.requests + BUILD_COSTS * spends.builds


def may_be_left_out(item: pytest.Item) -> bool:
    """Whether a proof that is complete can do without the case."""
    return item.path.name not in (GENERAL_CASES, LAST_CASES)
