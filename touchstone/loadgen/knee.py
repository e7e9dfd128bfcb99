"""Latency knee: the highest rate at which 99 % of reads are answered in time; no clock, no I/O.

The search doubles the rate of open-loop trials until responses do not keep up. Then it bisects, and confirms the knee.
RFC 2544 and MLPerf's LoadGen bisect as well; LoadGen also counts latency from the due time in a Poisson process.
"""

import math
import tomllib
from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.identity import Interval
from touchstone.facts.probe import MISS_SHARE, Knee, KneeTerms, KneeWhy, Mark, Outcome, Stage, Trial, Tried
from touchstone.facts.wording import brief, figure

# Ratio of the two rates that enclose the knee at the end.
CLOSE = 1.05
_BRACKET, _CONFIRM = 800, 2_500
# Length of a long trial, in latency limits: at a rate one step above the capacity, half of its responses are late.
_BUILDS_UP = 2 / (CLOSE - 1)
_CAPACITY_S, _CAPACITY_LEAST = 1.5, 60
# The search ends after this many late trials in a row, because the generator is too slow.
MOST_LATE = 4
_FLOOR = 1 / 16
# If the rate limit makes a trial of the bisection longer than this, the search ends without it.
_LONG_S = 60.0

# If the generator sends reads later than this share of the latency limit (99th percentile), a failure may be its own.
LATE_SHARE = 0.1
# Number of reads that one late read delays if the target is nearly busy.
_DRAGS = 5
# Standard deviations that chance explains; misses (late responses) come in bunches of 4, which doubles a deviation.
_SIGMAS, _BUNCH = 3.0, 4

_WHYS: dict[str, str] = tomllib.loads(Path(__file__).with_name("knee.toml").read_text("utf-8"))

_Steps = Generator[tuple[Stage, float], Outcome, KneeWhy]


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
        self._high = math.inf
        self._confirmed: tuple[float, Outcome] | None = None
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
                self._next = self._steps.send(outcome)
            except StopIteration as ended:
                self.stop(ended.value)
        return tried

    def _staircase(self) -> _Steps:
        """Doubles the rate until responses do not keep up; then bisects, and confirms the knee."""
        rate = self._first
        while True:
            outcome = yield "capacity", rate
            if _is_overloaded(outcome):
                self._capacity = outcome.done_per_s
                break
            if rate <= self._first and outcome.p50_s > self._terms.slo_s:
                return "never"
            if rate >= self._ceiling:
                if _BRACKET / rate > _LONG_S and outcome.p99_s <= self._terms.slo_s:
                    return "rate-limited"
                break
            rate = min(2 * rate, self._ceiling)
        self._high = min(max(self._capacity or math.inf, self._first * _FLOOR), self._ceiling)
        return (yield from self._bisected(self._high / 2))

    def _bisected(self, low: float) -> _Steps:
        """Bisects until the two rates are one step (CLOSE) apart, tries both, and confirms the lower one."""
        results: dict[float, bool] = {}
        while True:
            ends = [end for end in (self._high, low) if end not in results]
            if self._high >= self._ceiling and self._high not in results:
                rate = self._high  # no higher rate can be tried
            elif self._high / low > CLOSE * (1 + 1e-9):
                rate = math.sqrt(low * self._high)
            elif not ends:
                return (yield from self._confirm(low))
            elif ends[0] < self._first * _FLOOR:
                return "never"
            else:
                rate = ends[0]
            results[rate] = holds = yield from self._holds(rate)
            if not holds:
                self._high = rate
                low = rate / 2 if low >= rate else low
            elif rate >= self._ceiling:
                return "rate-limited"
            else:
                low = rate
            if low >= self._high:  # the target can do more than its capacity under overload
                self._high, self._capacity = min(1.5 * rate, self._ceiling), None

    def _holds(self, rate: float) -> Generator[tuple[Stage, float], Outcome, bool]:
        """Whether the latency limit holds at a rate; runs a second trial if chance may have decided the first one."""
        outcomes = [(yield "bracket", rate)]
        if not is_sure(outcomes[0]):
            outcomes.append((yield "bracket", rate))
        most = MISS_SHARE * len(outcomes) * self._arrivals("bracket", rate)
        return sum(each.missed for each in outcomes) <= most and not any(each.stopped for each in outcomes)

    def _confirm(self, rate: float) -> _Steps:
        """Lowers the rate until a long trial is fast enough; raises it while few reads are slow (MISS_SHARE / 2)."""
        for steps_down in range(6):
            outcome = yield "confirm", rate
            while _limit_holds(outcome):
                self._confirmed = rate, outcome
                is_low = miss_share(outcome).high <= MISS_SHARE / 2 and not steps_down
                most = min(self._capacity or math.inf, self._ceiling)
                if not is_low or rate * CLOSE > most or self._left < outcome.due:
                    return "confirmed"
                rate *= CLOSE
                outcome = yield "confirm", rate
            if self._confirmed:
                return "confirmed"
            rate /= CLOSE
        return "unsteady"

    def stop(self, why: KneeWhy) -> None:
        """Ends the search; later calls do not change the reason, and a confirmed rate stays confirmed."""
        self._why = self._why or ("confirmed" if self._confirmed else why)

    def known(self) -> Knee:
        """The result so far."""
        rate, confirmed = self._confirmed or (0.0, None)
        failed = [each.trial.rate_per_s for each in self.tried if each.mark == "failed"]
        lowest = min((each for each in failed if each > rate), default=math.inf)
        passed = [each for each in self.tried if each.mark == "passed" and each.trial.rate_per_s < lowest]
        passed = [each for each in passed if _limit_holds(each.outcome)]
        best = max(passed, key=lambda each: (each.trial.rate_per_s, each.outcome.due), default=None)
        return Knee(
            slo_s=self._terms.slo_s,
            why=self._why,
            rate_per_s=self._interval(rate) if self._why == "confirmed" else None,
            capacity_per_s=self._capacity,
            kept_per_s=best.trial.rate_per_s if best else 0.0,
            kept_p99_s=best.outcome.p99_s if best else 0.0,
            last_per_s=self.tried[-1].trial.rate_per_s if self.tried else self._first,
            ceiling_per_s=None if math.isinf(self._ceiling) else self._ceiling,
            confirmed_by=confirmed.due if confirmed else 0,
            missed=miss_share(confirmed) if confirmed else None,
            requests=sum(tried.outcome.sent for tried in self.tried),
            seconds=sum(tried.outcome.lasted_s for tried in self.tried),
        )

    def _interval(self, rate: float) -> Interval:
        """Interval of the knee: from one step below the confirmed rate to the lowest higher rate that failed surely."""
        above = [each for each in self.tried if each.mark == "failed" and each.trial.stage != "capacity"]
        sure = [each.trial.rate_per_s for each in above if each.trial.rate_per_s > rate and is_sure(each.outcome)]
        return Interval(rate, rate / CLOSE, max(rate, min([*sure, self._capacity or self._high])))


