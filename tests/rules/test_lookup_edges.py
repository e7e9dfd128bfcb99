"""Rules on what is found, and what its owner is answered, at their edges."""

from typing import Any

import pytest

from tests.rules.exchanges import (
    DIGEST,
    REF,
    UNKNOWN_REF,
    broken,
    build,
    exchange,
    exchange_rules,
    publish,
    story_rules,
    story_verdicts,
    verdicts,
)
from tests.rules.sentences import story_findings
from touchstone.facts.exchange import Exchange

ERROR = {"error": "no"}
ODD, FOUND = "lookup.odd-spelling-is-404", "lookup.existing-version-is-found"
NAMESPACE, NAME = "lookup.unknown-namespace-is-404", "lookup.unknown-name-is-404"
READ, DELETE = "template.read-shows-the-published", "template.delete-says-deleted"
ODD_PATH = "/templates/default/%20/1.0.0/build"
CUT = "ReadError: cut"


def asked(ref: str, *answers: Exchange) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("lookup"), publish(), *answers, ref=ref)


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({}, "broken"),
        ({"credential": "second"}, "broken"),
        ({"credential": "restricted"}, None),
        ({"credential": "none"}, None),
        ({"error": CUT}, None),
        ({"error": CUT, "credential": "second"}, None),
        ({"status": 0}, None),
        ({"status": 401}, None),
        ({"status": 403}, None),
        ({"status": 409}, "broken"),
        ({"status": 404}, "held"),
    ],
)
def test_odd_spelling_is_judged_with_any_key_that_is_let_in(facts: dict[str, Any], outcome: str | None) -> None:
    """An answer that is whole, to the primary or the second account, and about the path."""
    answer = exchange(**({"json": build(), "path": ODD_PATH} | facts))

    assert verdicts(exchange_rules("lookup"), answer) == ({(ODD, outcome)} if outcome else set())


@pytest.mark.parametrize(("method", "judged"), [("GET", True), ("POST", True), ("DELETE", True), ("PUT", False)])
def test_odd_spelling_outside_of_the_operations_is_judged_by_its_method(method: str, judged: bool) -> None:
    """A path of a build's form with a method that builds have."""
    answer = exchange("", path="/templates/default/a/b/1.0.0/build", method=method, status=200)

    assert bool(verdicts(exchange_rules("lookup"), answer)) is judged


@pytest.mark.parametrize(("status", "outcome"), [(500, "broken"), (503, "broken"), (400, None), (403, None)])
def test_name_that_an_account_may_have_is_judged_by_failures_only(status: int, outcome: str | None) -> None:
    """A version that this run did not make may be there, but it makes no server fail."""
    ref = "default/somebodys@1.0.0"

    assert asked(ref, exchange(status=status, json=ERROR, ref=ref, seq=2)) == ({(NAME, outcome)} if outcome else set())


@pytest.mark.parametrize("status", [400, 403, 409])
def test_deleted_version_is_judged_by_every_answer(status: int) -> None:
    """Whoever deleted it knows that it is gone, whatever its name."""
    ref = "default/mine@1.0.0"
    gone = exchange("deleteTemplate", 204, ref=ref, seq=2)
    answer = exchange(status=status, json=ERROR, ref=ref, seq=3)

    assert broken(story_verdicts(story_rules("lookup"), publish(1, ref), gone, answer, ref=ref)) == {
        "lookup.deleted-version-is-404"
    }


def test_finding_on_a_missing_version_says_404() -> None:
    """The answer alone is shown."""
    answer = exchange(status=400, json=ERROR, ref=UNKNOWN_REF, seq=2)

    assert story_findings(story_rules("lookup"), publish(), answer, ref=UNKNOWN_REF) == [
        (NAME, (2,), "404", '400 {"error": "no"}')
    ]


