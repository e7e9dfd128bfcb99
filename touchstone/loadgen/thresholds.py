"""Thresholds: their statistics, and the comparison of a load run with its limits; no I/O.

- *Times* are response times of documented responses; in a closed model they count from sending. A request without a
  response counts as infinite, and so does an arrival that could not be sent.
- A percentile needs so many samples that one of them lies beyond it: p99 needs 100.
- *error_share* is a share of all requests sent, *late_share* of the scheduled requests sent, and *unsent_share* of the
  arrivals that were due. A 429 is no error.
- *…_drift_share* is the growth from the first fifth of the run to the last fifth.

A limit is indeterminate if a worker was lost, the run ended early, or --max-requests prevented requests. So is a limit
on a time if the generator's lateness at p99 exceeds a tenth of the limit. So is a limit on the throughput if that
lateness may be the reason why the limit is broken.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import load_dir, read_toml
from touchstone.errors import UsageError, nearest, one_line, quoted
from touchstone.facts.events import Limit, Notice, RunLog, Workload
from touchstone.facts.finding import Judgement
from touchstone.facts.sample import Histogram
from touchstone.facts.wording import brief, figure, percentage, plural
from touchstone.loadgen.metrics import ALL, TARGET, Totals, growth, punctuality, throughput, totals
from touchstone.loadgen.not_judged import Ruling, again, ending, reason_text
from touchstone.loadgen.plan import AT_ONCE, SCENARIOS, TABLES
from touchstone.rules.judge import finding_at

CHECK = "thresholds"
LATE_TOLERATED_SHARE = 0.1  # a limit on a time is not judged if lateness at p99 exceeds this share of the limit
_UNTIMED_TOLERATED_SHARE = 0.001  # if more requests than this share have no time, the mean is unknown
_BOUND_BY_BUDGET = ("unsent_share", "throughput_per_s")  # statistics that --max-requests affects
_HIGHEST_LIMIT = 1e300  # an integer in TOML may be too large for a float

Thresholds = dict[str, tuple[Limit, ...]]  # by scenario
Sort = Literal["time", "share", "rate", "drift"]
ReadingVerdict = Literal["kept", "broken", "indeterminate", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """Statistic that a threshold can limit."""

    name: str  # as in load/thresholds.toml, with its unit
    claim: str  # the claim that limits of this statistic decide
    sort: Sort
    description: str  # for messages
    quantile: float | None = None  # for a percentile: the share of samples that take no longer

    @property
    def is_floor(self) -> bool:
        """Whether a limit of this statistic is a minimum."""
        return self.sort == "rate"

    @property
    def samples_needed(self) -> int:
        """Number of samples that puts one sample beyond the percentile; 1 for other statistics."""
        return 1 if self.quantile is None else math.ceil(round(1 / (1 - self.quantile), 6))


STATISTICS: Mapping[str, Statistic] = {name: Statistic(name, **values) for name, values in TABLES["statistics"].items()}


def time_of(statistic: Statistic, times: Histogram, never: int) -> float | None:
    """Value of a time statistic in seconds; None without samples or if infinite. *never*: number of infinite times."""
    value_s = _time_of(statistic, times, never)
    return value_s if times.cells and math.isfinite(value_s) else None


def _time_of(statistic: Statistic, times: Histogram, never: int) -> float:
    if statistic.quantile is not None:
        return times.quantile_s(statistic.quantile, never)
    if statistic.name == "max_s":
        return math.inf if never else times.max_s
    return math.inf if never > _UNTIMED_TOLERATED_SHARE * (times.count + never) else times.mean_s


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit and its measured value."""

    limit: Limit
    value: float | None  # in the unit of the limit; None if there is no measured value
    count: int  # samples behind the value
    verdict: ReadingVerdict  # ``not-applicable`` if the run had nothing to measure
    reason: str = ""  # why there is no verdict, or a remark on the value


@dataclass(frozen=True, slots=True)
class _Measured:
    """Measured value. *doubt*: why it is None or uncertain; *breach*: why the limit is surely exceeded all the same."""

    value: float | None
    count: int
    doubt: str = ""
    remark: str = ""
    breach: str = ""


