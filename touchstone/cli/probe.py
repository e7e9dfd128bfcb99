"""The command that finds out which rate limiter is behind a target: argv in, exit code out."""

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.cli.github_job import tell
from touchstone.cli.live_probe import probe_progress_on
from touchstone.cli.options import Config, Plan_, ReportDir, Seed, Strict, Target, Url, examples, one_of
from touchstone.cli.overlooked import tell_overlooked
from touchstone.cli.probe_plan import print_probe_plan
from touchstone.config import Flags, Settings
from touchstone.config import load as load_settings
from touchstone.errors import UsageError, unsent
from touchstone.facts.events import RunLog
from touchstone.facts.knee_trials import KneeTerms
from touchstone.facts.runlog import read
from touchstone.limiter.probe import command
from touchstone.limiter.probe.loop import terms_of
from touchstone.limiter.terms import Terms
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import conclude, write_reports

app = typer.Typer()

MOST_REQUESTS, MOST_BUILDS, MOST_S = 1_000, 400, 900.0
# A search for a knee needs 5,000 to 12,000 reads; of a target that answers a thousand a second, twice as many.
KNEE_REQUESTS = 25_000
# A user takes what comes within a tenth of a second for an answer at once (J. Nielsen, Usability Engineering, 1993).
SLO_MS = 100.0
READS = command.OPERATIONS[1:]

Operation = Annotated[
    str | None, typer.Option(help=f"Whose limiter: {' or '.join(command.OPERATIONS)}.  [default: startBuild]")
]
Resume = Annotated[Path | None, typer.Option(metavar="LOG", help="Go on with an interrupted probe.")]
Advise = Annotated[bool, typer.Option("--advise", help="Say how a client gets the most out of the limiter.")]
Soak = Annotated[
    int | None, typer.Option(help="Go on until so many are accepted: a second limit may be behind.", min=1)
]
Knee = Annotated[
    bool, typer.Option("--knee", help="Also find the rate up to which reads are answered in time (a load; --plan).")
]
SloMs = Annotated[
    float | None, typer.Option(help=f"In time: 99 % of reads within so many ms.  [default: {SLO_MS:g}]", min=1.0)
]
MaxBuilds = Annotated[int | None, typer.Option(help=f"Builds that the run may begin.  [default: {MOST_BUILDS}]")]
MaxSeconds = Annotated[float | None, typer.Option(help=f"Seconds that the probe may take.  [default: {MOST_S:g}]")]
MaxRequests = Annotated[
    int | None,
    typer.Option(
        help=f"Limited requests that may be sent.  [default: {MOST_REQUESTS:,}; with --knee {KNEE_REQUESTS:,}]", min=1
    ),
]
AllowLoad = Annotated[str, typer.Option(metavar="HOST", help="Another machine that may be probed.")]


