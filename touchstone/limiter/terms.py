"""What a probe may cost, and what it is about; pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """What a probe may cost, and what it is about.

    Attributes:
        starts: Whether the requests start builds, of which there may be a most in flight.
        most_requests: Requests to be limited that it may send.
        most_builds: Of these, starts that may be accepted.
        most_s: Seconds that it may take.
        most_held: Builds that it may have in flight at once.
        caps: Whether it looks for caps on what is under way at once too.
        builds_s: How long a build lasts that is left in flight; 0 where nobody knows.
        soak: Requests that are to be accepted in all, so that a second limit shows that is longer than the first.
    """

    seed: int
    starts: bool
    most_requests: int
    most_builds: int
    most_s: float
    most_held: int = 16
    caps: bool = True
    soak: int = 0
    builds_s: float = 0.0
