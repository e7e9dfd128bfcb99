"""
The parts of a probe that find how many requests may be under way, and how many builds in flight.
"""

from dataclasses import dataclass

import pytest

from tests.limiter.made import at_once, row
from tests.limiter.played import PLENTY, through
from tests.limiter.virtual import Net
from touchstone.limiter.caps import Crowds, Held, InFlight, perhaps_by_builds
from touchstone.limiter.observed import Answer
from touchstone.limiter.stimulus import Stimulus


@dataclass
class Rate:
    """
    A window that lets so many through, and is full again at whole multiples of *window_s*.
    """

    limit: int = 10_000
    window_s: float = 10.0

    def room(self, at: float) -> tuple[int, float]:
        """
        All of it at the beginning of a window; later in it, one.
        """
        since_s = at % self.window_s
        return (self.limit, at) if self.limit >= 10_000 or since_s < 0.1 else (1, at - since_s + self.window_s)


def volleys(cap: int, takes_s: float = 0.2, rate: Rate | None = None, left: int = 1000) -> InFlight:
    """
    A part that was answered by so many at once.
    """
    part, now_at = InFlight((rate or Rate()).room), 100.0
    while stimulus := part.ask(now_at, left):
        (segment,) = stimulus.segments
        assert segment.together or len(segment.at) == 1
        assert segment.at[0] >= now_at
        count = min(len(segment.at), cap)
        answers = [(takes_s + 0.001 * number, "+") for number in range(count)]
        answers += [(0.001, "-")] * (len(segment.at) - count)
        part.hear(at_once("".join(o for _, o in answers), segment.at[0], [t for t, _ in answers]))
        now_at, left = segment.at[0] + takes_s, left - len(segment.at)
    return part


@pytest.mark.parametrize("cap", [1, 2, 3, 4, 5, 15])
def test_cap_on_requests_under_way_is_found(cap: int) -> None:
    """
    With the time for which each of them counts; volleys have to agree on it.
    """
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
    """
    Answers that are let through come as quickly as refusals.
    """
    tier = volleys(3, takes_s=0.001).tier()
    assert tier is not None
    assert (tier.text, tier.options) == ("concurrency:3", {})


@pytest.mark.parametrize("cap", [16, 1000])
def test_no_cap_is_met_where_all_are_let_through(cap: int) -> None:
    """
    What is told is how many were under way at once.
    """
    part = volleys(cap)
    assert (part.tier(), part.sure, part.uncapped_to) == (None, True, 16)


def test_volleys_stay_within_what_the_rate_lets_through() -> None:
    """
    Each waits until the rate has room, and is no larger than that.
    """
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
    """
    Of the budget.
    """
    part, now_at, sent = InFlight(Rate().room), 0.0, 0
    while stimulus := part.ask(now_at, left - sent):
        sent += stimulus.most
        assert sent <= left
        part.hear(at_once("+" * stimulus.most, now_at))
        now_at += 5.0
    assert part.uncapped_to <= left


def test_volleys_rest_until_everything_is_answered() -> None:
    """
    A request of the last one is never still under way.
    """
    part = InFlight(Rate().room)
    part.hear(at_once("+++-", 10.0, [0.4, 0.4, 0.4, 0.001]))
    for took_s, free_at in ((0.4, 10.4), (0.001, 10.8)):
        stimulus = part.ask(10.0, 100)
        assert stimulus is not None
        assert stimulus.segments[0].at[0] >= free_at
        part.hear(row("+", free_at, took_s=took_s))


def seen_of(*volleys: str) -> InFlight:
    """
    A part that has heard these, and after the first one a request alone that was let through.
    """
    part = InFlight(Rate().room)
    for number, outcomes in enumerate(volleys):
        part.hear(at_once(outcomes))
        if not number:
            part.hear(row("+"))
    return part


@pytest.mark.parametrize("seen", [("+++-",), ("+++-", "+++--")])
def test_few_volleys_prove_no_cap(seen: tuple[str, ...]) -> None:
    """
    Something was refused, so that nothing is sure; what it was is not known.
    """
    assert (seen_of(*seen).tier(), seen_of(*seen).sure) == (None, False)


def test_volleys_that_are_refused_altogether_are_no_cap() -> None:
    """
    Something else refuses.
    """
    part = InFlight(Rate().room)
    part.hear(at_once("----"))
    assert (part.tier(), part.disproved, part.over) == (None, True, True)


