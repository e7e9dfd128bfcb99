"""The parts of a probe that find how many builds may be in flight, and how many requests under way."""

import re
from dataclasses import dataclass

import pytest

from tests.limiter.answers import Rate, at_once, given, row
from touchstone.facts.probe import Answer, Stimulus
from touchstone.limiter.stages import Held, InFlight


def held_after(*outcomes: str) -> Held:
    """A part that has received these answers."""
    part = Held(Rate().room, 16)
    for one in outcomes:
        part.observe(row(one))
    return part


def hold(cap: int, *, most: int = 16, rate: Rate | None = None, left: int = 1000) -> tuple[Held, list[Stimulus]]:
    """A part whose builds are refused from so many in flight on, and its stimuli."""
    part, running, now_at, sent = Held((rate or Rate()).room, most), 0, 100.0, []
    while stimulus := part.propose(now_at, left):
        sent.append(stimulus)
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
        part.observe(answers)
    return part, sent


@pytest.mark.parametrize("cap", [1, 2, 4, 15])
def test_cap_on_builds_is_found_and_its_edge_tested_twice(cap: int) -> None:
    part, sent = hold(cap)
    tier = given(part.tier())
    assert (tier.text, tier.numbers["limit"].value, part.sure, part.doubt) == (f"builds:{cap}", cap, True, "")
    assert part.holds_to == cap
    assert [stimulus.frees for stimulus in sent] == [0, 0, 1, 0, 1, 0]
    assert {stimulus.stage for stimulus in sent} == {"builds"}
    assert all(segment.holds for stimulus in sent for segment in stimulus.segments)


@pytest.mark.parametrize(
    ("outcomes", "cap", "edges", "over", "disproved"),
    [
        # A cap would have had room for a start after one build was freed.
        (("+++-", "-", "-"), 0, [], True, True),
        # A build that ended by itself let one more in; then the edge was as a cap has it.
        (("+++-", "+", "-", "+", "-", "+", "-"), 3, [True, True], True, False),
        # With time something came back: of a cap nothing does.
        (("+++-", "+", "+"), 0, [], True, True),
        # Two starts were let through after one build had ended, again and again.
        (("+++-", "-", *["+", "+", "-"] * 4), 3, [False] * 4, True, False),
        (("+++-",), 3, [], False, False),
        (("-",), 0, [], True, True),
        (("+" * 16,), 0, [], True, False),
    ],
)
def test_edge_of_a_cap_on_builds_is_tested(
    outcomes: tuple[str, ...], cap: int, edges: list[bool], over: bool, disproved: bool
) -> None:
    part = held_after(*outcomes)
    assert (part.cap, part.edges, part.over, part.disproved) == (cap, edges, over, disproved)
    assert (part.tier() is not None, bool(part.doubt)) == (bool(cap and all(edges) and edges), not part.sure)
    assert part.over is False or part.propose(9.0, 100) is None


@pytest.mark.parametrize(("cap", "most"), [(16, 16), (100, 16), (100, 3)])
def test_no_more_builds_are_held_than_allowed(cap: int, most: int) -> None:
    part, _ = hold(cap, most=most)
    assert (part.tier(), part.holds_to, part.sure) == (None, most, True)


def test_builds_are_started_as_the_rate_lets_them() -> None:
    rate = Rate(3)
    part, sent = hold(7, rate=rate)
    assert part.cap == 7
    assert all(stimulus.most <= rate.room(stimulus.segments[0].at[0])[0] for stimulus in sent)


@pytest.mark.parametrize("left", [1, 3, 5, 7, 8])
def test_cap_whose_edge_the_budget_left_untested_is_a_doubt(left: int) -> None:
    part, sent = hold(4, left=left)
    assert sent == [] or sent[0].most <= left
    assert part.sure == (not part.cap or bool(part.edges))
    assert (part.tier() is not None) == bool(part.edges)
    assert bool(part.doubt) == (bool(part.cap) and not part.edges)


