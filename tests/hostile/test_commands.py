"""Runs against broken targets end in time, with correct reports; all servers: `tests.hostile`."""

import pytest

from tests.hostile import cells
from tests.hostile.table import ROWS

# Each covers another part of a run, in a second or two.
QUICK = (("garbage-in-errors", "check"), ("key-repeated-first", "record"), ("redirect-elsewhere", "load"))


@pytest.mark.parametrize(("name", "command"), QUICK)
def test_command_ends_as_expected_against_a_hostile_server(name: str, command: str) -> None:
    (row,) = [row for row in ROWS if row.name == name]
    ended = cells.run(name, command, row.arguments(command))
    wrong = [text for text in ended.wrong if not text.startswith("took ")]
    assert row.cells[command].differs(ended.code, ended.last_line, ended.broken) == "", ended.out + ended.err
    assert wrong == [], ended.out + ended.err
