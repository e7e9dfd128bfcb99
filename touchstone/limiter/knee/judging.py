"""What one trial tells, and how far the share of misses may be off; pure."""

import math
from collections.abc import Sequence

from touchstone.facts.identity import Interval
from touchstone.facts.knee_trials import MISS_SHARE, Mark, Outcome, Trial

# Answers a second below this share of what comes are those of a target that cannot do more.
OVERLOADED = 0.85
# A generator that is later than this share of the limit, at the percentile that is asked about, may be what is slow.
LATE_SHARE = 0.1
# One read that is sent late is in the way of some that follow it, where a target is nearly busy.
_DRAGS = 5
_SIGMAS, _BUNCH = 3.0, 4
# Of 95 % of a normal distribution.
_Z = 1.959964


def most_missed(arrivals: int) -> int:
    """How many misses no chance explains any more at a rate that is kept: three standard deviations over the allowance.

    Misses come in bunches, of which one of four reads makes the spread twice as wide as chance alone would have it.
    """
    spread = math.sqrt(_BUNCH * arrivals * MISS_SHARE * (1 - MISS_SHARE))
    return math.floor(arrivals * MISS_SHARE + _SIGMAS * spread)


def marked(trial: Trial, outcome: Outcome, slo_s: float) -> Mark:
    """What a trial tells.

    It fails only if it would have failed without what the generator sent late, and those that this held up.
    """
    if outcome.refused:
        return "refused"
    if trial.stage == "capacity":
        return _capacity(outcome, slo_s)
    allowed = trial.arrivals * MISS_SHARE
    if not outcome.stopped and outcome.due and outcome.missed + outcome.unsent <= allowed:
        return "passed"
    # One that was stopped with fewer misses than it stops itself for was stopped by somebody else.
    if outcome.stopped and outcome.missed <= (allowed if trial.most_missed is None else trial.most_missed):
        return "cut"
    return "late" if _is_late(outcome, slo_s) or _own(outcome) <= allowed else "failed"


def _capacity(outcome: Outcome, slo_s: float) -> Mark:
    if outcome.stopped:
        return "cut"
    # That half of the answers are late, and that answers do not keep up, is something that a trial may be blamed for.
    slow = outcome.p50_s > slo_s or outcome.unsent > MISS_SHARE * outcome.due
    if _is_late(outcome, slo_s) and (slow or is_overloaded(outcome)):
        return "late"
    return "failed" if is_overloaded(outcome) else "passed"


def is_overloaded(outcome: Outcome) -> bool:
    """Whether answers came more slowly than reads."""
    return outcome.done_per_s < OVERLOADED * outcome.due_per_s


def _is_late(outcome: Outcome, slo_s: float) -> bool:
    return outcome.late_p99_s > LATE_SHARE * slo_s or outcome.unsent > MISS_SHARE * outcome.due


def _own(outcome: Outcome) -> int:
    """Misses that the generator has nothing to do with."""
    return outcome.missed - _DRAGS * outcome.late


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """What trials at one rate tell together: how many reads there were, and how many missed the limit."""
    return Outcome(
        due=sum(each.due for each in outcomes),
        sent=sum(each.sent for each in outcomes),
        slow=sum(each.slow for each in outcomes),
        failed=sum(each.failed for each in outcomes),
        unsent=sum(each.unsent for each in outcomes),
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
