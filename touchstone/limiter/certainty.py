"""How well the numbers of a limiter are known, and whether what told them was seen from both sides; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Answer
from touchstone.limiter.cells import Cells
from touchstone.limiter.summary import likeliest_limit, tier

# Where no limiter explains all that was seen, its numbers may be off by at least this share of themselves.
_LEAST_VAGUE = 0.05


@dataclass
class Tail:
    """The last stimuli whose answers were all alike.

    Attributes:
        unlikely: How unlikely these were, as a logarithm.
    """

    unlikely: float = 0.0
    _kinds: set[bool] = field(default_factory=set)

    def add(self, answers: Sequence[Answer], unlikely: float) -> None:
        """Takes in one more."""
        kinds = {answer.accepted for answer in answers}
        if not kinds:
            return
        if len(kinds) > 1:
            self.unlikely, self._kinds = 0.0, set()
        else:
            self.unlikely = unlikely + (self.unlikely if kinds == self._kinds else 0.0)
            self._kinds = kinds


def blurred(found: Tier, blur_s: float) -> Tier:
    """With the ends of a window as uncertain as the moment of any one answer; a rate is the work of many."""
    if "rate_per_s" in found.numbers:
        return found
    numbers = {
        name: Interval(one.value, max(one.low - blur_s, one.low / 2), one.high + blur_s) if name.endswith("_s") else one
        for name, one in found.numbers.items()
    }
    return replace(found, numbers=numbers)


def vague(found: Tier, share: float) -> Tier:
    """With all numbers as uncertain as what somebody else takes makes them, who only ever takes.

    Args:
        share: Of what the limiter gives.
    """
    more = 1.0 + max(share, _LEAST_VAGUE)
    numbers = {
        name: Interval(one.value, one.low / more, one.high * more)
        if name.endswith("_s")
        else Interval(one.value, one.low, float(math.ceil(one.high * more)))
        for name, one in found.numbers.items()
    }
    return replace(found, numbers=numbers)


def same(one: Cells, other: Cells, limit: float) -> bool:
    """Whether two kinds of a family have the same limit, and times that may be the same."""
    if one.kind.family != other.kind.family or one.kind.scales != other.kind.scales:
        return False
    mine, theirs = (tier(cells).numbers for cells in (one, other))
    apart = (
        theirs[name].low > number.high or number.low > theirs[name].high
        for name, number in mine.items()
        if name.endswith("_s")
    )
    return likeliest_limit(one)[0] == limit and not any(apart)


def loose(found: Tier) -> float:
    """How far the times of a limiter may be from what they are thought to be, as a share of themselves."""
    shares = [number.high / number.low - 1 for name, number in found.numbers.items() if name.endswith("_s")]
    return max(shares, default=0.0) / 2
