"""
How long to wait: after a 429, by the server's own word or by doubling, between two looks at a build, and once in vain.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime

from touchstone.facts.exchange import Response

# api-intro: wait 1 s, double each time, at most 60 s.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

# A poll comes after a share of the time waited so far, so that an end is noticed late by that share at most.
SHORTEST_POLL_S, LONGEST_POLL_S, POLL_SHARE = 0.01, 1.0, 0.12

# After so many reads in a row, over so many seconds, that say not_built nothing is on its way that could be waited for.
IDLE_POLLS, IDLE_S = 10, 1.0

# After so many reads in a row, over so many seconds, that nobody answers there is no server any more.
SILENT_POLLS, SILENT_S = 10, 5.0

# Once a wait was in vain, the next ones are shorter by this share; after so many in a row there is none any more. A
# target that never has room, or whose builds never end, would otherwise cost its whole patience in every case.
TIRED_SHARE, GIVEN_UP_AFTER = 0.1, 3
# No wait is cut to less than so many times the longest one that ended well.
_SURE_TIMES = 2

# RFC 9110 5.6.7: a date is in the first form; recipients must also accept the two obsolete ones.
_DATE_FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


class Vain:
    """The waits in a row that ended in vain, by what they waited for."""

    def __init__(self) -> None:
        self._times: Counter[Hashable] = Counter()
        self._longest_s: dict[Hashable, float] = {}

    def limit_s(self, key: Hashable, most_s: float, needed_s: float = 0.0, *, is_fault: bool = False) -> float:
        """How long the next wait for *key* may take; 0 where it is given up.

        Args:
            most_s: How long the first one may take.
            needed_s: What a wait for it takes at least, as far as that is known.
            is_fault: Whether what is waited out is a fault by itself, so that even the first wait is a short one.
        """
        times = self._times[key]
        if times >= GIVEN_UP_AFTER:
            return 0.0
        if not times and not is_fault:
            return most_s
        return min(most_s, max(TIRED_SHARE * most_s + needed_s, _SURE_TIMES * self._longest_s.get(key, 0.0)))

    def add(self, key: Hashable) -> None:
        """Takes note of a wait that ended in vain."""
        self._times[key] += 1

    def lift(self, key: Hashable, most: int, waited_s: float = 0.0) -> None:
        """Takes note of a wait of *waited_s* that ended well: no more than *most* of those in vain count any more."""
        self._times[key] = min(self._times[key], most)
        self._longest_s[key] = max(self._longest_s.get(key, 0.0), waited_s)


def back_off_s() -> Iterator[float]:
    """The waits of a client that follows the documentation: 1 s, doubled each time, at most 60 s."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def poll_s(waited_s: float) -> float:
    """Seconds until the next look at what has been waited for so long."""
    return min(max(waited_s * POLL_SHARE, SHORTEST_POLL_S), LONGEST_POLL_S)


def retry_after_s(response: Response | None) -> float | None:
    """Seconds that Retry-After asks to wait from the arrival of *response*; None where it asks for none that is valid.

    A date counts from the answer's own Date, so that the clocks of the two sides need not agree.

    Source: RFC 9110, 10.2.3.
    """
    value = response.header("Retry-After") if response else None
    if response is None or value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until, now = http_date(value), http_date(response.header("date") or "")
    return max(0.0, (until - now).total_seconds()) if until and now else None


def http_date(value: str) -> datetime | None:
    """The moment that an HTTP date names, or None where the text is none."""
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
