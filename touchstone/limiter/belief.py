"""Posterior (probabilities given the responses) of all possible limiters, and estimates from it; no I/O."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.probe import Moment
from touchstone.limiter.cells import SHARED, UNSHARED, Cells, Known, grid, joined, picked
from touchstone.limiter.kinds import KINDS, Array, Kind, State, Tiered

_WINDOW_S, _TOKEN_S = (0.02, 10_000.0), (0.001, 5_000.0)  # times considered, in seconds: of a window, of a token
_FINE, _COARSE = 160, 96  # cells along each time: for kinds with one unknown time or phase, and for kinds with more
# Kinds of a second limiter behind the first one, with their prior probabilities.
_BEHIND: Mapping[str, float] = {"fixed-window": 0.03, "sliding-log": 0.03, "token-bucket": 0.03}
_MOST_BEHIND, _BEHIND_STEPS, _SLOWER = 150, 60, 1.3
_LOW, _HIGH = 0.025, 0.975
# Decisions between two refinements, and most refinements: without any, coarse cells around the truth may be dropped.
_AT_ONCE, _MOST_PARTS = 12, 8
_QUOTED, _QUOTED_TIMES = 0.002, 0.1  # a quoted window is true within this share, or the quote is wrong; odds for it
_POINTS = 9  # points per cell at equal distances, for quantiles
_HINT_S = 1.1  # seconds by which a Retry-After may be too long, due to rounding and network delay
_LEAST_OFF, _OFF_SHARE = 2, 0.2  # wrong Retry-After values are reported from this number and share of refusals on


def behind(first: Cells, loose: float, log_prior: float, story: Sequence[Moment]) -> list[Cells]:
    """Candidates, as cells, for a second limiter that gets only the requests which *first*, a single cell, accepts.

    *loose*: relative error of the times of *first*; *log_prior*: logarithm of its prior.
    """
    unexplained = (one.at for one, _ in disagreements(first, story, loose) if not one.accepted)
    refused_at, longest_s = next(unexplained, story[-1].at), story[-1].at - story[0].at
    accepted = sum(moment.accepted for moment in story if moment.at < refused_at)
    params = first.params()
    known, window_s = {name: float(value[0]) for name, value in params.items()}, float(first.kind.refill_s(params)[0])
    # The second limiter has a higher limit, and a lower rate in the long run.
    limits = range(max(int(known["limit"]) + 1, accepted - _MOST_BEHIND), accepted + 1)
    found = []
    for second in KINDS if limits else ():
        if second.text in _BEHIND:
            least_s = _SLOWER * (window_s / known["limit"] if second.fills else window_s)
            kind = Tiered(first.kind, known, second, loose)
            cells = grid(kind, limits, [(least_s, 100 * longest_s)], _BEHIND_STEPS, _BEHIND[second.text])
            found.append(replace(cells, prior=cells.prior + log_prior))
    return found


def _by_share(shares: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, share in shares:
        found[name] = found.get(name, 0.0) + share
    return dict(sorted(found.items(), key=lambda item: -item[1]))


@dataclass
class Belief:
    """Posterior of all kinds: the probability of each cell, which is a small range of parameters."""

    accepted: int  # accepted requests before the first refusal
    least: int = 0  # least limit of a window that may have ended during these requests; 0: none ended
    longest_s: float = 0.0  # longest such window, in seconds
    quoted: tuple[float | None, float | None] = (None, None)  # limit and window (seconds) in RateLimit fields
    wide: bool = False  # whether the limit may be higher, because other clients used a part of it
    cells: list[Cells] = field(default_factory=list)

    def __post_init__(self) -> None:
        most = self.accepted + (math.ceil(0.35 * self.accepted) + 1 if self.wide else 0)
        usual = self.accepted // 2 if self.wide else self.accepted - 1
        for kind in KINDS:
            if limits := kind.limits(self.accepted, most, min(usual, self.least or usual)):
                ranges_s = [_TOKEN_S if kind.fills else _WINDOW_S] * len(kind.scales)
                steps = _FINE if len(kind.scales) + int(kind.phase) == 1 else _COARSE
                cells = grid(kind, limits, ranges_s, steps, kind.prior)
                ended = cells.logs[0] < math.log(max(self.longest_s, 1e-9))
                cells = cells if kind.fills else picked(cells, ended | (cells.limits >= usual))
                quotes = len(kind.scales) == 1 and self.quoted[1] and self.quoted[0] in limits
                self.cells.append(joined(cells, self._as_quoted(kind)) if quotes else cells)

    def _as_quoted(self, kind: Kind) -> Cells:
        """A narrow cell at the quoted limit and window, in addition to the others."""
        limit, window_s = self.quoted[0] or 1.0, self.quoted[1] or 1.0
        time_s = window_s / limit if kind.fills else window_s
        near_s = (time_s * (1 - _QUOTED), time_s * (1 + _QUOTED))
        return grid(kind, [int(limit)], [near_s], 1, _QUOTED_TIMES * kind.prior)

    def update(self, story: Sequence[Moment]) -> None:
        """Updates the posterior with those decisions in *story* that it does not include yet."""
        begins = min(cells.observed for cells in self.cells)
        step = max(_AT_ONCE, (len(story) - begins) // _MOST_PARTS)
        for end in range(len(story) - (len(story) - begins - 1) // step * step, len(story) + 1, step):
            part = story[:end]
            for cells in self.cells:
                cells.update(part)
            # Cells that look negligible may explain later decisions better than all others: they stay until the end.
            top = max(cells.masses().max() for cells in self.cells) if end == len(story) else -math.inf
            refined = [each for cells in self.cells if len(each := cells.refined(part, top))]
            self.cells = refined or self.cells  # all refined cells may turn out to be negligible

    def take(self, other: "Belief") -> None:
        """Replaces cells by those of *other* with the same kind and limit. Both include the same decisions."""
        theirs = {cells.kind.text: cells for cells in other.cells}
        for number, cells in enumerate(self.cells):
            if cells.kind.text in theirs:
                new = theirs.pop(cells.kind.text)
                self.cells[number] = joined(picked(cells, ~np.isin(cells.limits, new.limits)), new)
        self.cells += theirs.values()

    def evidence(self) -> float:
        """Log evidence: the logarithm of the probability of all decisions so far."""
        return float(np.logaddexp.reduce(np.concatenate([cells.masses() for cells in self.cells])))

    def kinds(self) -> dict[str, float]:
        """Probability of each remaining kind, the likeliest first."""
        return _by_share((cells.kind.text, share) for cells, share in self._shares())

    def families(self) -> dict[str, float]:
        """Probability of each remaining family, the likeliest first."""
        return _by_share((cells.kind.family, share) for cells, share in self._shares())

    def _shares(self) -> list[tuple[Cells, float]]:
        total = self.evidence()
        return [(cells, float(np.exp(cells.masses() - total).sum())) for cells in self.cells]

    def alone(self, family: str) -> float:
        """Probability of *family* if no other clients use the key."""
        masses = [(cells.kind.family, float(np.logaddexp.reduce(cells.masses_with(UNSHARED)))) for cells in self.cells]
        total = np.logaddexp.reduce([mass for _, mass in masses])
        return _by_share((name, float(np.exp(mass - total))) for name, mass in masses)[family]

    def likeliest(self, family: str = "") -> Cells:
        """Cells of the likeliest kind in *family*, by default in the likeliest family."""
        name = family or next(iter(self.families()))
        found = [cells for cells in self.cells if cells.kind.family == name]
        return max(found, key=lambda cells: float(np.logaddexp.reduce(cells.masses())))

    def others(self) -> float:
        """Probability that other clients use the limit."""
        total = self.evidence()
        return float(sum(np.exp(cells.masses_with(SHARED) - total).sum() for cells in self.cells))


def tier(cells: Cells) -> Tier:
    """The likeliest limiter in *cells*, with the intervals of its parameters."""
    limit, share = best_limit(cells)
    mine = cells.limits == limit
    kind = cells.kind.second if isinstance(cells.kind, Tiered) else cells.kind
    options = dict(kind.options)
    times = {name: _interval(cells, row, mine) for row, name in enumerate(cells.kind.scales)}
    family = kind.family
    sure = share >= _HIGH - _LOW
    low, high = (limit, limit) if sure else quantiles(cells.limits, _weights(cells), (_LOW, _HIGH))
    counted = Interval(limit, low, high)
    if "token_s" in times:
        token = times["token_s"]
        window = Interval(token.value * limit, token.low * limit, token.high * limit)
        rate = Interval(1 / token.value, 1 / token.high, 1 / token.low)
        text = _bucket(limit, window, rate, options)
        return Tier(family, text, {"burst": counted, "rate_per_s": rate, "window_s": window}, options)
    if "gap_s" in times:
        return Tier(family, f"{family}:{plain(times['gap_s'])}", {"gap_s": times["gap_s"]}, options)
    if "block_s" in times:
        options["block"] = plain(times["block_s"])
    text = _text(family, f"{limit:g}/{plain(times['window_s'])}", options)
    return Tier(family, text, {"limit": counted, **times}, options)


def _bucket(limit: float, window: Interval, rate: Interval, options: dict[str, str]) -> str:
    """Notation of a bucket: with the time to fill it, or with the rate if a whole number makes the text shorter."""
    for unit_s in (1, 60, 3600):
        number = plain(Interval(rate.value * unit_s, rate.low * unit_s, rate.high * unit_s))
        if "." not in number and len(number) < len(plain(window)):
            return _text("token-bucket", f"{number}/{unit_s},burst={limit:g}", options)
    return _text("token-bucket", f"{limit:g}/{plain(window)}", options)


def _text(family: str, numbers: str, options: dict[str, str]) -> str:
    return f"{family}:{numbers}" + "".join(f",{name}={value}" for name, value in options.items())


def best_limit(cells: Cells) -> tuple[float, float]:
    """The likeliest limit in *cells*, and its probability."""
    weights = _weights(cells)
    limits, index = np.unique(cells.limits, return_inverse=True)
    sums = np.bincount(index, weights=weights)
    best = int(np.argmax(sums))
    return float(limits[best]), float(sums[best])


def _weights(cells: Cells) -> Array:
    masses = cells.masses()
    weights = np.exp(masses - masses.max())
    return np.asarray(weights / weights.sum())


def _interval(cells: Cells, row: int, mine: Array) -> Interval:
    logs, wide, weights = cells.logs[row][mine], cells.wide[mine], _weights(cells)[mine]
    steps = (np.arange(_POINTS) * 2 + 1 - _POINTS) / _POINTS
    points = (logs[:, None] + wide[:, None] * steps).ravel()
    heavy = np.repeat(weights / weights.sum() / _POINTS, _POINTS)
    low, middle, high = (float(np.exp(value)) for value in quantiles(points, heavy, (_LOW, 0.5, _HIGH)))
    return Interval(middle, low, high)


def quantiles(values: Array, weights: Array, shares: Sequence[float]) -> list[float]:
    """Weighted quantiles: for each of *shares*, the value below which this share of the weight lies."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    places = np.minimum(np.searchsorted(sums, np.asarray(shares) * sums[-1]), len(order) - 1)
    return [float(value) for value in values[order][places]]


