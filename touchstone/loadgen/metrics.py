"""From windows of samples to numbers: how often, how fast, how long and how punctually; pure.

Counts are of all requests. Times of several outcomes together are of answers that the contract foresees and no 429.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median
from typing import Literal, Self, TypeVar, get_args

from touchstone.facts.events import RunLog, Worker, Workload
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Histogram, Window
from touchstone.facts.wording import brief, figure, plural

Kind = Literal[
    "served",  # 2xx
    "declined",  # 404 and 409: nothing is there, or it is too late; documented answers, and no fault under load
    "refused",  # 429
    "error",  # no answer, 5xx, and every other status: redirects and 4xx that nobody expects of a working client
    "cut",  # the run was stopped before an answer came; whether one would have come, nobody knows
    "unsent",  # it came due, and the generator could not send it
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_KIND_OF: dict[str, Kind] = {
    UNSENT: "unsent",
    CUT_OFF: "cut",
    NO_ANSWER: "error",
    "404": "declined",
    "409": "declined",
    "429": "refused",
}

ALL = "*"  # all operations together
LASTING = frozenset({"streamBuildEvents"})  # takes as long as a build: its times are not among those of all
LATE_S = 0.05  # an arrival that is sent later than this is late
TARGET = -1  # the number of the entry that holds the memory of the embedded target, beside those of the workers

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
FEW = 10  # a percentile with fewer samples beyond it may be a few places off

BEHIND_S = 0.1  # a generator that is later than this at p99 says so, whether a threshold minds it or not
_AFTER_SHARE = 0.01  # an answer that comes so much of the schedule after its end is in time


def kind_of(outcome: str) -> Kind:
    """The kind of an outcome: a status as text, or one of the words of `touchstone.facts.sample` for what is none."""
    return _KIND_OF.get(outcome) or ("served" if outcome.startswith("2") else "error")


def is_answer(outcome: str) -> bool:
    """Whether an outcome is an answer that the contract foresees, and no refusal: its time counts."""
    return kind_of(outcome) in ("served", "declined")


@dataclass(slots=True)
class Totals:
    """The sum of the windows of one operation and outcome, or of all of them."""

    operation: str  # operationId, or ALL
    outcome: str = ALL  # see `touchstone.facts.sample.Sample`, or ALL
    times: Histogram = field(default_factory=Histogram)  # of ALL outcomes those of answers, without LASTING ones
    service: Histogram = field(default_factory=Histogram)  # the same as `times`, counted from sending
    late: Histogram = field(default_factory=Histogram)  # lateness of the requests that the schedule paced
    kinds: Counter[Kind] = field(default_factory=Counter)  # requests, and unsent arrivals, by what came of them
    unanswered: int = 0  # requests without an answer, those of `times` had they been answered

    def add(self, window: Window) -> None:
        """Adds a window; one of another operation or outcome is left out."""
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
        """Requests sent, answered or not."""
        return self.kinds.total() - self.kinds["unsent"]

    @property
    def due(self) -> int:
        """Arrivals that the schedule paced, sent or not."""
        return self.late.count + self.kinds["unsent"]

    @property
    def error_share(self) -> float:
        """Errors among the requests sent."""
        return self.kinds["error"] / self.sent if self.sent else 0.0

    @property
    def unsent_share(self) -> float:
        """Arrivals that could not be sent among those that were due."""
        return self.kinds["unsent"] / self.due if self.due else 0.0


def totals(windows: Iterable[Window], operation: str = ALL, outcome: str = ALL) -> Totals:
    """The sum of all windows of an operation and outcome."""
    found = Totals(operation, outcome)
    for window in windows:
        found.add(window)
    return found


def name_of(share: float) -> str:
    """What people call the percentile at *share*, such as ``p99.9``."""
    return f"p{100 * share:.6g}"


@dataclass(frozen=True, slots=True)
class Percentile:
    """The duration that *share* of all samples do not exceed; infinity where it is one of those that never ended."""

    share: float  # from 0 to 1
    value_s: float
    sure: bool  # whether enough samples lie beyond it

    @property
    def name(self) -> str:
        """What people call it."""
        return name_of(self.share)

    @property
    def key(self) -> str:
        """What thresholds and programs call it, such as ``p999_s``."""
        return f"{self.name.replace('.', '')}_s"


@dataclass(frozen=True, slots=True)
class Times:
    """Durations of one kind, such as all response times of an operation."""

    count: int  # durations that are known; minimum, mean and maximum are of them
    min_s: float
    mean_s: float
    max_s: float
    cells: Histogram  # what they were taken from; read only
    never: int = 0  # requests without an answer: they count in percentiles as if they took for ever

    @classmethod
    def of(cls, cells: Histogram, never: int = 0) -> Self | None:
        """The durations of a histogram, or None where it is empty."""
        return cls(cells.count, cells.min_s, cells.mean_s, cells.max_s, cells, never) if cells.cells else None

    def at(self, share: float) -> Percentile:
        """The percentile at any share below 1."""
        # Rounded, so that 1,000 samples have ten beyond p99 in floating point as well.
        beyond = round((self.count + self.never) * (1 - share), 6)
        return Percentile(share, self.cells.quantile_s(share, self.never), beyond >= FEW)

    @property
    def percentiles(self) -> tuple[Percentile, ...]:
        """Those at SHARES, in their order."""
        return tuple(map(self.at, SHARES))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one operation that turned out alike, or all of them."""

    operation: str  # operationId, or ALL
    outcome: str  # see `touchstone.facts.sample.Sample`, or ALL
    count: int  # requests that were sent
    share: float  # of the requests of the operation; of all requests where `outcome` is ALL
    rate_per_s: float  # mean over the time that was measured
    response: Times | None  # from due to done; None in a closed model, where nothing is due, and without requests
    service: Times | None  # from sent to done
    late: Times | None  # from due to sent, of requests that the schedule set the moment for

    @property
    def times(self) -> Times | None:
        """The response times where there are any, else the service times."""
        return self.response or self.service

    @property
    def timed(self) -> int:
        """How many of the requests *times* are of, those without an answer among them."""
        return self.times.count + self.times.never if self.times else 0


