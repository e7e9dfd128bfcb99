"""
Rules on when build logs are open: legal servers of every kind pass, and logs that end too soon or never are found.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, broken, build, exchange, history, publish, story_verdicts
from tests.rules.scenes import END_AT, OPEN_AT, followed, line, published, read, ready_log, started, stream
from touchstone.facts.exchange import Exchange
from touchstone.rules import logs
from touchstone.rules.history import Bounds, Content
from touchstone.rules.logs import closes_unread, goes_on_when_joined, is_there_when_it_says_so

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
HARMLESS = "start.while-building-is-harmless"
BOUNDS = Bounds(build_timeout_s=600.0, cancel_timeout_s=10.0)


def found(*exchanges: Exchange, **more: Any) -> set[tuple[str, str]]:
    return story_verdicts(STORY_RULES, *exchanges, **({"bounds": BOUNDS} | more))


def cancelled(seq: int = 7, at: float = 12.0, status: int = 202) -> Exchange:
    return exchange("cancelBuild", status, seq=seq, json={"status": "cancelling"}, sent_at=at)


def at_rest(**more: Any) -> list[Exchange]:
    """A version that nobody has started, and a follower of it."""
    return [published(), read("not_built", 5.0, 2), stream([], seq=3, **more)]


def test_log_open_until_the_end_upholds_all() -> None:
    """
    A log that is open while reads show the build running, and closed by the server at its end, upholds the claims.
    """
    assert found(*followed()) == {(ANSWER, "held"), (OPEN, "held"), (CLOSE, "held")}


def test_refusal_while_the_build_runs_is_found() -> None:
    """A running build has a log, so that 404 breaks the claim."""
    refused = exchange("streamBuildEvents", 404, seq=5, json={"error": "none"}, sent_at=OPEN_AT)

    assert found(*followed(streams=[refused])) == {(ANSWER, "broken")}


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
def test_answer_with_a_claim_of_its_own_is_left_alone(status: int) -> None:
    """No answer, a refused key, a limit and a failing server are told by other rules."""
    met = exchange("streamBuildEvents", status, seq=5, json={"error": "none"}, sent_at=OPEN_AT)

    assert found(*followed(streams=[met])) == set()


@pytest.mark.parametrize("credential", ["none", "second", "restricted"])
def test_request_of_another_key_is_left_alone(credential: str) -> None:
    """Only the owner of a version is promised its log."""
    refused = exchange("streamBuildEvents", 404, seq=5, json={"error": "none"}, credential=credential, sent_at=OPEN_AT)

    assert found(*followed(streams=[refused])) == set()


def test_log_that_ends_before_its_build_is_found() -> None:
    """A read that still shows the build running after the server ended the log proves that it ended too soon."""
    story = followed([line(10.1, "boot")], "ready", read("building", 13.0, 7), closed_at=12.5)

    assert found(*story) == {(ANSWER, "held"), (OPEN, "broken")}


def test_log_that_ends_before_the_steps_can_have_run_is_found() -> None:
    """Without a later read the length of the build steps proves the same."""
    story = followed([line(10.1, "boot")], closed_at=OPEN_AT + 0.6)

    assert found(*story) == {(ANSWER, "held"), (OPEN, "broken")}


def test_build_that_ends_too_soon_is_not_the_fault_of_its_log() -> None:
    """Where a read shows that the build itself was over before its steps can have run, its log rightly ended."""
    story = followed([line(10.1, "boot")], "ready", read("ready", 11.65, 7), closed_at=OPEN_AT + 0.6)

    assert OPEN not in broken(found(*story))


def test_log_that_ends_a_little_before_the_status_changes_is_fine() -> None:
    """A log that has told its end may close a moment before the status is ready."""
    story = followed(ready_log(), "ready", read("building", 13.99, 7), closed_at=13.95)

    assert broken(found(*story)) == set()


def test_end_told_long_before_the_build_is_over_is_found() -> None:
    """A log that tells an end and closes while the build goes on for seconds ended too soon."""
    story = followed(ready_log(), "ready", read("building", 13.9, 7), closed_at=12.5)

    assert broken(found(*story)) == {OPEN}


def test_another_start_in_between_proves_nothing() -> None:
    """A build that runs after the log ended may be another one if somebody started in between."""
    again = started(7, 12.7)
    story = followed([line(12.4, level="error")], "ready", again, read("building", 13.9, 8), closed_at=12.5)

    assert broken(found(*story)) == set()


@pytest.mark.parametrize("status", [202, 500, 0])
def test_log_of_a_build_being_cancelled_may_close_at_once(status: int) -> None:
    """While a cancel settles, or may have been accepted, the status says building and the log may be over."""
    story = followed(
        [line(12.1, "cancel")], "not_built", cancelled(7, 12.0, status), read("building", 13.5, 8), closed_at=12.2
    )

    assert broken(found(*story)) == set()


def test_cancel_that_settled_long_ago_excuses_nothing() -> None:
    """A build that was cancelled and seen settled before the present one began does not excuse its log."""
    earlier = [
        published(),
        exchange("startBuild", 202, seq=2, json={"status": "building"}, sent_at=2.0),
        exchange("cancelBuild", 202, seq=3, json={"status": "cancelling"}, sent_at=3.0),
        read("not_built", 5.0, 4),
        started(5),
        stream([line(10.1, "boot")], seq=6, closed_at=12.5),
        read("building", 11.5, 7),
        read("building", 13.0, 8),
    ]

    assert broken(found(*earlier)) == {OPEN}


def test_log_that_stays_open_is_found() -> None:
    """A log that the follower had to leave long after a read said ready is not closed at the end."""
    story = followed(ready_log(), closed_at=END_AT + 10.0, closed="client")

    assert found(*story) == {(ANSWER, "held"), (OPEN, "held"), (CLOSE, "broken")}


def test_log_that_the_server_closes_much_too_late_is_found() -> None:
    """Closing long after the end is no closing at the end."""
    assert broken(found(*followed(ready_log(), closed_at=END_AT + 11.0))) == {CLOSE}


def test_follower_that_leaves_early_proves_nothing() -> None:
    """A log that nobody waited for is neither closed nor left open."""
    story = followed(ready_log(), closed_at=END_AT + 1.0, closed="client")

    assert CLOSE not in {claim for claim, _ in found(*story)}


def test_broken_connection_proves_nothing() -> None:
    """A log whose connection broke was not ended by the server's will."""
    story = followed([], "ready", read("building", 13.0, 7), closed_at=12.5, error="RemoteProtocolError: cut")

    assert found(*story) == {(ANSWER, "held")}


