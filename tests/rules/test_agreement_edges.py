"""Rules on what is read twice, at their edges: one difference alone, and requests that touch in time."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, broken, build, exchange, history, publish, story_rules, story_verdicts
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange

CONCURRENT, STABLE = "status.concurrent-reads-agree", "status.build-time-is-stable"
SHARED = "start.concurrent-share-one-build"


def read(seq: int, at: float | None = None, done_at: float | None = None, **body: Any) -> Exchange:
    told = build("ready") | body
    return exchange("getBuild", seq=seq, sent_at=at, done_at=done_at, json=told)


def start(seq: int, at: float, done_at: float) -> Exchange:
    return exchange("startBuild", 202, seq=seq, sent_at=at, done_at=done_at, json=build())


def after_build(*reads: Exchange) -> list[Exchange]:
    return [publish(1), start(2, 2.0, 2.01), read(3), *reads]


@pytest.mark.parametrize("body", [{"status": "failed"}, {"error": "step 1 ended with 1"}, {"build_time_ms": 1}])
def test_one_difference_between_simultaneous_reads_is_enough(body: dict[str, Any]) -> None:
    """Status, build time and error belong to the result, each by itself."""
    story = after_build(read(5, 5.0), read(6, 5.005, **body))

    assert broken(story_verdicts(story_rules("agreement"), *story)) == {CONCURRENT}


def test_finding_about_two_reads_shows_both() -> None:
    """What differs is shown by two exchanges, the earlier one first."""
    overlapping = history(*after_build(read(5, 5.0), read(6, 5.005, build_time_ms=1)))
    later = history(*after_build(read(5), read(6, build_time_ms=1)))
    shown = {
        (j.claim, j.evidence)
        for known in (overlapping, later)
        for rule in story_rules("agreement")
        for j in rule(REF, known)
        if j.outcome == "broken"
    }

    assert shown == {(CONCURRENT, (5, 6)), (STABLE, (5, 6))}


def test_read_that_is_sent_when_another_was_answered_comes_after_it() -> None:
    """Reads that touch are one after the other: their statuses may differ by themselves, their build times may not."""
    story = after_build(read(5, 5.0, 5.5), read(6, 5.5, build_time_ms=1))

    assert broken(story_verdicts(story_rules("agreement"), *story)) == {STABLE}


@pytest.mark.parametrize("second", [2.5, 2.505])
def test_starts_one_after_the_other_share_no_build(second: float) -> None:
    """A build time that changes after starts that did not overlap is nobody's fault: they may have begun two builds."""
    starts = [start(2, 2.0, 2.5), start(3, second, 2.6)]
    story = [publish(1), *starts, read(4), read(5, build_time_ms=1)]

    assert broken(story_verdicts(story_rules("agreement"), *story)) == set()


def test_start_that_is_sent_first_may_be_recorded_last() -> None:
    """Starts overlap whichever of them got its number first."""
    starts = [start(2, 2.1, 2.2), start(3, 2.0, 2.15)]
    story = [publish(1), *starts, read(4), read(5, build_time_ms=1)]

    assert broken(story_verdicts(story_rules("agreement"), *story)) == {SHARED}


@pytest.mark.parametrize(
    "starts",
    [
        [start(2, 2.0, 2.5), start(3, 2.5, 2.7), start(4, 2.6, 2.8)],
        [start(2, 2.0, 2.5), start(3, 2.4, 2.7), start(4, 2.7, 2.8)],
    ],
)
def test_start_that_only_touches_another_joined_it_later(starts: list[Exchange]) -> None:
    """Whether such a start begins another build is open, so that nothing is said of what it leads to."""
    assert story_findings(story_rules("agreement"), publish(1), *starts, read(5), read(6, build_time_ms=1)) == []


def test_build_after_one_that_was_joined_is_judged() -> None:
    """What is open of the first build says nothing of the second one."""
    joined = [publish(1), start(2, 2.0, 2.1), start(3, 2.5, 2.6), read(4), read(5)]
    story = [*joined, start(6, 6.0, 6.1), read(7), read(8)]

    assert (STABLE, (7, 8)) in shown_by(story_rules("agreement"), *story)


