"""Judges what a build log says about when things happened."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.course import Course
from touchstone.rules.eventlog import Log, ended_by_server, log_of, moment, phase_of
from touchstone.rules.following import Following, followers, followings
from touchstone.rules.history import History
from touchstone.rules.logwords import frame_told
from touchstone.rules.rule import Rule, judged, rule

# Web servers that date a frame as they send it to two who follow at the same time are no further apart than this.
_STAMP_S = 0.25
# How far timestamps may be off by what separates the clocks of a build host and of a web server.
_CLOCK_DRIFT_S = 5.0

# Phases that a log may tell as of the time when the version was published.
_BEFORE_THE_START = frozenset({"publish", "compile", ""})


@rule("stamps.clock", "events.timestamps-are-true")
def clock(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that each timestamp lies within the build, by the clock of the server that sent the log."""
    followed = {following.stream.seq: following for following in followings(history.once(Course, ref), history)}
    for stream in followers(ref, history):
        following, log = followed.get(stream.seq), log_of(stream)
        date = _date(stream)
        stamped = [value for value in log.values if moment(value.get("ts"))] if log else []
        if date is None or not stamped:
            continue
        wrong = next((v for v in stamped if not _is_true(v, date, stream, _since(v, stream, following, history))), None)
        yield judged(
            "events.timestamps-are-true",
            wrong is None,
            *((following.running.start,) if following else ()),
            stream,
            expected="timestamps within the time of the build",
            actual=f"{wrong['ts']} for {frame_told(wrong)}, in an answer of {date.isoformat()}" if wrong else "",
        )


@rule("stamps.one-time", "events.timestamps-are-true")
def one_time(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a frame has one time, to whomever and however late it is told."""
    course = history.once(Course, ref)
    told = [(stream, log) for stream in followers(ref, history) if (log := _whole(stream)) and log.lines]
    for (first, one), (second, other) in pairwise(told):
        since_at, until_at = min(first.sent_at, second.sent_at), max(first.done_at, second.done_at)
        if course.begun_between(since_at, until_at) or course.content(since_at, until_at) is None:
            continue
        over_at = min(first.done_at, second.done_at)
        if any(over_at <= e.sent_at < until_at and e.body["status"] == "building" for e in course.reads):
            continue  # Whatever builds then is not what the log was of that is over.
        apart = _apart(one, other)
        if apart is not None:
            actual = f"{apart[0]['ts']} and {apart[1]['ts']} for {frame_told(apart[0])}" if apart else ""
            expected = "one time for each frame"
            yield judged("events.timestamps-are-true", not apart, first, second, expected=expected, actual=actual)


def _whole(stream: Exchange) -> Log | None:
    log = log_of(stream)
    return log if log and log.complete and ended_by_server(stream) else None


def _apart(one: Log, other: Log) -> tuple[dict[str, Any], ...] | None:
    """
    The last frame that two logs of one build give two times, or nothing; None where they have no stamped one in common.
    """
    common = False
    for first, second in zip(reversed(one.lines), reversed(other.lines), strict=False):
        at, also_at = moment(first.get("ts")), moment(second.get("ts"))
        if {**first, "ts": None} != {**second, "ts": None}:
            break
        if at is None or also_at is None:
            continue
        whole = at.microsecond == 0 and also_at.microsecond == 0
        if abs(at - also_at).total_seconds() > _STAMP_S + whole:
            return first, second
        common = True
    return () if common else None


def _since(value: dict[str, Any], stream: Exchange, following: Following | None, history: History) -> float:
    """
    The earliest time of the run that a frame can tell of; negative infinity where the build may be older than the run.
    """
    if following and phase_of(value) not in _BEFORE_THE_START:
        return following.running.start.sent_at
    content = following.running.content if following else history.content(stream.ref or "", stream.sent_at)
    if content is None or not content.published_seq:
        return float("-inf")
    if following:
        return content.from_at
    # What nothing else prints was not built before the run, but maybe for another version of the same content.
    return 0.0 if content.marker else float("-inf")


def _is_true(value: dict[str, Any], date: datetime, stream: Exchange, since_at: float) -> bool:
    told, zero = moment(value.get("ts")), date - timedelta(seconds=stream.head_at)
    if told is None:
        return True
    # Date has whole seconds, and may have been set at any time between sending the request and getting the head.
    latest = date + timedelta(seconds=stream.elapsed_s + 1 + _CLOCK_DRIFT_S)
    if since_at == float("-inf"):
        return told <= latest
    return zero + timedelta(seconds=since_at - _CLOCK_DRIFT_S) <= told <= latest


def _date(stream: Exchange) -> datetime | None:
    """
    When the server sent the head of the answer, by its own clock; None where it does not say or the answer was stored.
    """
    if stream.response is None or stream.response.header("age"):
        return None
    try:
        date = parsedate_to_datetime(stream.response.header("date") or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


STORY_RULES: tuple[Rule[str], ...] = (clock, one_time)
