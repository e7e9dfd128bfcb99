"""
What is told of limiters in the end: others like them, who else might have been it, and where words and deeds differ.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from tests.limiter.answers import assert_alike, assert_close, bucket, number, row
from tests.limiter.played import NO_CAPS, played, rates_of, through
from tests.limiter.virtual import Net
from touchstone.facts.identity import Cost, Tier
from touchstone.limiter.belief import against, tier
from touchstone.limiter.identify import alike, cost, findings, runners
from touchstone.limiter.rate_inference import Rates
from touchstone.limiter.story import Story

GAP = Tier("minimum-gap", "minimum-gap:0.7", {"gap_s": number(0.7)})
WINDOW = Tier("fixed-window", "fixed-window:3/1", {"limit": number(3.0), "window_s": number(1.0)})
BUILDS = Tier("builds", "builds:4", {"limit": number(4.0)})
NOTHING = Cost(0, 0, 0, 0.0)


def opened() -> Rates:
    """What is known after the opening alone."""
    return Rates(Story([*row("+"), *row("++++-", 0.2)]), 1, 5)


@pytest.mark.parametrize(
    ("tier", "scale_s"),
    [
        (GAP, 0.7),
        (bucket("token-bucket:3/2", 3, 1.5), 2.0),
        (bucket("token-bucket:2/1,burst=8", 8, 2.0), 1.0),
        (bucket("token-bucket:90/60,burst=2", 2, 1.5), 1.0),
    ],
    ids=lambda value: getattr(value, "text", ""),
)
def test_what_is_alike_decides_alike(tier: Tier, scale_s: float) -> None:
    """Each is a limiter of the twin, and answers three hundred requests at random times as the one that was found."""
    others = alike(tier)
    assert others
    assert tier.text not in others
    for other in others:
        assert_alike(tier.text, other, scale_s)


def test_gap_has_four_other_names() -> None:
    """With a limit of 1 they are all the same."""
    families = ("fixed-window", "sliding-log", "token-bucket", "leaky-bucket")
    assert alike(GAP) == tuple(f"{family}:1/0.7" for family in families)


@pytest.mark.parametrize(
    "tier",
    [
        WINDOW,
        BUILDS,
        bucket("token-bucket:3/2,starts=empty", 3, 1.5, {"starts": "empty"}),
        bucket("token-bucket:3/2,tick=1", 3, 1.5, {"tick": "1"}),
    ],
    ids=lambda value: value.text,
)
def test_others_are_like_nothing_else(tier: Tier) -> None:
    """A request can tell them from all others."""
    assert alike(tier) == ()


def test_cost_is_what_was_sent() -> None:
    """Builds are counted only where requests start some."""
    answers = [*row("++-"), *row("+", 4.0)]
    assert cost(answers, starts=True) == Cost(4, 1, 3, 4.001)
    assert cost(answers, starts=False) == Cost(4, 1, 0, 4.001)
    assert cost([], starts=True) == NOTHING


@pytest.mark.alone
@pytest.mark.parametrize("text", ["fixed-window:3/1", "sliding-log:3/1", "minimum-gap:0.7"])
def test_runner_up_has_a_reason(text: str) -> None:
    """The likeliest has none; probabilities fall, and are those of all that is possible."""
    whole = played(text, NO_CAPS)
    first, *others = whole.known.families
    assert others
    assert first.lost == ""
    assert_close(first.text, text)
    assert all(other.lost for other in others)
    shares = [runner.probability for runner in whole.known.families]
    assert shares == sorted(shares, reverse=True)
    assert 0.99 < sum(shares) <= 1.00001


def test_those_that_are_possible_are_told_while_much_is() -> None:
    """After the opening several families are, each with a text."""
    rates = opened()
    told = runners(rates, Story([*row("+"), *row("++++-", 0.2)]).moments())
    assert [runner.family for runner in told] == list(rates.belief.families())[: len(told)]
    assert len(told) > 3


def test_family_that_was_ruled_out_is_still_told_with_its_reason() -> None:
    """Where only one is left, the last one that was likely lost to it, even if no single answer contradicts that."""
    rates = opened()
    first = next(iter(rates.belief.families()))
    rates.belief.cells = [cells for cells in rates.belief.cells if cells.kind.family == first]
    moments = Story([*row("+"), *row("++++-", 0.2)]).moments()
    _, second = runners(rates, moments)
    assert (second.family, second.probability) == (next(iter(rates.remembered)), 0.0)
    assert against(rates.remembered[second.family][0], moments) == ""
    assert second.lost != ""


@cache
def heard(text: str) -> Rates:
    """The rates of a whole identification, which nothing here changes."""
    return rates_of(text)


def said(quota: Mapping[str, float], text: str = "fixed-window:3/1") -> tuple[str, ...]:
    """What is found where each answer has these fields, and no Retry-After."""
    rates = heard(text)
    answers = [replace(a, quota=quota, retry_after_s=None) for a in played(text, NO_CAPS).answers]
    return findings(rates, [tier(rates.belief.likeliest())], Story(answers))


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("fixed-window:3/1", {}),
        ("fixed-window:3/1", {"limit": 3.0}),
        ("fixed-window:3/1", {"limit": 3.0, "window_s": 1.0, "remaining": 2.0}),
        ("token-bucket:4/2,burst=3", {"limit": 3.0}),
        ("token-bucket:4/2,burst=3", {"limit": 4.0, "window_s": 2.0}),
        ("token-bucket:4/2,burst=3", {"limit": 120.0, "window_s": 60.0}),
        ("minimum-gap:0.7", {"limit": 1.0, "window_s": 1.0}),
    ],
)
def test_fields_that_agree_are_no_finding(text: str, quota: dict[str, float]) -> None:
    """Limit and window, in whole seconds; of a bucket also its rate in any window."""
    assert said(quota, text) == ()


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "quota", "words"),
    [
        ("fixed-window:3/1", {"limit": 5.0}, ("a limit of 5, and 3 are let through",)),
        ("fixed-window:3/1", {"limit": 3.0, "window_s": 60.0}, ("a window of 60 s, and it is ",)),
        ("fixed-window:3/1", {"limit": 180.0, "window_s": 60.0}, ("a limit of 180", "a window of 60 s")),
        ("token-bucket:4/2,burst=3", {"limit": 5.0}, ("a limit of 5, and 3 are let through",)),
        ("token-bucket:4/2,burst=3", {"limit": 4.0, "window_s": 60.0}, ("a limit of 4", "a window of 60 s")),
        ("minimum-gap:0.7", {"limit": 8.0, "window_s": 1.0}, ("a limit of 8, and 1 are let through",)),
        ("minimum-gap:0.7", {"window_s": 10.0}, ("a window of 10 s, and it is 0.",)),
    ],
)
def test_fields_that_disagree_are_findings(text: str, quota: dict[str, float], words: tuple[str, ...]) -> None:
    """Each with what was said and what was found."""
    told = said(quota, text)
    assert len(told) == len(words)
    for one, part in zip(told, words, strict=True):
        assert one.startswith("the RateLimit fields say ")
        assert part in one


def test_fields_that_change_are_no_finding() -> None:
    """Nothing is sure of what says now this and now that."""
    rates, told = heard("fixed-window:3/1"), played("fixed-window:3/1", NO_CAPS).answers
    answers = [replace(a, quota={"limit": 5.0 + n % 2}, retry_after_s=None) for n, a in enumerate(told)]
    assert findings(rates, [tier(rates.belief.likeliest())], Story(answers)) == ()


def test_nothing_is_found_of_a_limiter_that_is_not_known() -> None:
    """Without a rate, or with one that may still be another."""
    story = Story([replace(answer, quota={"limit": 99.0}) for answer in [*row("+"), *row("++++-", 0.2)]])
    rates = Rates(story, 1, 5)
    assert findings(None, [], story) == ()
    assert findings(rates, [tier(rates.belief.likeliest())], story) == ()


def test_one_key_for_one_user_leaves_no_share_to_others() -> None:
    """Nor a note about them."""
    whole = played("fixed-window:3/1", NO_CAPS)
    assert whole.known.others_share.high == 0.0
    assert whole.known.notes == ()


@pytest.mark.alone
def test_answers_that_fit_nothing_are_counted_with_their_time() -> None:
    """Where somebody else takes as much as all is for, all that may have happened is named."""
    found = through(Net("sliding-log:6/1.5", seed=2, foreign_per_s=2.0), replace(NO_CAPS, most_requests=60)).known
    note = found.notes[0]
    told = re.match(r"(\d+) of (\d+) answers do not fit .*, from second (\S+) to second (\S+): ", note)
    assert told is not None
    count, answers, first_s, last_s = map(float, told.groups())
    assert 1 < count < answers <= found.cost.requests
    assert 0 < first_s < last_s <= found.cost.seconds
    for word in ("somebody else", "drifted", "changed meanwhile", "no known family"):
        assert word in note
    assert not found.sure
