"""The first requests of a probe, with answers made by hand."""

import pytest

from tests.limiter.answers import TOOK_S, at_once, row, told
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.opening import CANARY_S, MOST_UNREFUSED, Opening
from touchstone.limiter.story import Story


def begun(*outcomes: str, starts: bool = False, most: int = 1000) -> Opening:
    """An opening that has heard these, one stimulus after the other."""
    opening = Opening(Story(), starts, most)
    for outcome in outcomes:
        hear(opening, outcome)
    return opening


def hear(opening: Opening, outcomes: str, took_s: float = TOOK_S) -> Stimulus:
    """Asks, and answers with *outcomes*; what was asked."""
    now_at = opening.story.seconds
    stimulus = opening.ask(now_at)
    step_s = took_s + 0.001
    told(opening.hear, opening.story, row(outcomes, stimulus.segments[0].at[0], step_s=step_s, took_s=took_s))
    return stimulus


def test_one_request_comes_first() -> None:
    """Alone, as soon as can be."""
    stimulus = begun().ask(3.5)
    assert [segment.at for segment in stimulus.segments] == [(3.5,)]
    assert stimulus.stage == "opening"


def test_burst_follows_some_time_after_the_first_until_one_is_refused() -> None:
    """It is what tells a window that the first one opened from a log in which that stands alone."""
    (segment,) = begun("+").ask(0.0).segments
    assert min(segment.at) == CANARY_S
    assert segment.until == "refused"
    assert not segment.together


def test_first_refusal_ends_it() -> None:
    """A rate refused something."""
    opening = begun("+", "++++-")
    assert (opening.over, opening.limited, opening.queued, opening.capped) == (True, True, False, False)


def test_burst_goes_on_until_enough_were_let_through() -> None:
    """Only then no rate is looked for any more."""
    opening = begun("+")
    while not opening.over:
        assert len(opening.story.answers) < MOST_UNREFUSED
        hear(opening, "+" * opening.ask(opening.story.seconds).most)
    assert len(opening.story.answers) >= MOST_UNREFUSED
    assert not opening.limited


def test_fewer_are_enough_where_answers_take_long() -> None:
    """Two hundred would last."""
    opening = begun("+")
    while not opening.over:
        hear(opening, "+" * opening.ask(opening.story.seconds).most, took_s=0.6)
    assert len(opening.story.answers) < MOST_UNREFUSED


def test_wait_grows_until_one_is_accepted() -> None:
    """Where the first is refused already, the next ones come later and later, until one is let through."""
    opening = begun("-")
    (segment,) = opening.ask(1.0).segments
    gaps = [b - a for a, b in zip(segment.at, segment.at[1:], strict=False)]
    assert segment.until == "accepted"
    assert gaps == sorted(gaps)
    assert segment.at[-1] > 1000
    hear(opening, "---+")
    assert not opening.over
    assert opening.ask(opening.story.seconds).segments[0].until == "refused"


def test_no_more_is_asked_than_requests_may_be_sent() -> None:
    """The burst is cut; where nothing was refused until then, it is over."""
    opening = begun("+", most=10)
    assert opening.ask(0.2).most == 9
    hear(opening, "+" * 9)
    assert opening.over


def test_refused_start_is_tried_again_before_it_counts_as_a_rate() -> None:
    """It may be that builds had not ended yet; a second refusal in a row is the rate's."""
    opening = begun("+", "++++-", starts=True)
    assert not opening.over
    assert opening.ask(1.0).most == 1
    hear(opening, "-")
    assert (opening.over, opening.limited, opening.capped) == (True, True, False)


def test_start_that_is_let_through_again_is_no_cap_where_the_next_burst_is_short() -> None:
    """A bucket gave back one token; so many builds as before would have room."""
    opening = begun("+", "++++++++-", "+", "+-", starts=True)
    assert (opening.over, opening.limited, opening.capped) == (True, True, False)


def test_builds_one_at_a_time_tell_a_cap_from_a_window() -> None:
    """What was let through again and again as long as no other build was in flight was refused for builds in flight."""
    opening = begun("+", "++++-", "+", starts=True)
    (alone,) = opening.ask(1.0).segments
    assert alone.alone
    assert len(alone.at) > 5
    hear(opening, "+" * len(alone.at))
    assert (opening.capped, opening.limited, opening.over) == (True, False, False)
    assert opening.ask(2.0).segments[0].alone


def test_window_that_opens_anew_is_no_cap() -> None:
    """As many as before are let through one at a time, and no more."""
    opening = begun("+", "++++-", "+", "+++++-", "+++++-", starts=True)
    assert (opening.over, opening.limited, opening.capped) == (True, True, False)


@pytest.mark.parametrize(("outcomes", "capped"), [("++++++", True), ("++++-", False)])
def test_builds_one_at_a_time_are_tried_again_after_a_rest(outcomes: str, capped: bool) -> None:
    """
    Where more were let through than had room at once, and no more than before: it may be a rate that refused the last.
    """
    opening = begun("+", "+++-", "+", "++++-", starts=True)
    assert not opening.over
    stimulus = opening.ask(1.0)
    (alone,) = stimulus.segments
    assert (stimulus.name, alone.alone, len(alone.at)) == ("one build at a time", True, 6)
    assert alone.at[0] >= 2.0
    hear(opening, outcomes)
    assert (opening.capped, opening.limited, opening.over) == (capped, not capped, not capped)


