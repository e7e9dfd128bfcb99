"""Measures a check beside plain `schemathesis run`: same document, same server, same machine, one after the other.

Prints wall time, requests that the twin saw, and CPU time of the client's process tree, as figures and as ratios. The
twin runs in this process, so that its own CPU time does not count. Nothing here is asserted: speed is reported.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from touchstone.check.job import EMBEDDED_TWIN
from touchstone.contract.files import openapi_dir
from touchstone.twin import Twin
from touchstone.twin.serve import Asgi

ROUNDS = 2


@dataclass(frozen=True)
class Measured:
    """One command: seconds on the clock, seconds of CPU, and requests that reached the twin."""

    name: str
    wall_s: float
    cpu_s: float
    requests: int
    exit_code: int

    def row(self) -> str:
        """The figures in one line."""
        per_s = self.requests / self.wall_s
        per_request_ms = 1000 * self.cpu_s / max(self.requests, 1)
        return (
            f"{self.name:<28}{self.wall_s:>8.1f} s{self.cpu_s:>8.1f} s{self.requests:>8}"
            f"{per_s:>9.0f}/s{per_request_ms:>9.2f} ms   exit {self.exit_code}"
        )


class Counted:
    """Counts the requests that pass."""

    def __init__(self) -> None:
        self.requests = 0

    def wrap(self, app: Asgi) -> Asgi:
        """*app* with a counter in front."""

        async def counting(scope, receive, send):  # type: ignore[no-untyped-def]  # ASGI's own types are open
            self.requests += scope["type"] == "http"
            await app(scope, receive, send)

        return counting


def measure(name: str, command: list[str], folder: Path) -> Measured:
    """Runs *command* against a fresh twin; ``{url}`` in it stands for the twin's address."""
    counted = Counted()
    with Twin(EMBEDDED_TWIN, wrap=counted.wrap) as twin:
        environment = os.environ | {"ORGO_API_KEY": "sk_live_test_primary", "XDG_STATE_HOME": str(folder)}
        environment |= {
            "ORGO_SECOND_API_KEY": "sk_live_test_second",
            "ORGO_RESTRICTED_API_KEY": "sk_live_test_restricted",
        }
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        filled = [part.replace("{url}", twin.url) for part in command]
        done = subprocess.run(filled, cwd=folder, env=environment, capture_output=True, check=False)
        wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(name, wall_s, cpu_s, counted.requests, done.returncode)


def commands() -> list[tuple[str, list[str]]]:
    """The commands to compare, by name."""
    python = [sys.executable, "-m"]
    check = [*python, "touchstone", "check", "--url", "{url}", "--max-builds", "1000"]
    plain = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    document = str(openapi_dir() / "builds.yaml")
    header = "Authorization: Bearer sk_live_test_primary"
    return [
        ("touchstone check, quick", [*check, "--profile", "quick"]),
        ("touchstone check, standard", [*check, "--profile", "standard"]),
        ("schemathesis run", [*plain, document, "--url", "{url}", "--header", header, "--no-color"]),
    ]


def main() -> None:
    """Prints the table, the better of a few rounds a command, and the ratios."""
    best: dict[str, Measured] = {}
    for _ in range(ROUNDS):
        for name, command in commands():
            with tempfile.TemporaryDirectory() as folder:
                measured = measure(name, command, Path(folder))
            if name not in best or measured.wall_s < best[name].wall_s:
                best[name] = measured
    print(f"{'':<28}{'wall':>10}{'CPU':>10}{'requests':>8}{'rate':>11}{'CPU/request':>12}")
    for measured in best.values():
        print(measured.row())
    standard, plain = best["touchstone check, standard"], best["schemathesis run"]
    cpu = (standard.cpu_s / standard.requests) / (plain.cpu_s / plain.requests)
    print(
        f"standard check / schemathesis run: wall {standard.wall_s / plain.wall_s:.2f}, "
        f"requests {standard.requests / plain.requests:.2f}, CPU a request {cpu:.2f}"
    )


if __name__ == "__main__":
    main()
