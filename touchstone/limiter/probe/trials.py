"""One trial of the search for a knee: reads that come by chance, each in a thread of its own."""

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np

from touchstone.facts.probe_events import Outcome, Trial
from touchstone.limiter.knee import LATE_SHARE, due_times
from touchstone.limiter.probe.connections import Link, Prepared, Reply
from touchstone.limiter.probe.sender import Bounds
from touchstone.target.bounds import Room

# Connections that are open when a trial begins, beside those that answers at the limit keep busy.
_SPARE, _MOST_AHEAD = 8, 256
# The longest wait for an answer, and in limits.
_WAIT_S, _WAIT_LIMITS = 5.0, 4.0
# The rate of answers is measured from this share of a trial on: the first ones are not there at once.
_STEADY_FROM = 1 / 3


class OpenLoop:
    """One trial: reads go out when they are due. *distinct* has the first of answers that are alike, to judge."""

    def __init__(self, trial: Trial, slo_s: float, link: Link, prepared: Prepared) -> None:
        self.distinct: dict[str, Reply] = {}
        self._trial, self._slo_s, self._link, self._prepared = trial, slo_s, link, prepared
        self._room = Room(link.bounds.max_total_bytes)
        self._wait_s = min(link.timeout_s, max(_WAIT_S, _WAIT_LIMITS * slo_s))
        self._reads: list[tuple[float, Reply]] = []
        self._missed = self._refused = self._barred = 0
        self._lock = threading.Lock()

    def run(self, bounds: Bounds, until_at: float) -> Outcome:
        """Sends its reads, until nothing that follows would change what it shows."""
        link, due_s = self._link, due_times(self._trial)
        link.open(min(int(self._trial.rate_per_s * self._slo_s) + _SPARE, _MOST_AHEAD))
        began_at = link.now() + 0.1
        flights, stopped = list[Future[None]](), False
        for due_at in began_at + due_s:
            if due_at > until_at:
                bounds.end("budget")
            stopped = bounds.ended.wait(max(0.0, due_at - link.now())) or self._is_lost()
            if stopped:
                break
            flights.append(link.spawn(self._read, float(due_at)))
        for flight in flights:
            flight.result()
        return self._outcome(began_at, float(due_s[-1]), is_stopped=stopped)

    def _is_lost(self) -> bool:
        most = self._trial.most_missed
        return bool(self._refused or self._barred or (most is not None and self._missed > most))

    def _read(self, due_at: float) -> None:
        reply = self._link.send(self._prepared, self._wait_s)
        with self._lock:
            self._reads.append((due_at, reply))
            self._refused += reply.whole_status == 429
            self._barred = reply.whole_status if reply.whole_status in (401, 403) else self._barred
            self._missed += _is_failed(reply) or reply.done_at - due_at > self._slo_s
            key = str((reply.status, reply.body, reply.error, [each for each in reply.headers if each[0] != "date"]))
            if len(self.distinct) < 50 and key not in self.distinct and self._room.take(len(reply.body)):
                self.distinct[key] = reply

    def _outcome(self, began_at: float, ends_s: float, *, is_stopped: bool) -> Outcome:
        reads = sorted(self._reads, key=lambda each: each[0])
        due = np.array([at for at, _ in reads]) - began_at
        done = np.array([reply.done_at for _, reply in reads]) - began_at
        late = np.array([reply.sent_at for _, reply in reads]) - began_at - due
        failed = np.array([_is_failed(reply) for _, reply in reads], bool)
        refused = np.array([reply.whole_status == 429 for _, reply in reads], bool)
        slow = (done - due > self._slo_s) & ~failed & ~refused
        took = (done - due)[~refused]
        steady_s = (1 - _STEADY_FROM) * ends_s
        seconds = due.astype(int)

        def quantile(values: Any, share: float) -> float:
            return round(float(np.quantile(values, share, method="higher")), 6) if len(values) else 0.0

        def per_s(times: Any) -> float:
            count = np.count_nonzero((times >= _STEADY_FROM * ends_s) & (times <= ends_s))
            return 0.0 if is_stopped else round(float(count) / steady_s, 3)

        return Outcome(
            due=len(reads),
            sent=len(reads),
            slow=int(slow.sum()),
            failed=int(failed.sum()),
            refused=int(refused.sum()),
            late=int((late > LATE_SHARE * self._slo_s).sum()),
            late_p99_s=quantile(late, 0.99),
            p50_s=quantile(took, 0.5),
            p90_s=quantile(took, 0.9),
            p99_s=quantile(took, 0.99),
            max_s=quantile(took, 1.0),
            due_per_s=per_s(due),
            done_per_s=per_s(done[~failed & ~refused]),
            lasted_s=round(float(done.max()), 6) if reads else 0.0,
            blocks=tuple(
                (int((seconds == second).sum()), int((slow | failed)[seconds == second].sum()))
                for second in sorted(set(seconds.tolist()))
            ),
            stopped=is_stopped,
            began_at=round(began_at, 6),
            barred=self._barred,
        )


def _is_failed(reply: Reply) -> bool:
    """Whether there is no answer that a working client expects: a success, a refusal, or that nothing is there."""
    status = reply.whole_status
    return not (200 <= status < 300 or status in (404, 409, 429))
