"""Why a load run, or a claim of it, was not judged: what ended the run, and what it had no occasion for; pure."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePath

from touchstone.check.budget import SILENT_S
from touchstone.facts.events import Header, Notice, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Window, middle_s
from touchstone.facts.wording import plural
from touchstone.loadgen.metrics import LASTING, last_reports, punctuality
from touchstone.loadgen.workloads import scenario

ABORTED = "stopped by --abort-on-fail"  # what the log says where a threshold ended the run
SECONDS = "seconds"  # the end of the id of the case that --max-seconds leaves
ASKED_AT_THE_END = "limit.reads-are-not-charged"  # only a storm shows it, by its closing client
STORM = "storm"
MORE_ROOM = "start fewer builds at once or shorter ones (--build-s), or raise patience_s of the target"

_FEWEST = 3  # fewer requests than these may go astray without a word
_WAITED_S = 2.0  # a request cut off after less shows no silence, but a slow answer


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is said of a load run as a whole, each part in the form in which a run log takes it."""

    findings: list[Finding] = field(default_factory=list)  # one for each occasion, with the same id for the same fault
    judgements: list[Judgement] = field(default_factory=list)  # held and indeterminate ones
    notices: list[Notice] = field(default_factory=list)


def again(header: Header) -> str:
    """The command that does the same run again: what shows a finding that no single request shows."""
    argv = list(header.argv)
    if argv and PurePath(argv[0]).name.startswith(("touchstone", "__main__")):
        argv = argv[1:]
    if not argv or argv[0] != header.command:
        argv = [header.command, *argv]
    if not any(one == "--seed" or one.startswith("--seed=") for one in argv):
        argv += ["--seed", str(header.seed)]
    return shlex.join(["touchstone", *argv])


@dataclass(frozen=True, slots=True)
class Ending:
    """What ended a run before its time."""

    cause: str  # a main clause, such as ``the run was interrupted by SIGTERM``
    advice: str = ""  # what to do; empty where the caller knows, or nothing would help

    @property
    def whole(self) -> str:
        """Both in one sentence."""
        return f"{self.cause}; {self.advice}" if self.advice else self.cause


def ending(log: RunLog) -> Ending | None:
    """What ended the run that *log* is about before its time; None where nothing did."""
    if log.footer is not None and log.footer.interrupted:
        return Ending(f"the run was {log.footer.reason or 'interrupted'}")
    if any(case.outcome == "error" and case.id.endswith(f".{SECONDS}") for case in log.cases):
        return Ending("--max-seconds ended the run", "raise it")
    if any(text.startswith(ABORTED) for text in log.warnings):
        return Ending("--abort-on-fail ended the run", "leave it out")
    if any(worker.spent_at_s is not None or worker.over_budget for worker in last_reports(log.workers)):
        return Ending("--max-requests ended the run", "raise it")
    return Ending("the target answered nobody any more") if fallen(log.windows) else None


@dataclass(frozen=True, slots=True)
class Fallen:
    """A silence up to the end of a run."""

    from_s: int  # the second of the run after the last one with an answer
    unanswered: int  # requests that were due from then on and got no answer
    cut_off: int  # those of them that waited for one when the run was stopped
    in_all: int  # requests of the whole run that got no answer