@dataclass(frozen=True, slots=True)
class Operation:
    """All requests of one operation, or of all operations together."""

    whole: Traffic
    outcomes: tuple[Traffic, ...]  # by what came of them, in the order of their names; empty for all operations
    kinds: dict[Kind, int]  # how many requests got which kind of answer; ``unsent`` ones are in no other number here

    @property
    def name(self) -> str:
        """operationId, or ALL."""
        return self.whole.operation

    @property
    def error_share(self) -> float:
        """The share of requests without an answer, or with a 5xx or another status that nobody expects."""
        return self.kinds["error"] / self.whole.count if self.whole.count else 0.0

    @property
    def refused_share(self) -> float:
        """The share of requests that were answered with 429."""
        return self.kinds["refused"] / self.whole.count if self.whole.count else 0.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """The numbers of a load run."""

    total: Operation  # all operations together
    operations: tuple[Operation, ...]  # those with requests, in the order of their names
    measured_s: float  # what rates are means over, from the first arrival to what `until` says
    timed: bool  # whether there was a schedule, and thus a response time and a lateness
    until: str  # the last answer, or the end of the schedule

    @property
    def lasting(self) -> tuple[str, ...]:
        """Operations that are left out of the times of all together."""
        return tuple(one.name for one in self.operations if one.name in LASTING)


def metrics(log: RunLog) -> Metrics:
    """The numbers of the load run that *log* is about."""
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


def done_at(window: Window) -> float:
    """When the last sample of a window was done; where nobody wrote it down, it was within the second."""
    return window.done_at or window.at_s + 1.0


def _measured(windows: Iterable[Window], workload: Workload) -> tuple[float, str]:
    """From the first arrival to the last answer, or to the end of a schedule that is later and was sent whole."""
    sent = [window for window in windows if window.outcome != UNSENT]
    if not sent:
        return 0.0, "the last answer"
    began_at = max(float(min(window.at_s for window in sent)), workload.began_at)
    ends_at, last_at = workload.began_at + workload.duration_s, max(map(done_at, sent))
    scheduled = sum(workload.scheduled.values())
    if ends_at > last_at and 0 < scheduled <= sum(window.count for window in sent if window.paced):
        return ends_at - began_at, "the end of the schedule"
    return max(last_at - began_at, 0.001), "the last answer"


