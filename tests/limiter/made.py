"""
Answers made by hand, and limiters driven beside each other.
"""

import random
from collections.abc import Callable, Sequence

from touchstone.limiter.identity import Interval, Tier
from touchstone.limiter.observed import Answer
from touchstone.limiter.stimulus import Segment, Stimulus
from touchstone.limiter.story import Story
from touchstone.twin import RateLimit, decide, limiter_for

TOOK_S = 0.001


def row(outcomes: str, from_at: float = 0.0, *, step_s: float = 0.002, took_s: float = TOOK_S) -> list[Answer]:
    """
    Answers one after the other: ``+`` for one that was let through, ``-`` for one that was refused.
    """
    return [
        Answer(from_at + number * step_s, from_at + number * step_s + took_s, outcome == "+")
        for number, outcome in enumerate(outcomes)
    ]


def at_once(outcomes: str, at: float = 0.0, took_s: Sequence[float] = ()) -> list[Answer]:
    """
    The same, all sent together; each takes as long as *took_s* says.
    """
    took_s = took_s or [TOOK_S] * len(outcomes)
    pairs = enumerate(zip(outcomes, took_s, strict=True))
    return [Answer(at, at + took, outcome == "+", stream=number) for number, (outcome, took) in pairs]


def told(hear: Callable[[Sequence[Answer]], None], story: Story, answers: Sequence[Answer]) -> None:
    """
    Has a part of a probe hear what the story holds already.
    """
    story.add(answers)
    hear(answers)


def driven(text: str, seed: int, scale_s: float, count: int = 300) -> list[tuple[bool, float]]:
    """
    What a limiter decides at random times, many of them close together; a build ends now and then.
    """
    chance, limiter, at, found = random.Random(seed), limiter_for(RateLimit.parse(text)), 1000.0, []
    for _ in range(count):
        pause_s = chance.choice([0.11, 0.43, 0.83, 2.9]) if chance.random() < 0.12 else 0.007
        at += scale_s * pause_s * (0.5 + chance.random())
        accepted, delay_s = decide(limiter, at)
        found.append((accepted, round(delay_s, 6)))
        if chance.random() < 0.5:
            limiter.ended(at)
    return found


def assert_alike(one: str, other: str, scale_s: float = 1.0) -> None:
    """
    Two texts are limiters that decide alike, and neither always the same.
    """
    for seed in range(3):
        found = driven(one, seed, scale_s)
        assert found == driven(other, seed, scale_s), f"{one} beside {other}"
        assert {accepted for accepted, _ in found} == ({True} if one == "none" else {True, False}), one


def most_accepted(stimulus: Stimulus) -> int:
    """
    How many of a stimulus may be accepted, whatever is behind.
    """
    return sum(_accepted(segment) for segment in stimulus.segments)


def _accepted(segment: Segment) -> int:
    once = segment.until == "accepted" and not segment.together
    return min(1, len(segment.at)) if once else len(segment.at)


def number(value: float) -> Interval:
    """
    A number that is known for sure.
    """
    return Interval(value, value, value)


def bucket(text: str, burst: float, rate_per_s: float, options: dict[str, str] | None = None) -> Tier:
    """
    A token bucket.
    """
    numbers = {"burst": number(burst), "rate_per_s": number(rate_per_s), "window_s": number(burst / rate_per_s)}
    return Tier("token-bucket", text, numbers, options or {})