def most_missed(arrivals: int) -> int:
    """Highest number of reads that may miss the latency limit by chance although the limit holds."""
    spread = math.sqrt(_BUNCH * arrivals * MISS_SHARE * (1 - MISS_SHARE))
    return math.floor(arrivals * MISS_SHARE + _SIGMAS * spread)


def marked(trial: Trial, outcome: Outcome, slo_s: float) -> Mark:
    """Mark of a trial; "failed" only if the trial also fails without reads that were sent late or delayed by these."""
    is_late, allowed = outcome.late_p99_s > LATE_SHARE * slo_s, trial.arrivals * MISS_SHARE
    if outcome.refused:
        return "refused"
    if trial.stage == "capacity":
        if outcome.stopped:
            return "cut"
        if is_late and (_is_overloaded(outcome) or outcome.p50_s > slo_s):
            return "late"
        return "failed" if _is_overloaded(outcome) else "passed"
    if not outcome.stopped and outcome.due and outcome.missed <= allowed:
        return "passed"
    # If a trial stopped with too few misses to stop for, something else cut it short.
    if outcome.stopped and outcome.missed <= (allowed if trial.most_missed is None else trial.most_missed):
        return "cut"
    return "late" if is_late or outcome.missed - _DRAGS * outcome.late <= allowed else "failed"


def _is_overloaded(outcome: Outcome) -> bool:
    return outcome.done_per_s < 0.85 * outcome.due_per_s


def _limit_holds(outcome: Outcome) -> bool:
    return not outcome.stopped and outcome.missed <= MISS_SHARE * outcome.due


def is_sure(outcome: Outcome) -> bool:
    """Whether chance cannot explain the result of a trial."""
    missed = miss_share(outcome)
    return outcome.stopped or not missed.low <= MISS_SHARE <= missed.high


def miss_share(outcome: Outcome) -> Interval:
    """Share of reads that missed the limit; its interval is wider if misses come in bunches."""
    share = outcome.missed / outcome.due if outcome.due else 0.0
    return Interval.of_share(share, max(outcome.due / _bunching(outcome, share), 1.0))


def _bunching(outcome: Outcome, share: float) -> float:
    """Ratio of the variance of misses from second to second to the variance by chance; at least 1."""
    blocks = [block for block in outcome.blocks if block[0]]
    if len(blocks) < 4 or not 0 < share < 1:
        return 1.0
    off = sum((missed - share * count) ** 2 for count, missed in blocks) * len(blocks) / (len(blocks) - 1)
    return max(1.0, off / (share * (1 - share) * sum(count for count, _ in blocks)))


def describe_reason(knee: Knee) -> str:
    """Why the knee is unknown, and what to do; empty if the knee is known."""
    if knee.why == "never" and not knee.requests:
        return f"p99 ≤ {brief(knee.slo_s)} does not hold without load: half of the reads take longer; raise --slo-ms"
    if knee.why != "rate-limited":
        return _WHYS[knee.why].format(rate=figure(knee.last_per_s), limit=f"p99 ≤ {brief(knee.slo_s)}", late=MOST_LATE)
    if knee.ceiling_per_s is not None and knee.ceiling_per_s <= 0:
        return "the rate limit hides it: it refuses some reads at random times, at any rate"
    at = f"p99 is {brief(knee.kept_p99_s)} at {figure(knee.kept_per_s)} per second"
    if knee.ceiling_per_s is not None and knee.kept_per_s >= knee.ceiling_per_s:
        return f"the rate limit hides it: {at}, and at a higher rate some reads would be refused"
    kept = f", and {at}" if knee.kept_per_s else ""
    return f"a rate limit hides it: reads were refused at {figure(knee.last_per_s)} per second{kept}"
