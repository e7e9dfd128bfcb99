"""Latency knee: the highest rate at which 99 % of reads are answered in time; no clock, no I/O.

The search doubles the rate of open-loop trials until responses do not keep up. Then it bisects, and confirms the knee.
RFC 2544 and MLPerf's LoadGen bisect as well; LoadGen also counts latency from the due time in a Poisson process.
"""

import math
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.identity import Interval
from touchstone.facts.probe import MISS_SHARE, Knee, KneeTerms, KneeWhy, Mark, Outcome, Stage, Trial, Tried
from touchstone.loadgen.not_judged import reason_text

# Ratio of the two rates that enclose the knee at the end.
CLOSE = 1.05
_BRACKET, _CONFIRM = 800, 2_500
# Length of a long trial, in latency limits: at a rate one step above the capacity, half of its responses are late.
_BUILDS_UP = 2 / (CLOSE - 1)
_CAPACITY_S, _CAPACITY_LEAST = 1.5, 60
# Rate that the bisection tries first, as a share of the capacity.
_USUAL = 0.7
# The search ends after this many late trials in a row, because the generator is too slow.
MOST_LATE = 4
_MOST_LONG = 8  # maximum number of long trials
_FLOOR = 1 / 16
# If the rate limit makes a trial of the bisection longer than this, the search ends without it.
_LONG_S = 60.0

# If the generator sends reads later than this share of the latency limit (99th percentile), a failure may be its own.
LATE_SHARE = 0.1
# Number of reads that one late read delays if the target is nearly busy.
_DRAGS = 5
# A trial stops after this many times the misses (late responses) that the limit allows.
_SURELY = 2.5
# Misses come in bunches of about this many, so that a trial shows less than as many independent reads.
_BUNCH = 4

_Steps = Generator[tuple[Stage, float], Tried, KneeWhy]


def due_times(trial: Trial) -> NDArray[np.float64]:
    """Due times of all reads, in seconds since the start of the trial: a Poisson process with a fixed count."""
    return np.cumsum(np.random.default_rng(trial.seed).exponential(1 / trial.rate_per_s, trial.arrivals))


