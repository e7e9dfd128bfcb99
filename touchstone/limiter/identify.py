"""
The identification from the first request to the last: what is asked next, what was heard, what is known; pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.limiter.belief import Belief
from touchstone.limiter.identity import Cost, Identity, Step, Stretch, Why
from touchstone.limiter.observed import Answer, Moment, moments
from touchstone.limiter.planner import choose
from touchstone.limiter.stimulus import Segment, Stimulus, drain

# From the first request to the burst: what tells a window that it opened from a log in which it stands alone.
CANARY_S = 0.2


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

    def ask(self, now_at: float) -> Stimulus | None:
        """
        What is sent next, from *now_at* on; None where nothing more is asked.
        """
        return None

    def hear(self, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        """
        Takes in the answers to a stimulus, in the order in which they were sent; fewer where it was cut short.
        """

    def stop(self, why: Why) -> None:
        """
        Has nothing more asked.
        """

    def known(self) -> Identity:
        """
        What is known by now.
        """
        return Identity((), (), Cost(0, 0, 0, 0.0))

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
