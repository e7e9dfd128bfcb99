"""
Judges that a start is answered though a build runs already, of another version or of its own, or a log is open.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from statistics import median

from touchstone.exchange import Exchange
from touchstone.finding import Judgement
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


@rule("waiting.running", _CLAIM)
def waits_for_a_running_build(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges starts that were answered no sooner than a build that ran already can have ended.

    It is told only where most starts beside a build of another version, of their own, or beside an open log, waited so,
    and the other starts are far quicker.
    """
    starts = [e for e in history.exchanges if e.operation == "startBuild" and e.status in SUCCESS]
    for other, start in pairwise(starts):
        found = _build_beside(start, [other], history, own=other.ref == start.ref) if start.ref == ref else None
        if found and start.done_at < found[2]:
            yield held(_CLAIM, other, start)
    if not any(start.ref == ref and start.elapsed_s >= _TELLING_S for start in starts):
        return
    for find in (partial(_build_beside, own=False), partial(_build_beside, own=True), _log_beside):
        beside = {start.seq: found for start in starts if (found := find(start, starts, history))}
        waited = [found for found in beside.values() if found[0].done_at >= found[2]]
        if len(waited) < _FEWEST or 2 * len(waited) <= len(beside):
            continue
        usual_s = median([start.elapsed_s for start in starts if start.seq not in beside] or [0.0])
        for start, other, _ in waited:
            if start.ref == ref and start.elapsed_s >= _TIMES_AS_LONG * usual_s:
                what = "log" if other.operation == "streamBuildEvents" else "build"
                actual = f"{told(start)} after {start.elapsed_s:.2f} s, when the {what} of {other.ref} was over"
                yield broken(_CLAIM, other, start, expected="an answer while builds run", actual=actual)


def _log_beside(start: Exchange, _: list[Exchange], history: History) -> _Beside | None:
    """
    The log that was open last of those that this account followed when *start* was sent.
    """
    open_since = [
        e
        for e in history.exchanges
        if follows(e)
        and e.credential == start.credential
        and e.head_at <= start.sent_at
        and e.done_at >= start.sent_at + _TELLING_S
    ]
    last = max(open_since, key=lambda e: e.done_at, default=None)
    return (start, last, last.done_at) if last else None


def _build_beside(start: Exchange, starts: list[Exchange], history: History, *, own: bool) -> _Beside | None:
    """
    The start of the build, of the same version or of another one, that surely ran long enough when *start* was sent.
    """
    for other in starts:
        content = history.content(other.ref or "", other.sent_at)
        if (other.ref == start.ref) != own or other.done_at > start.sent_at or not says_building(other):
            continue
        if content is None or content.until_at < start.done_at:
            continue
        ends_at = other.sent_at + content.sleep_s * CLOCK_SHARE
        cancelled = any(other.sent_at < c.done_at and c.sent_at < start.done_at for c in _cancels(content.ref, history))
        if ends_at - start.sent_at >= _TELLING_S and not cancelled:
            return start, other, ends_at
    return None


def _cancels(ref: str, history: History) -> list[Exchange]:
    return [cancel for cancel in history.cancels if cancel.ref == ref]


STORY_RULES: tuple[Rule[str], ...] = (waits_for_a_running_build,)
