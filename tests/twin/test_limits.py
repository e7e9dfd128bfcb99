"""The limiters of starts, and their text forms."""

import itertools
import math

import pytest

from tests.limiting import decide, limiter_for
from touchstone.errors import UsageError
from touchstone.twin.limits import GRAIN_S, RateLimit, parted, window_of


def admitted(text: str, times: list[float]) -> str:
    """For each start at *times*: ``y`` if it is accepted, ``n`` if it is rejected."""
    limiter = limiter_for(text)
    return "".join("y" if decide(limiter, at)[0] else "n" for at in times)


def delays_s(text: str, times: list[float]) -> list[float | None]:
    """Response delays of the starts at *times*; None for rejected starts."""
    limiter = limiter_for(text)
    decisions = (decide(limiter, at) for at in times)
    return [delay_s if accepted else None for accepted, delay_s in decisions]


@pytest.mark.parametrize(
    ("text", "times", "accepted"),
    [
        ("none", [0, 0, 0, 0], "yyyy"),
        ("2/4", [1, 4.9, 4.99, 5, 5, 5, 9], "yynyyny"),
        ("fixed-window:2/4,opens=clock", [3, 3.9, 3.9, 4, 4, 7.9, 8], "yynyyny"),
        # Full at 1, refused at 2: shut until 12, then a window of its own.
        ("fixed-window:2/4,block=10", [1, 1, 2, 6, 11.9, 12, 12, 12], "yynnnyyn"),
        # Rejected at 1 and 5.9: shut until 2 and until 6.9, independent of the window.
        ("fixed-window:1/4,block=1", [0, 1, 1.9, 2, 5.9, 6, 6.9], "ynnynny"),
        ("fixed-window:2/4,opens=clock,block=3", [0, 0, 1, 3.9, 4, 4, 4.5], "yynnyyn"),
        # Refused at 3 and 6: each time 4 s more.
        ("fixed-window:1/4,refused=restart", [0, 3, 6, 9.9, 13.9], "ynnny"),
        ("sliding-log:2/4", [1, 4.9, 4.99, 5, 5, 8.8, 8.9], "yynynny"),
        ("sliding-log:2/4,refused=count", [0, 1, 2, 4, 5.9, 9.9, 9.9, 9.9], "yynnnyyn"),
        ("minimum-gap:2.5", [1, 3, 3.5, 5.9, 6], "ynyny"),
        ("token-bucket:2/4,burst=3", [0, 0, 0, 0, 1.9, 2, 3.9, 4], "yyynnyny"),
        ("token-bucket:1/1,burst=2", [0, 0, 100, 100, 100], "yyyyn"),
        ("token-bucket:1/2,burst=2,starts=empty", [7, 8.9, 9, 10.9, 11, 100, 100, 100], "nnynyyyn"),
        # Two tokens a second that come at whole seconds.
        ("token-bucket:2/1,tick=1", [0.5, 0.5, 0.9, 1, 1, 1, 1.99, 2], "yynyynny"),
        ("token-bucket:1/2,tick=0.75,burst=1", [0, 2.2, 2.25, 4.49, 4.5], "ynyny"),
        # Half a token early at 1; the bucket owes it, so that the next is half early at 3.
        ("token-bucket:1/2,burst=1,early=0.5", [0, 0.9, 1, 2.9, 3, 8, 8], "ynynyyn"),
        # Four in the window from 0; at 6 half of them are inside, 2 + 1 + 1 = 4 fits, 2 + 2 + 1 does not.
        ("sliding-counter:4/4", [3, 3, 3, 3, 3, 4, 4.9, 5, 5, 6, 6], "yyyynnnynyn"),
        # Rejected starts count in their window: 5 there, so that 5 x 0.5 + 1 fits at 6, and 3.5 + 1 does not.
        ("sliding-counter:4/4,refused=count", [3, 3, 3, 3, 3, 6, 6, 6], "yyyynynn"),
        # 4 x 0.9 = 3.6 is below 4; 4.6 is not.
        ("sliding-counter:4/4,rule=below", [3, 3, 3, 3, 3, 4, 4.4, 4.4], "yyyynnyn"),
        # Two idle windows forget everything.
        ("sliding-counter:2/4", [3, 3, 8, 8, 8], "yyyyn"),
        # Windows from 3 on: 3 to 7, 7 to 11; at 9 half of two are inside, at 11 the one of 9 is.
        ("sliding-counter:2/4,opens=first", [3, 3, 6.9, 7, 8.9, 9, 9, 11, 11], "yynnnynyn"),
        # After two idle windows, at 20, one opens that ends at 24; half of it is out at 26.
        ("sliding-counter:2/4,opens=first", [3, 20, 20, 23.9, 25.9, 26, 26], "yyynnyn"),
        # Two at 0 leave 2/e after 10 s; with two more, 2.74 of at most 3 are there, and no third fits.
        ("leaky-bucket:1/2,burst=2", [0, 0, 0, 0, 1.9, 2, 2], "yyynnyn"),
        ("concurrency:2,takes=3", [0, 1, 2.9, 3, 3.9, 4], "yynyny"),
        ("builds:2", [0, 1, 2, 1000], "yynn"),
        # A start that one tier rejects does not count for the other.
        ("sliding-log:2/1+fixed-window:3/10", [0, 0, 0, 1, 1, 9.9, 10, 10, 10], "yynynnyyn"),
        # A log that counts rejected starts also counts those of the other tier.
        ("sliding-log:2/10,refused=count+minimum-gap:1", [0, 0.5, 2, 10.4, 10.6], "ynnnn"),
    ],
)
def test_starts_are_accepted_as_computed_by_hand(text: str, times: list[float], accepted: str) -> None:
    assert admitted(text, times) == accepted


