"""Compares two runs: finds differences beyond noise. Noise is the variation within each run. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from touchstone.errors import UsageError
from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.facts.identity import Interval
from touchstone.facts.sample import Sample, Window
from touchstone.facts.wording import percentage, plural
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import ALL, FEW, LASTING, SHARES, Kind, Times, is_answer, kind_of, totals
from touchstone.loadgen.runner import is_loopback
from touchstone.loadgen.workloads import AT_ONCE, SCENARIOS
from touchstone.report import resampling
from touchstone.report.resampling import FEWEST_BLOCKS, Durations, Floats
from touchstone.rules.verdict import ClaimVerdict, RunVerdict, judge, selected

ANSWER_SHARES = (0.5, 0.9)
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

GROUPS = ("newly broken", "fixed", "no longer judged", "now judged", "not judged for another reason")
NEWLY_BROKEN, FIXED, NO_LONGER, NOW, OTHERWISE = GROUPS


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
    changes: list[Change]  # percentiles of the latency; in load runs, also throughput and shares of errors and of 429


@dataclass(frozen=True, slots=True)
class Turn:
    """One claim with its verdict in each run."""

    before: ClaimVerdict
    after: ClaimVerdict

    @property
    def group(self) -> str:
        """How the verdict changed, one of GROUPS; a broken claim that is no longer judged does not count as fixed."""
        was, now = self.before.verdict, self.after.verdict
        if now == "broken":
            return NEWLY_BROKEN
        if was == "broken" and now == "upheld":
            return FIXED
        if was in ("upheld", "broken"):
            return NO_LONGER
        return NOW if now == "upheld" else OTHERWISE


@dataclass(frozen=True, slots=True)
class ClaimChanges:
    """Differences between two runs in claims and findings."""

    before: RunVerdict
    after: RunVerdict
    turned: dict[str, list[Turn]]  # claims whose verdict changed, by group, in the order of the second run's ledger
    only_before: tuple[ClaimVerdict, ...]  # claims that the second run selects by --claims, but does not know
    only_after: tuple[ClaimVerdict, ...]  # claims that the first run selects by --claims, but does not know
    new: tuple[Finding, ...]  # findings of the second run only, on claims that both runs selected
    gone: tuple[Finding, ...]  # findings of the first run only, on claims that both runs selected
    selected_once: int  # number of claims that only one of the runs selected by ``--claims``

    @property
    def are_alike(self) -> bool:
        """Whether both runs have the same claims, verdicts and findings."""
        return not any((*self.turned.values(), self.only_before, self.only_after, self.new, self.gone))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs of one kind, and their differences."""

    before: RunLog
    after: RunLog
    claims: ClaimChanges
    unlike: list[dict[str, str]]  # differences between the workloads: what, before and after
    is_load: bool  # whether both are load runs
    is_timed: bool  # whether times count from the due time of a request; otherwise from sending
    operations: tuple[OperationChange, ...]  # load runs: ALL and operations of either run; else operations of both
    capacities: tuple[Capacity | None, Capacity | None]
    block_s: tuple[int, int]  # length of a block in each run; see resampling.py
    rated_s: tuple[int, int]  # seconds over which the throughput of each run is measured

    @property
    def has_new_failure(self) -> bool:
        """Whether a claim that makes a run fail is newly broken: a ``must`` claim, or with --strict any claim.

        This includes claims that the first run does not know.
        """
        strict, claims = self.after.header.strict, self.claims
        found = (*(turn.after for turn in claims.turned[NEWLY_BROKEN]), *claims.only_after)
        return any(item.verdict == "broken" and (strict or item.claim.level == "must") for item in found)

    @property
    def _changes(self) -> list[Change]:
        operations = self.operations if self.is_load else ()
        return [change for one in operations for change in one.changes if change.has_value]

    @property
    def differing(self) -> int:
        """Number of statistics that differ beyond noise; 0 outside load runs."""
        return sum(change.differs for change in self._changes)

    @property
    def open(self) -> int:
        """Number of statistics whose data are too few or too uncertain for a verdict; 0 outside load runs."""
        return sum(change.verdict in (UNCERTAIN, TOO_FEW) for change in self._changes)

    @property
    def is_open(self) -> bool:
        """Whether there are statistics, and none of them allows a verdict."""
        return 0 < self.open == len(self._changes)

    @property
    def slower_or_faster(self) -> tuple[OperationChange, ...]:
        """Operations of a check or probe whose latency differs beyond noise; empty for load runs."""
        operations = () if self.is_load else self.operations
        return tuple(one for one in operations if any(change.differs for change in one.changes))

    @property
    def capacity_turn(self) -> tuple[int, int] | None:
        """Capacities of the two runs; None unless both are known and differ."""
        levels = tuple(found.at_least for found in self.capacities if found and found.is_known)
        return (levels[0], levels[1]) if len(set(levels)) == 2 else None

    @property
    def differs(self) -> bool:
        """Whether the runs differ in a load statistic (beyond noise), the capacity, a claim or a finding."""
        return bool(self.differing or self.capacity_turn) or not self.claims.are_alike

    @property
    def reason(self) -> str:
        """Result in one sentence."""
        claims, turn = self.claims, self.capacity_turn
        parts = [f"{_count(self.differing, 'difference')} beyond noise"] if self.is_load else []
        parts += [f"{plural(self.open, 'statistic')} undecided"] if self.open else []
        parts += [f"capacity {turn[0]} before, {turn[1]} now"] if turn else []
        groups = ", ".join(f"{len(turns)} {group}" for group, turns in claims.turned.items() if turns)
        parts.append(
            f"{_count(sum(map(len, claims.turned.values())), 'changed verdict')}{f' ({groups})' if groups else ''}"
        )
        new, gone = len(claims.new), len(claims.gone)
        found = f"{_count(new, 'new finding')}, {_count(gone, 'resolved finding')}"
        parts.append(found if new or gone else "no new or resolved findings")
        apart = len(self.slower_or_faster)
        parts += [f"{plural(apart, 'operation')} with different latency"] if apart else []
        return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return plural(number, noun) if number else f"no {noun}s"