def test_one_request_alone_that_is_refused_disproves_a_cap() -> None:
    """
    It is asked for after the first volley of which something was refused, and waits for that.
    """
    part = InFlight(Rate().room)
    part.hear(at_once("+++-"))
    stimulus = part.ask(0.5, 100)
    assert stimulus is not None
    assert stimulus.most == 1
    part.hear(row("-", 0.5))
    assert (part.tier(), part.disproved, part.ask(9.0, 100)) == (None, True, None)


def test_start_that_is_refused_after_one_was_freed_disproves_a_cap() -> None:
    """
    A cap would have had room for it.
    """
    part = Held(Rate().room, 16)
    part.hear(row("+++-"))
    part.hear(row("-"))
    assert (part.tier(), part.disproved, part.ask(9.0, 100)) == (None, True, None)


def test_volleys_that_disagree_leave_it_unsure() -> None:
    """
    It is no cap; what was seen is told.
    """
    part = seen_of("+++-", "++---", "++++-")
    assert (part.tier(), part.sure) == (None, False)
    assert "2 to 4 were let through" in part.doubt


@pytest.mark.parametrize(("pace_s", "doubted"), [(0.02, True), (0.004, False)])
def test_cap_whose_answers_come_one_after_the_other_may_be_a_queue(pace_s: float, doubted: bool) -> None:
    """
    Unless they come as close to each other as a machine answers.
    """
    part = InFlight(Rate().room)
    for _ in range(3):
        part.hear(at_once("+++++---", took_s=[0.05 * doubted + pace_s * number for number in range(5)] + [0.05] * 3))
        if len(part.seen) == 1:
            part.hear(row("+"))
    assert part.over
    assert (part.tier() is None, part.sure) == (doubted, not doubted)
    assert ("5 were let through, and answered one after the other, 0.02 s apart" in part.doubt) == doubted


def test_one_refusal_by_chance_is_no_cap() -> None:
    """
    A larger volley of which nothing is refused takes it back.
    """
    part = seen_of("+++-", "+++++")
    assert (part.seen, part.tier(), part.sure, part.uncapped_to) == ([], None, True, 5)


def hold(cap: int, *, most: int = 16, rate: Rate | None = None, left: int = 1000) -> tuple[Held, list[Stimulus]]:
    """
    A part whose builds are refused from so many in flight on; what it asked.
    """
    part, running, now_at, asked = Held((rate or Rate()).room, most), 0, 100.0, []
    while stimulus := part.ask(now_at, left):
        asked.append(stimulus)
        running -= min(stimulus.frees, running)
        answers: list[Answer] = []
        for at in stimulus.segments[0].at:
            answers += row("+" if running < cap else "-", max(at, now_at))
            running += answers[-1].accepted
            if not answers[-1].accepted:
                break
        assert running <= most
        left -= len(answers)
        now_at = answers[-1].done_at + 0.001
        part.hear(answers)
    return part, asked


@pytest.mark.parametrize("cap", [1, 2, 4, 15])
def test_cap_on_builds_is_found_and_its_edge_tested(cap: int) -> None:
    """
    One is freed, and one is let through; twice.
    """
    part, asked = hold(cap)
    tier = part.tier()
    assert tier is not None
    assert (tier.text, tier.numbers["limit"].value, part.sure) == (f"builds:{cap}", cap, True)
    assert part.holds_to == cap
    assert [stimulus.frees for stimulus in asked] == [0, 1, 1]
    assert all(stimulus.stage == "builds" for stimulus in asked)
    assert all(segment.holds for stimulus in asked for segment in stimulus.segments)


@pytest.mark.parametrize("cap", [16, 100])
def test_no_cap_is_met_up_to_what_may_be_held(cap: int) -> None:
    """
    No more builds are held than are allowed.
    """
    part, _ = hold(cap)
    assert (part.tier(), part.holds_to, part.sure) == (None, 16, True)
    assert hold(cap, most=3)[0].holds_to == 3


def test_builds_are_started_as_the_rate_lets_them() -> None:
    """
    A cap above the limit of the rate is met in several steps.
    """
    rate = Rate(3)
    part, asked = hold(7, rate=rate)
    assert part.cap == 7
    for stimulus in asked:
        assert stimulus.most <= rate.room(stimulus.segments[0].at[0])[0]


