"""Rules on what build logs hold, at their edges, and what their findings say and show."""

from typing import Any

import pytest

from tests.rules.exchanges import broken, exchange, publish, story_verdicts
from tests.rules.scenes import (
    DATE,
    END_AT,
    MARKER,
    OPEN_AT,
    SLEEP_S,
    again,
    followed,
    line,
    published,
    read,
    ready_log,
    started,
    stream,
)
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules import logs
from touchstone.rules.logs import build_time, last_frame, output, watchers

STORY_RULES = (logs.last_frame, logs.output, logs.every_line, logs.watchers, logs.build_time)


READY, FAILED = "events.ready-ends-on-ready", "events.failed-ends-on-error"
CANCELLED, LAST = "events.cancelled-ends-on-cancel", "events.terminal-frame-comes-last"
OUTPUT, SHARED = "events.carry-the-output", "start.concurrent-share-one-build"
WATCHERS, TIME = "events.watchers-agree", "events.build-time-agrees"
EARLY = 10.5


def found(*story: Exchange, **more: Any) -> set[tuple[str, str]]:
    return story_verdicts(STORY_RULES, *story, **more)


def said(*story: Exchange) -> list[tuple[str, tuple[int, ...], str, str]]:
    return story_findings(STORY_RULES, *story)


def refused(seq: int = 4) -> Exchange:
    """A follower whose log is no log, so that nothing can be said of it."""
    return stream([], seq=seq, opened_at=10.45, chunks=[(0.1, b"data: {\n\n")])


def cancelled(at: float = 12.0, **more: Any) -> Exchange:
    return exchange("cancelBuild", 202, **({"seq": 7, "json": {"status": "cancelling"}, "sent_at": at} | more))


def of_time(text: str, build_time_ms: int) -> list[Exchange]:
    story = followed([*ready_log()[:-1], line(13.9, "ready", text, "success")])
    return [*story[:-1], read("ready", END_AT, 9, build_time_ms=build_time_ms)]


def test_findings_on_the_output_show_every_start() -> None:
    """All starts that the build can have come from, and the follower."""
    twice = [line(12.1, text=MARKER), line(12.2, text=MARKER), ready_log()[-1]]
    both = [published(), read("not_built", 5.0, 2), started(3), started(4, 10.005), stream(twice)]
    both += [read("building", 11.5, 6), read("ready", END_AT, 9)]
    once = "what the build prints, once"

    assert said(*followed(ready_log()[::2], opened_at=EARLY)) == [
        (OUTPUT, (3, 5), once, f"{MARKER!r} 0 times in the log")
    ]
    assert said(*followed(twice)) == [(OUTPUT, (3, 5), once, f"{MARKER!r} 2 times in the log")]
    assert said(*both) == [(SHARED, (3, 4, 5), "the output of one build", f"{MARKER!r} 2 times in the log")]


def pair(first: list[Any], second: list[Any], **more: Any) -> list[Exchange]:
    return followed(streams=[stream(first, 4, EARLY), stream(second, 5, **more)])


def test_finding_on_a_build_time_tells_both() -> None:
    """The follower, and the read with the other time."""
    actual = "build_time_ms 5000 in the status, 'ready in 3 s' in the log"

    assert story_findings((build_time,), *of_time("ready in 3 s", 5000)) == [
        (TIME, (5, 9), "the build time that the log tells", actual)
    ]


def test_claims_that_hold_show_why() -> None:
    """The exchanges that uphold a claim are those that could have broken it."""
    assert shown_by(STORY_RULES, *followed(opened_at=EARLY)) == [
        (READY, (9, 5)),
        (OUTPUT, (3, 5)),
        (TIME, (5, 9)),
    ]


def test_follower_that_cannot_be_judged_takes_nothing_away_from_the_next() -> None:
    """Each log is judged by itself, whatever another follower was sent."""
    boot, text, _ = ready_log()
    wrong = [boot | {"ts": "2025-01-01T00:00:00Z"}, text, text, line(13.9, "archive", "x")]
    story = followed(streams=[refused(), stream(wrong, 5, EARLY)])

    assert broken(found(*story)) == {READY, OUTPUT}
    untimed = stream([boot, text, line(13.9, "ready", "done")], 4, 10.45)
    timed = stream([boot, text, line(13.9, "ready", "ready in 9 s")], 5, EARLY)
    assert broken(found(*followed(streams=[refused(3), untimed, timed]))) == {TIME, WATCHERS}


def test_watchers_are_compared_two_by_two() -> None:
    """A pair that cannot be compared takes nothing away from another one."""
    boot, text, last = ready_log()
    logs = [refused(4), stream([], 5), stream([boot, text, last], 6, EARLY), stream([boot, last], 7, EARLY)]

    assert broken(story_verdicts((watchers,), *followed(streams=logs))) == {WATCHERS}
    for nothing in (refused(4), stream([], 4)):
        assert story_verdicts((watchers,), *followed(streams=[nothing, stream(ready_log(), 5)])) == set()
        assert story_verdicts((watchers,), *followed(streams=[stream(ready_log(), 4), nothing])) == set()


def test_watchers_beside_another_start_are_passed_over() -> None:
    """Where a start came in between, they may have seen two builds; those before it are compared all the same."""
    boot, text, last = ready_log()
    logs = [stream([boot, text, last], 4, EARLY), stream([boot, last], 5, EARLY), stream([], 6)]
    late = stream([boot, last], 8, 12.9, 20.0)
    again = started(10, 15.0)

    assert broken(story_verdicts((watchers,), *followed(streams=[*logs, late]), again)) == {WATCHERS}


