"""Timelines: when a build surely ran, when surely none did, and what leaves that uncertain."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.rules.exchanges import OTHER_DIGEST, OTHER_REF, REF, UNKNOWN_REF, build, exchange, given, history, publish
from tests.rules.judging import cases
from tests.rules.stories import cancel, delete, forced, read, reuse, start
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.timeline import Timeline, begins, may_have_acted, owned, reports_building

AUTO: dict[str, Any] = {"note": {"auto_build": True}}
REST = read(3.0, "ready")


def timeline(*exchanges: Exchange) -> Timeline:
    """The timeline of a version that was published from 1 to 1.01."""
    return Timeline(REF, history(publish(1), *exchanges))


@pytest.mark.parametrize(
    ("owner", "credential", "expected"),
    [
        ("primary", "primary", True),
        ("primary", "lowercase-scheme", True),
        ("second", "lowercase-scheme", False),
        ("primary", "second", False),
        ("primary", "none", False),
    ],
)
def test_version_is_owned_by_the_key_that_published_it(
    owner: Credential, credential: Credential, expected: bool
) -> None:
    request = exchange(credential=credential, seq=2)

    assert owned(request, history(publish(credential=owner), request)) is expected
    assert not owned(exchange(ref=None), history(publish()))


@cases(
    "request_ acts begins_ building",
    {
        "a start": (start(1), True, True, True),
        "a start that says ready": (start(1, state="ready"), True, True, False),
        "a start, 300": (start(1, 300), False, False, False),
        "a start that failed": (start(1, 500), True, True, False),
        "a start without answer": (start(1, 0), True, True, False),
        "a limited start": (start(1, 429, note={"auto_build": True}), False, False, False),
        "a reuse": (reuse(1), True, False, False),
        "a publish": (publish(), True, False, False),
        "a limited publish": (publish(status=429), False, False, False),
        "a limited publish with a build": (publish(status=429, **AUTO), True, True, False),
        "a conflict with a build": (publish(status=409, auto_build="building", **AUTO), False, False, False),
        "a publish with a build": (publish(auto_build="building", **AUTO), True, True, True),
        "a publish with a golden": (publish(auto_build="ready", **AUTO), True, True, False),
        "a read with the note": (exchange("getBuild", 404, note={"auto_build": True}), False, False, False),
        "a HEAD": (exchange("startBuild", 200, method="HEAD"), False, False, False),
    },
)
def test_request_may_act_and_begin_a_build(request_: Exchange, acts: bool, begins_: bool, building: bool) -> None:
    assert (may_have_acted(request_), begins(request_), reports_building(request_)) == (acts, begins_, building)


def holds(*exchanges: Exchange, since: float, until: float) -> bool:
    return timeline(*exchanges).content(since, until) is not None


def test_content_stands_from_its_publish_to_the_next_change() -> None:
    change = forced(5)

    assert holds(change, since=1.01, until=5.0)
    assert not holds(change, since=1.0, until=4.0)
    assert not holds(change, since=1.01, until=5.001)
    assert Timeline(UNKNOWN_REF, history(publish(1))).content(2.0, 3.0) is None


@cases(
    "doubt",
    {
        "a publish that failed": publish(5, status=500),
        "a publish of nobody knows what": exchange("publishTemplate", 201, seq=5, json={}),
        "a delete without answer": delete(5, 0),
    },
)
def test_content_is_in_doubt_after_a_change_of_unknown_effect(doubt: Exchange) -> None:
    assert holds(doubt, since=2.0, until=5.0)
    assert not holds(doubt, since=2.0, until=5.001)


def test_content_is_in_doubt_after_a_conflict_that_changes_the_digest() -> None:
    assert holds(publish(5, content="new", status=409), read(6), since=2.0, until=7.0)
    assert not holds(publish(5, content="new", status=409), read(6, digest=OTHER_DIGEST), since=2.0, until=7.0)


def test_content_is_in_doubt_after_changes_beside_each_other() -> None:
    first = forced(5, done_at=6.0)

    assert not holds(first, delete(6, sent_at=5.5, done_at=6.5), publish(7), since=7.5, until=8.0)
    assert holds(first, delete(6, sent_at=6.0, done_at=6.5), publish(7), since=7.5, until=8.0)


def test_content_is_in_doubt_where_builds_are_shared() -> None:
    assert not holds(publish(2, credential="second"), since=3.0, until=4.0)
    assert not holds(publish(2, OTHER_REF), since=3.0, until=4.0)
    assert holds(publish(2, OTHER_REF, digest=OTHER_DIGEST), since=3.0, until=4.0)


@cases(
    "story by_at expected",
    {
        "a read at rest": ((start(2.0), read(2.5, "ready")), 3.0, True),
        "a reuse": ((start(2.0), reuse(2.5)), 3.0, True),
        "sent before the start was answered": ((start(2.0), read(2.4, "ready")), 4.0, False),
        "still building": ((start(2.0), read(2.5)), 4.0, False),
        "a start without answer": ((start(2.0, 0), read(3.0, "ready")), 9.0, False),
    },
)
def test_build_is_settled_by_an_answer_at_rest_after_its_start(
    story: tuple[Exchange, ...], by_at: float, expected: bool
) -> None:
    observed = timeline(*story)

    assert observed.settled(observed.beginnings[0], by_at) is expected


def test_build_runs_from_its_start_to_a_read_that_still_shows_it() -> None:
    run = timeline(start(2.0), read(4.0)).running(2.5, 4.0)

    assert run
    assert (run.start.seq, run.last_read.seq, [s.seq for s in run.starts]) == (20, 40, [20])
    assert run.content.marker == "marker-hello"


@cases(
    "story since_at expected",
    {
        "before the start was answered": ((start(2.0), read(4.0)), 2.4, False),
        "no read afterwards": ((start(2.0), read(3.9)), 3.5, False),
        "a start without answer": ((start(2.0, 0), read(4.0)), 3.5, False),
        "another start without answer": ((start(2.0), start(3.5, 0), read(4.0)), 3.5, False),
        "a cancel before": ((start(2.0), cancel(2.2), read(4.0)), 3.5, False),
        "a cancel beside the read": ((start(2.0), cancel(4.2), read(4.0)), 3.5, False),
        "not acknowledged": ((start(2.0, state="not_built"), read(4.0)), 3.5, False),
        "over before, and begun again": ((start(1.1), cancel(1.6), read(2.1, "not_built"), start(3.0), read(4.0)), 3.5,
            True),
        "a start and a cancel after the read": ((start(2.0), read(4.0), start(4.5), cancel(4.5)), 3.5, True),
    },
)  # fmt: skip
def test_build_surely_runs_only_where_nothing_else_may_have_happened(
    story: tuple[Exchange, ...], since_at: float, expected: bool
) -> None:
    assert (timeline(*story).running(since_at, 4.0) is not None) is expected


@cases(
    "story expected",
    {
        "a publish with a build": ((publish(1, done_at=1.5, auto_build="building", **AUTO), read(4.0)), True),
        "a start sent with the answer": ((publish(1, done_at=2.0), start(2.0), read(4.0)), True),
        "a start sent before the answer": ((publish(1, done_at=2.1), start(2.0), read(4.0)), False),
    },
)
def test_build_is_of_the_content_that_was_there(story: tuple[Exchange, ...], expected: bool) -> None:
    assert (Timeline(REF, history(*story)).running(2.5, 4.0) is not None) is expected


@cases(
    "observed since until expected",
    {
        "before any start": (lambda: timeline(start(4.0)), 2.0, 4.0, True),
        "when a start is sent": (lambda: timeline(start(4.0)), 2.0, 4.1, False),
        "after a read at rest": (lambda: timeline(start(2.0), REST), 3.5, 9.0, True),
        "a given version, after a read": (lambda: Timeline(REF, history(REST, given=given())), 3.5, 4.0, True),
        "a given version, before": (lambda: Timeline(REF, history(REST, given=given())), 3.4, 4.0, False),
    },
)
def test_version_is_idle_before_a_start_and_after_a_read_at_rest(
    observed: Callable[[], Timeline], since: float, until: float, expected: bool
) -> None:
    assert observed().idle(since, until) is expected


END = read(4.0, "ready")


@cases(
    "story since after expected",
    {
        "the first read at rest": ((start(2.0), read(3.0), END, read(5.0, "ready")), 2.5, 4.0, END),
        "no later read": ((start(2.0), read(3.0), END), 2.5, 4.1, None),
        "a start beside it": ((start(2.0), start(4.4), END), 2.5, 4.0, None),
        "a start after it": ((start(2.0), start(4.5), END), 2.5, 4.0, END),
        "since before the start was answered": ((start(2.0), END), 2.4, 4.0, None),
    },
)
def test_end_is_a_read_at_rest_after_which_nothing_began(
    story: tuple[Exchange, ...], since: float, after: float, expected: Exchange | None
) -> None:
    assert timeline(*story).end(since, after) == expected


@cases(
    "odd",
    {
        "a fifth status": read(3, json=build("cancelled")),
        "no text": read(3, json={"status": ["ready"]}),
        "HEAD": read(3, "ready", method="HEAD"),
        "another operation": exchange("getTemplate", seq=3, json=build("ready")),
        "another account": read(3, "ready", credential="second"),
    },
)
def test_only_the_owners_reads_of_a_known_status_count(odd: Exchange) -> None:
    assert timeline(odd).reads == ()
