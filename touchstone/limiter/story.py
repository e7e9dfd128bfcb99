"""All answers to a probe so far, and what they say about the network; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from touchstone.facts.observed import Answer, Moment, moments

_PACE_S = 0.001
_FEWEST, _STEADY, _SPREAD = 4, 0.97, 0.5  # answers to one volley, how near to a line, and how far apart


@dataclass
class Story:
    """Answers in the order in which their requests were sent."""

    answers: list[Answer] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)  # numbers of those that something else than the rate refused
    alone_from: int = 0  # number of the first answer from which on one build is started at a time

    @property
    def quickest_s(self) -> float:
        """The least time between request and answer."""
        return min(answer.took_s for answer in self.answers)

    @property
    def served_s(self) -> float:
        """The same of those that were accepted; what is refused may be answered sooner than what is served."""
        return min((answer.took_s for answer in self.answers if answer.accepted), default=self.quickest_s)

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return max(a.done_at for a in self.answers) - self.answers[0].sent_at if self.answers else 0.0

    def moments(self) -> list[Moment]:
        """When the limiter decided, of those that tell of the rate."""
        heeded = [answer for number, answer in enumerate(self.answers) if number not in self.left_out]
        return moments(heeded, self.quickest_s, self.served_s - self.quickest_s) if heeded else []

    def blur_s(self, share: float = 0.5) -> float:
        """How far from where it is thought a moment may be, of this share of all; usually in the middle."""
        return float(np.quantile([moment.blur_s for moment in self.moments()], share))

    def pace_s(self) -> float:
        """From one request to the next where each waits for the last one's answer."""
        answers = self.answers[self.alone_from :]
        gaps = [b.sent_at - a.sent_at for a, b in pairwise(answers) if not b.stream]
        return max(min(gaps, default=_PACE_S), self.quickest_s)

    def reported(self, name: str) -> float | None:
        """The value of a RateLimit field, where all answers that have it agree; else None."""
        values = {answer.quota[name] for answer in self.answers if name in answer.quota}
        return values.pop() if len(values) == 1 else None


def in_turn_s(answers: Sequence[Answer]) -> float:
    """How far apart the answers to requests that went out at once came, where they came one after the other; else 0."""
    took_s = np.sort([answer.took_s for answer in answers if answer.accepted])
    if len(took_s) < _FEWEST or took_s[-1] - took_s[0] < _SPREAD * took_s[-1]:
        return 0.0
    steps = np.arange(len(took_s))
    steady = float(np.corrcoef(steps, took_s)[0, 1]) ** 2
    return float(np.polyfit(steps, took_s, 1)[0]) if steady >= _STEADY else 0.0
