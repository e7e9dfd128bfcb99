"""Output for GitHub Actions: step summary, annotations, and a guard that disarms workflow commands in other output.

A workflow command is a line that the runner obeys, such as ``::error::text``. In a summary, text of a target appears
only in `code` elements of HTML blocks, in which GitHub reads no Markdown.

Source: docs.github.com, "Workflow commands for GitHub Actions"; actions/runner, ActionCommand.cs.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, TextIO, cast

from markupsafe import Markup

from touchstone.contract.files import open_regular
from touchstone.facts.redaction_guard import redact
from touchstone.facts.wording import clipped, one_line, visible
from touchstone.proof.result import Trial
from touchstone.report import html, proof_report
from touchstone.report.proof_report import ProofView
from touchstone.report.view import View

MAX_SUMMARY_BYTES = 900_000  # GitHub drops a summary of more than 1 MiB
MAX_ANNOTATIONS = 10  # GitHub shows at most ten annotations per step
MAX_FINDINGS = 200  # most rows of a table in the summary
MAX_CELL_CHARS = 300
_ROWS = (MAX_FINDINGS, 100, 50, 20, 5, 1, 0)

# The runner obeys `::` at the start of a line or after blanks, and `##[` anywhere. A carriage return also ends a line.
# Colour codes count as blanks, because a runner may remove them first.
_BEGIN = re.compile(r"((?:^|\r)(?:\s|\x1b\[[0-9;]*m)*):(?=:)", flags=re.MULTILINE)


class Inert:
    """Stream that disarms the workflow commands in all text written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "detach", "reconfigure", "writelines"):
            raise AttributeError(name)
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Writes the text without workflow commands, and returns the length of the original text."""
        self.stream.write(inert(text))
        return len(text)


def inert(text: str) -> str:
    """Disarms workflow commands: inserts a blank into the characters with which a command begins."""
    return _BEGIN.sub(r"\1: ", text).replace("##[", "# #[")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Disarms workflow commands in standard output and standard error while the context is open."""
    out, err = (cast(TextIO, Inert(stream)) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def publish(view: View | ProofView, folder: Path) -> None:
    """In a job of GitHub Actions, writes annotations and summary of a run or a proof; elsewhere does nothing."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    stream: Any = sys.stdout
    for line in annotations(view):
        getattr(stream, "stream", stream).write(f"{line}\n")
    if not (name := os.environ.get("GITHUB_STEP_SUMMARY")):
        return
    path = Path(name)
    try:
        # The summary is shortened to the room that earlier commands left in the file of the step.
        descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with os.fdopen(descriptor, "a", encoding="utf-8", newline="\n") as file:
            text = redact(summary(view, folder, MAX_SUMMARY_BYTES - file.tell()), path)
            file.write(text)
    except OSError as error:
        sys.stderr.write(f"{path}: cannot write the summary: {error.strerror}; the exit code stays the same\n")
        return
    if not text:
        sys.stderr.write(f"{path}: no room left for the summary of this run; run the command in a step of its own\n")


def summary(view: View | ProofView, folder: Path, room_bytes: int = MAX_SUMMARY_BYTES) -> str:
    """Markdown summary of at most *room_bytes* in UTF-8; empty if even the summary without lists is longer."""
    values: dict[str, Any] = {"view": view, "folder": folder, "code": code}
    if isinstance(view, ProofView):
        name, (tone, headline) = "github_proof.md.j2", proof_report.headline_of(view)
        values |= {"why": _why, "endings": proof_report.ENDINGS, "again": proof_report.again}
    else:
        name, (tone, headline) = "github.md.j2", html.headline_of(view)
    values |= {"tone": tone, "headline": headline}
    template = html.environment().get_template(name)
    texts = (template.render(values, rows=rows) + "\n" for rows in _ROWS)
    return next((text for text in texts if len(text.encode()) <= room_bytes), "")


def code(text: object, most: int = MAX_CELL_CHARS) -> Markup:
    """HTML element `code` with an untrusted text, on one line and cut to *most* characters."""
    return Markup(f"<code>{escape(clipped(one_line(str(text)), most))}</code>")


def annotations(view: View | ProofView) -> list[str]:
    """One annotation for each problem of a run or a proof, at most ten. If there are more, the tenth says how many."""
    template = html.environment().overlay(autoescape=False).get_template("github_annotations.j2")
    headline = "" if isinstance(view, ProofView) else html.headline_of(view)[1]
    text = template.render(view=view, headline=headline, why=_why, annotation=annotation)
    lines = [line for line in text.split("\n") if line]
    if others := lines[MAX_ANNOTATIONS:]:
        kind = "error" if lines[MAX_ANNOTATIONS - 1].startswith("::error") else "warning"
        more = f"{1 + len(others):,} more: see the summary of this step, or the reports"
        lines[MAX_ANNOTATIONS - 1 :] = [annotation(kind, "touchstone", more)]
    return lines


def _why(trial: Trial) -> str:
    parts = [f"not found broken: {', '.join(trial.lacking)}"] if trial.lacking and trial.state == "missed" else []
    if noise := proof_report.noise(trial):
        parts.append(f"wrongly blamed: {', '.join(noise)}")
    return "; ".join([*parts, trial.trouble] if trial.trouble else parts)


def annotation(kind: str, title: str, message: str) -> str:
    """Workflow command that makes GitHub show an annotation; its *kind* is ``error`` or ``warning``."""
    title = _data(clipped(one_line(title), 200)).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_data(clipped(visible(message), 2_000))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
