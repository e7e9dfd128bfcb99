"""Replays the exchanges about a version and judges each response by the states in which the version can be.

If a successful response has no JSON object as its body, only its status code is judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from touchstone.contract.answers import FINISHED, Cause, State, answer, consistent, statuses, step
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.attribution import CANCELS, STARTS, begins_anyway, blame, hurries_anyway, was_vanished
from touchstone.rules.history import EXCHANGING, History
from touchstone.rules.limits import is_limited_otherwise
from touchstone.rules.messages import SUCCESS, is_usual, spelling
from touchstone.rules.possible_states import (
    ANYTHING,
    CLOCK_SHARE,
    MUTATING,
    NEVER_AT,
    STARTABLE,
    UNDER_WAY,
    Build,
    Flight,
    Walk,
)
from touchstone.rules.rule import broken, describe, held, judged, judged_body, judged_code, render, story_rule, unclear
from touchstone.rules.timeline import ended_before, may_have_acted

SHORTEST_CONCLUSIVE_SLEEP_S = 0.1  # a slow network also explains a shorter wait

# The claims that this module judges, by subject.
_CLAIMS = {
    "start": "answers-202 fresh-is-building does-not-wait while-building-is-harmless after-failure-builds-again "
    "after-cancel-builds-again concurrent-answers-are-documented concurrent-share-one-build visible-to-next-read",
    "status": "unbuilt-is-not-built changes-only-by-a-start build-does-not-vanish ready-stays-ready "
    "failed-stays-failed good-template-ends-ready failing-template-ends-failed build-ends ready-after-its-steps "
    "build-time-is-ms",
    "cancel": "in-flight-is-202 idle-is-404 says-idle second-is-documented settled-is-idle finished-is-idle settles "
    "does-not-end-ready keeps-finished-golden keeps-neighbours next-build-completes",
    "reuse": "ready-at-once is-flagged status-code only-identical-digest only-when-reused",
    "limit": "refused-start-starts-nothing",
    "auth": "refused-changes-nothing",
    "access": "others-change-nothing",
}


def judge_start(walk: Walk, flight: Flight) -> Iterator[Judgement]:
    """Judges the response to a start by the owner. The states that were possible meanwhile decide what is allowed."""
    start, before = flight.exchange, flight.window
    if start.response is None or start.status == 401 or (start.status == 403 and not _was_served(walk, start)):
        return  # After a 403, the account may be below the Scale plan.
    if _beside(walk, start) and not flight.beside & EXCHANGING and not (start.status == 404 and _is_lost(walk, start)):
        yield judged_code(answer("startBuild", "started twice"), start)
    if start.status in (429, 404) or start.status >= 500:
        return
    if start.status >= 400 and is_limited_otherwise(start, walk.history):
        return
    if before <= STARTABLE:
        yield from _fresh(walk, start)
    elif before == {State.READY} and walk.denied and start.body.get("status") == "building":
        # The cancel got a 404, as if the build were over, and the start joined it; no read tells which is wrong.
        yield unclear(answer("cancelBuild", "building").claim, walk.denied, start, why="no read shows a running build")
    elif before == {State.READY}:
        yield from _reuse(start)
    elif before <= UNDER_WAY | STARTABLE:
        yield from _joined(walk, start)


def apply_start(walk: Walk, flight: Flight, status: object) -> None:
    """Updates *walk* after an accepted start (or publish with auto_build) that overlapped with nothing but starts."""
    before = flight.window
    after = step(before, Cause.START)
    if status == "ready":
        known = before == {State.READY} or walk.had_golden()
        walk.possible = frozenset({State.READY}) | (frozenset() if known else after)
        walk.reused = True
    elif status == "building":
        walk.free_at = NEVER_AT if walk.denied and before == {State.READY} else walk.free_at
        note_build(walk, flight, surely_begun=before <= STARTABLE)
        # The response to an overlapping start may have been sent later, but arrived sooner.
        since = walk.possible if flight.beside else frozenset()
        walk.possible = (after - {State.READY} | since - {State.NOT_BUILT}) or frozenset({State.BUILDING, State.READY})
    else:
        walk.possible = before | after


def note_build(walk: Walk, flight: Flight, *, surely_begun: bool) -> None:
    """Records in *walk* the build that a start began or joined."""
    # An overlapping start with status 409 shares the build, too.
    refused_beside = any(other.status == 409 for other in _beside(walk, flight.exchange))
    before, overlapped = flight.window, "startBuild" in flight.beside or refused_beside
    if walk.build and not before & (STARTABLE | {State.CANCELLING}):
        # The start can only have joined the running build.
        overlapped |= walk.build.overlapped
        walk.build = replace(walk.build, overlapped=overlapped, joined=flight.exchange)
        return
    walk.refused_late.clear()
    idle = before & STARTABLE
    walk.build = Build(
        start=flight.exchange,
        surely_begun=surely_begun,
        before=next(iter(idle)).value if len(idle) == 1 and State.READY not in before else "",
        after_cancel=walk.cancels > 0,
        overlapped=overlapped,
    )
    walk.cancel, walk.settled, walk.reused, walk.idle_cancel, walk.denied = None, False, False, None, None
    walk.overtaken = False


def _was_served(walk: Walk, start: Exchange) -> bool:
    earlier = (e for e in walk.history.exchanges if e.operation == "startBuild" and e.status in SUCCESS)
    return any(e.credential == start.credential and e.done_at <= start.sent_at for e in earlier)


def _beside(walk: Walk, start: Exchange) -> list[Exchange]:
    starts = (e for e in walk.history.story(walk.ref) if e.operation == "startBuild" and e is not start)
    return [e for e in starts if e.overlaps(start) and walk.owns(e)]


def _fresh(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    status, claimed = start.body.get("status"), start.body.get("reused") is True
    late = walk.limited()[-1:]
    if status == "ready" and walk.had_golden():
        yield from _reuse(start)
    elif status == "ready" and claimed and late and not begins_anyway(walk.history):
        yield broken("limit.refused-start-starts-nothing", *late, start, expected="no build from the refused start")
    elif status == "ready" and not claimed and _waited(walk, start):
        yield _waiting(walk, start)
    elif status == "ready" and walk.replaced and walk.build is None and (claimed or walk.reads_as(start) == "ready"):
        expected = "status building: this content was never built"
        yield broken("reuse.only-identical-digest", start, expected=expected)
    else:
        yield from _begun(walk, start)


def _begun(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    fresh = answer("startBuild", "not_built")
    state = "cancelled" if walk.settled else "failed" if walk.possible == {State.FAILED} else "not_built"
    row = answer("startBuild", state)
    if start.status not in SUCCESS:
        yield broken(row.claim if row is fresh else row.body, start, expected=row.codes)
        return
    building = start.body.get("status") == "building"
    if not building and walk.reads_as(start) == "building":
        row = fresh  # A build runs, so that only the status in the response is wrong.
    yield judged_code(row, start)
    if not start.body:
        return
    yield judged_body(row, start)
    if building:
        if row is not fresh:
            yield held(fresh.body, start)
        if walk.replaced:
            yield held("reuse.only-identical-digest", start)
        yield from _does_not_wait(walk, start)


def _does_not_wait(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    claim = "start.does-not-wait"
    if walk.sleep_s >= SHORTEST_CONCLUSIVE_SLEEP_S and not _waited(walk, start):
        yield held(claim, start)
    elif walk.sleep_s >= SHORTEST_CONCLUSIVE_SLEEP_S and walk.reads_as(start) not in {None, "building"}:
        # A single slow response may be due to the network; if all starts are slow, they wait for the build.
        slow = dict(_first_starts(walk.history)) | {start.seq: True}
        if all(slow.values()) and len(slow) > 1:
            yield _waiting(walk, start)
        else:
            yield unclear(claim, start, why=f"one response took {start.elapsed_s:.2f} s, others were faster")


def _first_starts(history: History) -> Iterator[tuple[int, bool]]:
    """Yields *seq* of the first start of each document whose build sleeps, and whether the response took as long."""
    for content in history.all_contents():
        starts = (e for e in history.story(content.ref) if e.operation == "startBuild" and e.status in SUCCESS)
        first = next((e for e in starts if content.sure_at <= e.sent_at < content.until_at), None)
        if first and content.sleep_s >= SHORTEST_CONCLUSIVE_SLEEP_S:
            yield first.seq, first.elapsed_s >= content.sleep_s * CLOCK_SHARE


def _waited(walk: Walk, start: Exchange) -> bool:
    return walk.sleep_s >= SHORTEST_CONCLUSIVE_SLEEP_S and start.elapsed_s >= walk.sleep_s * CLOCK_SHARE


def _waiting(walk: Walk, start: Exchange) -> Judgement:
    actual = f"response after {start.elapsed_s:.2f} s, the steps take {walk.sleep_s:.2f} s: {describe(start)}"
    return broken("start.does-not-wait", start, expected="a response before the build steps have run", actual=actual)


def _reuse(start: Exchange) -> Iterator[Judgement]:
    status = start.body.get("status")
    row = answer("startBuild", "ready")
    yield judged_code(row, start)
    if start.status in SUCCESS and not start.body:
        return
    yield judged_body(row, start)
    if status == "ready":
        yield judged("reuse.is-flagged", start.body.get("reused") is True, start, expected="reused true")


def _joined(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    """Judges a start while a build may run or be cancelled."""
    if (not walk.build and not walk.cancel) or (start.status in SUCCESS and not start.body):
        return
    row, status = answer("startBuild", "cancelling" if walk.cancel else "building"), start.body.get("status")
    if status == "ready" and walk.reads_as(start) == "ready":
        return  # The build was over too soon; the judgement on the read covers that.
    yield judged(row.claim, row.fits(start.status, status), start, expected=str(row))


_CONCLUSIVE = frozenset({"getBuild", "getTemplate", "startBuild"})  # these find an existing version in any state


def judge_cancel(walk: Walk, cancel: Exchange, before: frozenset[State]) -> Iterator[Judgement]:
    """Judges the response to a cancel by the owner; *before* are the states that were possible during the cancel."""
    if cancel.response is None or cancel.status in (401, 429) or cancel.status >= 500:
        return
    row, idle = answer("cancelBuild", "building"), answer("cancelBuild", "not_built")
    if before == {State.BUILDING}:
        if cancel.status == 404 and walk.reads_as(cancel) != "building":
            yield unclear(row.claim, cancel, why="no read shows whether the build was over early")
        else:
            yield judged_code(row, cancel)
    elif State.CANCELLING in before and walk.cancel:
        yield judged_code(answer("cancelBuild", "cancelling"), walk.cancel, cancel)
    elif not before & UNDER_WAY:
        if (walk.settled and State.READY not in before) or before <= FINISHED:
            idle = answer("cancelBuild", "cancelled" if walk.settled and State.READY not in before else "ready")
        if walk.denied and cancel.status == 202:
            # An earlier cancel got a 404, this one gets a 202, and no read tells which of the two is wrong.
            yield unclear(idle.claim, walk.denied, cancel, why="no read shows that the build was over")
        elif cancel.status != 202 or not begins_anyway(walk.history):
            yield judged_code(idle, cancel)
    if cancel.status == 404 and State.BUILDING not in before and not _is_lost(walk, cancel):
        yield judged_body(idle, cancel)


def apply_cancel(walk: Walk, cancel: Exchange, before: frozenset[State]) -> None:
    """Updates *walk* after a cancel that overlapped with nothing but cancels."""
    if not before & UNDER_WAY and walk.denied and cancel.status == 202:
        # The 202 contradicts an earlier cancel with status 404. The build may have run until now.
        walk.possible = before | step({State.BUILDING}, Cause.CANCEL)
        walk.doubt()
    elif not before & UNDER_WAY:
        walk.idle_cancel = cancel
    elif cancel.status == 404:
        walk.denied = cancel
        walk.deaf |= before == {State.BUILDING}
        walk.possible = before | step(before, Cause.CANCEL) if walk.deaf else before - {State.BUILDING}
    else:
        # The build may have ended before the cancel arrived, which is no fault.
        walk.possible = step(before, Cause.CANCEL) | (before & {State.READY})
        if walk.cancel is None:
            walk.overtaken = State.READY in before
            walk.cancel = cancel
            walk.cancels += 1


def _is_lost(walk: Walk, exchange: Exchange) -> bool:
    decisive = [e for e in walk.history.story(walk.ref) if e.operation in _CONCLUSIVE and walk.owns(e)]
    before = [e for e in decisive if e.done_at <= exchange.sent_at][-1:]
    after = [e for e in decisive if e.sent_at >= exchange.done_at][:1]
    return was_vanished(exchange, walk.history) or any(e.status == 404 for e in (*before, *after))


_LATE_S = 0.5  # the status may lag behind the end of the build


def judge_read(walk: Walk, flight: Flight) -> Iterator[Judgement]:
    """Judges a status read and narrows the possible states."""
    read, before = flight.exchange, flight.window
    status = read.body.get("status")
    if not isinstance(status, str) or status not in statuses(State) or walk.content is None:
        return
    if status not in statuses(before):
        if not _is_judged_elsewhere(walk, read, status):
            yield blame(walk, read, status, before)
        walk.resync(status, before)
        if status == "building" and walk.denied:
            walk.possible |= step({State.BUILDING}, Cause.CANCEL)  # the 404 was wrong: the cancel may have taken effect
    elif not flight.beside:
        yield from _stakes(walk, read, status, before)
        yield from _times(walk, read, status, before)
        walk.possible = consistent(walk.reach(read.done_at), status) or walk.possible
        if walk.cancel and State.CANCELLING not in walk.possible:
            walk.settled, walk.cancel = walk.possible <= STARTABLE, None
    elif walk.open and _shows(walk, read, status):
        walk.open.clear()
        walk.possible = consistent(walk.reach(read.done_at), status)
    walk.last_read, walk.denied = read, None
    walk.refused_late = walk.limited()
    walk.refused.clear()


def _shows(walk: Walk, read: Exchange, status: str) -> bool:
    """Whether a read shows the effect of the only request without a response, which has no other effect then."""
    last, lost = walk.last_read, walk.open[0]
    if last is None or len(walk.open) > 1 or lost.seq in walk.flights:
        return False
    since = (e for e in walk.history.story(walk.ref) if e.done_at > last.sent_at and e.sent_at < read.done_at)
    if any(e.operation in MUTATING and e is not lost for e in since):
        return False
    change, good = (last.body.get("status"), status), walk.content is not None and walk.content.outcome == "ready"
    if lost.operation == "startBuild":
        return change in (("not_built", "building"), ("failed", "building"))
    return lost.operation == "cancelBuild" and good and change == ("building", "not_built")


def _is_judged_elsewhere(walk: Walk, read: Exchange, status: str) -> bool:
    """Whether a wrong status is only the consequence of a wrong publish, which `publishing.py` judges."""
    build = walk.build
    if build and build.start.operation == "publishTemplate" and status == "not_built":
        return walk.last_read is None or walk.last_read.sent_at < build.start.done_at
    conflict = any(e.operation == "publishTemplate" and e.status == 409 and walk.owns(e) for e in walk.refused)
    digest = walk.content.digest if walk.content else ""
    return conflict and bool(digest) and read.body.get("digest") != digest


def _stakes(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Iterator[Judgement]:
    if before in ({State.NOT_BUILT}, {State.READY}, {State.FAILED}):
        for claim, earlier in _rest_stakes(walk, read, status):
            if earlier:
                yield held(claim, read) if earlier is read else held(claim, earlier, read)
    if State.CANCELLING in before and walk.cancel:
        yield from _cancelled_stakes(walk, walk.cancel, read, status, before)
    elif State.BUILDING in before and State.NOT_BUILT not in before and walk.build:
        yield from _building_stakes(walk, walk.build, read, status)


def _rest_stakes(walk: Walk, read: Exchange, status: str) -> Iterator[tuple[str, Exchange | None]]:
    """Yields the claims that a read can uphold while no build runs, each with an exchange that could have broken it."""
    last = walk.last_read
    yield from walk.refusals(STARTS if status == "not_built" else STARTS | CANCELS).items()
    if status != "not_built":
        yield answer("getBuild", status).body, last
        yield "cancel.keeps-finished-golden", walk.idle_cancel
        yield "cancel.keeps-neighbours", walk.cancelled_elsewhere(last.done_at, read.sent_at) if last else None
    elif not walk.build:
        yield "reuse.only-identical-digest", read if walk.replaced else None
        yield answer("getBuild", status).body, read
        yield "status.changes-only-by-a-start", last


def _cancelled_stakes(
    walk: Walk, cancel: Exchange, read: Exchange, status: str, before: frozenset[State]
) -> Iterator[Judgement]:
    late_s = read.sent_at - cancel.done_at
    if status != "building":
        yield held("cancel.settles", cancel, read)
        if status != "ready":
            yield held("cancel.does-not-end-ready", cancel, read)
    elif State.BUILDING not in before and late_s > walk.history.bounds.cancel_timeout_s:
        expected = "not building any more within the time limit of a cancel"
        actual = f"building {late_s:.1f} s after the cancel was accepted"
        yield broken("cancel.settles", cancel, read, expected=expected, actual=actual)


def _building_stakes(walk: Walk, build: Build, read: Exchange, status: str) -> Iterator[Judgement]:
    first = walk.last_read is None or walk.last_read.sent_at < build.start.done_at
    if first and read.sent_at >= build.start.done_at:
        claim, fits = "start.visible-to-next-read", not _is_old_failure(walk, build, read, status)
        expected = "status building until the steps of the new build can have failed"
        actual = f"status {status}, the same as before the start"
        yield judged(claim, fits, build.start, read, expected=expected, actual=actual)
    for claim, refused in walk.refusals(CANCELS).items():
        yield held(claim, refused, read)
    longest_s, running_s = walk.history.bounds.build_timeout_s, read.sent_at - build.start.done_at
    if status in FINISHED:
        yield from _end_stakes(walk, build, read, status)
    # A server may queue builds, so that this one may have waited for the last build that began earlier.
    elif running_s > longest_s and read.sent_at - ended_before(walk.ref, build.start, walk.history) > longest_s:
        expected = "ready or failed within build_timeout_s"
        actual = f"building {running_s:.1f} s after the start; build_timeout_s is {longest_s:g}"
        yield broken("status.build-ends", build.start, read, expected=expected, actual=actual)


def _is_old_failure(walk: Walk, build: Build, read: Exchange, status: str) -> bool:
    """Whether a read shows failed too early: the new build's steps cannot have run, so this is the earlier failure."""
    # A cancel with status 404 moves *free_at* beyond the start, although no other build has begun.
    began_at = min(walk.free_at, build.start.sent_at)
    early = status == "failed" and read.done_at < walk.earliest_end_at(began_at)
    walk.hasty |= early and build.before != "failed"
    return early and build.before == "failed" and not walk.hasty


