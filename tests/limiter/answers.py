"""Answers made by hand, and what tests of the limiter build them from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.probe import Answer, Moment, Segment, Stimulus
from touchstone.limiter.kinds import KINDS as ALL
from touchstone.limiter.kinds import Kind
from touchstone.limiter.rate_inference import Story

KINDS: dict[str, Kind] = {kind.text: kind for kind in ALL}
TOOK_S = 0.001
Value = TypeVar("Value")


def row(outcomes: str, from_at: float = 0.0, *, step_s: float = 0.002, took_s: float = TOOK_S) -> list[Answer]:
    """Answers one after the other: ``+`` for one that was let through, ``-`` for one that was refused."""
    return [
        Answer(from_at + number * step_s, from_at + number * step_s + took_s, outcome == "+")
        for number, outcome in enumerate(outcomes)
    ]


def at_once(outcomes: str, at: float = 0.0, took_s: Sequence[float] = ()) -> list[Answer]:
    """Answers to requests that were all sent together; each takes as long as *took_s* says."""
    took_s = took_s or [TOOK_S] * len(outcomes)
    pairs = enumerate(zip(outcomes, took_s, strict=True))
    return [Answer(at, at + took, outcome == "+", stream=number) for number, (outcome, took) in pairs]


def given(value: Value | None) -> Value:
    """A value that has to be there."""
    assert value is not None
    return value


def bursts(*outcomes: str) -> list[Moment]:
    """What a story of bursts, each three seconds after the last, says of the limiter."""
    return Story([answer for number, one in enumerate(outcomes) for answer in row(one, 3.0 * number)]).moments()


def pass_on(hear: Callable[[Sequence[Answer]], None], story: Story, answers: Sequence[Answer]) -> None:
    """Adds answers to the story, and has a part of a probe take them in."""
    story.answers += answers
    hear(answers)


def most_accepted(stimulus: Stimulus) -> int:
    """How many of a stimulus may be accepted, whatever is behind."""
    return sum(_accepted(segment) for segment in stimulus.segments)


def _accepted(segment: Segment) -> int:
    once = segment.until == "accepted" and not segment.together
    return min(1, len(segment.at)) if once else len(segment.at)


def number(value: float, low: float | None = None, high: float | None = None) -> Interval:
    """A number that is known for sure, or within bounds."""
    return Interval(value, value if low is None else low, value if high is None else high)


def window(limit: float, window_s: Interval, family: str = "fixed-window") -> Tier:
    """So many in a window."""
    text = f"{family}:{limit:g}/{window_s.value:g}"
    return Tier(family, text, {"limit": number(limit), "window_s": window_s})


def bucket(text: str, burst: float, rate_per_s: float, options: dict[str, str] | None = None) -> Tier:
    """A token bucket."""
    numbers = {"burst": number(burst), "rate_per_s": number(rate_per_s), "window_s": number(burst / rate_per_s)}
    return Tier("token-bucket", text, numbers, options or {})


@dataclass
class Rate:
    """A window that lets so many through, and is full again at whole multiples of *window_s*."""

    limit: int = 10_000
    window_s: float = 10.0

    def room(self, at: float) -> tuple[int, float]:
        """All of it at the beginning of a window; later in it, one."""
        since_s = at % self.window_s
        return (self.limit, at) if self.limit >= 10_000 or since_s < 0.1 else (1, at - since_s + self.window_s)
