"""The first requests: one alone, and as many as it takes one after the other until one is refused; pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Segment, Stimulus, drain, waits
from touchstone.limiter.story import Story, in_turn_s

CANARY_S = 0.5  # from the first request to the burst: sets a window apart from a log
# So many unrefused one after the other, and no rate is looked for; fewer where that takes long.
MOST_UNREFUSED, _LONG_S, _FEWER_UNREFUSED = 200, 30.0, 60
_FIRST = 24
_SOON_S, _LATER, _WAITS = 0.1, 1.5, 24  # when the next ones are sent where the first one is refused
_REST_S = 1.0  # before one build at a time is tried for a second time
_HELD_S, _HELD_TIMES = 0.03, 4.0  # longer than the quickest answer by so much, and so many times: held back
_LAST_HELD, _ALIKE = 6, 0.5  # so many answers in a row held back, alike within this share, show a queue
# Answers to a volley are held back that are so far apart, in seconds, in times of one alone, and of what these differ.
_LEAST_PACE_S, _PACE_TIMES, _SPREAD_TIMES = 0.005, 1.5, 3.0


@dataclass
class Opening:
    """How a probe begins: until the first refusal after something was accepted, or until none came."""

    story: Story
    starts: bool
    most: int
    over: bool = False
    queued: bool = False  # answers are held back
    capped: bool = False  # builds in flight were why starts were refused
    unqueued: bool = False  # what seemed to be a queue was none
    refilled: bool = False  # a start was let through right after one was refused
    _kept: int = 0
    _rested: bool = False
    _steps_s: list[float] = field(default_factory=list)

    @property
    def limited(self) -> bool:
        """Whether a rate refused something."""
        return any(not a.accepted for n, a in enumerate(self.story.answers) if n not in self.story.left_out)

    @property
    def unrefused(self) -> bool:
        """Whether so many were let through that no rate is looked for any more."""
        count = len(self.story.answers)
        return count >= MOST_UNREFUSED or (self.story.seconds > _LONG_S and count >= _FEWER_UNREFUSED)

    @property
    def step_s(self) -> float:
        """From one request to the next of the last that were sent one after the other."""
        return statistics.median(self._steps_s) if self._steps_s else 0.0

    def ask(self, now_at: float) -> Stimulus:
        """What is sent next."""
        answers = self.story.answers
        if not answers:
            return Stimulus("one request", (Segment((now_at,)),), stage="opening")
        if not any(answer.accepted for answer in answers):
            waits_s = accumulate(_SOON_S * _LATER**number for number in range(_WAITS))
            part = Segment(tuple(now_at + wait_s for wait_s in waits_s), "accepted")
            return Stimulus("wait until one is accepted", (part,), stage="opening")
        if self._kept and not self.refilled:
            return Stimulus("one more", (Segment((now_at,)),), stage="opening")
        if self._kept:
            begins_at = now_at + (_REST_S if self._rested else 0.0)
            part = Segment((begins_at,) * (self._kept + 2), "refused", alone=True)
            return Stimulus("one build at a time", (part,), stage="opening")
        size = min(max(_FIRST, len(answers)), self.most - len(answers))
        part = drain(max(now_at, answers[0].sent_at + CANARY_S), max(size, 1))
        part = replace(part, alone=self.capped, quick_s=0.0 if self.unqueued else self.story.served_s)
        return Stimulus("burst", (part,), stage="opening")

    def hear(self, answers: Sequence[Answer]) -> None:
        """Takes in what came of it."""
        everything = self.story.answers
        self._steps_s = [b.sent_at - a.sent_at for a, b in pairwise(answers)] or self._steps_s
        if not answers or not any(answer.accepted for answer in everything):
            return
        if self._kept:
            self._check(answers)
        elif self._is_held():
            self.queued = self.over = True
        elif not answers[-1].accepted and len(everything) > 1:
            # A rate refused, or so many builds that have not ended yet.
            checks = self.starts and not self.capped
            self._kept = sum(answer.accepted for answer in everything) if checks else 0
            self.over = not checks
        else:
            self.over = self.unrefused or len(everything) >= self.most

    def _check(self, answers: Sequence[Answer]) -> None:
        """Whether a rate refused, or builds in flight did: then more are let through one at a time than at once."""
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
            self._rested = True  # a rate may have refused the last one; it lets more in after a while

    def go_on_alone(self) -> None:
        """Has builds begin one at a time from now on; where no refusal is a rate's any more, the burst goes on."""
        self.capped, self.over, self._kept = True, self.limited, 0
        self.story.alone_from = len(self.story.answers)

    def shows_queue(self, answers: Sequence[Answer]) -> bool:
        """Whether a volley shows that answers are held back: they come one after the other, the last one far later."""
        pace_s = in_turn_s(answers)
        if self.unqueued or pace_s < max(_LEAST_PACE_S, _PACE_TIMES * self.story.served_s):
            return False
        alone = sorted(answer.took_s for answer in self.story.answers[: -len(answers)])
        usual_s = alone[len(alone) * 9 // 10] - alone[len(alone) // 10]
        return max(answer.took_s for answer in answers) > _SPREAD_TIMES * usual_s

    def resume(self, answers: Sequence[Answer]) -> None:
        """Goes on as if there were no queue."""
        self.queued = self.over = False
        self.unqueued = True
        self.hear(answers)

    def _is_held(self) -> bool:
        """Whether the last answers all took about as long, and longer than one that came when nothing else did."""
        served, served_s = [each.took_s for each in self.story.answers if each.accepted], self.story.served_s
        last = served[-_LAST_HELD:]
        if self.unqueued or waits(served):
            return not self.unqueued
        if len(served) <= _LAST_HELD or min(last) <= served_s + max(_HELD_S, _HELD_TIMES * served_s):
            return False
        return max(last) - min(last) <= _ALIKE * min(last)
