"""Search for a queue in front of the target: it responds at a steady pace, and refuses when it is full; no I/O."""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.probe import Answer, Stimulus, stream
from touchstone.limiter.belief import plain
from touchstone.limiter.kinds import Array, Mask
from touchstone.limiter.story import Story

_DELAYED_SHARE = 0.25  # least delay by the queue, in paces (seconds per request); the network may cause shorter ones
_ROUNDS = 4  # iterations of the fit: pace and places depend on each other
_LEAST_S = 0.0001  # resolution of clocks and sleeps, in seconds
_BLURS, _LEAST_GRAIN, _MOST_GRAIN = 4.0, 0.02, 0.25  # error of when a place becomes free: in blurs; bounds in paces
_FAR, _OF_NORMAL = 5.0, 1.4826  # outliers: standard deviations; standard deviation / median deviation


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted queue, and its state at each request."""

    pace: Interval  # seconds that the queue takes for each request
    blur: float  # distance of delayed responses from their expected times, in paces
    delay: int  # requests in excess of the pace that pass without a wait
    empty_at: float  # time at which the queue has served all accepted requests
    accepted: Mask
    paces: Array  # time until the queue is empty, in paces
    place: Array  # accepted requests before this request since the queue was empty
    waited: Array  # response time in excess of that without a wait, in paces

    def off(self, first: int) -> float:
        """Median of how far the delayed responses, from index *first* on, come from the steady pace; unit: one pace."""
        expected = self.paces[first:] - self.delay
        late = (self.waited[first:] - expected)[self.accepted[first:] & (expected > 2 * _DELAYED_SHARE)]
        return float(np.median(np.abs(late - max(0.0, np.median(late))))) if len(late) else 0.0

    def places(self, first: int, count: int) -> tuple[int, float]:
        """Smallest and largest queue size that explain *count* responses from *first* on, up to infinity."""
        grain = min(max(_LEAST_GRAIN, _BLURS * self.blur), _MOST_GRAIN)
        part = slice(first, first + count)
        accepted, paces = self.accepted[part], self.paces[part]
        least = np.ceil(paces[accepted] - grain)
        # No more places can be occupied than requests were accepted.
        most = np.ceil(np.minimum(paces + grain, self.place[part])[~accepted]) - 1
        return int(max(least, default=0)), float(min(most, default=math.inf))


def fit(answers: Sequence[Answer], rough_s: float, afresh: Collection[int] = ()) -> Fit:
    """Fits pace and delay to all responses; before each response with an index in *afresh*, the queue was empty."""
    took_s, done_at = (np.array(values) for values in zip(*((a.took_s, a.done_at) for a in answers), strict=True))
    accepted, pace = np.array([answer.accepted for answer in answers]), Interval(rough_s, rough_s, rough_s)
    # One-way time from the client to the queue, in seconds.
    leg_s = float(took_s.min() if accepted.all() else np.median(took_s[~accepted])) / 2
    for number in range(_ROUNDS + 1):
        paces, busy, place, empty_at = _turns(answers, pace.value, leg_s, afresh)
        waited = (took_s - np.median(took_s[accepted & (place == 0)])) / pace.value
        waits = accepted & (place > 0) & (waited > _DELAYED_SHARE)
        delayed = waits & (paces - _middle((paces - waited)[waits]) > _DELAYED_SHARE)
        delayed = delayed if delayed.any() else waits
        free = _middle((paces - waited)[delayed])
        if number < _ROUNDS:
            groups = [delayed & (busy == one) for one in np.unique(busy[delayed])]
            pace = _pace([_line(place[mine], done_at[mine]) for mine in groups if mine.sum() > 1], pace.value)
    blur = abs(free - round(free)) + _middle(np.abs(paces - waited - free)[delayed])
    return Fit(pace, blur, max(0, round(free)), empty_at, accepted, paces, place, waited)


def _middle(values: Array) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _turns(
    answers: Sequence[Answer], pace_s: float, leg_s: float, afresh: Collection[int]
) -> tuple[Array, Array, Array, float]:
    """Simulates the queue; returns each request's wait in paces, busy period and place, and when the queue is empty."""
    empty_at, busy, place, found = -math.inf, -1, 0, []
    for number, answer in enumerate(answers):
        at = answer.sent_at + leg_s
        empty_at = -math.inf if number in afresh else empty_at
        if at >= empty_at and answer.accepted:
            busy, place = busy + 1, 0
        found.append((max(0.0, (empty_at - at) / pace_s), busy, place))
        if answer.accepted:
            empty_at, place = max(empty_at, at) + pace_s, place + 1
    paces, times, places = np.array(found, dtype=np.float64).T
    return paces, times, places, empty_at


def _pace(lines: Sequence[Array], rough_s: float) -> Interval:
    """Seconds per request, with 95 % interval. Each of *lines* has places in a queue and their response times."""
    lines = [line - line.mean(axis=0) for line in lines if len(line) > 1]
    points = np.concatenate([np.zeros((0, 2)), *lines])
    below = float(points[:, 0] @ points[:, 0])
    if not below:
        return Interval(rough_s, 0.9 * rough_s, 1.1 * rough_s)
    slope = float(points[:, 0] @ points[:, 1]) / below
    free = len(points) - len(lines) - 1
    rest = points[:, 1] - slope * points[:, 0]
    blur_s = max(_LEAST_S, math.sqrt(float(rest @ rest) / free)) if free > 0 else 10 * _LEAST_S
    # Quantile of Student's t, to within a tenth from four degrees of freedom on.
    errors = 1.96 + 2.4 / max(free, 1) + 8 / max(free, 1) ** 2
    half_s = errors * blur_s / math.sqrt(below)
    return Interval(slope, slope - half_s, slope + half_s)


