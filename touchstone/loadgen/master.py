"""
The master's side of a load run: deals the schedule, lets its workers begin together, writes down what they report.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gevent

from touchstone import __version__
from touchstone.facts.events import Case, Remark, Worker
from touchstone.facts.runlog import RunLogWriter, decode
from touchstone.facts.sample import UNSENT, Window
from touchstone.loadgen.handover import LoadHandover, deal
from touchstone.loadgen.not_judged import ABORTED, SECONDS
from touchstone.loadgen.plan import plan
from touchstone.loadgen.watchdog import Watchdog
from touchstone.loadgen.worker import JOIN, REPORT, boot_id

# What a worker is sent: its part, or why it has none; and what it is to do while the run goes on.
PLAN, SIGNAL = "ts-plan", "ts-signal"

# From when all are ready to the first arrival at least: everybody is to know before it is due.
LEAD_S = 0.5

# A limit is not judged while the run is younger.
ABORT_AFTER_S = 5.0

# How often it is checked whether the run has to be stopped, and whether everybody is still there.
WATCH_S = 0.25

# Whoever is stopped reports all within this, or is lost.
STOP_S = 8.0

Send = Callable[[str, str, dict[str, Any]], None]

State = Literal[
    "planned",  # it was told its part, and prepares it
    "ready",
    "running",
    "drained",  # all of its arrivals are over
    "after",  # it does what comes after all arrivals of all workers, or knows that another one does
    "final",  # it has reported all
    "lost",  # nothing is heard of it any more, or it ended before its part did
]


@dataclass
class Progress:
    """How far one worker has come, as its master knows.

    Attributes:
        number: Which one of the workers it is, from 0.
        sent: Scheduled arrivals that it has reported as sent.
        unsent: Those that it has reported as not sent.
        last: How it fared when it said so last.
        note: Why it is lost.
    """

    client: str
    number: int
    assigned: int
    clock_offset_s: float
    clock_error_s: float
    state: State = "planned"
    sent: int = 0
    unsent: int = 0
    last: Worker | None = None
    note: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun, and has not reported all."""
        return self.state in ("running", "drained", "after")

    def count(self, window: Window) -> None:
        """Counts what it has sent, or not."""
        if window.outcome == UNSENT:
            self.unsent += window.count
        elif window.paced:
            self.sent += window.count

    def lost(self, at_s: float) -> Worker:
        """How it fared, as far as anybody knows, now that it is lost."""
        known = self.last or Worker(self.number, "running", 0.0, 0, 0, 0)
        return replace(
            known,
            state="lost",
            at_s=round(at_s, 3),
            sent=self.sent,
            unsent=self.unsent,
            assigned=self.assigned,
            cpu_share=0.0,
            rss_bytes=0,
            clock_offset_s=round(self.clock_offset_s, 6),
            clock_error_s=round(self.clock_error_s, 6),
            note=self.note,
        )


