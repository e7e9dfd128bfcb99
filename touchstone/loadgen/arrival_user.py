"""
The Locust user that all scenarios are made of: one to a worker, and a client in a greenlet of its own for each arrival.

Due times come from the schedule and are never moved: an arrival that is sent late is late, and its answer took as long
as whoever was due to be served had to wait for it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gevent
import numpy as np
from locust import User, task
from locust.exception import StopUser

from touchstone.facts.events import Remark
from touchstone.facts.exchange import Credential
from touchstone.loadgen.budget import share_of
from touchstone.loadgen.bulk_run import BulkRun
from touchstone.loadgen.flows import Flow
from touchstone.loadgen.load_run import LoadRun
from touchstone.loadgen.locust_listener import member_of
from touchstone.loadgen.plan import phase_of
from touchstone.loadgen.schedule import Schedule
from touchstone.loadgen.worker import Member
from touchstone.loadgen.workloads import MAY_BUILD, OPERATION_OF, SINGLE

# Connections for so many of the first arrivals are opened before the schedule begins: those that are due by then, and
# no more than that, since a burst of dialling is a load of its own.
AHEAD_S, MOST_AHEAD = 0.1, 200


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the schedule.

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
    """One worker's share of the arrivals. A scenario has a method ``do_ACTION`` for each of its actions."""

    abstract = True
    scenario: ClassVar[str] = ""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._member: Member = member_of(self.environment)
        self.run_: LoadRun

    @task
    def arrivals(self) -> None:
        """Has this worker's share sent, once: Locust would begin again after an error, and without end.

        It deals its users anew where a worker comes or goes, and kills this one when another is to have it. The share
        stays where it is.
        """
        if self._member.enter():
            gevent.spawn(self._work).join()
        raise StopUser

    def _work(self) -> None:
        try:
            self._arrivals()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and is no pass
            self._member.failed(error)

    def _arrivals(self) -> None:
        """Sends this worker's share, waits until all of it is over, and does what comes after."""
        self.run_ = run = self._member.prepare()
        mine = run.plan.schedule.share(run.go.number, run.go.workers)
        self._member.assigned = len(mine)
        due, bulk = self._due(mine), self._bulk(mine)
        skipped: frozenset[str] = SINGLE if bulk else frozenset()
        self._member.begin()
        # Beside the rest: a target that is slow to take them must not keep the first arrival.
        gevent.spawn(run.connections.open_ahead, self._at_once(mine, skipped))
        if bulk:
            bulk.begin()
        if run.go.options.model == "closed":
            self._closed(due)
        else:
            self._open(due, skipped)
        run.flows.join()
        if self._member.drained():
            run.spawn(self.after).join()
        self._member.finish()

    def after(self) -> None:
        """What one worker does when all arrivals of all workers are over."""

    # --- for the methods of scenarios --------------------------------------------------------------------------------

    def flow(self, arrival: Arrival, *, keep: bool, credential: Credential = "primary") -> Flow:
        """The client that an arrival is."""
        began_at = self.run_.go.began_at
        phase = phase_of(self.run_.go.options, arrival.due_at - began_at)
        return Flow(self.run_, arrival.number, arrival.due_at, keep=keep, credential=credential, phase=phase)

    def own(self, arrival: Arrival) -> str:
        """The version that is this arrival's own."""
        refs = self.run_.go.stage.refs("own")
        return refs[arrival.nth_build % len(refs)]

    # --- arrivals ----------------------------------------------------------------------------------------------------

    def _bulk(self, mine: Schedule) -> BulkRun | None:
        engine, _ = self.run_.plan.engine(self.run_.go.workers)
        if engine != "bulk" or not any(name in SINGLE for name in mine.names):
            return None
        bulk = BulkRun(self.run_, mine)
        bulk.prepare()
        return bulk

    def _at_once(self, mine: Schedule, skipped: frozenset[str]) -> int:
        """How many connections the flows need at the beginning."""
        if self.run_.go.options.model == "closed":
            return min(self._clients(), MOST_AHEAD)
        first = mine.actions[mine.due_s < AHEAD_S]
        others = [n for n, name in enumerate(mine.names) if name not in skipped]
        return min(int(np.isin(first, others).sum()), MOST_AHEAD)

    def _open(self, due: Iterator[Arrival], skipped: frozenset[str]) -> None:
        run = self.run_
        for arrival in due:
            if arrival.action in skipped:
                continue
            early_s = arrival.due_at - run.now()
            if early_s > 0 and not run.budget.is_over:
                gevent.sleep(early_s)
            if run.stopped.is_set():
                return
            if run.admit():
                run.spawn(self._one, arrival)
            else:
                run.collector.skip(OPERATION_OF[arrival.action], arrival.due_at, over_budget=run.budget.is_over)

    def _closed(self, due: Iterator[Arrival]) -> None:
        """Some clients, each of which begins with the next arrival as soon as it is done with the one before."""
        began_at = self.run_.go.began_at
        self.run_.rest(began_at - self.run_.now())
        until_at = began_at + self.run_.go.options.duration_s
        arrivals = self._again(due, until_at)
        for _ in range(self._clients()):
            self.run_.spawn(self._client, arrivals, until_at)

    def _clients(self) -> int:
        go = self.run_.go
        return share_of(go.options.users, go.number, go.workers) or 0

    def _client(self, arrivals: Iterator[Arrival], until_at: float) -> None:
        run = self.run_
        for arrival in arrivals:
            if run.now() >= until_at or run.stopped.is_set():
                return
            if not run.admit():
                run.collector.undone += 1
                return
            # Nothing says when it is due: it is as soon as there is somebody to send it.
            self._one(replace(arrival, due_at=run.now()))

    def _again(self, arrivals: Iterator[Arrival], until_at: float) -> Iterator[Arrival]:
        """The arrivals in order, and again those that begin no build. When only those are left, that is told."""
        first = list(arrivals)
        yield from first
        repeated = [arrival for arrival in first if arrival.action not in MAY_BUILD]
        if len(repeated) < len(first) and self.run_.now() < until_at and not self.run_.stopped.is_set():
            self._tell_begun(len(first) - len(repeated), sorted({arrival.action for arrival in repeated}))
        yield from itertools.cycle(repeated)

    def _tell_begun(self, builds: int, others: list[str]) -> None:
        run, rest = self.run_, " and ".join(others) or "none"
        run.collector.write(
            Remark(
                f"closed model: by second {run.now() - run.go.began_at:.1f} the clients of worker {run.go.number} had "
                f"taken up all {builds:,} arrivals of its plan that begin a build, and went on with {rest}"
            )
        )

    def _due(self, mine: Schedule) -> Iterator[Arrival]:
        """
        The arrivals in order. What takes long is done when this is called, and not when the first one is asked for.
        """
        builds, names = self.run_.plan.nth_build(), mine.names
        rows = zip(mine.numbers.tolist(), mine.actions.tolist(), mine.due_s.tolist(), strict=True)
        return (
            Arrival(number, names[action], self.run_.go.began_at + due_s, builds.get(number, -1))
            for number, action, due_s in rows
        )

    def _one(self, arrival: Arrival) -> None:
        """One client."""
        getattr(self, f"do_{arrival.action}")(arrival)
