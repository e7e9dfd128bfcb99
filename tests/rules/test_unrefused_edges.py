"""Requests that were refused and acted all the same: which of them is to blame, and from when on."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, UNKNOWN_REF, build, exchange, history, publish, story_rules
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.attribution import PLAN, REFUSED, published_by, vanished, was_vanished, was_written
from touchstone.rules.history import Content

FOREIGN = "access.others-change-nothing"
ERROR = {"error": "no"}


def made(at: float, status: int = 201, **more: Any) -> Exchange:
    return publish(round(at * 10), sent_at=at, done_at=at + 0.5, status=status, **more)


def request(operation: str, at: float, status: int, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5}
    facts |= {"json": build("not_built") if status < 400 else ERROR}
    return exchange(operation, status, **(facts | more))


def read(at: float, status: int = 200, **more: Any) -> Exchange:
    return request("getBuild", at, status, **more)


def denied(at: float, credential: Credential = "second", status: int = 404) -> Exchange:
    return request("deleteTemplate", at, status, credential=credential)


def blamed(*story: Exchange) -> int | None:
    """The number of the delete after which the version, published from 1 to 1.5, was never found again."""
    delete = vanished(REF, history(made(1), *story))
    return delete.request.seq if delete else None


def test_finding_shows_the_refused_delete_and_the_answer_after_it() -> None:
    """What was refused, and what the owner was told then."""
    there = [made(1), denied(2), read(3)]

    assert story_findings(story_rules("unrefused"), made(1), denied(2), read(3, 404)) == [
        (FOREIGN, (20, 30), "a version that is still there", "404 ever after")
    ]
    assert shown_by(story_rules("unrefused"), *there) == [(FOREIGN, (20, 30))]
    assert shown_by(story_rules("unrefused"), made(1), denied(2, "none", 401), read(3)) == [(REFUSED, (20, 30))]


@pytest.mark.parametrize("operation", ["getBuild", "getTemplate", "startBuild", "deleteTemplate"])
def test_version_is_gone_where_one_of_the_owners_requests_is_404(operation: str) -> None:
    """Each operation that finds versions tells."""
    assert blamed(denied(2), request(operation, 3, 404)) == 20


@pytest.mark.parametrize(
    "odd",
    [
        request("cancelBuild", 3, 404),
        request("streamBuildEvents", 3, 404),
        read(3, 404, method="HEAD"),
        read(3, 404, credential="second"),
        read(3, 500),
        read(3, 403),
        read(2.4, 404),
    ],
)
def test_other_answers_do_not_tell(odd: Exchange) -> None:
    """A cancel and a log may be 404 when idle; other accounts, failures and answers on their way tell nothing."""
    assert blamed(denied(2), odd) is None


@pytest.mark.parametrize(
    ("story", "seq"),
    [
        ([denied(2), read(2.5, 404)], 20),
        ([denied(2), denied(3), read(4, 404)], 20),
        ([denied(2), read(3), denied(4), read(5, 404)], 40),
        ([denied(2), read(3, 404), read(4)], None),
        ([denied(2), read(3, 404), read(4), denied(5), read(6, 404)], 50),
        ([denied(2), made(3), read(4, 404)], None),
        ([denied(2), made(3, 500), read(4, 404)], None),
        ([denied(2), made(3, 409), read(4, 404)], 20),
        ([read(2, 404), denied(3), read(4, 404)], None),
        ([denied(2), request("deleteTemplate", 3, 200), read(4, 404)], None),
        ([request("deleteTemplate", 2, 200), denied(3), read(4, 404)], None),
        ([denied(2, "second", 200), read(3, 404)], None),
        ([denied(2, "second", 500), read(3, 404)], None),
        ([denied(2), read(2.3), read(4, 404)], 20),
        ([denied(2), request("cancelBuild", 2.6, 404), read(4, 404)], 20),
    ],
)
def test_delete_is_blamed_that_lies_between_there_and_gone(story: list[Exchange], seq: int | None) -> None:
    """The first refused one since the version was surely there, if nothing else can have taken it away."""
    assert blamed(*story) == seq


def test_version_that_was_never_there_is_not_taken_away() -> None:
    """A delete before the publish, or without one, takes away nothing."""
    assert vanished(REF, history(denied(2), read(3, 404))) is None
    assert vanished(REF, history(denied(0.2), made(1), read(3, 404))) is None


@pytest.mark.parametrize(
    ("answer", "blamed_"),
    [
        (read(9, 404), True),
        (read(9, 200), False),
        (read(9, 404, ref=None), False),
        (read(1.5, 404), True),
        (read(1.4, 404, done_at=1.9), False),
        (read(9, 404, ref=OTHER_REF), False),
    ],
)
def test_404_is_the_deletes_doing_from_the_moment_it_was_sent(answer: Exchange, blamed_: bool) -> None:
    """An answer that was there before it is not."""
    known = history(made(0.5), denied(2), read(3, 404))

    assert was_vanished(answer, known) is blamed_


def made_by(publish_: Exchange, answer: Exchange, *more: Exchange, **facts: Any) -> str | None:
    """The claim that a refused publish breaks."""
    found = published_by(answer, history(publish_, answer, *more, **facts))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("publish_", "claim"),
    [
        (made(1, 401, credential="none"), REFUSED),
        (made(1, 400, credential="none"), REFUSED),
        (made(1, 499, credential="none"), REFUSED),
        (made(1, 500, credential="none"), None),
        (made(1, 201, credential="none"), None),
        (made(1, 403, credential="second"), None),
        (made(1, 409), None),
        (made(4.5, 401, credential="none"), REFUSED),
        (made(4.6, 401, credential="none"), None),
        (request("startBuild", 1, 401, credential="none"), None),
        (exchange("publishTemplate", 401, credential="none", json=ERROR), None),
    ],
)
def test_version_that_a_refused_publish_made_is_blamed_on_it(publish_: Exchange, claim: str | None) -> None:
    """One that was refused for its key, said what it publishes, and was answered when the version was asked for."""
    assert made_by(publish_, read(5)) == claim


@pytest.mark.parametrize(
    ("sender", "reader", "claim"),
    [
        ("restricted", "restricted", PLAN),
        ("restricted", "primary", None),
        ("none", "restricted", None),
        ("none", "second", None),
        ("second", "second", None),
    ],
)
def test_refused_publish_makes_versions_of_its_own_account(
    sender: Credential, reader: Credential, claim: str | None
) -> None:
    """Below the plan the account's own; without a key only the primary account's can be meant."""
    assert made_by(made(1, 403, credential=sender), read(5, credential=reader)) == claim


def test_each_publish_is_looked_at_by_itself() -> None:
    """One that explains nothing, before another, takes nothing away from it."""
    beside = (made(1, 500, credential="none"), made(2, 409), made(3, 401, credential="none"))
    found = published_by(read(5), history(*beside, read(5)))

    assert found is not None
    assert (found[0], found[1].seq) == (REFUSED, 30)


@pytest.mark.parametrize(
    ("other", "claim"),
    [
        (read(6, ref=UNKNOWN_REF), None),
        (read(6, 404, ref=UNKNOWN_REF), REFUSED),
        (request("startBuild", 6, 202, ref=UNKNOWN_REF), REFUSED),
        (read(6, ref="system/base@1.0.0"), REFUSED),
        (read(6, ref=OTHER_REF), REFUSED),
        (read(6, ref=None), REFUSED),
    ],
)
def test_server_that_finds_what_nobody_ever_tried_to_publish_finds_anything(other: Exchange, claim: str | None) -> None:
    """By the same operation, and under a name that neither the vendor, nor the user, nor a publish knows."""
    given = {OTHER_REF: Content(OTHER_REF, "primary", "", "ready", 0.0, "", 0, 0.0, 0.0)}

    assert made_by(made(1, 401, credential="none"), read(5), other, given=given) == claim


@pytest.mark.parametrize(
    ("body", "answer", "written"),
    [
        (b"name: touchstone-t1-nothing\nversion: 1.0.0", {}, True),
        (b"name: touchstone-t1-nothing", {}, False),
        (b"version: 1.0.0", {}, False),
        (b"", {"ref": UNKNOWN_REF}, True),
        (b"", {"ref": OTHER_REF}, False),
    ],
)
def test_publish_may_be_about_a_version_that_only_its_document_names(
    body: bytes, answer: dict[str, str], written: bool
) -> None:
    """By name and version together, or by its answer."""
    nameless = exchange("publishTemplate", 201, ref=None, request_body=body, json=answer)

    assert was_written(UNKNOWN_REF, history(nameless)) is written
    assert made_by(made(1, 401, credential="none"), read(5), nameless, read(6, ref=UNKNOWN_REF)) == (
        REFUSED if written else None
    )


def test_publish_that_says_what_it_publishes_is_about_nothing_else() -> None:
    """Name and version of a known document stand in it as well, but in a namespace that it names."""
    elsewhere = REF.replace("default", "touchstone-t1-absent")
    document = b"name: touchstone-t1-hello\nversion: 1.0.0"

    assert was_written(elsewhere, history(made(1, request_body=document))) is False
    assert was_written(elsewhere, history(made(1, request_body=document, json={"ref": elsewhere}))) is True
