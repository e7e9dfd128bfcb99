"""The life of a build in small stories: everything that the rule says of each, with the exchanges that show it."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, broken, build, exchange, publish, story_rules, story_verdicts
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange

Held = list[tuple[str, tuple[int, ...]]]


def start(seq: int, status: int = 202, **facts: Any) -> Exchange:
    return exchange("startBuild", status, **({"json": build(), "seq": seq} | facts))


def cancel(seq: int, status: int = 202, **facts: Any) -> Exchange:
    body = {"status": "cancelling" if status == 202 else "idle"}
    return exchange("cancelBuild", status, **({"json": body, "seq": seq} | facts))


def read(seq: int, status: str, **facts: Any) -> Exchange:
    times = {"build_time_ms": 800} if status == "ready" else {}
    return exchange(**({"json": build(status, **times), "seq": seq} | facts))


def made(seconds: float = 0.0, seq: int = 1, **note: Any) -> Exchange:
    """The publish of a version whose steps sleep so long."""
    facts = {key: note.pop(key) for key in ("status",) if key in note}
    return publish(seq, note={"sleep_s": seconds} | note, **facts)


AUTO: dict[str, Any] = {"auto_build": True}
BEGUN: Held = [("start.answers-202", (3,)), ("start.fresh-is-building", (3,))]
WHOLE: list[tuple[str, list[Exchange], Held]] = [
    (
        "nobody starts it",
        [made(), read(2, "not_built"), read(3, "not_built")],
        [
            ("status.unbuilt-is-not-built", (2,)),
            ("status.unbuilt-is-not-built", (3,)),
            ("status.changes-only-by-a-start", (2, 3)),
        ],
    ),
    (
        "it builds",
        [made(60.0), read(2, "not_built"), start(3), read(4, "building"), read(5, "building")],
        [
            ("status.unbuilt-is-not-built", (2,)),
            *BEGUN,
            ("start.does-not-wait", (3,)),
            ("start.visible-to-next-read", (3, 4)),
        ],
    ),
    (
        "it ends ready",
        [made(0.5), start(3), read(4, "building"), read(5, "ready"), read(6, "ready")],
        [
            *BEGUN,
            ("start.does-not-wait", (3,)),
            ("start.visible-to-next-read", (3, 4)),
            ("status.build-ends", (3, 5)),
            ("status.build-does-not-vanish", (3, 5)),
            ("status.good-template-ends-ready", (3, 5)),
            ("status.ready-after-its-steps", (3, 5)),
            ("reuse.only-when-reused", (3, 5)),
            ("status.build-time-is-ms", (3, 5)),
            ("status.ready-stays-ready", (5, 6)),
            ("reuse.only-when-reused", (3, 6)),
        ],
    ),
    (
        "it ends failed",
        [publish(1, note={"outcome": "failed"}), start(3), read(4, "failed"), read(6, "failed")],
        [
            *BEGUN,
            ("start.visible-to-next-read", (3, 4)),
            ("status.build-ends", (3, 4)),
            ("status.build-does-not-vanish", (3, 4)),
            ("status.failing-template-ends-failed", (3, 4)),
            ("status.failed-stays-failed", (4, 6)),
        ],
    ),
    (
        "it is cancelled and started again",
        [
            made(60.0),
            start(3),
            cancel(4),
            read(5, "not_built"),
            read(6, "not_built"),
            cancel(7, 404),
            start(8),
            read(9, "building"),
        ],
        [
            *BEGUN,
            ("start.does-not-wait", (3,)),
            ("cancel.in-flight-is-202", (4,)),
            ("cancel.settles", (4, 5)),
            ("cancel.does-not-end-ready", (4, 5)),
            ("cancel.settled-is-idle", (7,)),
            ("cancel.says-idle", (7,)),
            ("start.answers-202", (8,)),
            ("start.after-cancel-builds-again", (8,)),
            ("start.fresh-is-building", (8,)),
            ("start.does-not-wait", (8,)),
            ("start.visible-to-next-read", (8, 9)),
        ],
    ),
]


@pytest.mark.parametrize(("story", "held"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_story_of_a_correct_server_upholds_what_it_could_have_broken(story: list[Exchange], held: Held) -> None:
    """Each claim that was at stake, with the exchanges that show it, and no other."""
    assert sorted(shown_by(story_rules("building"), *story)) == sorted(held)
    assert story_findings(story_rules("building"), *story) == []


KEYLESS = {"credential": "none", "json": {"error": "no"}}
READY = [made(), start(3), read(4, "ready")]
FAILED = [publish(1, note={"outcome": "failed"}), start(3), read(4, "failed")]
BROKEN: list[tuple[list[Exchange], tuple[str, tuple[int, ...], str, str]]] = [
    ([made(), read(2, "ready")], ("status.unbuilt-is-not-built", (2,), "status not_built", "status ready")),
    (
        [made(), start(3), read(4, "not_built")],
        ("start.visible-to-next-read", (3, 4), "status building or ready", "status not_built"),
    ),
    (
        [*FAILED, start(5, 401, **KEYLESS), read(6, "building")],
        ("auth.refused-changes-nothing", (5, 6), "status failed", "status building"),
    ),
    ([*FAILED, read(6, "building")], ("status.failed-stays-failed", (4, 6), "status failed", "status building")),
    (
        [*READY, start(5, 401, **KEYLESS), read(6, "not_built")],
        ("auth.refused-changes-nothing", (5, 6), "status ready", "status not_built"),
    ),
    (
        [*READY, cancel(5, 404, credential="second"), read(6, "not_built")],
        ("access.others-change-nothing", (5, 6), "status ready", "status not_built"),
    ),
    (
        [*READY, cancel(5, 404), read(6, "not_built")],
        ("cancel.keeps-finished-golden", (5, 6), "status ready", "status not_built"),
    ),
    (
        [made(), read(2, "not_built"), start(5, 429), read(6, "ready")],
        ("limit.refused-start-starts-nothing", (5, 6), "status not_built", "status ready"),
    ),
    (
        [made(60.0), start(2, done_at=2.5), read(3, "building", sent_at=2.5), read(4, "not_built")],
        ("status.build-does-not-vanish", (2, 4), "status building", "status not_built"),
    ),
    (
        [publish(1, note=AUTO | {"sleep_s": 2.0}, auto_build="building"), read(2, "ready")],
        ("status.ready-after-its-steps", (1, 2), "status building", "status ready"),
    ),
    (
        [publish(1, note=AUTO | {"sleep_s": 60.0}, auto_build="building"), read(2, "failed")],
        ("status.good-template-ends-ready", (1, 2), "status building", "status failed"),
    ),
    (
        [made(60.0), start(3), cancel(4), cancel(5, 409)],
        ("cancel.second-is-documented", (4, 5), "202 or 404", '409 {"status": "idle"}'),
    ),
    (
        [made(60.0), start(3), cancel(4, 409)],
        ("cancel.in-flight-is-202", (4,), "202", '409 {"status": "idle"}'),
    ),
]


@pytest.mark.parametrize(("story", "said"), BROKEN, ids=[f"{said[0]} {said[3]}" for _, said in BROKEN])
def test_story_of_a_broken_server_is_told_once(
    story: list[Exchange], said: tuple[str, tuple[int, ...], str, str]
) -> None:
    """One finding, with what was possible, what was seen, and the request that seems to be to blame."""
    assert story_findings(story_rules("building"), *story) == [said]


def blamed(*story: Exchange) -> set[str]:
    return broken(story_verdicts(story_rules("building"), *story))


NAMELESS = exchange("publishTemplate", 201, json={})
SILENT: list[tuple[str, list[Exchange]]] = [
    ("it was built before anybody knew what it holds", [start(1), made(seq=2), read(3, "ready")]),
    ("it was built and cancelled before that", [start(1), cancel(2), made(seq=3), read(4, "ready")]),
    ("another account's start was accepted", [made(), start(2, credential="second"), read(3, "building")]),
    (
        "it was published again, and its build met a limit",
        [made(60.0), made(60.0, 2, status=429, auto_build=True), read(3, "ready")],
    ),
    ("a publish that builds was lost", [publish(1, status=502, note=AUTO), made(seq=2), read(3, "ready")]),
    ("nobody knows what was published last", [publish(1, sent_at=0.5), NAMELESS, read(3, "ready")]),
    ("a cancel found nothing, and the build is gone", [made(60.0), start(2), cancel(3, 404), read(4, "not_built")]),
    ("a cancel failed", [made(60.0), start(2), cancel(3, 500)]),
    ("a cancel by another method", [made(60.0), start(2), cancel(3, 200, method="OPTIONS")]),
]


@pytest.mark.parametrize("story", [story for _, story in SILENT], ids=[name for name, _ in SILENT])
def test_story_that_something_explains_blames_nobody(story: list[Exchange]) -> None:
    """Whatever may have been the case cannot be held against the server."""
    assert blamed(*story) == set()


def test_cancel_before_the_publish_built_nothing() -> None:
    """Unlike a start, which may have."""
    assert blamed(cancel(1), made(seq=2), read(3, "ready")) == {"status.unbuilt-is-not-built"}


def test_publish_of_nobody_knows_what_is_forgotten_after_the_next() -> None:
    """Once it is known again what the version holds, it is not built."""
    assert blamed(NAMELESS, made(seq=2), read(3, "ready")) == {"status.unbuilt-is-not-built"}


def test_publish_that_is_answered_with_200_counts() -> None:
    """Every status of success put the content there."""
    assert blamed(publish(1, status=200), read(2, "ready")) == {"status.unbuilt-is-not-built"}


def test_build_that_may_have_begun_by_a_lost_start_has_no_time_to_compare() -> None:
    """Nobody knows when it began."""
    odd = exchange(json=build("ready", build_time_ms=1), seq=5)

    assert story_verdicts(story_rules("building"), made(0.5), start(2, 502), read(3, "building"), odd) == set()


def test_golden_that_is_lost_everywhere_is_nobodys_doing() -> None:
    """Where another finished version changed by itself, the refused request is not to blame."""
    elsewhere = [
        publish(10, OTHER_REF, content="other", digest="cd" * 32),
        exchange(seq=11, ref=OTHER_REF, json=build("failed", OTHER_REF)),
        exchange(seq=12, ref=OTHER_REF, json=build("not_built", OTHER_REF)),
    ]
    refused = start(5, 401, **KEYLESS)

    assert blamed(*READY, refused, read(6, "not_built"), *elsewhere) == {"status.ready-stays-ready"}
    assert blamed(*FAILED, refused, read(6, "building"), *elsewhere) == {"status.failed-stays-failed"}


def built_automatically(status: str, told: str = "building", **more: Any) -> set[tuple[str, str]]:
    """A version that is ready and is published again with auto_build, and what it reads then."""
    again = publish(4, auto_build=told, note={"sleep_s": 0.0} | AUTO)
    after = exchange(json=build(status, **({"build_time_ms": 800} if status == "ready" else {}), **more), seq=5)
    return story_verdicts(story_rules("building"), made(), start(2), read(3, "ready"), again, after)


@pytest.mark.parametrize("told", ["building", "ready", "queued"])
def test_ready_version_is_not_built_again_by_a_publish(told: str) -> None:
    """Whatever the publish calls it, the golden is there, and reads may say that it was used once more."""
    assert ("status.ready-stays-ready", "broken") in built_automatically("building", told)
    assert broken(built_automatically("ready", told, reused=True)) == set()
