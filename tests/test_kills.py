"""A run that is killed at any point leaves a readable run log, and a sweep removes all its leftovers.

Nothing depends on time: the server holds back a request until the signal is sent. So each point is reproducible.
"""

import io
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio.to_thread
import httpx
import pytest
from rich.console import Console

from tests.command import LIMIT_S, PRIMARY, Shell, gone
from tests.stages import Asgi, descendants
from tests.watched import WAITING, Watched
from touchstone.check.sweep import sweep
from touchstone.config import Flags, load
from touchstone.errors import RunLogError
from touchstone.facts.runlog import read
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import write_reports
from touchstone.twin import RateLimit

Victim = Literal["run", "child"]
FOREIGN = ("somebody-else", "touchstone-by-hand")
AT_ONCE = 4
# Requests of the preflight, which are not in the run log.
SMOKE = 6
FILES = {"runlog.jsonl", "report.json", "report.html", "junit.xml"}

# Each command, and its approximate number of requests.
COMMANDS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "case": (("check", "--profile", "quick", "--claims", WAITING), 20),
    "check": (("check", "--profile", "quick", "--claims", "cancel.in-flight-is-202"), 300),
    "record": (("record", "--out", "kept", "fresh-build", "cancel-in-flight", "reuse"), 50),
    "load": (("load", "steady", "--rate", "10", "--duration", "2"), 55),
    "probe": (("probe", "--max-requests", "40"), 300),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Kill:
    """Sends *signal* to a process of the run at its request number *at* (0: at once)."""

    command: str
    at: int
    signal: signal.Signals
    victim: Victim

    def __str__(self) -> str:
        return f"{self.command}-{self.at}-{self.victim}-{self.signal.name}"


