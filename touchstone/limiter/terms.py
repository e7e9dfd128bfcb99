"""Budget and options of a probe; no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Budget and options of a probe."""

    seed: int
    starts: bool  # whether the requests start builds; otherwise they are reads
    most_requests: int
    most_builds: int  # highest number of accepted starts
    most_s: float
    most_held: int = 16  # highest number of builds in flight at once
    caps: bool = True  # whether to look for caps on requests and builds in flight
    soak: int = 0  # the probe goes on until this many requests are accepted, to find a second, longer limit
    builds_s: float = 0.0  # seconds that a build takes unless it is cancelled; 0 if unknown
