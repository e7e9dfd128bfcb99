"""Set-up and clean-up for `locust -f load/NAME.py`. A child of `touchstone load` uses nothing of this.

Each process that has users publishes versions of its own when a test starts. It removes them when the test stops.
"""

import itertools
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.lock import RLock
from locust import events
from locust.env import Environment
from locust.exception import RescheduleTask, StopUser
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from touchstone import config
from touchstone.check.handover import HANDOVER
from touchstone.check.job import new_run_id
from touchstone.errors import HarnessError, UsageError, checked
from touchstone.facts.events import Case, Remark
from touchstone.facts.key_sources import USUAL
from touchstone.facts.sample import NO_ANSWER
from touchstone.facts.wording import plural
from touchstone.loadgen.handover import Go, Part
from touchstone.loadgen.load_run import AFTERMATH, Arrival, Collector, LoadRun
from touchstone.loadgen.locust_listener import row_name
from touchstone.loadgen.metrics import kind_of
from touchstone.loadgen.plan import ACTIONS, AT_ONCE, Need, Options, Plan, Scenario, Stopped, plan, scenario
from touchstone.loadgen.runner import Launch, SettingUp, check_allowed, check_terms, is_loopback
from touchstone.target.call import Answer, OutgoingRequest
from touchstone.twin import DEFAULT_ACCOUNTS

IS_CHILD = HANDOVER in os.environ
MESSAGE = "touchstone-plain"  # Locust type of the message by which a worker reports its set-up
# Builds of a test by default, and seconds that each takes: long enough to be cancelled while it runs.
BUILDS, BUILD_S = 24, 2.0
_BELOW = 100_000
# A start that is refused, or of a version that is ready, counts as a build until a read shows that it began none.
# Where users build only versions of their own, the budget of builds has these to spare.
SPARE = 100

log = logging.getLogger("touchstone")


@dataclass
class State:
    """State of this process. *is_ready*: whether all users have what they need."""

    scenario: str = "steady"  # the last class of the locustfile that names one counts
    run: "PlainRun | None" = None
    is_ready: bool = False


state = State()


def add_options(parser: ArgumentParser) -> None:
    """Adds our options to those of Locust; they show on its web page, except the permission."""
    chosen = scenario(state.scenario)
    add: Any = parser.add_argument
    if not chosen.needs_second:
        builds = chosen.builds if chosen.arrivals == AT_ONCE else BUILDS
        add("--scenario-builds", type=int, default=builds, help="Builds that the users of a test may start.")
        build_s = max(chosen.build_s, BUILD_S)
        add("--scenario-build-s", type=float, default=build_s, help="Seconds that the steps of a build take.")
    if chosen.watchers:
        add("--scenario-watchers", type=int, default=chosen.watchers, help="Clients that follow the log of each build.")
    refs = "Versions to build instead of publishing some, such as default/demo@1.0.0,default/other@1.0.0."
    add("--scenario-templates", default="", help=refs)
    permit = "Permit a load on this host, which is not this machine."
    add("--allow-load", metavar="HOST", default="", help=permit, include_in_web_ui=False)


class PlainRun(LoadRun):
    """State of all users in a process; it reports each response as a request to Locust."""

    def __init__(self, environment: Environment, part: Part, settings: config.Settings) -> None:
        super().__init__(part, settings.target, lambda *_: None)
        self._environment = environment
        self.collector = _LoggedCollector(0)
        self.unbuilt = iter(range(len(self.go.stage.refs("own"))))
        self.arrived, self.refused = itertools.count(), itertools.count()

    def send(self, *arguments: Any, **more: Any) -> Answer:
        """Sends a request as a worker does, but stops the user if nothing more may be sent."""
        try:
            return super().send(*arguments, **more)
        except Stopped:
            raise StopUser from None

    def _guarded(self, act: Any, *arguments: Any) -> None:
        with suppress(StopUser):
            act(*arguments)

    def _judge(self, request: OutgoingRequest, answer: Answer, *, keep: bool) -> None:  # noqa: ARG002
        outcome = str(answer.status or NO_ANSWER)
        phase = AFTERMATH if request.call.note else ""
        text = self.requests.secrets.text(answer.error) or outcome
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]  # Locust's events are not typed
            request_type=request.method,
            name=row_name(request.operation, phase, outcome),
            response_time=(answer.done_at - answer.sent_at) * 1e3,
            response_length=len(answer.body),
            exception=ConnectionError(text) if kind_of(outcome) == "error" else None,
            context={},
        )