@dataclass
class Gap:
    """A rate that lets one through in each *gap_s*."""

    gap_s: float = 2.0
    last_at: float = -100.0

    def room(self, at: float) -> tuple[int, float]:
        return int(at >= self.last_at + self.gap_s), self.last_at + self.gap_s


def slowly(cap: int, lasts_s: float, *, left: int = 1000) -> Held:
    """A part whose builds may start only one in each gap, and end by themselves, or never where that is not known."""
    gap, now_at = Gap(), 0.0
    running: list[float] = []
    part = Held(gap.room, 16, lasts_s)
    while stimulus := part.propose(now_at, left):
        (at,) = stimulus.segments[0].at
        running = [began for began in running if not lasts_s or began + lasts_s > at][stimulus.frees :]
        accepted = len(running) < cap
        running += [at] if accepted else []
        gap.last_at = at if accepted else gap.last_at
        part.observe(row("+" if accepted else "-", at))
        now_at, left = at + 0.01, left - 1
    return part


@pytest.mark.parametrize(("cap", "lasts_s", "tests"), [(1, 100.0, 2), (3, 100.0, 2), (7, 100.0, 2), (3, 0.0, 3)])
def test_cap_is_found_where_the_rate_lets_one_through_at_a_time(cap: int, lasts_s: float, tests: int) -> None:
    part = slowly(cap, lasts_s)
    assert (part.cap, part.edges, part.sure, part.hidden(spent=False)) == (cap, [True] * tests, True, "")


def test_rate_hides_caps_above_what_it_lets_start_while_builds_last() -> None:
    part = slowly(100, 9.0)
    assert (part.cap, part.holds_to, part.sure) == (0, 5, True)
    numbers = [re.findall(r"\d+", part.hidden(spent=spent)) for spent in (False, True)]
    assert numbers == [["5", "9"], ["5"]]


@pytest.mark.parametrize("part", [slowly(100, 100.0), slowly(3, 9.0, left=7), hold(100)[0], hold(100, left=9)[0]])
def test_rate_hides_no_cap_where_something_else_held_builds_back(part: Held) -> None:
    assert part.hidden(spent=False) == part.hidden(spent=True) == ""


def test_target_that_answers_nothing_is_not_tried_for_ever() -> None:
    part = Held(Rate().room, 16)
    for _ in range(3):
        assert part.propose(0.0, 100) is not None
        part.observe([])
    assert (part.over, part.propose(0.0, 100)) == (True, None)


def volleys(cap: int, takes_s: float = 0.2, rate: Rate | None = None, left: int = 1000) -> InFlight:
    """A part whose requests are refused from so many under way on."""
    part, now_at = InFlight((rate or Rate()).room), 103.0
    while stimulus := part.propose(now_at, left):
        (segment,) = stimulus.segments
        assert segment.at[0] >= now_at
        assert rate is None or len(segment.at) <= rate.room(segment.at[0])[0]
        count = min(len(segment.at), cap) if segment.together else len(segment.at)
        answers = [(takes_s + 0.001 * number, "+") for number in range(count)]
        answers += [(0.001, "-")] * (len(segment.at) - count)
        part.observe(at_once("".join(o for _, o in answers), segment.at[0], [t for t, _ in answers]))
        now_at, left = segment.at[0] + takes_s, left - len(segment.at)
    return part


def volleys_of(*outcomes: str) -> InFlight:
    """A part that has received these volleys, and after the first one as many one by one that were let through."""
    part = InFlight(Rate().room)
    for number, one in enumerate(outcomes):
        part.observe(at_once(one))
        if not number:
            part.observe(row("+"))
    return part


@pytest.mark.parametrize(
    ("cap", "takes_s", "text"),
    [(cap, 0.2, f"concurrency:{cap},takes=0.2") for cap in (1, 2, 3, 4, 5, 15)] + [(3, 0.001, "concurrency:3")],
)
def test_cap_on_requests_under_way_is_found(cap: int, takes_s: float, text: str) -> None:
    part = volleys(cap, takes_s)
    tier = given(part.tier())
    limit = tier.numbers["limit"]
    assert (tier.text, limit.low, limit.value, limit.high, part.sure) == (text, cap, cap, cap, True)
    assert part.uncapped_to <= cap


