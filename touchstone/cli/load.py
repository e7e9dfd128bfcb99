"""The command that puts a load on a target: argv in, exit code out."""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from touchstone import config_kinds as kinds
from touchstone.cli.github_job import tell
from touchstone.cli.live_load import load_progress_on
from touchstone.cli.load_plan import print_load_plan
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
    examples,
    one_of,
)
from touchstone.cli.overlooked import tell_overlooked
from touchstone.config import Flags, Settings
from touchstone.config import load as load_settings
from touchstone.config_kinds import checked
from touchstone.errors import UsageError, unsent
from touchstone.facts.runlog import read
from touchstone.loadgen import loading, remote_worker
from touchstone.loadgen.arrivals import HELP as ARRIVALS_HELP
from touchstone.loadgen.arrivals import Trace, parse
from touchstone.loadgen.plan import MAX_BUILDS
from touchstone.loadgen.plan import plan as drawn_up
from touchstone.loadgen.thresholds import thresholds_of
from touchstone.loadgen.workloads import AT_ONCE, SCENARIOS, USERS, Options, Scenario, mix_of, scenario
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import conclude

app = typer.Typer()

# What one machine still holds; a document of so many steps is some hundreds of kilobytes long.
MOST_USERS, MOST_WATCHERS, MOST_LINES = 10_000, 10_000, 10_000
# What --arrivals can say.
MOST_PER_S, FEWEST_PER_S = 1e9, 1e-9

Name = Annotated[str, typer.Argument(metavar="SCENARIO", help=f"One of {', '.join(SCENARIOS)}.")]
MaxRequests = Annotated[int | None, typer.Option(help="Requests that the load may consist of.", min=1)]
AllowLoad = Annotated[str, typer.Option(metavar="HOST", help="Another machine that may be loaded.")]
Rate = Annotated[float | None, typer.Option(help="Arrivals a second, evenly: short for --arrivals RATE.")]
Arrivals = Annotated[str | None, typer.Option(help=ARRIVALS_HELP)]
Duration = Annotated[float | None, typer.Option(help="Seconds for which arrivals are scheduled.")]
Mix = Annotated[str | None, typer.Option(help="Weights of what arrives, such as read=90,start=10.")]
Model = Annotated[str, typer.Option(help="open: by schedule; closed: as soon as an answer is there.")]
Users = Annotated[
    int | None, typer.Option(help=f"Clients of a closed model.  [default: {USERS}]", min=1, max=MOST_USERS)
]
Builds = Annotated[int | None, typer.Option(help="Builds of storm, churn and watchers.", min=1, max=MAX_BUILDS)]
Watchers = Annotated[int | None, typer.Option(help="Followers of each build of watchers.", min=1, max=MOST_WATCHERS)]
BuildS = Annotated[float | None, typer.Option(help="Seconds that the steps of a build take.", min=0)]
Lines = Annotated[int | None, typer.Option(help="Lines that a followed build prints.", min=1, max=MOST_LINES)]
Thresholds = Annotated[Path | None, typer.Option(help="Thresholds instead of load/thresholds.toml.")]
Abort = Annotated[bool, typer.Option("--abort-on-fail", help="Stop as soon as a threshold is broken.")]
Processes = Annotated[int, typer.Option(help="Workers on this machine.", min=1, max=64)]
Master = Annotated[bool, typer.Option("--master", help="Wait for workers on other machines.")]
Expect = Annotated[int | None, typer.Option(help="How many a master waits for.  [default: 1]", min=1)]
WorkerOf = Annotated[str, typer.Option(metavar="HOST", help="Work for the master on HOST.")]
Bind = Annotated[str, typer.Option(help="Address that a master listens on.")]
Port = Annotated[int, typer.Option(help="Port of the master.", min=1, max=65535)]
WebUi = Annotated[int | None, typer.Option(metavar="PORT", help="Locust's own page.", min=1, max=65535)]


