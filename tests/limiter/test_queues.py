"""The part of a probe that looks at a queue, with fillings answered by a queue made by hand."""

from dataclasses import dataclass, replace

import pytest

from tests.limiter.answers import TOOK_S, assert_alike, told
from tests.limiter.played import NO_CAPS, played
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.queues import Queues
from touchstone.limiter.story import Story


@dataclass
class Queue:
    """What is served one at a time, each in *pace_s*; *places* may wait, *spared* of them need not."""

    pace_s: float
    places: int
    spared: int = 0
    free_at: float = 0.0

    def answer(self, at: float, stream: int = 0) -> Answer:
        """Takes one in, or refuses it."""
        waits_s = max(0.0, self.free_at - at)
        if waits_s > self.places * self.pace_s + 1e-9:
            return Answer(at, at + TOOK_S, accepted=False, stream=stream)
        self.free_at = max(self.free_at, at) + self.pace_s
        return Answer(at, at + TOOK_S + max(0.0, waits_s - self.spared * self.pace_s), accepted=True, stream=stream)

    def burst(self, count: int) -> list[Answer]:
        """One after the other."""
        answers, at = [], 0.2
        for _ in range(count):
            answers.append(self.answer(at))
            at = answers[-1].done_at
        return answers

    def filled(self, stimulus: Stimulus) -> list[Answer]:
        """One after the other, none of which waits for an answer, until one is seen to be refused."""
        (segment,) = stimulus.segments
        assert (segment.together, segment.until) == (True, "refused")
        answers: list[Answer] = []
        for stream, at in enumerate(segment.at):
            if any(answer.done_at <= at and not answer.accepted for answer in answers):
                break
            answers.append(self.answer(at, stream))
        return answers


def begun(queue: Queue, burst: int = 24) -> Queues:
    """A part before it asks anything, after a burst."""
    return Queues(Story([queue.answer(0.0), *queue.burst(burst)]))


def looked(queue: Queue, left: int = 1000) -> Queues:
    """A part that asked until it asked no more."""
    part = begun(queue)
    while stimulus := part.ask(part.story.seconds, left - len(part.story.answers)):
        assert stimulus.stage == "queue"
        told(part.hear, part.story, queue.filled(stimulus))
    return part


@pytest.mark.parametrize(
    ("queue", "text"),
    [
        (Queue(0.1, 3), "leaky-bucket:1/0.1,burst=3"),
        (Queue(0.1, 8), "leaky-bucket:1/0.1,burst=8"),
        (Queue(0.25, 20), "leaky-bucket:1/0.25,burst=20"),
        (Queue(0.1, 8, 5), "leaky-bucket:1/0.1,burst=8,delay=5"),
        (Queue(0.1, 8, 7), "leaky-bucket:1/0.1,burst=8,delay=7"),
        (Queue(0.1, 16, 12), "leaky-bucket:1/0.1,burst=16,delay=12"),
    ],
)
def test_queue_is_found_with_its_numbers(queue: Queue, text: str) -> None:
    """Pace, places, and those that need not wait; its text is a limiter of the twin."""
    part = looked(queue)
    tier = part.tier()
    assert tier is not None
    assert (tier.family, tier.text, part.settled) == ("leaky-bucket", text, True)
    rate = tier.numbers["rate_per_s"]
    assert rate.low <= 1 / queue.pace_s <= rate.high
    assert tier.numbers["burst"].value == queue.places
    assert tier.numbers["delay"].value == queue.spared
    assert_alike(tier.text, text, queue.pace_s * 10)


def test_first_filling_goes_on_from_the_burst_and_the_others_find_the_queue_empty() -> None:
    """Those whose answers the burst waited for need not be sent once more; the next one counts from nothing."""
    queue = Queue(0.1, 8, 5)
    part = begun(queue)
    first = part.ask(part.story.seconds, 1000)
    assert first is not None
    assert first.segments[0].at[0] == part.story.seconds < queue.free_at
    told(part.hear, part.story, queue.filled(first))
    second = part.ask(part.story.seconds, 1000)
    assert second is not None
    assert second.segments[0].at[0] > queue.free_at
    gaps = [segment.at[1] - segment.at[0] for segment in (*first.segments, *second.segments)]
    assert gaps[1] > 1.1 * gaps[0]
    told(part.hear, part.story, queue.filled(second))
    assert part.settled
    assert len(queue_answers(part)) <= 2 * (queue.places + 1) + 4


def queue_answers(part: Queues) -> list[Answer]:
    """What the fillings alone brought."""
    return part.story.answers[part.fillings[0].start :]


