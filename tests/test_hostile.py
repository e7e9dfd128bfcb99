"""A run against a target that is broken in whatever way ends in time, tells the truth, and leaves its reports.

The whole table is `make thorough ARGS=hostile`; here is that it is whole, that it would notice, and a few of its cells.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command import PRIMARY, Shell
from tests.hostile import cells, document
from tests.hostile.catalogue import MISBEHAVIOURS
from tests.hostile.choices import GARBAGE
from tests.hostile.table import ROWS, Expected, Row
from tests.hostile.table import cells as all_cells
from touchstone.check.job import EMBEDDED_TWIN
from touchstone.twin import Twin

# Each meets another part of a run, and is over in a second or two.
QUICK = (
    ("gzip-bomb-first", "check"),
    ("garbage-in-errors", "check"),
    ("key-repeated-first", "record"),
    ("redirect-elsewhere", "load"),
    ("garbage-in-bodies", "record"),
)


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with Twin(EMBEDDED_TWIN) as twin:
        yield twin.url


def ended(row: Row, command: str, healthy: str, *, timed: bool) -> None:
    """Runs a cell, and makes sure that it ends as expected and does nothing that no run may do."""
    seen = cells.run(row.name, command, row.arguments(command), healthy)
    wrong = [text for text in seen.wrong if timed or not text.endswith(" s")]
    assert (row.cells[command].differs(seen.code, seen.last_line, seen.broken), wrong) == ("", []), seen.out + seen.err


@pytest.mark.parametrize(("name", "command"), QUICK)
def test_run_tells_the_truth_of_a_hostile_target(name: str, command: str, healthy: str) -> None:
    """Exit code, claims, reports and terminal are as they should be, whatever the target sends."""
    ended(next(row for row in ROWS if row.name == name), command, healthy, timed=False)


def test_load_whose_generator_was_late_is_put_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy for a moment says nothing of a server; one that is late twice is told."""
    late = cells.Seen("bare-lf", "load", 3, "exit 3: not judged: the generator sent getBuild 145 ms late", "", 1.0, 1)
    fine = cells.Seen("bare-lf", "load", 0, "exit 0: no must claim broken", "", 1.0, 1)
    for came, counts in (([fine], fine), ([late, fine], fine), ([late, late], late)):
        ends = iter(came)
        monkeypatch.setattr(cells, "_run", lambda *_, ends=ends: next(ends))
        assert cells.run("bare-lf", "load") is counts
        assert next(ends, None) is None


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("row", "command"), [pytest.param(row, command, id=f"{row.name}-{command}") for row, command in all_cells()]
)
def test_cell(row: Row, command: str, healthy: str) -> None:
    """Each cell of the table ends as it says, within its seconds and its memory."""
    ended(row, command, healthy, timed=True)


def test_table_has_every_misbehaviour_and_command() -> None:
    """There are forty misbehaviours at least, each has one row, and each row has the three commands."""
    names = [row.name for row in ROWS]
    assert len(names) >= 40
    assert sorted(names) == sorted(MISBEHAVIOURS)
    assert [
        row.name for row in ROWS if not {"check", "record", "load"} <= row.cells.keys() <= cells.COMMANDS.keys()
    ] == []


def test_document_says_what_the_table_says() -> None:
    """The list of servers and bounds in docs/ is the one that runs are held to."""
    text = document.DOCUMENT.read_text("utf-8")
    assert document.renewed(text) == text
    assert all(f"`{name}`" in text for name in (*MISBEHAVIOURS, "max_json_depth", "request_timeout_s"))


@pytest.mark.parametrize(
    ("expected", "code", "line", "broken", "different"),
    [
        (Expected(0), 0, "exit 0: fine", (), ""),
        (Expected(0), 3, "exit 3: no", (), "exit 3, expected 0"),
        (Expected(1, ("a.b",)), 1, "exit 1: one", ("a.b", "c.d"), ""),
        (Expected(1, ("a.b",)), 1, "exit 1: a.b", ("a.bc",), "expected a.b; found a.bc"),
        (Expected(3, ("refused",)), 3, "exit 3: connection refused", (), ""),
        (Expected(3, ("refused",)), 3, "exit 3: reset", (), "expected refused; found exit 3: reset"),
    ],
)
def test_cell_that_ends_otherwise_is_noticed(
    expected: Expected, code: int, line: str, broken: tuple[str, ...], different: str
) -> None:
    """A cell is as expected by its exit code, and by what it finds broken or says."""
    assert expected.differs(code, line, broken) == different


@pytest.mark.parametrize(
    ("code", "out", "err", "wrong"),
    [
        (0, "fine\nexit 0: fine\n", "", []),
        (0, "exit 1: fine\n", "", ["its last line is 'exit 1: fine', and it ended with 0"]),
        (0, "", "", ["its last line is '', and it ended with 0"]),
        (-9, "exit 0: fine\n", "", ["ended with -9", "its last line is 'exit 0: fine', and it ended with -9"]),
        (1, "exit 1: no\n", "Traceback (most", ["showed a traceback"]),
        (1, "\x1b[31m\nexit 1: no\n", "", ["sent '\\x1b' to the terminal"]),
        (1, "\u202e\nexit 1: no\n", "", ["sent '\\u202e' to the terminal"]),
        (1, "exit 1: no\n", "\x9b", ["sent '\\x9b' to the terminal"]),
    ],
)
def test_what_no_run_may_show_is_noticed(code: int, out: str, err: str, wrong: list[str]) -> None:
    """A signal, a traceback, a character that commands a terminal and a last line that lies are seen."""
    assert list(cells._told_badly(code, out, err)) == wrong


def test_key_that_gets_out_is_noticed(tmp_path: Any) -> None:
    """A key in a file, on the terminal or at another host is seen."""
    shell = Shell(tmp_path)
    quiet: Any = SimpleNamespace(elsewhere=SimpleNamespace(heard=[]))
    assert list(cells._leaked(shell, "nothing", quiet)) == []
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "a").write_text(f"Bearer {PRIMARY}")
    told: Any = SimpleNamespace(elsewhere=SimpleNamespace(heard=[f"GET / {PRIMARY}".encode()]))
    assert list(cells._leaked(shell, PRIMARY, told)) == [
        "wrote a key into reports/a",
        "showed a key",
        "sent a key to another host",
        "asked another host",
    ]


def test_markup_that_gets_into_a_page_is_noticed() -> None:
    """Markup and control characters of a target are seen where a page has them as they came."""
    assert list(cells._shown_raw("<p>&lt;script&gt;alert(&quot;touchstone&quot;)&lt;/script&gt; \\x1b</p>\n")) == []
    assert len(list(cells._shown_raw(f"<p>{GARBAGE}</p>"))) == 2