@pytest.mark.parametrize("left", [1, 3, 5, 7, 8])
def test_builds_stay_within_what_is_left(left: int) -> None:
    """
    Of the budget; a cap whose edge was not tested is no tier, and is told as a doubt.
    """
    part, asked = hold(4, left=left)
    assert asked == [] or asked[0].most <= left
    assert part.sure == (not part.cap or bool(part.edges))
    assert (part.tier() is not None) == bool(part.edges)
    assert bool(part.doubt) == (bool(part.cap) and not part.edges)


def test_edge_that_does_not_show_leaves_it_unsure() -> None:
    """
    Both starts were let through after one build had ended: it is no cap.
    """
    part = Held(Rate().room, 16)
    part.hear(row("+++-"))
    part.hear(row("++"))
    part.hear(row("+-"))
    assert part.over
    assert not part.sure
    assert part.tier() is None
    assert "3 builds in flight" in part.doubt


def test_edge_that_was_cut_short_is_tested_to_its_end() -> None:
    """
    One start that was let through says nothing of the next one.
    """
    part = Held(Rate().room, 16)
    part.hear(row("+++-"))
    part.hear(row("+"))
    assert part.edges == []
    for outcomes, name, frees in (("-", "one more", 0), ("+-", "free one, start two", 1)):
        stimulus = part.ask(1.0, 100)
        assert stimulus is not None
        assert (stimulus.name, stimulus.frees) == (name, frees)
        part.hear(row(outcomes))
    assert (part.edges, part.over, part.sure) == ([True, True], True, True)


@dataclass
class Gap:
    """
    A rate that lets one through in each *gap_s*.
    """

    gap_s: float = 2.0
    last_at: float = -100.0

    def room(self, at: float) -> tuple[int, float]:
        """
        One, or none.
        """
        return int(at >= self.last_at + self.gap_s), self.last_at + self.gap_s


def slowly(cap: int, lasts_s: float, *, left: int = 1000) -> Held:
    """
    A part whose builds may start only one in each gap, and end by themselves, or never where that is not known.
    """
    gap, running, now_at = Gap(), [], 0.0
    part = Held(gap.room, 16, lasts_s)
    while stimulus := part.ask(now_at, left):
        (at,) = stimulus.segments[0].at
        running = [began for began in running if not lasts_s or began + lasts_s > at][stimulus.frees :]
        accepted = len(running) < cap
        running += [at] if accepted else []
        gap.last_at = at if accepted else gap.last_at
        part.hear(row("+" if accepted else "-", at))
        now_at, left = at + 0.01, left - 1
    return part


@pytest.mark.parametrize(("cap", "lasts_s", "tests"), [(1, 100.0, 2), (3, 100.0, 2), (7, 100.0, 2), (3, 0.0, 3)])
def test_cap_is_found_where_the_rate_lets_one_through_at_a_time(cap: int, lasts_s: float, tests: int) -> None:
    """
    Its edge is tested with one start after the other; once more where no build ends meanwhile.
    """
    part = slowly(cap, lasts_s)
    assert (part.cap, part.edges, part.sure, part.hidden(spent=False)) == (cap, [True] * tests, True, "")


def test_edge_that_is_tested_in_halves_does_not_show_where_both_are_let_through() -> None:
    """
    It is no cap then either; and where the first one is refused, something else refuses.
    """
    part = Held(Rate().room, 16)
    for outcomes in ("+++-", "+", "+", "+", "-"):
        part.hear(row(outcomes))
    assert (part.edges, part.over, part.sure) == ([False, True], True, False)
    part = Held(Rate().room, 16)
    for outcomes in ("+++-", "+", "-", "-"):
        part.hear(row(outcomes))
    assert (part.edges, part.disproved, part.tier()) == ([True], True, None)


def test_rate_hides_a_cap_that_is_above_what_it_lets_start_while_builds_last() -> None:
    """
    Builds that may have ended are not counted; what the rate let start is told, with how long a build lasts.
    """
    part = slowly(100, 9.0)
    assert (part.cap, part.holds_to, part.sure) == (0, 5, True)
    assert part.hidden(spent=False) == (
        "the rate hides any cap above 5 on builds in flight: it let no more start in the 9 s that a build lasts"
    )
    assert part.hidden(spent=True).endswith("it let no more start within the budget")


@pytest.mark.parametrize("part", [slowly(100, 100.0), slowly(3, 9.0, left=6), hold(100)[0], hold(100, left=9)[0]])
def test_rate_hides_no_cap_where_it_is_not_what_held_builds_back(part: Held) -> None:
    """
    As many were held as may be; a cap was met; or the budget was spent, and the rate had room.
    """
    assert part.hidden(spent=False) == part.hidden(spent=True) == ""


