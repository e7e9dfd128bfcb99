"""From windows of samples to numbers: how often, how fast and how long, by operation and outcome; pure.

Counts are of all requests. Times of several outcomes together are those of answers that the contract foresees: a
refusal (429) is short and shows nothing about what was asked for, and a quick 500 must not make a percentile better.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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

# All operations together.
ALL = "*"
# How long a log is followed is how long its build takes: such times are reported alone, not among all operations.
LASTING = frozenset({"streamBuildEvents"})
# An arrival that is sent later than this is late.
LATE_S = 0.05
# The number of the entry that holds the memory of the embedded target, beside those of the workers.
TARGET = -1

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
FEW = 10  # a percentile with fewer samples beyond it may be a few places off

# What comes so much of the schedule after its end is as if it had come in time: the last requests are due just before.
_AFTER_SHARE = 0.01


def kind_of(outcome: str) -> Kind:
    """The kind of an outcome: a status as text, or one of the words of `touchstone.facts.sample` for what is none."""
    return _KIND_OF.get(outcome) or ("served" if outcome.startswith("2") else "error")


def is_answer(outcome: str) -> bool:
    """Whether an outcome is an answer that the contract foresees, and no refusal: its time counts."""
    return kind_of(outcome) in ("served", "declined")


def is_timed(window: Window) -> bool:
    """Whether its samples show how long an answer takes."""
    return is_answer(window.outcome)


@dataclass(slots=True)
class Totals:
    """The sum of the windows of one operation, or of all of them.

    Attributes:
        operation: operationId, or ALL.
        times: Response times; of ALL, those of LASTING operations are left out.
        late: Lateness of the requests that the schedule paced.
        service: The same as *times*, counted from sending.
        kinds: Requests, and unsent arrivals, by what came of them.
        unanswered: Requests without an answer, those of *times* had they been answered.
        apart: Requests of LASTING operations that are in *kinds* and in nothing about times.
    """

    operation: str
    times: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    kinds: Counter[Kind] = field(default_factory=Counter)
    unanswered: int = 0
    apart: int = 0

    def add(self, window: Window) -> None:
        """Adds a window; one of another operation is left out."""
        if self.operation not in (ALL, window.operation):
            return
        self.kinds[kind_of(window.outcome)] += window.count
        if window.paced:
            self.late.merge(window.late)
        if self.operation == ALL and window.operation in LASTING:
            self.apart += window.count
            return
        self.unanswered += window.count if window.outcome == NO_ANSWER else 0
        if is_timed(window):
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


def totals(windows: Iterable[Window], operation: str = ALL) -> Totals:
    """The sum of all windows of an operation."""
    found = Totals(operation)
    for window in windows:
        found.add(window)
    return found


def name_of(share: float) -> str:
    """What people call the percentile at *share*, such as ``p99.9``."""
    return f"p{100 * share:.6g}"


@dataclass(frozen=True, slots=True)
class Percentile:
    """The duration that *share* of all samples do not exceed; infinity where it is one of those that never ended.

    Attributes:
        share: From 0 to 1.
        beyond: Samples that are expected beyond it.
    """

    share: float
    value_s: float
    beyond: float

    @property
    def sure(self) -> bool:
        """Whether enough samples lie beyond it."""
        return self.beyond >= FEW

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
    """Durations of one kind, such as all response times of an operation.

    Attributes:
        count: Durations that are known; minimum, mean and maximum are of them.
        percentiles: At SHARES, in their order.
        cells: What they were taken from; read only.
        never: Requests without an answer: they count in percentiles as if they took for ever.
    """

    count: int
    min_s: float
    mean_s: float
    max_s: float
    percentiles: tuple[Percentile, ...]
    cells: Histogram
    never: int = 0

    def at(self, share: float) -> Percentile:
        """The percentile at any share below 1."""
        return _percentile(self.cells, share, self.never)

    @classmethod
    def of(cls, cells: Histogram, never: int = 0) -> Self | None:
        """The durations of a histogram, or None where it is empty."""
        if not cells.cells:
            return None
        percentiles = tuple(_percentile(cells, share, never) for share in SHARES)
        return cls(cells.count, cells.min_s, cells.mean_s, cells.max_s, percentiles, cells, never)


def _percentile(cells: Histogram, share: float, never: int) -> Percentile:
    # Rounded, so that 1,000 samples have ten beyond p99 in floating point as well.
    return Percentile(share, cells.quantile_s(share, never), round((cells.count + never) * (1 - share), 6))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one operation that turned out alike, or all of them.

    Attributes:
        operation: operationId, or ALL.
        outcome: See `touchstone.facts.sample.Sample`, or ALL.
        count: Requests that were sent.
        share: Of the requests of the operation; of all requests where *outcome* is ALL.
        rate_per_s: Mean over the time that was measured.
        response: From due to done; None in a closed model, where nothing is due, and without requests.
        service: From sent to done.
        late: From due to sent, of requests that the schedule set the moment for.
    """

    operation: str
    outcome: str
    count: int
    share: float
    rate_per_s: float
    response: Times | None
    service: Times | None
    late: Times | None

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
    """All requests of one operation, or of all operations together.

    Attributes:
        outcomes: By what came of them, in the order of their names; empty for all operations together.
        kinds: How many requests got which kind of answer; ``unsent`` ones are in no other number here.
    """

    whole: Traffic
    outcomes: tuple[Traffic, ...]
    kinds: dict[Kind, int]

    @property
    def name(self) -> str:
        """operationId, or ALL."""
        return self.whole.operation

    @property
    def unsent(self) -> int:
        """Arrivals that came due and could not be sent."""
        return self.kinds["unsent"]

    @property
    def error_share(self) -> float:
        """The share of requests without an answer, or with a 5xx or another status that nobody expects."""
        return self.kinds["error"] / self.whole.count if self.whole.count else 0.0

    @property
    def refused_share(self) -> float:
        """The share of requests that were answered with 429."""
        return self.kinds["refused"] / self.whole.count if self.whole.count else 0.0


