"""Which publish put there what a version held, and what the version said of itself meanwhile."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, REF, build, exchange, history, publish
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content
from touchstone.rules.publishing import Shelf, digest_of, document_of, replaced

NEW = "cd" * 32


def made(at: float, status: int = 201, **more: Any) -> Exchange:
    return publish(round(at * 10), sent_at=at, done_at=at + 0.5, status=status, **more)


def forced(at: float, **more: Any) -> Exchange:
    return made(at, **({"content": "new", "digest": NEW, "note": {"force": True}} | more))


def request(operation: str, at: float, status: int = 200, **more: Any) -> Exchange:
    return exchange(operation, status, **({"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5} | more))


def read(at: float, digest: str = DIGEST, **more: Any) -> Exchange:
    return request("getBuild", at, **({"json": build("not_built", digest=digest)} | more))


def template(at: float, *markers: str, digest: str = "") -> Exchange:
    document = {"build": {"run": [f"echo {marker}" for marker in markers]}}
    return request("getTemplate", at, json={"ref": REF, "digest": digest, "template": document})


def shelf(*story: Exchange, **more: Any) -> Shelf:
    return Shelf(REF, history(*story, **more))


def number(exchange_: Exchange | None) -> int | None:
    return exchange_.seq if exchange_ else None


STANDING: list[tuple[str, list[Exchange], int | None]] = [
    ("nothing was published", [], None),
    ("one publish", [made(1)], 10),
    ("a publish until the answer was asked for", [made(4.5)], 45),
    ("a publish on its way", [made(1), made(4.6)], None),
    ("a publish sent when it was answered", [made(1), made(5.5)], 10),
    ("a publish that was refused", [made(1), made(2, 409)], 10),
    ("a publish without an answer", [made(1), made(2, 0, json=None)], None),
    ("two publishes", [made(1), forced(2)], 20),
    ("two that touch", [made(1), forced(1.5)], 15),
    ("two at one time", [made(1), forced(1.4)], None),
    ("a delete", [made(1), request("deleteTemplate", 2)], None),
    ("a publish after a delete", [made(1), request("deleteTemplate", 2), made(3)], 30),
    ("a publish of nobody knows what", [made(1), exchange("publishTemplate", 201, seq=20, sent_at=2.0, json={})], None),
    ("two accounts", [made(1), made(2, credential="second")], None),
    ("a delete that found nothing", [made(1), request("deleteTemplate", 2, 404)], None),
    ("a delete that found nothing before anything was there", [request("deleteTemplate", 0.1, 404), made(1)], 10),
    ("another account's delete", [made(1), request("deleteTemplate", 2, 404, credential="second")], 10),
    ("a delete of what is gone", [made(1), *(request("deleteTemplate", at, 404) for at in (2, 3)), made(4)], 40),
]


@pytest.mark.parametrize(("story", "seq"), [row[1:] for row in STANDING], ids=[row[0] for row in STANDING])
def test_content_stands_that_was_surely_put_there_last(story: list[Exchange], seq: int | None) -> None:
    """None where something else may have come after it, or at the same time."""
    answer = read(5)

    assert number(shelf(*story, answer).standing(answer)) == seq


def test_publish_replaces_what_stands() -> None:
    """Of the same account."""
    again = forced(3)

    assert number(shelf(made(1), again).replaces(again)) == 10
    other = forced(3, status=409, credential="second")
    assert shelf(made(1), other).replaces(other) is None


def test_publish_is_the_first_where_nothing_can_have_been_there() -> None:
    """Before its answer nothing else was sent that can have put something there."""
    first = made(2)

    assert shelf(first).is_first(first)
    assert shelf(first, made(2.5)).is_first(first)
    assert not shelf(first, made(2.4)).is_first(first)
    assert not shelf(made(1), first).is_first(first)
    assert shelf(made(1, 409), first).is_first(first)
    assert not shelf(first, made(4, credential="second")).is_first(first)
    given = {REF: Content(REF, "primary", "", "ready", 0.0, "", 0, 0.0, 0.0)}
    assert not shelf(first, given=given).is_first(first)


def test_delete_of_what_was_deleted_leaves_it_deleted() -> None:
    """A delete that finds nothing where nothing is says nothing new."""
    deleted, again, new = request("deleteTemplate", 2), request("deleteTemplate", 3, 404), made(4)

    assert number(shelf(made(1), deleted, again, new).deleted_before(new)) == 20


def test_contents_are_what_publishes_put_there() -> None:
    """A delete puts nothing there, nor does a publish that was refused or of which nobody knows what it means."""
    story = [made(1), forced(2, status=409), request("deleteTemplate", 3), made(4), made(5, 500)]
    bare = exchange("publishTemplate", 201, seq=60, json={})

    assert [e.seq for e in shelf(*story, bare).contents] == [10, 40]


def test_answers_are_those_that_show_the_owner_a_digest() -> None:
    """Successful ones, whole, with a text for a digest, to the owner's key, by operations that show it."""
    shown = [read(2), request("startBuild", 3, 202, json=build()), template(4, digest=DIGEST)]
    others = [
        read(5, credential="second"),
        read(6, json={"digest": 1}),
        read(7, json={}),
        read(8, error="ReadError: cut"),
        request("getBuild", 9, 404, json=build()),
        request("cancelBuild", 10, 202, json=build()),
        request("getBuild", 11, json=build(), method="HEAD"),
        request("getBuild", 12, json=build(), method="PUT"),
    ]
    first = made(1)

    assert [e.seq for e in shelf(first, *shown, *others).answers] == [20, 30, 40]
    assert [e.seq for e in shelf(first, *shown, *others).answers_since(first)] == [20, 30, 40]