@dataclass(frozen=True, slots=True)
class _Given:
    """What the command line says; None where it says nothing and the scenario decides."""

    name: str
    target: str | None
    url: str | None
    config: Path | None
    report_dir: Path | None
    seed: int | None
    strict: bool | None
    plan: bool | None
    max_builds: int | None
    max_seconds: float | None
    max_requests: int | None
    allow_load: str
    rate: float | None
    arrivals: str | None
    duration: float | None
    mix: str | None
    model: str
    users: int | None
    builds: int | None
    watchers: int | None
    build_s: float | None
    lines: int | None
    thresholds: Path | None
    abort_on_fail: bool
    processes: int
    master: bool
    expect_workers: int | None
    worker: str
    bind: str
    port: int
    web_ui: int | None

    def settings(self) -> Settings:
        """The merged settings."""
        flags = Flags(
            *(self.target, self.url, self.config, self.report_dir, self.seed, self.strict, self.plan),
            *(self.max_builds, self.max_seconds),
        )
        settings = load_settings(flags, os.environ, Path.cwd())
        tell_overlooked(flags, os.environ, "loading")
        return settings

    def options(self, chosen: Scenario, seed: int) -> Options:
        """The scenario with what the caller wants of it.

        Raises:
            UsageError: something does not fit.
        """
        self._check_heeded(chosen)
        arrivals = self._arrivals(chosen)
        options = Options(
            scenario=chosen,
            arrivals=arrivals,
            duration_s=checked("--duration", self._or("duration", _length_s(arrivals, chosen)), kinds.seconds),
            mix=chosen.mix if self.mix is None else mix_of(self.mix, chosen.mix),
            seed=seed,
            model=one_of("--model", self.model, "open", "closed"),
            users=self._or("users", USERS),
            builds=self._or("builds", chosen.builds),
            watchers=self._or("watchers", chosen.watchers),
            build_s=self._build_s(chosen),
            lines=self._or("lines", chosen.lines),
            ready=chosen.ready,
            max_requests=self.max_requests,
        )
        self._check_together(options)
        return options

    def _check_heeded(self, chosen: Scenario) -> None:
        """A flag that would change nothing is an error: who gives it expects something of it."""
        for flag in ("rate", "arrivals", "mix", "builds", "watchers", "build-s", "lines"):
            value = getattr(self, flag.replace("-", "_"))
            if value is not None and not chosen.heeds(flag):
                others = ", ".join(name for name, other in SCENARIOS.items() if other.heeds(flag))
                raise UsageError(f"--{flag} {value}: {chosen.name} has no use for it; it is for {others}")

    def _check_together(self, options: Options) -> None:
        chosen, closed = options.scenario, options.model == "closed"
        if closed and not chosen.heeds("users"):
            others = ", ".join(name for name, other in SCENARIOS.items() if other.heeds("users"))
            raise UsageError(f"--model closed: {chosen.name} goes by its schedule; it is for {others}")
        for flag, value in (("--rate", self.rate), ("--arrivals", self.arrivals)) if closed else ():
            if value is not None:
                raise UsageError(
                    f"{flag} {value}: a closed model sends as soon as it is answered; leave it out and give --users, "
                    "or leave out --model closed"
                )
        if self.users is not None and not closed:
            raise UsageError(f"--users {self.users}: an open model goes by its schedule; add --model closed")
        if self.duration is not None and options.arrivals == AT_ONCE:
            advice = ", or give --rate or --arrivals with it" if chosen.heeds("rate") else ""
            raise UsageError(f"--duration {self.duration:g}: {chosen.name} begins all at once; leave it out{advice}")
        if self.builds is not None and chosen.arrivals == AT_ONCE != options.arrivals:
            raise UsageError(f"--builds {self.builds}: {options.arrivals} says how many; leave one of the two out")

    def _build_s(self, chosen: Scenario) -> float:
        value = float(self._or("build_s", chosen.build_s))
        if value == float("inf"):
            raise UsageError(f"--build-s {value:g}: expected a number of seconds, 0 or more")
        return value

    def _or(self, name: str, default: Any) -> Any:
        value = getattr(self, name)
        return default if value is None else value

    def _arrivals(self, chosen: Scenario) -> str:
        """The arrival curve; the path of a trace so that a process that works in another folder finds it."""
        if self.rate is not None and self.arrivals is not None:
            raise UsageError("--rate and --arrivals: both are given; keep one of the two")
        if self.rate is not None:
            if not FEWEST_PER_S <= self.rate < MOST_PER_S:
                raise UsageError(
                    f"--rate {self.rate:g}: expected arrivals a second, more than 0 and below {MOST_PER_S:g}"
                )
            return "constant:" + f"{self.rate:.9f}".rstrip("0").rstrip(".")
        kind, _, path = (self.arrivals or "").partition(":")
        if kind == "trace" and path:
            return f"trace:{Path(path).absolute()}"
        return self.arrivals or chosen.arrivals

    def check_worker(self) -> None:
        """Makes sure that a worker is told nothing that its master decides.

        Raises:
            UsageError: it is.
        """
        for flag, is_given in (("--master", self.master), ("--processes", self.processes > 1), ("--plan", self.plan)):
            if is_given:
                raise UsageError(f"--worker and {flag}: both are given; a worker does what its master plans")

    def wish(self) -> loading.Wish:
        """How it is to be driven.

        Raises:
            UsageError: two flags contradict each other.
        """
        if self.master and self.processes > 1:
            raise UsageError("--master and --processes: both are given; a master has its workers on other machines")
        if self.expect_workers is not None and not self.master:
            raise UsageError(f"--expect-workers {self.expect_workers}: it is for a master; add --master")
        return loading.Wish(
            processes=self.processes,
            expects=(self.expect_workers or 1) if self.master else 0,
            bind=self.bind,
            port=self.port,
            allows=self.allow_load,
            aborts=self.abort_on_fail,
            thresholds=self.thresholds,
            web_port=self.web_ui,
        )


