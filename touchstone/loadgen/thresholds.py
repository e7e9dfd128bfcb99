"""Judges what was measured under load against the limits that were set; pure.

What is measured, of the requests of an operation or of all of them:

- *Times* are response times, from the moment at which a request was due, of answers that the contract foresees; see
  `touchstone.totals`. In a closed model nothing is due: the time counts from sending, and the reading says so. A
  request that got no answer counts as one that takes for ever, and so does an arrival that could not be sent; one that
  --max-requests left no room for counts for nothing.
- A percentile needs as many samples as have one beyond it, p99 a hundred: with fewer it is the longest time.
- *error_share*: of the requests sent, those without an answer or with one that nobody expects. 429 is none of them.
- *late_share*, *unsent_share*: of the arrivals that were due, those sent more than LATE_S late, and those not sent.
- *throughput_per_s*: requests served a second, see `touchstone.throughput`. Its limit is the least that is allowed.
- *…_drift_share*: see `touchstone.growth`.

A reading is indeterminate where the generator cannot tell: without samples or with too few; where it was itself later
at p99 than a tenth of the limit on a time, or so late that a throughput was missed, unless the limit is broken without
that; where --max-requests kept it from sending; where a worker was lost; and where the run, or its requests, ended
before its schedule did, or its clients were done, and the limit was kept until then. A claim holds only where each of
its limits is kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from touchstone.contract.claims import Ledger
from touchstone.facts.events import Limit, Notice, RunLog, Workload
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.sample import Histogram, Window
from touchstone.facts.wording import brief, figure, percentage, plural
from touchstone.loadgen.ending import Ending, ending
from touchstone.loadgen.growth import TARGET, Growth, of_bytes, of_errors, of_latency, of_memory
from touchstone.loadgen.judgement import Ruling, again
from touchstone.loadgen.lateness import Punctuality, punctuality
from touchstone.loadgen.statistic import STATISTICS, Statistic
from touchstone.loadgen.throughput import of_schedule, throughput
from touchstone.loadgen.times import breach_of, samples_needed, time_of
from touchstone.loadgen.totals import ALL, LATE_S, Totals, totals

CHECK = "thresholds"
# A generator that is later at p99 than this share of a limit on a time cannot judge it.
LATE_TOLERATED_SHARE = 0.1
# What a caller who allows so many requests and no more decides himself.
_BOUND_BY_BUDGET = ("unsent_share", "throughput_per_s")

Kept = Literal["kept", "broken", "indeterminate", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit and what was measured.

    Attributes:
        value: In the unit of the limit; None where it could not be measured.
        count: Samples that it rests on.
        verdict: ``not-applicable`` where the run had nothing that the limit is about.
        reason: Why there is no verdict, or what a reader of the value should know.
    """

    limit: Limit
    value: float | None
    count: int
    verdict: Kept
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Measured:
    """A value; where it is None or doubtful, *doubt* says why, and *breach* why it is beyond its limit all the same."""

    value: float | None
    count: int
    doubt: str = ""
    remark: str = ""
    breach: str = ""


def measured(log: RunLog) -> tuple[Reading, ...]:
    """What each limit of a load run came to, in the order of the limits."""
    workload = log.workload
    if workload is None:
        return ()
    run = _Run(log, workload)
    return tuple(run.reading(limit) for limit in workload.limits)