def of_schedule(windows: Iterable[Window], workload: Workload) -> list[Window]:
    """The windows of what was due while arrivals were scheduled."""
    begins_at, ends_at = workload.began_at, workload.began_at + workload.duration_s
    return [window for window in windows if int(begins_at) <= window.at_s < ends_at]


def throughput(windows: Iterable[Window], operation: str, workload: Workload, *, sooner_s: float = 0.0) -> float:
    """Requests of the schedule that were served, in a second, had each answer come *sooner_s* sooner.

    The highest rate of those up to the end of the schedule, which is longer than no time, and up to each later answer:
    late answers make no target look faster, nor a few of them one that keeps up slower. Followed logs count from when
    due.
    """
    length_s = workload.duration_s

    def after_s(window: Window) -> float:
        late_s = 0.0 if window.operation in LASTING else done_at(window) - workload.began_at
        return max(length_s, late_s - sooner_s if late_s > length_s * (1 + _AFTER_SHARE) else 0.0)

    done = sorted((after_s(window), totals([window], operation).kinds["served"]) for window in windows)
    served = accumulate(count for _, count in done)
    return max((count / by_s for (by_s, _), count in zip(done, served, strict=True)), default=0.0)


Growth = tuple[float | None, int, str]  # None if not known; samples; why it is not known, or what has grown most
_Timed = TypeVar("_Timed", Window, Worker)

_PARTS = 5
_FEWEST_READINGS = 3
_FEWEST_ANSWERS, _FEWEST_REQUESTS = 15, 20
_SHORT_S, _SMALL_BYTES = 0.01, 100.0  # what is less is noise: growth counts from here


def growth(statistic: str, log: RunLog, operation: str) -> Growth:
    """The growth from the first fifth of a run to its last as a share of the first, or of requests for errors."""
    assert log.workload is not None
    windows = [window for window in log.windows if operation in (ALL, window.operation)]
    if statistic == "latency_drift_share":
        timed = [window for window in windows if is_answer(window.outcome)]
        return _most_grown(timed, "{0.operation}".format, log.workload, _median_s, _SHORT_S, brief)
    if statistic == "bytes_drift_share":
        served = [window for window in windows if kind_of(window.outcome) == "served"]
        name, bytes_text = "{0.operation} {0.outcome}".format, lambda value: f"{figure(value, 4)} bytes"
        return _most_grown(served, name, log.workload, _mean_bytes, _SMALL_BYTES, bytes_text)
    if statistic == "error_drift_share":
        first, last = map(totals, _ends(windows, log.workload))
        if min(first.sent, last.sent) < _FEWEST_REQUESTS:
            return (None, first.sent + last.sent, _too_few("request", first.sent, last.sent))
        return (last.error_share - first.error_share, first.sent + last.sent, "")
    of_target = [worker for worker in log.workers if worker.number == TARGET]
    if not of_target:
        return (None, 0, "the memory of a server can be seen only where it is the embedded twin")
    early, late = _ends(of_target, log.workload)
    if min(len(early), len(late)) < _FEWEST_READINGS:
        return (None, len(of_target), _too_few("memory reading", len(early), len(late)))
    before, after = (median(worker.rss_bytes for worker in part) for part in (early, late))
    return (after / max(before, 1) - 1, len(early) + len(late), "")


def _median_s(windows: list[Window]) -> float:
    return Histogram.merged(window.service for window in windows).quantile_s(0.5)


def _mean_bytes(windows: list[Window]) -> float:
    return sum(window.body_bytes for window in windows) / sum(window.count for window in windows)


def _most_grown(
    windows: Iterable[Window],
    name_of: Callable[[Window], str],
    workload: Workload,
    measure: Callable[[list[Window]], float],
    least: float,
    written: Callable[[float], str],
) -> Growth:
    """The largest growth of a group of windows that are alike."""
    groups: dict[str, list[Window]] = {}
    for window in windows:
        groups.setdefault(name_of(window), []).append(window)
    found: list[Growth] = []
    counts = (0, 0)
    for name, group in groups.items():
        ends = _ends(group, workload)
        first, last = (sum(window.count for window in part) for part in ends)
        counts = max(counts, (first, last), key=min)
        if min(first, last) >= _FEWEST_ANSWERS:
            before, after = map(measure, ends)
            value = max(after, least) / max(before, least) - 1
            found.append((value, first + last, f"{name} most: {written(before)} first, {written(after)} last"))
    return max(found, key=lambda one: one[0] or 0.0, default=(None, sum(counts), _too_few("answer", *counts)))


