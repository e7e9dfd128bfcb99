"""The command that renders a run log: argv in, exit code out."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.check import baseline
from touchstone.cli.options import WriteBaseline, examples, say
from touchstone.config import keys_in
from touchstone.errors import UsageError
from touchstone.facts import second_look
from touchstone.facts.runlog import read
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import write_reports

app = typer.Typer()


@app.command(
    epilog=examples(
        "report reports/261128-162233-f28f15",
        "report runlog.jsonl --report-dir again",
        "report runlog.jsonl --write-baseline known-broken.txt",
    )
)
def report(
    log: Annotated[Path, typer.Argument(help="A run log, or the folder that holds runlog.jsonl.")],
    report_dir: Annotated[Path | None, typer.Option(help="Where to write.  [default: beside the log]")] = None,
    write_baseline: WriteBaseline = None,
) -> None:
    """Make the reports of a run log again."""
    path = log / "runlog.jsonl" if log.is_dir() else log
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected a runlog.jsonl, as `touchstone check` leaves in reports/")
    second_look.know(keys_in(os.environ))
    exit_code = write_reports(path, report_dir or path.parent)
    run, out = view(read(path)), Console()
    if write_baseline:
        say(out, baseline.write_baseline(write_baseline, run.verdicts, run.remarks))
    write_text(run, out)
    raise typer.Exit(exit_code)
