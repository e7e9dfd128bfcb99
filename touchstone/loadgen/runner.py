"""Runs a load: set-up and clean-up in this process, Locust as a child process, and the judgement."""

import dataclasses
import json
import math
import os
import re
import socket
import sys
import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from touchstone.check.child import child_environment, signals, watched
from touchstone.check.examination import PUBLISH_ADVICE, second_key_advice
from touchstone.check.handover import Errand
from touchstone.check.job import BUILD_TIMEOUT_S, LOAD_TWIN, REACHED_ITS_END, Job, Outcome, failed, new_log, new_run_id
from touchstone.config import Settings
from touchstone.contract.files import load_dir
from touchstone.errors import RunLogError, TargetError, UsageError, unsent
from touchstone.facts.events import Footer, Limit, RunLog, Worker
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.loadgen.handover import GO, JOINED, REFUSAL, Go, LoadHandover, rss_bytes
from touchstone.loadgen.judge import judge_load_run
from touchstone.loadgen.metrics import TARGET
from touchstone.loadgen.plan import Plan, plan
from touchstone.loadgen.setup import SettingUp
from touchstone.loadgen.thresholds import STATISTICS, bundled_thresholds, read_thresholds, thresholds_of
from touchstone.loadgen.workloads import AT_ONCE, INVARIANTS, Options, Scenario
from touchstone.types import Conclude, Progress

LOCUST_PORT = 5557
# What a load may take beyond what its plan allows at worst.
SLACK_S = 60.0
MEMORY_EVERY_S = 5.0
_LEAVE = "once more, and the rest is left to `touchstone sweep`"

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")
_ADVICE = "the name or the address of the machine where --master is"


@dataclass(frozen=True, slots=True)
class Wish:
    """How a load is to be driven; *expects* is the number of workers on other machines, 0 where there is no master."""

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
    """Puts a load on the target of *settings* and judges what came back; its errors are those of `check_terms`."""
    with unsent():
        name, file = options.scenario.name, wish.thresholds
        limits = thresholds_of(file, name) if file else read_thresholds(bundled_thresholds())[name]
        drawn_up = plan(options)
        check_terms(settings, drawn_up, wish)
    return _Load(settings, progress, drawn_up, wish, limits).run(argv, conclude)


def check_terms(settings: Settings, drawn_up: Plan, wish: Wish) -> None:
    """A `UsageError` where a load may not be put on the target, or costs more than was allowed."""
    target, options = settings.target, drawn_up.options
    if target.url:
        check_allowed(target.url, wish.allows)
    seconds = math.inf if settings.max_seconds is None else settings.max_seconds
    most = math.inf if options.max_requests is None else options.max_requests
    builds, sends = drawn_up.builds(), drawn_up.sends() if options.model == "open" else 0
    arrives_s = 0.0 if options.arrivals == AT_ONCE else drawn_up.schedule.duration_s
    least_s = max(arrives_s, drawn_up.least_s())
    limit_s = min(target.build_timeout_s, BUILD_TIMEOUT_S) if target.embedded else target.build_timeout_s
    longer = "lower it" if target.embedded else "lower it, or raise build_timeout_s of the target"
    allowed = f"--max-requests {most} are allowed; raise it, or {options.advice}"
    more = f"raise --max-builds, or {options.advice}"
    needs_second, is_second_known = options.scenario.needs_second, target.embedded or target.second_api_key
    objections = (
        (builds > target.max_builds, f"plans {builds} builds, and {target.max_builds} are allowed; {more}"),
        (sends > most, f"plans {sends} requests if nothing is refused, besides set-up and clean-up, and {allowed}"),
        (needs_second and not is_second_known, f"needs two keys; {second_key_advice(target)}"),
        (needs_second and target.publish == "never", f"needs a version of each key; {PUBLISH_ADVICE}"),
        (
            options.build_s >= limit_s,
            f"--build-s {options.build_s:g}: this target lets a build take {limit_s:g} s in all; {longer}",
        ),
        (
            least_s > seconds,
            f"takes {least_s:g} s at least, and --max-seconds {seconds:g} are allowed; raise it, or shorten the load",
        ),
    )
    for holds, objection in objections:
        if holds:
            raise UsageError(f"{options.scenario.name}: {objection}")


