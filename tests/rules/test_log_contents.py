"""Rules on the content of build logs: correct logs pass, each fault is found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.rules import scenes
from tests.rules.exchanges import given, publish
from tests.rules.judging import Evidence, cases, findings, outcome, story_rules, upheld
from tests.rules.scenes import MARKER, SLEEP_S, again, followed, line, published, read, ready_log, started, stream
from tests.rules.stories import cancel, forced
from touchstone.facts.exchange import Exchange
from touchstone.rules.agreement import clock, last_frame, one_time

RULES = story_rules("logged")
READY, FAILED = "events.ready-ends-on-ready", "events.failed-ends-on-error"
CANCELLED, LAST = "events.cancelled-ends-on-cancel", "events.terminal-frame-comes-last"
OUTPUT, SHARED = "events.carry-the-output", "start.concurrent-share-one-build"
WATCHERS, TIME, CLOCK = "events.watchers-agree", "events.build-time-agrees", "events.timestamps-are-true"
BOOT, TEXT, DONE = ready_log()
ERROR, CANCEL = line(13.9, "install", "step 1", "error"), line(12.1, "cancel", "cancelled", "warn")
EARLY: dict[str, Any] = {"opened_at": 10.5}
Story = Sequence[Exchange]
Frames = list[dict[str, Any]]


def cancelled(at: float = 12.0, **more: Any) -> Exchange:
    return cancel(7, **({"sent_at": at} | more))


def ends(end: str, *frames: dict[str, Any], **more: Any) -> list[Exchange]:
    return followed(list(frames), end, **more)


def late(frames: Frames, opened_at: float, read_at: float, **more: Any) -> list[Exchange]:
    """A log that is opened late, and the read after it."""
    story = followed(streams=[stream(frames, opened_at=opened_at, closed_at=13.97)], **more)
    return [*story[:4], read("building", read_at, 6), *story[5:]]


def cancelled_at(cancel: Exchange, end: str, **note: Any) -> list[Exchange]:
    """A build that may have been cancelled, with a log without an end."""
    start = [read("not_built", 6.0, 2), started(), stream([BOOT, TEXT]), read("building", 11.2, 6)]
    return [published(**note), cancel, *start, read(end, scenes.END_AT, 9)]


UNREADABLE = stream([], 4, 10.45, chunks=[(0.1, b"data: {\n\n")])


@cases(
    "story expected",
    {
        "faithful": (followed(), []),
        "archived after ready": (ends("ready", BOOT, line(13.9, "archive", "archived")), [(READY, (9, 5))]),
        "an error, and ready": (ends("ready", BOOT, ERROR), [(READY, (9, 5))]),
        "cancelled, and ready": (ends("ready", BOOT, line(13.9, "cancel")), [(READY, (9, 5))]),
        "no error, and failed": (ends("failed", BOOT, line(13.9)), [(FAILED, (9, 5))]),
        "cancelled, and failed": (ends("failed", BOOT, line(13.9, "cancel", level="error")), [(FAILED, (9, 5))]),
        "an error, and failed": (ends("failed", BOOT, ERROR), []),
        "too long": (ends("failed", BOOT, line(13.9, "timeout")), []),
        "more after the error": (ends("failed", ERROR, line(13.95, "archive")), [(LAST, (9, 5))]),
        "more after ready": (followed([*ready_log(), line(13.97, "archive")]), []),
        "never built": (ends("not_built", BOOT), []),
        "an empty log": (followed([], "ready", read("building", 12.0, 7)), [(READY, (9, 5))]),
        "an empty log for who comes late": (late([], 13.9, 13.92), []),
        "cut short": (followed([BOOT], "ready", read("building", 13.0, 7), closed_at=12.5), []),
        "unreadable": (followed(streams=[UNREADABLE]), []),
        "HTML": (followed(streams=[stream([], headers={"content-type": "text/html"}, body=b"<p>", chunks=[])]), []),
        "cancelled": (followed([BOOT, CANCEL], "not_built", cancelled(), closed_at=12.2), []),
        "cancelled, and reads failed": (followed([BOOT, CANCEL], "failed", cancelled(), closed_at=12.2), []),
        "cancelled, and an error": (followed([line(12.1, level="error")], "not_built", cancelled(), closed_at=12.2),
            [(CANCELLED, (9, 5))]),
        "cancelled when it was cut": (followed([BOOT], "not_built", cancelled(13.0), closed_at=12.0), []),
        "cancelled too late": (followed(None, "ready", cancelled(13.9)), []),
        "a cancel while it was open": (cancelled_at(cancelled(), "not_built"), [(CANCELLED, (9, 5))]),
        "a cancel after the end": (cancelled_at(cancelled(20.0), "ready"), [(READY, (9, 5))]),
        "a cancel before": (cancelled_at(cancelled(5.0, seq=2), "ready"), [(READY, (9, 5))]),
        "a cancel when it can have failed": (cancelled_at(cancelled(11.85), "failed", outcome="failed"), []),
        "again, without its end": (again(BOOT, line(13.9, "archive")), [(READY, (9, 11))]),
        "again, empty": (again(), []),
        "again, never built": (again(BOOT, status="not_built"), []),
        "again, broken": (again(BOOT, error="ReadError: cut"), []),
        "again, unreadable": (again(chunks=[(0.1, b'data: {"phase": "boot"}\n\ndata: {\n\n')]), []),
        "again, of what nobody read": ([published(), started(), stream([BOOT], 11, 20.0, 21.0)], []),
        "again, failed after a cancel": (again(BOOT, CANCEL, status="failed"), []),
        "again, failed and lost": (again(BOOT, status="failed"), [(FAILED, (9, 11))]),
        "one of two": (followed(streams=[UNREADABLE, stream([BOOT, line(13.9, "archive")])]), [(READY, (9, 5))]),
    },
)  # fmt: skip
def test_last_frame_goes_with_what_became_of_the_build(story: Story, expected: Evidence) -> None:
    assert findings((last_frame,), *story) == expected


def test_faithful_log_upholds_all() -> None:
    assert upheld(RULES, *followed(**EARLY)) == [(READY, (9, 5)), (OUTPUT, (3, 5)), (TIME, (5, 9))]


# --- output -----------------------------------------------------------------------------------------------------------

LINES = [MARKER, f"{MARKER}-line-2", f"{MARKER}-line-3"]
TWICE = [TEXT, line(12.2, text=MARKER), DONE]


def prints(*texts: str, end: dict[str, Any] = DONE, status: str = "ready", **note: Any) -> list[Exchange]:
    return followed([BOOT, *[line(12.1, text=text) for text in texts], end], status, **EARLY, note=note)


def joined_at(second_at: float, frames: Frames, *, swapped: bool = False) -> list[Exchange]:
    """A build with two starts."""
    starts = [started(3), started(4, second_at)]
    end = [read("building", 11.5, 6), read("ready", scenes.END_AT, 9)]
    return [published(), *(reversed(starts) if swapped else starts), stream(frames, opened_at=10.6), *end]


def missing(opened_at: float, after_s: float) -> list[Exchange]:
    """A log without output, opened at the given time."""
    story = followed([BOOT, DONE], opened_at=opened_at, note={"marker_after_s": after_s})
    return [*story[:4], read("building", 11.8, 6), *story[5:]]


@cases(
    "claim story expected",
    {
        **{
            f"printed as {text!r}": (OUTPUT, prints(text), "held")
            for text in (MARKER, f"[1/1] {MARKER}", f"\x1b[32m{MARKER}\x1b[0m", f"{MARKER}.")
        },
        **{
            f"only the command {text!r}": (OUTPUT, prints(text), "broken")
            for text in (f"+ echo {MARKER}", f"RUN echo '{MARKER}'", f'$ echo "{MARKER}"')
        },
        "the command beside it": (OUTPUT, prints(f"+ echo {MARKER}", MARKER), "held"),
        "nothing": (OUTPUT, prints(), "broken"),
        "twice": (OUTPUT, followed(TWICE), "broken"),
        "a late follower": (OUTPUT, late([DONE], 12.5, 13.0), ""),
        "no telling when": (OUTPUT, [publish(1, sent_at=1.0, note={"sleep_s": SLEEP_S}), *missing(10.2, 2.0)[1:]], ""),
        "just in time": (OUTPUT, missing(scenes.OPEN_AT, SLEEP_S), "broken"),
        "too late": (OUTPUT, missing(11.75, SLEEP_S), ""),
        "too late for what comes soon": (OUTPUT, missing(scenes.OPEN_AT, 1.0), ""),
        "in time for what comes soon": (OUTPUT, missing(10.1, 0.3), "broken"),
        "twice after simultaneous starts": (SHARED, joined_at(10.005, TWICE), "broken"),
        "once after simultaneous starts": (SHARED, joined_at(10.005, ready_log()), "held"),
        "twice after starts that touch": (OUTPUT, joined_at(10.01, TWICE), "broken"),
        "twice after starts apart": (SHARED, joined_at(10.5, TWICE), ""),
        "a failing build": (OUTPUT, prints(MARKER, end=ERROR, status="failed", outcome="failed"), "held"),
        "a failing build, nothing": (OUTPUT, prints(end=ERROR, status="failed", outcome="failed"), "broken"),
        "too long": (OUTPUT, prints(end=line(13.9, "timeout"), status="failed", outcome="failed"), ""),
        "a failure for no reason": (OUTPUT, prints(MARKER, MARKER, end=ERROR, status="failed"), ""),
        "all lines": (OUTPUT, prints(*LINES, lines=LINES), "held"),
        "a line less": (OUTPUT, prints(*LINES[:2], lines=LINES), "broken held"),
        "a line twice": (OUTPUT, prints(*LINES, LINES[2], lines=LINES), "broken held"),
        "one of two logs": (OUTPUT, followed(streams=[UNREADABLE, stream([BOOT, DONE], **EARLY)]), "broken"),
    },
)  # fmt: skip
def test_output_of_a_build_is_in_its_log_once(claim: str, story: Story, expected: str) -> None:
    assert outcome(RULES, claim, *story) == expected


def test_finding_on_the_output_has_every_start_and_the_follower() -> None:
    assert findings(RULES, *joined_at(10.005, TWICE)) == [(SHARED, (3, 4, 5))]
    assert findings(RULES, *followed(TWICE)) == [(OUTPUT, (3, 5))]


# --- several followers, and the build time ----------------------------------------------------------------------------


def watched(*logs: Frames) -> list[Exchange]:
    return followed(streams=[stream(log, 3 + n, 10.6 + n / 10) for n, log in enumerate(logs, 1)])


LATER = [value | {"ts": "2026-03-14T09:00:14Z"} for value in ready_log()]
TWO_BUILDS = [stream(ready_log(), 4), stream(ready_log()[2:], 5, 13.0)]
THREE = [
    stream(ready_log(), 4, 10.5),
    stream([BOOT, DONE], 5, 10.5),
    stream([], 6),
    stream([BOOT, DONE], 8, 12.9, 20.0),
]


@cases(
    "story expected",
    {
        "the same": (watched(ready_log(), ready_log()), "held"),
        "stamped as they are sent": (watched(ready_log(), LATER), "held"),
        "the rest": (watched(ready_log(), ready_log()[1:]), "held"),
        "a frame less": (watched(ready_log(), [BOOT, DONE]), "broken"),
        "another order": (watched(ready_log(), [TEXT, BOOT, DONE]), "broken"),
        "an empty one": (watched(ready_log(), []), ""),
        "an unreadable one": (followed(streams=[UNREADABLE, stream(ready_log(), 5)]), ""),
        "another start in between": ([*followed(streams=TWO_BUILDS), started(8, 12.5), read("building", 13.2, 8)], ""),
        "a pair before another start": ([*followed(streams=THREE), started(10, 15.0)], "broken"),
    },
)
def test_followers_of_one_build_receive_the_same(story: Story, expected: str) -> None:
    assert outcome(RULES, WATCHERS, *story) == expected


def timed(text: str, build_time_ms: Any, phase: str = "ready") -> list[Exchange]:
    story = followed([BOOT, TEXT, line(13.9, phase, text, "success")])
    return [*story[:-1], read("ready", scenes.END_AT, 9, build_time_ms=build_time_ms)]


@pytest.mark.parametrize(
    ("text", "build_time_ms", "expected"),
    [
        *(("ready in 118.4 s", ms, verdict) for ms, verdict in ((118_420, "held"), (119_420, "broken"))),
        ("ready in 118.4s", 118_359, "held"),
        ("ready (118 seconds)", 118_999, "held"),
        ("ready after 420ms", 420, "held"),
        ("ready in 420 ms", 4_200, "broken"),
        ("ready in 4 s, snapshot 0.5 s", 3_800, "held"),
        *(("ready in 4 s", ms, verdict) for ms, verdict in ((5001, "held"), (5002, "broken"), (4, "broken"))),
        *(("ready in 4.0 s", ms, verdict) for ms, verdict in ((4101, "held"), (4102, "broken"))),
        *(("ready in 4000 ms", ms, verdict) for ms, verdict in ((4002, "held"), (4003, "broken"))),
        *(("ready in 4 s", odd, "") for odd in (None, "4000", True, 4000.4)),
        *((text, 118_000, "") for text in ("ready", "ready in 1 m 58 s", "ready in 2 minutes", "2 snapshots of v1.2")),
        *((text, 118_000, "") for text in ("ready at 09:26:53 sharp", "snapshot 0.5 s, upload 0.7 s")),
    ],
)
def test_build_time_in_the_log_agrees_with_the_status(text: str, build_time_ms: Any, expected: str) -> None:
    assert outcome(RULES, TIME, *timed(text, build_time_ms)) == expected


def test_build_time_is_that_of_the_last_frame_of_a_ready_build() -> None:
    assert outcome(RULES, TIME, *timed("took 1 s", 4000, "cancel")) == ""
    assert outcome(RULES, TIME, *followed(ready_log(), "failed")) == ""
    assert findings(RULES, *timed("ready in 3 s", 5000)) == [(TIME, (5, 9))]


# --- timestamps -------------------------------------------------------------------------------------------------------

LATE_DATE: dict[str, Any] = {"headers": {"date": "Sat, 14 Mar 2026 09:00:20 GMT"}}
BESIDE = publish(10, content="other", sent_at=19.99, done_at=20.5, note={"force": True})


def stamped(ts: str, phase: str | None = "boot", *, date: str = scenes.DATE, age: str = "") -> list[Exchange]:
    """A log that is open from 11 to 13.98; the server's clock is 9:00:00 at 0."""
    headers = {"date": date} | ({"age": age} if age else {})
    return followed(streams=[stream([{"ts": ts, "line": "x"} | ({"phase": phase} if phase else {})], headers=headers)])