class _LoggedCollector(Collector):
    """Keeps nothing for a run log; what would keep a run from passing goes to Locust's log."""

    def sample(self, *_: Any, **__: Any) -> None:
        pass

    def write(self, event: Any) -> None:
        if isinstance(event, Case | Remark):
            log.warning(event.message if isinstance(event, Case) else event.text)


def arrive(*, builds: bool) -> Arrival:
    """A new arrival that is due now; raises `RescheduleTask` if it needs a version and none is left."""
    run = state.run
    assert run is not None
    if not builds:
        return Arrival(next(run.arrived), "", run.now(), -1)
    nth = next(run.unbuilt, None)
    if nth is None:
        if next(run.refused) == 0:
            log.warning("all versions were built: users no longer start builds; raise --scenario-builds for more")
        raise RescheduleTask
    return Arrival(nth, "", run.now(), nth)


class Standalone:
    """Set-up and clean-up of the tests in one process of plain Locust."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._lock = RLock()
        self._stage: SettingUp | None = None
        self._folder = Path()
        self._is_stopping = False
        self._reports = 0  # number of processes that are ready

    def set_up(self) -> None:
        """Publishes the versions of a test, and builds some of them; on failure, ends the test."""
        self._is_stopping, self._reports, self._environment.process_exit_code = False, 0, None
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            return
        with self._lock:
            failure: dict[str, Any] = {}
            try:
                state.run = self._published()
            except HarnessError as error:
                failure = {"reason": str(error), "code": error.exit_code}
            finally:
                if state.run is None:  # also if a stop from Locust's page kills this greenlet
                    self.clean_up()
        if isinstance(runner, WorkerRunner):
            runner.send_message(MESSAGE, failure)
        else:
            self.receive(failure)

    def _published(self) -> PlainRun:
        settings, terms = terms_of(self._environment)
        self._folder = Path(tempfile.mkdtemp(prefix="touchstone-"))
        stage = self._stage = SettingUp(settings, new_run_id(), self._folder / "runlog.jsonl")
        with suppress(Stopped):
            stage.smoke(self._is_stopped)
        published = stage.stage(terms.needs, self._is_stopped)
        log.info("published %s", plural(len(published.contents), "version"))
        builds, origin = stage.builds_left(settings.target.max_builds), stage.clock.origin
        go = Go(terms.options, published, origin, _processes(self._environment), stage.last_seq + 1, builds)
        return PlainRun(self._environment, Part(go, 0, b"", 0, 1, builds, 0, origin), settings)

    def _is_stopped(self) -> bool:
        return self._is_stopping

    def clean_up(self) -> None:
        """Stops the users of this process, cancels their builds and deletes the versions; twice does nothing."""
        self._is_stopping, state.is_ready = True, False
        runner = self._environment.runner
        if isinstance(runner, WorkerRunner):
            runner._send_stats()  # noqa: SLF001 - the master does not wait for the clean-up
        with self._lock:
            run, stage, state.run = state.run, self._stage, None
            if run is not None:
                run.stop()
            if stage is None:
                return
            with _interrupts(ignored=isinstance(runner, WorkerRunner)) as interrupted:
                is_clear = stage.clear(None, lambda: len(interrupted) > 1)
            stage.close()
            self._stage = None  # not earlier: Locust may kill this greenlet, and the next one goes on
        if interrupted and self._environment.web_ui:
            self._environment.web_ui.stop()  # type: ignore[no-untyped-call]  # else the interrupt has no effect
        if is_clear:
            log.info("nothing is left of the test on the target")
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            host = self._environment.host
            log.warning("versions or builds may be left: run `touchstone sweep --url %s`", host)

    def receive(self, failure: dict[str, Any]) -> None:
        """Handles the report of a process about its set-up: a failed one ends the test."""
        environment, self._reports = self._environment, self._reports + (not failure)
        assert isinstance(environment.runner, LocalRunner | MasterRunner)
        state.is_ready = self._reports >= environment.runner.worker_count
        if failure:
            log.error(failure["reason"])
            environment.process_exit_code = failure["code"]
            headless = environment.parsed_options and environment.parsed_options.headless
            gevent.spawn(environment.runner.quit if headless else environment.runner.stop)


def terms_of(environment: Environment) -> tuple[config.Settings, Plan]:
    """Settings and plan of a test; raises `UsageError` if an option is invalid, or the load is not permitted."""
    try:
        return _terms(environment)
    except UsageError as error:  # it has the names that the options have in `touchstone load`
        text = str(error).replace("--url:", "--host:")
        raise UsageError(re.sub(r"--(builds|build-s|watchers)\b", r"--scenario-\1", text)) from None


def _terms(environment: Environment) -> tuple[config.Settings, Plan]:
    given, host = environment.parsed_options, environment.host
    assert given is not None
    if not host:
        raise UsageError("--host: no target; expected the base URL of the API, such as http://127.0.0.1:8123/api")
    if urlsplit(host).hostname:
        check_allowed(host, given.allow_load)
    environ = dict(os.environ)
    if USUAL.primary not in environ and is_loopback(urlsplit(host).hostname or ""):
        keys = {account.name: account.key for account in DEFAULT_ACCOUNTS}
        environ |= {variable: keys[role] for role, variable in asdict(USUAL).items()}
    settings = config.load(config.Flags(url=host), environ, Path.cwd())
    target = settings.target
    if given.scenario_templates:
        refs = checked("--scenario-templates", given.scenario_templates.split(","), config.kind(config.Refs))
        target = replace(target, publish="never", templates=replace(target.templates, buildable=refs))
    terms = _plan(scenario(state.scenario), given, _processes(environment))
    spare = 0 if terms.options.scenario.name == "churn" else SPARE
    settings = replace(settings, target=replace(target, max_builds=terms.builds() + spare))
    check_terms(settings, terms, Launch(allowed_host=given.allow_load))
    return settings, terms


def _plan(chosen: Scenario, given: Any, processes: int) -> Plan:
    """Plan of one process. Without a schedule, any user may build any of the versions for single builds."""
    builds, build_s = getattr(given, "scenario_builds", 1), getattr(given, "scenario_build_s", BUILD_S)
    for flag, value in {"builds": builds, "build-s": build_s}.items():
        if not 0 < value < _BELOW:
            found = f"--scenario-{flag}: found {value:g}"
            raise UsageError(f"{found}; expected more than 0 and less than {_BELOW:,}")
    options = Options(
        scenario=chosen,
        arrivals=chosen.arrivals,
        duration_s=chosen.duration_s,
        mix=chosen.mix,
        seed=0,
        builds=-(-builds // processes),
        watchers=getattr(given, "scenario_watchers", 0),
        build_s=build_s,
        lines=chosen.lines,
    )
    mix = {action: weight for action, weight in chosen.mix.items() if ACTIONS[action].builds}
    if chosen.arrivals == AT_ONCE or not mix:
        return plan(replace(options, ready=chosen.ready))
    arrivals = f"constant:{options.builds}"
    made = plan(replace(options, arrivals=arrivals, duration_s=1.0, mix=mix, builds=chosen.builds))
    return replace(made, needs=(Need("ready", "ready"),) * chosen.ready + made.needs)


def _processes(environment: Environment) -> int:
    """Number of processes among which a test divides its builds; workers on other machines have builds of their own."""
    return max(1, getattr(environment.parsed_options, "processes", None) or 1)


@contextmanager
def _interrupts(*, ignored: bool) -> Iterator[list[int]]:
    """Collects interrupts; Locust's parent process interrupts its workers again, which must not stop their clean-up."""
    found: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _: None if ignored else found.append(number))
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, former)


