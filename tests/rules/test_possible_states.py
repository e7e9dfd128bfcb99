"""What the walk of one version concludes from a few exchanges, and of what it keeps silent."""

from typing import Any

import pytest

from tests.rules import test_cancels, test_reads, test_starts
from tests.rules.driven import findings
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
from tests.rules.simulated import Manners, Server, given
from tests.rules.simulated import Recipe as Simulated
from touchstone.contract.lifecycle import State
from touchstone.facts.exchange import Exchange
from touchstone.rules import lifecycle
from touchstone.rules.possible_states import Walk

SECOND = "second"
CANCELLED = {"status": "cancelling"}


def start(seq: int, status: int = 202, **facts: Any) -> Exchange:
    return exchange("startBuild", status, **({"json": build(), "seq": seq} | facts))


def cancel(seq: int, status: int = 202, **facts: Any) -> Exchange:
    body = CANCELLED if status == 202 else {"status": "idle"}
    return exchange("cancelBuild", status, **({"json": body, "seq": seq} | facts))


def read(seq: int, status: str, **facts: Any) -> Exchange:
    times = {"build_time_ms": 800} if status == "ready" else {}
    return exchange(json=build(status, **times), seq=seq, **facts)


def blamed(*exchanges: Exchange, **more: Any) -> set[str]:
    return broken(story_verdicts(story_rules("building"), *exchanges, **more))


def sleeping(seconds: float = 60.0) -> dict[str, Any]:
    return {"note": {"sleep_s": seconds}}


def test_correct_server_holds_every_claim() -> None:
    """
    In the situations that the tests bring about, a correct server gives an occasion to hold each claim of the rule.
    """
    told = findings(Server(Manners(settle_ms=20)))

    assert told == {(claim, "held") for claim in lifecycle.life_cycle.claims}


def test_every_claim_has_a_fault_that_breaks_it() -> None:
    """For each claim of the rule a faulty server is known that breaks it."""
    cases = [*test_starts.CASES, *test_reads.CASES, *test_cancels.CASES]

    assert {claim for _, claims in cases for claim in claims} == lifecycle.life_cycle.claims


def test_fault_is_blamed() -> None:
    """
    A version that is ready though nobody started it breaks one claim; the stories below differ from it in one point.
    """
    assert blamed(publish(1), read(2, "ready")) == {"status.unbuilt-is-not-built"}


# A version that is built, holds something else for a while, and then what it held at first.
RETURNED = (
    publish(1, **sleeping(0.5)),
    start(2),
    read(3, "ready"),
    publish(4, content="new", digest="cd" * 32, note={"force": True}),
    publish(5, note={"force": True, "sleep_s": 0.5}),
)
SILENT: dict[str, tuple[Exchange, ...]] = {
    "two accounts have the name": (publish(1), publish(2, credential=SECOND), read(3, "ready")),
    "another version shares the digest": (publish(1), publish(2, OTHER_REF, content="other"), read(3, "ready")),
    "a start was never answered": (publish(1), start(2, 0), read(3, "ready")),
    "a start is still on its way": (publish(1), start(2, 202, done_at=9.0), read(3, "ready")),
    "a start failed": (publish(1), start(2, 502), read(3, "ready")),
    "the publish was never answered": (publish(1, status=0, json=None), read(2, "ready")),
    "content may have been replaced": (publish(1), publish(2, content="new", status=0, json=None), read(3, "ready")),
    "content may have been deleted": (publish(1), exchange("deleteTemplate", 0, seq=2), read(3, "ready")),
    "it was deleted": (publish(1), exchange("deleteTemplate", json={"deleted": True}, seq=2), read(3, "ready")),
    "a delete is on its way": (
        publish(1),
        exchange("deleteTemplate", json={"deleted": True}, seq=2, done_at=9.0),
        read(3, "ready"),
    ),
    "the status is another one": (publish(1), read(2, "odd")),
    "the status is no text": (publish(1), exchange(json={"status": ["ready"]}, seq=2)),
    "it is another account's read": (publish(1), read(2, "ready", credential=SECOND)),
    "the read failed": (publish(1), exchange(status=500, json=build("ready"), seq=2)),
    "it is a HEAD": (publish(1), read(2, "ready", method="HEAD")),
    "a start that was never answered acts late": (publish(1), start(2, 0), read(3, "not_built"), read(4, "building")),
    "a publish whose build was refused may have published": (
        publish(1),
        publish(2, content="new", status=429, note={"force": True, "auto_build": True}),
        start(3),
        read(4, "failed"),
    ),
    "a build may have ended before its cancel arrived": (
        publish(1, **sleeping(0.5)),
        start(2),
        cancel(3),
        read(4, "ready"),
    ),
    "a start was answered early and its answer came late": (
        publish(1, **sleeping(0.5)),
        start(2, done_at=3.0),
        start(3, sent_at=2.1, done_at=2.9, json=build("ready", reused=True, build_time_ms=500)),
        read(4, "ready"),
    ),
    "a cancel may have come after the start beside it": (
        publish(1, **sleeping()),
        start(2, done_at=3.0),
        cancel(3, sent_at=2.5, done_at=2.8),
        read(4, "not_built"),
    ),
    "a start came after the cancel beside it": (
        publish(1, **sleeping(3.0)),
        start(2),
        cancel(3, done_at=4.0),
        start(4, sent_at=3.5, done_at=3.8),
        read(7, "ready"),
    ),
    "content returned twice to its golden": (
        *RETURNED,
        read(6, "not_built"),
        publish(7, note={"force": True}),
        start(8, 200, json=build("ready", reused=True)),
    ),
    "content returned, and a start was answered early": (
        *RETURNED,
        start(6, done_at=8.0),
        start(7, sent_at=7.0, done_at=7.9, json=build("ready", reused=True)),
        read(9, "ready", sent_at=8.1),
    ),
    "a build of the same name was under way": (
        publish(1),
        start(2),
        publish(3, content="new", digest="cd" * 32, note={"force": True}),
        read(4, "ready"),
    ),
}


