"""What answers make certain about builds: when one surely ran, when surely none did, and what leaves that in doubt."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, UNKNOWN_REF, build, exchange, history, publish
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.history import Content
from touchstone.rules.timeline import Timeline, begins, may_have_acted, owned, says_building

AUTO = {"note": {"auto_build": True}, "auto_build": "building"}


def start(at: float, status: str = "building", **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5, "json": build(status)} | more
    return exchange("startBuild", facts.pop("code", 202), **facts)


def reuse(at: float, **more: Any) -> Exchange:
    return start(at, json=build("ready", reused=True), **more)


def cancel(at: float) -> Exchange:
    return exchange("cancelBuild", 202, seq=round(at * 10), sent_at=at, done_at=at + 0.5, json=build())


def read(at: float, status: str = "building", **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5, "json": build(status)} | more
    return exchange(**facts)


def timeline(*exchanges: Exchange, **more: Any) -> Timeline:
    """The course of a version that was published from 1 to 1.01, and what followed."""
    return Timeline(REF, history(publish(1), *exchanges, **more))


@pytest.mark.parametrize(
    ("owner", "credential", "own"),
    [
        ("primary", "primary", True),
        ("primary", "lowercase-scheme", True),
        ("second", "lowercase-scheme", False),
        ("primary", "second", False),
        ("primary", "none", False),
    ],
)
def test_version_is_owned_by_the_key_that_published_it(owner: Credential, credential: Credential, own: bool) -> None:
    """The primary key is the same however its scheme is written."""
    request = exchange(credential=credential, seq=2)

    assert owned(request, history(publish(credential=owner), request)) is own


def test_request_about_no_version_is_nobodys() -> None:
    """A path that names no version has no owner."""
    assert not owned(exchange(ref=None), history(publish()))


@pytest.mark.parametrize(
    ("request_", "may"),
    [
        (start(1), True),
        (start(1, code=200), True),
        (start(1, code=299), True),
        (start(1, code=300), False),
        (start(1, code=404), False),
        (start(1, code=499), False),
        (start(1, code=500), True),
        (start(1, code=0), True),
        (start(1, code=429), False),
        (start(1, code=429, note={"auto_build": True}), False),
        (publish(status=429), False),
        (publish(status=429, note={"auto_build": True}), True),
        (publish(status=409, note={"auto_build": True}), False),
        (exchange("startBuild", 200, method="HEAD"), False),
        (exchange("startBuild", 200, method="OPTIONS"), False),
    ],
)
def test_request_may_have_acted_unless_it_was_refused(request_: Exchange, may: bool) -> None:
    """A failure or no answer leaves it open; of a publish whose build met a limit, only the build was refused."""
    assert may_have_acted(request_) is may


@pytest.mark.parametrize(
    ("request_", "may"),
    [
        (start(1), True),
        (reuse(1), False),
        (start(1, code=409), False),
        (publish(), False),
        (publish(**AUTO), True),
        (publish(note={"auto_build": True}, auto_build="ready"), False),
        (publish(note={"auto_build": True}, auto_build="ready", status=409), False),
        (publish(note={"auto_build": True}, auto_build="building", status=409), False),
        (exchange("getBuild", note={"auto_build": True}), False),
    ],
)
def test_build_begins_by_a_start_or_a_publish_that_asks_for_one(request_: Exchange, may: bool) -> None:
    """What is refused, or answered with a build that is there, begins none."""
    assert begins(request_) is may


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (start(1), True),
        (start(1, "ready"), False),
        (start(1, code=409), False),
        (publish(**AUTO), True),
        (publish(note={"auto_build": True}, auto_build="ready"), False),
        (publish(json={"status": "building"}), False),
    ],
)
def test_build_is_acknowledged_in_the_field_that_the_operation_has(request_: Exchange, says: bool) -> None:
    """A start tells the status, a publish what became of auto_build."""
    assert says_building(request_) is says


class TestContent:
    """What the version surely held."""

    def test_stands_from_the_answer_of_a_publish_to_the_next_change(self) -> None:
        """Both moments belong to it: a change is made after it was sent."""
        seen = timeline(publish(5, content="new", note={"force": True}))

        assert seen.content(1.01, 5.0) is not None
        assert seen.content(1.0, 4.0) is None
        assert seen.content(1.01, 5.001) is None

    @pytest.mark.parametrize(
        "doubt",
        [
            publish(5, status=500),
            exchange("publishTemplate", 201, seq=5, json={}),
            exchange("publishTemplate", 0, seq=5),
            exchange("deleteTemplate", 0, seq=5),
        ],
    )
    def test_is_in_doubt_after_a_change_that_nobody_understands(self, doubt: Exchange) -> None:
        """A publish of who knows what, or a change without an answer, may have put something else there."""
        seen = timeline(doubt)

        assert seen.content(2.0, 5.0) is not None
        assert seen.content(2.0, 5.001) is None

    def test_is_in_doubt_after_changes_beside_each_other(self) -> None:
        """Of two changes on their way together nobody knows which one came last."""
        first = publish(5, content="new", note={"force": True}, done_at=6.0)
        beside = exchange("deleteTemplate", 204, seq=6, sent_at=5.5, done_at=6.5)
        after = exchange("deleteTemplate", 204, seq=6, sent_at=6.0, done_at=6.5)

        assert timeline(first, beside, publish(7)).content(7.5, 8.0) is None
        assert timeline(first, after, publish(7)).content(7.5, 8.0) is not None

    def test_of_a_version_that_nobody_published_is_unknown(self) -> None:
        """Nothing is known of what a run neither made nor was given."""
        assert Timeline(UNKNOWN_REF, history(publish(1))).content(2.0, 3.0) is None

    def test_is_in_doubt_where_two_accounts_have_the_name(self) -> None:
        """Each account may see its own."""
        assert timeline(publish(2, credential="second")).content(3.0, 4.0) is None

    def test_is_in_doubt_where_another_version_has_the_digest(self) -> None:
        """Versions with one digest may share their builds."""
        assert timeline(publish(2, OTHER_REF)).content(3.0, 4.0) is None
        assert timeline(publish(2, OTHER_REF, digest="cd" * 32)).content(3.0, 4.0) is not None


class TestSettled:
    """Whether a build was seen to be over."""

    @pytest.mark.parametrize(
        ("rest", "by_at", "settled"),
        [
            (read(2.5, "ready"), 3.0, True),
            (read(2.4, "ready"), 4.0, False),
            (read(2.5, "ready"), 2.9, False),
            (read(2.5, "building"), 4.0, False),
            (reuse(2.5), 3.0, True),
        ],
    )
    def test_by_an_answer_at_rest_that_was_asked_for_after_the_start(
        self, rest: Exchange, by_at: float, settled: bool
    ) -> None:
        """The answer has to be there, and its request to have been sent when the start was answered."""
        seen = timeline(start(2), rest)

        assert seen.settled(seen.beginnings[0], by_at) is settled

    def test_never_for_a_start_without_an_answer(self) -> None:
        """Nobody knows when such a start acts."""
        seen = timeline(start(2, code=0), read(3, "ready"))

        assert not seen.settled(seen.beginnings[0], 9.0)


class TestRunning:
    """Why a build surely ran."""

    def test_from_an_acknowledged_start_to_a_read_that_still_shows_it(self) -> None:
        """It ran from the answer of the start to the request of the read, both moments included."""
        run = timeline(start(2), read(4)).running(2.5, 4.0)

        assert run is not None
        assert (run.start.sent_at, run.last_read.sent_at, [s.sent_at for s in run.starts]) == (2, 4, [2])
        assert run.content.marker == "marker-hello"

    @pytest.mark.parametrize(("since_at", "until_at"), [(2.4, 4.0), (2.5, 4.1)])
    def test_not_before_or_after(self, since_at: float, until_at: float) -> None:
        """Before the start was answered, or after the last read, nothing is certain."""
        assert timeline(start(2), read(4)).running(since_at, until_at) is None

    @pytest.mark.parametrize(
        "story",
        [
            [read(4)],
            [start(2), read(4, "ready")],
            [start(2, code=0), read(4)],
            [start(2), start(3.5, code=0), read(4)],
            [start(2), cancel(2.2), read(4)],
            [start(2), cancel(4.2), read(4)],
            [start(2), read(3, "ready"), read(4)],
            [start(2, "not_built"), read(4)],
            [start(2), publish(3, content="new", note={"force": True}), read(4)],
        ],
    )
    def test_not_where_something_else_may_have_happened(self, story: list[Exchange]) -> None:
        """No start, an end, a cancel or other content leave it in doubt which build a read shows."""
        assert timeline(*story).running(3.5, 4.0) is None

    def test_all_the_same_beside_what_was_over_before(self) -> None:
        """
        A build that was seen to be over, and a cancel or start sent when the last read was answered, do not count.
        """
        before = [start(2), cancel(2.5), read(3, "not_built")]
        run = timeline(*before, start(4), read(5), start(5.5), cancel(5.5)).running(4.5, 5.0)

        assert run is not None
        assert [s.sent_at for s in run.starts] == [4]

    def test_from_a_publish_that_asked_for_it(self) -> None:
        """auto_build begins a build of what its publish holds, and of nothing published later."""
        asked = publish(1, done_at=1.5, **AUTO)

        assert Timeline(REF, history(asked, read(4))).running(2.0, 4.0) is not None

    def test_from_a_start_that_was_sent_when_the_publish_was_answered(self) -> None:
        """A start before that may have built what was there before."""
        late = Timeline(REF, history(publish(1, done_at=2.0), start(2), read(4)))
        early = Timeline(REF, history(publish(1, done_at=2.1), start(2), read(4)))

        assert late.running(2.5, 4.0) is not None
        assert early.running(2.5, 4.0) is None


GIVEN = {REF: Content(REF, "primary", "", "ready", 0.0, "", 0, 0.0, 0.0)}


class TestIdle:
    """When surely no build ran."""

    def test_before_any_start(self) -> None:
        """A new version is at rest until a start is sent."""
        assert timeline(start(4)).idle(2.0, 4.0)
        assert not timeline(start(4)).idle(2.0, 4.1)

    def test_after_a_read_at_rest(self) -> None:
        """Once the answer of the read is there, and until the next start."""
        seen = timeline(start(2), read(3, "ready"))

        assert seen.idle(3.5, 9.0)
        assert not seen.idle(3.4, 9.0)

    def test_of_a_given_version_only_after_a_read(self) -> None:
        """A version that somebody else made may build when the run begins."""
        seen = Timeline(REF, history(read(3, "not_built"), given=GIVEN))

        assert not seen.idle(3.4, 4.0)
        assert seen.idle(3.5, 4.0)

    def test_is_shown_by_the_last_read_before_an_exchange(self) -> None:
        """The read at rest that was answered when the exchange was sent, if nothing happened since."""
        rest = read(3, "ready")
        story = [start(2), rest]

        assert timeline(*story).rest_before(exchange(seq=50, sent_at=3.5)) == rest
        assert timeline(*story).rest_before(exchange(seq=50, sent_at=3.4)) is None
        assert timeline(*story, read(4)).rest_before(exchange(seq=50, sent_at=5.0)) is None
        assert timeline(*story, start(4)).rest_before(exchange(seq=50, sent_at=5.0)) is None
        assert timeline().rest_before(exchange(seq=50, sent_at=5.0)) is None


class TestEnd:
    """The first read that shows a build over."""

    def test_is_a_read_at_rest_after_which_nothing_began(self) -> None:
        """It is sent at the moment asked for, or later."""
        end = read(4, "ready")

        assert timeline(start(2), read(3), end, read(5, "ready")).end(2.5, 4.0) == end
        assert timeline(start(2), read(3), end).end(2.5, 4.1) is None

    def test_is_not_told_where_another_build_can_have_begun(self) -> None:
        """A start between the moment and the answer of the read makes it the end of who knows which build."""
        assert timeline(start(2), start(4.4), read(4, "ready")).end(2.5, 4.0) is None
        assert timeline(start(2), start(4.5), read(4, "ready")).end(2.5, 4.0) is not None
        assert timeline(start(2), read(4, "ready")).end(2.4, 4.0) is None

    def test_is_not_told_where_the_content_changed(self) -> None:
        """Other content has other builds."""
        changed = publish(3, content="new", note={"force": True})

        assert timeline(start(2), changed, read(4, "not_built")).end(2.5, 4.0) is None


@pytest.mark.parametrize(
    "odd",
    [
        read(3, json=build("cancelled")),
        read(3, json={"status": 1}),
        read(3, json={"status": ["ready"]}),
        read(3, "ready", method="HEAD"),
        read(3, "ready", method="PUT"),
        exchange("getBuild", 404, seq=30, sent_at=3.0, json=build("ready")),
        exchange("getTemplate", seq=30, sent_at=3.0, json=build("ready")),
        read(3, "ready", credential="second"),
    ],
)
def test_only_the_owners_reads_of_a_known_status_count(odd: Exchange) -> None:
    """Other methods, statuses, operations and keys tell nothing about builds."""
    assert timeline(odd).reads == ()
