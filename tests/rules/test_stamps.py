"""Rules on when a build log says that things happened."""

from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import REF, broken, publish, story_rules, story_verdicts
from tests.rules.scenes import DATE, END_AT, again, followed, line, read, ready_log, started, stream
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content
from touchstone.rules.logs import clock, one_time

CLOCK = "events.timestamps-are-true"


def found(*exchanges: Exchange) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("following", "logged", "stamps"), *exchanges)


def claims(*exchanges: Exchange) -> set[str]:
    return {claim for claim, _ in found(*exchanges)}


@pytest.mark.parametrize(
    "ts", ["2026-03-14T08:00:12Z", "2026-03-14T09:00:25Z", "2026-03-14T10:00:12Z", "0001-01-01T00:00:00+14:00"]
)
def test_timestamp_of_another_time_is_found(ts: str) -> None:
    """A timestamp well before the start or after the answer is not true."""
    frames = [line(10.1, "boot"), {"ts": ts, "phase": "install"}, *ready_log()[1:]]

    assert broken(found(*followed(frames))) == {CLOCK}


@pytest.mark.parametrize(
    "value",
    [
        {"ts": "2026-03-14T09:00:01Z", "phase": "publish"},
        {"ts": "2026-03-14T09:00:06Z", "phase": "boot"},
        {"ts": "2026-03-14T10:00:12+01:00", "phase": "boot"},
        {"ts": "2026-03-14T09:00:18Z", "phase": "boot"},
    ],
)
def test_clocks_may_differ_a_little_and_a_log_may_begin_with_its_publication(value: dict[str, Any]) -> None:
    """A few seconds between clocks, another offset, and a first frame from the time of publishing are true."""
    assert (CLOCK, "held") in found(*followed([value, *ready_log()]))


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}, {"date": DATE, "age": "3"}])
def test_answer_without_a_usable_date_says_nothing_of_time(headers: dict[str, str]) -> None:
    """Without the server's clock, or from a store, timestamps cannot be compared with anything."""
    assert CLOCK not in claims(*followed(headers=headers))


def stamped(ts: str, phase: str = "boot", date: str = DATE, **more: Any) -> set[tuple[str, str]]:
    """What is said of a stamp in a log that is open from 11 to 13.98 by a clock that shows 9:00:00 at 0."""
    only = stream([{"ts": ts, "phase": phase}], headers={"date": date} | more)
    return story_verdicts((clock,), *followed(streams=[only]))


@pytest.mark.parametrize(
    ("ts", "phase", "outcome"),
    [
        ("2026-03-14T09:00:04.990Z", "boot", "held"),
        ("2026-03-14T09:00:04.980Z", "boot", "broken"),
        ("2026-03-14T08:59:55.990Z", "publish", "held"),
        ("2026-03-14T08:59:55.980Z", "publish", "broken"),
        ("2026-03-14T09:00:19.970Z", "boot", "held"),
        ("2026-03-14T09:00:19.990Z", "boot", "broken"),
    ],
)
def test_clocks_may_be_five_seconds_apart(ts: str, phase: str, outcome: str) -> None:
    """
    From the start of the build, or the publish for what comes before it, to the end of the log, and five seconds more.
    """
    assert stamped(ts, phase) == {(CLOCK, outcome)}


def test_date_without_a_zone_is_universal_time() -> None:
    """RFC 9110 5.6.7: an HTTP date is in GMT, also where it is written with -0000."""
    assert stamped("2026-03-14T09:00:12Z", date="Sat, 14 Mar 2026 09:00:11 -0000") == {(CLOCK, "held")}
    assert stamped("2026-03-14T09:00:12Z", date="Sat, 14 Mar 2026 10:00:11 +0100") == {(CLOCK, "held")}
    assert stamped("2026-03-14T09:00:12Z", date="Sat, 14 Mar 2026 09:00:11 +0100") == {(CLOCK, "broken")}


@pytest.mark.parametrize("date", ["", "now"])
def test_answer_without_a_date_says_nothing_of_time(date: str) -> None:
    """There is nothing to compare with."""
    assert stamped("2025-03-14T09:00:12Z", date=date) == set()


