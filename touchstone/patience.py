"""
How long to wait after a 429, by the server's own word or by doubling.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from touchstone.exchange import Response

# api-intro: wait 1 s, double each time, at most 60 s.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0


def retry_after_s(response: Response | None) -> float | None:
    """
    Seconds that Retry-After asks for, or None where the header is absent or unreadable.

    A date is compared with the Date header of the same answer, so that clocks need not agree.

    Source: RFC 9110, 10.2.3.
    """
    value = response.header("Retry-After") if response else None
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip())
    until = _date(value)
    now = _date(response.header("Date") or "") if response else None
    if until is None:
        return None
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def back_off_s() -> Iterator[float]:
    """
    The waits of a client that follows the documentation: 1 s, doubled each time, at most 60 s.
    """
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
