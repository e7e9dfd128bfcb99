"""Whether the generator kept to its schedule: what it sent and did not send, and how late, worker by worker; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from touchstone.facts.events import RunLog, Worker, Workload
from touchstone.facts.sample import UNSENT, Histogram, Window
from touchstone.facts.wording import plural, was
from touchstone.loadgen.metrics import TARGET, Times

BEHIND_S = 0.1  # a generator that is later than this at p99 says so, whether a threshold minds it or not


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """How one worker fared.

    Attributes:
        last: What it told last, or whoever missed it.
        late: How late it sent what the schedule set the moment for.
        cpu_share: The highest that it told; 1 is a whole core.
        rss_bytes: The highest that it told.
    """

    last: Worker
    late: Times | None
    cpu_share: float
    rss_bytes: int

    @property
    def missing(self) -> int:
        """Arrivals of its share that nobody knows the fate of."""
        return max(0, self.last.assigned - self.last.sent - self.last.unsent - self.last.unwatched)


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How the generator kept to its schedule.

    Attributes:
        scheduled: Arrivals that the schedule holds.
        sent: Those of them that were sent.
        unsent: Those that came due and could not be sent.
        late: From due to sent, over all workers; None in a closed model.
        behind_from_s: From when on a worker could not keep up, since the run started; None where each could.
        behind_s: How late one was at most.
        workers: In the order of their numbers.
        unwatched: Watchers that sent nothing, since the start of their build was not accepted.
        allowed: Requests that --max-requests allows; None for any number.
        undone: Clients that had still to go on when the run, or its requests, ended.
    """

    scheduled: int
    sent: int
    unsent: int
    late: Times | None
    behind_from_s: float | None
    behind_s: float
    workers: tuple[WorkerLine, ...]
    unwatched: int = 0
    allowed: int | None = None
    undone: int = 0

    @property
    def over_budget(self) -> int:
        """Those of the unsent arrivals that came due when the allowed requests were used up."""
        return sum(line.last.over_budget for line in self.workers)

    @property
    def is_spent(self) -> bool:
        """Whether the allowed requests were used up before all was sent that was wanted."""
        return self.spent_at_s is not None or self.over_budget > 0

    @property
    def spent_at_s(self) -> float | None:
        """From when on nobody had a request left, since the run started; None where somebody always had one."""
        spent = [line.last.spent_at_s for line in self.workers]
        return max((at for at in spent if at is not None), default=None) if None not in spent else None

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
        return self.in_time and not self.lost and not (self.missing and self.is_cut)

    @property
    def is_cut(self) -> bool:
        """Whether a worker has not told how it ended, and nobody has missed it: all of the run ended at once."""
        return any(line.last.state == "running" for line in self.workers)

    @property
    def in_time(self) -> bool:
        """Whether what workers told of was sent, and about when it was due."""
        late_s = self.late.at(0.99).value_s if self.late else 0.0
        return self.unsent == self.over_budget and self.behind_from_s is None and late_s <= BEHIND_S


def punctuality(log: RunLog) -> Punctuality:
    """How the generator of the load run that *log* is about kept to its schedule."""
    workload = log.workload
    assert workload is not None
    paced = [window for window in log.windows if window.paced]
    lines = tuple(_line(number, log.workers, paced, workload) for number in _numbers(log.workers))
    behind = [line.last.behind_from_s for line in lines if line.last.behind_from_s is not None]
    return Punctuality(
        scheduled=sum(workload.scheduled.values()),
        sent=sum(window.count for window in paced if window.outcome != UNSENT),
        unsent=sum(window.count for window in log.windows if window.outcome == UNSENT),
        late=_late(paced, workload),
        behind_from_s=min(behind, default=None),
        behind_s=max((line.last.behind_s for line in lines), default=0.0),
        workers=lines,
        unwatched=sum(line.last.unwatched for line in lines),
        allowed=workload.options.get("max_requests"),
        undone=sum(line.last.undone for line in lines),
    )


def fate_text(assigned: int, sent: int, unsent: int) -> str:
    """What became of the arrivals of a worker that was lost, as far as anybody knows."""
    of_them = f"of its {plural(assigned, 'arrival')}"
    left = max(0, assigned - sent - unsent)
    if left:
        return f"{of_them} at least {sent:,} {was(sent)} sent, and up to {left:,} {was(left)} not"
    if unsent:
        return f"{of_them} {sent:,} {was(sent)} sent and {unsent:,} {was(unsent)} not; what followed them, nobody knows"
    return f"{of_them} all were sent; what followed them, nobody knows"


def last_reports(workers: Iterable[Worker]) -> list[Worker]:
    """What each worker told last, or whoever missed it, in the order of their numbers."""
    workers = list(workers)
    return [_last(worker for worker in workers if worker.number == number) for number in _numbers(workers)]


def _last(told: Iterable[Worker]) -> Worker:
    return max(told, key=lambda worker: (worker.at_s, worker.state != "running"))


def _numbers(workers: Iterable[Worker]) -> list[int]:
    return sorted({worker.number for worker in workers} - {TARGET})


def _line(number: int, workers: Iterable[Worker], paced: Iterable[Window], workload: Workload) -> WorkerLine:
    told = [worker for worker in workers if worker.number == number]
    return WorkerLine(
        last=_last(told),
        late=_late((window for window in paced if window.worker == number), workload),
        cpu_share=max(worker.cpu_share for worker in told),
        rss_bytes=max(worker.rss_bytes for worker in told),
    )


def _late(windows: Iterable[Window], workload: Workload) -> Times | None:
    if workload.model == "closed":
        return None
    return Times.of(Histogram.merged(window.late for window in windows))
