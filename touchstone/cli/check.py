"""The command that judges a target: argv in, exit code out."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.check import baseline as baselines
from touchstone.check import runner
from touchstone.cli.github_job import tell
from touchstone.cli.options import (
    Config,
    MaxBuilds,
    MaxSeconds,
    Plan_,
    ReportDir,
    Seed,
    Strict,
    Target,
    Url,
    WriteBaseline,
    examples,
)
from touchstone.cli.overlooked import tell_overlooked
from touchstone.cli.plan import print_plan
from touchstone.cli.progress import progress_on
from touchstone.config import Flags, Settings, load
from touchstone.contract import claims as ledger_of_claims
from touchstone.facts.runlog import read
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import conclude

app = typer.Typer()

Profile = Annotated[str | None, typer.Option(help="quick, standard or thorough.  [default: standard]")]
Baseline = Annotated[
    Path | None, typer.Option(help="File of known broken claims: they may be broken, and fail the run once they hold.")
]
LastFailed = Annotated[
    bool, typer.Option("--last-failed", help="Only what failed in the newest check of this target; all if nothing did.")
]
Claims = Annotated[str | None, typer.Option(help="Only claims that match this glob, such as 'cancel.*'.")]


@app.command(
    epilog=examples(
        "check",
        "check --target staging --plan",
        "check --url https://staging.example.test/api --profile thorough",
        "check --target staging --claims 'cancel.*,events.*'",
        "check --target staging --last-failed",
        "check --target staging --baseline known-broken.txt",
    )
)
def check(
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: ReportDir = None,
    seed: Seed = None,
    strict: Strict = None,
    plan: Plan_ = None,
    max_builds: MaxBuilds = None,
    max_seconds: MaxSeconds = None,
    profile: Profile = None,
    claims: Claims = None,
    last_failed: LastFailed = False,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
) -> None:
    """Judge a target against the contract, claim by claim.

    Without --target and --url the embedded twin is started and judged.
    """
    flags = Flags(
        target, url, config, report_dir, seed, strict, plan, max_builds, max_seconds, profile, claims, baseline
    )
    settings, out = load(flags, os.environ, Path.cwd()), Console()
    tell_overlooked(flags, os.environ, "judging")
    if last_failed:
        settings, told = baselines.narrowed(settings, ledger_of_claims.load(), Path("reports"))
        _say(out, told)
    if settings.plan:
        _print_plan(settings)
        return
    if write_baseline:
        baselines.lines_to_keep(write_baseline)  # what is wrong with the file is said before anything runs
    with progress_on(Console(stderr=True)) as progress:
        outcome = runner.check(settings, ["touchstone", *sys.argv[1:]], progress, conclude)
    _say(out, f"report: {outcome.folder / 'report.html'}")
    out.print()
    run = view(read(outcome.run_log))
    tell(run, outcome.folder)
    if write_baseline:
        _say(out, baselines.write_baseline(write_baseline, run.verdicts, run.remarks))
        out.print()
    write_text(run, out)
    raise typer.Exit(outcome.exit_code)


def _say(out: Console, text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_plan(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print_plan(runner.plan(settings, Path(folder)), settings, Console())
