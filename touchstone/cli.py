"""
The command line: argv in, exit code out. Everything else is somebody else's.
"""

import shutil
import sys
from collections import UserDict
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

from touchstone import __version__
from touchstone.cli_workflow import guarded
from touchstone.errors import HarnessError, unsent

# The module of each command, in the order of `--help`, which begins with what the product is for.
MODULES = {
    "check": "touchstone.cli_check",
    "prove": "touchstone.cli_prove",
    "report": "touchstone.cli_report",
    "claims": "touchstone.cli_claims",
    "explain": "touchstone.cli_claims",
    "sweep": "touchstone.cli_sweep",
    "serve": "touchstone.cli_serve",
    "load": "touchstone.cli_load",
    "probe": "touchstone.cli_probe",
    "compare": "touchstone.cli_compare",
    "record": "touchstone.cli_recordings",
    "replay": "touchstone.cli_recordings",
    "drift": "touchstone.cli_recordings",
    "recordings": "touchstone.cli_recordings",
}


# Below, Click makes its help wider than the terminal.
NARROW_COLUMNS = 52


class _Commands(UserDict[str, Any]):
    """
    Commands by name: modules until one is looked up, since the import of them all takes most of a second.
    """

    def __getitem__(self, name: str) -> Any:
        lone = typer.Typer(rich_markup_mode=None)
        with unsent():
            lone.add_typer(import_module(super().__getitem__(name)).app)
        return get_group(lone).commands[name]


class _Menu(TyperGroup):
    """
    The group of all commands, of which it knows no more than the names.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(MODULES)

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """
        The context of one call; help fits terminals that are narrower than Click expects of any.
        """
        columns = shutil.get_terminal_size().columns
        if columns < NARROW_COLUMNS:
            extra.setdefault("terminal_width", columns - 2)
        return super().make_context(*arguments, **extra)


app = typer.Typer(
    name="touchstone",
    cls=_Menu,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Judges a template build API against its documented contract.",
    epilog="Exit codes: 0 no must claim broken, 1 one is broken, 2 bad usage, 3 could not be judged, 130 interrupted.",
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        Console().print(f"touchstone {__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """
    The entry point; ends the process with an exit code of DESIGN.md, part 4.
    """
    with guarded():
        _run()


def _run() -> None:
    try:
        app(standalone_mode=True)
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
    from touchstone.report.narrow import say  # noqa: PLC0415 - only what goes wrong needs it

    say(Console(stderr=True), text)
