"""A worker on a machine of its own: the master tells it what to send, its own settings where to and with which keys."""

import os
import re
import socket
import sys
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from touchstone.check.child import signals, watched
from touchstone.check.opening import new_log, new_run_id
from touchstone.config import Settings
from touchstone.contract.files import load_dir
from touchstone.errors import TargetError, UsageError
from touchstone.loadgen.handover import PROGRESS, REFUSAL, LoadHandover
from touchstone.loadgen.loading import check_allowed, locust_environment
from touchstone.loadgen.workloads import Scenario

# So often it is said that no master is there yet. Locust tries on by itself, and gives up after five minutes.
REMIND_S = 30.0

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


def work(settings: Settings, chosen: Scenario, master: str, port: int, allows: str) -> int:
    """Works for the master on host *master* until the run is over; 0 where it did its part, or 130.

    What it sees it tells the master, which has the run log; what Locust itself says is in ``locust.log``, and how the
    worker comes along on standard error.

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
    environment = locust_environment(LoadHandover(settings=settings.to_json(), url=url), os.environ)
    output = run_log.parent / "locust.log"
    course = Course(output, master, port, _say)
    with signals() as interrupted:
        limit_s = settings.max_seconds
        ended = watched(command, environment, output, run_log, _told_to_the_master, interrupted, limit_s, course.look)
    if interrupted.by:
        return 130
    if ended and not course.joined:
        course.give_up()
    if ended:
        raise TargetError(_why(output) or f"Locust ended with {ended}; see {output}")
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


class Course:
    """Says how a worker comes along: that it waits for its master, when the run begins, and what it did.

    Attributes:
        joined: Whether it has found its master.
    """

    def __init__(
        self,
        output: Path,
        master: str,
        port: int,
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output, self._master, self._port = output, master, port
        self._say, self._now = say, now
        self._began_at = self._told_at = now()
        self._read_bytes = 0
        self.joined = False
        say(f"waiting for the master at {self._where}{self._doubt()}; log: {output}")

    def look(self) -> None:
        """Says what has come to be known since the last look."""
        for line in self._lines():
            if line.startswith(PROGRESS):
                self.joined = True
                self._say(line.removeprefix(PROGRESS))
        now_at = self._now()
        if not self.joined and now_at - self._told_at >= REMIND_S:
            self._told_at = now_at
            self._say(f"no master at {self._where} after {now_at - self._began_at:.0f} s{self._doubt()}; still trying")

    def give_up(self) -> None:
        """Says that no master was found.

        Raises:
            UsageError: nobody knows its host.
            TargetError: there is none.
        """
        doubt, place = self._doubt(), f"--worker {self._master}"
        if doubt:
            raise UsageError(
                f"{place}: {doubt.strip(' ()')}; give the name or the address of the machine where --master is"
            )
        raise TargetError(
            f"{place}: no master at {self._where}; start it with --master, and the same --port; see {self._output}"
        )

    @property
    def _where(self) -> str:
        return f"{self._master}:{self._port}"

    def _doubt(self) -> str:
        try:
            socket.getaddrinfo(self._master, self._port)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is too long"
            return f" (nobody knows this host: {reason})"
        return ""

    def _lines(self) -> list[str]:
        """The whole lines that Locust has written since the last time."""
        try:
            with self._output.open("rb") as file:
                file.seek(self._read_bytes)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.decode("utf-8", errors="replace").splitlines()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _why(output: Path) -> str:
    """What the worker itself said about its having no part in the run; empty where it said nothing."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return "; ".join(line.removeprefix(REFUSAL) for line in lines if line.startswith(REFUSAL))


def _told_to_the_master(_event: dict[str, Any]) -> None:
    """Takes nothing: a worker has no run log of its own."""