@pytest.mark.parametrize("story", SILENT.values(), ids=SILENT)
def test_doubt_blames_nobody(story: tuple[Exchange, ...]) -> None:
    """Where the state of a version is in doubt, a read of it breaks no claim."""
    assert blamed(*story) == set()


def test_version_that_nobody_published_is_not_judged() -> None:
    """Of a version that the run does not know, nothing is said."""
    assert story_verdicts(story_rules("building"), read(1, "not_built"), start(2), read(3, "not_built")) == set()


def test_given_version_is_judged_from_its_first_read() -> None:
    """A version that the user named may be in any state; once read, it has to stay in it."""
    known = {REF: given(REF, Simulated("given"), known=True)}

    assert blamed(read(1, "ready"), read(2, "ready"), given=known) == set()
    assert blamed(read(1, "ready"), read(2, "not_built"), given=known) == {"status.ready-stays-ready"}


def test_answers_in_no_time_are_taken_in_order() -> None:
    """An exchange that took no time at all by the clock still begins before it ends."""
    story = (publish(1), start(2, done_at=2.0), read(3, "not_built", done_at=3.0))

    assert blamed(*story) == {"start.visible-to-next-read"}


def test_answer_at_the_moment_of_the_next_request_comes_first() -> None:
    """A request that was sent at the moment when another one was answered took effect after it."""
    begun = (publish(1, **sleeping()), start(2, sent_at=2.0, done_at=3.0))

    assert blamed(*begun, cancel(3, 404, sent_at=3.0), read(4, "building")) == {"cancel.in-flight-is-202"}


@pytest.mark.parametrize(
    ("facts", "claims"),
    [
        ({}, {"cancel.in-flight-is-202"}),
        ({"path": "/templates/default/touchstone%2Dt1-hello/1.0.0/build"}, {"cancel.in-flight-is-202"}),
        ({"path": "/templates//default/touchstone-t1-hello/1.0.0/build"}, set()),
        ({"method": "HEAD"}, set()),
        ({"credential": SECOND}, set()),
        ({"status": 401}, set()),
        ({"status": 429}, set()),
        ({"status": 503}, set()),
        ({"status": 0}, set()),
        ({"status": 406, "request_headers": {"accept": "image/png"}}, set()),
    ],
    ids=str,
)
def test_cancel_is_judged_only_where_it_was_plainly_the_owners(facts: dict[str, Any], claims: set[str]) -> None:
    """Odd paths, other methods, other keys, limits and failures say nothing about cancels."""
    refused = cancel(3, **({"status": 404} | facts))

    assert blamed(publish(1, **sleeping()), start(2), refused, read(4, "building")) == claims


def test_identical_content_changes_nothing() -> None:
    """Publishing what is there already leaves the version as it was."""
    story = (publish(1), read(2, "not_built"), publish(3), read(4, "ready"))

    assert blamed(*story) == {"status.changes-only-by-a-start"}


def test_identical_content_by_force_may_begin_anew() -> None:
    """Force is told to delete and publish again, so a ready version may be unbuilt afterwards."""
    story = (publish(1), start(2), read(3, "ready"), publish(4, note={"force": True}), read(5, "not_built"))

    assert blamed(*story) == set()


