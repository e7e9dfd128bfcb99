"""
What is sent next: a few requests at chosen times, and when to leave off.
"""

from dataclasses import dataclass, replace
from typing import Literal

Until = Literal["", "refused", "accepted"]


@dataclass(frozen=True, slots=True)
class Segment:
    """
    Requests one after the other, or all at once.

    Attributes:
        at: When each is sent at the earliest, in seconds on the clock of the run; never before the last was answered.
        until: The answer after which the rest of the segment is left out.
        together: Whether all are under way at once, sent as close to each other as can be.
        holds: Whether builds that are accepted are left in flight, instead of cancelled at once.
        alone: Whether each is sent only when the builds that earlier ones began have ended.
    """

    at: tuple[float, ...]
    until: Until = ""
    together: bool = False
    holds: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Stimulus:
    """
    Segments one after the other.

    Attributes:
        name: What it is, in words.
        frees: How many of the builds held by earlier ones are cancelled, and seen to end, before anything is sent.
        bits: What is to be learned from it, of all that is not known.
        stage: The part of the probe that asked for it, and hears what comes of it.
    """

    name: str
    segments: tuple[Segment, ...]
    frees: int = 0
    bits: float = 0.0
    stage: str = "rate"

    @property
    def most(self) -> int:
        """
        How many requests it consists of at most.
        """
        return sum(len(segment.at) for segment in self.segments)

    def within(self, requests: int, builds: int) -> "Stimulus":
        """
        As much of it as there is room for, whatever is answered.

        Args:
            requests: How many may be sent.
            builds: How many may be accepted.
        """
        parts = []
        for segment in self.segments:
            # What ends with the first one that is accepted may go on for as long as none is.
            once = segment.until == "accepted" and not segment.together and builds > 0
            count = min(len(segment.at), requests, requests if once else builds)
            if count > 0:
                parts.append(replace(segment, at=segment.at[:count]))
            requests, builds = requests - count, builds - (1 if once else count)
        return replace(self, segments=tuple(parts))


def drain(at: float, most: int) -> Segment:
    """
    As fast as answers come, until one is refused.
    """
    return Segment((at,) * most, "refused")


def volley(at: float, count: int, *, holds: bool = False) -> Segment:
    """
    So many at once.
    """
    return Segment((at,) * count, together=True, holds=holds)


def spread(from_at: float, to_at: float, count: int) -> Segment:
    """
    So many, evenly from one moment to another.
    """
    if count == 1:
        return Segment(((from_at + to_at) / 2,))
    step_s = (to_at - from_at) / (count - 1)
    return Segment(tuple(from_at + step_s * number for number in range(count)))
