"""The command that judges a target: argv in, exit code out."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.check import baseline as baselines
from touchstone.check import runner
from touchstone.cli.live import progress_on
from touchstone.cli.options import SeededRun, WriteBaseline, claim_ids, command, say
from touchstone.cli.plans import print_plan, print_report
from touchstone.config import Profile
from touchstone.contract import claims as ledger_of_claims
from touchstone.report.write import conclude

app = typer.Typer()


@command(
    app,
    "check",
    "check --target staging --plan",
    "check --url https://staging.example.test/api --profile thorough",
    "check --target staging --claims 'cancel.*,events.*'",
    "check --target staging --last-failed",
    "check --target staging --baseline known-broken.txt",
)
@dataclass(frozen=True, kw_only=True)
class Check(SeededRun):
    """Judge a target against the contract, claim by claim.

    Without --target and --url the embedded twin is started and judged.
    """

    profile: Annotated[Profile | None, typer.Option(help="How much is generated.  [default: standard]")] = None
    claims: Annotated[
        str | None,
        typer.Option(help="Only claims that match this glob, such as 'cancel.*'.", autocompletion=claim_ids),
    ] = None
    last_failed: Annotated[
        bool,
        typer.Option("--last-failed", help="Only what failed in the newest check of this target; all if nothing did."),
    ] = False
    baseline: Annotated[
        Path | None,
        typer.Option(help="File of known broken claims: they may be broken, and fail the run once they hold."),
    ] = None
    write_baseline: WriteBaseline = None

    def run(self) -> int:
        """Judges it."""
        settings, out = self.settings("judging"), Console()
        if self.last_failed:
            settings, note = baselines.narrowed(settings, ledger_of_claims.load(), Path("reports"))
            say(out, note)
        if settings.plan:
            with tempfile.TemporaryDirectory() as folder:
                print_plan(runner.plan(settings, Path(folder)), settings, out)
            return 0
        if self.write_baseline:
            baselines.lines_to_keep(self.write_baseline)  # what is wrong with the file is said before anything runs
        with progress_on(Console(stderr=True)) as progress:
            outcome = runner.check(settings, ["touchstone", *sys.argv[1:]], progress, conclude)
        file = self.write_baseline
        line = (lambda run: baselines.write_baseline(file, run.verdicts, run.remarks)) if file else None
        print_report(outcome.run_log, outcome.folder, out, line)
        return outcome.exit_code
