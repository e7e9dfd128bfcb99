"""A run in which Locust sends, between its header and its footer: set up, work, clear, whatever happens on the way."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.check.child import Interrupted
from touchstone.check.handover import UNFINISHED, UNWRITTEN
from touchstone.config import Settings
from touchstone.errors import OutputError, RunLogError, TargetError
from touchstone.facts.events import Footer, RunLog
from touchstone.facts.runlog import read
from touchstone.loadgen.setup import SettingUp
from touchstone.types import Progress

# What whoever interrupted a run may want to know while it is cleared up.
_LEAVE = "once more, and the rest is left to `touchstone sweep`"

# What an unfinished run left.
LEFT = {True: "nothing is left on the target", False: "what is left on the target, `touchstone sweep` removes"}


@dataclass(frozen=True, slots=True)
class Session:
    """One run, and who follows it.

    Attributes:
        progress: Is told each event.
        interrupted: Whether somebody asked the run to stop.
    """

    settings: Settings
    run_id: str
    run_log: Path
    progress: Progress
    interrupted: Interrupted

    def run(
        self, work: Callable[[SettingUp], Footer], before_clearing: Callable[[SettingUp, RunLog], None] | None = None
    ) -> Footer:
        """Sets up, has *work* done, and clears; the footer says what kept it from its end, if anything did.

        Args:
            before_clearing: Is given the run log as it is then.
        """
        stage = SettingUp(self.settings, self.run_id, self.run_log, self._told)
        try:
            footer = work(stage)
        except (TargetError, OutputError, RunLogError) as error:
            footer = Footer("", 0.0, error.exit_code, str(error))
        finally:
            clean = self._clear(stage, before_clearing)
        if stage.is_lost or footer.reason == UNFINISHED:
            footer = Footer("", 0.0, 3, f"{UNFINISHED}; {LEFT[clean]}")
        # Also where it came while all was being cleared, which goes on to its end unless it comes again.
        return stopped_by(self.interrupted) or footer

    def _clear(self, stage: SettingUp, before: Callable[[SettingUp, RunLog], None] | None) -> bool:
        """Clears, also where the run log is gone; whether nothing is left on the target."""
        insisted = self.interrupted.insisted()
        try:
            log = read(self.run_log)
        except RunLogError:
            log = None
        if log and before:
            before(stage, log)
        try:
            return stage.clear(log, insisted)
        finally:
            stage.close()

    def _told(self, event: dict[str, Any]) -> None:
        self.progress(event | {"hint": _LEAVE} if self.interrupted.by else event)

    def stopped(self) -> bool:
        """Whether somebody asked the run to stop."""
        return bool(self.interrupted.by)

    def ended(self, code: int) -> Footer:
        """The footer of a run whose Locust ended with *code*."""
        if code == UNWRITTEN:
            return Footer("", 0.0, 3, UNFINISHED)
        try:
            failed = [case.message for case in read(self.run_log).cases if case.outcome == "error"]
        except RunLogError as error:
            return Footer("", 0.0, 3, str(error))
        if failed:
            return Footer("", 0.0, 3, failed[0])
        if code != 0:
            return Footer("", 0.0, 3, f"Locust ended with {code}; see {self.run_log.parent / 'locust.log'}")
        return Footer("", 0.0, 0, "")


def stopped_by(interrupted: Interrupted) -> Footer | None:
    """The footer of a run that somebody stopped; None where nobody did."""
    if not interrupted.by:
        return None
    return Footer("", 0.0, 130, f"interrupted by {signal.Signals(interrupted.by).name}", interrupted=True)
