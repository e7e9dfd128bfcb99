"""Runs the command line as a user does: in a child process, with its own folder and home."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from touchstone.cli.app import main
from touchstone.twin import DEFAULT_ACCOUNTS

PRIMARY, SECOND, RESTRICTED = (account.key for account in DEFAULT_ACCOUNTS)
KEYS = {"ORGO_API_KEY": PRIMARY, "ORGO_SECOND_API_KEY": SECOND, "ORGO_RESTRICTED_API_KEY": RESTRICTED}

# Timeout of everything: only a hang takes so long.
LIMIT_S = 300.0

_OURS = ("ORGO_", "TOUCHSTONE_", "XDG_", "COLUMNS", "CI", "GITHUB_", "FORCE_COLOR", "PYTEST_")


@dataclass(frozen=True, slots=True)
class Ended:
    """Result of a command, and its working folder."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def last_line(self) -> str:
        """The last line of stdout, or of stderr if stdout is empty."""
        return (self.out.strip() or self.err.strip()).splitlines()[-1]

    @property
    def warnings(self) -> list[str]:
        """The lines of stderr without those that a run prints every 30 s."""
        return [line for line in self.err.splitlines() if " under way; " not in line]

    @property
    def results(self) -> Path:
        """The one folder below reports/."""
        (found,) = (self.folder / "reports").iterdir()
        return found

    def report(self) -> dict[str, Any]:
        """report.json of the run."""
        return dict(json.loads((self.results / "report.json").read_text("utf-8")))

    def verdicts(self) -> dict[str, str]:
        """The verdict of each claim in the report."""
        return {claim["id"]: claim["verdict"] for claim in self.report()["claims"]}


@dataclass
class Shell:
    """A working folder with an environment independent of the tests; *columns* is the terminal width."""

    folder: Path
    keys: Mapping[str, str] = field(default_factory=lambda: dict(KEYS))
    program: tuple[str, ...] = (sys.executable, "-m", "touchstone")
    columns: int = 200

    def environment(self) -> dict[str, str]:
        """Variables of a child: the keys as the only settings, and a home below the folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        home = {"HOME": str(self.folder / "home"), "XDG_STATE_HOME": str(self.folder / "state")}
        return kept | home | dict(self.keys) | {"COLUMNS": str(self.columns)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts a command."""
        return subprocess.Popen(
            [*self.program, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Ended:
        """Runs a command to its end."""
        return self.ended(self.start(*arguments))

    def ended(self, command: "subprocess.Popen[str]") -> Ended:
        """Waits for the end of a command."""
        try:
            out, err = command.communicate(timeout=LIMIT_S)
        finally:
            if command.poll() is None:
                command.kill()
                command.wait()
        return Ended(command.returncode, out, err, self.folder)

    def journals(self) -> list[Path]:
        """The remaining journals."""
        return sorted((self.folder / "state").rglob("*.journal*"))

    def files(self) -> Sequence[Path]:
        """All files in the folder."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


Command = Callable[..., Ended]


def called(shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Runs a command in this process: faster, for tests without signals or child processes."""
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        monkeypatch.delenv(name)
    for name, value in shell.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(shell.folder)
    monkeypatch.setattr(sys, "argv", ["touchstone", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return Ended(int(end.value.code or 0), out, err, shell.folder)


def children(pid: int) -> list[int]:
    """Child processes of *pid*."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int, within_s: float = LIMIT_S) -> bool:
    """Waits for the end of a process that is not our child; whether it ended in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)
