"""Following a document finds what it says wrongly."""

from pathlib import Path

import pytest

from tests.followed import Reader, agrees

DOCUMENT = """
<!-- file: notes/a.txt -->
```text
one
```
<!-- add to: notes/a.txt -->
```text
two
```
```console
$ cat notes/a.txt
one
two
$ mkdir there && cd there && export NAME=a-b
$ echo $NAME
a-b
$ basename "$PWD"
there
$ false
$ echo $?
1
```
"""


def test_true_document_has_nothing_wrong(tmp_path: Path) -> None:
    """Files are written, folders and variables last from command to command, and the exit code is the last one."""
    with Reader(tmp_path) as reader:
        assert reader.follow(DOCUMENT) == []
    assert (tmp_path / "notes" / "a.txt").read_text() == "one\ntwo\n"


def test_output_that_is_shown_wrongly_is_found(tmp_path: Path) -> None:
    """Each command that prints something else is told, with both."""
    with Reader(tmp_path) as reader:
        (wrong,) = reader.follow(DOCUMENT.replace("a-b\n$ base", "a-c\n$ base"))
    assert "--- shown\na-c\n--- printed (exit 0)\na-b" in wrong


@pytest.mark.parametrize(
    ("shown", "printed", "numbers", "is_true"),
    [
        ("a\n…\nd", "a\nb\nc\nd", True, True),
        ("a\n…", "a", True, True),
        ("a\n…\nd", "a\nb\nc", True, False),
        ("…\nb", "a\nb", True, True),
        ("3 ms", "4 ms", True, False),
        ("3.1 ms, 5 %", "4 ms, 1.5 %", False, True),
        ("3 kept", "4 lost", False, False),
        ("29 exchanges with x in 2.3 s", "31 exchanges with x in 12.0 s", True, True),
        ("1 claim: 1 upheld", "1 claim: 1 broken", True, False),
        ("", "said something", True, False),
        ("reports/261128-163728-e4295b/a", "reports/261129-100000-ffffff/a", True, True),
    ],
)
def test_output_agrees_but_for_what_differs_each_time(shown: str, printed: str, numbers: bool, is_true: bool) -> None:
    """
    Times, names of runs and counts of exchanges may differ; nothing else may, unless a line of three dots allows it.
    """
    assert agrees(shown, printed, numbers=numbers) is is_true
