"""
The walk at its edges: what is still judged after a doubt, a finding, or a refused request, and with which exchanges.
"""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, broken, build, exchange, publish, story_rules, story_verdicts
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content

Told = list[tuple[str, tuple[int, ...]]]

NO = {"json": {"error": "no"}}
KEYLESS: dict[str, Any] = {"credential": "none", **NO}
REUSED = {"json": build("ready", reused=True)}
FORCED = {"force": True}


def start(seq: int, status: int = 202, **facts: Any) -> Exchange:
    return exchange("startBuild", status, **({"json": build(), "seq": seq} | facts))


def cancel(seq: int, status: int = 202, **facts: Any) -> Exchange:
    body = {"status": "cancelling" if status == 202 else "idle"}
    return exchange("cancelBuild", status, **({"json": body, "seq": seq} | facts))


def read(seq: int, status: str, time_ms: Any = 800, **facts: Any) -> Exchange:
    times = {"build_time_ms": time_ms} if status == "ready" else {}
    return exchange(**({"json": build(status, **times), "seq": seq} | facts))


def made(seconds: float = 0.0, seq: int = 1, **note: Any) -> Exchange:
    """The publish of a version whose steps sleep so long."""
    return publish(seq, note={"sleep_s": seconds} | note)


def new(seq: int, **more: Any) -> Exchange:
    """The publish of other content by force."""
    return publish(seq, **({"content": "new", "digest": "cd" * 32, "note": FORCED} | more))


def told(*story: Exchange, **more: Any) -> Told:
    """The findings of a story, with the exchanges that show them."""
    return [finding[:2] for finding in story_findings(story_rules("building"), *story, **more)]


def blamed(*story: Exchange, **more: Any) -> set[str]:
    return broken(story_verdicts(story_rules("building"), *story, **more))


def held(*story: Exchange) -> set[str]:
    return {claim for claim, _ in shown_by(story_rules("building"), *story)}


READY = (made(), start(3), read(4, "ready"))
# A version that is built, holds something else for a while, and then what it held at first.
RETURNED = (made(0.5), start(2), read(3, "ready"), new(4), made(0.5, 5, **FORCED))
OTHERS_START, OTHERS_CANCEL = start(3, credential="second"), cancel(3, credential="second")
FAILING = publish(1, note={"outcome": "failed"})

