"""A command as a step of a job of GitHub Actions: what it hands to the runner, and what nobody else does through it."""

import io
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests import loadlogs
from tests.command import KEYS, Command, Ended, Shell
from tests.recorded import document, entry, saved
from tests.report.conftest import write_failing, write_interrupted
from touchstone.check.job import Outcome
from touchstone.facts.events import Limit
from touchstone.report.github import MAX_SUMMARY_BYTES, guarded, publish

EVIL = "::set-output name=a::b\n ::error::x\r::add-mask::y ##[error]z @octocat `|` <script>"

# Where each command that judges a target gets its outcome from, and the least that it is called with.
COMMANDS = {
    "check": ("touchstone.check.runner.check", ["check"]),
    "load": ("touchstone.loadgen.runner.load", ["load", "steady"]),
    "replay": ("touchstone.check.runner.check", ["replay"]),
    "record": ("touchstone.recordings.recorder.record", ["record"]),
    "drift": ("touchstone.recordings.drifting.compare", ["drift"]),
    "probe": ("touchstone.limiter.probe.runner.probe", ["probe"]),
}


def job(folder: Path, **more: str) -> Shell:
    """A shell that is a step of a job, with its summary in the folder."""
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return Shell(folder, KEYS | variables | {"GITHUB_WORKSPACE": str(folder)} | more)


def commands_in(text: str) -> list[str]:
    """The lines that a runner would take for commands, as actions/runner does."""
    lines = re.split(r"[\r\n]", text)
    return [line.strip() for line in lines if line.strip().startswith("::") or "##[" in line]


def ended_with(run_log: Path, name: str, monkeypatch: pytest.MonkeyPatch, call: Command, shell: Shell) -> Ended:
    """A command whose run is over already and left this log."""
    outcome = Outcome(1, shell.folder / "reports" / "x", run_log)
    place, arguments = COMMANDS[name]
    found = SimpleNamespace(outcome=outcome, changes=[], uncompared={}, exit_code=1, reason="x")
    answers = {"record": (outcome, []), "drift": found}
    monkeypatch.setattr(place, lambda *args, **kwargs: answers.get(name, outcome))
    return call(shell, *arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_tells_the_job(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> None:
    """Each command that judges a target has its annotations on stdout and its summary in the file of the step."""
    ended = ended_with(write_failing(tmp_path / "log"), name, monkeypatch, call, job(tmp_path))

    told = [line.split(" ")[0] for line in commands_in(ended.out)]
    assert told == ["::error", "::error", "::warning"]
    assert commands_in(ended.err) == []
    assert (tmp_path / "summary.md").read_text("utf-8").startswith("## ✕ touchstone check: Does not conform\n")
    assert ended.last_line.startswith("exit 1: ")


@pytest.mark.parametrize("name", ["check", "load"])
def test_command_elsewhere_says_nothing_to_a_runner(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command
) -> None:
    """Without GITHUB_ACTIONS=true there is neither an annotation nor a summary, whatever else is set."""
    shell = job(tmp_path, GITHUB_ACTIONS="false")
    ended = ended_with(write_failing(tmp_path / "log"), name, monkeypatch, call, shell)

    assert commands_in(ended.out + ended.err) == []
    assert not (tmp_path / "summary.md").exists()


def test_load_has_its_thresholds_in_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> None:
    """Requests, times and thresholds of a load run are told."""
    log = loadlogs.steady(duration_s=5)
    assert log.workload
    limited = replace(log, workload=replace(log.workload, limits=(Limit("*", "error_share", 0.5),)))
    run_log = loadlogs.write(limited, tmp_path / "log")
    ended_with(run_log, "load", monkeypatch, call, job(tmp_path))
    text = (tmp_path / "summary.md").read_text("utf-8")

    assert "## " in text
    assert re.search(r"<p>[\d,]+ requests, [\d.]+ a second, p50 ", text)
    assert "<h3>Thresholds</h3>" in text


def test_recording_full_of_commands_gives_the_runner_none(tmp_path: Path, call: Command) -> None:
    """What a recorded server answered reaches neither the runner nor the markup of the summary."""
    har = document("fresh-build")
    answer = entry(har, "building", "getBuild")["response"]
    answer.update(status=200, statusText="::error::status")
    content = answer["content"]
    content["text"] = content["text"].replace('"building"', f'"{EVIL}"'.replace("\n", "\\n"), 1)
    content["text"] = content["text"].replace("\r", "\\r")
    ended = call(job(tmp_path), "replay", str(saved(har, tmp_path / "evil")))

    assert ended.code == 1
    told = commands_in(ended.out + ended.err)
    assert 0 < len(told) <= 10
    assert [line for line in told if not re.match(r"::(error|warning) title=[^:]+::[^\r\n]+$", line)] == []
    assert any("set-output" in line for line in told), "the value is told, in the message of an annotation"
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert "set-output" in summary
    assert "<script" not in summary


def test_interrupted_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> None:
    """A run that somebody stopped is one annotation, an error."""
    ended = ended_with(write_interrupted(tmp_path / "log"), "check", monkeypatch, call, job(tmp_path))

    (line,) = commands_in(ended.out)
    assert line.startswith("::error title=touchstone check%3A Interrupted::")


def test_summaries_of_one_step_share_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second command appends to what is there; where nothing has room any more, it says so and writes nothing."""
    run_log, summary = write_failing(tmp_path / "log"), tmp_path / "summary.md"
    ended_with(run_log, "check", monkeypatch, call, job(tmp_path))
    once = summary.read_text("utf-8")
    ended_with(run_log, "load", monkeypatch, call, job(tmp_path))
    assert summary.read_text("utf-8") == 2 * once

    summary.write_text("x" * (MAX_SUMMARY_BYTES - 100), "utf-8")
    ended = ended_with(run_log, "check", monkeypatch, call, job(tmp_path))
    assert summary.stat().st_size == MAX_SUMMARY_BYTES - 100
    assert "summary.md: has no room left for a summary of this run" in ended.err


def test_summary_that_cannot_be_written_changes_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command
) -> None:
    """The file's fault is told on stderr; code and last line are those of the run."""
    shell = job(tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "gone" / "summary.md"))
    ended = ended_with(write_failing(tmp_path / "log"), "check", monkeypatch, call, shell)

    assert (ended.code, ended.last_line) == (1, "exit 1: 2 must claims broken")
    assert "summary.md: the summary of the step cannot be written: No such file or directory" in ended.err


def test_message_of_an_error_is_no_command(tmp_path: Path, call: Command) -> None:
    """What a user's own files say is kept from the runner as well."""
    (tmp_path / "touchstone.toml").write_text('"\\n::error::x" = 1\n', "utf-8")
    ended = call(job(tmp_path), "check")

    assert ended.code == 2
    assert "error" in ended.err
    assert commands_in(ended.out + ended.err) == []


def test_streams_are_ours_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Under a runner, rich writes through the guard, and what it wrote is passed on when it is over, also after an error.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
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


def test_tell_outside_of_a_job_needs_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at where nobody is told."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    publish(None, Path())  # type: ignore[arg-type] - that it is not looked at is the point
