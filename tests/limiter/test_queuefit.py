"""What a queue is thought to be, from answers made by hand."""

import random

import pytest

from touchstone.facts.observed import Answer
from touchstone.limiter.queues import fit
from touchstone.limiter.story import in_turn_s

LEG_S = 0.0005


def served(
    sent_at: list[float], pace_s: float, places: int, delay: int = 0, *, noise_s: float = 0.0, seed: int = 1
) -> list[Answer]:
    """What a queue answers to requests at these times."""
    chance, free_at, answers = random.Random(seed), 0.0, []
    for at in sent_at:
        met_at = at + LEG_S
        waits_s = max(0.0, free_at - met_at)
        accepted = waits_s <= places * pace_s + 1e-9
        delay_s = max(0.0, waits_s - delay * pace_s) if accepted else 0.0
        free_at = max(free_at, met_at) + pace_s if accepted else free_at
        late_s = abs(chance.gauss(0.0, noise_s)) if noise_s else 0.0
        answers.append(Answer(at, met_at + delay_s + LEG_S + late_s, accepted))
    return answers


def stream(at: float, count: int, gap_s: float = 0.002) -> list[float]:
    """One in each gap."""
    return [at + gap_s * number for number in range(count)]


@pytest.mark.parametrize(("places", "delay"), [(1, 0), (4, 0), (9, 3), (9, 8), (30, 12)])
def test_pace_delay_and_places_are_read_off(places: int, delay: int) -> None:
    """From one stream that is refused in part; the pace in its interval, though the one at the beginning is rough."""
    answers = served([0.0, *stream(5.0, places + 4)], 0.1, places, delay)
    found = fit(answers, 0.09, {1})
    assert found.pace.low - 1e-9 <= 0.1 <= found.pace.high + 1e-9 or places - delay < 2
    assert (found.delay, found.places(1, len(answers) - 1)) == (delay, (places, places))
    assert found.off(1) < 0.1


def test_interval_of_the_pace_holds_it_in_about_95_of_100() -> None:
    """Where answers are late at random; it is narrower where they are less late."""
    inside, widths = 0, []
    for seed in range(200):
        noise_s = 0.002 if seed % 2 else 0.0005
        pace = fit(served([0.0, *stream(5.0, 14)], 0.1, 10, noise_s=noise_s, seed=seed), 0.1, {1}).pace
        inside += pace.low <= 0.1 <= pace.high
        widths.append(pace.high - pace.low)
    assert 182 <= inside <= 197
    assert sum(widths[1::2]) > 2 * sum(widths[::2])


def test_one_answer_that_is_very_late_bends_no_line() -> None:
    """Nor does one that seemed to wait, and was only long on its way."""
    answers = served([0.0, *stream(5.0, 24)], 0.1, 20, 4)
    for number, late_s in ((3, 0.06), (12, 0.5)):
        answer = answers[number]
        answers[number] = Answer(answer.sent_at, answer.done_at + late_s, answer.accepted)
    assert abs(fit(answers, 0.1, {1}).pace.value / 0.1 - 1) < 0.01


def test_answers_that_had_not_to_wait_are_on_no_line() -> None:
    """However long they were on their way, and though they are more than those that waited."""
    answers = served([0.0, *(1.0 + 0.001 * number for number in range(12)), *stream(5.0, 13)], 0.1, 9, 6)
    first = 13
    for number in range(first + 2, first + 7):
        answer = answers[number]
        late_s = 0.03 + 0.01 * (number * 7 % 3)
        answers[number] = Answer(answer.sent_at, answer.done_at + late_s, answer.accepted)
    found = fit(answers, 0.1, {1, first})
    assert abs(found.pace.value / 0.1 - 1) < 0.002
    assert found.delay == 6


def test_place_that_is_just_about_free_leaves_it_open() -> None:
    """Whether the last one came a moment before or after that, no clock can say."""
    gap_s = 0.1 / 7.98  # the eighth place is taken as the first one is served
    answers = served([0.0, *stream(5.0, 9, gap_s)], 0.1, 7)
    assert answers[-1].accepted
    for late_s in (-0.001, 0.0, 0.001):
        seen = [*answers[:-1], Answer(answers[-1].sent_at + late_s, answers[-1].done_at, accepted=True)]
        least, most = fit(seen, 0.1, {1}).places(1, 9)
        assert least <= 7 <= most


def test_queue_that_was_left_alone_is_empty() -> None:
    """Though by a clock that is a little off it would not have been yet."""
    answers = served([0.0, *stream(5.0, 8), *stream(5.799, 8)], 0.1, 9)
    left_alone, not_known = (fit(answers, 0.1, afresh) for afresh in ({1, 9}, {1}))
    assert (left_alone.paces[9], left_alone.place[9]) == (0.0, 0)
    assert (not_known.paces[9] > 0, not_known.place[9]) == (True, 8)


def test_refusals_tell_no_more_places_than_were_taken() -> None:
    """A stream that is no slower than a clock can see is refused with exactly as many in the queue."""
    found = fit(served([0.0, *stream(5.0, 9, 0.0)], 0.1, 5), 0.1, {1})
    assert found.places(1, 9) == (5, 5)
    assert found.places(1, 4)[1] == float("inf")


@pytest.mark.parametrize(("late_s", "off"), [(0.0, False), (0.1, False), (0.2, False), (-1.0, True)])
def test_answers_that_wait_for_nobody_are_off(late_s: float, off: bool) -> None:
    """Those that are late by whole turns wait for somebody else."""
    answers = served([0.0, *stream(5.0, 12)], 0.1, 10)
    moved = [Answer(a.sent_at, max(a.sent_at + 2 * LEG_S, a.done_at + late_s), a.accepted) for a in answers[1:]]
    opening = served([0.0, 1.0, 1.001, 1.102, 1.203, 1.304], 0.1, 10)
    assert (fit([*opening, *moved], 0.1, {len(opening)}).off(len(opening)) > 0.5) == off


@pytest.mark.parametrize(
    ("took_s", "expected_s"),
    [
        ([0.001, 0.021, 0.041, 0.061], 0.02),
        ([0.061, 0.001, 0.041, 0.021], 0.02),
        ([0.001, 0.021, 0.041], 0.0),
        ([0.2, 0.201, 0.202, 0.203, 0.204], 0.0),
        ([0.2, 0.22, 0.24, 0.26, 0.28], 0.0),
        ([0.001, 0.001, 0.001, 0.001, 0.001, 0.2], 0.0),
        ([0.001, 0.002, 0.003, 0.1, 0.101, 0.102], 0.0),
    ],
)
def test_answers_that_come_one_after_the_other(took_s: list[float], expected_s: float) -> None:
    """And not all after the same time, nor but for one, nor in two groups; refusals do not count."""
    answers = [Answer(1.0, 1.0 + took, accepted=True, stream=n) for n, took in enumerate(took_s)]
    assert in_turn_s([*answers, Answer(1.0, 1.001, accepted=False)]) == pytest.approx(expected_s, abs=1e-9)
