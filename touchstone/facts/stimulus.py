"""What is sent next: a few requests at chosen times, and when to leave off."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Until = Literal["", "refused", "accepted"]

# Answers that wait for those before them take all as long: within this share of that, and so much for the network.
_ALIKE, _BLUR_S = 0.1, 0.002
# So few that take longer than the quickest by this, and by several times as long, are a queue's; many, by less.
_FEW, _SLOW_S, _SLOW_TIMES = 4, 0.03, 4.0
_MANY, _SLOWER_S = 10, 0.006


@dataclass(frozen=True, slots=True)
class Segment:
    """Requests one after the other, or all at once."""

    at: tuple[float, ...]  # When each is sent at the earliest, in run seconds; never before the last was answered.
    until: Until = ""  # The answer after which the rest of the segment is left out.
    together: bool = False  # Whether all may be under way at once: none waits for an answer to another one.
    holds: bool = False  # Whether builds that are accepted are left in flight, instead of cancelled at once.
    alone: bool = False  # Whether each is sent only when the builds that earlier ones began have ended.
    quick_s: float = 0.0  # What an answer takes at rest; the segment ends once answers wait for others; 0: never.

    def ends_with(self, *, accepted: bool, took_s: Sequence[float]) -> bool:
        """Whether the rest is left out after an answer; *took_s*: what each accepted answer took until then."""
        if self.until == ("accepted" if accepted else "refused"):
            return True
        return self.quick_s > 0 and waits((self.quick_s, *took_s))


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Segments one after the other."""

    name: str  # What it is, in words.
    segments: tuple[Segment, ...]
    frees: int = 0  # How many builds held by earlier ones are cancelled, and seen to end, first.
    bits: float = 0.0  # What is to be learned from it, of all that is not known.
    stage: str = "rate"  # The part of the probe that asked for it, and hears what comes of it.
    anew: bool = False  # Whether it is the first after an interruption: no earlier build is in flight.

    @property
    def most(self) -> int:
        """How many requests it consists of at most."""
        return sum(len(segment.at) for segment in self.segments)

    def within(self, requests: int, builds: int) -> "Stimulus":
        """As much of it as so many requests and accepted builds have room for, whatever is answered."""
        parts = []
        for segment in self.segments:
            # What ends with the first one that is accepted may go on for as long as none is.
            once = segment.until == "accepted" and not segment.together and builds > 0
            count = min(len(segment.at), requests, requests if once else builds)
            if count > 0:
                parts.append(replace(segment, at=segment.at[:count]))
            requests, builds = requests - count, builds - (1 if once else count)
        return replace(self, segments=tuple(parts))


def waits(took_s: Sequence[float]) -> bool:
    """Whether the last of sequential answers waited for others: all take as long, and longer than the quickest."""
    quick_s = min(took_s)
    few, many = took_s[-_FEW:], took_s[-_MANY:]
    slow = len(few) == _FEW and min(few) > quick_s + max(_SLOW_S, _SLOW_TIMES * quick_s)
    slower = len(many) == _MANY and min(many) > 2 * quick_s + _SLOWER_S
    return (slow and _alike(few)) or (slower and _alike(many))


def _alike(took_s: Sequence[float]) -> bool:
    return max(took_s) - min(took_s) <= _ALIKE * min(took_s) + _BLUR_S


def drain(at: float, most: int) -> Segment:
    """As fast as answers come, until one is refused."""
    return Segment((at,) * most, "refused")


def stream(at: float, most: int, gap_s: float) -> Segment:
    """One in each gap, whatever is answered meanwhile, until one is seen to be refused."""
    return Segment(tuple(at + gap_s * number for number in range(most)), "refused", together=True)


def volley(at: float, count: int, *, holds: bool = False) -> Segment:
    """So many at once."""
    return Segment((at,) * count, together=True, holds=holds)


def spread(from_at: float, to_at: float, count: int) -> Segment:
    """So many, evenly from one moment to another."""
    if count == 1:
        return Segment(((from_at + to_at) / 2,))
    step_s = (to_at - from_at) / (count - 1)
    return Segment(tuple(from_at + step_s * number for number in range(count)))
