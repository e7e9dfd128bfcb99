"""The page about commands: each with its usage, arguments, options and defaults, as `--help` tells them."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_group

from tests.reference.docstrings import sentence
from tests.reference.marks import code, paragraphs, slug, table
from touchstone import errors
from touchstone.cli import app

BEGINNING = """
# Commands

What `touchstone COMMAND --help` says, in one place. Options that are left out take the value of
[the settings](settings.md), else the default. All commands:
"""

ENDINGS = """
## Exit codes

A command that judges ends with one of these, and repeats it with its reason in the last line:

{judging}

What goes wrong besides is an error of one of these kinds; the message says what to do:

{errors}

An interrupt (Ctrl-C, SIGTERM) ends with 130. `make` turns every code but 0 into its own 2.
"""

_BRACKET = re.compile(r"\s*\[(?P<value>default: [^\[\]]*?|required)?(?:; )?(?P<bound>(?:[\d.]+<=?)?x[<>]=?[\d.]+)?\]$")


def found() -> Iterator[tuple[str, Any]]:
    """Each command with its words, those of groups after the groups."""
    # The menu of all commands imports each when it is looked up.
    group = get_group(app.app)
    for name in group.commands:
        command = group.commands[name]
        yield name, command
        for inner, one in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", one


def page() -> str:
    """The page."""
    commands = list(found())
    rows = [
        (f"[`touchstone {name}`](#{slug(f'touchstone {name}')})", paragraphs(command.help or "").split("\n\n")[0])
        for name, command in commands
    ]
    parts = [BEGINNING, table(("command", "does"), rows), _endings()]
    parts += [_section(name, command) for name, command in commands]
    return "\n\n".join(part.strip() for part in parts)


def _endings() -> str:
    epilog = str(get_group(app.app).epilog)
    judging = re.findall(r"(\d+) ([^,.]+)", epilog)
    kinds = [errors.HarnessError, *errors.HarnessError.__subclasses__()]
    raised = [(code(kind.__name__), str(kind.exit_code), sentence(kind)) for kind in kinds[1:]]
    return ENDINGS.format(
        judging=table(("code", "means"), judging), errors=table(("error", "exit code", "when"), raised)
    )


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"touchstone {name}")
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    parts = [f"## touchstone {name}", f"    {usage}", paragraphs(command.help or "")]
    rows = [_row(*record) for record in _records(command, context)]
    parts += [table(("argument or option", "default", "is"), rows)] if rows else []
    parts += [paragraphs(command.epilog)] if command.epilog else []
    return "\n\n".join(parts)


def _records(command: Any, context: typer.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            yield record


def _row(name: str, text: str) -> tuple[str, str, str]:
    """
    One parameter; what stands in brackets at the end of its help is the default, a bound, or that it must be given.
    """
    default, bounds = "", ""
    while bracket := _BRACKET.search(text):
        text = text[: bracket.start()]
        value, bound = bracket["value"] or "", bracket["bound"] or ""
        default = "must be given" if value == "required" else (value.removeprefix("default: ") or default)
        bounds = f" ({_bounds(bound)})" if bound else bounds
    shown = code(default) if default and " " not in default else default
    return code(name.replace(" range>", ">")), shown, text + bounds


def _bounds(text: str) -> str:
    """A range in words: ``1<=x<=64`` is from 1 to 64, ``x>=1`` from 1 on."""
    numbers = re.findall(r"[\d.]+", text)
    return f"{numbers[0]} to {numbers[1]}" if numbers[1:] else f"{numbers[0]} or {'more' if '>' in text else 'less'}"
