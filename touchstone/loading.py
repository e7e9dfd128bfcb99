"""
Runs a load from beginning to end: target, set-up, Locust as a child process, clean-up, judgement, reports.

The parent sends only what sets the stage and clears it; the child writes what happened in between.
"""

import dataclasses
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from touchstone import claims as ledger_of_claims
from touchstone.bundle import load_dir
from touchstone.children import Interrupted, Progress, signals, watched
from touchstone.contract import Contract
from touchstone.embedded import LOAD_TWIN
from touchstone.errors import TargetError, UsageError
from touchstone.growth import TARGET
from touchstone.loadfacts import Limit, Worker
from touchstone.loadhandover import Go, LoadHandover
from touchstone.loadjudge import judge_load_run
from touchstone.loadplan import Plan, plan
from touchstone.opening import Errand, new_log, new_run_id, utc, write_header
from touchstone.report.write import finish, write_reports
from touchstone.rss import rss_bytes
from touchstone.runfacts import Footer
from touchstone.runlog import RunLogWriter, read
from touchstone.runner import Outcome, at_target
from touchstone.setting_up import SettingUp
from touchstone.settings import Settings
from touchstone.smoke import smoke
from touchstone.statistic import STATISTICS
from touchstone.thresholds_file import read as read_thresholds
from touchstone.workloads import INVARIANTS, Options

LOAD = Errand(command="load")
LOCUST_PORT = 5557
# What a load may take beyond what its plan allows at worst.
SLACK_S = 60.0
MEMORY_EVERY_S = 5.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Wish:
    """
    How a load is to be driven, besides what it consists of.

    Attributes:
        processes: Workers on this machine; 1 for none besides the process itself.
        expects: Workers on other machines that a master waits for; 0 for none.
        allows: The host that load may be put on though it is not this machine.
        aborts: Whether a broken threshold ends the run.
        thresholds: File of thresholds in the place of the bundled one.
        web_port: Port of Locust's own page while the run lasts; None for none.
    """

    processes: int = 1
    expects: int = 0
    bind: str = "127.0.0.1"
    port: int = 0
    allows: str = ""
    aborts: bool = False
    thresholds: Path | None = None
    web_port: int | None = None

    @property
    def workers(self) -> int:
        """
        How many processes share the schedule.
        """
        return self.expects or self.processes


def load(settings: Settings, options: Options, wish: Wish, argv: Sequence[str], progress: Progress) -> Outcome:
    """
    Puts a load on the target of *settings* and judges what came back.

    Raises:
        UsageError: the load is not allowed there, costs more than its budget, or the thresholds cannot be read.
    """
    ledger, contract = ledger_of_claims.load().raised(INVARIANTS), Contract.load()
    limits = read_thresholds(wish.thresholds or load_dir() / "thresholds.toml")[options.scenario.name]
    also = ("load.builds-admitted", *dict.fromkeys(STATISTICS[limit.statistic].claim for limit in limits))
    drawn_up = plan(options)
    check_terms(settings, drawn_up, wish)
    run_id = new_run_id()
    folder = settings.report_dir or Path("reports") / run_id
    run_log = new_log(folder)
    began = time.monotonic()
    with ExitStack() as stack:
        interrupted = stack.enter_context(signals())
        settings = stack.enter_context(at_target(settings, LOAD_TWIN))
        write_header(run_log, run_id, settings, argv, ledger, contract, LOAD, also)
        with RunLogWriter(run_log) as writer:
            writer.workload(drawn_up.workload(0.0, wish.workers, limits))
        run = _Run(settings, drawn_up, wish, limits, run_id, run_log)
        footer = run.run(progress, interrupted)
    judged = judge_load_run(run_log, settings, footer)
    footer = dataclasses.replace(judged, ended_at=utc(), duration_s=round(time.monotonic() - began, 3))
    finish(run_log, footer)
    return Outcome(write_reports(run_log, folder), folder, run_log)


def check_terms(settings: Settings, drawn_up: Plan, wish: Wish) -> None:
    """
    Makes sure that a load may be put on the target, and costs no more than was allowed.

    Raises:
        UsageError: it may not, or costs more.
    """
    target = settings.target
    if target.url:
        check_allowed(target.url, wish.allows)
    builds = drawn_up.builds()
    if builds > target.max_builds:
        raise UsageError(
            f"{drawn_up.options.scenario.name}: plans {builds} builds, and {target.max_builds} are allowed; "
            "raise --max-builds, or lower --rate, --duration or --builds"
        )
    if drawn_up.options.scenario.needs_second and not target.embedded and not target.second_api_key:
        raise UsageError(
            f"{drawn_up.options.scenario.name}: needs two keys; "
            "set second_api_key_env, or ORGO_SECOND_API_KEY, to another account's key"
        )
    seconds = settings.max_seconds
    if seconds is not None and drawn_up.options.duration_s > seconds:
        raise UsageError(f"--duration {drawn_up.options.duration_s:g}: longer than --max-seconds {seconds:g}")


