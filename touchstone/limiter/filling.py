"""
How a limiter is filled once more, when all of it is known but whether somebody else had a part of its limit; pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.facts.observed import Moment
from touchstone.facts.stimulus import Segment, Stimulus, drain
from touchstone.limiter.families import TokenBucket
from touchstone.limiter.kinds import Kind, Tiered, refill_s
from touchstone.limiter.story import Story

# So long after it is thought to be full again it is asked for all that it has; or, where nobody else is to come
# before, so many times as long as a moment is uncertain and this share of what it takes to be full again.
AFTER_S, _SOON_TIMES, _SOON_SHARE, _AT_A_TIME = 0.05, 4.0, 0.005, ("fixed-window", "sliding-log")
# So many requests watch a log that is full, where it is for this share of its window.
_WATCHES, _WATCH_LEAST, _WATCHED = 5, 0.5, "sliding-log"
# What is in the mind of these for longer than a window.
FORGETS = ("sliding-counter", "decaying-counter")
# So many windows after it was met first what forgets slowly is met anew; or, where the limit is as small as this, when
# all is forgotten.
_MEETS, _CHEAP = 2.0, 12
# So often a limit has to be met, and each time with this share of it let through one after the other.
LEAST_FILLINGS, _MOST_OF_IT = 2, 0.8
# With room for this share of its limit there is no need to wait until it is full again.
_ROOMY = 0.5
# What it gains between two requests is this share of one at most, or it is never empty.
_MOST_GAINED = 0.9
# So many times as long as it would have to be is the time between two requests that a first limiter is to let through.
_GENTLY = 1.05


@dataclass(frozen=True, slots=True)
class Filling:
    """A limiter that is to be filled.

    Attributes:
        limit: How many it lets through at once.
        refill_s: How long it takes to give its limit anew, in seconds.
        full_at: When it is full again, on the clock of the run.
    """

    kind: Kind
    limit: float
    refill_s: float
    full_at: float

    def once_more(self, story: Story, now_at: float) -> Stimulus:
        """
        All that it lets through when it is full, and one that it refuses; what of it was let through just now counts.
        """
        if isinstance(self.kind, Tiered):
            begins_at = max(now_at, self.full_at) + AFTER_S
            return Stimulus("once more", (steady(self.kind, begins_at, 2 * round(self.limit) + 2),))
        # A bucket goes on to fill while it is emptied.
        each_s = max(story.pace_s(), story.served_s)
        gained = min(each_s * self.limit / self.refill_s, _MOST_GAINED) if self.limit > 1 else 0.0
        most = round(self.limit / (1.0 - gained)) + 2
        forgets = self.kind.family in FORGETS
        if self.full_at > now_at and story.moments()[-1].accepted and not forgets:
            return Stimulus("once more", (drain(now_at, most), *self._watch(now_at, self._leaves_at(story, now_at))))
        soon_s = _SOON_TIMES * story.blur_s() + _SOON_SHARE * self.refill_s
        # The last token of all may miss its tick, and then comes with the next one.
        tick_s = self.kind.tick_s if isinstance(self.kind, TokenBucket) else 0.0
        later_s = AFTER_S + tick_s + (self.refill_s if forgets else 0.0)
        at = max(now_at, self.full_at) + (soon_s if self.kind.family in _AT_A_TIME else later_s)
        return Stimulus("once more", (*self._watch(now_at, self.full_at), drain(at, most)))

    def begins_at(self, story: Story, now_at: float, room: int) -> float:
        """When what is to fill it besides begins, so that it counts when its limit is met once more.

        Args:
            room: How many it would let through now.
        """
        if self.kind.family in FORGETS:
            first_at = next((moment.at for moment in story.moments() if not moment.accepted), now_at)
            return max(now_at, first_at + _MEETS * self.refill_s + AFTER_S)
        return now_at if room >= _ROOMY * self.limit else max(now_at, self.full_at + AFTER_S)

    def _leaves_at(self, story: Story, now_at: float) -> float:
        """When the first leaves a log of those that were let through last."""
        left_at = now_at - self.refill_s
        return self.refill_s + min(moment.at for moment in story.moments() if moment.accepted and moment.at > left_at)

    def _watch(self, now_at: float, until_at: float) -> tuple[Segment, ...]:
        """
        A few requests while a log lets nobody in: what somebody else had in it is free for a while, and nothing else.
        """
        if self.kind.name != _WATCHED or until_at - now_at < _WATCH_LEAST * self.refill_s:
            return ()
        step_s = (until_at - now_at) / _WATCHES
        return (Segment(tuple(now_at + step_s * (number + 0.9) for number in range(_WATCHES)), "accepted"),)


def met_once(family: str, limit: float, refill_s: float, moments: Sequence[Moment]) -> bool:
    """Whether a limit was met only once, or again only while what was there before was still in its mind."""
    if family in FORGETS and limit > _CHEAP:
        refused_at = [moment.at for moment in moments if not moment.accepted]
        return refused_at[-1] - refused_at[0] < _MEETS * refill_s
    return fillings(moments, _MOST_OF_IT * limit) < LEAST_FILLINGS


def fillings(moments: Sequence[Moment], least: float) -> int:
    """How often at least so many were let through before one was refused."""
    count = found = 0
    for moment in moments:
        found += not moment.accepted and count >= least
        count = count + 1 if moment.accepted else 0
    return found


def steady(kind: Tiered, now_at: float, count: int) -> Segment:
    """As many as the first of two limiters lets through one by one, until the one behind it refuses."""
    known = {name: np.asarray(value) for name, value in kind.known.items()}
    step_s = _GENTLY * float(refill_s(kind.first, known)) / kind.known["limit"]
    return Segment(tuple(now_at + number * step_s for number in range(count)), "refused")