class _Run:
    """What readings of one run share."""

    def __init__(self, log: RunLog, workload: Workload) -> None:
        self._log = log
        self._workload = workload
        self._totals: dict[str, Totals] = {}

    @cached_property
    def _kept_up(self) -> Punctuality:
        return punctuality(self._log)

    def reading(self, limit: Limit) -> Reading:
        """What one limit came to."""
        statistic = STATISTICS[limit.statistic]
        found = self._measured(limit, statistic)
        if self._kept_up.lost:
            lost = ", ".join(map(str, self._kept_up.lost))
            return Reading(limit, found.value, found.count, "indeterminate", f"worker {lost} was lost with its samples")
        if found.breach:
            return Reading(limit, found.value, found.count, "broken", found.breach)
        if found.value is None or found.doubt:
            verdict: Kept = "not-applicable" if self._is_idle(limit, statistic) else "indeterminate"
            return Reading(limit, found.value, found.count, verdict, found.doubt)
        if is_broken(limit, statistic, found.value):
            if self._spent and statistic.name in _BOUND_BY_BUDGET:
                return Reading(limit, found.value, found.count, "indeterminate", self._spent)
            return Reading(limit, found.value, found.count, "broken", found.remark)
        if self._kept_up.missing:
            rest = plural(self._kept_up.missing, "arrival")
            reason = f"kept so far, but the run ended before {rest} of its schedule"
            return Reading(limit, found.value, found.count, "indeterminate", reason)
        if cut := self.of(limit.operation).kinds["cut"]:
            reason = f"kept so far, but {plural(cut, 'request')} had no answer yet when the run was stopped"
            return Reading(limit, found.value, found.count, "indeterminate", reason)
        if self._kept_up.undone:
            ended = ending(self._log) or Ending("the run ended")
            reason = f"kept so far, but {ended.words} before all its clients were done"
            return Reading(limit, found.value, found.count, "indeterminate", reason)
        return Reading(limit, found.value, found.count, "kept", found.remark)

    def _is_idle(self, limit: Limit, statistic: Statistic) -> bool:
        if statistic.name == "memory_drift_share":
            return not any(worker.number == TARGET for worker in self._log.workers)
        if statistic.name in ("late_share", "unsent_share") and self._workload.model == "closed":
            return True
        scheduled = self._workload.scheduled.get(limit.operation, 0)
        return limit.operation != ALL and not scheduled and not self.of(limit.operation).kinds.total()

    def of(self, operation: str) -> Totals:
        """The totals of an operation."""
        if operation not in self._totals:
            self._totals[operation] = totals(self._log.windows, operation)
        return self._totals[operation]

    def _measured(self, limit: Limit, statistic: Statistic) -> _Measured:
        own = self.of(limit.operation)
        match statistic.sort:
            case "time":
                return self._time(limit, statistic, own)
            case "drift":
                return _as_measured(self._growth(limit, statistic), statistic)
            case "rate":
                return self._rate(limit, statistic)
        if statistic.name == "error_share":
            return _share(own.error_share, own.sent, "request was sent", limit)
        if statistic.name == "late_share":
            return _share(own.late.share_above(LATE_S), own.late.count, "scheduled request was sent", limit)
        return _share(own.unsent_share, own.due, "arrival was due", limit)

    @cached_property
    def _spent(self) -> str:
        """That no requests were left to send; empty where there always were."""
        kept = self._kept_up
        if not kept.is_spent:
            return ""
        rest = plural(kept.over_budget, "arrival") + " of the schedule" if kept.over_budget else "all was sent"
        return f"the {kept.allowed:,} requests that --max-requests allows were used up before {rest}; raise it"

    def _time(self, limit: Limit, statistic: Statistic, own: Totals) -> _Measured:
        unsent = own.kinds["unsent"]
        # What the caller allowed no request for tells nothing about those that were sent.
        counted = unsent if self._kept_up.unsent > self._kept_up.over_budget else 0
        value, count = time_of(statistic, own, counted), own.times.count + own.unanswered
        if not count:
            return _Measured(None, 0, f"no answer of {named(limit.operation)} tells a time")
        need = samples_needed(statistic)
        if count < need:
            doubt = f"{plural(count, 'sample')}, but {statistic.name} needs at least {need:,}: run longer or faster"
            return _Measured(value, count, doubt)
        late = self._lateness(limit)
        if value is None or late:
            why = f"{plural(unsent, 'arrival')} could not be sent: how long they take, nobody knows"
            breach = breach_of(limit, statistic, own, self._late(limit))
            return _Measured(value, count, late or why, breach=breach)
        at_worst = time_of(statistic, own, unsent)
        if not is_broken(limit, statistic, value) and (at_worst is None or is_broken(limit, statistic, at_worst)):
            return _Measured(value, count, f"kept so far, but {self._spent}")
        is_closed = self._workload.model == "closed"
        remark = "closed model: counted from sending, not from when a request was due" if is_closed else ""
        return _Measured(value, count, "", remark)

    def _late(self, limit: Limit) -> Histogram:
        """
        How late the generator was. What no schedule paces is sent by clients that others of its requests have held up.
        """
        return self.of(limit.operation).late if self.of(limit.operation).late.cells else self.of(ALL).late

    def _lateness(self, limit: Limit) -> str:
        """Why the generator is too late to judge a limit on a time; empty where it is not."""
        tolerated_s = LATE_TOLERATED_SHARE * limit.value
        late_s = self._late(limit).quantile_s(0.99)
        if late_s <= tolerated_s:
            return ""
        operation = limit.operation if self.of(limit.operation).late.cells else ALL
        since = _first_late_at(self._log.windows, operation, tolerated_s)
        told = f", from second {since - int(self._workload.began_at)} on" if since is not None else ""
        return (
            f"the generator sent {named(operation)} {brief(late_s)} late at p99{told}: "
            f"more than a tenth of the limit of {brief(limit.value)}; lower the rate or add workers"
        )

    def _rate(self, limit: Limit, statistic: Statistic) -> _Measured:
        length_s, operation = self._workload.duration_s, limit.operation
        within = of_schedule(self._log.windows, self._workload)
        kinds = totals(within, operation).kinds
        served = kinds["served"]
        if self._kept_up.missing:
            doubt = f"the run ended before {plural(self._kept_up.missing, 'arrival')} of its schedule"
            return _Measured(None, served, doubt)
        if length_s <= 0 or not self.of(operation).sent:
            return _Measured(None, 0, f"no request was sent to {named(operation)}")
        value, late_s = throughput(within, operation, self._workload), self._late(limit).max_s
        # Had all been sent, and in time, it would have been this.
        at_best = throughput(within, operation, self._workload, sooner_s=late_s) + kinds["unsent"] / length_s
        is_open = is_broken(limit, statistic, value) and not is_broken(limit, statistic, at_best)
        return _Measured(value, served, _slowness(late_s, kinds["unsent"]) if is_open and not self._spent else "")

    def _growth(self, limit: Limit, statistic: Statistic) -> Growth:
        match statistic.name:
            case "memory_drift_share":
                return of_memory(self._log.workers, self._workload)
            case "error_drift_share":
                return of_errors(self._log.windows, limit.operation, self._workload)
            case "bytes_drift_share":
                return of_bytes(self._log.windows, limit.operation, self._workload)
        return of_latency(self._log.windows, limit.operation, self._workload)


