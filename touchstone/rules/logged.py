"""Judges what a build log holds by what else is known of its build: how it ended, what it printed, how long it took.

Only logs are judged that were followed from a moment at which the build surely ran to the end, unless the server cut
them short, which is told in `following.py`.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.course import Course
from touchstone.rules.eventlog import LAST_PHASES, Log, ended_by_server, log_of, phase_of, printed
from touchstone.rules.following import Following, followers, followings
from touchstone.rules.history import Content, History
from touchstone.rules.logwords import frame_told, frames_apart, lines_astray
from touchstone.rules.rule import Rule, broken, held, judged, rule, shown
from touchstone.rules.walk import CLOCK_SHARE

# A follower that comes while a line is on its way may miss it.
_LATE_FOLLOWER_S = 0.1

_SHARED = "start.concurrent-share-one-build"
_READY, _FAILED = "events.ready-ends-on-ready", "events.failed-ends-on-error"
_CANCELLED = "events.cancelled-ends-on-cancel"
_ENDS = {_READY: "a last frame of phase ready", _FAILED: "a last frame of level error"}
_ENDS[_CANCELLED] = "a last frame of phase cancel"
_LAST = "events.terminal-frame-comes-last"

_SECONDS = re.compile(r"(?<![\w.,:])(\d+(?:\.(\d+))?)\s*(ms|milliseconds?|s|secs?|seconds?)(?!\w)")
_LONGER = re.compile(r"\d\s*(m|mins?|minutes?|h|hrs?|hours?)(?![a-z])")


@rule("logged.last-frame", _READY, _FAILED, _CANCELLED, _LAST)
def last_frame(ref: str, history: History) -> Iterator[Judgement]:
    """Judges the last frame of a log by what became of its build."""
    course = history.once(Course, ref)
    yield from _repeated(course, history)
    for following in followings(course, history):
        log, end = following.whole, following.end
        claim = _claim_of_end(course, following, end) if log and end else None
        if not log or not end or claim is None or (not log.lines and _came_late(course, following)):
            continue
        told = frame_told(log.last) if log.lines else "no frame at all"
        actual = f"{told}, and status {end.body['status']}"
        if _ends_so(log.last, claim):
            yield held(claim, end, following.stream)
        elif not any(_ends_so(line, claim) for line in log.lines):
            yield broken(claim, end, following.stream, expected=_ENDS[claim], actual=actual)
        elif claim == _FAILED:
            # A frame after an end of another phase is told by `events.py`, which cannot know that this one was an end.
            yield broken(_LAST, end, following.stream, expected="no frame after the one of level error", actual=actual)


@rule("logged.output", "events.carry-the-output", _SHARED)
def output(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that what the build prints is in its log, once. Twice, after simultaneous starts, shows two builds.

    What is to fail prints before that, too.
    """
    for following in followings(history.once(Course, ref), history):
        log, running, end = following.whole, following.running, following.end
        marker = running.content.marker
        if not log or not log.lines or not marker or not end or not _came_to_print(running.content, log, end):
            continue
        times = sum(printed(value.get("line"), marker) for value in log.lines)
        in_time, overlapped = _came_in_time(following, history), _overlapped(running.starts)
        evidence = (*running.starts, following.stream)
        actual = f"{marker!r} {times} times in the log"
        if overlapped and times > 1 and not _doubles_anyway(ref, history):
            yield broken(_SHARED, *evidence, expected="the output of one build", actual=actual)
        elif times > 1 or (times == 0 and in_time):
            yield broken("events.carry-the-output", *evidence, expected="what the build prints, once", actual=actual)
        elif times == 1:
            yield held("events.carry-the-output", *evidence)
            if overlapped and in_time:
                yield held(_SHARED, *evidence)


