"""The rate limiters, at times that the tests choose."""

import pytest

from tests.twin.starts import lets, waits_until_free
from touchstone.twin.limits import FixedWindow, Limiter, RateLimit, SlidingLog, TokenBucket, limiter_for, parted


def admitted(limiter: Limiter, times: list[float]) -> list[bool]:
    """Which of the starts at *times* are let through."""
    result = []
    for now_at in times:
        fine = limiter.wait_s(now_at) == 0
        if fine:
            limiter.take(now_at)
        result.append(fine)
    return result


def test_fixed_window_opens_with_its_first_start_and_forgets_all_at_once() -> None:
    """Two starts per 4 s, the first at 1: the third is refused until 5, when two more fit."""
    assert admitted(FixedWindow(2, 4), [1, 4.9, 4.99, 5, 5, 5, 9]) == [True, True, False, True, True, False, True]


def test_sliding_log_forgets_one_start_at_a_time() -> None:
    """Two starts per 4 s at 1 and 4.9: at 5 one more fits, the next at 8.9."""
    assert admitted(SlidingLog(2, 4), [1, 4.9, 4.99, 5, 5, 8.8, 8.9]) == [True, True, False, True, False, False, True]


def test_token_bucket_starts_full_and_refills_evenly() -> None:
    """A bucket of three that gains one token per 2 s: three at once, then one every 2 s."""
    assert admitted(TokenBucket(2, 4, 3), [0, 0, 0, 0, 1.9, 2, 3.9, 4]) == [
        True,
        True,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_token_bucket_does_not_fill_beyond_its_burst() -> None:
    """After a long pause a bucket of two still holds two."""
    assert admitted(TokenBucket(1, 1, 2), [0, 0, 100, 100, 100]) == [True, True, True, True, False]


def test_unlimited_never_waits() -> None:
    """Without a limit every start is let through."""
    assert admitted(limiter_for(None), [0.0] * 50) == [True] * 50


@pytest.mark.parametrize("text", ["1/4", "sliding-log:1/4", "token-bucket:1/4"])
def test_waiting_as_long_as_told_is_enough(text: str) -> None:
    """A start that comes exactly when the limiter said is let through, and one a little earlier is not."""
    limiter = limiter_for(RateLimit.parse(text))
    limiter.take(10.0)
    wait_s = limiter.wait_s(11.5)
    assert wait_s == 2.5
    assert limiter.wait_s(11.5 + wait_s - 0.001) > 0
    assert limiter.wait_s(11.5 + wait_s) == 0


@pytest.mark.parametrize("text", ["3/4", "sliding-log:3/4", "token-bucket:3/4"])
def test_asking_how_long_to_wait_changes_nothing(text: str) -> None:
    """Only a taken start counts."""
    limiter = limiter_for(RateLimit.parse(text))
    assert [limiter.wait_s(float(now)) for now in range(5)] == [0.0] * 5
    assert admitted(limiter, [5, 5, 5, 5]) == [True, True, True, False]


@pytest.mark.parametrize(
    ("text", "times", "through"),
    [
        ("none", [0, 0, 0, 0], "yyyy"),
        ("fixed-window:2/4,opens=clock", [3, 3.9, 3.9, 4, 4, 7.9, 8], "yynyyny"),
        # Full at 1, refused at 2: shut until 12, then a window of its own.
        ("fixed-window:2/4,block=10", [1, 1, 2, 6, 11.9, 12, 12, 12], "yynnnyyn"),
        # Refused at 1 and 5.9: shut until 2 and until 6.9, whatever was left of the window.
        ("fixed-window:1/4,block=1", [0, 1, 1.9, 2, 5.9, 6, 6.9], "ynnynny"),
        ("fixed-window:2/4,opens=clock,block=3", [0, 0, 1, 3.9, 4, 4, 4.5], "yynnyyn"),
        # Refused at 3 and 6: each time 4 s more.
        ("fixed-window:1/4,refused=restart", [0, 3, 6, 9.9, 13.9], "ynnny"),
        ("fixed-window:1/4,refused=restart", [0, 3, 7], "yny"),
        ("sliding-log:2/4,refused=count", [0, 1, 2, 4, 5.9, 9.9, 9.9, 9.9], "yynnnyyn"),
        ("sliding-log:2/4,refused=count", [0, 1, 2, 6, 6, 6], "yynyyn"),
        ("minimum-gap:2.5", [1, 3, 3.5, 5.9, 6], "ynyny"),
        ("token-bucket:1/2,burst=2,starts=empty", [7, 8.9, 9, 10.9, 11, 100, 100, 100], "nnynyyyn"),
        # Two tokens a second that come at whole seconds.
        ("token-bucket:2/1,tick=1", [0.5, 0.5, 0.9, 1, 1, 1, 1.99, 2], "yynyynny"),
        ("token-bucket:1/2,tick=0.75,burst=1", [0, 2.2, 2.25, 4.49, 4.5], "ynyny"),
        ("token-bucket:1/2,burst=1,tick=1,starts=empty", [0.5, 1.9, 2], "nny"),
        # Half a token early at 1; the bucket owes it, so that the next is half early at 3.
        ("token-bucket:1/2,burst=1,early=0.5", [0, 0.9, 1, 2.9, 3, 8, 8], "ynynyyn"),
    ],
)
def test_starts_are_let_through_as_the_text_says(text: str, times: list[float], through: str) -> None:
    """Every option of the windows, logs, gaps and buckets, by hand."""
    assert lets(text, times) == through


@pytest.mark.parametrize(
    "text",
    [
        *("fixed-window:3/2.73", "fixed-window:3/2.73,opens=clock", "fixed-window:3/2.73,block=1.1"),
        *("fixed-window:3/2.73,refused=restart", "sliding-log:3/2.73", "sliding-log:3/2.73,refused=count"),
        *("minimum-gap:0.7", "token-bucket:3/2.73", "token-bucket:3/2.73,starts=empty", "token-bucket:3/2.73,tick=0.1"),
        "token-bucket:3/2.73,burst=7,early=0.3",
    ],
)
@pytest.mark.parametrize("began_at", [0.0, 0.1, 1_800_000_000.3])
def test_who_waits_as_long_as_told_is_let_through(text: str, began_at: float) -> None:
    """The wait is neither too short nor longer than needed, on any clock."""
    waits_until_free(text, began_at)


def test_builds_are_apart_from_what_counts_starts() -> None:
    """The cap on builds is told beside the tiers of starts; the lowest counts."""
    assert parted(None) == ([], None)
    assert parted(RateLimit.parse("8/4")) == ([RateLimit(8, 4.0)], None)
    assert parted(RateLimit.parse("builds:4+8/4")) == ([RateLimit(8, 4.0)], 4)
    assert parted(RateLimit.parse("builds:4+builds:3")) == ([], 3)
