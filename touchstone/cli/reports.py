"""The commands `report`, `baseline` and `compare`, which read what earlier runs have written."""

import os
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Exit, Option, Typer

from touchstone.check.baseline import write_baseline as write_known
from touchstone.check.job import folder_name
from touchstone.cli.options import WriteBaseline, examples, say
from touchstone.config import keys_in
from touchstone.errors import RunLogError, UsageError
from touchstone.facts import redaction_guard
from touchstone.facts.events import RunLog
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.report import compare_report, json_report, terminal
from touchstone.report.comparison import compare as compared
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import write_view

app = Typer()


@app.command(
    epilog=examples(
        "report reports/261128-162233-f28f15",
        "report runlog.jsonl --report-dir again",
        "report runlog.jsonl --write-baseline known.toml",
    )
)
def report(
    log: Annotated[Path, Argument(help="Run log, or folder with a runlog.jsonl.")],
    report_dir: Annotated[Path | None, Option(help="Folder for the reports.  [default: folder of the log]")] = None,
    write_baseline: WriteBaseline = None,
) -> None:
    """Write the reports of a run log again."""
    path = _file(log, "runlog.jsonl")
    redaction_guard.register(keys_in(os.environ))
    facts, out = read(path), Console()
    run = view(facts)
    write_view(run, report_dir or path.parent)
    if write_baseline:
        say(out, write_known(write_baseline, facts))
    write_text(run, out)
    raise Exit(run.exit_code)


@app.command(epilog=examples("baseline reports/261128-162233-f28f15", "baseline reports/nightly/report.json --prune"))
def baseline(
    source: Annotated[Path, Argument(metavar="REPORT", help="Report folder, report.json or run log of a check.")],
    output: Annotated[Path, Option(help="Baseline to make or update.")] = Path("known.toml"),
    prune: Annotated[bool, Option("--prune", help="Only remove expired entries and claims that hold.")] = False,
) -> None:
    """Add the broken claims of a report to a baseline."""
    redaction_guard.register(keys_in(os.environ))
    file = _file(source, "runlog.jsonl", "report.json")
    say(Console(), write_known(output, _read(file), "upheld" if prune else "broken"))


@app.command(
    epilog=examples(
        "compare reports/monday reports/tuesday",
        "compare before.jsonl after.jsonl --fail-on-new --only-new",
        "compare reports/monday reports/tuesday reports/wednesday",
    )
)
def compare(
    a: Annotated[Path, Argument(metavar="A", help="Folder of a run, or its runlog.jsonl or report.json.")],
    b: Annotated[Path, Argument(metavar="B", help="Another run of the same kind.")],
    more: Annotated[list[Path] | None, Argument(metavar="C", help="Later runs, for a table of all runs.")] = None,
    report_dir: Annotated[
        Path | None, Option(help="Folder for compare.html and compare.json.  [default: reports/compare-<first>-<last>]")
    ] = None,
    fail_on_new: Annotated[
        bool, Option("--fail-on-new", help="Exit code 1 if the last run newly broke a must-level claim.")
    ] = False,
    only_new: Annotated[
        bool, Option("--only-new", help="Print only what the last run newly broke, and its new findings.")
    ] = False,
) -> None:
    """Show how runs differ, beyond noise.

    Two load runs are compared by their run logs, with their statistics. More runs, or a report.json, give a table of
    the claims that changed. Without --fail-on-new, differences do not change the exit code 0. Runs of different kinds
    or versions of the contract cannot be compared: exit code 2.
    """
    redaction_guard.register(keys_in(os.environ))
    names = ("report.json", "runlog.jsonl") if more else ("runlog.jsonl", "report.json")
    files = [_file(path, *names) for path in (a, b, *(more or ()))]
    runs = list(map(_read, files))
    places: dict[str, Path] = {}
    for file, log in zip(files, runs, strict=True):
        if (other := places.setdefault(log.header.run_id, file)) is not file and (more or file.suffix == ".json"):
            raise UsageError(f"{file}: the same run as {other} ({log.header.run_id}); give each run once")
    both = compared(*runs)
    ends = [(files[place], runs[place].header.run_id) for place in (0, -1) if report_dir is None]
    ids = [folder_name(run_id, f"{file}: run_id", "--report-dir") for file, run_id in ends]
    folder = report_dir or Path("reports") / f"compare-{'-'.join(ids)}"
    page, code = folder / "compare.html", int(fail_on_new and both.trend.has_new_failure)
    write_whole(page, compare_report.render(both))
    write_whole(folder / "compare.json", compare_report.render_json(both, code))
    if only_new:
        terminal.render(Console(), "compare_new.txt.j2", {}, trend=both.trend, exit_code=code)
    else:
        compare_report.write(both, Console(), page, code)
    raise Exit(code)


def _file(path: Path, *names: str) -> Path:
    """The file *path*; in a folder, the first of *names* that exists."""
    files = [path / name for name in names] if path.is_dir() else [path]
    for file in files:
        if file.exists():
            return file
    raise UsageError(f"{files[0]}: no such file; expected the {' or '.join(names)} of a run, in a folder of reports/")


def _read(path: Path) -> RunLog:
    try:
        return json_report.read(path) if path.suffix == ".json" else read(path)
    except RunLogError as error:
        raise UsageError(str(error)) from error
