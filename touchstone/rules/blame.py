"""Finds the claim that an impossible status breaks.

The most special claim that fits is to blame, unless the same thing happens where nothing special was done.
"""

from touchstone.contract.lifecycle import State, statuses
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import SUCCESS
from touchstone.rules.anyway import (
    begins_anyway,
    changes_anyway,
    fails_anyway,
    outlives_a_cancel,
    outlives_others,
    vanishes_anyway,
)
from touchstone.rules.course import says_building
from touchstone.rules.rule import broken
from touchstone.rules.walk import NEVER_AT, UNDER_WAY, Walk

STARTS = frozenset({"startBuild", "publishTemplate"})
CANCELS = frozenset({"cancelBuild", "deleteTemplate"})

_Blamed = tuple[str, tuple[Exchange, ...]]


def blame(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Judgement:
    """The judgement on a read that shows *status* where only *before* was possible."""
    claim, evidence = _blamed(walk, read, status, before)
    possible = " or ".join(sorted(statuses(before))) or "no status at all"
    return broken(claim, *evidence, read, expected=f"status {possible}", actual=f"status {status}")


def _blamed(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> _Blamed:
    last = (walk.last_read,) if walk.last_read else ()
    if status == "building" and walk.denied:
        return "cancel.in-flight-is-202", (walk.denied,)
    if not before & UNDER_WAY and State.READY in before:
        # That it was over follows from a cancel alone; no read has shown how it ended.
        return _wrong_end(walk, read, status) if walk.denied and walk.build else _lost_golden(walk, read, last)
    if before == {State.FAILED}:
        return _lost_failure(walk, last)
    if State.BUILDING in before and walk.build:
        return _wrong_end(walk, read, status)
    if status == "not_built" and (start := _last_start(walk, read)):
        return "start.visible-to-next-read", (start,)
    if walk.cancel and status == "ready":
        return "cancel.does-not-end-ready", (walk.cancel,)
    if walk.settled and status == "building" and (publish := _published_since(walk, read)):
        return "status.changes-only-by-a-start", (publish,)
    return _began(walk, status, last)


def _began(walk: Walk, status: str, last: tuple[Exchange, ...]) -> _Blamed:
    """A version that nobody started, or not since its cancel has settled, and that is not idle any more."""
    suspect = None if begins_anyway(walk.history) else _refusal(walk, STARTS) or _late(walk)
    if suspect and status in (("building",) if walk.settled else ("building", "ready")):
        return suspect
    if walk.settled:
        return ("cancel.does-not-end-ready" if status == "ready" else "cancel.settles"), last
    if walk.replaced and status == "ready":
        return "reuse.only-identical-digest", last
    if not last:
        return "status.unbuilt-is-not-built", ()
    return "status.changes-only-by-a-start", last


def _lost_failure(walk: Walk, last: tuple[Exchange, ...]) -> _Blamed:
    if not changes_anyway(walk.history, walk.ref):
        if suspect := _refusal(walk, STARTS):
            return suspect
        if suspect := _idle_cancel(walk):
            return suspect
    return "status.failed-stays-failed", last


def _shows_other_content(walk: Walk, read: Exchange) -> bool:
    """Whether the digest in a read is not the one of what was published."""
    published, shown = walk.content.digest if walk.content else "", read.body.get("digest")
    return bool(published) and isinstance(shown, str) and shown != published


def _lost_golden(walk: Walk, read: Exchange, last: tuple[Exchange, ...]) -> _Blamed:
    if not changes_anyway(walk.history, walk.ref):
        if suspect := _refusal(walk, CANCELS | STARTS):
            return suspect
        elsewhere = walk.cancelled_elsewhere(last[0].done_at, read.sent_at) if last else None
        suspect = _idle_cancel(walk)
        if suspect and not (elsewhere and outlives_a_cancel("ready", walk.history)):
            return suspect
        if elsewhere and not (_started_since(last[0], read, walk) and outlives_others(walk.history)):
            return "cancel.keeps-neighbours", (elsewhere,)
        if walk.build and walk.build.overlapped and not _shows_other_content(walk, read):
            return "start.concurrent-share-one-build", (walk.build.start, *last)
    return "status.ready-stays-ready", last


def _wrong_end(walk: Walk, read: Exchange, status: str) -> _Blamed:
    """A build under way that reads as something it cannot have become."""
    build = walk.build
    assert build
    evidence = (build.start,)
    first = walk.last_read is None or walk.last_read.sent_at < build.start.done_at
    if status == "ready":
        failing = walk.content is not None and walk.content.outcome == "failed"
        return ("status.failing-template-ends-failed" if failing else "status.ready-after-its-steps"), evidence
    if not fails_anyway(walk.history):
        if suspect := _refusal(walk, CANCELS):
            return suspect
        if elsewhere := walk.cancelled_elsewhere(build.start.sent_at, read.done_at):
            return "cancel.keeps-neighbours", (build.start, elsewhere)
        joined = build.joined and (not walk.last_read or walk.last_read.sent_at < build.joined.done_at)
        if build.after_cancel and not joined:
            return "cancel.next-build-completes", evidence
        if build.overlapped:
            return "start.concurrent-share-one-build", evidence
        if build.joined:
            return "start.while-building-is-harmless", (build.start, build.joined)
        since = build.start if first or walk.last_read is None else walk.last_read
        if not vanishes_anyway(walk.history) and (elsewhere := _idle_cancel_elsewhere(walk, since, read)):
            return "cancel.keeps-neighbours", (build.start, elsewhere)
    if first and status in (build.before, "not_built") and not vanishes_anyway(walk.history):
        return "start.visible-to-next-read", evidence
    return ("status.build-does-not-vanish" if status == "not_built" else "status.good-template-ends-ready"), evidence


def _started_since(before: Exchange, after: Exchange, walk: Walk) -> bool:
    """
    Whether a build of another version of the owner began between two exchanges, which may have cost this one its place.
    """
    return any(
        says_building(e)
        and e.ref != walk.ref
        and walk.owns(e)
        and before.done_at <= e.done_at
        and e.sent_at < after.sent_at
        for e in walk.history.exchanges
    )


def _idle_cancel_elsewhere(walk: Walk, last: Exchange, read: Exchange) -> Exchange | None:
    """A cancel of another version of the owner that found nothing, between two exchanges about this one."""
    for exchange in walk.history.exchanges:
        idle = exchange.operation == "cancelBuild" and exchange.status == 404 and exchange.ref != walk.ref
        between = last.done_at <= exchange.done_at and exchange.sent_at < read.sent_at
        if idle and between and walk.owns(exchange):
            return exchange
    return None


def _published_since(walk: Walk, read: Exchange) -> Exchange | None:
    """The publish without auto_build that was accepted since the last read before *read*."""
    last = walk.last_read
    for exchange in walk.history.story(walk.ref):
        plain = exchange.operation == "publishTemplate" and not exchange.note.get("auto_build")
        if plain and exchange.status in SUCCESS and last and last.done_at <= exchange.sent_at < read.sent_at:
            return exchange
    return None


def _last_start(walk: Walk, read: Exchange) -> Exchange | None:
    """The last start between the last read and *read* that was acknowledged, with a build or with a golden."""
    since_at = walk.last_read.done_at if walk.last_read else NEVER_AT
    acknowledged = (e for e in walk.history.story(walk.ref) if e.operation == "startBuild" and e.status in SUCCESS)
    starts = (e for e in acknowledged if since_at <= e.sent_at and e.done_at <= read.sent_at)
    return max(starts, key=lambda e: e.done_at, default=None)


def _late(walk: Walk) -> _Blamed | None:
    """The start that a limit refused before the last read."""
    return ("limit.refused-start-starts-nothing", (walk.refused_late[-1],)) if walk.refused_late else None


def _idle_cancel(walk: Walk) -> _Blamed | None:
    """The cancel that found nothing, where no read since has shown that it changed nothing."""
    cancel, last = walk.idle_cancel, walk.last_read
    if cancel is None or (last and last.sent_at >= cancel.done_at):
        return None
    return "cancel.keeps-finished-golden", (cancel,)


def _refusal(walk: Walk, operations: frozenset[str]) -> _Blamed | None:
    """The refused request since the last read that could explain a change, and the claim that it would break."""
    return next(((claim, (refused,)) for claim, refused in walk.refusals(operations).items()), None)
