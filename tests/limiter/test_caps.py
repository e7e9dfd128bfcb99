"""The part of a probe that finds how many requests may be under way."""

import pytest

from tests.limiter.answers import Rate, at_once, row
from tests.limiter.played import PLENTY, through
from tests.limiter.virtual import Net
from touchstone.limiter.caps import InFlight


def volleys(cap: int, takes_s: float = 0.2, rate: Rate | None = None, left: int = 1000) -> InFlight:
    """A part that was answered by so many at once."""
    part, now_at = InFlight((rate or Rate()).room), 100.0
    while stimulus := part.ask(now_at, left):
        (segment,) = stimulus.segments
        assert segment.at[0] >= now_at
        count = min(len(segment.at), cap) if segment.together else len(segment.at)
        answers = [(takes_s + 0.001 * number, "+") for number in range(count)]
        answers += [(0.001, "-")] * (len(segment.at) - count)
        part.hear(at_once("".join(o for _, o in answers), segment.at[0], [t for t, _ in answers]))
        now_at, left = segment.at[0] + takes_s, left - len(segment.at)
    return part


@pytest.mark.parametrize("cap", [1, 2, 3, 4, 5, 15])
def test_cap_on_requests_under_way_is_found(cap: int) -> None:
    """With the time for which each of them counts; volleys have to agree on it."""
    part = volleys(cap)
    tier = part.tier()
    assert tier is not None
    assert tier.text == f"concurrency:{cap},takes=0.2"
    assert tier.options == {"takes": "0.2"}
    limit = tier.numbers["limit"]
    assert (limit.low, limit.value, limit.high) == (cap, cap, cap)
    assert part.sure
    assert part.uncapped_to <= cap


def test_what_takes_no_time_is_not_told_to_take_any() -> None:
    """Answers that are let through come as quickly as refusals."""
    tier = volleys(3, takes_s=0.001).tier()
    assert tier is not None
    assert (tier.text, tier.options) == ("concurrency:3", {})


@pytest.mark.parametrize("cap", [16, 1000])
def test_no_cap_is_met_where_all_are_let_through(cap: int) -> None:
    """What is told is how many were under way at once."""
    part = volleys(cap)
    assert (part.tier(), part.sure, part.uncapped_to) == (None, True, 16)


def test_volleys_stay_within_what_the_rate_lets_through() -> None:
    """Each waits until the rate has room, and is no larger than that."""
    part, rate = InFlight(Rate(6).room), Rate(6)
    now_at = 103.0
    while stimulus := part.ask(now_at, 1000):
        (segment,) = stimulus.segments
        assert len(segment.at) <= rate.room(segment.at[0])[0] == 6
        part.hear(at_once("+" * len(segment.at), segment.at[0]))
        now_at = segment.at[0] + 1.0
    assert part.uncapped_to == 6


@pytest.mark.parametrize("left", [1, 3, 10, 12])
def test_volleys_stay_within_what_is_left(left: int) -> None:
    """Of the budget."""
    part, now_at, sent = InFlight(Rate().room), 0.0, 0
    while stimulus := part.ask(now_at, left - sent):
        sent += stimulus.most
        assert sent <= left
        part.hear(at_once("+" * stimulus.most, now_at))
        now_at += 5.0
    assert part.uncapped_to <= left


def test_volleys_rest_until_everything_is_answered() -> None:
    """A request of the last one is never still under way."""
    part = InFlight(Rate().room)
    part.hear(at_once("+++-", 10.0, [0.4, 0.4, 0.4, 0.001]))
    for took_s, free_at in ((0.4, 10.4), (0.001, 10.8)):
        stimulus = part.ask(10.0, 100)
        assert stimulus is not None
        assert stimulus.segments[0].at[0] >= free_at
        part.hear(row("+", free_at, took_s=took_s))


