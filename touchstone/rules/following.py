"""
Judges when build logs are open: while their build runs, no shorter, and not much longer; and what is there at the end.

Most are judged where the owner of a version followed while reads showed what its build did. What they hold is judged in
`logged.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import SUCCESS, told
from touchstone.rules.course import IDLE, Course, Running, owned
from touchstone.rules.eventlog import Log, ended_by_server, follows, is_stream, log_of, phase_of
from touchstone.rules.history import History
from touchstone.rules.rule import Rule, broken, held, judged, rule
from touchstone.rules.walk import CLOCK_SHARE

# Status and log of a build may be kept in two places that learn of its end one after the other.
_SKEW_S = 0.2
# How much sooner than a start a log must have ended for what it told to be true by then.
_BEHIND_S = 0.4
# The driver waits for cancel_timeout_s, and its clock is read a little later than the one of the exchange.
_GRACE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class CutShort:
    """Why a log ended too early: an exchange that shows it, and in words."""

    proof: Exchange
    why: str


@dataclass(frozen=True, slots=True)
class Following:
    """One follower of a build that surely ran.

    Attributes:
        running: Why the build ran when the log was opened.
        end: The first read after the opening that shows the build over; None where that is not known.
        cut_short: What shows that the server ended the log before the build; None without that.
    """

    stream: Exchange
    running: Running
    end: Exchange | None
    cut_short: CutShort | None

    @property
    def whole(self) -> Log | None:
        """The log from the opening to the end, or None where something of it is missing."""
        log = log_of(self.stream)
        if log is None or not log.complete or self.cut_short or not ended_by_server(self.stream):
            return None
        return log


def followings(course: Course, history: History) -> Iterator[Following]:
    """The owner's followers that opened the log while a build surely ran."""
    for stream in followers(course.ref, history):
        running = course.running(stream.sent_at, stream.head_at) if stream.status == 200 else None
        if running:
            end = course.end(stream.sent_at, stream.head_at)
            yield Following(stream, running, end, _cut_short(course, stream, running, end))


@rule("following.answer", "events.answers-200")
def answer(ref: str, history: History) -> Iterator[Judgement]:
    """Judges the status of each request for the log of a running build."""
    course = history.once(Course, ref)
    for stream in followers(ref, history):
        # A refused key, a limit and a failing server have claims of their own.
        if stream.status in {401, 429} or stream.status >= 500:
            continue
        if running := course.running(stream.sent_at, stream.head_at):
            actual = f"{stream.status} while it builds"
            fits = stream.status == 200
            yield judged("events.answers-200", fits, running.start, stream, expected="200", actual=actual)


