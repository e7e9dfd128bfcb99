"""
The identification from the first request to the last: what is asked next, what was heard, what is known; pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from touchstone.limiter.belief import Belief
from touchstone.limiter.identity import Cost, Identity, Runner, Step, Stretch, Why
from touchstone.limiter.observed import Answer, Moment, moments
from touchstone.limiter.planner import choose
from touchstone.limiter.stimulus import Segment, Stimulus, drain
from touchstone.limiter.summary import likeliest_limit, tier

# From the first request to the burst: what tells a window that it opened from a log in which it stands alone.
CANARY_S = 0.2
# What has to be known of a limiter before it counts as found.
SURE, SURE_LIMIT, NARROW = 0.997, 0.995, 0.019
_HELD_S = 0.05


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What a probe may cost, and what it is about.

    Attributes:
        starts: Whether the requests start builds, of which there may be a most in flight.
        most_requests: Requests to be limited that it may send.
        most_builds: Of these, starts that may be accepted.
        most_s: Seconds that it may take.
        most_held: Builds that it may have in flight at once.
    """

    seed: int
    starts: bool
    most_requests: int
    most_builds: int
    most_s: float
    most_held: int = 64


class Probe:
    """
    One identification. The same terms and the same answers lead to the same questions and the same identity.

    Times are seconds on one clock that begins with the run and goes on while a probe is interrupted.

    Attributes:
        steps: What was sent so far, and what was known after each.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self.belief: Belief | None = None
        self._why: Why = ""

    def ask(self, now_at: float) -> Stimulus | None:
        """
        What is sent next, from *now_at* on; None where nothing more is asked.
        """
        if self._why:
            return None
        left = self.terms.most_requests - len(self.answers)
        if left <= 0:
            self._why = "budget"
            return None
        if not self.answers:
            return Stimulus("one request", (Segment((now_at,)),))
        if self.belief is None:
            return Stimulus("burst", (drain(max(now_at, self.answers[0].sent_at + CANARY_S), left),))
        if self._settled():
            self._why = "settled"
            return None
        rng = np.random.default_rng([self.terms.seed, len(self.steps)])
        story = self._story()
        blur_s = float(np.median([moment.blur_s for moment in story]))
        pace_s = self._pace_s()
        choice = choose(self.belief, now_at + 0.001, pace_s, blur_s, rng)
        if choice is None:
            self._why = "nothing left to learn"
            return None
        return replace(choice.stimulus, bits=choice.bits)

    def _pace_s(self) -> float:
        gaps = [b.sent_at - a.sent_at for a, b in zip(self.answers, self.answers[1:], strict=False)]
        return float(np.min(gaps)) if gaps else 0.001

    def _story(self) -> list[Moment]:
        quickest_s = min(answer.done_at - answer.sent_at for answer in self.answers)
        return moments(self.answers, quickest_s, _HELD_S)

    def hear(self, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        """
        Takes in the answers to a stimulus, in the order in which they were sent; fewer where it was cut short.
        """
        self.answers += answers
        if self.belief is None and any(not answer.accepted for answer in self.answers):
            self.belief = Belief(next(n for n, answer in enumerate(self.answers) if not answer.accepted))
        if self.belief is not None:
            self.belief.see(self._story())
        families = self.belief.families() if self.belief else {}
        ended_at = answers[-1].done_at if answers else 0.0
        self.steps.append(Step(stimulus.name, ended_at, stimulus.bits, families))

    def _settled(self) -> bool:
        assert self.belief is not None
        if max(self.belief.families().values()) < SURE:
            return False
        cells = self.belief.likeliest()
        _, share = likeliest_limit(cells)
        found = tier(cells)
        times = [number for name, number in found.numbers.items() if name.endswith("_s") and name != "rate_per_s"]
        return share >= SURE_LIMIT and all(number.high / number.low - 1 <= NARROW for number in times)

    def stop(self, why: Why) -> None:
        """
        Has nothing more asked.
        """
        self._why = why

    def known(self) -> Identity:
        """
        What is known by now.
        """
        refused = sum(not answer.accepted for answer in self.answers)
        cost = Cost(
            len(self.answers),
            refused,
            len(self.answers) - refused,
            self.answers[-1].done_at - self.answers[0].sent_at if self.answers else 0.0,
        )
        if self.belief is None:
            return Identity((), (), cost, unlimited_to=len(self.answers), why=self._why)
        runners = []
        for family, share in self.belief.families().items():
            runners.append(Runner(family, share, tier(self.belief.likeliest(family)).text))
        return Identity(
            (tier(self.belief.likeliest()),), tuple(runners), cost, sure=self._settled(), why=self._why
        )

    def stretch(self) -> Stretch | None:
        """
        What the likeliest limiter kept in mind from the first answer to the last; None where there is none.
        """
        return None


def worst(terms: Terms) -> Cost:
    """
    What a probe costs at most.
    """
    return Cost(terms.most_requests, terms.most_requests, terms.most_builds, terms.most_s)