def check_allowed(url: str, allows: str) -> None:
    """
    Makes sure that a load may be put on the host of *url*: this machine, or the one that the caller named.

    Raises:
        UsageError: it is another one.
    """
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK and host != allows.strip("[]"):
        raise UsageError(
            f"{url}: a load on another machine than this one; "
            f"if that is meant, and whoever runs it agrees, add --allow-load {host}"
        )


@dataclass
class _Run:
    """
    A run between header and footer.
    """

    settings: Settings
    plan: Plan
    wish: Wish
    limits: tuple[Limit, ...]
    run_id: str
    run_log: Path

    def run(self, progress: Progress, interrupted: Interrupted) -> Footer:
        """
        Sets up, loads, clears; the footer says what kept it from its end, if anything did.
        """
        stage = SettingUp(self.settings, self.run_id, self.run_log)
        try:
            return self._run(stage, progress, interrupted)
        except TargetError as error:
            return Footer("", 0.0, error.exit_code, str(error))
        finally:
            stage.clear(read(self.run_log))
            stage.close()

    def _run(self, stage: SettingUp, progress: Progress, interrupted: Interrupted) -> Footer:
        latency_s = round(smoke(stage.transport), 6)
        built = stage.stage(self.plan, latency_s, lambda: bool(interrupted.by))
        ended = 0
        if not interrupted.by:
            go = Go(
                options=self.plan.options,
                stage=built,
                run_id=self.run_id,
                began_at=0.0,
                origin=stage.clock.origin,
                workers=self.wish.workers,
                first_seq=stage.last_seq + 1,
            )
            ended = self._child(go, progress, interrupted)
        if interrupted.by:
            return Footer("", 0.0, 130, f"interrupted by {signal.Signals(interrupted.by).name}", interrupted=True)
        if ended != 0:
            return Footer("", 0.0, 3, f"Locust ended with {ended}; see {self.run_log.parent / 'locust.log'}")
        return Footer("", 0.0, 0, "")

    def _child(self, go: Go, progress: Progress, interrupted: Interrupted) -> int:
        handover = LoadHandover(
            settings=self.settings.to_json(),
            url=self.settings.target.url or "",
            run_log=str(self.run_log.absolute()),
            go=go.public(),
            limits=[[limit.operation, limit.statistic, limit.value] for limit in self.limits],
            aborts=self.wish.aborts,
            workers=self.wish.workers,
        )
        watch = _TargetsMemory(self.run_log, go.origin) if self.settings.target.embedded else None

        def told(event: dict[str, Any]) -> None:
            progress(event)
            if watch:
                watch.look()

        return watched(
            locust_command(self.plan.options.scenario.name, self.wish),
            locust_environment(handover, os.environ),
            self.run_log.parent / "locust.log",
            self.run_log,
            told,
            interrupted,
            self._most_seconds(),
        )

    def _most_seconds(self) -> float:
        """
        After how many seconds the load is ended, whatever keeps it.
        """
        target = self.settings.target
        most_s = self.plan.cost(target.build_timeout_s, target.patience_s).most_seconds + SLACK_S
        return min(most_s, self.settings.max_seconds or most_s)


class _TargetsMemory:
    """
    Writes down now and then how much memory this process has, which the embedded twin lives in.
    """

    def __init__(self, run_log: Path, origin: float) -> None:
        self._run_log = run_log
        self._origin = origin
        self._next_at = 0.0

    def look(self) -> None:
        """
        Looks where it is time again.
        """
        now_at = time.monotonic() - self._origin
        if now_at >= self._next_at:
            self._next_at = now_at + MEMORY_EVERY_S
            told = Worker(TARGET, "running", round(now_at, 3), 0, 0, 0, rss_bytes=rss_bytes())
            with RunLogWriter(self._run_log) as writer:
                writer.worker(told)


def locust_environment(handover: LoadHandover, environ: Mapping[str, str]) -> dict[str, str]:
    """
    The environment of a Locust process: Locust's own variables would change what it does.
    """
    plain = {name: value for name, value in environ.items() if not name.startswith("LOCUST_")}
    return plain | handover.environment() | {"PYTHONUNBUFFERED": "1"}


def locust_command(scenario: str, wish: Wish) -> list[str]:
    """
    The command line of Locust for one scenario, as the master or as the only process.
    """
    page = ["--headless"] if wish.web_port is None else ["--autostart", "--autoquit", "1", "--web-host", "127.0.0.1"]
    if wish.web_port is not None:
        page += ["--web-port", str(wish.web_port)]
    command = [
        *(sys.executable, "-m", "locust", "--config", os.devnull),
        *("-f", str(load_dir() / f"{scenario}.py")),
        *page,
        *("--users", str(wish.workers), "--spawn-rate", str(wish.workers), "--only-summary", "--host", "-"),
    ]
    if wish.expects:
        expected = ("--expect-workers", str(wish.expects))
        return [*command, "--master", *expected, "--master-bind-host", wish.bind, "--master-bind-port", str(wish.port)]
    if wish.processes > 1:
        port = str(_free_port())
        bound = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port)
        return [
            *command,
            "--processes",
            str(wish.processes),
            *bound,
            "--master-host",
            "127.0.0.1",
            "--master-port",
            port,
        ]
    return command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
