"""How much has to be let through before a limit that is met often counts as the only one; pure."""

import math
from collections.abc import Sequence

from touchstone.facts.identity import Tier
from touchstone.facts.observed import Answer

# Rates of no longer than this often have a longer one behind them: they are spent so many times in a row, up to so many
# requests; what is let through within as long counts, whatever it was sent for.
_MOMENT_S, _MOMENTS, _MOST_MOMENTS = 2.0, 5.0, 61
# The window of a longer rate is hardly ever shorter than this.
_LEAST_LONG_S = 5.0
# Between two fillings there is so much more than what it takes to be full again.
_SLOWER = 1.1


def of_a_moment(tiers: Sequence[Tier], refill_s: float) -> tuple[int, float]:
    """How many have to be let through, and within how many seconds; 0 of any but one rate of a moment.

    Args:
        tiers: What is known of the rate.
        refill_s: How long it takes to give its limit anew.
    """
    if len(tiers) != 1:
        return 0, 0.0
    numbers = tiers[0].numbers
    longest_s = max(refill_s, numbers["window_s"].value if "window_s" in numbers else 0.0)
    if longest_s > _MOMENT_S:
        return 0, 0.0
    most = max((numbers[name].value for name in ("limit", "burst") if name in numbers), default=1.0)
    return min(math.ceil(_MOMENTS * most), _MOST_MOMENTS), max(_SLOWER * _MOMENTS * longest_s, _LEAST_LONG_S)


def most_within(answers: Sequence[Answer], span_s: float) -> int:
    """The most that were accepted of those sent within so many seconds."""
    sent_at = [answer.sent_at for answer in answers if answer.accepted]
    first = most = 0
    for last, at in enumerate(sent_at):
        while at - sent_at[first] > span_s:
            first += 1
        most = max(most, last - first + 1)
    return most
