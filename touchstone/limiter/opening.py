"""Opening of a probe: one request, then a burst of sequential requests until one is refused; no I/O."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from touchstone.facts.probe import Answer, Segment, Stimulus, drain, waits
from touchstone.limiter.story import Story, in_turn_s

CANARY_S = 0.5  # seconds from the first request to the burst: this gap distinguishes a window from a log
# The search for a rate limit ends after this many sequential requests without a refusal; earlier if they take long.
MOST_UNREFUSED, _LONG_S, _FEWER_UNREFUSED = 200, 30.0, 60
_FIRST = 24
_SOON_S, _LATER, _WAITS = 0.1, 1.5, 24  # back-off after a refused first request: first wait, factor, number of waits
_REST_S = 1.0  # pause before the second test with one build at a time
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
