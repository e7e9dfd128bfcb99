"""The part of a probe that finds the rate: when it is done, what it surely lets through, and what it has ruled out."""

import numpy as np
import pytest

from tests.limiter.answers import row
from tests.limiter.played import NO_CAPS, played, rates_of
from touchstone.facts.identity import Interval, Tier
from touchstone.facts.observed import Moment
from touchstone.limiter.belief import tier
from touchstone.limiter.rate_inference import Rates
from touchstone.limiter.story import Story
from touchstone.twin import RateLimit, decide, limiter_for

# Whole probes of the longer ones are for `make thorough`.
LONGER = ("sliding-log:3/1", "token-bucket:4/2,burst=3")
LIMITS = {"fixed-window:3/1": 3, "sliding-log:3/1": 3, "token-bucket:4/2,burst=3": 3, "minimum-gap:0.7": 1}

PROBED = [pytest.param(text, marks=pytest.mark.alone) if text in LONGER else text for text in LIMITS]


def opened() -> Rates:
    """What is known after the opening alone."""
    return Rates(Story([*row("+"), *row("++++-", 0.2)]), 1, 5)


@pytest.mark.alone
@pytest.mark.parametrize("text", LIMITS)
def test_whole_probe_settles_it(text: str) -> None:
    """One family and its numbers stand out; nothing more is asked."""
    rates = rates_of(text)
    assert rates.settled
    assert rates.ask(1000.0, 100) is None
    assert tier(rates.belief.likeliest()).family == text.partition(":")[0]


def test_opening_alone_does_not_settle_it() -> None:
    """Several families are possible; something within the budget is asked."""
    rates = opened()
    assert not rates.settled
    assert len(rates.belief.families()) > 3
    stimulus = rates.ask(1.0, 100)
    assert stimulus is not None
    assert stimulus.stage == "rate"
    assert stimulus.bits > 0
    assert min(at for segment in stimulus.segments for at in segment.at) >= 1.0


@pytest.mark.parametrize("text", PROBED)
def test_room_is_let_through(text: str) -> None:
    """As many requests as there is said to be room for are accepted, now and when it is said to be full."""
    whole, rates = played(text, NO_CAPS), rates_of(text)
    for wait_s in (0.0, 0.3, 0.8):
        at = whole.ended_at + wait_s
        for when in (at, max(at, rates.room(at)[1]) + 0.05):
            limiter = limiter_for(RateLimit.parse(text))
            for moment in whole.probe.story.moments():
                decide(limiter, 1000.0 + moment.at)
            room, _ = rates.room(when)
            assert all(decide(limiter, 1000.0 + when + 1e-5 * number)[0] for number in range(room))


@pytest.mark.parametrize("text", PROBED)
def test_all_of_the_limit_is_there_when_it_is_said_to_be(text: str) -> None:
    """After a rest there is room for the limit."""
    rates, at = rates_of(text), played(text, NO_CAPS).ended_at
    _, full_at = rates.room(at)
    assert full_at < at + 10
    assert rates.room(max(full_at, at) + 0.05)[0] == LIMITS[text]


@pytest.mark.alone
def test_somebody_else_widens_what_the_limit_may_be() -> None:
    """Refusals that fit no limiter alone are another one's doing: the limit may be more than was ever accepted."""
    story = Story([*row("+"), *row("++++-", 0.2)])
    rates = Rates(story, 1, 5)
    for number, outcomes in enumerate(("+++++-", "++++-", "+++-", "+++++-", "++++++-", "++++-", "++-", "+++++-")):
        answers = row(outcomes, 3.0 * (number + 1))
        story.answers.extend(answers)
        rates.hear(answers)
    assert rates.wide
    assert rates.belief.others() > 0.5


