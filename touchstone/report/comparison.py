"""Compares verdicts and findings of two or more runs, and the statistics of two load runs. No I/O.

Noise is the variation within each load run. A block bootstrap with a fixed seed gives the interval of a difference.
Requests of the same second are correlated, so a run is divided into blocks of seconds. In each of ROUNDS rounds, blocks
are drawn with replacement, and the difference is computed from them. The interval contains the middle 95 % of these
differences. If there are few blocks, Student's t widens the interval. Times and rates are compared by the logarithm of
their ratio, shares by their difference.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import PurePath
from statistics import NormalDist
from string import ascii_uppercase
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from touchstone.errors import UsageError
from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.facts.identity import Interval
from touchstone.facts.sample import Histogram
from touchstone.facts.wording import percentage, plural
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import ALL, FEW, LASTING, SHARES, Kind, Times, is_answer, kind_of, totals
from touchstone.loadgen.plan import AT_ONCE, SCENARIOS
from touchstone.loadgen.runner import is_loopback
from touchstone.rules.verdict import ClaimVerdict, RunVerdict, judge, selected

SEED = 1
ROUNDS = 1_000
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5
_MOST_BLOCKS = 400
_PER_E_FOLD = 400  # durations are counted in cells that are 0.25 % wide; values in reports come from finer cells

_Open = Literal["no difference beyond noise", "too uncertain to tell", "too few to tell"]
Verdict = Literal["slower", "faster", "more", "less", _Open]
NOISE: Verdict = "no difference beyond noise"
UNCERTAIN: Verdict = "too uncertain to tell"  # the interval contains both zero and a difference that matters
TOO_FEW: Verdict = "too few to tell"
MATTERS, MATTERS_POINTS = 0.5, 0.1  # smallest difference that matters: relative; for shares, absolute
Floats = npt.NDArray[np.float64]
_COUNTED: dict[str, Kind] = {"throughput_per_s": "served", "error_share": "error", "refused_share": "refused"}
UNKNOWN, LEFT_OUT = "unknown", ""  # instead of a verdict: the run does not know the claim; its --claims leaves it out
GROUPS = (
    *("newly broken", "fixed", "no longer judged", "now judged", "not judged for another reason", "removed", "added"),
)


@dataclass(frozen=True, slots=True)
class ClaimTrend:
    """One claim with its verdict in each run."""

    latest: ClaimVerdict  # of the last run that knows the claim
    verdicts: tuple[str, ...]  # of each run: a verdict, UNKNOWN or LEFT_OUT

    @property
    def changes(self) -> list[tuple[int, str]]:
        """Place and verdict of each run whose verdict differs from the one before; LEFT_OUT is none."""
        judged = [(place, verdict) for place, verdict in enumerate(self.verdicts) if verdict != LEFT_OUT]
        return [after for before, after in pairwise(judged) if before[1] != after[1]]

    @property
    def group(self) -> str:
        """How the last run changed the verdict of the run before it, one of GROUPS; empty if it did not."""
        was, now = self.verdicts[-2:]
        if was == now or LEFT_OUT in (was, now):
            return ""
        if UNKNOWN in (was, now):
            return "added" if was == UNKNOWN else "removed"
        if now == "broken":
            return "newly broken"
        # A broken claim that is no longer judged does not count as fixed.
        if was in ("upheld", "broken"):
            return "fixed" if now == "upheld" else "no longer judged"
        return "now judged" if now == "upheld" else "not judged for another reason"


@dataclass(frozen=True, slots=True)
class Trend:
    """Two or more runs in the order in which they are compared, and how their claims and findings differ."""

    runs: tuple[RunLog, ...]
    verdicts: tuple[RunVerdict, ...]  # of each run
    claims: tuple[ClaimTrend, ...]  # in the order of the last run's ledger
    findings: tuple[tuple[list[Finding], list[Finding]], ...]  # new and gone in each run, none in the first

    @property
    def names(self) -> Sequence[str]:
        """Names of the runs: A, B, C; numbers if there are more runs than letters."""
        number = len(self.runs)
        return ascii_uppercase[:number] if number <= len(ascii_uppercase) else [f"{n}" for n in range(1, number + 1)]

    @property
    def changed(self) -> list[ClaimTrend]:
        """Claims whose verdict is not the same in all runs; those that are broken now come first."""
        return sorted((one for one in self.claims if one.changes), key=lambda one: one.changes[-1][1] != "broken")

    @property
    def turned(self) -> dict[str, list[ClaimTrend]]:
        """Claims of which the last run changed the verdict, by group."""
        return {group: [one for one in self.claims if one.group == group] for group in GROUPS}

    @property
    def left_out(self) -> int:
        """Number of claims that some of the runs left out by ``--claims``, but not all."""
        return sum(LEFT_OUT in one.verdicts for one in self.claims)

    @property
    def newly_broken(self) -> list[ClaimTrend]:
        """Claims that the last run broke, and the run before it did not."""
        return [one for one in self.claims if one.group and one.verdicts[-1] == "broken"]

    @property
    def has_new_failure(self) -> bool:
        """Whether a claim that makes a run fail is newly broken: a ``must`` claim, or with --strict any claim."""
        strict = self.runs[-1].header.strict
        counted = (one.latest for one in self.newly_broken if not one.latest.new)
        return any(strict or claim.claim.level == "must" for claim in counted)

    @property
    def differs(self) -> bool:
        """Whether the runs differ in a verdict or a finding."""
        return bool(self.changed) or any(new or gone for new, gone in self.findings)


def trend_of(runs: Sequence[RunLog]) -> Trend:
    """Compares the verdicts and findings of runs of one kind."""
    judged = tuple(map(judge, runs))
    known = [{item.claim.id: item for item in verdict.claims} for verdict in judged]
    claims = []
    for name in dict.fromkeys(name for items in reversed(known) for name in items):
        absent = [UNKNOWN if selected(name, run.header.claims_glob) else LEFT_OUT for run in runs]
        items = [found.get(name) for found in known]
        verdicts = (item.verdict if item else other for item, other in zip(items, absent, strict=True))
        claims.append(ClaimTrend([item for item in items if item][-1], tuple(verdicts)))
    findings, present, globs = [], dict[str, Finding](), list[str]()
    for run in runs:
        own, glob = {one.id: one for one in run.findings}, run.header.claims_glob
        # A run says nothing about the findings on claims that it left out.
        new = [one for one in run.findings if one.id not in present and any(selected(one.claim, old) for old in globs)]
        gone = [one for one in present.values() if one.id not in own and selected(one.claim, glob)]
        findings.append((new, gone))
        present = {name: one for name, one in present.items() if one not in gone} | own
        globs.append(glob)
    return Trend(tuple(runs), judged, tuple(claims), tuple(findings))


@dataclass(frozen=True, slots=True)
class Change:
    """One statistic in two runs, and whether it differs."""

    statistic: str  # name with unit, such as ``p99_s``
    before: float  # value in the first run
    after: float  # value in the second run
    apart: Interval | None  # difference with its interval: relative for times and rates, else absolute; None if unknown
    verdict: Verdict
    lack: str = ""  # if there is too little data for a verdict: how much there is and is needed

    @property
    def has_value(self) -> bool:
        """Whether the statistic is above zero in at least one run; otherwise reports leave it out."""
        return bool(self.before or self.after)

    @property
    def differs(self) -> bool:
        """Whether the difference is beyond noise."""
        return self.verdict not in (NOISE, UNCERTAIN, TOO_FEW)


@dataclass(frozen=True, slots=True)
class OperationChange:
    """One operation in two runs."""

    name: str
    counts: tuple[int | None, ...]  # requests in each run; None if the run did not use the operation
    spans: tuple[Times | None, ...]  # latency in each run; None if unknown
    changes: list[Change]  # percentiles of the latency, throughput, shares of errors and of 429


@dataclass(frozen=True, slots=True)
class LoadChanges:
    """Differences between the statistics of two load runs."""

    is_timed: bool  # whether times count from the due time of a request; otherwise from sending
    operations: tuple[OperationChange, ...]  # ALL and the operations of either run
    capacities: tuple[Capacity | None, Capacity | None]
    block_s: tuple[int, int]  # length of a block in each run; see `block_length_s`
    rated_s: tuple[int, int]  # seconds over which the throughput of each run is measured

    @property
    def _changes(self) -> list[Change]:
        return [change for one in self.operations for change in one.changes if change.has_value]

    @property
    def differing(self) -> int:
        """Number of statistics that differ beyond noise."""
        return sum(change.differs for change in self._changes)

    @property
    def open(self) -> int:
        """Number of statistics whose data are too few or too uncertain for a verdict."""
        return sum(change.verdict in (UNCERTAIN, TOO_FEW) for change in self._changes)

    @property
    def is_open(self) -> bool:
        """Whether there are statistics, and none of them allows a verdict."""
        return 0 < self.open == len(self._changes)

    @property
    def capacity_turn(self) -> tuple[int, int] | None:
        """Capacities of the two runs; None unless both are known and differ."""
        levels = tuple(found.at_least for found in self.capacities if found and found.is_known)
        return (levels[0], levels[1]) if len(set(levels)) == 2 else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two or more runs of one kind, and their differences."""

    trend: Trend
    unlike: list[tuple[str, list[str]]]  # settings that differ: name, and value in each run
    load: LoadChanges | None  # only for the run logs of two load runs

    @property
    def differs(self) -> bool:
        """Whether the runs differ in a load statistic (beyond noise), the capacity, a claim or a finding."""
        return bool(self.load and (self.load.differing or self.load.capacity_turn)) or self.trend.differs


