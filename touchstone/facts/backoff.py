"""Wait times: Retry-After, the documented back-off, and the interval between polls of a build."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate, repeat

from touchstone.facts.exchange import Response

FIRST_WAIT_S = 1.0  # Documentation, page api-intro: wait 1 s, then twice as long each time, at most 60 s.
LONGEST_WAIT_S = 60.0

# Pauses between polls: a share of the wait so far, within bounds, but at least a share of the duration of a build.
SHORTEST_POLL_S, LONGEST_POLL_S, POLL_SHARE, LEAST_POLL_SHARE = 0.01, 1.0, 0.12, 0.05

# RFC 9110, 5.6.7: servers send dates in the first form; clients must also accept the two obsolete forms.
_DATE_FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


def back_off_s() -> Iterator[float]:
    """Returns the documented back-off times in seconds: 1, doubled each time, at most 60."""
    return accumulate(repeat(LONGEST_WAIT_S), lambda wait_s, most_s: min(2 * wait_s, most_s), initial=FIRST_WAIT_S)


def poll_s(waited_s: float, build_s: float = 0.0) -> float:
    """Returns the seconds until the next poll: 12 % of the time waited so far, at least 0.01 and at most 1.

    It is longer for long builds: at least 5 % of the time waited so far or of *build_s*, the usual time of a build.
    """
    least_s = LEAST_POLL_SHARE * max(waited_s, build_s)
    return max(min(max(waited_s * POLL_SHARE, SHORTEST_POLL_S), LONGEST_POLL_S), least_s)


def retry_after_s(response: Response | None) -> float | None:
    """Returns Retry-After in seconds from the arrival of *response*; None if the header is missing or invalid.

    A date is compared with the Date header, because the clock of the server may be wrong. Source: RFC 9110, 10.2.3.
    """
    value = response.header("Retry-After") if response else None
    if response is None or value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until, now = http_date(value), http_date(response.header("date") or "")
    return max(0.0, (until - now).total_seconds()) if until and now else None


def http_date(value: str) -> datetime | None:
    """Parses an HTTP date; returns None for an invalid one."""
    for form in _DATE_FORMS:
        with suppress(ValueError):
            return datetime.strptime(value, form).replace(tzinfo=UTC)
    return None
