"""Observations of a probe: requests, their responses, and estimated times of the limiter's decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEAST_BLUR_S = 0.0006  # Resolution of the limiter's clock, and delays between it and the socket.
LEG_SHARE = 0.1  # Share of the one-way time by which a decision may be earlier or later.


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its response."""

    sent_at: float  # Seconds since the start of the run.
    done_at: float  # Arrival of the response.
    accepted: bool  # Whether the limiter accepted the request.
    retry_after_s: float | None = None  # Wait that a rejection requests; None without one.
    # limit, remaining, window_s, and cap and cap_remaining of concurrent requests
    quota: Mapping[str, float] = field(default_factory=dict)  # Values of its RateLimit header fields, in any dialect.
    stream: int = 0  # Number among concurrent requests, from 0.

    @property
    def took_s(self) -> float:
        """Seconds from the request to its response."""
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Moment:
    """Estimated time of one decision of the limiter."""

    at: float  # Middle of the possible range, in seconds.
    blur_s: float  # Half the width of that range.
    accepted: bool
    hint_s: float | None = None  # Wait that the rejection requests.


def moments(answers: Sequence[Answer], quickest_s: float, served_s: float = 0.0) -> list[Moment]:
    """Estimates the time of each decision of the limiter, from the request and response times and the network delay.

    Args:
        quickest_s: Shortest response time on this connection.
        served_s: Time to serve an accepted request, after the decision.
    """
    leg_s = quickest_s / 2
    found = []
    for answer in answers:
        least_s = quickest_s + (served_s if answer.accepted else 0.0)
        late_s = max(0.0, answer.done_at - answer.sent_at - least_s)
        blur_s = late_s / 2 + LEAST_BLUR_S + LEG_SHARE * leg_s
        hint_s = None if answer.accepted else answer.retry_after_s
        found.append(Moment(answer.sent_at + leg_s + late_s / 2, blur_s, answer.accepted, hint_s))
    return found
