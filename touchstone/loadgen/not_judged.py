"""Reasons why a load run, or one of its claims, was not judged; no I/O."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from touchstone.check.budget import SILENT_S
from touchstone.facts.events import Header, Notice, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Window, middle_s
from touchstone.facts.wording import brief, figure, plural, was
from touchstone.loadgen.metrics import LASTING, last_reports, punctuality
from touchstone.loadgen.plan import TABLES, scenario

ABORTED = "stopped by --abort-on-fail"  # start of the remark about a threshold that ended the run
SECONDS = "seconds"  # end of the case id in the run log if --max-seconds ended the run
CLOSING_CLAIM = "limit.reads-are-not-charged"  # only the closing client of a storm tests this claim
STORM = "storm"
MORE_ROOM = "start fewer builds at once or shorter ones (--build-s), or raise patience_s of the target"

_FEWEST = 3  # fewer requests without a response are ignored
_WAITED_S = 2.0  # a request that was cut off sooner may just be slow

_SENTENCES = Environment(loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True).get_template(
    "reasons.txt.j2", globals={"brief": brief, "figure": figure, "plural": plural, "was": was}
)


def reason_text(name: str, *values: object) -> str:
    """Sentence by the macro *name* in reasons.txt.j2."""
    return str(getattr(_SENTENCES.module, name)(*values)).strip()


@dataclass(frozen=True, slots=True)
class Ruling:
    """Results of judging a load run as a whole, in the types of the run log."""

    findings: list[Finding] = field(default_factory=list)  # one entry per occurrence; equal faults have the same id
    judgements: list[Judgement] = field(default_factory=list)  # held and indeterminate judgements
    notices: list[Notice] = field(default_factory=list)


def again(header: Header) -> str:
    """Command that repeats the run, for findings that no single request reproduces."""
    words = header.command_line
    if not any(one == "--seed" or one.startswith("--seed=") for one in words):
        words += ["--seed", str(header.seed)]
    return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Ending:
    """Cause of an early end of a run."""

    cause: str  # a main clause, such as ``the run was interrupted by SIGTERM``
    advice: str = ""  # what to do; empty if nothing helps

    @property
    def whole(self) -> str:
        """Cause and advice in one sentence."""
        return f"{self.cause}; {self.advice}" if self.advice else self.cause


def ending(log: RunLog) -> Ending | None:
    """Cause of an early end of the run; None if the run was complete."""
    if log.footer is not None and log.footer.interrupted:
        return Ending(f"the run was {log.footer.reason or 'interrupted'}")
    if any(case.outcome == "error" and case.id.endswith(f".{SECONDS}") for case in log.cases):
        return Ending("--max-seconds ended the run", "raise it")
    if any(text.startswith(ABORTED) for text in log.warnings):
        return Ending("--abort-on-fail ended the run", "leave it out")
    if any(worker.spent_at_s is not None or worker.over_budget for worker in last_reports(log.workers)):
        return Ending("--max-requests ended the run", "raise it")
    return Ending("the target stopped responding") if fallen(log.windows) else None


@dataclass(frozen=True, slots=True)
class Fallen:
    """Period at the end of a run in which no request got a response."""

    from_s: int  # run second in which the period begins
    unanswered: int  # requests due in the period; none got a response
    cut_off: int  # of the requests in the period, those still open when the run was stopped
    in_all: int  # requests without a response in the whole run


def fallen(windows: Sequence[Window]) -> Fallen | None:
    """Period without responses at the end of a run; None if there is none, or if it has too few requests."""
    sent = [window for window in windows if window.outcome != UNSENT]
    answered_s = max((w.at_s for w in sent if _is_answered(w)), default=-1)
    silent = [window for window in sent if window.at_s > answered_s]
    cut_off = [window for window in silent if window.outcome == CUT_OFF]
    unanswered, cut = sum(w.count for w in silent), sum(w.count for w in cut_off)
    has_lasted = unanswered - cut >= _FEWEST or max((w.service.max_s for w in cut_off), default=0.0) >= _WAITED_S
    if unanswered < _FEWEST or not has_lasted:
        return None
    return Fallen(min(w.at_s for w in silent), unanswered, cut, sum(w.count for w in sent if not _is_answered(w)))


@dataclass(frozen=True, slots=True)
class Pause:
    """Period in which requests waited and none got a response; afterwards the target responded again."""

    from_s: float  # whole run second at which the pause begins
    to_s: float  # whole run second of the first response after the pause
    waiting: int  # requests due before the end of the pause, with a response after it or none at all


def pauses(windows: Sequence[Window]) -> tuple[Pause, ...]:
    """Pauses of at least SILENT_S seconds, in order. Their times are whole seconds, like those of windows."""
    sent = [window for window in windows if window.outcome != UNSENT and window.operation not in LASTING]
    answered = {min((window.at_s for window in sent), default=0) - 1}
    for window in filter(_is_answered, windows):
        seconds = {int(window.at_s + middle_s(edge)) for edge in window.response.cells}
        answered |= seconds | {second + 1 for second in seconds}
    found: list[Pause] = []
    for last_s, first_s in pairwise(sorted(answered)):
        if first_s - last_s > SILENT_S:
            waits = [(window.at_s + 1, number) for window in sent if (number := _waiting(window, last_s + 1, first_s))]
            from_s = max(last_s + 1, min((at_s for at_s, _ in waits), default=first_s))
            waiting = sum(number for _, number in waits)
            if first_s - from_s >= SILENT_S and waiting >= _FEWEST:
                found.append(Pause(float(from_s), float(first_s), waiting))
    return tuple(found)


def _waiting(window: Window, from_s: float, to_s: float) -> int:
    """Number of requests in *window* that waited in a pause from *from_s* to *to_s*, with a later response or none."""
    if window.at_s + 1 > to_s:
        return 0
    ends_at = to_s if _is_answered(window) else from_s - 1
    return sum(count for edge, count in window.response.cells.items() if window.at_s + middle_s(edge) >= ends_at)


def _is_answered(window: Window) -> bool:
    return window.outcome not in (UNSENT, NO_ANSWER, CUT_OFF)


def limit_starts(log: RunLog) -> list[Exchange]:
    """Starts by the client in load/aftermath.py, which tests the limit at the end of a storm."""
    return [e for e in log.exchanges if "limit" in e.note and e.operation == "startBuild"]


def unprobed(log: RunLog) -> list[Notice]:
    """Notice with the reason why the run does not show whether reads count against the limit; empty if it does."""
    assert log.workload is not None
    if log.workload.scenario != STORM or CLOSING_CLAIM in judged_claims(log):
        return []
    starts, ended = limit_starts(log), ending(log)
    failed = next((e for e in starts if e.status != 429 and not 200 <= e.status < 300), None)
    is_refused = any(exchange.status == 429 for exchange in starts)
    reason = reason_text("unprobed", starts, failed, is_refused, ended)
    is_known = bool(starts) and not (failed or is_refused or ended)
    return [Notice(CLOSING_CLAIM, "not-applicable" if is_known else "indeterminate", reason)]


def unwatched(log: RunLog) -> tuple[str, list[Notice]]:
    """Remark on watchers that had no log to follow, and notices for the claims that were not judged for that reason."""
    assert log.workload is not None
    if not (number := punctuality(log).unwatched):
        return "", []
    reason = reason_text("unwatched", number, log.workload.scheduled.get("streamBuildEvents", 0))
    judged = judged_claims(log)
    of_logs = [claim for claim in scenario(log.workload.scenario).claims if claim.startswith("events.")]
    return reason, [Notice(claim, "indeterminate", reason) for claim in of_logs if claim not in judged]


def judged_claims(log: RunLog) -> set[str]:
    """Claims with a judgement in a run log."""
    return {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}


def idle_reason(claim: str, log: RunLog) -> str:
    """Reason why no load rule judged *claim*."""
    idle = TABLES["idle"][claim]
    is_tested = log.workload is not None and log.workload.scenario in idle["scenarios"]
    refused = [attempt for attempt in log.attempts if attempt.is_refused]
    failed = sum(attempt.status >= 500 or not attempt.status for attempt in log.attempts)
    return reason_text("idle", idle, is_tested, refused, failed, ending(log))
