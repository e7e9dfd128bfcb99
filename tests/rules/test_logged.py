"""Rules on what build logs hold: faithful logs in every legal form pass, and each untrue one is found."""

from typing import Any

import pytest

from tests.rules.exchanges import broken, exchange, story_verdicts
from tests.rules.scenes import MARKER, followed, line, read, ready_log, started, stream
from touchstone.facts.exchange import Exchange
from touchstone.rules import logs

STORY_RULES = (logs.last_frame, logs.output, logs.every_line, logs.watchers, logs.build_time)


READY, FAILED = "events.ready-ends-on-ready", "events.failed-ends-on-error"
CANCELLED, LAST = "events.cancelled-ends-on-cancel", "events.terminal-frame-comes-last"
OUTPUT, SHARED = "events.carry-the-output", "start.concurrent-share-one-build"
WATCHERS, TIME = "events.watchers-agree", "events.build-time-agrees"
EARLY = 10.5


def found(*exchanges: Exchange) -> set[tuple[str, str]]:
    return story_verdicts(STORY_RULES, *exchanges)


def claims(*exchanges: Exchange) -> set[str]:
    return {claim for claim, _ in found(*exchanges)}


def cancelled(at: float = 12.0) -> Exchange:
    return exchange("cancelBuild", 202, seq=7, json={"status": "cancelling"}, sent_at=at)


def ended(text: str, build_time_ms: Any) -> set[tuple[str, str]]:
    """The verdicts on a log whose last line is *text*, and a status with *build_time_ms*."""
    story = followed([*ready_log()[:-1], line(13.9, "ready", text, "success")])
    return found(*story[:-1], read("ready", 14.0, 9, build_time_ms=build_time_ms))


def test_faithful_log_upholds_all() -> None:
    """A log that holds the output once, ends on ready, and tells the time of the status upholds the claims."""
    assert found(*followed(opened_at=EARLY)) == {(c, "held") for c in (READY, OUTPUT, TIME)}


@pytest.mark.parametrize(
    ("last", "end", "claim"),
    [
        (line(13.9, "archive", "archived"), "ready", READY),
        (line(13.9, "install", "failed", "error"), "ready", READY),
        (line(13.9, "cancel", "cancelled", "warn"), "ready", READY),
        ({"line": "ready"}, "ready", READY),
        (line(13.9, "install", "step 1 ended with 1"), "failed", FAILED),
        (line(13.9, "cancel", "cancelled", "error"), "failed", FAILED),
    ],
)
def test_wrong_last_frame_is_found(last: dict[str, Any], end: str, claim: str) -> None:
    """A log whose last frame does not go with what the status says afterwards breaks the claim about that end."""
    assert broken(found(*followed([line(10.1, "boot"), line(12.0, text=MARKER), last], end))) == {claim}


@pytest.mark.parametrize(
    "last",
    [line(13.9, "install", "step 1", "error"), line(13.9, "snapshot", "no", "error"), line(13.9, "timeout", "late")],
)
def test_failed_build_may_end_on_any_error_or_on_a_timeout(last: dict[str, Any]) -> None:
    """A failed build ends its log on level error in any phase, or on the phase timeout."""
    assert (FAILED, "held") in found(*followed([line(10.1, "boot"), last], "failed"))


def test_frame_after_the_error_that_ended_a_build_is_found() -> None:
    """In the log of a failed build, a frame after the one of level error follows the end."""
    frames = [line(12.0, "install", "step 1 failed", "error"), line(12.1, "archive", "tidied up")]

    assert broken(found(*followed(frames, "failed"))) == {LAST}


def test_frame_after_ready_is_told_by_the_log_itself() -> None:
    """A log that has its ready frame, but not at the end, is not said to lack it."""
    assert READY not in claims(*followed([*ready_log(), line(13.97, "archive", "tidied up")]))


def test_failed_build_without_reason_to_fail_is_judged_by_its_status() -> None:
    """A build that ends not_built without a cancel has no documented last frame."""
    assert not {READY, FAILED, CANCELLED} & claims(*followed([line(10.1, "boot")], "not_built"))


