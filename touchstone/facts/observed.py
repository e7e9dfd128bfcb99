"""What was seen: requests, when they were sent and answered, and when the limiter decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEAST_BLUR_S = 0.0006  # A limiter's own clock ticks in milliseconds, and so does what happens between a socket and it.
LEG_SHARE = 0.1  # How much of the quickest answer's time may have been spent on either side of the limiter.


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its answer."""

    sent_at: float  # When it was sent, in seconds on the clock of the run.
    done_at: float  # When its answer was there.
    accepted: bool  # Whether it was let through.
    retry_after_s: float | None = None  # Seconds until another one may be sent, by the answer; None without a word.
    # limit, remaining, window_s, and of requests under way at once cap and cap_remaining; those that it has
    quota: Mapping[str, float] = field(default_factory=dict)  # What its RateLimit fields say, in any dialect.
    stream: int = 0  # Which of several requests under way at once it is, from 0.

    @property
    def took_s(self) -> float:
        """Seconds from the request to its answer."""
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Moment:
    """When the limiter decided on one request."""

    at: float  # The middle of what is possible, in seconds.
    blur_s: float  # How far it may be from there.
    accepted: bool
    hint_s: float | None = None  # Seconds from then on until another one may be sent, by the answer.


def moments(answers: Sequence[Answer], quickest_s: float, served_s: float = 0.0) -> list[Moment]:
    """When the limiter decided on each of *answers*: between the way there and the way back.

    Args:
        quickest_s: The least time between request and answer on this connection.
        served_s: What it takes to serve a request that was let through: the limiter has decided by then.
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
