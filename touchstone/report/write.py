"""
Puts the reports of a run beside its run log, each whole or not at all.
"""

import os
import tempfile
from pathlib import Path

from touchstone import verdict
from touchstone.errors import UsageError
from touchstone.report import html, json_report, junit
from touchstone.report.view import View, view
from touchstone.runfacts import Footer
from touchstone.runlog import RunLogWriter, read

JSON_NAME = "report.json"
HTML_NAME = "report.html"
JUNIT_NAME = "junit.xml"


def finish(runlog_path: Path, footer: Footer) -> Footer:
    """
    Judges the run and ends its run log.

    Args:
        runlog_path: A run log without a footer.
        footer: What the runner knows; exit code and reason are replaced by those of the verdict.

    Returns:
        The footer that was written.
    """
    outcome = verdict.judge(read(runlog_path), footer)
    judged = Footer(footer.ended_at, footer.duration_s, outcome.exit_code, outcome.reason, footer.interrupted)
    with RunLogWriter(runlog_path) as writer:
        writer.footer(judged)
    return judged


def write_reports(runlog_path: Path, folder: Path) -> int:
    """
    Writes report.json, report.html and junit.xml into *folder*.

    Returns:
        The exit code of the run.

    Raises:
        RunLogError: the run log cannot be read as one.
        UsageError: the folder cannot be written.
    """
    return write_view(view(read(runlog_path)), folder)


def write_view(run: View, folder: Path) -> int:
    """
    Writes the reports of a view that is already there; see `write_reports`.
    """
    for name, render in ((JSON_NAME, json_report.render), (HTML_NAME, html.render), (JUNIT_NAME, junit.render)):
        write_whole(folder / name, render(run))
    return run.exit_code


def write_whole(path: Path, text: str) -> None:
    """
    Puts *text* at *path* in one step, so that a reader sees the old file or the new one.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        temporary.chmod(0o644)  # mkstemp makes files that only their owner reads; a report is for others too
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