def _line(places: Array, done: Array) -> Array:
    """Places and times of the responses that lie on one line; leaves out outliers."""
    places, done = np.sort(places), np.sort(done)
    later = np.triu(np.ones((len(done), len(done)), dtype=bool), 1)
    slope = np.median((np.subtract.outer(done, done) / np.subtract.outer(places, places).clip(max=-1))[later])
    rest = done - slope * places
    rest = np.abs(rest - np.median(rest))
    near = rest <= _FAR * max(_OF_NORMAL * float(np.median(rest)), _LEAST_S)
    return np.asarray(np.column_stack([places, done])[near])


_SIZES = (48, 120)  # requests of a burst that fills the queue, while no burst had a refusal
_AGREE, _MOST_FILLINGS = 2, 6  # number of fill bursts that must agree; maximum number of fill bursts
_NARROW, _NARROW_ENOUGH = 0.019, 0.05  # largest relative width of the pace's interval; the same after the last burst
_MOST_BLUR = 0.3  # in paces; with a larger blur, places cannot be distinguished
# Gap in a fill burst: at least these seconds, response times and share of a pace; at most a share; grows each time.
_LEAST_GAP_S, _GAP_ANSWERS, _LEAST_SHARE, _MOST_SHARE, _OTHER_SHARE = 0.002, 2.0, 0.0125, 0.125, 0.15
_SPARE = 4  # requests of a fill burst in excess of the places
_ENDLESS = 10_000.0  # upper bound on the places of a queue that refused nothing
_LAST = 4  # responses at the end of the opening that give a rough pace
_MOST_OFF = 0.5  # responses further from their expected times, in paces, are not from a queue


@dataclass
class Queues:
    """Search for a queue: fills the queue at least twice, until a request is refused."""

    story: Story
    fillings: list[range] = field(default_factory=list)  # indices of the responses to each fill burst
    disproved: bool = False  # whether responses turned out not to wait for each other

    def propose(self, now_at: float, left: int) -> Stimulus | None:
        """Next stimulus; None once the queue is known or cannot be identified."""
        full = self._full()
        size = len(self.fillings) - len(full)
        if self.disproved or self.settled or size >= len(_SIZES) or len(self.fillings) >= _MOST_FILLINGS or left < 2:
            return None
        known = self._known()
        pace_s = known.pace.value
        # The first fill burst follows the opening directly; all others start one pace after the queue is empty.
        at = max(now_at, known.empty_at + pace_s) if self.fillings else now_at
        gap_s = max(_GAP_ANSWERS * self.story.quickest_s, _LEAST_GAP_S, _LEAST_SHARE * pace_s)
        # Each burst has another gap; otherwise the last request might always come just when a place becomes free.
        gap_s = min(gap_s, _MOST_SHARE * pace_s) * (1 + _OTHER_SHARE * len(self.fillings))
        count = round((self._places().high + 2) * (1 + gap_s / pace_s)) + _SPARE if full else _SIZES[size]
        return Stimulus("fill the queue", (stream(at, min(count, left), gap_s),), stage="queue")

    def observe(self, answers: Sequence[Answer]) -> None:
        """Updates the search with the responses to the stimulus that it proposed."""
        if not answers:
            return
        first = len(self.story.answers) - len(answers)
        self.fillings.append(range(first, len(self.story.answers)))
        self.disproved = self._known().off(first) > _MOST_OFF

    def _known(self) -> Fit:
        burst = self.story.answers[: self.fillings[0].start if self.fillings else None]
        done = sorted(answer.done_at for answer in burst if answer.accepted)[-_LAST:]
        rough_s = statistics.median(b - a for a, b in pairwise(done))
        return fit(self.story.answers, rough_s, {one.start for one in self.fillings[1:]})

    def _full(self) -> list[range]:
        return [one for one in self.fillings if not all(self.story.answers[number].accepted for number in one)]

    @property
    def settled(self) -> bool:
        """Whether enough bursts agree on the number of places, and the pace is exact enough."""
        if self.disproved or len(self._full()) < _AGREE:
            return False
        places, known = self._places(), self._known()
        most = _NARROW if len(self.fillings) < _MOST_FILLINGS else _NARROW_ENOUGH
        narrow = known.pace.high <= (1 + most) * known.pace.low and known.blur <= _MOST_BLUR
        return narrow and places.low == places.high

    def tier(self) -> Tier | None:
        """The queue with its parameters so far; None before the first burst that fills it, or if it was disproved."""
        if not self.fillings or self.disproved:
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
        """Number of places of the queue, by the last bursts with a refusal; by all bursts if none had a refusal."""
        known, full = self._known(), self._full()
        bounds = [known.places(one.start, len(one)) for one in full[-_AGREE:] or self.fillings]
        if not full:
            least = max(low for low, _ in bounds)
            return Interval(least, least, _ENDLESS)
        lows, highs = [low for low, _ in bounds], [high for _, high in bounds]
        if max(lows) <= min(highs):
            return Interval(min(highs), max(lows), min(highs))
        return Interval(highs[-1], min(lows), max(highs))
