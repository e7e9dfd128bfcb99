"""What the answer to a cancel must be, given the states that the version can be in."""

from collections.abc import Iterator

from touchstone.contract.lifecycle import Cause, State, step
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.anyway import begins_anyway
from touchstone.rules.rule import judged, shown, unclear
from touchstone.rules.unrefused import was_vanished
from touchstone.rules.walk import UNDER_WAY, Walk

FINISHED = frozenset({State.READY, State.FAILED})
# What is found wherever the version is.
_TELLING = frozenset({"getBuild", "getTemplate", "startBuild"})

CLAIMS = (
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
    told = f"{cancel.status} {shown(cancel.body)}"
    if before == {State.BUILDING}:
        yield from _in_flight(walk, cancel, told)
    elif State.CANCELLING in before and walk.cancel:
        documented = cancel.status in (202, 404)
        yield judged(
            "cancel.second-is-documented",
            documented,
            walk.cancel,
            cancel,
            expected="202 cancelling or 404 idle",
            actual=told,
        )
    elif not before & UNDER_WAY and walk.denied and cancel.status == 202:
        # Only an earlier cancel said that nothing ran, and one of the two is wrong.
        yield unclear(_idle_claim(walk, before), walk.denied, cancel, why="no read shows that the build was over")
    elif not before & UNDER_WAY and (cancel.status != 202 or not begins_anyway(walk.history)):
        yield judged(_idle_claim(walk, before), cancel.status == 404, cancel, expected="404", actual=told)
    if cancel.status == 404 and State.BUILDING not in before and not _is_lost(walk, cancel):
        idle = cancel.body.get("status") == "idle"
        yield judged("cancel.says-idle", idle, cancel, expected='{"status": "idle"}', actual=told)


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


def _in_flight(walk: Walk, cancel: Exchange, told: str) -> Iterator[Judgement]:
    claim = "cancel.in-flight-is-202"
    read = walk.next_read(cancel)
    if cancel.status == 404 and (read is None or read.body.get("status") != "building"):
        yield unclear(claim, cancel, why="no read shows that the build was not over against all expectation")
    else:
        yield judged(claim, cancel.status == 202, cancel, expected="202", actual=told)


def _is_lost(walk: Walk, cancel: Exchange) -> bool:
    """Whether the whole version is not found around the time of a cancel, which other claims tell."""
    told = [e for e in walk.history.story(walk.ref) if e.operation in _TELLING and walk.owns(e)]
    before = [e for e in told if e.done_at <= cancel.sent_at][-1:]
    after = [e for e in told if e.sent_at >= cancel.done_at][:1]
    return was_vanished(cancel, walk.history) or any(e.status == 404 for e in (*before, *after))


def _idle_claim(walk: Walk, before: frozenset[State]) -> str:
    if walk.settled and not before & {State.READY}:
        return "cancel.settled-is-idle"
    return "cancel.finished-is-idle" if before <= FINISHED else "cancel.idle-is-404"
