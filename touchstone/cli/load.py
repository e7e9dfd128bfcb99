"""The command `load`, which puts a load on a target."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console

from touchstone.check.job import at_twin
from touchstone.cli.live import LoadState, print_lines, print_report, progress_on
from touchstone.cli.options import SeededRun, command
from touchstone.config import Seconds, Settings, kind
from touchstone.errors import UsageError, checked, unsent
from touchstone.facts.wording import figure
from touchstone.loadgen import plan as planning
from touchstone.loadgen import runner
from touchstone.loadgen.arrivals import HELP as ARRIVALS_HELP
from touchstone.loadgen.arrivals import Trace, parse
from touchstone.loadgen.plan import AT_ONCE, SCENARIOS, USERS, Options, Plan, Scenario, mix_of, scenario
from touchstone.loadgen.thresholds import thresholds_of
from touchstone.report.terminal import table
from touchstone.report.write import conclude

app = typer.Typer()

# Maximum of --users, --watchers and --lines: one machine simulates them all.
MOST = 10_000

Name = Annotated[
    str,
    typer.Argument(metavar="SCENARIO", help=f"One of {', '.join(SCENARIOS)}.", autocompletion=lambda: list(SCENARIOS)),
]
Model = Annotated[
    Literal["open", "closed"], typer.Option(help="open: by schedule; closed: a client sends after each response.")
]


def _count(text: str, most: int | None = None, **more: Any) -> Any:
    return typer.Option(help=text, min=1, max=most, **more)


@command(
    app,
    "load steady --rate 20 --duration 30",
    "load storm --builds 40 --plan",
    "load steady --target staging --allow-load staging.example.test",
)
@dataclass(frozen=True, kw_only=True)
class Load(SeededRun):
    """Put a load on a target and judge the responses.

    Without --target and --url, the embedded twin is loaded.
    """

    name: Name
    max_requests: Annotated[int | None, _count("Maximum number of requests of the load.")] = None
    allow_load: Annotated[str, typer.Option(metavar="HOST", help="Permit a load on this remote host.")] = ""
    rate: Annotated[float | None, typer.Option(help="Constant arrivals per second; short for --arrivals RATE.")] = None
    arrivals: Annotated[str | None, typer.Option(help=ARRIVALS_HELP)] = None
    duration: Annotated[float | None, typer.Option(help="Length of the schedule in seconds.")] = None
    mix: Annotated[str | None, typer.Option(help="Weights of the actions, such as read=90,start=10.")] = None
    model: Model = "open"
    users: Annotated[int | None, _count(f"Clients of a closed model.  [default: {USERS}]", MOST)] = None
    builds: Annotated[int | None, _count("Number of builds (storm, churn, watchers).", planning.MAX_BUILDS)] = None
    watchers: Annotated[int | None, _count("Watchers of each build (watchers).", MOST)] = None
    build_s: Annotated[float | None, typer.Option(help="Duration of a build in seconds.", min=0, max=1e9)] = None
    lines: Annotated[int | None, _count("Log lines of a watched build.", MOST)] = None
    thresholds: Annotated[Path | None, typer.Option(help="File to use instead of load/thresholds.toml.")] = None
    abort_on_fail: Annotated[bool, typer.Option("--abort-on-fail", help="Stop once a threshold is broken.")] = False
    processes: Annotated[int, _count("Number of workers on this machine.", 64)] = 1
    master: Annotated[bool, typer.Option("--master", help="Wait for workers on other machines.")] = False
    expect_workers: Annotated[int | None, _count("Number of workers that a master waits for.  [default: 1]")] = None
    worker: Annotated[str, typer.Option(metavar="HOST", help="Run as a worker of the master on HOST.")] = ""
    bind: Annotated[str, typer.Option(help="Address that a master listens on.")] = "0.0.0.0"
    port: Annotated[int, _count("Port of the master.", 65535)] = runner.LOCUST_PORT
    csv: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write Locust's CSV files into DIR.")] = None
    web_ui: Annotated[int | None, _count("Serve Locust's web page on this port.", 65535, metavar="PORT")] = None

    def run(self) -> int:
        """Runs the load and returns the exit code."""
        settings, chosen = self.settings("loading"), scenario(self.name)
        if self.worker:
            clashing = {"master": self.master, "processes": self.processes > 1, "plan": self.plan, "csv": self.csv}
            for flag, value in clashing.items():
                if value:
                    raise UsageError(f"--worker and --{flag}: both are given; a worker follows its master, remove one")
            return runner.work(settings, chosen, self.worker, self.port, self.allow_load)
        with unsent():
            options, launch = self._options(chosen, settings.seed), self._launch()
        out = Console()
        if settings.plan:
            if launch.thresholds is not None:
                thresholds_of(launch.thresholds, chosen.name)
            print_plan(planning.plan(options), settings, launch, out)
            return 0
        with progress_on(Console(stderr=True), LoadState()) as progress:
            outcome = runner.load(settings, options, launch, ["touchstone", *sys.argv[1:]], progress, conclude)
        print_report(outcome.run_log, outcome.folder, out)
        return outcome.exit_code

    def _options(self, chosen: Scenario, seed: int) -> Options:
        self._check_used(chosen)
        arrivals = self._arrivals(chosen)
        duration_s = chosen.duration_s if self.duration is None else self.duration
        curve = parse(arrivals, duration_s) if arrivals.startswith("trace:") and self.duration is None else None
        if isinstance(curve, Trace):  # the whole trace
            duration_s = float(math.floor(curve.at_s[-1]) + 1)
        usual = {name: getattr(chosen, name) for name in ("builds", "watchers", "build_s", "lines")} | {"users": USERS}
        given = {name: value for name in usual if (value := getattr(self, name)) is not None}
        options = Options(
            scenario=chosen,
            arrivals=arrivals,
            duration_s=checked("--duration", duration_s, kind(Seconds)),
            mix=chosen.mix if self.mix is None else mix_of(self.mix, chosen.mix),
            seed=seed,
            model=self.model,
            ready=chosen.ready,
            max_requests=self.max_requests,
            **(usual | given),
        )
        self._check_together(options)
        return options

    def _check_used(self, chosen: Scenario) -> None:
        """Raises UsageError if a flag was given that has no effect in the scenario *chosen*."""
        for flag in ("rate", "arrivals", "mix", "builds", "watchers", "build-s", "lines"):
            value = getattr(self, flag.replace("-", "_"))
            if value is not None and not chosen.uses(flag):
                others = ", ".join(name for name, other in SCENARIOS.items() if other.uses(flag))
                advice = f"remove it, or choose one of {others}"
                raise UsageError(f"--{flag} {value}: {chosen.name} does not use it; {advice}")

    def _check_together(self, options: Options) -> None:
        chosen, closed = options.scenario, options.model == "closed"
        if closed and not chosen.uses("users"):
            others = ", ".join(name for name, other in SCENARIOS.items() if other.uses("users"))
            raise UsageError(f"--model closed: {chosen.name} follows a schedule; remove it, or choose one of {others}")
        flag, value = ("--arrivals", self.arrivals) if self.rate is None else ("--rate", self.rate)
        if closed and value is not None:
            advice = f"replace {flag} by --users, or remove --model closed"
            raise UsageError(f"{flag} {value}: a closed model has no schedule; {advice}")
        if self.users is not None and not closed:
            raise UsageError(f"--users {self.users}: an open model follows a schedule; add --model closed")
        if self.duration is not None and options.arrivals == AT_ONCE:
            advice = ", or add --rate or --arrivals" if chosen.uses("rate") else ""
            raise UsageError(f"--duration {self.duration:g}: {chosen.name} starts all at once; remove it{advice}")
        if self.builds is not None and chosen.arrivals == AT_ONCE != options.arrivals:
            raise UsageError(f"--builds {self.builds}: {options.arrivals} sets the number; remove one of the two")

    def _arrivals(self, chosen: Scenario) -> str:
        """Returns the arrival curve as text. The path of a trace is absolute, because workers run in other folders."""
        if self.rate is not None and self.arrivals is not None:
            raise UsageError("--rate and --arrivals: both are given; keep one of the two")
        if self.rate is not None:
            if not 1e-9 <= self.rate < 1e9:
                raise UsageError(f"--rate {self.rate:g}: expected arrivals a second, more than 0 and below 1e+09")
            return "constant:" + f"{self.rate:.9f}".rstrip("0").rstrip(".")
        kind, _, path = (self.arrivals or "").partition(":")
        if kind == "trace" and path:
            return f"trace:{Path(path).absolute()}"
        return self.arrivals or chosen.arrivals

    def _launch(self) -> runner.Launch:
        if self.master and self.processes > 1:
            raise UsageError("--master and --processes: both are given; a master has its workers on other machines")
        if self.expect_workers is not None and not self.master:
            raise UsageError(f"--expect-workers {self.expect_workers}: only a master uses it; add --master")
        remote_workers = (self.expect_workers or 1) if self.master else 0
        return runner.Launch(
            *(self.processes, remote_workers, self.bind, self.port, self.allow_load, self.abort_on_fail),
            *(self.thresholds, self.web_ui, self.csv),
        )


def print_plan(plan: Plan, settings: Settings, launch: runner.Launch, console: Console) -> None:
    """Prints the arrivals over time, and their cost. Raises UsageError if the target or a budget forbids the load."""
    runner.check_terms(settings, plan, launch)
    options, target = plan.options, settings.target
    timed = at_twin(settings, "http://127.0.0.1:1").target if target.embedded else target
    most = min(plan.sends(), options.max_requests or plan.sends())
    most_s = plan.most_s(timed.build_timeout_s, timed.patience_s, timed.cancel_timeout_s)
    most_s = min(most_s, settings.max_seconds or most_s)
    values = {"plan": plan, "options": options, "target": target, "timed": timed, "most": most, "most_s": most_s}
    print_lines(console, "load_plan.txt.j2", lambda: _print_arrivals(plan, console), **values, actions=planning.ACTIONS)


def _print_arrivals(plan: Plan, console: Console) -> None:
    """Prints the number of arrivals of each action as a table. Its rows are equal spans of time, at most twelve."""
    schedule = plan.schedule
    spans = min(12, max(1, round(schedule.duration_s)))
    width_s = schedule.duration_s / spans
    places = np.minimum((schedule.rows["due_s"] / width_s).astype(int), spans - 1)
    rows = []
    for span in range(spans):
        counts = np.bincount(schedule.rows["action"][places == span], minlength=len(planning.ACTIONS))
        numbers = [counts[place] for place, name in enumerate(planning.ACTIONS) if name in schedule.counts]
        rows.append([figure(span * width_s), *(f"{number:,}" for number in numbers)])
    table(console, (">from s", *(f">{name}" for name in schedule.counts)), rows, wide=False)
