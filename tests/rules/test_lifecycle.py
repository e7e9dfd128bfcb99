"""The life-cycle rule in small stories: claims that it breaks, upholds and leaves alone."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, ERROR, OTHER_DIGEST, OTHER_REF, REF, build, exchange, publish
from tests.rules.exchanges import given as given_by
from tests.rules.judging import Evidence, cases, findings, outcome, story_rules, upheld, verdicts
from tests.rules.stories import cancel, delete, forced, reuse, start, template
from tests.rules.stories import read as read_build
from touchstone.facts.exchange import Exchange

RULES = story_rules("building")
ANSWERS, FRESH, WAITS = "start.answers-202", "start.fresh-is-building", "start.does-not-wait"
VISIBLE, SHARE, HARMLESS = (
    "start.visible-to-next-read",
    "start.concurrent-share-one-build",
    "start.while-building-is-harmless",
)
AGAIN, CONCURRENT = "start.after-cancel-builds-again", "start.concurrent-answers-are-documented"
UNBUILT, CHANGES, VANISHES = (
    "status.unbuilt-is-not-built",
    "status.changes-only-by-a-start",
    "status.build-does-not-vanish",
)
READY_STAYS, FAILED_STAYS, ENDS = "status.ready-stays-ready", "status.failed-stays-failed", "status.build-ends"
GOOD, STEPS, TIME = "status.good-template-ends-ready", "status.ready-after-its-steps", "status.build-time-is-ms"
IN_FLIGHT, SECOND, SETTLED = "cancel.in-flight-is-202", "cancel.second-is-documented", "cancel.settled-is-idle"
FINISHED, SETTLES, NOT_READY = "cancel.finished-is-idle", "cancel.settles", "cancel.does-not-end-ready"
GOLDEN, NEIGHBOURS, NEXT = "cancel.keeps-finished-golden", "cancel.keeps-neighbours", "cancel.next-build-completes"
IDENTICAL, FLAGGED, REUSED = "reuse.only-identical-digest", "reuse.is-flagged", "reuse.only-when-reused"
REFUSED, FOREIGN, LIMITED = (
    "auth.refused-changes-nothing",
    "access.others-change-nothing",
    "limit.refused-start-starts-nothing",
)
VICTIM = "default/touchstone-t1-victim@1.0.0"
Story = tuple[Exchange, ...]
AUTO = {"auto_build": True}
KEYLESS: dict[str, Any] = {"credential": "none"}
BY_SECOND: dict[str, Any] = {"credential": "second"}
NEW: dict[str, Any] = {"digest": OTHER_DIGEST}


def read(seq: int, state: str, time_ms: Any = 800, **more: Any) -> Exchange:
    return read_build(seq, state, **({"build_time_ms": time_ms} if state == "ready" else {}), **more)


def holds(sleep_s: float = 0.0, seq: int = 1, **note: Any) -> Exchange:
    """A publish of a version with the given sleep."""
    return publish(seq, note={"sleep_s": sleep_s} | note)


def auto(seq: int, answer: str, **note: Any) -> Exchange:
    """A publish with auto_build."""
    return publish(seq, auto_build=answer, note=AUTO | note)


def other(seq: int, **more: Any) -> Exchange:
    """A publish of another version."""
    return publish(seq, OTHER_REF, content="other", digest="ef" * 32, **more)


FAILING = publish(1, note={"outcome": "failed"})
READY = (holds(), start(3), read(4, "ready"))
FAILED = (FAILING, start(3), read(4, "failed"))
SLEEPS = (holds(60.0), start(2))
PAIR = (start(2, done_at=2.5), start(3, sent_at=2.1, done_at=2.4))
# A built version whose content is replaced and then restored.
RETURNED = (holds(0.5), start(2), read(3, "ready"), forced(4), holds(0.5, 5, force=True))
NAMELESS = exchange("publishTemplate", 201, json={})
LOST_ELSEWHERE = (other(10), read(11, "failed", ref=OTHER_REF), read(12, "not_built", ref=OTHER_REF))
AFTER_CANCEL = (*SLEEPS, cancel(3), read(4, "not_built"), start(5))
UNBUILT_READ = (holds(60.0), read(2, "not_built"))
LOST_START, LOST_CANCEL = exchange("startBuild", 0, seq=3), exchange("cancelBuild", 0, seq=4)
SETTLED_STORY = (*SLEEPS, read(3, "building"), cancel(4), read(5, "not_built"))


def idle(seq: int, **more: Any) -> Exchange:
    return cancel(seq, 404, ref=OTHER_REF, **more)


OTHERS_IDLE = idle(6, credential="second")
OUTLIVED = (publish(1), start(2), read(3, "ready"), read(4, "ready"), cancel(5, ref=OTHER_REF), read(6, "ready"))
GONE_BESIDE_A_CANCEL = (read(12, "ready"), cancel(14, ref=VICTIM), read(15, "not_built"))


LOGS = {phase: exchange("streamBuildEvents", seq=3, frames=({"phase": phase},)) for phase in ("cancel", "ready")}


def begun_beside(seq: int, **more: Any) -> Exchange:
    return start(seq, ref=VICTIM, digest="ee" * 32, **more)


BLAMED: dict[str, tuple[Story, Evidence]] = {
    "ready though nobody started it": ((holds(), read(2, "ready")), [(UNBUILT, (2,))]),
    "ready after an odd publish": ((NAMELESS, holds(seq=2), read(3, "ready")), [(UNBUILT, (3,))]),
    "ready after a conflict with a build": ((holds(), forced(2, status=409, note={"force": True} | AUTO),
        read(3, "ready")), [(UNBUILT, (3,))]),
    "ready after a limited publish": ((holds(), forced(2, status=429), read(3, "ready")), [(UNBUILT, (3,))]),
    "ready by another scheme": ((holds(), read(2, "ready", credential="lowercase-scheme")), [(UNBUILT, (2,))]),
    "another end after a wrong one": ((holds(), read(2, "ready"), read(3, "failed")),
        [(UNBUILT, (2,)), (READY_STAYS, (2, 3))]),
    "a time after a finding": ((holds(0.5), read(2, "failed"), start(3), read(5, "ready", 1)),
        [(UNBUILT, (2,)), (TIME, (3, 5))]),
    "the same published again": ((publish(1), read(2, "not_built"), publish(3), read(4, "ready")), [(CHANGES, (2, 4))]),
    "a start beside another of a lost version": ((holds(), *PAIR[:1], start(3, 404, sent_at=2.1),
        read_build(4, status=404)), []),
    "a start beside another finds nothing": ((holds(), *PAIR[:1], start(3, 404, sent_at=2.1), read(4, "building")),
        [(CONCURRENT, (3,))]),
    "a conflict before a build": ((holds(), read(2, "not_built"), start(3, 409), read(4, "building")),
        [(ANSWERS, (3,)), (CHANGES, (2, 4))]),
    "a start is lost": ((holds(), start(3), read(4, "not_built")), [(VISIBLE, (3, 4))]),
    "a failing build after a conflict and a cancel elsewhere": ((holds(60.0), forced(2, status=409,
        note={"outcome": "failed"}), start(3), cancel(4, ref=OTHER_REF), read(5, "failed")), [(GOOD, (3, 5))]),
    "its log ended on a cancel": ((*SLEEPS, LOGS["cancel"], read(4, "not_built")), [(VANISHES, (2, 4))]),
    "its log ended on ready": ((*SLEEPS, LOGS["ready"], read(4, "not_built")), [(VISIBLE, (2, 4))]),
    "a golden that other idle cancels drop": ((publish(1), start(2), cancel(3, 404), read(4, "not_built"), start(5),
        read(6, "ready"), cancel(7, 404), read(8, "not_built")), [(GOLDEN, (2, 3, 4)), (GOLDEN, (7, 8))]),
    "ready too early where builds begin by themselves": ((holds(3.0), read(2, "not_built"), start(4),
        read(5, "ready"), other(10), read(11, "building", ref=OTHER_REF)), [(CHANGES, (4, 5))]),
    "the time of a cancelled build": ((publish(1), start(2), read(5, "building"), cancel(6), read(7, "ready", 100)),
        []),
    "a build vanishes": ((holds(60.0), start(2, done_at=2.5), read(3, "building", sent_at=2.5), read(4, "not_built")),
        [(VANISHES, (2, 4))]),
    "ready too early": ((holds(0.5), start(2), read(3, "ready", sent_at=2.01)), [(STEPS, (2, 3))]),
    "a publish that builds fails": ((auto(1, "building", sleep_s=60.0), read(2, "failed")), [(GOOD, (1, 2))]),
    "a build without an end": ((holds(), start(2), read(700, "building")), [(ENDS, (2, 700))]),
    "a build that may have waited for an earlier one": ((holds(), publish(1.2, OTHER_REF, content="other", **NEW),
        start(1.5, ref=OTHER_REF), start(2), read(500, "ready", ref=OTHER_REF), read(700, "building")), []),
    "a build time too long": ((holds(), start(3), read(5, "ready", 5000)), [(TIME, (3, 5))]),
    "a build time shorter than reads show": ((publish(1), start(2), read(5, "building"), read(6, "ready", 100)),
        [(TIME, (2, 6))]),
    "a failure changes": ((*FAILED, read(6, "building")), [(FAILED_STAYS, (4, 6))]),
    "a failure changes as others do": ((*FAILED, start(5, 401, **KEYLESS), read(6, "building"), *LOST_ELSEWHERE),
        [(FAILED_STAYS, (4, 6))]),
    "a failure changes after a refused key": ((*FAILED, start(5, 401, **KEYLESS), read(6, "building")),
        [(REFUSED, (5, 6))]),
    "a golden is lost after a refused key": ((*READY, start(5, 401, **KEYLESS), read(6, "not_built")),
        [(REFUSED, (5, 6))]),
    "a golden is lost after a refused key that was often harmless": ((*READY,
        *(e for n in (5, 7, 9) for e in (start(n, 401, **KEYLESS), read(n + 1, "ready"))),
        start(11, 401, **KEYLESS), read(12, "not_built")), [(READY_STAYS, (10, 12))]),
    "a golden is lost as others are": ((*READY, start(5, 401, **KEYLESS), read(6, "not_built"), *LOST_ELSEWHERE),
        [(READY_STAYS, (4, 6))]),
    "a golden is lost after another's cancel": ((*READY, cancel(5, 404, **BY_SECOND), read(6, "not_built")),
        [(FOREIGN, (5, 6))]),
    "a golden is lost after a cancel": ((*READY, cancel(5, 404), read(6, "not_built")), [(GOLDEN, (5, 6))]),
    "a golden under another digest, a limit": ((*READY, start(5, 429), read(6, "not_built", **NEW)),
        [(LIMITED, (5, 6))]),
    "a refused start, at once": ((publish(1), start(2, 401, **KEYLESS), read(3, "building")), [(REFUSED, (2, 3))]),
    "a refused start, after a read": ((publish(1), start(2, 401, **KEYLESS), read(3, "not_built"), read(4, "building")),
        [(CHANGES, (3, 4))]),
    "a limited start": ((holds(), read(2, "not_built"), start(5, 429), read(6, "ready")), [(LIMITED, (5, 6))]),
    "a conflict before a start that says ready": ((holds(), forced(2, status=409, note={}), reuse(3)), [(FRESH, (3,))]),
    "a start is refused while it builds": ((holds(0.5), start(2), start(3, 400, sent_at=2.1), read(4, "ready")),
        [(HARMLESS, (3,))]),
    "a golden is lost without a read of it": ((*RETURNED, reuse(6), read(7, "not_built")), [(READY_STAYS, (7,))]),
    "returned content has no flag": ((*RETURNED, read(6, "not_built"), start(7, state="ready")), [(FLAGGED, (7,))]),
    "new content is ready": ((*READY, forced(5), read(6, "ready")), [(IDENTICAL, (6,))]),
    "new content is ready, where publishes begin builds": ((*READY, forced(5), read(6, "ready"), other(7),
        read(8, "building", ref=OTHER_REF)), [(UNBUILT, (6,))]),
    "new content starts with a golden": ((*READY, forced(5), reuse(6)), [(IDENTICAL, (6,))]),
    "a cancel of a running build": ((*SLEEPS, cancel(4, 409)), [(IN_FLIGHT, (4,))]),
    "a cancel found nothing, and ended the build": (
        (holds(0.5), start(2), cancel(3, 404), read(4, "building"), read(5, "not_built")),
        [(IN_FLIGHT, (3, 4))],
    ),
    "a cancel found nothing": ((holds(0.5), start(2), cancel(3, 404), read(4, "building")), [(IN_FLIGHT, (3, 4))]),
    "a second cancel": ((*SLEEPS, cancel(4), cancel(5, 409)), [(SECOND, (4, 5))]),
    "a cancel of what reads ready": ((publish(1), start(2), cancel(3, 404), read(4, "ready"), cancel(5)),
        [(FINISHED, (5,))]),
    "a cancel that takes too long": ((holds(600.0), start(2), cancel(3), read(100, "building")), [(SETTLES, (3, 100))]),
    "a cancelled build ends ready": ((*SLEEPS, cancel(3), read(4, "not_built"), read(5, "ready")),
        [(NOT_READY, (4, 5))]),
    "a cancelled version builds again": ((*SETTLED_STORY, template(6), read(7, "building")), [(SETTLES, (5, 7))]),
    "a failure that no read has confirmed": ((publish(1), start(2), cancel(3, 404), cancel(4, 404), read(5, "failed")),
        [(GOOD, (2, 5))]),
    "the build after a cancel fails": ((*AFTER_CANCEL, read(7, "failed")), [(NEXT, (5, 7))]),
    "it fails, joined since": ((*AFTER_CANCEL, start(6), read(7, "failed")), [(HARMLESS, (5, 6, 7))]),
    "it fails, joined before": ((*AFTER_CANCEL, start(6), read(7, "building"), read(8, "failed")), [(NEXT, (5, 8))]),
    "gone, with no cancel": ((*SLEEPS, read(4, "building"), read(6, "not_built")), [(VANISHES, (2, 6))]),
    "gone after a cancel elsewhere": ((*SLEEPS, read(4, "building"), idle(5), read(6, "not_built")),
        [(NEIGHBOURS, (2, 5, 6))]),
    "gone after a cancel elsewhere, never read": ((*SLEEPS, idle(4), read(5, "not_built")), [(NEIGHBOURS, (2, 4, 5))]),
    "joined and gone after a cancel elsewhere that came after the steps of another": (
        (*SLEEPS, start(3), other(4, note={"sleep_s": 0.5}), start(5, ref=OTHER_REF), cancel(6, ref=VICTIM),
        read(7, "ready", ref=OTHER_REF), read(8, "not_built")), [(NEIGHBOURS, (2, 6, 8))]),
    "gone after one by another case": ((*SLEEPS, idle(4, case="b"), read(5, "not_built")), [(VISIBLE, (2, 5))]),
    "gone after another account's cancel": ((*SLEEPS, read(4, "building"), idle(5, credential="second"),
        read(6, "not_built")), [(VANISHES, (2, 6))]),
    "gone after a cancel before the read": ((*SLEEPS, idle(4), read(5, "building"), OTHERS_IDLE, read(8, "not_built")),
        [(VANISHES, (2, 8))]),
    **{
        f"a golden gone beside a cancel, {name}": (
            (*OUTLIVED, *beside, *GONE_BESIDE_A_CANCEL),
            [(NEIGHBOURS, (14, 15))],
        )
        for name, beside in {
            "nothing begun": (),
            "begun by another account": (begun_beside(13, credential="second"),),
            "begun before": (begun_beside(8),),
        }.items()
    },
}  # fmt: skip


@cases("story expected", BLAMED)
def test_broken_server_is_blamed_once_with_what_shows_it(story: Story, expected: Evidence) -> None:
    assert findings(RULES, *story) == expected


LATE_FAILURE = read(15, "failed", sent_at=15.0, done_at=17.0)
CONTRADICTING = (publish(1), start(2), cancel(3, 404), cancel(4), cancel(5, ref=OTHER_REF))
BOTH = (holds(60.0), start(2, sent_at=2.0, done_at=3.0), cancel(3, sent_at=2.5, done_at=3.5))

SILENT: dict[str, Story] = {
    "a fifth status": (publish(1), read(2, "odd")),
    "a status that is no text": (publish(1), read(2, "ready", json={"status": ["ready"]})),
    "a read that failed": (publish(1), exchange(status=500, json=build("ready"), seq=2)),
    "a HEAD": (publish(1), read(2, "ready", method="HEAD")),
    "two accounts have the name": (publish(1), publish(2, **BY_SECOND), read(3, "ready")),
    "another version shares the digest": (publish(1), publish(2, OTHER_REF, content="other"), read(3, "ready")),
    "another version prints the same": (publish(1, OTHER_REF, digest=""), publish(2, digest=""), reuse(3)),
    "a start without answer": (publish(1), start(2, 0), read(3, "ready")),
    "a start without answer acts late": (publish(1), start(2, 0), read(3, "not_built"), read(4, "building")),
    "a start on its way": (publish(1), start(2, done_at=9.0), read(3, "ready")),
    "a start that failed": (publish(1), start(2, 502), read(3, "ready")),
    "another account's accepted start": (holds(), start(2, **BY_SECOND), read(3, "building")),
    "a publish without answer": (publish(1, status=0, json=None), read(2, "ready")),
    "a lost delete": (publish(1), delete(2, 0), read(3, "ready")),
    "a delete": (publish(1), delete(2), read(3, "ready")),
    "it was built before it was known": (start(1), holds(seq=2), read(3, "ready")),
    "it was built and cancelled before": (start(1), cancel(2), holds(seq=3), read(4, "ready")),
    "a limited publish with a build": (holds(60.0),
        publish(2, status=429, auto_build="building", note=AUTO | {"sleep_s": 60.0}), read(3, "ready")),
    "a lost publish that builds": (publish(1, status=502, note=AUTO), holds(seq=2), read(3, "ready")),
    "content that nobody knows": (publish(1, sent_at=0.5), NAMELESS, read(3, "ready")),
    "a build of the same name": (publish(1), start(2), forced(3), read(4, "ready")),
    "new content under the old digest": (*READY, forced(5, digest=DIGEST), read(6, "ready")),
    "the same by force": (*READY, publish(5, note={"force": True}), read(6, "not_built")),
    "content that returned": (*RETURNED, reuse(6, 200), read(7, "ready")),
    "a conflict that replaced it": (*READY, publish(5, content="new", status=409), read(6, "not_built", **NEW)),
    "a start answered early": (holds(0.5), start(2, done_at=3.0), reuse(3, sent_at=2.1, done_at=2.9, build_time_ms=500),
        read(4, "ready")),
    "a cancel beside a start": (holds(60.0), start(2, done_at=3.0), cancel(3, sent_at=2.5, done_at=2.8),
        read(4, "not_built")),
    "a cancel and a start, gone": (*BOTH, read(4, "not_built")),
    "a cancel and a start, building": (*BOTH, read(4, "building")),
    "a start beside a cancel": (holds(3.0), start(2), cancel(3, done_at=4.0), start(4, sent_at=3.5, done_at=3.8),
        read(7, "ready")),
    "a cancel too late": (holds(0.5), start(2), cancel(3), read(4, "ready")),
    "a cancel was lost, and acted": (*SLEEPS, cancel(3, 0), read(4, "not_built")),
    "a cancel failed": (*SLEEPS, cancel(3, 500)),
    "a cancel by another method": (*SLEEPS, cancel(3, 200, method="OPTIONS")),
    "a cancel found nothing, and it is gone": (*SLEEPS, cancel(3, 404), read(4, "not_built")),
    "a cancel found nothing, and a start joins": (holds(30.0), start(20), cancel(49, 404), start(50),
        read(54, "ready", 31_000)),
    **{
        f"cancels that contradict, {status}": (*CONTRADICTING, read(6, status))
        for status in ("not_built", "failed", "ready")
    },
    "cancels that contradict, a long build time": (*CONTRADICTING, read(6, "ready", 99_000)),
    "a failure that a cancel confirms": (publish(1, note={"outcome": "failed", "sleep_s": 3.0}), start(2),
        read(9, "failed"), start(10), cancel(16, 404), LATE_FAILURE),
    "a digest that is a list": (holds(0.5), start(2), read(3, "building"), read(4, "ready", digest=["ab"])),
    "a limit refuses with 400": (*READY, reuse(5, 200), start(6, 400), reuse(7, 200)),
    **{f"a start is answered {status}": (holds(), start(2, status)) for status in (401, 404, 429, 500)},
    **{f"a build time is {time!r}": (holds(0.5), start(3), read(5, "ready", time)) for time in (True, "1200", None)},
    "a build time as reads show": (publish(1), start(2), read(5, "building"), read(6, "ready", 3100)),
    **{
        f"a publish that says {answer} reads {status}": (auto(1, answer), read(2, status))
        for answer, status in (
            ("building", "building"),
            ("building", "ready"),
            ("building", "not_built"),
            ("ready", "ready"),
            ("queued", "not_built"),
            ("queued", "building"),
        )
    },
    **{
        f"a golden that a publish calls {answer}": (*READY, auto(5, answer), read(6, "ready", reused=True))
        for answer in ("building", "ready", "queued")
    },
}  # fmt: skip


@cases("story", SILENT)
def test_what_something_explains_blames_nobody(story: Story) -> None:
    assert findings(RULES, *story) == []


@pytest.mark.parametrize("answer", ["building", "ready", "queued"])
def test_ready_version_is_not_built_again_by_a_publish(answer: str) -> None:
    assert findings(RULES, *READY, auto(5, answer), read(6, "building"))[-1][0] == READY_STAYS


BEGUN: Evidence = [(ANSWERS, (3,)), (FRESH, (3,))]
UPHELD: dict[str, tuple[Story, Evidence]] = {
    "nobody starts it": ((holds(), read(2, "not_built"), read(3, "not_built")),
        [(UNBUILT, (2,)), (UNBUILT, (3,)), (CHANGES, (2, 3))]),
    "it builds": ((holds(60.0), read(2, "not_built"), start(3), read(4, "building"), read(5, "building")),
        [(UNBUILT, (2,)), *BEGUN, (WAITS, (3,)), (VISIBLE, (3, 4))]),
    "it ends ready": ((holds(0.5), start(3), read(4, "building"), read(5, "ready"), read(6, "ready")),
        [*BEGUN, (WAITS, (3,)), (VISIBLE, (3, 4)), (ENDS, (3, 5)), (VANISHES, (3, 5)), (GOOD, (3, 5)), (STEPS, (3, 5)),
        (REUSED, (3, 5)), (TIME, (3, 5)), (READY_STAYS, (5, 6)), (REUSED, (3, 6))]),
    "it ends failed": ((*FAILED, read(6, "failed")),
        [*BEGUN, (VISIBLE, (3, 4)), (ENDS, (3, 4)), (VANISHES, (3, 4)), ("status.failing-template-ends-failed", (3, 4)),
        (FAILED_STAYS, (4, 6))]),
    "it is cancelled and started again": ((holds(60.0), start(3), cancel(4), read(5, "not_built"), read(6, "not_built"),
        cancel(7, 404), start(8), read(9, "building")),
        [*BEGUN, (WAITS, (3,)), (IN_FLIGHT, (4,)), (SETTLES, (4, 5)), (NOT_READY, (4, 5)), (SETTLED, (7,)),
        ("cancel.says-idle", (7,)), (ANSWERS, (8,)), (AGAIN, (8,)), (FRESH, (8,)), (WAITS, (8,)), (VISIBLE, (8, 9))]),
}  # fmt: skip


@cases("story expected", UPHELD)
def test_correct_server_upholds_what_it_could_have_broken(story: Story, expected: Evidence) -> None:
    assert sorted(upheld(RULES, *story)) == sorted(expected)
    assert findings(RULES, *story) == []


OTHERS_CANCEL = (holds(), read(2, "not_built"), cancel(3, **BY_SECOND), start(4))
DELETED_SINCE = (*SLEEPS, cancel(3), read(4, "not_built"), delete(5), holds(0.5, 6), start(7), read(8, "ready"))
AFTER_FAILURE = (FAILING, start(2), read(3, "failed"), start(4), read(5, "building"), read(6, "failed"))
UNKNOWN_END = (holds(0.5, outcome="unknown"), start(2), read(3, "ready"))


@cases(
    "story claim expected",
    {
        "a cancel too late": ((holds(0.5), start(2), cancel(3), read(4, "ready")), NOT_READY, []),
        "a cancel too late settles": ((holds(0.5), start(2), cancel(3), read(4, "ready")), SETTLES, [(3, 4)]),
        "an unknown end": (UNKNOWN_END, GOOD, []),
        "no sleep": (READY, STEPS, []),
        "a failure after its steps": ((publish(1, note={"outcome": "failed", "sleep_s": 0.5}), start(2),
            read(3, "failed")), STEPS, []),
        "a refused key": ((*READY, start(5, 401, **KEYLESS), read(6, "ready")), REFUSED, [(5, 6)]),
        "nothing bounds its time": (READY, TIME, []),
        "a short sleep": ((holds(0.001), start(3), read(4, "ready")), TIME, [(3, 4)]),
        "another's cancel before its start": (OTHERS_CANCEL, FRESH, [(4,)]),
        "another's cancel settles nothing": (OTHERS_CANCEL, AGAIN, []),
        "another's start beside it": ((holds(2.0), start(2), start(3, **BY_SECOND), read(6, "ready", 1)), TIME, []),
        "cancelled before it was deleted": (DELETED_SINCE, NEXT, []),
        "the build after a failure": (AFTER_FAILURE, "start.after-failure-builds-again", [(4,), (4, 6)]),
        "a start after a finding": ((holds(0.5), read(2, "failed"), start(3)), FRESH, [(3,)]),
        "a conflict beside another start": ((holds(), PAIR[0], start(3, 409, sent_at=2.1)), CONCURRENT, [(3,), (2,)]),
        "starts at once, joined later": ((holds(5.0), *PAIR, start(4), read(8, "ready")), SHARE, [(2, 8)]),
        "starts at once, while it ran": ((holds(5.0), start(2), start(3, done_at=3.5),
            start(4, sent_at=3.1, done_at=3.4), read(8, "ready")), SHARE, [(2, 8)]),
        "a start and a conflict at once": ((publish(1), start(2, done_at=2.5), start(3, 409, sent_at=2.1, done_at=2.4),
            read(4, "ready")), SHARE, [(2, 4)]),
        "over one way or the other": ((holds(outcome="unknown"), start(2), cancel(3, 404), cancel(4, 404)), FINISHED,
            [(4,)]),
    },
)  # fmt: skip
def test_claim_is_upheld_where_it_could_have_been_broken(story: Story, claim: str, expected: list[Any]) -> None:
    assert [evidence for name, evidence in upheld(RULES, *story) if name == claim] == expected


@cases(
    "facts expected",
    {
        "plain": ({}, "broken"),
        "escaped letters": ({"path": "/templates/default/touchstone%2Dt1-hello/1.0.0/build"}, "broken"),
        "an odd path": ({"path": "/templates//default/touchstone-t1-hello/1.0.0/build"}, ""),
        "HEAD": ({"method": "HEAD"}, ""),
        "another account": (BY_SECOND, ""),
        "401": ({"status": 401}, ""),
        "429": ({"status": 429}, ""),
        "503": ({"status": 503}, ""),
        "no answer": ({"status": 0}, ""),
        "an odd Accept": ({"status": 406, "request_headers": {"accept": "image/png"}}, ""),
    },
)
def test_cancel_is_judged_where_it_was_plainly_the_owners(facts: dict[str, Any], expected: str) -> None:
    assert outcome(RULES, IN_FLIGHT, *SLEEPS, cancel(3, **({"status": 404} | facts)), read(4, "building")) == expected


def shows(seq: int, status: int = 200, operation: str = "getBuild", **more: Any) -> Exchange:
    return exchange(operation, status, **({"json": build("not_built") if status == 200 else ERROR, "seq": seq} | more))


@cases(
    "story expected",
    {
        "nothing else": ((), "broken"),
        "missing before": ((shows(2, 404),), ""),
        "a missing document": ((shows(2, 404, "getTemplate"),), ""),
        "a missing start": ((shows(2, 404, "startBuild"),), ""),
        "missing after": ((shows(6, 404),), ""),
        "another account": ((shows(2, 404, credential="second"),), "broken"),
        "found since": ((shows(2, 404), shows(3)), "broken"),
        "missing since": ((shows(2), shows(3, 404)), ""),
        "found, and missing later": ((shows(6), shows(7, 404)), "broken"),
    },
)
def test_idle_cancel_has_status_idle_if_the_version_is_found(story: Story, expected: str) -> None:
    assert outcome(RULES, "cancel.says-idle", holds(), cancel(5, 404, json=ERROR), *story) == expected


@cases(
    "before",
    {
        "new": (publish(),),
        "ready": (publish(), start(2), read(3, "ready")),
        "building": SLEEPS,
        "cancelled": (*SLEEPS, cancel(3)),
    },
)
def test_start_without_an_object_is_judged_by_its_status(before: Story) -> None:
    assert findings(RULES, *before, exchange("startBuild", 202, seq=5, body=b'{"status": "building"}' * 2)) == []
    assert findings(RULES, *before, exchange("startBuild", 400, seq=5, body=b"no"))


def test_start_that_a_limit_refuses_otherwise_shows_nothing_of_the_build() -> None:
    story = (*READY, reuse(5, 200), start(6, 409))
    elsewhere = (other(8), start(9, 409, ref=OTHER_REF))

    assert findings(RULES, *story) == [("reuse.status-code", (6,)), ("reuse.ready-at-once", (6,))]
    assert findings(RULES, *story, reuse(7, 200)) == []
    assert findings(RULES, *story, *elsewhere, ref=OTHER_REF) == [(ANSWERS, (9,))]
    assert findings(RULES, *story, reuse(7, 200), *elsewhere, ref=OTHER_REF) == []


@pytest.mark.parametrize(("elsewhere_at", "expected"), [(2.5, []), (9.0, [(TIME, (21, 30))])])
def test_short_build_time_may_be_true_where_builds_leave_out_their_steps(
    elsewhere_at: float, expected: Evidence
) -> None:
    hurried = [
        other(10, sent_at=1.0, note={"sleep_s": 5.0}),
        start(11, ref=OTHER_REF, sent_at=2.0),
        read(12, "ready", ref=OTHER_REF, sent_at=elsewhere_at),
    ]
    story = [holds(3.0, 20), start(21), read(30, "ready", 1)]

    assert findings(RULES, *hurried, *story) == expected


def slow(seq: int, ref: str = REF) -> Story:
    """A version with a start whose response comes after its steps."""
    digest = f"{seq:02x}" * 32
    return (
        publish(seq, ref, content=ref, digest=digest, note={"sleep_s": 0.5}),
        start(seq + 1, ref=ref, digest=digest, done_at=seq + 1.6),
    )


def test_starts_that_are_all_slow_wait() -> None:
    ready = read(5, "ready")

    assert outcome(RULES, WAITS, *slow(1), ready) == "indeterminate"
    assert outcome(RULES, WAITS, *slow(1), ready, *slow(10, OTHER_REF)) == "broken"
    assert outcome(RULES, WAITS, *slow(1), read(5, "building"), *slow(10, OTHER_REF)) == ""


def test_cancels_that_contradict_each_other_are_indeterminate() -> None:
    assert outcome(RULES, IN_FLIGHT, holds(30.0), start(20), cancel(49, 404), start(50)) == "indeterminate"
    assert outcome(RULES, FINISHED, publish(1), start(2), cancel(3, 404), cancel(4)) == "indeterminate"


def test_given_version_is_judged_from_its_first_read() -> None:
    assert verdicts(RULES, read(1, "not_built"), start(2), read(3, "not_built")) == set()
    assert findings(RULES, read(1, "ready"), read(2, "ready"), given=given_by()) == []
    assert findings(RULES, read(1, "ready"), read(2, "not_built"), given=given_by()) == [(READY_STAYS, (1, 2))]
    assert findings(RULES, read(1, "not_built"), read(2, "ready"), given=given_by()) == [(CHANGES, (1, 2))]
    failing = given_by(outcome="failed")
    assert findings(RULES, read(1, "building"), read(2, "ready"), given=failing) == [(CHANGES, (1, 2))]


@cases(
    "story expected",
    {
        "a start": ((*UNBUILT_READ, LOST_START, read(4, "building"), read(9, "not_built")), {VANISHES}),
        "an unknown start": ((holds(60.0), LOST_START, read(4, "building"), read(9, "not_built")), set()),
        "a start, and another": (
            (*UNBUILT_READ, LOST_START, start(4), read(5, "building"), cancel(6),
             read(7, "not_built"), read(9, "building")), set()),
        "a cancel": (
            (*SLEEPS, read(3, "building"), LOST_CANCEL, read(5, "not_built"), start(6), read(8, "not_built")),
            {NEXT}),
        "a later cancel": ((*SLEEPS, read(3, "building"), LOST_CANCEL, start(6), read(8, "not_built")), set()),
    },
)  # fmt: skip
def test_request_without_a_response_has_one_effect(story: Story, expected: set[str]) -> None:
    assert {claim for claim, _ in findings(RULES, *story)} == expected
