"""A limiter that is changed while it is probed: it is asked anew, and what was known until then is said."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest

from tests.limiter.answers import assert_close, number, row
from tests.limiter.played import NO_CAPS, Played, played, rates_of, through
from tests.limiter.virtual import Net
from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import moments
from touchstone.limiter.account import Candidate
from touchstone.limiter.belief import Tail
from touchstone.limiter.cells import Cells
from touchstone.limiter.chapters import Chapter, Surprises, describe_chapters, doubted
from touchstone.limiter.families import FixedWindow
from touchstone.limiter.identify import Probe
from touchstone.limiter.rates import Rates
from touchstone.limiter.terms import Terms

CHANGED = re.compile(r"from second (\S+) on answers contradict what was likeliest until second (\S+), (\S+) \(\d+%\): ")


def window(limit: float, window_s: Interval) -> Tier:
    """A fixed window."""
    text = f"fixed-window:{limit:g}/{window_s.value:g}"
    return Tier("fixed-window", text, {"limit": number(limit), "window_s": window_s})


BEFORE = Chapter((window(5.0, Interval(2.0, 1.9, 2.1)),), 0.97, 13.0, 14.5)


@cache
def changed(before: str, at: float, after: str, terms: Terms = NO_CAPS, seed: int = 2) -> Played:
    """A probe of a limiter in whose place there is another one from then on."""
    return through(Net(before, seed=seed, changes=((at, after),)), terms)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("before", "at", "after"),
    [
        ("fixed-window:12/3", 4.0, "token-bucket:5/2"),
        ("sliding-counter:6/1", 1.5, "sliding-log:9/1.3"),
    ],
)
def test_limiter_that_is_changed_is_asked_anew(before: str, at: float, after: str) -> None:
    """The one that is there in the end is named, and what was noticed when; all that was sent counts."""
    whole = changed(before, at, after)
    found = whole.known
    assert found.sure
    assert_close(found.text, after)
    said = CHANGED.match(found.notes[0])
    assert said is not None
    assert at < float(said[1]) + 0.2  # the stimulus may have begun before
    assert float(said[2]) <= float(said[1])
    assert "the limiter was changed, or somebody else uses the key" in found.notes[0]
    assert found.cost.requests == len(whole.answers)
    assert found.cost.refused == sum(not answer.accepted for answer in whole.answers)


@pytest.mark.alone
def test_what_was_known_before_a_change_is_said() -> None:
    """With its numbers, as it was told until then."""
    said = CHANGED.match(changed("fixed-window:12/3", 4.0, "token-bucket:5/2").known.notes[0])
    assert said is not None
    assert said[3].startswith("fixed-window:12/")


@pytest.mark.alone
def test_probe_that_is_rebuilt_after_a_change_knows_the_same() -> None:
    """It begins anew at the same answer, and ends with the same notes."""
    whole = changed("fixed-window:12/3", 4.0, "token-bucket:5/2")
    again = Probe(NO_CAPS)
    for turn in whole.turns:
        again.hear(turn.stimulus, turn.answers)
    assert again.known() == replace(whole.known, why="")
    assert again.steps == whole.probe.steps


@pytest.mark.alone
def test_budget_counts_what_was_sent_before_a_change() -> None:
    """No request more than it may send, and no build."""
    terms = Terms(seed=1, starts=True, most_requests=45, most_builds=200, most_s=600.0, caps=False)
    whole = changed("fixed-window:12/3", 4.0, "token-bucket:5/2", terms)
    assert len(whole.answers) <= terms.most_requests
    assert whole.known.cost.builds <= terms.most_builds
    assert whole.known.why == "budget"


@pytest.mark.alone
def test_what_is_only_accepted_in_the_end_is_met_once_more() -> None:
    """
    A limiter that lets everything through from some moment on explains the last answers as well as what they told.
    """
    rates = rates_of("fixed-window:3/1")
    assert rates.settled
    rates._tail.add(row("+"), 5.0)
    rates._tail.add(row("+"), 5.0)
    assert not rates.settled
    at = played("fixed-window:3/1", NO_CAPS).ended_at + 5.0
    stimulus = rates.ask(at, 100)
    assert stimulus is not None
    assert (stimulus.name, stimulus.most, stimulus.segments[0].until) == ("once more", 5, "refused")
    assert stimulus.segments[0].at[0] > rates.room(at)[1]
    rates._story.add(row("+++-", stimulus.segments[0].at[0]))
    rates.hear(row("+++-", stimulus.segments[0].at[0]))
    assert rates.settled


@pytest.mark.parametrize("outcomes", ["++-", "+++++"])
def test_what_is_met_once_more_has_to_be_as_it_was(outcomes: str) -> None:
    """Else nothing is sure any more, and it thinks of somebody else, and of a second limit."""
    rates = rates_of("fixed-window:3/1")
    at = played("fixed-window:3/1", NO_CAPS).ended_at + 5.0
    rates._story.add(row(outcomes, at))
    rates.hear(row(outcomes, at))
    assert not rates.settled
    assert rates.wide


def test_surprise_makes_it_think_more_widely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is met: a higher limit, or another one behind, may be why."""
    monkeypatch.setattr(Rates, "doubtful", property(lambda _: False))
    rates = rates_of("fixed-window:3/1")
    assert not rates.wide
    at = played("fixed-window:3/1", NO_CAPS).ended_at + 5.0
    rates._story.add(row("+++++", at))
    rates.hear(row("+++++", at))
    assert rates.wide
    assert rates.surprises.met is None


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        ([window(5.0, Interval(2.05, 2.0, 2.15))], "the same limiter"),
        ([window(6.0, Interval(2.05, 2.0, 2.15))], "from second 4.5 on answers contradict"),
        ([window(5.0, Interval(2.5, 2.4, 2.6))], "until second 3.0, fixed-window:5/2 (97%): the limiter was changed"),
        ([Tier("sliding-log", "sliding-log:5/2", window(5.0, number(2.0)).numbers)], "was changed"),
        ([window(5.0, number(2.0)), window(50.0, number(60.0))], "was changed"),
        ([], "was changed"),
    ],
    ids=["same", "limit", "window", "family", "second", "none"],
)
def test_what_was_found_before_is_said_beside_what_is_found_now(tiers: Sequence[Tier], words: str) -> None:
    """Seconds count from the first request of all."""
    (said,) = describe_chapters([BEFORE], tiers, 10.0)
    assert words in said
    assert "builds" not in said


