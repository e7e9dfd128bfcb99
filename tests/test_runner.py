"""However a run ends, there is a report that says so, and nothing of the run is left on the target."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Command, Ended, Shell, children, gone
from tests.watched import ENDLESS_S, WAITING, Watched
from touchstone.check import job, runner
from touchstone.check.handover import CheckHandover
from touchstone.config import Settings

TABLES = "HYPOTHESIS_STORAGE_DIRECTORY"
FILES = {"runlog.jsonl", "report.json", "report.html", "junit.xml", "pytest.log"}


def stopped(shell: Shell, watched: Watched, number: signal.Signals, *, child: bool = False) -> Ended:
    """Runs a check and sends a signal to it, or to its child, as soon as a build runs that does not end by itself."""
    command = shell.start("check", "--url", watched.url, "--claims", WAITING, "--profile", "quick")
    try:
        assert watched.reached.wait(60)
        (worker,) = children(command.pid)
        os.kill(worker if child else command.pid, number)
        ended = shell.ended(command)
        assert gone(worker)
    finally:
        if command.poll() is None:
            command.kill()
            command.communicate()
    return ended


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_reports_and_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    """A run that is told to stop ends with 130, all files, no child process, and nothing on the target."""
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as watched:
        ended = stopped(shell, watched, number)
        assert (ended.code, ended.last_line) == (130, f"exit 130: interrupted by {number.name}")
        assert (watched.refs(), watched.running()) == ([], 0)
    assert {path.name for path in ended.results.iterdir()} == FILES
    assert ended.report()["run"]["exit_code"] == 130
    assert shell.journals() == []
    assert "Traceback" not in ended.out + ended.err


def test_killed_child_is_told_and_cleaned_up_after(tmp_path: Path) -> None:
    """When the child is killed the parent still reports, with 3, and removes what the child left."""
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as watched:
        ended = stopped(shell, watched, signal.SIGKILL, child=True)
        assert (watched.refs(), watched.running()) == ([], 0)
    assert ended.code == 3
    assert ended.last_line.startswith("exit 3: the contract tests ended with -9; see reports/")
    assert {path.name for path in ended.results.iterdir()} == FILES
    assert shell.journals() == []
    assert "Traceback" not in ended.out + ended.err


def test_spent_time_is_no_pass(tmp_path: Path, call: Command) -> None:
    """A run whose time is spent before it has shown anything cannot judge, and cleans up."""
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as watched:
        ended = call(
            shell, "check", "--url", watched.url, "--claims", "status.ready-after-its-steps", "--max-seconds", "0.5"
        )
        assert (watched.refs(), watched.running()) == ([], 0)
    assert ended.code == 3
    assert ended.verdicts() == {"status.ready-after-its-steps": "could-not-run"}
    assert "--max-seconds" in ended.out


def test_spent_budget_of_builds_is_told(tmp_path: Path, call: Command) -> None:
    """A run begins no more builds than it may, and names the setting for what it could not show."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        wanted = ("--claims", "cancel.next-build-completes", "--max-builds", "1")
        ended = call(shell, "check", "--url", watched.url, *wanted)
        assert len(watched.launched) == 1
        assert watched.refs() == []
    assert ended.code == 3
    assert "--max-builds" in ended.out


def test_working_directory_is_left_alone(tmp_path: Path) -> None:
    """A run leaves nothing but its reports where it is started, and modules there do not get in its way."""
    for name in ("yaml", "requests", "conftest", "test_mine"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by accident')\n")
    script = "import sys; sys.path.remove(''); from touchstone.cli.app import main; main()"
    command = [sys.executable, "-c", script, "check", "--claims", "start.answers-202", "--profile", "quick"]
    shell = Shell(tmp_path)
    environment = {name: value for name, value in shell.environment().items() if name != TABLES}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.relative_to(tmp_path).parts[0] for path in shell.files()}
    assert names - {"state"} == {"yaml.py", "requests.py", "conftest.py", "test_mine.py", "reports"}


@pytest.mark.parametrize("named", [None, "mine"])
def test_tables_of_hypothesis_are_beside_the_state_unless_a_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    """What Hypothesis keeps from run to run is where the journals are, or where the environment says."""
    monkeypatch.delenv(TABLES, raising=False)
    if named is not None:
        monkeypatch.setenv(TABLES, named)
    environment: dict[str, str] = {}
    monkeypatch.setattr(job, "watched", lambda _command, variables, *_: environment.update(variables) or 0)
    settings = Settings(state_dir=tmp_path / "touchstone")
    runner._Check(settings, lambda _event: None).run_child([], CheckHandover(settings, ""), None)
    assert environment[TABLES] == (named or str(tmp_path / "hypothesis"))


@pytest.mark.parametrize("dangles", [True, False])
@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("check", "--claims", "cancel.idle-is-404", "--profile", "quick"), "pytest.log"),
        (("load", "steady", "--rate", "5", "--duration", "1"), "locust.log"),
    ],
)
def test_results_go_through_no_link_and_are_for_the_user_alone(
    tmp_path: Path, call: Command, arguments: tuple[str, ...], output: str, dangles: bool
) -> None:
    """Where a symbolic link has the name of a result, what it leads to stays as it is; the umask says who may read."""
    results, outside = tmp_path / "results", tmp_path / "outside"
    for folder in (results, outside):
        folder.mkdir(mode=0o700)
    names = {"runlog.jsonl", "report.json", "report.html", "junit.xml", output}
    for name in names:
        (results / name).symlink_to(outside / name)
        if not dangles:
            (outside / name).write_text("mine", "utf-8")
    before = os.umask(0o077)
    try:
        ended = call(Shell(tmp_path), *arguments, "--report-dir", "results")
    finally:
        os.umask(before)
    assert ended.last_line.startswith(("exit 0", "exit 3"))
    assert {path.read_text("utf-8") for path in outside.iterdir()} == (set() if dangles else {"mine"})
    written = list(results.iterdir())
    assert {path.name for path in written} == names
    assert [path for path in written if path.is_symlink() or path.stat().st_mode & 0o077] == []
