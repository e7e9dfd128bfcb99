"""What a finding tells of a build log: frames in words, and which lines are missing."""

from typing import Any

import pytest

from touchstone.rules.eventlog import frames_apart, lines_astray, render_frame

LINES = [f"step {number}" for number in range(1, 41)]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"ts": "now", "source": "builder", "line": "a b", "phase": "boot", "level": "info"}, "'a b' (FIELDS)"),
        ({"phase": "boot", "level": "info", "source": "builder"}, "FIELDS"),
        ({"line": "a", "source": "b", "extra": 1}, "'a' (source b, extra 1)"),
        ({"line": "a"}, "'a'"),
        ({"phase": "a" * 79}, f"phase {'a' * 79}"),
        ({"phase": "a" * 80}, f"phase '{'a' * 78}…"),
        ({"line": None, "seq": 4, "extra": ""}, "None (extra '', seq 4)"),
        ({"line": "a", "phase": "bo\not"}, r"'a' (phase 'bo\not')"),
        ({"line": "a" * 200}, f"'{'a' * 78}…"),
        ({"phase": "a" * 200}, f"phase '{'a' * 78}…"),
        ({"ts": "now"}, "a frame that tells nothing"),
    ],
)
def test_frame_is_told_in_words(frame: dict[str, Any], told: str) -> None:
    """Its line, then its fields, those of the documentation first; what is no plain text shows what it is."""
    assert render_frame(frame) == told.replace("FIELDS", "phase boot, level info, source builder")


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ({12}, "line 12 of 40 missing: 'step 12'"),
        ({3, 6, 9}, "lines 3, 6 and 9 of 40 missing; line 3 is 'step 3'"),
        ({1, 2}, "lines 1 and 2 of 40 missing; line 1 is 'step 1'"),
        ({*range(15, 41)}, "lines 15 to 40 of 40 missing; line 15 is 'step 15'"),
        ({4, *range(7, 10), 40}, "lines 4, 7 to 9 and 40 of 40 missing; line 4 is 'step 4'"),
        (
            {*range(2, 41, 2)},
            "lines 2, 4, 6, 8, 10, 12, 14, 16 and 12 more of 40 missing; line 2 is 'step 2'",
        ),
        ({*range(1, 41)}, "lines 1 to 40 of 40 missing; line 1 is 'step 1'"),
        (set(), ""),
    ],
)
def test_missing_lines_are_named(left_out: set[int], told: str) -> None:
    """By number, with the text of the first; rows of them as one, and no endless list."""
    assert lines_astray([line for n, line in enumerate(LINES, 1) if n not in left_out], LINES) == told


def test_lines_in_another_order_and_lines_that_come_twice_are_named() -> None:
    """Where none is missing."""
    swapped = [LINES[0], LINES[2], LINES[1], *LINES[3:]]
    assert lines_astray(swapped, LINES) == "line 2 of 40 after line 3: 'step 2'"
    assert lines_astray([*LINES, LINES[6]], LINES) == "line 7 of 40 2 times: 'step 7'"
    assert lines_astray([*LINES[1:], LINES[6]], LINES) == "line 1 of 40 missing: 'step 1'"


def test_long_lines_are_cut() -> None:
    """To what fits beside the other words."""
    lines = [f"{number}{'a' * 200}" for number in range(3)]
    cut = f"'1{'a' * 77}…"
    assert lines_astray([lines[0], lines[2]], lines) == f"line 2 of 3 missing: {cut}"
    assert lines_astray([lines[0], lines[2], lines[1]], lines) == f"line 2 of 3 after line 3: {cut}"
    assert lines_astray([*lines, lines[1]], lines) == f"line 2 of 3 2 times: {cut}"


def frames(*lines: str, at: str = "now") -> list[dict[str, Any]]:
    """One frame a line."""
    return [{"ts": at, "line": line} for line in lines]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("abcd", "abcd", ""),
        ("abcd", "cd", ""),
        ("abcd", "acd", "of 4 frames that one watcher was sent, another missed frame 2: 'b'"),
        ("abcde", "ace", "of 5 frames that one watcher was sent, another missed frames 2 and 4; frame 2 is 'b'"),
        ("abcde", "bde", "of 5 frames that one watcher was sent, another missed frame 3: 'c'"),
        ("aabd", "abd", ""),
        ("abbd", "abd", "of 4 frames that one watcher was sent, another missed frame 3: 'b'"),
        ("abcd", "ab", "of 4 frames that one watcher was sent, another missed frames 3 and 4; frame 3 is 'c'"),
        ("abcd", "acbd", "'c' for one watcher, 'b' for another at the same place"),
        ("abcd", "axcd", "'b' for one watcher, 'x' for another at the same place"),
    ],
)
def test_two_watchers_are_told_apart_by_what_one_missed(one: str, other: str, told: str) -> None:
    """Times do not count, nor the first frames, which one who came later may miss."""
    assert frames_apart(frames(*one), frames(*other, at="later")) == told
    if "place" not in told:
        assert frames_apart(frames(*other), frames(*one, at="later")) == told
