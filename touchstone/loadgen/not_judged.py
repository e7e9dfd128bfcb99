"""Why a load run, or a claim of it, was not judged: what ended the run, and what it had no occasion for; pure."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from touchstone.check.budget import SILENT_S
from touchstone.facts.events import Header, Notice, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Window, middle_s
from touchstone.facts.wording import plural
from touchstone.loadgen.lateness import last_reports, punctuality
from touchstone.loadgen.metrics import LASTING
from touchstone.loadgen.record import Record
from touchstone.loadgen.workloads import scenario

# What the log says where a threshold ended the run; the end of the case that --max-seconds leaves.
ABORTED = "stopped by --abort-on-fail"
SECONDS = "seconds"

# What only a storm shows, by one client that asks the limit at its end.
ASKED_AT_THE_END = "limit.reads-are-not-charged"
STORM = "storm"

# Fewer requests than these may go astray without a word.
_FEWEST = 3
# What was cut off shows a silence only where some of it had waited for so long: slow answers are no silence.
_WAITED_S = 2.0


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is said of a load run as a whole, each part in the form in which a run log takes it.

    Attributes:
        findings: One for each occasion; occasions of one disagreement have the same id.
        judgements: Held and indeterminate ones.
    """

    findings: tuple[Finding, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    notices: tuple[Notice, ...] = ()


def again(header: Header) -> str:
    """The command that does the same run again: what shows a finding that no single request shows."""
    words = list(header.argv)
    if words and PurePath(words[0]).name.startswith(("touchstone", "__main__")):
        words = words[1:]
    if not words or words[0] != header.command:
        words = [header.command, *words]
    if not any(word == "--seed" or word.startswith("--seed=") for word in words):
        words += ["--seed", str(header.seed)]
    return shlex.join(["touchstone", *words])


# What ended a run


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
    if any(worker.spent_at_s is not None or worker.over_budget for worker in last_reports(log.workers)):
        return Ending("--max-requests ended the run", "raise it")
    if fallen(log.windows):
        return Ending("the target answered nobody any more")
    return None


@dataclass(frozen=True, slots=True)
class Fallen:
    """A silence up to the end of a run.

    Attributes:
        from_s: The second of the run after the last one with an answer.
        unanswered: Requests that were due from then on and got no answer.
        cut_off: Those of them that waited for one when the run was stopped.
        in_all: Requests of the whole run that got no answer.
    """

    from_s: int
    unanswered: int
    cut_off: int
    in_all: int


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
    """A time in which nobody was answered, though somebody waited all along, and after which somebody was.

    Attributes:
        from_s: When the last answer before it had arrived at the latest, in seconds since the run started.
        to_s: When the first one after it arrived at the earliest.
        waiting: Requests that were due before its end, and answered after it or never.
    """

    from_s: float
    to_s: float
    waiting: int


def pauses(windows: Sequence[Window]) -> tuple[Pause, ...]:
    """The pauses of a run that are SILENT_S long at least, in their order.

    Windows show to the second when a request was due, and so when it was answered: a pause is what surely was one.
    """
    answered = sorted(span for window in windows if _is_answered(window) for span in _answered(window))
    sent = [window for window in windows if window.outcome != UNSENT and window.operation not in LASTING]
    found: list[Pause] = []
    until_s = float(min((window.at_s for window in sent), default=0))
    for begins_s, ends_s in answered:
        if begins_s - until_s >= SILENT_S:
            waited = [(window.at_s + 1.0, number) for window in sent if (number := _waited(window, until_s, begins_s))]
            # A target that nobody asks is silent, too, and it is not to blame.
            from_s = max(until_s, min((at_s for at_s, _ in waited), default=begins_s))
            waiting = sum(number for _, number in waited)
            if begins_s - from_s >= SILENT_S and waiting >= _FEWEST:
                found.append(Pause(round(from_s, 3), round(begins_s, 3), waiting))
        until_s = max(until_s, ends_s)
    return tuple(found)


def _waited(window: Window, from_s: float, to_s: float) -> int:
    """How many of its requests were due before *to_s* and were answered only then, or were given up after *from_s*."""
    if window.at_s + 1 > to_s:
        return 0
    ends_at = to_s if _is_answered(window) else from_s - 1
    return sum(count for edge, count in window.response.cells.items() if window.at_s + middle_s(edge) >= ends_at)


def _is_answered(window: Window) -> bool:
    return window.outcome not in (UNSENT, NO_ANSWER, CUT_OFF)


def _answered(window: Window) -> Iterator[tuple[float, float]]:
    """From when to when its answers may have arrived. Where they lie close together, no pause is between them."""
    times = window.response
    if not times.cells:
        return
    if times.max_s - times.min_s < SILENT_S - 1:
        yield window.at_s + middle_s(min(times.cells)), window.at_s + 1 + middle_s(max(times.cells))
        return
    for edge in times.cells:
        yield window.at_s + middle_s(edge), window.at_s + 1 + middle_s(edge)


# What a scenario was to show


def limit_starts(log: RunLog) -> list[Exchange]:
    """The starts of the client that asks the limit at the end of a storm."""
    return [e for e in log.exchanges if "limit" in e.note and e.operation == "startBuild"]


def unasked(log: RunLog) -> Notice | None:
    """Why the starts of that client allow no verdict on whether reads are charged; None where they do."""
    assert log.workload is not None
    if log.workload.scenario != STORM or ASKED_AT_THE_END in _judged(log):
        return None
    starts, ended = limit_starts(log), ending(log)
    failed = next((e for e in starts if e.status != 429 and not 200 <= e.status < 300), None)
    if not log.windows:
        reason = "the load did not begin, and so nobody asked the limit"
    elif not starts:
        reason = f"{ended.words if ended else 'the run ended'} before one client alone asked the limit"
        reason += f"; {ended.advice}" if ended and ended.advice else ""
    elif failed is not None:
        status = f"status {failed.status}" if failed.status else failed.error
        reason = f"one client alone asked the limit, and a start ended with {status}"
    elif not any(exchange.status == 429 for exchange in starts):
        reason = f"one client alone met no limit with {plural(len(starts), 'start')} one after the other"
        if not ended:
            return Notice(ASKED_AT_THE_END, "not-applicable", reason)
        reason += f", and then {ended.whole}"
    else:
        reason = "one client alone met a limit, but did not get through three rounds of it, so that there is nothing "
        reason += f"to compare: {ended.whole if ended else _last_round(starts)}"
    return Notice(ASKED_AT_THE_END, "indeterminate", reason)


def _last_round(starts: Sequence[Exchange]) -> str:
    if starts[-1].status == 429:
        return "it was refused to the last; raise patience_s of the target"
    number = starts[-1].note["limit"]["round"]
    served = sum(start.note["limit"]["round"] == number for start in starts)
    return f"it met none in round {number}, with {plural(served, 'start')}"


def unwatched(log: RunLog) -> tuple[str, list[Notice]]:
    """That some had nothing to watch, since no start of their build was accepted, and which claims that leaves open.

    Whoever reads that every watcher got the whole log must know how many were none.
    """
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


# What a load rule had no occasion for


@dataclass(frozen=True, slots=True)
class Idle:
    """Why a run holds no occasion to judge a claim: another scenario sets out to have one, or this one had none.

    Attributes:
        lack: What there was none of.
        elsewhere: Which run would have it.
        scenarios: Those that set out to have it: of a run of one of them *here* says why it had not.
    """

    lack: str
    elsewhere: str
    scenarios: tuple[str, ...] = ()
    here: Callable[[Record], str] = lambda _record: ""

    def reason(self, record: Record) -> str:
        """The reason for one run."""
        if record.scenario not in self.scenarios:
            return f"{self.lack}; {self.elsewhere}"
        ended = ending(record.log)
        here = self.here(record) or (ended.whole if ended else "")
        return f"{self.lack}; {here}" if here else self.lack


def idle_reason(claim: str, record: Record) -> str:
    """Why no load rule judged *claim* in a run."""
    return _IDLE[claim].reason(record)


def _unrefused(record: Record) -> str:
    """That no start was refused, as far as anybody can tell; empty where one was."""
    if any(start.is_refused for start in record.starts):
        return ""
    if failed := sum(start.status >= 500 or not start.status for start in record.starts):
        return f"no start was answered 429, but {failed:,} with an error or not at all: nobody knows what refused them"
    if ended := ending(record.log):
        return Ending(f"no start was refused before {ended.words}", ended.advice).whole
    return "no start was refused; raise --builds to meet a limit"


def _not_waited(record: Record) -> str:
    """Why nobody came back after the whole wait."""
    refused = [start for start in record.starts if start.is_refused]
    if refused and all(start.retry_after_s is None for start in refused):
        return f"{plural(len(refused), 'refusal')} came without a Retry-After that can be read"
    if gave_up := sum(start.gave_up for start in refused):
        return (
            f"{plural(gave_up, 'client')} gave up, told to wait longer than patience_s of the target allows; raise it"
        )
    return _unrefused(record)


MORE_ROOM = "start fewer builds at once or shorter ones (--build-s), or raise patience_s of the target"

_NO_BUILD = Idle(
    "no client was given a build of its own to see the end of",
    "storm, steady, soak and watchers start such builds, where no limit refuses them to the last",
    ("storm", "steady", "soak", "watchers"),
)
_STORM_WAITS = "those of `touchstone load storm` do, where it meets a limit"
_IDLE: Mapping[str, Idle] = {
    "status.build-ends": _NO_BUILD,
    "status.build-does-not-vanish": _NO_BUILD,
    "load.builds-admitted": Idle("no read of a running build was kept", "give the run builds that take longer"),
    "limit.refused-start-starts-nothing": Idle(
        "no version was read after a refused start and before the next one",
        "`touchstone load storm` reads them, where it meets a limit",
        (STORM,),
        _unrefused,
    ),
    "limit.ends-after-back-off": Idle("no client that was refused came back", _STORM_WAITS, (STORM,), _unrefused),
    "limit.retry-after-is-honest": Idle(
        "no client that was refused was served, or refused alone, after as long as Retry-After had said",
        _STORM_WAITS.replace("do,", "come back,"),
        (STORM,),
        _not_waited,
    ),
    "limit.is-per-key": Idle(
        "no key started alone and then beside another one",
        "`touchstone load fairness` does, with a second key",
        ("fairness",),
    ),
}
