"""Where the disk is full or the report folder is gone, a run says so, ends with 3, keeps what it can, and cleans up."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import LIMIT_S, Command, Ended, Shell
from tests.watched import ENDLESS_S, WAITING, Watched
from touchstone.facts.events import Header, LedgerClaim, Target
from touchstone.facts.runlog import RunLogWriter, read

# A header has room in it, and the exchanges of a run have not.
ROOM_BYTES = 60_000

FULL = {
    "check": ("check", "--profile", "quick", "--claims", "status.*"),
    "load": ("load", "steady", "--rate", "10", "--duration", "20"),
    "probe": ("probe", "--max-requests", "2000"),
    "record": ("record", "--out", "made"),
}
# Of these `make test` has two, and `make thorough` the others.
MORE = ("probe", "record")
NAMES = [pytest.param(name, marks=pytest.mark.kill) if name in MORE else name for name in FULL]

# Starts a command that may write files of ROOM_BYTES at most, whoever runs it; reports of a run are longer.
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    "os.execv(sys.executable, [sys.executable, '-m', 'touchstone', *sys.argv[2:]])"
)


@dataclass(frozen=True, slots=True)
class Told:
    """A run that could not write, what it left on its target, and its run log as far as it was written."""

    ended: Ended
    left: tuple[list[str], int]
    journals: int
    run_log: Path


def started(shell: Shell, *arguments: str) -> "subprocess.Popen[str]":
    """A command with little room."""
    command = [sys.executable, "-c", LIMITED, str(ROOM_BYTES), *arguments]
    return subprocess.Popen(
        command, cwd=shell.folder, env=shell.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def full(name: str, folder: Path) -> Told:
    """Runs a command whose run log does not fit."""
    shell = Shell(folder)
    with Watched() as twin:
        ended = shell.ended(started(shell, *FULL[name], "--url", twin.url, "--report-dir", "run"))
        return Told(ended, (twin.refs(), twin.running()), len(shell.journals()), folder / "run" / "runlog.jsonl")


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Told]:
    """All runs that are looked at, beside each other."""
    own = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    asked = {item.callspec.params.get("name") for item in own}
    names = [name for name in FULL if name == "check" or name in asked]
    with ThreadPoolExecutor(len(FULL)) as pool:
        running = {name: pool.submit(full, name, tmp_path_factory.mktemp(name)) for name in names}
        return {name: run.result() for name, run in running.items()}


@pytest.mark.parametrize("name", NAMES)
def test_full_disk_ends_a_run_with_3_and_a_clean_target(runs: Mapping[str, Told], name: str) -> None:
    """
    The last line names the file and what to do; nothing is left on the target, and the log is kept as far as it goes.
    """
    told = runs[name]
    said = told.ended.err.strip().splitlines()[-1]
    assert told.ended.code == 3, told.ended.err
    assert said.startswith("exit 3: ")
    assert "run/runlog.jsonl: the run log cannot be written: File too large; make room there, or" in said
    assert "the run was ended; nothing is left on the target; kept as far as it was written: " in said
    assert "Traceback" not in told.ended.out + told.ended.err
    assert (told.left, told.journals) == (([], 0), 0)
    log = read(told.run_log)
    assert (log.footer, log.header.command) == (None, name)
    assert log.exchanges


def test_kept_part_of_a_run_is_told_as_cut_short(runs: Mapping[str, Told], call: Command) -> None:
    """A report of it is no pass."""
    told = runs["check"]
    ended = call(Shell(told.ended.folder), "report", "run", "--report-dir", "again")
    assert (ended.code, ended.last_line) == (3, "exit 3: the run log has no footer: the run was cut short")


def removed(folder: Path) -> None:
    """Removes a report folder."""
    shutil.rmtree(folder)


def replaced(folder: Path) -> None:
    """Puts a file in the place of a report folder."""
    shutil.rmtree(folder)
    folder.write_text("in the way")


@pytest.mark.parametrize("vanish", [removed, pytest.param(replaced, marks=pytest.mark.kill)])
def test_folder_that_vanishes_ends_a_run_with_3_and_a_clean_target(
    tmp_path: Path, vanish: Callable[[Path], None]
) -> None:
    """The run does not go on to its end for nothing, and says what became of its results."""
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as twin:
        flags = ("--url", twin.url, "--claims", WAITING, "--profile", "quick", "--report-dir", "run")
        command = shell.start("check", *flags)
        try:
            assert twin.reached.wait(LIMIT_S)
            vanish(tmp_path / "run")
        finally:
            ended = shell.ended(command)
        assert (twin.refs(), twin.running()) == ([], 0)
    said = ended.err.strip().splitlines()[-1]
    assert ended.code == 3, ended.err
    assert "run/runlog.jsonl: the run log cannot be read: " in said
    assert "the run was ended; nothing is left on the target; the folder was removed, moved or replaced" in said
    assert "Traceback" not in ended.out + ended.err
    assert shell.journals() == []


# No folder can be made there, not even by root.
NOWHERE = "/proc/nowhere"


@pytest.mark.parametrize(
    "line",
    [
        "check --url http://127.0.0.1:9/api",
        "load steady --rate 5 --url http://127.0.0.1:9/api",
        "probe --url http://127.0.0.1:9/api",
        "record --out made fresh-build --url http://127.0.0.1:9/api",
        "replay",
        "report run",
        "compare run run",
        "prove --fault cancel-answers-200",
    ],
)
def test_folder_that_cannot_be_made_is_told_before_anything_is_sent(tmp_path: Path, call: Command, line: str) -> None:
    """Whichever command is to write there, it ends with 3, and says where it failed and what helps."""
    (tmp_path / "run").mkdir()
    header = LedgerClaim("status.x", "must", "It is so.", "x", "status")
    with RunLogWriter(tmp_path / "run" / "runlog.jsonl") as log:
        log.write(
            Header(
                "1",
                "0",
                "check",
                (),
                "2026-01-01T00:00:00Z",
                Target("t", "", "url"),
                "quick",
                1,
                False,
                "*",
                "",
                (header,),
                {},
            )
        )
    ended = call(Shell(tmp_path), *line.split(), "--report-dir", NOWHERE)
    assert (ended.code, "Traceback" in ended.err) == (3, False), ended
    said = ended.err.strip().splitlines()[-1]
    assert said.startswith(f"exit 3: {NOWHERE}")
    assert "cannot be written: No such file or directory; " in said
    assert "--report-dir" in said
