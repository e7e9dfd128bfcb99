"""Measures how long a check takes, on correct servers of several speeds and on broken ones, all in one run.

The servers run in this process, and count the builds that begin. Each row is one `touchstone check` in a process of its
own; CPU is the time of that process, with the embedded twin if that is the target. Nothing is asserted.
"""

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.check.job import EMBEDDED_TWIN
from touchstone.contract.files import openapi_dir
from touchstone.twin import DEFAULT_ACCOUNTS, Engine, RateLimit, Twin, TwinSettings
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.serve import Asgi

FAST = RateLimit.parse("600/1")
SERVERS = {
    "twin, served": EMBEDDED_TWIN,
    "builds of 20 s": TwinSettings(build_s=20.0, capacity=64, rate=FAST),
    "builds of 20 s, 4 at a time": TwinSettings(build_s=20.0, capacity=4, rate=FAST),
    "builds of 0.5 s, latency 150 ms": TwinSettings(build_s=0.5, capacity=64, rate=FAST, latency_s=0.15),
    "8 starts in 4 s, 2 at a time": replace(EMBEDDED_TWIN, rate=RateLimit.parse("8/4"), capacity=2),
}
BROKEN = TwinSettings(build_s=2.0, capacity=64, rate=FAST)
ENVIRONMENT = {
    f"ORGO_{'' if account.name == 'primary' else account.name.upper() + '_'}API_KEY": account.key
    for account in DEFAULT_ACCOUNTS
}
NEVER_S = 1e6
STATE = tempfile.TemporaryDirectory(prefix="bench-")
PROFILES = ("quick", "standard")
SILENT_AFTER = 200  # requests after which a server stops responding


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; *length_s* is the duration of one build."""

    server: str
    command: str
    code: int
    wall_s: float
    cpu_s: float
    builds: int
    length_s: float = 0.0

    def line(self) -> str:
        lengths = f"{self.wall_s / self.length_s:.1f}" if self.length_s else "-"
        waiting = f"{max(0.0, 1 - self.cpu_s / self.wall_s):.0%}"
        figures = f"{self.wall_s:>8.1f}{self.cpu_s:>7.1f}{lengths:>9}{self.builds:>8}{waiting:>9}{self.code:>6}"
        return f"{self.server:<34}{self.command:<13}{figures}"


class Counting(Engine):
    """A correct server that counts its builds."""

    begun = 0

    def launch(self, version: Version) -> Build:
        Counting.begun += 1
        return super().launch(version)


class Misspelt(Counting):
    """Writes each status with a capital letter."""

    def status_body(self, version: Version) -> dict[str, Any]:
        body = super().status_body(version)
        return body | {"status": str(body["status"]).capitalize()}


def falling_silent(app: Asgi) -> Asgi:
    served = 0

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        nonlocal served
        served += scope["type"] == "http"
        if served > SILENT_AFTER:
            await asyncio.sleep(NEVER_S)  # the silent server is what is measured
        await app(scope, receive, send)

    return wrapped


BROKEN_SERVERS = {
    "every status misspelt": Twin(BROKEN, engine=Misspelt),
    "cancelled builds never settle": Twin(replace(BROKEN, settle_s=NEVER_S), engine=Counting),
    "builds never end, limit 60 s": Twin(replace(BROKEN, build_s=NEVER_S), engine=Counting),
    "stops responding in the middle": Twin(BROKEN, engine=Counting, wrap=falling_silent),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench_check", description=__doc__)
    parser.add_argument("--only", default="", help="measure only servers whose name contains this text")
    options = parser.parse_args()
    checked("twin", None, "quick")  # Hypothesis computes its tables at first use
    print(f"{'server':<34}{'command':<13}{'wall s':>8}{'CPU s':>7}{'lengths':>9}{'builds':>8}{'waiting':>9}{'exit':>6}")
    for profile in PROFILES:
        if options.only in "twin":
            print(checked("twin", None, profile).line(), flush=True)
    for name, settings in SERVERS.items():
        if options.only in name:
            for profile in PROFILES:
                print(checked(name, Twin(settings, engine=Counting), profile).line(), flush=True)
            print(plain(name, Twin(settings, engine=Counting)).line(), flush=True)
    print(checked("builds of 2 s, all correct", Twin(BROKEN, engine=Counting), "standard").line(), flush=True)
    for name, twin in BROKEN_SERVERS.items():
        if options.only in name:
            print(checked(name, twin, "standard").line(), flush=True)


def checked(server: str, twin: Twin | None, profile: str) -> Row:
    command = [sys.executable, "-m", "touchstone", "check", "--profile", profile, "--strict", "--report-dir", "run"]
    if twin is None:
        return measured(server, profile, [*command, "--target", "twin"], 0.0)
    with twin:
        ends, known = twin.settings.build_s < NEVER_S, f'[targets.bench]\nurl = "{twin.url}"\nbuild_timeout_s = '
        length_s, known = (twin.settings.build_s, f"{known}600") if ends else (0.0, f"{known}60")
        return measured(server, profile, [*command, "--target", "bench"], length_s, known)


def plain(server: str, twin: Twin) -> Row:
    key = f"Authorization: Bearer {DEFAULT_ACCOUNTS[0].key}"
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    command += [str(openapi_dir() / "builds.yaml"), "--no-color", "--header", key]
    with twin:
        return measured(server, "schemathesis", [*command, "--url", twin.url], twin.settings.build_s)


def measured(server: str, name: str, command: list[str], length_s: float, settings: str = "") -> Row:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        (Path(folder) / "touchstone.toml").write_text(settings, "utf-8")
        Counting.begun, began, spent_s = 0, time.monotonic(), sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        env = {**os.environ, **ENVIRONMENT, "XDG_STATE_HOME": STATE.name}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        wall_s, spent_s = time.monotonic() - began, sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - spent_s
        return Row(server, name, done.returncode, wall_s, spent_s, Counting.begun, length_s)


if __name__ == "__main__":
    main()
