"""The side-car of a load worker as its greenlets see it: nothing here keeps other greenlets waiting."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import gevent
from gevent import subprocess
from gevent.lock import BoundedSemaphore
from gevent.os import make_nonblocking, nb_read, nb_write

from touchstone.config import HANDOVER
from touchstone.errors import TargetError
from touchstone.facts.sample import Window, middle_s
from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_reports import Report, ReportReader
from touchstone.loadgen.bulk_wire import Setup
from touchstone.loadgen.metrics import kind_of
from touchstone.target.redact import Secrets

if TYPE_CHECKING:
    from locust.stats import RequestStats, StatsEntry

_COMMAND = (sys.executable, "-P", "-m", "touchstone.loadgen.bulk")

# What a pipe holds.
_READ_BYTES = 64 * 1024
_TAIL_BYTES = 2000

# A side-car that has told all ends by itself, and one that has ended is known to have within this.
_END_S = 5.0

_FAILURES = ("error", "unsent")


class SideCar:
    """A side-car, from its start to its end.

    Args:
        worker: Number of the worker, for the windows in the reports.
    """

    def __init__(self, worker: int = 0) -> None:
        self._worker = worker
        self._process: Any = None
        self._in = self._out = -1
        self._stderr: Any = None
        self._secrets = Secrets({})
        self._reader = ReportReader((), worker)
        # A message is written in pieces where the pipe is full, and no other one may get between them.
        self._writing = BoundedSemaphore(1)
        self._reading = False

    def start(self, setup: Setup) -> None:
        """Starts the process and tells it what it is for."""
        self._secrets = Secrets({str(place): value.decode() for place, value in enumerate(setup.secrets)})
        self._reader = ReportReader(setup.shots, self._worker)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process is gone
        theirs_in, self._in = os.pipe()
        self._out, theirs_out = os.pipe()
        # It gets all that it needs to know through its stdin: the hand-over holds more keys than it needs.
        environment = {name: value for name, value in os.environ.items() if name != HANDOVER}
        try:
            self._process = subprocess.Popen(
                _COMMAND, stdin=theirs_in, stdout=theirs_out, stderr=self._stderr, env=environment
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        make_nonblocking(self._in)
        make_nonblocking(self._out)
        self._tell(bulk_wire.encode_setup(setup))

    def send_schedule(self, dues: Sequence[float], shots: Sequence[int]) -> None:
        """Hands over arrivals, before `prepare` or `go`; those of a second call are due after those of the first one.

        Args:
            dues: Run seconds, ascending; numpy arrays do as well.
            shots: For each of them, a place in `Setup.shots`.
        """
        for frame in bulk_wire.schedule_frames(dues, shots):
            self._tell(frame)

    def prepare(self, timeout_s: float = 10.0) -> None:
        """Waits until the side-car has read the schedule and opened the connections that its rate is likely to need.

        Raises:
            TargetError: it died, or is not ready within *timeout_s*.
        """
        self._tell(bulk_wire.frame(bulk_wire.PREPARE))
        with gevent.Timeout(timeout_s, TargetError(f"load: the bulk engine is not ready within {timeout_s:g} s")):
            while not self._reader.ready:
                for _ in self._reader.feed(self._read()):
                    pass

    def go(self, origin: float) -> None:
        """Begins to send.

        Args:
            origin: Value of the monotonic clock at run second 0, better some tenths of a second ahead.
        """
        self._tell(bulk_wire.json_frame(bulk_wire.GO, {"origin": origin}))

    def reports(self) -> Iterator[Report]:
        """Yields what the side-car hands back, twice a second, up to the final report; the process is gone after that.

        Raises:
            TargetError: it died before; the message has its exit status and its last words.
        """
        while True:
            for report in self._reader.feed(self._read()):
                if report.final:
                    self._end()
                yield report
                if report.final:
                    return

    def stop(self, grace_s: float) -> None:
        """Has nothing more sent; what is under way is waited for, for *grace_s* at most. The final report follows."""
        # Whoever reads the reports is told of a side-car that is gone.
        with contextlib.suppress(OSError):
            self._write(bulk_wire.json_frame(bulk_wire.STOP, {"grace_s": grace_s}))

    def kill(self) -> None:
        """Ends the process at once. Ending twice does nothing."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        # A descriptor that another greenlet waits for must stay what it is; that greenlet is woken by the end.
        if not self._reading:
            self._end()

    def _tell(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError:
            raise self._died() from None

    def _write(self, data: bytes) -> None:
        with self._writing:
            rest = memoryview(data)
            while rest:
                rest = rest[nb_write(self._in, rest) :]

    def _read(self) -> bytes:
        self._reading = True
        try:
            data: bytes = nb_read(self._out, _READ_BYTES) if self._out >= 0 else b""
        finally:
            self._reading = False
        if not data:
            raise self._died()
        return data

    def _end(self) -> int | None:
        """Waits for the end of the process and lets go of its pipes; its exit status."""
        if self._process is None:
            return None
        try:
            status: int = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for descriptor in (self._in, self._out):
            if descriptor >= 0:
                os.close(descriptor)
        self._in = self._out = -1
        return status

    def _died(self) -> TargetError:
        status = self._end()
        self._stderr.seek(0)
        tail = self._secrets.text(self._stderr.read().decode("utf-8", "replace"))[-_TAIL_BYTES:].strip()
        said = f"; it said: {tail}" if tail else " and said nothing"
        return TargetError(f"load: the bulk engine ended before its last report, with exit status {status}{said}")


def fold(stats: "RequestStats", window: Window, name: str = "", method: str = "") -> None:
    """Adds a window to Locust's statistics, as if its requests had been logged one by one just now.

    Errors and arrivals that were not sent are failures, the latter without a request; all else is as good as it can be.

    Args:
        name: What the row is called; operation and outcome where it is empty.
        method: What else Locust tells rows by.
    """
    name = name or f"{window.operation} {window.outcome}"
    kind = kind_of(window.outcome)
    if kind != "unsent" and window.count:
        entry = _entry(stats, window, name, method)
        stats.entries[name, method].extend(entry)
        stats.total.extend(entry)
    for _ in range(window.count if kind in _FAILURES else 0):
        stats.log_error(method, name, window.outcome)


def _entry(stats: "RequestStats", window: Window, name: str, method: str) -> "StatsEntry":
    now = time.time()
    response = window.response
    # Its class is taken from what is there, so that Locust is imported by whoever runs under it. It takes whole
    # milliseconds by its annotations only.
    entry: Any = type(stats.total)(stats, name, method)
    entry.num_requests = window.count
    entry.total_response_time = response.sum_s * 1e3
    entry.min_response_time = response.min_s * 1e3
    entry.max_response_time = response.max_s * 1e3
    entry.response_times = {middle_s(edge) * 1e3: count for edge, count in response.cells.items()}
    entry.total_content_length = window.body_bytes
    entry.num_reqs_per_sec = {int(now): window.count}
    entry.last_request_timestamp = now
    return cast("StatsEntry", entry)