# --- versions that share a golden -------------------------------------------------------------------------------------

READY, CANCEL = "status.ready-stays-ready", "cancel.in-flight-is-202"
NEIGHBOUR = "default/neighbour@1.0.0"
SHARING = (publish(1), publish(2, OTHER_REF, content="other"))
NEIGHBOURS = (
    publish(3, NEIGHBOUR, digest="ef" * 32, content="third"),
    exchange("startBuild", 202, ref=NEIGHBOUR, json=build("building", NEIGHBOUR, "ef" * 32), seq=4),
)


def cancelled(seq: int, ref: str = NEIGHBOUR) -> Exchange:
    return exchange("cancelBuild", 202, ref=ref, json={"status": "cancelling"}, seq=seq)


def idle(seq: int, status: int = 404) -> Exchange:
    return exchange("cancelBuild", status, seq=seq, json={"status": "idle"})


REUSED = exchange("startBuild", 202, seq=6, json=build("ready", reused=True))


@pytest.mark.parametrize(
    ("story", "pairs"),
    [
        ([read(5), REUSED, read(7)], [(6, 7)]),
        ([read(5, status="not_built"), read(6), read(7)], [(6, 7)]),
        ([*NEIGHBOURS, read(5), cancelled(6), read(7, status="not_built"), read(8), read(9)], [(8, 9)]),
    ],
    ids=["a reuse", "not ready before", "lost beside a cancel"],
)
def test_each_pair_of_a_shared_golden_is_judged_by_itself(story: list[Exchange], pairs: list[tuple[int, int]]) -> None:
    """A pair that tells nothing is passed over, and the next one is judged."""
    shown = shown_by(story_rules("agreement"), *SHARING, *story)

    assert [evidence for claim, evidence in shown if claim == READY] == pairs


@pytest.mark.parametrize(
    ("story", "finding"),
    [
        ([read(5), read(6, status="not_built")], (READY, (5, 6))),
        ([read(5), read(6, status="not_built", build_time_ms=5)], (READY, (5, 6))),
        ([read(5), read(6, build_time_ms=5)], (STABLE, (5, 6))),
        ([*NEIGHBOURS, cancelled(5), read(6), read(7, status="not_built")], (READY, (6, 7))),
        ([*NEIGHBOURS, read(6), read(7, status="not_built"), cancelled(8)], (READY, (6, 7))),
    ],
    ids=["lost", "lost with a time", "another time", "after a cancel", "before a cancel"],
)
def test_finding_about_a_shared_golden_shows_both_answers(
    story: list[Exchange], finding: tuple[str, tuple[int, ...]]
) -> None:
    """Whatever happened to a neighbour before or after."""
    assert [found[:2] for found in story_findings(story_rules("agreement"), *SHARING, *story)] == [finding]


def test_build_time_that_a_shared_golden_hides_is_not_compared() -> None:
    """A read without one tells nothing of it."""
    assert story_findings(story_rules("agreement"), *SHARING, read(5), read(6, build_time_ms=None)) == []


def building(seq: int) -> Exchange:
    return exchange(seq=seq, json=build())


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([building(5), idle(6), building(7)], [(CANCEL, (5, 7, 6))]),
        ([*NEIGHBOURS, cancelled(5), building(6), idle(7), building(8)], [(CANCEL, (6, 8, 7))]),
        ([building(5), idle(6), building(7), cancelled(8, OTHER_REF)], [(CANCEL, (5, 7, 6))]),
        ([building(5), idle(6)], []),
        ([building(5), building(6), building(7)], []),
        ([building(5), idle(6, 409), building(7)], []),
    ],
    ids=["idle", "after a neighbour's", "before an accepted one", "never read again", "no cancel", "refused"],
)
def test_cancel_of_a_shared_build_is_shown_between_two_reads(
    story: list[Exchange], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    """Where it found nothing, and no cancel of the shared build came before it."""
    assert [found[:2] for found in story_findings(story_rules("agreement"), *SHARING, *story)] == expected
