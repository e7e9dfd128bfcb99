"""Rules on what the owner of an existing version is answered."""

import json
from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, REF, build, exchange, publish, story_rules, story_verdicts
from touchstone.facts.exchange import Exchange

BUILD = {"run": ["echo marker-hello"]}
ABOUT = {"name": "touchstone-t1-hello", "version": "1.0.0"}
DOCUMENT = {"api_version": "orgo.ai/v1", "template": ABOUT, "build": BUILD}
ERROR = {"error": "no"}


def template(**changes: Any) -> dict[str, Any]:
    return {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:26:53Z", "template": DOCUMENT} | changes


CASES: list[tuple[str, Exchange, set[tuple[str, str]]]] = [
    ("a read", exchange(json=build("failed"), seq=2), {("status.answers-200", "held")}),
    ("an error for a failed build", exchange(status=409, json=ERROR, seq=2), {("status.answers-200", "broken")}),
    ("202", exchange(status=202, json=build(), seq=2), {("status.answers-200", "broken")}),
    ("500", exchange(status=500, seq=2), {("status.answers-200", "broken")}),
    ("404", exchange(status=404, json=ERROR, seq=2), {("status.answers-200", "broken")}),
    ("403 on the Scale plan", exchange(status=403, json=ERROR, seq=2), {("status.answers-200", "broken")}),
    ("a limit", exchange(status=429, json=ERROR, seq=2), {("status.answers-200", "indeterminate")}),
    ("a key problem", exchange(status=401, json=ERROR, seq=2), set()),
    ("no answer", exchange(status=0, seq=2), set()),
    ("406 to an odd Accept", exchange(status=406, request_headers={"accept": "image/png"}, seq=2), set()),
    ("another account", exchange(status=404, json=ERROR, credential="second", seq=2), set()),
    ("a refused key", exchange(status=401, json=ERROR, credential="none", seq=2), set()),
    ("before the publish was answered", exchange(status=404, json=ERROR, seq=2, sent_at=1.005), set()),
    ("a template", exchange("getTemplate", json=template(), seq=2), {("template.read-shows-the-published", "held")}),
    (
        "a template in short form",
        exchange("getTemplate", json=template(template={"name": "touchstone-t1-hello@1.0.0", "build": BUILD}), seq=2),
        {("template.read-shows-the-published", "held")},
    ),
    *(
        (
            f"a template {name}",
            exchange("getTemplate", **answer, seq=2),
            {("template.read-shows-the-published", "broken")},
        )
        for name, answer in {
            "of another ref": {"json": template(ref="default/other@1.0.0")},
            "without digest": {"json": template(digest=None)},
            "without document": {"json": template(template="name: x")},
            "with another's document": {"json": template(template={"template": {"name": "other", "version": "1.0.0"}})},
            "with another version's document": {"json": template(template={"template": {"version": "1.0.1"}})},
            "with an empty document": {"json": template(template={})},
            "with what others print": {"json": template(template=DOCUMENT | {"build": {"run": ["echo other"]}})},
            "that is empty": {"json": {}},
            "that is missing": {"status": 404, "json": ERROR},
        }.items()
    ),
    ("a template that is no JSON", exchange("getTemplate", body=b'{"ref":', seq=2), set()),
    (
        "a limited template",
        exchange("getTemplate", 429, seq=2),
        {("template.read-shows-the-published", "indeterminate")},
    ),
    ("a refused delete", exchange("deleteTemplate", 403, seq=2), {("template.delete-says-deleted", "broken")}),
    ("a delete at rest", exchange("deleteTemplate", 409, seq=2), {("template.delete-says-deleted", "broken")}),
    ("a limited delete", exchange("deleteTemplate", 429, seq=2), {("template.delete-says-deleted", "indeterminate")}),
    ("a delete", exchange("deleteTemplate", json={"deleted": True}, seq=2), set()),
]


@pytest.mark.parametrize(("answer", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_answer_to_the_owner_is_judged(answer: Exchange, expected: set[tuple[str, str]]) -> None:
    """The owner of an existing version gets it; other keys, other times and limits are no evidence."""
    assert story_verdicts(story_rules("owned"), publish(), answer) == expected


@pytest.mark.parametrize(("over", "outcome"), [(False, set()), (True, {("template.delete-says-deleted", "broken")})])
def test_delete_is_a_conflict_only_while_a_build_may_run(over: bool, outcome: set[tuple[str, str]]) -> None:
    """A build that was not seen to be over may be in the way of a delete; one that was is not."""
    read = exchange(json=build("ready" if over else "building"), seq=3)
    started = exchange("startBuild", 202, json=build(), seq=2)
    told = story_verdicts(story_rules("owned"), publish(), started, read, exchange("deleteTemplate", 409, seq=4))

    assert {one for one in told if one[0] == "template.delete-says-deleted"} == outcome


def test_document_that_was_deleted_is_not_shown_again() -> None:
    """What is published where nothing is any more is what a read has to show."""
    gone = exchange("deleteTemplate", json={"deleted": True}, seq=2)
    anew = publish(3, content="new")
    old = exchange("getTemplate", json=template(), seq=4)
    told = story_verdicts(story_rules("owned"), publish(note={"marker": BUILD["run"][0].split()[-1]}), gone, anew, old)

    assert ("template.read-shows-the-published", "broken") in told


def test_version_under_several_accounts_is_not_judged() -> None:
    """Where two accounts have a version of one name, nothing is said about whose was answered."""
    story = (publish(1), publish(2, credential="second"), exchange(status=404, json=ERROR, seq=3))

    assert story_verdicts(story_rules("owned"), *story) == set()


@pytest.mark.parametrize("status", [0, 500])
def test_delete_without_a_clear_answer_leaves_existence_open(status: int) -> None:
    """After a delete that may have worked, nobody can say whether the version exists."""
    story = (publish(1), exchange("deleteTemplate", status, seq=2), exchange(status=404, json=ERROR, seq=3))

    assert ("status.answers-200", "broken") not in story_verdicts(story_rules("owned"), *story)


def test_overlapping_delete_leaves_existence_open() -> None:
    """A read beside a delete may find the version or not, whichever of the two was finished first."""
    read = exchange(status=404, json=ERROR, seq=2, sent_at=2.0, done_at=2.1)
    gone = exchange("deleteTemplate", json={"deleted": True}, seq=3, sent_at=2.05, done_at=2.2)

    assert story_verdicts(story_rules("owned"), publish(1), read, gone) == set()


def sent_as(document: Any) -> Exchange:
    return publish(1, request_body=json.dumps(document).encode())


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (DOCUMENT, "held"),
        (DOCUMENT | {"hardware": {"cpu": 2}}, "held"),
        (DOCUMENT | {"build": BUILD | {"apt": []}}, "held"),
        (DOCUMENT | {"build": {"run": "echo marker-hello"}}, "broken"),
        (DOCUMENT | {"build": {"run": ["echo marker-hello", "echo more"]}}, "broken"),
        (DOCUMENT | {"api_version": None}, "broken"),
        ({name: value for name, value in DOCUMENT.items() if name != "api_version"}, "broken"),
    ],
)
def test_document_is_shown_as_it_was_published(read: dict[str, Any], outcome: str) -> None:
    """What was written reads the same; what a server adds to it is its own affair."""
    told = story_verdicts(
        story_rules("owned"), sent_as(DOCUMENT), exchange("getTemplate", json=template(template=read), seq=2)
    )
    assert told == {("template.read-shows-the-published", outcome)}


@pytest.mark.parametrize(
    "written",
    [
        {"api_version": "orgo.ai/v1", "name": "touchstone-t1-hello@1.0.0", "build": BUILD},
        {"namespace": "default", "name": "touchstone-t1-hello", "version": "1.0.0", "template": DOCUMENT},
    ],
    ids=["short", "wrapped"],
)
def test_document_in_another_form_is_not_compared_word_for_word(written: dict[str, Any]) -> None:
    """A short form is shown expanded, and an envelope is not part of the document."""
    read = exchange("getTemplate", json=template(), seq=2)
    assert ("template.read-shows-the-published", "held") in story_verdicts(story_rules("owned"), sent_as(written), read)
