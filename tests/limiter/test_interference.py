"""What others take of a limiter: how likely it is that nothing is left, and what that makes of a probe."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.limiter.answers import row
from tests.limiter.played import rates_of
from tests.limiter.virtual import Net, play
from touchstone.facts.identity import Interval, Tier
from touchstone.limiter.belief import Belief, behind
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.identify import Probe
from touchstone.limiter.interference import SHARES, Known, at_least, came_first, took_all
from touchstone.limiter.kinds import KINDS as ALL
from touchstone.limiter.kinds import Kind
from touchstone.limiter.rate_inference import Rates
from touchstone.limiter.story import Story
from touchstone.limiter.terms import Terms

KINDS: dict[str, Kind] = {kind.text: kind for kind in ALL}
LOG, WINDOW, BUCKET = (KINDS[name] for name in ("sliding-log", "fixed-window", "token-bucket"))
PARAMS = {"limit": np.array([20.0]), "window_s": np.array([2.0]), "phase": np.zeros(1), "token_s": np.array([0.1])}


def full(kind: Kind, accepted: int) -> dict[str, object]:
    """What a limiter keeps in mind after so many at second 0."""
    state = kind.start(PARAMS, 0.0)
    for _ in range(accepted):
        state = kind.update(PARAMS, state, 0.0, True)
    return state


def taken(accepted: int, at: float, known: Known) -> NDArray[np.float64]:
    """How likely it is that others have all that a log has left at *at* which let so many through at second 0."""
    left = LOG.room(PARAMS, full(LOG, accepted), at)
    return took_all(LOG, PARAMS, {}, left, at, known)


def after_refusal(had: float, shut_until: float = 0.0) -> Known:
    """What is known of a limiter that refused at second 0 while others had so many of its places."""
    return Known(np.array([had]), np.array([np.inf]), np.array([shut_until]), np.zeros(1), 0.0)


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_so_many_come_as_often_as_chance_has_it(count: int) -> None:
    """The tail of a Poisson distribution, for each share of 50 that are given; to the step of its table."""
    found = at_least(np.array([float(count)]), np.array([50.0]))[:, 0]
    for share, chance in list(zip(SHARES[:, 0], found, strict=True))[1:]:
        mean = 50.0 * share
        true = 1 - sum(math.exp(-mean) * mean**n / math.factorial(n) for n in range(count))
        assert chance == pytest.approx(true, rel=0.2, abs=1e-3)


def test_nobody_takes_next_to_nothing() -> None:
    """Whatever is left: a refusal that nothing explains is as unlikely as ever."""
    for accepted in (0, 10, 19):
        assert taken(accepted, 0.0, Known.nothing(1))[0, 0] == pytest.approx(1e-4)


def test_the_more_is_left_the_less_likely_others_have_it() -> None:
    """And the more they take, the likelier it is."""
    chances = [taken(accepted, 0.0, Known.nothing(1))[1:, 0] for accepted in (19, 17, 10)]
    assert all((more > less).all() for more, less in itertools.pairwise(chances))
    assert all((np.diff(chance) > 0).all() for chance in chances[:2])


def test_others_may_have_begun_with_the_first_request_or_long_before() -> None:
    """With nothing refused so far: half as likely at once, and as likely after a window. A first refusal settles it."""
    long_ago, newly = Known.nothing(1), Known.nothing(1, began_at=0.0)
    at_once, always = (taken(17, 0.001, known)[2, 0] for known in (newly, long_ago))
    assert at_once == pytest.approx(0.5 * always, rel=0.01)
    assert at_once < taken(17, 1.0, newly)[2, 0] < taken(17, 1.999, newly)[2, 0]
    assert taken(17, 1.999, newly)[2, 0] == pytest.approx(taken(17, 1.999, long_ago)[2, 0], rel=0.05)
    refused = newly.refused(LOG, np.array([3.0]), 0.0, np.zeros(1))
    assert taken(17, 0.5, refused)[2, 0] == pytest.approx(taken(17, 0.5, after_refusal(3.0))[2, 0])


def test_what_others_had_a_moment_ago_they_have_still() -> None:
    """Of a log with room for three that refused, the next one is refused as well; and not when a window has gone by."""
    known = after_refusal(3.0)
    soon, later = (taken(17, at, known)[2, 0] for at in (0.001, 1.999))
    assert soon > 0.99
    assert later < 0.7


def test_what_others_did_not_have_a_moment_ago_they_have_not_now() -> None:
    """One was let through with room for three: with room for three again, others cannot have it all."""
    known = replace(after_refusal(0.0), below=np.array([3.0]))
    assert taken(17, 0.5, known)[2, 0] == pytest.approx(1e-4)
    unknown = replace(known, below=np.array([np.inf]))
    fewer, any_ = (taken(18, 0.5, one)[2, 0] for one in (known, unknown))
    assert 0.05 < fewer < 0.9 * any_


def test_others_get_nothing_of_a_log_that_is_shut() -> None:
    """Half a second after it lets go they may have some, and none as long as all in it is known."""
    open_, shut = (taken(18, 0.5, after_refusal(0.0, until))[2, 0] for until in (0.0, 0.499))
    assert shut < 0.01 < open_


def test_place_of_others_is_found_empty_the_sooner_the_more_often_it_is_looked_for() -> None:
    """Each that they had goes once in a window: that it is still there near the end of it is unlikely."""
    seldom = taken(19, 1.8, after_refusal(1.0, 2.0))[2, 0]
    often, known = 1.0, after_refusal(1.0, 2.0)
    for at in (0.3, 0.6, 0.9, 1.2, 1.5, 1.8):
        often *= taken(19, at, known)[2, 0]
        known = known.refused(LOG, np.ones(1), at, np.array([2.0]))
    assert often < 0.5 * seldom
    assert often > 0.05


def test_window_that_closed_is_open_to_others_only_since_then() -> None:
    """And one on a clock since its last turn; of all others nobody knows."""
    assert WINDOW.open_since(PARAMS, full(WINDOW, 20), 2.5)[0] == 2.0
    later = WINDOW.update(PARAMS, full(WINDOW, 20), 2.5, True)
    assert WINDOW.open_since(PARAMS, later, 3.0)[0] == 2.0
    clock = KINDS["fixed-window,opens=clock"]
    assert clock.open_since(PARAMS, full(clock, 20), 5.0)[0] == 4.0
    assert LOG.open_since(PARAMS, full(LOG, 20), 5.0)[0] < -1e9


def test_what_refusals_told_of_an_early_window_counts_once() -> None:
    """One right after another one tells nothing more of whether somebody else opened the window."""
    state = WINDOW.update(PARAMS, full(WINDOW, 20), 3.0, True)
    whole, again = (came_first(np.array([0.5]), WINDOW, PARAMS, state, s, accepted=False)[2, 0] for s in (9.0, 0.001))
    assert whole > 0.2
    assert again < 0.01


def test_window_may_have_been_opened_by_somebody_else() -> None:
    """By no more than it stood closed, and never where nobody else comes; a log has nothing of the kind."""
    state = WINDOW.update(PARAMS, full(WINDOW, 20), 3.0, True)
    early = [came_first(np.array([s]), WINDOW, PARAMS, state, 9.0, accepted=True)[:, 0] for s in (0.1, 0.9, 1.1)]
    assert early[0][0] == early[2].max() == 0.0
    assert (early[0][1:] > early[1][1:]).all()
    assert came_first(np.array([0.1]), LOG, PARAMS, full(LOG, 20), 9.0, accepted=True) == 0.0


def test_bucket_that_others_emptied_keeps_the_time_of_its_next_token() -> None:
    """
    Whole tokens are gone: what is missing of the next one is not. A refusal just after it was due may be its lateness.
    """
    empty = BUCKET.update(PARAMS, full(BUCKET, 20), 0.05, False)
    taken = BUCKET.update(PARAMS, empty, 0.35, False)
    assert BUCKET.free_at(PARAMS, taken)[0] == pytest.approx(0.4)
    late = BUCKET.update(PARAMS, empty, 0.11, False)
    assert BUCKET.free_at(PARAMS, late)[0] == pytest.approx(0.11)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "per_s", "seed"), [("sliding-log:11/2.691", 0.4, 3), ("sliding-log:19/5.693", 0.33374, 105)]
)
def test_limiter_of_which_others_take_a_tenth_is_named_or_doubted(text: str, per_s: float, seed: int) -> None:
    """The family is the right one, and a limit that is off is not told as sure."""
    probe = Probe(Terms(seed, True, most_requests=120, most_builds=120, most_s=300.0, caps=False))
    play(probe, Net(text, seed=seed, foreign_per_s=per_s))
    known = probe.known()
    assert known.families[0].family == text.partition(":")[0]
    burst = float(text.partition("burst=")[2] or text.partition(":")[2].partition("/")[0])
    (limit,) = (known.tiers[0].numbers[name].value for name in ("limit", "burst") if name in known.tiers[0].numbers)
    assert limit == burst or not known.sure


@pytest.mark.alone
def test_what_was_known_before_a_surprise_may_be_all_there_is() -> None:
    """Others make a probe begin anew; what it finds then is not sure where the earlier limiter explains it as well."""
    probe = Probe(Terms(3, True, most_requests=400, most_builds=400, most_s=600.0, caps=False))
    play(probe, Net("sliding-counter:20/6", seed=3, foreign_per_s=1 / 3))
    known = probe.known()
    assert known.families[0].family == "sliding-counter" or not known.sure


def story_of(*outcomes: str) -> Story:
    """Bursts, each three seconds after the last."""
    return Story([answer for number, one in enumerate(outcomes) for answer in row(one, 3.0 * number)])


def test_family_is_known_where_it_is_if_nobody_else_comes() -> None:
    """What only others could have made of another family weighs nothing then."""
    belief = Belief(4)
    belief.see(story_of("++++-", "++++-", "++++-").moments())
    shares = {family: belief.alone(family) for family in belief.families()}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares.values()) >= next(iter(belief.families().values())) - 0.01


@pytest.mark.parametrize(("by_others", "known"), [(0.0, True), (1.5, False)])
def test_what_only_others_explain_leaves_a_family_known_where_they_are_unlikely(by_others: float, known: bool) -> None:
    """A log explains all by itself, a bucket only with the help of others."""
    rates = Rates(story_of("+", "++++-"), 1, 5)
    log, bucket = (grid(KINDS[name], [5], [(1.99, 2.01)], 2, 0.5) for name in ("sliding-log", "token-bucket"))
    for cells, alone, helped in ((log, 0.0, -50.0), (bucket, -50.0, by_others)):
        cells.see(story_of("+").moments())
        cells.likely = np.array([[alone], *[[helped]] * 3]) + np.zeros((4, len(cells)))
        cells.run = np.zeros_like(cells.likely)
    rates.belief.cells = [log, bucket]
    assert rates.belief.families()["sliding-log"] < 0.95
    assert rates._family_known() == known


def test_belief_takes_what_another_one_knows_better() -> None:
    """The cells of its limits are those of the other one, once; limits that only it has are kept."""
    moments = story_of("++++-", "++++-").moments()
    narrow, wide = Belief(4), Belief(4, wide=True)
    narrow.see(moments)
    wide.see(moments)
    theirs = {cells.kind.text: len(cells) for cells in narrow.cells}
    wide.take(narrow)
    assert len({cells.kind.text for cells in wide.cells}) == len(wide.cells)
    log = next(cells for cells in wide.cells if cells.kind.text == "sliding-log")
    assert (log.limits == 4).sum() == theirs["sliding-log"]
    assert log.limits.max() > 4


def test_first_question_is_when_a_full_limiter_gives_again() -> None:
    """Asked closely, once, and only while it is full."""
    story = story_of("+", "++++-")
    rates = Rates(story, 1, 5)
    first = rates.ask(10.0, 100)
    assert first is not None
    assert first.name.startswith("poll")
    assert first.most >= 7
    story.answers.extend(row("+", 10.0))
    rested = Rates(story, 1, 5).ask(60.0, 100)
    assert rested is not None
    assert not rested.name.startswith("poll")


def test_it_is_the_first_question_only_until_one_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What other parts asked for meanwhile does not count, and what was refused since does not make it the first again.
    """
    firsts: list[bool] = []
    monkeypatch.setattr(
        "touchstone.limiter.rate_inference.choose",
        lambda *_, first=False, narrow=False, aside=True: firsts.append(first) if aside else None,
    )
    story = story_of("+", "++++-")
    rates = Rates(story, 1, 5)
    for asked in (False, True):
        rates.ask(10.0, 100)
        story.answers.extend(row("-", 10.0 + asked))
        rates.hear(row("-", 10.0 + asked), for_rate=asked)
    rates.ask(12.0, 100)
    assert firsts == [True, False, True, False, False]