@pytest.mark.parametrize(("at_once", "sure"), [(4, True), (7, False)])
def test_cap_that_was_higher_before_is_not_sure(at_once: int, sure: bool) -> None:
    part = Held(Rate().room, 16, at_once=at_once)
    for one in ("+++++-", *("-", "+") * 3):
        part.observe(row(one))
    assert part.cap == 5
    assert (part.sure, bool(part.tier())) == (sure, sure)


@pytest.mark.parametrize(
    ("cap", "rate", "left", "uncapped_to"),
    [(16, None, 1000, 16), (1000, None, 1000, 16), (1000, Rate(6), 1000, 6), (1000, None, 12, 12), (1000, None, 1, 0)],
)
def test_no_cap_is_found_within_rate_and_budget(cap: int, rate: Rate | None, left: int, uncapped_to: int) -> None:
    part = volleys(cap, 0.001, rate, left)
    assert (part.tier(), part.sure, part.uncapped_to) == (None, True, uncapped_to)


def test_volley_waits_until_the_last_one_is_answered() -> None:
    part = InFlight(Rate().room)
    part.observe(at_once("+++-", 10.0, [0.4, 0.4, 0.4, 0.001]))
    for took_s, free_at in ((0.4, 10.4), (0.001, 10.8)):
        stimulus = given(part.propose(10.0, 100))
        assert stimulus.segments[0].at[0] >= free_at
        part.observe(row("+", free_at, took_s=took_s))


@pytest.mark.parametrize(
    ("outcomes", "is_cap", "sure", "disproved"),
    [
        (("+++-",), False, False, False),
        (("+++-", "+++--"), False, False, False),
        (("+++-", "+++--", "+++--"), True, True, False),
        # They disagree; or one refusal was by chance, as a larger volley shows.
        (("+++-", "++---", "++++-"), False, False, False),
        (("+++-", "+++++"), False, True, False),
    ],
)
def test_volleys_have_to_agree_on_a_cap(outcomes: tuple[str, ...], is_cap: bool, sure: bool, disproved: bool) -> None:
    part = volleys_of(*outcomes)
    assert (part.tier() is not None, part.sure, part.disproved) == (is_cap, sure, disproved)
    assert bool(part.doubt) == (not sure)
    assert part.taken_back == (outcomes[-1] == "+++++")


def test_volley_that_is_refused_altogether_is_no_cap() -> None:
    part = InFlight(Rate().room)
    part.observe(at_once("----"))
    assert (part.tier(), part.disproved, part.over) == (None, True, True)


@pytest.mark.parametrize("outcomes", ["-", "+-", "+++-"])
def test_cap_lets_as_many_through_one_by_one(outcomes: str) -> None:
    part = InFlight(Rate().room)
    part.observe(at_once("+++-"))
    stimulus = given(part.propose(0.5, 100))
    assert (stimulus.most, stimulus.segments[0].together) == (4, False)
    part.observe(row(outcomes, 0.5))
    assert (part.tier(), part.disproved, part.propose(9.0, 100)) == (None, True, None)


@pytest.mark.parametrize(("pace_s", "doubted"), [(0.02, True), (0.004, False)])
def test_cap_whose_answers_come_in_turn_may_be_a_queue(pace_s: float, doubted: bool) -> None:
    part = InFlight(Rate().room)
    for number in range(3):
        part.observe(at_once("+++++---", took_s=[0.05 * doubted + pace_s * n for n in range(5)] + [0.05] * 3))
        if not number:
            part.observe(row("+"))
    assert part.over
    assert (part.tier() is None, part.sure, bool(part.doubt)) == (doubted, not doubted, doubted)
