"""
What was seen: requests, when they were sent and answered, and how; and when the limiter decided, as far as that tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# A limiter's own clock ticks in milliseconds, and so does what happens between a socket and it.
LEAST_BLUR_S = 0.0006
# How much of the quickest answer's time may have been spent on either side of the limiter.
LEG_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its answer.

    Attributes:
        sent_at: When it was sent, in seconds on the clock of the run.
        done_at: When its answer was there.
        accepted: Whether it was let through.
        retry_after_s: Seconds after which the answer says that another one may be sent; None where it says nothing.
        quota: What its RateLimit fields say, in any of their dialects: ``limit``, ``remaining``, ``window_s``, and of
            requests under way at once ``cap`` and ``cap_remaining``; those that it has.
        stream: Which of several requests under way at once it is, from 0.
    """

    sent_at: float
    done_at: float
    accepted: bool
    retry_after_s: float | None = None
    quota: Mapping[str, float] = field(default_factory=dict)
    stream: int = 0

    @property
    def took_s(self) -> float:
        """Seconds from the request to its answer."""
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Moment:
    """When the limiter decided on one request.

    Attributes:
        at: The middle of what is possible, in seconds.
        blur_s: How far it may be from there.
        hint_s: Seconds from then on after which the answer says that another one may be sent; None without a word.
    """

    at: float
    blur_s: float
    accepted: bool
    hint_s: float | None = None


def moments(answers: Sequence[Answer], quickest_s: float, served_s: float = 0.0) -> list[Moment]:
    """When the limiter decided on each of *answers*: some time between the way there and the way back.

    An answer that takes longer than the quickest one may have been late on either of them.

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