@dataclass(frozen=True, slots=True)
class Second:
    """What was to be sent within one second.

    Attributes:
        at_s: From here to one later, since the run started.
        counts: By operation and outcome, UNSENT included.
        due: By operation, those whose moment the schedule had set, UNSENT included.
    """

    at_s: int
    counts: dict[tuple[str, str], int]
    due: dict[str, int]


@dataclass(frozen=True, slots=True)
class Metrics:
    """The numbers of a load run.

    Attributes:
        total: All operations together.
        operations: Those with requests, in the order of their names.
        seconds: In order of time; seconds without requests are left out.
        measured_s: What rates are means over: from the first arrival to the last answer, or to the end of the schedule.
        until: Which of the two, in words.
        timed: Whether there was a schedule, and thus a response time and a lateness.
    """

    total: Operation
    operations: tuple[Operation, ...]
    seconds: tuple[Second, ...]
    measured_s: float
    timed: bool
    until: str = "the last answer"

    @property
    def lasting(self) -> tuple[str, ...]:
        """Operations that are left out of the times of all together."""
        return tuple(one.name for one in self.operations if one.name in LASTING)


def metrics(log: RunLog) -> Metrics:
    """The numbers of the load run that *log* is about."""
    assert log.workload is not None
    measured_s, until = _measured(log.windows, log.workload)
    timed = log.workload.model == "open"
    whole = totals(log.windows)
    names = sorted({window.operation for window in log.windows})
    operations = tuple(_operation(name, log.windows, whole.sent, measured_s, timed=timed) for name in names)
    total = Operation(_whole(whole, whole.sent, measured_s, timed=timed), (), _kinds(whole))
    return Metrics(total, operations, _seconds(log.windows), measured_s, timed, until)


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


def _whole(own: Totals, of: int, measured_s: float, *, timed: bool) -> Traffic:
    return Traffic(
        own.operation,
        ALL,
        count=own.sent,
        share=own.sent / of if of else 0.0,
        rate_per_s=own.sent / measured_s if measured_s else 0.0,
        response=Times.of(own.times, own.unanswered) if timed else None,
        service=Times.of(own.service, own.unanswered),
        late=Times.of(own.late) if timed else None,
    )


