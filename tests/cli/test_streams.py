"""Broken standard streams: a command still does its work and ends with its exit code, without a traceback."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command import LIMIT_S, Shell
from tests.watched import WAITING

PLAIN: Mapping[str, str] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def scripted(shell: Shell, script: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    """Runs a line of shell script; TOUCHSTONE stands for the command."""
    return subprocess.run(
        ["bash", "-c", script.replace("TOUCHSTONE", f"{sys.executable} -m touchstone")],
        cwd=shell.folder,
        env=shell.environment() | variables,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("TOUCHSTONE explain cancel.nothing > /dev/full 2> /dev/full", 2, ""),
        ("TOUCHSTONE claims | head -n 2; exit ${PIPESTATUS[0]}", 0, ""),
        ("TOUCHSTONE claims > /dev/full", 3, "exit 3: "),
    ],
    ids=["full disk", "reader stops", "lost output"],
)
def test_failing_stream_gives_no_traceback(tmp_path: Path, script: str, code: int, reason: str) -> None:
    ended = scripted(Shell(tmp_path), script)
    assert ended.returncode == code
    assert ended.stderr.decode().startswith(reason)
    assert len(ended.stderr.splitlines()) == bool(reason)


@pytest.mark.whole
def test_run_without_streams_in_a_plain_locale_ends(tmp_path: Path) -> None:
    """Files of the run do not get the descriptors of the closed streams, and are in UTF-8."""
    flags = f"--profile quick --claims {WAITING} --report-dir 'bericht-größe☃'"
    ended = scripted(Shell(tmp_path), f"TOUCHSTONE check {flags} <&- >&- 2>&-", **PLAIN)
    (folder,) = tmp_path.glob("bericht-*")
    assert (ended.returncode, folder.name) == (0, "bericht-größe☃")
    assert {"runlog.jsonl", "report.json", "report.html", "junit.xml"} <= {path.name for path in folder.iterdir()}
    assert all(path.read_text("utf-8") for path in folder.iterdir())


def test_ascii_locale_gets_ascii(tmp_path: Path) -> None:
    ended = scripted(Shell(tmp_path), "TOUCHSTONE explain cancel.nöthing", PYTHONIOENCODING="ascii")
    assert (ended.returncode, b"Traceback" in ended.stderr, ended.stderr.isascii()) == (2, False, True)


def test_non_blocking_pipe_gets_everything(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [sys.executable, "-m", "touchstone", "prove", "--list"]
    with subprocess.Popen(command, cwd=tmp_path, env=Shell(tmp_path).environment(), stdout=writer) as child:
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            printed = file.read()
    assert (child.returncode, len(printed) > 65_536) == (0, True)
