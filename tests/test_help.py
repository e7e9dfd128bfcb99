"""The examples at the end of each help: they can be copied, and do what they say."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from tests.command import Command, Shell
from touchstone.cli.app import MODULES, app

# What sends nothing and takes no time.
QUIET = ("--plan", "--list", "claims", "explain", "init", "--help")


def commands(group: Any, name: str = "touchstone") -> Iterator[tuple[str, Any]]:
    """Each command by its whole name, the root among them."""
    yield name, group
    for part in getattr(group, "commands", ()):
        yield from commands(group.commands[part], f"{name} {part}")


def examples(command: Any) -> list[str]:
    """The examples of a command, without the name of the program."""
    return re.findall(r"^ *touchstone (.*)$", (command.epilog or "").partition("Examples:")[2], flags=re.MULTILINE)


COMMANDS = dict(commands(get_group(app)))
EXAMPLES = [(name, words) for name, command in COMMANDS.items() for words in examples(command)]


def test_every_command_has_examples() -> None:
    """Each of its own; a group has those of its commands."""
    assert len(COMMANDS) > len(MODULES)
    without = [name for name, command in COMMANDS.items() if not (examples(command) or hasattr(command, "commands"))]
    assert without == []
    own = [(name, words) for name, words in EXAMPLES if name != "touchstone"]
    assert [words for name, words in own if not f"touchstone {words} ".startswith(f"{name} ")] == []
    assert len({words for _, words in own}) == len(own)


@pytest.mark.parametrize(("name", "words"), EXAMPLES)
def test_example_is_understood(name: str, words: str) -> None:
    """The parser takes every word of it."""
    command, rest = COMMANDS["touchstone"], shlex.split(words)
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    if "--help" not in rest:
        assert command.make_context(words, rest).args == []


@pytest.mark.parametrize("name", ["touchstone", "touchstone check", "touchstone recordings lint"])
def test_help_shows_lines_to_copy(tmp_path: Path, call: Command, name: str) -> None:
    """At its end, each on a line of its own, however narrow the terminal is."""
    for columns in (40, 80):
        shell = Shell(tmp_path, columns=columns)
        out = call(shell, *name.split()[1:], "--help").out
        shown = [line.strip() for line in out.partition("Examples:")[2].splitlines() if line.strip()]
        assert shown == [f"touchstone {words}" for words in examples(COMMANDS[name])]


@pytest.mark.parametrize(
    "words", sorted({words for _, words in EXAMPLES if any(word in words.split() for word in QUIET)})
)
def test_example_that_sends_nothing_runs(tmp_path: Path, call: Command, words: str) -> None:
    """Where there is a target called staging, it ends with 0."""
    if not words.startswith("init"):
        (tmp_path / "touchstone.toml").write_text('[targets.staging]\nurl = "http://127.0.0.1:9/api"\n')
    ended = call(Shell(tmp_path), *shlex.split(words))
    assert (ended.code, ended.err) == (0, ""), ended.out


def test_word_that_is_none_is_not_understood() -> None:
    """Else the parser would take anything."""
    with pytest.raises(Exception, match="No such option"):
        COMMANDS["touchstone check"].make_context("check", ["--clams", "x"])
