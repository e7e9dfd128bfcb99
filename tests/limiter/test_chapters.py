"""A limiter that is changed while it is probed: it is asked anew, and what was known until then is said."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from tests.limiter.answers import assert_close, number, row
from tests.limiter.played import NO_CAPS, Played, played, rates_of, through
from tests.limiter.virtual import Net
from touchstone.facts.identity import Interval, Tier
from touchstone.limiter.identify import Probe
from touchstone.limiter.rate_inference import Chapter, Rates
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


@pytest.mark.parametrize("outcomes", ["++-", "+++++"])
def test_what_is_met_once_more_has_to_be_as_it_was(outcomes: str) -> None:
    """Else nothing is sure any more, and it thinks of somebody else, and of a second limit."""
    rates = rates_of("fixed-window:3/1")
    at = played("fixed-window:3/1", NO_CAPS).ended_at + 5.0
    rates._story.answers.extend(row(outcomes, at))
    rates.hear(row(outcomes, at))
    assert not rates.settled
    assert rates.wide


def test_surprise_makes_it_think_more_widely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is met: a higher limit, or another one behind, may be why."""
    monkeypatch.setattr(Rates, "doubtful", property(lambda _: False))
    rates = rates_of("fixed-window:3/1")
    assert not rates.wide
    at = played("fixed-window:3/1", NO_CAPS).ended_at + 5.0
    rates._story.answers.extend(row("+++++", at))
    rates.hear(row("+++++", at))
    assert rates.wide
    assert rates.surprise is None


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
    said = BEFORE.describe(tiers, 10.0, builds=False, doubted=False)
    assert words in said
    assert "builds" not in said


@pytest.mark.parametrize(("limit", "words"), [(5.0, "the same limiter: "), (6.0, "fixed-window:5/2 (97%): ")])
def test_builds_that_were_in_flight_may_have_been_why(limit: float, words: str) -> None:
    """Where only one at a time led to a limiter that explains what was refused."""
    said = BEFORE.describe([window(limit, number(2.0))], 10.0, builds=True, doubted=False)
    assert f"{words}builds in flight may have been why, or " in said


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
    assert BEFORE.is_close([now]) == is_doubted


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


def test_nothing_is_sure_where_the_budget_ends_before_a_limit_is_describe_first_refusal() -> None:
    """What is let through unrefused by then may be less than the limit."""
    terms = replace(NO_CAPS, most_requests=30)
    assert not through(Net("none"), terms).known.sure
    assert through(Net("none"), NO_CAPS).known.sure