def measured(log: RunLog) -> tuple[Reading, ...]:
    """Reading of each limit of a load run, in the order of the limits."""
    if log.workload is None:
        return ()
    return tuple(map(_Run(log, log.workload).reading, log.workload.limits))


class _Run:
    def __init__(self, log: RunLog, workload: Workload) -> None:
        self._log = log
        self._workload = workload
        self._kept = punctuality(log)
        self._of = functools.cache(lambda operation: totals(log.windows, operation))
        self._spent = reason_text("spent", self._kept)

    def reading(self, limit: Limit) -> Reading:
        statistic = STATISTICS[limit.statistic]
        by_sort = {"time": self._time, "share": self._share, "rate": self._rate, "drift": self._growth}
        found = by_sort[statistic.sort](limit, statistic)
        verdict, reason = self._verdict(limit, statistic, found)
        return Reading(limit, found.value, found.count, verdict, reason)

    def _verdict(self, limit: Limit, statistic: Statistic, found: _Measured) -> tuple[ReadingVerdict, str]:
        if self._kept.lost:
            return "indeterminate", f"worker {', '.join(map(str, self._kept.lost))} was lost with its samples"
        if found.breach:
            return "broken", found.breach
        if found.value is None or found.doubt:
            return "not-applicable" if self._is_idle(limit, statistic) else "indeterminate", found.doubt
        if is_broken(limit, statistic, found.value):
            is_open = self._spent and statistic.name in _BOUND_BY_BUDGET
            return ("indeterminate", self._spent) if is_open else ("broken", found.remark)
        if unfinished := self._unfinished(limit):
            return "indeterminate", f"held so far, but {unfinished}"
        return "kept", found.remark

    def _unfinished(self, limit: Limit) -> str:
        """Text about the part of the load that is missing because the run ended early; empty if none is."""
        return reason_text("unfinished", self._kept, self._of(limit.operation).kinds["cut"], ending(self._log))

    def _is_idle(self, limit: Limit, statistic: Statistic) -> bool:
        if statistic.name == "memory_drift_share":
            return not any(worker.number == TARGET for worker in self._log.workers)
        if statistic.name in ("late_share", "unsent_share") and self._workload.model == "closed":
            return True
        scheduled = self._workload.scheduled.get(limit.operation, 0)
        return limit.operation != ALL and not scheduled and not self._of(limit.operation).kinds.total()

    def _share(self, limit: Limit, statistic: Statistic) -> _Measured:
        value, count = self._of(limit.operation).share(statistic.name)
        due = {"late_share": "scheduled request was sent", "unsent_share": "arrival was due"}
        what = due.get(statistic.name, "request was sent")
        return _Measured(value, count) if count else _Measured(None, 0, f"no {what}: {scope_text(limit.operation)}")

    def _time(self, limit: Limit, statistic: Statistic) -> _Measured:
        own = self._of(limit.operation)
        unsent, count = own.kinds["unsent"], own.times.count + own.unanswered
        # Arrivals beyond the request budget do not count: they say nothing about the target.
        counted = unsent if self._kept.unsent > self._kept.over_budget else 0
        value = time_of(statistic, own.times, own.unanswered + counted)
        if not count:
            return _Measured(None, 0, f"no documented response: {scope_text(limit.operation)}")
        if count < (need := statistic.samples_needed):
            percentile, is_burst = statistic.description.split()[-1], self._workload.arrivals == AT_ONCE
            return _Measured(value, count, reason_text("few", count, percentile, need, is_burst))
        late = self._late(limit)
        late_s = late.quantile_s(0.99)
        is_late = late_s > LATE_TOLERATED_SHARE * limit.value
        if value is None or is_late:
            doubt = reason_text("untimed", late_s if is_late else 0.0, limit.value, unsent)
            return _Measured(value, count, doubt, breach=_breach(limit, statistic, own, late))
        at_worst = time_of(statistic, own.times, own.unanswered + unsent)
        if not is_broken(limit, statistic, value) and (at_worst is None or is_broken(limit, statistic, at_worst)):
            return _Measured(value, count, f"held so far, but {self._spent}")
        is_closed = self._workload.model == "closed"
        remark = "closed model: counted from sending, not from the due time" if is_closed else ""
        return _Measured(value, count, "", remark)

    def _late(self, limit: Limit) -> Histogram:
        return self._of(limit.operation).late if self._of(limit.operation).late.cells else self._of(ALL).late

    def _rate(self, limit: Limit, statistic: Statistic) -> _Measured:
        length_s, operation = self._workload.duration_s, limit.operation
        from_s, to_s = int(self._workload.began_at), self._workload.began_at + length_s
        within = [window for window in self._log.windows if from_s <= window.at_s < to_s]
        kinds = totals(within, operation).kinds
        served, unsent = kinds["served"], kinds["unsent"]
        if self._kept.missing:
            return _Measured(None, served, self._unfinished(limit))
        if length_s <= 0 or not self._of(operation).sent:
            return _Measured(None, 0, f"no request was sent to {scope_text(operation)}")
        value, late_s = throughput(within, operation, self._workload), self._late(limit).max_s
        # Upper bound of the throughput: as if everything had been sent on time.
        at_best = throughput(within, operation, self._workload, sooner_s=late_s) + unsent / length_s
        if self._spent or not is_broken(limit, statistic, value) or is_broken(limit, statistic, at_best):
            return _Measured(value, served)
        return _Measured(value, served, reason_text("slowed", late_s, unsent))

    def _growth(self, limit: Limit, statistic: Statistic) -> _Measured:
        value, count, reason = growth(statistic.name, self._log, limit.operation)
        return _Measured(value, count, reason if value is None else "", reason)


