"""The knee of reads: the highest rate at which 99 % are answered in time; pure, without a clock or I/O.

A staircase over open-loop trials: double until answers do not keep up, bisect with early stop, confirm for long enough.
RFC 2544 and MLPerf's LoadGen bisect as well, the latter on latencies from the scheduled moment of a Poisson process.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.identity import Identity, Interval, Tier
from touchstone.facts.knee_trials import MISS_SHARE, Knee, KneeTerms, Mark, Outcome, Stage, Trial, Tried, Why
from touchstone.facts.wording import brief, figure

# The rates between which the knee lies come so close to each other.
CLOSE = 1.05
_BRACKET, _CONFIRM = 800, 2_500
# At a step above the capacity it takes so many times the limit until answers take longer; twice that shows for sure.
_BUILDS_UP = 2 / (CLOSE - 1)
_CAPACITY_S, _CAPACITY_LEAST = 1.5, 60
# Answers a second below this share of what comes are those of a target that cannot do more.
_OVERLOADED = 0.85
# An upper end that is kept after all is raised so far.
_WIDER = 1.5
# A trial whose failure is the generator's is repeated; so many of these in a row, and there is no verdict.
MOST_LATE = 4
_MOST_STEPS_DOWN = 6
# Where it is sure that less than this of the allowed misses occurred, the knee lies higher.
_SPARE = 0.5
# The first rate keeps a server that answers one after the other busy half of the time.
_HALF_BUSY, _FIRST_LEAST, _FIRST_MOST = 0.5, 1.0, 50.0
_FLOOR = 1 / 16
# Where the limiter lets so few reads through that a trial takes longer, a short one shows that it is in the way.
_LONG_S = 60.0
_SEED = 1_000

# A generator that is later than this share of the limit, at the percentile that is asked about, may be what is slow.
LATE_SHARE = 0.1
# One read that is sent late is in the way of some that follow it, where a target is nearly busy.
_DRAGS = 5
# Misses that no chance explains; they come in bunches, of which one of four makes the spread twice as wide.
_SIGMAS, _BUNCH = 3.0, 4
# Of 95 % of a normal distribution.
_Z = 1.959964

# A ceiling is kept off the edge of what was measured, and chance passes it by so many standard deviations at most.
_MARGIN, _UNLIKELY = 0.95, 4.0
_WEIGHED, _DECAYED = 0.8, 0.5

Times = NDArray[np.float64]


def due_times(trial: Trial) -> Times:
    """When each read is due, in seconds since the trial began: a Poisson process, cut after so many."""
    return np.cumsum(np.random.default_rng(trial.seed).exponential(1 / trial.rate_per_s, trial.arrivals))


class Search:
    """One search. The same terms and the same outcomes lead to the same trials and the same knee.

    Args:
        rest_s: How long an answer takes in the middle where nobody else asks.
        ceiling_per_s: The highest rate at which no read of a trial would be refused; infinite for any.

    Attributes:
        tried: The trials that are over, in order.
    """

    def __init__(self, terms: KneeTerms, rest_s: float, ceiling_per_s: float, seed: int) -> None:
        self.tried: list[Tried] = []
        self._terms, self._ceiling, self._seed = terms, ceiling_per_s, seed
        usual = _HALF_BUSY / rest_s if rest_s > 0 else _FIRST_LEAST
        self._rate = self._first = min(max(usual, _FIRST_LEAST), _FIRST_MOST, ceiling_per_s)
        self._stage: Stage = "capacity"
        self._capacity: float | None = None
        self._low, self._high = 0.0, math.inf
        self._is_kept = self._is_broken = False
        self._late = self._steps = 0
        self._confirmed: Outcome | None = None
        self._why: Why = "never" if rest_s > terms.slo_s else ""
        if ceiling_per_s <= 0:
            self._why = "rate-limited"

    @property
    def _left(self) -> int:
        return self._terms.most_requests - sum(tried.outcome.sent for tried in self.tried)

    def ask(self, left_s: float) -> Trial | None:
        """What is tried next; None where nothing more is.

        Args:
            left_s: Seconds that there are.
        """
        if self._why:
            return None
        number, arrivals = len(self.tried) + 1, self._arrivals(self._stage, self._rate)
        most_missed_ = None if self._stage == "capacity" else most_missed(arrivals)
        trial = Trial(number, self._stage, self._rate, arrivals, self._seed * _SEED + number, most_missed_)
        needed = arrivals
        if self._stage == "capacity" and self._rate > self._first:
            # Of the trials that follow, half are stopped early, and the knee is not above what is looked for here.
            needed += 2 * self._arrivals("bracket", self._rate / 2) + self._arrivals("confirm", self._rate / 2)
        if needed > self._left:
            self.stop("out of reach" if self._stage == "capacity" else "requests")
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

    def hear(self, trial: Trial, outcome: Outcome) -> Tried:
        """Takes in what became of a trial."""
        tried = Tried(trial, outcome, marked(trial, outcome, self._terms.slo_s))
        self.tried.append(tried)
        self._late = self._late + 1 if tried.mark == "late" else self._late * (tried.mark == "cut")
        passed, most_failed = tried.mark == "passed", outcome.due * (0.5 if self._rate <= self._first else 1.0)
        if outcome.barred or (tried.mark in ("passed", "failed") and outcome.failed >= max(1.0, most_failed)):
            self.stop("failing")
        elif tried.mark == "refused":
            self.stop("rate-limited")
        elif self._late >= MOST_LATE:
            self.stop("generator-limited")
        elif tried.mark in ("late", "cut"):
            pass
        elif trial.stage == "capacity":
            self._take_capacity(outcome, passed=passed)
        elif trial.stage == "bracket":
            self._take_bracket(tried)
        else:
            self._take_confirm(outcome, passed=passed)
        return tried

    def _take_capacity(self, outcome: Outcome, *, passed: bool) -> None:
        slo_s = self._terms.slo_s
        if passed and outcome.p50_s > slo_s and self._rate <= self._first:
            self._why = "never"
        elif passed and self._rate < self._ceiling:
            self._rate = min(2 * self._rate, self._ceiling)
        elif passed and _BRACKET / self._rate > _LONG_S and outcome.p99_s <= slo_s:
            self._why = "rate-limited"
        else:
            self._stage = "bracket"
            self._capacity = None if passed else outcome.done_per_s
            self._high = min(max(self._capacity or math.inf, self._first * _FLOOR), self._ceiling)
            self._low = self._high / 2
            # Where the limiter ends the search, that end is tried first: beyond it nothing can be said.
            self._rate = self._high if self._high >= self._ceiling else self._between()

    def _take_bracket(self, tried: Tried) -> None:
        """A trial that chance may have decided is made once more, and both count."""
        rate, alike = tried.trial.rate_per_s, self._at(tried.trial.rate_per_s)
        if len(alike) == 1 and not is_sure(tried.outcome):
            return
        both = together([each.outcome for each in alike])
        if both.missed <= MISS_SHARE * sum(each.trial.arrivals for each in alike) and not both.stopped:
            self._low, self._is_kept = rate, True
            self._why = "rate-limited" if rate >= self._ceiling else ""
            if rate >= self._high:  # what was answered when it was over-driven was not all that the target can do
                self._high, self._capacity = min(_WIDER * rate, self._ceiling), None
        else:
            self._high, self._is_broken = rate, True
            if self._low >= rate:
                self._low, self._is_kept = rate / 2, False
        if not self._why:
            self._rate = self._between()

    def _between(self) -> float:
        """The rate that is tried next: the middle, then the ends where nobody has tried them."""
        if self._high / self._low > CLOSE * (1 + 1e-9):
            return math.sqrt(self._low * self._high)
        if not self._is_broken:
            return self._high
        if self._is_kept:
            self._stage = "confirm"
        elif self._low < self._first * _FLOOR:
            self._why = "never"
        return self._low

    def _take_confirm(self, outcome: Outcome, *, passed: bool) -> None:
        above = self._rate * CLOSE
        if not passed and self._confirmed:
            self.stop("confirmed")
        elif not passed:
            self._rate /= CLOSE
            self._steps += 1
            self._why = "unsteady" if self._steps >= _MOST_STEPS_DOWN else ""
        else:
            self._confirmed, self._low = outcome, self._rate
            # Where so few reads missed the limit, chance has kept the search below the knee.
            is_low = miss_share(outcome).high <= _SPARE * MISS_SHARE and not self._steps
            if is_low and above <= min(self._capacity or math.inf, self._ceiling) and self._left >= outcome.due:
                self._rate = above
            else:
                self.stop("confirmed")

    def _at(self, rate_per_s: float) -> list[Tried]:
        """The trials at a rate that tell of latency."""
        telling = [each for each in self.tried if each.mark in ("passed", "failed") and each.trial.stage != "capacity"]
        return [each for each in telling if each.trial.rate_per_s == rate_per_s]

    def stop(self, why: Why) -> None:
        """
        Has nothing more tried; the first reason counts. A rate that was confirmed stays so, whatever became of others.
        """
        if self._confirmed:
            self._rate, why = self._low, "confirmed"
        self._why = self._why or why

    def known(self) -> Knee:
        """What is known by now."""
        failed = [each.trial.rate_per_s for each in self.tried if each.mark == "failed"]
        lowest = min((rate for rate in failed if not self._confirmed or rate > self._rate), default=math.inf)
        kept = [each for each in self.tried if each.mark == "passed" and each.trial.rate_per_s < lowest]
        kept = [each for each in kept if each.outcome.missed <= MISS_SHARE * each.outcome.due]
        best = max(kept, key=lambda each: (each.trial.rate_per_s, each.outcome.due), default=None)
        missed = miss_share(self._confirmed) if self._confirmed else None
        return Knee(
            slo_s=self._terms.slo_s,
            why=self._why,
            rate_per_s=self._interval(failed) if missed and self._why == "confirmed" else None,
            capacity_per_s=self._capacity,
            kept_per_s=best.trial.rate_per_s if best else 0.0,
            kept_p99_s=best.outcome.p99_s if best else 0.0,
            last_per_s=self.tried[-1].trial.rate_per_s if self.tried else self._rate,
            ceiling_per_s=None if math.isinf(self._ceiling) else self._ceiling,
            confirmed_by=self._confirmed.due if self._confirmed else 0,
            missed=missed,
            requests=sum(tried.outcome.sent for tried in self.tried),
            seconds=sum(tried.outcome.lasted_s for tried in self.tried),
        )

    def _interval(self, failed: Sequence[float]) -> Interval:
        """From a step below the confirmed rate to the lowest one above it that did not fail by chance."""
        above = [(rate, together([each.outcome for each in self._at(rate)])) for rate in failed if rate > self._rate]
        sure = [rate for rate, both in above if both.due and is_sure(both) and both.missed > MISS_SHARE * both.due]
        most = max(self._rate, min([*sure, self._capacity or self._high], default=self._high))
        return Interval(self._rate, self._rate / CLOSE, most)


# --- what one trial shows --------------------------------------------------------------------------------------------


def most_missed(arrivals: int) -> int:
    """How many misses no chance explains any more at a rate that is kept."""
    spread = math.sqrt(_BUNCH * arrivals * MISS_SHARE * (1 - MISS_SHARE))
    return math.floor(arrivals * MISS_SHARE + _SIGMAS * spread)


def marked(trial: Trial, outcome: Outcome, slo_s: float) -> Mark:
    """What a trial shows.

    It fails only if it would have failed without what the generator sent late, and those that this held up.
    """
    is_late, allowed = outcome.late_p99_s > LATE_SHARE * slo_s, trial.arrivals * MISS_SHARE
    if outcome.refused:
        return "refused"
    if trial.stage == "capacity":
        if outcome.stopped:
            return "cut"
        is_overloaded = outcome.done_per_s < _OVERLOADED * outcome.due_per_s
        if is_late and (is_overloaded or outcome.p50_s > slo_s):
            return "late"
        return "failed" if is_overloaded else "passed"
    if not outcome.stopped and outcome.due and outcome.missed <= allowed:
        return "passed"
    # One that was stopped with fewer misses than it stops itself for was stopped by somebody else.
    if outcome.stopped and outcome.missed <= (allowed if trial.most_missed is None else trial.most_missed):
        return "cut"
    return "late" if is_late or outcome.missed - _DRAGS * outcome.late <= allowed else "failed"


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """What trials at one rate show together: how many reads there were, and how many missed the limit."""
    return Outcome(
        due=sum(each.due for each in outcomes),
        sent=sum(each.sent for each in outcomes),
        slow=sum(each.slow for each in outcomes),
        failed=sum(each.failed for each in outcomes),
        blocks=tuple(block for each in outcomes for block in each.blocks),
        stopped=any(each.stopped for each in outcomes),
    )


def is_sure(outcome: Outcome) -> bool:
    """Whether it is not by chance that a limit is kept or missed."""
    missed = miss_share(outcome)
    return outcome.stopped or not missed.low <= MISS_SHARE <= missed.high


def miss_share(outcome: Outcome) -> Interval:
    """The share of reads that missed the limit: as if there were so many fewer of them as misses come in bunches.

    Source: the interval is that of E. B. Wilson, 1927.
    """
    share = outcome.missed / outcome.due if outcome.due else 0.0
    count = max(outcome.due / _bunching(outcome, share), 1.0)
    squared = _Z * _Z / count
    middle = (share + squared / 2) / (1 + squared)
    half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def _bunching(outcome: Outcome, share: float) -> float:
    """How much more the misses of the seconds of a trial differ than chance alone would have it; 1 at least."""
    blocks = [block for block in outcome.blocks if block[0]]
    if len(blocks) < 4 or not 0 < share < 1:
        return 1.0
    off = sum((missed - share * count) ** 2 for count, missed in blocks) * len(blocks) / (len(blocks) - 1)
    return max(1.0, off / (share * (1 - share) * sum(count for count, _ in blocks)))


# --- what the limiter leaves to a trial ------------------------------------------------------------------------------


def ceiling(identity: Identity) -> tuple[float, float]:
    """What the limiters that were found let a trial have, of reads that come by chance.

    Returns:
        The highest mean rate a second, 0 where any may be refused, infinite without a limiter; and the seconds without
        a read after which all of it is there again.
    """
    left = _MARGIN * (1 - min(identity.others_share.high, 0.95))
    found = [each for tier in identity.tiers if (each := _ceiling(tier, left))]
    return min((rate for rate, _ in found), default=math.inf), max((rest_s for _, rest_s in found), default=0.0)


def _ceiling(tier: Tier, left: float) -> tuple[float, float] | None:
    """The same of one limiter, each family taken for one that is stricter: a count in any window, or a bucket."""
    numbers = tier.numbers
    match tier.family:
        case "fixed-window" | "sliding-log" | "sliding-counter":
            # The last window of a counter weighs as much as is left of it, which is more than what it holds.
            weighed = _WEIGHED if tier.family == "sliding-counter" else 1.0
            window_s = max(numbers["window_s"].high, numbers["block_s"].high if "block_s" in numbers else 0.0)
            return _of_window(math.floor(weighed * left * numbers["limit"].low), window_s), 2 * window_s
        case "decaying-counter":
            count, window_s = _DECAYED * left * numbers["limit"].low, numbers["window_s"].high
            return _of_bucket(count, count / window_s), window_s
        case "token-bucket" | "leaky-bucket":
            rate = numbers["rate_per_s"].low if "rate_per_s" in numbers else 0.0
            rate = left * max(rate or ("limit" in numbers and numbers["limit"].low / numbers["window_s"].high), 1e-6)
            # What waits in a queue is answered late, and that is the limiter's doing.
            spared = "burst" if tier.family == "token-bucket" else "delay"
            count = max(left * numbers[spared].low if spared in numbers else 0.0, 1.0)
            return _of_bucket(count, rate), count / rate
        case "minimum-gap":
            return 0.0, numbers["gap_s"].high
    return None


def _of_window(count: int, window_s: float) -> float:
    """The rate at which *count* in a window is so many standard deviations above the mean of a Poisson process."""
    root = (math.sqrt(_UNLIKELY * _UNLIKELY + 4 * count) - _UNLIKELY) / 2
    return root * root / window_s if count > _UNLIKELY else 0.0


def _of_bucket(count: float, rate_per_s: float) -> float:
    """The rate at which a bucket is as unlikely to run empty: the share that is used leaves exp(-2 count (1 - share)).

    Source: the heavy-traffic limit of M/D/1 (J. F. C. Kingman, 1962).
    """
    return rate_per_s * max(0.0, 1 - _UNLIKELY * _UNLIKELY / (2.5 * count))


# --- in words --------------------------------------------------------------------------------------------------------


def why_words(knee: Knee) -> str:
    """Why the knee is not known, and what would help; empty where it is."""
    if knee.why == "never" and not knee.requests:
        return f"p99 ≤ {brief(knee.slo_s)} is not kept at rest: half of the answers take longer; raise --slo-ms"
    if knee.why != "rate-limited":
        return _WHYS[knee.why].format(rate=figure(knee.last_per_s), limit=f"p99 ≤ {brief(knee.slo_s)}")
    if knee.ceiling_per_s is not None and knee.ceiling_per_s <= 0:
        return "the rate limit hides it: it refuses some of the reads that come by chance, at any rate"
    at = f"p99 is {brief(knee.kept_p99_s)} at {figure(knee.kept_per_s)} a second"
    if knee.ceiling_per_s is not None and knee.kept_per_s >= knee.ceiling_per_s:
        return f"the rate limit hides it: {at}, and of more some would be refused"
    kept = f", and {at}" if knee.kept_per_s else ""
    return f"a rate limit hides it: reads were refused at {figure(knee.last_per_s)} a second{kept}"


_WHYS = {
    "": "it ended before it was told",
    "confirmed": "",
    "generator-limited": (
        f"generator-limited: {MOST_LATE} trials in a row failed while reads were sent late; use a machine with less "
        "to do, or raise --slo-ms"
    ),
    "out of reach": "the target can do more than may be asked of it; raise --max-requests",
    "requests": "the requests that may be sent are spent; raise --max-requests",
    "seconds": "the time is over; raise --max-seconds",
    "never": "{limit} is not kept even at {rate} a second; raise --slo-ms",
    "unsteady": "no rate that was kept for a while was kept for longer, down to {rate} a second",
    "unsettled": "the limiter is not known for sure, and nothing was driven",
    "failing": "reads fail, at {rate} a second",
    "interrupted": "it was interrupted",
}