def repeated(ts: str, *between: Exchange, marker: str = MARKER) -> list[Exchange]:
    """A log that is requested after its build."""
    first, *rest = again({"ts": ts, "phase": "boot"}, **LATE_DATE)
    return [replace(first, note=first.note | {"marker": marker}), *rest, *between]


def of_given(ts: str) -> list[Exchange]:
    log = stream([{"ts": ts, "phase": "publish"}])
    return [read("not_built", 5.0, 2), started(), log, read("building", 11.5, 6), read("ready", scenes.END_AT, 9)]


OLD, WRONG = "2020-01-01T00:00:00Z", {"ts": "2025-03-14T09:00:12Z", "phase": "boot"}


@cases(
    "story expected",
    {
        "at the start, less five seconds": (stamped("2026-03-14T09:00:04.990Z"), "held"),
        "earlier": (stamped("2026-03-14T09:00:04.980Z"), "broken"),
        "published, less five seconds": (stamped("2026-03-14T08:59:55.990Z", "publish"), "held"),
        "published earlier": (stamped("2026-03-14T08:59:55.980Z", "publish"), "broken"),
        "no phase": (stamped("2026-03-14T08:59:56.500Z", None), "held"),
        "at the end, and five seconds": (stamped("2026-03-14T09:00:19.970Z"), "held"),
        "later": (stamped("2026-03-14T09:00:19.990Z"), "broken"),
        "another offset": (stamped("2026-03-14T10:00:12+01:00"), "held"),
        "an hour off": (stamped("2026-03-14T10:00:12Z"), "broken"),
        "the first year": (stamped("0001-01-01T00:00:00+14:00"), "broken"),
        "a wrong date": (stamped("2026-03-14T09:00:12Z", date="Sat, 14 Mar 2026 09:00:11 +0100"), "broken"),
        "a word as date": (stamped(OLD, date="yesterday"), ""),
        "from a store": (stamped(OLD, age="3"), ""),
        "repeated, from the beginning": (repeated("2026-03-14T08:59:54.990Z"), "held"),
        "repeated, from before": (repeated("2026-03-14T08:59:54.970Z"), "broken"),
        "repeated, to its end": (repeated("2026-03-14T09:00:26.990Z"), "held"),
        "repeated, from the future": (repeated("2026-03-14T09:00:27.010Z"), "broken"),
        "repeated, without a marker": (repeated(OLD, marker=""), "held"),
        "repeated, of content in doubt": (repeated(OLD, BESIDE), "held"),
    },
)
def test_timestamps_lie_within_the_build(story: Story, expected: str) -> None:
    assert outcome((clock,), CLOCK, *story) == expected


