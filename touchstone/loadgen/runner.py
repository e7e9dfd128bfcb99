"""Load command: set-up and clean-up in this process, Locust in a child process, and the judgement."""

import dataclasses
import json
import math
import os
import re
import socket
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

from touchstone.check import examination, job
from touchstone.check.budget import Budget
from touchstone.check.examination import Examination, Ledger, Unsuited, how_ended, transport_to
from touchstone.check.handover import Errand
from touchstone.check.job import REACHED_ITS_END, Job, Outcome, failed
from touchstone.check.journal import Journal
from touchstone.check.preflight import check_given, smoke
from touchstone.check.run import given_contents
from touchstone.check.sweep import EMBEDDED_URL
from touchstone.check.templates import Template, given
from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.contract.files import load_dir
from touchstone.errors import RunLogError, TargetError, UsageError, unsent
from touchstone.facts.events import Footer, Limit, Remark, RunLog, Worker
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.wording import plural
from touchstone.loadgen.handover import GO, JOINED, REFUSAL, Go, LoadHandover
from touchstone.loadgen.judge import CLEAN_UP, SET_UP, judge_load_run
from touchstone.loadgen.metrics import TARGET, last_reports
from touchstone.loadgen.plan import AT_ONCE, INVARIANTS, Need, Options, Plan, Scenario, Stage, Stopped, plan
from touchstone.loadgen.thresholds import STATISTICS, read_thresholds, thresholds_of
from touchstone.rules.history import Content, History
from touchstone.target.call import NOT_REACHED, Call
from touchstone.target.transport import WallClock
from touchstone.types import Conclude, Progress

PUBLISHING, CANCELLING, DELETING = "publishing", "cancelling what the run left", "deleting templates"

_CHECK_S = 0.1

_NEVER: Callable[[], bool] = bool  # bool() is False: the run is never stopped

_Thing = TypeVar("_Thing")


