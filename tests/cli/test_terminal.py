"""Output on a terminal of 40 columns, on a dumb one, and without colours."""

import itertools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.command import Command, Shell
from tests.report.checklogs import write_failing, write_passing
from tests.report.golden import agrees
from touchstone.check.cases import Declared, Pace
from touchstone.cli.app import main
from touchstone.cli.live import CheckState, is_watched, print_plan, probe_progress_on, progress_on
from touchstone.config import Settings, TargetSettings

NARROW, WIDE = 40, 400
LINES = (
    *("claims cancel.*", "claims --excluded", "explain cancel.in-flight-is-202", "explain cancel.nothing", "sweep"),
    *("load steady --plan", "load storm --plan", "probe --plan", "report run", "compare run run --report-dir out"),
)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|38|48)[;m]")
_WORD = re.compile(r"[A-Za-z][\w.-]*[A-Za-z]{2}")
# Titles of tables that become lists.
TITLES = frozenset({"not", "judged", "because", "and"})
Screen = Callable[..., tuple[int, str]]  # exit code and output of a command


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Runs a command in this process with a terminal as output."""

    def run(shell: Shell, *arguments: str, **variables: str) -> tuple[int, str]:
        stream = Terminal()
        with monkeypatch.context() as patch:
            for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
                patch.delenv(name, raising=False)
            for name, value in (shell.environment() | {"TERM": "xterm-256color"} | variables).items():
                patch.setenv(name, value)
            patch.chdir(shell.folder)
            patch.setattr(sys, "argv", ["touchstone", *arguments])
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            with pytest.raises(SystemExit) as end:
                main()
        return int(end.value.code or 0), stream.getvalue()

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("narrow")
    (place / "run").mkdir()
    write_passing(place / "run" / "runlog.jsonl")
    return place


@pytest.mark.parametrize("line", LINES)
def test_narrow_terminal_breaks_no_word(folder: Path, on_terminal: Screen, call: Command, line: str) -> None:
    """A line is longer than 40 columns only if it is one word or a command to be copied."""
    code, raw = on_terminal(Shell(folder, columns=NARROW), *line.split())
    lines = [text.rstrip() for text in _ESCAPE.sub("", raw).replace("\r", "").splitlines()]
    wide = call(Shell(folder, columns=WIDE), *line.split())
    known = set(_WORD.findall(" ".join((wide.out + wide.err).split()))) | TITLES
    broken = [word for word in _WORD.findall(" ".join(lines)) if word not in known]
    assert (code, [word for word in broken if f"{word}..." not in raw]) == (wide.code, []), lines
    for text in filter(str.strip, lines):
        begins = text.split()[0]
        assert len(text) <= NARROW or text.strip() == begins or begins in ("curl", "report:", "touchstone"), text


@pytest.mark.parametrize("line", ["report run", "--help", "explain cancel.nothing"])
def test_dumb_terminal_gets_plain_text(folder: Path, on_terminal: Screen, line: str) -> None:
    assert "\x1b" not in on_terminal(Shell(folder, columns=80), *line.split(), TERM="dumb")[1]


def test_colours_follow_the_environment(
    tmp_path: Path, on_terminal: Screen, call: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources: no-color.org, force-color.org."""
    write_failing(tmp_path / "runlog.jsonl")
    assert _COLOUR.search(on_terminal(Shell(tmp_path, columns=80), "report", ".")[1])
    assert not _COLOUR.search(on_terminal(Shell(tmp_path, columns=80), "report", ".", NO_COLOR="1")[1])
    forced = Shell(tmp_path, keys={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert _COLOUR.search(call(forced, "report", ".").out)
    assert "\x1b" not in call(Shell(tmp_path), "report", ".").out


def sent(operation: str, ref: str, status: str, case: str) -> dict[str, Any]:
    body = {"text": json.dumps({"status": status}, separators=(",", ":"))}
    return {"type": "exchange", "operation": operation, "ref": ref, "case": case, "response": {"body": body}}


def test_progress_is_live_on_a_terminal_and_a_line_every_30_s_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        {"type": "selected", "cases": ["done", "[bold]slow[/bold]", "other", "last"]},
        *(sent("startBuild", ref, "building", "[bold]slow[/bold]") for ref in ("a", "b", "b")),
        sent("getBuild", "a", "ready", "done"),
        {"type": "finding"},
        {"type": "case", "id": "done"},
        sent("getBuild", "b", "building", "other"),
    ]
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for file, is_terminal in ((Terminal(), True), (StringIO(), False)):
        console, times = Console(file=file, width=200), itertools.count(0, 10)
        with progress_on(console, CheckState(), lambda times=times: next(times)) as show:
            for event in events:
                show(event)
        lines = [line for line in _ESCAPE.sub("", file.getvalue()).splitlines() if "begun" in line]
        assert is_watched(console) is is_terminal
        expected = (
            "1 of 4 cases done, 2 under way; 2 builds begun, 1 in flight; 1 finding; waiting for [bold]slow[/bold]"
        )
        assert (expected in lines[-1]) is is_terminal
    assert [("2 under way" in line, line.endswith("left")) for line in lines] == [(False, False), (True, False)]
    monkeypatch.setenv("CI", "true")
    assert not is_watched(Console(file=Terminal()))


def test_progress_of_a_probe_equals_its_golden_file(monkeypatch: pytest.MonkeyPatch) -> None:
    families = {"token-bucket": 0.7, "sliding-log": 0.29, "builds": 0.01, "minimum-gap": 0.001}
    trial = {"number": 2, "stage": "bracket", "arrivals": 300, "rate_per_s": 150.0}
    outcome = {"due": 300, "p99_s": 0.012, "late_p99_s": 0.2}
    events: list[dict[str, Any]] = [
        {"type": "progress", "doing": "publishing", "done": 1, "of": 4},
        {"type": "stimulus", "number": 1, "name": "canary"},
        {"type": "heard", "families": families, "builds": 1, "requests": 9, "refused": 2},
        {"type": "stimulus", "number": 2, "name": "burst"},
        {"type": "probe", "terms": {"most_s": 900.0}},
        *({"type": "answer", "retry_after_s": hint_s} for hint_s in (None, 60.0, 3542.0, 3541.0)),
        {"type": "trial", **trial},
        {"type": "tried", "trial": trial, "outcome": outcome, "mark": "late"},
        {"type": "tried", "trial": trial, "outcome": outcome, "mark": "passed"},
        {"type": "knee"},
        {"type": "identity", "why": ""},
    ]
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    piped, terminal = StringIO(), Terminal()
    for file in (piped, terminal):
        with probe_progress_on(Console(file=file, width=60)) as show:
            for event in events:
                show(event)
    agrees("probe-progress.txt", piped.getvalue())
    assert ["0:00:00" in file.getvalue() for file in (piped, terminal)] == [False, True]


def test_plans_of_a_check_equal_their_golden_file() -> None:
    one = Declared("a build ends ready", "", "", ("start.answers-202", "status.build-ends"), 2, 1, 2, 9)
    rows = json.dumps([asdict(one), asdict(Declared("all.generated", "", requests=100))])
    target = TargetSettings("staging", "http://127.0.0.1:9/api", "key", max_builds=3)
    out = StringIO()
    for settings, shared in ((Settings(), True), (Settings(target), True), (Settings(target), False)):
        pace = Pace(120.0, 0.1, "as documented") if settings.target.url else None
        print_plan(rows, settings, Console(file=out, width=120), pace, shared=shared, listed=shared)
    agrees("plans.txt", out.getvalue())