def _operation(name: str, windows: Iterable[Window], sent: int, measured_s: float, *, timed: bool) -> Operation:
    by_outcome: dict[str, list[Window]] = {}
    for window in windows:
        if window.operation == name:
            by_outcome.setdefault(window.outcome, []).append(window)
    own = totals((window for group in by_outcome.values() for window in group), name)
    outcomes = tuple(
        _outcome(by_outcome[outcome], own.sent, measured_s, timed=timed)
        for outcome in sorted(by_outcome)
        if outcome != UNSENT
    )
    return Operation(_whole(own, sent, measured_s, timed=timed), outcomes, _kinds(own))


def _outcome(windows: Sequence[Window], of: int, measured_s: float, *, timed: bool) -> Traffic:
    count = sum(window.count for window in windows)
    return Traffic(
        windows[0].operation,
        windows[0].outcome,
        count=count,
        share=count / of if of else 0.0,
        rate_per_s=count / measured_s if measured_s else 0.0,
        response=Times.of(Histogram.merged(window.response for window in windows)) if timed else None,
        service=Times.of(Histogram.merged(window.service for window in windows)),
        late=Times.of(Histogram.merged(window.late for window in windows if window.paced)) if timed else None,
    )


def _kinds(own: Totals) -> dict[Kind, int]:
    return {kind: own.kinds[kind] for kind in KINDS}


def _seconds(windows: Iterable[Window]) -> tuple[Second, ...]:
    seconds: dict[int, Second] = {}
    for window in windows:
        second = seconds.setdefault(window.at_s, Second(window.at_s, {}, {}))
        key = (window.operation, window.outcome)
        second.counts[key] = second.counts.get(key, 0) + window.count
        if window.paced or window.outcome == UNSENT:
            second.due[window.operation] = second.due.get(window.operation, 0) + window.count
    return tuple(seconds[at_s] for at_s in sorted(seconds))


def of_schedule(windows: Iterable[Window], workload: Workload) -> list[Window]:
    """The windows of what was due while arrivals were scheduled."""
    begins_at, ends_at = workload.began_at, workload.began_at + workload.duration_s
    return [window for window in windows if int(begins_at) <= window.at_s < ends_at]


def throughput(windows: Iterable[Window], operation: str, workload: Workload, *, sooner_s: float = 0.0) -> float:
    """Requests of the schedule that were served, in a second.

    Answers after the end of the schedule must make no target look faster than it is, nor a few of them one that keeps
    up slower. So the rate is the highest of those up to the end of the schedule, and up to each later moment: what was
    answered by then, over the time until then. A window counts from when its last answer had come. How long a log is
    followed is how long its build takes: it counts from when it was due.

    Args:
        windows: Those of the schedule, which is longer than no time at all.
        sooner_s: How much sooner each answer might have come.
    """
    length_s = workload.duration_s

    def after_s(window: Window) -> float:
        late_s = 0.0 if window.operation in LASTING else done_at(window) - workload.began_at
        return max(length_s, late_s - sooner_s if late_s > length_s * (1 + _AFTER_SHARE) else 0.0)

    done = sorted((after_s(window), totals([window], operation).kinds["served"]) for window in windows)
    served = accumulate(count for _, count in done)
    return max((count / by_s for (by_s, _), count in zip(done, served, strict=True)), default=0.0)


@dataclass(frozen=True, slots=True)
class Growth:
    """A growth from the first fifth of a run to its last, as a share of the first; of errors, as a share of requests.

    Attributes:
        value: Below zero where it became less; None where it is not known.
        count: Samples that it rests on.
        reason: Why it is not known, or what has grown most.
    """

    value: float | None
    count: int
    reason: str


_Timed = TypeVar("_Timed", Window, Worker)

_PARTS = 5
_FEWEST_READINGS = 3
_FEWEST_ANSWERS, _FEWEST_REQUESTS = 15, 20
# What lies below these is not to be distinguished from noise: a growth of it counts as one from here.
_SHORT_S = 0.01
_SMALL_BYTES = 100.0