def plain(number: Interval) -> str:
    """Shortest decimal near the value of *number*: off by 1/4 of its interval at most, or 1/2 for a single digit."""
    shortest, width = number.value, number.high - number.low
    for digits in range(1, 10):
        value, near = float(f"{number.value:.{digits}g}"), width / 2 if digits == 1 else width / 4
        if abs(value - number.value) <= near and number.low <= value <= number.high:
            shortest = value
            break
    return f"{shortest:.9f}".rstrip("0").rstrip(".")


def loose(found: Tier) -> float:
    """Relative error of the times of a limiter: half the relative width of the widest interval."""
    shares = [number.high / number.low - 1 for name, number in found.numbers.items() if name.endswith("_s")]
    return max(shares, default=0.0) / 2


def uncertain(found: Tier, blur_s: float, share: float) -> Tier:
    """Widens intervals: those of a window's times by *blur_s* seconds, then all intervals by the factor 1 + *share*."""
    numbers, window = {}, "rate_per_s" not in found.numbers
    for name, one in found.numbers.items():
        low, high = one.low, one.high
        if name.endswith("_s"):
            low, high = (max(low - blur_s, low / 2), high + blur_s) if window else (low, high)
            low, high = low / (1 + share), high * (1 + share)
        numbers[name] = Interval(one.value, low, high if name.endswith("_s") else float(math.ceil(high * (1 + share))))
    return replace(found, numbers=numbers)


