"""The command `probe`, which identifies the rate limiter of a target."""

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from typer import Typer, confirm

from touchstone.cli.live import print_report, probe_progress_on
from touchstone.cli.options import SeededRun, command, flag, option
from touchstone.config import Settings
from touchstone.errors import UsageError, unsent
from touchstone.facts.events import RunLog, Target
from touchstone.facts.probe import KneeTerms, Terms
from touchstone.facts.runlog import read
from touchstone.limiter.probe import runner as probing
from touchstone.limiter.probe.loop import terms_of
from touchstone.report.probe_view import probe_of
from touchstone.report.terminal import render
from touchstone.report.write import conclude, write_reports

app = Typer()

MOST_REQUESTS, MOST_BUILDS, MOST_S = 1_000, 400, 900.0
# --knee needs 5,000 to 12,000 reads, or twice as many if the target sends a thousand responses per second.
KNEE_REQUESTS = 25_000
# A response within this time feels instantaneous (J. Nielsen, Usability Engineering, 1993).
SLO_MS = 100.0


@command(app, "probe --url http://127.0.0.1:8123/api --advise", "probe --operation getBuild --knee --plan")
@dataclass(frozen=True, kw_only=True)
class Probe(SeededRun):
    """Identify the rate limiter of a target.

    Without --target and --url, the embedded twin is probed.
    """

    operation: Literal["startBuild", "getBuild", "getTemplate"] | None = option(
        "Operation whose limiter to identify.  [default: startBuild]"
    )
    resume: Path | None = option("Resume the interrupted probe of this run log.", metavar="LOG")
    advise: bool = flag("Advise how a client should pace its requests.")
    max_requests: int | None = option(
        f"Maximum number of requests to it.  [default: {MOST_REQUESTS:,}; with --knee {KNEE_REQUESTS:,}]", min=1
    )
    max_builds: int | None = option(f"Maximum number of builds that the run starts.  [default: {MOST_BUILDS}]")
    max_seconds: float | None = option(f"Maximum duration of the run in seconds.  [default: {MOST_S:g}]")
    soak: int | None = option("Continue until this many requests are accepted, to find a longer limit.", min=1)
    refusal: int | None = option("Status of refusals, if it is not 429, such as 503.", min=400, max=599)
    knee: bool = flag("Also find the highest rate of reads within the latency limit. This is a load.")
    slo_ms: float | None = option(
        f"Latency limit of --knee, in ms for 99 % of the reads.  [default: {SLO_MS:g}]", min=1.0
    )
    allow_load: str = option("Permit a probe of this remote host.", metavar="HOST", default="")

    def run(self) -> int:
        """Runs the probe and returns the exit code."""
        out = Console()
        with unsent():
            past = self._past()
            if past and past.probe and past.probe.finished:
                folder = self.report_dir or self._log_path.parent
                code = write_reports(self._log_path, folder)
                print_report(self._log_path, folder, out, advises=self.advise)
                return code
            settings = self.settings("probing", MOST_BUILDS)
            launch = self._launch(settings, past)
        if settings.plan:
            probing.check_terms(settings, launch)
            versions = len(probing.needs(settings, launch.terms))
            render(out, "probe_plan.txt.j2", {}, target=settings.target, launch=launch, versions=versions)
            return 0
        return self._probe(settings, launch, out)

    def _probe(self, settings: Settings, launch: probing.Launch, out: Console) -> int:
        """Probes; on a terminal, asks whether to go on if the limiter needs more time than the budget has."""
        with probe_progress_on(Console(stderr=True)) as progress:
            outcome = probing.probe(settings, launch, ["touchstone", *sys.argv[1:]], progress, conclude)
        print_report(outcome.run_log, outcome.folder, out, advises=self.advise)
        log = read(outcome.run_log)
        view, asks = probe_of(log.probe), bool(settings.target.url and out.is_terminal and sys.stdin.isatty())
        if not (asks and view and view.needs_s and confirm(f"Go on with --max-seconds {view.needs_s}?")):
            return outcome.exit_code
        terms = dataclasses.replace(launch.terms, most_s=float(view.needs_s))
        return self._probe(settings, dataclasses.replace(launch, past=log, terms=terms), out)

    def _launch(self, settings: Settings, past: RunLog | None) -> probing.Launch:
        if past and past.probe:
            begun = past.probe.probing
            self._check_same(past.header.target, settings)
            return probing.Launch(begun.operation, terms_of(begun.terms), self.allow_load, past, begun.knee)
        operation = self.operation or "startBuild"
        knee, target = self._knee(operation), settings.target
        most_requests = MOST_REQUESTS if self.max_requests is None else self.max_requests
        terms = Terms(
            seed=settings.seed,
            starts=operation == "startBuild",
            most_requests=min(most_requests, MOST_REQUESTS) if knee else most_requests,
            most_builds=target.max_builds,
            most_s=settings.max_seconds or MOST_S,
            soak=self.soak or 0,
            builds_s=probing.builds_s(settings),
            refusal=self.refusal or 429,
        )
        budget = {"requests": terms.most_requests, "builds": terms.most_builds if terms.starts else math.inf}
        for name, most in budget.items():
            if terms.soak > most:
                allowed = f"the {most:g} {name} that are allowed"
                raise UsageError(f"--soak {terms.soak}: more than {allowed}; raise --max-{name}")
        if target.publish == "never" and terms.starts:
            versions = len(dict.fromkeys(target.templates.buildable))
            terms = dataclasses.replace(terms, most_held=min(terms.most_held, versions))
        return probing.Launch(operation, terms, self.allow_load, knee=knee)

    def _knee(self, operation: str) -> KneeTerms | None:
        if not self.knee and self.slo_ms is not None:
            raise UsageError(f"--slo-ms {self.slo_ms:g}: only --knee uses it; add --knee, or remove it")
        if not self.knee:
            return None
        if operation == "startBuild":
            expected = "expected --operation getBuild or --operation getTemplate"
            raise UsageError(f"--knee: {operation} is not a read, each would start a build; {expected}")
        slo_s = (SLO_MS if self.slo_ms is None else self.slo_ms) / 1e3
        return KneeTerms(slo_s, KNEE_REQUESTS if self.max_requests is None else self.max_requests)

    def _check_same(self, target: Target, settings: Settings) -> None:
        """Raises UsageError if a flag is given that the probe to resume decides, or if the target differs from it."""
        self.refuse_beside_resume("knee", "slo_ms", "operation", "seed", "max_requests", "soak", "refusal")
        self.refuse_beside_resume("max_builds", "max_seconds")
        here = settings.target
        if (here.name, here.url or "") != (target.name, target.url):
            found = f"found {here.name} {here.url or ''}; use the same target"
            raise UsageError(f"--resume {self.resume}: the probe had the target {target.name} {target.url}; {found}")

    def _past(self) -> RunLog | None:
        """Returns the run log of the probe to resume, or None. Raises UsageError if that probe cannot be resumed."""
        if self.resume is None:
            return None
        problem, log = "", None
        if not self._log_path.exists():
            problem = "no such file; expected a runlog.jsonl of `touchstone probe`"
        elif (log := read(self._log_path)).probe is None:
            found = f"found the run log of `touchstone {log.header.command}`"
            problem = f"{found}; expected one of `touchstone probe` with a stimulus"
        elif log.header.target.kind == "embedded" and not log.probe.finished:
            problem = "its target was an embedded twin, which has ended, too; start a new probe"
        if problem:
            raise UsageError(f"--resume {self.resume}: {problem}")
        return log

    @property
    def _log_path(self) -> Path:
        assert self.resume is not None
        return self.resume / "runlog.jsonl" if self.resume.is_dir() else self.resume
