"""The skeleton of a run: target, header, child process, clean-up, judgement, footer, reports.

A check, a load and a probe are jobs; each says what it does between header and footer. The parent process writes both
and never sends what is judged; the child writes what happened in between. Whatever ends the child, the parent judges
what the log holds and writes the reports.
"""

import dataclasses
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from touchstone.check.child import Interrupted, child_environment, signals, watched
from touchstone.check.embedded import EMBEDDED_TWIN, at_twin
from touchstone.check.handover import UNWRITTEN, Handover
from touchstone.check.opening import CHECK, Errand, new_log, new_run_id, utc, write_header
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import OutputError, RunLogError, TargetError
from touchstone.facts.events import Footer
from touchstone.twin import Twin, TwinSettings
from touchstone.types import Conclude, Progress

UNFINISHED = "the run log could not be written any more, and the run was ended"
# What an unfinished run left on its target, by whether all was removed.
LEFT = {True: "nothing is left on the target", False: "what is left on the target, `touchstone sweep` removes"}

REACHED_ITS_END = Footer("", 0.0, 0, "")


def failed(reason: str, exit_code: int = 3) -> Footer:
    """The footer of a run that something kept from its end."""
    return Footer("", 0.0, exit_code, reason)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left: its exit code, its folder and its log."""

    exit_code: int
    folder: Path
    run_log: Path


class Job(ABC):
    """One run, as its parent process knows it.

    Attributes:
        settings: While the job runs, those of a target that listens.
        progress: Called with each event of the run log as it appears.
        interrupted: Whether somebody asked the run to stop.
        is_unwritten: Whether the run log could not be written to its end.
    """

    errand: Errand = CHECK
    twin: TwinSettings = EMBEDDED_TWIN
    # What the child is called, and where what it prints goes.
    child: ClassVar[tuple[str, str]] = ("the contract tests", "pytest.log")

    # Claims that the run judges besides those of a check, and claims that the caller knows to be broken.
    also: Sequence[str] = ()
    known: tuple[str, ...] = ()

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.ledger = ledger_of_claims.load()
        self.contract = Contract.load()
        self.run_id = new_run_id()
        self.folder = settings.report_dir or Path("reports") / self.run_id
        self.run_log = self.folder / "runlog.jsonl"
        self.interrupted = Interrupted()
        self.is_unwritten = False

    @abstractmethod
    def work(self) -> Footer:
        """What happens between header and footer; the footer says what kept it from its end, if anything did."""

    @abstractmethod
    def clear(self) -> bool:
        """Removes what the run left on the target, however it ended; whether nothing is left."""

    def judge(self, footer: Footer) -> Footer:
        """Adds to the run log what can only be judged when all is over."""
        return footer

    def run(self, argv: Sequence[str], conclude: Conclude) -> Outcome:
        """Does the job.

        Args:
            argv: The command line, for the run log.
            conclude: Ends the run log and writes the reports.

        Raises:
            UsageError: the report folder is none.
            OutputError: what the run came to could not be written down.
        """
        new_log(self.folder)
        began = time.monotonic()
        with signals() as self.interrupted:  # to the end: what was recorded is reported, whenever somebody stops it
            with at_target(self.settings, self.twin) as self.settings:
                write_header(
                    *(self.run_log, self.run_id, self.settings, argv, self.ledger, self.contract),
                    *(self.errand, self.also, self.known),
                )
                footer = self._work()
            with suppress(RunLogError):  # `conclude` says it
                footer = self.judge(footer)
            if self.interrupted.by:
                reason = f"interrupted by {signal.Signals(self.interrupted.by).name}"
                footer = Footer("", 0.0, 130, reason, interrupted=True)
            footer = dataclasses.replace(footer, ended_at=utc(), duration_s=round(time.monotonic() - began, 3))
            return Outcome(conclude(self.run_log, footer, self.folder), self.folder, self.run_log)

    def _work(self) -> Footer:
        try:
            footer = self.work()
        except (TargetError, OutputError, RunLogError) as error:
            footer = failed(str(error), error.exit_code)
        finally:
            clean = self.clear()
        return failed(f"{UNFINISHED}; {LEFT[clean]}") if self.is_unwritten else footer

    def run_child(
        self,
        command: Sequence[str],
        handover: Handover,
        max_seconds: float | None,
        look: Callable[[], None] = lambda: None,
    ) -> int:
        """Runs the child process until it ends, see `watched`; returns its exit code, negative for a signal."""
        state = self.settings.state_dir
        # Where Hypothesis keeps its tables from run to run: not in the folder of whoever runs this.
        tables = {"HYPOTHESIS_STORAGE_DIRECTORY": str((state.parent if state else self.folder) / "hypothesis")}
        environment = tables | child_environment(handover, os.environ)
        output = self.folder / self.child[1]
        followed = (self.run_log, self.progress, self.interrupted, max_seconds, look)
        code = watched(command, environment, output, *followed)
        self.is_unwritten |= code == UNWRITTEN
        return code

    def ended_with(self, code: int) -> Footer:
        """The footer of a run whose child did not come to its end."""
        name, output = self.child
        return failed(f"{name} ended with {code}; see {self.folder / output}")


@contextmanager
def at_target(settings: Settings, twin: TwinSettings) -> Iterator[Settings]:
    """The settings of a target that listens: the embedded twin is started, any other is taken as it is."""
    if not settings.target.embedded:
        yield settings
        return
    with Twin(twin) as running:
        yield at_twin(settings, running.url)
