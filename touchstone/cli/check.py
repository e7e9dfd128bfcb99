"""The commands `check`, which judges a target, and `sweep`, which removes leftovers of killed runs."""

import dataclasses
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from typer import Typer

from touchstone.check import baseline as baselines
from touchstone.check import runner
from touchstone.check.cases import BUILD_S, LATENCY_S, Pace, seen_in
from touchstone.check.handover import CHECK
from touchstone.check.sweep import sweep
from touchstone.cli.live import CheckState, print_lines, print_plan, print_report, progress_on
from touchstone.cli.options import Place, Reports, SeededRun, WriteBaseline, claim_ids, command, flag, option, say
from touchstone.config import Profile, Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.facts.runlog import read
from touchstone.facts.wording import some
from touchstone.report.terminal import say as say_fitted
from touchstone.report.write import conclude

app = Typer()


@command(
    app,
    "check",
    "check --target staging --plan",
    "check --url https://staging.example.test/api --profile thorough",
    "check --target staging --claims 'cancel.*,events.*'",
    "check --target staging --last-failed",
    "check --target staging --resume reports/261201-101500-1a2b3c",
    "check --target staging --baseline known.toml",
)
@dataclass(frozen=True, kw_only=True)
class Check(SeededRun):
    """Judge a target against the contract, claim by claim.

    Without --target and --url, the embedded twin is judged.
    """

    profile: Profile | None = option("Effort of the check.  [default: standard]")
    claims: str | None = option(
        "Judge only claims that match these globs, such as 'cancel.*,events.*'.", autocompletion=claim_ids
    )
    last_failed: bool = flag("Judge only what failed in the latest check of this target, or all if nothing did.")
    only: str | None = option("Judge only this finding of the latest check of this target.", metavar="FINDING_ID")
    keep: bool = flag("Leave the versions of broken claims on the target, for a later sweep.")
    fail_fast: bool | None = option("End the run at the first broken must-level claim.", "--fail-fast")
    resume: Path | None = option("Continue the check in this report folder, which was cut short.", metavar="REPORT_DIR")
    baseline: Path | None = option("File of claims that may be broken. One that holds again fails the run.")
    contract_version: int | None = option("Version of the contract whose claims count; newer ones do not fail the run.")
    write_baseline: WriteBaseline = None
    build_s: float | None = option(
        "Seconds of a build, for the estimate of --plan.  [default: as in the latest check]", min=0
    )
    verbose: bool = flag("List the cases of --plan.", "--verbose", "-v")

    def _pace(self, settings: Settings) -> Pace | None:
        found = baselines.newest(settings, (settings.report_dir or Path("reports"),))
        last = seen_in(found[0]) if found else None
        if self.build_s is not None:
            return Pace(self.build_s, last.latency_s if last else LATENCY_S, "--build-s")
        if settings.target.embedded:
            return None  # the speed of this machine decides
        return last or Pace(BUILD_S, LATENCY_S, "as documented; --build-s sets another time")

    def run(self) -> int:
        """Runs the check and returns the exit code."""
        settings, out, earlier = self.settings("judging"), Console(), None
        if self.resume:
            self.refuse_beside_resume("report_dir", "profile", "claims", "seed", "last_failed", "only", "plan")
            earlier, settings = runner.cut_short(self.resume, settings)
        errand = dataclasses.replace(CHECK, keep=self.keep and not settings.target.embedded)
        if self.last_failed or self.only:
            earlier_at = Path("reports")
            settings, cases, note = baselines.narrowed(settings, ledger_of_claims.load(), earlier_at, self.only or "")
            errand = dataclasses.replace(errand, only=cases)
            say(out, note)
        if settings.plan:
            with tempfile.TemporaryDirectory() as folder:
                pace = self._pace(settings)
                print_plan(runner.plan(settings, Path(folder), errand), settings, out, pace, listed=self.verbose)
            return 0
        if self.write_baseline and self.write_baseline.exists():
            baselines.read_baseline(self.write_baseline, ledger_of_claims.load())  # an invalid file ends the command
        with progress_on(Console(stderr=True), CheckState()) as progress:
            argv = ["touchstone", *sys.argv[1:]]
            outcome = runner.check(settings, argv, progress, conclude, errand=errand, earlier=earlier)
        file = self.write_baseline
        note = baselines.write_baseline(file, read(outcome.run_log)) if file else ""
        print_report(outcome.run_log, outcome.folder, out, note)
        return outcome.exit_code


@command(app, "sweep --target staging")
@dataclass(frozen=True, kw_only=True)
class Sweep(Place):
    """Remove what killed runs left on a target.

    Only versions that those runs published are removed.
    """

    report_dir: Reports = None

    def run(self) -> int:
        """Removes the leftovers and returns the exit code."""
        settings, out = self.settings(""), Console()
        reports = self.report_dir or Path("reports")
        folders = (settings.state_dir, reports, *(path for path in reports.glob("*") if path.is_dir()))
        swept = sweep(settings, folders, lambda text: say_fitted(out, text))
        reasons: dict[str, list[str]] = defaultdict(list)
        for one in swept:
            for ref, why in one.left.items():
                reasons[why].append(ref)
        texts = {why: some(refs) for why, refs in reasons.items()}  # the journal lists all leftovers
        removed, gone, left = (sum(len(getattr(one, part)) for one in swept) for part in ("removed", "gone", "left"))
        silent = next((one.url for one in swept if one.silent), "")
        print_lines(out, "sweep.txt.j2", reasons=texts, removed=removed, gone=gone, left=left, silent=silent)
        return 3 if left else 0