def test_one_build_after_the_other_may_be_a_cap_of_one() -> None:
    """One has room again and again: that is tried one at a time, as with any other cap."""
    opening = begun("+", "+-", "+", starts=True)
    assert opening.ask(1.0).name == "one build at a time"
    hear(opening, "++++")
    assert (opening.capped, opening.over) == (True, False)


@pytest.mark.parametrize(("again", "refilled"), [("+", True), ("-", False)])
def test_start_that_is_let_through_right_after_a_refusal_is_remembered(again: str, refilled: bool) -> None:
    """A build may have ended by then."""
    assert begun("+", "++++-", again, starts=True).refilled is refilled


def test_rate_behind_a_cap_is_what_refuses_a_build_that_is_alone() -> None:
    """The refusals before it were the cap's, and tell nothing of the rate."""
    opening = begun("+", "++-", "+", "++++-", starts=True)
    refused = [number for number, answer in enumerate(opening.story.answers) if not answer.accepted]
    assert (opening.over, opening.limited, opening.capped) == (True, True, True)
    assert opening.story.left_out == set(refused[:-1])


@pytest.mark.parametrize("heard", [(), ("+", "++++-", "+")])
@pytest.mark.parametrize("cut", ["", "++"])
def test_check_that_was_cut_short_is_asked_again(heard: tuple[str, ...], cut: str) -> None:
    """It decides nothing that a whole one would not."""
    opening = begun(*heard, starts=True)
    name = opening.ask(1.0).name
    told(opening.hear, opening.story, row(cut, 1.0))
    if not heard and cut:
        name = "burst"
    assert not opening.over
    assert not opening.capped
    assert opening.ask(2.0).name == name


def test_answers_that_take_long_are_a_queue() -> None:
    """Each of a burst from the second on is held back."""
    opening = begun("+")
    answers, at = [], CANARY_S
    for took_s in (TOOK_S, *[0.1] * 6):
        answers.append(Answer(at, at + took_s, accepted=True))
        at += took_s
    told(opening.hear, opening.story, answers)
    assert (opening.over, opening.queued) == (True, True)


def test_few_slow_answers_are_the_networks() -> None:
    """Two that took long among many do not make a queue."""
    opening = begun("+")
    told(opening.hear, opening.story, [*row("++", 0.2, step_s=0.3, took_s=0.2), *row("+" * 10 + "-", 1.0)])
    assert (opening.over, opening.queued) == (True, False)


def queued() -> Opening:
    """An opening that takes answers for held back."""
    opening = begun("+")
    told(opening.hear, opening.story, row("+" * 5, 0.2, step_s=0.1, took_s=0.1))
    assert (opening.over, opening.queued) == (True, True)
    return opening


def test_burst_ends_once_answers_are_held_back() -> None:
    """By what the first one took alone."""
    (segment,) = begun("+").ask(0.0).segments
    assert segment.quick_s == pytest.approx(TOOK_S)
    assert segment.ends_with(accepted=True, took_s=[0.1] * 4)


def test_opening_goes_on_where_there_is_no_queue() -> None:
    """What was sent to fill it was not held back; no burst is taken for held back any more, and none ends for it."""
    opening = queued()
    filling = row("+" * 10, 2.0)
    told(lambda _: opening.resume(filling), opening.story, filling)
    assert (opening.over, opening.queued, opening.ask(3.0).segments[0].quick_s) == (False, False, 0.0)
    told(opening.hear, opening.story, row("+" * 24, 3.0, step_s=0.1, took_s=0.1))
    slow = [answer for n in range(4) for answer in row("++", 6.0 + n, step_s=0.4, took_s=0.1 + 0.02 * n)]
    told(opening.hear, opening.story, slow)
    assert (opening.over, opening.queued) == (False, False)


def test_refusal_where_there_is_no_queue_is_a_rates() -> None:
    """As any other."""
    opening = queued()
    filling = row("++++-", 2.0)
    told(lambda _: opening.resume(filling), opening.story, filling)
    assert (opening.over, opening.queued, opening.limited) == (True, False, True)


@pytest.mark.parametrize(
    ("alone_s", "together_s", "shows"),
    [
        ([0.001, *[0.02, 0.03] * 10], [0.001, 0.026, 0.051, 0.076, 0.101], True),
        ([0.001, *[0.02, 0.03] * 10], [0.03] * 5, False),
        ([0.021] * 20, [0.021, 0.041, 0.061, 0.081, 0.101], False),
        ([0.001] * 20, [0.001, 0.004, 0.007, 0.01, 0.013], False),
        ([0.001, *[0.02, 0.09] * 10], [0.001, 0.026, 0.051, 0.076, 0.101], False),
    ],
    ids=["queue", "no order", "one at a time", "machine", "network"],
)
def test_volley_shows_a_queue_that_the_burst_hid(alone_s: list[float], together_s: list[float], shows: bool) -> None:
    """Not where a server works off one after the other, and one alone takes as long; nor where the network did it."""
    alone = [a for number, took in enumerate(alone_s) for a in row("+", 0.2 * number, took_s=took)]
    answers = at_once("+" * len(together_s), 9.0, together_s)
    opening = Opening(Story([*alone, *answers]), starts=True, most=1000)
    assert opening.shows_queue(answers) == shows
    opening.unqueued = True
    assert not opening.shows_queue(answers)