def test_nothing_is_asked_any_more_when_stimuli_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five one after the other are enough, where one kind is likely by far and the numbers stay as wide as they are."""
    rates = rates_of("fixed-window:3/1")
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "_known", property(lambda _: False))
    for _ in range(5):
        assert rates.ask(1000.0, 100) is not None
        rates.hear(())
    assert rates.ask(1000.0, 100) is None


def test_a_little_less_is_enough_when_stimuli_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that is known to 3 % settles it only then."""
    rates = rates_of("fixed-window:3/1")
    numbers = {"limit": Interval(3.0, 3.0, 3.0), "window_s": Interval(1.0, 0.985, 1.015)}
    monkeypatch.setattr(
        "touchstone.limiter.rate_inference.tier", lambda _: Tier("fixed-window", "fixed-window:3/1", numbers)
    )
    assert not rates.settled
    for _ in range(5):
        rates.hear(())
    assert rates.settled


def test_end_of_a_window_is_no_better_known_than_any_one_answer() -> None:
    """By what an answer's moment may be off on either side; a rate is known from many."""
    window, bucket = rates_of("fixed-window:3/1"), rates_of("token-bucket:4/2,burst=3")
    inner, (outer,) = tier(window.belief.likeliest()).numbers["window_s"], window.tiers()
    blur_s = window._story.blur_s(0.9)
    assert outer.numbers["window_s"].low == pytest.approx(inner.low - blur_s)
    assert outer.numbers["window_s"].high == pytest.approx(inner.high + blur_s)
    assert outer.numbers["limit"] == tier(window.belief.likeliest()).numbers["limit"]
    assert bucket.tiers()[0].numbers == tier(bucket.belief.likeliest()).numbers


def test_what_others_asked_for_does_not_end_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what changed nothing before all is thought over again."""
    rates = rates_of("fixed-window:3/1")
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "_known", property(lambda _: False))
    for _ in range(5):
        rates.hear((), for_rate=False)
    assert rates.ask(1000.0, 100) is not None
    for _ in range(5):
        rates.hear(())
    assert rates.ask(1000.0, 100) is None


def test_nothing_is_behind_what_is_hardly_known() -> None:
    """A limiter is kept as the first one of two only once its times are known."""
    story = Story([*row("+"), *row("++++-", 0.2)])
    rates = Rates(story, 1, 5)
    story.answers.extend(row("-", 0.3))
    rates.hear(row("-", 0.3))
    assert max(rates.belief.kinds().values()) > 0.1
    assert rates._firsts == {}
    assert rates_of("fixed-window:3/1")._firsts


def test_what_was_known_of_a_limit_is_kept_when_others_are_thought_of() -> None:
    """Found out step by step it is known better than all at once."""
    story = Story([*row("+"), *row("++++-", 0.2)])
    rates = Rates(story, 1, 5)
    for number in range(1, 4):
        story.answers.extend(row("+++++-", 3.0 * number))
        rates.hear(row("+++++-", 3.0 * number))
    before = {cells.kind.text: len(cells) for cells in rates.belief.cells}
    limits = {cells.kind.text: set(cells.limits) for cells in rates.belief.cells}
    rates._widen()
    for cells in rates.belief.cells:
        if cells.kind.text in before:
            assert np.isin(cells.limits, [*limits[cells.kind.text]]).sum() == before[cells.kind.text], cells.kind.text


def test_times_that_are_narrow_enough_are_asked_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only which kind it is, and with which limit; and where that leads nowhere, what only others could explain."""
    asked: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        "touchstone.limiter.rate_inference.choose",
        lambda *_, first=False, narrow=False, aside=True: asked.append((narrow, aside)),
    )
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "_all_but_limit", property(lambda _: False))
    wide, narrow = opened(), rates_of("fixed-window:3/1")
    wide._heard = True
    wide.ask(10.0, 100)
    narrow.ask(1000.0, 100)
    assert asked == [(False, True), (False, False), (True, True), (True, False)]


