"""A worker on a machine of its own: the master tells it what to send, its own settings where to and with which keys."""

import os
import re
import socket
import sys
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from touchstone.check.child import child_environment, signals, watched
from touchstone.check.opening import new_log, new_run_id
from touchstone.config import Settings
from touchstone.contract.files import load_dir
from touchstone.errors import TargetError, UsageError
from touchstone.loadgen.handover import PROGRESS, REFUSAL, LoadHandover
from touchstone.loadgen.loading import check_allowed
from touchstone.loadgen.workloads import Scenario

# How often a reminder says that no master is there yet. Locust tries on by itself, and gives up after five minutes.
REMIND_S = 30.0

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


def work(settings: Settings, chosen: Scenario, master: str, port: int, allows: str) -> int:
    """Works for the master on host *master* until the run is over; 0 where it did its part, or 130.

    It reports to the master, which has the run log; what Locust itself prints is in ``locust.log``.

    Raises:
        UsageError: there is no target to send to, the load is not allowed there, the folder cannot be written, or the
            host of the master is none, or has been unknown until the last try.
        TargetError: it found no master, had no part in the run, or did not come to its end.
    """
    check_host(master)
    url = settings.target.url
    if not url:
        raise UsageError("--worker: the embedded twin belongs to one process; name a target with --url or --target")
    check_allowed(url, allows)
    run_log = new_log(settings.report_dir or Path("reports") / f"worker-{new_run_id()}")
    command = [
        *(sys.executable, "-m", "locust", "--config", os.devnull),
        *("-f", str(load_dir() / f"{chosen.name}.py")),
        *("--worker", "--master-host", master, "--master-port", str(port), "--host", "-"),
    ]
    environment = child_environment(LoadHandover(settings, ""), os.environ)
    output = run_log.parent / "locust.log"
    waiting = WorkerProgress(output, master, port)
    with signals() as interrupted:
        limit_s = settings.max_seconds
        ended = watched(command, environment, output, run_log, lambda _: None, interrupted, limit_s, waiting.follow)
    if interrupted.by:
        return 130
    if ended and not waiting.joined:
        waiting.give_up()
    if ended:
        raise TargetError("; ".join(waiting.refusals) or f"Locust ended with {ended}; see {output}")
    return 0


def check_host(master: str) -> None:
    """Makes sure that *master* may be a host. Whether it is known shows later: it may come up after its workers.

    Raises:
        UsageError: it cannot be one.
    """
    try:
        ip_address(master)
    except ValueError:
        if not _HOST.fullmatch(master) or ".." in master:
            advice = "expected the name or the address of the machine where --master is; its port goes into --port"
            raise UsageError(f"--worker {master!r}: no host; {advice}") from None


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is what this command prints


class WorkerProgress:
    """Prints how a worker comes along: that it waits for its master, when the run begins, and what it did.

    Attributes:
        joined: Whether it has found its master.
        refusals: Why it has no part in the run, by its own words.
    """

    def __init__(
        self,
        output: Path,
        master: str,
        port: int,
        show: Callable[[str], None] = _print,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output, self._master, self._port = output, master, port
        self._show, self._now = show, now
        self._began_at = self._reminded_at = now()
        self._read_bytes = 0
        self.joined = False
        self.refusals: list[str] = []
        show(f"waiting for the master at {master}:{port}{self._doubt()}; log: {output}")

    def follow(self) -> None:
        """Prints what has become known since the last call."""
        for line in self._lines():
            if line.startswith(PROGRESS):
                self.joined = True
                self._show(line.removeprefix(PROGRESS))
            elif line.startswith(REFUSAL):
                self.refusals.append(line.removeprefix(REFUSAL))
        now_at = self._now()
        if not self.joined and now_at - self._reminded_at >= REMIND_S:
            self._reminded_at = now_at
            where = f"{self._master}:{self._port} after {now_at - self._began_at:.0f} s"
            self._show(f"no master at {where}{self._doubt()}; still trying")

    def give_up(self) -> None:
        """Says that no master was found.

        Raises:
            UsageError: nobody knows its host.
            TargetError: there is none.
        """
        if doubt := self._doubt():
            advice = "give the name or the address of the machine where --master is"
            raise UsageError(f"--worker {self._master}: {doubt.strip(' ()')}; {advice}")
        advice = f"start it with --master, and the same --port; see {self._output}"
        raise TargetError(f"--worker {self._master}: no master at {self._master}:{self._port}; {advice}")

    def _doubt(self) -> str:
        try:
            socket.getaddrinfo(self._master, self._port)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is too long"
            return f" (nobody knows this host: {reason})"
        return ""

    def _lines(self) -> list[str]:
        """The whole lines that Locust has written since the last call."""
        if not self._output.exists():
            return []
        with self._output.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.decode("utf-8", errors="replace").splitlines()