class _Clock(WallClock):
    """Clock whose waits raise `Stopped` when the run is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: Callable[[], bool] = _NEVER

    def check(self) -> None:
        if self.stopped():
            raise Stopped

    def rest(self, seconds: float, until: threading.Event | None = None) -> None:
        until_at = self.now() + seconds
        while (left_s := until_at - self.now()) > 0:
            self.check()
            super().rest(min(left_s, _CHECK_S), until)


class SettingUp:
    """Set-up and clean-up of one run; reports the progress of both to *progress*."""

    def __init__(self, settings: Settings, run_id: str, run_log: Path, progress: Progress = lambda _: None) -> None:
        target = settings.target
        self._settings = settings
        self._log = RunLogWriter(run_log, drops=True)
        self._progress = progress
        self._deleted = 0
        self.last_seq = 0
        # Exchanges of the smoke test; logged only if the target is the API, since the run does not judge other servers.
        self._held: list[Exchange] | None = None
        self._contract = Contract.load()
        self.clock = _Clock()
        known = (target, self._contract, self._record)
        self.transport = transport_to(*known, stopped=lambda: self.clock.stopped())  # noqa: PLW0108 - it is replaced
        self.transport.clock = self.clock
        url = EMBEDDED_URL if target.embedded else target.url or ""
        self._journal = Journal.open(run_id, url, settings.state_dir, run_log.parent)
        self._ledger = Ledger(run_id, self._journal, self._log, self.transport)
        ledger = replace(self._ledger, on_removal=self._count_deleted)
        self._exam = Examination(self.transport, target, run_id, ledger, Budget(target.max_builds), case=SET_UP)
        self._owners: dict[str, Credential] = {}

    def _record(self, exchange: Exchange) -> None:
        self.last_seq = max(self.last_seq, exchange.seq)
        if self._held is None:
            self._log.write(exchange)
        else:
            self._held.append(exchange)

    def smoke(self, stopped: Callable[[], bool]) -> None:
        """Checks that the target can be judged, as `check.preflight.smoke` does; ends early if *stopped* is true."""
        self.clock.stopped = stopped
        self._held = []
        try:
            smoke(self.transport, self._settings.target.key_sources.primary)
            check_given(self.transport, self._settings.target)
            self._log.write(*self._held)
        finally:
            self.clock.stopped, self._held = _NEVER, None

    def stage(self, needs: Sequence[Need], stopped: Callable[[], bool]) -> Stage:
        """Publishes *needs* and builds those with role ``ready``, until *stopped*; a failure raises `TargetError`."""
        roles: dict[str, tuple[str, ...]] = {}
        contents: dict[str, Content] = {}
        self.clock.stopped = stopped
        ref = ""
        try:
            for number, need in self._each(PUBLISHING, list(enumerate(needs))):
                template = self._template(need, number)
                ref = template.ref
                contents[ref] = self._published(template)
                role = f"{need.role}-second" if need.second else need.role
                roles[role] = (*roles.get(role, ()), ref)
                self._owners[ref] = template.owner
                if need.role == "ready":
                    self._build(template)
        except Stopped:
            pass
        except Unsuited as error:
            if not stopped():
                where = f"{ref}: " if ref and ref not in error.reason else ""
                raise TargetError(f"the load could not be set up: {where}{error.reason}") from error
        finally:
            self.clock.stopped = _NEVER
        self._journal.started(*(ref for role, refs in roles.items() if not role.startswith("ready") for ref in refs))
        return Stage(roles, contents)

    def _each(self, doing: str, things: Sequence[_Thing]) -> Iterator[_Thing]:
        for done, thing in enumerate(things):
            self._report(doing, done, len(things))
            self.clock.check()
            yield thing
        self._report(doing, len(things), len(things))

    def _report(self, doing: str, done: int, of: int) -> None:
        if of:
            self._progress({"type": "progress", "doing": doing, "done": done, "of": of})

    def _count_deleted(self) -> None:
        self._deleted += 1
        self._report(DELETING, self._deleted, len(self._exam.templates))
        self.clock.check()

    def _template(self, need: Need, number: int) -> Template:
        """Template for *need*; if the target forbids publishing, the next template in templates.buildable."""
        if self._settings.target.publish == "never":
            if not (buildable := self._settings.target.templates.buildable):
                raise Unsuited("not-applicable", "publishing is switched off; name templates in templates.buildable")
            return given(buildable[number % len(buildable)])
        owner: Credential = "second" if need.second else "primary"
        template = self._exam.template(need.purpose, sleep_s=need.sleep_s, fails=need.fails, owner=owner)
        return replace(template, halved=need.halved, more_lines=need.more_lines)

    def _published(self, template: Template) -> Content:
        if self._settings.target.publish == "never":
            return given_contents(self._settings.target.templates)[template.ref]
        exchange = self._exam.publish(template)
        if not 200 <= exchange.status < 300:
            answer = exchange.error or f"{exchange.status} {exchange.body}"
            raise Unsuited("could-not-run", f"publishing {template.ref} failed: {answer}")
        if template.ref in self._exam.budget.doubts:
            # Only this read shows whether publishing began a build, which would cost budget.
            self._exam.read_uncertain(template.ref)
        history = History(self._contract)
        history.add(exchange)
        return history.contents(template.ref)[-1]

    def _build(self, template: Template) -> None:
        self._journal.started(template.ref)
        self._exam.start(template.ref, template.owner)
        ended = self._exam.wait(template.ref)
        if ended.body.get("status") != "ready":
            raise Unsuited("could-not-run", f"{how_ended(template.ref, ended)}; expected ready")
        self._journal.settled(template.ref)

    def builds_left(self, planned: int) -> int:
        """Number of builds that may still begin. If it is below *planned*, reads first settle uncertain starts."""
        budget = self._exam.budget
        if budget.builds < planned:
            budget.resolve(self._exam.read_uncertain)
        return max(0, budget.builds)

    def clear(self, log: RunLog | None, stopped: Callable[[], bool] = _NEVER) -> bool:
        """Cancels builds that may be running and deletes what was published; returns whether nothing is left.

        *log* makes some cancels unnecessary; None if the run log is lost. Once *stopped* returns True, the rest is left
        to `touchstone sweep`.
        """
        numbers = [*(e.seq for e in log.exchanges), *(a.seq for a in log.attempts)] if log else []
        numbers += [answered.seq for answered in log.probe.answers] if log and log.probe else []
        self.transport.number_from(max([*numbers, self.last_seq]) + 1)
        self._exam.case = CLEAN_UP
        self._journal.settled(*(_idle(log, self._journal.builds) if log else ()))
        self.clock.stopped = stopped
        try:
            self._cancel()
            self.clock.check()
            self._report(DELETING, 0, len(self._exam.templates))
            self._exam.clean_up()
        except Stopped:
            self._warn_left()
        finally:
            self.clock.stopped = _NEVER
        self._journal.close()
        return not self._journal.refs and not self._journal.builds

    def _cancel(self) -> None:
        """Cancels builds that may be running; stops after several consecutive cancels without a response."""
        for ref in self._each(CANCELLING, self._journal.builds):
            exchange = self._exam.tried(Call("cancelBuild", ref, self._owners.get(ref, "primary")))
            if exchange and (200 <= exchange.status < 300 or exchange.status in (404, 409)):
                self._journal.settled(ref)
        if running := sorted(self._journal.builds):
            left = f"{plural(len(running), 'build')} may still be running, because cancels failed"
            self._log.write(Remark(f"{left}, such as {running[0]}; `touchstone sweep` tries again"))

    def _warn_left(self) -> None:
        left = {*self._journal.refs}
        for template in self._exam.templates:
            if template.ref in left:
                sure = self._exam.publications.standing(template) == "there"
                self._ledger.removed(template, gone=False, sure=sure)
        if number := len(left.union(self._journal.builds)):
            left_behind = f"{plural(number, 'version')} may be left, and builds of them"
            self._log.write(Remark(f"the clean-up was stopped: {left_behind}; `touchstone sweep` removes them"))

    def close(self) -> bool:
        """Closes connections and files; returns whether the run log could be written to the end."""
        self._journal.close()
        self.transport.close()
        if remark := self.transport.remark:
            self._log.write(Remark(remark))
        self._log.close()
        return self._log.lost is None


def _idle(log: RunLog, refs: Iterable[str]) -> list[str]:
    """Versions among *refs* without a running build: their builds ended, or all workers reported and sent no start."""
    last = last_reports(log.workers)
    is_whole = last and all(worker.state == "done" for worker in last)
    started = {attempt.ref for attempt in log.attempts if not attempt.unsent}
    sent = [exchange for exchange in log.exchanges if not exchange.error.startswith(NOT_REACHED)]
    started |= {exchange.ref for exchange in sent if exchange.operation == "startBuild" and exchange.ref}
    ended = {build.ref for build in log.builds if build.end in ("ready", "failed", "cancelled")}
    return [ref for ref in refs if ref in ended or (is_whole and ref not in started)]


LOCUST_PORT = 5557
# Extra seconds for a load beyond the worst case of its plan.
SLACK_S = 60.0
MEMORY_EVERY_S = 5.0
_LEAVE = "interrupt again to leave the rest to `touchstone sweep`"

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")
_ADVICE = "the name or the address of the machine that runs --master"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to run one load; *remote_workers*: workers on other machines, or 0; *csv*: folder for CSV files of Locust."""

    processes: int = 1
    remote_workers: int = 0
    bind: str = "127.0.0.1"
    port: int = 0
    allowed_host: str = ""
    aborts: bool = False
    thresholds: Path | None = None
    web_port: int | None = None
    csv: Path | None = None

    @property
    def workers(self) -> int:
        """Number of processes that share the schedule."""
        return self.remote_workers or self.processes