FOUND: list[tuple[str, tuple[Exchange, ...], Told]] = [
    (
        "a second finding after a first one",
        (made(), read(2, "ready"), read(3, "failed")),
        [("status.unbuilt-is-not-built", (2,)), ("status.ready-stays-ready", (2, 3))],
    ),
    (
        "another end after a wrong one",
        (made(), read(2, "failed"), read(3, "ready")),
        [("status.unbuilt-is-not-built", (2,)), ("status.changes-only-by-a-start", (2, 3))],
    ),
    (
        "a build that is lost after it failed",
        (made(60.0), start(2), read(3, "building"), read(4, "failed"), read(5, "not_built")),
        [("status.good-template-ends-ready", (2, 4)), ("status.build-does-not-vanish", (2, 5))],
    ),
    (
        "a ready build while a cancel is lost",
        (made(60.0), start(2), cancel(3, 0), read(4, "building"), read(5, "ready")),
        [("status.ready-after-its-steps", (2, 5))],
    ),
    (
        "a failure while a start is lost",
        (made(60.0), start(2, 502), read(3, "failed")),
        [("status.good-template-ends-ready", (2, 3))],
    ),
    (
        "a build long after its cancel",
        (made(600.0), start(2), cancel(3), read(100, "building")),
        [("cancel.settles", (3, 100))],
    ),
    ("a build without an end", (made(), start(2), read(700, "building")), [("status.build-ends", (2, 700))]),
    (
        "a cancelled build that ends ready once it settled",
        (made(60.0), start(2), cancel(3), read(4, "not_built"), read(5, "ready")),
        [("cancel.does-not-end-ready", (4, 5))],
    ),
    (
        "a golden that is lost without a read that showed it",
        (*RETURNED, start(6, 200, **REUSED), read(7, "not_built")),
        [("status.ready-stays-ready", (7,))],
    ),
    (
        "a reused golden of content that returned is built again",
        (*RETURNED, read(6, "not_built"), start(7, **REUSED), read(8, "building")),
        [("status.ready-stays-ready", (6, 8))],
    ),
    (
        "a reuse without its flag of content that returned",
        (*RETURNED, read(6, "not_built"), start(7, json=build("ready"))),
        [("reuse.is-flagged", (7,))],
    ),
    ("a build of content that returned", (*RETURNED, read(6, "not_built"), start(7), read(8, "building")), []),
    (
        "new content that is ready without a word on it",
        (made(), start(2), read(3, "ready"), new(4), start(5, json=build("ready")), read(6, "ready")),
        [("reuse.only-identical-digest", (5,))],
    ),
    (
        "new content that is reused, with no read after it",
        (made(), start(2), read(3, "ready"), new(4), start(5, **REUSED)),
        [("reuse.only-identical-digest", (5,))],
    ),
    (
        "new content where no digests are told",
        (publish(1, digest=""), start(2), read(3, "ready"), new(4, digest=""), read(5, "ready")),
        [("reuse.only-identical-digest", (5,))],
    ),
    (
        "two starts that a limit refused",
        (made(), start(2, 429), start(3, 429), start(4, **REUSED)),
        [("limit.refused-start-starts-nothing", (3, 4))],
    ),
    (
        "a conflict before a start that says ready",
        (made(), new(2, status=409), start(3, **REUSED)),
        [("start.fresh-is-building", (3,))],
    ),
    (
        "a limit for another account before a start that says ready",
        (made(), start(2, 429, credential="second"), start(3, **REUSED)),
        [("start.fresh-is-building", (3,))],
    ),
    (
        "a start that is refused while the version builds, and ready soon",
        (made(0.5), start(2), start(3, 400, sent_at=2.1, **NO), read(4, "ready")),
        [("start.while-building-is-harmless", (3,))],
    ),
    (
        "a start that is refused where a cancel was lost",
        (publish(1, note={"outcome": "failed"}), start(2), cancel(3, 502), start(4, 400, **NO)),
        [("start.while-building-is-harmless", (4,))],
    ),
    (
        "a start after a finding that leaves two states",
        (made(0.5), read(2, "failed"), start(3), read(5, "ready", 1)),
        [("status.unbuilt-is-not-built", (2,)), ("status.build-time-is-ms", (3, 5))],
    ),
    (
        "a start after a failure that calls its build ready",
        (
            FAILING,
            start(2),
            read(3, "failed"),
            start(5, json=build("ready")),
            exchange("getTemplate", json={"template": {}}, seq=6),
            read(7, "building"),
        ),
        [("start.fresh-is-building", (5,))],
    ),
    (
        "a build time that is longer than the build",
        (made(), start(3), read(5, "ready", 5000)),
        [("status.build-time-is-ms", (3, 5))],
    ),
    (
        "a key after a lower-case scheme",
        (made(), read(2, "ready", credential="lowercase-scheme")),
        [("status.unbuilt-is-not-built", (2,))],
    ),
    (
        "a refused cancel before a refused start",
        (made(), cancel(2, 401, **KEYLESS), start(3, 401, **KEYLESS), read(4, "building")),
        [("auth.refused-changes-nothing", (3, 4))],
    ),
    (
        "a refused publish",
        (made(), read(2, "not_built"), publish(3, status=401, credential="none"), read(4, "building")),
        [("auth.refused-changes-nothing", (3, 4))],
    ),
    (
        "a refused delete",
        (*READY, exchange("deleteTemplate", 401, seq=5, **KEYLESS), read(6, "not_built")),
        [("auth.refused-changes-nothing", (5, 6))],
    ),
    (
        "a conflict before a build",
        (made(), read(2, "not_built"), start(3, 409, **NO), read(4, "building")),
        [("start.answers-202", (3,)), ("status.changes-only-by-a-start", (2, 4))],
    ),
    (
        "a publish with a build that was in conflict",
        (made(), new(2, status=409, note=FORCED | {"auto_build": True}), read(3, "ready")),
        [("status.unbuilt-is-not-built", (3,))],
    ),
    (
        "a publish without a build that met a limit",
        (made(), new(2, status=429), read(3, "ready")),
        [("status.unbuilt-is-not-built", (3,))],
    ),
    (
        "a golden under another digest after a start that met a limit",
        (*READY, start(5, 429), exchange(json=build("not_built", digest="cd" * 32), seq=6)),
        [("limit.refused-start-starts-nothing", (5, 6))],
    ),
    (
        "a golden under another digest after a publish without a key",
        (*READY, new(5, status=401, credential="none"), exchange(json=build("not_built", digest="cd" * 32), seq=6)),
        [("auth.refused-changes-nothing", (5, 6))],
    ),
    (
        "a build that was ready too early, with a time that fits neither",
        (made(0.5), start(2), read(3, "ready", sent_at=2.01)),
        [("status.ready-after-its-steps", (2, 3))],
    ),
    (
        "a build that ends ready under new content that fails",
        (made(60.0), start(2), new(3, note=FORCED | {"outcome": "failed"}), read(4, "building"), read(5, "ready")),
        [("reuse.only-identical-digest", (4, 5))],
    ),
]


