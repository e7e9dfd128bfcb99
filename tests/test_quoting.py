"""A message repeats what cannot be a key, and of anything else it says what it is."""

from typing import Any

import pytest

from touchstone.contract.quoting import quoted, quoted_line


@pytest.mark.parametrize(
    "value",
    [
        "quick",
        "spike:10..100@40s+2s",
        "default/claude-code@1.0",
        "history.second-cancel-is-consistent",
        "https://staging.example.test/api",
        "disk-of-a-ship",
        "",
        5,
        -1.5,
        True,
        None,
    ],
)
def test_what_cannot_be_a_key_is_repeated(value: Any) -> None:
    """Numbers and words stand in a message as they were written."""
    assert quoted(value) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        "sk_live_short",
        "Bearer SK-ant",
        "0123456789ab" + "cdef",
        "correcthorsebatterystaple",
        "550e8400-e29b-41d4-a716-446655440000",
        "https://h/x/0a1b2c3d4e5f6",
        b"sk_live_short",
    ],
)
def test_what_may_be_a_key_is_told_by_its_length(value: Any) -> None:
    """A text that begins like a key, or holds a run of random characters, is not repeated."""
    assert quoted(value) == f"a text of {len(value)} characters (not shown)"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"HTTP/1.1 200 OK", "b'HTTP/1.1 200 OK'"),
        (b"ORGO_API_KEY=sk_live_short", "a text of 26 characters (not shown)"),
        (b"hello " * 10, repr(b"hello " * 10)),
        (b"hello " * 11, "a line of 66 bytes"),
    ],
)
def test_line_of_somebody_else_is_repeated_whole_or_not_at_all(line: bytes, told: str) -> None:
    """Where it would have to be cut, a key in it may be cut as well, and not be known for one any more."""
    assert quoted_line(line) == told


@pytest.mark.parametrize(
    ("value", "told"), [({"a": "b"}, "a table"), ({}, "a table"), (["a"], "a list"), (("a",), "a list")]
)
def test_content_of_a_container_is_not_repeated(value: Any, told: str) -> None:
    """A table or a list may hold anything."""
    assert quoted(value) == told


def test_number_of_thousands_of_digits_is_described() -> None:
    """What repr refuses to write needs no repetition either."""
    assert quoted(10**5000) == "a number with thousands of digits"
