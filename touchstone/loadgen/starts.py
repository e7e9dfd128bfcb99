"""Which of the builds that many watch were accepted: whoever watches one waits for that, also on another worker."""

from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import AsyncResult, Event

Tell = Callable[[int, bool], None]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of the start of one build.

    Attributes:
        at: When this worker knew, in run seconds.
    """

    is_so: bool
    at: float


class Starts:
    """What a worker knows of the starts that others wait for.

    Args:
        tell: Tells all other workers that the start of a build was accepted, or never will be.
        now: The time in run seconds.
        stopped: Set when nobody is to wait any more.
    """

    def __init__(self, tell: Tell, now: Callable[[], float], stopped: Event) -> None:
        self._tell = tell
        self._now = now
        self._stopped = stopped
        self._known: dict[int, AsyncResult[Accepted]] = {}

    def say(self, build: int, *, accepted: bool) -> None:
        """This worker's own start of a build was accepted, or is given up."""
        self.hear(build, accepted=accepted)
        self._tell(build, accepted)

    def hear(self, build: int, *, accepted: bool) -> None:
        """A start was accepted, or is given up."""
        self._of(build).set(Accepted(accepted, self._now()))

    def accepted_at(self, build: int, within_s: float) -> float | None:
        """
        When the start of a build was accepted; waits for it, and gives None where it is given up or nobody says it.
        """
        known = self._of(build)
        gevent.wait((known, self._stopped), timeout=within_s, count=1)
        told = known.get(block=False) if known.ready() else None
        return told.at if told is not None and told.is_so else None

    def _of(self, build: int) -> "AsyncResult[Accepted]":
        return self._known.setdefault(build, AsyncResult())
