"""
A worker on a machine of its own: the master tells it what to send, its own settings where to and with which keys.
"""

import os
import sys
from pathlib import Path
from typing import Any

from touchstone.bundle import load_dir
from touchstone.children import signals, watched
from touchstone.errors import TargetError, UsageError
from touchstone.loadhandover import TOLD, LoadHandover
from touchstone.loading import check_allowed, locust_environment
from touchstone.opening import new_log, new_run_id
from touchstone.settings import Settings
from touchstone.workloads import Scenario


def work(settings: Settings, chosen: Scenario, master: str, port: int, allows: str) -> int:
    """
    Works for the master on host *master* until the run is over; 0 where it did its part, or 130.

    What it sees it tells the master, which has the run log; what Locust itself says is in ``locust.log``.

    Raises:
        UsageError: there is no target to send to, the load is not allowed there, or the folder cannot be written.
        TargetError: it had no part in the run, or did not come to its end.
    """
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
    with signals() as interrupted:
        output = run_log.parent / "locust.log"
        ended = watched(command, environment, output, run_log, _told_to_the_master, interrupted, settings.max_seconds)
    if interrupted.by:
        return 130
    if ended:
        raise TargetError(_why(output) or f"Locust ended with {ended}; see {output}")
    return 0


def _why(output: Path) -> str:
    """
    What the worker itself said about its having no part in the run; empty where it said nothing.
    """
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return "; ".join(line.removeprefix(TOLD) for line in lines if line.startswith(TOLD))


def _told_to_the_master(_event: dict[str, Any]) -> None:
    """
    Takes nothing: a worker has no run log of its own.
    """
