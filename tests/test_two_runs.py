"""Runs beside each other against one target with one key end as each does alone, and clean up what is theirs only."""

import json
import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.command import LIMIT_S, Ended, Shell
from tests.stages import Asgi
from tests.watched import WAITING, Watched
from touchstone.check.sweep import Swept, sweep
from touchstone.config import Flags, load

LOAD = ("load", "steady", "--rate", "5", "--duration", "3")
_OF_A_RUN = re.compile(r"/touchstone-(\d{6}-\d{6}-[0-9a-f]+)-")


@dataclass(slots=True)
class Meeting:
    """Where each of some runs waits for the others once it has published something, and then until it is opened.

    Attributes:
        runs: How many are to come.
        complete: All are there.
    """

    runs: int
    complete: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    _come: set[str] = field(default_factory=set)

    def wrap(self, app: Asgi) -> Asgi:
        """The same application, behind the meeting: the first request for a version of each run is held back."""

        async def held(scope: Any, receive: Any, send: Any) -> None:
            named = _OF_A_RUN.search(scope.get("path", ""))
            if named and named[1] not in self._come:
                self._come.add(named[1])
                if len(self._come) == self.runs:
                    self.complete.set()
                await anyio.to_thread.run_sync(self.opened.wait, LIMIT_S)
            await app(scope, receive, send)

        return held


@dataclass(frozen=True, slots=True)
class Beside:
    """Two checks and perhaps a load at once, a sweep in their middle, and a check alone.

    Attributes:
        swept: What the sweep said, and how many journals were there before and after it.
        left: What is left on the target, besides what is not of a run.
        journals: How many journals are left.
    """

    alone: Ended
    both: tuple[Ended, Ended]
    load: Ended | None
    swept: tuple[tuple[Swept, ...], int, int]
    left: tuple[list[str], int]
    journals: int


def beside(claims: str, folder: Path, *, loads: bool) -> Beside:
    """Makes the runs; they share their user's journals and the folder that they are in.

    Args:
        loads: Whether a load is among them.
    """
    shell, meeting = Shell(folder), Meeting(3 if loads else 2)
    check = ("check", "--profile", "quick", "--claims", claims)
    with Watched(wrap=meeting.wrap) as twin:
        theirs, target = twin.publish("somebody-else"), ("--target", "met")
        # At the meeting a run waits for the slowest of the others to begin.
        settings = f'[targets.met]\nurl = "{twin.url}"\nrequest_timeout_s = {LIMIT_S}\n'
        (folder / "touchstone.toml").write_text(settings, "utf-8")
        with ThreadPoolExecutor(3) as pool:
            running = [
                pool.submit(shell.run, *arguments, *target, "--report-dir", f"reports/{nth}")
                for nth, arguments in enumerate((check, (*check, "--seed", "7"), *((LOAD,) if loads else ())))
            ]
            try:
                assert meeting.complete.wait(LIMIT_S)
                before = len(shell.journals())
                loaded = load(Flags(target="met"), shell.environment(), folder)
                swept = sweep(loaded, (loaded.state_dir, *(folder / "reports").iterdir()), lambda _text: None)
                after = len(shell.journals())
            finally:
                meeting.opened.set()
            first, second, *more = (run.result() for run in running)
        left = [ref for ref in twin.refs() if ref != theirs], twin.running()
        assert theirs in twin.refs()
        journals = len(shell.journals())
        alone = shell.run(*check, *target, "--report-dir", "reports/alone")
    return Beside(alone, (first, second), more[0] if more else None, (swept, before, after), left, journals)


@pytest.fixture(scope="module", params=[WAITING, pytest.param("status.*,cancel.*", marks=pytest.mark.kill)])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """Two checks of the claims of one case and, in `make thorough`, of many, beside a load."""
    return beside(request.param, tmp_path_factory.mktemp("beside"), loads=request.param != WAITING)


def verdicts(folder: Path, name: str) -> Mapping[str, str]:
    """The verdicts of a run."""
    report = json.loads((folder / "reports" / name / "report.json").read_text("utf-8"))
    return {claim["id"]: claim["verdict"] for claim in report["claims"]}


def test_each_run_says_what_it_says_alone(runs: Beside) -> None:
    """Exit codes and verdicts are those of a run that has the target to itself; to a load, no claim is broken."""
    folder = runs.alone.folder
    alone = verdicts(folder, "alone")
    assert alone
    for ended, name in zip(runs.both, ("0", "1"), strict=True):
        assert (ended.code, ended.last_line) == (runs.alone.code, runs.alone.last_line), ended
        assert verdicts(folder, name) == alone
    if runs.load:
        assert "broken" not in verdicts(folder, "2").values(), runs.load.out


def test_sweep_beside_live_runs_touches_nothing_of_them(runs: Beside) -> None:
    """The journal of a live run is locked: a sweep that comes meanwhile takes up none of them."""
    swept, before, after = runs.swept
    assert swept == ()
    assert before == after == (3 if runs.load else 2)


def test_runs_beside_each_other_clean_up_what_is_theirs(runs: Beside) -> None:
    """Nothing is left of any of them, and what is somebody else's stays."""
    assert runs.left == ([], 0)
    assert runs.journals == 0
    warned = [e for e in (*runs.both, runs.load) if e and "touchstone sweep" in e.out]
    assert warned == []