@pytest.mark.parametrize("status", [200, 404])
def test_answer_for_a_version_at_rest_may_be_empty_or_404(status: int) -> None:
    """A version that is not building has an empty log, or none."""
    story = [*at_rest()[:2], exchange("streamBuildEvents", status, seq=3, json={}, sent_at=6.0)]

    assert found(*story) == {(REST, "held")}


def test_log_of_a_version_at_rest_that_stays_open_is_found() -> None:
    """Following a version that is not building must end."""
    assert found(*at_rest(opened_at=6.0, closed_at=16.0, closed="client")) == {(REST, "broken")}


def test_log_that_is_open_when_a_build_begins_is_no_log_at_rest() -> None:
    """A follower that waits until somebody starts a build is not judged as one of a version at rest."""
    assert found(*at_rest(opened_at=6.0, closed_at=30.0, closed="client"), started(4, 8.0)) == set()


def test_start_of_unknown_outcome_leaves_nothing_certain() -> None:
    """A start that was never answered may begin a build at any time, so that nothing is known to be at rest."""
    lost = exchange("startBuild", 0, seq=3, sent_at=4.0)
    story = [published(), lost, read("not_built", 5.0, 4), stream([], 5, 6.0, 16.5, closed="client")]

    assert found(*story) == set()


def test_reuse_begins_no_build() -> None:
    """A start that is answered ready begins nothing, so that the version is known to be at rest."""
    reuse = exchange("startBuild", 202, seq=3, json={"status": "ready", "reused": True}, sent_at=4.0)
    story = [published(), reuse, stream([], 5, 6.0, 16.5, closed="client")]

    assert found(*story) == {(REST, "broken")}


def test_given_version_is_at_rest_once_a_read_says_so() -> None:
    """A template that the user named may be building when the run begins; a read shows whether it is."""
    given = {"default/given@1.0.0": _given("default/given@1.0.0")}
    ref = next(iter(given))
    open_log = exchange("streamBuildEvents", 200, seq=5, ref=ref, sent_at=6.0, done_at=16.5, closed="client")
    seen = exchange("getBuild", 200, seq=2, ref=ref, json={"status": "ready"}, sent_at=5.0)

    assert found(open_log, ref=ref, given=given) == set()
    assert found(seen, open_log, ref=ref, given=given) == {(REST, "broken")}


