"""What a status read says about the life of a build: which claims were at stake, and which a wrong status breaks."""

from collections.abc import Iterator

from touchstone.contract.lifecycle import FINISHED, State, consistent, statuses
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.attribution import CANCELS, STARTS, blame, hurries_anyway
from touchstone.rules.rule import broken, held, judged, render
from touchstone.rules.walk import CLOCK_SHARE, STARTABLE, UNDER_WAY, Build, Flight, Walk

# The status may be kept elsewhere than the build and learn of its end a little later.
_LATE_S = 0.5

CLAIMS = (
    "auth.refused-changes-nothing",
    "access.others-change-nothing",
    "limit.refused-start-starts-nothing",
    "start.visible-to-next-read",
    "start.while-building-is-harmless",
    "start.after-failure-builds-again",
    "start.after-cancel-builds-again",
    "start.concurrent-share-one-build",
    "status.unbuilt-is-not-built",
    "status.changes-only-by-a-start",
    "status.build-does-not-vanish",
    "status.ready-stays-ready",
    "status.failed-stays-failed",
    "status.good-template-ends-ready",
    "status.failing-template-ends-failed",
    "status.build-ends",
    "status.ready-after-its-steps",
    "status.build-time-is-ms",
    "reuse.only-when-reused",
    "reuse.only-identical-digest",
    "cancel.settles",
    "cancel.does-not-end-ready",
    "cancel.keeps-finished-golden",
    "cancel.keeps-neighbours",
    "cancel.next-build-completes",
)


def judge_read(walk: Walk, flight: Flight) -> Iterator[Judgement]:
    """Judges one answered status read and narrows what the walk holds possible."""
    read, before = flight.exchange, flight.window
    status = read.body.get("status")
    if not isinstance(status, str) or status not in statuses(State) or walk.content is None:
        return
    if status not in statuses(before):
        if not _is_judged_elsewhere(walk, read, status):
            yield blame(walk, read, status, before)
        walk.resync(status, before)
    elif not flight.beside:
        yield from _stakes(walk, read, status, before)
        yield from _times(walk, read, status, before)
        _narrow(walk, read, status)
    walk.read_done(read)


def _is_judged_elsewhere(walk: Walk, read: Exchange, status: str) -> bool:
    """Whether a wrong status only follows from what a publish did or left undone, which `publishing.py` judges."""
    build = walk.build
    if build and build.start.operation == "publishTemplate" and status == "not_built":
        return walk.last_read is None or walk.last_read.sent_at < build.start.done_at
    conflict = any(e.operation == "publishTemplate" and e.status == 409 and walk.owns(e) for e in walk.refused)
    digest = walk.content.digest if walk.content else ""
    return conflict and bool(digest) and read.body.get("digest") != digest


def _narrow(walk: Walk, read: Exchange, status: str) -> None:
    walk.possible = consistent(walk.reach(read.done_at), status) or walk.possible
    if walk.cancel and State.CANCELLING not in walk.possible:
        walk.settled = walk.possible <= STARTABLE
        walk.cancel = None