def _ends(rows: Iterable[_Timed], workload: Workload) -> tuple[list[_Timed], list[_Timed]]:
    """The windows, or what a worker reported, of the first fifth of the run and of the last."""
    rows = list(rows)
    # Windows are named by the whole second in which they begin, so the edges are whole seconds, too.
    edges = [int(workload.began_at + workload.duration_s * n / _PARTS) for n in (0, 1, _PARTS - 1, _PARTS)]
    first, last = ([row for row in rows if begin <= row.at_s < end] for begin, end in (edges[:2], edges[2:]))
    return first, last


def _too_few(what: str, first: int, last: int) -> str:
    return f"too few to compare: {plural(first, what)} in the first fifth of the run, {last:,} in the last; run longer"


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """How one worker fared."""

    last: Worker  # what it reported last, or whoever missed it
    late: Times | None  # how late it sent what the schedule set the moment for
    cpu_share: float  # the highest that it reported; 1 is a whole core
    rss_bytes: int  # the highest that it reported


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How the generator kept to its schedule."""

    scheduled: int  # arrivals that the schedule holds
    sent: int  # those of them that were sent
    unsent: int  # those that came due and could not be sent
    late: Times | None  # from due to sent, over all workers; None in a closed model
    behind_from_s: float | None  # from when on a worker could not keep up, since the run started; None where each could
    behind_s: float  # how late one was at most
    workers: tuple[WorkerLine, ...]  # in the order of their numbers
    unwatched: int  # watchers that sent nothing, since the start of their build was not accepted
    over_budget: int  # those of the unsent arrivals that came due when the allowed requests were used up
    spent_at_s: float | None  # from when on nobody had a request left, since the run started; None if never
    allowed: int | None  # requests that --max-requests allows; None for any number
    undone: int  # clients that had still to go on when the run, or its requests, ended

    @property
    def is_spent(self) -> bool:
        """Whether the allowed requests were used up before all was sent that was wanted."""
        return self.spent_at_s is not None or self.over_budget > 0

    @property
    def missing(self) -> int:
        """Arrivals that were neither sent nor counted as unsent: the run ended, or a worker was lost, before them."""
        return max(0, self.scheduled - self.sent - self.unsent - self.unwatched)

    @property
    def lost(self) -> tuple[int, ...]:
        """Numbers of the workers that were lost."""
        return tuple(line.last.number for line in self.workers if line.last.state == "lost")

    @property
    def kept_up(self) -> bool:
        """Whether all that came due and was allowed was sent, and about when it was due."""
        is_cut = any(line.last.state == "running" for line in self.workers)
        return self.in_time and not self.lost and not (self.missing and is_cut)

    @property
    def in_time(self) -> bool:
        """Whether what workers reported was sent, and about when it was due."""
        late_s = self.late.at(0.99).value_s if self.late else 0.0
        return self.unsent == self.over_budget and self.behind_from_s is None and late_s <= BEHIND_S


def punctuality(log: RunLog) -> Punctuality:
    """How the generator of the load run that *log* is about kept to its schedule."""
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
        unwatched=sum(worker.unwatched for worker in last),
        over_budget=sum(worker.over_budget for worker in last),
        spent_at_s=max(spent, default=None) if len(spent) == len(last) else None,
        allowed=workload.options.get("max_requests"),
        undone=sum(worker.undone for worker in last),
    )


def last_reports(workers: Iterable[Worker]) -> list[Worker]:
    """What each worker reported last, or whoever missed it, in the order of their numbers."""
    ordered = sorted(workers, key=lambda worker: (worker.at_s, worker.state != "running"))
    last = {worker.number: worker for worker in ordered if worker.number != TARGET}
    return [last[number] for number in sorted(last)]
