"""What a probe found, in words."""

import pytest

from tests.report.identities import exactly, identity
from touchstone.facts.identity import Cost, Interval, Runner
from touchstone.facts.wording import describe_chance
from touchstone.report.probe_sentences import describe_limiter, describe_rate, give_or_take, lasting, sentence

PLAIN = {
    "none": "no limit",
    "8/4": "fixed window: 8 builds in each window of 4 s, windows that a request opens",
    "fixed-window:100/60,opens=clock": "fixed window: 100 builds in each window of 1 min, windows on the clock",
    "fixed-window:5/10,block=90": (
        "fixed window: 5 builds in each window of 10 s, windows that a request opens; "
        "the first one refused shuts it for 90 s"
    ),
    "sliding-log:1/2,refused=count": "sliding log: 1 build in any 2 s, refused ones included",
    "sliding-counter:8/4,rule=below": (
        "sliding counter: 8 builds in this window of 4 s and, as far as it reaches back, the last, "
        "windows on the clock, the one that comes not counted"
    ),
    "decaying-counter:8/4": "decaying counter: a count of up to 8 builds that falls to 1/e in 4 s",
    "token-bucket:10/60,burst=5": "token bucket: 10 builds a minute, burst 5",
    "token-bucket:5000/3600,burst=5": "token bucket: 5,000 builds an hour, burst 5",
    "token-bucket:8/4,starts=empty,tick=1,early=0.5": (
        "token bucket: 2 builds a second, burst 8, empty at first, filled each 1 s on the clock, "
        "of which 0.5 of a token may be missing"
    ),
    "minimum-gap:2.5": "minimum gap: 2.5 s between two builds",
    "leaky-bucket:8/4": "leaky bucket: 2 builds a second, 0 more may wait",
    "leaky-bucket:8/4,burst=6,delay=2": "leaky bucket: 2 builds a second, 6 more may wait, 2 of them answered at once",
    "concurrency:4,takes=0.5": "concurrency: 4 builds answered at once, each of which takes 0.5 s",
    "builds:1": "at most 1 build in flight",
    "sliding-log:5/1+minimum-gap:0.1": "sliding log: 5 builds in any 1 s; and minimum gap: 100 ms between two builds",
    "token-bucket:10/60,burst=5+builds:4": "token bucket: 10 builds a minute, burst 5, and 4 builds in flight",
}


@pytest.mark.parametrize("text", PLAIN)
def test_each_limiter_has_its_words(text: str) -> None:
    """What a probe may find has a sentence, with all options."""
    words = describe_limiter(identity(text).tiers, "build")
    assert words.replace(" (±0)", "").replace(" (±0.4 %)", "") == PLAIN[text]


@pytest.mark.parametrize(
    ("rate_per_s", "words"),
    [
        (2.0, "2 reads a second"),
        (0.9995, "1 read a second"),
        (10 / 60, "10 reads a minute"),
        (1.2345, "1.23 reads a second"),
        (1 / 7200, "12 reads a day"),
        (1 / 864000, "0.1 reads a day"),
    ],
)
def test_rate_takes_the_shortest_unit_in_which_it_is_at_least_one(rate_per_s: float, words: str) -> None:
    """Up to a day."""
    assert describe_rate(rate_per_s, "read") == words


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [(0.05, "50 ms"), (2.731, "2.73 s"), (60.0, "1 min"), (90.0, "90 s"), (3600.0, "1 h"), (172800.0, "2 days")],
)
def test_length_of_time_takes_its_unit(duration_s: float, words: str) -> None:
    """Whole minutes, hours and days are told as such."""
    assert lasting(duration_s) == words


def test_interval_tells_how_far_a_number_may_be_off() -> None:
    """Of a count by its ends where they differ, of a measure by the share of its wider side."""
    counts = [give_or_take("limit", one) for one in (exactly(5), Interval(5, 4, 6), Interval(5, 5, 8))]
    assert counts == [" (±0)", " (±1)", " (5 to 8)"]
    measures = [give_or_take("gap_s", Interval(2, *ends)) for ends in ((1.99, 2.05), (1.9999, 2.0001), (0.1, 90.0))]
    assert measures == [" (±2.5 %)", "", " (hardly known)"]


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100 %"), (0.99996, "above 99.9 %"), (0.812, "81 %"), (0.0004, "below 0.1 %"), (0.0, "0 %")],
)
def test_what_is_nearly_certain_is_not_told_as_certain(share: float, words: str) -> None:
    """Only 0 and 1 themselves read as 0 % and 100 %."""
    assert describe_chance(share) == words


def test_sure_result_is_one_sentence_with_its_cost() -> None:
    """Family, numbers with what they may be off, the cap, and what it cost."""
    told = sentence(identity("token-bucket:10/60,burst=5+builds:4"), "startBuild")
    assert told == (
        "token bucket: 10 builds a minute (±0.4 %), burst 5 (±0), and 4 builds (±0) in flight; 43 requests, 61 s"
    )


def test_reads_are_called_reads() -> None:
    """What is limited is named after the operation that was probed."""
    assert "8 reads (±0) in any 4 s" in sentence(identity("sliding-log:8/4"), "getBuild")


def test_limiters_that_are_alike_are_all_told() -> None:
    """What no request can tell apart is told as a set."""
    told = sentence(identity("minimum-gap:2", alike=("sliding-log:1/2", "token-bucket:1/2,burst=1")), "getBuild")
    assert "no request can tell it from sliding-log:1/2 or token-bucket:1/2,burst=1; 43 requests" in told


def test_unsettled_result_tells_how_likely_each_is_and_why_it_ended() -> None:
    """Unlikely families are told together."""
    chances = {
        "token-bucket": 0.81,
        "sliding-log": 0.17,
        "minimum-gap": 0.008,
        "fixed-window": 0.008,
        "builds": 0.004,
    }
    runners = tuple(Runner(family, probability, "") for family, probability in chances.items())
    cost = Cost(requests=400, refused=100, builds=0, seconds=60.0)
    told = sentence(identity("token-bucket:8/4", sure=False, why="budget", families=runners, cost=cost), "getBuild")
    assert told == "not settled: token bucket 81 %, sliding log 17 %, others 2 %; 400 requests, 60 s: budget spent"


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