@pytest.mark.parametrize(("limit", "words"), [(5.0, "the same limiter: "), (6.0, "fixed-window:5/2 (97%): ")])
def test_builds_that_were_in_flight_may_have_been_why(limit: float, words: str) -> None:
    """Where only one at a time led to a limiter that explains what was refused."""
    (said,) = describe_chapters([BEFORE], [window(limit, number(2.0))], 10.0, builds=True)
    assert f"{words}builds in flight may have been why, or " in said


def test_chapter_ends_with_what_was_sent_before() -> None:
    """It knows the moments between which the limiter was changed; without answers there is none."""
    story = [*row("++-", 1.0), *row("-", 7.0)]
    cells = rates_of("fixed-window:3/1").belief.likeliest()
    chapter = Chapter.until(story[3:], story, [], 0.5, cells)
    assert chapter is not None
    assert (chapter.last_at, chapter.surprised_at) == (1.004, 7.0)
    assert Chapter.until([], story, [], 0.5, cells) is None


@pytest.mark.parametrize(
    ("heard", "met"),
    [
        ([(True, False, True)], True),
        ([(False, False, True), (False, True, False)], False),
        ([(True, True, False)], False),
        ([(True, True, False), (False, False, False), (False, False, False)], False),
        ([(True, True, False), (False, False, False), (False, False, False), (False, False, False)], True),
        ([(True, True, False), (False, False, False), (False, False, False), (False, False, True)], False),
        ([(True, True, False), (True, False, False)], True),
        ([(True, True, True), *[(False, False, True)] * 3, (False, False, False)], False),
    ],
)
def test_surprise_is_met_where_nothing_comes_to_explain_it(heard: Sequence[tuple[bool, bool, bool]], met: bool) -> None:
    """
    Each stimulus: whether it surprises, makes it think of more limiters, and is explained; three may explain the first.
    """
    surprises = Surprises()
    for surprise, widens, explained in heard:
        surprises.hear(BEFORE if surprise else None, widens=widens, explained=explained)
    assert (surprises.met is not None) == met


@pytest.mark.parametrize(("hopeful", "met_after"), [(False, 3), (True, 8)])
def test_surprise_waits_for_what_may_yet_come_to_explain_it(hopeful: bool, met_after: int) -> None:
    """But not for ever."""
    surprises = Surprises()
    surprises.hear(BEFORE, widens=True, explained=False, hopeful=hopeful)
    found = []
    for _ in range(9):
        surprises.hear(None, widens=False, explained=False, hopeful=hopeful)
        found.append(surprises.met is not None)
    assert found.index(True) + 1 == met_after


@pytest.mark.parametrize(
    ("heard", "unlikely"),
    [
        (["++", "+"], 3.0),
        (["-", "--"], 3.0),
        (["++", "-"], 2.0),
        (["++", "+-"], 0.0),
        (["++", ""], 1.0),
        (["+-", "+"], 2.0),
    ],
)
def test_tail_is_what_was_answered_alike_in_the_end(heard: Sequence[str], unlikely: float) -> None:
    """Answers of both kinds end it; none at all change nothing."""
    tail = Tail()
    for number_of, outcomes in enumerate(heard):
        tail.add(row(outcomes), number_of + 1.0)
    assert tail.unlikely == unlikely


