"""Attribution: refused requests that took effect."""

from typing import Any

from tests.rules.exchanges import ERROR, OTHER_REF, REF, UNKNOWN_REF, exchange, given, history, publish
from tests.rules.judging import broken, cases, findings, story_rules, upheld, verdicts
from tests.rules.stories import cancel, delete, read, start
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.access import published_by
from touchstone.rules.attribution import REFUSED, vanished
from touchstone.rules.catalogue import STORY_RULES

FOREIGN, PLAN = "access.others-change-nothing", "access.publish-needs-scale"
Story = tuple[Exchange, ...]


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
