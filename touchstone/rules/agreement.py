"""Judges that all responses about one build agree: reads and starts with each other, and logs with reads.

Most rules judge a log only if its build surely ran when a client opened the log.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import combinations, pairwise
from typing import Any

from touchstone.contract.answers import AT_REST, FINISHED, answer
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules import events
from touchstone.rules.events import Log, log_of, moment, phase_of, render_frame
from touchstone.rules.history import Content, History, shares_builds
from touchstone.rules.messages import SUCCESS
from touchstone.rules.possible_states import CLOCK_SHARE
from touchstone.rules.rule import broken, describe, held, judged, render, story_rule
from touchstone.rules.timeline import Running, Timeline, owned

_STABLE, _SHARED = "status.build-time-is-stable", "start.concurrent-share-one-build"
# The compared fields. The digest has claims of its own, and reads may omit ``reused`` (ambiguity 7.7).
_RESULT = ("status", "build_time_ms", "error")


@story_rule("agreement.concurrent", "status.concurrent-reads-agree")
def concurrent_reads(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that overlapping reads of a finished version show the same result."""
    timeline = history.once(Timeline, ref)
    for one, other in pairwise(timeline.reads):
        if one.done_at <= other.sent_at or not timeline.idle(one.sent_at, max(one.done_at, other.done_at)):
            continue
        results = [{key: read.body[key] for key in _RESULT if key in read.body} for read in (one, other)]
        if any(read.body["status"] in FINISHED for read in (one, other)) and not _has_changed(timeline, one, other):
            claim, same = "status.concurrent-reads-agree", results[0] == results[1]
            actual = f"{render(results[0])} and {render(results[1])}"
            yield judged(claim, same, one, other, expected="the same result in overlapping reads", actual=actual)


def _has_changed(timeline: Timeline, one: Exchange, other: Exchange) -> bool:
    """Whether the status changed for good while two reads overlapped, which is no disagreement."""
    later = timeline.read_after(max(one.done_at, other.done_at))
    statuses = [read.body["status"] for read in (one, other)]
    return statuses[0] != statuses[1] and later is not None and later.body["status"] != "ready"