@pytest.mark.parametrize(
    ("now", "is_doubted"),
    [
        (window(5.0, Interval(2.0, 1.95, 2.05)), False),
        (window(4.0, Interval(2.0, 1.95, 2.05)), True),
        (window(5.0, Interval(2.4, 2.3, 2.5)), True),
        (window(9.0, Interval(2.0, 1.95, 2.05)), False),
        (Tier("sliding-log", "sliding-log:4/2", {"limit": number(4.0), "window_s": Interval(2.0, 1.9, 2.1)}), False),
    ],
    ids=["same", "smaller limit", "longer window", "far off", "another family"],
)
def test_what_is_close_to_what_was_known_before_and_still_another_one_is_doubted(now: Tier, is_doubted: bool) -> None:
    """That is what somebody else makes of one limiter."""
    assert doubted([BEFORE], [now], [], 0.0) == ([BEFORE] if is_doubted else [])
    assert doubted([], [now], [], 0.0) == []


WINDOW_OF_6 = {"limit": 6.0, "window_s": 2.0}


@pytest.mark.parametrize(
    ("outcomes", "explained"),
    [("++++++-", True), ("+++++-", True), ("+++++++-", False), ("+-----", False)],
    ids=["as before", "somebody had one", "more than ever", "somebody had nearly all"],
)
def test_what_was_known_explains_what_somebody_else_takes_a_part_of(outcomes: str, explained: bool) -> None:
    """
    A window of 6 in two seconds that is filled ten times; what is thought of now makes the story a matter of course.
    """
    cells = Cells.point(FixedWindow("fixed-window"), WINDOW_OF_6, 0.01)
    chapter = replace(BEFORE, candidate=Candidate.of(cells), loose=0.01)
    story = moments([one for number in range(10) for one in row(outcomes, 10.0 + 5.0 * number, step_s=0.1)], 0.001)
    assert chapter.explains(story, 0.0) == explained
    assert not BEFORE.explains(story, 0.0)
    assert not chapter.explains(story, 1000.0)
    assert doubted([chapter], [window(50.0, number(9.0))], story, 0.0) == ([chapter] if explained else [])


@pytest.mark.parametrize(("wide", "is_known"), [(0.01, True), (0.2, False)])
def test_what_is_known_to_a_few_percent_is_held_against_what_comes_later(wide: float, is_known: bool) -> None:
    """What is known less well explains too much."""
    cells = Cells.point(FixedWindow("fixed-window"), WINDOW_OF_6, wide)
    chapter = Chapter.until(row("-"), row("+-"), [], 0.97, cells)
    assert chapter is not None
    assert (chapter.candidate is not None) == is_known


def test_what_may_still_be_all_that_there_is_is_said_so() -> None:
    """Only of the chapter that it is true of."""
    other = replace(BEFORE, surprised_at=20.0)
    first, second = describe_chapters([BEFORE, other], [window(6.0, number(2.0))], 10.0, doubted=[other])
    assert "may be the same limiter all the same" in second
    assert "all the same" not in first


@pytest.mark.alone
def test_probe_is_not_sure_of_what_is_close_to_what_it_knew_before() -> None:
    """A window of 4 in a second that was contradicted, and then one of 3: somebody else may take one of each."""
    probe = Probe(NO_CAPS)
    for turn in played("fixed-window:3/1", NO_CAPS).turns:
        probe.hear(turn.stimulus, turn.answers)
    assert probe.known().sure
    assert next(iter(probe.known().families)).probability > 0.99
    probe._before.append(Chapter((window(4.0, Interval(1.0, 0.99, 1.01)),), 0.97, 1.0, 1.5))
    assert not probe.known().sure
    assert next(iter(probe.known().families)).probability <= 0.9
    assert "may be the same limiter all the same" in probe.known().notes[0]
    probe._before.clear()
    probe._before.append(replace(BEFORE, tiers=probe.known().tiers))
    assert next(iter(probe.known().families)).probability > 0.99


@pytest.mark.alone
def test_probe_is_not_sure_of_what_is_close_to_what_it_knew_last() -> None:
    """The limiter by which it thought of somebody else, before answers came that nobody explains."""
    probe = deepcopy(changed("fixed-window:12/3", 4.0, "token-bucket:5/2").probe)
    assert probe.known().sure
    tiers = probe.known().tiers
    near = [replace(one, numbers={name: _twice(number) for name, number in one.numbers.items()}) for one in tiers]
    probe._stood.append(replace(probe._before[0], tiers=tuple(near)))
    assert not probe.known().sure


def _twice(number: Interval) -> Interval:
    return Interval(number.value * 1.3, number.value * 1.29, number.value * 1.31)


def test_nothing_is_sure_where_the_budget_ends_before_a_limit_is_describe_first_refusal() -> None:
    """What is let through unrefused by then may be less than the limit."""
    terms = replace(NO_CAPS, most_requests=30)
    assert not through(Net("none"), terms).known.sure
    assert through(Net("none"), NO_CAPS).known.sure
