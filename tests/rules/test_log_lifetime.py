"""Rules on the time when build logs are open: correct servers pass, logs that end too soon or never are found."""

from collections.abc import Sequence
from typing import Any

from tests.rules.exchanges import OTHER_REF, build, exchange, given, publish
from tests.rules.judging import Evidence, cases, findings, outcome, story_rules, upheld, verdicts
from tests.rules.scenes import END_AT, OPEN_AT, followed, line, published, read, ready_log, started, stream
from tests.rules.stories import cancel, forced
from touchstone.facts.exchange import Exchange
from touchstone.rules.agreement import closes_unread, reusable_after_ready_log
from touchstone.rules.history import Bounds

RULES = story_rules("following")
ANSWER, OPEN = "events.answers-200", "events.open-while-building"
CLOSE, REST = "events.close-at-the-end", "events.finished-version-closes"
HARMLESS, AT_ONCE = "start.while-building-is-harmless", "reuse.ready-at-once"
BOUNDS = {"bounds": Bounds(build_timeout_s=600.0, cancel_timeout_s=10.0)}
BOOT = [line(10.1, "boot")]
Story = Sequence[Exchange]


def cancelled(at: float, status: int = 202, seq: int = 7, **more: Any) -> Exchange:
    return cancel(seq, status, sent_at=at, **more)


