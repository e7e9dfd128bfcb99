"""The first requests of a probe, with answers made by hand: ``+`` for one let through, ``-`` for one refused."""

import pytest

from tests.limiter.answers import TOOK_S, at_once, pass_on, row
from touchstone.facts.probe import Answer, Stimulus
from touchstone.limiter.rate_inference import Story
from touchstone.limiter.stages import CANARY_S, Opening


def begun(*outcomes: str, starts: bool = False, most: int = 1000) -> Opening:
    """An opening that has received these answers, one stimulus after the other."""
    opening = Opening(Story(), starts, most)
    for outcome in outcomes:
        answer(opening, outcome)
    return opening


def answer(opening: Opening, outcomes: str, took_s: float = TOOK_S) -> Stimulus:
    """Answers the next stimulus of an opening with *outcomes*; the stimulus."""
    stimulus = opening.propose(opening.story.seconds)
    step_s = took_s + 0.001
    pass_on(opening.observe, opening.story, row(outcomes, stimulus.segments[0].at[0], step_s=step_s, took_s=took_s))
    return stimulus


def queued() -> Opening:
    """An opening that takes answers for held back."""
    opening = begun("+")
    pass_on(opening.observe, opening.story, row("+" * 5, 0.2, step_s=0.1, took_s=0.1))
    assert (opening.over, opening.queued) == (True, True)
    return opening


def test_one_request_and_later_a_burst_until_a_refusal() -> None:
    opening = begun()
    first = opening.propose(3.5)
    assert ([segment.at for segment in first.segments], first.stage) == ([(3.5,)], "opening")
    (burst,) = begun("+").propose(0.0).segments
    assert (min(burst.at), burst.until, burst.together) == (CANARY_S, "refused", False)
    # It also ends once answers are held back, by what the first one took alone.
    assert burst.quick_s == pytest.approx(TOOK_S)
    assert burst.ends_with(accepted=True, took_s=[0.1] * 4)


@pytest.mark.parametrize(
    ("outcomes", "starts", "over", "limited", "capped"),
    [
        (("+", "++++-"), False, True, True, False),
        # A refused start is tried again: builds may not have ended yet.
        (("+", "++++-"), True, False, True, False),
        (("+", "++++-", "-"), True, True, True, False),
        # A bucket gave back one token; so many builds as before would have room.
        (("+", "++++++++-", "+", "+-"), True, True, True, False),
        # More were let through one at a time than at once: builds in flight were why.
        (("+", "++++-", "+", "+++++++"), True, False, False, True),
        # As many as before and no more: a window opened anew.
        (("+", "++++-", "+", "+++++-", "+++++-"), True, True, True, False),
        # It is tried again after a rest where it may have been the rate that refused the last.
        (("+", "+++-", "+", "++++-"), True, False, True, False),
        (("+", "+++-", "+", "++++-", "++++++"), True, False, False, True),
        (("+", "+++-", "+", "++++-", "++++-"), True, True, True, False),
        # One build after the other may be a cap of one.
        (("+", "+-", "+", "++++"), True, False, False, True),
        # Behind the cap a rate refuses a build that is alone.
        (("+", "++-", "+", "++++-"), True, True, True, True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refusals_are_of_a_rate_or_of_a_cap(
    outcomes: tuple[str, ...], starts: bool, over: bool, limited: bool, capped: bool
) -> None:
    opening = begun(*outcomes, starts=starts)
    assert (opening.over, opening.limited, opening.capped, opening.queued) == (over, limited, capped, False)


@pytest.mark.parametrize(
    ("took_s", "is_queue"),
    [([TOOK_S, *[0.1] * 6], True), ([0.2, 0.2, *[TOOK_S] * 10], False)],
    ids=["queue", "network"],
)
def test_many_slow_answers_are_a_queue(took_s: list[float], is_queue: bool) -> None:
    opening, at, answers = begun("+"), CANARY_S, []
    for each_s in took_s:
        answers.append(Answer(at, at + each_s, accepted=True))
        at += each_s
    pass_on(opening.observe, opening.story, answers)
    assert (opening.over, opening.queued) == (is_queue, is_queue)


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
def test_volley_reveals_a_queue_that_the_burst_hid(alone_s: list[float], together_s: list[float], shows: bool) -> None:
    alone = [a for number, took in enumerate(alone_s) for a in row("+", 0.2 * number, took_s=took)]
    answers = at_once("+" * len(together_s), 9.0, together_s)
    opening = Opening(Story([*alone, *answers]), starts=True, most=1000)
    assert opening.shows_queue(answers) == shows
    opening.unqueued = True
    assert not opening.shows_queue(answers)
