"""The history of a run: versions with their owners and contents."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, UNKNOWN_REF, contract, exchange, given, history, publish
from tests.rules.judging import cases
from tests.rules.stories import cancel, delete, forced, read, start
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content, History, shares_builds

FOREVER = float("inf")
Story = list[Exchange]


def numbers(exchanges: Any) -> list[int]:
    return [e.seq for e in exchanges]


def test_story_is_in_the_order_of_sending() -> None:
    known = history(read(1), read(3), read(2), read(4, ref=OTHER_REF), read(5, ref=None))

    assert numbers(known.exchanges) == [1, 2, 3, 4, 5]
    assert numbers(known.story(REF)) == [1, 2, 3]
    assert known.story(UNKNOWN_REF) == ()


def test_accepted_cancels_are_kept_apart() -> None:
    assert numbers(history(cancel(3), cancel(1), cancel(2, 404), start(4)).cancels) == [1, 3]


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


def test_content_has_the_meaning_in_the_note_of_its_publish() -> None:
    note = {"content": "k", "outcome": "failed", "sleep_s": 2, "marker": "m"}
    full, bare = publish(1, note=note, digest="ab"), exchange("publishTemplate", 201, json={}, note={"content": "k"})
    null = publish(1, json={"ref": REF, "digest": None})

    assert history(full).contents(REF) == (
        Content(REF, "primary", "k", "failed", 2.0, "m", 1, 1.0, 1.01, "ab", FOREVER),
    )
    assert history(bare).contents(REF) == (Content(REF, "primary", "k", "unknown", 0.0, "", 1, 1.0, 1.01, "", FOREVER),)
    assert history(null).contents(REF)[0].digest == ""


def test_given_contents_are_those_of_the_settings() -> None:
    known = history(publish(1, content="else"), publish(2, OTHER_REF, content="other"), given=given())

    assert known.contents(REF) == (given()[REF],)
    assert {(c.ref, c.key) for c in known.all_contents()} >= {(REF, "given"), (OTHER_REF, "other")}


@pytest.mark.parametrize(("at", "expected"), [(1.4, None), (1.5, "hello"), (1.9, "hello"), (2.0, None), (2.5, "new")])
def test_content_is_certain_from_the_answer_on(at: float, expected: str | None) -> None:
    content = history(publish(1.0), forced(2.0)).content(REF, at)

    assert (content.key if content else None) == expected


def test_version_belongs_to_its_last_publisher() -> None:
    assert history(publish(1), publish(2, credential="second")).owner(REF) == "second"
    assert history(publish(1)).owner(UNKNOWN_REF) is None


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


def test_work_is_kept_by_subject_until_an_exchange_is_added() -> None:
    worked: list[object] = []

    def work(subject: Any, known: History) -> int:
        worked.append(subject if isinstance(subject, str) else subject.seq)
        return len(known.exchanges)

    def overall(known: History) -> int:
        worked.append("all")
        return -len(known.exchanges)

    known = history(publish(1))
    results = [known.once(work, subject) for subject in (REF, REF, OTHER_REF, read(2), read(2), read(3))]
    totals = [known.overall(overall), known.overall(overall)]
    known.add(read(4))

    assert (results, totals) == ([1] * 6, [-1, -1])
    assert (known.once(work, REF), known.overall(overall)) == (2, -2)
    assert worked == [REF, OTHER_REF, 2, 3, "all", REF, "all"]


def test_work_is_kept_for_each_view() -> None:
    def length(ref: str, known: History) -> int:
        return len(known.story(ref))

    known = history(publish(1), publish(2, content="theirs", credential="second"), read(3))

    assert [known.once(length, REF), *(view.once(length, REF) for view in known.views(REF))] == [3, 2, 1]


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
