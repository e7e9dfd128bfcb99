"""Compares runs; two load runs also by their statistics. Noise is the variation within each run. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from touchstone.errors import UsageError
from touchstone.facts.events import RunLog
from touchstone.facts.identity import Interval
from touchstone.facts.wording import percentage, plural
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import ALL, FEW, LASTING, SHARES, Kind, Times, is_answer, kind_of, totals
from touchstone.loadgen.plan import AT_ONCE, SCENARIOS
from touchstone.loadgen.runner import is_loopback
from touchstone.report import resampling
from touchstone.report.resampling import FEWEST_BLOCKS, Durations, Floats
from touchstone.report.trend import Trend, trend_of

SEED = 1

Verdict = Literal[
    "slower",
    "faster",
    "more",
    "less",
    "no difference beyond noise",
    "too uncertain to tell",  # the confidence interval contains both zero and a difference that matters
    "too few to tell",
]
NOISE: Verdict = "no difference beyond noise"
UNCERTAIN: Verdict = "too uncertain to tell"
TOO_FEW: Verdict = "too few to tell"
MATTERS, MATTERS_POINTS = 0.5, 0.1  # smallest difference that matters: relative; for shares, absolute
_COUNTED: dict[str, Kind] = {"throughput_per_s": "served", "error_share": "error", "refused_share": "refused"}


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
    counts: tuple[int | None, int | None]  # requests in each run; None if the run did not use the operation
    spans: tuple[Times | None, Times | None]  # latency in each run; None if unknown
    changes: list[Change]  # percentiles of the latency, throughput, shares of errors and of 429


@dataclass(frozen=True, slots=True)
class LoadChanges:
    """Differences between the statistics of two load runs."""

    is_timed: bool  # whether times count from the due time of a request; otherwise from sending
    operations: tuple[OperationChange, ...]  # ALL and the operations of either run
    capacities: tuple[Capacity | None, Capacity | None]
    block_s: tuple[int, int]  # length of a block in each run; see resampling.py
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
    """Compares two or more runs in this order.

    Raises:
        UsageError: the runs are of different kinds or were judged by different contracts, or only one of two load runs
            has requests.
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
    is_timed = all(side.is_timed for side in sides)
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
        raise UsageError(
            f"compare: {first_name} was judged by the contract {contracts[0]} of touchstone "
            f"{first.header.tool_version}, {name} by {contracts[1]} of {log.header.tool_version}; "
            "verdicts of different contracts cannot be compared: judge the targets with one version"
        )


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
        self.is_timed = log.workload.model == "open"
        self.block_s = resampling.block_s(self.seconds)
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
        return resampling.durations(parts, self.blocks)

    def counted(self, statistic: str, name: str) -> Floats:
        """A row per block: events that the statistic counts, and their divisor (requests sent or seconds scheduled)."""
        part, sent, seconds = np.zeros((3, self.blocks))
        is_rate = statistic.endswith("_per_s")
        until_s = self.first_s + (self.scheduled_s if is_rate else self.seconds)
        for window in self.windows:
            if name in (ALL, window.operation) and window.at_s < until_s:
                kind = kind_of(window.outcome)
                part[self.block(window.at_s)] += window.count * (kind == _COUNTED[statistic])
                sent[self.block(window.at_s)] += window.count * (kind != "unsent")
        for at_s in range(self.first_s, until_s):
            seconds[self.block(at_s)] += 1
        return np.column_stack((part, seconds if is_rate else sent))


def _operation(name: str, sides: Sequence[_Side], *, is_timed: bool, seed: int) -> OperationChange:
    owns = [totals(side.windows, name) for side in sides]
    first, second = (own.sent if own.kinds.total() else None for own in owns)
    spans = [Times.of(own.times if is_timed else own.service, own.unanswered) for own in owns]
    found = list[Change]()
    if first is not None and second is not None:
        runs = [side.durations(name, is_timed=is_timed) for side in sides]
        found += _time_changes(runs, (spans[0], spans[1]), seed) if spans[0] and spans[1] else []
        found += [_counted_change(one, name, sides, seed) for one in _COUNTED]
    return OperationChange(name, (first, second), (spans[0], spans[1]), found)


def _time_changes(runs: Sequence[Durations], spans: tuple[Times, Times], seed: int) -> list[Change]:
    blocks = _too_few_blocks([run.counts for run in runs])
    samples = min(span.count + span.never for span in spans)
    found = []
    for share, apart in zip(SHARES, resampling.ratios(runs[0], runs[1], SHARES, seed), strict=True):
        before, after = (span.at(share).value_s for span in spans)
        need = math.ceil(round(FEW / (1 - share), 6))
        lack = _lack(samples, need, "sample") if samples < need else blocks
        is_known = not lack and before and after and all(map(math.isfinite, (before, after, apart.high)))
        verdict = _verdict(apart, "faster", "slower", MATTERS) if is_known else TOO_FEW if lack else UNCERTAIN
        found.append(Change(spans[0].at(share).key, before, after, apart if is_known else None, verdict, lack))
    return found


def _lack(have: int, need: int, what: str) -> str:
    return f"{plural(have, what)}; {need:,} needed"


def _too_few_blocks(runs: Sequence[Floats]) -> str:
    have = min(map(resampling.count_filled, runs))
    return _lack(have, FEWEST_BLOCKS, "block") if have < FEWEST_BLOCKS else ""


def _verdict(apart: Interval, less: Verdict, more: Verdict, matters: float) -> Verdict:
    if not apart.low <= 0.0 <= apart.high:
        return more if apart.value > 0 else less
    return NOISE if -matters <= apart.low and apart.high <= matters else UNCERTAIN


def _counted_change(statistic: str, name: str, sides: Sequence[_Side], seed: int) -> Change:
    first, second = (side.counted(statistic, name) for side in sides)
    before, after = (float(part / whole) if whole else 0.0 for part, whole in (first.sum(axis=0), second.sum(axis=0)))
    events = int(first[:, 0].sum() + second[:, 0].sum())
    lack = _too_few_blocks([first[:, 1], second[:, 1]])
    if 0 < events < FEW and before != after:
        lack = _lack(events, FEW, "event")
    if lack:
        return Change(statistic, before, after, None, TOO_FEW, lack)
    is_rate = statistic.endswith("_per_s")
    if is_rate and not (before and after):
        # If one run has no events, there is no ratio; FEW events or more in the other run are no coincidence.
        return Change(statistic, before, after, None, NOISE if before == after else "more" if after else "less")
    apart = (resampling.rates_apart if is_rate else resampling.shares_apart)(first, second, seed)
    verdict = _verdict(apart, "less", "more", MATTERS if is_rate else MATTERS_POINTS)
    return Change(statistic, before, after, apart, verdict)