@pytest.mark.parametrize(("other", "agreed"), [("sliding-log:5/2", True), ("sliding-log:4/2", False)])
def test_kind_need_not_be_known_where_the_numbers_are(other: str, agreed: bool) -> None:
    """
    Of two kinds of one family with the same numbers it is enough that one is likelier by far; a limit has to be known.
    """
    rates = Rates(story_of("+", "++++-"), 1, 5)
    limit = float(other.partition(":")[2].partition("/")[0])
    first, second = KINDS["sliding-log"], KINDS["sliding-log,refused=count"]
    likely = grid(first, [5], [(1.99, 2.01)], 2, 0.95)
    unlikely = grid(second, [int(limit)], [(1.99, 2.01)], 2, 0.05)
    rates.belief.cells = [likely, unlikely]
    for cells in rates.belief.cells:
        cells.see(story_of("+").moments())
    assert rates._agreed(likely) == agreed


@pytest.mark.parametrize(("share", "agreed"), [(0.999, True), (0.995, False)])
def test_kind_with_numbers_of_its_own_has_to_be_known_better(share: float, agreed: bool) -> None:
    """Where another one of its family would have another limit."""
    rates = Rates(story_of("+", "++++-"), 1, 5)
    kinds = [grid(KINDS["sliding-log"], [5], [(1.99, 2.01)], 2, share)]
    kinds += [grid(KINDS["sliding-log,refused=count"], [4], [(1.99, 2.01)], 2, 1 - share)]
    rates.belief.cells = kinds
    for cells in kinds:
        cells.see(story_of("+").moments())
    assert rates._agreed(kinds[0]) == agreed