def _stakes(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Iterator[Judgement]:
    """The claims that this read could have broken and did not."""
    if before == {State.NOT_BUILT}:
        yield from _idle_stakes(walk, read)
    if before == {State.READY}:
        yield from _finished_stakes(walk, read, "status.ready-stays-ready")
    if before == {State.FAILED}:
        yield from _finished_stakes(walk, read, "status.failed-stays-failed")
    if State.CANCELLING in before and walk.cancel:
        yield from _cancelled_stakes(walk, read, status, before)
    elif State.BUILDING in before and State.NOT_BUILT not in before and walk.build:
        yield from _building_stakes(walk, read, status)


def _idle_stakes(walk: Walk, read: Exchange) -> Iterator[Judgement]:
    for claim, refused in walk.refusals(STARTS).items():
        yield held(claim, refused, read)
    if walk.build:
        return
    if walk.replaced:
        yield held("reuse.only-identical-digest", read)
    yield held("status.unbuilt-is-not-built", read)
    if walk.last_read:
        yield held("status.changes-only-by-a-start", walk.last_read, read)


def _finished_stakes(walk: Walk, read: Exchange, stays: str) -> Iterator[Judgement]:
    if walk.last_read:
        yield held(stays, walk.last_read, read)
    for claim, refused in walk.refusals(STARTS | CANCELS).items():
        yield held(claim, refused, read)
    if walk.idle_cancel:
        yield held("cancel.keeps-finished-golden", walk.idle_cancel, read)
    if walk.last_read and (elsewhere := walk.cancelled_elsewhere(walk.last_read.done_at, read.sent_at)):
        yield held("cancel.keeps-neighbours", elsewhere, read)


def _cancelled_stakes(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Iterator[Judgement]:
    assert walk.cancel
    late_s = read.sent_at - walk.cancel.done_at
    if status != "building":
        yield held("cancel.settles", walk.cancel, read)
        if status != "ready":
            yield held("cancel.does-not-end-ready", walk.cancel, read)
    elif State.BUILDING not in before and late_s > walk.history.bounds.cancel_timeout_s:
        yield broken(
            "cancel.settles",
            walk.cancel,
            read,
            expected="another state than building within the time that a cancel may take",
            actual=f"building {late_s:.1f} s after the cancel was accepted",
        )


def _building_stakes(walk: Walk, read: Exchange, status: str) -> Iterator[Judgement]:
    build = walk.build
    assert build
    first = walk.last_read is None or walk.last_read.sent_at < build.start.done_at
    if first and read.sent_at >= build.start.done_at:
        yield judged(
            "start.visible-to-next-read",
            not _is_old_failure(walk, read, status),
            build.start,
            read,
            expected="building until the steps of the new build can have failed",
            actual=f"status {status}, as before the start",
        )
    for claim, refused in walk.refusals(CANCELS).items():
        yield held(claim, refused, read)
    if status == "building":
        yield from _still_building(walk, read)
    elif status in FINISHED:
        yield from _end_stakes(walk, read, status)


def _is_old_failure(walk: Walk, read: Exchange, status: str) -> bool:
    """Whether a failure is shown again before the steps of the build that was started after it can have run."""
    assert walk.build
    # Where a cancel has found nothing since, the build is over, and no other one has begun.
    began_at = min(walk.free_at, walk.build.start.sent_at)
    early = status == "failed" and read.done_at < walk.earliest_end_at(began_at)
    walk.hasty |= early and walk.build.before != "failed"
    return early and walk.build.before == "failed" and not walk.hasty


def _still_building(walk: Walk, read: Exchange) -> Iterator[Judgement]:
    assert walk.build
    running_s = read.sent_at - walk.build.start.done_at
    if running_s > walk.history.bounds.build_timeout_s:
        yield broken(
            "status.build-ends",
            walk.build.start,
            read,
            expected="ready or failed within build_timeout_s",
            actual=f"building {running_s:.1f} s after the start",
        )


def _end_stakes(walk: Walk, read: Exchange, status: str) -> Iterator[Judgement]:
    """The build is seen to be over: what its end shows."""
    build, content = walk.build, walk.content
    assert build
    yield held("status.build-ends", build.start, read)
    yield held("status.build-does-not-vanish", build.start, read)
    if content is None or content.outcome == "unknown":
        return
    outcome_claim = "good-template-ends-ready" if status == "ready" else "failing-template-ends-failed"
    yield held(f"status.{outcome_claim}", build.start, read)
    if build.after_cancel:
        yield held("cancel.next-build-completes", build.start, read)
        yield held("start.after-cancel-builds-again", build.start, read)
    if build.before == "failed":
        yield held("start.after-failure-builds-again", build.start, read)
    if build.overlapped:
        yield held("start.concurrent-share-one-build", build.start, read)
    if status == "ready" and content.sleep_s > 0:
        yield held("status.ready-after-its-steps", build.start, read)
    if elsewhere := walk.cancelled_elsewhere(build.start.done_at, read.sent_at):
        yield held("cancel.keeps-neighbours", elsewhere, read)


def _times(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Iterator[Judgement]:
    """The build time against the time that the build was seen to take, and the reused flag of a build never reused."""
    build, content = walk.build, walk.content
    if status != "ready" or not build or not build.surely_begun or not content:
        return
    if walk.reused:
        return
    reused = read.body.get("reused")
    if reused is None or isinstance(reused, bool):
        yield judged(
            "reuse.only-when-reused",
            not reused,
            build.start,
            read,
            expected="reused false or absent for a build that was made for this version",
            actual=f"reused {render(reused)}",
        )
    build_time_ms = read.body.get("build_time_ms")
    if not before & UNDER_WAY or isinstance(build_time_ms, bool) or not isinstance(build_time_ms, (int, float)):
        return
    least_ms = max(content.sleep_s, _observed_s(walk, build) - _LATE_S) * CLOCK_SHARE * 1000
    most_ms = (read.done_at - build.start.sent_at) * 1000 / CLOCK_SHARE + 50
    # What was over before its steps can have run is told by status.ready-after-its-steps.
    if (least_ms <= 0 and build_time_ms <= most_ms) or most_ms < least_ms:
        return
    if build_time_ms < least_ms and hurries_anyway(walk.history):
        return
    yield judged(
        "status.build-time-is-ms",
        least_ms <= build_time_ms <= most_ms,
        build.start,
        read,
        expected="milliseconds between those that the build surely took and those that passed",
        actual=f"build_time_ms {build_time_ms!r}; it took {least_ms:.0f} ms at least, {most_ms:.0f} ms passed at most",
    )


def _observed_s(walk: Walk, build: Build) -> float:
    """How long the build was seen to run: from its acknowledgement to the last read that still shows it."""
    last = walk.last_read
    return last.sent_at - build.start.done_at if last and last.body.get("status") == "building" else 0.0
