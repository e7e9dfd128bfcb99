"""The worker's side of a load run: joins whoever conducts it, is told its part, and reports what it sees."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult

from touchstone import __version__
from touchstone.errors import HarnessError, UsageError
from touchstone.facts.sample import Window
from touchstone.facts.wording import plural, was
from touchstone.loadgen.handover import Go, LoadHandover
from touchstone.loadgen.load_run import LoadRun
from touchstone.target.redact import Secrets

# How often a worker reports, and how often it says how it fares.
REPORT_S = 0.5
FARES_EVERY = 4

# How often it says that it is there until somebody answers: the first time nobody may have listened yet.
JOIN_S = 1.0

# How long requests that are under way are waited for when the run is stopped.
GRACE_S = 0.5

Tell = Callable[[str, dict[str, Any]], None]


class Member:
    """One worker.

    Args:
        scenario: The one that it was started for.
        tell: Sends a message to the conductor.
        fold: Is given each window of samples once, for the statistics of Locust.
        leave: Ends the worker, which has no part in the run; is given the reason.

    Attributes:
        run: What its flows share; None before it is known.
        assigned: Arrivals that are its part.
    """

    def __init__(
        self,
        handover: LoadHandover,
        scenario: str,
        tell: Tell,
        fold: Callable[[Window], None],
        leave: Callable[[str], None],
    ) -> None:
        self._handover = handover
        self._scenario = scenario
        self._tell = tell
        self._fold = fold
        self._leave = leave
        self._plan: AsyncResult[Go] = AsyncResult()
        self._began_at: AsyncResult[float] = AsyncResult()
        self._after: AsyncResult[bool] = AsyncResult()
        self._entered = False
        self._finished = False
        self.run: LoadRun | None = None
        self.assigned = 0

    def announce(self) -> None:
        """Says that this worker is there, and what its clock is, until it is told its part."""
        while not self._plan.ready() and not self._finished:
            self._tell("ts-join", {"boot": boot_id(), "version": __version__, "scenario": self._scenario})
            self._plan.wait(JOIN_S)

    def receive(self, kind: str, data: dict[str, Any]) -> None:
        """Takes a message of the conductor."""
        match kind:
            case "ts-ping":
                self._tell("ts-pong", data | {"monotonic": time.monotonic()})
            case "ts-plan":
                self._plan.set(Go.from_public(data))
            case "ts-go":
                self._began_at.set(float(data["began_at"]))
            case "ts-started" if self.run is not None:
                self.run.starts.hear(int(data["build"]), accepted=bool(data["accepted"]))
            case "ts-after":
                self._after.set(bool(data["aftermath"]))
            case "ts-stop":
                gevent.spawn(self.finish)
            case "ts-refused":
                self._finished = True
                gevent.spawn(self._leave, str(data["reason"]))

    # --- in this order -----------------------------------------------------------------------------------------------

    def enter(self) -> bool:
        """Whether whoever asks is to do this worker's part; only the first one is."""
        first, self._entered = not self._entered, True
        return first

    def prepare(self) -> LoadRun:
        """Waits until this worker is told its part, and gets ready for it.

        Raises:
            UsageError: its schedule is another one than the master's.
        """
        go = self._plan.get()
        run = LoadRun(go, self._handover.parsed_settings(), self._handover.url, self._tell_started)
        if run.plan.schedule.digest != go.digest:
            raise UsageError(
                "its schedule is not the one of its master (the digests differ); "
                "install the same version of touchstone, and put the same trace file at the same path"
            )
        self.run = run
        return run

    def begin(self) -> None:
        """Says that all is ready and waits until all others are; from then on reports go out by themselves."""
        assert self.run is not None
        self._tell("ts-ready", {})
        self.run.begin(self._began_at.get())
        gevent.spawn(self._pulse)

    def drained(self) -> bool:
        """
        Says that all arrivals of this worker are over, and waits; whether it is to do what comes after all of them.
        """
        if not self._finished:
            self._report("drained")
        after = bool(self._after.get())
        if after and self.run is not None:
            self.run.builds.add(self.run.plan.builds_after(self.run.go.builds))
        return after

    def finish(self) -> None:
        """Has nothing more sent, and reports for the last time; doing so twice does nothing."""
        if self._finished or self.run is None:
            return
        self._finished = True
        self.run.stop(GRACE_S)
        self._after.set(False)
        self.run.tell_judged()
        self.run.collector.write(self.run.fares("done", self.assigned))
        self._report("final")

    def begins(self) -> str:
        """What is its part, in words."""
        assert self.run is not None
        if self.run.go.options.model == "closed":
            return "the run begins"
        arrivals = plural(len(self.run.plan.schedule), "arrival")
        verb = "is" if self.assigned == 1 else "are"
        return f"the run begins; {self.assigned:,} of its {arrivals} {verb} sent from here"

    def did(self) -> str:
        """What it did, in words; empty where it had no part in the run."""
        if self.run is None or not self._began_at.ready():
            return ""
        collector = self.run.collector
        unsent = f"; {collector.unsent:,} came due and could not be sent" if collector.unsent else ""
        return f"the run is over; {plural(collector.sent, 'arrival')} {was(collector.sent)} sent from here{unsent}"

    def failed(self, error: Exception) -> None:
        """An error of ours outside the flows: the run must not look like a pass."""
        if self.run is not None and self._began_at.ready():
            self.run.flow_failed(error)
            self.finish()
            return
        reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        reason = Secrets(self._handover.parsed_settings().target.keys()).text(reason)
        self._finished = True
        self._tell("ts-unfit", {"reason": reason})
        # Leaving ends the user that asks for it.
        gevent.spawn(self._leave, reason)

    def _tell_started(self, build: int, accepted: bool) -> None:
        self._tell("ts-started", {"build": build, "accepted": accepted})

    # --- reports -----------------------------------------------------------------------------------------------------

    def _pulse(self) -> None:
        beats = 0
        while self.run is not None and not self._finished:
            beats += 1
            if beats % FARES_EVERY == 0:
                self.run.collector.write(self.run.fares("running", self.assigned))
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
