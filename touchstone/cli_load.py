"""
The command that puts a load on a target: argv in, exit code out.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any, cast

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
from touchstone.workloads import AT_ONCE, SCENARIOS, Options, Scenario, mix_of, scenario

app = typer.Typer()

Number = Annotated[int | None, typer.Option(min=0)]


@app.command()
def load(
    name: Annotated[str, typer.Argument(metavar="SCENARIO", help=f"One of {', '.join(SCENARIOS)}.")],
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: ReportDir = None,
    seed: Seed = None,
    strict: Strict = None,
    plan: Plan_ = None,
    max_builds: MaxBuilds = None,
    max_seconds: MaxSeconds = None,
    max_requests: Annotated[int | None, typer.Option(help="Requests that the load may consist of.")] = None,
    allow_load: Annotated[str, typer.Option(metavar="HOST", help="Another machine that may be loaded.")] = "",
    rate: Annotated[float | None, typer.Option(help="Arrivals a second, evenly: short for --arrivals RATE.")] = None,
    arrivals: Annotated[str | None, typer.Option(help=ARRIVALS_HELP)] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds for which arrivals are scheduled.")] = None,
    mix: Annotated[str | None, typer.Option(help="Weights of what arrives, such as read=90,start=10.")] = None,
    model: Annotated[str, typer.Option(help="open: by schedule; closed: as soon as an answer is there.")] = "open",
    users: Annotated[int, typer.Option(help="Clients of a closed model.", min=1)] = 8,
    builds: Annotated[int | None, typer.Option(help="Builds of storm, churn and watchers.", min=1)] = None,
    watchers: Annotated[int | None, typer.Option(help="Followers of each build of watchers.", min=1)] = None,
    build_s: Annotated[float | None, typer.Option(help="Seconds that the steps of a build take.", min=0)] = None,
    lines: Annotated[int | None, typer.Option(help="Lines that a followed build prints.", min=1)] = None,
    engine: Annotated[str, typer.Option(help="auto, flows or bulk.")] = "auto",
    thresholds: Annotated[Path | None, typer.Option(help="Thresholds instead of load/thresholds.toml.")] = None,
    abort_on_fail: Annotated[bool, typer.Option("--abort-on-fail", help="Stop when a threshold is broken.")] = False,
    processes: Annotated[int, typer.Option(help="Workers on this machine.", min=1, max=64)] = 1,
    master: Annotated[bool, typer.Option("--master", help="Wait for workers on other machines.")] = False,
    expect_workers: Annotated[int, typer.Option(help="How many a master waits for.", min=1)] = 1,
    worker: Annotated[str, typer.Option(metavar="HOST", help="Work for the master on HOST.")] = "",
    bind: Annotated[str, typer.Option(help="Address that a master listens on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(help="Port of the master.")] = loading.LOCUST_PORT,
    web_ui: Annotated[int | None, typer.Option(metavar="PORT", help="Locust's own page beside it.")] = None,
) -> None:
    """
    Put a load on a target and judge what comes back.

    Without --target and --url the embedded twin is started and loaded.
    """
    flags = Flags(target, url, config, report_dir, seed, strict, plan, max_builds, max_seconds)
    settings = load_settings(flags, os.environ, Path.cwd())
    chosen = scenario(name)
    if worker:
        raise typer.Exit(loadworker.work(settings, chosen, worker, port, allow_load))
    wanted = _Wanted(rate, arrivals, duration, mix, builds, watchers, build_s, lines)
    options = _options(chosen, settings, wanted)
    options = dataclasses.replace(
        options,
        model=_choice("--model", model, "open", "closed"),
        engine=_choice("--engine", engine, "auto", "flows", "bulk"),
        users=users,
        max_requests=max_requests,
    )
    expects = expect_workers if master else 0
    wish = loading.Wish(processes, expects, bind, port, allow_load, abort_on_fail, thresholds, web_ui)
    if settings.plan:
        print_load_plan(drawn_up(options), settings, wish, Console())
        return
    with load_progress_on(Console(stderr=True)) as progress:
        outcome = loading.load(settings, options, wish, ["touchstone", *sys.argv[1:]], progress)
    out = Console()
    out.print(f"report: {outcome.folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    out.print()
    write_text(view(read(outcome.run_log)), out)
    raise typer.Exit(outcome.exit_code)


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """
    What the command line says of a scenario; None where it says nothing.
    """

    rate: float | None
    arrivals: str | None
    duration: float | None
    mix: str | None
    builds: int | None
    watchers: int | None
    build_s: float | None
    lines: int | None

    def pick(self, name: str, default: Any) -> Any:
        value = getattr(self, name)
        return default if value is None else value


def _options(chosen: Scenario, settings: Settings, wanted: _Wanted) -> Options:
    if wanted.rate is not None and wanted.arrivals is not None:
        raise UsageError("--rate and --arrivals: both are given; keep one of the two")
    if wanted.rate is not None and not 0 < wanted.rate < float("inf"):
        raise UsageError(f"--rate {wanted.rate:g}: expected arrivals a second, more than 0")
    arrivals = wanted.arrivals or (chosen.arrivals if wanted.rate is None else f"constant:{wanted.rate:g}")
    duration_s = checked("--duration", wanted.pick("duration", chosen.duration_s), kinds.seconds)
    return Options(
        scenario=chosen,
        arrivals=_absolute(arrivals),
        duration_s=duration_s,
        mix=mix_of(wanted.mix, chosen.mix) if wanted.mix else chosen.mix,
        seed=settings.seed,
        builds=wanted.pick("builds", chosen.builds),
        watchers=wanted.pick("watchers", chosen.watchers),
        build_s=wanted.pick("build_s", chosen.build_s),
        lines=wanted.pick("lines", chosen.lines),
        ready=chosen.ready,
    )


def _absolute(arrivals: str) -> str:
    """
    The same arrivals where a process that works elsewhere finds their trace.
    """
    kind, _, path = arrivals.partition(":")
    return f"trace:{Path(path).absolute()}" if kind == "trace" and path and arrivals != AT_ONCE else arrivals


def _choice(flag: str, value: str, *allowed: str) -> Any:
    if value not in allowed:
        raise UsageError(f"{flag} {value!r}: expected one of {', '.join(allowed)}")
    return cast(Any, value)