def compare(*runs: RunLog) -> Comparison:
    """Compares two or more runs in this order; raises UsageError if they cannot be compared.

    They are of different kinds or were judged by different contracts, or only one of two load runs has requests.
    """
    trend, works = trend_of(runs), list(map(_work, runs))
    names = [f"{name} ({log.header.run_id})" for name, log in zip(trend.names, runs, strict=True)]
    for name, log in zip(names, runs, strict=True):
        _check_kinds(names[0], runs[0], name, log)
    rows = ((what, [work.get(what, "–") for work in works]) for what in dict.fromkeys(chain(*works)))
    empty = [name for name, log in zip(names, runs, strict=True) if not log.windows]
    if len(runs) == 2 and len(empty) == 1:
        raise UsageError(f"compare: {empty[0]} is a load run without requests; expected two run logs with requests")
    unlike = [(what, values) for what, values in rows if len(set(values)) > 1]
    if len(runs) > 2 or empty:
        return Comparison(trend, unlike, None)
    sides = _Side(runs[0]), _Side(runs[1])
    is_timed = all(run.workload and run.workload.model == "open" for run in runs)
    operations = [ALL, *sorted({window.operation for side in sides for window in side.windows})]
    load = LoadChanges(
        is_timed,
        operations=tuple(
            _operation(name, sides, is_timed=is_timed, seed=SEED + 10 * place) for place, name in enumerate(operations)
        ),
        capacities=(capacity(runs[0]), capacity(runs[1])),
        block_s=(sides[0].block_s, sides[1].block_s),
        rated_s=(sides[0].scheduled_s, sides[1].scheduled_s),
    )
    return Comparison(trend, unlike, load)


