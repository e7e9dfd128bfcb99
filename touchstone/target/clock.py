"""Clocks of a run: real time, and recorded time for a replay."""

import math
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


class RecordedClock:
    """Time in a recording. Waits are *speed* times faster; an infinite speed skips them."""

    def __init__(self, speed: float = math.inf) -> None:
        self._speed = speed
        self._now = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Current time in the recording, in seconds."""
        return self._now

    def pass_s(self, seconds: float) -> None:
        """Lets *seconds* pass at once."""
        self.come_to(self._now + seconds)

    def rest(self, seconds: float, until: threading.Event | None = None) -> None:
        """Waits for *seconds* of the recording, or less if *until* is set."""
        wait_s(seconds / self._speed, until)
        with self._lock:
            self._now += seconds

    def come_to(self, moment: float) -> None:
        """Advances the clock to *moment*; never turns it back."""
        with self._lock:
            self._now = max(self._now, moment)


def wait_s(seconds: float, until: threading.Event | None = None) -> None:
    """Waits for *seconds*, or less if *until* is set; returns at once for 0."""
    if seconds > 0:
        (until or threading.Event()).wait(seconds)
