"""The clock of a run: seconds since it began, and how to wait. A replay has one that goes by what was recorded."""

import math
import threading
import time


class WallClock:
    """Time as it passes; *origin* is the machine's monotonic clock when the run began."""

    def __init__(self) -> None:
        self.origin = time.monotonic()

    def now(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self.origin

    def rest(self, seconds: float) -> None:
        """Waits."""
        wait_s(seconds)


class RecordedClock:
    """Time as it passed in a recording; waits are *speed* times as fast, and infinite is for no waits at all."""

    def __init__(self, speed: float = math.inf) -> None:
        self._speed = speed
        self._now = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """The moment that the replay has come to."""
        return self._now

    def rest(self, seconds: float) -> None:
        """Waits as many seconds of the recording."""
        wait_s(seconds / self._speed)
        with self._lock:
            self._now += seconds

    def come_to(self, moment: float) -> None:
        """Goes on to *moment*; never back."""
        with self._lock:
            self._now = max(self._now, moment)


def wait_s(seconds: float) -> None:
    """Waits; not at all where *seconds* is 0."""
    if seconds > 0:
        threading.Event().wait(seconds)