def kind_of_run(log: RunLog) -> str:
    """Kind of a run, such as ``load run (storm)`` or ``check run``."""
    return f"load run ({log.workload.scenario})" if log.workload else f"{log.header.command} run"


def _check_kinds(first_name: str, first: RunLog, name: str, log: RunLog) -> None:
    kinds = [kind_of_run(one) for one in (first, log)]
    if kinds[0].partition(" (")[0] != kinds[1].partition(" (")[0]:
        raise UsageError(f"compare: {first_name} is a {kinds[0]}, {name} is a {kinds[1]}; expected runs of one kind")
    contracts = [one.header.contract_sha256[:12] for one in (first, log)]
    if log.workload is None and contracts[0] != contracts[1]:
        first_by = f"the contract {contracts[0]} of touchstone {first.header.tool_version}"
        judged = f"{first_name} was judged by {first_by}, {name} by {contracts[1]} of {log.header.tool_version}"
        advice = "verdicts of different contracts cannot be compared: judge the targets with one version"
        raise UsageError(f"compare: {judged}; {advice}")


_OPTIONS = ("mix", "users", "builds", "watchers", "build_s", "lines", "max_requests")


def _work(log: RunLog) -> dict[str, str]:
    """Workload settings of a run by name, without trace folders and local ports, which make no difference."""
    workload, header = log.workload, log.header
    if workload is None:
        work = {"profile": header.profile, "claims": header.claims_glob, "seed": str(header.seed)}
        return work | {"strict": "yes" if header.strict else "no", "version": header.tool_version}
    kind, _, path = workload.arrivals.partition(":")
    traced = f"trace {PurePath(path).name} of {sum(workload.scheduled.values()):,}"
    is_local = is_loopback(urlsplit(header.target.url).hostname or "")
    url = "a server on this machine" if is_local else header.target.url
    work = {
        "target": "the embedded twin" if header.target.kind == "embedded" else url,
        "scenario": workload.scenario,
        "model": workload.model,
        "arrivals": traced if kind == "trace" else workload.arrivals,
        "duration": f"{workload.duration_s:g} s",
        "workers": str(workload.workers),
    }
    chosen = SCENARIOS.get(workload.scenario)
    for name in _OPTIONS:
        value, flag = workload.options.get(name), name.replace("_", "-")
        applies = workload.model == "closed" if name == "users" else not chosen or chosen.uses(flag)
        if isinstance(value, dict):
            whole = sum(value.values()) or 1.0
            value = ", ".join(f"{one} {percentage(weight / whole)}" for one, weight in sorted(value.items()) if weight)
        if value is not None and applies:
            work[f"--{flag}"] = str(value)
    return work


