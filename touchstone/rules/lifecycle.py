"""The life-cycle rule: replays the story of a version and judges each answer against what its builds can have become.

Here is what starts and cancels must be answered, given the states that a version can be in; `reads.py` has the reads.
Of a success that is no JSON object only the status is judged.
"""

from collections.abc import Iterator
from dataclasses import replace

from touchstone.contract.lifecycle import FINISHED, Cause, State, step
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.attribution import begins_anyway, was_vanished
from touchstone.rules.history import History
from touchstone.rules.limits import is_limited_otherwise
from touchstone.rules.messages import SUCCESS, excused, spelling
from touchstone.rules.reads import CLAIMS as READ_CLAIMS
from touchstone.rules.reads import judge_read
from touchstone.rules.rule import broken, held, judged, render, story_rule, unclear
from touchstone.rules.walk import (
    ANYTHING,
    CLOCK_SHARE,
    EXCHANGING,
    NEVER_AT,
    STARTABLE,
    UNDER_WAY,
    Build,
    Flight,
    Walk,
    lost,
)

DOCUMENTED = frozenset({200, 202, 409, 429})

# A wait shorter than this is no evidence: a slow network explains it as well as a start that waits for the build.
SHORTEST_TELLING_SLEEP_S = 0.1

_START_CLAIMS = (
    "start.answers-202",
    "start.fresh-is-building",
    "start.does-not-wait",
    "start.while-building-is-harmless",
    "start.after-failure-builds-again",
    "start.after-cancel-builds-again",
    "start.concurrent-answers-are-documented",
    "limit.refused-start-starts-nothing",
    "reuse.ready-at-once",
    "reuse.is-flagged",
    "reuse.status-code",
    "reuse.only-identical-digest",
)


def judge_start(walk: Walk, flight: Flight) -> Iterator[Judgement]:
    """Judges the owner's start of an existing version by the states that were possible while it was under way."""
    start, before = flight.exchange, flight.window
    if start.response is None or (start.status == 403 and not _was_served(walk, start)):
        return  # The account may be below the plan.
    if _overlaps_start(walk, start) and not flight.beside & EXCHANGING:
        yield judged(
            "start.concurrent-answers-are-documented",
            start.status in DOCUMENTED,
            start,
            expected="200 or 202, 409 or 429",
            actual=str(start.status),
        )
    if start.status in (429, 401, 404) or start.status >= 500:
        return
    if start.status >= 400 and is_limited_otherwise(start, walk.history):
        return
    if before <= STARTABLE:
        yield from _fresh(walk, start)
    elif before == {State.READY}:
        yield from _reuse(start)
    elif before <= UNDER_WAY | STARTABLE:
        yield from _joined(walk, start)


def apply_start(walk: Walk, flight: Flight, status: object) -> None:
    """Moves the walk by an accepted start, or publish with auto_build, that answered *status*.

    No other request than starts can have taken effect meanwhile, and they lead back to nothing.
    """
    before = flight.window
    after = step(before, Cause.START)
    if status == "ready":
        known = before == {State.READY} or walk.had_golden()
        walk.possible = frozenset({State.READY}) | (frozenset() if known else after)
        walk.reused = True
    elif status == "building":
        note_build(walk, flight, surely_begun=before <= STARTABLE)
        # Another start beside it may have been answered later by the server and sooner by the network.
        since = walk.possible if flight.beside else frozenset()
        walk.possible = (after - {State.READY} | since - {State.NOT_BUILT}) or frozenset({State.BUILDING, State.READY})
    else:
        walk.possible = before | after


def note_build(walk: Walk, flight: Flight, *, surely_begun: bool) -> None:
    """Takes note of the build that a start began or joined."""
    before, overlapped = flight.window, "startBuild" in flight.beside or _refused_beside(walk, flight.exchange)
    if walk.build and not before & (STARTABLE | {State.CANCELLING}):
        # It can only have joined what is under way.
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
    """Whether the account had a start accepted before, which shows that its plan includes building."""
    earlier = (e for e in walk.history.exchanges if e.operation == "startBuild" and e.status in SUCCESS)
    return any(e.credential == start.credential and e.done_at <= start.sent_at for e in earlier)


