"""Makes Locust's numbers true and its workers ours: exact buckets, one name an outcome, and who conducts whom."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import gevent
import locust.log
import locust.stats
from locust import events
from locust.env import Environment
from locust.event import EventHook
from locust.runners import STATE_INIT, STATE_MISSING, MasterRunner, WorkerRunner

from touchstone.check.handover import UNWRITTEN, hold_lifeline
from touchstone.facts.sample import cell, middle_s
from touchstone.loadgen.bulk_link import fold
from touchstone.loadgen.handover import SAID, TOLD, LoadHandover, received_load
from touchstone.loadgen.master import Conductor
from touchstone.loadgen.worker import Member, Tell

# A worker tells Locust's master its statistics so often; the default of 3 s is too slow for whoever watches.
locust.runners.WORKER_REPORT_INTERVAL = 1.0

LOCAL = "local"
TO_MASTER = ("ts-join", "ts-pong", "ts-ready", "ts-unfit", "ts-started", "ts-report")
TO_WORKER = ("ts-ping", "ts-plan", "ts-go", "ts-started", "ts-after", "ts-stop", "ts-refused")

# What the process ends with; the parent tells a refusal from what else may go wrong by what was printed.
FAULTY, REFUSED, INTERRUPTED = 2, 3, 130

_MEMBERS: WeakKeyDictionary[Environment, Member] = WeakKeyDictionary()


def bucket_ms(response_time_ms: float) -> float:
    """
    The middle of the cell that a response time falls into; less than 0.05 % off. Locust's own cells are 10 % wide.
    """
    return middle_s(cell(response_time_ms / 1000)) * 1000


# It is annotated to give whole numbers, but its keys may be any.
locust.stats.bucket_response_time = bucket_ms  # type: ignore[assignment]  # see above


def member_of(environment: Environment) -> Member:
    """The worker that an environment is."""
    return _MEMBERS[environment]


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's events are not typed
def prepare(environment: Environment, runner: Any, **_: Any) -> None:
    """Gives each process of a run its part."""
    hold_lifeline(os.environ, under_gevent=True)
    handover = received_load(os.environ)
    _on(environment.events.quitting, lambda: _set_exit_code(environment))
    if isinstance(runner, WorkerRunner):
        _prepare_worker(environment, runner, handover)
    elif isinstance(runner, MasterRunner):
        _prepare_master(environment, runner, handover)
    else:
        _prepare_local(environment, handover)


def _prepare_local(environment: Environment, handover: LoadHandover) -> None:
    def tell(kind: str, data: dict[str, Any]) -> None:
        conductor.receive(LOCAL, kind, data)

    def send(_client: str, kind: str, data: dict[str, Any]) -> None:
        member.receive(kind, data)

    member = _member(environment, handover, tell, lambda _reason: None)
    conductor = Conductor(handover, send, lambda: (LOCAL,), lambda: _end(environment))
    _conduct(environment, conductor)
    gevent.spawn(member.announce)


def _prepare_worker(environment: Environment, runner: WorkerRunner, handover: LoadHandover) -> None:
    member = _member(environment, handover, runner.send_message, lambda reason: _leave(environment, reason))

    def receive(kind: str, data: dict[str, Any]) -> None:
        if kind == "ts-go":
            _say(member.begins())
        member.receive(kind, data)

    for kind in TO_WORKER:
        runner.register_message(kind, lambda msg, **_: receive(msg.type, msg.data))
    _say("it has joined its master")
    _on(environment.events.quitting, lambda: _say(member.did()))
    gevent.signal_handler(signal.SIGINT, _interrupt, environment, lambda: _end_part(environment, member))
    gevent.spawn(member.announce)


def _prepare_master(environment: Environment, runner: MasterRunner, handover: LoadHandover) -> None:
    def send(client: str, kind: str, data: dict[str, Any]) -> None:
        runner.send_message(kind, data, client)

    def present() -> Iterable[str]:
        return [client.id for client in runner.clients.all if client.state != STATE_MISSING]

    # Processes of this machine are started once; on other machines somebody may start one more.
    waits = not getattr(environment.parsed_options, "processes", None)
    conductor = Conductor(handover, send, present, lambda: _end(environment), waits=waits)
    for kind in TO_MASTER:
        runner.register_message(kind, lambda msg, **_: conductor.receive(msg.node_id, msg.type, msg.data))
    _conduct(environment, conductor)


def _conduct(environment: Environment, conductor: Conductor) -> None:
    # As an event of gevent's loop it cannot get lost, as a KeyboardInterrupt can that meets some greenlet of Locust.
    gevent.signal_handler(signal.SIGINT, _interrupt, environment, conductor.stop)
    _on(environment.events.quit, conductor.close)
    _on(environment.events.quitting, lambda: _tell_lost(environment, conductor))


def _member(environment: Environment, handover: LoadHandover, tell: Tell, leave: Callable[[str], None]) -> Member:
    """The worker that this process is. Whatever ends the run, what it saw is told before the process is gone."""
    (user,) = environment.user_classes
    scenario = str(getattr(user, "scenario", ""))
    # Locust makes its statistics anew in a worker: they are looked up late.
    member = Member(handover, scenario, tell, lambda window: fold(environment.stats, window), leave)
    _MEMBERS[environment] = member
    _on(environment.events.test_stopping, member.finish)
    return member


def _on(event: EventHook, act: Callable[[], None]) -> None:
    event.add_listener(lambda **_: act())  # type: ignore[no-untyped-call]  # Locust's events are not typed


# --- ending ----------------------------------------------------------------------------------------------------------


def _interrupt(environment: Environment, act: Callable[[], None]) -> None:
    environment.process_exit_code = INTERRUPTED
    act()


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


def _end_part(environment: Environment, member: Member) -> None:
    """Ends this worker alone."""
    assert environment.runner is not None
    member.finish()
    environment.runner.quit()


def _leave(environment: Environment, reason: str) -> None:
    """Ends this worker, which has no part in the run."""
    assert environment.runner is not None
    environment.process_exit_code = REFUSED
    sys.stderr.write(f"{TOLD}{reason}\n")
    sys.stderr.flush()
    environment.runner.quit()


def _say(text: str) -> None:
    """Says how a worker comes along to whoever started it, who reads what Locust prints."""
    if text:
        sys.stderr.write(f"{SAID}{text}\n")
        sys.stderr.flush()


def _tell_lost(environment: Environment, conductor: Conductor) -> None:
    """What was not written down any more is missing in the run log, whatever else happened."""
    if conductor.is_lost:
        environment.process_exit_code = UNWRITTEN


def _set_exit_code(environment: Environment) -> None:
    """Failed requests are for the report to judge; errors of users and greenlets are ours."""
    assert environment.runner is not None
    if environment.process_exit_code is None:
        is_faulty = environment.runner.exceptions or locust.log.unhandled_greenlet_exception
        environment.process_exit_code = FAULTY if is_faulty else 0
