"""Metrics of a load run, from its windows (samples of one second): counts, rates, latencies, growth, lateness; no I/O.

Counts cover all requests. Times that combine several outcomes cover only documented responses other than 429.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median
from typing import Literal, Self, TypeVar, get_args

from touchstone.facts.events import RunLog, Worker, Workload
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Histogram, Window
from touchstone.facts.wording import brief, figure, plural

Kind = Literal[
    "served",  # 2xx
    "declined",  # 404 and 409: documented responses, and no errors under load
    "refused",  # 429
    "error",  # no response, 5xx, and every other status: redirects and unexpected 4xx
    "cut",  # the run stopped before the response was complete
    "unsent",  # the arrival was due, and the generator could not send it
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_KIND_OF: dict[str, Kind] = {UNSENT: "unsent", CUT_OFF: "cut", NO_ANSWER: "error"}
_KIND_OF |= {"404": "declined", "409": "declined", "429": "refused"}

ALL = "*"  # all operations together
LASTING = frozenset({"streamBuildEvents"})  # these last as long as a build, so times over ALL operations omit them
LATE_S = 0.05  # an arrival sent later than this counts as late
TARGET = -1  # worker number of log events with the memory of the embedded twin

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
FEW = 10  # a percentile with fewer samples beyond it is imprecise

BEHIND_S = 0.1  # the generator counts as late if its lateness at p99 exceeds this, whatever the thresholds
_AFTER_SHARE = 0.01  # a response counts as on time until this share of the schedule after its end


def kind_of(outcome: str) -> Kind:
    """Kind of an outcome; an outcome is a status as text, or a constant in `touchstone.facts.sample`."""
    return _KIND_OF.get(outcome) or ("served" if outcome.startswith("2") else "error")


def is_answer(outcome: str) -> bool:
    """Whether an outcome is a documented response other than 429; only these count in times."""
    return kind_of(outcome) in ("served", "declined")


@dataclass(slots=True)
class Totals:
    """Windows of one operation and outcome, added up; ALL stands for any operation or any outcome."""

    operation: str  # operationId, or ALL
    outcome: str = ALL  # see `touchstone.facts.sample.Sample`, or ALL
    times: Histogram = field(default_factory=Histogram)  # ALL outcomes: documented ones; ALL operations: not LASTING
    service: Histogram = field(default_factory=Histogram)  # like `times`, but counted from sending
    late: Histogram = field(default_factory=Histogram)  # lateness of scheduled requests
    kinds: Counter[Kind] = field(default_factory=Counter)  # requests and unsent arrivals by kind
    unanswered: int = 0  # requests that are missing in `times` because they got no response

    def add(self, window: Window) -> None:
        """Adds a window; ignores windows of other operations or outcomes."""
        if self.operation not in (ALL, window.operation) or self.outcome not in (ALL, window.outcome):
            return
        self.kinds[kind_of(window.outcome)] += window.count
        if window.paced:
            self.late.merge(window.late)
        if self.operation == ALL and window.operation in LASTING:
            return
        if self.outcome == ALL and window.outcome == NO_ANSWER:
            self.unanswered += window.count
        elif self.outcome != ALL or is_answer(window.outcome):
            self.times.merge(window.response)
            self.service.merge(window.service)

    @property
    def sent(self) -> int:
        """Requests sent, with or without a response."""
        return self.kinds.total() - self.kinds["unsent"]

    @property
    def due(self) -> int:
        """Scheduled arrivals that were due, sent or not."""
        return self.late.count + self.kinds["unsent"]

    @property
    def error_share(self) -> float:
        """Errors as a share of the requests sent."""
        return self.kinds["error"] / self.sent if self.sent else 0.0

    def share(self, statistic: str) -> tuple[float, int]:
        """Value of a statistic such as ``late_share``, and the number of requests or arrivals behind it."""
        return {
            "error_share": (self.error_share, self.sent),
            "late_share": (self.late.share_above(LATE_S), self.late.count),
            "unsent_share": (self.kinds["unsent"] / self.due if self.due else 0.0, self.due),
        }[statistic]


def totals(windows: Iterable[Window], operation: str = ALL, outcome: str = ALL) -> Totals:
    """Sum of all windows of an operation and outcome."""
    found = Totals(operation, outcome)
    for window in windows:
        found.add(window)
    return found


def name_of(share: float) -> str:
    """Name of the percentile at *share*, such as ``p99.9``."""
    return f"p{100 * share:.6g}"


@dataclass(frozen=True, slots=True)
class Percentile:
    """Duration that the share *share* of all samples does not exceed; infinite if too many got no response."""

    share: float  # from 0 to 1
    value_s: float
    sure: bool  # whether enough samples exceed the value to make it precise

    @property
    def name(self) -> str:
        """Name of the percentile in texts, such as ``p99.9``."""
        return name_of(self.share)

    @property
    def key(self) -> str:
        """Name in thresholds and in JSON, such as ``p999_s``."""
        return f"{self.name.replace('.', '')}_s"


@dataclass(frozen=True, slots=True)
class Times:
    """Durations of one kind, such as all response times of an operation."""

    count: int  # known durations; minimum, mean and maximum cover these
    min_s: float
    mean_s: float
    max_s: float
    cells: Histogram  # source of the other fields; read only
    never: int = 0  # requests without a response; percentiles count them as infinite

    @classmethod
    def of(cls, cells: Histogram, never: int = 0) -> Self | None:
        """Durations of a histogram, or None if it is empty."""
        return cls(cells.count, cells.min_s, cells.mean_s, cells.max_s, cells, never) if cells.cells else None

    def at(self, share: float) -> Percentile:
        """Percentile at *share*, which may be any share below 1."""
        # Rounded, since floating-point errors could leave less than ten of 1,000 samples beyond p99.
        beyond = round((self.count + self.never) * (1 - share), 6)
        return Percentile(share, self.cells.quantile_s(share, self.never), beyond >= FEW)

    @property
    def percentiles(self) -> tuple[Percentile, ...]:
        """Percentiles at SHARES, in their order."""
        return tuple(map(self.at, SHARES))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one operation, with one outcome or with all outcomes."""

    operation: str  # operationId, or ALL
    outcome: str  # see `touchstone.facts.sample.Sample`, or ALL
    count: int  # requests sent
    share: float  # share of the operation's requests; of all requests if `outcome` is ALL
    rate_per_s: float  # mean over the measured time
    response: Times | None  # from the due time to the end; None in a closed model or without requests
    service: Times | None  # from sending to the end
    late: Times | None  # from the due time to sending, for scheduled requests

    @property
    def times(self) -> Times | None:
        """Response times, or service times if there are no response times."""
        return self.response or self.service

    @property
    def timed(self) -> int:
        """Number of requests behind `times`, including those without a response."""
        return self.times.count + self.times.never if self.times else 0