def drawn(number: int, seed: int) -> list[Kill]:
    """Kills at random points, one per stratum of the run, with all signals, victims and commands."""
    random = Random(seed)
    names = ["check", "load", "check", "record", "check", "probe"]
    kills = []
    for nth in range(number):
        name, share = names[nth % len(names)], (nth + random.random()) / number
        at = 0 if nth == 0 else 1 + int(share * COMMANDS[name][1])
        number_of_signal = (nth + nth // len(SIGNALS)) % len(SIGNALS)
        kills.append(Kill(name, at, SIGNALS[number_of_signal], "child" if nth % 3 == 2 else "run"))
    return kills


# A few are in `make test`, all of them in `make thorough`.
FEW = [
    Kill("case", 9, signal.SIGKILL, "run"),
    pytest.param(Kill("case", 11, signal.SIGINT, "run"), marks=pytest.mark.whole),
    Kill("case", 13, signal.SIGKILL, "child"),
]
EACH = [*FEW, *(pytest.param(kill, marks=pytest.mark.kill) for kill in drawn(30, seed=20))]


@dataclass
class Gate:
    """Counts the requests of a run, and holds back request number *at* until the gate is opened.

    Attributes:
        answered: Number of complete responses.
        most: Largest number of concurrent requests.
        foreign: Write requests to foreign templates.
    """

    at: int
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    answered: int = 0
    most: int = 0
    foreign: list[str] = field(default_factory=list)
    is_on: bool = False

    def wrap(self, app: Asgi) -> Asgi:
        """Wraps an application with the gate."""

        async def gated(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not self.is_on:
                await app(scope, receive, send)
                return
            self.requests += 1
            self.most = max(self.most, self.requests - self.answered)
            if scope["method"] != "GET" and any(f"/{name}/" in scope["path"] for name in FOREIGN):
                self.foreign.append(f"{scope['method']} {scope['path']}")
            if self.requests == self.at:
                self.reached.set()
                await anyio.to_thread.run_sync(self.opened.wait, LIMIT_S)
            await app(scope, receive, send)
            if not self.reached.is_set():
                self.answered += 1

        return gated


def endless(twin: Watched, name: str) -> str:
    """Publishes a foreign version with a build that outlasts every run."""
    about = {"name": name, "version": "1.0.0"}
    document = {"api_version": "orgo.ai/v1", "template": about, "build": {"run": ["sleep 600"]}}
    headers = {"Authorization": f"Bearer {PRIMARY}"}
    answer = httpx.post(f"{twin.url}/templates?auto_build=true", json=document, headers=headers, timeout=20)
    return str(answer.json()["ref"])


def check_kill(kill: Kill, folder: Path) -> None:
    """Starts a run, kills it, sweeps, and checks the leftovers."""
    gate, shell = Gate(kill.at), Shell(folder)
    with Watched(wrap=gate.wrap, rate=RateLimit.parse("60/1"), capacity=8) as twin:
        theirs = sorted([twin.publish(FOREIGN[0]), endless(twin, FOREIGN[1])])
        gate.is_on = True
        flags = ("--url", twin.url, "--report-dir", "run", "--max-builds", "400")
        command = shell.start(*COMMANDS[kill.command][0], *flags)
        try:
            victim, processes = strike(kill, gate, command)
        finally:
            gate.opened.set()
            ended = shell.ended(command)
        assert [process for process in processes if not gone(process)] == []
        gate.is_on = False
        cleans_up = victim == "child" or kill.signal != signal.SIGKILL
        assert not cleans_up or (twin.refs(), twin.running()) == (theirs, 1), ended
        settings = load(Flags(url=twin.url), shell.environment(), folder)
        swept = sweep(settings, (settings.state_dir, folder / "run"), lambda _text: None)
        assert not any(one.left for one in swept), swept
        assert (twin.refs(), twin.running(), gate.foreign, shell.journals()) == (theirs, 1, [], [])
    assert "Traceback" not in ended.out + ended.err
    if victim and kill.at:
        expected = 3 if victim == "child" else -signal.SIGKILL if kill.signal == signal.SIGKILL else 130
        assert ended.code == expected, ended
        assert not cleans_up or {path.name for path in (folder / "run").iterdir()} >= FILES
    check_log(kill, gate, folder / "run" / "runlog.jsonl")
    assert victim == kill.victim or kill not in FEW


def strike(kill: Kill, gate: Gate, command: "subprocess.Popen[str]") -> tuple[Victim | None, list[int]]:
    """Sends the signal at its point; returns the victim, None if the run ended before, and the run's processes."""
    while not (is_reached := kill.at == 0 or gate.reached.wait(0.05)) and command.poll() is None:
        pass
    if not is_reached:
        return None, []
    processes = descendants(command.pid)
    victim: Victim = "child" if kill.victim == "child" and processes else "run"
    os.kill(processes[0] if victim == "child" else command.pid, kill.signal)
    return victim, processes


def check_log(kill: Kill, gate: Gate, run_log: Path) -> None:
    """Checks that the run log has all complete responses, and that its report is not a pass."""
    log, (code, last_line) = read(run_log) if run_log.exists() else None, report(run_log)
    if log is None or log.footer is None:
        assert code == 3
    else:
        assert (code, last_line) == (log.footer.exit_code, f"exit {log.footer.exit_code}: {log.footer.reason}")
    if log is None:
        assert gate.answered == 0  # nothing is sent before the header is written
    elif kill.command in ("case", "check", "record"):  # a load keeps few complete exchanges
        assert len(log.exchanges) >= gate.answered - gate.most - SMOKE


def report(run_log: Path) -> tuple[int, str]:
    """Exit code and last line of the report of a run log."""
    text = io.StringIO()
    try:
        code = write_reports(run_log, run_log.parent / "again")
        write_text(view(read(run_log)), Console(file=text, width=200))
    except RunLogError as error:
        return error.exit_code, str(error)
    return code, text.getvalue().strip().splitlines()[-1]


@pytest.fixture(scope="module")
def checks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[Kill, Any]]:
    """The runs of this session, a few in parallel; SIGHUP works even under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    kills = [item.callspec.params["kill"] for item in request.session.items if item.path == request.path]  # type: ignore[attr-defined]
    pool = ThreadPoolExecutor(AT_ONCE)
    runs: dict[Kill, Future[None]] = {}
    for kill in kills:
        runs[kill] = pool.submit(check_kill, kill, tmp_path_factory.mktemp(str(kill)))
    yield runs
    pool.shutdown(cancel_futures=True)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("kill", EACH, ids=str)
def test_killed_run_leaves_a_readable_log_and_nothing_after_a_sweep(checks: Mapping[Kill, Any], kill: Kill) -> None:
    checks[kill].result()
