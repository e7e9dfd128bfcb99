"""
The master's side of a load run: tells its workers their parts, lets them begin together, writes down what they report.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent

from touchstone import __version__
from touchstone.facts.events import Case, Limit, Remark, Worker
from touchstone.facts.runlog import RunLogWriter, decode
from touchstone.facts.sample import Window
from touchstone.loadgen.handover import LoadHandover
from touchstone.loadgen.lateness import fate_words
from touchstone.loadgen.not_judged import ABORTED, SECONDS
from touchstone.loadgen.plan import plan
from touchstone.loadgen.seat import Seat
from touchstone.loadgen.watchdog import Watchdog
from touchstone.loadgen.worker import boot_id

# From when all are ready to the first arrival at least: everybody is to know before it is due, and opens connections.
LEAD_S = 0.5

# A limit is not judged while the run is younger.
ABORT_AFTER_S = 5.0

# How often it is looked whether the run has to be stopped, and whether everybody is still there.
WATCH_S = 0.25

# Whoever is stopped tells all that it knows within this, or is lost.
STOP_S = 8.0

Send = Callable[[str, str, dict[str, Any]], None]


class Conductor:
    """Conducts the workers of one run.

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
        self._go = handover.go()
        self._max_s = handover.parsed_settings().max_seconds
        self._plan = plan(self._go.options)
        self._send = send
        self._present = present
        self._end = end
        self._waits = waits
        self._log = RunLogWriter(Path(handover.run_log), drops=True)
        self._seats: dict[str, Seat] = {}
        self._begun = False
        self._stopping = False
        self._ended = False
        self._limits = tuple(Limit(*limit) for limit in handover.limits)
        self._watchdog = Watchdog(self._limits if handover.aborts else (), ABORT_AFTER_S)
        gevent.spawn(self._watch)

    def receive(self, client: str, kind: str, data: dict[str, Any]) -> None:
        """Takes a message of a worker."""
        if kind == "ts-join":
            self._join(client, data)
            return
        seat = self._seats.get(client)
        if seat is None:
            return
        match kind:
            case "ts-pong":
                self._pong(seat, data)
            case "ts-ready":
                seat.state = "ready"
                self._begin_if_all()
            case "ts-unfit":
                self._fail(f"worker {seat.number} cannot take part: {data['reason']}", f"worker-{seat.number}")
            case "ts-started":
                for other in self._seats.values():
                    if other is not seat and other.is_under_way:
                        self._send(other.client, kind, data)
            case "ts-report":
                self._report(seat, data)

    def stop(self, why: str = "") -> None:
        """Has nothing more sent, and ends the run as soon as all workers have told what they saw. Once is enough.

        Args:
            why: What a reader of the report should know about it.
        """
        if self._stopping:
            return
        self._stopping = True
        if why:
            self._log.write(Remark(why))
        under_way = [seat for seat in self._seats.values() if seat.is_under_way]
        if not under_way:
            self._finish()
            return
        gevent.spawn_later(STOP_S, self._finish)
        for seat in under_way:
            self._send(seat.client, "ts-stop", {})

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
        if client in self._seats:
            return
        unfit = self._unfit(data)
        taken = {seat.number for seat in self._seats.values()}
        free = sorted(set(range(self._handover.workers)) - taken)
        if unfit and not self._begun:
            self._fail(f"a worker cannot take part: {unfit}", "worker")
        if unfit or self._begun or not free:
            late = f"it came too late: the run has its {self._handover.workers} workers"
            self._send(client, "ts-refused", {"reason": unfit or late})
            return
        assigned = len(self._plan.schedule.share(free[0], self._handover.workers))
        seat = self._seats[client] = Seat(client, free[0], assigned)
        if data["boot"] == boot_id():
            seat.has_clock_of(self._go.origin)
            self._tell_part(seat)
        else:
            self._ping(seat)

    def _unfit(self, data: dict[str, Any]) -> str:
        """Why a worker cannot take part; empty where it can."""
        scenario = self._go.options.scenario.name
        if data["version"] != __version__:
            return f"it is version {data['version']} of touchstone, and its master {__version__}; install the same one"
        if data["scenario"] != scenario:
            return f"it was started for {data['scenario']}, and its master for {scenario}; name the same scenario"
        return ""

    def _ping(self, seat: Seat) -> None:
        self._send(seat.client, "ts-ping", {"sent_at": self._now()})

    def _pong(self, seat: Seat, data: dict[str, Any]) -> None:
        known = seat.hear(float(data["sent_at"]), self._now(), float(data["monotonic"]), self._go.origin)
        if known:
            self._tell_part(seat)
        else:
            self._ping(seat)

    def _tell_part(self, seat: Seat) -> None:
        """Tells a worker what it is to do, but not when: it may take its time to get ready."""
        assert seat.origin is not None
        seat.state = "planned"
        go = replace(
            self._go.of(seat.number, self._handover.workers),
            origin=seat.origin,
            digest=self._plan.schedule.digest,
            clock_offset_s=round(seat.offset_s, 6),
            clock_error_s=round(seat.error_s, 6),
        )
        self._send(seat.client, "ts-plan", go.public())

    def _begin_if_all(self) -> None:
        seats = list(self._seats.values())
        all_ready = len(seats) == self._handover.workers and all(seat.state == "ready" for seat in seats)
        if self._begun or self._stopping or not all_ready:
            return
        self._begun = True
        began_at = float(math.ceil(self._now() + LEAD_S))
        self._log.write(self._plan.workload(began_at, len(seats), self._limits))
        for seat in seats:
            seat.state = "running"
            self._send(seat.client, "ts-go", {"began_at": began_at})

    def _fail(self, reason: str, who: str) -> None:
        """Ends a run that cannot be what it was to be. That must not look like a pass."""
        self._tell_error(reason, who)
        self.stop()

    def _tell_error(self, text: str, who: str) -> None:
        self._log.write(Case(f"load.{self._go.options.scenario.name}.{who}", "", "error", 0.0, (), text))

    # --- running -----------------------------------------------------------------------------------------------------

    def _report(self, seat: Seat, data: dict[str, Any]) -> None:
        if self._ended:
            return
        if seat.state == "lost":
            seat.state = "running"  # it was slow, and nothing is lost
        for event in data["events"]:
            self._take(seat, event)
        if data["state"] == "final" and seat.state == "running" and not self._stopping:
            self._lose(seat, "it ended before its part of the schedule did")
        elif data["state"] != "running":
            seat.state = data["state"]
        self._move_on()

    def _take(self, seat: Seat, event: dict[str, Any]) -> None:
        self._log.write(event)
        if event["type"] not in ("worker", "window"):
            return
        fact = decode(event)
        if isinstance(fact, Worker):
            seat.last = fact
        elif isinstance(fact, Window):
            seat.count(fact)
            self._watchdog.see(fact)

    def _move_on(self) -> None:
        """When all have sent their arrivals one does what comes after; when that is done as well, the run is over."""
        alive = [seat for seat in self._seats.values() if seat.state != "lost"]
        if not self._begun or any(seat.state == "running" for seat in alive):
            return
        for nth, seat in enumerate(alive):
            if seat.state == "drained":
                seat.state = "after"
                self._send(seat.client, "ts-after", {"aftermath": nth == 0 and not self._stopping})
        if all(seat.state == "final" for seat in alive):
            self._finish()

    def _watch(self) -> None:
        """Notices workers that are gone, and what else ends a run before its time."""
        while not self._ended:
            gevent.sleep(WATCH_S)
            present = set(self._present())
            for seat in [seat for seat in self._seats.values() if seat.client not in present]:
                self._miss(seat)
            self._stop_if_due()

    def _stop_if_due(self) -> None:
        if self.is_lost:
            self.stop()
        broken = self._watchdog.broken()
        if broken:
            limit = broken[0].limit
            self.stop(f"{ABORTED}: {limit.operation} {limit.statistic} is beyond {limit.value:g}")
        if self._max_s is not None and self._now() >= self._max_s and not self._stopping:
            self._fail(f"stopped by --max-seconds {self._max_s:g}: what was not over by then was cut off", SECONDS)

    def _miss(self, seat: Seat) -> None:
        """Does without a worker that is gone."""
        if seat.is_under_way:
            self._lose(seat, "nothing was heard from it any more")
            self._move_on()
        elif not self._begun:
            del self._seats[seat.client]
            if not self._waits:
                self._fail(f"worker {seat.number} ended before the run began", f"worker-{seat.number}")

    def _lose(self, seat: Seat, why: str) -> None:
        seat.state = "lost"
        seat.note = f"{why}; {fate_words(seat.assigned, seat.sent, seat.unsent)}"
        self._log.write(seat.missed(self._now()))

    def _finish(self) -> None:
        """Ends the run; whoever has not told all by now is lost with it."""
        if self._ended:
            return
        self._ended = True
        for seat in self._seats.values():
            if seat.is_under_way:
                self._lose(seat, "it did not stop when it was told to")
            if seat.state == "lost":
                self._tell_error(f"worker {seat.number} was lost: {seat.note}", f"worker-{seat.number}")
        gevent.spawn(self._end)