@pytest.mark.alone
@pytest.mark.parametrize(("text", "settled"), [("sliding-counter:14/1", False), ("fixed-window:3/1", True)])
def test_counter_is_met_twice_before_it_is_sure(monkeypatch: pytest.MonkeyPatch, text: str, settled: bool) -> None:
    """
    What others took lasts for two of its windows: within these they take as much from each filling, if there are any.
    """
    rates = rates_of(text)
    others: list[float] = [0.05]
    monkeypatch.setattr(type(rates.belief), "others", lambda _: others[0])
    first, *_, last = [moment.at for moment in rates._story.moments() if not moment.accepted]
    monkeypatch.setattr(Rates, "refill_s", (last - first) / 2.1)
    assert rates.settled
    monkeypatch.setattr(Rates, "refill_s", (last - first) / 1.9)
    assert rates.settled == settled
    others[0] = 0.001
    assert rates.settled


@pytest.mark.parametrize(("all_but_limit", "once_more"), [(True, True), (False, False)])
def test_limit_that_alone_is_left_is_met_once_more(
    monkeypatch: pytest.MonkeyPatch, all_but_limit: bool, once_more: bool
) -> None:
    """A whole filling shows others, and not one request here and there."""
    rates = rates_of("fixed-window:3/1")
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "_known", property(lambda _: False))
    monkeypatch.setattr(Rates, "_all_but_limit", property(lambda _: all_but_limit))
    stimulus = rates.ask(1000.0, 100)
    assert stimulus is not None
    assert (stimulus.name == "once more") == once_more


def test_limit_that_was_never_met_is_looked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of which all that is known is that it is not lower is not filled as if it were known."""
    rates = rates_of("fixed-window:3/1")
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "_known", property(lambda _: False))
    monkeypatch.setattr(Rates, "_all_but_limit", property(lambda _: True))
    monkeypatch.setattr("touchstone.limiter.rate_inference.best_limit", lambda _: (3.0, 0.2))
    stimulus = rates.ask(1000.0, 100)
    assert stimulus is not None
    assert stimulus.name != "once more"


def test_limit_is_met_once_more_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times at most where all is known: what does not let it be sure by then is not found out this way."""
    rates = rates_of("fixed-window:3/1")
    monkeypatch.setattr(Rates, "_filled_once", property(lambda _: True))
    for _ in range(4):
        stimulus = rates.ask(1000.0, 100)
        assert stimulus is not None
        assert stimulus.name == "once more"
        rates.hear(())
    assert rates.ask(1000.0, 100) is None


@pytest.mark.parametrize(("outcomes", "filled"), [("+++-+++-", True), ("+++----+-++-", False), ("+++-++-++-", False)])
def test_limit_that_was_filled_once_is_met_once_more(
    monkeypatch: pytest.MonkeyPatch, outcomes: str, filled: bool
) -> None:
    """A filling is all of it, or nearly, one after the other until one is refused."""
    rates = rates_of("fixed-window:3/1")
    moments = [Moment(float(number), 0.0, outcome == "+") for number, outcome in enumerate(outcomes)]
    monkeypatch.setattr(rates._story, "moments", lambda: moments)
    assert rates._filled_once is not filled


