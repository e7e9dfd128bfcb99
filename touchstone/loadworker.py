"""
A worker on a machine of its own: the master tells it what to send, its own settings where to and with which keys.
"""

import os
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

from touchstone.bundle import load_dir
from touchstone.children import signals
from touchstone.errors import UsageError
from touchstone.loadhandover import LoadHandover
from touchstone.loading import LOOPBACK, locust_environment
from touchstone.settings import Settings
from touchstone.workloads import Scenario


def work(settings: Settings, chosen: Scenario, master: str, port: int, allows: str) -> int:
    """
    Works for the master on host *master* until the run is over; the exit code of Locust.

    Raises:
        UsageError: there is no target to send to, or the load is not allowed there.
    """
    url = settings.target.url
    if not url:
        raise UsageError("--worker: the embedded twin belongs to one process; name a target with --url or --target")
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK and host != allows.strip("[]"):
        raise UsageError(f"{url}: a load on another machine than this one; if that is meant, add --allow-load {host}")
    command = [
        *(sys.executable, "-m", "locust", "--config", os.devnull),
        *("-f", str(load_dir() / f"{chosen.name}.py")),
        *("--worker", "--master-host", master, "--master-port", str(port), "--host", "-"),
    ]
    handover = LoadHandover(settings=settings.to_json(), url=url)
    with tempfile.TemporaryDirectory(prefix="touchstone-") as cwd, signals() as interrupted:
        child = subprocess.Popen(
            command, cwd=cwd, env=locust_environment(handover, os.environ), stdin=subprocess.DEVNULL, start_new_session=True
        )
        told = False
        while child.poll() is None:
            if interrupted.by and not told:
                child.send_signal(interrupted.by)
                told = True
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    return 130 if interrupted.by else 3 if child.returncode else 0
