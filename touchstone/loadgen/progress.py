"""How a set-up or a clean-up comes along: who is told of it, and what ends its waits."""

from collections.abc import Callable
from typing import Any

from touchstone.target.clock import WallClock

# While something is waited for it is looked so often whether the run was stopped.
_LOOK_S = 0.1

Progress = Callable[[dict[str, Any]], None]


class Stopped(Exception):
    """Somebody stopped the run while it was set up, or once more while it was cleared."""


class Course:
    """Tells how far the set-up or the clean-up has come.

    It is no run log that it tells of, but whoever shows how a run comes along gets it as one more event of it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._doing, self._done, self._of = "", 0, 0

    def begin(self, doing: str, of: int) -> None:
        """So many of something are to be done."""
        self._doing, self._done, self._of = doing, 0, of
        if of:
            self._tell()

    def step(self) -> None:
        """One of them is done."""
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        self._progress({"type": "course", "doing": self._doing, "done": self._done, "of": self._of})


def untold(_event: dict[str, Any]) -> None:
    """Tells nobody."""


def never() -> bool:
    """That nobody stops anything."""
    return False


class Waiting(WallClock):
    """Time as it passes, and waits that end when the run is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: Callable[[], bool] = never

    def is_stopped(self) -> bool:
        """Whether the run was stopped."""
        return self.stopped()

    def look(self) -> None:
        """Looks once.

        Raises:
            Stopped: the run was stopped.
        """
        if self.stopped():
            raise Stopped

    def rest(self, seconds: float) -> None:
        """Waits.

        Raises:
            Stopped: the run was stopped meanwhile.
        """
        until_at = self.now() + seconds
        while (left_s := until_at - self.now()) > 0:
            self.look()
            super().rest(min(left_s, _LOOK_S))
