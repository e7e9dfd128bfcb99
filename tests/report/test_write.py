"""Report files: written whole or not at all."""

import os
from pathlib import Path

import pytest

from tests.report.checklogs import write_failing
from touchstone.errors import OutputError, RunLogError, UsageError
from touchstone.facts.events import Footer
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report.write import conclude, write_reports

NAMES = ["junit.xml", "report.html", "report.json"]
END = Footer("2026-01-02T03:05:00Z", 54.9, 0, "")


@pytest.fixture
def failing_log(tmp_path: Path) -> Path:
    return write_failing(tmp_path / "failing.jsonl")


@pytest.fixture
def unfinished_log(failing_log: Path, tmp_path: Path) -> Path:
    lines = failing_log.read_text("utf-8").splitlines(keepends=True)
    path = tmp_path / "unfinished.jsonl"
    path.write_text("".join(line for line in lines if '"type":"footer"' not in line), "utf-8")
    return path


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_old_report_is_replaced_in_one_step(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    before = os.umask(umask)
    try:
        write_whole(path, "new")
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", mode)

    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_invalid_folder_and_invalid_log_are_refused(failing_log: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match=r"taken/report\.json"):
        write_reports(failing_log, tmp_path / "taken")
    (tmp_path / "runlog.jsonl").write_text("hello\n")
    with pytest.raises(RunLogError):
        write_reports(tmp_path / "runlog.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    with pytest.raises((OutputError, UsageError), match=r"report\.html"):
        write_reports(failing_log, tmp_path / "out")
    assert (tmp_path / "out" / "junit.xml").is_file()


def test_conclude_ends_the_log_and_writes_the_reports(unfinished_log: Path, tmp_path: Path) -> None:
    assert conclude(unfinished_log, END, tmp_path / "out") == 1
    footer = read(unfinished_log).footer
    assert footer
    assert (footer.exit_code, footer.interrupted) == (1, False)
    scripts = [f"{finding.id}.sh" for finding in read(unfinished_log).findings]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*NAMES, *scripts])


@pytest.mark.parametrize("fate", ["removed", "unwritable", "damaged"])
def test_conclude_reports_the_outcome_if_a_file_cannot_be_written(
    unfinished_log: Path, tmp_path: Path, fate: str
) -> None:
    out = tmp_path / "out"
    if fate == "removed":
        unfinished_log.unlink()
    elif fate == "damaged":
        unfinished_log.write_text("hello\n")
    else:
        (tmp_path / "out").touch()
    with pytest.raises(OutputError) as error:
        conclude(unfinished_log, END, out)
    assert (str(unfinished_log) in str(error.value)) or fate != "unwritable"
    assert ("exit 1" in str(error.value)) is (fate == "unwritable")
