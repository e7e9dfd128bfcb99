"""Stimuli of a probe: a few requests at planned times, with conditions to stop early."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Until = Literal["", "refused", "accepted"]

_ALIKE, _BLUR_S = 0.1, 0.002  # Queued responses have equal durations, within this share and this network delay.
# Responses are queued if the last few are much slower than the fastest one, or the last many slightly slower.
_FEW, _SLOW_S, _SLOW_TIMES = 4, 0.03, 4.0
_MANY, _SLOWER_S = 10, 0.006


@dataclass(frozen=True, slots=True)
class Segment:
    """Requests in sequence, or all at once."""

    at: tuple[float, ...]  # Earliest time of each request, in run seconds.
    until: Until = ""  # Response that ends the segment early.
    together: bool = False  # Whether the requests are concurrent, or each waits for the previous response.
    holds: bool = False  # Whether accepted builds stay in flight, instead of being cancelled at once.
    alone: bool = False  # Whether a request waits until the builds of earlier requests have ended.
    quick_s: float = 0.0  # Response time at rest: the segment ends once responses are queued; 0 for no such end.

    def ends_with(self, *, accepted: bool, took_s: Sequence[float]) -> bool:
        """Whether the segment ends after a response; *took_s*: durations of the accepted responses so far."""
        if self.until == ("accepted" if accepted else "refused"):
            return True
        return self.quick_s > 0 and waits((self.quick_s, *took_s))


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Segments, one after the other."""

    name: str  # Description.
    segments: tuple[Segment, ...]
    frees: int = 0  # Number of held builds to cancel first; the stimulus waits for their end.
    bits: float = 0.0  # Expected information gain in bits.
    stage: str = "rate"  # Part of the probe that requested it and receives the responses.
    anew: bool = False  # Whether the stimulus is the first after an interruption: no earlier build is in flight.

    @property
    def most(self) -> int:
        """Maximum number of requests."""
        return sum(len(segment.at) for segment in self.segments)

    def within(self, requests: int, builds: int) -> "Stimulus":
        """Returns the part of the stimulus that certainly fits into a budget of requests and accepted builds."""
        parts = []
        for segment in self.segments:
            # A segment that ends with the first accepted request starts one build at most.
            once = segment.until == "accepted" and not segment.together and builds > 0
            count = min(len(segment.at), requests, requests if once else builds)
            if count > 0:
                parts.append(replace(segment, at=segment.at[:count]))
            requests, builds = requests - count, builds - (1 if once else count)
        return replace(self, segments=tuple(parts))


def waits(took_s: Sequence[float]) -> bool:
    """Whether responses are queued: the last ones have equal durations, which exceed the shortest by far."""
    quick_s = min(took_s)
    few, many = took_s[-_FEW:], took_s[-_MANY:]
    slow = len(few) == _FEW and min(few) > quick_s + max(_SLOW_S, _SLOW_TIMES * quick_s)
    slower = len(many) == _MANY and min(many) > 2 * quick_s + _SLOWER_S
    return (slow and _alike(few)) or (slower and _alike(many))


def _alike(took_s: Sequence[float]) -> bool:
    return max(took_s) - min(took_s) <= _ALIKE * min(took_s) + _BLUR_S


def drain(at: float, most: int) -> Segment:
    """Requests in sequence without pauses, until one is rejected. *most*: maximum number."""
    return Segment((at,) * most, "refused")


def stream(at: float, most: int, gap_s: float) -> Segment:
    """Requests every *gap_s* seconds, without waiting for responses, until one is rejected. *most*: maximum number."""
    return Segment(tuple(at + gap_s * number for number in range(most)), "refused", together=True)


def volley(at: float, count: int, *, holds: bool = False) -> Segment:
    """Concurrent requests; *count* is their number."""
    return Segment((at,) * count, together=True, holds=holds)


def spread(from_at: float, to_at: float, count: int) -> Segment:
    """Requests at equal intervals between two times; *count* is their number."""
    if count == 1:
        return Segment(((from_at + to_at) / 2,))
    step_s = (to_at - from_at) / (count - 1)
    return Segment(tuple(from_at + step_s * number for number in range(count)))