def _overlaps_start(walk: Walk, start: Exchange) -> bool:
    return any(_beside(walk, start))


def _refused_beside(walk: Walk, start: Exchange) -> bool:
    """Whether a start at the same time was told that a build runs already, which is another way to share it."""
    return any(other.status == 409 for other in _beside(walk, start))


def _beside(walk: Walk, start: Exchange) -> Iterator[Exchange]:
    """The owner's other starts that overlap with *start*."""
    for other in walk.history.story(walk.ref):
        overlaps = other.sent_at < start.done_at and start.sent_at < other.done_at
        if overlaps and other.operation == "startBuild" and other is not start and walk.owns(other):
            yield other


def _fresh(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    """A start while surely nothing is built or building."""
    status, claimed = start.body.get("status"), start.body.get("reused") is True
    late = walk.limited()[-1:]
    if status == "ready" and walk.had_golden():
        yield from _reuse(start)
    elif status == "ready" and claimed and late and not begins_anyway(walk.history):
        claim, expected = "limit.refused-start-starts-nothing", "no build by a refused start"
        yield broken(claim, *late, start, expected=expected, actual=_described(start))
    elif status == "ready" and not claimed and _waited(walk, start):
        yield _waiting(walk, start)
    elif status == "ready" and walk.replaced and walk.build is None and (claimed or _is_ready(walk, start)):
        expected = "status building for content that was never built"
        yield broken("reuse.only-identical-digest", start, expected=expected, actual=_described(start))
    else:
        yield from _begun(walk, start)


def _begun(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    """A start that has to begin a build."""
    claim = "start.fresh-is-building"
    if walk.settled:
        claim = "start.after-cancel-builds-again"
    elif walk.possible == {State.FAILED}:
        claim = "start.after-failure-builds-again"
    if start.status not in SUCCESS:
        claim = "start.answers-202" if claim == "start.fresh-is-building" else claim
        yield broken(claim, start, expected="202", actual=_described(start))
        return
    building = start.body.get("status") == "building"
    if not building and (read := walk.next_read(start)) and read.body.get("status") == "building":
        claim = "start.fresh-is-building"  # It is built, so only the word is wrong.
    yield judged("start.answers-202", start.status == 202, start, expected="202", actual=_described(start))
    if not start.body:
        return
    yield judged(claim, building, start, expected="status building", actual=_described(start))
    if building:
        if claim != "start.fresh-is-building":
            yield held("start.fresh-is-building", start)
        if walk.replaced:
            yield held("reuse.only-identical-digest", start)
        yield from _does_not_wait(walk, start)


def _does_not_wait(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    sleep_s = walk.content.sleep_s if walk.content else 0.0
    if sleep_s < SHORTEST_TELLING_SLEEP_S:
        return
    if not _waited(walk, start):
        yield held("start.does-not-wait", start)
    elif (read := walk.next_read(start)) and read.body.get("status") != "building":
        # One slow answer may be the network's fault; that every start is as slow as its build is not.
        slow = {first.seq: first.elapsed_s >= at_least_s for first, at_least_s in _first_starts(walk.history)}
        if all((slow | {start.seq: True}).values()) and len(slow.keys() | {start.seq}) > 1:
            yield _waiting(walk, start)
        else:
            yield unclear("start.does-not-wait", start, why=f"one answer took {start.elapsed_s:.2f} s, others did not")


def _first_starts(history: History) -> Iterator[tuple[Exchange, float]]:
    """The first accepted start of each content whose steps sleep, and the time that one which waits for them takes."""
    for content in history.all_contents():
        starts = (e for e in history.story(content.ref) if e.operation == "startBuild" and e.status in SUCCESS)
        first = next((e for e in starts if content.sure_at <= e.sent_at < content.until_at), None)
        if first and content.sleep_s >= SHORTEST_TELLING_SLEEP_S:
            yield first, content.sleep_s * CLOCK_SHARE


def _waited(walk: Walk, start: Exchange) -> bool:
    sleep_s = walk.content.sleep_s if walk.content else 0.0
    return sleep_s >= SHORTEST_TELLING_SLEEP_S and start.elapsed_s >= sleep_s * CLOCK_SHARE


def _waiting(walk: Walk, start: Exchange) -> Judgement:
    sleep_s = walk.content.sleep_s if walk.content else 0.0
    return broken(
        "start.does-not-wait",
        start,
        expected="an answer before the build steps have run",
        actual=f"answered after {start.elapsed_s:.2f} s, the steps take {sleep_s:.2f} s: {_described(start)}",
    )


def _reuse(start: Exchange) -> Iterator[Judgement]:
    status = start.body.get("status")
    yield judged(
        "reuse.status-code", start.status in (200, 202), start, expected="202 or 200", actual=_described(start)
    )
    if start.status in SUCCESS and not start.body:
        return
    yield judged("reuse.ready-at-once", status == "ready", start, expected="status ready", actual=_described(start))
    if status == "ready":
        flagged = start.body.get("reused") is True
        yield judged("reuse.is-flagged", flagged, start, expected="reused true", actual=_described(start))


def _joined(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    """A start while a build is, or may be, under way: it joins that build, or begins one after a cancelled one."""
    if (not walk.build and not walk.cancel) or (start.status in SUCCESS and not start.body):
        return
    claim = "start.after-cancel-builds-again" if walk.cancel else "start.while-building-is-harmless"
    if start.body.get("status") == "ready" and _is_ready(walk, start):
        return  # The build was over too soon, which reads tell.
    # Ambiguity 10: 409 is a permitted deviation, and it changes nothing.
    allowed = start.status == 409 or (start.status in (200, 202) and start.body.get("status") == "building")
    yield judged(claim, allowed, start, expected="202 or 200 with status building, or 409", actual=_described(start))


def _is_ready(walk: Walk, start: Exchange) -> bool:
    """Whether the next read agrees that the version is ready."""
    read = walk.next_read(start)
    return read is not None and read.body.get("status") == "ready"


def _described(start: Exchange) -> str:
    return f"{start.status} {render(start.body)}"


# What is found wherever the version is.
_TELLING = frozenset({"getBuild", "getTemplate", "startBuild"})

_CANCEL_CLAIMS = (
    "cancel.in-flight-is-202",
    "cancel.idle-is-404",
    "cancel.says-idle",
    "cancel.second-is-documented",
    "cancel.settled-is-idle",
    "cancel.finished-is-idle",
)


def judge_cancel(walk: Walk, cancel: Exchange, before: frozenset[State]) -> Iterator[Judgement]:
    """Judges the owner's cancel of an existing version; *before* are the states possible while it was under way."""
    if cancel.response is None or cancel.status in (401, 429) or cancel.status >= 500:
        return
    answer = f"{cancel.status} {render(cancel.body)}"
    if before == {State.BUILDING}:
        yield from _in_flight(walk, cancel, answer)
    elif State.CANCELLING in before and walk.cancel:
        documented = cancel.status in (202, 404)
        yield judged(
            "cancel.second-is-documented",
            documented,
            walk.cancel,
            cancel,
            expected="202 cancelling or 404 idle",
            actual=answer,
        )
    elif not before & UNDER_WAY and walk.denied and cancel.status == 202:
        # Only an earlier cancel said that nothing ran, and one of the two is wrong.
        yield unclear(_idle_claim(walk, before), walk.denied, cancel, why="no read shows that the build was over")
    elif not before & UNDER_WAY and (cancel.status != 202 or not begins_anyway(walk.history)):
        yield judged(_idle_claim(walk, before), cancel.status == 404, cancel, expected="404", actual=answer)
    if cancel.status == 404 and State.BUILDING not in before and not _is_lost(walk, cancel):
        idle = cancel.body.get("status") == "idle"
        yield judged("cancel.says-idle", idle, cancel, expected='{"status": "idle"}', actual=answer)


def apply_cancel(walk: Walk, cancel: Exchange, before: frozenset[State]) -> None:
    """Moves the walk by an answered cancel; no other request than cancels can have taken effect meanwhile."""
    if not before & UNDER_WAY and walk.denied and cancel.status == 202:
        # It contradicts an earlier cancel, so that the build may have run on until now.
        walk.possible = before | step({State.BUILDING}, Cause.CANCEL)
        walk.doubt()
    elif not before & UNDER_WAY:
        walk.idle_cancel = cancel
    elif cancel.status == 404:
        walk.denied = cancel
        walk.deaf |= before == {State.BUILDING}
        walk.possible = before | step(before, Cause.CANCEL) if walk.deaf else before - {State.BUILDING}
    else:
        # A build that was over before its cancel arrived: a race that nobody loses.
        walk.possible = step(before, Cause.CANCEL) | (before & {State.READY})
        if walk.cancel is None:
            walk.overtaken = State.READY in before
            walk.cancel = cancel
            walk.cancels += 1


def _in_flight(walk: Walk, cancel: Exchange, answer: str) -> Iterator[Judgement]:
    claim = "cancel.in-flight-is-202"
    read = walk.next_read(cancel)
    if cancel.status == 404 and (read is None or read.body.get("status") != "building"):
        yield unclear(claim, cancel, why="no read shows that the build was not over against all expectation")
    else:
        yield judged(claim, cancel.status == 202, cancel, expected="202", actual=answer)


def _is_lost(walk: Walk, cancel: Exchange) -> bool:
    """Whether the whole version is not found around the time of a cancel, which other claims tell."""
    telling = [e for e in walk.history.story(walk.ref) if e.operation in _TELLING and walk.owns(e)]
    before = [e for e in telling if e.done_at <= cancel.sent_at][-1:]
    after = [e for e in telling if e.sent_at >= cancel.done_at][:1]
    return was_vanished(cancel, walk.history) or any(e.status == 404 for e in (*before, *after))


def _idle_claim(walk: Walk, before: frozenset[State]) -> str:
    if walk.settled and not before & {State.READY}:
        return "cancel.settled-is-idle"
    return "cancel.finished-is-idle" if before <= FINISHED else "cancel.idle-is-404"


@story_rule("building.life-cycle", *_START_CLAIMS, *_CANCEL_CLAIMS, *READ_CLAIMS)
def life_cycle(ref: str, history: History) -> Iterator[Judgement]:
    """Each answer about *ref* agrees with a possible course of its builds.

    Nothing is said of a name that several accounts have: which of their versions an answer is about is not in it.
    """
    owners = {content.owner for content in history.contents(ref)}
    # An account below the Scale plan builds nothing, which is judged by what its plan allows.
    if len(owners) != 1 or "restricted" in owners:
        return
    walk = Walk(ref, history)
    if ref in history.given:
        walk.content = history.given[ref]
    for now, sent, exchange in walk.points():
        if sent:
            _sent(walk, exchange, now)
        else:
            yield from _done(walk, exchange, now)
        _widen(walk, now)


def _sent(walk: Walk, exchange: Exchange, now: float) -> None:
    walk.mark_free(now)
    flight = Flight(exchange, walk.reach(now), {other.operation for other in walk.open})
    if walk.takes_effect(exchange):
        for other in walk.flights.values():
            other.beside.add(exchange.operation)
        walk.open.append(exchange)
    walk.flights[exchange.seq] = flight


def _widen(walk: Walk, now: float) -> None:
    """Adds what is possible at *now* to the windows of the requests still on their way."""
    if walk.flights:
        possible = walk.reach(now)
        for flight in walk.flights.values():
            flight.window |= possible


def _done(walk: Walk, exchange: Exchange, now: float) -> Iterator[Judgement]:
    flight = walk.flights.pop(exchange.seq)
    acts = exchange in walk.open
    if acts and not lost(exchange):
        walk.open.remove(exchange)
    # Its own effect widened the window, too; where nothing else acted, what was possible without it is known.
    flight.window = walk.reach(now) if acts and not flight.beside else flight.window | walk.reach(now)
    if exchange.operation == "getBuild":
        if exchange.status == 200 and walk.owns(exchange) and exchange.request.method == "GET":
            yield from judge_read(walk, flight)
    else:
        yield from _judged(walk, flight)
        _mutated(walk, flight, now, acts=acts)
    walk.mark_free(now)


def _judged(walk: Walk, flight: Flight) -> Iterator[Judgement]:
    """Judges the answer to the owner's start or cancel of what the version is known to hold."""
    exchange, contract = flight.exchange, walk.history.contract
    if not walk.owns(exchange) or not walk.content or exchange.request.method in ("HEAD", "OPTIONS"):
        return
    if spelling(exchange, contract) != "plain" or exchange.status in excused(exchange, contract):
        return
    if exchange.operation == "startBuild":
        yield from judge_start(walk, flight)
    if exchange.operation == "cancelBuild":
        yield from judge_cancel(walk, exchange, flight.window)


def _mutated(walk: Walk, flight: Flight, now: float, *, acts: bool) -> None:
    exchange = flight.exchange
    found_nothing = exchange.operation == "cancelBuild" and exchange.status == 404 and walk.owns(exchange)
    if exchange.operation in EXCHANGING and acts:
        _exchanged(walk, flight, now)
    elif not acts and not found_nothing:
        walk.refused.append(exchange)
    elif walk.content is None:
        walk.astray |= exchange.operation == "startBuild"
    elif found_nothing:
        if flight.beside <= {"cancelBuild"} and spelling(exchange, walk.history.contract) == "plain":
            apply_cancel(walk, exchange, flight.window)
    elif lost(exchange) or not walk.owns(exchange) or not flight.beside <= {exchange.operation}:
        _blurred(walk, flight)
    elif exchange.operation == "startBuild":
        apply_start(walk, flight, exchange.body.get("status"))
    else:
        apply_cancel(walk, exchange, flight.window)


def _blurred(walk: Walk, flight: Flight) -> None:
    """The request took effect in any order with others, or may have."""
    walk.possible |= flight.window | walk.effect(flight.exchange, flight.window)
    walk.doubt()
    if flight.exchange.operation == "startBuild":
        note_build(walk, flight, surely_begun=False)
    else:
        walk.cancels += 1


def _exchanged(walk: Walk, flight: Flight, now: float) -> None:
    """What the version holds was put there, replaced or taken away."""
    exchange = flight.exchange
    clear = 200 <= exchange.status < 300 and not flight.beside & EXCHANGING
    if not clear or exchange.operation == "deleteTemplate":
        walk.leave(now)
    else:
        _published(walk, exchange, now)
    if exchange.note.get("auto_build"):
        _auto_built(walk, flight, now)
    if flight.beside and walk.content:
        # A start beside it was of the old content or of the new one.
        walk.possible, walk.free_at = ANYTHING, NEVER_AT
        walk.doubt()


def _auto_built(walk: Walk, flight: Flight, now: float) -> None:
    if walk.content is None:
        walk.astray = True
    elif not flight.beside:
        walk.free_at = flight.exchange.sent_at if walk.possible == {State.NOT_BUILT} else walk.free_at
        flight.window = walk.reach(now)
        # What is ready is not built again, whatever the publish calls it.
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
        # It should have been refused; whether it replaced anything is another question.
        walk.leave(now)