@dataclass(frozen=True, slots=True)
class Operation:
    """Requests of one operation, or of all operations together."""

    whole: Traffic
    outcomes: tuple[Traffic, ...]  # one per outcome, sorted by name; empty for ALL operations
    kinds: dict[Kind, int]  # requests by kind; ``unsent`` arrivals appear only here

    @property
    def name(self) -> str:
        """operationId, or ALL."""
        return self.whole.operation

    @property
    def error_share(self) -> float:
        """Share of requests without a response, or with a 5xx or another unexpected status."""
        return self.kinds["error"] / self.whole.count if self.whole.count else 0.0

    @property
    def refused_share(self) -> float:
        """Share of requests answered with 429."""
        return self.kinds["refused"] / self.whole.count if self.whole.count else 0.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a load run."""

    total: Operation  # all operations together
    operations: tuple[Operation, ...]  # operations with requests, sorted by name
    measured_s: float  # from the first arrival to `until`; rates are means over this time
    timed: bool  # whether a schedule defines response times and lateness
    until: str  # ``the last response`` or ``the end of the schedule``

    @property
    def lasting(self) -> tuple[str, ...]:
        """Operations of this run that the times over all operations leave out."""
        return tuple(one.name for one in self.operations if one.name in LASTING)


def metrics(log: RunLog) -> Metrics:
    """Metrics of a load run."""
    assert log.workload is not None
    measured_s, until = _measured(log.windows, log.workload)
    timed = log.workload.model == "open"

    def traffic(own: Totals, of: int) -> Traffic:
        return Traffic(
            own.operation,
            own.outcome,
            count=own.sent,
            share=own.sent / of if of else 0.0,
            rate_per_s=own.sent / measured_s if measured_s else 0.0,
            response=Times.of(own.times, own.unanswered) if timed else None,
            service=Times.of(own.service, own.unanswered),
            late=Times.of(own.late) if timed else None,
        )

    def operation(name: str) -> Operation:
        windows = [window for window in log.windows if name in (ALL, window.operation)]
        own = totals(windows, name)
        outcomes = sorted({window.outcome for window in windows} - {UNSENT}) if name != ALL else []
        rows = tuple(traffic(totals(windows, name, outcome), own.sent) for outcome in outcomes)
        return Operation(traffic(own, sent), rows, {kind: own.kinds[kind] for kind in KINDS})

    sent = sum(window.count for window in log.windows if window.outcome != UNSENT)
    names = sorted({window.operation for window in log.windows})
    return Metrics(operation(ALL), tuple(map(operation, names)), measured_s, timed, until)


def _measured(windows: Iterable[Window], workload: Workload) -> tuple[float, str]:
    """Measured duration, and what ends it: the last response, or the end of the schedule if later and all was sent."""
    if not (sent := [window for window in windows if window.outcome != UNSENT]):
        return 0.0, "the last response"
    began_at = max(float(min(window.at_s for window in sent)), workload.began_at)
    ends_at = workload.began_at + workload.duration_s
    last_at = max(window.done_at or window.at_s + 1.0 for window in sent)
    scheduled = sum(workload.scheduled.values())
    if ends_at > last_at and 0 < scheduled <= sum(window.count for window in sent if window.paced):
        return ends_at - began_at, "the end of the schedule"
    return max(last_at - began_at, 0.001), "the last response"


def throughput(windows: Iterable[Window], operation: str, workload: Workload, *, sooner_s: float = 0.0) -> float:
    """Requests served per second, computed as if each response had arrived *sooner_s* earlier.

    The result is the highest of several rates: until the end of the schedule, and until each later response. So a few
    late responses hardly lower the throughput. A followed log counts as on time, however long the build takes.
    """
    length_s = workload.duration_s

    def after_s(window: Window) -> float:
        late_s = 0.0 if window.operation in LASTING else (window.done_at or window.at_s + 1.0) - workload.began_at
        return max(length_s, late_s - sooner_s if late_s > length_s * (1 + _AFTER_SHARE) else 0.0)

    done = sorted((after_s(window), totals([window], operation).kinds["served"]) for window in windows)
    served = accumulate(count for _, count in done)
    return max((count / by_s for (by_s, _), count in zip(done, served, strict=True)), default=0.0)


Growth = tuple[float | None, int, str]  # growth or None; samples; why the growth is unknown, or what grew most
_Timed = TypeVar("_Timed", Window, Worker)
_Row = TypeVar("_Row")
_Key = TypeVar("_Key", bound=Hashable)

_PARTS = 5
_FEWEST_READINGS = 3
_FEWEST_ANSWERS, _FEWEST_REQUESTS = 15, 20
_SHORT_S, _SMALL_BYTES = 0.01, 100.0  # smaller values vary by chance, and count as these values


def growth(statistic: str, log: RunLog, operation: str) -> Growth:
    """Growth from the first fifth of a run to the last fifth: a relative value; for error shares, the difference."""
    assert log.workload is not None
    windows = [window for window in log.windows if operation in (ALL, window.operation)]
    if statistic == "latency_drift_share":
        timed = [window for window in windows if is_answer(window.outcome)]
        name, median_s = "{0.operation}".format, lambda part: Histogram.merged(w.service for w in part).quantile_s(0.5)
        return _most_grown(timed, name, log.workload, median_s, _SHORT_S, brief)
    if statistic == "bytes_drift_share":
        served = [window for window in windows if kind_of(window.outcome) == "served"]
        name, bytes_text = "{0.operation} {0.outcome}".format, lambda value: f"{figure(value, 4)} bytes"
        mean_bytes = lambda part: sum(w.body_bytes for w in part) / sum(w.count for w in part)  # noqa: E731
        return _most_grown(served, name, log.workload, mean_bytes, _SMALL_BYTES, bytes_text)
    if statistic == "error_drift_share":
        first, last = map(totals, _ends(windows, log.workload))
        if min(first.sent, last.sent) < _FEWEST_REQUESTS:
            return (None, first.sent + last.sent, _too_few("request", first.sent, last.sent))
        return (last.error_share - first.error_share, first.sent + last.sent, "")
    if not (of_target := [worker for worker in log.workers if worker.number == TARGET]):
        return (None, 0, "only the memory of the embedded twin can be measured")
    early, late = _ends(of_target, log.workload)
    if min(len(early), len(late)) < _FEWEST_READINGS:
        return (None, len(of_target), _too_few("memory reading", len(early), len(late)))
    before, after = (median(worker.rss_bytes for worker in part) for part in (early, late))
    return (after / max(before, 1) - 1, len(early) + len(late), "")


def grouped(rows: Iterable[_Row], key: Callable[[_Row], _Key]) -> dict[_Key, list[_Row]]:
    """Rows by key; each group keeps the order of *rows*."""
    found: dict[_Key, list[_Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _most_grown(
    windows: Iterable[Window],
    name_of: Callable[[Window], str],
    workload: Workload,
    measure: Callable[[list[Window]], float],
    least: float,
    render: Callable[[float], str],
) -> Growth:
    found: list[Growth] = []
    counts = (0, 0)
    for name, group in grouped(windows, name_of).items():
        ends = _ends(group, workload)
        first, last = (sum(window.count for window in part) for part in ends)
        counts = max(counts, (first, last), key=min)
        if min(first, last) >= _FEWEST_ANSWERS:
            before, after = map(measure, ends)
            value = max(after, least) / max(before, least) - 1
            text = f"{name} grew most: {render(before)} in the first fifth, {render(after)} in the last"
            found.append((value, first + last, text))
    return max(found, key=lambda one: one[0] or 0.0, default=(None, sum(counts), _too_few("response", *counts)))


def _ends(rows: Iterable[_Timed], workload: Workload) -> tuple[list[_Timed], list[_Timed]]:
    """Rows (windows or worker reports) of the first fifth of the schedule, and rows of the last fifth."""
    rows = list(rows)
    # Windows begin at whole seconds, so the fifths must do so too.
    edges = [int(workload.began_at + workload.duration_s * n / _PARTS) for n in (0, 1, _PARTS - 1, _PARTS)]
    first, last = ([row for row in rows if begin <= row.at_s < end] for begin, end in (edges[:2], edges[2:]))
    return first, last


def _too_few(what: str, first: int, last: int) -> str:
    return f"too few to compare: {plural(first, what)} in the first fifth of the run, {last:,} in the last; run longer"


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """Summary of one worker."""

    last: Worker  # the worker's last report, or the master's record of its loss
    late: Times | None  # lateness of the worker's scheduled requests
    cpu_share: float  # highest reported value; 1 is a whole core
    rss_bytes: int  # highest reported value


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How well the generator kept to its schedule."""

    scheduled: int  # arrivals in the schedule
    sent: int  # arrivals that were sent
    unsent: int  # arrivals that were due and could not be sent
    late: Times | None  # lateness over all workers; None in a closed model
    behind_from_s: float | None  # run second from which on a worker was late; None if no worker was
    behind_s: float  # highest lateness of a worker
    workers: tuple[WorkerLine, ...]  # by number
    unwatched: int  # watchers that sent nothing because the start of their build was not accepted
    over_budget: int  # unsent arrivals that were due after the request budget was used up
    spent_at_s: float | None  # run second from which every worker had used up its requests; None if never
    allowed: int | None  # value of --max-requests; None for no limit
    undone: int  # clients that had more to send when the run or its budget ended

    @property
    def is_spent(self) -> bool:
        """Whether the request budget was used up before everything was sent."""
        return self.spent_at_s is not None or self.over_budget > 0

    @property
    def missing(self) -> int:
        """Number of arrivals neither sent nor counted as unsent: the run ended before, or a worker was lost."""
        return max(0, self.scheduled - self.sent - self.unsent - self.unwatched)

    @property
    def lost(self) -> tuple[int, ...]:
        """Numbers of the lost workers."""
        return tuple(line.last.number for line in self.workers if line.last.state == "lost")

    @property
    def kept_up(self) -> bool:
        """Whether all arrivals that were due within the request budget were sent on time, by every worker."""
        is_cut = any(line.last.state == "running" for line in self.workers)
        return self.in_time and not self.lost and not (self.missing and is_cut)

    @property
    def in_time(self) -> bool:
        """Like `kept_up`, but only for the arrivals that workers reported."""
        late_s = self.late.at(0.99).value_s if self.late else 0.0
        return self.unsent == self.over_budget and self.behind_from_s is None and late_s <= BEHIND_S