def test_empty_log_of_a_build_is_found() -> None:
    """A log in which nothing at all is told, not even the end, breaks the claim about the end."""
    story = followed([], "ready", read("building", 12.0, 7))

    assert broken(found(*story)) == {READY}


def test_follower_that_came_with_the_last_frame_may_have_missed_it() -> None:
    """A log without frames proves nothing where the build may have been over the moment after it was opened."""
    story = followed(streams=[stream([], opened_at=13.9, closed_at=13.97)])
    story[4] = read("building", 13.92, 6)

    assert found(*story) == set()


@pytest.mark.parametrize("end", ["not_built", "failed"])
def test_cancelled_build_ends_on_cancel(end: str) -> None:
    """A cancelled build ends its log on cancel, wherever its status settles."""
    frames = [line(10.1, "boot"), line(12.1, "cancel", "cancelled", "warn")]

    assert (CANCELLED, "held") in found(*followed(frames, end, cancelled(), closed_at=12.2))


@pytest.mark.parametrize("last", [line(12.1, "install", "failed", "error"), line(12.1, "ready", "done", "success")])
def test_cancelled_build_that_ends_otherwise_is_found(last: dict[str, Any]) -> None:
    """The log of a cancelled build that ends like a failed or a ready one breaks the claim."""
    assert broken(found(*followed([last], "not_built", cancelled(), closed_at=12.2))) == {CANCELLED}


def test_log_that_ended_before_the_cancel_says_nothing_of_it() -> None:
    """A log that was cut short cannot tell that its build was cancelled later."""
    story = followed([line(10.1, "boot")], "not_built", cancelled(13.0), closed_at=12.0)

    assert CANCELLED not in claims(*story)


def test_build_that_was_over_before_its_cancel_arrived_is_not_judged() -> None:
    """A cancel that is accepted for a build which then is ready lost a race; either end is right."""
    story = followed(ready_log(), "ready", cancelled(13.9))

    assert not {READY, CANCELLED} & claims(*story)


def test_build_that_may_have_failed_before_its_cancel_is_not_judged() -> None:
    """A build that fails by itself about when it is cancelled may end its log either way."""
    story = followed([line(12.5, level="error")], "failed", cancelled(12.45), note={"outcome": "failed"})

    assert not {FAILED, CANCELLED} & claims(*story)


def test_log_that_was_cut_short_is_told_once() -> None:
    """A log that ended before its build is not said to lack what came later."""
    story = followed([line(10.1, "boot")], "ready", read("building", 13.0, 7), opened_at=EARLY, closed_at=12.5)

    assert found(*story) == set()


def test_log_that_cannot_be_read_is_told_once() -> None:
    """A log with a frame that is no JSON is not said to lack what that frame may have held."""
    story = followed(streams=[stream([], chunks=[(0.1, b"data:ready\n\n")])])

    assert found(*story) == set()


@pytest.mark.parametrize("text", [MARKER, f"[1/1] {MARKER}", f"\x1b[32m{MARKER}\x1b[0m", f"{MARKER}."])
def test_output_may_be_decorated(text: str) -> None:
    """A line that holds what was printed, and more, carries it."""
    frames = [line(12.1, text=text), ready_log()[-1]]

    assert (OUTPUT, "held") in found(*followed(frames, opened_at=EARLY))


@pytest.mark.parametrize("command", [f"+ echo {MARKER}", f"RUN echo '{MARKER}'", f'$ echo "{MARKER}"'])
def test_command_in_the_log_is_not_its_output(command: str) -> None:
    """A build may log the commands that it runs; that is neither the output nor a second one."""
    log = ready_log(line(12.0, text=command))

    assert (OUTPUT, "held") in found(*followed(log, opened_at=EARLY))
    assert (OUTPUT, "broken") in found(*followed([line(12.0, text=command), log[-1]], opened_at=EARLY))


def test_missing_output_is_found() -> None:
    """A follower from before the build step ran must see what it printed."""
    assert broken(found(*followed([ready_log()[0], ready_log()[-1]], opened_at=EARLY))) == {OUTPUT}


