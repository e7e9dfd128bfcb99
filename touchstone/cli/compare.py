"""The command that says what is different between two runs: argv in, exit code out."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.check.job import folder_name
from touchstone.cli.options import examples
from touchstone.config import keys_in
from touchstone.errors import RunLogError, UsageError
from touchstone.facts import second_look
from touchstone.facts.events import RunLog
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report.compare_report import render, render_json, write
from touchstone.report.comparison import compare as compared

app = typer.Typer()

HTML_NAME, JSON_NAME = "compare.html", "compare.json"


@app.command(
    epilog=examples("compare reports/monday reports/tuesday", "compare before.jsonl after.jsonl --fail-on-new")
)
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run log, or the folder that holds runlog.jsonl.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same kind.")],
    report_dir: Annotated[
        Path | None,
        typer.Option(help="Where to write compare.html and compare.json.  [default: reports/compare-<A>-<B>]"),
    ] = None,
    fail_on_new: Annotated[
        bool, typer.Option("--fail-on-new", help="Exit code 1 where B broke a must claim that A did not.")
    ] = False,
) -> None:
    """Say what differs between two runs beyond noise.

    Exit code 0, whatever the difference is, unless --fail-on-new is given. Runs of different kinds, and of different
    versions of the contract, are not compared: exit code 2.
    """
    second_look.know(keys_in(os.environ))
    before, after = _read(a), _read(b)
    both = compared(before, after)
    runs = ((a, before), (b, after)) if report_dir is None else ()
    ids = [folder_name(log.header.run_id, f"{path}: run_id", "--report-dir") for path, log in runs]
    folder = report_dir or Path("reports") / f"compare-{'-'.join(ids)}"
    page, code = folder / HTML_NAME, int(fail_on_new and both.has_new_failure)
    write_whole(page, render(both))
    write_whole(folder / JSON_NAME, render_json(both, code))
    write(both, Console(), page, code)
    raise typer.Exit(code)


def _read(path: Path) -> RunLog:
    """The run log at *path*.

    Raises:
        UsageError: there is none, or the file is none.
    """
    file = path / "runlog.jsonl" if path.is_dir() else path
    if not file.exists():
        raise UsageError(f"{file}: no such file; expected a runlog.jsonl, as a run leaves in reports/")
    try:
        return read(file)
    except RunLogError as error:
        raise UsageError(str(error)) from error