@rule("logged.lines", "events.carry-the-output")
def every_line(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges that of a build that prints several lines each one is in the log, in the order in which they were printed.
    """
    for following in followings(history.once(Course, ref), history):
        log, content, end = following.whole, following.running.content, following.end
        lines = _note(content, history).get("lines", ())
        if not log or not end or len(lines) < 2 or not _came_in_time(following, history):
            continue
        if _came_to_print(content, log, end):
            told = [line for value in log.lines for line in lines if printed(value.get("line"), line)]
            expected, actual = f"{len(lines)} lines in order", lines_astray(told, lines)
            fits = told == list(lines)
            yield judged("events.carry-the-output", fits, following.stream, expected=expected, actual=actual)


def _came_to_print(content: Content, log: Log, end: Exchange) -> bool:
    """
    Whether the build surely came to the step that prints: it succeeded, or failed as it was to, and not for the time.
    """
    status = end.body["status"]
    failed = status == "failed" and content.outcome == "failed" and phase_of(log.last) not in LAST_PHASES
    return status == "ready" or failed


def _doubles_anyway(ref: str, history: History) -> bool:
    """Whether a log of another version, one build of which was started once, has what that build prints twice."""
    others = {content.ref for content in history.all_contents()} - {ref}
    for following in (f for other in others for f in followings(history.once(Course, other), history)):
        log, marker = following.whole, following.running.content.marker
        if log and marker and not _overlapped(following.running.starts):
            doubled = sum(printed(value.get("line"), marker) for value in log.lines) > 1
            if doubled:
                return True
    return False


@rule("logged.watchers", "events.watchers-agree")
def watchers(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges that followers of one build see the same frames: one that came later may miss the first ones, and no others.
    """
    course = history.once(Course, ref)
    wholes = [(one, log.lines) for one in followings(course, history) if (log := one.whole) is not None and log.lines]
    for (one, first), (other, second) in combinations(wholes, 2):
        since_at = min(one.stream.sent_at, other.stream.sent_at)
        if course.begun_between(since_at, max(one.stream.done_at, other.stream.done_at)):
            continue
        difference = frames_apart(first, second)
        yield judged(
            "events.watchers-agree",
            not difference,
            one.stream,
            other.stream,
            expected="the same frames in the same order",
            actual=difference,
        )


@rule("logged.build-time", "events.build-time-agrees")
def build_time(ref: str, history: History) -> Iterator[Judgement]:
    """Judges a build time in the last line by the one in the status, as exactly as the line tells it."""
    for following in followings(history.once(Course, ref), history):
        log, end = following.whole, following.end
        if not log or not end or phase_of(log.last) != "ready" or end.body["status"] != "ready":
            continue
        build_time_ms, line = end.body.get("build_time_ms"), log.last.get("line")
        if isinstance(build_time_ms, bool) or not isinstance(build_time_ms, int) or not isinstance(line, str):
            continue
        told = _told_times(line)
        agrees = any(abs(told_ms - build_time_ms) <= rounding_ms for told_ms, rounding_ms in told)
        if agrees or len(told) == 1:
            yield judged(
                "events.build-time-agrees",
                agrees,
                following.stream,
                end,
                expected="the build time that the log tells",
                actual=f"build_time_ms {build_time_ms} in the status, {shown(line)} in the log",
            )


def _repeated(course: Course, history: History) -> Iterator[Judgement]:
    """Judges the end of a log that is told again after its build; whether one is told is open (facts 7.25)."""
    for stream in followers(course.ref, history):
        log, read = log_of(stream), course.rest_before(stream)
        claim = {"ready": _READY, "failed": _FAILED}.get(read.body["status"]) if read else None
        if not log or not read or not claim or not log.complete or not log.lines or not ended_by_server(stream):
            continue
        # Facts 7.12: a cancelled build may read failed, and its log ends on the cancel.
        cancelled = claim == _FAILED and any(_ends_so(line, _CANCELLED) for line in log.lines)
        if not cancelled and not any(_ends_so(line, claim) for line in log.lines):
            actual = f"{frame_told(log.last)}, and status {read.body['status']} before"
            yield broken(claim, read, stream, expected=_ENDS[claim], actual=actual)


def _claim_of_end(course: Course, following: Following, end: Exchange) -> str | None:
    """Which end the log must have; None where the build can have ended in several ways."""
    cancels = [c for c in course.cancels if c.done_at > following.stream.sent_at and c.sent_at < end.done_at]
    status = end.body["status"]
    if not cancels:
        return {"ready": _READY, "failed": _FAILED}.get(status)
    if all(c.sent_at > following.stream.done_at for c in cancels):
        return None  # It ended too early to tell, which following.py judges.
    # A build that ends by itself just when it is cancelled may end either way.
    if status == "ready" or not any(c.status == 202 for c in cancels):
        return None
    running = following.running
    fails_at = running.start.sent_at + running.content.sleep_s * CLOCK_SHARE
    if running.content.outcome != "ready" and max(c.done_at for c in cancels) >= fails_at:
        return None
    return _CANCELLED


def _ends_so(last: dict[str, Any], claim: str) -> bool:
    phase = phase_of(last)
    if claim == _FAILED:
        # Facts 7.32: a build that took too long ends on the phase timeout and may read failed.
        return phase == "timeout" or (last.get("level") == "error" and phase not in LAST_PHASES)
    return phase == ("ready" if claim == _READY else "cancel")


def _came_late(course: Course, following: Following) -> bool:
    stream = following.stream
    return course.running(stream.sent_at, stream.head_at + _LATE_FOLLOWER_S) is None


def _came_in_time(following: Following, history: History) -> bool:
    """Whether the log was open before its build can have come to what it prints."""
    after_s = float(_note(following.running.content, history).get("marker_after_s", 0.0))
    return following.stream.head_at + _LATE_FOLLOWER_S <= following.running.start.sent_at + after_s * CLOCK_SHARE


def _note(content: Content, history: History) -> Mapping[str, Any]:
    """What is known of a published document beside what `History` keeps; empty for a template that exists already."""
    publishes = (e for e in history.story(content.ref) if e.seq == content.published_seq)
    return next((publish.note for publish in publishes), {})


def _overlapped(starts: tuple[Exchange, ...]) -> bool:
    return any(one.sent_at < other.done_at and other.sent_at < one.done_at for one, other in combinations(starts, 2))


def _told_times(line: str) -> list[tuple[float, float]]:
    """The times that a line tells in seconds or milliseconds, and how much each may be off by rounding; all in ms."""
    if _LONGER.search(line):
        return []
    told = []
    for number, decimals, unit in _SECONDS.findall(line):
        unit_ms = 1.0 if unit.startswith("m") else 1000.0
        told.append((float(number) * unit_ms, unit_ms * 10.0 ** -len(decimals) + 1.0))
    return told


STORY_RULES: tuple[Rule[str], ...] = (last_frame, output, every_line, watchers, build_time)
