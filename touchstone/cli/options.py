"""The options that several commands share, and how a dataclass of options becomes a command."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from rich.console import Console
from typer import Context, Exit, Option, Typer

from touchstone import config
from touchstone.config import DEFAULT_MAX_BUILDS, EMBEDDED, UNBOUNDED_BUILDS, Flags, Settings
from touchstone.errors import HarnessError


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy, of which none is broken."""
    return "\b\nExamples:\n" + "\n".join(f"  touchstone {line}" for line in lines)


def say(console: Console, text: str) -> None:
    """Prints a line as it is, however long."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _targets(ctx: Context) -> Iterator[str]:
    yield EMBEDDED
    try:
        yield from config.find(ctx.params.get("config"), Path.cwd()).table.targets
    except HarnessError:
        return  # the command itself says what is wrong with a file


def claim_ids() -> list[str]:
    """The ids of all claims."""
    from touchstone.contract import claims  # noqa: PLC0415 - other options do without the ledger

    return list(claims.load())


ReportDir = Annotated[Path | None, Option(help="Folder for the results.  [default: reports/<run id>]")]
Reports = Annotated[Path | None, Option(help="Where earlier runs left their results.  [default: reports]")]
WriteBaseline = Annotated[
    Path | None, Option(help="Put the broken claims into this baseline, and take out those that hold.")
]
Strict = Annotated[bool | None, Option("--strict", help="Broken should claims fail the run, too.")]
_BUDGET = f"[default: {DEFAULT_MAX_BUILDS}; embedded twin: {UNBOUNDED_BUILDS:,}]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Which target, and where results go."""

    target: Annotated[str | None, Option(help="A target of touchstone.toml.", autocompletion=_targets)] = None
    url: Annotated[str | None, Option(help="Base URL of a target; keys come from ORGO_API_KEY and its like.")] = None
    config: Annotated[Path | None, Option(help="Settings file instead of touchstone.toml or pyproject.toml.")] = None
    report_dir: ReportDir = None

    def settings(self, doing: str, builds: int | None = None) -> Settings:
        """The merged settings, see `config.load`; *doing* is what the command does with the embedded twin."""
        flags = Flags(**{each.name: getattr(self, each.name, None) for each in dataclasses.fields(Flags)})
        settings = config.load(flags, os.environ, Path.cwd(), builds)
        if doing and (folder := _overlooked(flags, os.environ, Path.cwd())):
            from touchstone.report.terminal import say as say_fitted  # noqa: PLC0415 - seldom

            say_fitted(Console(stderr=True), f"no touchstone.toml here, but in {folder}: {doing} the embedded twin")
        return settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Place):
    """The options of every command that sends something."""

    strict: Strict = None
    plan: Annotated[bool | None, Option("--plan", help="Say what would run and cost; send nothing.")] = None
    max_builds: Annotated[int | None, Option(help=f"Builds that the run may begin.  {_BUDGET}")] = None
    max_seconds: Annotated[float | None, Option(help="Seconds that the run may take.")] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeededRun(Run):
    """The same, and a seed."""

    seed: Annotated[int | None, Option(help="Seed of everything that is generated.")] = None


def _overlooked(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The nearest folder above with a settings file, up to a checkout's root, where no target is chosen."""
    chosen = (flags.target, flags.url, flags.config, environ.get("TOUCHSTONE_TARGET"), environ.get("ORGO_BASE_URL"))
    here = config.find(None, cwd)
    if any(chosen) or here.name == "touchstone.toml" or here.table.model_fields_set:
        return None
    for folder in cwd.parents:
        if os.path.isfile(folder / "touchstone.toml"):  # noqa: PTH113 - false where the folder may not be looked into
            return folder
        if os.path.exists(folder / ".git"):  # noqa: PTH110 - likewise
            return None
    return None


C = TypeVar("C", bound=type[Any])


def command(app: Typer, *lines: str) -> Callable[[C], C]:
    """Makes a dataclass with a method *run*, which returns the exit code, a command of *app* with example *lines*."""

    def add(options: C) -> C:
        def call(**given: Any) -> None:
            raise Exit(options(**given).run())

        signature = inspect.signature(options)
        call.__doc__ = options.__doc__
        call.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        call.__signature__ = signature  # type: ignore[attr-defined]  # every function may have one
        app.command(name=options.__name__.lower(), epilog=examples(*lines))(call)
        return options

    return add