def test_given_version_may_have_been_published_at_any_time_before() -> None:
    stamps = (OLD, "2026-03-14T09:00:19.970Z", "2026-03-14T09:00:19.990Z")

    assert [outcome((clock,), CLOCK, *of_given(ts), given=given()) for ts in stamps] == ["held", "held", "broken"]


def twice(first: Frames, second: Frames, *between: Exchange, **more: Any) -> list[Exchange]:
    """A log from the beginning of a build, and again after its end."""
    facts = {"seq": 12, "opened_at": 20.0, "closed_at": 20.1} | more
    return [*followed(streams=[stream(first)]), *between, stream(second, **facts)]


def at(ts: str | None) -> Frames:
    return [BOOT | {"ts": ts}, DONE]


TEN, MOVED = "2026-03-14T09:00:10.100Z", "2026-03-14T09:00:20.000Z"
MOVED_BOOT, UNSTAMPED, OTHER_TEXT = BOOT | {"ts": MOVED}, TEXT | {"ts": None}, TEXT | {"line": "other"}


@cases(
    "story expected",
    {
        "one time": (twice(at(TEN), at(TEN)), "held"),
        "a quarter of a second": (twice(at(TEN), at("2026-03-14T09:00:10.350Z")), "held"),
        "more": (twice(at(TEN), at("2026-03-14T09:00:10.351Z")), "broken"),
        "two whole seconds": (twice(at("2026-03-14T09:00:10Z"), at("2026-03-14T09:00:12Z")), "broken"),
        "one whole second": (twice(at("2026-03-14T09:00:10Z"), at("2026-03-14T09:00:10.500Z")), "broken"),
        "another build": (twice(at(TEN), at(MOVED), started(11, 19.0)), ""),
        "it builds again": (twice(at(TEN), at(MOVED), read("building", 16.0, 11)), ""),
        "other content": (twice(at(TEN), at(MOVED), forced(11, sent_at=19.0)), ""),
        "no time": (twice(at("soon"), at(MOVED)), "held"),
        "left": (twice(at(TEN), at(MOVED), closed="client"), ""),
        "unreadable": (twice(at(TEN), [], chunks=[(0.1, b"data: {\n\n")]), ""),
        "another frame": (twice([BOOT], [line(20.0, "compile")]), ""),
        "an empty log": (twice([BOOT], []), ""),
        "the first frames less": (twice([BOOT, TEXT, DONE], [TEXT, DONE]), "held"),
        "up to what differs": (twice([BOOT, TEXT, DONE], [MOVED_BOOT, OTHER_TEXT, DONE]), "held"),
        "beyond what has no time": (twice([BOOT, UNSTAMPED, DONE], [MOVED_BOOT, UNSTAMPED, DONE]), "broken"),
        "nothing in common": (twice([DONE | {"ts": None}], [DONE | {"ts": None}]), ""),
        "a time in one only": (twice([DONE], [DONE | {"ts": None}]), ""),
    },
)  # fmt: skip
def test_frame_has_one_time_however_often_it_is_sent(story: Story, expected: str) -> None:
    assert outcome((one_time,), CLOCK, *story) == expected