def overlap(one: Tier, other: Tier, *, times_only: bool = False) -> bool:
    """Whether two limiters have the same family, and intervals that overlap (with *times_only*, those of the times)."""
    return one.family == other.family and all(
        name in one.numbers and one.numbers[name].low <= number.high and number.low <= one.numbers[name].high
        for name, number in other.numbers.items()
        if name.endswith("_s") or not times_only
    )


def _walk(cells: Cells, story: Sequence[Moment]) -> Iterator[tuple[Moment, State, State]]:
    """Yields each decision from the first usable one on, with the limiter's state before and after; *cells* is one."""
    kind, params = cells.kind, cells.params()
    moments = story[kind.begins(story) :]
    state = kind.start(params, moments[0].at) if moments else {}
    for moment in moments:
        before, state = state, kind.update(params, state, moment.at, moment.accepted)
        yield moment, before, state


def disagreements(cells: Cells, story: Sequence[Moment], share: float = 0.0) -> list[tuple[Moment, float]]:
    """Decisions that contradict a limiter, each with the seconds it is too early or late; *share*: error of times."""
    kind, params, wide, found = cells.kind, cells.params(), np.array([share]), []
    for moment, before, _ in _walk(cells, story):
        ahead_s = float(kind.free_at(params, before)[0]) - moment.at
        slack_s = float(kind.slack_s(params, before, moment.at, wide, wide)[0])
        off_s = min(ahead_s if moment.accepted else -ahead_s, 1e6) - 2 * moment.blur_s - slack_s
        if off_s > 0:
            found.append((moment, off_s))
    return found


