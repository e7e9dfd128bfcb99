"""Runs a load from beginning to end: target, set-up, Locust as a child process, clean-up, judgement, reports.

The parent sends only what sets the stage and clears it; the child writes what happened in between.
"""

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from touchstone.check.child import passed_on, signals, watched
from touchstone.check.embedded import BUILD_TIMEOUT_S, LOAD_TWIN
from touchstone.check.examination import PUBLISH_ADVICE, second_key_advice
from touchstone.check.handover import Carried
from touchstone.check.opening import Errand, new_log, new_run_id, utc, write_header
from touchstone.check.runner import Outcome, at_target
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.contract.files import load_dir
from touchstone.errors import RunLogError, UsageError, unsent
from touchstone.facts.events import Footer, Limit, Worker
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import RunLogWriter
from touchstone.loadgen.handover import Go, LoadHandover, rss_bytes
from touchstone.loadgen.judge import judge_load_run
from touchstone.loadgen.metrics import TARGET
from touchstone.loadgen.plan import Plan, plan
from touchstone.loadgen.session import Session, stopped_by
from touchstone.loadgen.setup import SettingUp
from touchstone.loadgen.thresholds import STATISTICS, bundled_thresholds, read_thresholds, thresholds_of
from touchstone.loadgen.workloads import AT_ONCE, INVARIANTS, Options
from touchstone.types import Conclude, Progress

