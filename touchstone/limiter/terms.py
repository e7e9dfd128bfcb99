"""What a probe may cost, and what it is about; pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """What a probe may cost, and what it is about."""

    seed: int
    starts: bool  # the requests start builds
    most_requests: int
    most_builds: int  # starts that may be accepted
    most_s: float
    most_held: int = 16  # builds in flight at once
    caps: bool = True  # it looks for caps on what is under way at once too
    soak: int = 0  # requests to be accepted in all, so that a second, longer limit shows
    builds_s: float = 0.0  # how long a build lasts that is left in flight; 0 where nobody knows
