"""Starts that are answered only once another version's build is over."""

from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import (
    OTHER_REF,
    REF,
    UNKNOWN_REF,
    broken,
    build,
    exchange,
    history,
    publish,
    story_rules,
    story_verdicts,
)
from tests.rules.sentences import story_findings
from touchstone.facts.exchange import Exchange, Response

CLAIM = "start.does-not-wait"
THIRD_REF, LAST_REF = REF.replace("hello", "third"), REF.replace("hello", "last")


def published(seq: int, ref: str) -> Exchange:
    digest = f"{seq:02x}" * 32
    return publish(seq, ref, content=ref, digest=digest, sent_at=0.01 * seq, note={"sleep_s": 1.0})


def start(seq: int, ref: str, at: float, took_s: float = 0.01, status: str = "building") -> Exchange:
    answer = build(status, ref=ref)
    return exchange("startBuild", 202, seq=seq, ref=ref, json=answer, sent_at=at, done_at=at + took_s)


def published_all() -> list[Exchange]:
    return [published(number, each) for number, each in enumerate((REF, OTHER_REF, THIRD_REF, LAST_REF), 1)]


def verdicts(*exchanges: Exchange, ref: str = OTHER_REF) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("limits", "room", "waiting"), *published_all(), *exchanges, ref=ref)


def found(*exchanges: Exchange, ref: str = OTHER_REF) -> set[tuple[str, str]]:
    """What is wrong; that a start beside a build was answered in time is told of correct servers."""
    return verdicts(*exchanges, ref=ref) - {(CLAIM, "held")}


def taking_turns(took_s: float = 0.8) -> list[Exchange]:
    """Four versions that sleep for 1 s: each second start is sent 0.2 s after the one before."""
    first, second = start(11, REF, 1.0), start(12, OTHER_REF, 1.2, took_s)
    third, last = start(13, THIRD_REF, 10.0), start(14, LAST_REF, 10.2, took_s)
    return [first, second, third, last]


@pytest.mark.parametrize("ref", [OTHER_REF, LAST_REF])
def test_starts_that_wait_for_other_builds_are_found(ref: str) -> None:
    """Twice a start was answered when the other build can have been over, and alone they are quick."""
    assert broken(found(*taking_turns(), ref=ref)) == {CLAIM}


def test_start_that_waited_for_nothing_is_not_accused() -> None:
    """The first of two starts is nobody's proof."""
    assert found(*taking_turns(), ref=REF) == set()


def test_start_answered_before_the_other_build_can_be_over_does_not_wait_for_it() -> None:
    """A slow answer is no wait for a build that still runs."""
    assert found(*taking_turns(took_s=0.6)) == set()


def test_one_slow_start_beside_a_build_may_be_chance() -> None:
    """One such answer is not told."""
    assert found(*taking_turns()[:2]) == set()


def test_slow_starts_are_chance_where_as_many_are_quick() -> None:
    """Of four starts beside another build two are quick, so that no build is waited for."""
    quick = [start(15, REF, 20.0), start(16, OTHER_REF, 20.2), start(17, REF, 30.0), start(18, LAST_REF, 30.2)]
    assert found(*taking_turns(), *quick) == set()


def test_slow_starts_tell_nothing_where_every_start_is_slow() -> None:
    """On a slow way to the server a start takes as long with nothing beside it."""
    slow = [start(15, REF, 20.0, 0.5), start(16, REF, 30.0, 0.5), start(17, REF, 40.0, 0.5)]
    assert found(*taking_turns(), *slow) == set()


def test_start_beside_a_cancelled_build_tells_nothing() -> None:
    """A build that is cancelled ends whenever it likes."""
    cancel = exchange("cancelBuild", 202, seq=15, ref=REF, json=build("building"), sent_at=1.3)
    assert found(*taking_turns(), cancel) == set()


def test_starts_sent_together_do_not_wait_for_each_other() -> None:
    """Only a build that was acknowledged before is certain to run."""
    together = [start(11, REF, 1.0, 0.3), start(12, OTHER_REF, 1.2, 0.8), *taking_turns()[2:]]
    assert found(*together) == set()