@pytest.mark.parametrize(
    ("text", "times", "expected_s"),
    [
        # Two a second: five at once, and one more when a place is free.
        ("leaky-bucket:2/1,burst=3", [0, 0, 0, 0, 0, 0.75], [0, 0.5, 1.0, 1.5, None, 1.25]),
        ("leaky-bucket:2/1,burst=3,delay=2", [0, 0, 0, 0, 0, 0.75], [0, 0, 0, 0.5, None, 0.25]),
        ("leaky-bucket:2/1,burst=0", [0, 0, 0.25], [0, None, None]),
        ("concurrency:1,takes=2", [0, 1, 2], [2, None, 2]),
        # The second is answered after 1 s in the queue and 1 s of its own, so that a cap of two is full until 1.
        ("leaky-bucket:1/1,burst=9+concurrency:2,takes=1", [0, 0, 0.5, 1, 1.5, 2], [1, 2, None, 2, None, 2]),
    ],
)
def test_responses_are_delayed_as_computed_by_hand(
    text: str, times: list[float], expected_s: list[float | None]
) -> None:
    assert delays_s(text, times) == expected_s


@pytest.mark.parametrize(
    "text",
    [
        *("fixed-window:3/2.73", "fixed-window:3/2.73,opens=clock", "fixed-window:3/2.73,block=1.1"),
        *("fixed-window:3/2.73,refused=restart", "sliding-log:3/2.73", "sliding-log:3/2.73,refused=count"),
        *("minimum-gap:0.7", "token-bucket:3/2.73", "token-bucket:3/2.73,starts=empty", "token-bucket:3/2.73,tick=0.1"),
        *("token-bucket:3/2.73,burst=7,early=0.3", "sliding-counter:3/2.73", "sliding-counter:3/2.73,rule=below"),
        *("sliding-counter:3/2.73,refused=count", "sliding-counter:1/2.73,opens=first,refused=count"),
        *("sliding-counter:3/2.73,opens=first", "sliding-counter:1/2.73", "sliding-counter:1/2.73,rule=below"),
        *("leaky-bucket:3/2.73,burst=4", "concurrency:3,takes=2.73"),
        "sliding-log:3/1+fixed-window:7/2.73",
    ],
)
@pytest.mark.parametrize("began_at", [0.0, 0.1, 1_800_000_000.3])
def test_wait_is_neither_too_short_nor_too_long(text: str, began_at: float) -> None:
    limiter, at = limiter_for(text), began_at
    for number in range(6):
        at += 0.01 * number
        assert limiter.wait_s(at) == limiter.wait_s(at)  # changes nothing
        list(itertools.takewhile(bool, (decide(limiter, at)[0] for _ in range(100))))
        wait_s = limiter.wait_s(at)
        assert wait_s > 0
        assert limiter.wait_s(at + wait_s - 10 * GRAIN_S) > 0
        at += wait_s + 2 * GRAIN_S
        assert limiter.wait_s(at) == 0


