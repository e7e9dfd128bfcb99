"""
The master's side of a load run: waits for its workers, lets them begin together, and writes down what they report.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent

from touchstone import sample_json
from touchstone.adapters.member import boot_id
from touchstone.loadfacts import Limit, Worker
from touchstone.loadhandover import Go, LoadHandover
from touchstone.loadplan import plan
from touchstone.runlog import RunLogWriter
from touchstone.watchdog import Watchdog

# From the last worker's joining to the first arrival at least, so that everybody knows before it is due.
LEAD_S = 0.3
PINGS = 9

# A limit is not judged while the run is younger.
ABORT_AFTER_S = 5.0

Send = Callable[[str, str, dict[str, Any]], None]


@dataclass
class Seat:
    """
    One worker, as the conductor knows it.

    Attributes:
        origin: Its monotonic clock at run second 0; None until that is known.
        state: ``joined``, ``running``, ``drained``, ``final`` or ``lost``.
    """

    client: str
    origin: float | None = None
    error_s: float = 0.0
    offset_s: float = 0.0
    number: int = 0
    state: str = "joined"
    pings: list[tuple[float, float]] = field(default_factory=list)
    last: Worker | None = None


class Conductor:
    """
    Conducts the workers of one run.

    Args:
        send: Sends a message to one worker.
        present: The workers that are still there.
        end: Ends the run; called once.
    """

    def __init__(
        self,
        handover: LoadHandover,
        send: Send,
        present: Callable[[], Iterable[str]],
        end: Callable[[], None],
    ) -> None:
        self._handover = handover
        self._go = Go.from_public(handover.go)
        self._send = send
        self._present = present
        self._end = end
        self._log = RunLogWriter(Path(handover.run_log))
        self._seats: dict[str, Seat] = {}
        self._begun = False
        self._ended = False
        self._limits = tuple(Limit(*limit) for limit in handover.limits)
        self._watchdog = Watchdog(self._limits if handover.aborts else (), ABORT_AFTER_S)
        self._began_at = 0.0

    def receive(self, client: str, kind: str, data: dict[str, Any]) -> None:
        """
        Takes a message of a worker.
        """
        match kind:
            case "ts-join":
                self._join(client, data)
            case "ts-pong":
                self._pong(client, data)
            case "ts-report":
                self._report(client, data)

    def close(self) -> None:
        """
        Closes the run log.
        """
        self._log.close()

    def _now(self) -> float:
        return time.monotonic() - self._go.origin

    # --- beginning ---------------------------------------------------------------------------------------------------

    def _join(self, client: str, data: dict[str, Any]) -> None:
        if self._begun:
            return
        seat = self._seats[client] = Seat(client)
        if data["boot"] == boot_id():
            seat.origin = self._go.origin
            self._begin_if_all()
        else:
            self._ping(seat)

    def _ping(self, seat: Seat) -> None:
        self._send(seat.client, "ts-ping", {"sent_at": self._now()})

    def _pong(self, client: str, data: dict[str, Any]) -> None:
        """
        One measurement of another machine's clock: its answer was written between our sending and receiving.
        """
        seat = self._seats[client]
        sent_at, now_at = float(data["sent_at"]), self._now()
        seat.pings.append((now_at - sent_at, float(data["monotonic"]) - (sent_at + now_at) / 2))
        if len(seat.pings) < PINGS:
            self._ping(seat)
            return
        round_trip_s, seat.origin = min(seat.pings)
        seat.error_s, seat.offset_s = round_trip_s / 2, seat.origin - self._go.origin
        self._begin_if_all()

    def _begin_if_all(self) -> None:
        seats = list(self._seats.values())
        if self._begun or len(seats) < self._handover.workers or any(seat.origin is None for seat in seats):
            return
        self._begun = True
        drawn_up = plan(self._go.options)
        self._began_at = float(math.ceil(self._now() + LEAD_S))
        self._log.workload(drawn_up.workload(self._began_at, len(seats), self._limits))
        for number, seat in enumerate(seats):
            seat.number, seat.state = number, "running"
            go = self._go.of(number, len(seats))
            told = go.public() | {
                "began_at": self._began_at,
                "origin": seat.origin,
                "digest": drawn_up.schedule.digest,
                "clock_offset_s": round(seat.offset_s, 6),
                "clock_error_s": round(seat.error_s, 6),
            }
            self._send(seat.client, "ts-go", told)
        gevent.spawn(self._watch)

    # --- running -----------------------------------------------------------------------------------------------------

    def _report(self, client: str, data: dict[str, Any]) -> None:
        seat = self._seats[client]
        for event in data["events"]:
            self._log.write(event)
            if event["type"] == "worker":
                seat.last = Worker(**{key: value for key, value in event.items() if key != "type"})
            elif event["type"] == "window":
                self._watchdog.see(sample_json.decode(event))
        if data["state"] != "running":
            seat.state = data["state"]
            self._move_on()

    def _abort_if_broken(self) -> None:
        broken = self._watchdog.broken()
        if broken and not self._ended:
            limit = broken[0].limit
            self._log.warning(
                f"stopped by --abort-on-fail: {limit.operation} {limit.statistic} is above {limit.value:g}"
            )
            self._stop()

    def _move_on(self) -> None:
        """
        When all have sent their arrivals one does what comes after; when that is done as well, the run is over.
        """
        alive = [seat for seat in self._seats.values() if seat.state != "lost"]
        if any(seat.state == "running" for seat in alive):
            return
        for nth, seat in enumerate(alive):
            if seat.state == "drained":
                seat.state = "after"
                self._send(seat.client, "ts-after", {"aftermath": nth == 0})
        if all(seat.state == "final" for seat in alive):
            self._stop()

    def _watch(self) -> None:
        """
        Notices workers that are gone.
        """
        while not self._ended:
            gevent.sleep(0.5)
            self._abort_if_broken()
            present = set(self._present())
            for seat in self._seats.values():
                if seat.client not in present and seat.state not in ("final", "lost"):
                    self._lose(seat)

    def _lose(self, seat: Seat) -> None:
        seat.state = "lost"
        last = seat.last
        self._log.worker(
            Worker(
                number=seat.number,
                state="lost",
                at_s=round(self._now(), 3),
                sent=last.sent if last else 0,
                unsent=last.unsent if last else 0,
                assigned=last.assigned if last else 0,
                late_p99_s=last.late_p99_s if last else 0.0,
                note="nothing was heard from it any more",
            )
        )
        self._move_on()

    def _stop(self) -> None:
        if not self._ended:
            self._ended = True
            gevent.spawn(self._end)
