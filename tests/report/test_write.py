"""Reports on disk: whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from touchstone.check.job import finish
from touchstone.errors import RunLogError, UsageError
from touchstone.facts.events import Footer
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report import write
from touchstone.report.write import write_reports


def test_three_reports_are_written(failing_run: Path, tmp_path: Path) -> None:
    """The folder is made where it is missing, and the exit code is that of the run."""
    folder = tmp_path / "deep" / "reports"

    assert write_reports(failing_run, folder) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["junit.xml", "report.html", "report.json"]
    assert json.loads((folder / "report.json").read_text())["run"]["exit_code"] == 1


def test_same_log_gives_the_same_reports(any_run: Path, tmp_path: Path) -> None:
    """A report made again from an old log is the same to the byte."""
    for folder in ("a", "b"):
        write_reports(any_run, tmp_path / folder)

    for name in ("junit.xml", "report.html", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_old_report_is_replaced_in_one_step(tmp_path: Path, umask: int, mode: int) -> None:
    """The new file takes the place of the old one, others may read it as the umask says, and nothing else is left."""
    path = tmp_path / "report.json"
    path.write_text("old")
    before = os.umask(umask)
    try:
        write_whole(path, "new")
    finally:
        os.umask(before)

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == mode
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_failed_write_keeps_the_old_report(tmp_path: Path) -> None:
    """A text that cannot be written leaves the old file and no rubbish."""
    path = tmp_path / "report.json"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_folder_that_is_a_file_is_a_usage_error(failing_run: Path, tmp_path: Path) -> None:
    """A report folder that cannot be one names itself."""
    (tmp_path / "taken").touch()

    with pytest.raises(UsageError, match=r"taken/report\.json: the report cannot be written"):
        write_reports(failing_run, tmp_path / "taken")


def test_log_that_is_none_writes_nothing(tmp_path: Path) -> None:
    """A foreign file is refused before any report is touched."""
    (tmp_path / "runlog.jsonl").write_text("hello\n")

    with pytest.raises(RunLogError):
        write_reports(tmp_path / "runlog.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_finish_judges_and_ends_the_log(failing_run: Path, tmp_path: Path) -> None:
    """The footer that is written has the exit code of the verdict, and judging the log again agrees."""
    unfinished = tmp_path / "unfinished.jsonl"
    lines = failing_run.read_text().splitlines(keepends=True)
    unfinished.write_text("".join(line for line in lines if '"type":"footer"' not in line))
    footer = finish(unfinished, Footer("2026-01-02T03:05:00Z", 54.9, 0, ""))

    assert (footer.exit_code, footer.reason) == (1, "2 must claims broken")
    assert read(unfinished).footer == footer
    assert write.write_reports(unfinished, tmp_path) == 1


def test_finish_of_an_interrupted_run_is_130(interrupted_run: Path) -> None:
    """Ctrl-C is told as such, with the reason that the runner gives."""
    footer = finish(interrupted_run, Footer("2026", 1.0, 130, "interrupted by Ctrl-C", interrupted=True))

    assert (footer.exit_code, footer.reason, footer.interrupted) == (130, "interrupted by Ctrl-C", True)
