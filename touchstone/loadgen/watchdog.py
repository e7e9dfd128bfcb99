"""Says while a load run goes on that a limit is broken beyond doubt, so that it may be stopped; pure.

Beyond doubt means: more samples lie beyond the limit than a target that just keeps it would show by chance, so seldom
that no evaluation of a long run should meet it; the generator was not too late to judge; and the run is past its
beginning. What needs the whole run is not judged: throughput, and what has grown.
"""

import math
from collections.abc import Iterable

from touchstone.facts.events import Limit
from touchstone.facts.sample import Histogram, Window
from touchstone.loadgen.metrics import ALL, LATE_S, Totals
from touchstone.loadgen.thresholds import LATE_TOLERATED_SHARE, STATISTICS, Reading, Statistic, time_of

# By chance once in a million evaluations: the exponent of a share's probability, and standard deviations of a mean.
_CERTAINTY = 14.0
_SIGMAS = 5.0
_FEWEST = 20


class Watchdog:
    """Is given windows as they come, and asked now and then.

    Args:
        limits: Those of the run.
        grace_s: Nothing is broken until windows so much later than the first one have come: a target may warm up.
    """

    def __init__(self, limits: Iterable[Limit], grace_s: float) -> None:
        judged = [limit for limit in limits if STATISTICS[limit.statistic].sort in ("time", "share")]
        self._limits = tuple(judged)
        self._grace_s = grace_s
        self._totals = {operation: Totals(operation) for operation in {ALL, *(limit.operation for limit in judged)}}
        self._from_s: int | None = None
        self._to_s = 0

    def see(self, window: Window) -> None:
        """Counts a window; several about the same second add up."""
        for one in self._totals.values():
            one.add(window)
        self._from_s = window.at_s if self._from_s is None else min(self._from_s, window.at_s)
        self._to_s = max(self._to_s, window.at_s + 1)

    def broken(self) -> tuple[Reading, ...]:
        """The limits that are broken beyond doubt by now."""
        if self._from_s is None or self._to_s - self._from_s <= self._grace_s:
            return ()
        readings = (self._reading(limit) for limit in self._limits)
        return tuple(reading for reading in readings if reading is not None)

    def _reading(self, limit: Limit) -> Reading | None:
        statistic, own = STATISTICS[limit.statistic], self._totals[limit.operation]
        if statistic.sort == "time":
            return self._time(limit, statistic, own)
        count, share = {
            "error_share": (own.sent, own.error_share),
            "late_share": (own.late.count, own.late.share_above(LATE_S)),
            "unsent_share": (own.due, own.unsent_share),
        }[statistic.name]
        if count < _FEWEST or not _is_above(share, limit.value, count):
            return None
        return Reading(limit, share, count, "broken")

    def _time(self, limit: Limit, statistic: Statistic, own: Totals) -> Reading | None:
        late = own.late if own.late.cells else self._totals[ALL].late
        value, count = time_of(statistic, own.times, own.unanswered + own.kinds["unsent"]), own.times.count
        too_late = late.quantile_s(0.99) > LATE_TOLERATED_SHARE * limit.value
        if value is None or too_late or count < max(_FEWEST, statistic.samples_needed):
            return None
        if statistic.quantile is not None:
            beyond = _is_above(own.times.share_above(limit.value), 1 - statistic.quantile, count)
        elif statistic.name == "max_s":
            # Its one sample may be one that the generator itself sent late.
            beyond = value - late.max_s > limit.value
        else:
            beyond = value - _SIGMAS * _deviation_s(own.times) / math.sqrt(count) > limit.value
        return Reading(limit, value, count, "broken") if beyond else None


def _is_above(share: float, limit: float, count: int) -> bool:
    """Whether a share of *count* is above its limit by more than chance.

    Source: Hoeffding, Probability Inequalities for Sums of Bounded Random Variables, theorem 1: so large a share has a
    probability of at most exp(-count * divergence), for any count.
    """
    if share <= limit or limit >= 1:
        return False
    if limit <= 0:
        return True
    divergence = share * math.log(share / limit)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - limit))
    return count * divergence > _CERTAINTY


def _deviation_s(times: Histogram) -> float:
    mean_s = times.mean_s
    squares = sum(count * (edge / 1e9 - mean_s) ** 2 for edge, count in times.cells.items())
    return math.sqrt(squares / max(times.count - 1, 1))
