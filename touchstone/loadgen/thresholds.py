"""The statistics that a threshold may be about, and what was measured of them under load against its limits; pure.

What is measured, of the requests of an operation or of all of them:

- *Times* are response times, from the moment at which a request was due, of answers that the contract foresees; see
  `touchstone.loadgen.metrics`. In a closed model nothing is due: the time counts from sending, and the reading says so.
  A request that got no answer counts as one that takes for ever, and so does an arrival that could not be sent; one
  that --max-requests left no room for counts for nothing.
- A percentile needs as many samples as have one beyond it, p99 a hundred: with fewer it is the longest time.
- *error_share*: of the requests sent, those without an answer or with one that nobody expects. 429 is none of them.
- *late_share*, *unsent_share*: of the arrivals that were due, those sent more than LATE_S late, and those not sent.
- *throughput_per_s*: requests served a second. Its limit is the least that is allowed.
- *…_drift_share*: the growth from the first fifth of the run to its last.

A reading is indeterminate where the generator cannot tell: without samples or with too few; where it was itself later
at p99 than a tenth of the limit on a time, or so late that a throughput was missed, unless the limit is broken without
that; where --max-requests kept it from sending; where a worker was lost; and where the run, or its requests, ended
before its schedule did, or its clients were done, and the limit was kept until then. A claim holds only where each of
its limits is kept.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import load_dir, read_toml
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError, nearest, one_line
from touchstone.facts.events import Limit, Notice, RunLog, Workload
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.sample import Histogram, Window
from touchstone.facts.wording import brief, figure, percentage, plural
from touchstone.loadgen.lateness import Punctuality, punctuality
from touchstone.loadgen.metrics import (
    ALL,
    LATE_S,
    TARGET,
    Growth,
    Totals,
    growth_of_bytes,
    growth_of_errors,
    growth_of_latency,
    growth_of_memory,
    of_schedule,
    throughput,
    totals,
)
from touchstone.loadgen.not_judged import Ending, Ruling, again, ending
from touchstone.loadgen.workloads import SCENARIOS

CHECK = "thresholds"
# A generator that is later at p99 than this share of a limit on a time cannot judge it.
LATE_TOLERATED_SHARE = 0.1
# More arrivals than this without a time leave a mean unknown.
_UNTIMED_TOLERATED_SHARE = 0.001
# What a caller who allows so many requests and no more decides himself.
_BOUND_BY_BUDGET = ("unsent_share", "throughput_per_s")

Thresholds = dict[str, tuple[Limit, ...]]  # by scenario
Sort = Literal["time", "share", "rate", "drift"]
Kept = Literal["kept", "broken", "indeterminate", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic.

    Attributes:
        name: As in load/thresholds.toml, with its unit.
        claim: The claim that a limit on it decides.
        says: What it is, for messages.
        quantile: Of a percentile, the share of answers that take no longer; else None.
    """

    name: str
    claim: str
    sort: Sort
    says: str
    quantile: float | None = None

    @property
    def is_floor(self) -> bool:
        """Whether its limit is the least that is allowed, and not the most."""
        return self.sort == "rate"

    @property
    def samples_needed(self) -> int:
        """How many samples have one beyond the percentile; 1 for what is no percentile."""
        return 1 if self.quantile is None else math.ceil(round(1 / (1 - self.quantile), 6))


STATISTICS: Mapping[str, Statistic] = {
    statistic.name: statistic
    for statistic in (
        *(
            Statistic(f"p{n}_s", f"load.p{n}", "time", f"time of an answer at p{n}", float(f"0.{n}"))
            for n in ("50", "90", "95", "99", "999")
        ),
        Statistic("max_s", "load.max", "time", "longest time of an answer"),
        Statistic("mean_s", "load.mean", "time", "mean time of an answer"),
        Statistic("error_share", "load.errors", "share", "share of requests that failed"),
        Statistic("throughput_per_s", "load.throughput", "rate", "requests served in a second of the schedule"),
        Statistic("late_share", "load.late", "share", "share of scheduled requests sent late"),
        Statistic("unsent_share", "load.unsent", "share", "share of scheduled requests not sent"),
        Statistic("latency_drift_share", "load.drift-latency", "drift", "growth of the time of an answer"),
        Statistic("error_drift_share", "load.drift-errors", "drift", "growth of the share of errors"),
        Statistic("bytes_drift_share", "load.drift-bytes", "drift", "growth of the length of an answer"),
        Statistic("memory_drift_share", "load.drift-memory", "drift", "growth of the memory of the server"),
    )
}