def check_allowed(url: str, allows: str) -> None:
    """A `UsageError` where the host of *url* is neither this machine nor the one that the caller named."""
    host = urlsplit(url).hostname or ""
    if not is_loopback(host) and (not host or host != allows.strip("[]").lower()):
        advice = f"if that is meant, and whoever runs it agrees, add --allow-load {host}"
        raise UsageError(f"{url}: a load on another machine than this one; {advice}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine whatever a name server says: ``localhost``, ``::1`` or an address below 127.

    Source: RFC 1122, 3.2.1.3; RFC 4291, 2.5.3; RFC 6761, 6.3.
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class StagedJob(Job):
    """A run whose versions are published and built by the parent before the child sends, and removed afterwards."""

    twin = LOAD_TWIN

    def __init__(self, settings: Settings, progress: Progress) -> None:
        # Claims that a settings file picks are picked for checks: what is run decides what is judged.
        super().__init__(dataclasses.replace(settings, claims_glob="*"), progress)
        self.stage: SettingUp | None = None

    def is_stopped(self) -> bool:
        """Whether somebody asked the run to stop."""
        return bool(self.interrupted.by)

    def work(self) -> Footer:
        """Sets up, and has the child send."""

        def report(event: dict[str, Any]) -> None:
            self.progress(event | {"hint": _LEAVE} if self.interrupted.by else event)

        self.stage = SettingUp(self.settings, self.run_id, self.run_log, report)
        return self.send(self.stage)

    @abstractmethod
    def send(self, stage: SettingUp) -> Footer:
        """Publishes what is needed, and runs the child."""

    def child_ended(self, code: int) -> Footer:
        """The footer of a run whose child ended with *code*."""
        errors = [case.message for case in read(self.run_log).cases if case.outcome == "error"]
        if errors:
            return failed(errors[0])
        return self.ended_with(code) if code else REACHED_ITS_END

    def clear(self) -> bool:
        """Removes what was published, also where the run log is gone; goes on to its end unless it is stopped anew."""
        if self.stage is None:
            return True
        insisted = self.interrupted.insisted()
        try:
            log = read(self.run_log)
        except RunLogError:
            log = None
        if log:
            self.before_clearing(self.stage, log)
        try:
            return self.stage.clear(log, insisted)
        finally:
            self.stage.close()
            self.is_unwritten |= self.stage.is_lost

    def before_clearing(self, stage: SettingUp, log: RunLog) -> None:
        """What is done with the run log as it is when the child has ended."""


class _Load(StagedJob):
    errand = Errand(command="load")
    child = ("Locust", "locust.log")

    def __init__(
        self, settings: Settings, progress: Progress, plan: Plan, wish: Wish, limits: tuple[Limit, ...]
    ) -> None:
        super().__init__(settings, progress)
        self.ledger = self.ledger.raised(INVARIANTS)
        self.also = ("load.builds-admitted", *dict.fromkeys(STATISTICS[limit.statistic].claim for limit in limits))
        self._plan, self._wish, self._limits = plan, wish, limits

    def work(self) -> Footer:
        with RunLogWriter(self.run_log) as writer:
            writer.write(self._plan.workload(0.0, self._wish.workers, self._limits))
        return super().work()

    def send(self, stage: SettingUp) -> Footer:
        stage.smoke(self.is_stopped)
        built = stage.stage(self._plan.needs, self.is_stopped)
        if self.is_stopped():
            return REACHED_ITS_END
        go = Go(
            options=self._plan.options,
            stage=built,
            origin=stage.clock.origin,
            workers=self._wish.workers,
            first_seq=stage.last_seq + 1,
            builds=stage.builds_left(self._plan.builds()),
        )
        return self.child_ended(self._run_locust(go))

    def judge(self, footer: Footer) -> Footer:
        return judge_load_run(self.run_log, self.settings, footer, own_limits=self._wish.thresholds is not None)

    def _run_locust(self, go: Go) -> int:
        go_file = self.run_log.with_name("go.json").absolute()
        write_whole(go_file, json.dumps(GO.dump_python(go, mode="json")))
        handover = LoadHandover(
            settings=self.settings,
            run_log=str(self.run_log.absolute()),
            go_file=str(go_file),
            limits=self._limits,
            aborts=self._wish.aborts,
            workers=self._wish.workers,
        )
        target, memory = self.settings.target, list[Worker]()
        most_s = self._plan.most_s(target.build_timeout_s, target.patience_s, target.cancel_timeout_s) + SLACK_S

        def measure() -> None:
            """Notes how much memory this process has, which the embedded twin lives in."""
            now_at = time.monotonic() - go.origin
            if now_at >= MEMORY_EVERY_S * len(memory):
                memory.append(Worker(TARGET, "running", round(now_at, 3), 0, 0, 0, rss_bytes=rss_bytes()))

        try:
            command = locust_command(self._plan.options.scenario.name, self._wish)
            return self.run_child(command, handover, min(most_s, self.settings.max_seconds or most_s), measure)
        finally:
            with suppress(OSError):  # its folder may be gone
                go_file.unlink(missing_ok=True)
            if target.embedded and self.run_log.exists():
                with suppress(RunLogError), RunLogWriter(self.run_log, drops=True) as writer:
                    writer.write(*memory)


def locust_command(scenario: str, wish: Wish) -> list[str]:
    """The command line of Locust for one scenario, as the master or as the only process."""
    page = ["--headless"]
    if wish.web_port is not None:
        page = ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(wish.web_port)]
    users = str(wish.workers)
    command = [*_locust(scenario), *page, "--users", users, "--spawn-rate", users, "--only-summary"]
    if wish.expects:
        bound = ("--master-bind-host", wish.bind, "--master-bind-port", str(wish.port))
        command += ["--master", "--expect-workers", str(wish.expects), *bound]
    elif wish.processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command += ["--processes", str(wish.processes)]
        command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        command += ["--master-host", "127.0.0.1", "--master-port", port]
    return command


