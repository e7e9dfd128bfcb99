"""Grid of cells (small ranges) over the parameters of one kind of limiter, finer where it is likely; no I/O.

The probabilities include other clients with the same key, which may have used up a limit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.probe import LEAST_BLUR_S, Moment
from touchstone.limiter.kinds import LONG_AGO, Array, Kind, Mask, Params, State, is_shared

# Shares of the limit that other clients may use, from none to many, and the log priors of these hypotheses.
SHARES = np.array([0.0, 0.04, 0.12, 0.35])[:, None]
PRIOR = np.log(np.array([0.91, 0.04, 0.04, 0.01]))[:, None]
UNSHARED, SHARED = slice(1), slice(1, None)  # the hypotheses without and with other clients
_NEWLY = 0.5  # probability that other clients began at the probe's first request, instead of long before
_NOISE = 1e-4  # probability of a refusal that nothing explains
_TOKEN_AWAY = 0.1  # probability that a bucket that others use as well holds one token more than computed
_MOST, _STEPS, _LEAST_MEAN, _MOST_MEAN = 160, 240, 1e-3, 100.0
_PER_STEP = math.log(_MOST_MEAN / _LEAST_MEAN) / (_STEPS - 1)


def _tails() -> Array:
    """Table of Poisson probabilities of n or more arrivals: one row for each mean, one column for each n."""
    means = np.geomspace(_LEAST_MEAN, _MOST_MEAN, _STEPS)[:, None]
    counts = np.arange(_MOST)[None, :]
    factorials = np.array([math.lgamma(count + 1) for count in range(_MOST)])
    chances = np.exp(counts * np.log(means) - means - factorials[None, :])
    below = np.concatenate([np.zeros((_STEPS, 1)), np.cumsum(chances, axis=1)[:, :-1]], axis=1)
    return np.concatenate([np.clip(1.0 - below, 0.0, 1.0), np.zeros((_STEPS, 1))], axis=1)


# For each of SHARES, the flattened table of `_tails`; its rows belong to the mean for the whole limit.
_SHIFTS = np.rint(np.log(np.maximum(SHARES, 1e-9)) / _PER_STEP).astype(np.int64)
_TABLES = _tails()[np.clip(np.arange(2 * _STEPS) + _SHIFTS, 0, _STEPS - 1)].reshape(len(SHARES), -1)


def at_least(count: Array, most: Array) -> Array:
    """Probability of *count* or more requests of other clients, with the mean *most* × share; one row per share."""
    steps = np.rint(np.log(np.maximum(most, _LEAST_MEAN) / _LEAST_MEAN) / _PER_STEP)
    places = np.minimum(steps, 2 * _STEPS - 1) * (_MOST + 1) + np.floor(np.minimum(np.maximum(count, 0), _MOST))
    places = places.astype(np.int64)
    return _TABLES.take(places, axis=1) if places.ndim == 1 else np.take_along_axis(_TABLES, places, axis=1)


@dataclass(frozen=True, slots=True)
class Known:
    """Bounds on the requests that other clients hold: those that count against the limit. One entry per limiter."""

    had: Array  # requests that others held at the last refusal: all that the probe seemed to have left
    below: Array  # other clients held fewer requests than this at the last accepted request
    shut_until: Array  # time until which the limiter refuses everything after the last refusal
    held_at: Array  # time of the first of the latest consecutive refusals with equal *had*
    refused_at: float = LONG_AGO
    began_at: float = LONG_AGO

    @classmethod
    def nothing(cls, size: int, began_at: float = LONG_AGO) -> "Known":
        """Bounds before the first request."""
        before = np.full(size, LONG_AGO)
        return cls(np.zeros(size), np.full(size, np.inf), before, before, LONG_AGO, began_at)

    def refused(self, kind: Kind, left: Array, at: float, shut_until: Array) -> "Known":
        """Bounds after a refusal at *at*; without other clients, the limiter would have accepted *left* requests."""
        # For kinds with *levels*, the state already includes these requests; a bucket's may lack a part of a token.
        had = np.minimum(left, 1.0 if kind.fills else 0.0 if kind.levels else np.inf)
        held_at = np.where((had == self.had) & np.isinf(self.below), self.held_at, at)
        return Known(had, np.full(len(left), np.inf), shut_until, held_at, at, self.began_at)

    def gone(self, kind: Kind, params: Params, at: float) -> Array:
        """Share of the requests in *had* that no longer count at *at*."""
        return np.asarray(np.minimum((at - self.refused_at) / kind.lasts_s(params), 1.0))

    def kept(self, kind: Kind, params: Params, at: float) -> Array:
        """Probability that a request in *had* still counts, or that others sent another instead; one row per share."""
        lasts, since, shut = kind.lasts_s(params), self.gone(kind, params, at), self.shut_until > self.refused_at
        first = np.where(shut, (self.refused_at - self.held_at) / lasts, 0.0)
        first = np.where(first < 1.0, first, 0.0)
        per_s = SHARES * params["limit"] / kind.refill_s(params)
        # While the limiter accepts nothing, other clients may send again, on average after half of that time.
        found_empty = np.exp(-0.5 * per_s * np.where(shut, lasts * since, 0.0))
        return np.asarray((1.0 - found_empty * np.minimum(first + since, 1.0)) / (1.0 - found_empty * first))

    def have(self, count: Array, came: Array, kind: Kind, params: Params, at: float) -> Array:
        """Probability that others hold *count* or more requests, sent within the share *came* of a refill time."""
        most = params["limit"] * came
        found = at_least(count, most)
        if self.had.any():
            kept = self.kept(kind, params, at)
            all_left = kept**self.had
            found = all_left * at_least(count - self.had, most)
            found = found + (1.0 - all_left) * at_least(count - np.floor(self.had * kept), most)
        ever = self.shut_until <= LONG_AGO
        if not ever.any() or kind.fills:
            return found
        # Before the first refusal it is unknown whether other clients were active before the first request.
        newly = at_least(count, params["limit"] * np.minimum((at - self.began_at) / kind.refill_s(params), 1.0))
        return np.where(ever, (1.0 - _NEWLY) * found + _NEWLY * newly, found)


def took_all(kind: Kind, params: Params, state: State, left: Array, at: float, known: Known) -> Array:
    """Probability that other clients hold all *left* requests that remain at *at*; one row for each of SHARES."""
    left = np.maximum(left, 1.0)
    came = np.minimum(np.maximum(at - known.shut_until, 0.0) / kind.refill_s(params), 1.0)
    if kind.fills:
        # In a bucket that seems full, others can only hold requests of the last *token_s* seconds.
        came = np.where(state["full"] <= at, 1.0 / params["limit"], came)
    found = known.have(left, came, kind, params, at)
    if np.isfinite(known.below).any():
        below = known.have(known.below, came, kind, params, at)
        found = np.where(left < known.below, (found - below) / np.maximum(1.0 - below, 1e-9), 0.0)
    found = np.minimum(np.maximum(found, _NOISE), 1.0 - _NOISE)
    found[0] = _NOISE  # the first of SHARES: no other clients
    return found


def came_first(
    early_s: Array, kind: Kind, params: Params, state: State, since_s: float, *, accepted: bool
) -> Array | float:
    """Probability, by share, that others made the limiter change *early_s* sooner; last refusal: *since_s* ago."""
    if kind.fills and accepted:
        return np.where((early_s < params["token_s"]) & (SHARES > 0), _TOKEN_AWAY, 0.0)
    if "idle" not in state:
        return 0.0
    per_s = SHARES * params["limit"] / params[kind.scales[0]]
    by_now, before = (np.maximum(state["idle"] - early_s - ago_s, 0.0) for ago_s in (0.0, since_s))
    return np.asarray(-np.expm1(-per_s * (by_now - before)))


LEAST_LIKELIHOOD = 1e-4  # likelihood of a decision that contradicts the limiter
_MISLED, _MOST_MISLED = 3.0, 4.5  # log penalty for a wrong Retry-After; highest for all together
_NEGLIGIBLE = -18.0
_MOST_CELLS, _LEAST_CUT = 5000, 200
_FINEST = 2e-4
_ONE_TICK = 0.5  # an edge (time of a change of decision) known within this share of a tick belongs to one tick

_Value = TypeVar("_Value")


def picked(value: _Value, mask: Mask | NDArray[np.int64]) -> _Value:
    """Returns *value* (an array, a state or cells) reduced to the cells that *mask* selects."""
    found: _Value = _with_arrays(lambda arrays: arrays[0][..., mask], value)
    return found


def joined(one: _Value, other: _Value) -> _Value:
    """Returns the cells of *one*, then those of *other*."""
    found: _Value = _with_arrays(lambda arrays: np.concatenate(arrays, axis=-1), one, other)
    return found


def _with_arrays(change: Callable[[Sequence[Array]], Array], *values: Any) -> Any:
    """Applies *change* to the corresponding arrays of *values*; takes all that is no array from the last of them."""
    last = values[-1]
    if isinstance(last, np.ndarray):
        return change(values)
    if isinstance(last, dict):
        parts = ((name, [value[name] for value in values]) for name in last)
        return {name: part[-1] if is_shared(name, part[-1]) else change(part) for name, part in parts}
    if not is_dataclass(last) or isinstance(last, type):
        return last
    names = [part.name for part in fields(last) if part.init]
    return replace(last, **{name: _with_arrays(change, *(getattr(each, name) for each in values)) for name in names})


@dataclass
class Cells:
    """Cells of one kind: small ranges of parameters. *prior*, *likely* and *run* are logarithms."""

    kind: Kind
    limits: Array
    logs: Array  # natural logarithms of the times; one row per time parameter
    phases: Array  # share of a window or tick that had passed at the first request; 0 without a clock
    wide: Array  # half the width of a cell in each row of *logs*
    wide_phase: Array  # half the width of a cell in *phases*
    prior: Array
    likely: Array  # likelihood of all decisions except those in *run*; one row for each of `SHARES`
    run: Array  # likelihood of the latest equal decisions near one edge, a time of a change of decision
    vague: Array  # error of an edge near a decision, in time errors of the decision; 0 if no edge was near
    misled: Array  # number of wrong Retry-After values, if the limiter is in the cell
    known: Known
    run_accepted: bool = True  # whether the decisions in *run* are acceptances
    state: State = field(default_factory=dict)
    observed: int = 0  # number of decisions so far
    _weight: Array | None = field(default=None, init=False, repr=False)

    @classmethod
    def unobserved(
        cls, kind: Kind, limits: Array, logs: Array, phases: Array, wide: Array, wide_phase: Array, prior: Array
    ) -> "Cells":
        """Cells without observations."""
        rows, nothing = np.zeros((len(SHARES), len(limits))), np.zeros(len(limits))
        known = Known.nothing(len(limits))
        return cls(kind, limits, logs, phases, wide, wide_phase, prior, rows, rows, nothing, nothing, known)

    @classmethod
    def point(cls, kind: Kind, params: Mapping[str, float], wide: float) -> "Cells":
        """A single cell around known parameters."""
        logs = np.array([[math.log(params[name])] for name in kind.scales])
        limits, phases = np.array([params["limit"]]), np.array([params.get("phase", 0.0)])
        return cls.unobserved(kind, limits, logs, phases, np.array([wide]), np.zeros(1), np.zeros(1))

    def __len__(self) -> int:
        return len(self.limits)

    def params(self) -> dict[str, Array]:
        """Parameters at the middle of each cell, and half the cell's width in the phase."""
        times = {name: np.exp(row) for name, row in zip(self.kind.scales, self.logs, strict=True)}
        return {"limit": self.limits, "phase": self.phases, "wide_phase": self.wide_phase, **times}

    def masses(self) -> Array:
        """Logarithm of the posterior weight of each cell."""
        if self._weight is None:
            self._weight = self.masses_with(slice(None))
        return self._weight

    def masses_with(self, others: slice) -> Array:
        """The same if the key has some of the *others* that `SHARES` lists: UNSHARED or SHARED."""
        rows = (self.likely + self.run + PRIOR)[others]
        top = rows.max(axis=0)
        hints = np.minimum(_MISLED * self.misled, _MOST_MISLED)
        return np.asarray(self.prior + top + np.log(np.exp(rows - top).sum(axis=0)) - hints)

    def best(self) -> "Cells":
        """The likeliest cell, as a grid of one cell."""
        return picked(self, np.arange(len(self)) == np.argmax(self.masses()))

    def log_prior(self) -> float:
        """Logarithm of this quotient: prior of the likeliest cell / share of that cell in the posterior of its kind."""
        masses = self.masses()
        best = int(np.argmax(masses))
        return float(np.logaddexp.reduce(masses) - masses[best] + self.prior[best])

    def update(self, story: Sequence[Moment]) -> None:
        """Updates the posterior with those decisions in *story* that it does not include yet."""
        first = max(self.observed, self.kind.begins(story))
        self.observed = len(story)
        if not len(self) or first >= len(story):
            return
        self._weight, params = None, self.params()
        if not self.state:
            self.state = dict(self.kind.start(params, story[first].at))
            self.known = Known.nothing(len(self), story[first].at)
        before_s = np.cumsum([moment.blur_s for moment in story]) / (np.arange(len(story)) + 1)
        let_in = np.array([moment.at for moment in story if moment.accepted])
        passed = np.cumsum([moment.accepted for moment in story])
        for number in range(first, len(story)):
            moment = story[number]
            wide_s = 1.4 * moment.blur_s + max(0.0, float(before_s[number]) - LEAST_BLUR_S)
            left = self.kind.room(params, self.state, moment.at)
            slack = self.kind.slack_s(params, self.state, moment.at, self.wide, self.wide_phase)
            self._weigh(params, moment, left, slack, wide_s, let_in[: passed[number] - moment.accepted])
            self._go_on(params, moment, left, slack)

    def _weigh(self, params: Params, moment: Moment, left: Array, slack: Array, wide_s: float, let_in: Array) -> None:
        """Adds the likelihood of one decision; *slack* and *wide_s*: time errors of edge and decision, in seconds."""
        kind, known, at = self.kind, self.known, moment.at
        ahead = at - kind.free_at(params, self.state)
        near = (slack > 0.3 * moment.blur_s) & (np.abs(ahead) < slack + wide_s)
        accepts = 0.5 + ahead / (2 * (wide_s + np.where(near, slack, 0.0)))
        accepts = np.minimum(np.maximum(accepts, 0.0), 1.0)
        open_since = kind.open_since(params, self.state, at)
        known = replace(known, shut_until=np.maximum(known.shut_until, open_since))
        terms = (kind, params, self.state)
        early = came_first(np.maximum(-ahead, 0.0), *terms, at - known.refused_at, accepted=moment.accepted)
        if moment.accepted:
            likely = np.log(accepts + (1 - accepts) * np.maximum(early, LEAST_LIKELIHOOD))
            taken = took_all(*terms, left, at, known)
            self.likely = self.likely + np.where(accepts > 0.5, np.log1p(-taken), 0.0)
        else:
            likely = (1 - accepts) * (1 - early)
            if accepts.any():
                likely = likely + accepts * took_all(*terms, left, at, known)
            likely = np.log(np.maximum(likely, LEAST_LIKELIHOOD))
        if self._clocked:
            lost = slack > 0.5 * params[kind.scales[0]]
            likely, near = np.where(lost, self._lost(let_in, moment, params), likely), near | lost
        self.vague = np.maximum(self.vague, np.where(near, slack / moment.blur_s, 0.0))
        # Equal decisions near one edge count as one observation: the one that contradicts the cell most.
        if moment.accepted != self.run_accepted:
            self.likely, self.run, self.run_accepted = self.likely + self.run, np.zeros_like(self.run), moment.accepted
        hold_s = math.inf if self._clocked or len(self.logs) > 1 else 0.0
        one_edge = near & (slack < (_ONE_TICK * kind.tick_s if kind.fills else hold_s))
        self.run = np.minimum(self.run, np.where(one_edge, likely, 0.0))
        self.likely = self.likely + np.where(one_edge, 0.0, likely)

    def _go_on(self, params: Params, moment: Moment, left: Array, slack: Array) -> None:
        """Updates the state of each limiter with one response, and compares its Retry-After with that state."""
        self.state = self.kind.update(params, self.state, moment.at, moment.accepted)
        if moment.accepted:
            self.known = replace(self.known, below=left)
        else:
            shut_until = self.kind.shut_until(params, self.state, moment.at)
            self.known = self.known.refused(self.kind, left, moment.at, shut_until)
        if moment.hint_s is not None:
            wait_s = self.kind.free_at(params, self.state) - moment.at
            off = np.clip(np.abs(moment.hint_s - 0.5 - wait_s) - 0.5 - slack - moment.blur_s, 0.0, 1.0)
            # If other clients used up the limit, the wait is at most the time for which requests count.
            longer = np.clip(moment.hint_s - 1.0 - self.kind.lasts_s(params), 0.0, 1.0)
            self.misled = self.misled + np.where(wait_s > -moment.blur_s - slack, off, longer)

    @property
    def _clocked(self) -> bool:
        return self.kind.phase and self.kind.family == "fixed-window"

    def _lost(self, let_in: Array, moment: Moment, params: Params) -> Array:
        """Log likelihood of a response if the start of the windows is unknown: log(1/2) if the response is possible."""
        length, limit = params[self.kind.scales[0]], params["limit"].astype(np.int64)
        place = len(let_in) - (2 * limit if moment.accepted else limit)
        last = np.where(place >= 0, let_in[np.maximum(place, 0)] if len(let_in) else LONG_AGO, LONG_AGO)
        edge = last + length * np.exp(-self.wide if moment.accepted else self.wide)
        never = (edge > moment.at + moment.blur_s) if moment.accepted else (edge < moment.at - moment.blur_s)
        missing = params["limit"] - len(let_in) + np.searchsorted(let_in, moment.at - length)
        taken = 0.0 if moment.accepted else at_least(missing, params["limit"])
        return np.where(never, np.log(np.maximum(taken, LEAST_LIKELIHOOD)), np.log(0.5))

    def refined(self, story: Sequence[Moment], top: float) -> "Cells":
        """Cuts likely cells and *vague* ones; drops those negligible beside the log weight *top* (-inf: drops none)."""
        cells = self
        for _ in range(6):
            masses = cells.masses()
            alive = masses > (masses.max(initial=top) + _NEGLIGIBLE if top > -math.inf else top)
            if not alive.all():
                cells, masses = picked(cells, alive), masses[alive]
            if not len(cells):
                break
            shares = np.exp(masses - masses.max())
            shares /= shares.sum()
            cut = (((cells.vague > 0) & (shares > 1e-4)) | (shares > 1 / 200)) & (cells.wide > _FINEST)
            if not cut.any() or len(cells) > 2 * _MOST_CELLS:
                break
            axes, pieces = _axes(cells.kind)
            most = max(_LEAST_CUT, (_MOST_CELLS - len(cells)) // pieces**axes)
            if cut.sum() > most:
                order = np.argsort(-np.where(cut, shares, -1.0), kind="stable")
                cut = np.isin(np.arange(len(cells)), order[:most])
            cells = joined(picked(cells, ~cut), _cut(picked(cells, cut), story))
        return cells


def _axes(kind: Kind) -> tuple[int, int]:
    """Number of parameters of a cell, and number of pieces along each of them when the cell is divided."""
    axes = len(kind.scales) + int(kind.phase)
    return axes, 4 if axes == 1 else 2


def _cut(cells: Cells, story: Sequence[Moment]) -> Cells:
    axes, pieces = _axes(cells.kind)
    steps = (np.arange(pieces) * 2 + 1 - pieces) / pieces
    mesh = np.meshgrid(*[steps] * axes, indexing="ij")
    offsets, times = [np.tile(line.ravel(), len(cells)) for line in mesh], pieces**axes
    whole = cells.limits, cells.phases, cells.wide, cells.wide_phase, cells.prior
    limits, phases, wide, wide_phase, prior = (np.repeat(values, times) for values in whole)
    logs = np.array([np.repeat(row, times) + wide * offsets[i] for i, row in enumerate(cells.logs)])
    if cells.kind.phase:
        phases, wide_phase = phases + wide_phase * offsets[-1], wide_phase / pieces
    parts = Cells.unobserved(cells.kind, limits, logs, phases, wide / pieces, wide_phase, prior - math.log(times))
    parts.update(story)
    return parts


def grid(kind: Kind, limits: Sequence[int], ranges_s: Sequence[tuple[float, float]], steps: int, prior: float) -> Cells:
    """A grid of cells over all parameters. *ranges_s*: range of each time in seconds. A limit has the prior 1/limit."""
    edges = [np.linspace(math.log(low), math.log(high), steps + 1) for low, high in ranges_s]
    axes = [(line[1:] + line[:-1]) / 2 for line in edges]
    half = max((line[1] - line[0]) / 2 for line in edges)
    turns = max(4, steps // 6) if kind.phase else 1
    phases = (np.arange(turns) + 0.5) / turns if kind.phase else np.zeros(1)
    mesh = np.meshgrid(np.asarray(limits, dtype=np.float64), *axes, phases, indexing="ij")
    flat = [np.asarray(part.ravel(), dtype=np.float64) for part in mesh]
    size = len(flat[0])
    weights = math.log(prior) - math.log(size / len(limits)) - np.log(flat[0])
    wide, wide_phase = np.full(size, half), np.full(size, 0.5 / turns if kind.phase else 0.0)
    return Cells.unobserved(kind, flat[0], np.array(flat[1:-1]), flat[-1], wide, wide_phase, weights)
