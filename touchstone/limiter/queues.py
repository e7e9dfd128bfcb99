"""A queue: answers that come one after the other at a steady pace, and refusals when it is full; pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus, stream
from touchstone.limiter.queuefit import Fit, fit
from touchstone.limiter.story import Story
from touchstone.limiter.summary import plain

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