def test_start_that_begins_no_build_keeps_nobody() -> None:
    """What was reused is over when it is answered."""
    reused: list[Any] = [start(11, REF, 1.0, status="ready"), start(13, THIRD_REF, 10.0, status="ready")]
    assert found(*reused, *taking_turns()[1::2]) == set()


def joining(took_s: float = 0.8) -> list[Exchange]:
    """Two versions whose builds are joined 0.2 s after they began, one of them twice."""
    first, again = start(11, REF, 1.0), start(12, REF, 1.2, took_s)
    second, joined = start(13, OTHER_REF, 10.0), start(14, OTHER_REF, 10.2, took_s, status="ready")
    return [first, again, second, joined]


@pytest.mark.parametrize("ref", [REF, OTHER_REF])
def test_starts_that_wait_for_the_build_that_they_join_are_found(ref: str) -> None:
    """A start that joins a build is answered while that one runs, whatever it says in the end."""
    assert broken(found(*joining(), ref=ref)) == {CLAIM}


def test_start_that_joins_and_is_answered_at_once_does_not_wait() -> None:
    """The build goes on for longer than the answer takes."""
    assert found(*joining(took_s=0.3), ref=REF) == set()


def test_build_of_what_was_replaced_meanwhile_keeps_nobody() -> None:
    """What becomes of a build when its content is replaced is nobody's promise."""
    forced = publish(15, REF, content="new", digest="ef" * 32, sent_at=1.3, note={"force": True})
    assert found(*joining(), forced, ref=REF) == set()


def test_finding_shows_the_start_that_waited_and_the_one_that_it_waited_for() -> None:
    """Of the version in question, and with the time that the answer took."""
    first, second, *others = taking_turns()
    brief = replace(second, response=Response(202, (), b"{}"))
    actual = f"202 {{}} after 0.80 s, when the build of {REF} was over"
    findings = story_findings(
        story_rules("limits", "room", "waiting"), *published_all(), first, brief, *others, ref=OTHER_REF
    )

    assert findings == [(CLAIM, (11, 12), "an answer while builds run", actual)]


@pytest.mark.parametrize(("sent_at", "done_at"), [(0.5, 0.51), (0.99, 1.0), (2.0, 2.01), (5.0, 5.01)])
def test_cancel_before_the_build_or_after_the_answer_explains_nothing(sent_at: float, done_at: float) -> None:
    """Neither a build before, nor what was cancelled once the start was answered."""
    cancel = exchange("cancelBuild", 202, seq=15, ref=REF, json={}, sent_at=sent_at, done_at=done_at)
    assert broken(found(*taking_turns(), cancel)) == {CLAIM}


def test_build_that_is_replaced_once_the_start_is_answered_was_waited_for() -> None:
    """Until then it ran."""
    forced = publish(15, REF, content="new", digest="ef" * 32, sent_at=2.0, note={"force": True})
    assert broken(found(*taking_turns(), forced)) == {CLAIM}


def test_start_of_what_nobody_published_is_passed_over() -> None:
    """Nobody knows how long its build takes, and another one is waited for all the same."""
    assert broken(found(start(10, UNKNOWN_REF, 0.9), *taking_turns())) == {CLAIM}


@pytest.mark.parametrize(("alone_s", "claims"), [(0.25, {CLAIM}), (0.2501, set())])
def test_start_that_waits_takes_three_times_as_long_as_others(alone_s: float, claims: set[str]) -> None:
    """Sent at the moment when the other start is answered, and answered after three quarters of a second."""
    first, second = start(11, REF, 1.0, alone_s), start(12, OTHER_REF, 1.0 + alone_s, 0.75)
    third, last = start(13, THIRD_REF, 16.0, alone_s), start(14, LAST_REF, 16.0 + alone_s, 0.75)
    assert broken(found(first, second, third, last)) == claims