def test_content_that_returns_may_find_its_golden() -> None:
    """A version that gets back what it held before may be ready at once, and its start may reuse the golden."""
    forced, reused = {"note": {"force": True}}, {"json": build("ready", reused=True)}
    story = (
        publish(1),
        start(2),
        read(3, "ready"),
        publish(4, content="new", digest="cd" * 32, **forced),
        publish(5, **forced),
        start(6, 200, **reused),
        read(7, "ready"),
    )

    assert blamed(*story) == set()


@pytest.mark.parametrize(
    "before",
    [
        (publish(),),
        (publish(), start(2), read(3, "ready")),
        (publish(**sleeping()), start(2)),
        (publish(**sleeping()), start(2), cancel(3)),
    ],
)
def test_start_that_is_answered_by_no_object_is_judged_by_its_status(before: tuple[Exchange, ...]) -> None:
    """What a body that nobody can read says of a build is not known; that it cannot be read has claims of its own."""
    garbled = exchange("startBuild", 202, seq=5, body=b'{"status": "building"}' * 2)
    refused = exchange("startBuild", 400, seq=5, body=b"no")

    assert blamed(*before, garbled) == set()
    assert blamed(*before, refused)


def test_start_that_a_limit_refuses_otherwise_says_nothing_of_the_build() -> None:
    """What is served before and after a refusal was refused for a limit, and so is whatever is refused like it."""
    reused = {"status": 200, "json": build("ready", reused=True)}
    story = (publish(1), start(2), read(3, "ready"), start(4, **reused), start(5, 409, json={"error": "slow down"}))
    elsewhere = (publish(7, OTHER_REF, content="other", digest="cd" * 32), start(8, 409, ref=OTHER_REF, json={}))

    assert blamed(*story) == {"reuse.status-code", "reuse.ready-at-once"}
    assert blamed(*story, start(6, **reused)) == set()
    assert blamed(*story, *elsewhere, ref=OTHER_REF) == {"start.answers-202"}
    assert blamed(*story, start(6, **reused), *elsewhere, ref=OTHER_REF) == set()


def test_content_whose_digest_nobody_told_may_have_been_built_elsewhere() -> None:
    """Where the answer to a publish hides the digest, the golden of what prints the same may be its golden, too."""
    elsewhere = publish(1, OTHER_REF, digest="")
    reused = start(3, json=build("ready", reused=True))

    assert blamed(elsewhere, publish(2, digest=""), reused) == set()
    assert blamed(elsewhere, publish(2), reused) == set()
    assert blamed(elsewhere, publish(2, content="another", digest=""), reused) == {"start.fresh-is-building"}


def test_new_content_under_the_old_digest_may_be_built() -> None:
    """
    A server that answers a publish with force by the old digest has replaced nothing, or cannot tell contents apart.
    """
    forced = publish(4, content="new", note={"force": True})
    story = (publish(1), start(2), read(3, "ready"), forced, read(5, "ready"))

    assert blamed(*story) == set()


def test_new_content_is_not_built() -> None:
    """A version that gets content it never held is not ready, whatever the old content was."""
    story = (
        publish(1),
        start(2),
        read(3, "ready"),
        publish(4, content="new", digest="cd" * 32, note={"force": True}),
        read(5, "ready"),
    )

    assert blamed(*story) == {"reuse.only-identical-digest"}


@pytest.mark.parametrize(
    ("answer", "status", "claims"),
    [
        ("building", "building", set()),
        ("building", "ready", set()),
        ("building", "not_built", set()),
        ("ready", "ready", set()),
        ("queued", "not_built", set()),
        ("queued", "building", set()),
    ],
)
def test_auto_build_acts_like_a_start(answer: str, status: str, claims: set[str]) -> None:
    """A publish that says it builds is followed by that build, or publishing tells; another answer leaves it open."""
    story = publish(1, auto_build=answer, note={"auto_build": True})

    assert blamed(story, read(2, status)) == claims


def test_overlapping_start_and_cancel_leave_everything_open() -> None:
    """Where a start and a cancel overlap, either may have come first."""
    both = (publish(1, **sleeping()), start(2, sent_at=2.0, done_at=3.0), cancel(3, sent_at=2.5, done_at=3.5))

    assert [blamed(*both, read(4, status)) for status in ("not_built", "building")] == [set(), set()]


