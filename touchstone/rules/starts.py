"""What the answer to a start must be, given the states that the version can be in.

Of a success that is no JSON object only the status is judged here.
"""

from collections.abc import Iterator
from dataclasses import replace

from touchstone.contract.lifecycle import Cause, State, step
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import SUCCESS
from touchstone.rules.anyway import begins_anyway
from touchstone.rules.history import History
from touchstone.rules.limits import is_limited_otherwise
from touchstone.rules.rule import broken, held, judged, shown, unclear
from touchstone.rules.walk import CLOCK_SHARE, EXCHANGING, IDLE, UNDER_WAY, Build, Flight, Walk

DOCUMENTED = frozenset({200, 202, 409, 429})

# A wait shorter than this is no evidence: a slow network explains it as well as a start that waits for the build.
SHORTEST_TELLING_SLEEP_S = 0.1

CLAIMS = (
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
    if before <= IDLE:
        yield from _fresh(walk, start)
    elif before == {State.READY}:
        yield from _reuse(start)
    elif before <= UNDER_WAY | IDLE:
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
        note_build(walk, flight, surely_begun=before <= IDLE)
        # Another start beside it may have been answered later by the server and sooner by the network.
        since = walk.possible if flight.beside else frozenset()
        walk.possible = (after - {State.READY} | since - {State.NOT_BUILT}) or frozenset({State.BUILDING, State.READY})
    else:
        walk.possible = before | after


def note_build(walk: Walk, flight: Flight, *, surely_begun: bool) -> None:
    """Takes note of the build that a start began or joined."""
    before, overlapped = flight.window, "startBuild" in flight.beside or _refused_beside(walk, flight.exchange)
    if walk.build and not before & (IDLE | {State.CANCELLING}):
        # It can only have joined what is under way.
        overlapped |= walk.build.overlapped
        walk.build = replace(walk.build, overlapped=overlapped, joined=flight.exchange)
        return
    walk.refused_late.clear()
    idle = before & IDLE
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
        yield broken(claim, *late, start, expected=expected, actual=_told(start))
    elif status == "ready" and not claimed and _waited(walk, start):
        yield _waiting(walk, start)
    elif status == "ready" and walk.replaced and walk.build is None and (claimed or _is_ready(walk, start)):
        expected = "status building for content that was never built"
        yield broken("reuse.only-identical-digest", start, expected=expected, actual=_told(start))
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
        yield broken(claim, start, expected="202", actual=_told(start))
        return
    building = start.body.get("status") == "building"
    if not building and (read := walk.next_read(start)) and read.body.get("status") == "building":
        claim = "start.fresh-is-building"  # It is built, so only the word is wrong.
    yield judged("start.answers-202", start.status == 202, start, expected="202", actual=_told(start))
    if not start.body:
        return
    yield judged(claim, building, start, expected="status building", actual=_told(start))
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
    """
    The first accepted start of each content whose steps sleep, and the time that a start which waits for them takes.
    """
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
        actual=f"answered after {start.elapsed_s:.2f} s, the steps take {sleep_s:.2f} s: {_told(start)}",
    )


def _reuse(start: Exchange) -> Iterator[Judgement]:
    status = start.body.get("status")
    yield judged("reuse.status-code", start.status in (200, 202), start, expected="202 or 200", actual=_told(start))
    if start.status in SUCCESS and not start.body:
        return
    yield judged("reuse.ready-at-once", status == "ready", start, expected="status ready", actual=_told(start))
    if status == "ready":
        flagged = start.body.get("reused") is True
        yield judged("reuse.is-flagged", flagged, start, expected="reused true", actual=_told(start))


def _joined(walk: Walk, start: Exchange) -> Iterator[Judgement]:
    """A start while a build is, or may be, under way: it joins that build, or begins one after a cancelled one."""
    if (not walk.build and not walk.cancel) or (start.status in SUCCESS and not start.body):
        return
    claim = "start.after-cancel-builds-again" if walk.cancel else "start.while-building-is-harmless"
    if start.body.get("status") == "ready" and _is_ready(walk, start):
        return  # The build was over too soon, which reads tell.
    # Ambiguity 10: 409 is a permitted deviation, and it changes nothing.
    allowed = start.status == 409 or (start.status in (200, 202) and start.body.get("status") == "building")
    yield judged(claim, allowed, start, expected="202 or 200 with status building, or 409", actual=_told(start))


def _is_ready(walk: Walk, start: Exchange) -> bool:
    """Whether the next read agrees that the version is ready."""
    read = walk.next_read(start)
    return read is not None and read.body.get("status") == "ready"


def _told(start: Exchange) -> str:
    return f"{start.status} {shown(start.body)}"