def test_publication_of_a_given_version_may_be_told_as_of_any_time_before() -> None:
    """Nobody knows when a template that the user named was published, but it was not later than its log."""
    given = {REF: Content(REF, "primary", "", "ready", 0.0, "", 0, float("-inf"), float("-inf"))}
    rest, start, ready = read("not_built", 5.0, 2), started(), read("ready", END_AT, 9)

    def told(ts: str) -> set[tuple[str, str]]:
        log = stream([{"ts": ts, "phase": "publish"}])
        return story_verdicts((clock,), rest, start, log, read("building", 11.5, 6), ready, given=given)

    assert told("2020-01-01T00:00:00Z") == {(CLOCK, "held")}
    assert told("2026-03-14T09:00:19.970Z") == {(CLOCK, "held")}
    assert told("2026-03-14T09:00:19.990Z") == {(CLOCK, "broken")}


@pytest.mark.parametrize(
    ("ts", "outcome"),
    [
        ("2026-03-14T08:59:54.990Z", "held"),
        ("2026-03-14T08:59:54.970Z", "broken"),
        ("2026-03-14T09:00:26.990Z", "held"),
        ("2026-03-14T09:00:27.010Z", "broken"),
    ],
)
def test_log_that_is_told_again_tells_of_a_build_of_this_run(ts: str, outcome: str) -> None:
    """From the beginning of the run to the end of the answer, and five seconds more on either side."""
    late = {"date": "Sat, 14 Mar 2026 09:00:20 GMT"}
    story = again({"ts": ts, "phase": "boot"}, headers=late)
    named = again({"ts": "2020-01-01T00:00:00Z", "phase": "boot"}, headers=late)
    unmarked = [replace(named[0], note=named[0].note | {"marker": ""}), *named[1:]]

    assert {(CLOCK, outcome)} == story_verdicts((clock,), *story)
    assert {(CLOCK, "broken")} == story_verdicts((clock,), *named)
    assert {(CLOCK, "held")} == story_verdicts((clock,), *unmarked)


def told_twice(ts: str, other: str, *between: Exchange, **more: Any) -> list[Exchange]:
    """A log of a build that was followed from its beginning, and again when it was over."""
    logs = [[line(10.1, "boot") | {"ts": each}, line(13.9, "ready", "done")] for each in (ts, other)]
    again = {"seq": 12, "opened_at": 20.0, "closed_at": 20.1} | more
    return [*followed(streams=[stream(logs[0])]), *between, stream(logs[1], **again)]


@pytest.mark.parametrize(
    ("ts", "other", "outcome"),
    [
        ("2026-03-14T09:00:10.100Z", "2026-03-14T09:00:10.100Z", "held"),
        ("2026-03-14T09:00:10.100Z", "2026-03-14T10:00:10.100+01:00", "held"),
        ("2026-03-14T09:00:10.100Z", "2026-03-14T09:00:10.350Z", "held"),
        ("2026-03-14T09:00:10.100Z", "2026-03-14T09:00:10.351Z", "broken"),
        ("2026-03-14T09:00:10.351Z", "2026-03-14T09:00:10.100Z", "broken"),
        ("2026-03-14T09:00:10Z", "2026-03-14T09:00:11Z", "held"),
        ("2026-03-14T09:00:10Z", "2026-03-14T09:00:12Z", "broken"),
        ("2026-03-14T09:00:10Z", "2026-03-14T09:00:10.500Z", "broken"),
    ],
)
def test_frame_has_one_time_however_often_it_is_told(ts: str, other: str, outcome: str) -> None:
    """Whoever dates frames as they are sent may do so twice for two who follow at once, but not long after."""
    assert story_verdicts((one_time,), *told_twice(ts, other)) == {(CLOCK, outcome)}


APART = ("2026-03-14T09:00:10.100Z", "2026-03-14T09:00:20.000Z")


