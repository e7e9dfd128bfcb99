"""How likely answers are of each of many possible limiters; pure.

All answers are weighed at once: one row for each of them, one column for each limiter, and one layer for each share
that others may take.
"""

from dataclasses import dataclass, field

import numpy as np

from touchstone.facts.observed import LEAST_BLUR_S, Moment
from touchstone.limiter import others
from touchstone.limiter.kinds import Array, Kind, Mask, Params, State

# A request that is let through against all expectation.
GENEROUS = 1e-4


@dataclass
class Met:
    """What each of many limiters kept in mind when each of several answers came."""

    moments: list[Moment] = field(default_factory=list)
    free: list[Array] = field(default_factory=list)
    slack: list[Array] = field(default_factory=list)
    left: list[Array] = field(default_factory=list)
    since: list[Array] = field(default_factory=list)
    wide_s: list[float] = field(default_factory=list)
    lost: list[Array] = field(default_factory=list)
    known: list[others.Known] = field(default_factory=list)
    minds: dict[str, list[Array]] = field(default_factory=dict)

    def add(self, kind: Kind, params: Params, state: State, moment: Moment, typical_s: float, slack: Array) -> None:
        """Adds one more.

        Args:
            typical_s: How far moments before it are from where they are thought to be.
            slack: By how much the moment from which on it is let in may move, in seconds.
        """
        self.moments.append(moment)
        self.free.append(kind.free_at(params, state))
        self.left.append(kind.room(params, state, moment.at))
        self.since.append(kind.open_since(params, state, moment.at))
        self.slack.append(slack)
        # What a limiter remembers came at a moment that is not known better than this one.
        self.wide_s.append(1.4 * moment.blur_s + max(0.0, typical_s - LEAST_BLUR_S))
        for name in others.MINDED:
            if name in state:
                self.minds.setdefault(name, []).append(state[name])

    def __len__(self) -> int:
        return len(self.moments)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What answers tell of each limiter.

    Attributes:
        sums: Logarithm of how likely all of them are, but for what is held back; a layer for each share of others.
        held: What is held back of each answer; a row for each of them. None where nothing is.
        vague: By how much the moment may move at which an answer near to it would change, beside what is known of the
            answer's own; 0 where it was not near.
    """

    sums: Array
    held: Array | None
    vague: Array


def weigh(kind: Kind, params: Params, met: Met, *, hold_s: float) -> Weighed:
    """What several answers tell.

    Args:
        hold_s: What moments tell that are near an edge by less than this is held back: in a row they tell of one edge.
    """
    accepted = np.array([moment.accepted for moment in met.moments])
    shape = (len(others.SHARES), len(met), len(params["limit"]))
    sums, held = np.zeros((shape[0], shape[2])), np.zeros(shape) if hold_s else None
    near, slack = np.zeros(shape[1:], dtype=np.bool_), np.array(met.slack)
    for answer in (True, False):
        mask = accepted == answer
        if not mask.any():
            continue
        rows = _Rows.of(met, mask)
        told, close = rows.let_in(kind, params, sums) if answer else rows.refused(kind, params)
        if met.lost:
            lost = np.stack([one for one, mine in zip(met.lost, mask, strict=True) if mine], axis=1)
            is_lost = ~np.isnan(lost[0])
            told, close = np.where(is_lost, lost, told), close | is_lost
        if held is not None:
            one_edge = close & (slack[mask] < hold_s)
            held[:, mask] = np.where(one_edge, told, 0.0)
            told = np.where(one_edge, 0.0, told)
        near[mask] = close
        sums += told.sum(axis=1)
    blur_s = np.array([moment.blur_s for moment in met.moments])[:, None]
    return Weighed(sums, held, np.where(near, slack / blur_s, 0.0))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Answers that are all alike."""

    at: Array
    free: Array
    slack: Array
    left: Array
    blur_s: Array
    wide_s: Array
    known: others.Known
    mind: State

    @classmethod
    def of(cls, met: Met, mask: Mask) -> "_Rows":
        """Those of *mask*."""

        def column(values: list[float]) -> Array:
            return np.array(values)[mask, None]

        def rows(values: list[Array]) -> Array:
            return np.array([value for value, mine in zip(values, mask, strict=True) if mine])

        known = others.Known(
            rows([one.had for one in met.known]),
            rows([one.below for one in met.known]),
            np.maximum(rows([one.shut_until for one in met.known]), rows(met.since)),
            rows([one.held_at for one in met.known]),
            column([float(one.refused_at) for one in met.known]),
            met.known[0].began_at,
        )
        return cls(
            column([moment.at for moment in met.moments]),
            rows(met.free),
            rows(met.slack),
            rows(met.left),
            column([moment.blur_s for moment in met.moments]),
            column(met.wide_s),
            known,
            {name: rows(values) for name, values in met.minds.items()},
        )

    def let_in(self, kind: Kind, params: Params, sums: Array) -> tuple[Array, Mask]:
        """How likely it is that each was let through, and where a smaller cell tells more.

        Adds to *sums* that others left something, where that was needed.
        """
        right, near = self._right(self.at - self.free)
        early = self._early(kind, params, accepted=True)
        told = np.log(right + (1 - right) * np.maximum(early, GENEROUS))
        taken = others.took_all(kind, params, self.mind, self.left, self.at, self.known)
        sums += np.where(right > 0.5, np.log1p(-taken), 0.0).sum(axis=1)
        return told, near

    def refused(self, kind: Kind, params: Params) -> tuple[Array, Mask]:
        """How likely it is that each was refused, and where a smaller cell tells more."""
        right, near = self._right(self.free - self.at)
        early = self._early(kind, params, accepted=False)
        likely = right * (1 - early)
        if (right < 1).any():
            likely = likely + (1 - right) * others.took_all(kind, params, self.mind, self.left, self.at, self.known)
        return np.log(np.maximum(likely, GENEROUS)), near

    def _early(self, kind: Kind, params: Params, *, accepted: bool) -> Array:
        early_s, since_s = np.maximum(self.free - self.at, 0.0), self.at - self.known.refused_at
        return others.came_first(early_s, kind, params, self.mind, since_s, accepted=accepted)

    def _right(self, ahead: Array) -> tuple[Array, Mask]:
        """How likely it is that an answer is the one that the limiter gives, and where a smaller cell tells more."""
        near = (self.slack > 0.3 * self.blur_s) & (np.abs(ahead) < self.slack + self.wide_s)
        share = 0.5 + ahead / (2 * (self.wide_s + np.where(near, self.slack, 0.0)))
        return np.minimum(np.maximum(share, 0.0), 1.0), near