def _interrupted(_number: int, _frame: object) -> None:
    """Interrupts the main greenlet; Python would interrupt the one that runs, and gevent print its traceback."""
    hub = gevent.get_hub()
    if gevent.getcurrent() is hub.parent:
        raise KeyboardInterrupt
    hub.loop.run_callback(hub.parent.throw, KeyboardInterrupt)


def prepare(environment: Environment, runner: Any, **_: Any) -> None:
    """Called by Locust in each process; ends it with code 2 if an option is invalid or the load is not permitted."""
    given = environment.parsed_options
    try:
        if given and (environment.host or (given.headless and not given.worker)):
            terms_of(environment)
    except HarnessError as error:
        if not (given and given.worker and given.processes):  # else its master prints the same
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code) from None
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each request of set-up and clean-up
    alone = Standalone(environment)
    gevent.signal_handler(signal.SIGTERM, runner.quit)  # Locust handles it too late while a shape runs
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    if isinstance(runner, WorkerRunner) and given:
        given.json_file = None  # Locust's workers would overwrite the file of their master
    if isinstance(runner, MasterRunner):
        runner.register_message(MESSAGE, lambda msg, **_: alone.receive(msg.data))

    def set_up(**_: Any) -> None:
        if isinstance(runner, WorkerRunner):
            gevent.spawn(alone.set_up)  # else the worker hears of the end of the test only after its set-up
        else:
            alone.set_up()

    environment.events.test_start.add_listener(set_up)  # type: ignore[no-untyped-call]
    environment.events.test_stop.add_listener(lambda **_: alone.clean_up())  # type: ignore[no-untyped-call]


if not IS_CHILD:
    events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
    events.init.add_listener(prepare)  # type: ignore[no-untyped-call]
