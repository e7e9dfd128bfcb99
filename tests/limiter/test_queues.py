"""
The part of a probe that looks at a queue, with volleys answered by a queue made by hand.
"""

from dataclasses import dataclass

import pytest

from tests.limiter.made import TOOK_S, assert_alike, at_once, told
from tests.limiter.played import NO_CAPS, played
from touchstone.limiter.observed import Answer
from touchstone.limiter.queues import Queues
from touchstone.limiter.stimulus import Stimulus
from touchstone.limiter.story import Story


@dataclass
class Queue:
    """
    What is served one at a time, each in *pace_s*; *places* may wait, *spared* of them need not.
    """

    pace_s: float
    places: int
    spared: int = 0
    free_at: float = 0.0

    def answer(self, at: float, stream: int = 0) -> Answer:
        """
        Takes one in, or refuses it.
        """
        waits_s = max(0.0, self.free_at - at)
        if waits_s > (self.places + 0.5) * self.pace_s:
            return Answer(at, at + TOOK_S, accepted=False, stream=stream)
        self.free_at = max(self.free_at, at) + self.pace_s
        return Answer(at, at + TOOK_S + max(0.0, waits_s - self.spared * self.pace_s), accepted=True, stream=stream)

    def burst(self, count: int) -> list[Answer]:
        """
        One after the other.
        """
        answers, at = [], 0.2
        for _ in range(count):
            answers.append(self.answer(at))
            at = answers[-1].done_at
        return answers

    def volley(self, stimulus: Stimulus) -> list[Answer]:
        """
        All at once.
        """
        (segment,) = stimulus.segments
        return [self.answer(segment.at[0], stream) for stream in range(len(segment.at))]


def looked(queue: Queue, left: int = 1000) -> Queues:
    """
    A part that asked until it asked no more.
    """
    part = Queues(Story([Answer(0.0, TOOK_S, accepted=True), *queue.burst(24)]))
    while stimulus := part.ask(part.story.seconds, left - len(part.story.answers)):
        assert stimulus.stage == "queue"
        told(part.hear, part.story, queue.volley(stimulus))
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
    """
    Pace, places, and those that need not wait; its text is a limiter of the twin.
    """
    part = looked(queue)
    tier = part.tier()
    assert tier is not None
    assert (tier.family, tier.text, part.settled) == ("leaky-bucket", text, True)
    rate = tier.numbers["rate_per_s"]
    assert rate.low <= 1 / queue.pace_s <= rate.high
    assert tier.numbers["burst"].value == queue.places
    assert tier.numbers["delay"].value == queue.spared
    assert_alike(tier.text, text, queue.pace_s * 10)


def test_each_volley_finds_the_queue_empty() -> None:
    """
    The next one is not sent before everything that was let in has been served.
    """
    queue = Queue(0.1, 8, 5)
    part = Queues(Story([Answer(0.0, TOOK_S, accepted=True), *queue.burst(24)]))
    while stimulus := part.ask(part.story.seconds, 1000):
        assert stimulus.segments[0].at[0] >= queue.free_at
        told(part.hear, part.story, queue.volley(stimulus))
    assert len(part.seen) > 2


def test_queue_that_never_was_full_is_not_settled() -> None:
    """
    It has places for a hundred at least, and how many more is not known.
    """
    part = looked(Queue(0.05, 500))
    tier = part.tier()
    assert tier is not None
    assert not part.settled
    burst = tier.numbers["burst"]
    assert burst.low >= 90
    assert burst.high > 1000


@pytest.mark.parametrize("left", [26, 31, 40])
def test_no_more_is_asked_than_there_is_room_for(left: int) -> None:
    """
    Volleys are cut to it.
    """
    part = looked(Queue(0.1, 8), left)
    assert len(part.story.answers) <= left


def test_volleys_that_disagree_are_not_enough() -> None:
    """
    Two in a row have to show the same.
    """
    part = Queues(Story([Answer(0.0, TOOK_S, accepted=True), *Queue(0.1, 3).burst(24)]))
    for number, outcomes in enumerate(("++++-", "+++--", "++++-")):
        told(part.hear, part.story, at_once(outcomes, 10.0 * (number + 1)))
        assert not part.settled
    told(part.hear, part.story, at_once("++++-", 60.0))
    assert part.settled


def test_volley_without_an_answer_says_nothing() -> None:
    """
    The same one is asked again.
    """
    part = Queues(Story([Answer(0.0, TOOK_S, accepted=True), *Queue(0.1, 3).burst(24)]))
    before = part.ask(5.0, 100)
    part.hear([])
    assert part.ask(5.0, 100) == before
    assert part.tier() is None


def test_part_that_only_heard_asks_as_the_one_that_asked() -> None:
    """
    How long it rests depends on the answers alone.
    """
    queue = Queue(0.1, 8, 6)
    story = Story([Answer(0.0, TOOK_S, accepted=True), *queue.burst(24)])
    asked, rebuilt = Queues(story), Queues(story)
    while stimulus := asked.ask(story.seconds, 1000):
        story.add(answers := queue.volley(stimulus))
        asked.hear(answers)
        rebuilt.hear(answers)
        assert rebuilt.ask(story.seconds, 1000) == asked.ask(story.seconds, 1000)
    assert rebuilt.tier() == asked.tier()


def test_queue_of_which_no_end_is_met_is_not_settled() -> None:
    """
    It is named with its pace, and the probe does not say that it is sure, nor that it has settled anything.
    """
    found = played("leaky-bucket:10/1,burst=300", NO_CAPS).known
    assert (found.tiers[0].family, found.sure, found.why) == ("leaky-bucket", False, "nothing left to learn")