def test_version_that_shares_its_digest_is_not_judged() -> None:
    """Where another version has the same digest, somebody else's start may have begun the build."""
    story = followed([line(10.1, "boot")], "ready", read("building", 13.0, 7), closed_at=12.5)

    assert found(*story, publish(20, OTHER_REF, content="other")) == set()


def test_version_that_changed_meanwhile_is_not_judged() -> None:
    """What becomes of the build of a replaced version is nobody's promise."""
    replaced = publish(7, content="new", digest="cd" * 32, note={"force": True}, sent_at=12.6)
    story = followed([line(10.1, "boot")], "ready", replaced, read("building", 13.0, 8), closed_at=12.5)

    assert broken(found(*story)) == set()


def _given(ref: str) -> Content:
    return Content(ref, "primary", "given", "ready", 0.0, "", 0, float("-inf"), float("-inf"))


@pytest.mark.parametrize(("seen", "verdict"), [("building", True), ("failed", False)])
def test_build_that_begins_again_is_not_the_one_whose_log_ended(seen: str, verdict: bool) -> None:
    """A log is cut short where its build runs on, and not where the version was at rest in between."""
    failed = [line(10.1, "boot"), line(12.0, "install", "step 1 ended with 1", "error")]
    story = followed(failed, "building", read(seen, 13.0, 7), closed_at=12.2)

    assert ((OPEN, "broken") in found(*story)) is verdict


@pytest.mark.parametrize(("later_s", "verdict"), [(0.1, False), (0.3, True)])
def test_status_may_learn_of_the_end_a_little_later_than_the_log(later_s: float, verdict: bool) -> None:
    """A read sent right after a log ended may be behind it; one that was sent later may not."""
    story = followed(None, "ready", read("building", 12.0 + later_s, 7), closed_at=12.0)

    assert ((OPEN, "broken") in found(*story)) is verdict


# --- logs of builds that a start joined -------------------------------------------------------------------------------

CANCEL_LOG = [line(10.1, "boot", "booted"), line(13.9, "cancel", "build cancelled", "warn")]
JOINED = started(7, 12.0)
BUILDS_ON = read("building", END_AT, 8)
ELSEWHERE = exchange("cancelBuild", 202, seq=7, ref=OTHER_REF, json={"status": "cancelling"}, sent_at=12.0)


def ended(*between: Exchange, log: list[dict[str, Any]] | None = None, later: Exchange = BUILDS_ON) -> list[Exchange]:
    """A build whose log ends on a cancel, what happened while it ran, and the read after that."""
    return [*followed(log or CANCEL_LOG, "ready", *between)[:-1], later]


def test_log_of_a_joined_build_that_ends_on_a_cancel_is_found() -> None:
    """The version builds on though the log has ended: the start that joined has ended one build and begun another."""
    assert broken(found(*ended(JOINED))) == {HARMLESS}


def test_joined_build_whose_log_ends_on_ready_upholds() -> None:
    """The start has done it no harm."""
    assert (HARMLESS, "held") in found(*followed(ready_log(), "ready", JOINED))
    assert HARMLESS not in {claim for claim, _ in found(*followed(ready_log()))}


@pytest.mark.parametrize(
    "story",
    [
        ended(),
        ended(JOINED, cancelled(8, 12.5)),
        ended(JOINED, cancelled(8, 12.5, status=0)),
        ended(JOINED, exchange("cancelBuild", 404, seq=8, json={}, credential="second", sent_at=12.5)),
        ended(JOINED, ELSEWHERE),
        ended(JOINED, publish(8, content="new", sent_at=12.5, note={"force": True})),
        ended(JOINED, log=[line(10.1, "boot", "booted")]),
        ended(JOINED, later=read("ready", END_AT, 9)),
        ended(JOINED, later=read("not_built", END_AT, 9)),
        followed(CANCEL_LOG, "ready", JOINED)[:-1],
        ended(started(20, 30.0)),
    ],
    ids=[
        "nobody joined it",
        "it was cancelled",
        "a cancel got no answer",
        "somebody else's cancel was refused",
        "another one was cancelled",
        "it was replaced",
        "its log breaks off",
        "it is ready, so that the log is wrong",
        "it is gone, which reads tell",
        "nobody looked",
        "it was started again later",
    ],
)
def test_log_whose_end_something_else_explains_blames_no_start(story: list[Exchange]) -> None:
    """Only a build that goes on under a log that says cancelled tells that a start has ended another one."""
    assert HARMLESS not in broken(found(*story))


