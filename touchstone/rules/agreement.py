"""
Judges that what is read twice of a finished build agrees with itself.
"""

from collections.abc import Iterator
from itertools import pairwise

from touchstone.exchange import Exchange
from touchstone.finding import Judgement
from touchstone.lifecycle import FINISHED
from touchstone.rules.course import Course
from touchstone.rules.history import History
from touchstone.rules.rule import Rule, judged, rule

# The digest has claims of its own; whether reused is told again in reads is nobody's promise (facts 7.7).
_RESULT = ("status", "build_time_ms", "error")


@rule("agreement.concurrent", "status.concurrent-reads-agree")
def concurrent_reads(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges that reads that overlap show one result, once an earlier read has shown that nothing runs any more.
    """
    course = Course(ref, history)
    for one, other in pairwise(course.reads):
        if one.done_at <= other.sent_at or not course.idle(one.sent_at, max(one.done_at, other.done_at)):
            continue
        results = [{key: read.body[key] for key in _RESULT if key in read.body} for read in (one, other)]
        if any(read.body["status"] in FINISHED for read in (one, other)):
            yield judged(
                "status.concurrent-reads-agree",
                results[0] == results[1],
                one,
                other,
                expected="the same result in simultaneous reads",
                actual=f"{results[0]} and {results[1]}",
            )


@rule("agreement.build-time", "status.build-time-is-stable")
def build_time(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges that the build time reads the same as long as no other build can have begun.
    """
    course = Course(ref, history)
    timed = [read for read in course.reads if read.body["status"] == "ready" and _time(read) is not None]
    for one, other in pairwise(timed):
        if one.done_at > other.sent_at or course.begun_between(one.sent_at, other.done_at):
            continue
        if course.content(one.sent_at, other.done_at):
            yield judged(
                "status.build-time-is-stable",
                _time(one) == _time(other),
                one,
                other,
                expected="the same build time every time",
                actual=f"build_time_ms {_time(other)}, before {_time(one)}",
            )


def _time(read: Exchange) -> float | None:
    value = read.body.get("build_time_ms")
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value


STORY_RULES: tuple[Rule[str], ...] = (concurrent_reads, build_time)
