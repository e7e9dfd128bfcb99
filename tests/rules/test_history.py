"""The history of a run: versions with their owners and contents."""

from typing import Any

from tests.rules.exchanges import OTHER_REF, REF, contract, exchange, given, history, publish
from tests.rules.judging import cases
from tests.rules.stories import cancel, delete, forced, read
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content, History, shares_builds

FOREVER = float("inf")
Story = list[Exchange]


def numbers(exchanges: Any) -> list[int]:
    return [e.seq for e in exchanges]


@cases(
    "story expected",
    {
        **{
            f"published, {code}": ([publish(1.0, status=code, json={})], [("hello", 1.0, FOREVER)])
            for code in (200, 299)
        },
        **{f"published, {code}": ([publish(1.0, status=code, json={})], []) for code in (300, 199, 409, 0)},
        "replaced": ([publish(1.0), forced(2.0)], [("hello", 1.0, 2.0), ("new", 2.0, FOREVER)]),
        "deleted twice": ([publish(1.0), delete(2.0), delete(3.0)], [("hello", 1.0, 2.0)]),
        "a refused delete": ([publish(1.0), delete(2.0, 404)], [("hello", 1.0, FOREVER)]),
        "deleted and published": ([publish(1.0), delete(2.0), publish(3.0)],
            [("hello", 1.0, 2.0), ("hello", 3.0, FOREVER)]),
        "the same again": ([publish(1.0), publish(2.0)], [("hello", 1.0, FOREVER)]),
        "the same by force": ([publish(1.0), forced(2.0, "hello")], [("hello", 1.0, 2.0), ("hello", 2.0, FOREVER)]),
        "another account": ([publish(1.0), publish(2.0, credential="second")],
            [("hello", 1.0, 2.0), ("hello", 2.0, FOREVER)]),
    },
)  # fmt: skip
def test_contents_follow_from_publishes_and_deletes(story: Story, expected: list[tuple[str, float, float]]) -> None:
    assert [(c.key, c.from_at, c.until_at) for c in history(*story).contents(REF)] == expected


@cases(
    "story expected",
    {
        "published before": ([publish(1.0)], True),
        "published until the request": ([publish(4.5)], True),
        "while it was published": ([publish(4.6)], None),
        "never published": ([], False),
        "a refused publish": ([publish(1.0, status=422)], False),
        "a failed publish": ([publish(1.0, status=500)], None),
        "a publish without answer": ([publish(1.0, status=0, json=None)], None),
        "a limited publish": ([publish(1.0, status=429)], False),
        "a limited publish with a build": ([publish(1.0, status=429, note={"auto_build": True})], None),
        "deleted before": ([publish(1.0), delete(4.5)], False),
        "while it was deleted": ([publish(1.0), delete(4.6)], None),
        "deleted at the answer of the publish": ([publish(1.0), delete(1.5)], False),
        "published when it was deleted": ([publish(1.0), delete(2.0), publish(2.5)], True),
        "published while it was deleted": ([publish(1.0), delete(2.0), publish(2.4)], None),
        "another account's delete": ([publish(1.0), delete(2.0, credential="second")], None),
        "its owner's delete, another scheme": ([publish(1.0), delete(2.0, credential="lowercase-scheme")], False),
        "a delete that found nothing": ([publish(1.0), delete(2.0, 404)], None),
        "another's that found nothing": ([publish(1.0), delete(2.0, 404, credential="second")], True),
        "nothing found before": ([delete(0.5, 404), publish(1.0)], True),
        "nothing found at once": ([publish(1.0), delete(1.5, 404)], None),
        "a failed publish and a delete": ([publish(1.0, status=500), delete(2.0)], None),
    },
)
def test_version_exists_from_its_publish_to_its_delete(story: Story, expected: bool | None) -> None:
    assert history(*story, read(5.0)).exists(REF, read(5.0)) is expected


def test_given_version_exists_and_one_of_the_system_may() -> None:
    assert history(read(5.0), given=given()).exists(REF, read(5.0)) is True
    assert history(read(5.0)).exists("system/base@1.0.0", read(5.0, ref="system/base@1.0.0")) is None


NAMELESS = exchange("publishTemplate", 422, seq=20, sent_at=2.0, credential="second", json={})
KEYLESS: dict[str, Any] = {"credential": "none"}


