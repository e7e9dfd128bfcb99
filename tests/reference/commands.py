"""The page about commands: each with its usage, arguments, options and defaults, as `--help` tells them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
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
[the settings](settings.md), else the default.
"""

ENDINGS = """
## Exit codes

The last line of a command that judges repeats its exit code, with the reason:

{judging}

Errors have these exit codes:

{errors}

`make` turns every code but 0 into its own 2.

## Common options

Several commands have these; each names those that it has:

{common}
"""

HEADS = ("parameter", "default", "is")
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
    counts = Counter(row for name, command in commands for row in _rows(name, command))
    # An option that three commands describe alike is documented once.
    common = [row for row, count in counts.items() if count > 2 and row[0].startswith("`--")]
    rows = [
        (f"[`touchstone {name}`](#{slug(f'touchstone {name}')})", paragraphs(command.help or "").split("\n\n")[0])
        for name, command in commands
    ]
    parts = [BEGINNING, table(("command", "does"), rows), _endings(table(HEADS, common))]
    parts += [_section(name, command, common) for name, command in commands]
    return "\n\n".join(part.strip() for part in parts)


def _endings(common: str) -> str:
    epilog = str(get_group(app.app).epilog)
    judging = re.findall(r"(\d+) ([^,.]+)", epilog)
    kinds = [errors.HarnessError, *errors.HarnessError.__subclasses__()]
    raised = [(code(kind.__name__), str(kind.exit_code), sentence(kind)) for kind in kinds[1:]]
    failing = table(("error", "exit code", "when"), raised)
    return ENDINGS.format(judging=table(("code", "means"), judging), errors=failing, common=common)


def _section(name: str, command: Any, common: Sequence[tuple[str, ...]]) -> str:
    context = typer.Context(command, info_name=f"touchstone {name}")
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    usages = [] if usage.endswith(f"{name} [OPTIONS]") else [f"    {usage}"]
    parts = [f"## touchstone {name}", *usages, paragraphs(command.help or "")]
    rows = _rows(name, command)
    own = [row for row in rows if row not in common]
    parts += [table(HEADS, own)] if own else []
    shared = ", ".join(code(re.split(r"[, ]", row[0].strip("`"))[0]) for row in rows if row in common)
    parts += [f"[Common options](#common-options): {shared}."] if shared else []
    parts += [paragraphs(command.epilog)] if command.epilog else []
    return "\n\n".join(parts)


def _rows(name: str, command: Any) -> list[tuple[str, ...]]:
    """Arguments and options of a command."""
    context = typer.Context(command, info_name=f"touchstone {name}")
    records = (parameter.get_help_record(context) for parameter in command.params)
    return [_row(*record) for record in records if record is not None]


def _row(name: str, text: str) -> tuple[str, ...]:
    """One parameter; brackets at the end of its help hold the default or a bound, or say that it must be given."""
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
