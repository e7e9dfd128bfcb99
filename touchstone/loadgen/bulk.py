"""The side-car: a process that sends the bulk arrivals of a load worker on time and hands back what became of them.

The worker starts it as ``python -m touchstone.bulk`` and speaks with it over its stdin and stdout; see bulk_wire.py.
"""

import asyncio
import contextlib
import gc
import json
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_connection import Loaded
from touchstone.loadgen.bulk_ledger import Ledger
from touchstone.loadgen.bulk_pool import Pool
from touchstone.loadgen.bulk_wire import Frames, Setup
from touchstone.loadgen.pacing import Timetable, timer

# How often it is looked for more that is due before answers are read again.
_ROUNDS = 4

# How often timeouts and the end are looked for.
_SWEEP_S = 0.05

# How often samples are passed on between reports. Each time wakes the parent, which may take the core from us.
_SHIP_S = 0.25

# Reports are made when the wall clock is half way between the quarters of a second: each second has two of them,
# however late one is by a little.
_REPORT_S = 0.5
_REPORT_AT_S = 0.25

# What the process ends with when its parent is gone, or by a fault of its own; nobody takes it for a success.
ORPHANED = 3
FAULTY = 70

_STATM = Path("/proc/self/statm")

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class SideCar:
    """What one process does with the messages that it is sent.

    Args:
        tell: Writes a message to the parent.
        leave: Ends the process once all that was told is written.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[bytes], None], leave: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._leave = leave
        self._timetable = Timetable()
        self._timer = timer(loop, self._fire)
        self._shots: list[Loaded] = []
        self._setup: Setup
        self._ledger: Ledger
        self._pool: Pool
        self._origin = 0.0
        self._ends_at = math.inf
        self._shipped_at = 0.0
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []
        self._next_report: asyncio.TimerHandle | None = None

    def take(self, kind: bytes, content: bytes) -> None:
        """Does what a message of the parent asks for."""
        match kind:
            case bulk_wire.SETUP:
                self._set_up(bulk_wire.decode_setup(content))
            case bulk_wire.SCHEDULE:
                self._timetable.add(*bulk_wire.decode_schedule(content))
            case bulk_wire.PREPARE:
                self._tasks.append(self._loop.create_task(self._prepare()))
            case bulk_wire.GO:
                self._go(float(json.loads(content)["origin"]))
            case bulk_wire.STOP:
                self._stop(float(json.loads(content)["grace_s"]))
            case _:
                raise bulk_wire.BrokenFrame(f"a message of kind {kind!r} and {len(content)} bytes")

    def _set_up(self, setup: Setup) -> None:
        self._setup = setup
        self._shots = [Loaded(number, shot) for number, shot in enumerate(setup.shots)]
        self._ledger = Ledger(setup)
        self._pool = Pool(setup, self._ledger)
        if self._timer.coarse:
            self._ledger.note("arrivals are paced by a coarse timer: late by a millisecond or two even at rest")

    async def _prepare(self) -> None:
        await self._pool.open_ahead(self._timetable.peak_per_s())
        self._tell(bulk_wire.frame(bulk_wire.READY))

    def _go(self, origin: float) -> None:
        self._origin = self._ledger.origin = origin
        if self._stopped:
            self._end()
            return
        self._ends_at = origin + self._timetable.last_at + self._setup.grace_s
        if not self._tasks:
            self._tasks.append(self._loop.create_task(self._pool.open_ahead(self._timetable.peak_per_s())))
        # What is there by now stays to the end; no collection needs to look at it.
        gc.freeze()
        self._fire()
        self._loop.call_later(_SWEEP_S, self._sweep)
        self._next_report = self._loop.call_later(_until_report_s(), self._report_on)

    def _stop(self, grace_s: float) -> None:
        """Sends nothing more, and waits for what is under way."""
        self._stopped = True
        self._timer.close()
        self._pool.drop_waiting()
        self._ends_at = min(self._ends_at, monotonic() + grace_s)
        self._report(final=False)

    # --- what goes on by itself --------------------------------------------------------------------------------------

    def _fire(self) -> None:
        """Sends what is due, and has itself called when the next arrival is."""
        send, shots, timetable, origin = self._pool.send, self._shots, self._timetable, self._origin
        now = monotonic() - origin
        # More may have come due meanwhile, which costs less now than by a call of its own; but answers wait as well.
        for _ in range(_ROUNDS):
            for due, shot in timetable.take(now):
                send(due, shots[shot])
            next_at, now = timetable.next_at, monotonic() - origin
            if next_at > now:
                break
        if next_at < math.inf:
            self._timer.arm(origin + next_at + self._setup.gather_s)

    def _sweep(self) -> None:
        now = monotonic()
        self._pool.sweep(now)
        if now >= self._shipped_at + _SHIP_S:
            self._ship()
        all_sent = self._stopped or self._timetable.taken == self._timetable.total
        if now >= self._ends_at or (all_sent and not self._pool.waiting and not self._pool.in_flight):
            self._end()
        else:
            self._loop.call_later(_SWEEP_S, self._sweep)

    def _report_on(self) -> None:
        self._report(final=False)
        self._next_report = self._loop.call_later(_until_report_s(), self._report_on)

    def _end(self) -> None:
        self._pool.cut_off(stopped=self._stopped)
        if not self._stopped:
            # What is due by now and was not handed out, because the time is over, will not be sent either.
            for due, shot in self._timetable.take(monotonic() - self._origin):
                self._ledger.skip(shot, due)
        self._timer.close()
        if self._next_report is not None:
            self._next_report.cancel()
        self._report(final=True)
        self._leave()

    def _ship(self) -> None:
        self._shipped_at = monotonic()
        for frame in self._ledger.take_frames():
            self._tell(frame)

    def _report(self, *, final: bool) -> None:
        self._ship()
        self._tell(bulk_wire.json_frame(bulk_wire.REPORT, self._state(final=final) | self._ledger.take_counts()))

    def _state(self, *, final: bool) -> dict[str, Any]:
        pool, timetable = self._pool, self._timetable
        now = monotonic() - self._origin
        return {
            "at_s": now,
            "scheduled": timetable.total,
            "sent": pool.sent,
            "done": self._ledger.done,
            "unsent": self._ledger.unsent,
            "undue": timetable.total - timetable.taken if final else 0,
            "in_flight": pool.in_flight,
            "waiting": pool.waiting,
            "waited_s": max(0.0, now - pool.waiting_since),
            "connections": len(pool.connections),
            "cpu_s": time.process_time(),
            "rss_bytes": _rss_bytes(),
            "final": final,
        }


class _FromParent(asyncio.Protocol):
    """The messages of the parent. Where there is no parent any more, there is nobody to send for."""

    def __init__(self, take: Callable[[bytes, bytes], None]) -> None:
        self._take = take
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        for kind, content in self._frames.feed(data):
            self._take(kind, content)

    def connection_lost(self, _error: Exception | None) -> None:
        os._exit(ORPHANED)


class _ToParent(asyncio.Protocol):
    """The way to the parent; once it is closed, all that was written to it has been read or never will be."""

    def __init__(self, closed: "asyncio.Future[None]") -> None:
        self._closed = closed

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            os._exit(ORPHANED)
        self._closed.set_result(None)


async def run(stdin: int, stdout: int) -> None:
    """Serves the parent at the other ends of two pipes until the end of the schedule."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_fail)
    closed = loop.create_future()
    out, _ = await loop.connect_write_pipe(lambda: _ToParent(closed), os.fdopen(stdout, "wb", 0))
    side_car = SideCar(loop, out.write, out.close)
    await loop.connect_read_pipe(lambda: _FromParent(side_car.take), os.fdopen(stdin, "rb", 0))
    await closed


def _fail(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Ends the process at a fault of ours, which would spoil its figures; a network that fails is none."""
    error = context.get("exception")
    if isinstance(error, OSError):
        return
    sys.stderr.write(f"{context.get('message')}\n")
    if error is not None:
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(FAULTY)


def _until_report_s() -> float:
    left_s = _REPORT_S - (time.time() - _REPORT_AT_S) % _REPORT_S
    # A timer that went off a little too early was meant for now.
    return left_s if left_s > _REPORT_S / 2 else left_s + _REPORT_S


def _rss_bytes() -> int:
    """Memory in use; at its most where the system does not say what it is now."""
    with contextlib.suppress(OSError):
        return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()
    # macOS tells bytes, where all others tell kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Runs the side-car on what its parent holds."""
    # Ctrl-C reaches the whole group of processes; what it means here, the parent says.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin, stdout = os.dup(_STDIN), os.dup(_STDOUT)
    # Whatever is printed by mistake must not get between the messages.
    os.dup2(_STDERR, _STDOUT)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run(stdin, stdout))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
