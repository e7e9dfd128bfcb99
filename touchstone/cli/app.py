"""The command line: argv in, exit code out. Everything else is somebody else's."""

import os
import shutil
import sys
from collections import UserDict
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

from touchstone import __version__
from touchstone.cli.github_job import guarded
from touchstone.cli.options import examples
from touchstone.errors import HarnessError, unsent

# The module of each command, in the order of `--help`, which begins with what the product is for.
MODULES = {
    "check": "touchstone.cli.check",
    "prove": "touchstone.cli.prove",
    "report": "touchstone.cli.report",
    "claims": "touchstone.cli.claims",
    "explain": "touchstone.cli.claims",
    "sweep": "touchstone.cli.sweep",
    "serve": "touchstone.cli.serve",
    "load": "touchstone.cli.load",
    "probe": "touchstone.cli.probe",
    "compare": "touchstone.cli.compare",
    "record": "touchstone.cli.recordings",
    "replay": "touchstone.cli.recordings",
    "drift": "touchstone.cli.recordings",
    "recordings": "touchstone.cli.recordings",
    "init": "touchstone.cli.init",
}


# Below, Click makes its help wider than the terminal.
NARROW_COLUMNS = 52


# Typer keeps its Click to itself, and has no types for it.
_CONTEXT: Any = TyperGroup.context_class
_FORMATTER: Any = _CONTEXT.formatter_class


class _Formatter(_FORMATTER):  # type: ignore[misc]  # see above
    """Help with narrow names, so that what is said of them need not break its words."""

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Writes names and what is said of them."""
        super().write_dl(rows, col_max if self.width >= NARROW_COLUMNS else self.width // 3, col_spacing)


class _Context(_CONTEXT):  # type: ignore[misc]  # see above
    """The context of a command."""

    formatter_class = _Formatter


class _Commands(UserDict[str, Any]):
    """Commands by name: modules until one is looked up, since the import of them all takes most of a second."""

    def __getitem__(self, name: str) -> Any:
        lone = typer.Typer(rich_markup_mode=None)
        with unsent():
            lone.add_typer(import_module(super().__getitem__(name)).app)
        command: Any = get_group(lone).commands[name]
        command.context_class = _Context
        return command


class _Sketches(UserDict[str, Any]):
    """Commands by name as completion sees them: without the modules, a shell has its words at once."""

    def __getitem__(self, name: str) -> Any:
        return import_module("touchstone.cli.completion").command(name)


class _Menu(TyperGroup):
    """The group of all commands, of which it knows no more than the names."""

    context_class = _Context

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        asked = os.environ.get("_TOUCHSTONE_COMPLETE", "").startswith("complete_")
        self.commands = _Sketches(MODULES) if asked else _Commands(MODULES)

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """The context of one call; help fits terminals that are narrower than Click expects of any."""
        columns = shutil.get_terminal_size().columns
        if columns < NARROW_COLUMNS:
            extra.setdefault("terminal_width", columns - 2)
        return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; what Typer refuses is told as every other wrong value."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from touchstone.cli.refusals import refusal  # noqa: PLC0415 - only what goes wrong needs it

            told = refusal(error)
            if told is None:
                raise
            raise told from error


app = typer.Typer(
    name="touchstone",
    cls=_Menu,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Judges a template build API against its documented contract.",
    epilog="Exit codes: 0 no must claim broken, 1 one is broken, 2 bad usage, 3 could not be judged, 130 interrupted."
    "\n\n"
    + examples("init", "check", "check --target staging --plan", "explain cancel.in-flight-is-202", "load --help"),
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        Console().print(f"touchstone {__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """The entry point; ends the process with an exit code of DESIGN.md, part 4."""
    with guarded():
        _run()


def _run() -> None:
    try:
        app(standalone_mode=True, prog_name="touchstone")
    except HarnessError as error:
        _say(f"exit {error.exit_code}: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        _say(f"exit 3: {error.filename or 'the system'}: {error.strerror or error}; see that it can be used")
        sys.exit(3)
    except KeyboardInterrupt as interrupt:
        _end_interrupted(interrupt)
    except SystemExit as ended:
        # Typer makes a silent exit of an interrupt that no command has taken.
        cause = ended.__context__.__cause__ if ended.__context__ else None
        if isinstance(cause, KeyboardInterrupt):
            _end_interrupted(cause)
        raise


def _end_interrupted(interrupt: KeyboardInterrupt) -> NoReturn:
    _say(f"exit 130: interrupted{''.join(getattr(interrupt, '__notes__', ()))}")
    sys.exit(130)


def _say(text: str) -> None:
    from touchstone.report.terminal import say  # noqa: PLC0415 - only what goes wrong needs it

    say(Console(stderr=True), text)
