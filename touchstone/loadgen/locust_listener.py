"""Ties a run to Locust: who is master and who works, statistics with one row an outcome, and exit codes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import gevent
import locust.log
from locust import events
from locust.env import Environment
from locust.event import EventHook
from locust.runners import STATE_INIT, STATE_MISSING, MasterRunner, WorkerRunner
from locust.stats import RequestStats, StatsEntry

from touchstone.check.handover import UNWRITTEN, hold_lifeline
from touchstone.facts.sample import Window, middle_s
from touchstone.loadgen.handover import JOINED, REFUSAL, LoadHandover
from touchstone.loadgen.load_run import LoadWorker
from touchstone.loadgen.master import Master
from touchstone.loadgen.metrics import kind_of

# The type of all our messages; the only worker of a process that is its own master.
MESSAGE, LOCAL = "touchstone", "local"

# Exit codes.
FAULTY, REFUSED, INTERRUPTED = 2, 3, 130

_WORKERS: WeakKeyDictionary[Environment, LoadWorker] = WeakKeyDictionary()


def worker_of(environment: Environment) -> LoadWorker:
    """The worker that an environment is."""
    return _WORKERS[environment]


def fold(stats: RequestStats, window: Window) -> None:
    """Adds a window to Locust's statistics; arrivals that were not sent are failures without a request."""
    name, kind, response = f"{window.operation} {window.outcome}", kind_of(window.outcome), window.response
    if kind != "unsent" and window.count:
        now = time.time()
        # It takes whole milliseconds by its annotations only.
        entry: Any = StatsEntry(stats, name, "")
        entry.num_requests = window.count
        entry.total_response_time = response.sum_s * 1e3
        entry.min_response_time = response.min_s * 1e3
        entry.max_response_time = response.max_s * 1e3
        entry.response_times = {middle_s(edge) * 1e3: count for edge, count in response.cells.items()}
        entry.total_content_length = window.body_bytes
        entry.num_reqs_per_sec = {int(now): window.count}
        entry.last_request_timestamp = now
        stats.entries[name, ""].extend(entry)
        stats.total.extend(entry)
    for _ in range(window.count if kind in ("error", "unsent") else 0):
        stats.log_error("", name, window.outcome)


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's events are not typed
def prepare(environment: Environment, runner: Any, **_: Any) -> None:
    """Gives each process of a run its part."""
    hold_lifeline(os.environ, under_gevent=True)
    handover = LoadHandover.received()
    _on(environment.events.quitting, lambda: _set_exit_code(environment))
    if isinstance(runner, WorkerRunner):
        worker = _worker(environment, handover, lambda data: runner.send_message(MESSAGE, data))
        runner.register_message(MESSAGE, lambda msg, **_: worker.receive(msg.data))
        print(JOINED, file=sys.stderr, flush=True)  # noqa: T201 - whoever started it reads what Locust prints

        def end() -> None:
            worker.finish()
            runner.quit()

        _on_interrupt(environment, end)
        return
    if isinstance(runner, MasterRunner):
        master = Master(
            handover,
            lambda client, data: runner.send_message(MESSAGE, data, client),
            lambda: [client.id for client in runner.clients.all if client.state != STATE_MISSING],
            lambda: _end(environment),
            # Processes of this machine are started once; on other machines somebody may start one more.
            waits=not getattr(environment.parsed_options, "processes", None),
        )
        runner.register_message(MESSAGE, lambda msg, **_: master.receive(msg.node_id, msg.data))
    else:
        worker = _worker(environment, handover, lambda data: master.receive(LOCAL, data))
        master = Master(
            handover, lambda _client, data: worker.receive(data), lambda: (LOCAL,), lambda: _end(environment)
        )
    _on_interrupt(environment, master.stop)
    _on(environment.events.quit, master.log.close)

    def report_lost() -> None:
        if master.log.lost:
            environment.process_exit_code = UNWRITTEN

    _on(environment.events.quitting, report_lost)


def _worker(environment: Environment, handover: LoadHandover, send: Callable[[dict[str, Any]], None]) -> LoadWorker:
    """The worker that this process is. Whatever ends the run, it reports all before the process is gone."""
    (user,) = environment.user_classes
    scenario = str(getattr(user, "scenario", ""))

    def count(window: Window) -> None:  # Locust makes its statistics anew in a worker
        fold(environment.stats, window)

    worker = LoadWorker(handover, scenario, send, count, lambda reason: _leave(environment, reason))
    _WORKERS[environment] = worker
    _on(environment.events.test_stopping, worker.finish)
    gevent.spawn(worker.join)
    return worker


def _on(event: EventHook, act: Callable[[], None]) -> None:
    event.add_listener(lambda **_: act())  # type: ignore[no-untyped-call]  # Locust's events are not typed


def _on_interrupt(environment: Environment, act: Callable[[], None]) -> None:
    def interrupt() -> None:
        environment.process_exit_code = INTERRUPTED
        act()

    # As an event of gevent's loop it cannot get lost, as a KeyboardInterrupt can that meets some greenlet of Locust.
    gevent.signal_handler(signal.SIGINT, interrupt)


def _end(environment: Environment) -> None:
    """Ends this process, and with it all workers. Locust's own page would have it go on."""
    runner = environment.runner
    assert runner is not None
    waits = isinstance(runner, MasterRunner) and runner.state == STATE_INIT
    runner.quit()
    if environment.web_ui:
        environment.web_ui.stop()  # type: ignore[no-untyped-call]  # Locust's page is not typed
    if waits:
        # Locust waits for workers in its main greenlet, and nothing but an exception ends that.
        gevent.kill(gevent.get_hub().parent, SystemExit(environment.process_exit_code or 0))


def _leave(environment: Environment, reason: str) -> None:
    """Ends this worker, which has no part in the run. A process alone is ended by its master."""
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = REFUSED
        print(f"{REFUSAL}{reason}", file=sys.stderr, flush=True)  # noqa: T201 - whoever started it reads it
        environment.runner.quit()


def _set_exit_code(environment: Environment) -> None:
    """Failed requests are for the report to judge; errors of users and greenlets are ours."""
    assert environment.runner is not None
    if environment.process_exit_code is None:
        is_faulty = environment.runner.exceptions or locust.log.unhandled_greenlet_exception
        environment.process_exit_code = FAULTY if is_faulty else 0
