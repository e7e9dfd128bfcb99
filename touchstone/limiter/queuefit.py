"""What answers that were held back say of the queue that held them: its pace, its places, who need not wait; pure.

A queue serves one request in each pace. What comes while it is busy waits for its turn, less what it is spared.

Source: nginx, ngx_http_limit_req_module, ``limit_req … burst= delay=``.
"""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.facts.identity import Interval
from touchstone.facts.observed import Answer
from touchstone.limiter.kinds import Array

# What is held back by less than this share of a pace may have been on its way for so long.
_HELD_SHARE = 0.25
# Pace and turns depend on each other: so often each is found anew.
_ROUNDS = 4
# No clock and no sleep is better than this.
_LEAST_S = 0.0001
# By how many times its blur, and within which shares of a pace, a place may be thought to be free sooner or later.
_BLURS, _LEAST_GRAIN, _MOST_GRAIN = 4.0, 0.02, 0.25
# Answers that are so many times as far from their line as most are on none.
_FAR = 5.0
_OF_NORMAL = 1.4826
# So many answers to one volley lie so close to a line, and the last took so much longer than the first.
_FEWEST, _STEADY, _SPREAD = 4, 0.97, 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer, and how the queue stood when its request came.

    Attributes:
        paces: Until the queue would have been empty, in paces; 0 where it was.
        busy: Which of the times it is in which the queue was never empty.
        place: Which of those that were let in at that time it is, from 0.
        waited: How much longer its answer took than one that need not wait, in paces.
    """

    answer: Answer
    paces: float
    busy: int
    place: int
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Fit:
    """What is known of a queue.

    Attributes:
        blur: How far answers that had to wait are from their turn, in paces: the middle one, and all of them together.
        delay: How many do not have to wait behind the one that is served.
        empty_at: When all that was let in is served.
    """

    pace: Interval
    blur: float
    delay: int
    turns: tuple[Turn, ...]
    empty_at: float

    def off(self, first: int) -> float:
        """How far answers from this one on were from their turn, in paces: the middle one of those that had to wait.

        What all of them are late by is somebody else's turn.
        """
        waits = [(turn.paces - self.delay, turn.waited) for turn in self.turns[first:] if turn.answer.accepted]
        late = [waited - expected for expected, waited in waits if expected > 2 * _HELD_SHARE]
        shift = max(0.0, statistics.median(late)) if late else 0.0
        return statistics.median(abs(one - shift) for one in late) if late else 0.0

    def places(self, first: int, count: int) -> tuple[int, float]:
        """
        The least and the most places that a queue has which let these in and refused those; infinitely many for none.
        """
        grain = min(max(_LEAST_GRAIN, _BLURS * self.blur), _MOST_GRAIN)
        least, most = 0, math.inf
        for turn in self.turns[first : first + count]:
            if turn.answer.accepted:
                least = max(least, math.ceil(turn.paces - grain))
            else:
                # No more can be taken than were let in, whatever the clocks say.
                most = min(most, math.ceil(min(turn.paces + grain, turn.place)) - 1)
        return least, most


def in_turn_s(answers: Sequence[Answer]) -> float:
    """How far apart the answers to requests that went out at once came, where they came one after the other; else 0.

    Those of a server that works at many at once all take about as long, and a network brings them in no such order.
    """
    took_s = np.sort([_took_s(answer) for answer in answers if answer.accepted])
    if len(took_s) < _FEWEST or took_s[-1] - took_s[0] < _SPREAD * took_s[-1]:
        return 0.0
    steps = np.arange(len(took_s))
    steady = float(np.corrcoef(steps, took_s)[0, 1]) ** 2
    return float(np.polyfit(steps, took_s, 1)[0]) if steady >= _STEADY else 0.0


def fit(answers: Sequence[Answer], rough_s: float, afresh: Collection[int] = ()) -> Fit:
    """The pace and the delay that fit all answers best.

    Args:
        rough_s: About how long one takes.
        afresh: Numbers of answers before which the queue had been left alone until it was empty.
    """
    pace, refused = Interval(rough_s, rough_s, rough_s), [_took_s(a) for a in answers if not a.accepted]
    leg_s = (statistics.median(refused) if refused else min(map(_took_s, answers))) / 2
    for _ in range(_ROUNDS):
        found, _ = _turns(answers, pace.value, leg_s, afresh)
        held, _ = _held(found)
        pace = _pace(held, pace.value)
    found, empty_at = _turns(answers, pace.value, leg_s, afresh)
    held, spared = _held(found)
    off = [abs(turn.paces - turn.waited - spared) for turn in held]
    blur = abs(spared - round(spared)) + (statistics.median(off) if off else 0.0)
    return Fit(pace, blur, max(0, round(spared)), found, empty_at)


def _took_s(answer: Answer) -> float:
    return answer.done_at - answer.sent_at


def _turns(
    answers: Sequence[Answer], pace_s: float, leg_s: float, afresh: Collection[int]
) -> tuple[tuple[Turn, ...], float]:
    """Has a queue serve all of *answers*; when it is empty again.

    Args:
        leg_s: From when a request is sent to when the queue meets it.
    """
    empty_at, busy, place, found = -math.inf, -1, 0, []
    for number, answer in enumerate(answers):
        at = answer.sent_at + leg_s
        empty_at = -math.inf if number in afresh else empty_at
        if at >= empty_at and answer.accepted:
            busy, place = busy + 1, 0
        found.append(Turn(answer, max(0.0, (empty_at - at) / pace_s), busy, place))
        if answer.accepted:
            empty_at, place = max(empty_at, at) + pace_s, place + 1
    served_s = statistics.median(_took_s(turn.answer) for turn in found if turn.answer.accepted and not turn.place)
    told = ((turn, (_took_s(turn.answer) - served_s) / pace_s) for turn in found)
    return tuple(Turn(turn.answer, turn.paces, turn.busy, turn.place, waited) for turn, waited in told), empty_at


def _held(found: Sequence[Turn]) -> tuple[list[Turn], float]:
    """Those that waited, and had to; and how many paces they were spared."""
    waited = [turn for turn in found if turn.answer.accepted and turn.place and turn.waited > _HELD_SHARE]
    spared = statistics.median([turn.paces - turn.waited for turn in waited]) if waited else 0.0
    held = [turn for turn in waited if turn.paces - spared > _HELD_SHARE] or waited
    return held, statistics.median([turn.paces - turn.waited for turn in held]) if held else 0.0


def _pace(held: Sequence[Turn], rough_s: float) -> Interval:
    """
    Answers that were held come one pace after the other, as long as the queue is never empty: the slope of those lines.
    """
    groups: dict[int, list[Turn]] = {}
    for turn in held:
        groups.setdefault(turn.busy, []).append(turn)
    lines = [line for group in groups.values() if len(group) > 1 for line in (_line(group),) if len(line) > 1]
    points = np.concatenate([line - line.mean(axis=0) for line in lines]) if lines else np.zeros((0, 2))
    below = float(points[:, 0] @ points[:, 0])
    if not below:
        return Interval(rough_s, 0.9 * rough_s, 1.1 * rough_s)
    slope = float(points[:, 0] @ points[:, 1]) / below
    free = len(points) - len(lines) - 1
    rest = points[:, 1] - slope * points[:, 0]
    blur_s = max(_LEAST_S, math.sqrt(float(rest @ rest) / free)) if free > 0 else 10 * _LEAST_S
    half_s = _student(max(free, 1)) * blur_s / math.sqrt(below)
    return Interval(slope, slope - half_s, slope + half_s)


def _line(group: Sequence[Turn]) -> Array:
    """
    Places and times of answers, but for those that are far from the line of most. On the way one may overtake another.
    """
    places, done = (np.sort([turn.place for turn in group]), np.sort([turn.answer.done_at for turn in group]))
    later = np.triu(np.ones((len(group), len(group)), dtype=bool), 1)
    steps = np.subtract.outer(places, places)[later]
    slope = np.median(np.subtract.outer(done, done)[later] / steps)
    rest = done - slope * places
    rest = np.abs(rest - np.median(rest))
    near = rest <= _FAR * max(_OF_NORMAL * float(np.median(rest)), _LEAST_S)
    line: Array = np.column_stack([places, done])[near]
    return line


def _student(free: int) -> float:
    """How many standard errors hold 95 %, with so many degrees of freedom; within 0.1 from two on."""
    return 1.96 + 2.37 / free + 2.82 / free**2 + 2.6 / free**3 + 2.9 / free**4
