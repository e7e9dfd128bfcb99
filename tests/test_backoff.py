"""Waiting after a 429."""

from itertools import islice

import pytest

from touchstone.facts.backoff import back_off_s, http_date, poll_s, retry_after_s
from touchstone.facts.exchange import Response

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def response(retry_after: str | None = None, date: str | None = DATE) -> Response:
    headers = [("retry-after", retry_after), ("Date", date)]
    return Response(429, tuple((name, value) for name, value in headers if value is not None))


def test_waits_double_up_to_a_minute() -> None:
    """Without the server's word a client waits 1 s, twice as long each time, and at most 60 s."""
    assert list(islice(back_off_s(), 9)) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_polls_come_after_a_share_of_the_time_waited() -> None:
    """The first polls come at once, later ones after an eighth of the time, none after more than a second."""
    assert [poll_s(waited_s) for waited_s in (0, 0.05, 1, 5, 60)] == [0.01, 0.01, 0.12, 0.6, 1]


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("007", 7.0),
        ("Sun, 06 Nov 1994 08:49:40 GMT", 3.0),
        ("Sunday, 06-Nov-94 08:49:40 GMT", 3.0),
        ("Sun Nov  6 08:49:40 1994", 3.0),
        ("Sun, 06 Nov 1994 08:49:30 GMT", 0.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("1 s", None),
        ("٣", None),
        ("9" * 10, None),
        ("1994-11-06T08:49:40Z", None),
        ("Sun, 06 Nov 1994 08:49:40 +0000", None),
    ],
)
def test_retry_after_is_read_strictly(value: str | None, expected_s: float | None) -> None:
    """Retry-After is whole seconds or an HTTP date, and anything else asks for nothing."""
    assert retry_after_s(response(value)) == expected_s


def test_date_needs_the_servers_own_clock() -> None:
    """A date is worth nothing without the Date of the same answer."""
    later = "Sun, 06 Nov 1994 08:49:40 GMT"

    assert (retry_after_s(response(later, None)), retry_after_s(response(later, "now"))) == (None, None)


def test_no_answer_asks_for_nothing() -> None:
    """Where no response came, there is nothing to wait for."""
    assert retry_after_s(None) is None


def test_date_is_in_utc() -> None:
    """An HTTP date names a moment in UTC, and a text that is none names nothing."""
    moment = http_date(DATE)

    assert moment is not None
    assert moment.isoformat() == "1994-11-06T08:49:37+00:00"
    assert http_date("yesterday") is None
