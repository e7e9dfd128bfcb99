"""
Has the side-car send a worker's single requests, and takes what it hands back: samples for the report, looks to judge.
"""

from typing import Any
from urllib.parse import urlsplit

import gevent

from touchstone.adapters.bulk_link import SideCar
from touchstone.adapters.loadrun import LoadRun, call
from touchstone.bulk_reports import Report
from touchstone.bulk_wire import BulkShot, Look, Setup
from touchstone.errors import TargetError
from touchstone.sample import NO_ANSWER
from touchstone.schedule import Schedule
from touchstone.shots import Shot
from touchstone.workloads import OPERATION_OF, SINGLE

# How long the side-car may be busy getting ready, and how long what is under way is waited for when the run is stopped.
PREPARE_S = 20.0
GRACE_S = 0.5


class BulkRun:
    """
    The side-car of one worker, from its start to its last report.
    """

    def __init__(self, run: LoadRun, mine: Schedule) -> None:
        self._run = run
        self._car = SideCar(run.go.number)
        self._shots: list[Shot] = []
        self._looks: dict[int, int] = {}
        self._judged: set[tuple[int, str]] = set()
        self._fresh: set[int] = set()
        self._unseen = 0
        self._greenlet = gevent.spawn(self._drive, mine)

    def join(self) -> None:
        """
        Waits until all of it has been sent and told.
        """
        self._greenlet.join()

    def _drive(self, mine: Schedule) -> None:
        run = self._run
        refs = run.go.stage.refs("ready")
        # One shot a ready version: reads go round them.
        self._shots = [run.shots.shot(call("getBuild", ref)) for ref in refs]
        shots = [BulkShot(shot.operation, shot.method, shot.wire) for shot in self._shots]
        singles = [n for n, name in enumerate(mine.names) if name in SINGLE]
        numbers = [n for n, action in enumerate(mine.actions.tolist()) if action in singles]
        try:
            self._car.start(self._setup(shots))
            # Arrays do as well as lists, which a million numbers would take long to become.
            due_at: Any = run.go.began_at + mine.due_s[numbers]
            places: Any = mine.numbers[numbers] % len(refs)
            self._car.send_schedule(due_at, places)
            self._car.prepare(PREPARE_S)
            self._car.go(run.go.origin)
            gevent.spawn(self._stop_with_the_run)
            for report in self._car.reports():
                self._take(report)
        except TargetError as error:
            run.fail(str(error))
            for due_s in mine.due_s[numbers]:
                run.collector.skip(OPERATION_OF["read"], run.go.began_at + float(due_s))
        finally:
            self._car.kill()

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
            grace_s=target.request_timeout_s,
        )

    def _stop_with_the_run(self) -> None:
        self._run.stopped.wait()
        self._car.stop(GRACE_S)

    def _take(self, report: Report) -> None:
        run = self._run
        for window in report.windows:
            run.collector.take(window)
        for look in report.looks:
            self._judge(look)
        for number, count in report.seen.items():
            # The first one of a look was counted when it was judged.
            rest = count - 1 if number in self._fresh else count
            run.appraiser.add(self._looks[number], rest)
        self._fresh.clear()
        for note in report.notes:
            run.collector.warning(note)
        for (place, outcome), count in report.unseen.items():
            if (place, outcome) not in self._judged:
                run.fail(f"{count} answers {outcome} to {self._shots[place].operation} were judged by nothing")
            self._unseen += count
        run.count_elsewhere(report.cpu_s, report.rss_bytes)
        if report.final and self._unseen:
            run.collector.warning(f"{self._unseen:,} answers of the bulk engine were judged by their status only")

    def _judge(self, look: Look) -> None:
        run, shot = self._run, self._shots[look.shot]
        seq = run.next_seq()
        seen = run.appraiser.appraise_look(shot, look.answer, 1, seq, run.case)
        self._looks[look.number] = seen.look
        self._fresh.add(look.number)
        outcome = NO_ANSWER if look.answer.error or look.answer.head is None else str(look.answer.head.status)
        self._judged.add((look.shot, outcome))
        if seen.findings or run.keeps_read():
            run.keep(shot, look.answer, seq, seen)
