"""Completion in a shell: commands, options, and what they take, without the modules that would do the work."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Command, Shell
from tests.commandtable import table
from touchstone.cli.app import MODULES
from touchstone.cli.completion import TABLE, WORDS, command
from touchstone.contract import claims as ledger_of_claims
from touchstone.loadgen.workloads import SCENARIOS
from touchstone.proof.faults import FAULTS
from touchstone.recordings import recorder

Complete = Callable[[str], list[str]]
# Typer itself loads pydantic.
HEAVY = {"numpy", "jinja2", "jsonschema", "httpx", "starlette", "pytest", *MODULES.values()}


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> Complete:
    """What bash is told at the end of a line, as its completion script asks; there is one target."""
    (tmp_path / "touchstone.toml").write_text('[targets.staging]\nurl = "http://127.0.0.1:9/api"\n')

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_TOUCHSTONE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        ended = call(Shell(tmp_path))
        assert (ended.code, ended.err) == (0, "")
        return ended.out.split()

    return ask


def test_table_is_that_of_the_commands() -> None:
    """
    Commands, options and names are those that there are; else `python -m tests.commandtable` makes the table anew.
    """
    assert TABLE.read_text(encoding="utf-8") == table()


def test_commands_are_completed(complete: Complete) -> None:
    """All of them, those that begin alike, and those within one."""
    assert complete("touchstone ") == list(MODULES)
    assert complete("touchstone re") == ["report", "record", "replay", "recordings"]
    assert complete("touchstone recordings ") == ["lint"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("touchstone check --ba", ["--baseline"]),
        ("touchstone check --strict --pl", ["--plan"]),
        ("touchstone load steady --abort", ["--abort-on-fail"]),
        ("touchstone replay --no", ["--no-strict"]),
        ("touchstone recordings lint --max", ["--max-age"]),
        ("touchstone report reports/x --write", ["--write-baseline"]),
    ],
)
def test_options_are_completed(complete: Complete, line: str, expected: list[str]) -> None:
    """Those of the command that is being written."""
    assert complete(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("touchstone check --target ", ["twin", "staging"]),
        ("touchstone probe --target st", ["staging"]),
        ("touchstone check --claims canc", ["cancel.*"]),
        ("touchstone check --claims cancel.in-f", ["cancel.in-flight-is-202"]),
        ("touchstone check --claims events.*,cancel.in-f", ["events.*,cancel.in-flight-is-202"]),
        ("touchstone explain cancel.in-f", ["cancel.in-flight-is-202"]),
        ("touchstone claims canc", ["cancel.*"]),
        ("touchstone load ", list(SCENARIOS)),
        ("touchstone record ", list(recorder.scenarios())),
        ("touchstone record fresh-build ra", ["rate-limit"]),
        ("touchstone serve --fault others-may-f", ["others-may-follow"]),
        ("touchstone prove --fault others-", ["others-*", *(name for name in FAULTS if name.startswith("others-"))]),
        ("touchstone check --profile ", ["quick", "standard", "thorough"]),
        ("touchstone init --ci git", ["github", "gitlab"]),
        ("touchstone report ", []),  # the shell completes names of files where nothing else is known
    ],
)
def test_values_are_completed(complete: Complete, line: str, expected: list[str]) -> None:
    """Targets of the settings file, claims and globs of them, scenarios, faults, and what is one of a few words."""
    assert complete(line) == expected


def test_every_claim_is_completed(complete: Complete) -> None:
    """Those that nobody judges can be explained as well."""
    assert set(complete("touchstone explain ")) == set(ledger_of_claims.load())


def test_targets_are_those_of_the_file_that_is_named(complete: Complete, tmp_path: Path) -> None:
    """With --config another file has them, and a file that cannot be read has none."""
    (tmp_path / "other.toml").write_text('[targets.canary]\nurl = "http://127.0.0.1:9/api"\n')
    assert complete("touchstone check --config other.toml --target ") == ["twin", "canary"]
    (tmp_path / "other.toml").write_text("[targets")
    assert complete("touchstone check --config other.toml --target ") == ["twin"]


def test_words_are_those_of_the_help() -> None:
    """What an option is said to take is what is completed."""
    for name, words in WORDS.items():
        options = [param for one in MODULES for param in command(one).params if name in param.opts]
        assert options
        assert [word for option in options for word in words if word not in option.help] == []


def test_shell_has_not_to_wait(tmp_path: Path) -> None:
    """No module of a command is loaded, and nothing that takes long."""
    asked = {"_TOUCHSTONE_COMPLETE": "complete_bash", "COMP_WORDS": "touchstone check --claims ca", "COMP_CWORD": "3"}
    script = (
        "import sys, touchstone.__main__ as m\nsys.argv = ['touchstone']\n"
        "try:\n    m.main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | asked,
        cwd=tmp_path,
    )
    assert (ended.returncode, ended.stdout) == (0, "cancel.*\n")
    assert HEAVY & set(ended.stderr.split()) == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_a_shell_asks_touchstone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command, shell: str
) -> None:
    """What a shell has to load names the variable that asks."""
    monkeypatch.setenv("_TOUCHSTONE_COMPLETE", f"source_{shell}")
    ended = call(Shell(tmp_path))
    assert ended.code == 0
    assert f"_TOUCHSTONE_COMPLETE=complete_{shell}" in ended.out
