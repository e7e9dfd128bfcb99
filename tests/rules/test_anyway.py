"""What goes wrong anyway: without the request that seemed to be to blame."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, build, exchange, history, publish
from touchstone.facts.exchange import Exchange
from touchstone.rules.attribution import begins_anyway, changes_anyway, fails_anyway
from touchstone.rules.history import History


def read(at: float, status: str, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5, "json": build(status)} | more
    return exchange("getBuild", facts.pop("code", 200), **facts)


def request(operation: str, at: float, status: int = 202, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5, "json": build()} | more
    return exchange(operation, status, **facts)


def start(at: float, status: int = 202, **more: Any) -> Exchange:
    return request("startBuild", at, status, **more)


def cancel(at: float, status: int = 202, **more: Any) -> Exchange:
    return request("cancelBuild", at, status, **more)


def known(*exchanges: Exchange, **more: Any) -> History:
    """A version that was published until 1.01, and what followed."""
    return history(publish(1, **more), *exchanges)


class TestBegins:
    """A build that nobody asked for."""

    @pytest.mark.parametrize("after", ["building", "ready"])
    def test_is_seen_in_two_reads_with_nothing_between(self, after: str) -> None:
        """The version was not built, and then it was, though it was only read."""
        assert begins_anyway(known(read(2, "not_built"), read(3, after)))
        assert begins_anyway(known(read(2, "not_built"), read(2.5, after)))

    @pytest.mark.parametrize(
        "story",
        [
            [read(2, "not_built"), read(3, "not_built")],
            [read(2, "not_built"), read(3, "failed")],
            [read(2, "failed"), read(3, "building")],
            [read(2, "not_built"), start(2.7), read(4, "building")],
            [read(2, "not_built"), start(3.2), read(3, "building")],
            [start(1.5), read(1.9, "not_built"), read(3, "building")],
            [read(2, "not_built"), read(2.4, "building")],
            [read(2, "not_built"), read(3, "building", credential="second")],
            [read(2, "not_built"), read(3, "building", code=404)],
            [read(2, "not_built"), read(3, "building", method="HEAD")],
            [read(2, "not_built"), read(3, "building", json={"status": 1})],
        ],
    )
    def test_is_not_seen_where_something_explains_it(self, story: list[Exchange]) -> None:
        """A start in between or on its way, reads at one time, or no such change, are nothing strange."""
        assert not begins_anyway(known(*story))

    def test_is_seen_between_requests_that_only_touch_the_reads(self) -> None:
        """What was answered when the first read was sent, or sent when the second was answered, lies outside."""
        story = [start(1.5, 500), read(2, "not_built"), read(3, "building"), start(3.5)]

        assert begins_anyway(known(*story))

    def test_is_seen_beside_requests_that_change_nothing(self) -> None:
        """Looking at the template or at the log starts nothing."""
        looks = [request("getTemplate", 2.6, 200), request("streamBuildEvents", 2.7, 200)]

        assert begins_anyway(known(read(2, "not_built"), *looks, read(4, "building")))

    @pytest.mark.parametrize(
        ("before", "strange"),
        [
            (start(1.1, 400), False),
            (start(1.1, 429), False),
            (start(1.1, 499), False),
            (start(1.1, 399), True),
            (start(1.1, 500), True),
            (request("getBuild", 1.1, 404), True),
            (start(3.5, 429), True),
        ],
    )
    def test_is_not_seen_after_a_start_that_was_refused(self, before: Exchange, strange: bool) -> None:
        """That one may have begun the build late, which is what is to be found out."""
        assert begins_anyway(known(before, read(2, "not_built"), read(3, "building"))) is strange

    @pytest.mark.parametrize(
        ("elsewhere", "strange"),
        [
            (cancel(2.2, ref=OTHER_REF), False),
            (cancel(1.5, ref=OTHER_REF), False),
            (cancel(1.4, ref=OTHER_REF), True),
            (cancel(3.5, ref=OTHER_REF), False),
            (cancel(3.6, ref=OTHER_REF), True),
            (cancel(2.2, 404, ref=OTHER_REF), True),
            (start(2.2, ref=OTHER_REF), True),
        ],
    )
    def test_is_not_seen_beside_a_cancel_of_another_build(self, elsewhere: Exchange, strange: bool) -> None:
        """An accepted cancel elsewhere, even one that only touches the reads, may be what did it."""
        assert begins_anyway(known(read(2, "not_built"), read(3, "building"), elsewhere)) is strange


class TestChanges:
    """A finished version that became something else by itself."""

    @pytest.mark.parametrize(
        ("one", "other", "strange"),
        [
            ("ready", "failed", True),
            ("failed", "not_built", True),
            ("ready", "ready", False),
            ("building", "ready", False),
            ("not_built", "ready", False),
        ],
    )
    def test_is_seen_in_any_version_but_the_one_in_question(self, one: str, other: str, strange: bool) -> None:
        """What happens to the version in question proves nothing about others."""
        story = known(read(2, one), read(3, other))

        assert changes_anyway(story, OTHER_REF) is strange
        assert not changes_anyway(story, REF)


class TestFails:
    """A build that should succeed and did not, though nothing was ever cancelled."""

    @pytest.mark.parametrize("end", ["failed", "not_built"])
    def test_is_seen_in_the_first_read_after_the_build(self, end: str) -> None:
        """Started, perhaps seen to build, and then over without a golden."""
        assert fails_anyway(known(start(2), read(3, end)))
        assert fails_anyway(known(start(2), read(3, "building"), read(4, end)))
        assert fails_anyway(known(start(1.01, seq=11), read(3, end)))

    @pytest.mark.parametrize(
        "story",
        [
            [start(2), read(3, "ready"), read(4, "failed")],
            [start(2), read(3, "building")],
            [read(3, "failed")],
            [start(2, 409), read(3, "failed")],
            [start(1.005, seq=11), read(3, "failed")],
            [request("getBuild", 2, 202), read(3, "failed")],
            [start(2), cancel(2.6), read(4, "failed")],
            [cancel(1.2, 404), start(2), read(4, "failed")],
            [start(2), read(3, "failed", credential="second")],
            [start(2), exchange("deleteTemplate", 204, seq=26, sent_at=2.6), read(3, "failed")],
            [start(2), exchange("deleteTemplate", 204, seq=31, sent_at=3.0), read(3, "failed")],
        ],
    )
    def test_is_not_seen_where_something_explains_it(self, story: list[Exchange]) -> None:
        """No accepted start of this content, a cancel, a delete, or an end that was ready, are nothing strange."""
        assert not fails_anyway(known(*story))

    def test_is_not_seen_in_a_build_that_is_meant_to_fail(self) -> None:
        """Such a version is passed over, the next one is looked at."""
        failing = known(start(2), read(3, "failed"), note={"outcome": "failed"})
        assert not fails_anyway(failing)

        other = {"ref": OTHER_REF}
        for each in (publish(40, **other), start(50, **other), read(60, "failed", **other)):
            failing.add(each)
        assert fails_anyway(failing)

    @pytest.mark.parametrize("first", [[start(2), read(3, "ready")], [start(2), cancel(2.6), read(4, "failed")]])
    def test_is_seen_after_a_version_that_is_in_order(self, first: list[Exchange]) -> None:
        """A version that proves nothing does not end the search."""
        other = {"ref": OTHER_REF}
        second = (publish(40, **other), start(50, **other), read(60, "failed", **other))

        assert fails_anyway(known(*first, *second))

    @pytest.mark.parametrize(
        ("cancelled", "strange"),
        [
            (cancel(2.2, ref=OTHER_REF), False),
            (cancel(9, ref=OTHER_REF), True),
            (cancel(2.2, 404, ref=OTHER_REF), False),
        ],
    )
    def test_is_not_seen_beside_a_cancel_of_another_build(self, cancelled: Exchange, strange: bool) -> None:
        """The neighbour's cancel may have ended the build, which is what is to be found out."""
        assert fails_anyway(known(start(2), read(3, "failed"), cancelled)) is strange
