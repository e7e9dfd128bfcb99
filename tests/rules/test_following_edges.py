"""Rules on when build logs are open, at their edges, and what their findings say and show."""

from typing import Any

import pytest

from tests.rules.exchanges import broken, exchange, story_verdicts
from tests.rules.scenes import END_AT, OPEN_AT, START_AT, followed, line, published, read, ready_log, started, stream
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules import logs
from touchstone.rules.history import Bounds

STORY_RULES = (
    logs.answer,
    logs.stays_open,
    logs.closes,
    logs.closes_unread,
    logs.goes_on_when_joined,
    logs.is_there_when_it_says_so,
)


ANSWER, OPEN = "events.answers-200", "events.open-while-building"
CLOSE, REST = "events.close-at-the-end", "events.finished-version-closes"
BOUNDS = Bounds(build_timeout_s=600.0, cancel_timeout_s=10.0)
BOOT = [line(10.1, "boot")]


def found(*story: Exchange) -> set[tuple[str, str]]:
    return story_verdicts(STORY_RULES, *story, bounds=BOUNDS)


def said(*story: Exchange) -> list[tuple[str, tuple[int, ...], str, str]]:
    return story_findings(STORY_RULES, *story, bounds=BOUNDS)


def refused(seq: int, status: int = 404, at: float = OPEN_AT) -> Exchange:
    return exchange("streamBuildEvents", status, seq=seq, json={"error": "none"}, sent_at=at)


def at_rest(*more: Exchange, **facts: Any) -> list[Exchange]:
    """A version that nobody has started, and a follower of it."""
    return [published(), read("not_built", 5.0, 2), stream([], seq=4, **facts), *more]


def test_finding_on_a_refused_follower_shows_the_start() -> None:
    """The build ran, as the start and the follower show."""
    assert said(*followed(streams=[refused(5)])) == [(ANSWER, (3, 5), "200", "404 while it builds")]


def test_finding_on_a_log_that_ended_shows_what_proves_it() -> None:
    """A read that still shows the build, or its start with the time that its steps take, in the order of sending."""
    expected = "a log that stays open while its build runs"

    assert said(*followed(BOOT, "ready", read("building", 13.0, 7), closed_at=12.5)) == [
        (OPEN, (5, 7), expected, "ended after 1.50 s; a later read shows the build still running")
    ]
    assert said(*followed(BOOT, closed_at=OPEN_AT + 0.6)) == [
        (OPEN, (3, 5), expected, "ended after 0.60 s; its steps alone take 2 s from the start on")
    ]


def test_finding_on_a_log_that_stayed_open_shows_the_end() -> None:
    """The read that showed the build over, and the follower; at rest the follower alone."""
    late = followed(ready_log(), closed_at=END_AT + 20.01)
    rest = at_rest(opened_at=6.0, closed_at=16.5, closed="client")

    assert said(*late) == [
        (CLOSE, (9, 5), "a log that closes when its build is over", "still open 20.0 s after a read said ready")
    ]
    assert said(*rest) == [
        (REST, (4,), "an answer that ends, for a version that is not building", "still open after 10.5 s")
    ]


def test_claims_that_hold_show_why() -> None:
    """Start and follower, the read that still showed the build, and the read that showed it over."""
    told = shown_by(STORY_RULES, *followed(), bounds=BOUNDS)

    assert told == [
        (ANSWER, (3, 5)),
        (OPEN, (6, 5)),
        (CLOSE, (9, 5)),
    ]


def test_each_follower_is_judged_by_itself() -> None:
    """One that met a limit takes nothing away from the next one."""
    assert found(*followed(streams=[refused(4, 429), refused(5)])) == {(ANSWER, "broken")}


def test_log_is_open_while_a_read_that_ends_with_it_shows_the_build() -> None:
    """The answer of the read may be there just when the log ends."""
    story = followed(ready_log(), "ready", read("building", 13.5, 7, done_at=13.9), closed_at=13.9)

    assert (OPEN, "held") in found(*story)
    assert (OPEN, "held") in found(*followed(ready_log(), closed_at=11.51 + 1.5))
    assert (OPEN, "held") in found(
        published(),
        started(),
        stream(ready_log(), closed_at=13.9),
        read("building", 11.5, 6, done_at=13.9),
        read("ready", END_AT, 9),
    )


def test_start_while_the_log_is_open_leaves_its_end_in_doubt() -> None:
    """A log that another start may have kept open is not late."""
    story = followed(ready_log(), "ready", started(10, END_AT + 1.0), closed_at=END_AT + 20.0)

    assert CLOSE not in broken(found(*story))


def cancelled(at: float, **more: Any) -> Exchange:
    return exchange("cancelBuild", 202, seq=7, json={"status": "cancelling"}, sent_at=at, **more)


@pytest.mark.parametrize(
    ("cancel", "claims"),
    [
        (cancelled(11.2), set()),
        (cancelled(11.55, done_at=11.59), set()),
        (cancelled(11.6), {OPEN}),
        (cancelled(11.7), {OPEN}),
    ],
)
def test_short_log_is_excused_by_a_cancel_while_it_was_open(cancel: Exchange, claims: set[str]) -> None:
    """A cancel that was sent when the log had ended did not end it."""
    story = [published(), started(), stream(BOOT, closed_at=11.6), read("building", 11.5, 6), cancel]

    assert broken(found(*story, read("not_built", END_AT, 9))) == claims


@pytest.mark.parametrize(("closed_at", "claims"), [(11.5, {OPEN}), (11.85, set()), (12.5, set())])
def test_short_log_may_end_when_its_steps_can_have_run(closed_at: float, claims: set[str]) -> None:
    """Steps of two seconds may be told a little shorter by another clock."""
    assert broken(found(*followed(BOOT, closed_at=closed_at))) == claims


def test_log_of_a_build_whose_start_was_long_on_its_way_may_end_sooner() -> None:
    """The steps may have begun when the start was sent."""
    slow = started(done_at=START_AT + 0.9)

    assert (
        broken(found(published(), slow, stream(BOOT, closed_at=12.1), read("building", 11.5, 6), read("ready", 14, 9)))
        == set()
    )


@pytest.mark.parametrize(
    ("closed", "closed_at", "outcome"),
    [
        ("server", 15.99, "held"),
        ("server", 16.5, "broken"),
        ("client", 15.5, "broken"),
        ("client", 14.9, None),
    ],
)
def test_follower_at_rest_may_be_kept_for_the_time_of_a_cancel(
    closed: str, closed_at: float, outcome: str | None
) -> None:
    """The driver waits nearly that long before it leaves; the server may take all of it."""
    told = {o for claim, o in found(*at_rest(opened_at=6.0, closed_at=closed_at, closed=closed)) if claim == REST}

    assert told == ({outcome} if outcome else set())


@pytest.mark.parametrize("status", [400, 403, 409, 500])
def test_other_answers_at_rest_show_nothing(status: int) -> None:
    """An odd refusal has a claim of its own."""
    assert found(published(), read("not_built", 5.0, 2), refused(4, status, 6.0)) == set()


def test_log_at_rest_whose_connection_broke_shows_nothing() -> None:
    """The server did not end it."""
    assert found(*at_rest(opened_at=6.0, closed_at=7.0, error="ReadError: cut")) == set()


def test_refusal_of_a_follower_is_no_log_that_ended() -> None:
    """A 404 with a body while the build runs is told once."""
    assert found(*followed(streams=[refused(5)])) == {(ANSWER, "broken")}
