"""How many builds were in flight at a moment, as far as that can be known from outside: at least, and at most; pure.

A build begins between the sending of its start and the answer, and it ends between the last read that showed it running
and the first that showed its end. So every number here is two: builds that were surely in flight, and builds that may
have been.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from touchstone.facts.events import Attempt, Build
from touchstone.rules.walk import CLOCK_SHARE

_NEVER_SEEN_TO_END = ("stuck", "unread", "silent", "unfinished")


@dataclass(frozen=True, slots=True)
class Life:
    """One build on the clock of the run.

    Attributes:
        may_from_at: When its start was sent.
        sure_from_at: When its start had been answered.
        sure_to_at: When a read showed it running last, or until when its steps lasted; *sure_from_at* at least.
        may_to_at: When a read showed its end; infinite where none did.
    """

    may_from_at: float
    sure_from_at: float
    sure_to_at: float
    may_to_at: float


@dataclass(frozen=True, slots=True)
class Step:
    """From *at_s* on, until the next step, so many builds were surely in flight, and so many more may have been."""

    at_s: float
    sure: int
    unsure: int


class InFlight:
    """The builds of a run.

    Attributes:
        most: The most that were surely in flight at once.
    """

    def __init__(self, lives: Sequence[Life]) -> None:
        self._lives = tuple(lives)
        self._sure_from = sorted(life.sure_from_at for life in lives)
        self._sure_to = sorted(life.sure_to_at for life in lives)
        self._may_from = sorted(life.may_from_at for life in lives)
        self._may_to = sorted(life.may_to_at for life in lives)
        self.most = max(map(self.sure, self._sure_from), default=0)
        self._full_to = [moment for moment in self._sure_to if self.sure(moment) == self.most]

    def sure(self, at_s: float) -> int:
        """Builds that were surely in flight at *at_s*."""
        return bisect_right(self._sure_from, at_s) - bisect_left(self._sure_to, at_s)

    def at_most(self, from_s: float, to_s: float) -> int:
        """Builds that may have been in flight at some moment from *from_s* to *to_s*."""
        return bisect_right(self._may_from, to_s) - bisect_left(self._may_to, from_s)

    @property
    def length_s(self) -> float:
        """How long a build is in flight, in the middle of those that were seen to end; 0 where none was."""
        lengths_s = sorted(life.may_to_at - life.may_from_at for life in self._lives if life.may_to_at < float("inf"))
        return lengths_s[len(lengths_s) // 2] if lengths_s else 0.0

    def last_full_at(self, at_s: float) -> float:
        """Until when, before *at_s*, the most builds were surely in flight; minus infinity where they never were."""
        number = bisect_right(self._full_to, at_s)
        return self._full_to[number - 1] if number else float("-inf")

    def steps(self, until_s: float) -> tuple[Step, ...]:
        """The numbers over time, from the first start to *until_s*."""
        moments = sorted({at for at in (*self._sure_from, *self._sure_to, *self._may_to) if at <= until_s})
        # After a moment: what ends at it has ended, what begins at it has begun.
        found = []
        for at in moments:
            begun = bisect_right(self._sure_from, at)
            sure = max(0, begun - bisect_right(self._sure_to, at))
            found.append(Step(at, sure, max(0, begun - bisect_right(self._may_to, at) - sure)))
        return tuple(found)


def lives_of(attempts: Iterable[Attempt], builds: Iterable[Build], steps_s: float = 0.0) -> tuple[Life, ...]:
    """The lives of *builds*, each from the attempt that began it.

    Args:
        steps_s: How long the steps of a build take that becomes ready: so long it runs whether it is read or not.
    """
    sent: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        if 200 <= attempt.status < 300:
            sent.setdefault(attempt.want, []).append(attempt)
    return tuple(_life(build, sent.get(build.want, []), steps_s) for build in builds)


def _life(build: Build, served: Sequence[Attempt], steps_s: float) -> Life:
    nearest = min(served, key=lambda attempt: abs(attempt.done_at - build.accepted_at), default=None)
    may_from_at = min(nearest.sent_at, build.accepted_at) if nearest else build.accepted_at
    seen_at = build.seen_building_at if build.seen_building_at is not None else build.accepted_at
    lasted_at = min(may_from_at + CLOCK_SHARE * steps_s, build.ended_at) if build.end == "ready" else build.accepted_at
    return Life(
        may_from_at=may_from_at,
        sure_from_at=build.accepted_at,
        sure_to_at=max(build.accepted_at, seen_at, lasted_at),
        may_to_at=float("inf") if build.end in _NEVER_SEEN_TO_END else max(build.ended_at, build.accepted_at),
    )
