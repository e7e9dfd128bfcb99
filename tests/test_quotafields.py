"""What answers say of a quota: every dialect comes to the same numbers, and what is none is passed over."""

import pytest

from touchstone.limiter.probe.quota_fields import quota, retry_in_s

UTC = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"RateLimit": "limit=10, remaining=5, reset=3"}, {"limit": 10, "remaining": 5, "reset_s": 3}),
        (
            {"RateLimit": "limit=10, remaining=5, reset=3", "RateLimit-Policy": "10;w=60"},
            {"limit": 10, "remaining": 5, "reset_s": 3, "window_s": 60},
        ),
        (
            {"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "7"},
            {"limit": 10, "remaining": 0, "reset_s": 7},
        ),
        ({"RateLimit-Limit": "10, 10;w=60;burst=1000, 5000;w=3600"}, {"limit": 10, "window_s": 60}),
        (
            {"RateLimit": '"default";r=5;t=3', "RateLimit-Policy": '"default";q=10;w=60'},
            {"limit": 10, "remaining": 5, "reset_s": 3, "window_s": 60},
        ),
        (
            {
                "RateLimit": '"day";r=50;t=900, "burst";r=1;t=2',
                "RateLimit-Policy": '"day";q=9;w=99, "burst";q=4;w=9',
            },
            {"limit": 4, "remaining": 1, "reset_s": 2, "window_s": 9},
        ),
        (
            {
                "RateLimit": '"permin";r=50;t=30,"jobs";r=2',
                "RateLimit-Policy": '"permin";q=60;w=60,"jobs";q=4;qu="concurrent-requests"',
            },
            {"limit": 60, "remaining": 50, "reset_s": 30, "window_s": 60, "cap": 4, "cap_remaining": 2},
        ),
        (
            {"RateLimit": '"jobs";r=2', "RateLimit-Policy": '"a";q=9;w=3;qu="content-bytes","jobs";q=4;qu="requests"'},
            {"limit": 4, "remaining": 2},
        ),
        ({"RateLimit-Policy": '"jobs";q=4;qu="concurrent-requests"'}, {"cap": 4}),
        ({"RateLimit": '"a, b; c";r=5;pk=:dXNlcg==:'}, {"remaining": 5}),
        ({"RateLimit-Policy": '"default";q=10;w=60'}, {"limit": 10, "window_s": 60}),
        (
            {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "30"},
            {"limit": 10, "remaining": 9, "reset_s": 30},
        ),
        ({"X-RateLimit-Reset": "1800000012"}, {"reset_s": 12}),
        ({"X-RateLimit-Reset": "1800000012500"}, {"reset_s": 12.5}),
        ({"X-RateLimit-Reset": "1799999000"}, {"reset_s": 0}),
        ({"X-RateLimit-Reset-After": "1.5", "X-RateLimit-Reset": "1800000099"}, {"reset_s": 1.5}),
        ({"x-rate-limit-limit": "3"}, {"limit": 3}),
        ({"X-Retry-In": "97.4ms"}, {"reset_s": 0.0974}),
        ({"X-Retry-In": "1m2.5s"}, {"reset_s": 62.5}),
        ({"X-RateLimit-Reset": "9", "RateLimit-Reset": "3", "X-Retry-In": "8s"}, {"reset_s": 3}),
    ],
)
def test_every_dialect_is_read(headers: dict[str, str], expected: dict[str, float]) -> None:
    """Names have no case, a point in time becomes seconds from now, and the newest dialect counts."""
    assert quota([(name.swapcase(), value) for name, value in headers.items()], UTC) == expected


def test_point_in_time_counts_from_the_servers_own_date() -> None:
    """A server whose clock is wrong tells the same span of time all the same."""
    headers = [("Date", "Sun, 09 Sep 2001 01:46:45 GMT"), ("X-RateLimit-Reset", "1000000015")]
    assert quota(headers, UTC) == {"reset_s": 10}


@pytest.mark.parametrize(
    "value", ["", "none", "-3", "1e9", "0x10", "5;", '"unended', "limit=", "limit=;r=", ",,;;==", "٣", "1" * 40]
)
@pytest.mark.parametrize(
    "name", ["RateLimit", "RateLimit-Policy", "X-RateLimit-Reset", "RateLimit-Remaining", "X-Retry-In"]
)
def test_what_is_none_of_them_tells_nothing(name: str, value: str) -> None:
    """A value in no known form is passed over, and never an error."""
    found = quota([(name, value)], UTC)
    assert found in ({}, {"remaining": 5.0})


def test_span_to_wait_is_told_apart() -> None:
    """X-Retry-In stands in where Retry-After is missing."""
    assert retry_in_s([("x-retry-in", "250ms")]) == 0.25
    assert retry_in_s([("Retry-After", "3")]) is None
