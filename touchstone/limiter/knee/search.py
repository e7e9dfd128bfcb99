"""The search for a knee from its first trial to its last: what is tried next, what came of it, what is known; pure.

Over-drive once, bisect with early stop, confirm for long enough; RFC 2544 and MLPerf's LoadGen bisect as well, the
latter on latencies from the scheduled moment of a Poisson process.
"""

import math

from touchstone.facts.identity import Interval
from touchstone.facts.knee_trials import MISS_SHARE, Knee, KneeTerms, Outcome, Stage, Trial, Tried, Why
from touchstone.limiter.knee.judging import is_sure, marked, miss_share, most_missed, together

# The rates between which the knee lies come so close to each other.
CLOSE = 1.05
_ENOUGH = CLOSE * (1 + 1e-9)
_BRACKET, _CONFIRM = 800, 2_500
# At a step above the capacity it takes so many times the limit until answers take longer; twice that tells for sure.
_BUILDS_UP = 2 / (CLOSE - 1)
_CAPACITY_S, _CAPACITY_LEAST = 1.5, 60
# What was answered when it was over-driven is the first upper end. Where it seems to be none, it is over-driven so far
# once more; an upper end that is found twice within so much is one.
_WIDER, _SAME = 1.5, 1.03
# A trial whose failure is the generator's is repeated; so many of these in a row, and there is no verdict.
MOST_LATE = 4
_MOST_STEPS_DOWN = 6
# Where it is sure that less than this of the allowed misses was met, the knee lies higher.
_SPARE = 0.5
# The first rate keeps a server that answers one after the other busy half of the time.
_HALF_BUSY, _FIRST_LEAST, _FIRST_MOST = 0.5, 1.0, 50.0
_FLOOR = 1 / 16
# Where the limiter lets so few reads through that a trial takes longer, a short one shows that it is in the way.
_LONG_S = 60.0
_SEED = 1_000


