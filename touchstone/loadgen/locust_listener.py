"""Connection to Locust, where `touchstone load` started it: the user, workers, statistics, and exit codes."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

import gevent
import locust.log
from locust import User, events, task
from locust.env import Environment
from locust.event import EventHook
from locust.exception import StopUser
from locust.runners import STATE_INIT, STATE_MISSING, MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC, RequestStats, StatsEntry

from touchstone.check.handover import HANDOVER, UNWRITTEN, hold_lifeline
from touchstone.facts.events import Remark
from touchstone.facts.sample import Window, middle_s
from touchstone.loadgen.handover import JOINED, REFUSAL, LoadHandover, share_of
from touchstone.loadgen.load_run import Arrival, LoadRun, LoadWorker
from touchstone.loadgen.master import Master
from touchstone.loadgen.metrics import kind_of
from touchstone.loadgen.plan import ACTIONS

# Locust type of all messages between master and workers; id of a worker that shares its process with the master.
MESSAGE, LOCAL = "touchstone", "local"
FAULTY, REFUSED, INTERRUPTED = 2, 3, 130  # exit codes


class ArrivalUser(User):
    """The only Locust user of a worker: for each arrival, it creates a client of the scenario, and calls do_ACTION."""

    worker: ClassVar[LoadWorker]
    clients: ClassVar[Mapping[str, type[Any]]]  # class of the client by method, such as ``do_start``

    run_: LoadRun

    @task
    def arrivals(self) -> None:
        """Task for Locust: sends this worker's arrivals, and goes on if Locust stops this user to move it."""
        gevent.spawn(self.worker.work, self.send_all, self.after).join()
        raise StopUser

    def send_all(self, run: LoadRun) -> None:
        """Sends this worker's share of the arrivals."""
        self.run_ = run
        names = tuple(ACTIONS)
        due = (Arrival(number, names[action], run.began_at + due_s, nth) for number, action, due_s, nth in run.rows)
        if run.go.options.model == "closed":
            self._send_in_turn(due)
            return
        for arrival in due:
            early_s = arrival.due_at - run.now()
            if early_s > 0 and not run.is_over_budget:
                gevent.sleep(early_s)
            if run.stopped.is_set():
                return
            if run.admit():
                run.spawn(self._do, arrival)
            else:
                run.collector.skip(ACTIONS[arrival.action].operation, arrival.due_at, over_budget=run.is_over_budget)

    def after(self) -> None:
        """Runs the closing steps of a scenario that has some, in one worker after all arrivals of all workers."""
        if "do_after" in self.clients:
            self._do(Arrival(self.run_.part.arrivals, "after", self.run_.now(), -1))

    def _send_in_turn(self, due: Iterator[Arrival]) -> None:
        """Closed model: runs clients, each of which takes the next arrival as soon as its previous one is done."""
        run = self.run_
        began_at, options = run.began_at, run.go.options
        run.rest(began_at - run.now())
        until_at = began_at + options.duration_s
        arrivals = self._again(due, until_at)
        for _ in range(share_of(options.users, run.part.number, run.go.workers)):
            run.spawn(self._client, arrivals, until_at)

    def _client(self, arrivals: Iterator[Arrival], until_at: float) -> None:
        run = self.run_
        for arrival in arrivals:
            if run.now() >= until_at or run.stopped.is_set():
                return
            if not run.admit():
                run.collector.undone += 1
                return
            self._do(replace(arrival, due_at=run.now()))

    def _again(self, arrivals: Iterator[Arrival], until_at: float) -> Iterator[Arrival]:
        """Yields all arrivals once, then repeats those that begin no build. The run log says when this begins."""
        run, first = self.run_, list(arrivals)
        yield from first
        repeated = [arrival for arrival in first if not ACTIONS[arrival.action].builds]
        if len(repeated) < len(first) and run.now() < until_at and not run.stopped.is_set():
            spent = f"all {len(first) - len(repeated):,} arrivals of worker {run.part.number} that begin a build"
            at_s = f"by second {run.now() - run.began_at:.1f}"
            run.collector.write(Remark(f"closed model: {spent} were used up {at_s}; only the others repeat"))
        yield from itertools.cycle(repeated)

    def _do(self, arrival: Arrival) -> None:
        name = f"do_{arrival.action}"
        with suppress(StopUser):
            getattr(self.clients[name](self.environment, self.run_, arrival), name)()


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
        master = Master(handover, lambda _, data: worker.receive(data), lambda: (LOCAL,), lambda: _end(environment))
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
