"""The part of a probe that finds the rate: what it still wants to know, when it is settled, and what it then says."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from tests.limiter.answers import KINDS, bursts, given, number, row, window
from tests.limiter.judged import judge
from tests.limiter.played import NO_CAPS, played, rates_of
from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Moment
from touchstone.limiter.belief import Belief, behind, tier
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.identify import findings, runners
from touchstone.limiter.rate_inference import EarlierResult, Rates
from touchstone.limiter.story import Story
from touchstone.twin import RateLimit, decide, limiter_for

WINDOW, GAP = "fixed-window:3/1", "minimum-gap:0.7"
LIMITS = {WINDOW: 3, "sliding-log:3/1": 3, "token-bucket:4/2,burst=3": 3, GAP: 1}
# Whole probes of these take seconds.
RATES = [pytest.param(text, marks=() if text in (WINDOW, GAP) else pytest.mark.alone) for text in LIMITS]
MODULE = "touchstone.limiter.rate_inference"


@cache
def _opened() -> Rates:
    return Rates(Story([*row("+"), *row("++++-", 0.2)]), 1, 5)


def opened() -> Rates:
    return deepcopy(_opened())


def fixed(monkeypatch: pytest.MonkeyPatch, **properties: object) -> None:
    """Has properties of all rates be what is given; call it after the rates were computed."""
    for name, value in properties.items():
        monkeypatch.setattr(Rates, name, property(partial(lambda given, _: given, value)))


def answered(rates: Rates, outcomes: str, at: float, *, step_s: float = 0.002, for_rate: bool = True) -> None:
    answers = row(outcomes, at, step_s=step_s)
    rates._story.answers.extend(answers)
    rates.observe(answers, for_rate=for_rate)


def after(text: str, wait_s: float = 5.0) -> tuple[Rates, float]:
    return rates_of(text), played(text, NO_CAPS).ended_at + wait_s


@pytest.mark.parametrize("text", RATES)
def test_whole_probe_settles_the_rate(text: str) -> None:
    rates, whole = rates_of(text), played(text, NO_CAPS)
    assert (rates.settled, rates.propose(1000.0, 100), rates.wide) == (True, None, False)
    judged = judge(text, whole.known)
    assert (whole.known.sure, judged.family, judged.exact, judged.error < 0.02) == (True, True, True, True)
    assert whole.known.findings == whole.known.notes == ()  # honest hints, nobody else
    assert whole.known.others_share.high == 0.0
    first, *others = whole.known.families
    assert (first.family, first.lost) == (text.partition(":")[0], "")
    assert all(runner.lost for runner in others)
    shares = [runner.probability for runner in whole.known.families]
    assert shares == sorted(shares, reverse=True)
    assert 0.99 < sum(shares) <= 1.00001


@pytest.mark.parametrize("text", RATES)
def test_room_is_what_the_limiter_lets_through(text: str) -> None:
    rates, ended_at = after(text, 0.0)
    moments = played(text, NO_CAPS).probe.story.moments()
    for wait_s in (0.0, 0.3, 0.8):
        at = ended_at + wait_s
        full_at = max(at, rates.room(at)[1]) + 0.05
        assert full_at < at + 10
        assert rates.room(full_at)[0] == LIMITS[text]
        for when in (at, full_at):
            limiter = limiter_for(RateLimit.parse(text))
            for moment in moments:
                decide(limiter, 1000.0 + moment.at)
            assert all(decide(limiter, 1000.0 + when + 1e-5 * count)[0] for count in range(rates.room(when)[0]))


def test_opening_alone_settles_nothing() -> None:
    rates = opened()
    assert not rates.settled
    assert len(rates.belief.families()) > 3
    stimulus = given(rates.propose(1.0, 100))
    assert (stimulus.stage, stimulus.bits > 0) == ("rate", True)
    assert min(at for segment in stimulus.segments for at in segment.at) >= 1.0
    found = runners(rates, rates._story.moments())
    assert [runner.family for runner in found] == list(rates.belief.families())[: len(found)]
    assert len(found) > 3
    quoted = Story([replace(answer, quota={"limit": 99.0}) for answer in rates._story.answers])
    assert findings(rates, [tier(rates.belief.likeliest())], quoted) == findings(None, [], quoted) == ()


def test_first_stimulus_polls_a_full_limiter_once() -> None:
    first = given(opened().propose(10.0, 100))
    assert first.name.startswith("poll")
    assert first.most >= 7
    rested = opened()
    rested._story.answers.extend(row("+", 10.0))
    rested = Rates(rested._story, 1, 5)
    stimulus = given(rested.propose(60.0, 100))
    assert not stimulus.name.startswith("poll")


def test_questions_end_after_stimuli_that_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(WINDOW)
    fixed(monkeypatch, settled=False, _known=False)
    for _ in range(5):
        rates.observe((), for_rate=False)  # what others sent does not count
    for _ in range(5):
        assert rates.propose(1000.0, 100) is not None
        rates.observe(())
    assert rates.propose(1000.0, 100) is None
    rates._idle = 0
    monkeypatch.setattr(Rates, "_begin_anew", lambda _: None)
    rates.rethink()
    assert rates.propose(1000.0, 100) is not None


def test_wider_times_are_enough_where_stimuli_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(WINDOW)
    numbers = {"limit": number(3.0), "window_s": number(1.0, 0.985, 1.015)}
    monkeypatch.setattr(f"{MODULE}.tier", lambda _: Tier("fixed-window", WINDOW, numbers))
    assert not rates.settled
    for _ in range(5):
        rates.observe(())
    assert rates.settled


def test_limit_is_not_sure_where_others_may_have_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(WINDOW)
    for others, settled in ((0.095, False), (0.085, True)):
        monkeypatch.setattr(Belief, "others", lambda _, others=others: others)
        assert rates.settled is settled


@pytest.mark.parametrize(
    ("others", "certain", "all_but_limit", "nearly"),
    [(0.05, 0.95, True, True), (0.2, 0.95, True, False), (0.05, 0.8, True, False), (0.05, 0.95, False, False)],
)
def test_limit_is_nearly_known_where_one_filling_is_missing(
    monkeypatch: pytest.MonkeyPatch, others: float, certain: float, all_but_limit: bool, nearly: bool
) -> None:
    rates = opened()
    fixed(monkeypatch, _all_but_limit=all_but_limit)
    monkeypatch.setattr(Belief, "others", lambda _: others)
    monkeypatch.setattr(f"{MODULE}.best_limit", lambda _: (3.0, certain))
    assert rates.nearly is nearly


def test_limit_is_filled_once_more_four_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(WINDOW)
    fixed(monkeypatch, _filled_once=True)
    for _ in range(4):
        stimulus = given(rates.propose(1000.0, 100))
        assert stimulus.name == "once more"
        rates.observe(())
    assert rates.propose(1000.0, 100) is None


@pytest.mark.parametrize(("outcomes", "filled"), [("+++-+++-", True), ("+++----+-++-", False), ("+++-++-++-", False)])
def test_limit_that_was_filled_once_is_not_settled(
    monkeypatch: pytest.MonkeyPatch, outcomes: str, filled: bool
) -> None:
    rates = rates_of(WINDOW)
    moments = [Moment(float(count), 0.0, outcome == "+") for count, outcome in enumerate(outcomes)]
    monkeypatch.setattr(rates._story, "moments", lambda: moments)
    assert rates._filled_once is not filled


@pytest.mark.parametrize(
    ("text", "outcomes", "at_once"),
    [
        (WINDOW, "++", True),
        (WINDOW, "++-", False),
        pytest.param("sliding-counter:6/1", "++", False, marks=pytest.mark.alone),
    ],
)
def test_rest_of_a_limit_is_as_good_as_all_of_it(
    monkeypatch: pytest.MonkeyPatch, text: str, outcomes: str, at_once: bool
) -> None:
    rates, at = after(text)
    monkeypatch.setattr(Rates, "_widen", lambda _: None)
    answered(rates, outcomes, at, for_rate=False)
    last = rates._once_more(at + 0.1).segments[-1]
    assert (last.at[0] == at + 0.1, last.until) == (at_once, "refused")
    assert len(last.at) >= rates.limit + 2


@pytest.mark.alone
def test_full_log_is_watched_until_its_first_request_leaves() -> None:
    rates, at = after("sliding-log:3/1")
    answered(rates, "++", at, step_s=0.1, for_rate=False)
    fills, watches = rates._once_more(at + 0.2).segments
    assert (fills.at[0], fills.until, watches.until) == (at + 0.2, "refused", "accepted")
    assert len(watches.at) == 5
    assert at + 0.2 < watches.at[0] < watches.at[-1] < at + 1.0
    assert len(rates._once_more(at + 0.7).segments) == 1


@pytest.mark.parametrize(
    ("kind", "first_at", "room", "settled", "begins_at"),
    [
        ("fixed-window", None, 3, False, 100.0),
        ("fixed-window", None, 0, False, 107.05),
        ("fixed-window", None, 0, True, 100.0),
        ("sliding-counter", 99.5, 3, False, 101.55),
        ("sliding-counter", 99.5, 3, True, 100.0),
        ("sliding-counter", None, 0, False, 102.05),
    ],
)
def test_caps_are_looked_for_when_what_they_let_through_counts(
    monkeypatch: pytest.MonkeyPatch, kind: str, first_at: float | None, room: int, settled: bool, begins_at: float
) -> None:
    rates = opened()
    rates._story.answers[:] = row("+", 90.0) + (row("-", first_at) if first_at else [])
    monkeypatch.setattr(rates, "_filled", lambda _: (KINDS[kind], 3.0, 1.0, 107.0))
    monkeypatch.setattr(rates, "room", lambda _: (room, 107.0))
    fixed(monkeypatch, settled=settled)
    assert rates.begins_at(100.0) == pytest.approx(begins_at, abs=0.01)


def test_numbers_are_as_uncertain_as_answers_and_others_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(WINDOW)
    (before,), inner, blur_s = rates.tiers(), tier(rates.belief.likeliest()).numbers, rates._story.blur_s(0.9)
    known = before.numbers["window_s"]
    assert (known.low, known.high) == pytest.approx((inner["window_s"].low - blur_s, inner["window_s"].high + blur_s))
    fixed(monkeypatch, doubtful=True)
    for taken, share in ((number(0.1, 0.05, 0.25), 0.25), (number(0.0), 0.05)):
        monkeypatch.setattr(f"{MODULE}.taken", lambda *_, taken=taken: taken)
        (found,) = rates.tiers()
        assert (found.text, found.numbers["limit"]) == (before.text, Interval(3.0, 3.0, 4.0))
        found_window = found.numbers["window_s"]
        assert (found_window.low, found_window.high) == pytest.approx(
            (known.low / (1 + share), known.high * (1 + share))
        )


def only(cells: Sequence[Cells]) -> Rates:
    """Rates for which only these cells are left, after a first accepted request."""
    rates = opened()
    rates.belief.cells = list(cells)
    for one in cells:
        one.update(bursts("+"))
    return rates


@pytest.mark.parametrize(
    ("limit", "apart_s", "once"), [(14, 1.9, True), (14, 2.1, False), (3, 1.9, False), (3, 2.1, False)]
)
def test_large_counter_has_to_be_refused_over_two_windows(
    monkeypatch: pytest.MonkeyPatch, limit: int, apart_s: float, once: bool
) -> None:
    rates = only([grid(KINDS["sliding-counter"], [limit], [(0.999, 1.001)], 2, 0.5)])
    monkeypatch.setattr(Belief, "others", lambda _: 0.05)
    answers = [*row("+++-", 1.0), *row("+++-", 1.0 + apart_s)]
    monkeypatch.setattr(rates._story, "moments", lambda: Story(answers).moments())
    assert rates._filled_once is once


@pytest.mark.parametrize(("by_others", "known"), [(0.0, True), (1.5, False)])
def test_family_is_known_where_others_who_could_explain_it_are_unlikely(by_others: float, known: bool) -> None:
    log, bucket = (grid(KINDS[name], [5], [(1.99, 2.01)], 2, 0.5) for name in ("sliding-log", "token-bucket"))
    rates = only([log, bucket])
    for cells, alone, helped in ((log, 0.0, -50.0), (bucket, -50.0, by_others)):
        cells.likely = np.array([[alone], *[[helped]] * 3]) + np.zeros((4, len(cells)))
        cells.run, cells._weight = np.zeros_like(cells.likely), None
    assert rates.belief.families()["sliding-log"] < 0.95
    assert rates._family_known() == known


@pytest.mark.parametrize(
    ("share", "limit", "agreed"), [(0.95, 5, True), (0.95, 4, False), (0.999, 4, True), (0.995, 4, False)]
)
def test_kind_has_to_be_known_unless_its_rivals_have_the_same_numbers(share: float, limit: int, agreed: bool) -> None:
    likely = grid(KINDS["sliding-log"], [5], [(1.99, 2.01)], 2, share)
    rates = only([likely, grid(KINDS["sliding-log,refused=count"], [limit], [(1.99, 2.01)], 2, 1 - share)])
    assert rates._agreed(likely) == agreed


@pytest.mark.parametrize(
    ("by_others", "loose", "known"), [(0.05, 0.001, True), (0.2, 0.001, False), (0.05, 0.1, False)]
)
def test_second_limit_is_not_sure_where_others_or_a_loose_first_explain_it(
    monkeypatch: pytest.MonkeyPatch, by_others: float, loose: float, known: bool
) -> None:
    rates = rates_of(WINDOW)
    second = behind(rates.belief.likeliest().best(), loose, 40, 100.0)[0]
    monkeypatch.setattr(Belief, "likeliest", lambda *_: second)
    monkeypatch.setattr(Belief, "others", lambda _: by_others)
    monkeypatch.setattr(Rates, "_family_known", lambda _: True)
    monkeypatch.setattr(Rates, "_agreed", lambda *_: True)
    monkeypatch.setattr(f"{MODULE}.best_limit", lambda _: (20.0, 1.0))
    monkeypatch.setattr(f"{MODULE}.tier", lambda _: window(20.0, number(10.0, 9.99, 10.01)))
    assert rates._known == known


@pytest.mark.parametrize("outcomes", ["++-", "+++++"])
def test_surprise_unsettles_the_rate_and_widens_it(outcomes: str) -> None:
    rates, at = after(WINDOW)
    answered(rates, outcomes, at)
    assert (rates.settled, rates.wide, rates.surprise) == (False, True, None)


BEFORE = EarlierResult((window(5.0, number(2.0, 1.9, 2.1)),), 0.97, 13.0, 14.5)


@pytest.mark.parametrize(
    ("tiers", "same", "close"),
    [
        ([window(5.0, number(2.05, 2.0, 2.15))], True, False),
        ([window(6.0, number(2.05, 2.0, 2.15))], False, True),
        ([window(4.0, number(2.0, 1.95, 2.05))], False, True),
        ([window(5.0, number(2.5, 2.4, 2.6))], False, True),
        ([window(9.0, number(2.0, 1.95, 2.05))], False, False),
        ([window(4.0, number(2.0, 1.9, 2.1), "sliding-log")], False, False),
        ([window(5.0, number(2.0)), window(50.0, number(60.0))], False, False),
        ([], False, False),
    ],
    ids=["same", "limit", "smaller limit", "longer window", "far off", "family", "second", "none"],
)
def test_what_was_known_before_is_compared_with_what_is_found(tiers: Sequence[Tier], same: bool, close: bool) -> None:
    assert (BEFORE.is_same(tiers), BEFORE.is_close(tiers)) == (same, close)
    note = BEFORE.describe(tiers, 10.0, builds=False, doubted=False)
    assert " 4.5 " in note  # seconds count from the first request of all
    assert ("fixed-window:5/2 (97%)" in note, " 3.0" in note) == (not same, not same)


@pytest.mark.parametrize(("window_s", "explains"), [(1.0, True), (1.5, False)])
def test_what_was_known_before_may_explain_a_later_story(window_s: float, explains: bool) -> None:
    moments = played(WINDOW, NO_CAPS).probe.story.moments()
    evidence = rates_of(WINDOW).belief.evidence()
    cell = Cells.point(KINDS["fixed-window"], {"limit": 3.0, "window_s": window_s}, 0.01)
    assert replace(BEFORE, cell=cell).explains(moments, evidence) is explains
    assert not BEFORE.explains(moments, evidence)


@pytest.mark.parametrize(
    ("text", "quota", "count"),
    [
        (WINDOW, {}, 0),
        (WINDOW, {"limit": 3.0, "window_s": 1.0, "remaining": 2.0}, 0),
        (WINDOW, {"limit": 5.0}, 1),
        (WINDOW, {"limit": 3.0, "window_s": 60.0}, 1),
        (WINDOW, {"limit": 180.0, "window_s": 60.0}, 2),
        (GAP, {"limit": 1.0, "window_s": 1.0}, 0),
        (GAP, {"limit": 8.0, "window_s": 1.0}, 1),
        (GAP, {"window_s": 10.0}, 1),
        *(
            pytest.param("token-bucket:4/2,burst=3", quota, count, marks=pytest.mark.alone)
            for quota, count in (
                ({"limit": 3.0}, 0),
                ({"limit": 4.0, "window_s": 2.0}, 0),
                ({"limit": 120.0, "window_s": 60.0}, 0),
                ({"limit": 5.0}, 1),
                ({"limit": 4.0, "window_s": 60.0}, 2),
            )
        ),
    ],
)
def test_fields_that_disagree_with_the_limiter_are_findings(text: str, quota: dict[str, float], count: int) -> None:
    rates = rates_of(text)
    answers = [replace(a, quota=quota, retry_after_s=None) for a in played(text, NO_CAPS).answers]
    found = findings(rates, [tier(rates.belief.likeliest())], Story(answers))
    assert len(found) == count
    assert all(any(f" {value:g}" in finding for value in quota.values()) for finding in found)