def _end_stakes(walk: Walk, build: Build, read: Exchange, status: str) -> Iterator[Judgement]:
    yield held("status.build-ends", build.start, read)
    yield held("status.build-does-not-vanish", build.start, read)
    content = walk.content
    if content is None or content.outcome == "unknown":
        return
    at_stake = {
        "status.good-template-ends-ready": status == "ready",
        "status.failing-template-ends-failed": status == "failed",
        "cancel.next-build-completes": build.after_cancel,
        "start.after-cancel-builds-again": build.after_cancel,
        "start.after-failure-builds-again": build.before == "failed",
        "start.concurrent-share-one-build": build.overlapped,
        "status.ready-after-its-steps": status == "ready" and content.sleep_s > 0,
    }
    yield from (held(claim, build.start, read) for claim, occurred in at_stake.items() if occurred)
    if elsewhere := walk.cancelled_elsewhere(build.start.done_at, read.sent_at):
        yield held("cancel.keeps-neighbours", elsewhere, read)


def _times(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Iterator[Judgement]:
    """Judges that a new build has a build time within the observed duration, and is not marked as reused."""
    build, last, reused = walk.build, walk.last_read, read.body.get("reused")
    if status != "ready" or not build or not build.surely_begun or not walk.content or walk.reused or walk.cancel:
        return
    if len({str(e.body.get("digest", walk.content.digest)) for e in (build.start, read)}) > 1:
        return  # the read is about another document
    if reused is None or isinstance(reused, bool):
        expected = "reused false or absent: the build was for this version"
        actual = f"reused {render(reused)}"
        yield judged("reuse.only-when-reused", not reused, build.start, read, expected=expected, actual=actual)
    build_time_ms = read.body.get("build_time_ms")
    if not before & UNDER_WAY or isinstance(build_time_ms, bool) or not isinstance(build_time_ms, (int, float)):
        return
    # Minimum duration, as observed: from the response to the start until the last read with status building.
    observed_s = last.sent_at - build.start.done_at if last and last.body.get("status") == "building" else 0.0
    least_ms = max(walk.content.sleep_s, observed_s - _LATE_S) * CLOCK_SHARE * 1000
    most_ms = (read.done_at - build.start.sent_at) * 1000 / CLOCK_SHARE + 50
    # A build that ends before its steps can have run is judged by status.ready-after-its-steps.
    if (least_ms <= 0 and build_time_ms <= most_ms) or most_ms < least_ms:
        return
    if build_time_ms >= least_ms or not hurries_anyway(walk.history):
        expected = "milliseconds within the observed duration"
        actual = f"build_time_ms {build_time_ms!r}; observed {least_ms:.0f} ms at least, {most_ms:.0f} ms at most"
        fits = least_ms <= build_time_ms <= most_ms
        yield judged("status.build-time-is-ms", fits, build.start, read, expected=expected, actual=actual)


@story_rule("building.life-cycle", *(f"{subject}.{name}" for subject in _CLAIMS for name in _CLAIMS[subject].split()))
def life_cycle(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each response about *ref* by the possible states. Skips a *ref* that several accounts have published."""
    for moment in moments(ref, history):
        yield from moment.judgements


@dataclass(frozen=True, slots=True)
class Moment:
    """The sending or the end of one exchange, with the states in which the version can be."""

    at: float
    exchange: Exchange
    window: frozenset[State]  # possible at some time since the sending; empty at the sending
    after: frozenset[State]  # possible from now on; empty if the document is unknown
    judgements: tuple[Judgement, ...]


def moments(ref: str, history: History) -> Iterator[Moment]:
    """Yields what happened to *ref*, in the order of time; nothing if several accounts have published it."""
    owners = {content.owner for content in history.contents(ref)}
    # An account below the Scale plan builds nothing; its starts are judged in `access.py`.
    if len(owners) != 1 or "restricted" in owners:
        return
    walk = Walk(ref, history)
    if ref in history.given:
        walk.content = history.given[ref]
    for now, sent, exchange in walk.points():
        window, judgements = frozenset[State](), tuple[Judgement, ...]()
        if sent:
            _sent(walk, exchange, now)
        else:
            flight = _landed(walk, exchange, now)
            window, judgements = flight.window, tuple(_done(walk, flight, now))
        after = walk.reach(now)
        # Each state that is possible now was possible at some time during every open request.
        for flight in walk.flights.values():
            flight.window |= after
        yield Moment(now, exchange, window, after if walk.content else frozenset(), judgements)


def _sent(walk: Walk, exchange: Exchange, now: float) -> None:
    walk.mark_free(now)
    flight = Flight(exchange, walk.reach(now), {other.operation for other in walk.open})
    if exchange.operation != "getBuild" and may_have_acted(exchange):
        for other in walk.flights.values():
            other.beside.add(exchange.operation)
        walk.open.append(exchange)
    walk.flights[exchange.seq] = flight


def _landed(walk: Walk, exchange: Exchange, now: float) -> Flight:
    flight = walk.flights.pop(exchange.seq)
    flight.acts = exchange in walk.open
    if flight.acts and not _lost(exchange):
        walk.open.remove(exchange)
    # The window contains the states after this request, too. If no other request took effect, those before are known.
    flight.window = walk.reach(now) if flight.acts and not flight.beside else flight.window | walk.reach(now)
    return flight


def _lost(exchange: Exchange) -> bool:
    """Whether a request may take effect at an unknown time: no response, or a 5xx."""
    return exchange.response is None or exchange.status >= 500


def _done(walk: Walk, flight: Flight, now: float) -> Iterator[Judgement]:
    exchange = flight.exchange
    if exchange.operation == "getBuild":
        if exchange.status == 200 and walk.owns(exchange) and exchange.request.method == "GET":
            yield from judge_read(walk, flight)
    else:
        yield from _judged(walk, flight)
        _mutated(walk, flight, now)
    walk.mark_free(now)


def _judged(walk: Walk, flight: Flight) -> Iterator[Judgement]:
    exchange, contract = flight.exchange, walk.history.contract
    known = walk.content and walk.owns(exchange) and exchange.request.method not in ("HEAD", "OPTIONS")
    if not known or not is_usual(exchange, contract):
        return
    if exchange.operation == "startBuild":
        yield from judge_start(walk, flight)
    if exchange.operation == "cancelBuild":
        yield from judge_cancel(walk, exchange, flight.window)


def _mutated(walk: Walk, flight: Flight, now: float) -> None:
    exchange, acts = flight.exchange, flight.acts
    not_found = exchange.operation == "cancelBuild" and exchange.status == 404 and walk.owns(exchange)
    if exchange.operation in EXCHANGING and acts:
        _exchanged(walk, flight, now)
    elif not acts and not not_found:
        walk.refused.append(exchange)
    elif walk.content is None:
        walk.lost_track |= exchange.operation == "startBuild"
    elif not_found:
        if flight.beside <= {"cancelBuild"} and spelling(exchange, walk.history.contract) == "plain":
            apply_cancel(walk, exchange, flight.window)
    elif _lost(exchange) or not walk.owns(exchange) or not flight.beside <= {exchange.operation}:
        _blurred(walk, flight)
    elif exchange.operation == "startBuild":
        apply_start(walk, flight, exchange.body.get("status"))
    else:
        apply_cancel(walk, exchange, flight.window)


def _blurred(walk: Walk, flight: Flight) -> None:
    walk.possible |= flight.window | walk.effect(flight.exchange, flight.window)
    walk.doubt()
    if flight.exchange.operation == "startBuild":
        note_build(walk, flight, surely_begun=False)
    else:
        walk.cancels += 1


def _exchanged(walk: Walk, flight: Flight, now: float) -> None:
    exchange = flight.exchange
    clear = 200 <= exchange.status < 300 and not flight.beside & EXCHANGING
    if not clear or exchange.operation == "deleteTemplate":
        walk.leave(now)
    else:
        _published(walk, exchange, now)
    if exchange.note.get("auto_build"):
        _auto_built(walk, flight, now)
    if flight.beside and walk.content:
        # An overlapping start built the old or the new document.
        walk.possible, walk.free_at = ANYTHING, NEVER_AT
        walk.doubt()


def _auto_built(walk: Walk, flight: Flight, now: float) -> None:
    if walk.content is None:
        walk.lost_track = True
    elif not flight.beside:
        walk.free_at = flight.exchange.sent_at if walk.possible == {State.NOT_BUILT} else walk.free_at
        flight.window = walk.reach(now)
        # A ready version is not built again, whatever the response says.
        ready = flight.window == {State.READY}
        apply_start(walk, flight, "ready" if ready else flight.exchange.body.get("auto_build"))


def _published(walk: Walk, publish: Exchange, now: float) -> None:
    contents = [c for c in walk.history.contents(walk.ref) if c.from_at <= publish.sent_at]
    forced = bool(publish.note.get("force"))
    if not contents or contents[-1].key != publish.note.get("content"):
        walk.leave(now)
    elif walk.content is None or forced:
        walk.begin(contents[-1], now)
    elif walk.content.key != contents[-1].key:
        # The publish should have been refused; whether it replaced the document is judged elsewhere.
        walk.leave(now)