def compare(before: RunLog, after: RunLog) -> Comparison:
    """Compares two runs.

    Raises:
        UsageError: the runs are of different kinds or were judged by different contracts, or a load run sent nothing.
    """
    _check_kinds(before, after)
    sides = _Side(before), _Side(after)
    is_load, is_timed = before.workload is not None, all(side.is_timed for side in sides)
    names = [{window.operation for window in side.windows} for side in sides]
    compared = [ALL, *sorted(names[0] | names[1])] if is_load else sorted(names[0] & names[1])
    works = _work(before), _work(after)
    rows = ((what, works[0].get(what, "–"), works[1].get(what, "–")) for what in works[0] | works[1])
    return Comparison(
        before,
        after,
        compare_claims(before, after),
        unlike=[dict(zip(("what", "before", "after"), row, strict=True)) for row in rows if row[1] != row[2]],
        is_load=is_load,
        is_timed=is_timed,
        operations=tuple(
            _operation(name, sides, is_load=is_load, is_timed=is_timed, seed=SEED + 10 * place)
            for place, name in enumerate(compared)
        ),
        capacities=(capacity(before), capacity(after)) if is_load else (None, None),
        block_s=(sides[0].block_s, sides[1].block_s),
        rated_s=(sides[0].scheduled_s, sides[1].scheduled_s),
    )


def kind_of_run(log: RunLog) -> str:
    """Kind of a run, such as ``load run (storm)`` or ``check run``."""
    return f"load run ({log.workload.scenario})" if log.workload else f"{log.header.command} run"


def _check_kinds(before: RunLog, after: RunLog) -> None:
    first, second = before.header, after.header
    kinds = [(log.workload is None, log.header.command if log.workload is None else "") for log in (before, after)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"compare: A ({first.run_id}) is a {kind_of_run(before)}, B ({second.run_id}) is a "
            f"{kind_of_run(after)}; expected two runs of one kind"
        )
    for name, log in (("A", before), ("B", after)):
        if log.workload is not None and not log.windows:
            raise UsageError(f"compare: {name} ({log.header.run_id}) is a load run that sent no request")
    if before.workload is None and first.contract_sha256 != second.contract_sha256:
        raise UsageError(
            f"compare: A ({first.run_id}) was judged by the contract {first.contract_sha256[:12]} of touchstone "
            f"{first.tool_version}, B ({second.run_id}) by {second.contract_sha256[:12]} of {second.tool_version}; "
            "verdicts of different contracts cannot be compared: judge both targets with one version"
        )