def punctuality(log: RunLog) -> Punctuality:
    """How well the generator of a load run kept to its schedule."""
    workload = log.workload
    assert workload is not None
    paced = [window for window in log.windows if window.paced]

    def late(windows: Iterable[Window]) -> Times | None:
        return Times.of(Histogram.merged(window.late for window in windows)) if workload.model == "open" else None

    lines = []
    last = last_reports(log.workers)
    for one in last:
        reports = [worker for worker in log.workers if worker.number == one.number]
        own = late(window for window in paced if window.worker == one.number)
        cpu_share, rss_bytes = max(each.cpu_share for each in reports), max(each.rss_bytes for each in reports)
        lines.append(WorkerLine(one, own, cpu_share, rss_bytes))
    spent = [worker.spent_at_s for worker in last if worker.spent_at_s is not None]
    return Punctuality(
        scheduled=sum(workload.scheduled.values()),
        sent=sum(window.count for window in paced if window.outcome != UNSENT),
        unsent=sum(window.count for window in log.windows if window.outcome == UNSENT),
        late=late(paced),
        behind_from_s=min((worker.behind_from_s for worker in last if worker.behind_from_s is not None), default=None),
        behind_s=max((worker.behind_s for worker in last), default=0.0),
        workers=tuple(lines),
        spent_at_s=max(spent, default=None) if len(spent) == len(last) else None,
        allowed=workload.options.get("max_requests"),
        **{name: sum(getattr(worker, name) for worker in last) for name in ("unwatched", "over_budget", "undone")},
    )


def last_reports(workers: Iterable[Worker]) -> list[Worker]:
    """Last report of each worker, or the master's record that the worker was lost; sorted by worker number."""
    ordered = sorted(workers, key=lambda worker: (worker.at_s, worker.state != "running"))
    last = {worker.number: worker for worker in ordered if worker.number != TARGET}
    return [last[number] for number in sorted(last)]
