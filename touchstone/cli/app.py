"""The command `touchstone`: finds the subcommand, and turns errors into exit codes."""

import os
import shutil
import sys
from collections import UserDict
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

from touchstone import __version__
from touchstone.errors import HarnessError, UsageError, quoted, unsent

_NAMES = (
    "check baseline prove report claims explain sweep serve load probe compare record replay drift proxy recordings "
    "init"
)
# The module of a command whose name differs.
_HOMES = {"report": "reports", "compare": "reports", "baseline": "reports", "explain": "claims", "sweep": "check"}
_HOMES |= dict.fromkeys(("record", "replay", "drift", "proxy"), "recordings")
MODULES = {name: f"touchstone.cli.{_HOMES.get(name, name)}" for name in _NAMES.split()}  # in the order of `--help`


class _Commands(UserDict[str, Any]):
    """Commands by name. Their modules are imported only when needed, because importing all takes almost a second."""

    def __getitem__(self, name: str) -> Any:
        lone = typer.Typer(rich_markup_mode=None)
        with unsent():
            lone.add_typer(import_module(super().__getitem__(name)).app)
        return get_group(lone).commands[name]


class _Menu(TyperGroup):
    """The group of all subcommands of `touchstone`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(MODULES)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. A message about an invalid option value does not show the value if that may be a key."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            problems: Any = getattr(error.__cause__, "errors", list)()
            param: Any = error.param
            if param is None or not problems:
                raise
            expected = str(problems[0]["msg"]).removeprefix("Input should be ").partition(", unable")[0]
            expected = expected.rpartition(" is not ")[2].rstrip(".")
            raise UsageError(f"{param.opts[0]}: found {quoted(problems[0]['input'])}; expected {expected}") from error


_WIDTH = min(shutil.get_terminal_size().columns, 80) - 2

app = typer.Typer(
    name="touchstone",
    cls=_Menu,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "terminal_width": _WIDTH},
    help="Test a template build API against its documented contract.",
    epilog="Exit codes: 0 no must-level claim is broken, 1 one is broken, 2 wrong usage or configuration, 3 the "
    "target could not be judged, 130 interrupted."
    "\n\n\b\nExamples:\n  touchstone init\n  touchstone check\n  touchstone check --target staging --plan"
    "\n  touchstone explain cancel.in-flight-is-202\n  touchstone load --help",
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False) -> None:
    if version:
        Console().print(f"touchstone {__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """Runs the command line and ends the process with a documented exit code."""
    guard: AbstractContextManager[None] = nullcontext()
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from touchstone.report.github import guarded  # noqa: PLC0415 - only needed in GitHub Actions

        guard = guarded()
    with guard:
        try:
            app(standalone_mode=True, prog_name="touchstone")
        except HarnessError as error:
            _end(error.exit_code, str(error))
        except OSError as error:
            _end(3, f"{error.filename or 'the system'}: {error.strerror or error}; check that it is accessible")
        except (KeyboardInterrupt, SystemExit) as ended:
            # Typer turns Ctrl-C into a silent exit, so the interrupt may be the cause of that exit.
            cause = ended.__context__.__cause__ if ended.__context__ else None
            interrupt = next((one for one in (ended, cause) if isinstance(one, KeyboardInterrupt)), None)
            if interrupt is None:
                raise
            _end(130, f"interrupted{''.join(getattr(interrupt, '__notes__', ()))}")


def _end(code: int, reason: str) -> NoReturn:
    from touchstone.report.terminal import say  # noqa: PLC0415 - only needed after an error

    say(Console(stderr=True), f"exit {code}: {reason}")
    sys.exit(code)
