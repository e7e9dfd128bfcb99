"""Observations of a probe: requests, responses, and when the limiter probably accepted or refused each request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEAST_BLUR_S = 0.0006  # Least uncertainty: resolution of the limiter's clock, and delays between limiter and socket.
LEG_SHARE = 0.1  # The limiter may decide this share of the one-way network time earlier or later.


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its response."""

    sent_at: float  # Seconds since the start of the run.
    done_at: float  # Arrival of the response.
    accepted: bool  # Whether the limiter accepted the request.
    retry_after_s: float | None = None  # Wait that a rejection requests; None without one.
    # Names: limit, remaining and window_s; for a limit of concurrent requests, cap and cap_remaining.
    quota: Mapping[str, float] = field(default_factory=dict)  # Values of the RateLimit header fields, by name.
    stream: int = 0  # Number among concurrent requests, from 0.

    @property
    def took_s(self) -> float:
        """Seconds from the request to its response."""
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Moment:
    """Estimated time at which the limiter accepted or refused one request."""

    at: float  # Middle of the possible range, in seconds.
    blur_s: float  # Half the width of that range.
    accepted: bool
    hint_s: float | None = None  # Wait that the rejection requests.


def moments(answers: Sequence[Answer], quickest_s: float, served_s: float = 0.0) -> list[Moment]:
    """Estimates when the limiter accepted or refused each request, from the times of request and response.

    Args:
        quickest_s: Shortest response time on this connection.
        served_s: Time to serve a request after the limiter has accepted it.
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
