"""Rules on what is read twice: equal results pass, and different ones of one finished build are found."""

import json
from typing import Any

import pytest

from tests.rules.exchanges import (
    DIGEST,
    OTHER_REF,
    REF,
    broken,
    build,
    exchange,
    history,
    publish,
    story_rules,
    story_verdicts,
)
from touchstone.facts.exchange import Exchange
from touchstone.rules.agreement import concurrent_reads

CONCURRENT, STABLE = "status.concurrent-reads-agree", "status.build-time-is-stable"
SHARED = "start.concurrent-share-one-build"
READY = "status.ready-stays-ready"
BROKEN = {(READY, "broken")}


def found(*exchanges: Exchange, **more: Any) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("agreement"), *exchanges, **more)


def read(seq: int, status: str = "ready", at: float | None = None, ref: str = REF, **more: Any) -> Exchange:
    return exchange("getBuild", 200, seq=seq, ref=ref, sent_at=at, json=build(status, **more))


def start(seq: int, status: str = "building", at: float | None = None) -> Exchange:
    reused = {"reused": True} if status == "ready" else {}
    return exchange("startBuild", 202, seq=seq, sent_at=at, json=build(status, **reused))


def together(*reads: Exchange) -> list[Exchange]:
    """A version that was built and read ready, and then *reads*."""
    return [publish(1), start(2), read(3), *reads]


def test_simultaneous_reads_of_a_finished_version_agree() -> None:
    """Overlapping reads with one result uphold the claim."""
    assert (CONCURRENT, "held") in found(*together(read(5, at=5.0), read(6, at=5.005)))


@pytest.mark.parametrize("other", [{"status": "not_built"}, {"build_time_ms": 1}, {"status": "failed"}])
def test_simultaneous_reads_that_differ_are_found(other: dict[str, Any]) -> None:
    """Another status or another build time in an overlapping read breaks the claim."""
    assert broken(found(*together(read(5, at=5.0), read(6, at=5.005, **other)))) == {CONCURRENT}


def test_reads_that_differ_are_shown_as_json() -> None:
    """As the wire has them, and not as Python would write them."""
    seen = history(*together(read(5, at=5.0), read(6, at=5.005, status="failed")))
    (told,) = [judgement.actual for judgement in concurrent_reads(REF, seen) if judgement.outcome == "broken"]
    assert [json.loads(one)["status"] for one in told.split(" and ")] == ["ready", "failed"]


def test_reads_one_after_the_other_are_not_simultaneous() -> None:
    """Reads that do not overlap are told by the life of the build."""
    assert CONCURRENT not in {c for c, _ in found(*together(read(5), read(6, "not_built")))}


def test_simultaneous_reads_of_a_running_build_may_differ() -> None:
    """A build may end between two overlapping reads."""
    story = [publish(1), start(2), read(3, "building"), read(5, "building", 5.0), read(6, "ready", 5.005)]

    assert found(*story) == set()


def test_reads_beside_a_start_may_differ() -> None:
    """A start between overlapping reads explains a difference."""
    story = [
        publish(1),
        start(2),
        read(3, "failed"),
        read(5, "failed", 5.0),
        start(6, at=5.001),
        read(7, "building", 5.005),
    ]

    assert CONCURRENT not in {c for c, _ in found(*story)}


def test_repeated_flag_of_reuse_is_not_compared() -> None:
    """Whether reads repeat the flag is open, so that it may come and go."""
    assert broken(found(*together(read(5, at=5.0, reused=True), read(6, at=5.005, reused=False)))) == set()


def test_build_time_stays() -> None:
    """The same build time in two reads upholds the claim, also after a reuse."""
    assert (STABLE, "held") in found(*together(read(5)))
    assert (STABLE, "held") in found(publish(1), start(2), read(3), start(4, "ready"), read(5))


def test_build_time_that_changes_is_found() -> None:
    """Another build time of the same build breaks the claim."""
    assert broken(found(*together(read(5, build_time_ms=1201)))) == {STABLE}


def test_time_of_a_start_that_says_ready_too_soon_is_not_compared() -> None:
    """A start that is answered ready and does not say that it reuses a golden may have begun a build all the same."""
    early = exchange("startBuild", 202, seq=4, json=build("ready", build_time_ms=120_000))
    reuse = exchange("startBuild", 202, seq=4, json=build("ready", build_time_ms=120_000, reused=True))

    assert broken(found(*together(early, read(5)))) == set()
    assert broken(found(*together(reuse, read(5)))) == {STABLE}


