"""Whatever becomes of the standard streams, a command does its work, ends with its own code, and shows no traceback."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command import LIMIT_S, Shell
from tests.watched import WAITING

NOT_UTF8: Mapping[str, Mapping[str, str]] = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
}


def shown(shell: Shell, script: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    """What a line of shell script shows, in which TOUCHSTONE stands for the command."""
    script = script.replace("TOUCHSTONE", f"{sys.executable} -m touchstone")
    return subprocess.run(
        ["bash", "-c", script],
        cwd=shell.folder,
        env=shell.environment() | variables,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("TOUCHSTONE explain cancel.nothing > /dev/full 2> /dev/full", 2),
        ("TOUCHSTONE claims <&- >&- 2>&-", 0),
        ("TOUCHSTONE claims | true; exit ${PIPESTATUS[0]}", 0),
        ("TOUCHSTONE explain cancel.nothing 2> /dev/full", 2),
    ],
)
def test_stream_that_nobody_reads_changes_nothing(tmp_path: Path, script: str, code: int) -> None:
    """Closed streams and readers that leave early are no failure."""
    ended = shown(Shell(tmp_path), script)
    assert (ended.returncode, ended.stderr) == (code, b"")


def test_output_that_is_lost_is_no_success(tmp_path: Path) -> None:
    """Where the output goes to a full disk the command says so, and does not end with 0."""
    ended = shown(Shell(tmp_path), "TOUCHSTONE claims > /dev/full")
    told = "exit 3: standard output cannot be written: No space left on device; make room where it goes\n"
    assert (ended.returncode, ended.stderr.decode()) == (3, told)


def test_run_without_any_stream_comes_to_its_end(tmp_path: Path) -> None:
    """Files of the run do not take the places of the closed streams, and its folder may have any name.

    In a locale that knows plain letters only its files are UTF-8 all the same.
    """
    flags = f"--profile quick --claims {WAITING} --report-dir 'bericht-größe☃'"
    ended = shown(Shell(tmp_path), f"TOUCHSTONE check {flags} <&- >&- 2>&-", **NOT_UTF8["C"])
    (folder,) = tmp_path.glob("bericht-*")
    assert (ended.returncode, folder.name) == (0, "bericht-größe☃")
    assert {"runlog.jsonl", "report.json", "report.html", "junit.xml"} <= {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        assert path.read_text("utf-8")


@pytest.mark.parametrize(
    ("locale", "arguments", "code"),
    [
        ("C", "claims --excluded", 0),
        ("POSIX", "explain cancel.nöthing", 2),
        ("latin-1", "load steady --plan", 0),
        ("ascii", "explain cancel.nöthing", 2),
    ],
)
def test_locale_without_our_characters_gets_others(tmp_path: Path, locale: str, arguments: str, code: int) -> None:
    """Nothing ends with an error of encoding, whether our characters or the user's are meant."""
    ended = shown(Shell(tmp_path), f"TOUCHSTONE {arguments}", **NOT_UTF8[locale])
    assert (ended.returncode, b"Traceback" in ended.stderr) == (code, False)
    assert locale == "POSIX" or (ended.stdout + ended.stderr).isascii()


def test_reader_that_leaves_early_meets_no_traceback(tmp_path: Path) -> None:
    """`head` takes what it wants, and the command ends as it would have."""
    ended = shown(Shell(tmp_path), "TOUCHSTONE claims | head -n 2; exit ${PIPESTATUS[0]}")
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_pipe_that_does_not_block_gets_everything(tmp_path: Path) -> None:
    """Whoever shares a pipe may have set it so."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [sys.executable, "-m", "touchstone", "prove", "--list"]
    environment = Shell(tmp_path).environment()
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=writer) as child:
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            printed = file.read()
    assert (child.returncode, len(printed) > 65_536) == (0, True)