class Search:
    """One search. The same terms and the same outcomes lead to the same trials and the same knee.

    Args:
        rest_s: How long an answer takes in the middle where nobody else asks.
        ceiling_per_s: The highest rate at which no read of a trial would be refused; None for any.

    Attributes:
        tried: The trials that are over, in order.
    """

    def __init__(self, terms: KneeTerms, rest_s: float, ceiling_per_s: float | None, seed: int) -> None:
        self.tried: list[Tried] = []
        self._terms, self._ceiling, self._seed = terms, math.inf if ceiling_per_s is None else ceiling_per_s, seed
        usual = _HALF_BUSY / rest_s if rest_s > 0 else _FIRST_LEAST
        self._rate = self._first = min(max(usual, _FIRST_LEAST), _FIRST_MOST, self._ceiling)
        self._stage: Stage = "capacity"
        self._capacity: float | None = None
        self._low, self._high = 0.0, math.inf
        self._is_kept = self._is_broken = False
        self._late = self._steps = 0
        self._confirmed: Outcome | None = None
        self._why: Why = "never" if rest_s > terms.slo_s else ""
        if self._ceiling <= 0:
            self._why = "rate-limited"

    def ask(self, left_s: float) -> Trial | None:
        """What is tried next; None where nothing more is.

        Args:
            left_s: Seconds that there are.
        """
        if self._why:
            return None
        trial = self._next()
        if not self._is_affordable(trial):
            self.stop("out of reach" if self._stage == "capacity" else "requests")
            return None
        if trial.lasts_s + self._terms.slo_s > left_s:
            self.stop("seconds")
            return None
        return trial

    def _next(self) -> Trial:
        rate = self._rate
        if self._stage == "capacity":
            arrivals = max(_CAPACITY_LEAST, math.ceil(_CAPACITY_S * rate))
        else:
            arrivals = self._arrivals(self._stage, rate)
        stops = None if self._stage == "capacity" else most_missed(arrivals)
        number = len(self.tried) + 1
        return Trial(number, self._stage, rate, arrivals, self._seed * _SEED + number, stops)

    def _arrivals(self, stage: Stage, rate_per_s: float) -> int:
        long = math.ceil(_BUILDS_UP * self._terms.slo_s * rate_per_s)
        return max(_CONFIRM, long) if stage == "confirm" else max(_BRACKET, long // 2)

    def _is_affordable(self, trial: Trial) -> bool:
        """Whether there are requests for a trial; for one that over-drives, also for what has to follow it."""
        left = self._left
        if trial.stage != "capacity" or trial.rate_per_s <= self._first:
            return trial.arrivals <= left
        # Of the trials that follow, half are stopped early, and the knee is not above the capacity that is looked for.
        likely = trial.rate_per_s / 2
        return trial.arrivals + 2 * self._arrivals("bracket", likely) + self._arrivals("confirm", likely) <= left

    @property
    def requests(self) -> int:
        """Reads that were sent."""
        return sum(tried.outcome.sent for tried in self.tried)

    def hear(self, trial: Trial, outcome: Outcome) -> Tried:
        """Takes in what became of a trial."""
        tried = Tried(trial, outcome, marked(trial, outcome, self._terms.slo_s))
        self.tried.append(tried)
        if outcome.barred:
            self.stop("failing")
        elif tried.mark == "refused":
            self.stop("rate-limited")
        elif tried.mark == "late":
            self._late += 1
            if self._late >= MOST_LATE:
                self.stop("generator-limited")
        elif tried.mark != "cut":
            self._late = 0
            self._take(tried)
        return tried

    def _take(self, tried: Tried) -> None:
        passed, outcome = tried.mark == "passed", tried.outcome
        at_first = self._rate <= self._first and outcome.failed > outcome.due / 2
        if at_first or outcome.failed >= outcome.due:
            self._why = "failing"
        elif tried.trial.stage == "confirm":
            self._take_confirming(outcome, passed=passed)
        elif tried.trial.stage == "bracket":
            self._take_bracketing(tried)
        elif passed and outcome.p50_s > self._terms.slo_s and self._rate <= self._first:
            self._why = "never"
        elif not passed:
            self._found_capacity(outcome.done_per_s)
        elif self._rate >= self._ceiling and _BRACKET / self._rate > _LONG_S and outcome.p99_s <= self._terms.slo_s:
            self._why = "rate-limited"
        elif self._rate >= self._ceiling:
            self._bracket(self._ceiling)
        else:
            self._rate = min(2 * self._rate, self._ceiling)

    def _found_capacity(self, answered_per_s: float) -> None:
        """It was over-driven; the second time shows whether the first one told all."""
        before, self._capacity = self._capacity, max(answered_per_s, self._capacity or 0.0)
        if before is None:
            self._bracket(answered_per_s)
            return
        self._stage, self._high = "bracket", min(self._capacity, self._ceiling)
        self._is_broken = self._capacity <= _SAME * before
        self._low = min(self._low, self._high / CLOSE)
        self._rate = self._between()

    def _bracket(self, high: float) -> None:
        """Begins to look between a rate and half of it, or the highest one that is kept."""
        self._stage = "bracket"
        self._high = min(max(high, self._first * _FLOOR), self._ceiling)
        self._low = self._low if self._is_kept else self._high / 2
        # Where the limiter ends the search, that end is looked at first: beyond it nothing can be said.
        self._rate = self._high if self._high >= self._ceiling else self._between()

    def _take_bracketing(self, tried: Tried) -> None:
        """A trial that chance may have decided is made once more, and both count."""
        alike = self._at(tried.trial.rate_per_s)
        if len(alike) == 1 and not is_sure(tried.outcome):
            return
        both = together([each.outcome for each in alike])
        allowed = MISS_SHARE * sum(each.trial.arrivals for each in alike)
        self._narrow(tried.trial.rate_per_s, passed=both.missed + both.unsent <= allowed and not both.stopped)

    def _at(self, rate_per_s: float) -> list[Tried]:
        """The trials at a rate that tell of latency."""
        telling = [each for each in self.tried if each.mark in ("passed", "failed") and each.trial.stage != "capacity"]
        return [each for each in telling if each.trial.rate_per_s == rate_per_s]

    def _narrow(self, rate_per_s: float, *, passed: bool) -> None:
        if passed:
            self._low, self._is_kept = rate_per_s, True
            self._why = "rate-limited" if rate_per_s >= self._ceiling else ""
        else:
            self._high, self._is_broken = rate_per_s, True
            self._low = rate_per_s / 2 if self._low >= rate_per_s else self._low
        if not self._why:
            self._rate = self._between()

    def _between(self) -> float:
        """The rate that is looked at next: the middle, then the ends where nobody has looked at them."""
        if self._high / self._low > _ENOUGH:
            return math.sqrt(self._low * self._high)
        if not self._is_broken:
            self._stage = "capacity"
            return min(_WIDER * self._high, self._ceiling)
        if self._is_kept:
            self._stage = "confirm"
        elif self._low < self._first * _FLOOR:
            self._why = "never"
        return self._low

    def _take_confirming(self, outcome: Outcome, *, passed: bool) -> None:
        if passed:
            self._confirmed, self._low = outcome, self._rate
            if not self._steps_up():
                self.stop("confirmed")
        elif self._confirmed:
            self.stop("confirmed")
        else:
            self._rate /= CLOSE
            self._steps += 1
            self._why = "unsteady" if self._steps >= _MOST_STEPS_DOWN else ""

    def _steps_up(self) -> bool:
        """
        Whether so few reads missed the limit that chance has kept the search below the knee: a step higher is tried.
        """
        assert self._confirmed is not None
        above = self._rate * CLOSE
        if self._steps or above > min(self._capacity or math.inf, self._ceiling):
            return False
        if miss_share(self._confirmed).high > _SPARE * MISS_SHARE or self._arrivals("confirm", above) > self._left:
            return False
        self._rate = above
        return True

    @property
    def _left(self) -> int:
        return self._terms.most_requests - self.requests

    def stop(self, why: Why) -> None:
        """
        Has nothing more tried; the first reason counts. A rate that was confirmed stays so, whatever became of others.
        """
        if self._confirmed:
            self._rate, why = self._low, "confirmed"
        self._why = self._why or why

    def known(self) -> Knee:
        """What is known by now."""
        passed = [tried for tried in self.tried if tried.mark == "passed"]
        kept = [tried for tried in passed if self._is_kept_at(tried)]
        best = max(kept, key=lambda tried: (tried.trial.rate_per_s, tried.outcome.due), default=None)
        missed = miss_share(self._confirmed) if self._confirmed else None
        return Knee(
            slo_s=self._terms.slo_s,
            why=self._why,
            rate_per_s=self._interval() if missed and self._why == "confirmed" else None,
            capacity_per_s=self._capacity,
            kept_per_s=best.trial.rate_per_s if best else 0.0,
            kept_p99_s=best.outcome.p99_s if best else 0.0,
            last_per_s=self.tried[-1].trial.rate_per_s if self.tried else self._rate,
            ceiling_per_s=None if math.isinf(self._ceiling) else self._ceiling,
            confirmed_by=self._confirmed.due if self._confirmed else 0,
            missed=missed,
            requests=self.requests,
            seconds=sum(tried.outcome.lasted_s for tried in self.tried),
        )

    def _is_kept_at(self, tried: Tried) -> bool:
        """Whether a trial shows that its rate is kept, and no other one that it is not."""
        return tried.outcome.missed <= MISS_SHARE * tried.outcome.due and tried.trial.rate_per_s < self._lowest_failed

    @property
    def _lowest_failed(self) -> float:
        failed = (tried.trial.rate_per_s for tried in self.tried if tried.mark == "failed")
        return min((rate for rate in failed if not self._confirmed or rate > self._rate), default=math.inf)

    def _interval(self) -> Interval:
        """From a step below the confirmed rate to the lowest one above it that did not fail by chance."""
        failed = {tried.trial.rate_per_s for tried in self.tried if tried.mark == "failed"}
        above = [(rate, together([each.outcome for each in self._at(rate)])) for rate in failed if rate > self._rate]
        sure = [rate for rate, both in above if both.due and is_sure(both) and both.missed > MISS_SHARE * both.due]
        most = max(self._rate, min([*sure, self._bound], default=self._high))
        return Interval(self._rate, self._rate / CLOSE, most)

    @property
    def _bound(self) -> float:
        """What no rate that is kept can be above."""
        return self._capacity or self._high