class Search:
    """Search for the knee: the same terms and outcomes always lead to the same trials and the same knee.

    *rest_s*: median response time without load; *ceiling_per_s*: highest rate at which the rate limit refuses no read,
    infinite without a rate limit.
    """

    def __init__(self, terms: KneeTerms, rest_s: float, ceiling_per_s: float, seed: int) -> None:
        self.tried: list[Tried] = []
        self._terms, self._ceiling, self._seed = terms, ceiling_per_s, seed
        half_busy = 0.5 / rest_s if rest_s > 0 else 1.0  # half the capacity if one request is handled at a time
        self._first = min(max(half_busy, 1.0), 50.0, ceiling_per_s)
        self._capacity: float | None = None
        self._confirmed: Tried | None = None
        self._late, self._left = 0, terms.most_requests
        self._why: KneeWhy = "never" if rest_s > terms.slo_s else "rate-limited" if ceiling_per_s <= 0 else ""
        self._steps = self._staircase()
        self._next = next(self._steps)

    def propose(self, left_s: float) -> Trial | None:
        """Next trial, if it fits into *left_s* seconds; None at the end of the search."""
        if self._why:
            return None
        stage, rate = self._next
        number, arrivals = len(self.tried) + 1, self._arrivals(stage, rate)
        most = None if stage == "capacity" else most_missed(arrivals)
        trial = Trial(number, stage, rate, arrivals, self._seed * 1_000 + number, most)
        needed = arrivals
        if stage == "capacity" and rate > self._first:
            # The budget must also suffice for the later trials, of which half stop early.
            needed += 2 * self._arrivals("bracket", rate / 2) + self._arrivals("confirm", rate / 2)
        if needed > self._left:
            self.stop("out of reach" if stage == "capacity" else "requests")
        elif trial.lasts_s + self._terms.slo_s > left_s:
            self.stop("seconds")
        else:
            return trial
        return None

    def _arrivals(self, stage: Stage, rate_per_s: float) -> int:
        if stage == "capacity":
            return max(_CAPACITY_LEAST, math.ceil(_CAPACITY_S * rate_per_s))
        long = math.ceil(_BUILDS_UP * self._terms.slo_s * rate_per_s)
        return max(_CONFIRM, long) if stage == "confirm" else max(_BRACKET, long // 2)

    def observe(self, trial: Trial, outcome: Outcome) -> Tried:
        """Records the outcome of a trial; a trial without a result is repeated."""
        tried = Tried(trial, outcome, marked(trial, outcome, self._terms.slo_s))
        self.tried.append(tried)
        self._left -= outcome.sent
        self._late = self._late + 1 if tried.mark == "late" else self._late * (tried.mark == "cut")
        shows, most_failed = tried.mark in ("passed", "failed"), 0.5 if trial.rate_per_s <= self._first else 1.0
        if outcome.barred or (shows and outcome.failed >= max(1.0, most_failed * outcome.due)):
            self.stop("failing")
        elif tried.mark == "refused":
            self.stop("rate-limited")
        elif self._late >= MOST_LATE:
            self.stop("generator-limited")
        elif shows and not self._why:
            try:
                self._next = self._steps.send(tried)
            except StopIteration as ended:
                self.stop(ended.value)
        return tried

    def _staircase(self) -> _Steps:
        """Doubles the rate until responses do not keep up; then bisects, and confirms the knee."""
        rate = self._first
        while (tried := (yield "capacity", rate)).mark == "passed":
            if rate <= self._first and tried.outcome.p50_s > self._terms.slo_s:
                return "never"
            if rate >= self._ceiling:
                if _BRACKET / rate > _LONG_S and tried.outcome.p99_s <= self._terms.slo_s:
                    return "rate-limited"
                return (yield from self._bisected(rate, rate))
            rate = min(2 * rate, self._ceiling)
        self._capacity = tried.outcome.done_per_s
        high = min(max(self._capacity, self._first * _FLOOR), self._ceiling)
        return (yield from self._bisected(_USUAL * high, high))

    def _bisected(self, rate: float, high: float) -> _Steps:
        """Bisects until the rates that passed and failed are one step (CLOSE) apart, and confirms the lower one."""
        low, has_failed = 0.0, False
        while high > low * CLOSE or not has_failed:
            if (yield "bracket", rate).mark == "failed":
                high, has_failed = rate, True
                if high < self._first * _FLOOR:
                    return "never"
            elif rate >= self._ceiling:
                return "rate-limited"
            else:
                low = rate
                if low >= high:  # the target can do more than its capacity under overload
                    high, self._capacity = min(1.5 * low, self._ceiling), None
            rate = high if high <= low * CLOSE else math.sqrt(low * high) if low else _USUAL * high
        return (yield from self._confirm(low))

    def _confirm(self, rate: float) -> _Steps:
        """Lowers the rate until a long trial passes; raises it while at most half of the allowed reads are slow."""
        was_slow = False
        for _ in range(_MOST_LONG):
            tried = yield "confirm", rate
            if tried.mark == "passed":
                self._confirmed = tried
                is_near = 2 * tried.outcome.missed > MISS_SHARE * tried.outcome.due
                if is_near or was_slow or rate * CLOSE > self._ceiling:
                    break
                rate *= CLOSE
            elif self._confirmed:
                break
            else:
                rate, was_slow = rate / CLOSE, True
        return "unsteady"

    def stop(self, why: KneeWhy) -> None:
        """Ends the search; later calls do not change the reason, and a confirmed rate stays confirmed."""
        self._why = self._why or ("confirmed" if self._confirmed else why)

    def known(self) -> Knee:
        """The result so far. Its interval ends one step below the confirmed rate, and one above a rate that failed."""
        confirmed = self._confirmed
        rate = confirmed.trial.rate_per_s if confirmed else 0.0
        failed = [each.trial.rate_per_s for each in self.tried if each.mark == "failed"]
        lowest = min((each for each in failed if each > rate), default=math.inf)
        passed = [each for each in self.tried if each.mark == "passed" and each.trial.rate_per_s < lowest]
        passed = [each for each in passed if each.outcome.missed <= MISS_SHARE * each.outcome.due]
        best = max(passed, key=lambda each: (each.trial.rate_per_s, each.outcome.due), default=None)
        high = CLOSE * (rate if math.isinf(lowest) else lowest)
        return Knee(
            slo_s=self._terms.slo_s,
            why=self._why,
            rate_per_s=Interval(rate, rate / CLOSE, max(rate, min(high, self._capacity or high))) if rate else None,
            capacity_per_s=self._capacity,
            kept_per_s=best.trial.rate_per_s if best else 0.0,
            kept_p99_s=best.outcome.p99_s if best else 0.0,
            last_per_s=self.tried[-1].trial.rate_per_s if self.tried else self._first,
            ceiling_per_s=None if math.isinf(self._ceiling) else self._ceiling,
            confirmed_by=confirmed.outcome.due if confirmed else 0,
            missed=miss_share(confirmed.outcome) if confirmed else None,
            requests=sum(tried.outcome.sent for tried in self.tried),
            seconds=sum(tried.outcome.lasted_s for tried in self.tried),
        )


def most_missed(arrivals: int) -> int:
    """Number of reads that may miss the latency limit before a trial stops."""
    return math.floor(_SURELY * MISS_SHARE * arrivals)


def marked(trial: Trial, outcome: Outcome, slo_s: float) -> Mark:
    """Mark of a trial; "failed" only if the trial also fails without reads that were sent late or delayed by these."""
    is_late, allowed = outcome.late_p99_s > LATE_SHARE * slo_s, trial.arrivals * MISS_SHARE
    if outcome.refused:
        return "refused"
    # If a trial stopped with too few misses to stop for, something else cut it short.
    if outcome.stopped and (trial.most_missed is None or outcome.missed <= trial.most_missed):
        return "cut"
    if trial.stage == "capacity":
        is_overloaded = outcome.done_per_s < 0.85 * outcome.due_per_s
        if is_late and (is_overloaded or outcome.p50_s > slo_s):
            return "late"
        return "failed" if is_overloaded else "passed"
    if outcome.due and outcome.missed <= allowed:
        return "passed"
    return "late" if is_late or outcome.missed - _DRAGS * outcome.late <= allowed else "failed"


def miss_share(outcome: Outcome) -> Interval:
    """Share of reads that missed the limit; its interval allows for misses in bunches."""
    return Interval.of_share(outcome.missed / max(outcome.due, 1), max(outcome.due / _BUNCH, 1.0))


def describe_reason(knee: Knee) -> str:
    """Why the knee is unknown, and what to do; empty if the knee is known."""
    return reason_text("unknown", knee, MOST_LATE)
