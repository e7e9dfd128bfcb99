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
from locust import User, task
from locust.exception import StopUser

from touchstone.facts.events import Remark
from touchstone.facts.exchange import Credential
from touchstone.loadgen.flows import Flow
from touchstone.loadgen.handover import share_of
from touchstone.loadgen.load_run import LoadRun
from touchstone.loadgen.locust_listener import worker_of
from touchstone.loadgen.plan import phase_of
from touchstone.loadgen.worker import LoadWorker
from touchstone.loadgen.workloads import MAY_BUILD, OPERATION_OF


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the schedule.

    Attributes:
        number: Which one of the whole run, from 0.
        action: What its client does; see `touchstone.loadgen.workloads.Action`.
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
        self._worker: LoadWorker = worker_of(self.environment)
        self.run_: LoadRun

    @task
    def arrivals(self) -> None:
        """Has this worker's share sent, once: Locust would begin again after an error, and without end.

        It deals its users anew where a worker comes or goes, and kills this one when another is to have it. The share
        stays where it is.
        """
        if self._worker.enter():
            gevent.spawn(self._work).join()
        raise StopUser

    def _work(self) -> None:
        try:
            self._arrivals()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and is no pass
            self._worker.failed(error)

    def _arrivals(self) -> None:
        """Sends this worker's share, waits until all of it is over, and does what comes after."""
        self.run_ = run = self._worker.prepare()
        rows = self._rows()
        self._worker.begin()
        began_at = run.go.began_at
        due = (Arrival(number, action, began_at + due_s, nth) for number, action, due_s, nth in rows)
        if run.go.options.model == "closed":
            self._closed(due)
        else:
            self._open(due)
        run.flows.join()
        if self._worker.drained():
            run.spawn(self.after).join()
        self._worker.finish()

    def after(self) -> None:
        """What one worker does when all arrivals of all workers are over."""

    # --- for the methods of scenarios --------------------------------------------------------------------------------

    def flow(self, arrival: Arrival, *, keep: bool, credential: Credential = "primary") -> Flow:
        """The client that an arrival is."""
        phase = phase_of(self.run_.go.options, arrival.due_at - self.run_.go.began_at)
        return Flow(self.run_, arrival.number, arrival.due_at, keep=keep, credential=credential, phase=phase)

    def own(self, arrival: Arrival) -> str:
        """The version that is this arrival's own."""
        refs = self.run_.go.stage.refs("own")
        return refs[arrival.nth_build % len(refs)]

    # --- arrivals ----------------------------------------------------------------------------------------------------

    def _open(self, due: Iterator[Arrival]) -> None:
        run = self.run_
        for arrival in due:
            early_s = arrival.due_at - run.now()
            if early_s > 0 and not run.is_over_budget:
                gevent.sleep(early_s)
            if run.stopped.is_set():
                return
            if run.admit():
                run.spawn(self._one, arrival)
            else:
                run.collector.skip(OPERATION_OF[arrival.action], arrival.due_at, over_budget=run.is_over_budget)

    def _closed(self, due: Iterator[Arrival]) -> None:
        """Some clients, each of which begins with the next arrival as soon as it is done with the one before."""
        run = self.run_
        began_at, options = run.go.began_at, run.go.options
        run.rest(began_at - run.now())
        until_at = began_at + options.duration_s
        arrivals = self._again(due, until_at)
        for _ in range(share_of(options.users, run.part.number, run.go.workers) or 0):
            run.spawn(self._client, arrivals, until_at)

    def _client(self, arrivals: Iterator[Arrival], until_at: float) -> None:
        run = self.run_
        for arrival in arrivals:
            if run.now() >= until_at or run.stopped.is_set():
                return
            if not run.admit():
                run.collector.undone += 1
                return
            # No schedule says when it is due: it is as soon as there is somebody to send it.
            self._one(replace(arrival, due_at=run.now()))

    def _again(self, arrivals: Iterator[Arrival], until_at: float) -> Iterator[Arrival]:
        """The arrivals in order, and again those that begin no build; a warning where only those are left."""
        run, first = self.run_, list(arrivals)
        yield from first
        repeated = [arrival for arrival in first if arrival.action not in MAY_BUILD]
        if len(repeated) < len(first) and run.now() < until_at and not run.stopped.is_set():
            rest = " and ".join(sorted({arrival.action for arrival in repeated})) or "none"
            note = (
                f"closed model: by second {run.now() - run.go.began_at:.1f} the clients of worker {run.part.number} "
                f"had taken up all {len(first) - len(repeated):,} arrivals of its plan that begin a build, and went on "
                f"with {rest}"
            )
            run.collector.write(Remark(note))
        yield from itertools.cycle(repeated)

    def _rows(self) -> Iterator[tuple[int, str, float, int]]:
        """
        Number, action, second of the schedule and build of each arrival. What takes long is done before the first one.
        """
        mine, builds = self.run_.part.schedule, self.run_.part.nth_build
        rows = zip(mine.numbers.tolist(), mine.actions.tolist(), mine.due_s.tolist(), strict=True)
        return ((number, mine.names[action], due_s, builds.get(number, -1)) for number, action, due_s in rows)

    def _one(self, arrival: Arrival) -> None:
        """One client."""
        getattr(self, f"do_{arrival.action}")(arrival)
