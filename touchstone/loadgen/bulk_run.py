"""
Has the side-car send a worker's single requests, and takes what it hands back: samples for the report, looks to judge.
"""

import contextlib
import resource
from typing import Any
from urllib.parse import urlsplit

import gevent
import numpy as np
from numpy.typing import NDArray

from touchstone.errors import TargetError
from touchstone.facts.events import Remark
from touchstone.facts.sample import NO_ANSWER
from touchstone.facts.wording import plural, was
from touchstone.loadgen.bulk_link import SideCar
from touchstone.loadgen.bulk_reports import Report
from touchstone.loadgen.bulk_wire import BulkShot, Look, Setup
from touchstone.loadgen.load_run import LoadRun, call
from touchstone.loadgen.prepared_request import Shot
from touchstone.loadgen.schedule import Schedule
from touchstone.loadgen.workloads import OPERATION_OF, SINGLE
from touchstone.target.body import taken_in

# How long the side-car may be busy getting ready, and how long what is under way is waited for when the run is stopped.
PREPARE_S = 20.0
GRACE_S = 0.3

# From so many requests a second on, arrivals may wait this long for each other: half the CPU, and as much lateness.
GATHER_FROM_PER_S, GATHER_S = 5_000.0, 0.0002

# Requests that a stall holds up each keep a connection; the rest of the descriptors is for everything else.
MAX_CONNECTIONS, SPARED_DESCRIPTORS = 8_192, 128


def most_connections() -> int:
    """How many connections a side-car may have: as many as it may open files, after raising that to what is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARED_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_CONNECTIONS, soft - SPARED_DESCRIPTORS))


class BulkRun:
    """The side-car of one worker, from its start to its last report.

    It is ready before anybody knows when the schedule begins: all its times count from there, and are moved here.

    Args:
        mine: The worker's part of the schedule.
    """

    def __init__(self, run: LoadRun, mine: Schedule) -> None:
        self._run = run
        self._car = SideCar(run.go.number)
        refs = run.go.stage.refs("ready")
        # One shot a ready version: reads go round them.
        self._shots: list[Shot] = [run.shots.shot(call("getBuild", ref)) for ref in refs]
        singles = np.isin(mine.actions, [n for n, name in enumerate(mine.names) if name in SINGLE])
        most = run.budget.most
        granted = singles if most is None else singles & (np.arange(len(singles)) < most)
        run.budget.spend(int(granted.sum()))
        self._due_s, self._beyond_s = mine.due_s[granted], mine.due_s[singles & ~granted]
        self._places = mine.numbers[granted] % len(refs)
        self._looks: dict[int, int] = {}
        self._judged: set[tuple[int, str]] = set()
        self._fresh: set[int] = set()
        self._unseen = 0

    def prepare(self) -> None:
        """Starts the side-car and hands over what it is to send.

        Raises:
            TargetError: it died, or does not get ready.
        """
        shots = [BulkShot(shot.operation, shot.method, shot.wire) for shot in self._shots]
        try:
            self._car.start(self._setup(shots))
            # Arrays do as well as lists, which a million numbers would take long to become.
            due_s: Any = self._due_s
            places: Any = self._places
            self._car.send_schedule(due_s, places)
            self._car.prepare(PREPARE_S)
        except BaseException:
            self._car.kill()
            raise

    def begin(self) -> None:
        """Has it send when the schedule begins."""
        self._run.spawn(self._drive)

    def _drive(self) -> None:
        run = self._run
        self._skip(self._beyond_s)
        try:
            self._car.go(run.go.origin + run.go.began_at)
            stopping = gevent.spawn(self._stop_with_the_run)
            for report in self._car.reports():
                self._take(report)
            stopping.kill(block=False)
        except TargetError as error:
            # Of what it was to send nobody knows more than it has told: that is the generator's fault.
            run.fail(str(error))
        finally:
            self._car.kill()

    def _skip(self, due_s: NDArray[np.float64]) -> None:
        for each_s in due_s.tolist():
            self._run.collector.skip(OPERATION_OF["read"], self._run.go.began_at + each_s, over_budget=True)

    def _setup(self, shots: list[BulkShot]) -> Setup:
        target = self._run.target
        base = urlsplit(self._run.url)
        tls = base.scheme == "https"
        return Setup(
            host=base.hostname or "",
            port=base.port or (443 if tls else 80),
            tls=tls,
            shots=tuple(shots),
            secrets=tuple(key.encode() for key in target.keys().values()),
            timeout_s=target.request_timeout_s,
            bounds=target.bounds,
            grace_s=target.request_timeout_s,
            max_connections=most_connections(),
            gather_s=GATHER_S if self._run.plan.single_per_s / self._run.go.workers >= GATHER_FROM_PER_S else 0.0,
        )

    def _stop_with_the_run(self) -> None:
        self._run.stopped.wait()
        self._car.stop(GRACE_S)

    def _take(self, report: Report) -> None:
        run = self._run
        for window in report.windows:
            # A whole number of seconds, so that a window stays one.
            window.at_s += int(run.go.began_at)
            window.done_at += run.go.began_at if window.done_at else 0.0
            run.collector.take(window)
        for look in report.looks:
            self._judge(look)
        for number, count in report.seen.items():
            # The first one of a look was counted when it was judged.
            rest = count - 1 if number in self._fresh else count
            run.appraiser.add(self._looks[number], rest)
        self._fresh.clear()
        for note in report.notes:
            run.collector.write(Remark(note))
        for (place, outcome), count in report.unseen.items():
            if (place, outcome) not in self._judged:
                answers = f"{plural(count, 'answer')} {outcome} to {self._shots[place].operation}"
                run.fail(f"{answers} {was(count)} judged by nothing")
            self._unseen += count
        run.count_elsewhere(report.cpu_s, report.rss_bytes)
        if report.final and self._unseen:
            many = f"{plural(self._unseen, 'answer')} of the bulk engine {was(self._unseen)}"
            run.collector.write(Remark(f"{many} judged by their status only"))

    def _judge(self, look: Look) -> None:
        run, shot = self._run, self._shots[look.shot]
        answer = taken_in(look.answer, run.target.bounds).moved(run.go.began_at)
        seq = run.next_seq()
        seen = run.appraiser.appraise_look(shot, answer, 1, seq, run.case)
        self._looks[look.number] = seen.look
        self._fresh.add(look.number)
        outcome = NO_ANSWER if answer.error or answer.head is None else str(answer.head.status)
        self._judged.add((look.shot, outcome))
        if seen.findings or run.keeps_read():
            run.keep(shot, answer, seq, seen)
