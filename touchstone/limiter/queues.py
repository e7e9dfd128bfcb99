"""A queue: answers that come one after the other at a steady pace, and refusals when it is full; pure."""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus, stream
from touchstone.limiter.kinds import Array
from touchstone.limiter.story import Story
from touchstone.limiter.summary import plain

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


# It is filled with so many at most until one is refused.
_SIZES = (48, 120)
# So many fillings have to show the same before it counts, of so many at most.
_AGREE, _MOST_SEEN = 2, 6
# How far apart the ends of what is known of the pace may be, as a share of it; and where more would not help.
_NARROW, _NARROW_ENOUGH = 0.019, 0.05
# Where answers are off by more, in paces, turns cannot be told apart.
_MOST_BLUR = 0.3
# From one request of a filling to the next: what two answers take, so that few are sent after the first refusal, and
# between these shares of a pace, so that few are served meanwhile.
_LEAST_GAP_S, _GAP_ANSWERS, _LEAST_SHARE, _MOST_SHARE = 0.002, 2.0, 0.0125, 0.125
# By how much more of itself with each filling.
_OTHER_SHARE = 0.15
# More than a filling is thought to take.
_SPARE = 4
# How long it is empty before the next filling, in paces.
_IDLE_PACES = 1.0
# Places of which no end was met.
_ENDLESS = 10_000.0
# The last answers of the burst tell a rough pace.
_LAST = 4
# Answers that are so far from their turn, in paces, did not wait for it.
_MOST_OFF = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """Which of all answers a filling brought."""

    first: int
    count: int
    refused: int


@dataclass
class Queues:
    """The part of a probe that looks at a queue: fills it until one is refused, twice.

    Attributes:
        disproved: Whether answers did not wait for each other: what was thought to be a queue is none.
    """

    story: Story
    seen: list[_Seen] = field(default_factory=list)
    disproved: bool = False
    _rough_s: float = 0.0
    _fit: Fit | None = None

    def ask(self, now_at: float, left: int) -> Stimulus | None:
        """What is sent next; None where the queue is known, or cannot be."""
        full = [one for one in self.seen if one.refused]
        size = len(self.seen) - len(full)
        if self.disproved or self.settled or size >= len(_SIZES) or len(self.seen) >= _MOST_SEEN or left < 2:
            return None
        known = self._known()
        pace_s = known.pace.value
        # The first one goes on from where the burst has left it; all others find it empty.
        at = max(now_at, known.empty_at + _IDLE_PACES * pace_s) if self.seen else now_at
        gap_s = max(_GAP_ANSWERS * self.story.quickest_s, _LEAST_GAP_S, _LEAST_SHARE * pace_s)
        # Each at another one, so that the request that decides does not come each time just as a place is freed.
        gap_s = min(gap_s, _MOST_SHARE * pace_s) * (1 + _OTHER_SHARE * len(self.seen))
        count = _SIZES[size]
        if full:
            count = round((self._places().high + 2) * (1 + gap_s / pace_s)) + _SPARE
        return Stimulus("fill the queue", (stream(at, min(count, left), gap_s),), stage="queue")

    def hear(self, answers: Sequence[Answer]) -> None:
        """Takes in what came of it."""
        if not answers:
            return
        first = len(self.story.answers) - len(answers)
        self._known(first)
        self.seen.append(_Seen(first, len(answers), sum(not answer.accepted for answer in answers)))
        self._fit = None
        self.disproved = self._known().off(first) > _MOST_OFF

    def _known(self, until: int | None = None) -> Fit:
        """What all answers say. The burst at the beginning tells a rough pace, from which all else is found."""
        answers = self.story.answers[:until]
        if not self._rough_s:
            done = sorted(answer.done_at for answer in answers if answer.accepted)[-_LAST:]
            self._rough_s = statistics.median(b - a for a, b in pairwise(done))
        if self._fit is None or until is not None:
            self._fit = fit(answers, self._rough_s, {one.first for one in self.seen[1:]})
        return self._fit

    def _bounds(self, one: _Seen) -> tuple[int, float]:
        """How many places it has at least and at most, by one filling."""
        return self._known().places(one.first, one.count)

    @property
    def settled(self) -> bool:
        """Whether enough fillings agree."""
        if self.disproved or sum(one.refused > 0 for one in self.seen) < _AGREE:
            return False
        places = self._places()
        return places.low == places.high and self._is_narrow()

    def _is_narrow(self) -> bool:
        """Whether turns can be told apart, and the pace is known well enough.

        A little less is enough where more fillings would not help.
        """
        pace = self._known().pace
        most = _NARROW if len(self.seen) < _MOST_SEEN else _NARROW_ENOUGH
        return pace.high <= (1 + most) * pace.low and self._known().blur <= _MOST_BLUR

    def tier(self) -> Tier | None:
        """The queue, as far as it is known."""
        if not self.seen or self.disproved:
            return None
        known, places = self._known(), self._places()
        pace, count = known.pace, int(places.value)
        options = {"burst": str(count)} | ({"delay": str(known.delay)} if known.delay > 0 else {})
        text = f"leaky-bucket:1/{plain(pace)}" + "".join(f",{name}={value}" for name, value in options.items())
        numbers = {
            "burst": places,
            "delay": Interval(known.delay, known.delay, known.delay),
            "rate_per_s": Interval(1 / pace.value, 1 / pace.high, 1 / pace.low),
        }
        return Tier("leaky-bucket", text, numbers, options)

    def _places(self) -> Interval:
        """How many may wait, by the last fillings of which one was refused; without any, by all of them."""
        full = [self._bounds(one) for one in self.seen if one.refused][-_AGREE:]
        if not full:
            least = max(self._bounds(one)[0] for one in self.seen)
            return Interval(least, least, _ENDLESS)
        lows, highs = [low for low, _ in full], [high for _, high in full]
        if max(lows) <= min(highs):
            return Interval(min(highs), max(lows), min(highs))
        return Interval(highs[-1], min(lows), max(highs))
