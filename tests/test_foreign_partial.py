"""A file shows a part of what happened to an account: what is given, what may be concluded, and what may not."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.foreign_files import (
    PATH,
    REF,
    Seen,
    broken,
    cancel,
    found,
    judged,
    log,
    publish,
    read_har,
    start,
    status_read,
)
from tests.rules.exchanges import DIGEST
from tests.rules.simulated import Manners, Recipe, Server, Step, play
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Judgement
from touchstone.recordings import replay as partial
from touchstone.recordings.foreign import given, noted
from touchstone.recordings.recording import Recording, Terms

MISSING: dict[str, Any] = {"status": 404, "answer": {"error": "No such template version."}}
OURS = "default/touchstone-t1-x@1.0.0"
REUSED = {"ref": REF, "digest": DIGEST, "status": "ready", "build_time_ms": 1200, "reused": True}
OTHER_DIGEST: dict[str, Any] = {"fields": {"digest": "cd" * 32}}


@pytest.mark.parametrize(
    ("first", "is_given"),
    [
        (status_read("building", 0.0), True),
        (start(0.0), True),
        (cancel(0.0), True),
        (log(0.0), True),
        (Seen(path=PATH, answer={"ref": REF, "digest": DIGEST, "template": {}}), True),
        (Seen(method="DELETE", path=PATH, answer={"deleted": True}), True),
        (publish(0.0, status=409, answer={"error": "There is one."}), True),
        (publish(0.0), False),
        (Seen(**MISSING), False),
        (start(0.0, **MISSING), False),
    ],
)
def test_version_that_is_found_before_it_is_published_was_there(first: Seen, is_given: bool) -> None:
    """
    The first answer that can tell decides whether a version was there when the file begins; how it ends is unknown.
    """
    recording = read_har(first, status_read("not_built", 1.0))

    assert [(one.ref, one.owner, one.outcome) for one in recording.terms.given] == [
        (REF, "primary", "unknown")
    ] * is_given


@pytest.mark.parametrize(
    "silent",
    [
        cancel(0.0, 404),
        start(0.0, status=429, answer={"error": "Slow down."}),
        start(0.0, status=403, answer={"error": "Upgrade."}),
        Seen(status=401, answer={"error": "Missing API key."}, key=None),
        Seen(status=503, answer={"error": "Down."}),
        Seen(method="HEAD", text=None),
        log(0.0, text=""),
        log(0.0, **MISSING, kind="application/json", text='{"error": "No log."}'),
    ],
)
def test_answer_that_does_not_tell_is_passed_over(silent: Seen) -> None:
    """What is answered alike for a version that is there and for one that is not decides nothing."""
    recording = read_har(silent, status_read("not_built", 1.0))

    assert [one.ref for one in recording.terms.given] == [REF]


@pytest.mark.parametrize(
    "story",
    [
        [status_read("building", 0), status_read("building", 1), status_read("ready", 2), status_read("ready", 3)],
        [status_read("failed", 0), start(1), status_read("building", 2), status_read("failed", 3)],
        [cancel(0), status_read("not_built", 1), cancel(2, 404)],
        [cancel(0), status_read("building", 1), status_read("failed", 2)],
        [log(0, receive_s=2), status_read("ready", 3), start(4, answer=REUSED)],
        [status_read("ready", 0), cancel(1, 404), status_read("ready", 2)],
        [start(0), status_read("building", 1), cancel(2), status_read("not_built", 3)],
    ],
)
def test_version_that_was_there_may_be_in_any_state(story: list[Seen]) -> None:
    """A file that begins in the midst of a story is judged, and a correct one breaks nothing."""
    assert broken(judged(read_har(*story))) == set()


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([Seen(**MISSING), status_read("ready", 1)], id="published elsewhere"),
        pytest.param([status_read("ready", 0), Seen(at=1, **MISSING)], id="deleted elsewhere"),
        pytest.param([publish(0), Seen(at=1, **MISSING), publish(2, **OTHER_DIGEST)], id="deleted and published anew"),
        pytest.param([publish(0), status_read("ready", 1)], id="built the day before"),
        pytest.param([status_read("not_built", 0), status_read("building", 1)], id="started elsewhere"),
        pytest.param([start(0), status_read("building", 1), status_read("not_built", 2)], id="cancelled elsewhere"),
        pytest.param([start(0), status_read("building", 1), cancel(2, 404)], id="cancelled and found idle"),
        pytest.param([status_read("ready", 0), status_read("building", 1)], id="replaced and started elsewhere"),
        pytest.param([status_read("ready", 0), status_read("ready", 1, **OTHER_DIGEST)], id="replaced elsewhere"),
        pytest.param(
            [start(0), status_read("building", 1), cancel(2), status_read("ready", 3)],
            id="cancelled, then built",
        ),
        pytest.param(
            [status_read("ready", 0), status_read("ready", 1, fields={"build_time_ms": 77})], id="built again elsewhere"
        ),
        pytest.param(
            [start(0), log(0.1, "boot", "cancel", receive_s=1), status_read("ready", 2)], id="cancelled and built again"
        ),
        pytest.param([publish(0), start(1, **MISSING)], id="start of what was deleted elsewhere"),
        pytest.param(
            [
                Seen(path="/templates/default/touchstone-t1-x/1.0.0/build", **MISSING),
                status_read("ready", 1, path="/templates/default/touchstone-t1-x/1.0.0/build", fields={"ref": OURS}),
            ],
            id="of a run of ours",
        ),
    ],
)
def test_contradiction_that_another_client_may_explain_is_no_finding(story: list[Seen]) -> None:
    """Whatever follows only if nobody else used the account in the meantime is left open."""
    said = judged(read_har(*story))
    doubted = [partial.doubted(judgement) for judgement in said]

    assert broken(doubted) == set()
    assert all(partial.WHY in new.actual for old, new in zip(said, doubted, strict=True) if old != new)


def judgement(claim: str, check: str, *evidence: int) -> Judgement:
    return Judgement(claim, "broken", check, "getBuild", evidence or (1,), "this", "that")


@pytest.mark.parametrize(
    "sure",
    [
        judgement("status.is-one-of-four", "shape.object"),
        judgement("reuse.is-flagged", "building.life-cycle", 3),
        judgement("reuse.is-flagged", "digests.shared", 1, 3),
        judgement("publish.auto-build-starts", "publishing.auto-build"),
        judgement("publish.auto-build-only-when-asked", "publishing.auto-build"),
        judgement("events.timestamps-are-true", "stamps.clock"),
    ],
)
def test_finding_that_nobody_else_can_explain_stays(sure: Judgement) -> None:
    """What one answer says by itself is wrong, whoever else is at work."""
    assert partial.doubted(sure) is sure


@pytest.mark.parametrize(
    "unsure",
    [
        judgement("status.ready-stays-ready", "building.life-cycle", 1, 2),
        judgement("lookup.existing-version-is-found", "lookup.own"),
        judgement("publish.auto-build-starts", "publishing.auto-build", 1, 2),
        judgement("events.timestamps-are-true", "stamps.one-time", 1, 2),
        judgement("limit.ends-after-back-off", "room.free", 1, 2, 3),
        judgement("anything", "a.rule-that-is-made-later"),
    ],
)
def test_finding_that_the_unseen_may_explain_is_left_open(unsure: Judgement) -> None:
    """It says why, and what was seen; a rule that nobody has thought about here is not trusted."""
    doubted = partial.doubted(unsure)

    assert (doubted.outcome, doubted.claim, doubted.evidence) == ("indeterminate", unsure.claim, unsure.evidence)
    assert doubted.actual.startswith(partial.WHY)
    assert doubted.actual.endswith("that")


def test_claim_that_held_is_not_doubted() -> None:
    """Only what is broken is looked at again."""
    held = replace(judgement("status.ready-stays-ready", "building.life-cycle", 1, 2), outcome="held")

    assert partial.doubted(held) is held


REFS = ("default/page-a@1.0.0", "default/page-b@1.0.0")
RECIPES = (Recipe("a", sleep_ms=30), Recipe("b", "failed", 20), Recipe("c", sleep_ms=200))
KINDS: tuple[Any, ...] = ("start", "read", "cancel", "publish", "delete", "template")
KEYS: tuple[Credential, ...] = ("primary", "second", "none")


def several_clients(chance: random.Random) -> list[Exchange]:
    """What several clients of an account did, answered by one of the correct servers."""
    manners = Manners(
        by_digest=chance.random() < 0.3,
        digest_covers_name=chance.random() < 0.6,
        settle_ms=chance.choice([0, 5, 50]),
        settles_to=chance.choice(["not_built", "failed"]),
        start_building=chance.choice([200, 202, 409]),
        keeps_goldens=chance.choice(["no", "for starts", "shown"]),
        replaced_build=chance.choice(["dropped", "haunts", "refuses"]),
        renews=chance.random() < 0.5,
        capacity=chance.choice([1, 100]),
    )
    steps = [
        Step(
            chance.choices(KINDS, [4, 8, 2, 2, 1, 1])[0],
            chance.choice(REFS),
            chance.choices(KEYS, [20, 1, 1])[0],
            gap_ms=chance.choice([0, 1, 5, 20, 100, 300]),
            beside=chance.random() < 0.2,
            recipe=chance.choice(RECIPES),
            force=chance.random() < 0.6,
            auto_build=chance.random() < 0.3,
        )
        for _ in range(chance.choice([6, 12, 25]))
    ]
    return play(Server(manners), steps)


def part_of(exchanges: Sequence[Exchange], chance: random.Random) -> Recording:
    """What a file shows of it: half of the requests, or those from some moment on."""
    kept = [each for each in exchanges if chance.random() < 0.5]
    if chance.random() < 0.3:
        kept = list(exchanges[chance.randrange(len(exchanges)) :])
    told = []
    for seq, each in enumerate(sorted(kept, key=lambda each: each.sent_at), 1):
        query = "&".join(f"{key}={value}".lower() for key, value in each.note.items() if key in {"force", "auto_build"})
        url = each.request.url + (f"?{query}" if query else "")
        told.append(replace(each, seq=seq, note={}, request=replace(each.request, url=url)))
    shown = tuple(map(noted, told))
    return Recording("part", shown, "har", terms=Terms(given=given(shown)))


def test_part_of_what_a_correct_server_was_asked_shows_no_finding() -> None:
    """Many parts of many stories contradict themselves, and not one of them accuses the server that was right."""
    accused, contradictory = set(), 0
    for seed in range(500):
        chance = random.Random(seed)
        part = part_of(several_clients(chance), chance)
        accused |= found(part)
        contradictory += bool(broken(judged(part)))

    assert accused == set()
    assert contradictory > 10