def load(
    settings: Settings, options: Options, launch: Launch, argv: Sequence[str], progress: Progress, conclude: Conclude
) -> Outcome:
    """Runs a load against the target and judges the responses; raises the errors of `check_terms`."""
    with unsent():
        name, file = options.scenario.name, launch.thresholds
        limits = thresholds_of(file, name) if file else read_thresholds()[name]
        load_plan = plan(options)
        check_terms(settings, load_plan, launch)
        try:
            if launch.csv is not None:
                launch.csv.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--csv {launch.csv}: {error.strerror}; expected a folder that can be written") from None
    return _Load(settings, progress, load_plan, launch, limits).run(argv, conclude)


def check_terms(settings: Settings, load_plan: Plan, launch: Launch) -> None:
    """Raises `UsageError` if the load is not allowed on the target, or exceeds a budget."""
    target, options = settings.target, load_plan.options
    if target.url:
        check_allowed(target.url, launch.allowed_host)
    seconds = math.inf if settings.max_seconds is None else settings.max_seconds
    most = math.inf if options.max_requests is None else options.max_requests
    builds, sends = load_plan.builds(), load_plan.sends() if options.model == "open" else 0
    arrives_s = 0.0 if options.arrivals == AT_ONCE else load_plan.schedule.duration_s
    least_s = max(arrives_s, load_plan.least_s())
    limit_s = min(target.build_timeout_s, job.BUILD_TIMEOUT_S) if target.embedded else target.build_timeout_s
    longer = "lower it" if target.embedded else "lower it, or raise build_timeout_s of the target"
    allowed = f"--max-requests {most} are allowed; raise it, or {options.advice}"
    more = f"raise --max-builds, or {options.advice}"
    lasts = f"--build-s {options.build_s:g}: a build of this target may take {limit_s:g} s in all; {longer}"
    shorter = f"--max-seconds {seconds:g} are allowed; raise it, or shorten the load"
    needs_second, is_second_known = options.scenario.needs_second, target.embedded or target.second_api_key
    objections = (
        (builds > target.max_builds, f"plans {builds} builds, and {target.max_builds} are allowed; {more}"),
        (sends > most, f"plans {sends} requests if nothing is refused, besides set-up and clean-up, and {allowed}"),
        (needs_second and not is_second_known, f"needs two keys; {examination.key_advice(target, 'second')}"),
        (needs_second and target.publish == "never", f"needs a version of each key; {examination.PUBLISH_ADVICE}"),
        (options.build_s >= limit_s, lasts),
        (least_s > seconds, f"takes {least_s:g} s at least, and {shorter}"),
    )
    for holds, objection in objections:
        if holds:
            raise UsageError(f"{options.scenario.name}: {objection}")


