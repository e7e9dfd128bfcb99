"""From windows of samples to numbers: how often, how fast and how long, by operation and outcome; pure.

Of several outcomes together, counts are of all requests and times are of those that thresholds judge: see
`touchstone.totals`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from touchstone.facts.events import RunLog, Workload
from touchstone.facts.sample import NO_ANSWER, UNSENT, Histogram, Window
from touchstone.loadgen.outcomes import KINDS, Kind, kind_of
from touchstone.loadgen.totals import ALL, LASTING, is_answer

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
FEW = 10  # a percentile with fewer samples beyond it may be a few places off


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
        return next((p for p in self.percentiles if p.share == share), None) or _percentile(
            self.cells, share, self.never
        )

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
        outcome: See `touchstone.sample.Sample`, or ALL.
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


@dataclass(slots=True)
class _Sum:
    count: int = 0
    never: int = 0
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)

    def add(self, other: "Window | _Sum", *, timed: bool = True, paced: bool = True) -> None:
        self.count += other.count
        if timed:
            self.response.merge(other.response)
            self.service.merge(other.service)
        if paced:
            self.late.merge(other.late)


_Sums = dict[tuple[str, str], _Sum]  # by operation and outcome


def metrics(log: RunLog) -> Metrics:
    """The numbers of the load run that *log* is about."""
    assert log.workload is not None
    sums: _Sums = {}
    for window in log.windows:
        sums.setdefault((window.operation, window.outcome), _Sum()).add(window, paced=window.paced)
    measured_s, until = _measured(log.windows, log.workload)
    timed = log.workload.model == "open"
    sent = sum(one.count for (_, outcome), one in sums.items() if outcome != UNSENT)
    names = sorted({operation for operation, _ in sums})
    operations = tuple(_operation(name, sums, sent, measured_s, timed=timed) for name in names)
    whole = _total(sums, sent, measured_s, timed=timed)
    return Metrics(whole, operations, _seconds(log.windows), measured_s, timed, until)


def _measured(windows: Iterable[Window], workload: Workload) -> tuple[float, str]:
    """
    From the first arrival to the last answer; to the end of the schedule where that is later and all of it was sent.
    """
    sent = [window for window in windows if window.outcome != UNSENT]
    if not sent:
        return 0.0, "the last answer"
    began_at = max(float(min(window.at_s for window in sent)), workload.began_at)
    ends_at, last_at = workload.began_at + workload.duration_s, max(map(_done_at, sent))
    scheduled = sum(workload.scheduled.values())
    if ends_at > last_at and 0 < scheduled <= sum(window.count for window in sent if window.paced):
        return ends_at - began_at, "the end of the schedule"
    return max(last_at - began_at, 0.001), "the last answer"


def _done_at(window: Window) -> float:
    # Where nobody wrote it down, it was within the second.
    return window.done_at or window.at_s + 1.0


def _traffic(key: tuple[str, str], one: _Sum, of: int, measured_s: float, *, timed: bool) -> Traffic:
    return Traffic(
        *key,
        count=one.count,
        share=one.count / of if of else 0.0,
        rate_per_s=one.count / measured_s if measured_s else 0.0,
        response=Times.of(one.response, one.never) if timed else None,
        service=Times.of(one.service, one.never),
        late=Times.of(one.late) if timed else None,
    )


def _operation(name: str, sums: _Sums, sent: int, measured_s: float, *, timed: bool) -> Operation:
    own = {key: one for key, one in sums.items() if key[0] == name}
    whole = _added(own, frozenset())
    outcomes = tuple(
        _traffic((name, outcome), own[name, outcome], whole.count, measured_s, timed=timed)
        for _, outcome in sorted(own)
        if outcome != UNSENT
    )
    return Operation(_traffic((name, ALL), whole, sent, measured_s, timed=timed), outcomes, _kinds(own))


def _total(sums: _Sums, sent: int, measured_s: float, *, timed: bool) -> Operation:
    whole = _added(sums, LASTING)
    return Operation(_traffic((ALL, ALL), whole, sent, measured_s, timed=timed), (), _kinds(sums))


def _added(parts: _Sums, untimed: frozenset[str]) -> _Sum:
    whole = _Sum()
    for (operation, outcome), part in parts.items():
        if outcome != UNSENT:
            whole.add(part, timed=is_answer(outcome) and operation not in untimed)
            whole.never += part.count if outcome == NO_ANSWER and operation not in untimed else 0
    return whole


def _kinds(sums: _Sums) -> dict[Kind, int]:
    kinds = dict.fromkeys(KINDS, 0)
    for (_, outcome), one in sums.items():
        kinds[kind_of(outcome)] += one.count
    return kinds


def _seconds(windows: Iterable[Window]) -> tuple[Second, ...]:
    seconds: dict[int, Second] = {}
    for window in windows:
        second = seconds.setdefault(window.at_s, Second(window.at_s, {}, {}))
        key = (window.operation, window.outcome)
        second.counts[key] = second.counts.get(key, 0) + window.count
        if window.paced or window.outcome == UNSENT:
            second.due[window.operation] = second.due.get(window.operation, 0) + window.count
    return tuple(seconds[at_s] for at_s in sorted(seconds))