def test_build_time_of_another_build_may_differ() -> None:
    """A start that may have begun another build explains another time."""
    assert found(*together(start(4), read(5, build_time_ms=1201))) == set()


def test_build_time_of_other_content_may_differ() -> None:
    """Replaced content has a build of its own."""
    forced = publish(4, content="new", digest="cd" * 32, note={"force": True})

    assert found(*together(forced, read(5, build_time_ms=1201))) == set()


@pytest.mark.parametrize("value", [None, "1200", True])
def test_build_time_that_is_no_number_is_told_elsewhere(value: Any) -> None:
    """A build time of another type is not compared."""
    assert broken(found(*together(read(5, build_time_ms=value)))) == set()


def simultaneous(*last: Exchange) -> list[Exchange]:
    return [publish(1), start(2, at=2.0), start(3, at=2.005), read(4, at=4.0), *last]


def test_build_time_that_changes_after_simultaneous_starts_shows_two_builds() -> None:
    """Where starts overlapped, a second result that replaces the first comes from a second build."""
    assert broken(found(*simultaneous(read(5, build_time_ms=1201)))) == {SHARED}


def test_build_time_may_change_where_a_start_came_later() -> None:
    """
    Whether a start beside a running build begins another one is open, so that nothing is said of what it leads to.
    """
    later = [publish(1), start(2, at=2.0), start(3, at=2.3), start(4, at=2.305), read(5, at=4.0)]

    assert broken(found(*later, read(6, build_time_ms=1201))) == set()


def test_build_time_that_changes_everywhere_shows_no_second_build() -> None:
    """Where build times of other versions change as well, simultaneous starts have nothing to do with it."""
    elsewhere = [
        publish(6, OTHER_REF, content="other", digest="cd" * 32),
        exchange("getBuild", 200, seq=7, ref=OTHER_REF, json=build("ready", OTHER_REF, build_time_ms=7)),
        exchange("getBuild", 200, seq=8, ref=OTHER_REF, json=build("ready", OTHER_REF, build_time_ms=8)),
    ]

    assert broken(found(*simultaneous(read(5, build_time_ms=1201)), *elsewhere)) == {STABLE}


def test_build_time_that_changes_where_starts_joined_is_no_sign_that_it_changes_anyway() -> None:
    """Another version that was started twice while it built may have had two builds, too."""
    begun = [
        exchange("startBuild", 202, seq=seq, ref=OTHER_REF, json=build("building", OTHER_REF), done_at=seq + 0.01)
        for seq in (7, 8)
    ]
    elsewhere = [
        publish(6, OTHER_REF, content="other", digest="cd" * 32),
        *begun,
        exchange("getBuild", 200, seq=9, ref=OTHER_REF, json=build("ready", OTHER_REF, build_time_ms=7)),
        exchange("getBuild", 200, seq=10, ref=OTHER_REF, json=build("ready", OTHER_REF, build_time_ms=8)),
    ]

    assert broken(found(*simultaneous(read(5, build_time_ms=1201)), *elsewhere)) == {SHARED}


def test_build_time_of_a_reuse_is_the_one_that_reads_show() -> None:
    """An answer that reuses a build tells its build time, not another one."""
    again = exchange("startBuild", 202, seq=5, json=build("ready", reused=True))
    other = exchange("startBuild", 202, seq=5, json=build("ready", reused=True, build_time_ms=1))

    assert (STABLE, "held") in found(*together(again))
    assert broken(found(*together(other))) == {STABLE}


def shared(*exchanges: Exchange, digest: str = DIGEST) -> list[Exchange]:
    """Two versions, by default with one digest, of which the first one is read ready, and what comes then."""
    return [publish(1), publish(2, OTHER_REF, digest=digest, content="other"), start(3), read(4), *exchanges]