def test_late_follower_may_miss_the_output() -> None:
    """A server may send to a late follower only what happens from then on."""
    story = followed(streams=[stream([ready_log()[-1]], opened_at=12.5)])
    story[4] = read("building", 13.0, 6)

    assert OUTPUT not in claims(*story)


def test_output_twice_is_found() -> None:
    """What was printed once must not be told twice, whenever the follower came."""
    assert broken(found(*followed(ready_log(line(12.2, text=MARKER))))) == {OUTPUT}


def test_output_twice_after_simultaneous_starts_shows_two_builds() -> None:
    """Where starts overlapped, output twice means that each of them began a build."""
    story = followed(ready_log(line(12.2, text=MARKER)), "ready", started(4, 10.005))

    assert broken(found(*story)) == {SHARED}


def test_output_once_after_simultaneous_starts_shows_one_build() -> None:
    """Where starts overlapped, output once from the beginning on upholds that they share one build."""
    assert (SHARED, "held") in found(*followed(ready_log(), "ready", started(4, 10.005), opened_at=EARLY))


def test_output_of_a_failing_build_is_not_counted() -> None:
    """A failed build may repeat its last output in its error."""
    frames = [line(12.1, text=MARKER), line(12.2, text=f"failed after {MARKER}", level="error")]

    assert OUTPUT not in claims(*followed(frames, "failed", opened_at=EARLY))


def two(first: list[dict[str, Any]], second: list[dict[str, Any]], opened_at: float = 11.2) -> set[tuple[str, str]]:
    """The verdicts on two followers of one build."""
    return found(*followed(streams=[stream(first, 4), stream(second, 5, opened_at)]))


def test_watchers_see_the_same() -> None:
    """Two followers with the same frames agree, also where a server stamps them as it sends."""
    later = [{**value, "ts": "2026-03-14T09:00:14Z"} for value in ready_log()]

    assert (WATCHERS, "held") in two(ready_log(), ready_log())
    assert (WATCHERS, "held") in two(ready_log(), later)


def test_later_watcher_may_miss_the_first_frames() -> None:
    """A server without replay sends to a later follower only the rest."""
    assert (WATCHERS, "held") in two(ready_log(), ready_log()[1:])


@pytest.mark.parametrize("lost", [[0, 2], [1, 0, 2]])
def test_watcher_that_sees_other_frames_is_found(lost: list[int]) -> None:
    """A frame that is missing from the middle, or comes in another place, is a disagreement."""
    assert (WATCHERS, "broken") in two(ready_log(), [ready_log()[number] for number in lost])


def test_watchers_of_two_builds_are_not_compared() -> None:
    """Followers between which somebody started may follow different builds."""
    story = followed(streams=[stream(ready_log(), 4), stream(ready_log()[2:], 5, 13.0)])

    assert WATCHERS not in claims(*story, started(8, 12.5), read("building", 13.2, 8))


@pytest.mark.parametrize(
    ("text", "build_time_ms"),
    [
        ("golden snapshot ready in 118.4 s", 118_420),
        ("ready in 118.4s", 118_359),
        ("ready (118 seconds)", 118_999),
        ("ready after 420ms", 420),
        ("ready in 4 s, snapshot 0.5 s", 3_800),
    ],
)
def test_build_time_told_as_exactly_as_the_line_does_agrees(text: str, build_time_ms: int) -> None:
    """Rounding and cutting off to the digits of the line are both fine."""
    assert (TIME, "held") in ended(text, build_time_ms)


@pytest.mark.parametrize(
    ("text", "build_time_ms"), [("ready in 118.4 s", 119_420), ("ready in 420 ms", 4_200), ("ready in 4 s", 4)]
)
def test_build_time_that_differs_is_found(text: str, build_time_ms: int) -> None:
    """A time that no rounding explains is a disagreement."""
    assert broken(ended(text, build_time_ms)) == {TIME}


