"""Messages quote values that cannot be keys, and describe others without their value."""

import re
from typing import Any

import pytest

from touchstone.errors import MIN_SECRET_LENGTH, described, quoted

HARMLESS: list[Any] = [
    *("spike:10..100@40s+2s", "default/claude-code@1.0", "history.second-cancel-is-consistent"),
    *("https://staging.example.test/api", "disk-of-a-ship", "", -1.5, None),
]
LIKE_KEYS: list[Any] = [
    *("sk_live_short", "Bearer SK-ant", "0123456789abcdef", "correcthorsebatterystaple", b"sk_live_short"),
    *("550e8400-e29b-41d4-a716-446655440000", "https://h/x/0a1b2c3d4e5f6"),
]


@pytest.mark.parametrize("value", HARMLESS)
def test_ordinary_value_is_quoted(value: Any) -> None:
    assert quoted(value) == repr(value)


@pytest.mark.parametrize("value", [*LIKE_KEYS, {"key": "hush"}, ["hush"], ("hush",), {"hush"}, {}])
def test_possible_key_or_container_is_not_quoted(value: Any) -> None:
    text = quoted(value)
    assert not re.search(r"hush|sk[_-]|0123|correct|550e|0a1b", text, re.IGNORECASE)
    assert len(text) < 60
    if value in LIKE_KEYS:
        assert str(len(value)) in text


def test_description_hides_long_texts_and_containers() -> None:
    short, long = "x" * (MIN_SECRET_LENGTH - 1), "x" * MIN_SECRET_LENGTH
    assert [described(value) for value in (short, None, 5, True)] == [repr(short), "None", "5", "True"]
    assert not [value for value in (long, {"a": long}, [long]) if long in described(value)]