@cases(
    "story known count",
    {
        "one account": ([publish(1.0), forced(2.0)], {}, 1),
        "two accounts": ([publish(1.0), publish(2.0, credential="second")], {}, 2),
        "another one was refused": ([publish(1.0), publish(2.0, status=409, credential="second")], {}, 2),
        "another one only read": ([publish(1.0), read(2.0, credential="second")], {}, 1),
        "another one sent what is wrong": ([publish(1.0), NAMELESS], {}, 1),
        "one account has it from the user": ([publish(2.0, credential="second")], given(), 2),
        "no key was served": ([publish(1.0), publish(2.0, **KEYLESS)], {}, 1),
        "no key was served after two": ([publish(1.0), publish(2.0, credential="second"), publish(3.0, **KEYLESS)], {},
            1),
    },
)  # fmt: skip
def test_each_account_that_published_a_name_has_a_view(story: Story, known: dict[str, Content], count: int) -> None:
    views = history(*story, given=known).views(REF)

    assert len(views) == count
    assert count == 1 or [{e.credential for e in view.story(REF)} for view in views][1:] == [{"second"}]


def test_view_holds_what_its_account_did_and_all_of_other_names() -> None:
    theirs, elsewhere = publish(2, content="theirs", credential="second"), publish(3, OTHER_REF)
    cancels = [cancel(4), cancel(5, credential="second"), cancel(6, ref=OTHER_REF)]
    known = history(publish(1), theirs, elsewhere, *cancels)
    ours, others = known.views(REF)

    assert [[content.key for content in view.contents(REF)] for view in (ours, others)] == [["hello"], ["theirs"]]
    assert [numbers(view.cancels) for view in (ours, others)] == [[4, 6], [5, 6]]
    assert [numbers(view.story(REF)) for view in (ours, others)] == [[1, 4], [2, 5]]
    for view in (ours, others):
        assert view.story(OTHER_REF) == known.story(OTHER_REF)
        assert view.contents(OTHER_REF) == known.contents(OTHER_REF) != ()


def content_of(ref: str, **facts: Any) -> Content:
    values: dict[str, Any] = {
        "owner": "primary",
        "key": ref,
        "outcome": "ready",
        "sleep_s": 0.0,
        "marker": "m",
        "published_seq": 1,
    }
    return Content(ref=ref, **({"from_at": 1.0, "sure_at": 1.1} | values | facts))


@cases(
    "one other expected",
    {
        "one digest": ({"digest": "d"}, {"digest": "d", "marker": "else"}, True),
        "two digests": ({"digest": "d"}, {"digest": "e"}, False),
        "an unknown digest": ({"digest": "d"}, {}, True),
        "two unknown ones": ({}, {}, True),
        "another marker": ({}, {"marker": "else"}, False),
        "a given one": ({"published_seq": 0}, {}, False),
    },
)
def test_contents_share_builds_by_digest_or_by_marker(
    one: dict[str, Any], other: dict[str, Any], expected: bool
) -> None:
    first, second = content_of(REF, **one), content_of(OTHER_REF, **other)
    known = History.knowing(contract(), [first, second])

    assert shares_builds(first, second) is shares_builds(second, first) is expected
    assert (second in known.sharing(first)) is (first in known.sharing(second)) is expected
    assert known.contents(REF) == (first,)


def conditional(tag: str, **note: Any) -> Exchange:
    """A response with status 304."""
    return exchange(status=304, request_headers={"If-None-Match": tag}, note=note, seq=2)


READ = exchange(json={"status": "building"}, headers={"etag": '"1"'}, seq=1)


@cases(
    "later status",
    {
        "stored": (conditional('"1"', stored=1), 200),
        "stored with another ETag": (conditional('"2"', stored=1), 304),
        "stored by another client": (conditional('"1"'), 304),
        "unconditional": (exchange(status=304, seq=2), 304),
        "whole range": (exchange(status=206, body=b"{}", headers={"content-range": "bytes 0-1/2"}, seq=2), 200),
        "part of a range": (exchange(status=206, body=b"{", headers={"content-range": "bytes 0-0/2"}, seq=2), 206),
    },
)
def test_client_uses_the_stored_or_whole_response(later: Exchange, status: int) -> None:
    known = history(READ)
    assert known.add(later).status == status == known.exchanges[-1].status