def seen_of(*volleys: str) -> InFlight:
    """A part that has heard these, and after the first one as many one by one that were let through."""
    part = InFlight(Rate().room)
    for number, outcomes in enumerate(volleys):
        part.hear(at_once(outcomes))
        if not number:
            part.hear(row("+"))
    return part


@pytest.mark.parametrize("seen", [("+++-",), ("+++-", "+++--")])
def test_few_volleys_prove_no_cap(seen: tuple[str, ...]) -> None:
    """Something was refused, so that nothing is sure; what it was is not known."""
    assert (seen_of(*seen).tier(), seen_of(*seen).sure) == (None, False)


def test_volleys_that_are_refused_altogether_are_no_cap() -> None:
    """Something else refuses."""
    part = InFlight(Rate().room)
    part.hear(at_once("----"))
    assert (part.tier(), part.disproved, part.over) == (None, True, True)


@pytest.mark.parametrize("outcomes", ["-", "+-", "+++-"])
def test_cap_lets_as_many_through_one_by_one(outcomes: str) -> None:
    """And one more than it lets through at once; where one of these is refused, it is something else that refuses."""
    part = InFlight(Rate().room)
    part.hear(at_once("+++-"))
    stimulus = part.ask(0.5, 100)
    assert stimulus is not None
    assert (stimulus.name, stimulus.most, stimulus.segments[0].together) == ("4 one by one", 4, False)
    part.hear(row(outcomes, 0.5))
    assert (part.tier(), part.disproved, part.ask(9.0, 100)) == (None, True, None)


def test_one_by_one_are_no_more_than_the_rate_lets_through() -> None:
    """Where that is less than the volley, so many are enough."""
    part = InFlight(Rate(2).room)
    part.hear(at_once("+++-"))
    stimulus = part.ask(10.0, 100)
    assert stimulus is not None
    assert stimulus.most == 2
    part.hear(row("++", 10.0))
    assert (part.disproved, part.over) == (False, False)


def test_volleys_that_disagree_leave_it_unsure() -> None:
    """It is no cap; what was seen is told."""
    part = seen_of("+++-", "++---", "++++-")
    assert (part.tier(), part.sure) == (None, False)
    assert "2 to 4 were let through" in part.doubt


@pytest.mark.parametrize(("pace_s", "doubted"), [(0.02, True), (0.004, False)])
def test_cap_whose_answers_come_one_after_the_other_may_be_a_queue(pace_s: float, doubted: bool) -> None:
    """Unless they come as close to each other as a machine answers."""
    part = InFlight(Rate().room)
    for _ in range(3):
        part.hear(at_once("+++++---", took_s=[0.05 * doubted + pace_s * number for number in range(5)] + [0.05] * 3))
        if len(part.volley_caps) == 1:
            part.hear(row("+"))
    assert part.over
    assert (part.tier() is None, part.sure) == (doubted, not doubted)
    assert ("5 were let through, and answered one after the other, 0.02 s apart" in part.doubt) == doubted


def test_one_refusal_by_chance_is_no_cap() -> None:
    """A larger volley of which nothing is refused takes it back."""
    part = seen_of("+++-", "+++++")
    assert (part.volley_caps, part.tier(), part.sure, part.uncapped_to) == ([], None, True, 5)


def test_rate_that_one_after_the_other_never_meets_is_doubted() -> None:
    """Where each answer takes its time, many are sent at once before it is sure that there is no rate."""
    whole = through(Net("token-bucket:60/1,burst=24", leg_s=0.02), PLENTY)
    found = whole.known
    assert found.tiers == ()
    assert not found.sure
    assert "there is a rate that one alone never meets, or a higher cap" in found.notes[-1]
    at_once = [len(part.at) for turn in whole.turns for part in turn.stimulus.segments if part.together]
    assert max(at_once) <= PLENTY.most_held


def test_no_limit_is_sure_where_many_at_once_are_let_through() -> None:
    """However long each answer takes."""
    found = through(Net("none", leg_s=0.02), PLENTY).known
    assert found.sure
    assert found.notes == ()
