"""Puts the reports of a run beside its run log, each whole or not at all."""

import contextlib
from pathlib import Path

from touchstone.check.job import finish
from touchstone.errors import HarnessError, OutputError, RunLogError, UsageError
from touchstone.facts.events import Footer
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report import html, json_report, junit
from touchstone.report.view import View, view
from touchstone.rules.verdict import judge

_REPORTS = {"report.json": json_report.render, "report.html": html.render, "junit.xml": junit.render}


def conclude(runlog_path: Path, footer: Footer, folder: Path) -> int:
    """Ends the run log and writes the reports; the exit code of the run.

    Raises:
        OutputError: not all of it could be written; the message has the outcome of the run, and what is kept.
    """
    try:
        finish(runlog_path, footer)
        return write_reports(runlog_path, folder)
    except (RunLogError, OutputError, UsageError) as error:
        reason = f"{footer.reason}; " if footer.reason else ""
        raise OutputError(f"{error}; {reason}{_kept(runlog_path, folder)}") from error


def _kept(runlog_path: Path, folder: Path) -> str:
    if not runlog_path.exists():
        return "the folder was removed, moved or replaced while the run was under way, and nothing is kept there"
    try:
        log = read(runlog_path)
    except (RunLogError, UsageError):
        return "nothing of the run is kept"
    if log.footer is None:
        with contextlib.suppress(RunLogError, OutputError, UsageError):
            write_reports(runlog_path, folder)
        return f"kept as far as it was written: {runlog_path}"
    outcome = judge(log)
    return f"the run itself came to its end with exit {outcome.exit_code}: {outcome.reason}; kept: {runlog_path}"


def write_reports(runlog_path: Path, folder: Path) -> int:
    """Writes the reports of a run log; see `write_view`. RunLogError: it cannot be read as one."""
    return write_view(view(read(runlog_path)), folder)


def write_view(run: View, folder: Path) -> int:
    """Writes report.json, report.html and junit.xml into *folder*; the exit code of the run.

    Raises:
        UsageError: the folder is none.
        OutputError: the folder cannot be written; the message names each report that is missing.
    """
    refused: dict[str, HarnessError] = {}
    for name, render in _REPORTS.items():
        try:
            write_whole(folder / name, render(run))
        except (OutputError, UsageError) as error:
            refused[name] = error  # what there is room for is written all the same
    if refused:
        (_, first), *others = refused.items()
        also = f"; nor can {', '.join(name for name, _ in others)}" if others else ""
        raise type(first)(f"{first}{also}")
    return run.exit_code
