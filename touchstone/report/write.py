"""Writes the reports of a run, each file whole or not at all."""

import contextlib
import re
from functools import partial
from pathlib import Path

from touchstone.check.job import finish
from touchstone.errors import HarnessError, OutputError, RunLogError, UsageError
from touchstone.facts.events import Footer
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report import html, json_report, junit
from touchstone.report.view import View, view
from touchstone.rules.verdict import judge

_ID = re.compile("[0-9a-f]{12}")  # a run log from elsewhere might have other ids
_REPORTS = {"report.json": json_report.render, "report.html": html.render, "junit.xml": junit.render}


def conclude(runlog_path: Path, footer: Footer, folder: Path) -> int:
    """Ends the run log, writes the reports and returns the exit code of the run.

    Raises:
        OutputError: a file could not be written; the message says how the run ended and which files exist.
    """
    try:
        finish(runlog_path, footer)
        return write_reports(runlog_path, folder)
    except (RunLogError, OutputError, UsageError) as error:
        reason = f"{footer.reason}; " if footer.reason else ""
        raise OutputError(f"{error}; {reason}{_kept(runlog_path, folder)}") from error


def _kept(runlog_path: Path, folder: Path) -> str:
    if not runlog_path.exists():
        return "the folder was removed, moved or replaced during the run; no file of the run exists"
    try:
        log = read(runlog_path)
    except (RunLogError, UsageError):
        return "the run log cannot be read"
    if log.footer is None:
        with contextlib.suppress(RunLogError, OutputError, UsageError):
            write_reports(runlog_path, folder)
        return f"the run log is incomplete: {runlog_path}"
    outcome = judge(log)
    return f"the run itself ended with exit {outcome.exit_code}: {outcome.reason}; its run log is {runlog_path}"


def write_reports(runlog_path: Path, folder: Path) -> int:
    """Writes the reports of a run log as `write_view` does; raises RunLogError if the run log cannot be read."""
    return write_view(view(read(runlog_path)), folder)


def write_view(run: View, folder: Path) -> int:
    """Writes report.json, report.html, junit.xml and a script of each finding; returns the exit code of the run.

    Raises:
        UsageError: *folder* is not a folder.
        OutputError: a report cannot be written; the message names each missing one.
    """
    failed: dict[str, HarnessError] = {}
    scripts = {
        f"{item.finding.id}.sh": partial(html.script, item)
        for item in run.findings
        if item.script and _ID.fullmatch(item.finding.id)
    }
    for name, render in (_REPORTS | scripts).items():
        try:
            write_whole(folder / name, render(run))
        except (OutputError, UsageError) as error:
            failed[name] = error  # the other reports may still fit on the disk
    if failed:
        (_, first), *others = failed.items()
        also = f"; nor can {', '.join(name for name, _ in others)}" if others else ""
        raise type(first)(f"{first}{also}")
    return run.exit_code