def test_cancels_at_other_times_explain_nothing() -> None:
    """What was cancelled before the build began, or after its log had ended, has not ended it."""
    earlier = [cancelled(20, 3.0), exchange("cancelBuild", 202, seq=21, ref=OTHER_REF, json={}, sent_at=3.5)]
    later = [cancelled(22, 30.0), exchange("cancelBuild", 202, seq=23, ref=OTHER_REF, json={}, sent_at=30.0)]

    assert broken(found(*ended(JOINED), *earlier)) == {HARMLESS}
    assert broken(found(*ended(JOINED), *later)) == {HARMLESS}


def test_each_follower_of_a_joined_build_is_judged_by_itself() -> None:
    """One log that ends as it should does not hide another one that does not."""
    streams = [stream(ready_log(), seq=4, opened_at=10.9), stream(CANCEL_LOG, seq=5)]
    story = [*followed(None, "ready", JOINED, streams=streams)[:-1], BUILDS_ON]

    assert HARMLESS in broken(found(*story))


def test_finding_on_a_joined_build_says_what_came() -> None:
    """The evidence are the start, the one that joined, the log, and the read that shows a build."""
    (told,) = goes_on_when_joined(REF, history(*ended(JOINED)))

    assert told.expected == "a log that ends with its build"
    assert told.actual == "one that ends on a cancel while the version builds"
    assert told.evidence == (3, 5, 7, 8)


# --- what is there when a log has ended -------------------------------------------------------------------------------

AT_ONCE = "reuse.ready-at-once"
CLOSED_AT = 14.0


def started_after(*between: Exchange, log: Sequence[Any] = (), **more: Any) -> list[Exchange]:
    """A build that was followed to its end and never read, and a start of it so long after that."""
    facts = {"opened_at": 10.5, "closed_at": CLOSED_AT} | more
    return [published(), started(), stream(log or ready_log(), **facts), *between]


def asked_again(status: str = "building", gap_s: float = 0.41, answer: int = 202, **more: Any) -> Exchange:
    said = build(status, **({"reused": True} if status == "ready" else {}))
    facts: dict[str, Any] = {"seq": 20, "json": said, "sent_at": CLOSED_AT + gap_s} | more
    return exchange("startBuild", answer, **facts)


def judged_after(*story: Exchange) -> set[tuple[str, str]]:
    return story_verdicts((is_there_when_it_says_so,), *story)


@pytest.mark.parametrize(("status", "outcome"), [("ready", "held"), ("building", "broken"), ("failed", "broken")])
def test_start_after_a_log_that_ended_on_ready_finds_the_golden(status: str, outcome: str) -> None:
    """Nobody has read the status: the log alone told that the build is over."""
    late = started_after(asked_again(status, gap_s=17.0), opened_at=30.0, closed_at=30.1)

    assert judged_after(*started_after(asked_again(status))) == {(AT_ONCE, outcome)}
    assert judged_after(*late) == {(AT_ONCE, outcome)}


@pytest.mark.parametrize(
    "story",
    [
        started_after(asked_again(gap_s=0.39)),
        started_after(asked_again(), log=ready_log()[:-1]),
        started_after(asked_again(), closed="client"),
        started_after(asked_again(), chunks=[(0.1, b"data: {\n\n"), (0.2, b'data: {"phase":"ready"}\n\n')]),
        started_after(asked_again(), headers={"content-type": "text/html"}),
        started_after(asked_again(answer=429)),
        started_after(asked_again(json=[])),
        started_after(asked_again(credential="second")),
        started_after(asked_again())[:1] + started_after(asked_again())[2:],
        started_after(cancelled(7, 12.0), asked_again()),
        started_after(cancelled(7, CLOSED_AT + 0.1), asked_again()),
        started_after(started(7, 12.0), asked_again()),
        started_after(started(7, 30.05), asked_again(gap_s=17.0), opened_at=30.0, closed_at=30.1),
        started_after(publish(7, content="new", sent_at=14.1, note={"force": True}), asked_again()),
        started_after(publish(7, auto_build="building", sent_at=14.2, note={"auto_build": True}), asked_again()),
        started_after(),
    ],
    ids=[
        "at once",
        "no end",
        "left",
        "unreadable",
        "no log",
        "refused",
        "no object",
        "not its owner",
        "never started",
        "cancelled",
        "cancelled too late",
        "joined",
        "built again meanwhile",
        "replaced",
        "built again by a publish",
        "never asked again",
    ],
)
def test_start_that_something_else_explains_is_not_judged_by_the_log(story: list[Exchange]) -> None:
    """The status may be a little behind, the log has to be whole, and nothing may have happened to the golden."""
    assert judged_after(*story) == set()


