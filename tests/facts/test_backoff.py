"""Wait times after a 429 response, and between polls of a build."""

from itertools import islice

import pytest

from touchstone.facts.backoff import back_off_s, retry_after_s
from touchstone.facts.exchange import Response

DATE, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:40 GMT"


def response(retry_after: str | None = None, date: str | None = DATE) -> Response:
    headers = [("retry-after", retry_after), ("Date", date)]
    return Response(429, tuple((name, value) for name, value in headers if value is not None))


def test_back_off_doubles_up_to_a_minute() -> None:
    assert list(islice(back_off_s(), 9)) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("0", 0.0),
        ("007", 7.0),
        (LATER, 3.0),
        ("Sunday, 06-Nov-94 08:49:40 GMT", 3.0),
        ("Sun Nov  6 08:49:40 1994", 3.0),
        ("Sun, 06 Nov 1994 08:49:30 GMT", 0.0),
        *((odd, None) for odd in (None, "", "-1", "1.5", "soon", "1 s", "٣", "9" * 10, "1994-11-06T08:49:40Z")),
        ("Sun, 06 Nov 1994 08:49:40 +0000", None),
    ],
)
def test_retry_after_is_whole_seconds_or_an_http_date(value: str | None, expected_s: float | None) -> None:
    assert retry_after_s(response(value)) == expected_s


def test_retry_after_date_needs_the_date_of_the_response() -> None:
    assert retry_after_s(response(LATER, None)) is retry_after_s(response(LATER, "now")) is retry_after_s(None) is None
