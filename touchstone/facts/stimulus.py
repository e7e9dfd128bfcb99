"""Stimulus: a group of requests that a probe sends at planned times, with conditions to stop early."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Until = Literal["", "refused", "accepted"]

_ALIKE, _BLUR_S = 0.1, 0.002  # Queued responses take equally long, give or take this share and this network delay.
# Responses are queued if the last 4 are much slower than the fastest response, or the last 10 slightly slower.
_FEW, _SLOW_S, _SLOW_TIMES = 4, 0.03, 4.0
_MANY, _SLOWER_S = 10, 0.006


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a stimulus: requests in sequence, or all at once."""

    at: tuple[float, ...]  # Earliest time of each request, in seconds since the start of the run.
    until: Until = ""  # Response that ends the segment early.
    together: bool = False  # Whether requests are concurrent; otherwise, each waits for the previous response.
    holds: bool = False  # Whether accepted builds keep running; otherwise, the probe cancels them at once.
    alone: bool = False  # Whether a request waits until the builds of earlier requests have ended.
    quick_s: float = 0.0  # Response time of an idle target: the segment ends once responses are queued. 0: no such end.

    def ends_with(self, *, accepted: bool, took_s: Sequence[float]) -> bool:
        """Whether the segment ends after a response. *took_s*: response times of all accepted requests so far."""
        if self.until == ("accepted" if accepted else "refused"):
            return True
        return self.quick_s > 0 and waits((self.quick_s, *took_s))


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A group of requests of a probe: segments, one after the other."""

    name: str  # Description.
    segments: tuple[Segment, ...]
    frees: int = 0  # Number of builds in flight to cancel first; the stimulus waits for their end.
    bits: float = 0.0  # Expected information gain in bits.
    stage: str = "rate"  # Part of the probe that requested this stimulus and receives the responses.
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
    """Whether requests wait in a queue: the last ones took equally long, and much longer than the fastest one."""
    quick_s = min(took_s)
    few, many = took_s[-_FEW:], took_s[-_MANY:]
    slow = len(few) == _FEW and min(few) > quick_s + max(_SLOW_S, _SLOW_TIMES * quick_s)
    slower = len(many) == _MANY and min(many) > 2 * quick_s + _SLOWER_S
    return (slow and _alike(few)) or (slower and _alike(many))


def _alike(took_s: Sequence[float]) -> bool:
    return max(took_s) - min(took_s) <= _ALIKE * min(took_s) + _BLUR_S


def drain(at: float, most: int) -> Segment:
    """Returns a segment of at most *most* requests in sequence without pauses, until one is rejected."""
    return Segment((at,) * most, "refused")


def stream(at: float, most: int, gap_s: float) -> Segment:
    """Returns a segment of at most *most* requests every *gap_s* seconds, without waiting, until one is rejected."""
    return Segment(tuple(at + gap_s * number for number in range(most)), "refused", together=True)


def volley(at: float, count: int) -> Segment:
    """Returns a segment of *count* concurrent requests."""
    return Segment((at,) * count, together=True)


def spread(from_at: float, to_at: float, count: int) -> Segment:
    """Returns a segment of *count* requests at equal intervals between two times."""
    if count == 1:
        return Segment(((from_at + to_at) / 2,))
    step_s = (to_at - from_at) / (count - 1)
    return Segment(tuple(from_at + step_s * number for number in range(count)))