@pytest.mark.parametrize("places", [1, 2, 5, 13, 30, 40])
@pytest.mark.parametrize("pace_s", [0.02, 0.1, 1.5])
def test_queue_is_filled_twice_and_hardly_more(places: int, pace_s: float) -> None:
    """With few refusals: no more is sent once one is seen."""
    part = looked(Queue(pace_s, places))
    tier = part.tier()
    assert tier is not None
    assert (part.settled, tier.numbers["burst"].value) == (True, places)
    served = 2 * places * max(0.002 / pace_s, 0.02)
    assert len(queue_answers(part)) <= 2 * (places + 3) + served
    assert sum(not answer.accepted for answer in queue_answers(part)) <= 4


def test_answers_that_do_not_wait_for_each_other_are_no_queue() -> None:
    """What made the burst slow is something else: all of a filling are answered at once."""
    part = begun(Queue(0.1, 8))
    stimulus = part.ask(part.story.seconds, 1000)
    assert stimulus is not None
    at = stimulus.segments[0].at
    told(part.hear, part.story, [Answer(when, when + TOOK_S, True, stream=n) for n, when in enumerate(at)])
    assert (part.disproved, part.settled, part.tier()) == (True, False, None)
    assert part.ask(part.story.seconds, 1000) is None


def test_turns_that_cannot_be_told_apart_are_not_settled() -> None:
    """What waits is answered between two turns: whether one more is spared, nobody knows."""
    queue = Queue(0.1, 8)

    def late(answers: list[Answer]) -> list[Answer]:
        return [replace(a, done_at=a.done_at + 0.045) if a.done_at - a.sent_at > 0.05 else a for a in answers]

    part = Queues(Story(late([queue.answer(0.0), *queue.burst(6)])))
    while stimulus := part.ask(part.story.seconds, 1000):
        told(part.hear, part.story, late(queue.filled(stimulus)))
    assert not part.settled


def test_pace_that_is_not_known_well_is_asked_for_again() -> None:
    """Two fillings of a queue with two places agree, but answers are late by up to a third of a pace."""
    queue, late_s = Queue(0.1, 2), [0.0, 0.03, 0.01]

    def late(answers: list[Answer]) -> list[Answer]:
        turns = enumerate(answers)
        return [replace(a, done_at=a.done_at + late_s[n % 3]) if a.accepted else a for n, a in turns]

    part = Queues(Story(late([queue.answer(0.0), *queue.burst(6)])))
    while stimulus := part.ask(part.story.seconds, 1000):
        told(part.hear, part.story, late(queue.filled(stimulus)))
    assert len(part.fillings) > 2
    tier = part.tier()
    assert tier is not None
    assert tier.numbers["rate_per_s"].low <= 10.0 <= tier.numbers["rate_per_s"].high


def test_queue_that_never_was_full_is_not_settled() -> None:
    """It has places for a hundred at least, and how many more is not known."""
    part = looked(Queue(0.05, 500))
    tier = part.tier()
    assert tier is not None
    assert not part.settled
    burst = tier.numbers["burst"]
    assert burst.low >= 100
    assert burst.high > 1000


@pytest.mark.parametrize("left", [26, 31, 40])
def test_no_more_is_asked_than_there_is_room_for(left: int) -> None:
    """Fillings are cut to it."""
    part = looked(Queue(0.1, 8), left)
    assert len(part.story.answers) <= left


def test_fillings_that_disagree_are_not_enough() -> None:
    """Somebody else took a place; two in a row have to show the same."""
    queue = Queue(0.1, 3)
    part = begun(queue)
    for taken, settled in ((0, False), (1, False), (0, False), (0, True)):
        stimulus = part.ask(part.story.seconds, 1000)
        assert stimulus is not None
        for _ in range(taken):
            queue.answer(stimulus.segments[0].at[0] - 0.001)
        told(part.hear, part.story, queue.filled(stimulus))
        assert part.settled == settled


def test_volley_without_an_answer_says_nothing() -> None:
    """The same one is asked again."""
    part = begun(Queue(0.1, 3))
    before = part.ask(5.0, 100)
    part.hear([])
    assert part.ask(5.0, 100) == before
    assert part.tier() is None


def test_part_that_only_heard_asks_as_the_one_that_asked() -> None:
    """How long it rests depends on the answers alone."""
    queue = Queue(0.1, 8, 6)
    story = Story([Answer(0.0, TOOK_S, accepted=True), *queue.burst(24)])
    asked, rebuilt = Queues(story), Queues(story)
    while stimulus := asked.ask(story.seconds, 1000):
        story.answers += (answers := queue.filled(stimulus))
        asked.hear(answers)
        rebuilt.hear(answers)
        assert rebuilt.ask(story.seconds, 1000) == asked.ask(story.seconds, 1000)
    assert rebuilt.tier() == asked.tier()


def test_queue_of_which_no_end_is_met_is_not_settled() -> None:
    """It is named with its pace, and the probe does not say that it is sure, nor that it has settled anything."""
    found = played("leaky-bucket:10/1,burst=300", NO_CAPS).known
    assert (found.tiers[0].family, found.sure, found.why) == ("leaky-bucket", False, "nothing left to learn")