@rule("following.open", "events.open-while-building")
def stays_open(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the server does not end a log before its build is over."""
    for following in followings(history.once(Course, ref), history):
        stream, seen = following.stream, following.running.seen
        if cut := following.cut_short:
            evidence = sorted((stream, cut.proof), key=lambda e: e.seq)
            yield broken(
                "events.open-while-building",
                *evidence,
                expected="a log that stays open while its build runs",
                actual=f"ended after {stream.elapsed_s:.2f} s; {cut.why}",
            )
        elif seen.done_at <= stream.done_at and is_stream(stream) and not stream.error:
            yield held("events.open-while-building", seen, stream)


@rule("following.closed", "events.close-at-the-end", "events.finished-version-closes")
def closes(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a log ends soon after its build, and that one of a version at rest does not stay open."""
    course = history.once(Course, ref)
    grace_s = history.bounds.cancel_timeout_s
    for stream in followers(ref, history):
        if course.idle(stream.sent_at, stream.done_at):
            yield from _closes_at_rest(stream, grace_s)
    for following in followings(course, history):
        begun = course.begun_between(following.stream.sent_at, following.stream.done_at)
        if following.end and not following.cut_short and not begun:
            yield from _closes_at_the_end(following.stream, following.end, grace_s)


@rule("following.unread", "events.close-at-the-end")
def closes_unread(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a log ends with its build though nobody reads the status: a read afterwards shows that it is over."""
    course, bounds = history.once(Course, ref), history.bounds
    for stream in followers(ref, history):
        begun = next((e for e in reversed(course.beginnings) if e.done_at <= stream.sent_at), None)
        later = next((read for read in course.reads if read.sent_at >= stream.done_at), None)
        if begun is None or later is None or later.body["status"] not in IDLE or stream.closed != "client":
            continue
        meanwhile = any(begun.done_at <= read.sent_at < stream.done_at for read in course.reads)
        if meanwhile or course.begun_between(begun.done_at, later.sent_at):
            continue
        open_s = stream.done_at - begun.done_at
        if open_s > bounds.build_timeout_s + bounds.cancel_timeout_s * _GRACE_SHARE:
            expected, actual = "a log that closes when its build is over", f"still open {open_s:.1f} s after its start"
            yield broken("events.close-at-the-end", begun, stream, later, expected=expected, actual=actual)


@rule("following.joined", "start.while-building-is-harmless")
def goes_on_when_joined(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the log of a build that a start joined does not end on a cancel that nobody asked for.

    It is told while the version still builds: a build that is not the one that was followed, so that one was ended.
    """
    claim, course = "start.while-building-is-harmless", history.once(Course, ref)
    for following in followings(course, history):
        stream, begun = following.stream, following.running.start
        log, content = log_of(stream), course.content(begun.sent_at, stream.done_at)
        joined = [e for e in course.beginnings if begun.seq < e.seq and e.sent_at <= stream.done_at]
        asked = (e for e in history.story(ref) if e.operation == "cancelBuild")  # whoever asked, and was told what
        cancels = (e for e in (*asked, *history.cancels) if e.done_at >= begun.sent_at)
        if not joined or log is None or content is None or any(e.sent_at <= stream.done_at for e in cancels):
            continue
        later = next((read for read in course.reads if read.sent_at >= stream.done_at), None)
        if phase_of(log.last) == "ready":
            yield held(claim, joined[-1], stream)
        elif phase_of(log.last) == "cancel" and later and later.body["status"] == "building":
            expected, actual = "a log that ends with its build", "one that ends on a cancel while the version builds"
            evidence = sorted((begun, joined[-1], stream, later), key=lambda e: e.seq)
            yield broken(claim, *evidence, expected=expected, actual=actual)


@rule("following.then-started", "reuse.ready-at-once")
def is_there_when_it_says_so(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges the first start after a log that ended on ready, which tells that the build is over where nothing else does.
    """
    course = history.once(Course, ref)
    starts = [e for e in history.story(ref) if e.operation == "startBuild" and owned(e, history)]
    for stream in followers(ref, history):
        log = log_of(stream)
        if log is None or phase_of(log.last) != "ready" or not log.complete or not ended_by_server(stream):
            continue
        begun = next((e for e in reversed(course.beginnings) if e.done_at <= stream.sent_at), None)
        start = next((e for e in starts if e.sent_at >= stream.done_at + _BEHIND_S), None)
        if begun is None or start is None or start.status not in SUCCESS or not start.body:
            continue
        cancelled = any(e.done_at > begun.sent_at and e.sent_at < start.done_at for e in course.cancels)
        other = course.begun_between(begun.done_at, start.sent_at)
        if cancelled or other or course.content(begun.sent_at, start.done_at) is None:
            continue
        fits, expected = start.body.get("status") == "ready", "status ready after a log that ended so"
        yield judged("reuse.ready-at-once", fits, stream, start, expected=expected, actual=told(start))


def followers(ref: str, history: History) -> list[Exchange]:
    """The owner's answered requests for the log of *ref*."""
    return [e for e in history.story(ref) if follows(e) and e.response is not None and owned(e, history)]


def _cut_short(course: Course, stream: Exchange, opened: Running, end: Exchange | None) -> CutShort | None:
    log = log_of(stream)
    # An answer of another kind is no log, however soon it ends.
    if not ended_by_server(stream) or (log is None and stream.response and stream.response.body):
        return None
    skew_s = _SKEW_S if log and log.ended else 0.0
    running = course.running(stream.sent_at, stream.done_at + skew_s)
    # What was seen at rest in between, and builds again, is another matter.
    if running and not course.rested(stream.sent_at, running.seen.sent_at):
        return CutShort(running.seen, "a later read shows the build still running")
    earliest_end_at = opened.start.sent_at + opened.content.sleep_s * CLOCK_SHARE
    cancelled = any(cancel.sent_at < stream.done_at and cancel.done_at > stream.sent_at for cancel in course.cancels)
    ended = end is not None and end.sent_at < earliest_end_at
    if stream.done_at < earliest_end_at and not cancelled and not ended and not (log and log.ended):
        return CutShort(opened.start, f"its steps alone take {opened.content.sleep_s:g} s from the start on")
    return None


def _closes_at_rest(stream: Exchange, grace_s: float) -> Iterator[Judgement]:
    if _too_late(stream, stream.elapsed_s, grace_s):
        yield broken(
            "events.finished-version-closes",
            stream,
            expected="an answer that ends, for a version that is not building",
            actual=f"still open after {stream.elapsed_s:.1f} s",
        )
    elif ended_by_server(stream) and stream.status in {200, 404}:
        yield held("events.finished-version-closes", stream)


def _closes_at_the_end(stream: Exchange, end: Exchange, grace_s: float) -> Iterator[Judgement]:
    late_s = stream.done_at - end.done_at
    if _too_late(stream, late_s, grace_s):
        yield broken(
            "events.close-at-the-end",
            end,
            stream,
            expected="a log that closes when its build is over",
            actual=f"still open {late_s:.1f} s after a read said {end.body['status']}",
        )
    elif ended_by_server(stream) and is_stream(stream):
        yield held("events.close-at-the-end", end, stream)


def _too_late(stream: Exchange, late_s: float, grace_s: float) -> bool:
    return late_s > (grace_s * _GRACE_SHARE if stream.closed == "client" else grace_s)


STORY_RULES: tuple[Rule[str], ...] = (
    answer,
    stays_open,
    closes,
    closes_unread,
    goes_on_when_joined,
    is_there_when_it_says_so,
)
