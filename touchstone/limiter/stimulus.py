"""
What is sent next: a few requests at chosen times, and when to leave off.
"""

from dataclasses import dataclass
from typing import Literal

Until = Literal["", "refused", "accepted"]


@dataclass(frozen=True, slots=True)
class Segment:
    """
    Requests one after the other.

    Attributes:
        at: When each is sent at the earliest, in seconds on the clock of the run; never before the last was answered.
        until: The answer after which the rest of the segment is left out.
    """

    at: tuple[float, ...]
    until: Until = ""


@dataclass(frozen=True, slots=True)
class Stimulus:
    """
    Segments one after the other.

    Attributes:
        name: What it is, in words.
    """

    name: str
    segments: tuple[Segment, ...]

    @property
    def most(self) -> int:
        """
        How many requests it consists of at most.
        """
        return sum(len(segment.at) for segment in self.segments)


def drain(at: float, most: int) -> Segment:
    """
    As fast as answers come, until one is refused.
    """
    return Segment((at,) * most, "refused")


def spread(from_at: float, to_at: float, count: int) -> Segment:
    """
    So many, evenly from one moment to another.
    """
    if count == 1:
        return Segment(((from_at + to_at) / 2,))
    step_s = (to_at - from_at) / (count - 1)
    return Segment(tuple(from_at + step_s * number for number in range(count)))