@pytest.mark.parametrize("heard", [("+++",), ("+++-",), ("+++-", "+-"), ("+++-", "+")])
def test_part_that_begins_anew_holds_all_once_more(heard: tuple[str, ...]) -> None:
    """
    What was held has ended; the cap is counted from nothing, and its edge is tested twice.
    """
    part = Held(Rate().room, 16)
    for outcomes in heard:
        part.hear(row(outcomes))
    part.begin_anew()
    stimulus = part.ask(1.0, 100)
    assert stimulus is not None
    assert (stimulus.most, stimulus.frees) == (16, 0)
    for outcomes in ("+++++-", "+-", "+-"):
        part.hear(row(outcomes))
    assert (part.cap, part.edges, part.over) == (5, [True, True], True)


def test_part_that_is_over_stays_so() -> None:
    """
    What is known is known.
    """
    part, _ = hold(4)
    part.begin_anew()
    assert (part.cap, part.sure, part.ask(1.0, 100)) == (4, True, None)


def test_nothing_answered_is_not_tried_for_ever() -> None:
    """
    A target of which nothing is heard has no cap that could be found.
    """
    part = Held(Rate().room, 16)
    for _ in range(10):
        if part.ask(0.0, 100) is None:
            break
        part.hear([])
    assert part.over


@pytest.mark.parametrize(
    ("answers", "numbers"),
    [
        # Two began, and far less time went by than one of two was ever seen to end in.
        ([*row("++-", step_s=0.001), *row("+++++", 1.0, step_s=0.05)], {2}),
        # Others were let through as soon after two had begun.
        ([*row("++-", step_s=0.001), *row("+++++", 1.0, step_s=0.001)], set()),
        # Not as many had begun as the cap lets in; and not in far less time.
        ([*row("+-", step_s=0.001), *row("+++++", 1.0, step_s=0.05)], set()),
        ([*row("++-", step_s=0.04), *row("+++++", 1.0, step_s=0.05)], set()),
        # Builds were never seen to end in time.
        ([*row("++-", step_s=0.001)], {2}),
    ],
)
def test_refusals_that_builds_in_flight_explain_as_well(answers: list[Answer], numbers: set[int]) -> None:
    """
    Those that came so soon after so many began that none of them may have ended.
    """
    assert perhaps_by_builds(answers, 2) == numbers


def test_as_many_as_the_cap_lets_in_are_asked_for_until_enough_were() -> None:
    """
    At once, or one after the other with none of their builds ended.
    """
    for together in (True, False):
        part, sent = Crowds(), 0
        while stimulus := part.ask(5.0, 4, 1000, together=together):
            (segment,) = stimulus.segments
            assert (len(segment.at), segment.together) == (4, together)
            part.hear(row("++++"))
            sent += 4
        assert (sent, part.refused, part.doubt) == (40, 0, "")


def test_refusal_of_what_the_cap_lets_in_is_a_rates() -> None:
    """
    One is enough to say so, and no more is asked.
    """
    part = Crowds()
    part.hear(row("++-"))
    assert (part.refused, part.ask(5.0, 3, 1000, together=True)) == (1, None)
    assert "there is a rate" in part.doubt
    assert Crowds().ask(5.0, 1, 1000, together=True) is None
    assert Crowds().ask(5.0, 4, 3, together=True) is None


def test_crowds_of_which_nothing_is_answered_are_not_asked_for_for_ever() -> None:
    """
    They count.
    """
    part, asked = Crowds(), 0
    while part.ask(5.0, 4, 1000, together=True):
        part.hear([])
        asked += 1
    assert asked == 40


def test_rate_that_one_after_the_other_never_meets_is_doubted() -> None:
    """
    Where each answer takes its time, many are sent at once before it is sure that there is no rate.
    """
    whole = through(Net("token-bucket:60/1,burst=24", leg_s=0.02), PLENTY)
    found = whole.known
    assert found.tiers == ()
    assert not found.sure
    assert "there is a rate that one alone never meets, or a higher cap" in found.notes[-1]
    at_once = [len(part.at) for turn in whole.turns for part in turn.stimulus.segments if part.together]
    assert max(at_once) <= PLENTY.most_held


def test_no_limit_is_sure_where_many_at_once_are_let_through() -> None:
    """
    However long each answer takes.
    """
    found = through(Net("none", leg_s=0.02), PLENTY).known
    assert found.sure
    assert found.notes == ()