def time_of(statistic: Statistic, own: Totals, unsent: int) -> float | None:
    """A statistic of response times in seconds; None without a sample, or where it is one that takes for ever.

    Args:
        unsent: Arrivals without a request, which count as if they took for ever.
    """
    value_s = _time_of(statistic, own.times, unsent + own.unanswered)
    return value_s if own.times.cells and math.isfinite(value_s) else None


def _time_of(statistic: Statistic, times: Histogram, never: int) -> float:
    """0 without a sample; infinity where it is one of *never* that got no answer."""
    if statistic.quantile is not None:
        return times.quantile_s(statistic.quantile, never)
    if statistic.name == "max_s":
        return math.inf if never else times.max_s
    too_many = never > _UNTIMED_TOLERATED_SHARE * (times.count + never)
    return math.inf if too_many else times.mean_s


def _breach(limit: Limit, statistic: Statistic, own: Totals, late: Histogram) -> str:
    """What shows that a limit is broken though the generator was late or did not send everything; empty if nothing.

    Args:
        late: How late the generator was. By as much its own delay may have lengthened what it took for service times.
    """
    least_s = _time_of(statistic, own.service, own.unanswered)
    if math.isinf(least_s):
        sent = own.service.count + own.unanswered
        apart = ", followed logs apart" if own.apart else ""
        return f"no answer came to {own.unanswered:,} of {plural(sent, 'request')}{apart}"
    late_s = late.max_s if statistic.name == "max_s" else late.quantile_s(0.99)
    if least_s - late_s <= limit.value:
        return ""
    return f"{brief(least_s)} from sending to the answer, and the generator was no more than {brief(late_s)} late"


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