def growth_of_latency(windows: Iterable[Window], operation: str, workload: Workload) -> Growth:
    """The growth of the median time of an answer, counted from the moment at which its request was sent."""

    def median_s(part: list[Window]) -> float:
        return Histogram.merged(window.service for window in part).quantile_s(0.5)

    timed = [window for window in windows if operation in (ALL, window.operation) and is_timed(window)]
    return _most_grown(timed, lambda window: window.operation, workload, median_s, _SHORT_S, brief)


def growth_of_bytes(windows: Iterable[Window], operation: str, workload: Workload) -> Growth:
    """The growth of the mean length of an answer's body in bytes."""

    def mean_bytes(part: list[Window]) -> float:
        return sum(window.body_bytes for window in part) / max(sum(window.count for window in part), 1)

    served = [w for w in windows if operation in (ALL, w.operation) and kind_of(w.outcome) == "served"]
    name = "{0.operation} {0.outcome}".format
    return _most_grown(served, name, workload, mean_bytes, _SMALL_BYTES, lambda value: f"{figure(value, 4)} bytes")


def growth_of_errors(windows: Iterable[Window], operation: str, workload: Workload) -> Growth:
    """By how much the share of errors is larger at the end than it was at the beginning."""
    first, last = (totals(part, operation) for part in _ends(windows, workload))
    count = first.sent + last.sent
    if min(first.sent, last.sent) < _FEWEST_REQUESTS:
        return Growth(None, count, _too_few("request", first.sent, last.sent))
    return Growth(last.error_share - first.error_share, count, "")


def growth_of_memory(workers: Iterable[Worker], workload: Workload) -> Growth:
    """The growth of the memory of the embedded target, which reports it as a worker with the number TARGET."""
    of_target = [worker for worker in workers if worker.number == TARGET]
    first, last = _ends(of_target, workload)
    if min(len(first), len(last)) < _FEWEST_READINGS:
        return Growth(None, len(of_target), _too_few("memory reading", len(first), len(last)))
    before, after = (median(worker.rss_bytes for worker in part) for part in (first, last))
    return Growth(after / max(before, 1) - 1, len(first) + len(last), "")


def _most_grown(
    windows: Iterable[Window],
    name_of: Callable[[Window], str],
    workload: Workload,
    measure: Callable[[list[Window]], float],
    least: float,
    written: Callable[[float], str],
) -> Growth:
    """The largest growth of a group; operations are never mixed, since another mix of requests is no growth."""
    groups: dict[str, list[Window]] = {}
    for window in windows:
        groups.setdefault(name_of(window), []).append(window)
    found: list[Growth] = []
    counts = (0, 0)
    for name, group in groups.items():
        ends = _ends(group, workload)
        first, last = (sum(window.count for window in part) for part in ends)
        counts = max(counts, (first, last), key=min)
        if min(first, last) < _FEWEST_ANSWERS:
            continue
        before, after = map(measure, ends)
        value = max(after, least) / max(before, least) - 1
        found.append(Growth(value, first + last, f"{name} most: {written(before)} first, {written(after)} last"))
    return max(found, key=lambda one: one.value or 0.0, default=Growth(None, sum(counts), _too_few("answer", *counts)))


def _ends(rows: Iterable[_Timed], workload: Workload) -> tuple[list[_Timed], list[_Timed]]:
    """The windows, or what a worker reported, of the first fifth of the run and of the last."""
    rows = list(rows)
    # Windows are named by the whole second in which they begin, so the edges are whole seconds, too.
    edges = [int(workload.began_at + workload.duration_s * n / _PARTS) for n in (0, 1, _PARTS - 1, _PARTS)]
    first, last = ([row for row in rows if begin <= row.at_s < end] for begin, end in (edges[:2], edges[2:]))
    return first, last


def _too_few(what: str, first: int, last: int) -> str:
    return f"too few to compare: {plural(first, what)} in the first fifth of the run, {last:,} in the last; run longer"
