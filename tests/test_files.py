"""Whatever file is named, a command ends: a pipe is not waited for, and a device that has no end is not read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Shell, called
from touchstone.contract.files import UnfitFileError, read_regular

# Nobody writes to the pipe: a command that opened it would wait until the test ends.
NAMED = {
    "check --config FILE --plan": "FILE",
    "check --baseline FILE --plan": "FILE",
    "check --report-dir reports --last-failed --plan": "reports/runlog.jsonl",
    "load steady --thresholds FILE --plan": "FILE",
    "load steady --arrivals trace:FILE --plan": "FILE",
    "report FILE": "FILE",
    "report runs": "runs/runlog.jsonl",
    "compare FILE FILE": "FILE",
    "probe --resume FILE": "FILE",
    "replay FILE": "FILE",
    "recordings lint FILE": "FILE",
    "recordings lint folder": "folder/one.har",
    "claims": "reports/report.json",
    "sweep": "state/touchstone/journals/x.journal",
}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _long(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 << 30)  # takes no room on the disk


@pytest.mark.parametrize("make", [_pipe, _device, _long])
@pytest.mark.parametrize("words", NAMED)
def test_command_ends_whatever_file_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    make: Callable[[Path], None],
) -> None:
    """Where the user named the file the message names it, and the exit code is 2, or 1 of a lint that found a fault."""
    name = NAMED[words]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    ended = called(Shell(tmp_path), monkeypatch, capsys, *words.split())
    assert "Traceback" not in ended.err
    if name in words or "folder" in words or "runs" in words:
        assert ended.code == (1 if "lint" in words else 2)
        assert Path(name).name in ended.out + ended.err


def test_summary_of_a_job_is_not_written_into_a_pipe(tmp_path: Path) -> None:
    """The verdict stands, and the reason is said."""
    summary = tmp_path / "summary"
    os.mkfifo(summary)
    shell = Shell(tmp_path)
    shell.keys = dict(shell.keys) | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ended = shell.run("check", "--claims", "auth.missing-key-is-401", "--profile", "quick")
    assert ended.code == 0
    assert str(summary) in ended.err


def test_no_more_is_read_than_a_file_may_hold(tmp_path: Path) -> None:
    """A file that is too long is refused, and not read in part."""
    path = tmp_path / "file"
    path.write_bytes(b"123")
    assert read_regular(path, 3) == b"123"
    with pytest.raises(UnfitFileError, match="longer than 2 bytes"):
        read_regular(path, 2)
