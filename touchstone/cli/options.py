"""Options that several commands share, and a decorator that turns a dataclass of options into a command."""

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
from touchstone.errors import HarnessError, UsageError


def examples(*lines: str) -> str:
    """Returns the last part of a command's help: examples, one on each line, which are never wrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  touchstone {line}" for line in lines)


def say(console: Console, text: str) -> None:
    """Prints a line without markup or wrapping."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _targets(ctx: Context) -> Iterator[str]:
    yield EMBEDDED
    try:
        yield from config.find(ctx.params.get("config"), Path.cwd()).table.targets
    except HarnessError:
        return  # the command itself reports an invalid file


def claim_ids() -> list[str]:
    """Ids of all claims."""
    from touchstone.contract import claims  # noqa: PLC0415 - most commands do not need the ledger

    return list(claims.load())


ReportDir = Annotated[Path | None, Option(help="Folder for the results.  [default: reports/<run id>]")]
Reports = Annotated[Path | None, Option(help="Folder with the results of earlier runs.  [default: reports]")]
WriteBaseline = Annotated[
    Path | None, Option(help="Baseline to update: add claims that are broken, remove claims that hold.")
]
_BUDGET = f"[default: {DEFAULT_MAX_BUILDS}; embedded twin: {UNBOUNDED_BUILDS:,}]"


def option(text: str, *names: str, default: Any = None, **more: Any) -> Any:
    """Returns a dataclass field for an option of a command, with the help *text*; *names* replace the field's name."""
    return dataclasses.field(default=default, metadata={Option: Option(*names, help=text, **more)})


def flag(text: str, *names: str) -> Any:
    """Returns a dataclass field for a flag, which is off by default; *names* replace the field's name."""
    return option(text, *names, default=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Options that choose the target and the folder for results."""

    target: str | None = option("Target in touchstone.toml.", autocompletion=_targets)
    url: str | None = option(
        "Base URL of a target. Keys come from ORGO_API_KEY, ORGO_SECOND_API_KEY and ORGO_RESTRICTED_API_KEY."
    )
    config: Path | None = option("Settings file to use instead of touchstone.toml or pyproject.toml.")
    report_dir: ReportDir = None

    def settings(self, doing: str, builds: int | None = None) -> Settings:
        """Returns the merged settings. *doing*: verb of a note, printed if only a parent folder has a settings file."""
        flags = Flags(**{each.name: getattr(self, each.name, None) for each in dataclasses.fields(Flags)})
        settings = config.load(flags, os.environ, Path.cwd(), builds)
        if doing and (folder := _config_above(flags, os.environ, Path.cwd())):
            from touchstone.report.terminal import say as say_fitted  # noqa: PLC0415 - rarely needed

            note = f"touchstone.toml is not in this folder, but in {folder}: {doing} the embedded twin"
            say_fitted(Console(stderr=True), note)
        return settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Place):
    """Options of commands that send requests."""

    strict: bool | None = option("A broken should-level claim fails the run, too.", "--strict")
    plan: bool | None = option("Show what would run and what it costs; send nothing.", "--plan", "--dry-run")
    max_builds: int | None = option(f"Maximum number of builds that the run starts.  {_BUDGET}")
    max_seconds: float | None = option("Maximum duration of the run in seconds.")

    def refuse_beside_resume(self, *names: str) -> None:
        """Raises UsageError if one of the options *names*, which a resumed run takes from its beginning, is given."""
        for name in names:
            if getattr(self, name) not in (None, False):
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"--resume: {flag} is given, too; the run goes on as it began, so leave it out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeededRun(Run):
    """Options of commands that send generated data, which depends on *seed*."""

    seed: int | None = option("Seed of all generated data.")


def _config_above(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Returns the nearest parent folder in the checkout with a touchstone.toml; None if a target or file is chosen."""
    chosen = (flags.target, flags.url, flags.config, environ.get("TOUCHSTONE_TARGET"), environ.get("ORGO_BASE_URL"))
    here = config.find(None, cwd)
    if any(chosen) or here.name == "touchstone.toml" or here.table.model_fields_set:
        return None
    for folder in cwd.parents:
        if os.path.isfile(folder / "touchstone.toml"):  # noqa: PTH113 - false for an inaccessible folder
            return folder
        if os.path.exists(folder / ".git"):  # noqa: PTH110 - likewise
            return None
    return None


C = TypeVar("C", bound=type[Any])


def command(app: Typer, *lines: str) -> Callable[[C], C]:
    """Returns a decorator that adds a dataclass of options to *app* as a command. The command calls its `run`."""

    def add(options: C) -> C:
        def call(**given: Any) -> None:
            raise Exit(options(**given).run())

        infos = {field.name: field.metadata.get(Option) for field in dataclasses.fields(options)}
        for name, info in infos.items():
            if info and info.default is ... and getattr(options, name, None) is False:  # without a name of its own
                info.param_decls = (f"--{name.replace('_', '-')}",)  # otherwise there would be a --no-… as well
        parameters = [
            parameter.replace(annotation=Annotated[parameter.annotation, infos[parameter.name]])
            for parameter in inspect.signature(options).parameters.values()
        ]
        call.__doc__ = options.__doc__
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # every function may have one
        app.command(name=options.__name__.lower(), epilog=examples(*lines))(call)
        return options

    return add
