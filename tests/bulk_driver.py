"""A side-car and a test that is its parent, without gevent."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from touchstone.facts.sample import Window
from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_reports import Report, ReportReader
from touchstone.loadgen.bulk_wire import BulkShot, Look, Setup

ROOT = Path(__file__).resolve().parent.parent

# Nothing waits this long unless it hangs.
LIMIT_S = 20.0


def shot(path: str, method: str = "GET") -> BulkShot:
    """A request whose operation is its path."""
    wire = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    return BulkShot(path, method, wire.encode())


def setup_for(url: str, shots: Sequence[BulkShot], **values: Any) -> Setup:
    """A set-up for a server on this machine, with short times."""
    parts = urlsplit(url)
    short = {"timeout_s": 5.0, "grace_s": 5.0, "max_connections": 4}
    return Setup(parts.hostname or "", parts.port or 0, parts.scheme == "https", tuple(shots), **short | values)


class Driven:
    """A side-car that has its set-up and its schedule.

    Attributes:
        origin: Value of the monotonic clock at its run second 0.
        reports: Those that were read so far.
    """

    def __init__(
        self,
        setup: Setup,
        dues: Sequence[float],
        shots: Sequence[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.origin = 0.0
        self.reports: list[Report] = []
        self._reader = ReportReader(setup.shots, worker=0)
        self.child = subprocess.Popen(
            [sys.executable, "-m", "touchstone.loadgen.bulk"],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.tell(bulk_wire.encode_setup(setup))
        for frame in bulk_wire.schedule_frames(dues, shots or [0] * len(dues)):
            self.tell(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(LIMIT_S)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()

    def tell(self, frame: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(frame)
        self.child.stdin.flush()

    def go(self, begun_s: float = 0.0) -> Self:
        """Begins at run second *begun_s*, as soon as all is ready."""
        self.tell(bulk_wire.frame(bulk_wire.PREPARE))
        while not self._reader.ready:
            self._read()
        self.origin = time.monotonic() - begun_s
        self.tell(bulk_wire.json_frame(bulk_wire.GO, {"origin": self.origin}))
        return self

    def stop(self, grace_s: float) -> None:
        self.tell(bulk_wire.json_frame(bulk_wire.STOP, {"grace_s": grace_s}))

    def wait_for_report(self) -> Report:
        """The next report."""
        before = len(self.reports)
        while len(self.reports) == before:
            self._read()
        return self.reports[-1]

    def finish(self) -> Report:
        """The final report, when the process has ended as it should."""
        while not self.reports or not self.reports[-1].final:
            self._read()
        assert self.child.wait(LIMIT_S) == 0
        return self.reports[-1]

    def windows(self) -> Iterator[Window]:
        return (window for report in self.reports for window in report.windows)

    def looks(self) -> list[Look]:
        return [look for report in self.reports for look in report.looks]

    def outcomes(self) -> dict[str, dict[str, int]]:
        """How often each operation had which outcome."""
        found: dict[str, Counter[str]] = {}
        for window in self.windows():
            found.setdefault(window.operation, Counter())[window.outcome] += window.count
        return {name: dict(counts) for name, counts in found.items()}

    def seen(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for report in self.reports:
            found.update(report.seen)
        return found

    def errors(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for report in self.reports:
            found.update(report.errors)
        return found

    def _read(self) -> None:
        assert self.child.stdout is not None
        data = os.read(self.child.stdout.fileno(), 65_536)
        assert data, "the side-car has ended"
        self.reports += self._reader.feed(data)
