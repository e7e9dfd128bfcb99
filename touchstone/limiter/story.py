"""Everything that a probe was answered so far, and what that says about the network; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from touchstone.facts.observed import Answer, Moment, moments

# Answers that take longer than the quickest one by this, and by several times as long, were held back.
_HELD_S, _HELD_TIMES = 0.03, 4.0
_PACE_S = 0.001
# The end of a window may hang on one late answer: all but a few are no later than this share of them.
_MOST = 0.9


@dataclass
class Story:
    """Answers in the order in which their requests were sent.

    Attributes:
        left_out: Which of them tell nothing of the rate: something else refused them.
    """

    answers: list[Answer] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)

    def add(self, answers: Sequence[Answer]) -> None:
        """Adds what was answered to a stimulus."""
        self.answers += answers

    @property
    def refused(self) -> int:
        """How many were refused."""
        return sum(not answer.accepted for answer in self.answers)

    @property
    def quickest_s(self) -> float:
        """The least time between request and answer."""
        return min(answer.done_at - answer.sent_at for answer in self.answers)

    @property
    def served_s(self) -> float:
        """The same of those that were accepted; what is refused may be answered sooner than what is served."""
        served = (answer.done_at - answer.sent_at for answer in self.answers if answer.accepted)
        return min(served, default=self.quickest_s)

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return max(a.done_at for a in self.answers) - self.answers[0].sent_at if self.answers else 0.0

    def moments(self) -> list[Moment]:
        """When the limiter decided, of those that tell of the rate."""
        told = [answer for number, answer in enumerate(self.answers) if number not in self.left_out]
        return moments(told, self.quickest_s, self.served_s - self.quickest_s) if told else []

    @property
    def held_s(self) -> float:
        """An answer that takes longer than the quickest one by this was held back."""
        return max(_HELD_S, _HELD_TIMES * self.served_s)

    def blur_s(self) -> float:
        """How far from where it is thought a moment may be, in the middle of all."""
        return self._blur_s(0.5)

    def most_blur_s(self) -> float:
        """The same of all but a few."""
        return self._blur_s(_MOST)

    def _blur_s(self, share: float) -> float:
        return float(np.quantile([moment.blur_s for moment in self.moments()], share))

    def pace_s(self) -> float:
        """From one request to the next where each waits for the last one's answer."""
        gaps = [b.sent_at - a.sent_at for a, b in zip(self.answers, self.answers[1:], strict=False) if not b.stream]
        return max(min(gaps, default=_PACE_S), self.quickest_s)

    def duration_s(self, number: int) -> float:
        """How long the answer with this number took."""
        return self.answers[number].done_at - self.answers[number].sent_at
