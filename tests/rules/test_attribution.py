"""Attribution: faults that also occur without the suspected request, and refused requests that took effect."""

from typing import Any

import pytest

from tests.rules.exchanges import ERROR, OTHER_REF, REF, UNKNOWN_REF, exchange, given, history, publish
from tests.rules.judging import broken, cases, findings, story_rules, upheld, verdicts
from tests.rules.stories import cancel, delete, read, start
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.attribution import (
    PLAN,
    REFUSED,
    begins_anyway,
    changes_anyway,
    fails_anyway,
    published_by,
    vanished,
    was_vanished,
    was_written,
)
from touchstone.rules.catalogue import STORY_RULES

FOREIGN = "access.others-change-nothing"
Story = tuple[Exchange, ...]
NOT_BUILT, BUILDING = read(2.0, "not_built"), read(3.0)


@cases(
    "story expected",
    {
        "it builds": ((NOT_BUILT, BUILDING), True),
        "reads that touch": ((NOT_BUILT, read(2.5)), True),
        "the first read": ((BUILDING,), True), "of shared content": ((BUILDING, publish(50, OTHER_REF)), False),
        "nothing changes": ((NOT_BUILT, read(3.0, "not_built")), False),
        "it was built before": ((read(2.0, "failed"), BUILDING), False),
        "a start in between": ((NOT_BUILT, start(2.7), read(4.0)), False),
        "a start beside the first": ((start(1.5), read(1.9, "not_built"), BUILDING), False),
        "requests that only touch": ((start(1.5, 500), NOT_BUILT, BUILDING, start(3.5)), True),
        "another account's read": ((NOT_BUILT, read(3.0, credential="second")), False),
        "a HEAD": ((NOT_BUILT, read(3.0, method="HEAD")), False),
        "no status": ((NOT_BUILT, read(3.0, json={"status": 1})), False),
        "a refused start before, 400": ((start(1.1, 400), NOT_BUILT, BUILDING), False),
        "a start that failed before": ((start(1.1, 500), NOT_BUILT, BUILDING), True),
        "a refused start later": ((NOT_BUILT, BUILDING, start(3.5, 429)), True),
        "a cancel elsewhere": ((NOT_BUILT, BUILDING, cancel(2.2, ref=OTHER_REF)), False),
        "a cancel elsewhere that touches": ((NOT_BUILT, BUILDING, cancel(1.5, ref=OTHER_REF)), False),
        "an idle cancel elsewhere": ((NOT_BUILT, BUILDING, cancel(2.2, 404, ref=OTHER_REF)), True),
    },
)  # fmt: skip
def test_build_begins_anyway_between_two_reads_with_nothing_beside_them(story: Story, expected: bool) -> None:
    assert begins_anyway(history(publish(1), *story)) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("ready", "failed", True),
        ("failed", "not_built", True),
        ("ready", "ready", False),
        ("building", "ready", False),
        ("not_built", "ready", False),
    ],
)
def test_finished_version_changes_anyway_elsewhere(before: str, after: str, expected: bool) -> None:
    known = history(publish(1), read(2.0, before), read(3.0, after))

    assert changes_anyway(known, OTHER_REF) is expected
    assert not changes_anyway(known, REF)


FAILED = read(4.0, "failed")
ELSEWHERE = (publish(40, OTHER_REF), start(50, ref=OTHER_REF), read(60, "failed", ref=OTHER_REF))
FAILING = {"note": {"outcome": "failed"}}


