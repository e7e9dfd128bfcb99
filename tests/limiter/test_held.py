"""The part of a probe that finds how many builds may be in flight."""

from dataclasses import dataclass

import pytest

from tests.limiter.answers import Rate, row
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.caps import Held, perhaps_by_builds

STILL = "one more, none freed"


def test_start_that_is_refused_after_one_was_freed_disproves_a_cap() -> None:
    """A cap would have had room for it."""
    part = Held(Rate().room, 16)
    for outcomes in ("+++-", "-", "-"):
        part.hear(row(outcomes))
    assert (part.tier(), part.disproved, part.ask(9.0, 100)) == (None, True, None)


def hold(cap: int, *, most: int = 16, rate: Rate | None = None, left: int = 1000) -> tuple[Held, list[Stimulus]]:
    """A part whose builds are refused from so many in flight on; what it asked."""
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
    """One is freed, and one is let through; while none is freed, none is let through; twice."""
    part, asked = hold(cap)
    tier = part.tier()
    assert tier is not None
    assert (tier.text, tier.numbers["limit"].value, part.sure) == (f"builds:{cap}", cap, True)
    assert part.holds_to == cap
    assert [stimulus.frees for stimulus in asked] == [0, 0, 1, 0, 1, 0]
    assert all(stimulus.stage == "builds" for stimulus in asked)
    assert all(segment.holds for stimulus in asked for segment in stimulus.segments)


@pytest.mark.parametrize("step_s", [0.05, 0.2, 0.5])
def test_what_gives_again_by_itself_is_no_cap(step_s: float) -> None:
    """
    A rate that lets one through every now and then looks like a cap of which one was freed, until it is waited for.
    """
    part, now_at, free_at = Held(Rate().room, 16), 100.0, 0.0
    while stimulus := part.ask(now_at, 100):
        answers: list[Answer] = []
        for at in stimulus.segments[0].at:
            accepted = max(at, now_at) >= free_at
            free_at = max(at, now_at) + step_s if accepted else free_at
            answers += row("+" if accepted else "-", max(at, now_at))
            if not accepted:
                break
        now_at = answers[-1].done_at + 0.03
        part.hear(answers)
    assert (part.tier(), part.disproved) == (None, True)


def test_build_that_ends_by_itself_disproves_no_cap() -> None:
    """One more is let through then, and the next one is refused again."""
    part = Held(Rate().room, 16)
    for outcomes in ("+++-", "+", "-", "+", "-", "+", "-"):
        part.hear(row(outcomes))
    assert (part.cap, part.edges, part.sure, part.disproved) == (3, [True, True], True, False)


def test_one_more_is_asked_for_after_a_while() -> None:
    """What comes back of a rate in as long as a test takes has come back by then."""
    part = Held(Rate().room, 16)
    part.hear(row("+++-", 100.0))
    stimulus = part.ask(100.1, 100)
    assert stimulus is not None
    assert (stimulus.name, stimulus.most) == (STILL, 1)
    assert stimulus.segments[0].at[0] >= 100.3


@pytest.mark.parametrize("cap", [16, 100])
def test_no_cap_is_met_up_to_what_may_be_held(cap: int) -> None:
    """No more builds are held than are allowed."""
    part, _ = hold(cap)
    assert (part.tier(), part.holds_to, part.sure) == (None, 16, True)
    assert hold(cap, most=3)[0].holds_to == 3


def test_builds_are_started_as_the_rate_lets_them() -> None:
    """A cap above the limit of the rate is met in several steps."""
    rate = Rate(3)
    part, asked = hold(7, rate=rate)
    assert part.cap == 7
    for stimulus in asked:
        assert stimulus.most <= rate.room(stimulus.segments[0].at[0])[0]


@pytest.mark.parametrize("left", [1, 3, 5, 7, 8])
def test_builds_stay_within_what_is_left(left: int) -> None:
    """Of the budget; a cap whose edge was not tested is no tier, and is told as a doubt."""
    part, asked = hold(4, left=left)
    assert asked == [] or asked[0].most <= left
    assert part.sure == (not part.cap or bool(part.edges))
    assert (part.tier() is not None) == bool(part.edges)
    assert bool(part.doubt) == (bool(part.cap) and not part.edges)


def test_edge_that_does_not_show_leaves_it_unsure() -> None:
    """Two starts were let through after one build had ended, again and again: it is no cap."""
    part = Held(Rate().room, 16)
    for outcomes in ("+++-", "-", *["+", "+", "-"] * 4):
        part.hear(row(outcomes))
    assert part.over
    assert not part.sure
    assert part.tier() is None
    assert "3 builds in flight" in part.doubt


@dataclass
class Gap:
    """A rate that lets one through in each *gap_s*."""

    gap_s: float = 2.0
    last_at: float = -100.0

    def room(self, at: float) -> tuple[int, float]:
        """One, or none."""
        return int(at >= self.last_at + self.gap_s), self.last_at + self.gap_s


def slowly(cap: int, lasts_s: float, *, left: int = 1000) -> Held:
    """A part whose builds may start only one in each gap, and end by themselves, or never where that is not known."""
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
    """Its edge is tested with one start after the other; once more where no build ends meanwhile."""
    part = slowly(cap, lasts_s)
    assert (part.cap, part.edges, part.sure, part.hidden(spent=False)) == (cap, [True] * tests, True, "")


def test_rate_hides_a_cap_that_is_above_what_it_lets_start_while_builds_last() -> None:
    """Builds that may have ended are not counted; what the rate let start is told, with how long a build lasts."""
    part = slowly(100, 9.0)
    assert (part.cap, part.holds_to, part.sure) == (0, 5, True)
    assert part.hidden(spent=False) == (
        "the rate hides any cap above 5 on builds in flight: it let no more start in the 9 s that a build lasts"
    )
    assert part.hidden(spent=True).endswith("it let no more start within the budget")


@pytest.mark.parametrize("part", [slowly(100, 100.0), slowly(3, 9.0, left=7), hold(100)[0], hold(100, left=9)[0]])
def test_rate_hides_no_cap_where_it_is_not_what_held_builds_back(part: Held) -> None:
    """As many were held as may be; a cap was met; or the budget was spent, and the rate had room."""
    assert part.hidden(spent=False) == part.hidden(spent=True) == ""


@pytest.mark.parametrize("heard", [("+++",), ("+++-",), ("+++-", "-"), ("+++-", "-", "+")])
def test_part_that_begins_anew_holds_all_once_more(heard: tuple[str, ...]) -> None:
    """What was held has ended; the cap is counted from nothing, and its edge is tested twice."""
    part = Held(Rate().room, 16)
    for outcomes in heard:
        part.hear(row(outcomes))
    part.begin_anew()
    stimulus = part.ask(1.0, 100)
    assert stimulus is not None
    assert (stimulus.most, stimulus.frees) == (16, 0)
    for outcomes in ("+++++-", "-", "+", "-", "+", "-"):
        part.hear(row(outcomes))
    assert (part.cap, part.edges, part.over) == (5, [True, True], True)


def test_part_that_is_over_stays_so() -> None:
    """What is known is known."""
    part, _ = hold(4)
    part.begin_anew()
    assert (part.cap, part.sure, part.ask(1.0, 100)) == (4, True, None)


def test_nothing_answered_is_not_tried_for_ever() -> None:
    """A target of which nothing is heard has no cap that could be found."""
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
    """Those that came so soon after so many began that none of them may have ended."""
    assert perhaps_by_builds(answers, 2) == numbers
