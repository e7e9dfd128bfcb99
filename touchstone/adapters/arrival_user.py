"""
The Locust user that all scenarios are made of: one to a worker, and a client in a greenlet of its own for each arrival.

Due times come from the schedule and are never moved: an arrival that is sent late is late, and its answer took as long
as whoever was due to be served had to wait for it.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User, task
from locust.exception import StopUser

from touchstone.adapters.bulk_run import BulkRun
from touchstone.adapters.flows import Flow
from touchstone.adapters.loadrun import LoadRun
from touchstone.adapters.locust_listener import member_of
from touchstone.adapters.member import Member
from touchstone.exchange import Credential
from touchstone.loadplan import phase_of
from touchstone.schedule import Schedule
from touchstone.workloads import OPERATION_OF, SINGLE


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    One arrival of the schedule.

    Attributes:
        number: Which one of the whole run, from 0.
        due_at: When it is due, in run seconds.
        nth_build: Which of the arrivals that begin a build of their own it is; -1 for any other.
    """

    number: int
    action: str
    due_at: float
    nth_build: int


class ArrivalUser(User):
    """
    One worker's share of the arrivals. A scenario has a method ``do_ACTION`` for each of its actions.
    """

    abstract = True
    scenario: ClassVar[str] = ""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._member: Member = member_of(self.environment)
        self._flows = Group()
        self.run_: LoadRun

    @task
    def arrivals(self) -> None:
        """
        Sends this worker's share once. Locust would begin again after an error, and without end.
        """
        try:
            self._arrivals()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and is no pass
            self._member.failed(error)
            self._member.finish()
        raise StopUser

    def _arrivals(self) -> None:
        """
        Sends this worker's share, waits until all of it is over, and does what comes after.
        """
        self._member.join()
        self.run_ = self._member.begin()
        go = self.run_.go
        mine = self.run_.plan.schedule.share(go.number, go.workers)
        self._member.assigned = len(mine)
        bulk = self._bulk(mine)
        if go.options.model == "closed":
            self._closed(mine)
        else:
            self._open(mine, bulk is not None)
        self._flows.join()
        if bulk:
            bulk.join()
        if self._member.drained():
            self.after()
        self._member.finish()

    def on_stop(self) -> None:
        """
        Ends everything that is under way.
        """
        self._flows.kill(block=False)

    def after(self) -> None:
        """
        What one worker does when all arrivals of all workers are over.
        """

    # --- for the methods of scenarios --------------------------------------------------------------------------------

    def flow(self, arrival: Arrival, *, keep: bool, credential: Credential = "primary") -> Flow:
        """
        The client that an arrival is.
        """
        began_at = self.run_.go.began_at
        phase = phase_of(self.run_.go.options, arrival.due_at - began_at)
        return Flow(self.run_, arrival.number, arrival.due_at, keep=keep, credential=credential, phase=phase)

    def own(self, arrival: Arrival) -> str:
        """
        The version that is this arrival's own.
        """
        refs = self.run_.go.stage.refs("own")
        return refs[arrival.nth_build % len(refs)]

    # --- arrivals ----------------------------------------------------------------------------------------------------

    def _bulk(self, mine: Schedule) -> BulkRun | None:
        engine, _ = self.run_.plan.engine(self.run_.go.workers)
        if engine != "bulk" or not any(name in SINGLE for name in mine.names):
            return None
        return BulkRun(self.run_, mine)

    def _open(self, mine: Schedule, bulk: bool) -> None:
        now = self.run_.now
        skipped: frozenset[str] = SINGLE if bulk else frozenset()
        for arrival in self._due(mine):
            if arrival.action in skipped:
                continue
            early_s = arrival.due_at - now()
            if early_s > 0:
                gevent.sleep(early_s)
            if self.run_.stopped.is_set():
                return
            if self.run_.may_send():
                self._flows.start(gevent.Greenlet(self._one, arrival))
            else:
                self.run_.collector.skip(OPERATION_OF[arrival.action], arrival.due_at)

    def _closed(self, mine: Schedule) -> None:
        """
        Some clients, each of which begins with the next arrival as soon as it is done with the one before.
        """
        options = self.run_.go.options
        until_at = self.run_.go.began_at + options.duration_s
        self.run_.rest(self.run_.go.began_at - self.run_.now())
        arrivals = self._again(mine)
        clients = -(-options.users // self.run_.go.workers)
        for _ in range(clients):
            self._flows.start(gevent.Greenlet(self._client, arrivals, until_at))

    def _client(self, arrivals: Iterator[Arrival], until_at: float) -> None:
        for arrival in arrivals:
            if self.run_.now() >= until_at or self.run_.stopped.is_set() or not self.run_.may_send():
                return
            self._one(arrival)

    def _again(self, mine: Schedule) -> Iterator[Arrival]:
        """
        The arrivals in order, and again those that need no build of their own.
        """
        first = list(self._due(mine))
        yield from first
        repeated = [arrival for arrival in first if arrival.nth_build < 0]
        yield from itertools.cycle(repeated)

    def _due(self, mine: Schedule) -> Iterator[Arrival]:
        builds, began_at = self.run_.plan.nth_build(), self.run_.go.began_at
        for number, action, due_s in zip(
            mine.numbers.tolist(), mine.actions.tolist(), mine.due_s.tolist(), strict=True
        ):
            yield Arrival(number, mine.names[action], began_at + due_s, builds.get(number, -1))

    def _one(self, arrival: Arrival) -> None:
        """
        One client. An error of ours in it ends this client, and is told.
        """
        act: Callable[[Arrival], None] = getattr(self, f"do_{arrival.action}")
        try:
            act(arrival)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and the run is no pass
            self._member.failed(error)
