"""How likely each kind of limiter is after what was seen; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Answer, Moment
from touchstone.limiter.catalogue import ENTRIES, beyond, cells_of
from touchstone.limiter.cells import Cells
from touchstone.limiter.summary import likeliest_limit, tier

# Kinds that are likelier than this may have a higher limit than was ever seen; with times that are up to so far, as a
# logarithm, from those that are likely.
_LIKELY, _UNLIKELY, _ASIDE = 0.01, -9.0, 0.2


@dataclass
class Belief:
    """All cells of all kinds."""

    accepted: int
    wide: bool = False
    cells: list[Cells] = field(default_factory=list)
    _beyond: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begins with everything that may be."""
        found = (cells_of(entry, self.accepted, self.wide) for entry in ENTRIES)
        self.cells = [cells for cells in found if cells is not None]

    def see(self, story: Sequence[Moment]) -> None:
        """Takes in what is new in *story*."""
        for cells in self.cells:
            cells.see(story)
        top = max(cells.masses().max() for cells in self.cells)
        kept = [replace(cells) for cells in self.cells]
        for cells in self.cells:
            cells.refine(story, top)
        # Cut smaller, nothing may be as likely any more as the best seemed: then all of it is kept as it was.
        self.cells = [cells for cells in self.cells if len(cells)] or [cells for cells in kept if len(cells)]

    def take(self, other: "Belief") -> None:
        """Takes what another belief holds of the limits that it knows, which saw the same story."""
        for cells in other.cells:
            mine = next((one for one in self.cells if one.kind.name == cells.kind.name), None)
            if mine is None:
                self.cells.append(cells)
            else:
                mine.take(cells)

    def look_beyond(self, story: Sequence[Moment]) -> None:
        """Thinks of limits of the likeliest kinds beyond what was ever accepted, of each of them once."""
        for cells in self.cells:
            if self.kinds()[cells.kind.name] > _LIKELY and cells.kind.name not in self._beyond:
                self._beyond.add(cells.kind.name)
                logs, heavy = cells.logs, cells.masses() > cells.masses().max() + _UNLIKELY
                ranges_s = [
                    (float(np.exp(row[heavy].min() - _ASIDE)), float(np.exp(row[heavy].max() + _ASIDE))) for row in logs
                ]
                more = beyond(cells.kind, self.accepted, ranges_s)
                if more is not None:
                    more.see(story)
                    more.refine(story, cells.masses().max())
                    cells.take(more)

    def evidence(self) -> float:
        """Logarithm of how likely all of it was."""
        masses = np.concatenate([cells.masses() for cells in self.cells])
        return float(masses.max() + np.log(np.exp(masses - masses.max()).sum()))

    def kinds(self) -> dict[str, float]:
        """Probability of each kind that is left, the likeliest first."""
        total = self.evidence()
        found = {cells.kind.name: float(np.exp(cells.masses() - total).sum()) for cells in self.cells}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def alone(self, family: str) -> float:
        """Probability of a family if nobody else takes a part."""
        found = {name: [c.alone() for c in self.cells if c.kind.family == name] for name in self.families()}
        masses = {name: float(np.logaddexp.reduce(np.concatenate(parts))) for name, parts in found.items()}
        return float(np.exp(masses[family] - np.logaddexp.reduce(list(masses.values()))))

    def families(self) -> dict[str, float]:
        """Probability of each family that is left, the likeliest first."""
        found: dict[str, float] = {}
        by_name = {cells.kind.name: cells.kind.family for cells in self.cells}
        for name, share in self.kinds().items():
            found[by_name[name]] = found.get(by_name[name], 0.0) + share
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def likeliest(self, family: str = "") -> Cells:
        """The cells of the likeliest kind, of one family or of all."""
        name = family or next(iter(self.families()))
        return max(
            (c for c in self.cells if c.kind.family == name), key=lambda c: float(np.logaddexp.reduce(c.masses()))
        )

    def others(self) -> float:
        """Probability that somebody else takes a part of what the limiter gives."""
        total = self.evidence()
        return float(sum(np.exp(cells.shared() - total).sum() for cells in self.cells))


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
