"""Rules on what a refused request did all the same: a version that is gone after one, or there."""

import pytest

from tests.rules.exchanges import (
    DIGEST,
    REF,
    broken,
    build,
    exchange,
    history,
    publish,
    said,
    story_rules,
    story_verdicts,
)
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.catalogue import STORY_RULES
from touchstone.rules.history import Content

REFUSED, FOREIGN = "auth.refused-changes-nothing", "access.others-change-nothing"
ERROR = {"error": "There is no such version."}
SENDERS = [("none", 401, REFUSED), ("longer", 401, REFUSED), ("second", 404, FOREIGN), ("restricted", 403, FOREIGN)]


def read(seq: int, status: int = 200) -> Exchange:
    return exchange("getBuild", status, seq=seq, json=build("not_built") if status == 200 else ERROR)


def refused(seq: int, credential: Credential, status: int) -> Exchange:
    return exchange("deleteTemplate", status, seq=seq, credential=credential, json=ERROR)


def found(*exchanges: Exchange) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("unrefused"), *exchanges)


def everything(*exchanges: Exchange, ref: str = REF) -> set[str]:
    """The claims that any story rule finds broken."""
    known = history(*exchanges)
    return broken(said(j for rule in STORY_RULES for j in rule(ref, known)))


@pytest.mark.parametrize(("credential", "status", "claim"), SENDERS)
def test_version_that_is_there_after_a_refused_delete_upholds_the_claim(
    credential: Credential, status: int, claim: str
) -> None:
    """A read that finds the version shows that the refused delete changed nothing."""
    assert found(publish(1), read(2), refused(3, credential, status), read(4)) == {(claim, "held")}


@pytest.mark.parametrize(("credential", "status", "claim"), SENDERS)
def test_version_that_is_gone_after_a_refused_delete_is_told_once(
    credential: Credential, status: int, claim: str
) -> None:
    """The refused delete is to blame, and nothing that only follows from it."""
    idle = exchange("cancelBuild", 404, seq=6, json=ERROR)
    gone = exchange("deleteTemplate", 404, seq=7, json=ERROR)

    assert everything(publish(1), read(2), refused(3, credential, status), read(4, 404), idle, gone) == {claim}


def test_version_that_comes_back_was_not_deleted() -> None:
    """A version that is found again later was only not found meanwhile."""
    story = [publish(1), read(2), refused(3, "second", 404), read(4, 404), read(5)]

    assert found(*story) == set()
    assert everything(*story) == {"lookup.existing-version-is-found", "status.answers-200"}


def test_version_that_was_gone_before_is_not_blamed_on_the_delete() -> None:
    """Where the owner no longer found the version before, the refused delete explains nothing."""
    assert found(publish(1), read(2, 404), refused(3, "second", 404), read(4, 404)) == set()


def test_own_delete_explains_that_a_version_is_gone() -> None:
    """After a delete by the owner nobody else is to blame."""
    own = exchange("deleteTemplate", 200, seq=4, json={"deleted": True})

    assert everything(publish(1), read(2), refused(3, "second", 404), own, read(5, 404)) == set()


def test_delete_that_another_account_is_granted_leaves_the_rest_open() -> None:
    """Once another account was told that it deleted the version, whether it is there is nobody's question any more."""
    granted = exchange("deleteTemplate", 200, seq=3, credential="second", json={"deleted": True})

    for status in (200, 404):
        assert everything(publish(1), read(2), granted, read(4, status)) == {"access.others-version-is-404"}


@pytest.mark.parametrize(
    ("credential", "status", "reader", "claim"),
    [
        ("none", 401, "primary", REFUSED),
        ("restricted", 403, "restricted", "access.publish-needs-scale"),
        ("second", 403, "second", "lookup.unknown-name-is-404"),
    ],
)
def test_version_that_only_a_refused_publish_can_have_made_is_found(
    credential: Credential, status: int, reader: Credential, claim: str
) -> None:
    """A version that is found although its only publish was refused breaks the claim about that refusal."""
    made = publish(1, status=status, credential=credential, digest=DIGEST)
    answer = exchange("getBuild", 200, seq=2, credential=reader, json=build("not_built"))

    assert broken(story_verdicts(story_rules("lookup"), made, answer)) == {claim}


def test_server_that_finds_anything_is_not_blamed_on_a_refused_publish() -> None:
    """Where a version is served that nobody ever published, another one says nothing about a refusal."""
    made = publish(1, status=401, credential="none")
    other = exchange("getBuild", 200, seq=2, ref="default/touchstone-t1-nothing@1.0.0", json=build("not_built"))

    assert broken(story_verdicts(story_rules("lookup"), made, other, read(3))) == {"lookup.unknown-name-is-404"}


@pytest.mark.parametrize(("after", "outcome"), [("not_built", "held"), ("building", "broken"), ("ready", "broken")])
def test_start_below_the_plan_builds_nothing(after: str, outcome: str) -> None:
    """The account's own reads around a start that was refused show whether it built."""
    given = {REF: Content(REF, "restricted", "given", "unknown", 0.0, "", 0, float("-inf"), float("-inf"))}
    story = [
        exchange("getBuild", 200, seq=1, credential="restricted", json=build("not_built")),
        exchange("startBuild", 403, seq=2, credential="restricted", json={"error": "Building needs a Scale plan."}),
        exchange("getBuild", 200, seq=3, credential="restricted", json=build(after)),
    ]
    known = history(*story, given=given)

    told = said(j for rule in STORY_RULES for j in rule(REF, known))
    assert broken(told) == ({"access.start-needs-scale"} if outcome == "broken" else set())