@pytest.mark.parametrize(("story", "expected"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_story_is_told_with_what_shows_it(story: tuple[Exchange, ...], expected: Told) -> None:
    """Each finding, with its exchanges, and no other."""
    assert told(*story) == expected


SILENT: list[tuple[str, tuple[Exchange, ...]]] = [
    ("a cancel failed", (made(), cancel(2, 500))),
    ("a start failed, and acts late", (made(60.0), start(2, 500), read(3, "not_built"), read(4, "building"))),
    ("a cancel was lost, and acted", (made(60.0), start(2), cancel(3, 0), read(4, "not_built"))),
    (
        "another account was served",
        (
            publish(1, OTHER_REF, content="other", digest="ef" * 32, credential="second"),
            start(2, ref=OTHER_REF, credential="second"),
            made(seq=3),
            start(4, 403, **NO),
        ),
    ),
    ("a limit refuses with 400", (*READY, start(5, 200, **REUSED), start(6, 400, **NO), start(7, 200, **REUSED))),
    *((f"a start is answered {status}", (made(), start(2, status, **NO))) for status in (401, 404, 429, 500)),
    *((f"a build time is {time!r}", (made(0.5), start(3), read(5, "ready", time))) for time in (True, "1200", None)),
]


@pytest.mark.parametrize("story", [story for _, story in SILENT], ids=[name for name, _ in SILENT])
def test_story_that_tells_nothing_blames_nobody(story: tuple[Exchange, ...]) -> None:
    """What may be right, or is told elsewhere, is no finding."""
    assert told(*story) == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_start_by_another_method_starts_nothing(method: str) -> None:
    """Such a request changes nothing, whatever it is answered."""
    asked = start(3, 200, method=method)
    assert blamed(made(), read(2, "not_built"), asked, read(4, "building")) == {"status.changes-only-by-a-start"}


HELD: list[tuple[str, tuple[Exchange, ...], str, bool]] = [
    ("a cancel came too late", (made(0.5), start(2), cancel(3), read(4, "ready")), "cancel.does-not-end-ready", False),
    ("a cancel came too late, and settles", (made(0.5), start(2), cancel(3), read(4, "ready")), "cancel.settles", True),
    (
        "nobody knows how it ends",
        (made(0.5, outcome="unknown"), start(2), read(3, "ready")),
        "status.good-template-ends-ready",
        False,
    ),
    (
        "its end is seen all the same",
        (made(0.5, outcome="unknown"), start(2), read(3, "ready")),
        "status.build-ends",
        True,
    ),
    ("it does not sleep", READY, "status.ready-after-its-steps", False),
    (
        "it fails after its steps",
        (publish(1, note={"outcome": "failed", "sleep_s": 0.5}), start(2), read(3, "failed")),
        "status.ready-after-its-steps",
        False,
    ),
    ("a key is refused", (*READY, start(5, 401, **KEYLESS), read(6, "ready")), "auth.refused-changes-nothing", True),
    ("nothing bounds its time", READY, "status.build-time-is-ms", False),
    ("it sleeps for a moment", (made(0.001), start(3), read(4, "ready")), "status.build-time-is-ms", True),
    (
        "somebody cancels it before it is started",
        (made(), read(2, "not_built"), OTHERS_CANCEL, start(4)),
        "start.fresh-is-building",
        True,
    ),
    (
        "somebody cancels it, and nothing settles",
        (made(), read(2, "not_built"), OTHERS_CANCEL, start(4)),
        "start.after-cancel-builds-again",
        False,
    ),
    (
        "its content is old",
        (made(), read(2, "not_built"), OTHERS_CANCEL, start(4)),
        "reuse.only-identical-digest",
        False,
    ),
    (
        "somebody else starts it while it builds",
        (made(2.0), start(2), OTHERS_START, read(6, "ready", 1)),
        "status.build-time-is-ms",
        False,
    ),
    (
        "it was cancelled before it was deleted",
        (
            made(60.0),
            start(2),
            cancel(3),
            read(4, "not_built"),
            exchange("deleteTemplate", json={"deleted": True}, seq=5),
            made(0.5, 6),
            start(7),
            read(8, "ready"),
        ),
        "cancel.next-build-completes",
        False,
    ),
]


@pytest.mark.parametrize(
    ("story", "claim", "shown"), [row[1:] for row in HELD], ids=[f"{row[0]}: {row[2]}" for row in HELD]
)
def test_claim_is_held_where_it_could_have_been_broken(story: tuple[Exchange, ...], claim: str, shown: bool) -> None:
    """And only there, in a story without a fault."""
    assert (claim in held(*story)) == shown
    assert told(*story) == []


def test_start_of_somebody_else_joined_the_build() -> None:
    """The build is still the one that was begun before."""
    story = made(2.0), start(2), OTHERS_START, read(6, "ready")
    assert ("status.build-ends", (2, 6)) in shown_by(story_rules("building"), *story)


def test_build_after_a_failure_is_shown_by_its_end() -> None:
    """Not by the answer to its start alone."""
    claim = "start.after-failure-builds-again"
    story = FAILING, start(2), read(3, "failed"), start(4), read(5, "building"), read(6, "failed")
    shown = [evidence for name, evidence in shown_by(story_rules("building"), *story) if name == claim]

    assert shown == [(4,), (4, 6)]


def test_start_after_a_finding_is_judged_where_nothing_runs_either_way() -> None:
    """Whether the server was right or wrong, there is a build to begin."""
    story = made(0.5), read(2, "failed"), start(3)
    assert ("start.fresh-is-building", (3,)) in shown_by(story_rules("building"), *story)


@pytest.mark.parametrize("status", [409, 429])
def test_simultaneous_start_may_be_refused(status: int) -> None:
    """Because a build runs, or because of a limit."""
    both = start(2, done_at=2.5), start(3, status, sent_at=2.1, **NO)
    assert ("start.concurrent-answers-are-documented", (3,)) in shown_by(story_rules("building"), made(), *both)


PAIR = (start(2, done_at=2.5), start(3, sent_at=2.1, done_at=2.4))


@pytest.mark.parametrize(
    "starts",
    [(*PAIR, start(4)), (start(2), start(3, done_at=3.5), start(4, sent_at=3.1, done_at=3.4))],
    ids=["joined later", "begun before"],
)
def test_build_of_overlapping_starts_is_shared_whenever_they_came(starts: tuple[Exchange, ...]) -> None:
    """When it began, or while it ran."""
    assert "start.concurrent-share-one-build" in held(made(5.0), *starts, read(8, "ready"))


def slow(seq: int, ref: str = REF) -> list[Exchange]:
    """A version whose start is answered only after its steps can have run."""
    digest = f"{seq:02x}" * 32
    answer = build(ref=ref, digest=digest)
    began = start(seq + 1, ref=ref, json=answer, done_at=seq + 1.6)
    return [publish(seq, ref, content=ref, digest=digest, note={"sleep_s": 0.5}), began]


def test_starts_that_are_all_slow_wait() -> None:
    """One alone may have met a slow network; two have not."""
    claim = "start.does-not-wait"
    ready = read(5, "ready")

    assert (claim, "indeterminate") in story_verdicts(story_rules("building"), *slow(1), ready)
    assert blamed(*slow(1), ready) == set()
    assert blamed(*slow(1), ready, *slow(10, OTHER_REF)) == {claim}
    running = story_verdicts(story_rules("building"), *slow(1), read(5, "building"), *slow(10, OTHER_REF))
    assert claim not in {said for said, _ in running}


def given(outcome: Any) -> dict[str, Content]:
    return {REF: Content(REF, "primary", "given", outcome, 0.0, "", 0, 0.0, 0.0)}


def test_given_version_was_neither_replaced_nor_cancelled() -> None:
    """What the user named is not new content, and its build is nobody's cancelled one."""
    claim = "status.changes-only-by-a-start"

    assert blamed(read(1, "not_built"), read(2, "ready"), given=given("ready")) == {claim}
    assert blamed(read(1, "building"), read(2, "ready"), given=given("failed")) == {claim}


def found(seq: int, status: int = 200, operation: str = "getBuild", **facts: Any) -> Exchange:
    """An answer that shows whether there is such a version."""
    body = build("not_built") if status == 200 else {"error": "not found"}
    return exchange(operation, status, **({"json": body, "seq": seq} | facts))


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ([], [], False),
        ([found(2, 404)], [], True),
        ([found(2, 404, "getTemplate")], [], True),
        ([found(2, 404, "startBuild")], [], True),
        ([], [found(6, 404)], True),
        ([found(2, 404, credential="second")], [], False),
        ([found(2, 404), found(3)], [], False),
        ([found(2), found(3, 404)], [], True),
        ([], [found(6), found(7, 404)], False),
        ([cancel(2, 404)], [], False),
    ],
)
def test_answer_to_an_idle_cancel_is_judged_where_the_version_is_found(
    before: list[Exchange], after: list[Exchange], lost: bool
) -> None:
    """By the last answer before it and the first one after it."""
    gone = cancel(5, 404, json={"error": "gone"})
    assert ("cancel.says-idle" in blamed(made(), *before, gone, *after)) is not lost


def test_cancel_of_what_is_over_one_way_or_the_other_is_idle() -> None:
    """After a cancel that found nothing a build of unknown outcome is ready or failed."""
    story = made(outcome="unknown"), start(2), cancel(3, 404), cancel(4, 404)
    assert ("cancel.finished-is-idle", (4,)) in shown_by(story_rules("building"), *story)
