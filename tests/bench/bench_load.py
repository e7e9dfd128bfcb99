"""
Measures what a request costs `touchstone load` and a plain FastHttpUser of Locust: same server, same rate, one core.

Every answer has a request id of its own, and ours judges each. Prints the CPU time of each generator by the requests
that the server counted, medians over some rounds, and their ratio. Nothing is asserted: speed is reported.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load_server import COUNTS_PATH, PATH, REF
from tests.stages import free_port
from touchstone.check.job import child_environment
from touchstone.config import Flags
from touchstone.config import load as load_settings
from touchstone.contract.files import load_dir
from touchstone.facts import runlog
from touchstone.facts.sample import Histogram
from touchstone.loadgen.handover import GO, Go, LoadHandover
from touchstone.loadgen.plan import SCENARIOS, Options, Stage

KEY = "sk_live_test_bench"
ROOT = Path(__file__).resolve().parents[2]
USERS = 64
READY_S, WARM_UP_S = 20.0, 2.0
LOCUST = [sys.executable, "-m", "locust", "--config", os.devnull, "--headless", "--only-summary"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one generator did in one round.

    Attributes:
        late_p99_ms: Of ours: how late it sent, which Locust does not say of its own users.
    """

    per_s: float
    cpu_us: float
    late_p99_ms: float | None = None


def fast_http_user(url: str, _folder: Path, per_s: float, seconds: float) -> tuple[list[str], dict[str, str]]:
    """Command and environment of Locust's own user."""
    told = {"BENCH_PATH": PATH, "BENCH_AUTHORIZATION": f"Bearer {KEY}", "BENCH_PER_USER_S": f"{per_s / USERS:g}"}
    flags = ["--host", url, "--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{seconds:.0f}s"]
    return [*LOCUST, "-f", str(ROOT / "tests" / "bench" / "load_stock.py"), *flags], {**os.environ, **told}


def touchstone(url: str, folder: Path, per_s: float, seconds: float) -> tuple[list[str], dict[str, str]]:
    """Command and environment of what `touchstone load steady --mix read=1` starts."""
    settings = load_settings(Flags(url=f"{url}/api", seed=1), {"ORGO_API_KEY": KEY}, folder)
    options = Options(SCENARIOS["steady"], f"constant:{per_s:g}", seconds, {"read": 1}, seed=1, ready=1)
    go = Go(options, Stage({"ready": (REF,)}, {}), time.monotonic())
    log, go_file = folder / "runlog.jsonl", folder / "go.json"
    log.touch()
    go_file.write_text(json.dumps(GO.dump_python(go, mode="json")), encoding="utf-8")
    handover = LoadHandover(settings, str(log), go_file=str(go_file))
    flags = ["--host", "-", "--users", "1", "--spawn-rate", "1"]
    return [*LOCUST, "-f", str(load_dir() / "steady.py"), *flags], child_environment(handover, os.environ)


GENERATORS = {"Locust FastHttpUser": fast_http_user, "touchstone load": touchstone}


def measured(name: str, url: str, folder: Path, core: int, per_s: float, seconds: float) -> Measured:
    """Runs one generator, and measures it for some seconds."""
    folder.mkdir()
    command, environment = GENERATORS[name](url, folder, per_s, WARM_UP_S + seconds + 3)
    before = served(url)
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output, **pinned(core))
    try:
        until = time.monotonic() + READY_S
        while served(url) - before < per_s / 10 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)  # between two looks at what the server counted
            before += 1
        time.sleep(WARM_UP_S)  # the warm-up is not measured
        requests, spent_s, began = served(url), cpu_s(process.pid), time.monotonic()
        time.sleep(seconds)  # the stretch that is measured
        # The last question was served as well.
        requests, spent_s, wall_s = served(url) - requests - 1, cpu_s(process.pid) - spent_s, time.monotonic() - began
        process.wait(READY_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    late = lateness_ms(folder / "runlog.jsonl") if (folder / "runlog.jsonl").exists() else None
    return Measured(requests / wall_s, 1e6 * spent_s / max(requests, 1), late)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, user and system, from /proc/PID/stat (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pinned(core: int) -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a process that stays on *core*, in a group of its own."""
    return {"preexec_fn": lambda: os.sched_setaffinity(0, {core}), "start_new_session": True}


def lateness_ms(run_log: Path) -> float:
    """How late requests were sent, at p99; a run with anything but good answers is no measurement."""
    events = [json.loads(line) for line in run_log.read_text(encoding="utf-8").splitlines()]
    wrong = [event for event in events if event["type"] in ("finding", "warning")]
    windows = [runlog.decode(event) for event in events if event["type"] == "window"]
    if wrong or {window.outcome for window in windows} != {"200"}:
        raise SystemExit(f"the run was not as it should be: {wrong or {window.outcome for window in windows}}")
    return 1e3 * Histogram.merged(window.late for window in windows).quantile_s(0.99)


def served(url: str) -> int:
    """Requests that the server has served; the one that asks is among them."""
    with urllib.request.urlopen(f"{url}{COUNTS_PATH}", timeout=READY_S) as answer:
        return int(answer.read())


@contextlib.contextmanager
def serving(core: int) -> Iterator[str]:
    """Starts the server; yields its URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.load_server", str(port)], cwd=ROOT, **pinned(core))
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + READY_S
        while time.monotonic() < until:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                served(url)
                break
            time.sleep(0.05)  # between two tries to connect
        yield url
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Prints both generators side by side."""
    parser = argparse.ArgumentParser(prog="bench_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each generator is measured in each round")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second")
    asked = parser.parse_args()
    if sys.platform != "linux":
        print("bench of load: skipped; only Linux tells what other processes spend")
        return
    server_core, *_, core = sorted(os.sched_getaffinity(0)) * 2
    os.sched_setaffinity(0, {server_core})
    found: dict[str, list[Measured]] = {name: [] for name in GENERATORS}
    with tempfile.TemporaryDirectory(prefix="touchstone-bench-") as folder, serving(server_core) as url:
        for number in range(asked.rounds):
            for name, runs in found.items():
                place = Path(folder) / f"{number}-{name.replace(' ', '-')}"
                runs.append(measured(name, url, place, core, asked.rate, asked.seconds))
    costs = {name: statistics.median(run.cpu_us for run in runs) for name, runs in found.items()}
    for name, runs in found.items():
        late = statistics.median(run.late_p99_ms or 0.0 for run in runs)
        low, high = min(run.cpu_us for run in runs), max(run.cpu_us for run in runs)
        rate = statistics.median(run.per_s for run in runs)
        shown = f"   late at p99: {late:.2f} ms" if late else ""
        print(f"{name:<22}{rate:>7,.0f}/s{costs[name]:>8.1f} us a request ({low:.1f} to {high:.1f}){shown}")
    plain, ours = costs.values()
    print(f"touchstone load costs {ours / plain:.2f} times a plain FastHttpUser")


if __name__ == "__main__":
    main()