def test_each_log_that_ended_on_ready_is_judged_by_itself() -> None:
    """A log that says nothing, for whatever reason, takes nothing away from the next one."""
    silent = stream([], seq=4, opened_at=10.4, closed_at=10.45)
    early = stream(ready_log(), seq=4, opened_at=9.0, closed_at=9.5)
    again = started(20, 30.0)
    last = stream(ready_log(), seq=21, opened_at=30.5, closed_at=31.0)
    broken_once = {(AT_ONCE, "broken")}

    assert judged_after(silent, *started_after(asked_again())) == broken_once
    assert judged_after(early, *started_after(asked_again())) == broken_once
    later = asked_again(gap_s=20.0, seq=22)
    assert judged_after(*started_after(cancelled(7, 12.0), again, last, later)) == broken_once


def test_finding_on_a_start_after_a_log_shows_both() -> None:
    """The follower, and the start."""
    (told,) = is_there_when_it_says_so(REF, history(*started_after(asked_again())))

    assert told.evidence == (5, 20)
    assert told.expected == "status ready after a log that ended so"
    assert told.actual.startswith('202 {"ref"')


# --- logs of builds whose status nobody reads -------------------------------------------------------------------------

SHORT = Bounds(build_timeout_s=5.0, cancel_timeout_s=2.0)


def given_up(*between: Exchange, open_s: float = 6.81, **more: Any) -> list[Exchange]:
    """A build of at most 5 s that was followed so long, and not read."""
    facts: dict[str, Any] = {"closed": "client", "opened_at": 10.02, "closed_at": 10.01 + open_s} | more
    return [published(), started(), stream(ready_log()[:-1], **facts), *between]


def of_unread(*story: Exchange) -> set[tuple[str, str]]:
    return story_verdicts((closes_unread,), *story, bounds=SHORT)


@pytest.mark.parametrize("status", ["ready", "failed", "not_built"])
def test_log_of_a_build_that_nobody_reads_closes_with_it(status: str) -> None:
    """That it is over shows as soon as somebody looks."""
    assert of_unread(*given_up(read(status, 18.0, 9))) == {(CLOSE, "broken")}


def test_finding_on_a_log_that_nobody_read_beside_shows_the_read_after_it() -> None:
    """The start, the follower, and the read."""
    (told,) = closes_unread(REF, history(*given_up(read("ready", 18.0, 9)), bounds=SHORT))

    assert (told.evidence, told.expected) == ((3, 5, 9), "a log that closes when its build is over")
    assert told.actual == "still open 6.8 s after its start"


@pytest.mark.parametrize(
    "story",
    [
        given_up(read("ready", 18.0, 9), open_s=6.79),
        given_up(read("ready", 18.0, 9), closed=""),
        given_up(read("building", 18.0, 9)),
        given_up(),
        given_up(read("building", 11.0, 7), read("ready", 18.0, 9)),
        given_up(started(7, 11.0), read("ready", 18.0, 9)),
        given_up(started(7, 17.0), read("ready", 18.0, 9)),
        [published(), *given_up(read("ready", 18.0, 9))[2:]],
    ],
    ids=["in time", "closed", "it runs", "nobody looked", "read", "joined", "started again", "never started"],
)
def test_log_that_may_still_be_open_is_left_alone(story: list[Exchange]) -> None:
    """It is as long as a build may take, other rules tell it, or another build explains it."""
    assert of_unread(*story) == set()


def test_each_log_that_nobody_read_beside_is_judged_by_itself() -> None:
    """One that was closed takes nothing away from another one that was not."""
    closed = stream(ready_log(), seq=4, opened_at=10.011, closed_at=10.5)

    assert of_unread(closed, *given_up(read("ready", 18.0, 9))) == {(CLOSE, "broken")}
    story = given_up(read("ready", 18.0, 9), opened_at=20.5, closed_at=27.4)
    left, again = stream([], seq=4, opened_at=10.2, closed_at=10.4, closed="client"), started(10, 20.0)
    assert of_unread(left, read("building", 10.3, 6), *story, again, read("ready", 28.0, 12)) == {(CLOSE, "broken")}