class Durations(NamedTuple):
    """Counts of durations in each block of a run."""

    counts: Floats  # rows are blocks, columns are durations
    lengths_s: Floats  # durations of the columns, ascending


def block_length_s(seconds: int) -> int:
    """Length of a block in seconds: the cube root of *seconds*, changed if that gives too few or too many blocks."""
    root = math.ceil(math.cbrt(seconds) - 1e-9)
    return max(1, min(root, seconds // FEWEST_BLOCKS), math.ceil(seconds / _MOST_BLOCKS))


def durations_of(parts: Iterable[tuple[int, Histogram]], blocks: int) -> Durations:
    """Counts durations by block; *parts* are pairs of a block number and a histogram."""
    cells = np.array([(b, edge, n) for b, part in parts for edge, n in part.cells.items()], dtype=np.float64)
    rows, edges, numbers = cells.reshape(-1, 3).T
    columns, places = np.unique(np.floor(np.log(np.maximum(edges, 1.0)) * _PER_E_FOLD), return_inverse=True)
    counts = np.zeros((blocks, len(columns)))
    np.add.at(counts, (rows.astype(int), places.ravel()), numbers)
    return Durations(counts, np.exp((columns + 0.5) / _PER_E_FOLD) / 1e9)


def quantiles_s(counts: Floats, lengths_s: Floats, shares: Sequence[float]) -> Floats:
    """Quantiles of each row of *counts* at *shares*, in seconds; NaN for an empty row."""
    sums = counts.cumsum(axis=1)
    ranks = np.maximum(np.ceil(sums[:, -1:] * np.array(shares) - 1e-9), 1.0)
    found = np.stack([lengths_s[np.argmax(sums >= ranks[:, [n]], axis=1)] for n in range(len(shares))], axis=1)
    found[sums[:, -1] == 0] = np.nan
    return found


def count_filled(*runs: Floats) -> int:
    """Number of blocks that are not empty, in the run that has fewer of them."""
    return min(int(np.count_nonzero(run.reshape(len(run), -1).sum(axis=1))) for run in runs)


def ratios(before: Durations, after: Durations, shares: Sequence[float], seed: int) -> list[Interval]:
    """Relative change from the first run to the second of each percentile in *shares* (0.99 for p99); at least -1."""
    pairs = ((before, seed), (after, seed + 1))
    first, second = (np.log(quantiles_s(_resampled(run.counts, one), run.lengths_s, shares)) for run, one in pairs)
    return [Interval(*map(math.expm1, one)) for one in _apart(first, second, count_filled(before.counts, after.counts))]


def quotients_apart(before: Floats, after: Floats, seed: int, *, is_rate: bool) -> Interval:
    """Difference of two shares, or relative difference of two rates, of which neither may be zero; at least -1.

    Each row of the inputs is a block: number of events and their divisor. If the blocks of a round have no events,
    a rate counts half an event, because zero has no logarithm.
    """
    values = list[Floats]()
    for number, run in enumerate((before, after)):
        part, whole = np.hsplit(_resampled(run, seed + number), 2)
        quotients = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
        values.append(np.log(np.maximum(quotients, 0.5 / run[:, 1].sum())) if is_rate else quotients)
    ((value, low, high),) = _apart(values[0], values[1], count_filled(before, after))
    if is_rate:
        return Interval(*map(math.expm1, (value, low, high)))
    return Interval(value, max(low, -1.0), min(high, 1.0))


def _resampled(run: Floats, seed: int) -> Floats:
    """Sums of all blocks; in each further row, sums of as many blocks, drawn with replacement."""
    drawn = np.random.default_rng(seed).multinomial(len(run), np.full(len(run), 1 / len(run)), size=ROUNDS)
    return np.vstack((run.sum(axis=0), drawn @ run))


def _apart(before: Floats, after: Floats, blocks: int) -> list[Sequence[float]]:
    """Difference of each column, with its interval, which is infinite for fewer than two blocks.

    The first row has the values of the runs, the others those of the rounds.
    """
    apart = np.nan_to_num(after[0] - before[0])
    if blocks < 2:
        return [(float(value), -math.inf, math.inf) for value in apart]
    tail, freedom = (1 - CONFIDENCE) / 2, blocks - 1
    # For few blocks, Student's t (by a Cornish-Fisher expansion) over the normal z, times √(n / (n - 1)).
    z = NormalDist().inv_cdf(1 - tail)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    strays = (after[1:] - after[0]) - (before[1:] - before[0])
    bounds = np.nanquantile(strays, [tail, 1 - tail], axis=0) * (t / z * math.sqrt(blocks / freedom))
    low, high = apart + np.minimum(bounds[0], 0.0), apart + np.maximum(bounds[1], 0.0)
    return [list(map(float, one)) for one in zip(apart, low, high, strict=True)]


class _Side:
    """One load run, divided into blocks of equal length; the last block also has the remaining seconds."""

    def __init__(self, log: RunLog) -> None:
        assert log.workload
        self.windows = log.windows
        at_s = [window.at_s for window in self.windows]
        self.first_s = min(at_s)
        self.seconds = self.scheduled_s = max(at_s) - self.first_s + 1
        if log.workload.arrivals != AT_ONCE:
            self.scheduled_s = min(self.seconds, math.ceil(log.workload.duration_s))
        self.block_s = block_length_s(self.seconds)
        self.blocks = max(1, self.seconds // self.block_s)

    def block(self, at_s: int) -> int:
        """Number of the block that contains a run second."""
        return min((at_s - self.first_s) // self.block_s, self.blocks - 1)

    def durations(self, name: str, *, is_timed: bool) -> Durations:
        """Durations of an operation in each block of the run: response times if *is_timed*, else service times."""
        parts = (
            (self.block(window.at_s), window.response if is_timed else window.service)
            for window in self.windows
            if name == window.operation or (name == ALL and window.operation not in LASTING)
            if is_answer(window.outcome)
        )
        return durations_of(parts, self.blocks)

    def counted(self, statistic: str, name: str) -> Floats:
        """A row per block: events that the statistic counts, and their divisor (requests sent or seconds scheduled)."""
        events, sent = np.zeros((2, self.blocks))
        is_rate = statistic.endswith("_per_s")
        until_s = self.first_s + (self.scheduled_s if is_rate else self.seconds)
        for window in self.windows:
            if name in (ALL, window.operation) and window.at_s < until_s:
                kind = kind_of(window.outcome)
                events[self.block(window.at_s)] += window.count * (kind == _COUNTED[statistic])
                sent[self.block(window.at_s)] += window.count * (kind != "unsent")
        seconds = np.bincount([self.block(at_s) for at_s in range(self.first_s, until_s)], minlength=self.blocks)
        return np.column_stack((events, seconds if is_rate else sent))


def _operation(name: str, sides: Sequence[_Side], *, is_timed: bool, seed: int) -> OperationChange:
    owns = [totals(side.windows, name) for side in sides]
    counts = tuple(own.sent if own.kinds.total() else None for own in owns)
    spans = tuple(Times.of(own.times if is_timed else own.service, own.unanswered) for own in owns)
    found = list[Change]()
    if None not in counts:
        runs = [side.durations(name, is_timed=is_timed) for side in sides]
        known = [span for span in spans if span]
        found += _time_changes(runs, known, seed) if len(known) == len(runs) else []
        found += [_counted_change(one, name, sides, seed) for one in _COUNTED]
    return OperationChange(name, counts, spans, found)


def _time_changes(runs: Sequence[Durations], spans: Sequence[Times], seed: int) -> list[Change]:
    blocks = count_filled(*(run.counts for run in runs))
    samples = min(span.count + span.never for span in spans)
    found = []
    for share, apart in zip(SHARES, ratios(runs[0], runs[1], SHARES, seed), strict=True):
        before, after = (span.at(share).value_s for span in spans)
        need = math.ceil(round(FEW / (1 - share), 6))
        lack = _lack(samples, need, "sample") or _lack(blocks, FEWEST_BLOCKS, "block")
        is_known = not lack and before and after and all(map(math.isfinite, (before, after, apart.high)))
        verdict = _verdict(apart, "faster", "slower", MATTERS) if is_known else TOO_FEW if lack else UNCERTAIN
        found.append(Change(spans[0].at(share).key, before, after, apart if is_known else None, verdict, lack))
    return found


def _lack(have: int, need: int, what: str) -> str:
    return f"{plural(have, what)}; {need:,} needed" if have < need else ""


def _verdict(apart: Interval, less: Verdict, more: Verdict, matters: float) -> Verdict:
    if not apart.low <= 0.0 <= apart.high:
        return more if apart.value > 0 else less
    return NOISE if -matters <= apart.low and apart.high <= matters else UNCERTAIN


def _counted_change(statistic: str, name: str, sides: Sequence[_Side], seed: int) -> Change:
    first, second = (side.counted(statistic, name) for side in sides)
    before, after = (float(part / whole) if whole else 0.0 for part, whole in (first.sum(axis=0), second.sum(axis=0)))
    events = int(first[:, 0].sum() + second[:, 0].sum())
    lack = _lack(events, FEW, "event") if events and before != after else ""
    if lack := lack or _lack(count_filled(first[:, 1], second[:, 1]), FEWEST_BLOCKS, "block"):
        return Change(statistic, before, after, None, TOO_FEW, lack)
    is_rate = statistic.endswith("_per_s")
    if is_rate and not (before and after):
        # If one run has no events, there is no ratio; FEW events or more in the other run are no coincidence.
        return Change(statistic, before, after, None, NOISE if before == after else "more" if after else "less")
    apart = quotients_apart(first, second, seed, is_rate=is_rate)
    verdict = _verdict(apart, "less", "more", MATTERS if is_rate else MATTERS_POINTS)
    return Change(statistic, before, after, apart, verdict)
