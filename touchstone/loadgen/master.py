"""Master of a load run: divides the schedule, starts the workers together, and writes their reports to the run log.

A worker first sends ``join`` with its version, scenario and clock. Then it sends its
``state``: ready, running, drained (its arrivals are over), final (everything is reported), or unfit, with a reason.
The same message may contain events of the run log, or ``started``: a build, and whether its start was accepted.

The master sends these messages:

- ``part``: the worker's part of the run, with the clocks of both; or ``refused``: why the worker gets no part.
- ``began_at``: the run second at which the schedule begins.
- ``started``: a build that another worker started, and whether the start was accepted.
- ``after``: all arrivals are over; true if this worker runs the closing steps of the scenario.
- ``stop``: the worker sends nothing more.
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
from touchstone.loadgen.metrics import ALL, Totals
from touchstone.loadgen.not_judged import ABORTED, SECONDS
from touchstone.loadgen.plan import plan
from touchstone.loadgen.thresholds import LATE_TOLERATED_SHARE, STATISTICS, time_of

# Minimum seconds from sending ``began_at`` to the start of the schedule, so that all workers receive it in time.
LEAD_S = 0.5
# A threshold is not judged before samples cover this many seconds, since a target may need to warm up.
ABORT_AFTER_S = 5.0
# Nor with fewer samples. A share breaks its limit only if chance has a probability below exp(-_CERTAINTY), 1e-6.
_FEWEST = 20
_CERTAINTY = 14.0
WATCH_S = 0.25
# A worker that has not reported everything this many seconds after a stop counts as lost.
STOP_S = 8.0


@dataclass
class _Member:
    """One worker as the master sees it; workers are numbered from 0."""

    client: str
    number: int
    known: Worker  # the worker's last state, with counts from all windows that it reported
    # ``lost`` if the worker disappeared or ended too early; ``after`` once all arrivals are over
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
        """Marks the worker as lost; returns its last known state."""
        self.state = "lost"
        reported = f"{self.known.sent:,} sent and {self.known.unsent:,} not sent"
        note = f"{why}; of its {self.known.assigned:,} arrivals it had reported {reported}"
        self.known = replace(self.known, state="lost", at_s=round(at_s, 3), cpu_share=0.0, rss_bytes=0, note=note)
        return self.known


class Master:
    """Master of one run; the process of the master writes the run log.

    *present*: returns the ids of the connected workers; *end*: ends the run, called once; *waits*: whether a new worker
    may replace a worker that is lost before the run begins.
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
        self._go = handover.go()
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
        """Handles a message from a worker."""
        worker = self._workers.get(client)
        if worker is None and "join" in data:
            self._join(client, data)
        elif worker is not None and "state" in data and not self._ended:
            self._report(worker, data)

    def stop(self, why: str = "") -> None:
        """Makes all workers stop, and ends the run when they have reported; *why* goes into the report."""
        if self._stopping:
            return
        self._stopping = True
        if why:
            self.log.write(Remark(why))
        if not (under_way := [worker for worker in self._workers.values() if worker.is_under_way]):
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
        unfit = f"it has {its}, its master has {own}; start the same scenario and version" if its != own else ""
        free = sorted(set(range(workers)) - {worker.number for worker in self._workers.values()})
        if unfit and not self._begun:
            self._fail(f"a worker cannot take part: {unfit}", "worker")
        if unfit or self._begun or not free:
            self._send(client, {"refused": unfit or f"it joined too late: the run has its {workers} workers"})
        else:
            part = deal(self._go, self._plan, free[0])
            known = Worker(part.number, "running", 0.0, 0, 0, len(part.assigned))
            self._workers[client] = _Member(client, part.number, known)
            clocks = {"now": self._now(), "sent_at": data["sent_at"]}
            self._send(client, {"part": PART.dump_python(part)} | clocks)  # ``began_at`` follows, once all are prepared

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

    def _fail(self, text: str, case: str) -> None:
        self.log.write(Case(f"load.{self._go.options.scenario.name}.{case}", "", "error", 0.0, (), text))
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
            worker.state = "running"  # it reports again, so it was only slow
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
        """After all arrivals, lets one worker run the closing steps; after all final reports, ends the run."""
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
                self._fail(f"stopped by --max-seconds {most_s:g}: open requests were cut off", SECONDS)

    def _miss(self, worker: _Member) -> None:
        if worker.is_under_way:
            self.log.write(worker.lose("its connection was lost", self._now()))
            self._move_on()
        elif not self._begun:
            del self._workers[worker.client]
            if not self._waits:
                self._fail(f"worker {worker.number} ended before the run began", f"worker-{worker.number}")

    def _finish(self) -> None:
        """Ends the run; a worker that has not reported everything by now is lost."""
        if self._ended:
            return
        self._ended = self._stopping = True
        for worker in self._workers.values():
            if worker.is_under_way:
                self.log.write(worker.lose(f"it did not stop within {STOP_S:g} s", self._now()))
            if worker.state == "lost":
                self._fail(f"worker {worker.number} was lost: {worker.known.note}", f"worker-{worker.number}")
        gevent.spawn(self._end)


class Watchdog:
    """Detects thresholds that are broken beyond chance during a load; leaves out throughput and growth."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = [limit for limit in limits if STATISTICS[limit.statistic].sort in ("time", "share")]
        self._totals = {operation: Totals(operation) for operation in {ALL, *(each.operation for each in self._limits)}}
        self._seconds: set[int] = set()

    def add(self, window: Window) -> None:
        """Adds the samples of a window."""
        for totals in self._totals.values():
            totals.add(window)
        self._seconds.add(window.at_s)

    def broken(self) -> Limit | None:
        """The first threshold that is already broken, or None."""
        if not self._seconds or max(self._seconds) - min(self._seconds) < ABORT_AFTER_S:
            return None
        return next((limit for limit in self._limits if self._is_broken(limit)), None)

    def _is_broken(self, limit: Limit) -> bool:
        statistic, own = STATISTICS[limit.statistic], self._totals[limit.operation]
        if statistic.sort == "share":
            share, count = own.share(statistic.name)
            return count >= _FEWEST and _is_above(share, limit.value, count)
        late = own.late if own.late.cells else self._totals[ALL].late
        count = own.times.count + own.unanswered
        is_late = late.quantile_s(0.99) > LATE_TOLERATED_SHARE * limit.value
        if is_late or count < max(_FEWEST, statistic.samples_needed):
            return False
        if statistic.quantile is not None:
            slow = own.times.count * own.times.share_above(limit.value) + own.unanswered
            return _is_above(slow / count, 1 - statistic.quantile, count)
        value = time_of(statistic, own.times, own.unanswered)
        if value is None:  # infinite
            return True
        # The longest response time may include a delay of the generator.
        return value - (late.max_s if statistic.name == "max_s" else 0.0) > limit.value


def _is_above(share: float, limit: float, count: int) -> bool:
    """Whether a share of *count* samples exceeds its limit by more than chance explains.

    Source: Hoeffding 1963, theorem 1. If the limit holds, the share has a probability up to exp(-count * divergence).
    """
    if share <= limit or limit <= 0:
        return share > limit
    parts = (share, limit), (1 - share, 1 - limit)
    return count * sum(part * math.log(part / most) for part, most in parts if part) > _CERTAINTY