def test_watchers_at_one_time_may_see_different_stamps() -> None:
    """A server may stamp frames as it sends them."""
    one, other = ready_log(), [value | {"ts": "2026-03-14T09:00:13Z"} for value in ready_log()]

    assert story_verdicts((watchers,), *pair(one, other)) == {(WATCHERS, "held")}


@pytest.mark.parametrize("phase", ["cancel", "install"])
def test_build_time_is_looked_for_in_the_last_frame_of_a_ready_build(phase: str) -> None:
    """Another frame, or another end, tells another time."""
    story = followed([*ready_log()[:-1], line(13.9, phase, "took 1 s")])

    assert TIME not in {claim for claim, _ in found(*story)}
    assert TIME not in {claim for claim, _ in found(*followed(ready_log(), "failed"))}


@pytest.mark.parametrize(
    ("text", "build_time_ms", "outcome"),
    [
        ("ready in 4 s", 5001, "held"),
        ("ready in 4 s", 5002, "broken"),
        ("ready in 4.0 s", 4101, "held"),
        ("ready in 4.0 s", 4102, "broken"),
        ("ready in 4000 ms", 4002, "held"),
        ("ready in 4000 ms", 4003, "broken"),
    ],
)
def test_build_time_may_be_off_by_what_the_line_leaves_out(text: str, build_time_ms: int, outcome: str) -> None:
    """One in the last digit that is told, whichever way it was rounded, and one millisecond for the other number."""
    assert story_verdicts((build_time,), *of_time(text, build_time_ms)) == {(TIME, outcome)}


def test_refusal_of_a_follower_has_no_times() -> None:
    """An answer that is no stream has no stamps."""
    html = exchange(
        "streamBuildEvents",
        200,
        seq=5,
        body=b"<p>",
        headers={"content-type": "text/html", "date": DATE},
        sent_at=OPEN_AT,
    )

    assert found(*followed(streams=[html])) == set()


@pytest.mark.parametrize(
    "story",
    [
        again(),
        again(line(10.1, "boot"), status="not_built"),
        again(line(10.1, "boot"), closed="client"),
        again(line(10.1, "boot"), error="ReadError: cut"),
        again(line(10.1, "boot"), headers={"content-type": "text/plain"}),
        again(chunks=[(0.1, b'data: {"phase": "boot"}\n\ndata: {\n\n')]),
        [published(), started(), stream([line(10.1, "boot")], 11, 20.0, 21.0)],
    ],
)
def test_log_that_is_told_again_may_be_incomplete_in_many_ways(story: list[Exchange]) -> None:
    """Empty, cut off, unreadable, no stream, or of a build of which nobody knows the end: no evidence."""
    assert story_verdicts((last_frame,), *story) == set()


@pytest.mark.parametrize(
    ("cancel", "claims"),
    [
        (cancelled(12.0), {CANCELLED}),
        (cancelled(20.0), {READY}),
        (cancelled(5.0, seq=2), {READY}),
    ],
)
def test_cancel_counts_while_the_log_is_open_and_the_build_not_over(cancel: Exchange, claims: set[str]) -> None:
    """One that was over before, or came after the end, is not what ended the build."""
    end = "not_built" if CANCELLED in claims else "ready"
    frames = [line(10.1, "boot"), line(12.1, text=MARKER)]
    story = [published(), cancel, read("not_built", 6.0, 2), started(), stream(frames), read("building", 11.5, 6)]

    assert broken(story_verdicts((last_frame,), *story, read(end, END_AT, 9))) == claims


@pytest.mark.parametrize(("at", "claims"), [(11.5, {CANCELLED}), (11.85, set())])
def test_failing_build_that_is_cancelled_late_may_end_either_way(at: float, claims: set[str]) -> None:
    """From the moment at which its steps can have failed nobody knows which came first."""
    frames = [line(10.1, "boot")]
    story = [published(outcome="failed"), started(), stream(frames), read("building", 11.2, 6), cancelled(at)]

    assert broken(story_verdicts((last_frame,), *story, read("failed", END_AT, 9))) == claims


@pytest.mark.parametrize(
    ("opened_at", "after_s", "outcome"),
    [(OPEN_AT, SLEEP_S, "broken"), (11.75, SLEEP_S, None), (OPEN_AT, 1.0, None), (10.1, 0.3, "broken")],
)
def test_output_is_missed_only_where_the_follower_came_before_it(
    opened_at: float, after_s: float, outcome: str | None
) -> None:
    """A log that was opened a moment before the output, by a clock that may be a little faster, may miss it."""
    frames = [line(10.1, "boot"), ready_log()[-1]]
    story = followed(frames, opened_at=opened_at, note={"marker_after_s": after_s})
    story[4] = read("building", 11.8, 6)

    assert {o for claim, o in story_verdicts((output,), *story) if claim == OUTPUT} == ({outcome} if outcome else set())


def test_output_is_not_missed_where_nobody_says_when_it_comes() -> None:
    """Without a word on it, it may come at once."""
    bare = publish(1, sent_at=1.0, note={"sleep_s": SLEEP_S})
    story = [bare, *followed([line(10.1, "boot"), ready_log()[-1]], opened_at=10.2)[1:]]

    assert story_verdicts((output,), *story) == set()


@pytest.mark.parametrize(("second_at", "claim"), [(10.005, SHARED), (10.01, OUTPUT), (10.5, OUTPUT)])
def test_output_twice_after_starts_one_after_the_other_shows_one_build(second_at: float, claim: str) -> None:
    """Starts that only touch were not simultaneous."""
    frames = [line(12.1, text=MARKER), line(12.2, text=MARKER), ready_log()[-1]]
    for starts in ([started(3), started(4, second_at)], [started(4, second_at), started(3)]):
        story = [published(), *starts, stream(frames), read("building", 11.5, 6), read("ready", END_AT, 9)]
        assert broken(story_verdicts((output,), *story)) == {claim}
