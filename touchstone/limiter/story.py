"""All responses to a probe so far, and the network delays derived from them; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, pairwise, takewhile

import numpy as np

from touchstone.facts.probe import Answer, Moment, moments

_PACE_S = 0.001
_QUOTE = ("limit", "window_s")
# A gap of several mean ones is a pause; a window is rarely so short that it ends during a burst.
_PAUSE_TIMES, _SHORT_TIMES, _MANY = 4.0, 50.0, 150
_SLOW_SHARE, _SLOW_TIMES, _SLOW_S = 0.9, 10.0, 0.1  # requests this much slower than half of them may be delayed
_FEWEST, _STEADY, _SPREAD = 4, 0.97, 0.5  # signs of a steady pace: number of responses, R² of a line, spread


@dataclass
class Story:
    """The story of a probe: all responses so far, in the order of their requests."""

    answers: list[Answer] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)  # indices of refusals with another cause than the rate limit
    alone_from: int = 0  # few builds run at a time from the response with this index on

    @property
    def quickest_s(self) -> float:
        """Shortest response time."""
        return min(answer.took_s for answer in self.answers)

    @property
    def served_s(self) -> float:
        """Shortest response time of an accepted request; a refusal may be faster."""
        return min((answer.took_s for answer in self.answers if answer.accepted), default=self.quickest_s)

    @property
    def seconds(self) -> float:
        """Seconds from the first request to the last response."""
        return max(a.done_at for a in self.answers) - self.answers[0].sent_at if self.answers else 0.0

    def moments(self) -> list[Moment]:
        """Estimates when the rate limiter decided about each request, except those in *left_out*."""
        heeded = [answer for number, answer in enumerate(self.answers) if number not in self.left_out]
        return moments(heeded, self.quickest_s, self.served_s - self.quickest_s) if heeded else []

    def opened(self) -> tuple[int, int, float]:
        """Accepted requests before the first refusal; the least limit and the longest window that may have ended then.

        These are 0 if the requests were so fast that hardly any window can have ended, or too many to try all limits.
        """
        found = takewhile(lambda one: one.accepted, dropwhile(lambda one: not one.accepted, self.moments()))
        at = [moment.at for moment in found]
        if not _FEWEST <= len(at) <= _MANY:
            return max(len(at), 1), 0, 0.0
        gaps_s = np.diff(at)
        fast = len(at) - 1 - int(np.max(np.nonzero(gaps_s > _PAUSE_TIMES * np.mean(gaps_s)), initial=-1))
        longest_s = min(2 * (at[-1] - at[0]), _SHORT_TIMES * (at[-1] - at[-fast]))
        return len(at), max(fast // 2, 1), longest_s

    @property
    def delays(self) -> str:
        """Sentence that many requests took much longer than most; empty if they did not."""
        usual_s, slow_s = np.quantile([answer.took_s for answer in self.answers] or [0.0], (0.5, _SLOW_SHARE))
        if slow_s < _SLOW_TIMES * usual_s + _SLOW_S:
            return ""
        slow = f"{1 - _SLOW_SHARE:.0%} of the requests took at least {slow_s:.2g} s, and half at most {usual_s:.2g} s"
        return f"{slow}: the target may delay requests instead of refusing them"

    def blur_s(self, share: float = 0.5) -> float:
        """Quantile *share* of the errors, in seconds, with which the times of decisions are known."""
        return float(np.quantile([moment.blur_s for moment in self.moments()], share))

    def pace_s(self) -> float:
        """Shortest interval so far between two sequential requests, in seconds; below a build cap, the usual one."""
        answers = self.answers[self.alone_from :]
        gaps = [b.sent_at - a.sent_at for a, b in pairwise(answers) if not b.stream]
        if self.alone_from and gaps:
            gaps = [float(np.mean([gap for gap in gaps if gap <= _PAUSE_TIMES * np.mean(gaps)]))]
        return max(min(gaps, default=_PACE_S), self.quickest_s)

    def quote(self) -> tuple[float | None, float | None]:
        """Limit and window (seconds) in the RateLimit fields; None if no response has it, or if responses disagree."""
        values = [{answer.quota[name] for answer in self.answers if name in answer.quota} for name in _QUOTE]
        limit, window_s = (found.pop() if len(found) == 1 else None for found in values)
        return limit, window_s


def in_turn_s(answers: Sequence[Answer]) -> float:
    """Seconds between the responses to concurrent requests; 0 unless the responses arrived at a steady pace."""
    took_s = np.sort([answer.took_s for answer in answers if answer.accepted])
    if len(took_s) < _FEWEST or took_s[-1] - took_s[0] < _SPREAD * took_s[-1]:
        return 0.0
    steps = np.arange(len(took_s))
    steady = float(np.corrcoef(steps, took_s)[0, 1]) ** 2
    return float(np.polyfit(steps, took_s, 1)[0]) if steady >= _STEADY else 0.0
