"""
Judges that a start is answered though another version's build runs.
"""

from collections.abc import Iterator
from statistics import median

from touchstone.exchange import Exchange
from touchstone.finding import Judgement
from touchstone.rules.answers import told
from touchstone.rules.course import says_building
from touchstone.rules.history import History
from touchstone.rules.rule import Rule, broken, rule
from touchstone.rules.walk import CLOCK_SHARE

_CLAIM = "start.does-not-wait"
# A shorter wait is no evidence: a slow network explains it as well.
_TELLING_S = 0.2
# A start that waits takes so many times as long as one that has nothing to wait for.
_TIMES_AS_LONG = 3
# One or two slow answers may be chance.
_FEWEST = 2

# A start, one of another version that was answered before, and when the build of that one ends at the soonest.
_Beside = tuple[Exchange, Exchange, float]


@rule("waiting.neighbour", _CLAIM)
def waits_for_a_neighbour(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges starts that were answered no sooner than another version's build can have ended.

    It is told only where most starts that another build ran beside waited so, and the other starts are far quicker.
    """
    if not any(e.operation == "startBuild" and e.elapsed_s >= _TELLING_S for e in history.story(ref)):
        return
    starts = [e for e in history.exchanges if e.operation == "startBuild" and says_building(e)]
    beside = {start.seq: found for start in starts if (found := _beside(start, starts, history))}
    waited = {seq: found for seq, found in beside.items() if found[0].done_at >= found[2]}
    if len(waited) < _FEWEST or 2 * len(waited) <= len(beside):
        return
    usual_s = median([start.elapsed_s for start in starts if start.seq not in beside] or [0.0])
    for start, other, _ in waited.values():
        if start.ref == ref and start.elapsed_s >= _TIMES_AS_LONG * usual_s:
            actual = f"{told(start)} after {start.elapsed_s:.2f} s, when a build of {other.ref} was over"
            yield broken(_CLAIM, other, start, expected="an answer while other builds run", actual=actual)


def _beside(start: Exchange, starts: list[Exchange], history: History) -> _Beside | None:
    """
    The last start of another version whose build surely ran long enough when *start* was sent.
    """
    for other in reversed(starts):
        content = history.content(other.ref or "", other.sent_at)
        if other.ref == start.ref or other.done_at > start.sent_at or content is None:
            continue
        ends_at = other.sent_at + content.sleep_s * CLOCK_SHARE
        cancelled = any(other.sent_at < c.done_at and c.sent_at < start.done_at for c in _cancels(content.ref, history))
        if ends_at - start.sent_at >= _TELLING_S and not cancelled:
            return start, other, ends_at
    return None


def _cancels(ref: str, history: History) -> list[Exchange]:
    return [cancel for cancel in history.cancels if cancel.ref == ref]


STORY_RULES: tuple[Rule[str], ...] = (waits_for_a_neighbour,)