def test_window_whose_place_on_the_clock_is_lost_is_full_only_of_what_it_let_in() -> None:
    """
    Of windows of a fraction of a second no place is known after twenty; that none refuses an idle key is, all the same.
    """
    moments = story_of("++++", "", "", "", "", "", "", "-").moments()
    cells = grid(KINDS["fixed-window,opens=clock"], [4], [(0.05, 0.2)], 4, 0.1)
    cells.see(moments[:-1])
    before = (cells.likely + cells.run)[0]
    cells.see(moments)
    assert ((cells.likely + cells.run)[0] < before - 5).all()
    busy = grid(KINDS["fixed-window,opens=clock"], [4], [(0.05, 0.2)], 4, 0.1)
    busy.see(story_of("+", "", "", "", "", "", "", "++++-").moments())
    assert (busy.likely + busy.run)[0].max() > -5


@pytest.mark.parametrize(
    ("limit", "hint_s", "misled"),
    [(4, 9.0, False), (4, 3.0, True), (5, 9.0, False), (5, 3.0, False), (5, 60.0, True)],
)
def test_hint_speaks_against_others_only_where_it_is_longer_than_all_lasts(
    limit: int, hint_s: float, misled: bool
) -> None:
    """A log of five that was refused the fifth: whoever has that one may have it for up to the whole window."""
    cells = Cells.point(KINDS["sliding-log"], {"limit": float(limit), "window_s": 9.0}, 1e-4)
    answers = [*row("++++"), replace(row("-", 0.5)[0], retry_after_s=hint_s)]
    cells.see(Story(answers).moments())
    assert (cells.misled[0] > 0.5) == misled
    assert misled or cells.misled[0] < 0.01


@pytest.mark.parametrize(
    ("by_others", "loose", "known"), [(0.05, 0.001, True), (0.2, 0.001, False), (0.05, 0.1, False)]
)
def test_second_limit_is_not_sure_where_others_or_a_loose_first_one_explain_it_as_well(
    monkeypatch: pytest.MonkeyPatch, by_others: float, loose: float, known: bool
) -> None:
    """Whoever takes some now and then looks like a limit that is seldom met."""
    rates = rates_of("fixed-window:3/1")
    first = rates.belief.likeliest().best()
    second = behind(first, loose, 40, 100.0)[0]
    monkeypatch.setattr(Belief, "likeliest", lambda *_: second)
    monkeypatch.setattr(Belief, "others", lambda _: by_others)
    monkeypatch.setattr(Rates, "_family_known", lambda _: True)
    monkeypatch.setattr(Rates, "_agreed", lambda *_: True)
    monkeypatch.setattr("touchstone.limiter.rate_inference.best_limit", lambda _: (20.0, 1.0))
    narrow = Tier("fixed-window", "fixed-window:20/10", {"window_s": Interval(10.0, 9.99, 10.01)})
    monkeypatch.setattr("touchstone.limiter.rate_inference.tier", lambda _: narrow)
    assert rates._known == known