@pytest.mark.parametrize("window_s", [0.1, 0.3, 1.0, 2.73, 60.0])
def test_edge_belongs_to_the_window_that_begins_there(window_s: float) -> None:
    for number in (0, 1, 2, 3, 7, 29, 100, 600_000_007):
        assert window_of(number * window_s, window_s) == number
        assert window_of((number + 0.5) * window_s, window_s) == number
        assert window_of(math.nextafter(number * window_s, -1), window_s) == number - 1


def test_cap_on_builds_is_separate_from_the_tiers_of_starts() -> None:
    assert parted(None) == ([], None)
    assert parted(RateLimit.parse("8/4")) == ([RateLimit(8, 4.0)], None)
    assert parted(RateLimit.parse("builds:4+8/4")) == ([RateLimit(8, 4.0)], 4)
    assert parted(RateLimit.parse("builds:4+builds:3")) == ([], 3)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("8/4", RateLimit(8, 4.0, "fixed-window")),
        ("token-bucket:8/4, burst = 16", RateLimit(8, 4.0, "token-bucket", {"burst": 16})),
        ("token-bucket:8/4,burst=8", RateLimit(8, 4.0, "token-bucket")),
        ("none", RateLimit(0, 0.0, "none")),
        ("concurrency:4,takes=.5", RateLimit(4, 0.0, "concurrency", {"takes_s": 0.5})),
        ("builds:4 + 8/4", RateLimit(4, 0.0, "builds", also=RateLimit(8, 4.0))),
    ],
)
def test_text_of_a_limit_is_parsed(text: str, rate: RateLimit) -> None:
    assert RateLimit.parse(text) == rate


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *((text, repr(text)) for text in ("8", "8/", "8/4/2", "eight/4", "0/4", "8/0", "8/inf", "8/nan", "-8/4")),
        *((text, repr(text)) for text in ("sliding-log", "none:8/4", "minimum-gap:0", "minimum-gap:1/2")),
        *((text, repr(text)) for text in ("concurrency:0", "builds:4/2", "builds:four")),
        ("", "LIMIT/SECONDS"),
        ("tokenbucket:8/4", "token-bucket?"),
        ("non", "none?"),
        ("none,burst=1", "token-bucket and leaky-bucket"),
        ("token-bucket:8/4,brust=3", "burst?"),
        ("token-bucket:8/4,burst=0", "burst=N"),
        ("leaky-bucket:8/4,delay=x", "'delay=x'"),
        ("token-bucket:8/4,", "''"),
        ("token-bucket:8/4,tick=0", "tick=SECONDS"),
        ("token-bucket:8/4,early=1", "early=0.5"),
        ("8/4,opens=clok", "opens=clock"),
        ("8/4,block=nan", "block=SECONDS"),
        ("sliding-log:8/4,refused=restart", "refused=count"),
        ("8/4,block=1,block=2", "block"),
        ("8/4,block=1,refused=restart", "block"),
        ("8/4+", "''"),
        ("8/4+none", "'none'"),
        ("1/1+2/2+3/3", "3"),
    ],
)
def test_wrong_text_is_a_usage_error_with_the_nearest(text: str, part: str) -> None:
    with pytest.raises(UsageError) as error:
        RateLimit.parse(text, where="--rate")
    assert str(error.value).startswith("--rate: ")
    assert part in str(error.value)
