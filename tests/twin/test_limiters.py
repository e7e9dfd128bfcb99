"""The limiters that weigh, queue or hold, at times that the tests choose."""

import math

import pytest

from tests.twin.starts import delays_s, lets, waits_until_free
from touchstone.twin import RateLimit, decide, limiter_for


@pytest.mark.parametrize(
    ("text", "times", "through"),
    [
        # Four in the window from 0; at 6 half of them are inside, 2 + 1 + 1 = 4 fits, 2 + 2 + 1 does not.
        ("sliding-counter:4/4", [3, 3, 3, 3, 3, 4, 4.9, 5, 5, 6, 6], "yyyynnnynyn"),
        # What is refused is counted in its window: 5 there, so that 5 x 0.5 + 1 fits at 6, and 3.5 + 1 does not.
        ("sliding-counter:4/4,refused=count", [3, 3, 3, 3, 3, 6, 6, 6], "yyyynynn"),
        # 4 x 0.9 = 3.6 is below 4; 4.6 is not.
        ("sliding-counter:4/4,rule=below", [3, 3, 3, 3, 3, 4, 4.4, 4.4], "yyyynnyn"),
        # Two idle windows forget everything.
        ("sliding-counter:2/4", [3, 3, 8, 8, 8], "yyyyn"),
        # Windows from 3 on: 3 to 7, 7 to 11; at 9 half of two are inside, at 11 the one of 9 is.
        ("sliding-counter:2/4,opens=first", [3, 3, 6.9, 7, 8.9, 9, 9, 11, 11], "yynnnynyn"),
        # After two idle windows, at 20, one opens that ends at 24; half of it is out at 26.
        ("sliding-counter:2/4,opens=first", [3, 20, 20, 23.9, 25.9, 26, 26], "yyynnyn"),
        # One start fills a counter of one until its window and the next are over.
        ("sliding-counter:1/4", [1, 4, 7.9, 8], "ynny"),
        ("sliding-counter:1/4,opens=first", [1, 5, 8.9, 9], "ynny"),
        ("leaky-bucket:1/2", [0, 1.9, 2], "yny"),
        ("leaky-bucket:1/2,burst=2", [0, 0, 0, 0, 1.9, 2, 2], "yyynnyn"),
        ("concurrency:2,takes=3", [0, 1, 2.9, 3, 3.9, 4], "yynyny"),
        ("concurrency:1", [0, 0, 0], "yyy"),
        ("builds:2", [0, 1, 2, 1000], "yynn"),
    ],
)
def test_starts_are_let_through_as_the_text_says(text: str, times: list[float], through: str) -> None:
    """Every option of the counters, queues and caps, by hand."""
    assert lets(text, times) == through


@pytest.mark.parametrize("limit", [2, 5])
def test_count_that_decays_has_room_when_one_has_gone(limit: int) -> None:
    """A full count has room for one more after S x ln(L / (L - 1)) seconds."""
    limiter = limiter_for(RateLimit.parse(f"decaying-counter:{limit}/10"))
    assert [decide(limiter, 1.0)[0] for _ in range(limit + 1)] == [True] * limit + [False]
    room_s = 10 * math.log(limit / (limit - 1))
    assert limiter.wait_s(1.0) == pytest.approx(room_s)
    assert not decide(limiter, 1.0 + room_s - 0.001)[0]
    assert [decide(limiter, 1.0 + room_s + 0.001)[0] for _ in range(2)] == [True, False]


def test_count_that_decays_adds_to_what_is_left() -> None:
    """Two at 0 leave 2/e after 10 s; with two more, 2.74 of at most 3 are there, and no third fits."""
    assert lets("decaying-counter:3/10", [0, 0, 10, 10, 10]) == "yyyyn"


@pytest.mark.parametrize(
    ("options", "held_s"),
    [
        ("burst=3", [0, 0.5, 1.0, 1.5, None, 1.25]),
        ("burst=3,delay=2", [0, 0, 0, 0.5, None, 0.25]),
        ("burst=3,delay=3", [0, 0, 0, 0, None, 0]),
        ("burst=0", [0, None, None, None, None, None]),
    ],
)
def test_queue_answers_each_start_in_its_turn(options: str, held_s: list[float | None]) -> None:
    """Two a second: five at once, and one more at 0.75, when a place is free; without a queue, at 0.25."""
    times = [0.0] * 5 + [0.75 if options != "burst=0" else 0.25]
    assert delays_s(f"leaky-bucket:2/1,{options}", times) == held_s


def test_cap_on_answers_holds_each_back_as_long_as_it_takes() -> None:
    """Each answer comes after the seconds that it takes, and frees its place then."""
    assert delays_s("concurrency:1,takes=2", [0, 1, 2]) == [2, None, 2]


def test_build_that_ends_makes_room_for_one() -> None:
    """Who drives the limiter says when a build has ended; nobody else knows."""
    limiter = limiter_for(RateLimit.parse("builds:1"))
    assert [decide(limiter, 0.0)[0], decide(limiter, 1.0)[0]] == [True, False]
    assert limiter.wait_s(1.0) == math.inf
    limiter.ended(2.0)
    limiter.ended(2.0)  # one too many is no room for two
    assert [decide(limiter, 2.0)[0], decide(limiter, 2.0)[0]] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        *("sliding-counter:3/2.73", "sliding-counter:3/2.73,refused=count", "sliding-counter:3/2.73,rule=below"),
        *("sliding-counter:3/2.73,opens=first", "sliding-counter:1/2.73,opens=first,refused=count"),
        *("sliding-counter:1/2.73", "sliding-counter:1/2.73,rule=below", "decaying-counter:3/2.73"),
        *("leaky-bucket:3/2.73,burst=4", "concurrency:3,takes=2.73", "sliding-log:3/1+fixed-window:7/2.73"),
    ],
)
@pytest.mark.parametrize("began_at", [0.0, 0.1, 1_800_000_000.3])
def test_who_waits_as_long_as_told_is_let_through(text: str, began_at: float) -> None:
    """The wait is neither too short nor longer than needed, on any clock."""
    waits_until_free(text, began_at)


def test_two_tiers_count_only_what_both_let_through() -> None:
    """Two a second and three in ten: what the second tier refuses costs the first one nothing."""
    assert lets("sliding-log:2/1+fixed-window:3/10", [0, 0, 0, 1, 1, 9.9, 10, 10, 10]) == "yynynnyyn"
    assert lets("fixed-window:3/10+sliding-log:2/1", [0, 0, 0, 1, 1, 9.9, 10, 10, 10]) == "yynynnyyn"


def test_two_tiers_pass_on_the_end_of_a_build() -> None:
    """A bucket of three and room for one: each build that ends lets one start through until the bucket is empty."""
    limiter = limiter_for(RateLimit.parse("token-bucket:3/60+builds:1"))
    through = []
    for _ in range(4):
        through += [decide(limiter, 0.0)[0], decide(limiter, 0.0)[0]]
        limiter.ended(0.0)
    assert through == [True, False] * 3 + [False, False]


def test_answer_that_waits_in_a_queue_keeps_its_place_in_the_cap() -> None:
    """The second start is answered after 1 s in the queue and 1 s of its own, so that a cap of two is full until 1."""
    text = "leaky-bucket:1/1,burst=9+concurrency:2,takes=1"
    assert delays_s(text, [0, 0, 0.5, 1, 1.5, 2]) == [1, 2, None, 2, None, 2]
