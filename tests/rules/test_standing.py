"""Whose version a request was about, and whether there was one."""

from typing import Any

import pytest

from tests.rules.exchanges import REF, UNKNOWN_REF, exchange, history, publish
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.ownership import sole_owner, standing, surely_missing


def delete(at: float, status: int = 204, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5} | more
    return exchange("deleteTemplate", status, **facts)


def made(at: float, **more: Any) -> Exchange:
    return publish(round(at * 10), sent_at=at, done_at=at + 0.5, **more)


def asked(**more: Any) -> Exchange:
    return exchange(**({"seq": 50, "sent_at": 5.0, "done_at": 5.5} | more))


STANDINGS: list[tuple[str, list[Exchange], Exchange, str]] = [
    ("its own", [made(1)], asked(), "own"),
    ("another's", [made(1)], asked(credential="second"), "foreign"),
    ("a small plan's", [made(1)], asked(credential="restricted"), "foreign"),
    ("a key that is refused", [made(1)], asked(credential="unknown"), "unsure"),
    ("a scheme written otherwise", [made(1)], asked(credential="lowercase-scheme"), "unsure"),
    ("no version at all", [made(1)], asked(ref=None), "unsure"),
    ("never published", [], asked(ref=UNKNOWN_REF), "missing"),
    ("published later", [made(5.5)], asked(), "missing"),
    ("while it was published", [made(5.4)], asked(), "unsure"),
    ("deleted", [made(1), delete(2)], asked(), "deleted"),
    ("two accounts have it", [made(1), made(2, credential="second")], asked(), "unsure"),
    ("somebody without a key has it", [made(1, credential="none")], asked(), "unsure"),
    ("another delete failed", [made(1), delete(2, 500)], asked(), "unsure"),
    ("another delete was lost", [made(1), delete(2, 0)], asked(), "unsure"),
    ("a delete is sent when it is answered", [made(1), delete(5.5, 500)], asked(), "own"),
    ("a delete was refused", [made(1), delete(2, 409)], asked(), "own"),
    ("the delete itself", [made(1)], delete(5), "own"),
    ("another's delete", [made(1)], delete(5, 404, credential="second"), "foreign"),
    ("the delete that failed", [made(1)], delete(5, 500), "own"),
    ("a delete when the publish was answered", [made(4.5)], delete(5), "own"),
    ("a second delete", [made(1), delete(2)], delete(5, 404), "deleted"),
]


@pytest.mark.parametrize(
    ("story", "request_", "expected"), [row[1:] for row in STANDINGS], ids=[row[0] for row in STANDINGS]
)
def test_standing_is_what_the_version_was_to_the_key(story: list[Exchange], request_: Exchange, expected: str) -> None:
    """All the time that the request was on its way; unsure where anything of that is in doubt."""
    assert standing(request_, history(*story, request_)) == expected


@pytest.mark.parametrize(
    ("owners", "sole"), [(["primary"], "primary"), (["second"], "second"), (["primary", "second"], None), ([], None)]
)
def test_version_has_one_owner_or_none(owners: list[Credential], sole: str | None) -> None:
    """Where several accounts had one of that name, nobody is the owner."""
    known = history(*(publish(seq, credential=owner) for seq, owner in enumerate(owners, 1)))

    assert sole_owner(REF, known) == sole


@pytest.mark.parametrize(
    ("ref", "missing"),
    [
        ("default/touchstone-t1-a@1.0.0", True),
        ("default/touchstone-t1@1.0.0", False),
        ("default/mine@1.0.0", False),
        ("touchstone-t1-a/mine@1.0.0", False),
    ],
)
def test_version_of_a_runs_name_that_it_never_had_is_missing(ref: str, missing: bool) -> None:
    """Under any other name an account may have one."""
    assert surely_missing(ref, history()) is missing


def test_version_that_a_publish_without_a_ref_made_is_not_missing() -> None:
    """Only its answer says what it was about."""
    ref = "default/touchstone-t1-a@1.0.0"
    nameless = exchange("publishTemplate", 201, ref=None, json={"ref": ref})

    assert surely_missing(ref, history(nameless)) is False
    assert surely_missing(ref, history(exchange("publishTemplate", 201, ref=None, json={"ref": REF}))) is True
