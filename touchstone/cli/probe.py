"""The command that finds out which rate limiter is behind a target: argv in, exit code out."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from touchstone.cli.live import print_report, probe_progress_on
from touchstone.cli.options import SeededRun, command
from touchstone.config import Settings
from touchstone.errors import UsageError, unsent
from touchstone.facts.events import RunLog, Target
from touchstone.facts.probe_events import KneeTerms, Probing
from touchstone.facts.runlog import read
from touchstone.limiter.probe import runner as probing
from touchstone.limiter.probe.loop import terms_of
from touchstone.limiter.terms import Terms
from touchstone.report.terminal import render
from touchstone.report.write import conclude, write_reports

app = typer.Typer()

MOST_REQUESTS, MOST_BUILDS, MOST_S = 1_000, 400, 900.0
# A search for a knee needs 5,000 to 12,000 reads; of a target that answers a thousand a second, twice as many.
KNEE_REQUESTS = 25_000
# Source: J. Nielsen, Usability Engineering, 1993: what a user takes for an answer at once.
SLO_MS = 100.0


@command(app, "probe --url http://127.0.0.1:8123/api --advise", "probe --operation getBuild --knee --plan")
@dataclass(frozen=True, kw_only=True)
class Probe(SeededRun):
    """Find out which rate limiter is behind a target.

    Without --target and --url the embedded twin is started and probed.
    """

    operation: Annotated[
        Literal["startBuild", "getBuild", "getTemplate"] | None,
        typer.Option(help="Whose limiter.  [default: startBuild]"),
    ] = None
    resume: Annotated[Path | None, typer.Option(metavar="LOG", help="Go on with an interrupted probe.")] = None
    advise: Annotated[bool, typer.Option("--advise", help="Say how a client gets the most out of the limiter.")] = False
    max_requests: Annotated[
        int | None,
        typer.Option(
            help=f"Limited requests it may send.  [default: {MOST_REQUESTS:,}; with --knee {KNEE_REQUESTS:,}]", min=1
        ),
    ] = None
    max_builds: Annotated[int | None, typer.Option(help=f"Builds it may begin.  [default: {MOST_BUILDS}]")] = None
    max_seconds: Annotated[float | None, typer.Option(help=f"Seconds it may take.  [default: {MOST_S:g}]")] = None
    soak: Annotated[
        int | None, typer.Option(help="Go on until so many are accepted: a second limit may be behind.", min=1)
    ] = None
    knee: Annotated[
        bool,
        typer.Option("--knee", help="Also find the rate up to which reads are answered in time (a load; --plan)."),
    ] = False
    slo_ms: Annotated[
        float | None, typer.Option(help=f"In time: 99 % of reads within so many ms.  [default: {SLO_MS:g}]", min=1.0)
    ] = None
    allow_load: Annotated[str, typer.Option(metavar="HOST", help="Another machine that may be probed.")] = ""

    def run(self) -> int:
        """Finds it out."""
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
        with probe_progress_on(Console(stderr=True)) as progress:
            outcome = probing.probe(settings, launch, ["touchstone", *sys.argv[1:]], progress, conclude)
        print_report(outcome.run_log, outcome.folder, out, advises=self.advise)
        return outcome.exit_code

    def _launch(self, settings: Settings, past: RunLog | None) -> probing.Launch:
        if past and past.probe:
            begun = past.probe.probing
            self._check_same(past.header.target, begun, settings)
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
        )
        if target.publish == "never" and terms.starts:
            versions = len(dict.fromkeys(target.templates.buildable))
            terms = dataclasses.replace(terms, most_held=min(terms.most_held, versions))
        return probing.Launch(operation, terms, self.allow_load, knee=knee)

    def _knee(self, operation: str) -> KneeTerms | None:
        if not self.knee and self.slo_ms is not None:
            raise UsageError(f"--slo-ms {self.slo_ms:g}: is about the knee of reads; add --knee, or leave it out")
        if not self.knee:
            return None
        if operation == "startBuild":
            expected = "expected --operation getBuild or --operation getTemplate"
            raise UsageError(f"--knee: {operation} is no read, and each would begin a build; {expected}")
        slo_s = (SLO_MS if self.slo_ms is None else self.slo_ms) / 1e3
        return KneeTerms(slo_s, KNEE_REQUESTS if self.max_requests is None else self.max_requests)

    def _check_same(self, target: Target, begun: Probing, settings: Settings) -> None:
        """Refuses flags that ask for something else than the probe that is to go on."""
        terms, knee = begun.terms, begun.knee
        was = {
            "knee": knee is not None,
            "slo_ms": round(1e3 * knee.slo_s, 6) if knee else None,
            "operation": begun.operation,
            "seed": begun.seed,
            "max_requests": knee.most_requests if knee else terms.get("most_requests"),
            "soak": terms.get("soak"),
            "max_builds": terms.get("most_builds"),
            "max_seconds": terms.get("most_s"),
        }
        for name, before in was.items():
            wanted = getattr(self, name)
            if wanted is not None and wanted is not False and wanted != before:
                flag = f"--{name.replace('_', '-')}"
                given = flag if wanted is True else f"{flag} {wanted}"
                raise UsageError(
                    f"--resume {self.resume}: {given}: that probe was begun with {before or 'none'}; "
                    "leave the flag out, or begin a new probe"
                )
        here = settings.target
        if (here.name, here.url or "") != (target.name, target.url):
            raise UsageError(
                f"--resume {self.resume}: that probe was of {target.name} {target.url}, and this one would be of "
                f"{here.name} {here.url or ''}; name the same target"
            )

    def _past(self) -> RunLog | None:
        """The run log of the probe that is to go on."""
        if self.resume is None:
            return None
        problem, log = "", None
        if not self._log_path.exists():
            problem = "no such file; expected a runlog.jsonl of `touchstone probe`"
        elif (log := read(self._log_path)).probe is None:
            command = f"the run log of `touchstone {log.header.command}`"
            problem = f"{command}; expected one of `touchstone probe` that had begun"
        elif log.header.target.kind == "embedded" and not log.probe.finished:
            problem = "that probe was of the embedded twin, which ended with it; begin a new probe"
        if problem:
            raise UsageError(f"--resume {self.resume}: {problem}")
        return log

    @property
    def _log_path(self) -> Path:
        assert self.resume is not None
        return self.resume / "runlog.jsonl" if self.resume.is_dir() else self.resume
