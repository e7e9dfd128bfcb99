"""A command as a step of GitHub Actions: annotations, summary, and no workflow command of a target."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.command import KEYS, Command, Ended, Shell
from tests.recorded import document, entry, saved
from tests.report.checklogs import write_failing
from tests.report.proofs import flawed
from touchstone.check.job import Outcome
from touchstone.report.github import MAX_SUMMARY_BYTES, guarded, publish, summary

EVIL = "::set-output name=a::b\n ::error::x\r::add-mask::y ##[error]z @octocat `|` <script>"
# For each command that judges a target, the function with its outcome, and its least arguments.
COMMANDS = {
    "check": ("touchstone.check.runner.check", ["check"]),
    "load": ("touchstone.loadgen.runner.load", ["load", "steady"]),
    "replay": ("touchstone.recordings.replaying.replay", ["replay"]),
    "record": ("touchstone.recordings.recorder.record", ["record"]),
    "drift": ("touchstone.recordings.drifting.compare", ["drift"]),
    "probe": ("touchstone.limiter.probe.runner.probe", ["probe"]),
}


def job(folder: Path, **more: str) -> Shell:
    """A shell in a step of a job; the summary is in *folder*."""
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return Shell(folder, KEYS | variables | {"GITHUB_WORKSPACE": str(folder)} | more)


def commands_in(text: str) -> list[str]:
    """Lines that the runner would run as workflow commands."""
    lines = re.split(r"[\r\n]", text)
    return [line.strip() for line in lines if line.strip().startswith("::") or "##[" in line]


def ended_with(run_log: Path, name: str, monkeypatch: pytest.MonkeyPatch, call: Command, shell: Shell) -> Ended:
    """Calls a command whose run has ended with this log."""
    outcome = Outcome(1, shell.folder / "reports" / "x", run_log)
    place, arguments = COMMANDS[name]
    drift = SimpleNamespace(outcome=outcome, changes={}, uncompared={}, written=(), exit_code=1, reason="x")
    answers = {"record": (outcome, []), "drift": drift}
    monkeypatch.setattr(place, lambda *args, **kwargs: answers.get(name, outcome))
    return call(shell, *arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_writes_annotations_and_summary(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command
) -> None:
    log = write_failing(tmp_path / "log")
    ended = ended_with(log, name, monkeypatch, call, job(tmp_path))
    kinds = [line.split(" ")[0] for line in commands_in(ended.out)]
    assert (kinds, commands_in(ended.err)) == (["::error", "::error", "::warning"], [])
    assert (tmp_path / "summary.md").read_text("utf-8").startswith("## ")
    assert ended.last_line.startswith("exit 1: ")

    (tmp_path / "summary.md").unlink()
    elsewhere = ended_with(log, name, monkeypatch, call, job(tmp_path, GITHUB_ACTIONS="false"))
    assert commands_in(elsewhere.out + elsewhere.err) == []
    assert not (tmp_path / "summary.md").exists()


def test_proof_writes_annotations_and_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> None:
    monkeypatch.setattr("touchstone.cli.prove.Prove.proven", lambda *args: (flawed(), tmp_path))
    ended = call(job(tmp_path), "prove")
    assert (ended.code, len(commands_in(ended.out))) == (1, 4)
    assert (tmp_path / "summary.md").read_text("utf-8") == summary(flawed(), tmp_path)


def test_commands_in_a_recording_do_not_reach_the_runner(tmp_path: Path, call: Command) -> None:
    har = document("fresh-build")
    answer = entry(har, "building", "getBuild")["response"]
    answer.update(status=200, statusText="::error::status")
    text = answer["content"]["text"].replace('"building"', f'"{EVIL}"'.replace("\n", "\\n"), 1)
    answer["content"]["text"] = text.replace("\r", "\\r")
    ended = call(job(tmp_path), "replay", str(saved(har, tmp_path / "evil")))

    lines = commands_in(ended.out + ended.err)
    assert (ended.code, 0 < len(lines) <= 10) == (1, True)
    assert [line for line in lines if not re.match(r"::(error|warning) title=[^:]+::[^\r\n]+$", line)] == []
    assert any("set-output" in line for line in lines)  # within the message of an annotation
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert ("set-output" in text, "<script" in text) == (True, False)


def test_summaries_of_a_step_share_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> None:
    run_log, path = write_failing(tmp_path / "log"), tmp_path / "summary.md"
    ended_with(run_log, "check", monkeypatch, call, job(tmp_path))
    once = path.read_text("utf-8")
    ended_with(run_log, "load", monkeypatch, call, job(tmp_path))
    assert path.read_text("utf-8") == 2 * once

    path.write_text("x" * (MAX_SUMMARY_BYTES - 100), "utf-8")
    ended = ended_with(run_log, "check", monkeypatch, call, job(tmp_path))
    assert (path.stat().st_size, "summary.md" in ended.err) == (MAX_SUMMARY_BYTES - 100, True)


def test_unwritable_summary_changes_no_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command
) -> None:
    shell = job(tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "gone" / "summary.md"))
    ended = ended_with(write_failing(tmp_path / "log"), "check", monkeypatch, call, shell)
    assert (ended.code, ended.last_line.startswith("exit 1: "), "summary.md" in ended.err) == (1, True, True)


def test_streams_are_guarded_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    def run() -> None:
        with guarded():
            Console().print("::error::x\n##[error]y", markup=False, end="")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert sys.stdout is out
    assert out.getvalue() == ": :error::x\n# #[error]y"
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    publish(None, Path())  # type: ignore[arg-type]  # not used outside of a job
