"""The clock of a run."""

import threading
import time


class WallClock:
    """Real time; *origin* is the monotonic clock at the start of the run."""

    def __init__(self) -> None:
        self.origin = time.monotonic()

    def now(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self.origin

    def pass_s(self, seconds: float) -> None:
        """Lets *seconds* pass at once: the run continues an earlier one, which took so long."""
        self.origin -= seconds

    def rest(self, seconds: float, until: threading.Event | None = None) -> None:
        """Waits for *seconds*, or less if *until* is set."""
        wait_s(seconds, until)


def wait_s(seconds: float, until: threading.Event | None = None) -> None:
    """Waits for *seconds*, or less if *until* is set; returns at once for 0."""
    if seconds > 0:
        (until or threading.Event()).wait(seconds)
