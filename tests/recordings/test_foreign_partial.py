"""A foreign file shows a part of what happened to an account: what is given, and what may be concluded from it."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.foreign_files import (
    PATH,
    REF,
    HarEntry,
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
from tests.recorded import document
from tests.rules.exchanges import DIGEST, contract
from tests.rules.simulated import Manners, Recipe, Server, Step, play
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Judgement, Outcome
from touchstone.recordings.foreign import given, noted, recording
from touchstone.recordings.recording import Recording, Terms
from touchstone.recordings.replay import alone, doubted

MISSING: dict[str, Any] = {"status": 404, "answer": {"error": "No such template version."}}
OURS: dict[str, Any] = {"path": "/templates/default/touchstone-t1-x/1.0.0/build"}
REUSED = {"ref": REF, "digest": DIGEST, "status": "ready", "build_time_ms": 1200, "reused": True}
OTHER_DIGEST: dict[str, Any] = {"fields": {"digest": "cd" * 32}}


@pytest.mark.parametrize(
    ("first", "is_given"),
    [
        (status_read("building", 0.0), True),
        (start(0.0), True),
        (cancel(0.0), True),
        (log(0.0), True),
        (HarEntry(path=PATH, answer={"ref": REF, "digest": DIGEST, "template": {}}), True),
        (publish(0.0, status=409, answer={"error": "There is one."}), True),
        (publish(0.0), False),
        (HarEntry(**MISSING), False),
        # Answered alike for a version that is there and for one that is not: the next answer decides.
        (cancel(0.0, 404), True),
        (start(0.0, status=429, answer={"error": "Slow down."}), True),
        (HarEntry(status=401, answer={"error": "Missing API key."}, key=None), True),
        (HarEntry(method="HEAD", text=None), True),
        (log(0.0, text=""), True),
    ],
)
def test_first_conclusive_answer_decides_whether_a_version_is_given(first: HarEntry, is_given: bool) -> None:
    terms = read_har(first, status_read("not_built", 1.0)).terms

    assert [(one.ref, one.owner, one.outcome) for one in terms.given] == [(REF, "primary", "unknown")] * is_given


CONTRADICTIONS = {
    "published elsewhere": [HarEntry(**MISSING), status_read("ready", 1)],
    "deleted elsewhere": [status_read("ready", 0), HarEntry(at=1, **MISSING)],
    "built the day before": [publish(0), status_read("ready", 1)],
    "started elsewhere": [status_read("not_built", 0), status_read("building", 1)],
    "cancelled elsewhere": [start(0), status_read("building", 1), status_read("not_built", 2)],
    "cancelled and idle": [start(0), status_read("building", 1), cancel(2, 404)],
    "replaced elsewhere": [status_read("ready", 0), status_read("ready", 1, **OTHER_DIGEST)],
    "built again elsewhere": [status_read("ready", 0), status_read("ready", 1, fields={"build_time_ms": 77})],
    "cancelled and built again": [start(0), log(0.1, "boot", "cancel", receive_s=1), status_read("ready", 2)],
    "start of a deleted one": [publish(0), start(1, **MISSING)],
    "of a run of ours": [
        HarEntry(**OURS, **MISSING),
        status_read("ready", 1, **OURS, fields={"ref": "default/touchstone-t1-x@1.0.0"}),
    ],
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradiction_that_another_client_may_explain_is_no_finding(name: str) -> None:
    assert found(read_har(*CONTRADICTIONS[name])) == set()


def test_recording_without_our_fields_is_not_all_that_happened() -> None:
    file = document("fresh-build")
    del file["log"]["_touchstone"]
    file["log"]["entries"][-1]["response"].update(
        status=404, content={"size": 0, "mimeType": "application/json", "text": '{"error": "Version not found."}'}
    )
    judgement = alone(recording(file, "others", "", contract()))
    assert judgement.findings() == ()
    assert any(one.outcome == "indeterminate" for one in judgement.judgements)


@pytest.mark.parametrize(
    ("claim", "check", "evidence", "outcome"),
    [
        # Wrong by itself, whoever else is at work.
        ("status.is-one-of-four", "shape.object", (1,), "broken"),
        ("reuse.is-flagged", "building.life-cycle", (3,), "broken"),
        ("reuse.is-flagged", "digests.shared", (1, 3), "broken"),
        ("publish.auto-build-starts", "publishing.auto-build", (1,), "broken"),
        ("events.timestamps-are-true", "stamps.clock", (1,), "broken"),
        # The unseen may explain it; a rule that nobody thought about here is not trusted.
        ("status.ready-stays-ready", "building.life-cycle", (1, 2), "indeterminate"),
        ("lookup.existing-version-is-found", "lookup.own", (1,), "indeterminate"),
        ("publish.auto-build-starts", "publishing.auto-build", (1, 2), "indeterminate"),
        ("limit.ends-after-back-off", "room.free", (1, 2, 3), "indeterminate"),
        ("anything", "a.later-rule", (1,), "indeterminate"),
    ],
)
def test_finding_is_doubted_where_the_unseen_may_explain_it(
    claim: str, check: str, evidence: tuple[int, ...], outcome: Outcome
) -> None:
    judgement = Judgement(claim, "broken", check, "getBuild", evidence, "this", "that")
    result = doubted(judgement)
    assert (result.outcome, result.claim, result.evidence) == (outcome, claim, evidence)
    assert result is judgement or result.actual.endswith("that")

    upheld = replace(judgement, outcome="held")
    assert doubted(upheld) is upheld


# --- parts of stories with the simulated server ----------------------------------------------------------------------

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
    numbered = []
    for seq, each in enumerate(sorted(kept, key=lambda each: each.sent_at), 1):
        query = "&".join(f"{key}={value}".lower() for key, value in each.note.items() if key in {"force", "auto_build"})
        url = each.request.url + (f"?{query}" if query else "")
        numbered.append(noted(replace(each, seq=seq, note={}, request=replace(each.request, url=url))))
    return Recording("part", tuple(numbered), "har", terms=Terms(given=given(numbered)))


def test_part_of_a_story_with_a_correct_server_has_no_finding() -> None:
    accused, contradictory = set(), 0
    for seed in range(150):
        chance = random.Random(seed)
        judgements = judged(part_of(several_clients(chance), chance))
        accused |= broken(map(doubted, judgements))
        contradictory += bool(broken(judgements))

    assert accused == set()
    assert contradictory > 3