def named(operation: str) -> str:
    """An operation in a message."""
    return "all operations" if operation == ALL else operation


def is_broken(limit: Limit, statistic: Statistic, value: float) -> bool:
    """Whether a value is beyond its limit; to meet it exactly is to keep it."""
    return value < limit.value if statistic.is_floor else value > limit.value


def _slowness(late_s: float, unsent: int) -> str:
    """Why a generator that did not keep up cannot judge a throughput that is missed."""
    more = f" and {plural(unsent, 'arrival')} not at all" if unsent else ""
    return (
        f"the generator sent requests up to {brief(late_s)} late{more}: a faster target might have served more; "
        "lower the rate or add workers"
    )


def _first_late_at(windows: Iterable[Window], operation: str, tolerated_s: float) -> int | None:
    """The first second in which p99 of the lateness was above *tolerated_s*."""
    by_second: dict[int, Histogram] = {}
    for window in windows:
        if window.paced and operation in (ALL, window.operation):
            by_second.setdefault(window.at_s, Histogram()).merge(window.late)
    return min((at_s for at_s, late in by_second.items() if late.quantile_s(0.99) > tolerated_s), default=None)


def _share(value: float, count: int, what: str, limit: Limit) -> _Measured:
    return _Measured(value, count) if count else _Measured(None, 0, f"no {what}: {named(limit.operation)}")


