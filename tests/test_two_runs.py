"""Concurrent runs against one target with one key pass, and clean up only their own templates."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.command import KEYS, LIMIT_S, Shell
from tests.stages import Asgi
from tests.watched import WAITING, Watched
from touchstone.check.sweep import sweep
from touchstone.config import Flags, load

LOAD = ("load", "steady", "--rate", "5", "--duration", "3")
_OF_A_RUN = re.compile(r"/touchstone-(\d{6}-\d{6}-[0-9a-f]+)-")
# Modules in the user's folder that would shadow installed ones.
SHADOWS = {f"{name}.py" for name in ("yaml", "requests", "conftest", "test_mine")}


@dataclass(slots=True)
class Meeting:
    """A barrier: holds back the first request for a version of each run until all have sent one and it is opened."""

    runs: int
    complete: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    _arrived: set[str] = field(default_factory=set)

    def wrap(self, app: Asgi) -> Asgi:
        """Wraps an application with the barrier."""

        async def held(scope: Any, receive: Any, send: Any) -> None:
            run = _OF_A_RUN.search(scope.get("path", ""))
            if run and run[1] not in self._arrived:
                self._arrived.add(run[1])
                if len(self._arrived) == self.runs:
                    self.complete.set()
                await anyio.to_thread.run_sync(self.opened.wait, LIMIT_S)
            await app(scope, receive, send)

        return held


@pytest.mark.parametrize(
    ("claims", "others"),
    [
        pytest.param(WAITING, [], marks=pytest.mark.whole),
        pytest.param("status.*,cancel.*", [LOAD], marks=pytest.mark.kill),
    ],
    ids=["checks", "checks-and-a-load"],
)
def test_concurrent_runs_pass_and_clean_up_their_own_templates(
    tmp_path: Path, claims: str, others: list[tuple[str, ...]]
) -> None:
    """The runs share user, folder and key; a sweep during the runs removes nothing."""
    # Python does not search the working folder, as for an installed command.
    shell = Shell(tmp_path, KEYS | {"PYTHONSAFEPATH": "1"})
    for name in SHADOWS:
        (tmp_path / name).write_text("raise SystemExit('imported by accident')\n")
    check = ("check", "--profile", "quick", "--claims", claims)
    commands = [check, (*check, "--seed", "7"), *others]
    meeting = Meeting(len(commands))
    with Watched(wrap=meeting.wrap) as twin, ThreadPoolExecutor(len(commands)) as pool:
        theirs = twin.publish("somebody-else")
        # At the barrier a run waits for the slowest start.
        settings = f'[targets.shared]\nurl = "{twin.url}"\nrequest_timeout_s = {LIMIT_S}\n'
        (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
        running = [
            pool.submit(shell.run, *command, "--target", "shared", "--report-dir", f"reports/{nth}")
            for nth, command in enumerate(commands)
        ]
        try:
            assert meeting.complete.wait(LIMIT_S)
            before = shell.journals()
            loaded = load(Flags(target="shared"), shell.environment(), tmp_path)
            swept = sweep(loaded, (loaded.state_dir, *(tmp_path / "reports").iterdir()), lambda _text: None)
            assert (swept, len(before), shell.journals()) == ((), len(commands), before)
        finally:
            meeting.opened.set()
        checks, loads = [run.result() for run in running[:2]], [run.result() for run in running[2:]]
        assert (twin.refs(), twin.running(), shell.journals()) == ([theirs], 0, [])
    assert [(ended.code, ended.warnings, ended.last_line) for ended in checks] == [(0, [], checks[0].last_line)] * 2
    assert "upheld" in checks[0].last_line
    assert [ended for ended in loads if ended.code not in (0, 3)] == []
    assert [ended for ended in (*checks, *loads) if "touchstone sweep" in ended.out] == []
    paths = {path.relative_to(tmp_path).parts[0] for path in shell.files()}
    assert paths == SHADOWS | {"touchstone.toml", "reports"}