def _locust(scenario: str) -> list[str]:
    locustfile = str(load_dir() / f"{scenario}.py")
    return [sys.executable, "-m", "locust", "--config", os.devnull, "-f", locustfile, "--host", "-"]


def work(settings: Settings, chosen: Scenario, master: str, port: int, allows: str) -> int:
    """Works for the master on host *master* until the run is over; 0 where it did its part, or 130.

    Locust, whose output is in ``locust.log``, tries for five minutes to find the master: it may come up after workers.

    Raises:
        UsageError: there is no target, the load is not allowed there, the folder cannot be written, or the host of the
            master is none or unknown.
        TargetError: it found no master, had no part in the run, or did not come to its end.
    """
    check_host(master)
    if not settings.target.url:
        raise UsageError("--worker: the embedded twin belongs to one process; name a target with --url or --target")
    check_allowed(settings.target.url, allows)
    run_log = new_log(settings.report_dir or Path("reports") / f"worker-{new_run_id()}")
    output = run_log.with_name("locust.log")
    command = [*_locust(chosen.name), "--worker", "--master-host", master, "--master-port", str(port)]
    environment = child_environment(LoadHandover(settings, ""), os.environ)
    print(f"waiting for the master at {master}:{port}; log: {output}", file=sys.stderr, flush=True)  # noqa: T201
    with signals() as interrupted:
        ended = watched(command, environment, output, run_log, lambda _: None, interrupted, settings.max_seconds)
    if interrupted.by:
        return 130
    if ended:
        raise failure(output, ended, master, port)
    return 0


def failure(output: Path, ended: int, master: str, port: int) -> UsageError | TargetError:
    """Why a worker did not do its part, by what it printed."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    refusals = [line.removeprefix(REFUSAL) for line in lines if line.startswith(REFUSAL)]
    if refusals or JOINED in lines:
        return TargetError("; ".join(refusals) or f"Locust ended with {ended}; see {output}")
    try:
        socket.getaddrinfo(master, port)
    except (OSError, UnicodeError) as error:
        return UsageError(f"--worker {master}: nobody knows this host ({error}); give {_ADVICE}")
    advice = f"start it with --master, and the same --port; see {output}"
    return TargetError(f"--worker {master}: no master at {master}:{port}; {advice}")


def check_host(master: str) -> None:
    """A `UsageError` where *master* cannot be a host; whether it is known shows later."""
    try:
        ip_address(master)
    except ValueError:
        if not _HOST.fullmatch(master) or ".." in master:
            raise UsageError(f"--worker {master!r}: no host; expected {_ADVICE}; its port goes into --port") from None