@pytest.mark.parametrize(
    ("exchanges", "verdict"),
    [
        ([read(6)], {(READY, "held")}),
        ([exchange("deleteTemplate", ref=OTHER_REF, json={"deleted": True}, seq=5), read(6, "not_built")], BROKEN),
        (
            [exchange("cancelBuild", 202, ref=OTHER_REF, json={"status": "cancelling"}, seq=5), read(6, "failed")],
            BROKEN,
        ),
        ([publish(5, content="new", digest="cd" * 32, note={"force": True}), read(6, "not_built")], set()),
        ([exchange("deleteTemplate", json={"deleted": True}, seq=5), publish(6), read(7, "not_built")], set()),
        ([read(5, "not_built", at=4.005)], set()),
    ],
    ids=["untouched", "other deleted", "other cancelled", "replaced", "published anew", "overlapping"],
)
def test_version_stays_ready_whatever_becomes_of_one_that_shares_its_golden(
    exchanges: list[Exchange], verdict: set[tuple[str, str]]
) -> None:
    """Only its own content being replaced or deleted takes a golden away."""
    assert {told for told in found(*shared(*exchanges)) if told[0] == READY} == verdict


def test_cancel_of_a_neighbour_is_to_blame_for_a_shared_golden_that_is_gone() -> None:
    """Where a build that shares nothing was cancelled in between, the lost golden is a matter of that cancel."""
    neighbour = "default/neighbour@1.0.0"
    told = [
        publish(5, neighbour, digest="ef" * 32, content="third"),
        exchange("startBuild", 202, ref=neighbour, json=build("building", neighbour, "ef" * 32), seq=6),
        exchange("cancelBuild", 202, ref=neighbour, json={"status": "cancelling"}, seq=7),
    ]
    assert READY not in {claim for claim, _ in found(*shared(*told, read(8, "not_built")))}


def test_version_that_shares_nothing_is_left_to_its_life() -> None:
    """Whether it stays ready is told by the walk through its states."""
    told = found(*shared(read(6, "not_built"), digest="cd" * 32))
    assert READY not in {claim for claim, _ in told}


def reused(seq: int, **more: Any) -> Exchange:
    return exchange("startBuild", 202, seq=seq, json=build("ready", reused=True, **more))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (read(6), {(READY, "held"), (STABLE, "held")}),
        (read(6, "not_built"), {(READY, "broken")}),
        (read(6, build_time_ms=1), {(READY, "held"), (STABLE, "broken")}),
    ],
)
def test_start_that_reuses_a_shared_golden_says_that_it_is_ready(
    after: Exchange, expected: set[tuple[str, str]]
) -> None:
    """What is read of the version afterwards is ready, too, with the build time of that golden."""
    story = [publish(1), publish(2, OTHER_REF, content="other"), reused(5), after]

    assert {told for told in found(*story) if told[0] in (READY, STABLE)} == expected


CANCEL = "cancel.in-flight-is-202"


def idle(seq: int, ref: str = REF, status: int = 404) -> Exchange:
    return exchange("cancelBuild", status, ref=ref, seq=seq, json={"status": "idle"})


def building_elsewhere(*exchanges: Exchange, digest: str = DIGEST) -> set[tuple[str, str]]:
    """Another version, by default with the same digest, was started, and what is said of this one's cancel then."""
    begun = exchange("startBuild", 202, ref=OTHER_REF, seq=3, json=build("building", OTHER_REF, digest))
    story = [publish(1), publish(2, OTHER_REF, digest=digest, content="other"), begun, *exchanges]
    return {told for told in found(*story) if told[0] == CANCEL}


def test_cancel_that_finds_nothing_of_a_shared_build_is_found() -> None:
    """A version that reads building before and after a cancel has something to cancel."""
    assert building_elsewhere(read(4, "building"), idle(5), read(6, "building")) == {(CANCEL, "broken")}


@pytest.mark.parametrize(
    ("exchanges", "more"),
    [
        ([read(4, "building"), idle(5), read(6, "ready")], {}),
        ([read(4, "not_built"), idle(5), read(6, "building")], {}),
        ([idle(5), read(6, "building")], {}),
        ([idle(4, OTHER_REF, 202), read(5, "building"), idle(6), read(7, "building")], {}),
        ([idle(4, REF, 202), read(5, "building"), idle(6), read(7, "building")], {}),
        ([read(4, "building"), idle(5), read(6, "building")], {"digest": "cd" * 32}),
    ],
    ids=["over", "begun since", "never seen", "cancelled already", "cancelled here", "a build of its own"],
)
def test_cancel_that_may_find_nothing_is_left_alone(exchanges: list[Exchange], more: dict[str, Any]) -> None:
    """A build that may be over, that was cancelled before, or that is the version's own is told elsewhere."""
    assert building_elsewhere(*exchanges, **more) == set()
