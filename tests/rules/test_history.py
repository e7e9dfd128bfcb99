"""What a run knows: which versions exist, whose they are and what they hold, from one exchange to the next."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, UNKNOWN_REF, build, contract, exchange, history, publish
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content, History, shares_builds

GIVEN = {REF: Content(REF, "primary", "given", "ready", 0.0, "", 0, 0.0, 0.0)}


def delete(at: float, status: int = 204, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5} | more
    return exchange("deleteTemplate", status, **facts)


def made(at: float, **more: Any) -> Exchange:
    return publish(round(at * 10), sent_at=at, done_at=at + 0.5, **more)


def asked(at: float, **more: Any) -> Exchange:
    return exchange(seq=round(at * 10), sent_at=at, done_at=at + 0.5, **more)


def keys(*exchanges: Exchange) -> list[tuple[str, float, float]]:
    """The contents that follow from exchanges: meaning, since when and until when."""
    return [(c.key, c.from_at, c.until_at) for c in history(*exchanges).contents(REF)]


FOREVER = float("inf")


class TestStory:
    """The exchanges of a version."""

    def test_is_in_the_order_of_sending_whatever_order_they_end_in(self) -> None:
        """An exchange that overlaps with others may be added late."""
        known = history(asked(1), asked(3), asked(2), asked(4))

        assert [e.seq for e in known.exchanges] == [10, 20, 30, 40]
        assert [e.seq for e in known.story(REF)] == [10, 20, 30, 40]

    def test_holds_what_names_the_version(self) -> None:
        """An exchange about another version, or about none, is no part of it."""
        known = history(asked(1), asked(2, ref=OTHER_REF), asked(3, ref=None))

        assert [e.seq for e in known.story(REF)] == [10]
        assert known.story(UNKNOWN_REF) == ()

    @pytest.mark.parametrize(("operation", "status", "count"), [("cancelBuild", 202, 1), ("cancelBuild", 404, 0)])
    def test_accepted_cancels_are_remembered_apart(self, operation: str, status: int, count: int) -> None:
        """Only a cancel that was accepted can end a build."""
        known = history(exchange(operation, status), exchange("startBuild", 202, seq=2, json=build()))

        assert len(known.cancels) == count


class TestContents:
    """What a version held one after the other."""

    @pytest.mark.parametrize(("status", "count"), [(200, 1), (201, 1), (299, 1), (300, 0), (199, 0), (409, 0), (0, 0)])
    def test_begin_with_a_publish_that_succeeded(self, status: int, count: int) -> None:
        """Every status of success counts, and no other."""
        assert len(keys(publish(1, status=status, json={}))) == count

    def test_end_with_the_next_ones(self) -> None:
        """Other content, published or forced, closes what was there when it was sent."""
        story = [made(1), made(2, content="new", note={"force": True})]

        assert keys(*story) == [("hello", 1.0, 2.0), ("new", 2.0, FOREVER)]

    def test_end_with_a_delete(self) -> None:
        """A delete closes them, a refused one does not, and a second one closes nothing."""
        assert keys(made(1), delete(2), delete(3)) == [("hello", 1.0, 2.0)]
        assert keys(made(1), delete(2, 404)) == [("hello", 1.0, FOREVER)]

    def test_begin_again_after_a_delete(self) -> None:
        """The same content published after a delete is a new one."""
        assert keys(made(1), delete(2), made(3)) == [("hello", 1.0, 2.0), ("hello", 3.0, FOREVER)]

    def test_stay_where_the_same_is_published_again(self) -> None:
        """Publishing the same changes nothing; what follows counts all the same."""
        assert keys(made(1), made(2)) == [("hello", 1.0, FOREVER)]
        assert keys(made(1), made(2), delete(3)) == [("hello", 1.0, 3.0)]

    def test_begin_anew_where_the_same_is_forced(self) -> None:
        """A forced publish is told to delete and publish again."""
        assert keys(made(1), made(2, note={"force": True})) == [("hello", 1.0, 2.0), ("hello", 2.0, FOREVER)]

    def test_of_two_accounts_are_two(self) -> None:
        """The same content of another account is not the same."""
        assert len(keys(made(1), made(2, credential="second"))) == 2

    def test_mean_what_the_publisher_says(self) -> None:
        """Outcome, duration and marker come from the note, the digest from the answer."""
        note = {"content": "k", "outcome": "failed", "sleep_s": 2, "marker": "m"}
        content = history(publish(1, note=note, digest="ab")).contents(REF)[0]

        assert content == Content(REF, "primary", "k", "failed", 2.0, "m", 1, 1.0, 1.01, "ab", FOREVER)

    def test_have_no_digest_that_is_no_text(self) -> None:
        """Two versions whose publishes were answered with null do not share a digest."""
        answer = {"ref": REF, "digest": None, "published": "2026-03-14T09:26:53Z"}
        assert history(publish(1, json=answer)).contents(REF)[0].digest == ""

    def test_mean_nothing_certain_where_the_publisher_says_no_more(self) -> None:
        """Without a word on it, nobody knows how a build ends, how long it takes and what it prints."""
        bare = exchange("publishTemplate", 201, json={}, note={"content": "k"})

        assert history(bare).contents(REF) == (
            Content(REF, "primary", "k", "unknown", 0.0, "", 1, 1.0, 1.01, "", FOREVER),
        )

    def test_of_a_given_version_are_what_the_user_said(self) -> None:
        """What the run does to a given version does not count."""
        assert history(made(1), given=GIVEN).contents(REF) == (GIVEN[REF],)

    def test_are_all_known_together(self) -> None:
        """Given and published ones, of every version."""
        known = history(publish(1, OTHER_REF, content="other"), given=GIVEN)

        assert [(c.ref, c.key) for c in known.all_contents()] == [(REF, "given"), (OTHER_REF, "other")]

    @pytest.mark.parametrize(("at", "key"), [(1.4, None), (1.5, "hello"), (1.9, "hello"), (2.0, None), (2.5, "new")])
    def test_are_certain_from_the_answer_on(self, at: float, key: str | None) -> None:
        """While a publish is on its way nobody knows what is there."""
        content = history(made(1), made(2, content="new", note={"force": True})).content(REF, at)

        assert (content.key if content else None) == key

    def test_belong_to_the_last_publisher(self) -> None:
        """A version that nobody published has no owner."""
        assert history(made(1), made(2, credential="second")).owner(REF) == "second"
        assert history(made(1)).owner(UNKNOWN_REF) is None


EXISTS: list[tuple[str, list[Exchange], bool | None]] = [
    ("published before", [made(1)], True),
    ("published until the request was sent", [made(4.5)], True),
    ("while it was published", [made(4.6)], None),
    ("published when it was answered", [made(5.5)], False),
    ("never published", [], False),
    ("a publish that was refused", [made(1, status=422)], False),
    ("a publish that was in conflict", [made(1, status=409)], None),
    ("a publish that failed", [made(1, status=500)], None),
    ("a publish without an answer", [exchange("publishTemplate", 0)], None),
    ("a publish whose build met a limit", [made(1, status=429, note={"auto_build": True})], None),
    ("a publish that met a limit", [made(1, status=429)], False),
    ("deleted before", [made(1), delete(4.5)], False),
    ("while it was deleted", [made(1), delete(4.6)], None),
    ("deleted when it was answered", [made(1), delete(5.5)], True),
    ("deleted when the publish was answered", [made(1), delete(1.5)], False),
    ("deleted while it was published", [made(1), delete(1.4)], None),
    ("deleted until it was published again", [made(1), delete(2), made(2.5)], True),
    ("deleted while it was published again", [made(1), delete(2), made(2.4)], None),
    ("a delete that was redirected", [made(1), delete(2, 300)], True),
    ("a delete by nobody in particular", [made(1), delete(2, credential="second")], None),
    ("a delete by its owner, written otherwise", [made(1), delete(2, credential="lowercase-scheme")], False),
    ("a delete by its owner that found nothing", [made(1), delete(2, 404)], None),
    ("a delete by another one that found nothing", [made(1), delete(2, 404, credential="second")], True),
    ("a delete that found nothing before it was there", [delete(0.5, 404), made(1)], True),
    ("a delete that found nothing before the next", [made(1), delete(2, 404), made(3, content="new")], True),
    ("a delete that found nothing as soon as it was there", [made(1), delete(1.5, 404)], None),
    ("a delete that found nothing when it was answered", [made(1), delete(5.5, 404)], True),
    ("an old publish of unknown outcome and a delete", [made(1, status=500), delete(2)], None),
]


@pytest.mark.parametrize(("story", "exists"), [(s, e) for _, s, e in EXISTS], ids=[name for name, _, _ in EXISTS])
def test_version_exists_from_its_publish_to_its_delete(story: list[Exchange], exists: bool | None) -> None:
    """It is in doubt while either is on its way, or where one may have acted that failed."""
    request = asked(5)

    assert history(*story, request).exists(REF, request) is exists


def test_version_of_the_system_may_exist() -> None:
    """Whether the vendor has a version of that name is not for a run to know."""
    request = asked(5, ref="system/base@1.0.0")

    assert history(request).exists("system/base@1.0.0", request) is None


def test_given_version_exists() -> None:
    """The user says so."""
    request = asked(5)

    assert history(request, given=GIVEN).exists(REF, request) is True


NAMELESS = exchange("publishTemplate", 422, seq=20, sent_at=2.0, credential="second", json={})
VIEWS: list[tuple[str, list[Exchange], dict[str, Content], int]] = [
    ("one account", [made(1), made(2, content="new")], {}, 1),
    ("two accounts", [made(1), made(2, credential="second")], {}, 2),
    ("another one was refused", [made(1), made(2, status=409, credential="second")], {}, 2),
    ("another one asked only", [made(1), asked(2, credential="second")], {}, 1),
    ("another one sent what is wrong", [made(1), NAMELESS], {}, 1),
    ("one account has it from the user", [made(2, credential="second")], GIVEN, 2),
    ("a refused key was refused", [made(1), made(2, status=401, credential="none")], {}, 1),
    ("a refused key was served", [made(1), made(2, credential="none")], {}, 1),
    ("a refused key was served after two", [made(1), made(2, credential="second"), made(3, credential="none")], {}, 1),
]


@pytest.mark.parametrize(("story", "known", "count"), [row[1:] for row in VIEWS], ids=[row[0] for row in VIEWS])
def test_each_account_that_published_a_name_has_a_view(
    story: list[Exchange], known: dict[str, Content], count: int
) -> None:
    """Unless somebody had it who is no account."""
    views = history(*story, given=known).views(REF)

    assert len(views) == count
    assert count == 1 or [{e.credential for e in view.story(REF)} for view in views][1:] == [{"second"}]


def test_view_holds_what_its_account_did_and_all_of_other_names() -> None:
    """
    Contents, cancels and requests of the other account under that name are left out, those under other names are not.
    """
    theirs, elsewhere = made(2, content="theirs", credential="second"), publish(30, OTHER_REF, sent_at=3.0)
    cancels = [
        exchange("cancelBuild", 202, seq=40, sent_at=4.0),
        exchange("cancelBuild", 202, seq=50, sent_at=5.0, credential="second"),
        exchange("cancelBuild", 202, seq=60, sent_at=6.0, ref=OTHER_REF),
    ]
    known = history(made(1), theirs, elsewhere, *cancels)
    ours, others = known.views(REF)

    assert [[content.key for content in view.contents(REF)] for view in (ours, others)] == [["hello"], ["theirs"]]
    assert [[cancel.seq for cancel in view.cancels] for view in (ours, others)] == [[40, 60], [50, 60]]
    assert [[e.seq for e in view.story(REF)] for view in (ours, others)] == [[10, 40], [20, 50]]
    assert all(view.story(OTHER_REF) == known.story(OTHER_REF) for view in (ours, others))
    assert all(view.contents(OTHER_REF) == known.contents(OTHER_REF) != () for view in (ours, others))


class TestOnce:
    """What is worked out from a history is worked out again only when it has changed."""

    def test_is_worked_out_for_each_subject_until_an_exchange_is_added(self) -> None:
        """A ref, an exchange by its number; everything anew after the next one."""
        worked: list[object] = []

        def work(subject: Any, known: History) -> int:
            worked.append(subject if isinstance(subject, str) else subject.seq)
            return len(known.exchanges)

        known = history(made(1))
        asked_twice = [known.once(work, subject) for subject in (REF, REF, OTHER_REF, asked(2), asked(2), asked(3))]
        known.add(asked(4))

        assert (asked_twice, known.once(work, REF)) == ([1] * 6, 2)
        assert worked == [REF, OTHER_REF, 20, 30, REF]

    def test_is_worked_out_for_each_question(self) -> None:
        """Two that ask different things about one version do not get each other's answer."""
        known = history(made(1))

        assert [known.once(work, REF) for work in (_refs, _lengths)] == [REF, 1]

    def test_is_worked_out_for_each_view(self) -> None:
        """What one account's view makes of a version is not what the other's does."""
        known = history(made(1), made(2, content="theirs", credential="second"), asked(3))
        lengths = [known.once(_lengths, REF), *(view.once(_lengths, REF) for view in known.views(REF))]

        assert lengths == [3, 2, 1]


