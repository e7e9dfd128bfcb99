"""
A queue: answers that come one after the other at a steady pace, and refusals when it is full; pure.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from touchstone.limiter.identity import Interval, Tier
from touchstone.limiter.observed import Answer
from touchstone.limiter.stimulus import Stimulus, volley
from touchstone.limiter.story import Story
from touchstone.limiter.summary import plain

_SIZES = (5, 12, 26, 50, 100)
# So many volleys have to show the same before it counts.
_AGREE = 2
# From the last answer to a volley to the next volley, in times of what one request takes.
_IDLE_TIMES = 2.0
# How far from when it was its turn an answer may come.
_BLUR_S = 0.002


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    What one volley showed: how many were accepted, how many of them at once, and the pace of the others.
    """

    accepted: int
    at_once: int
    refused: int
    pace_s: float
    spread_s: float


@dataclass
class Queues:
    """
    The part of a probe that looks at a queue: volleys, each larger than the last until some of one are refused.
    """

    story: Story
    seen: list[_Seen] = field(default_factory=list)
    _size: int = 0
    _last_at: float = 0.0
    _idle_s: float = 0.5
    _pace_s: float = 0.0

    def ask(self, now_at: float, left: int) -> Stimulus | None:
        """
        What is sent next; None where the queue is known, or cannot be.
        """
        if self.settled or self._size >= len(_SIZES) or left < 2:
            return None
        full = next((one for one in self.seen if one.refused), None)
        count = min(left, full.accepted + 2 if full else _SIZES[self._size])
        if not self.seen:
            self._opened(self.story.answers)
        at = max(now_at, self._last_at + self._idle_s)
        return Stimulus(f"{count} at once", (volley(at, count),), stage="queue")

    def hear(self, answers: Sequence[Answer]) -> None:
        """
        Takes in what came of it.
        """
        if not answers:
            return
        if not self.seen:
            self._opened(self.story.answers[: -len(answers)])
        held_s = self._held_s
        done = sorted(answer.done_at for answer in answers if answer.accepted)
        slow = sorted(
            answer.done_at for answer in answers if answer.accepted and answer.done_at - answer.sent_at > held_s
        )
        gaps = len(slow) - 1
        pace_s = (slow[-1] - slow[0]) / gaps if gaps > 0 else 0.0
        spread_s = _BLUR_S / max(gaps, 1)
        self.seen.append(_Seen(len(done), len(done) - len(slow), len(answers) - len(done), pace_s, spread_s))
        self._rest(answers, self.seen[-1].at_once, pace_s)
        if not self.seen[-1].refused:
            self._size += 1

    def _opened(self, opening: Sequence[Answer]) -> None:
        """
        What the burst at the beginning showed: some at once, and each of the others one pace after the last.
        """
        answers = [answer for answer in opening if answer.accepted]
        slow = [answer for answer in answers if answer.done_at - answer.sent_at > self._held_s]
        gaps = [b.done_at - a.done_at for a, b in pairwise(slow)]
        self._pace_s = statistics.median(gaps)
        self._rest(answers, len(answers) - len(slow), self._pace_s)

    def _rest(self, answers: Sequence[Answer], at_once: int, pace_s: float) -> None:
        """
        How long it takes until nothing is left in the queue: those that do not wait are in it all the same.
        """
        self._last_at = max(answer.done_at for answer in answers)
        self._idle_s = max((at_once + _IDLE_TIMES) * pace_s, self._idle_s if not pace_s else 0.0)

    @property
    def _held_s(self) -> float:
        return self.story.served_s + self.story.held_s

    @property
    def settled(self) -> bool:
        """
        Whether enough volleys agree.
        """
        full = [one for one in self.seen if one.refused]
        return len(full) >= _AGREE and len({(one.accepted, one.at_once) for one in full[-_AGREE:]}) == 1

    def tier(self) -> Tier | None:
        """
        The queue, as far as it is known.
        """
        if not any(one.accepted for one in self.seen):
            return None
        # Of a volley in which only one has to wait, and of the burst at the beginning, the pace is known less well.
        known = [one for one in self.seen if one.pace_s > 0] or [replace(self.seen[-1], pace_s=self._pace_s)]
        best = min(known, key=lambda one: one.spread_s)
        pace_s = statistics.median(one.pace_s for one in known if one.spread_s <= 2 * best.spread_s)
        half_s = best.spread_s
        full = [one for one in self.seen if one.refused]
        places = (full or known)[-1].accepted - 1
        delay = known[-1].at_once - 1
        one = Interval(pace_s, pace_s - half_s, pace_s + half_s)
        window = plain(one)
        options = {"burst": str(places)} | ({"delay": str(delay)} if delay > 0 else {})
        text = f"leaky-bucket:1/{window}" + "".join(f",{name}={value}" for name, value in options.items())
        most = float(places if full else 10_000)
        numbers = {
            "burst": Interval(places, places, most),
            "delay": Interval(delay, delay, delay),
            "rate_per_s": Interval(1 / one.value, 1 / one.high, 1 / one.low),
        }
        return Tier("leaky-bucket", text, numbers, options)
