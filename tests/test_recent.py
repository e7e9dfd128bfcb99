"""A table of bounded size keeps what is asked for and forgets the rest."""

import pytest

from touchstone.loadgen.recent import Recent


def test_value_is_kept() -> None:
    """What was put in is there, what was not is None, and a later value takes the place of an earlier one."""
    table: Recent[str, int] = Recent(10)
    table.put("a", 1)
    table.put("a", 2)
    assert (table.get("a"), table.get("b"), len(table)) == (2, None, 1)


@pytest.mark.parametrize("most", [2, 3, 10, 11])
def test_table_never_holds_more_than_it_may(most: int) -> None:
    """However many values come, no more than so many are kept, and the last one is among them."""
    table: Recent[int, int] = Recent(most)
    for number in range(5 * most):
        table.put(number, number)
        assert len(table) <= most
    assert table.get(5 * most - 1) == 5 * most - 1
    assert table.get(0) is None


def test_value_that_is_asked_for_stays() -> None:
    """What is asked for now and then outlives any number of values that are not."""
    table: Recent[int, str] = Recent(10)
    table.put(-1, "asked for")
    table.put(-2, "not asked for")
    for number in range(100):
        table.put(number, "new")
        if number % 3 == 0:
            assert table.get(-1) == "asked for"
    assert table.get(-2) is None