def _refs(ref: str, _: History) -> str:
    return ref


def _lengths(ref: str, known: History) -> int:
    return len(known.story(ref))


def content_of(ref: str, **facts: Any) -> Content:
    """What a version holds: published by the tests, and without a digest unless told."""
    values = {"owner": "primary", "key": ref, "outcome": "ready", "sleep_s": 0.0, "marker": "m", "published_seq": 1}
    return Content(ref=ref, **({"from_at": 1.0, "sure_at": 1.1} | values | facts))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ({"digest": "d"}, {"digest": "d", "marker": "else"}, True),
        ({"digest": "d"}, {"digest": "e"}, False),
        ({"digest": "d"}, {}, True),
        ({}, {}, True),
        ({}, {"marker": "else"}, False),
        ({"published_seq": 0}, {}, False),
        ({}, {"published_seq": 0}, False),
        ({"published_seq": 0}, {"published_seq": 0}, False),
    ],
)
def test_contents_share_builds_by_digest_or_by_what_they_print(
    one: dict[str, Any], other: dict[str, Any], shared: bool
) -> None:
    """Equal digests say so; where one is unknown, two published ones that print the same may."""
    first, second = content_of(REF, **one), content_of(OTHER_REF, **other)
    known = History.knowing(contract(), [first, second])

    assert shares_builds(first, second) is shares_builds(second, first) is shared
    assert (second in known.sharing(first)) is (first in known.sharing(second)) is shared
    assert known.contents(REF) == (first,)
    assert known.contract is contract()


def test_what_is_about_all_versions_is_worked_out_once_until_something_is_added() -> None:
    """It is asked for with every version, and another exchange may change it."""
    asked: list[int] = []

    def work(known: History) -> int:
        asked.append(len(known.exchanges))
        return asked[-1]

    known = history(publish(1, REF, content="a"))
    assert (known.overall(work), known.overall(work), asked) == (1, 1, [1])
    known.add(exchange(seq=2))
    assert (known.overall(work), asked) == (2, [1, 2])
