"""Our own engines as the bench drives them: with as many connections as the others, and the parts of a flow in turn.

`load/steady.py` is what is measured wherever it will do; here is what it cannot.
"""

import dataclasses
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import numpy as np

from touchstone.loadgen.arrival_user import Arrival, ArrivalUser
from touchstone.loadgen.bulk_run import BulkRun
from touchstone.loadgen.bulk_wire import BulkShot, Setup
from touchstone.loadgen.flows import Flow
from touchstone.loadgen.load_run import LoadRun, call
from touchstone.loadgen.prepared_request import Shot
from touchstone.loadgen.schedule import Schedule

# Parts of a flow take turns this short, so that whatever else the machine does falls upon all of them.
TURN_S = 0.1


class _Narrow(BulkRun):
    """A side-car with fewer connections than it may have."""

    def _setup(self, shots: list[BulkShot]) -> Setup:
        return dataclasses.replace(super()._setup(shots), max_connections=int(os.environ["BENCH_CONNECTIONS"]))


class Reads(ArrivalUser):
    """Status reads alone, by the bulk engine, which has all of them to send from the beginning: as fast as it can."""

    scenario = "steady"

    def do_read(self, arrival: Arrival) -> None:
        """What the mix of `load/` does."""
        refs = self.run_.go.stage.refs("ready")
        self.flow(arrival, keep=self.run_.keeps_read()).send("getBuild", refs[arrival.number % len(refs)])

    def _bulk(self, mine: Schedule) -> BulkRun | None:
        if self.run_.go.options.engine != "bulk":
            return None
        bulk = _Narrow(self.run_, dataclasses.replace(mine, due_s=np.zeros(len(mine))))
        bulk.prepare()
        return bulk

    def _due(self, mine: Schedule) -> Iterator[Arrival]:
        return iter(()) if self.run_.go.options.engine == "bulk" else super()._due(mine)


class Parts(Reads):
    """Clients that do one part of a read more in each turn; afterwards, it is written down what each of them costs."""

    def _closed(self, due: Iterator[Arrival]) -> None:
        costs: dict[str, list[float]] = {}
        parts = self._parts()
        arrival = next(due)
        self.run_.rest(self.run_.go.began_at - self.run_.now())
        for turn in range(int(self.run_.go.options.duration_s / TURN_S)):
            name, work = parts[turn % len(parts)]
            cost = self._turn(work, arrival)
            # In the first turns, everything is done for the first time.
            if turn >= 2 * len(parts):
                costs.setdefault(name, []).append(cost)
        Path(os.environ["BENCH_PARTS"]).write_text(json.dumps(costs), encoding="utf-8")

    def _turn(self, work: Callable[[Arrival], Any], arrival: Arrival) -> float:
        """Microseconds of CPU time for each time that all clients did *work* until the turn was over."""
        done: Counter[int] = Counter()
        until, spent_s = time.monotonic() + TURN_S, time.process_time()

        def client(number: int) -> None:
            while time.monotonic() < until:
                work(arrival)
                done[number] += 1

        gevent.joinall([gevent.spawn(client, n) for n in range(self.run_.go.options.users)], raise_error=True)
        return 1e6 * (time.process_time() - spent_s) / done.total()

    def _parts(self) -> list[tuple[str, Callable[[Arrival], Any]]]:
        run = self.run_
        ref = run.go.stage.refs("ready")[0]
        shot = run.shots.shot(call("getBuild", ref))
        found: list[tuple[str, Callable[[Arrival], Any]]] = [
            ("the client alone", lambda _: run.connections.send(shot.method, shot.wire)),
            ("and statistics", lambda _: _timed(run, shot)),
            ("and the rules", lambda _: run.send(call("getBuild", ref), run.now(), paced=True, keep=False)),
            ("and the flow: all in", self.do_read),
        ]
        for what, url in (("all in, a new head each", "BENCH_HEADS_URL"), ("all in, with TLS", "BENCH_TLS_URL")):
            if os.environ[url]:
                found.append((what, _elsewhere(run, os.environ[url])))
        return found


def _timed(run: LoadRun, shot: Shot) -> None:
    answer = run.connections.send(shot.method, shot.wire)
    run._time(shot, answer, answer.sent_at, paced=True)


def _elsewhere(run: LoadRun, url: str) -> Callable[[Arrival], Any]:
    """The same read from another address."""
    there, ref = LoadRun(run.go, run.settings, url), run.go.stage.refs("ready")[0]

    def read(arrival: Arrival) -> None:
        Flow(there, arrival.number, arrival.due_at, keep=there.keeps_read()).send("getBuild", ref)

    return read
