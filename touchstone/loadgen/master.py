"""The master's side of a load run: deals the schedule, lets its workers begin together, writes down what they report.

A worker sends ``join`` with what it was started for and knows of the master's clock, and its ``state``: ready, running,
drained (its arrivals are over), final (it has reported all), or unfit, with a reason; with it come events of the run
log, or ``started``: a build, and whether its start was accepted.

It is sent its ``part`` of the run, or why it is ``refused``; ``now``, the master's clock, after which it joins again;
``began_at``, the run second at which the schedule begins; ``started`` of another worker; ``after``, that all arrivals
are over, and whether it does what comes then; and ``stop``.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gevent

from touchstone import __version__
from touchstone.facts.events import Case, Limit, Remark, Worker
from touchstone.facts.runlog import RunLogWriter, decode
from touchstone.facts.sample import UNSENT, Window
from touchstone.loadgen.handover import PART, LoadHandover, deal
from touchstone.loadgen.metrics import ALL, LATE_S, Totals
from touchstone.loadgen.not_judged import ABORTED, SECONDS
from touchstone.loadgen.plan import plan
from touchstone.loadgen.thresholds import LATE_TOLERATED_SHARE, STATISTICS, time_of

# From when all are ready to the first arrival at least: everybody is to know before it is due.
LEAD_S = 0.5
# A limit is not judged until windows so much later than the first one have come: a target may warm up.
ABORT_AFTER_S = 5.0
# Nor with fewer samples, nor a share whose probability is above exp(-_CERTAINTY), one in a million.
_FEWEST = 20
_CERTAINTY = 14.0
WATCH_S = 0.25
# Whoever is stopped reports all within this, or is lost.
STOP_S = 8.0


@dataclass
class _Member:
    """One worker, as its master knows it; its number is counted from 0.

    Attributes:
        state: ``lost`` where it is gone, or ended before its part did; ``after`` while it does what comes after all
            arrivals, or knows that another one does.
        known: How it fares, as far as it has reported.
    """

    client: str
    number: int
    known: Worker
    state: Literal["planned", "ready", "running", "drained", "after", "final", "lost"] = "planned"

    @property
    def is_under_way(self) -> bool:
        return self.state in ("running", "drained", "after")

    def note(self, fact: object) -> None:
        known = self.known
        if isinstance(fact, Worker):
            self.known = replace(fact, sent=known.sent, unsent=known.unsent)
        elif isinstance(fact, Window) and fact.outcome == UNSENT:
            self.known = replace(known, unsent=known.unsent + fact.count)
        elif isinstance(fact, Window) and fact.paced:
            self.known = replace(known, sent=known.sent + fact.count)

    def lose(self, why: str, at_s: float) -> Worker:
        """Does without it; how it fared, as far as anybody knows."""
        self.state = "lost"
        reported = f"{self.known.sent:,} sent and {self.known.unsent:,} not sent"
        note = f"{why}; of its {self.known.assigned:,} arrivals it had reported {reported}"
        self.known = replace(self.known, state="lost", at_s=round(at_s, 3), cpu_share=0.0, rss_bytes=0, note=note)
        return self.known


class Master:
    """The master of one run, whose log this process writes.

    Args:
        send: Sends a message to one worker.
        present: The workers that are still there.
        end: Ends the run; called once.
        waits: Whether a worker that is gone before the run begins may be followed by another one.
    """

    def __init__(
        self,
        handover: LoadHandover,
        send: Callable[[str, dict[str, Any]], None],
        present: Callable[[], Iterable[str]],
        end: Callable[[], None],
        *,
        waits: bool = False,
    ) -> None:
        self._go = replace(handover.go(), workers=handover.workers)
        self._settings = handover.settings
        self._plan = plan(self._go.options)
        self._send = send
        self._present = present
        self._end = end
        self._waits = waits
        self.log = RunLogWriter(Path(handover.run_log), drops=True)
        self._workers: dict[str, _Member] = {}
        self._begun = self._stopping = self._ended = False
        self._limits = handover.limits
        self._watchdog = Watchdog(self._limits if handover.aborts else ())
        gevent.spawn(self._watch)

    def receive(self, client: str, data: dict[str, Any]) -> None:
        """Takes a message of a worker."""
        worker = self._workers.get(client)
        if worker is None and "join" in data:
            self._join(client, data)
        elif worker is not None and "state" in data and not self._ended:
            self._report(worker, data)

    def stop(self, why: str = "") -> None:
        """Has nothing more sent, and ends the run when all workers have reported; *why* goes into the report."""
        if self._stopping:
            return
        self._stopping = True
        if why:
            self.log.write(Remark(why))
        under_way = [worker for worker in self._workers.values() if worker.is_under_way]
        if not under_way:
            self._finish()
            return
        gevent.spawn_later(STOP_S, self._finish)
        for worker in under_way:
            self._send(worker.client, {"stop": True})

    def _now(self) -> float:
        return time.monotonic() - self._go.origin

    def _join(self, client: str, data: dict[str, Any]) -> None:
        own, workers = {"version": __version__, "scenario": self._go.options.scenario.name}, self._go.workers
        its = data["join"]
        unfit = f"it has {its}, and its master {own}; start the same scenario of the same touchstone"
        unfit = unfit if its != own else ""
        free = sorted(set(range(workers)) - {worker.number for worker in self._workers.values()})
        if unfit and not self._begun:
            self._fail(f"a worker cannot take part: {unfit}", "worker")
        if unfit or self._begun or not free:
            self._send(client, {"refused": unfit or f"it came too late: the run has its {workers} workers"})
        elif not data["is_near"] and not data["clock"]:
            self._send(client, {"now": self._now(), "sent_at": data["sent_at"]})
        else:
            self._deal(client, free[0], data["clock"])

    def _deal(self, client: str, number: int, clock: tuple[float, float] | None) -> None:
        """Gives a worker its part, but not the moment at which it begins: it may take its time to get ready.

        *clock* is how wrong its clock is, doubled, and its value at run second 0; None for the master's clock.
        """
        trip_s, origin = clock or (0.0, self._go.origin)
        part = deal(self._go, self._plan, number)
        part = replace(part, origin=origin, clock_error_s=round(trip_s / 2, 6))
        known = Worker(number, "running", 0.0, 0, 0, len(part.assigned))
        known = replace(known, clock_offset_s=part.clock_offset_s, clock_error_s=part.clock_error_s)
        self._workers[client] = _Member(client, number, known)
        self._send(client, {"part": PART.dump_python(part)})

    def _begin_if_all(self) -> None:
        workers = list(self._workers.values())
        all_ready = len(workers) == self._go.workers and all(worker.state == "ready" for worker in workers)
        if self._begun or self._stopping or not all_ready:
            return
        self._begun = True
        began_at = float(math.ceil(self._now() + LEAD_S))
        self.log.write(self._plan.workload(began_at, len(workers), self._limits))
        for worker in workers:
            worker.state = "running"
            self._send(worker.client, {"began_at": began_at})

    def _fail(self, text: str, who: str) -> None:
        """Ends a run that cannot be what it was to be. That must not look like a pass."""
        self.log.write(Case(f"load.{self._go.options.scenario.name}.{who}", "", "error", 0.0, (), text))
        self.stop()

    def _report(self, worker: _Member, data: dict[str, Any]) -> None:
        state = data["state"]
        if state == "unfit":
            self._fail(f"worker {worker.number} cannot take part: {data['reason']}", f"worker-{worker.number}")
            return
        if state == "ready":
            worker.state = "ready"
            self._begin_if_all()
            return
        if worker.state == "lost":
            worker.state = "running"  # it was slow, and nothing is lost
        for event in data.get("events", ()):
            self._take(worker, event)
        if "started" in data:
            for other in self._workers.values():
                if other is not worker and other.is_under_way:
                    self._send(other.client, {"started": data["started"]})
        if state == "final" and worker.state == "running" and not self._stopping:
            self.log.write(worker.lose("it ended before its part of the schedule did", self._now()))
        elif state != "running":
            worker.state = state
        self._move_on()

    def _take(self, worker: _Member, event: dict[str, Any]) -> None:
        self.log.write(event)
        fact = decode(event)
        worker.note(fact)
        if isinstance(fact, Window):
            self._watchdog.add(fact)

    def _move_on(self) -> None:
        """When all have sent their arrivals one does what comes after; when that is done as well, the run is over."""
        alive = [worker for worker in self._workers.values() if worker.state != "lost"]
        if not self._begun or any(worker.state == "running" for worker in alive):
            return
        for nth, worker in enumerate(alive):
            if worker.state == "drained":
                worker.state = "after"
                self._send(worker.client, {"after": nth == 0 and not self._stopping})
        if all(worker.state == "final" for worker in alive):
            self._finish()

    def _watch(self) -> None:
        while not self._ended:
            gevent.sleep(WATCH_S)
            present = set(self._present())
            for worker in [worker for worker in self._workers.values() if worker.client not in present]:
                self._miss(worker)
            if self.log.lost:
                self.stop()
            if broken := self._watchdog.broken():
                self.stop(f"{ABORTED}: {broken.operation} {broken.statistic} is beyond {broken.value:g}")
            most_s = self._settings.max_seconds
            if most_s is not None and self._now() >= most_s and not self._stopping:
                self._fail(f"stopped by --max-seconds {most_s:g}: what was not over by then was cut off", SECONDS)

    def _miss(self, worker: _Member) -> None:
        if worker.is_under_way:
            self.log.write(worker.lose("nothing was heard from it any more", self._now()))
            self._move_on()
        elif not self._begun:
            del self._workers[worker.client]
            if not self._waits:
                self._fail(f"worker {worker.number} ended before the run began", f"worker-{worker.number}")

    def _finish(self) -> None:
        """Ends the run; whoever has not reported all by now is lost with it."""
        if self._ended:
            return
        self._ended = self._stopping = True
        for worker in self._workers.values():
            if worker.is_under_way:
                self.log.write(worker.lose("it did not stop when it was told to", self._now()))
            if worker.state == "lost":
                self._fail(f"worker {worker.number} was lost: {worker.known.note}", f"worker-{worker.number}")
        gevent.spawn(self._end)


class Watchdog:
    """Says during a load that a limit is broken, so that the run may be stopped.

    A share of requests counts where it is above its limit by more than chance; what needs the whole run is not judged.
    """

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = [limit for limit in limits if STATISTICS[limit.statistic].sort in ("time", "share")]
        self._totals = {operation: Totals(operation) for operation in {ALL, *(each.operation for each in self._limits)}}
        self._seconds: set[int] = set()

    def add(self, window: Window) -> None:
        """Counts a window; several about the same second add up."""
        for totals in self._totals.values():
            totals.add(window)
        self._seconds.add(window.at_s)

    def broken(self) -> Limit | None:
        """A limit that is broken by now."""
        if not self._seconds or max(self._seconds) - min(self._seconds) < ABORT_AFTER_S:
            return None
        return next((limit for limit in self._limits if self._is_broken(limit)), None)

    def _is_broken(self, limit: Limit) -> bool:
        statistic, own = STATISTICS[limit.statistic], self._totals[limit.operation]
        if statistic.sort == "share":
            count, share = {
                "error_share": (own.sent, own.error_share),
                "late_share": (own.late.count, own.late.share_above(LATE_S)),
                "unsent_share": (own.due, own.unsent_share),
            }[statistic.name]
            return count >= _FEWEST and _is_above(share, limit.value, count)
        late = own.late if own.late.cells else self._totals[ALL].late
        value, count = time_of(statistic, own.times, own.unanswered + own.kinds["unsent"]), own.times.count
        is_late = late.quantile_s(0.99) > LATE_TOLERATED_SHARE * limit.value
        if value is None or is_late or count < max(_FEWEST, statistic.samples_needed):
            return False
        if statistic.quantile is not None:
            return _is_above(own.times.share_above(limit.value), 1 - statistic.quantile, count)
        # The longest one may be one that the generator itself sent late.
        return value - (late.max_s if statistic.name == "max_s" else 0.0) > limit.value


def _is_above(share: float, limit: float, count: int) -> bool:
    """Whether a share of *count* is above its limit by more than chance.

    Source: Hoeffding 1963, theorem 1: such a share has a probability of at most exp(-count * divergence).
    """
    if share <= limit or limit >= 1:
        return False
    if limit <= 0:
        return True
    divergence = share * math.log(share / limit)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - limit))
    return count * divergence > _CERTAINTY
