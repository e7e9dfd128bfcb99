"""Writes the reports of a run, each file whole or not at all; renders junit.xml."""

import contextlib
import re
from functools import partial
from pathlib import Path

from touchstone.check.job import finish
from touchstone.errors import HarnessError, OutputError, RunLogError, UsageError
from touchstone.facts.events import Footer
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.facts.wording import clipped, one_line, visible
from touchstone.report import html, json_report
from touchstone.report.view import FindingView, View, view
from touchstone.rules.verdict import ClaimVerdict, judge

_ID = re.compile("[0-9a-f]{12}")  # a run log from elsewhere might have other ids
Outcome = tuple[str, str, str, str]  # XML element in a test case (empty for a pass), its type, its message, its text
_PASSED = ("", "", "", "")


def conclude(runlog_path: Path, footer: Footer, folder: Path) -> int:
    """Ends the run log and writes the reports; returns the exit code. An OutputError says which files exist."""
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

    Raises UsageError if *folder* is no folder; OutputError, which names each missing report, if one cannot be written.
    """
    failed: dict[str, HarnessError] = {}
    repeatable = (item for item in run.findings if item.script and _ID.fullmatch(item.finding.id))
    scripts = {f"{item.finding.id}.sh": partial(html.script, item) for item in repeatable}
    reports = {"report.json": json_report.render, "report.html": html.render, "junit.xml": render_junit}
    for name, render in (reports | scripts).items():
        try:
            write_whole(folder / name, render(run))
        except (OutputError, UsageError) as error:
            failed[name] = error  # the other reports may still fit on the disk
    if failed:
        (_, first), *others = failed.items()
        also = f"; nor can {', '.join(name for name, _ in others)}" if others else ""
        raise type(first)(f"{first}{also}")
    return run.exit_code


def render_junit(view: View) -> str:
    """JUnit XML: a test case for each claim, and one for the run, so that an interrupted run never passes.

    Names of test cases contain no time or run id, so that tools can compare runs.
    """
    outcomes = {
        item.claim.id: _outcome(item, [one for one in view.findings if one.claim.id == item.claim.id])
        for item in view.verdict.claims
    }
    of_run = _PASSED if view.exit_code in (0, 1) else ("error", f"exit-{view.exit_code}", view.reason, "")
    if view.exit_code == 1 and view.header.expired:
        of_run = ("failure", "expired", view.reason, "")
    jinja = html.environment().overlay()
    jinja.filters |= {"message": lambda text: clipped(one_line(text), 500), "text": _text}
    return jinja.get_template("junit.xml.j2").render(view=view, outcomes=outcomes, of_run=of_run) + "\n"


def _outcome(item: ClaimVerdict, findings: list[FindingView]) -> Outcome:
    if item.holds_again:
        return "failure", "holds-again", "holds again: remove its line from the baseline", ""
    if item.verdict == "broken":
        first = findings[0].finding
        message = f"expected {first.expected}; actual {first.actual}"
        if item.excuse:
            return "skipped", "", f"{'known to be' if item.known else 'newer, and'} broken: {message}", ""
        # Viewers show only the first element of a test case, so one element has all findings of the claim.
        return "failure", f"broken-{item.claim.level}", message, "\n\n".join(map(_finding, findings))
    if item.verdict == "could-not-run" and item.claim.level == "must" and not item.new:
        return "error", "could-not-run", item.reason, ""
    return _PASSED if item.verdict == "upheld" else ("skipped", "", f"{item.verdict}: {item.reason}", "")


def _finding(item: FindingView) -> str:
    times = "" if item.occurrences == 1 else f"\noccurred {item.occurrences} times"
    return f"{item.finding.sentence()}{times}\n{item.finding.curl}"


def _text(text: str) -> str:
    # GitLab and Jenkins attach the file that such brackets name. Text of a target must not name one.
    return clipped(visible(text), 4_000).replace("[[ATTACHMENT|", "[ [ATTACHMENT|")