_GROWTHS: Mapping[str, Callable[[Iterable[Window], str, Workload], Growth]] = {
    "latency_drift_share": growth_of_latency,
    "error_drift_share": growth_of_errors,
    "bytes_drift_share": growth_of_bytes,
}


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
        verdict, reason = self._verdict(limit, statistic, found)
        return Reading(limit, found.value, found.count, verdict, reason)

    def _verdict(self, limit: Limit, statistic: Statistic, found: _Measured) -> tuple[Kept, str]:
        kept_up = self._kept_up
        if kept_up.lost:
            return "indeterminate", f"worker {', '.join(map(str, kept_up.lost))} was lost with its samples"
        if found.breach:
            return "broken", found.breach
        if found.value is None or found.doubt:
            return "not-applicable" if self._is_idle(limit, statistic) else "indeterminate", found.doubt
        if is_broken(limit, statistic, found.value):
            if self._spent and statistic.name in _BOUND_BY_BUDGET:
                return "indeterminate", self._spent
            return "broken", found.remark
        if kept_up.missing:
            rest = plural(kept_up.missing, "arrival")
            return "indeterminate", f"kept so far, but the run ended before {rest} of its schedule"
        if cut := self.of(limit.operation).kinds["cut"]:
            waiting = plural(cut, "request")
            return "indeterminate", f"kept so far, but {waiting} had no answer yet when the run was stopped"
        if kept_up.undone:
            ended = ending(self._log) or Ending("the run ended")
            return "indeterminate", f"kept so far, but {ended.words} before all its clients were done"
        return "kept", found.remark

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
                return self._growth(limit, statistic)
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
        if count < (need := statistic.samples_needed):
            doubt = f"{plural(count, 'sample')}, but {statistic.name} needs at least {need:,}: run longer or faster"
            return _Measured(value, count, doubt)
        late = self._lateness(limit)
        if value is None or late:
            why = f"{plural(unsent, 'arrival')} could not be sent: how long they take, nobody knows"
            breach = _breach(limit, statistic, own, self._late(limit))
            return _Measured(value, count, late or why, breach=breach)
        at_worst = time_of(statistic, own, unsent)
        if not is_broken(limit, statistic, value) and (at_worst is None or is_broken(limit, statistic, at_worst)):
            return _Measured(value, count, f"kept so far, but {self._spent}")
        is_closed = self._workload.model == "closed"
        remark = "closed model: counted from sending, not from when a request was due" if is_closed else ""
        return _Measured(value, count, "", remark)

    def _late(self, limit: Limit) -> Histogram:
        """How late the generator was; what no schedule paces is held up by other requests of its clients."""
        return self.of(limit.operation).late if self.of(limit.operation).late.cells else self.of(ALL).late

    def _lateness(self, limit: Limit) -> str:
        """Why the generator is too late to judge a limit on a time; empty where it is not."""
        late_s = self._late(limit).quantile_s(0.99)
        if late_s <= LATE_TOLERATED_SHARE * limit.value:
            return ""
        operation = limit.operation if self.of(limit.operation).late.cells else ALL
        by_second: dict[int, Histogram] = {}
        for window in self._log.windows:
            if window.paced and operation in (ALL, window.operation):
                by_second.setdefault(window.at_s, Histogram()).merge(window.late)
        tolerated_s = LATE_TOLERATED_SHARE * limit.value
        since_s = min((at_s for at_s, late in by_second.items() if late.quantile_s(0.99) > tolerated_s), default=None)
        since = f", from second {since_s - int(self._workload.began_at)} on" if since_s is not None else ""
        return (
            f"the generator sent {named(operation)} {brief(late_s)} late at p99{since}: "
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

    def _growth(self, limit: Limit, statistic: Statistic) -> _Measured:
        windows, operation, workload = self._log.windows, limit.operation, self._workload
        if statistic.name == "memory_drift_share":
            growth = growth_of_memory(self._log.workers, workload)
            if growth.value is None and not growth.count:
                return _Measured(None, 0, "the memory of a server can be seen only where it is the embedded twin")
        else:
            growth = _GROWTHS[statistic.name](windows, operation, workload)
        if growth.value is None:
            return _Measured(None, growth.count, growth.reason)
        return _Measured(growth.value, growth.count, "", growth.reason)


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


def _share(value: float, count: int, what: str, limit: Limit) -> _Measured:
    return _Measured(value, count) if count else _Measured(None, 0, f"no {what}: {named(limit.operation)}")


def judge_thresholds(readings: Iterable[Reading], log: RunLog, ledger: Ledger) -> Ruling:
    """What the readings say about the claims of the limits.

    Args:
        log: The run that they are of.
    """
    readings = tuple(readings)
    unclear = {_claim(reading) for reading in readings if reading.verdict == "indeterminate"}
    findings: list[Finding] = []
    judgements: list[Judgement] = []
    notices: list[Notice] = []
    for reading in readings:
        claim, operation, limit = _claim(reading), _operation(reading.limit), limit_text(reading.limit)
        if reading.verdict == "broken":
            findings.append(_finding(reading, log, ledger))
        elif reading.verdict == "not-applicable":
            reason = reading.reason or f"the run sends no {reading.limit.operation}"
            notices.append(Notice(claim, "not-applicable", f"{limit}: {reason}"))
        elif reading.verdict == "indeterminate":
            why = f"{limit}: {reading.reason}"
            judgements.append(Judgement(claim, "indeterminate", CHECK, operation, (), "", why))
        # One limit that is kept does not uphold a claim that another one leaves open.
        elif claim not in unclear:
            judgements.append(Judgement(claim, "held", CHECK, operation, ()))
    return Ruling(tuple(findings), tuple(judgements), tuple(notices))


def _finding(reading: Reading, log: RunLog, ledger: Ledger) -> Finding:
    claim, operation, expected = _claim(reading), _operation(reading.limit), limit_text(reading.limit)
    duration_s = log.workload.duration_s if log.workload else 0.0
    remark = f" ({reading.reason})" if reading.reason else ""
    return Finding(
        id=finding_id(claim, operation, CHECK, expected),
        claim=claim,
        level=ledger[claim].level,
        operation=operation,
        check=CHECK,
        expected=expected,
        actual=value_text(reading) + remark,
        where=f"{named(reading.limit.operation)} over {duration_s:g} s, {plural(reading.count, 'sample')}",
        curl=again(log.header),
        evidence=(),
    )


def limit_text(limit: Limit) -> str:
    """A limit in words, such as ``getBuild p99_s at most 0.5``."""
    bound = "at least" if STATISTICS[limit.statistic].is_floor else "at most"
    return f"{named(limit.operation)} {limit.statistic} {bound} {figure(limit.value, 6)}"


def value_text(reading: Reading) -> str:
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


def bundled_thresholds() -> Path:
    """The thresholds that travel with the package.

    Raises:
        ContractError: they are not there.
    """
    return load_dir() / "thresholds.toml"


def read_thresholds(path: Path) -> Thresholds:
    """The limits of each scenario in a file like load/thresholds.toml, in its order; none for one that it leaves out.

    A table for each scenario and operation holds a limit for each statistic, such as ``[steady.getBuild] p99_s = 0.5``.

    Raises:
        UsageError: the file cannot be read or is not TOML, or it names a scenario, operation or statistic that there
            is not, or a limit that cannot be meant; the message names the place and the nearest known name.
    """
    try:
        document = read_toml(path, str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a file like load/thresholds.toml") from None
    operations = (ALL, *Contract.load().operations)
    found: Thresholds = dict.fromkeys(SCENARIOS, ())
    for scenario, tables in document.items():
        place = f"{path}: [{one_line(scenario)}]"
        _check_known(place, "scenario", scenario, SCENARIOS)
        for operation, limits in _table(place, tables).items():
            inner = f"{path}: [{scenario}.{_key(operation)}]"
            _check_known(inner, "operation", operation, operations)
            rows = _table(inner, limits).items()
            found[scenario] += tuple(_limit(inner, operation, name, value) for name, value in rows)
    return found


def thresholds_of(path: Path, scenario: str) -> tuple[Limit, ...]:
    """The limits of one scenario, at least one, from a file that was given for it.

    Raises:
        UsageError: as of `read_thresholds`, or the file has no limit for the scenario: a run would be judged by none.
    """
    found = read_thresholds(path)
    if not found[scenario]:
        others = ", ".join(name for name, limits in found.items() if limits)
        raise UsageError(
            f"{path}: no limit for {scenario}; found {f'limits only for {others}' if others else 'no limit at all'}; "
            f"expected a table such as [{scenario}.{_key(ALL)}] with a limit in it; add one, or leave --thresholds out "
            "for those of load/thresholds.toml"
        )
    return found[scenario]


def _limit(place: str, operation: str, name: str, value: object) -> Limit:
    _check_known(place, "statistic", name, STATISTICS)
    sort = STATISTICS[name].sort
    if name == "memory_drift_share" and operation != ALL:
        raise UsageError(f'{place} {name}: a server has one memory; put it into the table of all operations, "{ALL}"')
    is_share = sort in ("share", "drift")
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < sys.float_info.max:
        number = float(value)
    if not (0 <= number <= 1 if is_share else 0 < number < math.inf):
        like = {"time": "seconds above 0", "rate": "requests a second above 0"}.get(sort, "a share from 0 to 1")
        raise UsageError(f"{place} {name}: found {quoted(value)}; expected {like}")
    return Limit(operation, name, number)


def _check_known(place: str, what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        where = f"{place} {one_line(name)}" if what == "statistic" else place
        raise UsageError(f"{where}: unknown {what}; {nearest(name, known)}")


def _table(place: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        expected = "a table of operations, and in each a table of limits"
        raise UsageError(f"{place}: found {quoted(value)}; expected {expected}")
    return value


def _key(operation: str) -> str:
    return operation if operation.isidentifier() else f'"{one_line(operation)}"'
