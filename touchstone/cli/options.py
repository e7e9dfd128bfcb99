"""The options that several commands share, with what their help says."""

from pathlib import Path
from typing import Annotated, Any

import typer

from touchstone.config import DEFAULT_MAX_BUILDS, UNBOUNDED_BUILDS
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError

Target = Annotated[str | None, typer.Option(help="A target of touchstone.toml.")]
Url = Annotated[str | None, typer.Option(help="Base URL of a target; keys come from ORGO_API_KEY and its like.")]
Config = Annotated[Path | None, typer.Option(help="Settings file instead of touchstone.toml or pyproject.toml.")]
ReportDir = Annotated[Path | None, typer.Option(help="Folder for the results.  [default: reports/<run id>]")]
Reports = Annotated[Path | None, typer.Option(help="Where earlier runs left their results.  [default: reports]")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is generated.")]
Strict = Annotated[bool | None, typer.Option("--strict", help="Broken should claims fail the run, too.")]
Plan_ = Annotated[bool | None, typer.Option("--plan", help="Say what would run and cost; send nothing.")]
MaxBuilds = Annotated[
    int | None,
    typer.Option(
        help=f"Builds that the run may begin.  [default: {DEFAULT_MAX_BUILDS}; embedded twin: {UNBOUNDED_BUILDS:,}]"
    ),
]
WriteBaseline = Annotated[
    Path | None, typer.Option(help="Put the broken claims into this baseline, and take out those that hold.")
]
MaxSeconds = Annotated[float | None, typer.Option(help="Seconds that the run may take.")]


def one_of(flag: str, value: str, *allowed: str) -> Any:
    """The value of a flag that is one of a few.

    Raises:
        UsageError: it is none of them.
    """
    if value not in allowed:
        raise UsageError(f"{flag} {quoted(value)}: expected one of {', '.join(allowed)}")
    return value


def examples(*lines: str) -> str:
    """What stands at the end of a command's help: lines to copy, of which none is broken."""
    return "\b\nExamples:\n" + "\n".join(f"  touchstone {line}" for line in lines)