def test_template_of_the_listing_namespace_is_something_else() -> None:
    """Curated templates are read below global; builds of it are like any others."""
    ref = "global/touchstone-t1-hello@1.0.0"
    read = exchange("getTemplate", json={}, ref=ref, seq=2)
    status = exchange(json=build(), ref=ref, seq=3)

    assert asked(ref, read) == set()
    assert asked(ref, read, status) == {(NAMESPACE, "broken")}
    elsewhere = "default/global@1.0.0"
    assert asked(elsewhere, exchange("getTemplate", 500, json={}, ref=elsewhere, seq=2)) == {(NAME, "broken")}


@pytest.mark.parametrize(
    "answer",
    [
        exchange(json=build(), seq=3, error=CUT),
        exchange(seq=3, status=0),
        exchange("publishTemplate", 404, json=ERROR, seq=3),
        exchange(status=404, json=ERROR, seq=3, error=CUT),
    ],
)
def test_no_answer_and_publishing_say_nothing_of_what_is_there(answer: Exchange) -> None:
    """Only a whole answer about a version tells whether it is found."""
    assert asked(REF, answer) == set()


def test_publish_that_fails_is_no_search() -> None:
    """A publish does not look for its version."""
    assert asked(UNKNOWN_REF, exchange("publishTemplate", 500, json=ERROR, ref=UNKNOWN_REF, seq=2)) == set()


def owner_told(*answers: Exchange) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("owned"), publish(), *answers)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, None), (299, None), (300, "broken"), (400, "broken"), (404, None), (405, "broken"), (409, "broken")],
)
def test_refused_delete_is_judged_unless_another_claim_is(status: int, outcome: str | None) -> None:
    """404 has a claim of its own, and so has what a success says; no build can be in the way of a delete here."""
    answer = exchange("deleteTemplate", status, json=ERROR, seq=2)

    assert owner_told(answer) == ({(DELETE, outcome)} if outcome else set())


def test_small_plan_may_keep_more_from_its_owner() -> None:
    """What an account below the plan may read of its own is open."""
    answer = exchange(status=403, json=ERROR, credential="restricted", seq=2)

    assert story_verdicts(story_rules("owned"), publish(credential="restricted"), answer) == set()


def test_each_read_of_an_owner_is_judged_by_itself() -> None:
    """What says nothing, before a read, takes nothing away from it."""
    cut = exchange(status=500, json=ERROR, seq=2, error=CUT)
    odd = exchange(status=406, request_headers={"accept": "image/png"}, seq=3)

    assert owner_told(cut) == set()
    assert owner_told(cut, odd, exchange(status=500, json=ERROR, seq=4)) == {("status.answers-200", "broken")}


@pytest.mark.parametrize(
    ("changes", "actual"),
    [
        ({"ref": "default/a@1"}, f"ref 'default/a@1' for {REF!r}"),
        ({"digest": 1}, "digest 1"),
        ({"template": "x"}, "template 'x'"),
        ({"template": {"template": {"name": "a"}}}, f"a document with name 'a' for {REF!r}"),
    ],
)
def test_finding_on_a_template_says_which_part_is_wrong(changes: dict[str, Any], actual: str) -> None:
    """The value as it came, and the ref that it was read for."""
    body = {"ref": REF, "digest": DIGEST, "template": {}} | changes
    expected = "ref, digest and document of the version"

    assert story_findings(story_rules("owned"), publish(), exchange("getTemplate", json=body, seq=2)) == [
        (READ, (2,), expected, actual)
    ]


def test_name_with_its_version_in_the_canonical_part_is_short_form() -> None:
    """A name with an at sign is the whole ref in one text, and is not compared."""
    document = {"template": {"name": "other@2.0.0"}, "build": {"run": ["echo marker-hello"]}}
    body = {"ref": REF, "digest": DIGEST, "template": document}

    assert owner_told(exchange("getTemplate", json=body, seq=2)) == {(READ, "held")}


def test_finding_on_an_own_version_that_is_not_found_says_so() -> None:
    """The owner is told anything but 404."""
    answer = exchange(status=404, json=ERROR, seq=2)

    assert story_findings(story_rules("lookup"), publish(), answer) == [
        (FOUND, (2,), "anything but 404", '404 {"error": "no"}')
    ]
