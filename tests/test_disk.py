"""Full disks and missing report folders: a run ends with exit code 3, keeps its log, and cleans up."""

import itertools
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import LIMIT_S, Command, Ended, Shell
from tests.watched import ENDLESS_S, WAITING, Watched
from touchstone.facts.events import Header, LedgerClaim, Target
from touchstone.facts.runlog import RunLogWriter, read

ROOM_BYTES = 60_000  # enough for a header, but not for the exchanges of a run
NOWHERE = "/proc/nowhere"  # not even root can create a folder there

FULL = {
    "check": "check --profile quick --claims status.*",
    "load": "load steady --rate 10 --duration 20",
    "record": "record --out recorded",
}
# Starts a command that can only write files of ROOM_BYTES or less, also as root; reports of a run are longer.
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    "os.execv(sys.executable, [sys.executable, '-m', 'touchstone', *sys.argv[2:]])"
)


def check_ending(ended: Ended, twin: Watched, shell: Shell) -> None:
    """Asserts that the last line names the file, and that neither the target nor a journal has anything left."""
    assert ended.code == 3, ended.err
    assert ended.last_line.startswith("exit 3: ")
    assert "run/runlog.jsonl" in ended.last_line
    assert "Traceback" not in ended.out + ended.err
    assert (twin.refs(), twin.running(), shell.journals()) == ([], 0, [])


def check_log(path: Path, command: str) -> None:
    log = read(path)
    assert (log.footer, log.header.command) == (None, command)
    assert log.exchanges or log.probe


@pytest.mark.kill
@pytest.mark.parametrize("name", FULL)
def test_full_disk_ends_a_run_with_3_and_a_clean_target(tmp_path: Path, name: str) -> None:
    shell = Shell(tmp_path)
    with Watched() as twin:
        arguments = [*FULL[name].split(), "--url", twin.url, "--report-dir", "run"]
        command = [sys.executable, "-c", LIMITED, str(ROOM_BYTES), *arguments]
        pipe, environment = subprocess.PIPE, shell.environment()
        started = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=pipe, stderr=pipe)
        check_ending(shell.ended(started), twin, shell)
    check_log(tmp_path / "run" / "runlog.jsonl", name)


@pytest.mark.kill
def test_removed_folder_ends_a_check_with_3(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as twin:
        flags = ("--url", twin.url, "--claims", WAITING, "--profile", "quick", "--report-dir", "run")
        command = shell.start("check", *flags)
        try:
            assert twin.reached.wait(LIMIT_S)
            shutil.rmtree(tmp_path / "run")
        finally:
            ended = shell.ended(command)
        check_ending(ended, twin, shell)


def probed(shell: Shell, call: Command, on_request: Callable[[int], object]) -> None:
    """Runs a probe, the shortest kind of run; *on_request* gets the number of each request."""
    numbers = itertools.count(1)

    def counting(app: Any) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                on_request(next(numbers))
            await app(scope, receive, send)

        return serve

    with Watched(wrap=counting) as twin:
        ended = call(shell, "probe", "--max-requests", "2000", "--url", twin.url, "--report-dir", "run")
        check_ending(ended, twin, shell)
    assert next(numbers) < 1000


@pytest.fixture
def _little_room() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_little_room")
def test_full_disk_ends_a_probe_with_3(tmp_path: Path, call: Command) -> None:
    probed(Shell(tmp_path), call, lambda _: None)
    check_log(tmp_path / "run" / "runlog.jsonl", "probe")


def test_removed_folder_ends_a_probe_with_3(tmp_path: Path, call: Command) -> None:
    probed(
        Shell(tmp_path), call, lambda number: shutil.rmtree(tmp_path / "run", ignore_errors=True) if number == 20 else 0
    )


HEADER = Header(
    *("1", "0", "check", (), "2026-01-01T00:00:00Z", Target("t", "", "url"), "quick", 1, False, "*", ""),
    (LedgerClaim("status.x", "must", "It is so.", "x", "status"),),
    {},
)


@pytest.mark.parametrize(
    "line",
    [
        "check --url http://127.0.0.1:9/api",
        "load steady --rate 5 --url http://127.0.0.1:9/api",
        "probe --url http://127.0.0.1:9/api",
        "record --out recorded fresh-build --url http://127.0.0.1:9/api",
        "replay",
        "report run",
        "compare run run",
        "prove --fault cancel-answers-200",
    ],
)
def test_impossible_folder_is_reported_before_any_request(tmp_path: Path, call: Command, line: str) -> None:
    (tmp_path / "run").mkdir()
    with RunLogWriter(tmp_path / "run" / "runlog.jsonl") as log:
        log.write(HEADER)
    ended = call(Shell(tmp_path), *line.split(), "--report-dir", NOWHERE)
    assert (ended.code, "Traceback" in ended.err) == (3, False), ended
    assert ended.last_line.startswith(f"exit 3: {NOWHERE}")