@pytest.mark.parametrize(("wait_s", "claims"), [(0.201, {CLAIM}), (0.199, set())])
def test_wait_of_two_tenths_of_a_second_tells(wait_s: float, claims: set[str]) -> None:
    """A shorter one is no evidence: the build was almost over when the start was sent."""
    over_at = 1.0 + 0.9
    waits = exchange("startBuild", 202, seq=12, ref=OTHER_REF, json={}, sent_at=over_at - wait_s, done_at=over_at)
    assert broken(found(start(11, REF, 1.0), waits, *taking_turns()[2:])) == claims


def behind_logs(took_s: float = 0.8, **more: Any) -> list[Exchange]:
    """Two starts sent while a log is followed, which ends 0.8 s later."""

    def log(seq: int, at: float) -> Exchange:
        return exchange("streamBuildEvents", seq=seq, ref=THIRD_REF, sent_at=at, done_at=at + 1.0, frames=[], **more)

    starts = [start(12, REF, 20.2, took_s), start(14, LAST_REF, 30.2, took_s, status="ready")]
    return [log(11, 20.0), starts[0], log(13, 30.0), starts[1]]


@pytest.mark.parametrize("ref", [REF, LAST_REF])
def test_starts_that_wait_for_open_logs_are_found(ref: str) -> None:
    """Twice a start was answered when a log had ended that its account followed."""
    assert broken(found(*behind_logs(), ref=ref)) == {CLAIM}


def test_start_answered_while_a_log_is_open_does_not_wait_for_it() -> None:
    """The log goes on for longer than the answer takes."""
    assert found(*behind_logs(took_s=0.7), ref=REF) == set()


def test_log_of_another_account_keeps_nobody() -> None:
    """What another account follows is its own affair, and slow answers beside it are chance."""
    assert found(*behind_logs(credential="second"), ref=REF) == set()


def test_start_waits_for_the_log_that_closes_last() -> None:
    """Of two logs that are open the one that goes on for longer is what a start can have waited for."""
    longer = [
        exchange("streamBuildEvents", seq=seq, ref=THIRD_REF, sent_at=at, done_at=at + 1.2, frames=[])
        for seq, at in ((21, 20.0), (23, 30.0))
    ]
    assert found(*behind_logs(took_s=0.9), *longer, ref=REF) == set()
    assert broken(found(*behind_logs(took_s=1.0), *longer, ref=REF)) == {CLAIM}


def test_log_that_closes_soon_is_no_evidence() -> None:
    """A log that ended a tenth of a second after a start was sent kept it no longer than a slow network does."""
    closing = [
        exchange("streamBuildEvents", seq=seq, ref=THIRD_REF, sent_at=at - 0.9, done_at=at + 0.1, frames=[])
        for seq, at in ((11, 20.2), (13, 30.2))
    ]
    starts = [start(12, REF, 20.2, 0.8), start(14, LAST_REF, 30.2, 0.8)]
    assert found(*closing, *starts, ref=REF) == set()


@pytest.mark.parametrize(("story", "what"), [(behind_logs(), "the log of"), (joining(), "the build of")])
def test_finding_says_what_was_over(story: list[Exchange], what: str) -> None:
    """What a start seems to have waited for is named, with its version."""
    versions = [published(number, each) for number, each in enumerate((REF, OTHER_REF, THIRD_REF, LAST_REF), 1)]
    known = history(*versions, *story)
    told = [judgement.actual for rule in story_rules("limits", "room", "waiting") for judgement in rule(REF, known)]

    assert told
    assert all(f"when {what} default/touchstone-t1-" in actual for actual in told)


@pytest.mark.parametrize(("took_s", "outcomes"), [(0.01, {(CLAIM, "held")}), (0.65, {(CLAIM, "held")}), (0.75, set())])
def test_start_answered_while_another_build_surely_runs_upholds(took_s: float, outcomes: set[tuple[str, str]]) -> None:
    """Its answer came before the other build can have been over; one that came later upholds nothing."""
    assert verdicts(start(11, REF, 1.0), start(12, OTHER_REF, 1.2, took_s)) == outcomes
    assert verdicts(start(11, REF, 1.0), start(12, OTHER_REF, 1.2, took_s), ref=REF) == set()
