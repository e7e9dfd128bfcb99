"""A queue, from answers made by hand: how its pace and places are fitted, and how a probe fills it."""

import random
from dataclasses import dataclass

import pytest

from tests.limiter.answers import TOOK_S, given, pass_on
from touchstone.facts.probe import Answer, Stimulus
from touchstone.limiter.rate_inference import Story, in_turn_s
from touchstone.limiter.stages import Queues, fit


@dataclass
class Queue:
    """What is served one at a time, each in *pace_s*; *places* may wait, *spared* of them need not."""

    pace_s: float
    places: int
    spared: int = 0
    late_s: tuple[float, ...] = (0.0,)  # by how much answers come late, one after the other
    free_at: float = 0.0
    count: int = 0

    def answer(self, at: float, number: int = 0) -> Answer:
        """Takes one in, or refuses it."""
        waits_s = max(0.0, self.free_at - at)
        if waits_s > self.places * self.pace_s + 1e-9:
            return Answer(at, at + TOOK_S, accepted=False, stream=number)
        self.free_at = max(self.free_at, at) + self.pace_s
        self.count += 1
        took_s = TOOK_S + max(0.0, waits_s - self.spared * self.pace_s) + self.late_s[self.count % len(self.late_s)]
        return Answer(at, at + took_s, accepted=True, stream=number)

    def burst(self, count: int) -> list[Answer]:
        """One after the other."""
        answers, at = [], 0.2
        for _ in range(count):
            answers.append(self.answer(at))
            at = answers[-1].done_at
        return answers

    def fill(self, stimulus: Stimulus) -> list[Answer]:
        """Answers to a stream, until one is known to be refused."""
        (segment,) = stimulus.segments
        assert (segment.together, segment.until, stimulus.stage) == (True, "refused", "queue")
        answers: list[Answer] = []
        for number, at in enumerate(segment.at):
            if any(answer.done_at <= at and not answer.accepted for answer in answers):
                break
            answers.append(self.answer(at, number))
        return answers


def served(
    sent_at: list[float], pace_s: float, places: int, spared: int = 0, late_s: tuple[float, ...] = (0.0,)
) -> list[Answer]:
    queue = Queue(pace_s, places, spared, late_s)
    return [queue.answer(at) for at in sent_at]


def stream(at: float, count: int, gap_s: float = 0.002) -> list[float]:
    return [at + gap_s * number for number in range(count)]


@pytest.mark.parametrize(("places", "delay"), [(1, 0), (4, 0), (9, 3), (9, 8), (30, 12)])
def test_pace_delay_and_places_are_read_off_one_stream(places: int, delay: int) -> None:
    answers = served([0.0, *stream(5.0, places + 4)], 0.1, places, delay)
    found = fit(answers, 0.09, {1})
    assert found.pace.low - 1e-9 <= 0.1 <= found.pace.high + 1e-9 or places - delay < 2
    assert (found.delay, found.places(1, len(answers) - 1)) == (delay, (places, places))
    assert found.off(1) < 0.1


def test_interval_of_the_pace_holds_it_in_about_95_of_100() -> None:
    inside, widths = 0, []
    for seed in range(120):
        noise_s = 0.002 if seed % 2 else 0.0005
        chance = random.Random(seed)
        late_s = tuple(abs(chance.gauss(0.0, noise_s)) for _ in range(14))
        pace = fit(served([0.0, *stream(5.0, 14)], 0.1, 10, late_s=late_s), 0.1, {1}).pace
        inside += pace.low <= 0.1 <= pace.high
        widths.append(pace.high - pace.low)
    assert 108 <= inside <= 119
    assert sum(widths[1::2]) > 2 * sum(widths[::2])


@pytest.mark.parametrize(
    ("took_s", "expected_s"),
    [
        ([0.001, 0.021, 0.041, 0.061], 0.02),
        ([0.061, 0.001, 0.041, 0.021], 0.02),
        ([0.001, 0.021, 0.041], 0.0),
        ([0.2, 0.22, 0.24, 0.26, 0.28], 0.0),
        ([0.001, 0.001, 0.001, 0.001, 0.001, 0.2], 0.0),
        ([0.001, 0.002, 0.003, 0.1, 0.101, 0.102], 0.0),
    ],
)
def test_answers_in_turn_are_a_steady_distance_apart(took_s: list[float], expected_s: float) -> None:
    answers = [Answer(1.0, 1.0 + took, accepted=True, stream=n) for n, took in enumerate(took_s)]
    assert in_turn_s([*answers, Answer(1.0, 1.001, accepted=False)]) == pytest.approx(expected_s, abs=1e-9)


def begun(queue: Queue, burst: int = 24) -> Queues:
    return Queues(Story([queue.answer(0.0), *queue.burst(burst)]))


def finished(queue: Queue, left: int = 1000, burst: int = 24) -> Queues:
    """A part that has nothing left to send."""
    part = begun(queue, burst)
    while stimulus := part.propose(part.story.seconds, left - len(part.story.answers)):
        pass_on(part.observe, part.story, queue.fill(stimulus))
    return part


def filling_answers(part: Queues) -> list[Answer]:
    return part.story.answers[part.fillings[0].start :]


@pytest.mark.parametrize("places", [1, 2, 5, 13, 30, 40])
@pytest.mark.parametrize("pace_s", [0.02, 0.1, 1.5])
def test_queue_is_filled_twice_and_hardly_more(places: int, pace_s: float) -> None:
    part = finished(Queue(pace_s, places))
    tier = given(part.tier())
    assert (part.settled, tier.numbers["burst"].value) == (True, places)
    meanwhile = 2 * places * max(0.002 / pace_s, 0.02)
    assert len(filling_answers(part)) <= 2 * (places + 3) + meanwhile
    assert sum(not answer.accepted for answer in filling_answers(part)) <= 4


def test_answers_that_do_not_wait_for_each_other_are_no_queue() -> None:
    part = begun(Queue(0.1, 8))
    stimulus = given(part.propose(part.story.seconds, 1000))
    at = stimulus.segments[0].at
    pass_on(part.observe, part.story, [Answer(when, when + TOOK_S, True, stream=n) for n, when in enumerate(at)])
    assert (part.disproved, part.settled, part.tier()) == (True, False, None)
    assert part.propose(part.story.seconds, 1000) is None


def test_turns_that_cannot_be_distinguished_are_not_settled() -> None:
    assert not finished(Queue(0.1, 8, late_s=(0.045, 0.0)), burst=6).settled


def test_queue_without_a_refusal_is_not_settled() -> None:
    part = finished(Queue(0.05, 500))
    tier = given(part.tier())
    assert not part.settled
    assert (tier.numbers["burst"].low >= 100, tier.numbers["burst"].high > 1000) == (True, True)


@pytest.mark.parametrize("left", [26, 31, 40])
def test_fillings_stay_within_what_is_left(left: int) -> None:
    assert len(finished(Queue(0.1, 8), left).story.answers) <= left


def test_two_fillings_in_a_row_have_to_agree() -> None:
    queue = Queue(0.1, 3)
    part = begun(queue)
    for taken, settled in ((0, False), (1, False), (0, False), (0, True)):
        stimulus = given(part.propose(part.story.seconds, 1000))
        for _ in range(taken):
            queue.answer(stimulus.segments[0].at[0] - 0.001)
        pass_on(part.observe, part.story, queue.fill(stimulus))
        assert part.settled == settled
