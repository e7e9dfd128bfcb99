"""
Makes Locust's numbers true and its workers ours: exact buckets, one name an outcome, and who conducts whom.
"""

import contextlib
import os
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import gevent
import locust.stats
from gevent.os import tp_read
from locust import events
from locust.env import Environment
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner, WorkerRunner

from touchstone.adapters.bulk_link import fold
from touchstone.adapters.conductor import Conductor
from touchstone.adapters.member import Member
from touchstone.handover import LIFELINE_VARIABLE, ORPHANED
from touchstone.histogram import cell, middle_s
from touchstone.loadhandover import LoadHandover, received_load
from touchstone.sample import Window

# A worker tells Locust's master its statistics so often; the default of 3 s is too slow for whoever watches.
locust.runners.WORKER_REPORT_INTERVAL = 1.0

LOCAL = "local"
TO_MASTER = ("ts-join", "ts-pong", "ts-report")
TO_WORKER = ("ts-ping", "ts-go", "ts-after")

_MEMBERS: WeakKeyDictionary[Environment, Member] = WeakKeyDictionary()


def bucket_ms(response_time_ms: float) -> float:
    """
    The middle of the cell that a response time falls into; less than 0.05 % off. Locust's own cells are 10 % wide.
    """
    return middle_s(cell(response_time_ms / 1000)) * 1000


# It is annotated to give whole numbers, but its keys may be any.
locust.stats.bucket_response_time = bucket_ms  # type: ignore[assignment]  # see above


def member_of(environment: Environment) -> Member:
    """
    The worker that an environment is.
    """
    return _MEMBERS[environment]


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's events are not typed
def prepare(environment: Environment, runner: Any, **_: Any) -> None:
    """
    Gives each process of a run its part.
    """
    _hold_lifeline()
    handover = received_load(os.environ)
    if isinstance(runner, WorkerRunner):
        _prepare_worker(environment, runner, handover)
    elif isinstance(runner, MasterRunner):
        _prepare_master(environment, runner, handover)
    else:
        _prepare_local(environment, runner, handover)


def _prepare_local(environment: Environment, runner: LocalRunner, handover: LoadHandover) -> None:
    member = Member(handover, lambda kind, data: conductor.receive(LOCAL, kind, data), _folding(environment))
    conductor = Conductor(
        handover, lambda _client, kind, data: member.receive(kind, data), lambda: (LOCAL,), runner.quit
    )
    _MEMBERS[environment] = member
    _finish_with(environment, member)
    environment.events.quit.add_listener(lambda **_: conductor.close())  # type: ignore[no-untyped-call]  # as above


def _prepare_worker(environment: Environment, runner: WorkerRunner, handover: LoadHandover) -> None:
    member = Member(handover, runner.send_message, _folding(environment))
    _MEMBERS[environment] = member
    for kind in TO_WORKER:
        runner.register_message(kind, lambda msg, **_: member.receive(msg.type, msg.data))
    _finish_with(environment, member)


def _prepare_master(environment: Environment, runner: MasterRunner, handover: LoadHandover) -> None:
    def send(client: str, kind: str, data: dict[str, Any]) -> None:
        runner.send_message(kind, data, client)

    def present() -> Iterable[str]:
        return [client.id for client in runner.clients.all if client.state != STATE_MISSING]

    conductor = Conductor(handover, send, present, runner.quit)
    for kind in TO_MASTER:
        runner.register_message(kind, lambda msg, **_: conductor.receive(msg.node_id, msg.type, msg.data))
    environment.events.quit.add_listener(lambda **_: conductor.close())  # type: ignore[no-untyped-call]  # as above


def _finish_with(environment: Environment, member: Member) -> None:
    """
    Whatever ends the run, what was seen is told before the process is gone.
    """
    environment.events.test_stopping.add_listener(lambda **_: member.finish())  # type: ignore[no-untyped-call]  # as above


def _folding(environment: Environment) -> Any:
    """
    What gives Locust's statistics each window of samples. They are made anew in a worker: look them up late.
    """

    def into_stats(window: Window) -> None:
        fold(environment.stats, window)

    return into_stats


def _hold_lifeline() -> None:
    number = os.environ.get(LIFELINE_VARIABLE)
    if number:
        gevent.spawn(_wait_for_end, int(number))


def _wait_for_end(descriptor: int) -> None:
    """
    Ends this process as soon as its parent is gone. The read is in a thread of gevent's pool: all else goes on.
    """
    with contextlib.suppress(OSError):
        while tp_read(descriptor, 64):
            pass
    os._exit(ORPHANED)
