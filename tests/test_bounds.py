"""How deep JSON goes, and how much it holds, is told without reading it, and what a bound is called is told with it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.config import TargetTable
from touchstone.target.bounds import BOUND_NAMES, DEFAULT_BOUNDS, Bounds

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\ab\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), inner, max_size=3),
    max_leaves=12,
)


def depth(value: object) -> int:
    """How many arrays and objects are within each other."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def marks(value: object) -> int:
    """How many commas and opening brackets JSON has outside of texts."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return 0
    return 1 + max(0, len(inner) - 1) + sum(map(marks, inner))


@pytest.mark.parametrize(
    ("bound", "counted", "problem", "marks_of_it"),
    [
        ("max_json_depth", depth, "JSON is nested deeper than", b"[{"),
        ("max_json_values", marks, "JSON has more values than", b"[{,"),
    ],
)
@given(value=VALUES, most=st.integers(0, 9), spaced=st.booleans())
def test_json_is_cut_where_its_value_goes_beyond_a_bound(
    bound: str,
    counted: Callable[[object], int],
    problem: str,
    marks_of_it: bytes,
    value: object,
    most: int,
    spaced: bool,
) -> None:
    """It does where the value does, whatever its texts hold, and what is kept of it is enough to show it."""
    body = json.dumps(value, indent=1 if spaced else None).encode()
    bounds = replace(DEFAULT_BOUNDS, **{bound: most})
    cut = bounds.cut(body)
    assert (cut is not None) == (counted(value) > most)
    if cut is not None:
        assert cut.problem == f"{problem} {bound} = {most}"
        assert bounds.cut(body[: cut.at]) is None
        assert body[cut.at] in marks_of_it


@pytest.mark.parametrize("body", [b"<" + b"[" * 500, b"", b"\xff" + b"{" * 500, b'"' + b"[" * 500])
def test_what_is_no_json_has_no_depth(body: bytes) -> None:
    """Brackets of a page or of garbage are no nesting."""
    assert DEFAULT_BOUNDS.cut(body) is None


def test_string_without_an_end_is_read_once() -> None:
    """A text that never ends costs no more than its length, however many quotes it escapes."""
    body = b"[" * 101 + b'"' + b'\\"' * 200_000
    began = time.process_time()
    assert Bounds(max_json_depth=101).cut(body) is None
    # Reading it anew from each quote would take hours.
    assert time.process_time() - began < 20


def test_depth_of_a_stream_is_that_of_its_data() -> None:
    """In a stream each data line is a text of its own; other lines are none."""
    deep = b"[" * 5 + b"]" * 5
    five, four = Bounds(max_json_depth=5), Bounds(max_json_depth=4)
    assert five.cut_stream(b"data: " + deep + b"\n\ndata: " + deep + b"\n") is None
    assert four.cut_stream(b": " + deep + b"\n" + deep + b"\n") is None
    cut = four.cut_stream(b"data: 1\n\ndata:" + deep + b"\n")
    assert cut
    assert cut.at == len(b"data: 1\n\ndata:") + 4


def test_values_of_a_stream_are_those_of_a_line() -> None:
    """A long log of many small events is as long as it is; one event that is large is too large."""
    bounds = Bounds(max_json_values=3)
    assert bounds.cut_stream(b"data: [1,2,3]\n\n" * 100) is None
    cut = bounds.cut_stream(b"data: [1,2,3]\n\ndata: [1,2,3,4]\n\n")
    assert cut
    assert cut.problem == "JSON has more values than max_json_values = 3"


def test_bound_is_told_by_the_name_of_its_setting() -> None:
    """Whoever is told of a bound knows what to set, and each bound is a setting of a target."""
    assert Bounds(max_headers=7).describe("max_headers") == "max_headers = 7"
    assert set(BOUND_NAMES) <= TargetTable.model_fields.keys()


def test_json_fits_up_to_its_bounds() -> None:
    """JSON fits that goes exactly as deep as is allowed."""
    assert Bounds(max_json_depth=2).cut(b"[[1,2,34]]") is None
    assert Bounds(max_json_depth=2).cut(b"[[[]]]") is not None
    assert DEFAULT_BOUNDS.cut(b"[" * 100 + b"]" * 100) is None
    assert DEFAULT_BOUNDS.cut(b"[" * 101 + b"]" * 101) is not None
