"""Targets in virtual time: a queue in front of so many servers, and what a search for a knee is told of it."""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.probe import Knee, KneeTerms, Outcome, Trial
from touchstone.loadgen.knee import LATE_SHARE, Search, due_times

Times = NDArray[np.float64]
# When each read of a trial is sent after it was due.
Late = Callable[[Times, Trial], Times]

# Reports come so often; a trial is stopped at one of them.
_REPORT_S = 0.5


def fixed(seed: int, count: int) -> Times:
    """Each read takes as long as the others."""
    return np.ones(count)


def exponential(seed: int, count: int) -> Times:
    """Many reads are short, and few are long."""
    return np.random.default_rng((seed, 7)).exponential(size=count)


def mixed(seed: int, count: int) -> Times:
    """One of ten reads takes eleven times as long as the others."""
    return np.where(np.random.default_rng((seed, 7)).random(count) < 0.9, 0.5, 5.5)


@dataclass(frozen=True)
class Queue:
    """A target.

    Attributes:
        service: How long reads take, in *service_s*, by seed and number.
        limit_per_s: More than so many reads a second, on the average of a trial, are refused from the middle of it on.
        fails_from_per_s: At such a rate all reads fail at once.
        late: How late the generator is; None for not at all.
    """

    servers: int = 4
    service_s: float = 0.02
    slo_s: float = 0.06
    service: Callable[[int, int], Times] = fixed
    limit_per_s: float = math.inf
    fails_from_per_s: float = math.inf
    late: Late | None = None

    @property
    def capacity_per_s(self) -> float:
        """Reads that it answers in a second where it never rests."""
        return self.servers / self.service_s

    def done(self, sent: Times, seed: int) -> Times:
        """When each read is answered."""
        free, found = [0.0] * self.servers, np.empty(len(sent))
        services = (self.service(seed, len(sent)) * self.service_s).tolist()
        for number, (at, takes_s) in enumerate(zip(sent.tolist(), services, strict=True)):
            found[number] = max(at, free[0]) + takes_s
            heapq.heapreplace(free, float(found[number]))
        return found

    def run(self, trial: Trial) -> Outcome:
        """What becomes of a trial."""
        due = due_times(trial)
        late_s = np.zeros(len(due)) if self.late is None else self.late(due, trial)
        order = np.argsort(due + late_s, kind="stable")
        done = np.empty(len(due))
        done[order] = self.done((due + late_s)[order], trial.seed)
        ends_at = self._stopped_at(trial, due, done)
        came = due <= ends_at
        found = _outcome(due[came], done[came], late_s[came], self.slo_s, ends_at)
        found = replace(found, stopped=bool(ends_at < due[-1]))
        if trial.rate_per_s >= self.fails_from_per_s:
            return replace(found, failed=found.due, slow=0, done_per_s=0.0)
        if trial.rate_per_s > self.limit_per_s:
            return replace(found, refused=found.due // 2, stopped=True)
        return found

    def _stopped_at(self, trial: Trial, due: Times, done: Times) -> float:
        """When a trial is stopped, or its last read is due."""
        last_at = float(due[-1])
        if trial.most_missed is None:
            return last_at
        missed_at = np.sort(done[done - due > self.slo_s])
        if len(missed_at) <= trial.most_missed:
            return last_at
        return min(last_at, math.ceil(float(missed_at[trial.most_missed]) / _REPORT_S) * _REPORT_S)


def _outcome(due: Times, done: Times, late_s: Times, slo_s: float, ends_at: float) -> Outcome:
    times = np.sort(done - due)
    third = ends_at / 3
    missed = done - due > slo_s
    return Outcome(
        due=len(due),
        sent=len(due),
        slow=int(missed.sum()),
        late=int(np.sum(late_s > LATE_SHARE * slo_s)),
        late_p99_s=_at(np.sort(late_s), 0.99),
        p50_s=_at(times, 0.5),
        p90_s=_at(times, 0.9),
        p99_s=_at(times, 0.99),
        max_s=float(times[-1]),
        due_per_s=float(np.sum((due > third) & (due <= ends_at))) / (ends_at - third),
        done_per_s=float(np.sum((done > third) & (done <= ends_at))) / (ends_at - third),
        lasted_s=float(done.max()),
    )


def _at(ordered: Times, share: float) -> float:
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])


def searched(
    queue: Queue, seed: int, *, ceiling_per_s: float = math.inf, most: int = 25_000, left_s: float = 900.0
) -> tuple[Search, Knee]:
    """A search from its first trial to its last, and what it came to."""
    search = Search(KneeTerms(queue.slo_s, most), queue.service_s, ceiling_per_s, seed)
    while (trial := search.propose(left_s)) is not None:
        left_s -= search.observe(trial, queue.run(trial)).outcome.lasted_s
    return search, search.known()
