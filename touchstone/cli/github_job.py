"""
A command as a step of a job of GitHub Actions: its summary, its annotations, and no command to the runner but those.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from touchstone.contract.files import open_regular
from touchstone.facts.second_look import looked_over

if TYPE_CHECKING:
    from touchstone.report.proof_view import ProofView
    from touchstone.report.view import View


@dataclass(frozen=True, slots=True)
class Workflow:
    """The job of GitHub Actions that a command is a step of.

    Attributes:
        summary: File that a step appends its summary to; None where the runner names none.
        checkout: Folder of the repository; None where the runner names none.
        file: File of the workflow, as a path in the repository; empty where the runner names none.
    """

    summary: Path | None
    checkout: Path | None
    file: str


def workflow_in(environ: Mapping[str, str]) -> Workflow | None:
    """The job of GitHub Actions that the environment is one of; None elsewhere.

    Source: docs.github.com, Variables reference, "Default environment variables".
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    summary, checkout = environ.get("GITHUB_STEP_SUMMARY"), environ.get("GITHUB_WORKSPACE")
    # OWNER/REPOSITORY/PATH@REF
    file = environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].removeprefix(environ.get("GITHUB_REPOSITORY", "/"))
    return Workflow(Path(summary) if summary else None, Path(checkout) if checkout else None, file.removeprefix("/"))


class Inert:
    """A stream in which no line is a command to the runner; it passes on whole lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""

    def __getattr__(self, name: str) -> Any:
        """What others ask the stream behind it, but for the way around this one."""
        if name in ("buffer", "detach", "reconfigure", "writelines"):
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Passes on the lines that are whole."""
        whole, end, self._rest = (self._rest + text).rpartition("\n")
        self._pass_on(whole + end)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream behind it; the beginning of a line is held until the line is whole."""
        self._stream.flush()

    def end(self) -> None:
        """Passes on the last line, which has no end."""
        rest, self._rest = self._rest, ""
        self._pass_on(rest)
        self.flush()

    def command(self, line: str) -> None:
        """Gives the runner a command."""
        self.end()
        self._stream.write(f"{line}\n")

    def _pass_on(self, text: str) -> None:
        from touchstone.report.github import inert  # noqa: PLC0415 - most commands run elsewhere

        if text:
            self._stream.write(inert(text))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Keeps what the command prints from being taken for commands to the runner, where it runs under one."""
    if workflow_in(os.environ) is None:
        yield
        return
    out, err = sys.stdout, sys.stderr
    streams = Inert(out), Inert(err)
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        for stream in streams:
            stream.end()


def tell(view: "View", folder: Path) -> None:
    """Gives the job the annotations and the summary of a run; does nothing outside of one.

    Args:
        folder: Where the reports are.
    """
    if job := workflow_in(os.environ):
        from touchstone.report import github  # noqa: PLC0415 - most commands run elsewhere

        lines = github.annotations(view, lambda claim: github.place_of(claim, job.checkout, job.file))
        _tell(job, lines, lambda room_bytes: github.summary(view, folder, room_bytes))


def tell_proof(view: "ProofView", folder: Path) -> None:
    """Gives the job the annotations and the summary of a proof; see `tell`."""
    if job := workflow_in(os.environ):
        from touchstone.report import github  # noqa: PLC0415 - most commands run elsewhere

        _tell(job, github.proof_annotations(view), lambda room_bytes: github.proof_summary(view, folder, room_bytes))


def _tell(job: Workflow, lines: tuple[str, ...], summary: Callable[[int], str]) -> None:
    for line in lines:
        stream: Any = sys.stdout
        if isinstance(stream, Inert):
            stream.command(line)
        else:
            stream.write(f"{line}\n")
    if job.summary is not None:
        _append(job.summary, summary)


def _append(path: Path, summary: Callable[[int], str]) -> None:
    """
    Appends to the summary of the step what there is room for: the limit is one of the file, which others write, too.
    """
    from touchstone.report.github import MAX_SUMMARY_BYTES  # noqa: PLC0415 - most commands run elsewhere

    try:
        descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with os.fdopen(descriptor, "a", encoding="utf-8", newline="\n") as file:
            text = looked_over(summary(MAX_SUMMARY_BYTES - file.tell()), path)
            file.write(text)
    except OSError as error:
        sys.stderr.write(f"{path}: the summary of the step cannot be written: {error.strerror}; the verdict stands\n")
        return
    if not text:
        sys.stderr.write(f"{path}: has no room left for a summary of this run; give it a step of its own\n")