def fallen(windows: Sequence[Window]) -> Fallen | None:
    """The silence that a run ended in; None where the target still answered, or hardly got a request."""
    sent = [window for window in windows if window.outcome != UNSENT]
    answered_s = max((w.at_s for w in sent if _is_answered(w)), default=-1)
    vain = [window for window in sent if window.at_s > answered_s]
    cut_off = [window for window in vain if window.outcome == CUT_OFF]
    unanswered, cut = sum(w.count for w in vain), sum(w.count for w in cut_off)
    has_lasted = unanswered - cut >= _FEWEST or max((w.service.max_s for w in cut_off), default=0.0) >= _WAITED_S
    if unanswered < _FEWEST or not has_lasted:
        return None
    return Fallen(min(w.at_s for w in vain), unanswered, cut, sum(w.count for w in sent if not _is_answered(w)))


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nobody was answered, though somebody waited all along, and after which somebody was."""

    from_s: float  # whole second since the run started from which on nobody was answered
    to_s: float  # whole second in which the first one after it was
    waiting: int  # requests that were due before its end, and answered after it or never


def pauses(windows: Sequence[Window]) -> tuple[Pause, ...]:
    """The pauses of a run that are SILENT_S long at least, in their order; windows show them to the second."""
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
    """How many of its requests were due before *to_s* and were answered only then, or were given up after *from_s*."""
    if window.at_s + 1 > to_s:
        return 0
    ends_at = to_s if _is_answered(window) else from_s - 1
    return sum(count for edge, count in window.response.cells.items() if window.at_s + middle_s(edge) >= ends_at)


def _is_answered(window: Window) -> bool:
    return window.outcome not in (UNSENT, NO_ANSWER, CUT_OFF)


def limit_starts(log: RunLog) -> list[Exchange]:
    """The starts of the client that asks the limit at the end of a storm."""
    return [e for e in log.exchanges if "limit" in e.note and e.operation == "startBuild"]


def unasked(log: RunLog) -> list[Notice]:
    """Why the starts of that client allow no verdict on whether reads are charged; empty where they do."""
    assert log.workload is not None
    if log.workload.scenario != STORM or ASKED_AT_THE_END in _judged(log):
        return []
    starts, ended = limit_starts(log), ending(log)
    failed = next((e for e in starts if e.status != 429 and not 200 <= e.status < 300), None)
    is_refused = any(exchange.status == 429 for exchange in starts)
    if not log.windows:
        reason = "the load did not begin, and so nobody asked the limit"
    elif not starts:
        cause = ended or Ending("the run ended")
        reason = Ending(f"{cause.cause} before one client alone asked the limit", cause.advice).whole
    elif failed is not None:
        status = f"status {failed.status}" if failed.status else failed.error
        reason = f"one client alone asked the limit, and a start ended with {status}"
    elif is_refused:
        why = ended.whole if ended else "the limit did not let it go on, or refused it no more; raise patience_s"
        reason = f"one client alone met a limit, but did not get through three rounds of it: {why}"
    else:
        reason = f"one client alone met no limit with {plural(len(starts), 'start')} one after the other"
        reason += f", and then {ended.whole}" if ended else ""
    is_known = bool(starts) and not (failed or is_refused or ended)
    return [Notice(ASKED_AT_THE_END, "not-applicable" if is_known else "indeterminate", reason)]


def unwatched(log: RunLog) -> tuple[str, list[Notice]]:
    """That some watchers had no build to watch, and which claims that leaves open."""
    assert log.workload is not None
    number = punctuality(log).unwatched
    if not number:
        return "", []
    whole = log.workload.scheduled.get("streamBuildEvents", 0)
    reason = (
        f"{number:,} of {whole:,} watchers did not watch, since the start of their build was not accepted; "
        "lower --builds, or raise patience_s of the target"
    )
    judged = _judged(log)
    of_logs = [claim for claim in scenario(log.workload.scenario).shows if claim.startswith("events.")]
    return reason, [Notice(claim, "indeterminate", reason) for claim in of_logs if claim not in judged]


def _judged(log: RunLog) -> set[str]:
    return {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}


_NO_BUILD = (
    "no client was given a build of its own to see the end of",
    "storm, steady, soak and watchers start such builds, where no limit refuses them to the last",
    ("storm", "steady", "soak", "watchers"),
)
_STORM_WAITS = "`touchstone load storm` has clients that come back, where it meets a limit"
# By claim: what a run had none of, which run would have it, and the scenarios that set out to have it.
_IDLE: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "status.build-ends": _NO_BUILD,
    "status.build-does-not-vanish": _NO_BUILD,
    "load.builds-admitted": ("no read of a running build was kept", "give the run builds that take longer", ()),
    "limit.refused-start-starts-nothing": (
        "no version was read after a refused start and before the next one",
        "`touchstone load storm` reads them, where it meets a limit",
        (STORM,),
    ),
    "limit.ends-after-back-off": ("no client that was refused came back", _STORM_WAITS, (STORM,)),
    "limit.retry-after-is-honest": (
        "no client that was refused was served, or refused alone, after as long as Retry-After had said",
        _STORM_WAITS,
        (STORM,),
    ),
    "limit.is-per-key": (
        "no key started alone and then beside another one",
        "`touchstone load fairness` does, with a second key",
        ("fairness",),
    ),
}


def idle_reason(claim: str, log: RunLog) -> str:
    """Why no load rule judged *claim* in a run."""
    lack, elsewhere, scenarios = _IDLE[claim]
    if log.workload is None or log.workload.scenario not in scenarios:
        return f"{lack}; {elsewhere}"
    ended = ending(log)
    why = _unrefused(log, ended) if scenarios == (STORM,) else ""
    why = why or (ended.whole if ended else "")
    return f"{lack}; {why}" if why else lack


def _unrefused(log: RunLog, ended: Ending | None) -> str:
    refused = [attempt for attempt in log.attempts if attempt.status == 429]
    failed = sum(attempt.status >= 500 or not attempt.status for attempt in log.attempts)
    if refused and all(attempt.retry_after_s is None for attempt in refused):
        return f"{plural(len(refused), 'refusal')} came without a Retry-After that can be read"
    if gave_up := sum(attempt.gave_up for attempt in refused):
        return f"{plural(gave_up, 'client')} gave up, as patience_s of the target allows no longer wait; raise it"
    if refused:
        return ""
    if failed:
        return f"no start was answered 429, but {failed:,} with an error or not at all: nobody knows what refused them"
    if ended:
        return Ending(f"no start was refused before {ended.cause}", ended.advice).whole
    return "no start was refused; raise --builds to meet a limit"
