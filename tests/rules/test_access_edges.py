"""
Rules on who is let in, at their edges: answers that were cut off, requests beside each other, reads around a start.
"""

from typing import Any

import pytest

from tests.rules.exchanges import REF, broken, build, exchange, exchange_rules, publish, story_verdicts, verdicts
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules import access
from touchstone.rules.history import Content

MINE = {REF: Content(REF, "restricted", "", "ready", 0.0, "", 0, 0.0, 0.0)}
PLAN, OTHERS = "access.start-needs-scale", "access.others-version-is-404"
CUT = {"json": {"error": "no"}, "error": "ReadError: connection closed", "seq": 2}


def below(*exchanges: Exchange) -> set[tuple[str, str]]:
    """What is said of starts of a version that belongs to an account below the Scale plan."""
    return story_verdicts((access.start_needs_scale,), *exchanges, given=MINE)


def start(seq: int = 4, status: int = 403, credential: Credential = "restricted", **more: Any) -> Exchange:
    return exchange("startBuild", status, json={"error": "no"}, credential=credential, seq=seq, **more)


def read(seq: int, status: str, **more: Any) -> Exchange:
    return exchange("getBuild", json=build(status), credential="restricted", seq=seq, **more)


@pytest.mark.parametrize("credential", ["unknown", "longer", "shorter", "recased"])
def test_every_wrong_key_is_told_the_same(credential: Credential) -> None:
    """A key that is nearly right is as invalid as one that nobody has."""
    right = exchange(status=401, json={"error": "Invalid API key."}, credential=credential)
    wrong = exchange(status=401, json={"error": "Missing API key."}, credential=credential)

    assert verdicts((access.refusal_text,), right) == {("auth.invalid-key-text", "held")}
    assert verdicts((access.refusal_text,), wrong) == {("auth.invalid-key-text", "broken")}


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_document_may_be_refused_before_plan_or_key(status: int) -> None:
    """
    A document that cannot be taken may be told so first: nothing is said of the key, and nothing sure of the plan.
    """
    keyless = exchange("publishTemplate", status, json={"error": "no"}, credential="none")
    below_scale = exchange(
        "publishTemplate", status, json={"error": "no"}, credential="restricted", note={"content": 1}
    )

    assert verdicts((access.refused_key,), keyless) == set()
    assert verdicts((access.publish_needs_scale,), below_scale) == {("access.publish-needs-scale", "indeterminate")}


def test_answer_that_was_cut_off_shows_nothing_about_access() -> None:
    """An answer that did not arrive whole says nothing about keys, plans and accounts."""
    assert verdicts((access.refused_key,), exchange(credential="none", **CUT)) == set()
    assert verdicts((access.publish_needs_scale,), exchange("publishTemplate", credential="restricted", **CUT)) == set()
    assert below(exchange("startBuild", 202, credential="restricted", **CUT)) == set()
    assert story_verdicts((access.others_version,), publish(), exchange(credential="second", **CUT)) == set()


def test_publishing_below_scale_that_is_told_of_its_key_says_nothing_about_plans() -> None:
    """401 to a valid key has a claim of its own."""
    answer = exchange("publishTemplate", 401, json={"error": "no"}, credential="restricted")

    assert broken(verdicts(exchange_rules("access"), answer)) == {"access.plan-is-no-key-matter"}


@pytest.mark.parametrize("odd", [{"path": "/templates/default/a%2Fb/1.0.0/build"}, {"operation": "", "method": "PUT"}])
def test_401_outside_of_the_operations_says_nothing_about_a_valid_key(odd: dict[str, Any]) -> None:
    """What lies beside the documented paths and methods may be refused as somebody else's."""
    assert verdicts((access.accepted_key,), exchange(status=401, json={"error": "no"}, **odd)) == set()


def test_each_start_below_scale_is_judged_by_itself() -> None:
    """What cannot be judged beside a start, before it, takes nothing away from it."""
    beside = (start(2, credential="primary"), start(3, 0), start(4, 401))

    assert below(*beside, start(5, 202)) == {(PLAN, "broken")}


def test_each_request_about_anothers_version_is_judged_by_itself() -> None:
    """What cannot be judged, before a request, takes nothing away from it."""
    odd = exchange(json=build(), credential="second", seq=4, path="/templates/default/%20/1.0.0/build")
    before = (publish(), exchange(json=build(), seq=2), exchange(status=401, credential="second", seq=3), odd)

    assert story_verdicts((access.others_version,), *before, exchange(json=build(), credential="second", seq=5)) == {
        (OTHERS, "broken")
    }


@pytest.mark.parametrize("after", ["building", "ready"])
def test_refused_start_that_begins_a_build_all_the_same_is_found(after: str) -> None:
    """403 and a build is no refusal: the account's own reads tell."""
    assert below(read(3, "not_built"), start(4), read(5, after)) == {(PLAN, "held"), (PLAN, "broken")}


def test_refused_start_that_changes_nothing_is_upheld_by_reads_as_well() -> None:
    """The same status before and after a refusal upholds the claim once more."""
    story = [publish(credential="restricted"), read(3, "not_built"), read(5, "not_built")]
    known = story_verdicts((access.start_needs_scale,), *story, start(4, 403))

    assert known == {(PLAN, "held")}


EXPLAINED: list[tuple[str, list[Exchange]]] = [
    ("no start at all", [read(3, "not_built"), read(5, "ready")]),
    ("a build ran before", [read(3, "building"), start(4), read(5, "ready")]),
    ("another account's start was refused", [read(3, "not_built"), start(4, 429, "primary"), read(5, "building")]),
    ("the start was sent before the first read was answered", [start(2, sent_at=3.005), read(3, "not_built")]),
    ("the start was answered after the second read was sent", [read(3, "not_built"), start(4, done_at=5.001)]),
]


@pytest.mark.parametrize("story", [s for _, s in EXPLAINED], ids=[name for name, _ in EXPLAINED])
def test_change_without_a_refused_start_in_between_is_no_finding(story: list[Exchange]) -> None:
    """Only a start that was sent and refused between two reads can have begun what the second one shows."""
    assert broken(below(*story, read(5, "building"))) == set()


def test_reads_beside_each_other_tell_nothing_about_a_refused_start() -> None:
    """Of two reads on their way at the same time nobody knows which one was first."""
    slow = read(3, "not_built", done_at=6.0)

    assert broken(below(slow, start(4), read(5, "building"))) == set()


def test_start_that_was_let_through_is_told_by_its_own_answer() -> None:
    """Where one of several starts was not refused, what a read shows is its doing."""
    story = [read(3, "not_built"), start(4, 429), start(4, 403), read(6, "building")]

    assert broken(below(*story)) == set()


def test_owner_above_the_plan_explains_every_build() -> None:
    """On a version of an account that may start, a build after somebody's refused start is nothing special."""
    story = [publish(), exchange(json=build("not_built"), seq=3), start(4), exchange(json=build(), seq=5)]

    assert broken(story_verdicts((access.start_needs_scale,), *story)) == set()
