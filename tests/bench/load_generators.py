"""The generators that are compared: how each of them is started on one core, and what it says of itself."""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.bench.load_said import Said, of_hey, of_wrk
from tests.bench.load_spent import pinned
from tests.bench.load_target import REF, Target
from touchstone.config import Flags
from touchstone.config import load as load_settings
from touchstone.contract.document import Contract
from touchstone.contract.files import load_dir
from touchstone.facts import runlog
from touchstone.facts.events import Model
from touchstone.facts.sample import Histogram, Window
from touchstone.loadgen.handover import Go, LoadHandover
from touchstone.loadgen.loading import locust_environment
from touchstone.loadgen.plan import Stage
from touchstone.loadgen.prepared_request import Shots
from touchstone.loadgen.workloads import SCENARIOS, Options
from touchstone.target.call import Call, Keys

CONNECTIONS = 16
KEY = "sk_live_test_bench"
ROOT = Path(__file__).resolve().parents[2]

# From its first requests on a generator runs so long before it is measured, and so long beyond it.
WARM_UP_S, BEYOND_S = 0.7, 0.7
_END_S = 10.0
# The status with which Locust is to end where a request of its own users failed.
_FAILED = 9
# More than one core sends: who is given as many has something to send to the end.
ENOUGH_PER_S = 150_000

Port = Literal["plain", "heads", "tls"]
Kind = Literal["wrk", "hey", "stock", "flows", "bulk", "parts"]


@dataclass(frozen=True, slots=True)
class Generator:
    """One way to send requests.

    Attributes:
        program: What has to be installed besides this project.
        port: Where it sends them to.
        per_s: At which rate; None for as fast as it can.
    """

    name: str
    kind: Kind
    program: str = ""
    user: str = ""
    port: Port = "plain"
    per_s: float | None = None

    def url(self, target: Target) -> str:
        """Base URL of what it loads."""
        return {"plain": target.url, "heads": target.heads_url, "tls": target.tls_url}[self.port]

    def lacks(self, target: Target) -> str:
        """Why it cannot run here; empty where it can."""
        if self.program and shutil.which(self.program) is None:
            return f"{self.program} is not installed (a Debian package)"
        return "" if self.url(target) else "no openssl here to make a certificate with"


GENERATORS = (
    Generator("wrk", "wrk", program="wrk"),
    Generator("hey", "hey", program="hey"),
    Generator("Locust FastHttpUser", "stock", user="Fast"),
    Generator("Locust HttpUser", "stock", user="Plain"),
    Generator("flows", "flows"),
    Generator("flows, TLS", "flows", port="tls"),
    Generator("flows, a new head each", "flows", port="heads"),
    Generator("flows at 2,000/s", "flows", per_s=2_000),
    Generator("bulk", "bulk"),
    Generator("bulk, TLS", "bulk", port="tls"),
    Generator("bulk, a new head each", "bulk", port="heads"),
    Generator("bulk at 5,000/s", "bulk", per_s=5_000),
)
PARTS = Generator("parts", "parts")
BESIDE = ("all in, a new head each", "all in, with TLS")


@dataclass(slots=True)
class Running:
    """A generator at work.

    Attributes:
        lasts_s: How long it is to send.
        says: What is wrong with what it did, by its own words; empty where all is well.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    generator: Generator
    lasts_s: float
    windows: list[Window] = field(default_factory=list)
    says: str = ""

    def output(self) -> str:
        """What it printed."""
        return (self.folder / "output.txt").read_text(errors="replace").strip()

    def read(self, *, ended: bool) -> None:
        """Reads what it wrote.

        Args:
            ended: Whether it came to its end by itself or by a polite request.
        """
        kind = self.generator.kind
        if kind in {"wrk", "hey"}:
            said = _said(kind, self.output())
            self.says = f"{said.failed} of {said.requests} requests failed" if said.failed else ""
        elif kind == "stock":
            self.says = "requests failed" if ended and self.process.returncode == _FAILED else ""
        else:
            self._read_log(self.folder / "runlog.jsonl")

    def late(self) -> Histogram:
        """Lateness of what it was to send, the first second left out."""
        first = min((window.at_s for window in self.windows), default=0)
        return Histogram.merged(window.late for window in self.windows if window.at_s > first)

    def _read_log(self, path: Path) -> None:
        events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        self.windows = [runlog.decode(event) for event in events if event["type"] == "window"]
        wrong = sum(window.count for window in self.windows if window.outcome not in {"200", "unsent"})
        told = [event["actual"] for event in events if event["type"] == "finding"]
        told += [event["text"] for event in events if event["type"] == "warning"]
        told += [event["message"] for event in events if event["type"] == "case" and event["outcome"] == "error"]
        self.says = f"{wrong} requests failed" if wrong else "; ".join(told[:1])


def _said(kind: str, text: str) -> Said:
    return of_wrk(text) if kind == "wrk" else of_hey(text)


@contextlib.contextmanager
def running(generator: Generator, target: Target, folder: Path, core: int, seconds: float) -> Iterator[Running]:
    """Starts a generator that can be measured for *seconds*, and ends it with all its processes."""
    folder.mkdir()
    lasts_s = WARM_UP_S + seconds + BEYOND_S
    command, environment = _started(generator, target, folder, lasts_s)
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **pinned(core)
        )
    try:
        yield Running(process, folder, generator, lasts_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end(running_: Running, *, wait: bool) -> None:
    """Lets a generator end by itself, or ends it; and reads what it wrote."""
    process, kind = running_.process, running_.generator.kind
    ended = True
    if not wait:
        # What the other ones say is told when they end; a run log is written all the time.
        process.send_signal(signal.SIGINT if kind in {"wrk", "hey", "stock"} else signal.SIGKILL)
    try:
        process.wait(running_.lasts_s + _END_S if wait else _END_S)
    except subprocess.TimeoutExpired:
        ended = False
    running_.read(ended=ended)


def _started(generator: Generator, target: Target, folder: Path, lasts_s: float) -> tuple[list[str], dict[str, str]]:
    """Command line and environment."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    url = generator.url(target)
    shot = Shots(url, Keys(KEY, None, None), Contract.load()).shot(Call("getBuild", REF))
    address, sign_in = url + shot.target, f"Bearer {KEY}"
    match generator.kind:
        case "wrk":
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(lasts_s)}s"]
            return [*command, "-H", f"Authorization: {sign_in}", address], plain
        case "hey":
            command = ["hey", "-z", f"{lasts_s:.0f}s", "-c", str(CONNECTIONS), "-cpus", "1"]
            return [*command, "-H", f"Authorization: {sign_in}", address], plain
        case "stock":
            beside = {"BENCH_PATH": shot.target, "BENCH_AUTHORIZATION": sign_in}
            flags = ["--host", url, "--users", str(CONNECTIONS), "--spawn-rate", str(CONNECTIONS)]
            flags += ["--exit-code-on-error", str(_FAILED), "--run-time", f"{math.ceil(lasts_s)}s", generator.user]
            return _locust(ROOT / "tests" / "bench" / "load_stock.py", flags), plain | beside
    return _ours(generator, target, folder, lasts_s)


