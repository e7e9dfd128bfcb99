"""
The rate limiters, at times that the tests choose.
"""

import pytest

from touchstone.errors import UsageError
from touchstone.twin.limits import FixedWindow, Limiter, RateLimit, SlidingLog, TokenBucket, Unlimited, limiter_for


def admitted(limiter: Limiter, times: list[float]) -> list[bool]:
    """
    Which of the starts at *times* are let through.
    """
    result = []
    for now_at in times:
        fine = limiter.wait_s(now_at) == 0
        if fine:
            limiter.take(now_at)
        result.append(fine)
    return result


def test_fixed_window_opens_with_its_first_start_and_forgets_all_at_once() -> None:
    """
    Two starts per 4 s, the first at 1: the third is refused until 5, when two more fit.
    """
    assert admitted(FixedWindow(2, 4), [1, 4.9, 4.99, 5, 5, 5, 9]) == [True, True, False, True, True, False, True]


def test_sliding_log_forgets_one_start_at_a_time() -> None:
    """
    Two starts per 4 s at 1 and 4.9: at 5 one more fits, the next at 8.9.
    """
    assert admitted(SlidingLog(2, 4), [1, 4.9, 4.99, 5, 5, 8.8, 8.9]) == [True, True, False, True, False, False, True]


def test_token_bucket_starts_full_and_refills_evenly() -> None:
    """
    A bucket of three that gains one token per 2 s: three at once, then one every 2 s.
    """
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
    """
    After a long pause a bucket of two still holds two.
    """
    assert admitted(TokenBucket(1, 1, 2), [0, 0, 100, 100, 100]) == [True, True, True, True, False]


def test_unlimited_never_waits() -> None:
    """
    Without a limit every start is let through.
    """
    assert admitted(limiter_for(None), [0.0] * 50) == [True] * 50
    assert isinstance(limiter_for(None), Unlimited)


@pytest.mark.parametrize("text", ["1/4", "sliding-log:1/4", "token-bucket:1/4"])
def test_waiting_as_long_as_told_is_enough(text: str) -> None:
    """
    A start that comes exactly when the limiter said is let through, and one a little earlier is not.
    """
    limiter = limiter_for(RateLimit.parse(text))
    limiter.take(10.0)
    wait_s = limiter.wait_s(11.5)
    assert wait_s == 2.5
    assert limiter.wait_s(11.5 + wait_s - 0.001) > 0
    assert limiter.wait_s(11.5 + wait_s) == 0


@pytest.mark.parametrize("text", ["3/4", "sliding-log:3/4", "token-bucket:3/4"])
def test_asking_how_long_to_wait_changes_nothing(text: str) -> None:
    """
    Only a taken start counts.
    """
    limiter = limiter_for(RateLimit.parse(text))
    assert [limiter.wait_s(float(now)) for now in range(5)] == [0.0] * 5
    assert admitted(limiter, [5, 5, 5, 5]) == [True, True, True, False]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("8/4", RateLimit(8, 4.0, "fixed-window")),
        ("8/0.5", RateLimit(8, 0.5, "fixed-window")),
        ("fixed-window:8/4", RateLimit(8, 4.0, "fixed-window")),
        ("sliding-log:1/60", RateLimit(1, 60.0, "sliding-log")),
        (" token-bucket:8/4 ", RateLimit(8, 4.0, "token-bucket")),
        ("token-bucket:8/4,burst=16", RateLimit(8, 4.0, "token-bucket", 16)),
    ],
)
def test_text_of_a_limit_is_read(text: str, rate: RateLimit) -> None:
    """
    The family comes first and may be left out; a burst comes last.
    """
    assert RateLimit.parse(text) == rate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected [FAMILY:]LIMIT/SECONDS"),
        ("8", "found '8'"),
        ("8/", "found '8/'"),
        ("8/4/2", "found '8/4/2'"),
        ("eight/4", "found 'eight/4'"),
        ("0/4", "at least 1 start"),
        ("8/0", "more than 0 seconds"),
        ("8/inf", "more than 0 seconds"),
        ("8/nan", "more than 0 seconds"),
        ("-8/4", "at least 1 start"),
        ("tokenbucket:8/4", "unknown family 'tokenbucket'"),
        ("tokenbucket:8/4", "did you mean token-bucket?"),
        (":8/4", "unknown family ''"),
        ("token-bucket:8/4,burst=0", "burst=N with N at least 1"),
        ("token-bucket:8/4,brust=3", "found 'brust=3'"),
        ("8/4,burst=3", "only token-bucket and leaky-bucket may have 'burst'"),
    ],
)
def test_text_that_is_no_limit_is_a_usage_error(text: str, says: str) -> None:
    """
    The message names the place, what was found and what was expected.
    """
    with pytest.raises(UsageError) as caught:
        RateLimit.parse(text, where="--rate")
    assert str(caught.value).startswith("--rate: ")
    assert says in str(caught.value)
