"""The part of a probe that finds the rate: what it still wants to know, when it is settled, and what it then says."""

from collections.abc import Sequence

import pytest

from tests.limiter.answers import number, row, window
from tests.limiter.judged import judge
from tests.limiter.played import NO_CAPS, played, rates_of
from tests.limiting import decide, limiter_for
from touchstone.facts.identity import Tier
from touchstone.limiter.rate_inference import EarlierResult, Rates

WINDOW, GAP = "fixed-window:3/1", "minimum-gap:0.7"
LIMITS = {WINDOW: 3, "sliding-log:3/1": 3, "token-bucket:4/2,burst=3": 3, GAP: 1}
# Whole probes of these take seconds.
RATES = [pytest.param(text, marks=() if text in (WINDOW, GAP) else pytest.mark.alone) for text in LIMITS]


def answered(rates: Rates, outcomes: str, at: float) -> None:
    answers = row(outcomes, at)
    rates._story.answers.extend(answers)
    rates.observe(answers, for_rate=True)


def after(text: str, wait_s: float = 5.0) -> tuple[Rates, float]:
    return rates_of(text), played(text, NO_CAPS).ended_at + wait_s


@pytest.mark.parametrize("text", RATES)
def test_whole_probe_settles_the_rate(text: str) -> None:
    rates, whole = rates_of(text), played(text, NO_CAPS)
    assert (rates.settled, rates.propose(1000.0, 100), rates.wide) == (True, None, False)
    judged = judge(text, whole.known)
    assert (whole.known.sure, judged.family, judged.exact, judged.error < 0.02) == (True, True, True, True)
    assert whole.known.findings == whole.known.notes == ()  # honest hints, nobody else
    assert whole.known.others_share.high == 0.0
    first, *others = whole.known.families
    assert (first.family, first.lost) == (text.partition(":")[0], "")
    assert all(runner.lost for runner in others)
    shares = [runner.probability for runner in whole.known.families]
    assert shares == sorted(shares, reverse=True)
    assert 0.99 < sum(shares) <= 1.00001


@pytest.mark.parametrize("text", RATES)
def test_room_is_what_the_limiter_lets_through(text: str) -> None:
    rates, ended_at = after(text, 0.0)
    moments = played(text, NO_CAPS).probe.story.moments()
    for wait_s in (0.0, 0.3, 0.8):
        at = ended_at + wait_s
        full_at = max(at, rates.room(at)[1]) + 0.05
        assert full_at < at + 10
        assert rates.room(full_at)[0] == LIMITS[text]
        for when in (at, full_at):
            limiter = limiter_for(text)
            for moment in moments:
                decide(limiter, 1000.0 + moment.at)
            assert all(decide(limiter, 1000.0 + when + 1e-5 * count)[0] for count in range(rates.room(when)[0]))


@pytest.mark.parametrize("outcomes", ["++-", "+++++"])
def test_surprise_unsettles_the_rate_and_widens_it(outcomes: str) -> None:
    rates, at = after(WINDOW)
    answered(rates, outcomes, at)
    assert (rates.settled, rates.wide, rates.surprise) == (False, True, None)


BEFORE = EarlierResult((window(5.0, number(2.0, 1.9, 2.1)),), 0.97, 13.0, 14.5)


@pytest.mark.parametrize(
    ("tiers", "same"),
    [
        ([window(5.0, number(2.05, 2.0, 2.15))], True),
        ([window(6.0, number(2.05, 2.0, 2.15))], False),
        ([window(5.0, number(2.5, 2.4, 2.6))], False),
        ([window(4.0, number(2.0, 1.9, 2.1), "sliding-log")], False),
        ([window(5.0, number(2.0)), window(50.0, number(60.0))], False),
        ([], False),
    ],
    ids=["same", "limit", "longer window", "family", "second", "none"],
)
def test_what_was_known_before_is_compared_with_what_is_found(tiers: Sequence[Tier], same: bool) -> None:
    assert BEFORE.is_same(tiers) == same
    note = BEFORE.describe(tiers, 10.0, builds=False)
    assert " 4.5 " in note  # seconds count from the first request of all
    assert ("fixed-window:5/2 (97%)" in note, " 3.0" in note) == (not same, not same)
