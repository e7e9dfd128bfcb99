"""A worker on a machine of its own: its master gives it its part, its own settings say where to and with which keys."""

import os
import re
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

from touchstone.check.child import child_environment, signals, watched
from touchstone.check.job import new_log, new_run_id
from touchstone.config import Settings
from touchstone.contract.files import load_dir
from touchstone.errors import TargetError, UsageError
from touchstone.loadgen.handover import JOINED, REFUSAL, LoadHandover
from touchstone.loadgen.loading import check_allowed
from touchstone.loadgen.workloads import Scenario

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")
_ADVICE = "the name or the address of the machine where --master is"


def work(settings: Settings, chosen: Scenario, master: str, port: int, allows: str) -> int:
    """Works for the master on host *master* until the run is over; 0 where it did its part, or 130.

    It reports to the master, which has the run log; what Locust itself prints is in ``locust.log``. Locust tries for
    five minutes to find the master: that may come up after its workers.

    Raises:
        UsageError: there is no target to send to, the load is not allowed there, the folder cannot be written, or the
            host of the master is none, or has been unknown until the last try.
        TargetError: it found no master, had no part in the run, or did not come to its end.
    """
    check_host(master)
    if not settings.target.url:
        raise UsageError("--worker: the embedded twin belongs to one process; name a target with --url or --target")
    check_allowed(settings.target.url, allows)
    run_log = new_log(settings.report_dir or Path("reports") / f"worker-{new_run_id()}")
    output = run_log.with_name("locust.log")
    command = [
        *(sys.executable, "-m", "locust", "--config", os.devnull),
        *("-f", str(load_dir() / f"{chosen.name}.py")),
        *("--worker", "--master-host", master, "--master-port", str(port), "--host", "-"),
    ]
    environment = child_environment(LoadHandover(settings, ""), os.environ)
    print(f"waiting for the master at {master}:{port}; log: {output}", file=sys.stderr, flush=True)  # noqa: T201
    with signals() as interrupted:
        ended = watched(command, environment, output, run_log, lambda _: None, interrupted, settings.max_seconds)
    if interrupted.by:
        return 130
    if ended:
        raise failure(output, ended, master, port)
    return 0


def failure(output: Path, ended: int, master: str, port: int) -> UsageError | TargetError:
    """Why a worker did not do its part, by what it printed."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    refusals = [line.removeprefix(REFUSAL) for line in lines if line.startswith(REFUSAL)]
    if refusals or JOINED in lines:
        return TargetError("; ".join(refusals) or f"Locust ended with {ended}; see {output}")
    try:
        socket.getaddrinfo(master, port)
    except (OSError, UnicodeError) as error:
        return UsageError(f"--worker {master}: nobody knows this host ({error}); give {_ADVICE}")
    advice = f"start it with --master, and the same --port; see {output}"
    return TargetError(f"--worker {master}: no master at {master}:{port}; {advice}")


def check_host(master: str) -> None:
    """Makes sure that *master* may be a host. Whether it is known shows later.

    Raises:
        UsageError: it cannot be one.
    """
    try:
        ip_address(master)
    except ValueError:
        if not _HOST.fullmatch(master) or ".." in master:
            raise UsageError(f"--worker {master!r}: no host; expected {_ADVICE}; its port goes into --port") from None