@dataclass(frozen=True, slots=True)
class _Given:
    """What the command line says; None where it says nothing."""

    operation: str | None
    resume: Path | None
    advise: bool
    max_requests: int | None
    soak: int | None
    knee: bool
    slo_ms: float | None
    allow_load: str
    target: str | None
    url: str | None
    config: Path | None
    report_dir: Path | None
    seed: int | None
    strict: bool | None
    plan: bool | None
    max_builds: int | None
    max_seconds: float | None

    def settings(self) -> Settings:
        """The merged settings."""
        flags = Flags(
            *(self.target, self.url, self.config, self.report_dir, self.seed, self.strict, self.plan),
            *(self.max_builds, self.max_seconds),
        )
        settings = load_settings(flags, os.environ, Path.cwd(), MOST_BUILDS)
        tell_overlooked(flags, os.environ, "probing")
        return settings

    def wish(self, settings: Settings, past: RunLog | None) -> command.Wish:
        """What is to be found out.

        Raises:
            UsageError: the operation is none that can be probed, or an earlier probe asked for something else.
        """
        operation = self.operation
        if operation is not None:
            one_of("--operation", operation, *command.OPERATIONS)
        if past is not None and past.probe is not None:
            self._check_same(past, settings)
            wanted, sought = terms_of(past.probe.probing.terms, Terms), past.probe.probing.knee
            knee = None if sought is None else terms_of(sought, KneeTerms)
            return command.Wish(past.probe.probing.operation, wanted, self.allow_load, past, knee)
        operation = operation or command.OPERATIONS[0]
        knee = self._knee(operation)
        most_requests = MOST_REQUESTS if self.max_requests is None else self.max_requests
        terms = Terms(
            seed=settings.seed,
            starts=operation == "startBuild",
            most_requests=min(most_requests, MOST_REQUESTS) if knee else most_requests,
            most_builds=settings.target.max_builds,
            most_s=settings.max_seconds or MOST_S,
            soak=self.soak or 0,
            builds_s=command.builds_s(settings),
        )
        if settings.target.publish == "never" and terms.starts:
            named = len(dict.fromkeys(settings.target.templates.buildable))
            terms = dataclasses.replace(terms, most_held=min(terms.most_held, named))
        return command.Wish(operation, terms, self.allow_load, knee=knee)

    def _knee(self, operation: str) -> KneeTerms | None:
        """The knee that is looked for; None where none is.

        Raises:
            UsageError: it is that of an operation that is no read, or an option is about a knee that is not looked for.
        """
        if not self.knee:
            if self.slo_ms is not None:
                raise UsageError(f"--slo-ms {self.slo_ms:g}: is about the knee of reads; add --knee, or leave it out")
            return None
        if operation not in READS:
            reads = " or ".join(f"--operation {read}" for read in READS)
            raise UsageError(f"--knee: {operation} is no read, and each would begin a build; expected {reads}")
        slo_s = (SLO_MS if self.slo_ms is None else self.slo_ms) / 1e3
        return KneeTerms(slo_s, KNEE_REQUESTS if self.max_requests is None else self.max_requests)

    def _check_same(self, past: RunLog, settings: Settings) -> None:
        """Makes sure that the flags ask for nothing else than the probe that is to go on."""
        assert past.probe is not None
        asked, target = past.probe.probing, past.header.target
        sought = asked.knee or {}
        told = {
            "--knee": (self.knee or None, asked.knee is not None),
            "--slo-ms": (self.slo_ms, round(1e3 * sought["slo_s"], 6) if sought else None),
            "--operation": (self.operation, asked.operation),
            "--seed": (self.seed, asked.seed),
            "--max-requests": (self.max_requests, sought.get("most_requests", asked.terms.get("most_requests"))),
            "--soak": (self.soak, asked.terms.get("soak")),
            "--max-builds": (self.max_builds, asked.terms.get("most_builds")),
            "--max-seconds": (self.max_seconds, asked.terms.get("most_s")),
        }
        for flag, (wanted, was) in told.items():
            if wanted is not None and wanted != was:
                given = flag if wanted is True else f"{flag} {wanted}"
                raise UsageError(
                    f"--resume {self.resume}: {given}: that probe was begun with {was or 'none'}; "
                    "leave the flag out, or begin a new probe"
                )
        here = settings.target
        if (here.name, here.url or "") != (target.name, target.url):
            raise UsageError(
                f"--resume {self.resume}: that probe was of {target.name} {target.url}, and this one would be of "
                f"{here.name} {here.url or ''}; name the same target"
            )

    def past(self) -> RunLog | None:
        """The run log of the probe that is to go on.

        Raises:
            UsageError: there is none.
        """
        if self.resume is None:
            return None
        path = self.log_path
        if not path.exists():
            raise UsageError(f"--resume {self.resume}: no such file; expected a runlog.jsonl of `touchstone probe`")
        log = read(path)
        if log.probe is None:
            raise UsageError(
                f"--resume {self.resume}: the run log of `touchstone {log.header.command}`; expected one of "
                "`touchstone probe` that had begun"
            )
        if log.header.target.kind == "embedded" and not log.probe.finished:
            raise UsageError(
                f"--resume {self.resume}: that probe was of the embedded twin, which ended with it; begin a new probe"
            )
        return log

    @property
    def log_path(self) -> Path:
        """Where that log is."""
        assert self.resume is not None
        return self.resume / "runlog.jsonl" if self.resume.is_dir() else self.resume


@app.command(
    epilog=examples("probe --url http://127.0.0.1:8123/api --advise", "probe --operation getBuild --knee --plan")
)
def probe(
    operation: Operation = None,
    resume: Resume = None,
    advise: Advise = False,
    max_requests: MaxRequests = None,
    soak: Soak = None,
    knee: Knee = False,
    slo_ms: SloMs = None,
    allow_load: AllowLoad = "",
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: ReportDir = None,
    seed: Seed = None,
    strict: Strict = None,
    plan: Plan_ = None,
    max_builds: MaxBuilds = None,
    max_seconds: MaxSeconds = None,
) -> None:
    """Find out which rate limiter is behind a target.

    Without --target and --url the embedded twin is started and probed.
    """
    raise typer.Exit(_probe(_Given(**locals())))


def _probe(given: _Given) -> int:
    """The exit code of what was asked for."""
    out = Console()
    with unsent():
        past = given.past()
        if past is not None and past.probe is not None and past.probe.finished:
            return _told(given.log_path, given.report_dir or given.log_path.parent, out, advises=given.advise)
        settings = given.settings()
        wish = given.wish(settings, past)
    if settings.plan:
        print_probe_plan(settings, wish, out)
        return 0
    with probe_progress_on(Console(stderr=True)) as progress:
        outcome = command.probe(settings, wish, ["touchstone", *sys.argv[1:]], progress, conclude)
    return _shown(outcome.run_log, outcome.folder, outcome.exit_code, out, advises=given.advise)


def _told(run_log: Path, folder: Path, out: Console, *, advises: bool) -> int:
    """Makes the reports of a probe again that is over."""
    return _shown(run_log, folder, write_reports(run_log, folder), out, advises=advises)


def _shown(run_log: Path, folder: Path, exit_code: int, out: Console, *, advises: bool) -> int:
    out.print(f"report: {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    out.print()
    seen = view(read(run_log))
    tell(seen, folder)
    write_text(seen, out, advises=advises)
    return exit_code
