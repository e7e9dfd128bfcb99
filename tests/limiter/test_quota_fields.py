"""What answers say of a quota: every dialect comes to the same numbers, and what is none is passed over."""

import pytest

from touchstone.limiter.probe.sender import quota


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"RateLimit": "limit=10, remaining=5, reset=3"}, {"limit": 10, "remaining": 5}),
        ({"RateLimit-Limit": "10, 10;w=60;burst=1000, 5000;w=3600"}, {"limit": 10, "window_s": 60}),
        (
            {"RateLimit": '"default";r=5;t=3', "RateLimit-Policy": '"default";q=10;w=60'},
            {"limit": 10, "remaining": 5, "window_s": 60},
        ),
        (
            {"RateLimit": '"day";r=50;t=900, "burst";r=1;t=2', "RateLimit-Policy": '"day";q=9;w=99, "burst";q=4;w=9'},
            {"limit": 4, "remaining": 1, "window_s": 9},
        ),
        (
            {
                "RateLimit": '"permin";r=50;t=30,"jobs";r=2',
                "RateLimit-Policy": '"permin";q=60;w=60,"jobs";q=4;qu="concurrent-requests"',
            },
            {"limit": 60, "remaining": 50, "window_s": 60},
        ),
        ({"RateLimit": '"a, b; c";r=5;pk=:dXNlcg==:'}, {"remaining": 5}),
        (
            {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "30"},
            {"limit": 10, "remaining": 9},
        ),
        ({"x-rate-limit-limit": "3"}, {"limit": 3}),
        ({"X-RateLimit-Limit": "9", "RateLimit-Limit": "4"}, {"limit": 4}),
    ],
)
def test_every_dialect_is_read(headers: dict[str, str], expected: dict[str, float]) -> None:
    assert quota([(name.swapcase(), value) for name, value in headers.items()]) == expected


@pytest.mark.parametrize(
    "value", ["", "none", "-3", "1e9", "0x10", "5;", '"unended', "limit=", "limit=;r=", ",,;;==", "٣", "1" * 40]
)
@pytest.mark.parametrize("name", ["RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "RateLimit-Remaining"])
def test_value_in_no_known_form_is_passed_over(name: str, value: str) -> None:
    assert quota([(name, value)]) in ({}, {"remaining": 5.0}, {"limit": 5.0})
