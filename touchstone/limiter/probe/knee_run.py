"""Sends the trials of a search for a knee, each by a side-car of its own, and tells what became of them."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import gevent
import numpy as np

from touchstone.config import TargetSettings
from touchstone.facts.knee_trials import Outcome, Trial
from touchstone.facts.runlog import RunLogWriter
from touchstone.limiter.knee.meter import Meter
from touchstone.limiter.knee.moments import due_times
from touchstone.limiter.knee.search import Search
from touchstone.limiter.probe.budget import Bounds
from touchstone.loadgen.bulk_link import SideCar
from touchstone.loadgen.bulk_reports import Report
from touchstone.loadgen.bulk_run import GRACE_S, PREPARE_S, most_connections
from touchstone.loadgen.bulk_wire import BulkShot, Setup
from touchstone.loadgen.inline_judge import Appraiser
from touchstone.loadgen.prepared_request import Shot
from touchstone.target.answer import Answer
from touchstone.target.body import taken_in

# From when a side-car is told that it begins until it does, and from the end of a trial to the next one.
_AHEAD_S, _BETWEEN_S = 0.1, 0.25
# Connections beside those that answers at the limit keep busy.
_SPARE, _MOST_AHEAD = 8, 256
# What a trial has under way when it ends has so long, and so many limits, to be answered.
_DRAIN_S, _DRAIN_LIMITS = 5.0, 4.0

# Judges an answer that looks like none before; what `Appraiser.add` counts more of them by.
Judge = Callable[[Shot, Answer], int]


@dataclass(frozen=True, slots=True)
class Link:
    """How the reads of a trial get to their target.

    Attributes:
        shot: The read.
        now: Seconds on the clock of the run.
        origin: Value of the machine's monotonic clock at run second 0.
    """

    url: str
    target: TargetSettings
    shot: Shot
    now: Callable[[], float]
    origin: float
    until_at: float


class KneeRun:
    """The trials of one search.

    Args:
        rest_s: What is waited before each trial, so that the limiter has forgotten what was before.
    """

    def __init__(
        self,
        link: Link,
        slo_s: float,
        rest_s: float,
        bounds: Bounds,
        appraiser: Appraiser,
        judge: Judge,
        log: RunLogWriter,
    ) -> None:
        self._link, self._slo_s, self._rest_s = link, slo_s, max(rest_s, _BETWEEN_S)
        self._bounds, self._appraiser, self._judge, self._log = bounds, appraiser, judge, log

    def run(self, search: Search) -> None:
        """Tries until nothing more is asked, or may be."""
        ended, link = self._bounds.ended, self._link
        while not ended.is_set():
            trial = search.ask(link.until_at - link.now() - self._rest_s)
            if trial is None or ended.wait(self._rest_s):
                break
            self._log.write(trial)
            tried = search.hear(trial, self._trial(trial))
            self._log.write(tried)
        if ended.is_set():
            search.stop("seconds" if self._bounds.why == "budget" else "interrupted")

    def _trial(self, trial: Trial) -> Outcome:
        due_s = due_times(trial)
        car = SideCar()
        try:
            car.start(self._setup(trial))
            # Arrays do as well as lists.
            car.send_schedule(due_s, np.zeros(len(due_s), np.int64))  # type: ignore[arg-type]  # see above
            car.prepare(PREPARE_S)
            began_at = self._link.now() + _AHEAD_S
            meter = Meter(trial, due_s, self._slo_s, began_at)
            car.go(self._link.origin + began_at)
            self._follow(car, meter, began_at)
        finally:
            car.kill()
        return meter.outcome()

    def _follow(self, car: SideCar, meter: Meter, began_at: float) -> None:
        """Takes in what the side-car tells, and stops it where the trial is lost, or the time over."""
        guard = gevent.spawn(self._stop_with_the_probe, car, meter)
        looks: dict[int, int] = {}
        try:
            for report in car.reports():
                self._look(report, looks, began_at)
                meter.take(report)
                if meter.is_lost and not (meter.stopped or report.final):
                    meter.stopped = True
                    car.stop(self._drain_s)
        finally:
            guard.kill()

    def _stop_with_the_probe(self, car: SideCar, meter: Meter) -> None:
        bounds, link = self._bounds, self._link
        if not bounds.ended.wait(max(0.0, link.until_at - link.now())):
            bounds.end("budget")
        meter.stopped = True
        car.stop(GRACE_S)

    @property
    def _drain_s(self) -> float:
        return max(_DRAIN_S, _DRAIN_LIMITS * self._slo_s)

    def _setup(self, trial: Trial) -> Setup:
        link = self._link
        base = urlsplit(link.url)
        tls = base.scheme == "https"
        most = most_connections()
        busy = int(trial.rate_per_s * self._slo_s) + _SPARE
        return Setup(
            host=base.hostname or "",
            port=base.port or (443 if tls else 80),
            tls=tls,
            shots=(BulkShot(link.shot.operation, link.shot.method, link.shot.wire),),
            secrets=tuple(key.encode() for key in link.target.keys().values()),
            timeout_s=link.target.request_timeout_s,
            bounds=link.target.bounds,
            grace_s=min(link.target.request_timeout_s, self._drain_s),
            max_connections=most,
            ahead=min(busy, most, _MOST_AHEAD),
        )

    def _look(self, report: Report, looks: dict[int, int], began_at: float) -> None:
        """Has each answer judged that looks like none before, and the others counted.

        Args:
            looks: What the appraiser counts each look by.
        """
        fresh = {look.number for look in report.looks}
        for look in report.looks:
            looks[look.number] = self._judge(
                self._link.shot, taken_in(look.answer, self._link.target.bounds).moved(began_at)
            )
        for number, count in report.seen.items():
            # The first one of a look was counted when it was judged.
            self._appraiser.add(looks[number], count - 1 if number in fresh else count)