@story_rule("agreement.build-time", _STABLE, _SHARED)
def one_build_time(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that all responses about one ready build show the same build time.

    If the time changes after simultaneous starts, they began two builds. If another start came later, nothing is
    judged, because that start may begin a build of its own (ambiguity 7.10).
    """
    timeline = history.once(Timeline, ref)
    for one, other in _later(timeline):
        joined = _joined(timeline, one)
        apart = (all(one is other or not one.overlaps(other) for other in joined) for one in joined)
        if len(joined) > 1 and any(apart):
            continue
        same = _time(one) == _time(other)
        if same and len(joined) > 1:
            yield held(_SHARED, one, other)
        claim = _STABLE if same or not _of_two_builds(one, ref, history) else _SHARED
        expected, actual = "the same build time in each response", f"build_time_ms {_time(other)}, earlier {_time(one)}"
        yield judged(claim, same, one, other, expected=expected, actual=actual)


@story_rule("agreement.shared-golden", "status.ready-stays-ready", _STABLE)
def shared_golden(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a ready version stays ready if it shares its snapshot. `possible_states.py` skips such versions."""
    timeline = history.once(Timeline, ref)
    for one, other in pairwise(sorted((*timeline.reads, *timeline.reuses), key=lambda e: (e.sent_at, e.seq))):
        content = history.content(ref, one.sent_at)
        stands = content is not None and content.published_seq > 0 and other.done_at <= content.until_at
        # The list contains only starts that got ready, so that a start as *other* would prove nothing.
        apart = one.done_at <= other.sent_at and other.operation != "startBuild"
        if one.body["status"] != "ready" or not apart or not stands or content is None:
            continue
        if any(shares_builds(content, shared) for shared in history.all_contents() if shared.ref != ref):
            fits = other.body["status"] == "ready"
            between = (c for c in history.cancels if one.done_at < c.done_at and c.sent_at < other.sent_at)
            cancelled = (history.content(cancel.ref or "", cancel.sent_at) for cancel in between)
            if not fits and any(theirs and not shares_builds(content, theirs) for theirs in cancelled):
                continue  # cancel.keeps-neighbours judges cancels of versions without a common build
            expected, actual = "status ready until the content is replaced", f"status {other.body['status']}"
            yield judged("status.ready-stays-ready", fits, one, other, expected=expected, actual=actual)
            if fits and _time(one) is not None and _time(other) is not None:
                same, actual = _time(one) == _time(other), f"build_time_ms {_time(other)}, earlier {_time(one)}"
                yield judged(_STABLE, same, one, other, expected="the same build time in each response", actual=actual)


@story_rule("agreement.shared-cancel", "cancel.in-flight-is-202")
def shared_cancel(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a cancel between two reads with status building gets no 404, for versions that share a digest.

    A cancel that follows an accepted one is not judged: it may get a 404 (ambiguity 7.13).
    """
    timeline, row = history.once(Timeline, ref), answer("cancelBuild", "building")
    content = next((c for c in history.contents(ref) if c.published_seq), None)
    if content is None or timeline.cancels:
        return
    if not (sharing := {other.ref for other in history.sharing(content) if other.ref != ref}):
        return
    idle = (e for e in history.story(ref) if e.operation == "cancelBuild" and e.status == 404 and owned(e, history))
    for cancel in idle:
        before, after = timeline.read_before(cancel.sent_at), timeline.read_after(cancel.done_at)
        earlier = any(other.ref in sharing and other.sent_at < cancel.done_at for other in history.cancels)
        if before and after and not earlier and before.body["status"] == after.body["status"] == "building":
            actual = f"{describe(cancel)} while the status is building"
            yield broken(row.claim, before, after, cancel, expected=row.codes, actual=actual)


def _later(timeline: Timeline) -> Iterator[tuple[Exchange, Exchange]]:
    results = sorted((*timeline.reads, *timeline.reuses), key=lambda e: (e.sent_at, e.seq))
    timed = [e for e in results if e.body.get("status") == "ready" and _time(e) is not None]
    for one, other in pairwise(timed):
        apart = one.done_at <= other.sent_at and not timeline.begun_between(one.sent_at, other.done_at)
        if apart and timeline.content(one.sent_at, other.done_at):
            yield one, other


def _of_two_builds(read: Exchange, ref: str, history: History) -> bool:
    if len(_joined(history.once(Timeline, ref), read)) < 2:
        return False
    timelines = [history.once(Timeline, other) for other in {content.ref for content in history.all_contents()} - {ref}]
    pairs = ((timeline, *pair) for timeline in timelines for pair in _later(timeline))
    return not any(_time(one) != _time(later) and len(_joined(timeline, one)) < 2 for timeline, one, later in pairs)


def _joined(timeline: Timeline, read: Exchange) -> list[Exchange]:
    """Returns the starts that began or joined the build that *read* shows."""
    starts = [start for start in timeline.beginnings if start.sent_at < read.sent_at]
    return [start for start in starts if not timeline.settled(start, starts[-1].sent_at)]


def _time(read: Exchange) -> float | None:
    value = read.body.get("build_time_ms")
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value


_SKEW_S = 0.2  # the status and the log of a build may lag behind each other
_BEHIND_S = 0.4  # a start is judged by a log only if so much time passed since the log ended
_GRACE_SHARE = 0.9  # tolerance: a client's time limit and its exchange begin at slightly different times

_CLOSES, _CLOSED = "events.close-at-the-end", "a log that ends with its build"


@dataclass(frozen=True, slots=True)
class Following:
    """One client's request for the log of a build that surely ran."""

    stream: Exchange
    running: Running  # evidence that the build ran when the log was opened
    end: Exchange | None  # first read after the opening that shows the build over; None if unknown
    cut_short: tuple[Exchange, str] | None  # evidence that the server ended the log too early, with the reason
    whole: Log | None  # log from the opening to the end; None if it is incomplete


def followings(ref: str, history: History) -> Iterator[Following]:
    """Yields the owner's requests that opened the log while a build surely ran."""
    timeline = history.once(Timeline, ref)
    for stream in followers(ref, history):
        running = timeline.running(stream.sent_at, stream.head_at) if stream.status == 200 else None
        if running:
            end = timeline.end(stream.sent_at, stream.head_at)
            cut_short = _cut_short(timeline, stream, running, end)
            yield Following(stream, running, end, cut_short, None if cut_short else whole_log(stream))


def whole_logs(ref: str, history: History) -> Iterator[tuple[Following, Log, Exchange]]:
    """Yields the complete logs of builds that ended, each with the read that shows the end."""
    for following in followings(ref, history):
        if following.whole and following.end:
            yield following, following.whole, following.end


def followers(ref: str, history: History) -> list[Exchange]:
    """The owner's requests for the log of *ref* that got a response."""
    return [e for e in history.story(ref) if events.follows(e) and e.response is not None and owned(e, history)]


def whole_log(stream: Exchange) -> Log | None:
    """Returns the log if it is complete and the server ended it, else None."""
    log = log_of(stream)
    return log if log and log.complete and _ended_by_server(stream) else None


def _ended_by_server(exchange: Exchange) -> bool:
    """Whether the server ended the response, rather than the client or an error."""
    return exchange.closed != "client" and not exchange.error


def _cut_short(
    timeline: Timeline, stream: Exchange, opened: Running, end: Exchange | None
) -> tuple[Exchange, str] | None:
    log = log_of(stream)
    # A response of another media type is no log.
    if not _ended_by_server(stream) or (log is None and stream.response and stream.response.body):
        return None
    running = timeline.running(stream.sent_at, stream.done_at + (_SKEW_S if log and log.ended else 0.0))
    # If a read in between shows no running build, *running* is a later build.
    if running and not timeline.rested(stream.sent_at, running.last_read.sent_at):
        return running.last_read, "a later read shows the build still running"
    earliest_end_at = opened.start.sent_at + opened.content.sleep_s * CLOCK_SHARE
    cancelled = any(cancel.overlaps(stream) for cancel in timeline.cancels)
    ended = end is not None and end.sent_at < earliest_end_at
    if stream.done_at < earliest_end_at and not cancelled and not ended and not (log and log.ended):
        return opened.start, f"its steps take at least {opened.content.sleep_s:g} s"
    return None


@story_rule("following.answer", "events.answers-200")
def response_status(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that each request for the log of a running build gets a 200."""
    timeline, row = history.once(Timeline, ref), answer("streamBuildEvents", "building")
    for stream in followers(ref, history):
        # A refused key, a limit and a failing server have claims of their own.
        if stream.status in {401, 429} or stream.status >= 500:
            continue
        if running := timeline.running(stream.sent_at, stream.head_at):
            fits, actual = stream.status in row.may, f"{stream.status} during the build"
            yield judged(row.claim, fits, running.start, stream, expected=row.codes, actual=actual)


@story_rule("following.open", "events.open-while-building")
def stays_open(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the server does not end a log before the build has ended."""
    claim, expected = "events.open-while-building", "a log that stays open during its build"
    for following in followings(ref, history):
        stream, last_read = following.stream, following.running.last_read
        if following.cut_short:
            proof, why = following.cut_short
            evidence = sorted((stream, proof), key=lambda e: e.seq)
            yield broken(claim, *evidence, expected=expected, actual=f"ended after {stream.elapsed_s:.2f} s; {why}")
        elif last_read.done_at <= stream.done_at and events.is_stream(stream) and not stream.error:
            yield held(claim, last_read, stream)


@story_rule("following.closed", _CLOSES, "events.finished-version-closes")
def closes(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a log ends soon after its build. If no build runs, a log request must not stay open either."""
    timeline = history.once(Timeline, ref)
    for stream in followers(ref, history):
        if timeline.idle(stream.sent_at, stream.done_at):
            claim = "events.finished-version-closes"
            expected = "a response that ends: the version does not build"
            if _is_late(stream, stream.elapsed_s, history):
                yield broken(claim, stream, expected=expected, actual=f"still open after {stream.elapsed_s:.1f} s")
            elif _ended_by_server(stream) and stream.status in {200, 404}:
                yield held(claim, stream)
    for following in followings(ref, history):
        stream, end = following.stream, following.end
        if not end or following.cut_short or timeline.begun_between(stream.sent_at, stream.done_at):
            continue
        late_s = stream.done_at - end.done_at
        if _is_late(stream, late_s, history):
            actual = f"still open {late_s:.1f} s after a read showed {end.body['status']}"
            yield broken(_CLOSES, end, stream, expected=_CLOSED, actual=actual)
        elif _ended_by_server(stream) and events.is_stream(stream):
            yield held(_CLOSES, end, stream)


@story_rule("following.unread", _CLOSES)
def closes_unread(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a log ends with its build even if no client reads the status meanwhile."""
    timeline, bounds = history.once(Timeline, ref), history.bounds
    longest_s = bounds.build_timeout_s + bounds.cancel_timeout_s * _GRACE_SHARE
    for stream in followers(ref, history):
        begun, later = timeline.begun_by(stream.sent_at), timeline.read_after(stream.done_at)
        if begun is None or later is None or later.body["status"] not in AT_REST or stream.closed != "client":
            continue
        meanwhile = any(begun.done_at <= read.sent_at < stream.done_at for read in timeline.reads)
        open_s = stream.done_at - begun.done_at
        if open_s > longest_s and not meanwhile and not timeline.begun_between(begun.done_at, later.sent_at):
            actual = f"still open {open_s:.1f} s after its start"
            yield broken(_CLOSES, begun, stream, later, expected=_CLOSED, actual=actual)


@story_rule("following.joined", "start.while-building-is-harmless")
def goes_on_when_joined(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a start during a build does not cancel it: without a cancel request, the log reports no cancel."""
    claim, timeline = "start.while-building-is-harmless", history.once(Timeline, ref)
    for following in followings(ref, history):
        stream, begun = following.stream, following.running.start
        log, content = log_of(stream), timeline.content(begun.sent_at, stream.done_at)
        joined = [e for e in timeline.beginnings if begun.seq < e.seq and e.sent_at <= stream.done_at]
        sent = (e for e in history.story(ref) if e.operation == "cancelBuild")  # by any key, with any status
        cancels = (e for e in (*sent, *history.cancels) if e.done_at >= begun.sent_at)
        if not joined or log is None or content is None or any(e.sent_at <= stream.done_at for e in cancels):
            continue
        later = timeline.read_after(stream.done_at)
        if phase_of(log.last) == "ready":
            yield held(claim, joined[-1], stream)
        elif phase_of(log.last) == "cancel" and later and later.body["status"] == "building":
            expected, actual = _CLOSED, "a log that ends on a cancel during the build"
            evidence = sorted((begun, joined[-1], stream, later), key=lambda e: e.seq)
            yield broken(claim, *evidence, expected=expected, actual=actual)


@story_rule("following.then-started", "reuse.ready-at-once")
def reusable_after_ready_log(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the first start after a log that ended on ready gets the status ready."""
    timeline = history.once(Timeline, ref)
    starts = [e for e in history.story(ref) if e.operation == "startBuild" and owned(e, history)]
    for stream in followers(ref, history):
        log = whole_log(stream)
        begun = timeline.begun_by(stream.sent_at)
        start = next((e for e in starts if e.sent_at >= stream.done_at + _BEHIND_S), None)
        if log is None or phase_of(log.last) != "ready" or begun is None:
            continue
        if start is None or start.status not in SUCCESS or not start.body:
            continue
        cancelled = any(e.done_at > begun.sent_at and e.sent_at < start.done_at for e in timeline.cancels)
        other = timeline.begun_between(begun.done_at, start.sent_at)
        if not cancelled and not other and timeline.content(begun.sent_at, start.done_at):
            fits, expected = start.body.get("status") == "ready", "status ready after a log that ended on ready"
            yield judged("reuse.ready-at-once", fits, stream, start, expected=expected)


def _is_late(stream: Exchange, late_s: float, history: History) -> bool:
    grace_s = history.bounds.cancel_timeout_s
    return late_s > (grace_s * _GRACE_SHARE if stream.closed == "client" else grace_s)


_LATE_FOLLOWER_S = 0.1  # a client that connects later may miss a line

_READY, _FAILED = "events.ready-ends-on-ready", "events.failed-ends-on-error"
_CANCELLED = "events.cancelled-ends-on-cancel"
_ENDS = {_READY: "a last frame with phase ready", _FAILED: "a last frame with level error"}
_ENDS[_CANCELLED] = "a last frame with phase cancel"
_LAST = "events.terminal-frame-comes-last"

_SECONDS = re.compile(r"(?<![\w.,:])(\d+(?:\.(\d+))?)\s*(ms|milliseconds?|s|secs?|seconds?)(?!\w)")
_LONGER = re.compile(r"\d\s*(m|mins?|minutes?|h|hrs?|hours?)(?![a-z])")


@story_rule("logged.last-frame", _READY, _FAILED, _CANCELLED, _LAST)
def last_frame(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the last frame of a log agrees with the way in which the build ended."""
    timeline = history.once(Timeline, ref)
    yield from _repeated(timeline, history)
    for following, log, end in whole_logs(ref, history):
        claim, stream = _claim_of_end(timeline, following, end), following.stream
        opened_late = timeline.running(stream.sent_at, stream.head_at + _LATE_FOLLOWER_S) is None
        if claim is None or (not log.lines and opened_late):
            continue
        ending = render_frame(log.last) if log.lines else "no frame"
        actual = f"{ending}, and status {end.body['status']}"
        if _ends_so(log.last, claim):
            yield held(claim, end, stream)
        elif not any(_ends_so(line, claim) for line in log.lines):
            yield broken(claim, end, stream, expected=_ENDS[claim], actual=actual)
        elif claim == _FAILED:
            # `events.py` judges frames after ready, cancel and timeout. Only the status tells which error was the last.
            yield broken(_LAST, end, stream, expected="no frame after the one with level error", actual=actual)


@story_rule("logged.output", "events.carry-the-output", _SHARED)
def output(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a log contains the output once. If it appears twice after simultaneous starts, two builds ran."""
    for following, log, end in whole_logs(ref, history):
        running = following.running
        marker = running.content.marker
        if not log.lines or not marker or not _reached_print_step(running.content, log, end):
            continue
        times = sum(events.printed(value.get("line"), marker) for value in log.lines)
        in_time = _opened_in_time(following, history)
        overlapped = any(one.overlaps(other) for one, other in combinations(running.starts, 2))
        evidence = (*running.starts, following.stream)
        actual = f"{marker!r} {times} times in the log"
        if overlapped and times > 1:
            yield broken(_SHARED, *evidence, expected="the output of one build", actual=actual)
        elif times > 1 or (times == 0 and in_time):
            yield broken("events.carry-the-output", *evidence, expected="the output of the build once", actual=actual)
        elif times == 1:
            yield held("events.carry-the-output", *evidence)
            if overlapped and in_time:
                yield held(_SHARED, *evidence)


@story_rule("logged.lines", "events.carry-the-output")
def every_line(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a log contains all lines of the build's output in order."""
    for following, log, end in whole_logs(ref, history):
        content = following.running.content
        lines = list(_note(content, history).get("lines", ()))
        in_time = len(lines) > 1 and _opened_in_time(following, history)
        if in_time and _reached_print_step(content, log, end):
            found = [line for value in log.lines for line in lines if events.printed(value.get("line"), line)]
            expected, actual = f"{len(lines)} lines in order", _line_problem(found, lines)
            yield judged("events.carry-the-output", not actual, following.stream, expected=expected, actual=actual)


def _reached_print_step(content: Content, log: Log, end: Exchange) -> bool:
    """Whether the build surely reached the step that prints: it succeeded, or failed as intended, not by time-out."""
    status = end.body["status"]
    failed = status == "failed" and content.outcome == "failed" and phase_of(log.last) not in events.LAST_PHASES
    return status == "ready" or failed


@story_rule("logged.watchers", "events.watchers-agree")
def watchers(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that all clients that follow one build get the same frames. A late client may miss the first frames."""
    timeline = history.once(Timeline, ref)
    whole = [(f.stream, f.whole.lines) for f in followings(ref, history) if f.whole and f.whole.lines]
    for (one, first), (other, second) in combinations(whole, 2):
        if not timeline.begun_between(min(one.sent_at, other.sent_at), max(one.done_at, other.done_at)):
            expected, actual = "the same frames in the same order", _frames_apart(first, second)
            yield judged("events.watchers-agree", not actual, one, other, expected=expected, actual=actual)


def _line_problem(found: Sequence[str], lines: Sequence[str]) -> str:
    """Describes which of *lines* are missing from *found*, or the wrong order of *found*; empty if both are equal."""
    if missing := [number for number, line in enumerate(lines, 1) if line not in found]:
        first = render(lines[missing[0] - 1], 80)
        return f"{len(missing)} of {len(lines)} lines missing, the first is line {missing[0]}: {first}"
    if list(found) == list(lines):
        return ""
    return render([lines.index(line) + 1 for line in found]) + " is the order of the lines"


def _frames_apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> str:
    """Describes the last difference between two logs of one build. Times and missing first frames do not count."""
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if _without_time(a) != _without_time(b):
            return f"{render_frame(a)} for one client, {render_frame(b)} for the other at the same position"
    return ""


@story_rule("logged.build-time", "events.build-time-agrees")
def build_time(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the last log line and the status show the same build time, within the precision of the line."""
    for following, log, end in whole_logs(ref, history):
        if phase_of(log.last) != "ready" or end.body["status"] != "ready":
            continue
        build_time_ms, line = end.body.get("build_time_ms"), log.last.get("line")
        if isinstance(build_time_ms, bool) or not isinstance(build_time_ms, int) or not isinstance(line, str):
            continue
        times = _logged_times_ms(line)
        agrees = any(abs(time_ms - build_time_ms) <= rounding_ms for time_ms, rounding_ms in times)
        if agrees or len(times) == 1:
            expected = "the build time in the log"
            actual = f"build_time_ms {build_time_ms} in the status, {render(line)} in the log"
            yield judged("events.build-time-agrees", agrees, following.stream, end, expected=expected, actual=actual)


def _repeated(timeline: Timeline, history: History) -> Iterator[Judgement]:
    """Judges that a log requested after a build shows how it ended, if the server repeats the log (ambiguity 7.25)."""
    for stream in followers(timeline.ref, history):
        log, read = whole_log(stream), timeline.rest_before(stream)
        claim = {"ready": _READY, "failed": _FAILED}.get(read.body["status"]) if read else None
        if not log or not read or not claim or not log.lines:
            continue
        # A cancelled build may have the status failed, and its log ends on the cancel (ambiguity 7.12).
        fine = (claim, _CANCELLED) if claim == _FAILED else (claim,)
        if not any(_ends_so(line, each) for line in log.lines for each in fine):
            actual = f"{render_frame(log.last)}, and status {read.body['status']} before"
            yield broken(claim, read, stream, expected=_ENDS[claim], actual=actual)


def _claim_of_end(timeline: Timeline, following: Following, end: Exchange) -> str | None:
    """Returns the claim about the last frame, or None if the build can have ended in several ways."""
    stream, running, status = following.stream, following.running, end.body["status"]
    if not (cancels := [c for c in timeline.cancels if c.done_at > stream.sent_at and c.sent_at < end.done_at]):
        return {"ready": _READY, "failed": _FAILED}.get(status)
    if all(c.sent_at > stream.done_at for c in cancels):
        return None  # judged by `closes` and `stays_open`
    fails_at = running.start.sent_at + running.content.sleep_s * CLOCK_SHARE
    may_fail = running.content.outcome != "ready" and max(c.done_at for c in cancels) >= fails_at
    # If a build ends by itself during a cancel, both ends are allowed.
    by_itself = status == "ready" or may_fail or not any(c.status == 202 for c in cancels)
    return None if by_itself else _CANCELLED


def _ends_so(last: dict[str, Any], claim: str) -> bool:
    phase = phase_of(last)
    if claim == _FAILED:
        # A build that timed out ends on the phase timeout and may have the status failed (ambiguity 7.32).
        return phase == "timeout" or (last.get("level") == "error" and phase not in events.LAST_PHASES)
    return phase == ("ready" if claim == _READY else "cancel")


def _opened_in_time(following: Following, history: History) -> bool:
    after_s = float(_note(following.running.content, history).get("marker_after_s", 0.0))
    return following.stream.head_at + _LATE_FOLLOWER_S <= following.running.start.sent_at + after_s * CLOCK_SHARE


def _note(content: Content, history: History) -> Mapping[str, Any]:
    """Returns the note of the publish of *content*; empty if the version comes from the settings."""
    return next((e.note for e in history.story(content.ref) if e.seq == content.published_seq), {})


def _logged_times_ms(line: str) -> list[tuple[float, float]]:
    """Returns the durations that a line mentions, each with its rounding error, in milliseconds."""
    if _LONGER.search(line):
        return []
    found = ((number, decimals, 1.0 if unit[0] == "m" else 1000.0) for number, decimals, unit in _SECONDS.findall(line))
    return [(float(number) * unit_ms, unit_ms * 10.0 ** -len(decimals) + 1.0) for number, decimals, unit_ms in found]


_STAMP_S = 0.25  # allowed difference between the timestamps of one frame in two logs
_CLOCK_DRIFT_S = 5.0  # allowed difference between the clocks of a build host and a web server

_BEFORE_THE_START = frozenset({"publish", "compile", ""})  # phases that may come before the start, at the publish


@story_rule("stamps.clock", "events.timestamps-are-true")
def clock(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that each timestamp lies between the begin and the end of the build, by the clock in the Date header."""
    followed = {following.stream.seq: following for following in followings(ref, history)}
    for stream in followers(ref, history):
        following, log = followed.get(stream.seq), log_of(stream)
        date = _date(stream)
        stamped = [value for value in log.values if moment(value.get("ts"))] if log else []
        if date is None or not stamped:
            continue
        wrong = next((v for v in stamped if not _is_true(v, date, stream, _since(v, stream, following, history))), None)
        evidence = (following.running.start, stream) if following else (stream,)
        actual = f"{wrong['ts']} for {render_frame(wrong)}, in a response of {date.isoformat()}" if wrong else ""
        expected = "timestamps within the build"
        yield judged("events.timestamps-are-true", wrong is None, *evidence, expected=expected, actual=actual)


@story_rule("stamps.one-time", "events.timestamps-are-true")
def one_time(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a frame has the same timestamp in each log of its build."""
    timeline = history.once(Timeline, ref)
    read = [(stream, log) for stream in followers(ref, history) if (log := whole_log(stream)) and log.lines]
    for (first, one), (second, other) in pairwise(read):
        since_at, until_at = min(first.sent_at, second.sent_at), max(first.done_at, second.done_at)
        if timeline.begun_between(since_at, until_at) or timeline.content(since_at, until_at) is None:
            continue
        over_at = min(first.done_at, second.done_at)
        if any(over_at <= e.sent_at < until_at and e.body["status"] == "building" for e in timeline.reads):
            continue  # another build began after the end of the first log
        apart = _apart(one, other)
        if apart is not None:
            actual = f"{apart[0]['ts']} and {apart[1]['ts']} for {render_frame(apart[0])}" if apart else ""
            expected = "one timestamp for each frame"
            yield judged("events.timestamps-are-true", not apart, first, second, expected=expected, actual=actual)


def _apart(one: Log, other: Log) -> tuple[dict[str, Any], ...] | None:
    """Compares two logs. Returns the last pair of frames whose timestamps differ; () if all agree; None without any."""
    common = False
    for first, second in zip(reversed(one.lines), reversed(other.lines), strict=False):
        at, also_at = moment(first.get("ts")), moment(second.get("ts"))
        if _without_time(first) != _without_time(second):
            break
        if at is None or also_at is None:
            continue
        whole = at.microsecond == 0 and also_at.microsecond == 0
        if abs(at - also_at).total_seconds() > _STAMP_S + whole:
            return first, second
        common = True
    return () if common else None


def _without_time(frame: dict[str, Any]) -> dict[str, Any]:
    """Copy of a frame without its timestamp."""
    return {name: value for name, value in frame.items() if name != "ts"}


def _since(value: dict[str, Any], stream: Exchange, following: Following | None, history: History) -> float:
    """Returns the earliest possible time of a frame; -inf if the build may be older than the run."""
    if following and phase_of(value) not in _BEFORE_THE_START:
        return following.running.start.sent_at
    content = following.running.content if following else history.content(stream.ref or "", stream.sent_at)
    if content is None or not content.published_seq:
        return float("-inf")
    if following:
        return content.from_at
    # A document with a marker is new in this run. But another version with that document may have been built earlier.
    return 0.0 if content.marker else float("-inf")


def _is_true(value: dict[str, Any], date: datetime, stream: Exchange, since_at: float) -> bool:
    stamp, zero = moment(value.get("ts")), date - timedelta(seconds=stream.head_at)
    if stamp is None:
        return True
    # The Date header has whole seconds. The server wrote it between the request and the head of the response.
    latest = date + timedelta(seconds=stream.elapsed_s + 1 + _CLOCK_DRIFT_S)
    if since_at == float("-inf"):
        return stamp <= latest
    return zero + timedelta(seconds=since_at - _CLOCK_DRIFT_S) <= stamp <= latest


def _date(stream: Exchange) -> datetime | None:
    """Returns the time in the Date header; None if the header is missing or invalid, or the response was cached."""
    if stream.response is None or stream.response.header("age"):
        return None
    try:
        date = parsedate_to_datetime(stream.response.header("date") or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