@pytest.mark.parametrize(
    "story",
    [
        told_twice(*APART, started(11, 19.0)),
        told_twice(*APART, read("building", 16.0, 11)),
        told_twice(*APART, publish(11, content="other", sent_at=19.0, note={"force": True})),
        told_twice("soon", "2026-03-14T09:00:20.000Z"),
        told_twice(*APART, closed="client"),
        told_twice(*APART, chunks=[(0.1, b"data: {\n\n")]),
        [*followed(streams=[stream([line(10.1, "boot")])]), stream([line(20.0, "compile")], 12, 20.0, closed_at=20.1)],
        [*followed(streams=[stream([line(10.1, "boot")])]), stream([], 12, 20.0, closed_at=20.1)],
    ],
)
def test_frames_that_may_not_be_the_same_ones_are_not_compared(story: list[Exchange]) -> None:
    """Another build or content in between, a log without an end, one that cannot be read, and another frame."""
    assert CLOCK not in broken(story_verdicts((one_time,), *story))


def logs(first: list[Any], second: list[Any], *beside: Exchange) -> set[tuple[str, str]]:
    """What is said of two who followed one build at the same time."""
    streams = [stream(first, 5), stream(second, 12, opened_at=11.01)]
    return story_verdicts((one_time,), *followed(streams=streams), *beside)


def test_frames_are_compared_as_far_as_they_are_the_same() -> None:
    """From the end on: a follower may miss the first ones; the first pair that differs ends the comparison."""
    boot, text, last = ready_log()
    unstamped = text | {"ts": None}
    moved = boot | {"ts": "2026-03-14T09:00:20.000Z"}

    assert logs([boot, text, last], [text, last]) == {(CLOCK, "held")}
    assert logs([text, last], [boot, text, last]) == {(CLOCK, "held")}
    assert logs([boot, text, last], [moved, text | {"line": "other"}, last]) == {(CLOCK, "held")}
    assert logs([boot, unstamped, last], [moved, unstamped, last]) == {(CLOCK, "broken")}


def test_logs_without_a_stamp_in_common_say_nothing() -> None:
    """Where frames have no time, or other ones follow, there is nothing to compare."""
    _, text, last = ready_log()
    bare = last | {"ts": None}

    assert logs([bare], [bare]) == logs([last], [bare]) == logs([text], [last]) == set()


def test_each_pair_of_followers_is_compared() -> None:
    """A pair that cannot be compared takes nothing away from the next one."""
    *_, last = ready_log()
    earlier = stream([last], 2, opened_at=8.0, closed_at=8.5)
    moved = last | {"ts": "2026-03-14T09:00:20.000Z"}

    assert logs([last], [moved], earlier) == {(CLOCK, "broken")}


def test_each_log_is_compared_with_the_clock() -> None:
    """A log without a date, and an answer that is no log, take nothing away from the next one."""
    wrong = {"ts": "2025-03-14T09:00:12Z", "phase": "boot"}
    undated, html = stream([wrong], 4, headers={}), stream([], 4, headers={"date": DATE, "content-type": "text/html"})

    for before in (undated, html):
        assert story_verdicts((clock,), *followed(streams=[before, stream([wrong], 5)])) == {(CLOCK, "broken")}


@pytest.mark.parametrize("phase", ["publish", "compile", None])
def test_frames_from_before_the_start_are_as_old_as_the_publish(phase: str | None) -> None:
    """Compiling belongs to publishing, and a frame without a phase may be of any."""
    before = {"ts": "2026-03-14T08:59:56.500Z", "line": "x"} | ({"phase": phase} if phase else {})
    assert story_verdicts((clock,), *followed(streams=[stream([before])])) == {(CLOCK, "held")}


def test_log_of_content_in_doubt_is_only_not_ahead() -> None:
    """Beside another publish nobody knows what the log is of, or how old."""
    late = {"date": "Sat, 14 Mar 2026 09:00:20 GMT"}
    beside = publish(10, content="other", sent_at=19.99, done_at=20.5, note={"force": True})
    old, ahead = (
        again({"ts": ts, "phase": "boot"}, headers=late) for ts in ("2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    )

    assert story_verdicts((clock,), *old, beside) == {(CLOCK, "held")}
    assert story_verdicts((clock,), *ahead, beside) == {(CLOCK, "broken")}
