"""
Rules on what is read twice, at their edges: one difference alone, and requests that touch in time.
"""

from typing import Any

import pytest

from tests.rules.exchanges import REF, broken, build, exchange, history, publish, story_verdicts
from touchstone.exchange import Exchange
from touchstone.rules.agreement import STORY_RULES

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
    """
    Status, build time and error belong to the result, each by itself.
    """
    story = after_build(read(5, 5.0), read(6, 5.005, **body))

    assert broken(story_verdicts(STORY_RULES, *story)) == {CONCURRENT}


def test_finding_about_two_reads_shows_both() -> None:
    """
    What differs is shown by two exchanges, the earlier one first.
    """
    overlapping = history(*after_build(read(5, 5.0), read(6, 5.005, build_time_ms=1)))
    later = history(*after_build(read(5), read(6, build_time_ms=1)))
    shown = {
        (j.claim, j.evidence)
        for known in (overlapping, later)
        for rule in STORY_RULES
        for j in rule(REF, known)
        if j.outcome == "broken"
    }

    assert shown == {(CONCURRENT, (5, 6)), (STABLE, (5, 6))}


def test_read_that_is_sent_when_another_was_answered_comes_after_it() -> None:
    """
    Reads that touch are one after the other: their statuses may differ by themselves, their build times may not.
    """
    story = after_build(read(5, 5.0, 5.5), read(6, 5.5, build_time_ms=1))

    assert broken(story_verdicts(STORY_RULES, *story)) == {STABLE}


@pytest.mark.parametrize("second", [2.5, 2.505])
def test_starts_one_after_the_other_share_no_build(second: float) -> None:
    """
    A build time that changes after starts that did not overlap is nobody's fault: they may have begun two builds.
    """
    starts = [start(2, 2.0, 2.5), start(3, second, 2.6)]
    story = [publish(1), *starts, read(4), read(5, build_time_ms=1)]

    assert broken(story_verdicts(STORY_RULES, *story)) == set()


def test_start_that_is_sent_first_may_be_recorded_last() -> None:
    """
    Starts overlap whichever of them got its number first.
    """
    starts = [start(2, 2.1, 2.2), start(3, 2.0, 2.15)]
    story = [publish(1), *starts, read(4), read(5, build_time_ms=1)]

    assert broken(story_verdicts(STORY_RULES, *story)) == {SHARED}