def _as_measured(growth: Growth, statistic: Statistic) -> _Measured:
    if growth.value is None:
        of_others = statistic.name == "memory_drift_share" and not growth.count
        reason = "the memory of a server can be seen only where it is the embedded twin" if of_others else growth.reason
        return _Measured(None, growth.count, reason)
    return _Measured(growth.value, growth.count, "", growth.reason)


def judge_thresholds(readings: Iterable[Reading], log: RunLog, ledger: Ledger) -> Ruling:
    """What the readings say about the claims of the limits.

    Args:
        log: The run that they are of.
    """
    readings = tuple(readings)
    unclear = {_claim(reading) for reading in readings if reading.verdict == "indeterminate"}
    findings = tuple(_finding(reading, log, ledger) for reading in readings if reading.verdict == "broken")
    return Ruling(findings, tuple(_judgements(readings, unclear)), tuple(_notices(readings)))


def _judgements(readings: Iterable[Reading], unclear: set[str]) -> Iterator[Judgement]:
    for reading in readings:
        claim, operation = _claim(reading), _operation(reading.limit)
        if reading.verdict == "indeterminate":
            reason = f"{told_limit(reading.limit)}: {reading.reason}"
            yield Judgement(claim, "indeterminate", CHECK, operation, (), "", reason)
        # One limit that is kept does not uphold a claim that another one leaves open.
        elif reading.verdict == "kept" and claim not in unclear:
            yield Judgement(claim, "held", CHECK, operation, ())


def _notices(readings: Iterable[Reading]) -> Iterator[Notice]:
    for reading in readings:
        if reading.verdict == "not-applicable":
            reason = reading.reason or f"the run sends no {reading.limit.operation}"
            yield Notice(_claim(reading), "not-applicable", f"{told_limit(reading.limit)}: {reason}")


def _finding(reading: Reading, log: RunLog, ledger: Ledger) -> Finding:
    claim, operation, expected = _claim(reading), _operation(reading.limit), told_limit(reading.limit)
    duration_s = log.workload.duration_s if log.workload else 0.0
    remark = f" ({reading.reason})" if reading.reason else ""
    return Finding(
        id=finding_id(claim, operation, CHECK, expected),
        claim=claim,
        level=ledger[claim].level,
        operation=operation,
        check=CHECK,
        expected=expected,
        actual=told_value(reading) + remark,
        where=f"{named(reading.limit.operation)} over {duration_s:g} s, {plural(reading.count, 'sample')}",
        curl=again(log.header),
        evidence=(),
    )


def told_limit(limit: Limit) -> str:
    """A limit in words, such as ``getBuild p99_s at most 0.5``."""
    bound = "at least" if STATISTICS[limit.statistic].is_floor else "at most"
    return f"{named(limit.operation)} {limit.statistic} {bound} {figure(limit.value, 6)}"


def told_value(reading: Reading) -> str:
    """What was measured in words, such as ``710 ms``; with more digits where it is beyond its limit by a hair."""
    if reading.value is None:
        return "no answer" if reading.verdict == "broken" else "unknown"
    sort, limit = STATISTICS[reading.limit.statistic].sort, reading.limit.value
    if sort == "time":
        return brief(reading.value, 9 if reading.value != limit and brief(reading.value) == brief(limit) else 3)
    digits = 9 if reading.value != limit and figure(reading.value, 4) == figure(limit, 4) else 4
    return f"{figure(reading.value, digits)} a second" if sort == "rate" else percentage(reading.value, digits)


def _claim(reading: Reading) -> str:
    return STATISTICS[reading.limit.statistic].claim


def _operation(limit: Limit) -> str:
    return "" if limit.operation == ALL else limit.operation