@cases(
    "publish_ story expected",
    {
        "gone": ({}, (start(2.0), read(3.0, "not_built")), True),
        "started with the answer of the publish": ({}, (start(1.01), FAILED), True),
        "started before": ({}, (start(1.005), FAILED), False),
        "ready first": ({}, (start(2.0), read(3.0, "ready"), FAILED), False),
        "never started": ({}, (FAILED,), False),
        "a refused start": ({}, (start(2.0, 409), FAILED), False),
        "cancelled": ({}, (start(2.0), cancel(2.6), FAILED), False),
        "cancelled before": ({}, (cancel(1.2, 404), start(2.0), FAILED), False),
        "another account's read": ({}, (start(2.0), read(3.0, "failed", credential="second")), False),
        "meant to fail, and another": (FAILING, (start(2.0), FAILED, *ELSEWHERE), True),
        "ready, and another": ({}, (start(2.0), read(3.0, "ready"), *ELSEWHERE), True),
        "a cancel elsewhere": ({}, (start(2.0), FAILED, cancel(2.2, ref=OTHER_REF)), False),
        "an idle cancel elsewhere": ({}, (start(2.0), FAILED, cancel(2.2, 404, ref=OTHER_REF)), False),
    },
)
def test_good_build_fails_anyway_with_nothing_to_explain_it(
    publish_: dict[str, Any], story: Story, expected: bool
) -> None:
    assert fails_anyway(history(publish(1, **publish_), *story)) is expected


# --- refused deletes --------------------------------------------------------------------------------------------------

GONE, THERE = read(4.0, status=404), read(4.0, "not_built")
SENDERS = {
    "no key": ("none", 401, REFUSED),
    "a wrong key": ("longer", 401, REFUSED),
    "another account": ("second", 404, FOREIGN),
    "a small plan": ("restricted", 403, FOREIGN),
}


def denied(at: float, credential: Credential = "second", status: int = 404) -> Exchange:
    return delete(at, status, credential=credential)


@cases("credential status claim", SENDERS)
def test_refused_delete_that_deletes_is_the_only_one_to_blame(credential: Credential, status: int, claim: str) -> None:
    story = (publish(1.0), read(2.0, "not_built"), denied(3.0, credential, status))
    rules = story_rules("unrefused")

    assert upheld(rules, *story, THERE) == [(claim, (30, 40))]
    assert findings(rules, *story, GONE) == [(claim, (30, 40))]
    assert broken(verdicts(STORY_RULES, *story, GONE, cancel(5.0, 404, json=ERROR), delete(6.0, 404))) == {claim}


@cases(
    "story expected",
    {
        "found again": ((denied(3.0), GONE, read(5.0, "not_built")),
            {"lookup.existing-version-is-found", "status.answers-200"}),
        "deleted by its owner": ((denied(3.0), delete(3.5), GONE), set()),
        "granted, and there": ((denied(3.0, status=200), THERE), {"access.others-version-is-404"}),
        "granted, and gone": ((denied(3.0, status=200), GONE), {"access.others-version-is-404"}),
    },
)  # fmt: skip
def test_missing_version_that_something_else_explains(story: Story, expected: set[str]) -> None:
    assert broken(verdicts(STORY_RULES, publish(1), read(2.0, "not_built"), *story)) == expected


@cases(
    "story expected",
    {
        "a read": ((denied(2.0), GONE), 20),
        "a start": ((denied(2.0), start(3.0, 404)), 20),
        "a delete": ((denied(2.0), delete(3.0, 404)), 20),
        "a cancel": ((denied(2.0), cancel(3.0, 404)), None),
        "a log": ((denied(2.0), exchange("streamBuildEvents", 404, seq=30)), None),
        "a HEAD": ((denied(2.0), read(3.0, status=404, method="HEAD")), None),
        "another account": ((denied(2.0), read(3.0, status=404, credential="second")), None),
        "beside the delete": ((denied(2.0), read(2.4, status=404)), 20),
        "found beside the delete": ((denied(2.0), read(2.4)), None),
        "when it was answered": ((denied(2.0), read(2.5, status=404)), 20),
        "the first of two": ((denied(2.0), denied(3.0), GONE), 20),
        "the second after a read": ((denied(2.0), read(3.0), denied(3.5), GONE), 35),
        "found again": ((denied(2.0), read(3.0, status=404), read(4.0)), None),
        "found again, and gone": ((denied(2.0), read(3.0, status=404), read(4.0), denied(5.0), read(6.0, status=404)),
            50),
        "deleted by its owner": ((denied(2.0), delete(3.0), GONE), None),
        "a 404 beside it": ((denied(2.0), read(2.3, status=404), GONE), 20),
    },
)  # fmt: skip
def test_delete_is_blamed_that_lies_between_there_and_gone(story: Story, expected: int | None) -> None:
    delete_ = vanished(REF, history(publish(1.0), *story))

    assert (delete_[0].seq if delete_ else None) == expected