def _breach(limit: Limit, statistic: Statistic, own: Totals, late: Histogram) -> str:
    """Evidence that the target broke a limit, even if the generator was late or left out arrivals; else empty."""
    least_s = _time_of(statistic, own.service, own.unanswered)
    if math.isinf(least_s):
        sent = own.service.count + own.unanswered
        return f"{own.unanswered:,} of {plural(sent, 'request')} got no response"
    # The generator was late by this much, and may have lengthened the service times as well.
    late_s = late.max_s if statistic.name == "max_s" else late.quantile_s(0.99)
    if least_s - late_s <= limit.value:
        return ""
    return f"{brief(least_s)} from sending to the response, and the generator was at most {brief(late_s)} late"


def is_broken(limit: Limit, statistic: Statistic, value: float) -> bool:
    """Whether a value is beyond its limit; a value equal to the limit is not."""
    return value < limit.value if statistic.is_floor else value > limit.value


def judge_thresholds(readings: Iterable[Reading], log: RunLog, ledger: Ledger) -> Ruling:
    """Judges the claims about limits from the readings of a run."""
    readings = tuple(readings)
    unclear = {STATISTICS[one.limit.statistic].claim for one in readings if one.verdict == "indeterminate"}
    ruling = Ruling()
    for reading in readings:
        claim, limit = STATISTICS[reading.limit.statistic].claim, limit_text(reading.limit)
        operation = reading.limit.operation.removeprefix(ALL)
        if reading.verdict == "broken":
            remark = f" ({reading.reason})" if reading.reason else ""
            broken = Judgement(claim, "broken", CHECK, operation, (), limit, value_text(reading) + remark)
            scope, duration_s = scope_text(reading.limit.operation), log.workload.duration_s if log.workload else 0.0
            where = f"{scope}, schedule of {duration_s:g} s, {plural(reading.count, 'sample')}"
            ruling.findings.append(finding_at(broken, ledger, where, again(log.header)))
        elif reading.verdict == "not-applicable":
            reason = reading.reason or f"the run sends no {reading.limit.operation}"
            ruling.notices.append(Notice(claim, "not-applicable", f"{limit}: {reason}"))
        elif reading.verdict == "indeterminate":
            why = f"{limit}: {reading.reason}"
            ruling.judgements.append(Judgement(claim, "indeterminate", CHECK, operation, (), "", why))
        # A limit that holds does not uphold its claim if another limit of the same claim is indeterminate.
        elif claim not in unclear:
            ruling.judgements.append(Judgement(claim, "held", CHECK, operation, ()))
    return ruling


