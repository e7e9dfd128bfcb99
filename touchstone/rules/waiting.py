"""Judges that a start is answered though a build runs already, of another version or of its own, or a log is open."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import SUCCESS, told
from touchstone.rules.course import says_building
from touchstone.rules.eventlog import follows
from touchstone.rules.history import History
from touchstone.rules.rule import Rule, broken, held, rule
from touchstone.rules.walk import CLOCK_SHARE

_CLAIM = "start.does-not-wait"
# A shorter wait is no evidence: a slow network explains it as well.
_TELLING_S = 0.2
# A start that waits takes so many times as long as one that has nothing to wait for.
_TIMES_AS_LONG = 3
# One or two slow answers may be chance.
_FEWEST = 2

# A start, what it can have waited for, and when that is over at the soonest: a build by its start, or an open log.
_Beside = tuple[Exchange, Exchange, float]


@dataclass(frozen=True, slots=True)
class _Run:
    """A build that a start was promised.

    Attributes:
        ends_at: When its steps are over at the soonest.
        until_at: When its version was changed.
        cancels: Of its version, whenever they were sent.
    """

    start: Exchange
    ends_at: float
    until_at: float
    cancels: tuple[Exchange, ...]


@rule("waiting.running", _CLAIM)
def waits_for_a_running_build(ref: str, history: History) -> Iterator[Judgement]:
    """Judges starts that were answered no sooner than a build that ran already can have ended.

    It is told only where most starts beside a build of another version, of their own, or beside an open log, waited so,
    and the other starts are far quicker.
    """
    starts, runs = history.overall(_starts), history.overall(_runs)
    for other, start in pairwise(starts):
        if start.ref == ref and other.seq in runs:
            found = _build_beside(start, (runs[other.seq],), own=other.ref == ref)
            if found and start.done_at < found[2]:
                yield held(_CLAIM, other, start)
    slow = [start for start in starts if start.ref == ref and start.elapsed_s >= _TELLING_S]
    for beside in history.overall(_beside) if slow else ():
        waited = [found for found in beside.values() if found[0].done_at >= found[2]]
        if len(waited) < _FEWEST or 2 * len(waited) <= len(beside):
            continue
        usual_s = median([start.elapsed_s for start in starts if start.seq not in beside] or [0.0])
        for start, other, _ in waited:
            if start.ref == ref and start.elapsed_s >= _TIMES_AS_LONG * usual_s:
                what = "log" if other.operation == "streamBuildEvents" else "build"
                actual = f"{told(start)} after {start.elapsed_s:.2f} s, when the {what} of {other.ref} was over"
                yield broken(_CLAIM, other, start, expected="an answer while builds run", actual=actual)


# These are about all versions: worked out once for all of them, since a load run has thousands.


def _starts(history: History) -> tuple[Exchange, ...]:
    return tuple(e for e in history.exchanges if e.operation == "startBuild" and e.status in SUCCESS)


def _runs(history: History) -> dict[int, _Run]:
    """What the starts began, by their ``seq``."""
    cancels: dict[str | None, list[Exchange]] = {}
    for cancel in history.cancels:
        cancels.setdefault(cancel.ref, []).append(cancel)
    found = {}
    for start in history.overall(_starts):
        content = history.content(start.ref or "", start.sent_at)
        if content is not None and says_building(start):
            ends_at = start.sent_at + content.sleep_s * CLOCK_SHARE
            found[start.seq] = _Run(start, ends_at, content.until_at, tuple(cancels.get(start.ref, ())))
    return found


def _beside(history: History) -> tuple[dict[int, _Beside], ...]:
    """What each start can have waited for, by its ``seq``: a build of another version, of its own, or a log."""
    starts, runs = history.overall(_starts), tuple(history.overall(_runs).values())
    logs = [e for e in history.exchanges if follows(e)]
    return (
        {start.seq: found for start in starts if (found := _build_beside(start, runs, own=False))},
        {start.seq: found for start in starts if (found := _build_beside(start, runs, own=True))},
        {start.seq: found for start in starts if (found := _log_beside(start, logs))},
    )


def _log_beside(start: Exchange, logs: Iterable[Exchange]) -> _Beside | None:
    """The log that was open last of those that this account followed when *start* was sent."""
    open_since = [
        e
        for e in logs
        if e.credential == start.credential and e.head_at <= start.sent_at and e.done_at >= start.sent_at + _TELLING_S
    ]
    last = max(open_since, key=lambda e: e.done_at, default=None)
    return (start, last, last.done_at) if last else None


def _build_beside(start: Exchange, runs: Iterable[_Run], *, own: bool) -> _Beside | None:
    """
    The start of the build, of the same version or of another one, that surely ran long enough when *start* was sent.
    """
    for run in runs:
        other = run.start
        if run.ends_at - start.sent_at < _TELLING_S or other.done_at > start.sent_at or (other.ref == start.ref) != own:
            continue
        cancelled = any(other.sent_at < c.done_at and c.sent_at < start.done_at for c in run.cancels)
        if run.until_at >= start.done_at and not cancelled:
            return start, other, run.ends_at
    return None


STORY_RULES: tuple[Rule[str], ...] = (waits_for_a_running_build,)
