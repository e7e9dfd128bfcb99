"""Connection to Locust, where `touchstone load` started it: masters and workers, Locust's statistics, exit codes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import locust.log
from locust import events
from locust.env import Environment
from locust.event import EventHook
from locust.runners import STATE_INIT, STATE_MISSING, MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC, RequestStats, StatsEntry

from touchstone.check.handover import HANDOVER, UNWRITTEN, hold_lifeline
from touchstone.facts.sample import Window, middle_s
from touchstone.loadgen.arrival_user import ArrivalUser
from touchstone.loadgen.handover import JOINED, REFUSAL, LoadHandover
from touchstone.loadgen.load_run import LoadWorker
from touchstone.loadgen.master import Master
from touchstone.loadgen.metrics import kind_of

# Locust type of all messages between master and workers; id of a worker that shares its process with the master.
MESSAGE, LOCAL = "touchstone", "local"
FAULTY, REFUSED, INTERRUPTED = 2, 3, 130  # exit codes


def fold(stats: RequestStats, window: Window, phase: str) -> None:
    """Adds a window to Locust's statistics, by operation, phase and outcome. Unsent arrivals only count as failures."""
    name, kind = row_name(window.operation, phase, window.outcome), kind_of(window.outcome)
    response = window.response
    if kind != "unsent" and window.count:
        now = time.time()
        # `Any`: Locust's type hints demand whole milliseconds, but its code accepts fractions.
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


def row_name(operation: str, phase: str, outcome: str) -> str:
    """Name of a row in Locust's statistics, such as ``startBuild 429`` or ``startBuild aftermath 429``."""
    return " ".join(filter(None, (operation, phase, outcome)))


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's events are not typed
def prepare(environment: Environment, runner: Any, **_: Any) -> None:
    """Called by Locust in each process: makes it a master, a worker, or both."""
    if HANDOVER not in os.environ:
        return
    hold_lifeline(os.environ, under_gevent=True)
    ArrivalUser.clients = {name: user for user in environment.user_classes for name in dir(user)}
    scenario = next((name for user in environment.user_classes if (name := getattr(user, "scenario", ""))), "")
    environment.user_classes = [ArrivalUser]
    handover = LoadHandover.received()
    _on(environment.events.quitting, lambda: _set_exit_code(environment))
    if isinstance(runner, WorkerRunner):
        worker = _worker(environment, scenario, handover, lambda data: runner.send_message(MESSAGE, data))
        runner.register_message(MESSAGE, lambda msg, **_: worker.receive(msg.data))
        print(JOINED, file=sys.stderr, flush=True)  # noqa: T201 - the parent process reads it

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
            # A lost local worker is not started again; a lost remote worker may be replaced.
            waits=not getattr(environment.parsed_options, "processes", None),
        )
        runner.register_message(MESSAGE, lambda msg, **_: master.receive(msg.node_id, msg.data))
    else:
        worker = _worker(environment, scenario, handover, lambda data: master.receive(LOCAL, data))
        master = Master(
            handover, lambda _client, data: worker.receive(data), lambda: (LOCAL,), lambda: _end(environment)
        )
    _on_interrupt(environment, master.stop)
    _on(environment.events.quit, master.log.close)

    def report_lost() -> None:
        if master.log.lost:
            environment.process_exit_code = UNWRITTEN

    _on(environment.events.quitting, report_lost)


def _worker(
    environment: Environment, scenario: str, handover: LoadHandover, send: Callable[[dict[str, Any]], None]
) -> LoadWorker:
    """Creates the worker of this process; it reports everything before the process ends."""

    def count(window: Window) -> None:  # reads `stats` each time, since Locust replaces it in a worker
        fold(environment.stats, window, worker.phase)

    worker = LoadWorker(handover, scenario, send, count, lambda reason: _leave(environment, reason))
    ArrivalUser.worker = worker
    _on(environment.events.test_stopping, worker.finish)
    gevent.spawn(worker.join)
    return worker


def _on(event: EventHook, act: Callable[[], None]) -> None:
    event.add_listener(lambda **_: act())  # type: ignore[no-untyped-call]  # Locust's events are not typed


def _on_interrupt(environment: Environment, act: Callable[[], None]) -> None:
    def interrupt() -> None:
        environment.process_exit_code = INTERRUPTED
        act()

    # A KeyboardInterrupt in one of Locust's greenlets may get lost, so gevent's loop handles the signal.
    gevent.signal_handler(signal.SIGINT, interrupt)


def _end(environment: Environment) -> None:
    """Ends this process and all workers, and the web page, which would keep Locust running."""
    runner = environment.runner
    assert runner is not None
    waits = isinstance(runner, MasterRunner) and runner.state == STATE_INIT
    if getattr(environment.parsed_options, "csv_prefix", None):
        gevent.sleep(2 * CSV_STATS_INTERVAL_SEC)  # Locust writes its files once in this time, and not at the end
    runner.quit()
    if environment.web_ui:
        environment.web_ui.stop()  # type: ignore[no-untyped-call]  # Locust's page is not typed
    if waits:
        # Locust waits for workers in its main greenlet, and only an exception ends that wait.
        gevent.kill(gevent.get_hub().parent, SystemExit(environment.process_exit_code or 0))


def _leave(environment: Environment, reason: str) -> None:
    """Ends a worker process that has no part in the run. If it is also the master, the master ends it."""
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = REFUSED
        print(f"{REFUSAL}{reason}", file=sys.stderr, flush=True)  # noqa: T201 - the parent process reads it
        environment.runner.quit()


def _set_exit_code(environment: Environment) -> None:
    """Sets exit code 2 after an exception in a Locust user or greenlet, else 0. Failed requests do not change it."""
    assert environment.runner is not None
    if environment.process_exit_code is None:
        is_faulty = environment.runner.exceptions or locust.log.unhandled_greenlet_exception
        environment.process_exit_code = FAULTY if is_faulty else 0