def refused(status: int, seq: int = 5, at: float = OPEN_AT, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", status, seq=seq, json={"error": "none"}, sent_at=at, **more)


def builds(at: float, seq: int = 7, **more: Any) -> Exchange:
    return read("building", at, seq, **more)


def at_rest(*more: Exchange, **facts: Any) -> list[Exchange]:
    """An unbuilt version and its log."""
    return [published(), read("not_built", 5.0, 2), stream([], seq=4, **({"opened_at": 6.0} | facts)), *more]


def cut_off(closed_at: float, *between: Exchange, **more: Any) -> list[Exchange]:
    """A build whose log ends early."""
    return followed(BOOT, "ready", *between, closed_at=closed_at, **more)


LEFT: dict[str, Any] = {"closed": "client"}
REPLACED = forced(7, sent_at=12.6)
EARLIER = [
    published(),
    started(2, 2.0),
    cancelled(3.0, seq=3),
    read("not_built", 5.0, 4),
    started(5),
    stream(BOOT, seq=6, closed_at=12.5),
    builds(11.5),
    builds(13.0, 8),
]
LOST_START = [published(), exchange("startBuild", 0, seq=3, sent_at=4.0), read("not_built", 5.0, 4)]
FAILED_LOG = [*BOOT, line(12.0, "install", "step 1 ended with 1", "error")]


def ended_by(cancel: Exchange) -> list[Exchange]:
    """A build with a short log, and a cancel."""
    return [published(), started(), stream(BOOT, closed_at=11.6), builds(11.5, 6), cancel, read("not_built", END_AT, 9)]


@cases(
    "story expected",
    {
        "open until the end": (followed(), []),
        "404 while it builds": (followed(streams=[refused(404)]), [(ANSWER, (3, 5))]),
        "404 after a limit": (followed(streams=[refused(429, 4), refused(404)]), [(ANSWER, (3, 5))]),
        **{
            f"{status} while it builds": (followed(streams=[refused(status)]), []) for status in (0, 401, 429, 500, 503)
        },
        **{f"404 to {key}": (followed(streams=[refused(404, credential=key)]), []) for key in ("none", "second")},
        "ended before a read still shows it": (cut_off(12.5, builds(13.0)), [(OPEN, (5, 7))]),
        "ended before its steps": (cut_off(OPEN_AT + 0.6), [(OPEN, (3, 5))]),
        "ended a little sooner": (cut_off(11.5), [(OPEN, (5, 6))]),
        "a build that was over too soon": (cut_off(OPEN_AT + 0.6, read("ready", 11.65, 7)), []),
        "ended just before the status changes": (followed(None, "ready", builds(13.99), closed_at=13.95), []),
        "a status that learns of it late": (followed(None, "ready", builds(12.1), closed_at=12.0), []),
        "a status that is too late": (followed(None, "ready", builds(12.3), closed_at=12.0), [(OPEN, (5, 7))]),
        "an end, long before the build's": (followed(None, "ready", builds(13.9), closed_at=12.5), [(OPEN, (5, 7))]),
        "another start in between": (cut_off(12.5, started(7, 12.7), builds(13.9, 8)), []),
        "at rest in between": (followed(FAILED_LOG, "building", read("failed", 13.0, 7), closed_at=12.2), []),
        "no rest in between": (followed(FAILED_LOG, "building", builds(13.0), closed_at=12.2), [(OPEN, (5, 7))]),
        **{
            f"a cancel, {status}": (
                followed([line(12.1, "cancel")], "not_built", cancelled(12.0, status), builds(13.5, 8), closed_at=12.2),
                [],
            )
            for status in (202, 500, 0)
        },
        "a cancel that settled before": (EARLIER, [(OPEN, (6, 8))]),
        "a cancel while it was open": (ended_by(cancelled(11.2)), []),
        "a cancel when it had ended": (ended_by(cancelled(11.6)), [(OPEN, (3, 5))]),
        "closed much too late": (followed(closed_at=END_AT + 11.0), [(CLOSE, (9, 5))]),
        "left open": (followed(closed_at=END_AT + 10.0, **LEFT), [(CLOSE, (9, 5))]),
        "at rest, left open": (at_rest(closed_at=16.0, **LEFT), [(REST, (4,))]),
        "at rest, left a little sooner": (at_rest(closed_at=14.9, **LEFT), []),
        "at rest, closed too late": (at_rest(closed_at=16.5), [(REST, (4,))]),
        "at rest for all that is known": ([*LOST_START, stream([], 5, 6.0, 16.5, **LEFT)], []),
        "at rest after a reuse": ([published(), exchange("startBuild", 202, seq=3, json=build("ready", reused=True),
            sent_at=4.0), stream([], 5, 6.0, 16.5, **LEFT)], [(REST, (5,))]),
        "a digest that is shared": ([*cut_off(12.5, builds(13.0)), publish(20, OTHER_REF, content="other")], []),
        "other content": (cut_off(12.5, REPLACED, builds(13.0, 8)), []),
    },
)  # fmt: skip
def test_log_is_open_while_its_build_runs_and_no_longer(story: Story, expected: Evidence) -> None:
    assert findings(RULES, *story, **BOUNDS) == expected


@cases(
    "story expected",
    {
        "open until the end": (followed(), [(ANSWER, (3, 5)), (OPEN, (6, 5)), (CLOSE, (9, 5))]),
        "a read answered as it ends": ([published(), started(), stream(ready_log(), closed_at=13.9),
            builds(11.5, 6, done_at=13.9), read("ready", END_AT, 9)],
            [(ANSWER, (3, 5)), (OPEN, (6, 5)), (CLOSE, (9, 5))]),
        "at rest": (at_rest(closed_at=15.99), [(REST, (4,))]),
        "at rest, 404": ([*at_rest()[:2], refused(404, 4, 6.0)], [(REST, (4,))]),
        **{f"at rest, {code}": ([*at_rest()[:2], refused(code, 4, 6.0)], []) for code in (400, 403, 409, 500)},
    },
)  # fmt: skip
def test_log_upholds_what_it_could_have_broken(story: Story, expected: Evidence) -> None:
    assert upheld(RULES, *story, **BOUNDS) == expected


def test_given_version_is_at_rest_after_a_read_at_rest() -> None:
    open_log = exchange("streamBuildEvents", seq=5, sent_at=6.0, done_at=16.5, closed="client")

    assert verdicts(RULES, open_log, given=given(), **BOUNDS) == set()
    assert findings(RULES, read("ready", 5.0, 2), open_log, given=given(), **BOUNDS) == [(REST, (5,))]


# --- logs of builds that a start joined -------------------------------------------------------------------------------

CANCEL_LOG = [line(10.1, "boot", "booted"), line(13.9, "cancel", "build cancelled", "warn")]
JOINED = started(7, 12.0)


def joined(*between: Exchange, log: Sequence[Any] = CANCEL_LOG, later: Exchange | None = None) -> list[Exchange]:
    """A build whose log ends on a cancel, with requests during it and the read after it."""
    return [*followed(log, "ready", JOINED, *between)[:-1], later or builds(END_AT, 8)]


@cases(
    "story expected",
    {
        "it builds on": (joined(), "broken"),
        "it ends ready": (followed(ready_log(), "ready", JOINED), "held"),
        "nobody joined it": ([*followed(CANCEL_LOG)[:-1], builds(END_AT, 8)], ""),
        "nobody joined it, and ready": (followed(), ""),
        "it was started later": ([*followed(CANCEL_LOG)[:-1], builds(END_AT, 8), started(20, 30.0)], ""),
        "it was cancelled": (joined(cancelled(12.5, seq=8)), ""),
        "somebody else's cancel": (joined(cancelled(12.5, 404, seq=8, credential="second")), ""),
        "another one was cancelled": (joined(cancelled(12.0, seq=8, ref=OTHER_REF)), ""),
        "it was replaced": (joined(publish(8, content="new", sent_at=12.5, note={"force": True})), ""),
        "its log breaks off": (joined(log=BOOT), ""),
        "it is ready": (joined(later=read("ready", END_AT, 9)), ""),
        "cancelled before": ([*joined(), cancelled(3.0, seq=20), cancelled(3.5, seq=21, ref=OTHER_REF)], "broken"),
        "cancelled later": ([*joined(), cancelled(30.0, seq=20), cancelled(30.0, seq=21, ref=OTHER_REF)], "broken"),
        "one of two logs": ([*followed(None, "ready", JOINED,
            streams=[stream(ready_log(), 4, 10.9), stream(CANCEL_LOG)])[:-1], builds(END_AT, 8)], "broken held"),
    },
)  # fmt: skip
def test_log_of_a_joined_build_does_not_end_on_a_cancel(story: Story, expected: str) -> None:
    assert outcome(RULES, HARMLESS, *story, **BOUNDS) == expected


# --- starts after a log that ended ------------------------------------------------------------------------------------

CLOSED_AT = 14.0


def started_after(*between: Exchange, log: Sequence[Any] = (), **more: Any) -> list[Exchange]:
    """A build with a complete log and no reads, and the requests after it."""
    return [
        published(),
        started(),
        stream(log or ready_log(), **({"opened_at": 10.5, "closed_at": CLOSED_AT} | more)),
        *between,
    ]


def later(status: str = "building", gap_s: float = 0.41, code: int = 202, **more: Any) -> Exchange:
    body = build(status) | ({"reused": True} if status == "ready" else {})
    return exchange("startBuild", code, **({"seq": 20, "json": body, "sent_at": CLOSED_AT + gap_s} | more))


TWICE: dict[str, Any] = {"opened_at": 30.0, "closed_at": 30.1}


@cases(
    "story expected",
    {
        "ready": (started_after(later("ready")), "held"),
        "building": (started_after(later()), "broken"),
        "followed afterwards": (started_after(later(gap_s=17.0), **TWICE), "broken"),
        "too soon": (started_after(later(gap_s=0.39)), ""),
        "no end": (started_after(later(), log=ready_log()[:-1]), ""),
        "left": (started_after(later(), **LEFT), ""),
        "unreadable": (started_after(later(), chunks=[(0.1, b"data: {\n\n"), (0.2, b'data: {"phase":"ready"}\n\n')]),
            ""),
        "no log": (started_after(later(), headers={"content-type": "text/html"}), ""),
        "refused": (started_after(later(code=429)), ""),
        "another account": (started_after(later(credential="second")), ""),
        "never started": ([published(), *started_after(later())[2:]], ""),
        "cancelled": (started_after(cancelled(12.0), later()), ""),
        "joined": (started_after(started(7, 12.0), later()), ""),
        "built again meanwhile": (started_after(started(7, 30.05), later(gap_s=17.0), **TWICE), ""),
        "replaced": (started_after(forced(7, sent_at=14.1), later()), ""),
        "built again by a publish": (started_after(publish(7, auto_build="building", sent_at=14.2,
            note={"auto_build": True}), later()), ""),
        "a silent log before": ([stream([], 4, 10.4, 10.45), *started_after(later())], "broken"),
    },
)  # fmt: skip
def test_start_after_a_log_that_ended_ready_finds_the_golden(story: Story, expected: str) -> None:
    assert outcome((reusable_after_ready_log,), AT_ONCE, *story) == expected


# --- logs of builds without status reads ------------------------------------------------------------------------------

SHORT = {"bounds": Bounds(build_timeout_s=5.0, cancel_timeout_s=2.0)}


def unread(*between: Exchange, open_s: float = 6.81, **more: Any) -> list[Exchange]:
    """A build of at most 5 s with a log open so long, and no reads."""
    facts: dict[str, Any] = {"closed": "client", "opened_at": 10.02, "closed_at": 10.01 + open_s} | more
    return [published(), started(), stream(ready_log()[:-1], **facts), *between]


READY = read("ready", 18.0, 9)
FOUND: Evidence = [(CLOSE, (3, 5, 9))]


@cases(
    "story expected",
    {
        "ready": (unread(READY), FOUND),
        "not built": (unread(read("not_built", 18.0, 9)), FOUND),
        "in time": (unread(READY, open_s=6.79), []),
        "closed": (unread(READY, closed=""), []),
        "it runs": (unread(builds(18.0, 9)), []),
        "never read": (unread(), []),
        "read meanwhile": (unread(builds(11.0), READY), []),
        "joined": (unread(started(7, 11.0), READY), []),
        "started again": (unread(started(7, 17.0), READY), []),
        "never started": ([published(), *unread(READY)[2:]], []),
        "another log that was closed": ([stream(ready_log(), 4, 10.011, 10.5), *unread(READY)], FOUND),
    },
)  # fmt: skip
def test_log_of_a_build_that_nobody_reads_closes_with_it(story: Story, expected: Evidence) -> None:
    assert findings((closes_unread,), *story, **SHORT) == expected
