"""One statistic of the times of a load run: what it comes to, and whether it is beyond its limit whatever is not known.

A request that got no answer, or that could not be sent, counts as one that takes for ever.
"""

import math

from touchstone.facts.events import Limit
from touchstone.facts.sample import Histogram
from touchstone.facts.wording import brief, plural
from touchstone.loadgen.statistic import Statistic
from touchstone.loadgen.totals import Totals

# More arrivals than this without a time leave a mean unknown.
_UNTIMED_TOLERATED_SHARE = 0.001


def samples_needed(statistic: Statistic) -> int:
    """How many samples have one beyond the percentile; 1 for what is no percentile."""
    return 1 if statistic.quantile is None else math.ceil(round(1 / (1 - statistic.quantile), 6))


def time_of(statistic: Statistic, own: Totals, unsent: int) -> float | None:
    """A statistic of response times; None where there is no sample, or where it is one that takes for ever.

    Args:
        unsent: Arrivals without a request, which count as if they took for ever.
    """
    value_s = _time_of(statistic, own.times, unsent + own.unanswered)
    return value_s if own.times.cells and math.isfinite(value_s) else None


def breach_of(limit: Limit, statistic: Statistic, own: Totals, late: Histogram) -> str:
    """What shows that a limit is broken even where the generator was late or did not send everything; empty if nothing.

    Args:
        late: How late the generator was. By as much its own delay may have lengthened what it took for service times.
    """
    least_s = _time_of(statistic, own.service, own.unanswered)
    if math.isinf(least_s):
        asked = own.service.count + own.unanswered
        apart = ", followed logs apart" if own.apart else ""
        return f"no answer came to {own.unanswered:,} of {plural(asked, 'request')}{apart}"
    late_s = late.max_s if statistic.name == "max_s" else late.quantile_s(0.99)
    if least_s - late_s <= limit.value:
        return ""
    return f"{brief(least_s)} from sending to the answer, and the generator was no more than {brief(late_s)} late"


def _time_of(statistic: Statistic, times: Histogram, never: int) -> float:
    """0 without a sample."""
    if statistic.quantile is not None:
        return times.quantile_s(statistic.quantile, never)
    if statistic.name == "max_s":
        return math.inf if never else times.max_s
    too_many = never > _UNTIMED_TOLERATED_SHARE * (times.count + never)
    return math.inf if too_many else times.mean_s
