"""What a probe found, in words."""

import pytest

from tests.report.identities import exactly, identity
from touchstone.facts.identity import Cost, Interval, Runner, Tier
from touchstone.facts.wording import chance_words
from touchstone.report.probe_sentences import (
    describe_limiter,
    describe_rate,
    give_or_take,
    lasting,
    measured_rate,
    readings,
    readings_of,
    sentence,
    whole_give_or_take,
)

PLAIN = {
    "none": "no limit",
    "8/4": "fixed window: 8 builds in each window of 4 s that a build opens",
    "fixed-window:100/60,opens=clock": "fixed window: 100 builds in each window of 1 min on the clock",
    "fixed-window:5/10,block=90": (
        "fixed window: 5 builds in each window of 10 s that a build opens; the first one refused shuts it for 90 s"
    ),
    "fixed-window:6/3,refused=restart": (
        "fixed window: 6 builds in each window of 3 s that a build opens; each one refused opens it anew"
    ),
    "sliding-log:8/4": "sliding log: 8 builds in any 4 s",
    "sliding-log:1/2,refused=count": "sliding log: 1 build in any 2 s, refused ones included",
    "sliding-counter:8/4": "sliding counter: 8 builds in this window of 4 s on the clock, the last one weighed in",
    "sliding-counter:8/4,opens=first,refused=count": (
        "sliding counter: 8 builds in this window of 4 s that a build opens, the last one weighed in, "
        "refused ones included"
    ),
    "sliding-counter:8/4,rule=below": (
        "sliding counter: 8 builds in this window of 4 s on the clock, the last one weighed in, "
        "the one that comes not counted"
    ),
    "decaying-counter:8/4": "decaying counter: a count of up to 8 builds that falls to 1/e in 4 s",
    "token-bucket:10/60,burst=5": "token bucket: 10 builds a minute, burst 5",
    "token-bucket:8/4": "token bucket: 2 builds a second, burst 8",
    "token-bucket:8/4,starts=empty,tick=1,early=0.5": (
        "token bucket: 2 builds a second, burst 8, empty at first, filled each 1 s on the clock, "
        "of which 0.5 may be missing"
    ),
    "minimum-gap:2.5": "minimum gap: 2.5 s between two builds",
    "leaky-bucket:8/4": "leaky bucket: 2 builds a second, none waits",
    "leaky-bucket:8/4,burst=1": "leaky bucket: 2 builds a second, 1 more waits, answered in turn",
    "leaky-bucket:8/4,burst=6,delay=2": (
        "leaky bucket: 2 builds a second, 6 more wait, the first 2 of them answered at once"
    ),
    "leaky-bucket:8/4,burst=6,delay=6": "leaky bucket: 2 builds a second, 6 more wait, answered at once",
    "concurrency:4": "concurrency: 4 builds answered at once",
    "concurrency:4,takes=0.5": "concurrency: 4 builds answered at once, each of which takes 500 ms",
    "builds:1": "at most 1 build in flight",
    "sliding-log:5/1+fixed-window:20/10": (
        "sliding log: 5 builds in any 1 s; and fixed window: 20 builds in each window of 10 s that a build opens"
    ),
    "token-bucket:10/60,burst=5+builds:4": "token bucket: 10 builds a minute, burst 5, and 4 builds in flight",
}


@pytest.mark.parametrize("text", PLAIN)
def test_each_limiter_has_its_words(text: str) -> None:
    """What `touchstone serve --rate` takes can be told, with all options."""
    assert describe_limiter(readings_of(text), "build") == PLAIN[text]


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (10.101, 9.99, 10.2, "10 builds a second (±2 %)"),
        (10.101, 10.02, 10.18, "10.1 builds a second (±0.79 %)"),
        (0.16667, 0.1664, 0.1669, "10 builds a minute (±0.16 %)"),
        (1.3889, 1.3876, 1.3904, "5,000 builds an hour (±0.11 %)"),
        (2.4306, 2.41, 2.45, "2.43 builds a second (±0.82 %)"),
        (2.4306, 2.3, 2.57, "2.4 builds a second (±7.1 %)"),
        (14.2, 9.0, 19.0, "14 builds a second (±36 %)"),
    ],
)
def test_rate_is_the_plainest_of_those_that_it_may_be(value: float, low: float, high: float, words: str) -> None:
    """
    A measured rate is told by the shortest number in its interval; one that is hardly known, by one near its middle.
    """
    numbers = {"rate_per_s": Interval(value, low, high), "burst": exactly(5)}
    (reading,) = readings((Tier("token-bucket", f"token-bucket:5/{5 / value:.6f}", numbers),))
    assert describe_limiter((reading,), "build") == f"token bucket: {words}, burst 5 (±0)"


@pytest.mark.parametrize(
    ("rate_per_s", "words"),
    [
        (2.0, "2 reads a second"),
        (1.0, "1 read a second"),
        (1.5, "1.5 reads a second"),
        (0.9995, "1 read a second"),
        (0.5, "30 reads a minute"),
        (10 / 60, "10 reads a minute"),
        (1 / 60, "1 read a minute"),
        (100 / 60, "100 reads a minute"),
        (5000 / 3600, "5,000 reads an hour"),
        (1.2345, "1.23 reads a second"),
        (1 / 7200, "12 reads a day"),
        (1 / 864000, "0.1 reads a day"),
    ],
)
def test_rate_takes_the_unit_in_which_it_reads_well(rate_per_s: float, words: str) -> None:
    """The smallest unit in which the rate is a round number, else the smallest in which it is at least one."""
    assert describe_rate(rate_per_s, "read") == words