def test_limit_is_not_sure_where_others_may_have_had_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the limit is known in each of these stories."""
    rates = rates_of("fixed-window:3/1")
    assert rates.settled
    monkeypatch.setattr(type(rates.belief), "others", lambda _: 0.095)
    assert not rates.settled
    monkeypatch.setattr(type(rates.belief), "others", lambda _: 0.085)
    assert rates.settled


@pytest.mark.alone
def test_log_that_is_full_is_watched_until_it_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else had in it is free before; one that counts refused requests too would only be filled."""
    for text, watched in (("sliding-log:3/1", True), ("sliding-log:3/1,refused=count", False)):
        rates = rates_of(text)
        rates._story.answers.extend(row("-", 990.0))
        monkeypatch.setattr(Rates, "room", lambda _, at: (0, at + 1.0))
        segments = rates._once_more(1000.0).segments
        assert len(segments) == 1 + watched
        if watched:
            assert segments[0].until == "accepted"
            assert [1000.0 < at < 1001.0 for at in segments[0].at] == [True] * 5
        assert segments[-1].at[0] > 1001.0


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "outcomes", "at_once"),
    [("fixed-window:3/1", "++", True), ("fixed-window:3/1", "++-", False), ("sliding-counter:6/1", "++", False)],
)
def test_what_was_let_through_just_now_is_not_sent_again(text: str, outcomes: str, at_once: bool) -> None:
    """The rest of the limit is as good as all of it, until one is refused; but for what a counter still has in mind."""
    rates = rates_of(text)
    at = played(text, NO_CAPS).ended_at + 5.0
    rates._story.answers.extend(row(outcomes, at))
    rates.hear(row(outcomes, at), for_rate=False)
    stimulus = rates._once_more(at + 0.1)
    assert (stimulus.segments[-1].at[0] == at + 0.1) is at_once
    assert stimulus.segments[-1].until == "refused"


def test_log_that_is_filled_is_watched_until_its_first_one_leaves() -> None:
    """A request is let in before only where somebody else was in it; what is over by then is not waited for."""
    rates = rates_of("sliding-log:3/1")
    at = played("sliding-log:3/1", NO_CAPS).ended_at + 5.0
    rates._story.answers.extend(row("++", at, step_s=0.1))
    rates.hear(row("++", at, step_s=0.1), for_rate=False)
    fills, watches = rates._once_more(at + 0.2).segments
    assert (fills.at[0], fills.until, watches.until) == (at + 0.2, "refused", "accepted")
    assert len(watches.at) == 5
    assert at + 0.2 < watches.at[0] < watches.at[-1] < at + 1.0
    assert len(rates._once_more(at + 0.7).segments) == 1


def test_nothing_is_asked_for_a_while_where_refusals_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer with each of them, and at once again when one is accepted."""
    begins: list[float] = []
    monkeypatch.setattr(
        "touchstone.limiter.rate_inference.choose",
        lambda _, at, *__, aside=True, **___: begins.append(at - 10.0) if aside else None,
    )
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "_known", property(lambda _: False))
    monkeypatch.setattr(Rates, "_all_but_limit", property(lambda _: False))
    rates = rates_of("fixed-window:3/1")
    for outcomes in ("-", "-", "+"):
        rates.ask(10.0, 100)
        rates._story.answers.extend(row(outcomes, 5.0))
        monkeypatch.setattr(rates.belief, "see", lambda _: None)
        rates.hear(row(outcomes, 5.0))
    rates.ask(10.0, 100)
    assert begins == pytest.approx([0.001, 0.001 + 0.05 * rates.refill_s, 0.001 + 0.1 * rates.refill_s, 0.001])


def test_numbers_are_as_uncertain_as_what_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no limiter explains all: a limit may be more than what was accepted, and never less."""
    rates = rates_of("fixed-window:3/1")
    (before,) = rates.tiers()
    monkeypatch.setattr(Rates, "doubtful", property(lambda _: True))
    monkeypatch.setattr("touchstone.limiter.rate_inference.taken", lambda *_: Interval(0.1, 0.05, 0.25))
    (found,) = rates.tiers()
    assert (found.text, found.numbers["limit"]) == (before.text, Interval(3.0, 3.0, 4.0))
    window, known = found.numbers["window_s"], before.numbers["window_s"]
    assert (window.low, window.high) == pytest.approx((known.low / 1.25, known.high * 1.25))
    monkeypatch.setattr("touchstone.limiter.rate_inference.taken", lambda *_: Interval(0.0, 0.0, 0.0))
    assert rates.tiers()[0].numbers["window_s"].high == pytest.approx(known.high * 1.05)
