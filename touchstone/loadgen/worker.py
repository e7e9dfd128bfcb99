"""The worker's side of a load run: joins its master, is told its part, and reports what happens."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult

from touchstone import __version__
from touchstone.errors import HarnessError
from touchstone.facts.sample import Window
from touchstone.facts.wording import plural, was
from touchstone.loadgen.handover import LoadHandover, Part
from touchstone.loadgen.load_run import LoadRun
from touchstone.target.redact import Secrets

# What a worker sends: that it is there, and how it comes along. See `touchstone.loadgen.master` for what it is sent.
JOIN, REPORT = "ts-join", "ts-report"

# How often a worker reports, and how often it says how it fares.
REPORT_S = 0.5
STATE_EVERY = 4

# How often it says that it is there until somebody answers: the first time nobody may have listened yet.
JOIN_S = 1.0

# The fastest of so many round trips gives the clock of a master on another machine, to half of that trip.
ROUND_TRIPS = 9

# How long requests that are under way are waited for when the run is stopped.
GRACE_S = 0.5


class LoadWorker:
    """One worker.

    Args:
        scenario: The one that it was started for.
        send: Sends a message to the master.
        fold: Is given each window of samples once, for the statistics of Locust.
        leave: Ends the worker, which has no part in the run; is given the reason.

    Attributes:
        run: What its clients share; None before its part is known.
    """

    def __init__(
        self,
        handover: LoadHandover,
        scenario: str,
        send: Callable[[str, dict[str, Any]], None],
        fold: Callable[[Window], None],
        leave: Callable[[str], None],
    ) -> None:
        self._handover = handover
        self._scenario = scenario
        self._send = send
        self._fold = fold
        self._leave = leave
        self._part: AsyncResult[Part] = AsyncResult()
        self._began_at: AsyncResult[float] = AsyncResult()
        self._after: AsyncResult[bool] = AsyncResult()
        # Round trips in seconds, each with the value of this machine's clock at run second 0 that it shows.
        self._clocks: list[tuple[float, float]] = []
        self._entered = self._finished = False
        self.run: LoadRun | None = None

    def announce(self) -> None:
        """Says that this worker is there until it is told its part."""
        while not self._part.ready() and not self._finished:
            self._join()
            self._part.wait(JOIN_S)

    def _join(self) -> None:
        clock = min(self._clocks) if len(self._clocks) >= ROUND_TRIPS else None
        fit = {"version": __version__, "scenario": self._scenario}
        self._send(JOIN, {"boot": boot_id(), "clock": clock, "sent_at": time.monotonic(), **fit})

    def take_plan(self, data: dict[str, Any]) -> None:
        """Takes what the master answers to a join: this worker's part, why it has none, or what the time is."""
        if "refused" in data:
            self._finished = True
            gevent.spawn(self._leave, str(data["refused"]))
        elif "part" in data:
            self._part.set(Part.from_public(data["part"]))
        else:
            now = time.monotonic()
            self._clocks.append((now - data["sent_at"], (now + data["sent_at"]) / 2 - data["now"]))
            self._join()

    def take_signal(self, data: dict[str, Any]) -> None:
        """Takes what the master says while the run goes on."""
        if "began_at" in data:
            self._began_at.set(float(data["began_at"]))
        elif "after" in data:
            self._after.set(bool(data["after"]))
        elif "started" in data and self.run is not None:
            build, accepted = data["started"]
            self.run.starts.receive(int(build), accepted=bool(accepted))
        elif "stop" in data:
            gevent.spawn(self.finish)

    # --- in this order -----------------------------------------------------------------------------------------------

    def enter(self) -> bool:
        """Whether whoever asks is to do this worker's part; only the first one is."""
        first, self._entered = not self._entered, True
        return first

    def prepare(self) -> LoadRun:
        """Waits until this worker is told its part, and gets ready for it."""
        part = self._part.get()
        self.run = LoadRun(part, self._handover.settings, self._handover.settings.target.url or "", self._report_start)
        return self.run

    def begin(self) -> None:
        """Says that all is ready and waits until all others are; from then on reports go out by themselves."""
        assert self.run is not None
        self._send(REPORT, {"state": "ready"})
        self.run.go = replace(self.run.go, began_at=self._began_at.get())
        gevent.spawn(self._pulse)

    def drained(self) -> bool:
        """
        Says that all arrivals of this worker are over, and waits; whether it is to do what comes after all of them.
        """
        if not self._finished:
            self._report("drained")
        after = bool(self._after.get())
        if after and self.run is not None:
            self.run.builds.add(self.run.part.builds_after)
        return after

    def finish(self) -> None:
        """Has nothing more sent, and reports for the last time; doing so twice does nothing."""
        if self._finished or self.run is None:
            return
        self._finished = True
        self.run.stop(GRACE_S)
        self._after.set(False)
        self.run.report_judged()
        self._add_state("done")
        self._report("final")

    def begins(self) -> str:
        """What its part is."""
        assert self.run is not None
        if self.run.go.options.model == "closed":
            return "the run begins"
        mine, all_of_them = len(self.run.part.schedule), plural(self.run.part.arrivals, "arrival")
        return f"the run begins; {mine:,} of its {all_of_them} {'is' if mine == 1 else 'are'} sent from here"

    def did(self) -> str:
        """What it did; empty where it had no part in the run."""
        if self.run is None or not self._began_at.ready():
            return ""
        collector = self.run.collector
        unsent = f"; {collector.unsent:,} came due and could not be sent" if collector.unsent else ""
        return f"the run is over; {plural(collector.sent, 'arrival')} {was(collector.sent)} sent from here{unsent}"

    def failed(self, error: Exception) -> None:
        """Takes note of an error of ours outside the clients: the run must not look like a pass."""
        if self.run is not None and self._began_at.ready():
            self.run.flow_failed(error)
            self.finish()
            return
        reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        reason = Secrets(self._handover.settings.target.keys()).text(reason)
        self._finished = True
        self._send(REPORT, {"state": "unfit", "reason": reason})
        # Leaving ends the user that asks for it.
        gevent.spawn(self._leave, reason)

    # --- reports -----------------------------------------------------------------------------------------------------

    def _report_start(self, build: int, accepted: bool) -> None:
        self._send(REPORT, {"state": "running", "started": [build, accepted]})

    def _pulse(self) -> None:
        beats = 0
        while self.run is not None and not self._finished:
            beats += 1
            if beats % STATE_EVERY == 0:
                self._add_state("running")
            self._report("running")
            self.run.stopped.wait(REPORT_S)

    def _add_state(self, state: str) -> None:
        assert self.run is not None
        self.run.collector.write(self.run.state_of_worker(state, len(self.run.part.schedule)))

    def _report(self, state: str) -> None:
        if self.run is not None:
            events = self.run.collector.drain(self._fold)
            if events or state != "running":
                self._send(REPORT, {"state": state, "events": events})


def boot_id() -> str:
    """
    What processes on one machine share, and with it one monotonic clock; the host's name where nothing better is known.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.uname().nodename