LOAD = Errand(command="load")
LOCUST_PORT = 5557
# What a load may take beyond what its plan allows at worst.
SLACK_S = 60.0
MEMORY_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Wish:
    """How a load is to be driven, besides what it consists of.

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
        """How many processes share the schedule."""
        return self.expects or self.processes


def load(
    settings: Settings, options: Options, wish: Wish, argv: Sequence[str], progress: Progress, conclude: Conclude
) -> Outcome:
    """Puts a load on the target of *settings* and judges what came back.

    Raises:
        UsageError: the load is not allowed there, costs more than its budget, or the thresholds cannot be read.
    """
    ledger, contract = ledger_of_claims.load().raised(INVARIANTS), Contract.load()
    with unsent():
        limits, drawn_up = _limits(wish, options.scenario.name), plan(options)
        check_terms(settings, drawn_up, wish)
    also = ("load.builds-admitted", *dict.fromkeys(STATISTICS[limit.statistic].claim for limit in limits))
    # Claims that a settings file picks are picked for checks: here the scenario decides what is judged.
    settings = dataclasses.replace(settings, claims_glob="*")
    run_id = new_run_id()
    folder = settings.report_dir or Path("reports") / run_id
    run_log = new_log(folder)
    began = time.monotonic()
    with signals() as interrupted:  # to the end: what was seen is judged and told, whenever somebody stops the run
        with at_target(settings, LOAD_TWIN) as settings:
            write_header(run_log, run_id, settings, argv, ledger, contract, LOAD, also)
            with RunLogWriter(run_log) as writer:
                writer.write(drawn_up.workload(0.0, wish.workers, limits))
            session = Session(settings, run_id, run_log, progress, interrupted)
            footer = session.run(_Run(session, drawn_up, wish, limits).work)
        with suppress(RunLogError):  # told where the run is concluded
            footer = judge_load_run(run_log, settings, footer, own_limits=wish.thresholds is not None)
        footer = stopped_by(interrupted) or footer
        footer = dataclasses.replace(footer, ended_at=utc(), duration_s=round(time.monotonic() - began, 3))
        return Outcome(conclude(run_log, footer, folder), folder, run_log)


def _limits(wish: Wish, scenario: str) -> tuple[Limit, ...]:
    return (
        thresholds_of(wish.thresholds, scenario) if wish.thresholds else read_thresholds(bundled_thresholds())[scenario]
    )


def check_terms(settings: Settings, drawn_up: Plan, wish: Wish) -> None:
    """Makes sure that a load may be put on the target, and costs no more than was allowed.

    Raises:
        UsageError: it may not, or costs more.
    """
    target, options = settings.target, drawn_up.options
    if target.url:
        check_allowed(target.url, wish.allows)
    builds = drawn_up.builds()
    if builds > target.max_builds:
        raise UsageError(
            f"{options.scenario.name}: plans {builds} builds, and {target.max_builds} are allowed; "
            f"raise --max-builds, or {options.lowering('builds')}"
        )
    sends, most = drawn_up.sends(), options.max_requests
    if most is not None and options.model == "open" and sends > most:
        raise UsageError(
            f"{options.scenario.name}: plans {sends} requests if nothing is refused, besides set-up and clean-up, and "
            f"--max-requests {most} are allowed; raise it, or {options.lowering('arrivals')}"
        )
    _check_keys(settings, options)
    limit_s = min(target.build_timeout_s, BUILD_TIMEOUT_S) if target.embedded else target.build_timeout_s
    if options.build_s >= limit_s:
        advice = "lower it" if target.embedded else "lower it, or raise build_timeout_s of the target"
        raise UsageError(f"--build-s {options.build_s:g}: this target lets a build take {limit_s:g} s in all; {advice}")
    _check_seconds(settings.max_seconds, drawn_up)


def _check_seconds(seconds: float | None, drawn_up: Plan) -> None:
    """Makes sure that a load can be over in time where nothing is in its way."""
    options, arrives_s = drawn_up.options, drawn_up.schedule.duration_s
    if seconds is None:
        return
    if options.arrivals != AT_ONCE and arrives_s > seconds:
        raise UsageError(
            f"{options.scenario.name}: arrives for {arrives_s:g} s, and --max-seconds {seconds:g} are allowed; "
            "raise it, or lower --duration"
        )
    least_s = drawn_up.cost(0.0, 0.0).least_seconds
    if least_s > seconds:
        raise UsageError(
            f"{options.scenario.name}: takes {least_s:g} s at least, and --max-seconds {seconds:g} are allowed; "
            "raise it, or lower --build-s"
        )


def _check_keys(settings: Settings, options: Options) -> None:
    target = settings.target
    if not options.scenario.needs_second:
        return
    if not target.embedded and not target.second_api_key:
        raise UsageError(f"{options.scenario.name}: needs two keys; {second_key_advice(target)}")
    if target.publish == "never":
        raise UsageError(f"{options.scenario.name}: needs a version of each key; {PUBLISH_ADVICE}")


def check_allowed(url: str, allows: str) -> None:
    """Makes sure that a load may be put on the host of *url*: this machine, or the one that the caller named.

    Raises:
        UsageError: it is another one.
    """
    host = urlsplit(url).hostname or ""
    if not is_loopback(host) and (not host or host != allows.strip("[]").lower()):
        raise UsageError(
            f"{url}: a load on another machine than this one; "
            f"if that is meant, and whoever runs it agrees, add --allow-load {host}"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine whatever a name server says: ``localhost``, ``::1`` or an address below 127.

    Source: RFC 1122, 3.2.1.3; RFC 4291, 2.5.3; RFC 6761, 6.3.
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class _Run:
    """What a load does between set-up and clean-up."""

    session: Session
    plan: Plan
    wish: Wish
    limits: tuple[Limit, ...]

    def work(self, stage: SettingUp) -> Footer:
        """Stages, and has Locust send."""
        session = self.session
        latency_s = stage.smoke(session.stopped)
        built = stage.stage(self.plan, latency_s, session.stopped)
        if session.stopped():
            return Footer("", 0.0, 0, "")
        go = Go(
            options=self.plan.options,
            stage=built,
            run_id=session.run_id,
            began_at=0.0,
            origin=stage.clock.origin,
            workers=self.wish.workers,
            first_seq=stage.last_seq + 1,
            builds=stage.builds_left(self.plan.builds()),
        )
        return session.ended(self._child(go))

    def _child(self, go: Go) -> int:
        session, run_log = self.session, self.session.run_log
        go_file = run_log.with_name("go.json").absolute()
        write_whole(go_file, json.dumps(go.public()))
        handover = LoadHandover(
            settings=session.settings.to_json(),
            url=session.settings.target.url or "",
            run_log=str(run_log.absolute()),
            go_file=str(go_file),
            limits=[[limit.operation, limit.statistic, limit.value] for limit in self.limits],
            aborts=self.wish.aborts,
            workers=self.wish.workers,
        )
        memory = _TargetsMemory(go.origin)

        def told(event: dict[str, Any]) -> None:
            session.progress(event)
            memory.look()

        try:
            ended = watched(
                locust_command(self.plan.options.scenario.name, self.wish),
                locust_environment(handover, os.environ),
                run_log.parent / "locust.log",
                run_log,
                told,
                session.interrupted,
                self._most_seconds(),
            )
        finally:
            with suppress(OSError):  # its folder may be gone
                go_file.unlink(missing_ok=True)
        if session.settings.target.embedded and run_log.exists():
            memory.write(run_log)
        return ended

    def _most_seconds(self) -> float:
        """After how many seconds the load is ended, whatever keeps it."""
        settings = self.session.settings
        target = settings.target
        cost = self.plan.cost(target.build_timeout_s, target.patience_s, target.cancel_timeout_s)
        most_s = cost.most_seconds + SLACK_S
        return min(most_s, settings.max_seconds or most_s)


class _TargetsMemory:
    """How much memory this process has now and then, which the embedded twin lives in."""

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._next_at = 0.0
        self._told: list[Worker] = []

    def look(self) -> None:
        """Looks where it is time again."""
        now_at = time.monotonic() - self._origin
        if now_at >= self._next_at:
            self._next_at = now_at + MEMORY_EVERY_S
            self._told.append(Worker(TARGET, "running", round(now_at, 3), 0, 0, 0, rss_bytes=rss_bytes()))

    def write(self, run_log: Path) -> None:
        """Writes it all down, now that nobody else writes there."""
        with suppress(RunLogError), RunLogWriter(run_log, drops=True) as writer:
            for worker in self._told:
                writer.write(worker)


def locust_environment(handover: Carried, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Locust process."""
    return passed_on(environ) | handover.environment() | {"PYTHONUNBUFFERED": "1"}


def locust_command(scenario: str, wish: Wish) -> list[str]:
    """The command line of Locust for one scenario, as the master or as the only process."""
    page = ["--headless"]
    if wish.web_port is not None:
        page = ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(wish.web_port)]
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
