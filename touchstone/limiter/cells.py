"""What one kind of limiter may be: its parameters cut into cells, each as likely as what was seen makes it; pure.

A cell is a stretch of each of its times and of its phase, around one point. What the point would have answered is
compared with what was answered, and how far the edges of the cell are away blurs that: a large cell is never ruled out
by what only its middle contradicts. Cells that matter are cut smaller until that no longer tells more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from touchstone.facts.observed import LEAST_BLUR_S, Moment
from touchstone.limiter import others
from touchstone.limiter.families import TokenBucket
from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Mask, Params, State, begins

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


# What one hint weighs that a limiter contradicts, and all of them: no more than a word against what is done.
_MISLED, _MOST_MISLED = 3.0, 4.5
_NEGLIGIBLE = -18.0
_MOST_CELLS, _LEAST_CUT = 5000, 200
_FINEST = 2e-4
# Answers are weighed together for so many cells; of fewer cells, more of them at once.
_AT_ONCE = 8000
# What may lie further from the tick at which it is thought to be than this share of the time between two may be another
# one's.
_ONE_TICK = 0.5
# One row for each share that others may take.
ROWS = len(others.SHARES)


@dataclass
class Cells:
    """The cells of one kind.

    Attributes:
        limits: The limit of each cell; a whole number.
        logs: Natural logarithm of each of its times; one row each.
        phases: Share of the first time; zeros where the kind has no phase.
        wide: Half the width of a cell in each logarithm.
        wide_phase: Half its width in the phase.
        prior: Logarithm of what it weighs beforehand.
    """

    kind: Kind
    limits: Array
    logs: Array
    phases: Array
    wide: Array
    wide_phase: Array
    prior: Array
    likely: Array = field(default_factory=lambda: np.zeros((ROWS, 0)))
    vague: Array = field(default_factory=lambda: np.zeros(0))
    run: Array = field(default_factory=lambda: np.zeros((ROWS, 0)))
    ran: bool = True
    known: others.Known = field(default_factory=lambda: others.Known.nothing(0))
    misled: Array = field(default_factory=lambda: np.zeros(0))
    state: State = field(default_factory=dict)
    seen: int = 0
    _weight: Array | None = field(default=None, init=False, repr=False)

    @classmethod
    def point(cls, kind: Kind, params: Mapping[str, float], wide: float) -> "Cells":
        """One cell, around what is known."""
        logs = np.array([[math.log(params[name])] for name in kind.scales])
        limits, phases = np.array([params["limit"]]), np.array([params.get("phase", 0.0)])
        return cls(
            kind,
            limits,
            logs,
            phases,
            np.array([wide]),
            np.zeros(1),
            np.zeros(1),
            likely=np.zeros((ROWS, 1)),
            run=np.zeros((ROWS, 1)),
            vague=np.zeros(1),
            known=others.Known.nothing(1),
            misled=np.zeros(1),
        )

    def __len__(self) -> int:
        return len(self.limits)

    def params(self) -> dict[str, Array]:
        """The parameters of each cell's middle, and half its width in the phase."""
        times = {name: np.exp(row) for name, row in zip(self.kind.scales, self.logs, strict=True)}
        return {"limit": self.limits, "phase": self.phases, "wide_phase": self.wide_phase, **times}

    def masses(self) -> Array:
        """Logarithm of the weight of each cell after all that was seen."""
        if self._weight is None:
            self._weight = self._masses(self.likely + self.run + others.PRIOR)
        return self._weight

    def alone(self) -> Array:
        """The same of the story in which nobody else takes a part."""
        return self._masses((self.likely + self.run + others.PRIOR)[:1])

    def luck(self) -> float:
        """Logarithm of how likely it was beforehand that the likeliest cell is the right one.

        What is known to a hair weighs no more than its part of all that the kind may have been.
        """
        masses = self.masses()
        best = int(np.argmax(masses))
        return float(np.logaddexp.reduce(masses) - masses[best] + self.prior[best])

    def shared(self) -> Array:
        """The same of only those stories in which somebody else takes a part."""
        return self._masses((self.likely + self.run + others.PRIOR)[1:])

    def _masses(self, rows: Array) -> Array:
        top = rows.max(axis=0)
        hints = np.minimum(_MISLED * self.misled, _MOST_MISLED)
        return np.asarray(self.prior + top + np.log(np.exp(rows - top).sum(axis=0)) - hints)

    def see(self, story: Sequence[Moment]) -> None:
        """Takes in what of *story* was not yet seen."""
        self.seen = max(self.seen, begins(self.kind, story))
        if not len(self) or len(story) == self.seen:
            self.seen = len(story)
            return
        self._weight, params = None, self.params()
        if not self.state:
            began_at = story[self.seen].at
            self.state = dict(self.kind.start(params, began_at))
            self.likely = np.zeros((ROWS, len(self)))
            self.vague = np.zeros(len(self))
            self.run = np.zeros((ROWS, len(self)))
            self.known = others.Known.nothing(len(self), began_at)
            self.misled = np.zeros(len(self))
        # What a limiter remembers came at a moment that is not known better than this one.
        before_s = np.cumsum([moment.blur_s for moment in story]) / (np.arange(len(story)) + 1)
        let_in = np.array([moment.at for moment in story if moment.accepted])
        passed = np.cumsum([moment.accepted for moment in story])
        many = max(1, _AT_ONCE // len(self))
        for first in range(self.seen, len(story), many):
            met = Met()
            for number in range(first, min(first + many, len(story))):
                moment = story[number]
                slack = self.kind.slack_s(params, self.state, moment.at, self.wide, self.wide_phase)
                met.add(self.kind, params, self.state, moment, float(before_s[number]), slack)
                if self._clocked:
                    met.lost.append(self._lost(let_in[: passed[number] - moment.accepted], moment, params, slack))
                met.known.append(self.known)
                self._go_on(params, moment, met.left[-1], slack)
            weighed = weigh(self.kind, params, met, hold_s=self._hold_s)
            self._add(weighed, np.array([moment.accepted for moment in met.moments]))
        self.seen = len(story)

    def _go_on(self, params: Params, moment: Moment, left: Array, slack: Array) -> None:
        """What each limiter keeps in mind after an answer, and whether what that says of its limit is true."""
        self.state = self.kind.update(params, self.state, moment.at, moment.accepted)
        if moment.accepted:
            self.known = self.known.accepted(left)
        else:
            shut_until = self.kind.shut_until(params, self.state, moment.at)
            self.known = self.known.refused(self.kind, left, moment.at, shut_until)
        if moment.hint_s is not None:
            wait_s = self.kind.free_at(params, self.state) - moment.at
            off = np.clip(np.abs(moment.hint_s - 0.5 - wait_s) - 0.5 - slack - moment.blur_s, 0.0, 1.0)
            # Where others have what is left nobody knows for how long, but it is no longer than for all of it.
            longer = np.clip(moment.hint_s - 1.0 - others.lasts_s(self.kind, params), 0.0, 1.0)
            self.misled += np.where(wait_s > -moment.blur_s - slack, off, longer)

    def _add(self, weighed: Weighed, accepted: Mask) -> None:
        """Adds what answers tell.

        A run of answers that are the same tells of one moment: what of a cell contradicts it counts once.
        """
        self.likely += weighed.sums
        self.vague = np.maximum(self.vague, weighed.vague.max(axis=0))
        if weighed.held is None:
            return
        starts = np.flatnonzero(np.diff(accepted, prepend=self.ran))
        for first, end in zip([0, *starts], [*starts, len(accepted)], strict=True):
            if end > first:
                self.run = np.minimum(self.run, weighed.held[:, first:end].min(axis=1))
            if end < len(accepted):
                self.likely, self.run = self.likely + self.run, np.zeros_like(self.run)
        self.ran = bool(accepted[-1])

    @property
    def _hold_s(self) -> float:
        """Answers in a row within so many seconds tell of one edge; 0 where each is to be known for itself."""
        if isinstance(self.kind, TokenBucket):
            return _ONE_TICK * self.kind.tick_s
        return math.inf if self._clocked or len(self.logs) > 1 else 0.0

    @property
    def _clocked(self) -> bool:
        return self.kind.phase and self.kind.family == "fixed-window"

    def _lost(self, let_in: Array, moment: Moment, params: Params, slack: Array) -> Array:
        """What an answer tells of cells that are too wide for a place on their clock; NaN for others.

        That is next to nothing, as long as so many in one stretch are possible at all.
        """
        length, limit = params[self.kind.scales[0]], params["limit"].astype(np.int64)
        most = 2 * limit if moment.accepted else limit
        place = len(let_in) - most
        last = np.where(place >= 0, let_in[np.maximum(place, 0)] if len(let_in) else LONG_AGO, LONG_AGO)
        edge = last + length * np.exp(-self.wide if moment.accepted else self.wide)
        never = (edge > moment.at + moment.blur_s) if moment.accepted else (edge < moment.at - moment.blur_s)
        missing = params["limit"] - len(let_in) + np.searchsorted(let_in, moment.at - length)
        taken = 0.0 if moment.accepted else others.at_least(missing, params["limit"])
        told = np.where(never, np.log(np.maximum(taken, GENEROUS)), np.log(0.5))
        return np.broadcast_to(np.where(slack > 0.5 * length, told, np.nan), (ROWS, len(self)))

    def keep(self, mask: Mask) -> None:
        """Drops all other cells."""
        self._set(self._part(mask))

    def _part(self, mask: Mask) -> "Cells":
        size = len(self)
        state = {
            name: value[mask] if np.shape(value) == (size,) and not name.endswith("log") else value
            for name, value in self.state.items()
        }
        return Cells(
            self.kind,
            self.limits[mask],
            self.logs[:, mask],
            self.phases[mask],
            self.wide[mask],
            self.wide_phase[mask],
            self.prior[mask],
            self.likely[:, mask],
            self.vague[mask],
            self.run[:, mask],
            self.ran,
            self.known.of(mask),
            self.misled[mask],
            state,
            self.seen,
        )

    def _set(self, other: "Cells") -> None:
        for part in fields(self):
            setattr(self, part.name, getattr(other, part.name))

    def refine(self, story: Sequence[Moment], top: float) -> None:
        """Drops what weighs next to nothing beside *top*, and cuts smaller what weighs much or is vague."""
        for _ in range(6):
            if not len(self):
                return
            masses = self.masses()
            alive = masses > max(top, masses.max()) + _NEGLIGIBLE
            if not alive.all():
                self.keep(alive)
                masses = masses[alive]
            if not len(self):
                return
            shares = np.exp(masses - masses.max())
            shares /= shares.sum()
            fine = self.wide <= _FINEST
            cut = (((self.vague > 0) & (shares > 1e-4)) | (shares > 1 / 200)) & ~fine
            if not cut.any() or len(self) > 2 * _MOST_CELLS:
                return
            most = max(_LEAST_CUT, (_MOST_CELLS - len(self)) // self._parts())
            if cut.sum() > most:
                order = np.argsort(-np.where(cut, shares, -1.0), kind="stable")
                cut = np.zeros_like(cut)
                cut[order[:most]] = True
            whole, parts = self._part(~cut), self._cut(self._part(cut), story)
            self._join(whole, parts)

    def _parts(self) -> int:
        return 2 ** (len(self.logs) + int(self.kind.phase)) if len(self.logs) + int(self.kind.phase) > 1 else 4

    def _cut(self, cells: "Cells", story: Sequence[Moment]) -> "Cells":
        axes = len(cells.logs) + int(self.kind.phase)
        pieces = 4 if axes == 1 else 2
        steps = (np.arange(pieces) * 2 + 1 - pieces) / pieces
        mesh = [grid.ravel() for grid in np.meshgrid(*[steps] * axes, indexing="ij")]
        times = len(mesh[0])

        def many(values: Array) -> Array:
            return np.repeat(values, times)

        offsets = [np.tile(grid, len(cells)) for grid in mesh]
        logs = np.array([many(row) + many(cells.wide) * offsets[i] for i, row in enumerate(cells.logs)])
        phases = many(cells.phases)
        wide_phase = many(cells.wide_phase)
        if self.kind.phase:
            phases = phases + wide_phase * offsets[-1]
            wide_phase = wide_phase / pieces
        parts = Cells(
            self.kind,
            many(cells.limits),
            logs,
            phases,
            many(cells.wide) / pieces,
            wide_phase,
            many(cells.prior) - math.log(times),
        )
        parts.see(story)
        return parts

    def take(self, other: "Cells") -> None:
        """Has those of another one, which saw the same story, in the place of its own of the same limits."""
        self._join(self._part(~np.isin(self.limits, np.unique(other.limits))), other)

    def _join(self, one: "Cells", other: "Cells") -> None:
        sizes = (len(one), len(other))
        state: State = {}
        for name, value in other.state.items():
            before = one.state.get(name, value)
            joint = not name.endswith("log") and np.shape(value) == (sizes[1],)
            state[name] = np.concatenate([before, value]) if joint else value
        joined = Cells(
            self.kind,
            np.concatenate([one.limits, other.limits]),
            np.concatenate([one.logs, other.logs], axis=1),
            np.concatenate([one.phases, other.phases]),
            np.concatenate([one.wide, other.wide]),
            np.concatenate([one.wide_phase, other.wide_phase]),
            np.concatenate([one.prior, other.prior]),
            np.concatenate([one.likely, other.likely], axis=1),
            np.concatenate([one.vague, other.vague]),
            np.concatenate([one.run, other.run], axis=1),
            other.ran,
            one.known.joined(other.known),
            np.concatenate([one.misled, other.misled]),
            state,
            other.seen,
        )
        self._set(joined)


def grid(kind: Kind, limits: Sequence[int], ranges_s: Sequence[tuple[float, float]], steps: int, prior: float) -> Cells:
    """Cells that cover all that a kind may be.

    Args:
        limits: Whole numbers, each as likely as one over itself; the same for every kind, whichever of them are left.
        ranges_s: Least and most of each of its times, in seconds; each factor between them is as likely as any other.
        steps: Cells for each time; a quarter of that for a phase.
        prior: What the kind weighs beforehand.
    """
    edges = [np.linspace(math.log(low), math.log(high), steps + 1) for low, high in ranges_s]
    axes = [(line[1:] + line[:-1]) / 2 for line in edges]
    halves = [(line[1] - line[0]) / 2 for line in edges]
    turns = max(4, steps // 6) if kind.phase else 1
    phases = np.asarray((np.arange(turns) + 0.5) / turns if kind.phase else np.zeros(1), dtype=np.float64)
    weights = 1.0 / np.asarray(limits, dtype=np.float64)
    mesh = np.meshgrid(np.arange(len(limits)), *axes, phases, indexing="ij")
    flat = [np.asarray(part.ravel(), dtype=np.float64) for part in mesh]
    index = flat[0].astype(np.int64)
    size = len(index)
    each = math.log(prior) - math.log(size / len(limits))
    return Cells(
        kind,
        np.asarray(limits, dtype=np.float64)[index],
        np.array(flat[1:-1]),
        flat[-1],
        np.full(size, max(halves)),
        np.full(size, 0.5 / turns if kind.phase else 0.0),
        np.asarray(each + np.log(weights[index]), dtype=np.float64),
    )