class Master:
    """The master of one run.

    Args:
        send: Sends a message to one worker.
        present: The workers that are still there.
        end: Ends the run; called once.
        waits: Whether a worker that is gone before the run begins may be followed by another one.
    """

    def __init__(
        self,
        handover: LoadHandover,
        send: Send,
        present: Callable[[], Iterable[str]],
        end: Callable[[], None],
        *,
        waits: bool = False,
    ) -> None:
        self._handover = handover
        self._go = replace(handover.go(), workers=handover.workers)
        self._settings = handover.settings
        self._plan = plan(self._go.options)
        self._send = send
        self._present = present
        self._end = end
        self._waits = waits
        self._log = RunLogWriter(Path(handover.run_log), drops=True)
        self._workers: dict[str, Progress] = {}
        self._begun = self._stopping = self._ended = False
        self._limits = handover.limits
        self._watchdog = Watchdog(self._limits if handover.aborts else (), ABORT_AFTER_S)
        gevent.spawn(self._watch)

    def receive(self, client: str, kind: str, data: dict[str, Any]) -> None:
        """Takes a message of a worker."""
        worker = self._workers.get(client)
        if kind == JOIN and worker is None:
            self._join(client, data)
        elif kind == REPORT and worker is not None:
            self._report(worker, data)

    def stop(self, why: str = "") -> None:
        """Has nothing more sent, and ends the run as soon as all workers have reported. Once is enough.

        Args:
            why: What a reader of the report should know about it.
        """
        if self._stopping:
            return
        self._stopping = True
        if why:
            self._log.write(Remark(why))
        under_way = [worker for worker in self._workers.values() if worker.is_under_way]
        if not under_way:
            self._finish()
            return
        gevent.spawn_later(STOP_S, self._finish)
        for worker in under_way:
            self._send(worker.client, SIGNAL, {"stop": True})

    @property
    def is_lost(self) -> bool:
        """Whether the run log takes no more."""
        return self._log.lost is not None

    def close(self) -> None:
        """Closes the run log."""
        self._log.close()

    def _now(self) -> float:
        return time.monotonic() - self._go.origin

    # --- beginning ---------------------------------------------------------------------------------------------------

    def _join(self, client: str, data: dict[str, Any]) -> None:
        unfit, all_of_them = self._unfit(data), self._handover.workers
        free = sorted(set(range(all_of_them)) - {worker.number for worker in self._workers.values()})
        if unfit and not self._begun:
            self._fail(f"a worker cannot take part: {unfit}", "worker")
        if unfit or self._begun or not free:
            late = f"it came too late: the run has its {all_of_them} workers"
            self._send(client, PLAN, {"refused": unfit or late})
        elif data["boot"] != boot_id() and not data["clock"]:
            self._send(client, PLAN, {"sent_at": data["sent_at"], "now": self._now()})
        else:
            self._deal(client, free[0], data["clock"])

    def _unfit(self, data: dict[str, Any]) -> str:
        """Why a worker cannot take part; empty where it can."""
        scenario = self._go.options.scenario.name
        if data["version"] != __version__:
            return f"it is version {data['version']} of touchstone, and its master {__version__}; install the same one"
        if data["scenario"] != scenario:
            return f"it was started for {data['scenario']}, and its master for {scenario}; name the same scenario"
        return ""

    def _deal(self, client: str, number: int, clock: tuple[float, float] | None) -> None:
        """Tells a worker what it is to do, but not when: it may take its time to get ready.

        Args:
            clock: How wrong it is, doubled, and the value of its own clock at run second 0; None for the master's.
        """
        error_s, origin = (0.0, self._go.origin) if clock is None else (clock[0] / 2, clock[1])
        target = self._settings.target
        part = replace(
            deal(self._go, self._plan, number, target.build_timeout_s, target.patience_s),
            origin=origin,
            clock_offset_s=round(origin - self._go.origin, 6),
            clock_error_s=round(error_s, 6),
        )
        clocks = part.clock_offset_s, part.clock_error_s
        self._workers[client] = Progress(client, number, len(part.schedule), *clocks)
        self._send(client, PLAN, {"part": part.public()})

    def _begin_if_all(self) -> None:
        workers = list(self._workers.values())
        all_ready = len(workers) == self._handover.workers and all(worker.state == "ready" for worker in workers)
        if self._begun or self._stopping or not all_ready:
            return
        self._begun = True
        began_at = float(math.ceil(self._now() + LEAD_S))
        self._log.write(self._plan.workload(began_at, len(workers), self._limits))
        for worker in workers:
            worker.state = "running"
            self._send(worker.client, SIGNAL, {"began_at": began_at})

    def _fail(self, reason: str, who: str) -> None:
        """Ends a run that cannot be what it was to be. That must not look like a pass."""
        self._log_error(reason, who)
        self.stop()

    def _log_error(self, text: str, who: str) -> None:
        self._log.write(Case(f"load.{self._go.options.scenario.name}.{who}", "", "error", 0.0, (), text))

    # --- running -----------------------------------------------------------------------------------------------------

    def _report(self, worker: Progress, data: dict[str, Any]) -> None:
        state = data["state"]
        if self._ended:
            return
        if state == "unfit":
            self._fail(f"worker {worker.number} cannot take part: {data['reason']}", f"worker-{worker.number}")
        elif state == "ready":
            worker.state = "ready"
            self._begin_if_all()
        else:
            self._follow(worker, state, data)

    def _follow(self, worker: Progress, state: State, data: dict[str, Any]) -> None:
        """Takes what a worker reports that has begun."""
        if worker.state == "lost":
            worker.state = "running"  # it was slow, and nothing is lost
        for event in data.get("events", ()):
            self._take(worker, event)
        if "started" in data:
            for other in self._workers.values():
                if other is not worker and other.is_under_way:
                    self._send(other.client, SIGNAL, {"started": data["started"]})
        if state == "final" and worker.state == "running" and not self._stopping:
            self._lose(worker, "it ended before its part of the schedule did")
        elif state != "running":
            worker.state = state
        self._move_on()

    def _take(self, worker: Progress, event: dict[str, Any]) -> None:
        self._log.write(event)
        fact = decode(event)
        if isinstance(fact, Worker):
            worker.last = fact
        elif isinstance(fact, Window):
            worker.count(fact)
            self._watchdog.see(fact)

    def _move_on(self) -> None:
        """When all have sent their arrivals one does what comes after; when that is done as well, the run is over."""
        alive = [worker for worker in self._workers.values() if worker.state != "lost"]
        if not self._begun or any(worker.state == "running" for worker in alive):
            return
        for nth, worker in enumerate(alive):
            if worker.state == "drained":
                worker.state = "after"
                self._send(worker.client, SIGNAL, {"after": nth == 0 and not self._stopping})
        if all(worker.state == "final" for worker in alive):
            self._finish()

    def _watch(self) -> None:
        """Notices workers that are gone, and what else ends a run before its time."""
        while not self._ended:
            gevent.sleep(WATCH_S)
            present = set(self._present())
            for worker in [worker for worker in self._workers.values() if worker.client not in present]:
                self._miss(worker)
            self._stop_if_due()

    def _stop_if_due(self) -> None:
        if self.is_lost:
            self.stop()
        broken = self._watchdog.broken()
        if broken:
            limit = broken[0].limit
            self.stop(f"{ABORTED}: {limit.operation} {limit.statistic} is beyond {limit.value:g}")
        most_s = self._settings.max_seconds
        if most_s is not None and self._now() >= most_s and not self._stopping:
            self._fail(f"stopped by --max-seconds {most_s:g}: what was not over by then was cut off", SECONDS)

    def _miss(self, worker: Progress) -> None:
        """Does without a worker that is gone."""
        if worker.is_under_way:
            self._lose(worker, "nothing was heard from it any more")
            self._move_on()
        elif not self._begun:
            del self._workers[worker.client]
            if not self._waits:
                self._fail(f"worker {worker.number} ended before the run began", f"worker-{worker.number}")

    def _lose(self, worker: Progress, why: str) -> None:
        worker.state = "lost"
        reported = f"{worker.sent:,} sent and {worker.unsent:,} not sent"
        worker.note = f"{why}; of its {worker.assigned:,} arrivals it had reported {reported}"
        self._log.write(worker.lost(self._now()))

    def _finish(self) -> None:
        """Ends the run; whoever has not reported all by now is lost with it."""
        if self._ended:
            return
        self._ended = True
        for worker in self._workers.values():
            if worker.is_under_way:
                self._lose(worker, "it did not stop when it was told to")
            if worker.state == "lost":
                self._log_error(f"worker {worker.number} was lost: {worker.note}", f"worker-{worker.number}")
        gevent.spawn(self._end)