def compare_claims(before: RunLog, after: RunLog) -> ClaimChanges:
    """Compares the verdicts and findings of two runs."""
    first, second = judge(before), judge(after)
    old = {item.claim.id: item for item in first.claims}
    new = {item.claim.id: item for item in second.claims}
    gone_claims = [item for name, item in old.items() if name not in new]
    new_claims = [item for name, item in new.items() if name not in old]
    # Claims that one run does not know, but would have judged: they match its --claims.
    removed = tuple(item for item in gone_claims if selected(item.claim.id, after.header.claims_glob))
    added = tuple(item for item in new_claims if selected(item.claim.id, before.header.claims_glob))
    turns = [Turn(old[name], item) for name, item in new.items() if name in old and old[name].verdict != item.verdict]
    return ClaimChanges(
        before=first,
        after=second,
        turned={group: [turn for turn in turns if turn.group == group] for group in GROUPS},
        only_before=removed,
        only_after=added,
        new=_findings(after, before),
        gone=_findings(before, after),
        selected_once=len(gone_claims) - len(removed) + len(new_claims) - len(added),
    )


def _findings(log: RunLog, other: RunLog) -> tuple[Finding, ...]:
    known = {finding.id for finding in other.findings}
    return tuple(one for one in log.findings if one.id not in known and selected(one.claim, other.header.claims_glob))


_OPTIONS = {
    "mix": "mix",
    "users": "clients",
    "builds": "builds",
    "watchers": "watchers of a build",
    "build_s": "seconds of a build",
    "lines": "log lines of a build",
    "max_requests": "maximum of requests",
}


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
    for name, what in _OPTIONS.items():
        value = workload.options.get(name)
        applies = workload.model == "closed" if name == "users" else not chosen or chosen.uses(name.replace("_", "-"))
        if isinstance(value, dict):
            whole = sum(value.values()) or 1.0
            value = ", ".join(f"{one} {percentage(weight / whole)}" for one, weight in sorted(value.items()) if weight)
        if value is not None and applies:
            work[what] = str(value)
    return work


class _Side:
    """One run, divided into blocks of equal length; the last block also has the remaining seconds.

    If the run is not a load run, *windows* has its 2xx responses, without those that stream a log.
    """

    def __init__(self, log: RunLog) -> None:
        workload = log.workload
        self.windows = log.windows if workload else _answers(log)
        at_s = [window.at_s for window in self.windows] or [0]
        self.first_s = min(at_s) if workload else 0
        self.seconds = self.scheduled_s = max(at_s) - self.first_s + 1
        if workload and workload.arrivals != AT_ONCE:
            self.scheduled_s = min(self.seconds, math.ceil(workload.duration_s))
        self.is_timed = workload is not None and workload.model == "open"
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


def _answers(log: RunLog) -> tuple[Window, ...]:
    found: dict[tuple[str, int], Window] = {}
    for e in log.exchanges:
        if e.operation and e.operation not in LASTING and e.response and 200 <= e.status < 300:
            at_s = int(e.sent_at)
            window = found.setdefault((e.operation, at_s), Window(0, at_s, e.operation, "200"))
            window.add(Sample(e.operation, "200", e.sent_at, e.sent_at, e.done_at))
    return tuple(found.values())


def _operation(name: str, sides: Sequence[_Side], *, is_load: bool, is_timed: bool, seed: int) -> OperationChange:
    owns = [totals(side.windows, name) for side in sides]
    first, second = (own.sent if own.kinds.total() else None for own in owns)
    spans = [Times.of(own.times if is_timed else own.service, own.unanswered) for own in owns]
    found = list[Change]()
    if first is not None and second is not None:
        runs = [side.durations(name, is_timed=is_timed) for side in sides]
        shares = SHARES if is_load else ANSWER_SHARES
        found += _time_changes(runs, (spans[0], spans[1]), shares, seed) if spans[0] and spans[1] else []
        found += [_counted_change(one, name, sides, seed) for one in _COUNTED] if is_load else []
    return OperationChange(name, (first, second), (spans[0], spans[1]), found)


def _time_changes(
    runs: Sequence[Durations], spans: tuple[Times, Times], shares: Sequence[float], seed: int
) -> list[Change]:
    blocks = _too_few_blocks([run.counts for run in runs])
    samples = min(span.count + span.never for span in spans)
    found = []
    for share, apart in zip(shares, resampling.ratios(runs[0], runs[1], shares, seed), strict=True):
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