def scope_text(operation: str) -> str:
    """Operation as text in a message."""
    return "all operations" if operation == ALL else operation


def limit_text(limit: Limit) -> str:
    """Limit as text, such as ``getBuild p99_s at most 0.5``."""
    bound = "at least" if STATISTICS[limit.statistic].is_floor else "at most"
    return f"{scope_text(limit.operation)} {limit.statistic} {bound} {figure(limit.value, 6)}"


def value_text(reading: Reading) -> str:
    """Measured value as text, such as ``710 ms``; with more digits if the value is very close to the limit."""
    if reading.value is None:
        return "no response" if reading.verdict == "broken" else "unknown"
    sort, limit = STATISTICS[reading.limit.statistic].sort, reading.limit.value
    if sort == "time":
        return brief(reading.value, 9 if reading.value != limit and brief(reading.value) == brief(limit) else 3)
    digits = 9 if reading.value != limit and figure(reading.value, 4) == figure(limit, 4) else 4
    return f"{figure(reading.value, digits)} per second" if sort == "rate" else percentage(reading.value, digits)


def read_thresholds(path: Path | None = None) -> Thresholds:
    """Limits by scenario from a file, by default the bundled one; a scenario without limits gets an empty tuple.

    A table for each scenario and operation has a limit for each statistic, such as ``[steady.getBuild] p99_s = 0.5``.
    Raises `UsageError` if the file cannot be read, or contains an unknown name or an invalid limit.
    """
    path = path or load_dir() / "thresholds.toml"
    try:
        document = read_toml(path, str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a file like load/thresholds.toml") from None
    operations = (ALL, *Contract.load().operations)
    found: Thresholds = dict.fromkeys(SCENARIOS, ())
    for scenario, tables in document.items():
        place = f"{path}: [{one_line(scenario)}]"
        for operation, limits in _rows(place, tables, "scenario", scenario, SCENARIOS):
            key = operation if operation.isidentifier() else f'"{one_line(operation)}"'
            inner = f"{path}: [{scenario}.{key}]"
            rows = _rows(inner, limits, "operation", operation, operations)
            found[scenario] += tuple(_limit(inner, operation, name, value) for name, value in rows)
    return found


def thresholds_of(path: Path, scenario: str) -> tuple[Limit, ...]:
    """Limits of *scenario* from a file; raises `UsageError` as `read_thresholds` does, or if the file has none."""
    found = read_thresholds(path)
    if not found[scenario]:
        others = ", ".join(name for name, limits in found.items() if limits)
        problem = f"no limit for {scenario}; found {f'limits only for {others}' if others else 'no limit at all'}"
        advice = f'add a table such as [{scenario}."{ALL}"], or leave --thresholds out for the bundled limits'
        raise UsageError(f"{path}: {problem}; {advice}")
    return found[scenario]


def _rows(place: str, table: object, what: str, name: str, known: Iterable[str]) -> Iterator[tuple[str, Any]]:
    if name not in known:
        raise UsageError(f"{place}: unknown {what}; {nearest(name, known)}")
    if not isinstance(table, dict):
        raise UsageError(f"{place}: found {quoted(table)}; expected a table of operations, each a table of limits")
    yield from table.items()


def _limit(place: str, operation: str, name: str, value: object) -> Limit:
    if name not in STATISTICS:
        raise UsageError(f"{place} {one_line(name)}: unknown statistic; {nearest(name, STATISTICS)}")
    sort = STATISTICS[name].sort
    if name == "memory_drift_share" and operation != ALL:
        raise UsageError(f'{place} {name}: move it to the table of all operations, "{ALL}"')
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (0 <= number <= 1 if sort in ("share", "drift") else 0 < number <= _HIGHEST_LIMIT):
        expected = {"time": "seconds above 0", "rate": "requests per second above 0"}.get(sort, "a share from 0 to 1")
        raise UsageError(f"{place} {name}: found {quoted(value)}; expected {expected}")
    return Limit(operation, name, float(number))
