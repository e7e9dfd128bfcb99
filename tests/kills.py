"""
Kills a run, or the processes that it started, while its target is being asked the N-th thing; then looks what is left.

Nothing is timed: the request is held back until the signal was sent. So a point of a run is the same one each time.
"""

import io
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio.to_thread
import httpx
from rich.console import Console

from tests.command import LIMIT_S, PRIMARY, Ended, Shell, gone
from tests.stages import Asgi, descendants
from tests.watched import Watched
from touchstone.check.sweep import Swept, sweep
from touchstone.config import Flags, load
from touchstone.errors import RunLogError
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import read
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import write_reports
from touchstone.twin import RateLimit

Victim = Literal["run", "child"]
FOREIGN = ("somebody-else", "touchstone-by-hand")

# Each command, and about how many requests it consists of.
COMMANDS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "check": (("check", "--profile", "quick", "--claims", "cancel.in-flight-is-202"), 300),
    "record": (("record", "--out", "made", "fresh-build", "cancel-in-flight", "reuse"), 50),
    "load": (("load", "steady", "--rate", "10", "--duration", "2"), 55),
    "probe": (("probe", "--max-requests", "40"), 300),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ASKS_TO_STOP = frozenset(SIGNALS) - {signal.SIGKILL}


@dataclass(frozen=True, slots=True)
class Kill:
    """A run, and what is to happen to it.

    Attributes:
        at: The number of the request at which; 0 for as soon as the run is there.
        whom: The run itself, or what it started, as far as it has begun to.
    """

    command: str
    at: int
    signal: signal.Signals
    whom: Victim

    def __str__(self) -> str:
        return f"{self.command}-{self.at}-{self.whom}-{self.signal.name}"