@app.command(
    epilog=examples(
        "load steady --rate 20 --duration 30",
        "load storm --builds 40 --plan",
        "load steady --target staging --allow-load staging.example.test",
    )
)
def load(
    name: Name,
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: ReportDir = None,
    seed: Seed = None,
    strict: Strict = None,
    plan: Plan_ = None,
    max_builds: MaxBuilds = None,
    max_seconds: MaxSeconds = None,
    max_requests: MaxRequests = None,
    allow_load: AllowLoad = "",
    rate: Rate = None,
    arrivals: Arrivals = None,
    duration: Duration = None,
    mix: Mix = None,
    model: Model = "open",
    users: Users = None,
    builds: Builds = None,
    watchers: Watchers = None,
    build_s: BuildS = None,
    lines: Lines = None,
    thresholds: Thresholds = None,
    abort_on_fail: Abort = False,
    processes: Processes = 1,
    master: Master = False,
    expect_workers: Expect = None,
    worker: WorkerOf = "",
    bind: Bind = "0.0.0.0",
    port: Port = loading.LOCUST_PORT,
    web_ui: WebUi = None,
) -> None:
    """Put a load on a target and judge what comes back.

    Without --target and --url the embedded twin is started and loaded.
    """
    raise typer.Exit(_load(_Given(**locals())))


def _load(given: _Given) -> int:
    """The exit code of what was asked for."""
    settings, chosen = given.settings(), scenario(given.name)
    if given.worker:
        given.check_worker()
        return remote_worker.work(settings, chosen, given.worker, given.port, given.allow_load)
    with unsent():
        options, wish = given.options(chosen, settings.seed), given.wish()
    out = Console()
    if settings.plan:
        if wish.thresholds is not None:
            thresholds_of(wish.thresholds, chosen.name)
        print_load_plan(drawn_up(options), settings, wish, out)
        return 0
    with load_progress_on(Console(stderr=True)) as progress:
        outcome = loading.load(settings, options, wish, ["touchstone", *sys.argv[1:]], progress, conclude)
    out.print(f"report: {outcome.folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    out.print()
    seen = view(read(outcome.run_log))
    tell(seen, outcome.folder)
    write_text(seen, out)
    return outcome.exit_code


def _length_s(arrivals: str, chosen: Scenario) -> float:
    """
    How long arrivals are scheduled for where nobody says it: to the end of a trace, or as long as the scenario does.
    """
    curve = parse(arrivals, chosen.duration_s) if arrivals.startswith("trace:") else None
    return float(math.floor(curve.at_s[-1]) + 1) if isinstance(curve, Trace) else chosen.duration_s
