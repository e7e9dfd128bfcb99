"""Stages of a probe besides the search for the rate limit: the opening, a queue, and two caps; no I/O."""

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.probe import Answer, Segment, Stimulus, drain, stream, volley, waits
from touchstone.limiter.belief import plain
from touchstone.limiter.kinds import Array, Mask
from touchstone.limiter.rate_inference import AFTER_S, Story, in_turn_s

CANARY_S = 0.5  # seconds from the first request to the burst: this gap distinguishes a window from a log
# The search for a rate limit ends after this many sequential requests without a refusal; earlier if they take long.
MOST_UNREFUSED, _LONG_S, _FEWER_UNREFUSED = 200, 30.0, 60
_FIRST = 24
_SOON_S, _LATER, _WAITS = 0.1, 1.5, 24  # back-off after a refused first request: first wait, factor, number of waits
_SECOND_REST_S = 1.0  # pause before the second test with one build at a time
# A volley shows a queue if responses are this far apart (seconds; response times) and the last is this late (spreads).
_LEAST_PACE_S, _PACE_TIMES, _SPREAD_TIMES = 0.005, 1.5, 3.0


@dataclass
class Opening:
    """Opening stage: it ends with the first refusal after an acceptance, or after enough requests without a refusal."""

    story: Story
    starts: bool
    most: int
    soak: int = 0  # accepted requests without which the search for a rate limit does not end
    over: bool = False
    queued: bool = False  # whether a queue delays responses
    capped: bool = False  # whether a build cap caused the refusals
    cap: int = 0  # that cap; 0 while it is unknown
    unqueued: bool = False  # whether the supposed queue was disproved
    step_s: float = 0.0  # median interval between the last sequential requests, in seconds
    refilled: bool = False  # whether a start was accepted right after a refused one
    _kept: int = 0  # accepted starts before the refusal whose cause is tested
    _rested: bool = False

    @property
    def beside(self) -> int | None:
        """Number of builds beside which no build cap refuses a start; None if no cap is known."""
        return max(self.cap - 2, 0) if self.capped else None

    @property
    def limited(self) -> bool:
        """Whether a rate limit refused a request."""
        return any(not a.accepted for n, a in enumerate(self.story.answers) if n not in self.story.left_out)

    @property
    def unrefused(self) -> bool:
        """Whether enough requests were accepted to end the search for a rate limit."""
        count = len(self.story.answers)
        is_slow = self.story.seconds > _LONG_S or self.cap > 0
        return count >= max(_FEWER_UNREFUSED if is_slow else MOST_UNREFUSED, self.soak)

    def propose(self, now_at: float) -> Stimulus:
        """Next stimulus."""
        if not (answers := self.story.answers):
            return Stimulus("one request", (Segment((now_at,)),), stage="opening")
        if not any(answer.accepted for answer in answers):
            waits_s = accumulate(_SOON_S * _LATER**number for number in range(_WAITS))
            part = Segment(tuple(now_at + wait_s for wait_s in waits_s), "accepted")
            return Stimulus("wait until one is accepted", (part,), stage="opening")
        if self._kept and not self.refilled:
            return Stimulus("one more", (Segment((now_at,)),), stage="opening")
        if self._kept:
            begins_at = now_at + (_SECOND_REST_S if self._rested else 0.0)
            part = Segment((begins_at,) * (self._kept + 2), "refused", beside=0)
            return Stimulus("one build at a time", (part,), stage="opening")
        size = min(max(_FIRST, len(answers)), self.most - len(answers))
        part = drain(max(now_at, answers[0].sent_at + CANARY_S), max(size, 1))
        part = replace(part, beside=self.beside, quick_s=0.0 if self.unqueued else self.story.served_s)
        return Stimulus("burst", (part,), stage="opening")

    def observe(self, answers: Sequence[Answer]) -> None:
        """Updates the stage with the responses to the stimulus that it proposed."""
        everything = self.story.answers
        if len(answers) > 1:
            self.step_s = statistics.median(b.sent_at - a.sent_at for a, b in pairwise(answers))
        if not answers or not any(answer.accepted for answer in everything):
            return
        if self._kept:
            self._check(answers)
        elif not self.unqueued and waits([each.took_s for each in everything if each.accepted]):
            self.queued = self.over = True
        elif not answers[-1].accepted and len(everything) > 1:
            # Either a rate limit refused the start, or a build cap, because earlier builds have not ended.
            checks = self.starts and not self.capped
            self._kept = sum(answer.accepted for answer in everything) if checks else 0
            self.over = not checks
        else:
            self.over = self.unrefused or len(everything) >= self.most

    def _check(self, answers: Sequence[Answer]) -> None:
        """Tells a rate limit from a build cap: with one build at a time, only a cap accepts more starts."""
        accepted, whole = sum(answer.accepted for answer in answers), not answers[-1].accepted
        if not self.refilled:
            self.refilled = answers[-1].accepted
            self.over = whole
        elif accepted > self._kept:
            self.capped, self.over, self._kept = True, whole, 0
            self.story.alone_from = len(self.story.answers)
            refused = {number for number, answer in enumerate(self.story.answers) if not answer.accepted}
            self.story.left_out |= refused - ({len(self.story.answers) - 1} if whole else set())
        elif whole and (self._rested or accepted < self._kept // 2):
            self.over = True
        elif whole:
            self._rested = True  # the last refusal may be by a rate limit, which accepts more after a pause

    def shows_queue(self, answers: Sequence[Answer]) -> bool:
        """Whether concurrent requests show a queue: steadily paced responses, the last one much later than usual."""
        pace_s = in_turn_s(answers)
        if self.unqueued or pace_s < max(_LEAST_PACE_S, _PACE_TIMES * self.story.served_s):
            return False
        alone = sorted(answer.took_s for answer in self.story.answers[: -len(answers)])
        usual_s = alone[len(alone) * 9 // 10] - alone[len(alone) // 10]
        return max(answer.took_s for answer in answers) > _SPREAD_TIMES * usual_s

    def resume(self, answers: Sequence[Answer]) -> None:
        """Continues after the supposed queue was disproved."""
        self.queued = self.over = False
        self.unqueued = True
        self.observe(answers)


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
_FILLINGS_AGREE, _MOST_FILLINGS = 2, 6  # number of fill bursts that must agree; maximum number of fill bursts
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
        if self.disproved or len(self._full()) < _FILLINGS_AGREE:
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
        bounds = [known.places(one.start, len(one)) for one in full[-_FILLINGS_AGREE:] or self.fillings]
        if not full:
            least = max(low for low, _ in bounds)
            return Interval(least, least, _ENDLESS)
        lows, highs = [low for low, _ in bounds], [high for _, high in bounds]
        if max(lows) <= min(highs):
            return Interval(min(highs), max(lows), min(highs))
        return Interval(highs[-1], min(lows), max(highs))


# Function of a time: how many requests the rate limit accepts then, and when it has recovered completely.
Room = Callable[[float], tuple[int, float]]

_TESTS, _MORE_TESTS, _FEW = 2, 3, 8  # tests of a cap; more tests if the rate limit accepts few starts
# Pause in seconds before a start that a cap must refuse; if _EXTRA such starts are accepted, there is no cap.
_STILL_S, _EXTRA = 0.3, 2
# Pauses in seconds before a start that was refused after a cancel is sent again: the first one, and the longest.
_LEAST_LATE_S, _MOST_LATE_S = 0.1, 2.0
_MOST_WAITS = 2  # most waits until the rate limit accepts a start


@dataclass
class Held:
    """Search for a build cap: starts builds until one is refused; then a cancelled build must let in just one start."""

    room: Room
    most: int
    lasts_s: float = 0.0  # least duration of a build in seconds; 0 if unknown
    cap: int = 0  # builds in flight at a refusal that the rate limit does not explain
    holds_to: int = 0  # most builds in flight so far
    at_once: int = 0  # builds of a volley of which a part was refused
    edges: list[bool] = field(default_factory=list)  # per test: whether a cancelled build let in just one start
    over: bool = False
    disproved: bool = False  # whether the refusals have another cause than a cap
    waits: bool = False  # whether a start that is refused after a cancel is sent again
    late_s: float = 0.0  # longest time in seconds from a cancel to an accepted start, if others were refused between
    _late: bool = False  # whether such a start is due
    _freed_at: float = 0.0  # time of the cancel
    _pause_s: float = 0.0
    _held: int = 0
    _first_at: float = math.inf
    _frees: bool = False
    _tests: bool = False
    _extra: int = 0  # accepted starts before which no build was cancelled
    _last_at: float = 0.0
    _short: bool = False  # whether the rate limit accepts fewer starts than are needed
    _stuck: int = 0

    def begin_anew(self) -> None:
        """Restarts an unfinished search after all held builds have ended."""
        if not self.over:
            self._held, self.cap, self._first_at = 0, 0, math.inf
            self._frees = self._tests = self._late = False
            self.edges.clear()

    def propose(self, now_at: float, left: int) -> Stimulus | None:
        """Next stimulus; None at the end of the search, whether a cap was found or not."""
        if self.over or left < 2:
            return None
        want = 1 if self.cap else self.most - self._held
        at = now_at
        if self._frees:
            at += self.late_s
        elif self.cap or self._late:
            at = max(at, self._last_at + (self._pause_s if self._late else _STILL_S + 2 * self.late_s))
        room, at = room_for(min(want, 2), self.room, at)
        self._short = room < want
        count = min(want, room, left)
        ended = self.lasts_s > 0 and not self.cap and at >= self._first_at + self.lasts_s
        if count < 1 or ended:
            return None
        more = "start one more" if self.cap else f"start {count} builds and keep them in flight"
        name = "cancel one, start one" if self._frees else more
        part = Segment((at,) * count, "refused", holds=True)
        return Stimulus(name, (part,), frees=int(self._frees), stage="builds")

    def observe(self, answers: Sequence[Answer]) -> None:
        """Updates the search with the responses to the stimulus that it proposed."""
        if not answers:
            self._stuck += 1
            self.over = self._stuck > _MOST_WAITS
            return
        accepted = sum(answer.accepted for answer in answers)
        self._last_at = max(answer.done_at for answer in answers)
        if freed := self._frees or self._late or not (self.cap or self._held or accepted):
            self._observe_freed(answers[0])
        if freed and (self.cap or self._late):
            pass  # whether there is a cap is still open
        elif not self.cap:
            self._held += accepted
            self._first_at = min(self._first_at, answers[0].sent_at) if accepted else self._first_at
            self.holds_to = max(self.holds_to, self._held)
            self.cap = 0 if answers[-1].accepted else self._held
            self.over = self._held >= self.most if answers[-1].accepted else not self._held
        elif accepted:
            # A rate limit accepts requests again after some time; a cap does not until a build ends.
            self._extra += 1
            self.holds_to = max(self.holds_to, self.cap + self._extra)
            self.disproved = self._extra >= _EXTRA
        else:
            self.edges += [not self._extra] if self._tests else []
            self._frees, self._extra = True, 0
            few = self.room(answers[0].sent_at)[0] < _FEW and not self.lasts_s
            tests = _MORE_TESTS if few else _TESTS
            self.over = len(self.edges) >= 2 * tests or (len(self.edges) >= tests and all(self.edges[-tests:]))
        if self.disproved:
            self.over, self.cap = True, 0

    def _observe_freed(self, answer: Answer) -> None:
        """Handles the response to a start after a cancel; a refused one is sent again, after a longer pause."""
        self._freed_at = self._freed_at if self._late else answer.sent_at - self.late_s
        late_s = answer.sent_at - self._freed_at
        self._late = not answer.accepted and self.waits and late_s < _MOST_LATE_S
        self.late_s = late_s if answer.accepted else self.late_s
        self._pause_s, self._frees, self._tests = max(late_s, _LEAST_LATE_S), False, self.cap > 0
        self.disproved = not answer.accepted and not self._late

    def hidden(self, *, spent: bool) -> str:
        """Sentence that the rate limit prevented the search for a cap above *holds_to*; empty if it did not."""
        if self.cap or self.disproved or not self._short or not self.holds_to:
            return ""
        why = "within the budget" if spent else f"within the {self.lasts_s:g} s of a build"
        return f"the rate limit hides any build cap above {self.holds_to}: it accepted no more starts {why}"

    def tier(self) -> Tier | None:
        """The cap; None if there is no cap or its value is uncertain."""
        if not self._proven:
            return None
        late = {"late": f"{self.late_s:.2g}"} if self.late_s else {}
        return Tier("builds", f"builds:{self.cap}", {"limit": Interval(self.cap, self.cap, self.cap)}, late)

    @property
    def doubt(self) -> str:
        """Why the refusals are not reported as a cap; empty if a cap is reported or nothing was refused."""
        if self.sure:
            return ""
        if self.late_s:
            late = f"after a cancel, starts were refused for up to {self.late_s:.2g} s"
            return f"{late}: an ended build may keep its place"
        return f"a start was refused with {self.cap} builds in flight; cancelling one did not prove a build cap"

    @property
    def disturbed(self) -> bool:
        """Whether a start was accepted that the cap had to refuse: another limit may have refused starts."""
        return self._extra > 0 or self.disproved

    @property
    def sure(self) -> bool:
        """Whether the result is certain: there is no cap or a proven one, and a cancel frees a place at once."""
        return not self.late_s and (not self.cap or self._proven)

    @property
    def _proven(self) -> bool:
        """Whether the last tests confirm a cap, and it was never higher."""
        tested = bool(self.edges) and all(self.edges[-_TESTS:])
        return self.cap > 0 and tested and self.cap >= self.at_once


def room_for(count: int, room: Room, at: float) -> tuple[int, float]:
    """Number of requests that the rate limit accepts, and the time: *at* if it accepts *count* then, else later."""
    now, full_at = room(at)
    if now >= count or full_at <= at:
        return now, at
    return room(full_at + AFTER_S)[0], full_at + AFTER_S


AT_ONCE = 16  # size of the first volley
_VOLLEYS_AGREE, _MOST_REFUSED = 3, 9  # volleys that must show the same cap; maximum number of volleys with refusals
_VOLLEY_REST_S, _REST_TIMES = 0.2, 2.0
_LEAST_ERROR_S = 0.002  # least error of response times, in seconds


@dataclass
class InFlight:
    """Search for a concurrency cap: sends volleys (concurrent requests)."""

    room: Room
    uncapped_to: int = 0  # largest volley without a refusal
    volley_caps: list[int] = field(default_factory=list)  # accepted requests of each volley with refusals
    over: bool = False
    disproved: bool = False  # whether the refusals have another cause than a cap
    taken_back: bool = False  # whether the last volley disproved an earlier cap
    _checks: bool = False
    _free_at: float = 0.0
    _in_turn_s: float = 0.0
    _served_s: list[float] = field(default_factory=list)
    _refused_s: list[float] = field(default_factory=list)

    def propose(self, now_at: float, left: int) -> Stimulus | None:
        """Next stimulus; None at the end of the search, whether a cap was found or not."""
        if self.over:
            return None
        most = max(self.volley_caps, default=0)
        want = most + (1 if self._checks else 2) if self.volley_caps else AT_ONCE
        room, at = room_for(want, self.room, max(now_at, self._free_at))
        count = min(want, room, left)
        if self._checks:
            part = Segment((at,) * max(1, count), "refused")
            return Stimulus(f"{len(part.at)} one by one", (part,), stage="in flight")
        if count < 2 or count <= (most if self.volley_caps else self.uncapped_to):
            return None
        return Stimulus(f"{count} at once", (volley(at, count),), stage="in flight")

    def observe(self, answers: Sequence[Answer]) -> None:
        """Updates the search with the responses to the stimulus that it proposed."""
        if not answers:
            return
        accepted = sum(answer.accepted for answer in answers)
        self.disproved = not accepted or (self._checks and accepted < len(answers))
        rest_s = max(_VOLLEY_REST_S, _REST_TIMES * max(answer.took_s for answer in answers))
        self._free_at = max(answer.done_at for answer in answers) + rest_s
        if self._checks or self.disproved:
            self._checks, self.over = False, self.over or self.disproved
        elif accepted == len(answers):
            self.uncapped_to = max(self.uncapped_to, accepted)
            self.over = True
            self.taken_back = any(one < accepted for one in self.volley_caps)
            self.volley_caps = [one for one in self.volley_caps if one >= accepted]
        else:
            self.volley_caps.append(accepted)
            self._in_turn_s = in_turn_s(answers)
            self._served_s += [answer.took_s for answer in answers if answer.accepted]
            self._refused_s += [answer.took_s for answer in answers if not answer.accepted]
            self._checks = len(self.volley_caps) == 1
            agree = len(self.volley_caps) >= _VOLLEYS_AGREE and len(set(self.volley_caps[-_VOLLEYS_AGREE:])) == 1
            self.over = agree or len(self.volley_caps) >= _MOST_REFUSED

    @property
    def doubt(self) -> str:
        """Why the refusals are not reported as a cap; empty if a cap is reported or nothing was refused."""
        if self.sure:
            return ""
        if self._is_queue and self._agree:
            return (
                f"{self.volley_caps[0]} of the requests sent at once were accepted and answered one after the other, "
                f"{self._in_turn_s:.3g} s apart: this may be a concurrency cap or a queue"
            )
        least, most = min(self.volley_caps), max(self.volley_caps)
        few = f"{least}" if least == most else f"{least} to {most}"
        return f"{few} of the requests sent at once were accepted, the rest refused: no cap fits all volleys"

    def tier(self) -> Tier | None:
        """The cap; None if there is no cap or its value is uncertain."""
        if not self.volley_caps or self.disproved or not self.sure:
            return None
        value = self.volley_caps[0]
        # A request counts against the cap for the time by which accepted responses take longer than refused ones.
        takes_s = statistics.median(self._served_s) - statistics.median(self._refused_s)
        half_s = max(_LEAST_ERROR_S, (max(self._served_s) - min(self._served_s)) / 2)
        options = {"takes": plain(Interval(takes_s, takes_s - half_s, takes_s + half_s))} if takes_s > half_s else {}
        text = f"concurrency:{value}" + "".join(f",takes={takes}" for takes in options.values())
        return Tier("concurrency", text, {"limit": Interval(value, value, value)}, options)

    @property
    def sure(self) -> bool:
        """Whether the result is certain: there is no cap, or enough volleys agree on the cap."""
        return self.disproved or not self.volley_caps or (self._agree and not self._is_queue)

    @property
    def _agree(self) -> bool:
        return len(self.volley_caps) >= _VOLLEYS_AGREE and len(set(self.volley_caps)) == 1

    @property
    def _is_queue(self) -> bool:
        return self._in_turn_s >= _LEAST_PACE_S