@pytest.mark.parametrize(
    ("rate_per_s", "words"),
    [
        (9.6667, "9.67 builds a second"),
        (0.98, "58.8 builds a minute"),
        (9.8 / 60, "9.8 builds a minute"),
        (0.98 / 60, "58.8 builds an hour"),
        (1 / 864000, "0.1 builds a day"),
    ],
)
def test_measured_rate_is_told_in_the_shortest_unit(rate_per_s: float, words: str) -> None:
    """580 a minute is no rounder than 9.67 a second where neither is a number that somebody set."""
    assert measured_rate(rate_per_s, "build") == words


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (0.05, "50 ms"),
        (4.0, "4 s"),
        (2.731, "2.73 s"),
        (60.0, "1 min"),
        (90.0, "90 s"),
        (125.0, "2 min 05 s"),
        (3600.0, "1 h"),
        (5400.0, "90 min"),
        (5410.0, "1 h 30 min"),
        (86400.0, "1 day"),
        (172800.0, "2 days"),
    ],
)
def test_length_of_time_takes_its_unit(duration_s: float, words: str) -> None:
    """Whole minutes, hours and days are told as such."""
    assert lasting(duration_s) == words


def test_interval_of_a_count_is_told_by_its_ends_where_they_differ() -> None:
    """A symmetrical one reads ±N, and what is certain reads ±0."""
    told = [whole_give_or_take(one) for one in (exactly(5), Interval(5, 4, 6), Interval(5, 5, 8))]
    assert told == [" (±0)", " (±1)", " (5 to 8)"]


def test_interval_of_a_measure_is_told_as_its_wider_side() -> None:
    """It is a share of the number, and silent where it is next to nothing."""
    told = [give_or_take(Interval(2, *ends)) for ends in ((1.99, 2.05), (1.9999, 2.0001), (0.1, 90.0))]
    assert told == [" (±2.5 %)", "", " (hardly known)"]


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100 %"), (0.99996, "above 99.9 %"), (0.812, "81 %"), (0.0004, "below 0.1 %"), (0.0, "0 %")],
)
def test_what_is_nearly_certain_is_not_told_as_certain(share: float, words: str) -> None:
    """Only 0 and 1 themselves read as 0 % and 100 %."""
    assert chance_words(share) == words


def test_sure_result_is_one_sentence_with_its_cost() -> None:
    """Family, numbers with what they may be off, the cap, and what it cost."""
    told = sentence(identity("token-bucket:10/60,burst=5+builds:4"), "startBuild")
    assert told == "token bucket: 10 builds a minute (±0.4 %), burst 5 (±0), and 4 builds in flight; 43 requests, 61 s"


def test_sentence_uses_the_numbers_of_the_text_and_the_interval_of_the_probe() -> None:
    """What is told and what `serve --rate` takes are the same number; the interval reaches as far as the probe says."""
    found = identity("sliding-log:8/4").tiers[0]
    assert readings((found,))[0].numbers["window_s"] == Interval(4.0, 3.984, 4.016)


def test_reads_are_called_reads() -> None:
    """What is limited is named after the operation that was probed."""
    assert "8 reads (±0) in any 4 s" in sentence(identity("sliding-log:8/4"), "getBuild")


def test_limiters_that_are_alike_are_all_told() -> None:
    """What no request can tell apart is told as a set."""
    told = sentence(identity("minimum-gap:2", alike=("sliding-log:1/2", "token-bucket:1/2,burst=1")), "getBuild")
    assert told == (
        "minimum gap: 2 s (±0.4 %) between two reads; or sliding log: 1 read in any 2 s; or token bucket: 30 reads a "
        "minute, burst 1: no request can tell them apart; 43 requests, 61 s"
    )


def test_unsettled_result_tells_how_likely_each_is_and_why_it_ended() -> None:
    """Unlikely families are told together."""
    runners = tuple(
        Runner(family, probability, "")
        for family, probability in (
            ("token-bucket", 0.81),
            ("sliding-log", 0.17),
            ("minimum-gap", 0.008),
            ("fixed-window", 0.008),
            ("builds", 0.004),
        )
    )
    cost = Cost(requests=400, refused=100, builds=0, seconds=60.0)
    told = sentence(identity("token-bucket:8/4", sure=False, why="budget", families=runners, cost=cost), "getBuild")
    assert told == "not settled: token bucket 81 %, sliding log 17 %, others 2 %; 400 requests: budget spent"


def test_no_limit_is_told_as_far_as_was_asked() -> None:
    """How many in how long, and how many at once."""
    told = sentence(identity("none", uncapped_to=32, holds_to=10), "startBuild")
    assert told == (
        "no limit up to 400 requests in 61 s, no cap up to 32 at once, no cap up to 10 builds in flight; "
        "43 requests, 61 s"
    )


def test_probe_without_an_answer_knows_nothing() -> None:
    """An interrupted probe does not claim that there is no limit."""
    found = identity("none", sure=False, unlimited_to=0, cost=Cost(0, 0, 0, 0.0), why="interrupted")
    assert sentence(found, "getBuild").startswith("nothing is known: no request was answered")