def kills(number: int, seed: int) -> list[Kill]:
    """So many kills, at random points of runs; each signal and each victim gets its share, and so does each command."""
    random = Random(seed)
    names = ["check", "load", "check", "record", "check", "probe"]
    made = []
    for nth in range(number):
        name = names[nth % len(names)]
        # Every part of a run is met: one kill a stratum.
        share = (nth + random.random()) / number
        at = 0 if nth == 0 else 1 + int(share * COMMANDS[name][1])
        whom: Victim = "child" if nth % 3 == 2 else "run"
        made.append(Kill(name, at, SIGNALS[(nth + nth // len(SIGNALS)) % len(SIGNALS)], whom))
    return made


@dataclass
class Gate:
    """Counts what a target is asked, and holds the N-th request back until it is opened.

    Attributes:
        answered: How many answers were sent in full.
        most: How many requests were under way at once at most.
        foreign: Requests that might change what is somebody else's.
    """

    at: int
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    answered: int = 0
    most: int = 0
    foreign: list[str] = field(default_factory=list)
    is_on: bool = False

    def wrap(self, app: Asgi) -> Asgi:
        """The same application, behind the gate."""

        async def gated(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not self.is_on:
                await app(scope, receive, send)
                return
            self.asked += 1
            self.most = max(self.most, self.asked - self.answered)
            if scope["method"] != "GET" and any(f"/{name}/" in scope["path"] for name in FOREIGN):
                self.foreign.append(f"{scope['method']} {scope['path']}")
            if self.asked == self.at:
                self.reached.set()
                await anyio.to_thread.run_sync(self.opened.wait, LIMIT_S)
            await app(scope, receive, send)
            if not self.reached.is_set():
                self.answered += 1

        return gated


@dataclass(frozen=True, slots=True)
class Said:
    """What a report of a run says, and the exit code that the command ends with."""

    code: int
    text: str

    @property
    def last_line(self) -> str:
        """The verdict."""
        return self.text.strip().splitlines()[-1]


@dataclass(frozen=True, slots=True)
class Killed:
    """What a kill left.

    Attributes:
        happened: Whether the point was reached: a run may have fewer requests than it had another time.
        whom: Who was killed indeed: nobody but the run itself where it had nothing started, or it was over.
        log: The run log; None where there is none yet.
        unreadable: Why it cannot be read; empty where it can.
        answered: How many requests had been answered by then, and how many were under way at once at most.
        left: What was left on the target before and after a sweep, besides what is not the run's.
        journals: How many were left after it.
        foreign: What became of what is somebody else's: requests that would change it, and its builds that still run.
        survivors: Processes that the run had started and that outlived it.
    """

    kill: Kill
    happened: bool
    whom: Victim
    ended: Ended
    log: RunLog | None
    unreadable: str
    answered: int
    most: int
    left_before: tuple[list[str], int]
    left: tuple[list[str], int]
    journals: int
    foreign: tuple[list[str], list[str], int]
    survivors: list[int]
    report: Said
    swept: tuple[Swept, ...]


def killed(kill: Kill, folder: Path) -> Killed:
    """Makes a run, kills it, asks for its report, and sweeps.

    The last two are not asked of processes of their own: tests/test_sweep.py does that.
    """
    gate, shell = Gate(kill.at), Shell(folder)
    with Watched(wrap=gate.wrap, rate=RateLimit.parse("60/1"), capacity=8) as twin:
        theirs = sorted([twin.publish(FOREIGN[0]), endless(twin, FOREIGN[1])])
        gate.is_on = True
        flags = ("--url", twin.url, "--report-dir", "run", "--max-builds", "400")
        command = shell.start(*COMMANDS[kill.command][0], *flags)
        processes: list[int] = []
        whom: Victim = "run"
        try:
            happened = kill.at == 0 or _reached(gate, command)
            if happened:
                processes = descendants(command.pid)
                whom = "child" if kill.whom == "child" and processes else "run"
                os.kill(processes[0] if whom == "child" else command.pid, kill.signal)
        finally:
            gate.opened.set()
            ended = shell.ended(command)
        survivors = [process for process in processes if not gone(process)]
        gate.is_on = False
        before = _left(twin, theirs)
        report = _report(folder / "run" / "runlog.jsonl", folder / "again")
        settings = load(Flags(url=twin.url), shell.environment(), folder)
        swept = sweep(settings, (settings.state_dir, folder / "run"), lambda _text: None)
        left, refs = _left(twin, theirs), twin.refs()
    log, unreadable = _log(folder / "run" / "runlog.jsonl")
    foreign = (gate.foreign, [ref for ref in theirs if ref not in refs], left[1])
    return Killed(
        *(kill, happened, whom, ended, log, unreadable, gate.answered, gate.most),
        *(before, (left[0], left[1] - 1), len(shell.journals()), foreign, survivors, report, swept),
    )


def _report(run_log: Path, folder: Path) -> Said:
    text = io.StringIO()
    try:
        code = write_reports(run_log, folder)
        write_text(view(read(run_log)), Console(file=text, width=200))
    except RunLogError as error:
        return Said(error.exit_code, str(error))
    return Said(code, text.getvalue())


def _reached(gate: Gate, command: Any) -> bool:
    """Whether the point is reached before the run is over."""
    while not gate.reached.wait(0.05):
        if command.poll() is not None:
            return gate.reached.is_set()
    return True


def _left(twin: Watched, theirs: Sequence[str]) -> tuple[list[str], int]:
    return [ref for ref in twin.refs() if ref not in theirs], twin.running()


def _log(path: Path) -> tuple[RunLog | None, str]:
    try:
        return (read(path), "") if path.exists() else (None, "")
    except RunLogError as error:
        return None, str(error)


def endless(twin: Watched, name: str) -> str:
    """Publishes a version as somebody else whose build goes on for longer than any run here."""
    document = {
        "api_version": "orgo.ai/v1",
        "template": {"name": name, "version": "1.0.0"},
        "build": {"run": ["sleep 600"]},
    }
    headers = {"Authorization": f"Bearer {PRIMARY}"}
    answer = httpx.post(f"{twin.url}/templates?auto_build=true", json=document, headers=headers, timeout=20)
    assert answer.status_code == 201
    return str(answer.json()["ref"])


def beside_each_other(made: Sequence[Kill], folder: Callable[[str], Path], at_once: int) -> dict[str, Killed]:
    """All kills, a few at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        running = {str(kill): pool.submit(killed, kill, folder(str(kill))) for kill in made}
        return {name: run.result() for name, run in running.items()}