def test_refusals_are_forgotten_after_a_read() -> None:
    """A refused request is to blame for a change only until a read showed that nothing had changed."""
    refused = exchange("startBuild", 401, credential="none", json={"error": "Missing API key."}, seq=2)
    late = (publish(1), refused, read(3, "not_built"), read(4, "building"))
    at_once = (publish(1), refused, read(3, "building"))

    assert blamed(*at_once) == {"auth.refused-changes-nothing"}
    assert blamed(*late) == {"status.changes-only-by-a-start"}


def test_build_of_given_bounds_may_take_as_long() -> None:
    """Walks end ready no sooner than the steps can have run, less a tenth for another clock."""
    walk = Walk(REF, history(publish(1, **sleeping(10.0))))
    walk.begin(walk.history.contents(REF)[0], 1.0)
    walk.free_at, walk.possible = 2.0, frozenset({State.BUILDING})

    assert walk.earliest_end_at(walk.free_at) == 2.0 + 9.0
    assert walk.reach(10.9) == {State.BUILDING}
    assert walk.reach(11.1) == {State.BUILDING, State.READY}


def test_digest_of_another_version_is_recognised() -> None:
    """Content is taken for a version's own as long as no other version was published with the same digest."""
    alone = Walk(REF, history(publish(1), publish(2, OTHER_REF, digest="cd" * 32)))
    shared = Walk(REF, history(publish(1), publish(2, OTHER_REF, digest=DIGEST)))
    for walk in (alone, shared):
        walk.begin(walk.history.contents(REF)[0], 1.0)

    assert (alone.content is None, shared.content is None) == (False, True)


def test_start_that_was_refused_for_a_limit_may_begin_late() -> None:
    """
    A build that begins by itself after a start was refused with 429 is the refused one, also after a read in between.
    """
    limited = exchange("startBuild", 429, json={"error": "Build rate limit reached."}, seq=2)
    reused = start(4, json=build("ready", reused=True))
    claim = {"limit.refused-start-starts-nothing"}

    assert blamed(publish(1), limited, read(3, "not_built"), read(4, "building")) == claim
    assert blamed(publish(1), limited, read(3, "not_built"), reused) == claim
    assert blamed(publish(1), limited, reused) == claim


@pytest.mark.parametrize(("build_time_ms", "claims"), [(3100, set()), (100, {"status.build-time-is-ms"})])
def test_build_time_is_not_shorter_than_the_build_was_seen(build_time_ms: int, claims: set[str]) -> None:
    """A build that a read still shows seconds after its start took as long; the status may be half a second late."""
    ready = exchange(json=build("ready", build_time_ms=build_time_ms), seq=6)

    assert blamed(publish(1), start(2), read(5, "building"), ready) == claims


def test_start_beside_one_that_is_told_of_a_running_build_shares_it() -> None:
    """Of two starts at once one may begin the build and the other be told with 409 that it runs."""
    told = exchange("startBuild", 409, seq=3, sent_at=2.1, done_at=2.4, json={"error": "A build is running."})
    story = (publish(1), start(2, sent_at=2.0, done_at=2.5), told, read(4, "ready"))

    assert ("start.concurrent-share-one-build", "held") in story_verdicts(story_rules("building"), *story)


def test_content_that_a_conflict_replaced_has_no_build_to_lose() -> None:
    """Where a publish that was refused changed the digest after all, the golden of the old content is not lost."""
    conflict = publish(4, content="new", status=409)
    other = exchange(json=build("not_built", digest="cd" * 32), seq=5)

    assert blamed(publish(1), start(2), read(3, "ready"), conflict, other) == set()
    assert blamed(publish(1), start(2), read(3, "ready"), conflict, read(5, "not_built")) != set()


@pytest.mark.parametrize(("elsewhere_at", "claims"), [(2.5, set()), (9.0, {"status.build-time-is-ms"})])
def test_short_build_time_is_no_matter_of_units_where_builds_leave_out_their_steps(
    elsewhere_at: float, claims: set[str]
) -> None:
    """Where another build was ready before its steps can have run, a time that is too short may be true."""
    hurried = [
        publish(10, OTHER_REF, content="other", digest="cd" * 32, sent_at=1.0, **sleeping(5.0)),
        start(11, ref=OTHER_REF, json=build(ref=OTHER_REF), sent_at=2.0),
        read(12, "ready", ref=OTHER_REF, sent_at=elsewhere_at),
    ]
    short = exchange(json=build("ready", build_time_ms=1), seq=30, sent_at=20.0)
    story = [publish(20, sent_at=13.0, **sleeping(3.0)), start(21, sent_at=14.0), short]

    assert blamed(*hurried, *story) == claims
