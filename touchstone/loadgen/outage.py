"""
A target that answers nobody any more, or answered nobody for a while: noticed under load, and told afterwards; pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from touchstone.check.outage import SILENT_S
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Window, middle_s
from touchstone.loadgen.totals import LASTING

# Fewer requests than these may go astray without a word.
_FEWEST = 3
# What was cut off tells of silence only where some of it had waited for so long: slow answers are no silence.
_WAITED_S = 2.0


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
    """The silence that a run ended in; None where the target still answered, or was hardly asked."""
    sent = [window for window in windows if window.outcome != UNSENT]
    heard_s = max((w.at_s for w in sent if _is_heard(w)), default=-1)
    vain = [window for window in sent if window.at_s > heard_s]
    cut_off = [window for window in vain if window.outcome == CUT_OFF]
    unanswered, cut = sum(w.count for w in vain), sum(w.count for w in cut_off)
    has_lasted = unanswered - cut >= _FEWEST or max((w.service.max_s for w in cut_off), default=0.0) >= _WAITED_S
    if unanswered < _FEWEST or not has_lasted:
        return None
    return Fallen(min(w.at_s for w in vain), unanswered, cut, sum(w.count for w in sent if not _is_heard(w)))


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

    Windows tell to the second when a request was due, and so when it was answered. What is said of a pause is what
    surely was.
    """
    heard = sorted(span for window in windows if _is_heard(window) for span in _heard(window))
    asked = [window for window in windows if window.outcome != UNSENT and window.operation not in LASTING]
    found: list[Pause] = []
    until_s = float(min((window.at_s for window in asked), default=0))
    for begins_s, ends_s in heard:
        if begins_s - until_s >= SILENT_S:
            waited = [(window.at_s + 1.0, number) for window in asked if (number := _waited(window, until_s, begins_s))]
            # A target that nobody asks is silent, too, and it is not to blame.
            from_s = max(until_s, min((at_s for at_s, _ in waited), default=begins_s))
            waiting = sum(number for _, number in waited)
            if begins_s - from_s >= SILENT_S and waiting >= _FEWEST:
                found.append(Pause(round(from_s, 3), round(begins_s, 3), waiting))
        until_s = max(until_s, ends_s)
    return tuple(found)


def _waited(window: Window, from_s: float, to_s: float) -> int:
    """How many of its requests were due before *to_s* and were answered only then, or were given up after *from_s*."""
    # It tells to the second when they were due.
    if window.at_s + 1 > to_s:
        return 0
    ends_at = to_s if _is_heard(window) else from_s - 1
    return sum(count for edge, count in window.response.cells.items() if window.at_s + middle_s(edge) >= ends_at)


def _is_heard(window: Window) -> bool:
    return window.outcome not in (UNSENT, NO_ANSWER, CUT_OFF)


def _heard(window: Window) -> Iterator[tuple[float, float]]:
    """From when to when its answers may have arrived. Where they lie close together, no pause is between them."""
    times = window.response
    if not times.cells:
        return
    if times.max_s - times.min_s < SILENT_S - 1:
        yield window.at_s + middle_s(min(times.cells)), window.at_s + 1 + middle_s(max(times.cells))
        return
    for edge in times.cells:
        yield window.at_s + middle_s(edge), window.at_s + 1 + middle_s(edge)
