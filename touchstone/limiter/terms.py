"""Budget and options of a probe; no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Budget and options of a probe."""

    seed: int
    starts: bool  # whether the requests start builds
    most_requests: int
    most_builds: int  # accepted starts
    most_s: float
    most_held: int = 16  # builds in flight at once
    caps: bool = True  # whether to look for caps on requests and builds in flight
    soak: int = 0  # accepted requests in total, to reveal a second, longer limit
    builds_s: float = 0.0  # duration of a build that is left in flight; 0 if unknown