@pytest.mark.parametrize(
    "text",
    [
        "ready",
        "ready in 1 m 58 s",
        "ready in 2 minutes",
        "2 snapshots of v1.2 ready",
        "ready at 09:26:53 sharp",
        "snapshot 0.5 s, upload 0.7 s",
    ],
)
def test_line_that_tells_no_single_build_time_says_nothing(text: str) -> None:
    """Where no time, a longer unit, or several other times are told, nothing can be compared."""
    assert TIME not in {claim for claim, _ in ended(text, 118_000)}


@pytest.mark.parametrize("build_time_ms", [None, "118420", True, 118.4])
def test_build_time_that_is_no_number_of_ms_is_told_elsewhere(build_time_ms: Any) -> None:
    """A status without a whole number has nothing to compare with."""
    assert TIME not in {claim for claim, _ in ended("ready in 4 s", build_time_ms)}


@pytest.mark.parametrize(("last", "claims"), [("ready", set()), ("archive", {READY})])
def test_log_that_is_told_again_has_its_end(last: str, claims: set[str]) -> None:
    """Who asks for the log of a finished build gets nothing, or a log with the end of that build."""
    again = exchange("streamBuildEvents", seq=20, frames=[{"phase": "boot", "line": "b"}, {"phase": last, "line": "l"}])

    assert broken(found(*followed(opened_at=EARLY), again)) == claims


LINES = [MARKER, f"{MARKER}-line-2", f"{MARKER}-line-3"]


def log_of(*lines: str, phase: str = "ready", level: str = "success") -> list[dict[str, Any]]:
    told = [line(12.1, text=text) for text in lines]
    return [line(10.1, "boot", "booted"), *told, line(13.95, phase, "done in 4.0 s", level)]


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (LINES, {"held"}),
        (LINES[:2], {"held", "broken"}),
        ([LINES[0], LINES[2], LINES[1]], {"held", "broken"}),
        ([*LINES, LINES[2]], {"held", "broken"}),
    ],
    ids=["all", "one lost", "turned round", "one twice"],
)
def test_each_line_of_a_build_is_in_its_log(lines: list[str], verdict: set[str]) -> None:
    """A build that prints several lines has each of them in its log, once, in the order in which they were printed."""
    told = found(*followed(log_of(*lines), opened_at=EARLY, note={"lines": LINES}))

    assert {outcome for claim, outcome in told if claim == OUTPUT} == verdict


def test_lines_that_a_late_follower_missed_are_left_alone() -> None:
    """Who came after the build printed need not be told of it."""
    told = found(*followed(log_of(LINES[2]), opened_at=13.0, note={"lines": LINES}))

    assert (OUTPUT, "broken") not in told


@pytest.mark.parametrize(("lines", "outcome"), [([MARKER], "held"), ([], "broken")])
def test_build_that_fails_has_printed_before(lines: list[str], outcome: str) -> None:
    """What a build prints before the step that fails is in its log."""
    log = log_of(*lines, phase="install", level="error")

    assert (OUTPUT, outcome) in found(*followed(log, "failed", opened_at=EARLY, note={"outcome": "failed"}))


@pytest.mark.parametrize(("phase", "outcome"), [("timeout", "failed"), ("install", "ready")])
def test_build_that_fails_for_another_reason_may_not_have_come_to_print(phase: str, outcome: str) -> None:
    """A build that took too long, or that should not have failed, says nothing of what it was to print."""
    log = log_of(phase=phase, level="error")

    assert OUTPUT not in claims(*followed(log, "failed", opened_at=EARLY, note={"outcome": outcome}))


def test_log_of_a_cancelled_build_that_reads_failed_ends_on_the_cancel() -> None:
    """A log that is told again after the build may end on the cancel though the version reads failed."""
    told = stream([line(10.1, "boot"), line(12.0, "cancel", "cancelled", "warn")], 11, 20.0, 20.5)
    lost = stream([line(10.1, "boot")], 11, 20.0, 20.5)

    assert FAILED not in claims(*followed(None, "failed", streams=[]), told)
    assert (FAILED, "broken") in found(*followed(None, "failed", streams=[]), lost)
