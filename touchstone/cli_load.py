"""
The command that puts a load on a target: argv in, exit code out.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from touchstone import loading, loadworker
from touchstone import settings_kinds as kinds
from touchstone.arrivals import HELP as ARRIVALS_HELP
from touchstone.errors import UsageError
from touchstone.liveload import load_progress_on
from touchstone.loadplan import plan as drawn_up
from touchstone.loadplanning import print_load_plan
from touchstone.options import Config, MaxBuilds, MaxSeconds, Plan_, ReportDir, Seed, Strict, Target, Url
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.runlog import read
from touchstone.settings import Flags, Settings
from touchstone.settings import load as load_settings
from touchstone.settings_kinds import checked
from touchstone.workloads import SCENARIOS, Options, Scenario, mix_of, scenario

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="SCENARIO", help=f"One of {', '.join(SCENARIOS)}.")]
MaxRequests = Annotated[int | None, typer.Option(help="Requests that the load may consist of.", min=1)]
AllowLoad = Annotated[str, typer.Option(metavar="HOST", help="Another machine that may be loaded.")]
Rate = Annotated[float | None, typer.Option(help="Arrivals a second, evenly: short for --arrivals RATE.")]
Arrivals = Annotated[str | None, typer.Option(help=ARRIVALS_HELP)]
Duration = Annotated[float | None, typer.Option(help="Seconds for which arrivals are scheduled.")]
Mix = Annotated[str | None, typer.Option(help="Weights of what arrives, such as read=90,start=10.")]
Model = Annotated[str, typer.Option(help="open: by schedule; closed: as soon as an answer is there.")]
Users = Annotated[int, typer.Option(help="Clients of a closed model.", min=1)]
Builds = Annotated[int | None, typer.Option(help="Builds of storm, churn and watchers.", min=1)]
Watchers = Annotated[int | None, typer.Option(help="Followers of each build of watchers.", min=1)]
BuildS = Annotated[float | None, typer.Option(help="Seconds that the steps of a build take.", min=0)]
Lines = Annotated[int | None, typer.Option(help="Lines that a followed build prints.", min=1)]
Engine = Annotated[str, typer.Option(help="auto, flows or bulk.")]
Thresholds = Annotated[Path | None, typer.Option(help="Thresholds instead of load/thresholds.toml.")]
Abort = Annotated[bool, typer.Option("--abort-on-fail", help="Stop as soon as a threshold is broken.")]
Processes = Annotated[int, typer.Option(help="Workers on this machine.", min=1, max=64)]
Master = Annotated[bool, typer.Option("--master", help="Wait for workers on other machines.")]
Expect = Annotated[int, typer.Option(help="How many a master waits for.", min=1)]
WorkerOf = Annotated[str, typer.Option(metavar="HOST", help="Work for the master on HOST.")]
Bind = Annotated[str, typer.Option(help="Address that a master listens on.")]
Port = Annotated[int, typer.Option(help="Port of the master.", min=1, max=65535)]
WebUi = Annotated[int | None, typer.Option(metavar="PORT", help="Locust's own page, while it lasts.")]


@dataclass(frozen=True, slots=True)
class _Given:
    """
    What the command line says; None where it says nothing and the scenario decides.
    """

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
    users: int
    builds: int | None
    watchers: int | None
    build_s: float | None
    lines: int | None
    engine: str
    thresholds: Path | None
    abort_on_fail: bool
    processes: int
    master: bool
    expect_workers: int
    worker: str
    bind: str
    port: int
    web_ui: int | None

    def settings(self) -> Settings:
        """
        The merged settings.
        """
        flags = Flags(
            *(self.target, self.url, self.config, self.report_dir, self.seed, self.strict, self.plan),
            *(self.max_builds, self.max_seconds),
        )
        return load_settings(flags, os.environ, Path.cwd())

    def options(self, chosen: Scenario, seed: int) -> Options:
        """
        The scenario with what the caller wants of it.

        Raises:
            UsageError: something does not fit.
        """
        return Options(
            scenario=chosen,
            arrivals=self._arrivals(chosen),
            duration_s=checked("--duration", self._or("duration", chosen.duration_s), kinds.seconds),
            mix=mix_of(self.mix, chosen.mix) if self.mix else chosen.mix,
            seed=seed,
            model=_choice("--model", self.model, "open", "closed"),
            users=self.users,
            engine=_choice("--engine", self.engine, "auto", "flows", "bulk"),
            builds=self._or("builds", chosen.builds),
            watchers=self._or("watchers", chosen.watchers),
            build_s=self._or("build_s", chosen.build_s),
            lines=self._or("lines", chosen.lines),
            ready=chosen.ready,
            max_requests=self.max_requests,
        )

    def _or(self, name: str, default: Any) -> Any:
        value = getattr(self, name)
        return default if value is None else value

    def _arrivals(self, chosen: Scenario) -> str:
        """
        The arrival curve; the path of a trace so that a process that works in another folder finds it.
        """
        if self.rate is not None and self.arrivals is not None:
            raise UsageError("--rate and --arrivals: both are given; keep one of the two")
        if self.rate is not None:
            if not 0 < self.rate < float("inf"):
                raise UsageError(f"--rate {self.rate:g}: expected arrivals a second, more than 0")
            return f"constant:{self.rate:.15g}"
        kind, _, path = (self.arrivals or "").partition(":")
        if kind == "trace" and path:
            return f"trace:{Path(path).absolute()}"
        return self.arrivals or chosen.arrivals

    def wish(self) -> loading.Wish:
        """
        How it is to be driven.

        Raises:
            UsageError: two flags contradict each other.
        """
        if self.master and self.processes > 1:
            raise UsageError("--master and --processes: both are given; a master has its workers on other machines")
        return loading.Wish(
            processes=self.processes,
            expects=self.expect_workers if self.master else 0,
            bind=self.bind,
            port=self.port,
            allows=self.allow_load,
            aborts=self.abort_on_fail,
            thresholds=self.thresholds,
            web_port=self.web_ui,
        )


@app.command()
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
    users: Users = 8,
    builds: Builds = None,
    watchers: Watchers = None,
    build_s: BuildS = None,
    lines: Lines = None,
    engine: Engine = "auto",
    thresholds: Thresholds = None,
    abort_on_fail: Abort = False,
    processes: Processes = 1,
    master: Master = False,
    expect_workers: Expect = 1,
    worker: WorkerOf = "",
    bind: Bind = "0.0.0.0",
    port: Port = loading.LOCUST_PORT,
    web_ui: WebUi = None,
) -> None:
    """
    Put a load on a target and judge what comes back.

    Without --target and --url the embedded twin is started and loaded.
    """
    raise typer.Exit(_load(_Given(**locals())))


def _load(given: _Given) -> int:
    """
    The exit code of what was asked for.
    """
    settings, chosen = given.settings(), scenario(given.name)
    if given.worker:
        return loadworker.work(settings, chosen, given.worker, given.port, given.allow_load)
    options, wish = given.options(chosen, settings.seed), given.wish()
    out = Console()
    if settings.plan:
        print_load_plan(drawn_up(options), settings, wish, out)
        return 0
    with load_progress_on(Console(stderr=True)) as progress:
        outcome = loading.load(settings, options, wish, ["touchstone", *sys.argv[1:]], progress)
    out.print(f"report: {outcome.folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    out.print()
    write_text(view(read(outcome.run_log)), out)
    return outcome.exit_code


def _choice(flag: str, value: str, *allowed: str) -> Any:
    if value not in allowed:
        raise UsageError(f"{flag} {value!r}: expected one of {', '.join(allowed)}")
    return value