@pytest.mark.parametrize(
    ("publish_", "between"),
    [
        (forced(2, status=400), True),
        (forced(2, status=409), True),
        (forced(2, status=499), True),
        (forced(2, status=500), False),
        (forced(2, status=0, json=None), False),
        (forced(2), False),
        (forced(2, status=409, content="hello"), False),
        (exchange("publishTemplate", 409, seq=20, json={}), False),
        (forced(1.5, status=409), True),
        (forced(1.4, status=409), False),
        (forced(5.4, status=409), True),
        (forced(5.5, status=409), False),
    ],
)
def test_refused_publish_of_other_content_lies_between(publish_: Exchange, between: bool) -> None:
    """Sent when the first publish was answered or later, and before the answer in question was there."""
    first, answer = made(1), read(5)

    assert shelf(first, publish_, answer).refused_between(first, answer) == ([publish_] if between else [])


def test_document_is_shown_by_template_reads_only() -> None:
    """Another answer may have a field of that name."""
    assert document_of(exchange("getTemplate", json={"template": {"a": 1}})) == {"a": 1}
    assert document_of(exchange("getBuild", json={"template": {"a": 1}})) is None
    assert digest_of(exchange(json={"digest": "ab"})) == "ab"
    assert digest_of(exchange(json={"digest": 1})) == ""


REPLACED: list[tuple[str, list[Exchange], bool | None]] = [
    ("nothing is shown", [], None),
    ("the new digest", [read(3, NEW)], True),
    ("the old digest", [read(3)], False),
    ("another digest", [read(3, "ef")], None),
    ("only a start", [request("startBuild", 3, 202, json=build(digest=NEW))], None),
    ("the first one counts", [read(3), read(4, NEW)], False),
    ("the new marker", [template(3, "marker-new", digest=DIGEST)], True),
    ("the old marker", [template(3, "marker-hello", digest=NEW)], False),
    ("both markers", [template(3, "marker-hello", "marker-new", digest=DIGEST)], True),
    ("a longer marker", [template(3, "marker-hello-2", digest=NEW)], True),
]


@pytest.mark.parametrize(("story", "expected"), [row[1:] for row in REPLACED], ids=[row[0] for row in REPLACED])
def test_content_was_replaced_as_reads_show(story: list[Exchange], expected: bool | None) -> None:
    """By what the document prints, or by its digest; None where they do not tell."""
    before, after = made(1), forced(2)

    assert replaced(shelf(before, after, *story), before, after) is expected


def test_content_with_the_old_digest_or_marker_shows_nothing_by_it() -> None:
    """What is the same before and after tells nothing."""
    before, same = made(1), forced(2, digest=DIGEST)
    assert replaced(shelf(before, same, read(3)), before, same) is None
    bare = made(1, digest="")
    assert replaced(shelf(bare, forced(2), read(3, NEW)), bare, forced(2)) is None
    alike = forced(2, note={"force": True, "marker": "marker-hello"})
    shows = template(3, "marker-hello", digest=NEW)
    assert replaced(shelf(before, alike, shows), before, alike) is True