def against(cells: Cells, story: Sequence[Moment]) -> str:
    """Sentence about the decision that contradicts the limiter most; empty if no decision contradicts it."""
    clear, _ = max(disagreements(cells, story), key=lambda one: one[1], default=(None, 0.0))
    if clear is None:
        return ""
    at = f"{clear.at - story[0].at:.3f}"
    if clear.accepted:
        return f"it would have refused the request at second {at}, which was accepted"
    return f"it would have accepted the request at second {at}, which was refused"


def hints(cells: Cells, story: Sequence[Moment]) -> tuple[str, ...]:
    """Sentences about Retry-After values that do not fit the limiter."""
    short, long, count = [], [], 0
    for moment, _, after in _walk(cells, story):
        if moment.hint_s is None:
            continue
        count += 1
        wait_s = float(cells.kind.free_at(cells.params(), after)[0]) - moment.at
        if moment.hint_s < wait_s - 2 * moment.blur_s - 0.1:
            short.append((wait_s - moment.hint_s, moment.hint_s, wait_s))
        elif moment.hint_s > wait_s + _HINT_S:
            long.append((moment.hint_s - wait_s, moment.hint_s, wait_s))
    return tuple(
        f"Retry-After is too {word} in {len(off)} of {count} refusals; the worst had Retry-After: {max(off)[1]:g}, "
        f"but the limiter accepts the next request after {max(off)[2]:.2f} s"
        for word, off in (("short", short), ("long", long))
        if len(off) >= max(_LEAST_OFF, _OFF_SHARE * count)
    )


def taken(cells: Cells, story: Sequence[Moment]) -> Interval:
    """Share of the limit that other clients used, with its confidence interval."""
    kind, params, known = cells.kind, cells.params(), Known.nothing(1)
    gone = given = 0.0
    for moment, before, after in _walk(cells, story):
        left = kind.room(params, before, np.full(1, moment.at - 2 * moment.blur_s))
        given += moment.accepted
        if moment.accepted:
            known = replace(known, below=left)
        else:
            still = known.had * (1 - known.gone(kind, params, moment.at))
            gone += max(0.0, float((left - still)[0]))
            known = known.refused(kind, left, moment.at, kind.shut_until(params, after, moment.at))
    count = given + gone
    return Interval.of_share(gone / count, count) if count else Interval(0.0, 0.0, 0.0)