def check_allowed(url: str, allowed_host: str) -> None:
    """Raises `UsageError` unless the host of *url* is this machine or *allowed_host*."""
    host = urlsplit(url).hostname or ""
    if not is_loopback(host) and (not host or host != allowed_host.strip("[]").lower()):
        advice = f"ask its operator, then add --allow-load {host}"
        raise UsageError(f"{url}: a load on another machine needs permission; {advice}")


def is_loopback(host: str) -> bool:
    """Whether a host is always this machine (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3; RFC 6761, 6.3)."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class StagedJob(Job):
    """Run of a child process. Before it, this process publishes and builds versions; afterwards, it removes them."""

    twin = job.LOAD_TWIN

    def __init__(self, settings: Settings, progress: Progress) -> None:
        # The claims in the settings select the cases of a check; a load run judges the claims of its scenario.
        super().__init__(dataclasses.replace(settings, claims_glob="*"), progress)
        self.stage: SettingUp | None = None

    def is_stopped(self) -> bool:
        """Whether the run was interrupted."""
        return bool(self.interrupted.by)

    def work(self) -> Footer:
        """Sets up the run, then starts the child, which sends the requests."""

        def report(event: dict[str, Any]) -> None:
            self.progress(event | {"hint": _LEAVE} if self.interrupted.by else event)

        self.stage = SettingUp(self.settings, self.run_id, self.run_log, report)
        return self.send(self.stage)

    @abstractmethod
    def send(self, stage: SettingUp) -> Footer:
        """Publishes the versions and runs the child."""

    def child_ended(self, code: int) -> Footer:
        """Footer of a run whose child ended with exit code *code*."""
        if errors := [case.message for case in read(self.run_log).cases if case.outcome == "error"]:
            return failed(errors[0])
        return self.ended_with(code) if code else REACHED_ITS_END

    def clear(self) -> bool:
        """Removes everything that was published, even if the run log is lost; another interrupt stops the removal."""
        if self.stage is None:
            return True
        insisted = self.interrupted.insisted()
        try:
            log = read(self.run_log)
        except RunLogError:
            log = None
        try:
            return self.stage.clear(log, insisted)
        finally:
            self.is_unwritten |= not self.stage.close()


class _Load(StagedJob):
    errand = Errand(command="load")
    child = ("Locust", "locust.log")

    def __init__(
        self, settings: Settings, progress: Progress, plan: Plan, launch: Launch, limits: tuple[Limit, ...]
    ) -> None:
        super().__init__(settings, progress)
        self.ledger = self.ledger.raised(INVARIANTS)
        self.also = ("load.builds-admitted", *dict.fromkeys(STATISTICS[limit.statistic].claim for limit in limits))
        self._plan, self._launch, self._limits = plan, launch, limits

    def work(self) -> Footer:
        with RunLogWriter(self.run_log) as writer:
            writer.write(self._plan.workload(0.0, self._launch.workers, self._limits))
        return super().work()

    def send(self, stage: SettingUp) -> Footer:
        stage.smoke(self.is_stopped)
        built = stage.stage(self._plan.needs, self.is_stopped)
        if self.is_stopped():
            return REACHED_ITS_END
        origin, builds = stage.clock.origin, stage.builds_left(self._plan.builds())
        go = Go(self._plan.options, built, origin, self._launch.workers, stage.last_seq + 1, builds)
        return self.child_ended(self._run_locust(go))

    def judge(self, footer: Footer) -> Footer:
        return judge_load_run(self.run_log, self.settings, footer, own_limits=self._launch.thresholds is not None)

    def _run_locust(self, go: Go) -> int:
        go_file = self.run_log.with_name("go.json").absolute()
        write_whole(go_file, json.dumps(GO.dump_python(go, mode="json")))
        files = str(self.run_log.absolute()), str(go_file)
        handover = LoadHandover(self.settings, *files, self._limits, self._launch.aborts)
        target, memory = self.settings.target, list[Worker]()
        most_s = self._plan.most_s(target.build_timeout_s, target.patience_s, target.cancel_timeout_s) + SLACK_S

        def measure() -> None:
            """Records the memory of this process, in which the embedded twin runs."""
            now_at = time.monotonic() - go.origin
            if now_at >= MEMORY_EVERY_S * len(memory):
                rss_bytes = psutil.Process().memory_info().rss
                memory.append(Worker(TARGET, "running", round(now_at, 3), 0, 0, 0, rss_bytes=rss_bytes))

        try:
            command = locust_command(self._plan.options.scenario.name, self._launch)
            return self.run_child(command, handover, min(most_s, self.settings.max_seconds or most_s), measure)
        finally:
            with suppress(OSError):  # the folder may have been removed
                go_file.unlink(missing_ok=True)
            if target.embedded and self.run_log.exists():
                with suppress(RunLogError), RunLogWriter(self.run_log, drops=True) as writer:
                    writer.write(*memory)


def locust_command(scenario: str, launch: Launch) -> list[str]:
    """Command line of Locust for one scenario, as the master or as the only process."""
    page = ["--headless"]
    if launch.web_port is not None:
        page = ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(launch.web_port)]
    users = str(launch.workers)
    command = [*_locust(scenario), *page, "--users", users, "--spawn-rate", users, "--only-summary"]
    if launch.csv is not None:
        command += ["--csv", str(launch.csv.absolute() / scenario)]
    if launch.remote_workers:
        bound = ("--master-bind-host", launch.bind, "--master-bind-port", str(launch.port))
        command += ["--master", "--expect-workers", str(launch.remote_workers), *bound]
    elif launch.processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command += ["--processes", str(launch.processes)]
        command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        command += ["--master-host", "127.0.0.1", "--master-port", port]
    return command


def _locust(scenario: str) -> list[str]:
    locustfile = str(load_dir() / f"{scenario}.py")
    return [sys.executable, "-m", "locust", "--config", os.devnull, "-f", locustfile, "--host", "-"]


def work(settings: Settings, chosen: Scenario, master: str, port: int, allowed_host: str) -> int:
    """Runs a worker for the master on host *master* until the run is over; returns 0, or 130 if interrupted.

    Locust writes to ``locust.log``. It tries to reach the master for five minutes, so workers may start first. Raises
    `UsageError` without a target, if the load is not allowed there, if the folder is not writable, or for an invalid or
    unknown host of the master; `TargetError` if the worker found no master, got no part, or did not finish its part.
    """
    try:
        ip_address(master)
    except ValueError:
        if not _HOST.fullmatch(master) or ".." in master:
            raise UsageError(f"--worker {master!r}: not a host; expected {_ADVICE}; use --port for its port") from None
    if not settings.target.url:
        raise UsageError("--worker: the embedded twin belongs to one process; name a target with --url or --target")
    check_allowed(settings.target.url, allowed_host)
    run_log = job.new_log(settings.report_dir or Path("reports") / f"worker-{job.new_run_id()}")
    output = run_log.with_name("locust.log")
    command = [*_locust(chosen.name), "--worker", "--master-host", master, "--master-port", str(port)]
    environment = job.child_environment(LoadHandover(settings, ""), os.environ)
    print(f"waiting for the master at {master}:{port}; log: {output}", file=sys.stderr, flush=True)  # noqa: T201
    with job.signals() as interrupted:
        ended = job.watched(command, environment, output, run_log, lambda _: None, interrupted, settings.max_seconds)
    if interrupted.by:
        return 130
    if ended:
        raise failure(output, ended, master, port)
    return 0


def failure(output: Path, ended: int, master: str, port: int) -> UsageError | TargetError:
    """Error that says why a worker did not do its part, from its output and its exit code *ended*."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    refusals = [line.removeprefix(REFUSAL) for line in lines if line.startswith(REFUSAL)]
    if refusals or JOINED in lines:
        return TargetError("; ".join(refusals) or f"Locust ended with {ended}; see {output}")
    try:
        socket.getaddrinfo(master, port)
    except (OSError, UnicodeError) as error:
        return UsageError(f"--worker {master}: unknown host ({error}); give {_ADVICE}")
    advice = f"start it with --master, and the same --port; see {output}"
    return TargetError(f"--worker {master}: no master at {master}:{port}; {advice}")