def _ours(generator: Generator, target: Target, folder: Path, lasts_s: float) -> tuple[list[str], dict[str, str]]:
    """The Locust process that `touchstone load` starts, told what `touchstone load` tells it."""
    url, kind = generator.url(target), generator.kind
    flags = Flags(url=url, seed=1)
    settings = load_settings(flags, {"ORGO_API_KEY": KEY}, folder)
    options = _options(generator, lasts_s)
    # It waits for the next whole second before it begins.
    go = Go(options, Stage({"ready": (REF,)}, {}, 0.001), "bench", 0.0, time.monotonic())
    log = folder / "runlog.jsonl"
    log.touch()
    go_file = folder / "go.json"
    go_file.write_text(json.dumps(go.public()), encoding="utf-8")
    handover = LoadHandover(settings=settings.to_json(), url=url, run_log=str(log), go_file=str(go_file))
    beside = {"PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(target.certificate), "BENCH_CONNECTIONS": str(CONNECTIONS)}
    beside |= {"BENCH_PARTS": str(folder / "parts.json")}
    beside |= {"BENCH_HEADS_URL": target.heads_url, "BENCH_TLS_URL": target.tls_url}
    flags_ = ["--host", "-", "--users", "1", "--spawn-rate", "1"]
    file = load_dir() / "steady.py"
    if kind == "parts" or (kind == "bulk" and generator.per_s is None):
        file, flags_ = ROOT / "tests" / "bench" / "load_ours.py", [*flags_, "Parts" if kind == "parts" else "Reads"]
    return _locust(file, flags_), locust_environment(handover, os.environ) | beside


def _options(generator: Generator, lasts_s: float) -> Options:
    closed = generator.per_s is None and generator.kind != "bulk"
    model: Model = "closed" if closed else "open"
    # In a closed model the arrivals only say what is to be sent, again and again.
    per_s = generator.per_s or (100 if closed else ENOUGH_PER_S)
    return Options(
        scenario=SCENARIOS["steady"],
        arrivals=f"constant:{per_s:g}",
        duration_s=math.ceil(lasts_s * 10) / 10,
        mix={"read": 1},
        seed=1,
        model=model,
        users=CONNECTIONS,
        engine="bulk" if generator.kind == "bulk" else "flows",
        ready=1,
    )


def _locust(file: Path, flags: list[str]) -> list[str]:
    plain = ["--config", os.devnull, "--headless", "--only-summary"]
    return [sys.executable, "-m", "locust", *plain, "-f", str(file), *flags]


class Idle(Exception):
    """A generator that sends nothing, and what it says."""


def begun(running_: Running, requests: Callable[[], int], patience_s: float = 20.0) -> None:
    """Waits until a generator has sent its first requests.

    Raises:
        Idle: it never does.
    """
    before, until = requests(), time.monotonic() + patience_s
    asked = 0
    while time.monotonic() < until and running_.process.poll() is None:
        time.sleep(0.05)
        asked += 1
        if requests() - before - asked > CONNECTIONS:
            return
    with contextlib.suppress(ValueError):
        running_.read(ended=False)
    raise Idle(running_.says or running_.output()[-500:])


def costs_of_parts(folder: Path) -> Mapping[str, list[float]]:
    """What the parts of a flow cost, in microseconds; one number for each turn."""
    found: Mapping[str, list[float]] = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    return found
