"""Runs cases side by side: starts their bodies in threads, ahead of their turn under pytest."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial

from touchstone.check.budget import Flow
from touchstone.check.cases import Declared
from touchstone.check.forecast import READERS
from touchstone.target.connections import in_background

# After a stop, cases get this many seconds to end; what still runs then is left to the clean-up.
STOP_S = 5.0


@dataclass(eq=False)
class Job:
    """A case to run. *body* runs it; *result* then holds its exception, if any."""

    case: Declared
    body: Callable[[], None]
    result: "Future[None]" = field(default_factory=Future)


class Scheduler:
    """Starts jobs in the order of `add`, as soon as threads and room for builds are free.

    No job starts before all jobs of an earlier stage have ended. A job that needs more builds at once than there is
    room for runs while no other job builds.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._threads = flow.room + READERS
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._lock = threading.Lock()

    def add(self, jobs: Iterable[Job]) -> None:
        """Adds *jobs* and starts the first ones."""
        with self._lock:
            self._waiting += jobs
        self._start()

    def stop(self) -> None:
        """Starts no further job, and waits up to STOP_S seconds for the running ones."""
        with self._lock:
            self._waiting.clear()
            running = list(self._running)
        wait((job.result for job in running), timeout=STOP_S)

    def _start(self) -> None:
        with self._lock:
            stage = min((job.case.stage for job in (*self._running, *self._waiting)), default=0)
            for job in [job for job in self._waiting if job.case.stage == stage]:
                if len(self._running) >= self._threads:
                    return
                if self._has_room(job.case):
                    self._waiting.remove(job)
                    self._running.append(job)
                    job.result.add_done_callback(partial(self._end, job))
                    in_background(job.result, job.body)

    def _has_room(self, case: Declared) -> bool:
        if case.is_generated and any(job.case.is_generated for job in self._running):
            return False
        held = sum(job.case.at_once for job in self._running)
        return not case.at_once or not held or held + case.at_once <= self._flow.room

    def _end(self, job: Job, _: "Future[None]") -> None:
        with self._lock:
            self._running.remove(job)
        self._start()
