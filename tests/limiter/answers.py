"""Answers made by hand, and limiters driven beside each other."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Segment, Stimulus
from touchstone.limiter.story import Story
from touchstone.twin import RateLimit, decide, limiter_for

TOOK_S = 0.001


def row(outcomes: str, from_at: float = 0.0, *, step_s: float = 0.002, took_s: float = TOOK_S) -> list[Answer]:
    """Answers one after the other: ``+`` for one that was let through, ``-`` for one that was refused."""
    return [
        Answer(from_at + number * step_s, from_at + number * step_s + took_s, outcome == "+")
        for number, outcome in enumerate(outcomes)
    ]


def at_once(outcomes: str, at: float = 0.0, took_s: Sequence[float] = ()) -> list[Answer]:
    """The same, all sent together; each takes as long as *took_s* says."""
    took_s = took_s or [TOOK_S] * len(outcomes)
    pairs = enumerate(zip(outcomes, took_s, strict=True))
    return [Answer(at, at + took, outcome == "+", stream=number) for number, (outcome, took) in pairs]


def told(hear: Callable[[Sequence[Answer]], None], story: Story, answers: Sequence[Answer]) -> None:
    """Has a part of a probe hear what the story holds already."""
    story.answers += answers
    hear(answers)


def driven(text: str, seed: int, scale_s: float, count: int = 300) -> list[tuple[bool, float]]:
    """What a limiter decides at random times, many of them close together; a build ends now and then."""
    chance, limiter, at, found = random.Random(seed), limiter_for(RateLimit.parse(text)), 1000.0, []
    for _ in range(count):
        pause_s = chance.choice([0.11, 0.43, 0.83, 2.9]) if chance.random() < 0.12 else 0.007
        at += scale_s * pause_s * (0.5 + chance.random())
        accepted, delay_s = decide(limiter, at)
        found.append((accepted, delay_s))
        if chance.random() < 0.5:
            limiter.ended(at)
    return found


def token_s(text: str) -> float:
    """The time that a limit takes for each of its starts: all other times of a limiter are in proportion to it."""
    rate = RateLimit.parse(text).tiers[0]
    return rate.options.get("takes_s") or (rate.window_s / rate.limit if rate.window_s else 1.0)


def assert_close(found: str, true: str, scale_s: float = 1.0) -> None:
    """A text is as good as the true one: its times are off by two in a hundred at most, and else it decides alike."""
    off = token_s(found) / token_s(true)
    assert abs(off - 1) <= 0.02, f"{found} beside {true}"
    assert_alike(found, true, scale_s, off)


def assert_alike(one: str, other: str, scale_s: float = 1.0, off: float = 1.0) -> None:
    """Two texts are limiters that decide alike, and neither always the same.

    Args:
        off: By how much all times of *one* are longer.
    """
    for seed in range(3):
        found = [(accepted, delay_s / off) for accepted, delay_s in driven(one, seed, off * scale_s)]
        expected = driven(other, seed, scale_s)
        assert [a for a, _ in found] == [a for a, _ in expected], f"{one} beside {other}"
        assert np.allclose([s for _, s in found], [s for _, s in expected], atol=1e-4), f"{one} beside {other}"
        assert {accepted for accepted, _ in found} == ({True} if one == "none" else {True, False}), one


def most_accepted(stimulus: Stimulus) -> int:
    """How many of a stimulus may be accepted, whatever is behind."""
    return sum(_accepted(segment) for segment in stimulus.segments)


def _accepted(segment: Segment) -> int:
    once = segment.until == "accepted" and not segment.together
    return min(1, len(segment.at)) if once else len(segment.at)


def number(value: float) -> Interval:
    """A number that is known for sure."""
    return Interval(value, value, value)


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