def test_version_that_was_never_there_is_not_taken_away() -> None:
    assert vanished(REF, history(denied(2.0), GONE)) is None
    assert vanished(REF, history(denied(0.2), publish(1.0), GONE)) is None


@cases(
    "answer expected",
    {
        "404": (read(9.0, status=404), True),
        "found": (read(9.0), False),
        "another version": (read(9.0, status=404, ref=OTHER_REF), False),
        "beside the delete": (read(1.5, status=404), True),
        "before the delete": (read(1.4, status=404, done_at=1.9), False),
    },
)
def test_404_is_the_deletes_doing_from_the_moment_it_was_sent(answer: Exchange, expected: bool) -> None:
    assert was_vanished(answer, history(publish(0.5), denied(2.0), GONE)) is expected


# --- refused publishes ------------------------------------------------------------------------------------------------


def keyless(at: float = 1.0, status: int = 401, **more: Any) -> Exchange:
    return publish(at, status=status, credential="none", **more)


@cases(
    "publish_ reader expected",
    {
        "401": (keyless(), "primary", REFUSED),
        "499": (keyless(status=499), "primary", REFUSED),
        "served": (keyless(status=201), "primary", None),
        "another account": (publish(1.0, status=403, credential="second"), "primary", None),
        "answered when the version was read": (keyless(4.5), "primary", REFUSED),
        "of nobody knows what": (exchange("publishTemplate", 401, credential="none"), "primary", None),
        "below the plan": (publish(1.0, status=403, credential="restricted"), "restricted", PLAN),
        "below the plan, read by another": (publish(1.0, status=403, credential="restricted"), "primary", None),
        "no key, read below the plan": (keyless(), "restricted", None),
        "no key, read by another": (keyless(), "second", None),
        "another's own": (publish(1.0, status=403, credential="second"), "second", None),
    },
)
def test_version_that_only_a_refused_publish_explains(
    publish_: Exchange, reader: Credential, expected: str | None
) -> None:
    answer = read(5.0, "not_built", credential=reader)
    found = published_by(answer, history(publish_, answer))
    claims = broken(verdicts(story_rules("lookup"), publish_, answer))

    assert (found[0] if found else None) == expected
    assert expected is None or claims == {expected}


@cases(
    "other expected",
    {
        "another unknown version": (read(6.0, ref=UNKNOWN_REF), None),
        "404": (read(6.0, status=404, ref=UNKNOWN_REF), REFUSED),
        "a given one": (read(6.0, ref=OTHER_REF), REFUSED),
        "one that may be older than the run": (read(6.0, ref="default/legacy@1.0.0"), REFUSED),
    },
)
def test_server_that_finds_what_nobody_published_finds_anything(other: Exchange, expected: str | None) -> None:
    answer = read(5.0, "not_built")
    found = published_by(answer, history(keyless(), answer, other, given=given(ref=OTHER_REF)))

    assert (found[0] if found else None) == expected


NAME_AND_VERSION = b"name: touchstone-t1-nothing\nversion: 1.0.0"


@cases(
    "body answer expected",
    {
        "the name alone": (b"name: touchstone-t1-nothing", {}, False),
        "the version alone": (b"version: 1.0.0", {}, False),
        "its answer": (b"", {"ref": UNKNOWN_REF}, True),
        "another's answer": (b"", {"ref": OTHER_REF}, False),
    },
)
def test_publish_may_be_about_a_version_that_its_document_names(body: bytes, answer: Any, expected: bool) -> None:
    nameless = exchange("publishTemplate", 201, ref=None, request_body=body, json=answer)
    known = publish(1, request_body=NAME_AND_VERSION, json=answer)

    assert was_written(UNKNOWN_REF, history(nameless)) is expected
    assert was_written(UNKNOWN_REF, history(known)) is (answer == {"ref": UNKNOWN_REF})
