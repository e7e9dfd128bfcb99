"""What ended a load run before all of it was done, and what would let it go on; pure."""

from dataclasses import dataclass

from touchstone.facts.events import RunLog
from touchstone.loadgen.lateness import last_words
from touchstone.loadgen.outage import fallen

# What the log says where a threshold ended the run; the end of the case that --max-seconds leaves.
ABORTED = "stopped by --abort-on-fail"
SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Ending:
    """What ended a run.

    Attributes:
        words: A main clause, such as ``the run was interrupted by SIGTERM``.
        advice: What to do; empty where the caller knows, or nothing would help.
    """

    words: str
    advice: str = ""

    @property
    def whole(self) -> str:
        """Both in one sentence."""
        return f"{self.words}; {self.advice}" if self.advice else self.words


def ending(log: RunLog) -> Ending | None:
    """What ended the run that *log* is about before its time; None where nothing did."""
    if log.footer is not None and log.footer.interrupted:
        return Ending(f"the run was {log.footer.reason or 'interrupted'}")
    if any(case.outcome == "error" and case.id.endswith(f".{SECONDS}") for case in log.cases):
        return Ending("--max-seconds ended the run", "raise it")
    if any(text.startswith(ABORTED) for text in log.warnings):
        return Ending("--abort-on-fail ended the run", "leave it out")
    if any(worker.spent_at_s is not None or worker.over_budget for worker in last_words(log.workers)):
        return Ending("--max-requests ended the run", "raise it")
    if fallen(log.windows):
        return Ending("the target answered nobody any more")
    return None
