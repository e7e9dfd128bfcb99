"""Limiters that explain all but the last refusals, and what may be behind each of them; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from touchstone.facts.observed import Moment
from touchstone.limiter.account import Candidate, compare
from touchstone.limiter.belief import Belief
from touchstone.limiter.catalogue import behind
from touchstone.limiter.cells import Cells
from touchstone.limiter.certainty import loose
from touchstone.limiter.summary import tier
from touchstone.limiter.tiers import Tiered

# So likely a limiter has to have been for another one to be behind it, and of so many of them at most.
_LIKELY, _MOST_FIRSTS = 0.1, 3
# How well its times have to be known for that, as a share of themselves.
_KNOWN = 0.3
# So likely it has to have been for what is behind it to be sure.
_SURE = 0.9
# By so much of what they were thought to be uncertain its times have to turn out to be others, to be reckoned anew.
_MOVED = 0.5
# Refusals of a second limiter that are further apart than this share of its window come from two fillings.
_APART = 0.5


@dataclass
class Firsts:
    """What may turn out to have another limit behind it: what that refuses speaks against the right one, too."""

    kept: dict[str, tuple[Candidate, float, float]] = field(default_factory=dict)
    _likeliest: dict[str, float] = field(default_factory=dict)

    def keep(self, belief: Belief) -> None:
        """Keeps what is likely by now and well known."""
        kinds = belief.kinds()
        for cells in belief.cells:
            name = cells.kind.name
            if isinstance(cells.kind, Tiered):
                continue
            if kinds[name] > _LIKELY and (share := loose(tier(cells))) < _KNOWN:
                self._likeliest[name] = max(self._likeliest.get(name, 0.0), kinds[name])
                self.kept.pop(name, None)  # the last one that was likely comes last
                self.kept[name] = (_middle(cells), share, cells.luck())

    def was_sure(self, kind: Tiered) -> bool:
        """Whether the first of two limiters was all but certain before the second one was met."""
        return self._likeliest.get(kind.first.name, 0.0) > _SURE

    def behind(self, moments: Sequence[Moment]) -> list[Cells]:
        """What may be behind the last that were kept."""
        firsts = list(self.kept.values())[-_MOST_FIRSTS:]
        return [cells for first in firsts for cells in _behind(first, moments)]

    def share(self, belief: Belief) -> float:
        """How likely it is that there is another limit behind one."""
        kinds = belief.kinds()
        return sum(kinds[cells.kind.name] for cells in belief.cells if isinstance(cells.kind, Tiered))

    def renew(self, belief: Belief, moments: Sequence[Moment]) -> None:
        """Reckons anew with the times of a first limiter that became known better than by when it was kept."""
        for plain in [cells for cells in belief.cells if not isinstance(cells.kind, Tiered)]:
            before = [cells for cells in belief.cells if _is_behind(cells, plain)]
            if not before or not _has_moved(before[0], plain):
                continue
            after = _behind((_middle(plain), loose(tier(plain)), plain.luck()), moments)
            for cells in after:
                cells.see(moments)
                cells.refine(moments, max(one.masses().max() for one in belief.cells))
            after = [cells for cells in after if len(cells)]
            if after and _evidence(after) > _evidence(before):
                kept = [cells for cells in belief.cells if not any(cells is one for one in before)]
                belief.cells = kept + after


def meets(kind: Tiered, moments: Sequence[Moment], window_s: float) -> int:
    """How often the second of two limiters refused what the first one would have let through, half a window apart."""
    first = Candidate(kind.first, {name: np.array([value]) for name, value in kind.known.items()})
    count, last_at = 0, -math.inf
    for one in compare(first, moments, kind.loose):
        if not one.moment.accepted and one.disagrees_s > 0 and one.moment.at > last_at + _APART * window_s:
            count, last_at = count + 1, one.moment.at
    return count


def _middle(cells: Cells) -> Candidate:
    """The likeliest limit, with times in the middle of what they may be: as far from one end as from the other."""
    candidate, numbers = Candidate.of(cells), tier(cells).numbers
    middles = {name: math.sqrt(number.low * number.high) for name, number in numbers.items() if number.low > 0}
    if "token_s" in cells.kind.scales:
        middles["token_s"] = 1.0 / middles["rate_per_s"]
    times = {name: np.array([middles[name]]) for name in cells.kind.scales}
    return Candidate(candidate.kind, {**candidate.params, **times})


def _behind(first: tuple[Candidate, float, float], moments: Sequence[Moment]) -> list[Cells]:
    candidate, share, luck = first
    accepted = sum(moment.accepted for moment in moments)
    return behind(candidate, share, accepted, moments[-1].at - moments[0].at, luck)


def _is_behind(cells: Cells, plain: Cells) -> bool:
    return isinstance(cells.kind, Tiered) and cells.kind.first.name == plain.kind.name


def _has_moved(cells: Cells, plain: Cells) -> bool:
    """Whether the times of a limiter are others than what is behind it was reckoned with."""
    assert isinstance(cells.kind, Tiered)
    known, now = cells.kind.known, _middle(plain).params
    if float(now["limit"][0]) != known["limit"]:
        return False
    moved = [abs(np.log(float(now[name][0]) / known[name])) for name in plain.kind.scales]
    return max(moved) > _MOVED * cells.kind.loose and loose(tier(plain)) < cells.kind.loose


def _evidence(many: Sequence[Cells]) -> float:
    return float(np.logaddexp.reduce(np.concatenate([cells.masses() for cells in many])))
