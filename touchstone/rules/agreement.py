"""Judges that several responses about one build agree."""

from collections.abc import Iterator
from itertools import pairwise

from touchstone.contract.answers import FINISHED, answer
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History, shares_builds
from touchstone.rules.rule import broken, describe, held, judged, render, story_rule
from touchstone.rules.timeline import Timeline, owned

_STABLE, _SHARED = "status.build-time-is-stable", "start.concurrent-share-one-build"
_READY = "status.ready-stays-ready"
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
def build_time(ref: str, history: History) -> Iterator[Judgement]:
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


@story_rule("agreement.shared-golden", _READY, _STABLE)
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
            yield judged(_READY, fits, one, other, expected=expected, actual=actual)
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
    sharing = {other.ref for other in history.sharing(content) if other.ref != ref}
    if not sharing:
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
