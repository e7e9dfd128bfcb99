"""The commands `report`, which writes the reports of a run log, and `compare`, which compares two run logs."""

import os
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Exit, Option, Typer

from touchstone.check import baseline
from touchstone.check.job import folder_name
from touchstone.cli.options import WriteBaseline, examples, say
from touchstone.config import keys_in
from touchstone.errors import RunLogError, UsageError
from touchstone.facts import redaction_guard
from touchstone.facts.events import RunLog
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report import compare_report
from touchstone.report.comparison import compare as compared
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import write_view

app = Typer()


@app.command(
    epilog=examples(
        "report reports/261128-162233-f28f15",
        "report runlog.jsonl --report-dir again",
        "report runlog.jsonl --write-baseline known-broken.txt",
    )
)
def report(
    log: Annotated[Path, Argument(help="Run log, or folder with a runlog.jsonl.")],
    report_dir: Annotated[Path | None, Option(help="Folder for the reports.  [default: folder of the log]")] = None,
    write_baseline: WriteBaseline = None,
) -> None:
    """Write the reports of a run log again."""
    path = _file(log)
    redaction_guard.register(keys_in(os.environ))
    run, out = view(read(path)), Console()
    write_view(run, report_dir or path.parent)
    if write_baseline:
        say(out, baseline.write_baseline(write_baseline, run.verdicts, run.remarks))
    write_text(run, out)
    raise Exit(run.exit_code)


@app.command(
    epilog=examples("compare reports/monday reports/tuesday", "compare before.jsonl after.jsonl --fail-on-new")
)
def compare(
    a: Annotated[Path, Argument(metavar="A", help="Run log, or folder with a runlog.jsonl.")],
    b: Annotated[Path, Argument(metavar="B", help="Run log of the same kind to compare with A.")],
    report_dir: Annotated[
        Path | None, Option(help="Folder for compare.html and compare.json.  [default: reports/compare-<A>-<B>]")
    ] = None,
    fail_on_new: Annotated[
        bool, Option("--fail-on-new", help="Exit code 1 if B broke a must-level claim that A did not.")
    ] = False,
) -> None:
    """Show how two runs differ beyond noise.

    Without --fail-on-new, differences do not change the exit code 0. Runs of different kinds or versions of the
    contract cannot be compared: exit code 2.
    """
    redaction_guard.register(keys_in(os.environ))
    before, after = _read(a), _read(b)
    both = compared(before, after)
    runs = ((a, before), (b, after)) if report_dir is None else ()
    ids = [folder_name(log.header.run_id, f"{path}: run_id", "--report-dir") for path, log in runs]
    folder = report_dir or Path("reports") / f"compare-{'-'.join(ids)}"
    page, code = folder / "compare.html", int(fail_on_new and both.has_new_failure)
    write_whole(page, compare_report.render(both))
    write_whole(folder / "compare.json", compare_report.render_json(both, code))
    compare_report.write(both, Console(), page, code)
    raise Exit(code)


def _file(path: Path) -> Path:
    file = path / "runlog.jsonl" if path.is_dir() else path
    if not file.exists():
        raise UsageError(f"{file}: no such file; expected the runlog.jsonl of a run, in a folder of reports/")
    return file


def _read(path: Path) -> RunLog:
    try:
        return read(_file(path))
    except RunLogError as error:
        raise UsageError(str(error)) from error
