"""
The worker's side of a load run: joins whoever conducts it, is told what to do, and reports what it sees.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult, Event

from touchstone.adapters.loadrun import LoadRun
from touchstone.loadhandover import Go, LoadHandover
from touchstone.sample import Window

# How often a worker reports, and how often it says how it fares.
REPORT_S = 0.5
FARES_EVERY = 4

Tell = Callable[[str, dict[str, Any]], None]


class Member:
    """
    One worker.

    Args:
        tell: Sends a message to the conductor.
        fold: Is given each window of samples once, for the statistics of Locust.
    """

    def __init__(self, handover: LoadHandover, tell: Tell, fold: Callable[[Window], None]) -> None:
        self._handover = handover
        self._tell = tell
        self._fold = fold
        self._go: AsyncResult[Go] = AsyncResult()
        self._after: AsyncResult[bool] = AsyncResult()
        self._finished = False
        self.ended = Event()
        self.run: LoadRun | None = None
        self.assigned = 0

    def join(self) -> None:
        """
        Says that this worker is there, and what its clock is.
        """
        self._tell("ts-join", {"boot": boot_id(), "monotonic": time.monotonic()})

    def receive(self, kind: str, data: dict[str, Any]) -> None:
        """
        Takes a message of the conductor.
        """
        match kind:
            case "ts-ping":
                self._tell("ts-pong", data | {"monotonic": time.monotonic()})
            case "ts-go":
                self._go.set(Go.from_public(data))
            case "ts-after":
                self._after.set(bool(data["aftermath"]))

    def begin(self) -> LoadRun:
        """
        Waits until the run begins; from then on reports go out by themselves.
        """
        go = self._go.get()
        self.run = LoadRun(go, self._handover.parsed_settings(), self._handover.url)
        gevent.spawn(self._pulse)
        return self.run

    def drained(self) -> bool:
        """
        Says that all arrivals of this worker are over, and waits; whether it is to do what comes after all of them.
        """
        self._report("drained")
        return bool(self._after.get())

    def finish(self) -> None:
        """
        Reports for the last time; doing so twice does nothing.
        """
        if self._finished or self.run is None:
            return
        self._finished = True
        self.run.tell_judged()
        self.run.collector.worker(self.run.fares("done", self.assigned))
        self._report("final")
        self.run.close()
        self.ended.set()

    def failed(self, error: Exception) -> None:
        """
        An error of ours in a flow: the run must not look like a pass.
        """
        if self.run is not None:
            self.run.fail(f"a flow failed: {type(error).__name__}: {error}")

    def _pulse(self) -> None:
        beats = 0
        while self.run is not None and not self._finished:
            beats += 1
            if beats % FARES_EVERY == 0:
                self.run.collector.worker(self.run.fares("running", self.assigned))
            self._report("running")
            self.run.stopped.wait(REPORT_S)

    def _report(self, state: str) -> None:
        if self.run is not None:
            events = self.run.collector.drain(self._fold)
            if events or state != "running":
                self._tell("ts-report", {"events": events, "state": state})


def boot_id() -> str:
    """
    What processes on one machine share, and with it one monotonic clock; the host's name where nothing better is told.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.uname().nodename
