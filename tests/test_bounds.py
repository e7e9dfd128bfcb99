"""
How deep JSON goes is told without reading it, and what a bound is called is told with it.
"""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.bounds import BOUND_NAMES, DEFAULT_BOUNDS, Bounds, line_too_deep, too_deep
from touchstone.settings_file import TARGET_KEYS

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\ab\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), inner, max_size=3),
    max_leaves=12,
)


def depth(value: object) -> int:
    """
    How many arrays and objects are within each other.
    """
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(value=VALUES, most=st.integers(0, 6), spaced=st.booleans())
def test_depth_is_that_of_the_value(value: object, most: int, spaced: bool) -> None:
    """
    JSON is too deep where its value is, whatever its texts hold, and what is kept of it is deep enough to show it.
    """
    body = json.dumps(value, indent=1 if spaced else None).encode()
    cut = too_deep(body, most)
    assert (cut is not None) == (depth(value) > most)
    if cut is not None:
        assert too_deep(body[:cut], most) is None
        assert body[cut : cut + 1] in (b"[", b"{")


@pytest.mark.parametrize("body", [b"<" + b"[" * 500, b"", b"\xff" + b"{" * 500, b'"' + b"[" * 500])
def test_what_is_no_json_has_no_depth(body: bytes) -> None:
    """
    Brackets of a page or of garbage are no nesting.
    """
    assert too_deep(body, 100) is None


def test_string_without_an_end_is_read_once() -> None:
    """
    A text that never ends costs no more than its length, however many quotes it escapes.
    """
    body = b"[" * 101 + b'"' + b'\\"' * 200_000
    began = time.process_time()
    assert too_deep(body, 101) is None
    # Reading it anew from each quote would take hours.
    assert time.process_time() - began < 20


def test_depth_of_a_stream_is_that_of_its_data() -> None:
    """
    In a stream each data line is a text of its own; other lines are none.
    """
    deep = b"[" * 5 + b"]" * 5
    assert line_too_deep(b"data: " + deep + b"\n\ndata: " + deep + b"\n", 5) is None
    assert line_too_deep(b": " + deep + b"\n" + deep + b"\n", 4) is None
    cut = line_too_deep(b"data: 1\n\ndata:" + deep + b"\n", 4)
    assert cut == len(b"data: 1\n\ndata:") + 4


def test_bound_is_told_by_the_name_of_its_setting() -> None:
    """
    Whoever is told of a bound knows what to set, and each bound is a setting of a target.
    """
    assert Bounds(max_headers=7).told("max_headers") == "max_headers = 7"
    assert set(BOUND_NAMES) <= TARGET_KEYS.keys()


def test_body_fits_up_to_its_bounds() -> None:
    """
    A body fits that has exactly as many bytes, or goes exactly as deep, as is allowed.
    """
    bounds = Bounds(max_body_bytes=10, max_json_depth=2)
    assert bounds.fit(b"[[1,2,34]]")
    assert not bounds.fit(b"[[1,2,345]]")
    assert not bounds.fit(b"[[[]]]")
    assert DEFAULT_BOUNDS.fit(b"[" * 100 + b"]" * 100)
    assert not DEFAULT_BOUNDS.fit(b"[" * 101 + b"]" * 101)
