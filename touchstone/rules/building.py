"""
The life-cycle rule: replays the story of a version and judges each answer against what its builds can have become.
"""

from collections.abc import Iterator

from touchstone.exchange import Exchange
from touchstone.finding import Judgement
from touchstone.lifecycle import State
from touchstone.rules import cancels, reads, starts
from touchstone.rules.history import Content, History
from touchstone.rules.rule import rule
from touchstone.rules.walk import ANYTHING, MUTATING, Build, Walk


@rule("building.life-cycle", *starts.CLAIMS, *cancels.CLAIMS, *reads.CLAIMS)
def life_cycle(ref: str, history: History) -> Iterator[Judgement]:
    """
    Each answer about *ref* agrees with a possible course of its builds.
    """
    if not history.contents(ref):
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


RULES = (life_cycle,)


def _sent(walk: Walk, exchange: Exchange, now: float) -> None:
    if exchange.operation in MUTATING and walk.takes_effect(exchange):
        if walk.open:
            walk.overlapping |= {exchange.seq, *(other.seq for other in walk.open)}
        walk.overlapping |= set(walk.windows)
        walk.open.append(exchange)
    elif walk.open:
        walk.overlapping.add(exchange.seq)
    # One state is certain only if nothing else was in flight; the window keeps all that were possible meanwhile.
    walk.windows[exchange.seq] = walk.reach(now)


def _widen(walk: Walk, now: float) -> None:
    """
    Adds what is possible at *now* to the windows of the requests still in flight.
    """
    if walk.windows:
        possible = walk.reach(now)
        for seq in walk.windows:
            walk.windows[seq] |= possible


def _done(walk: Walk, exchange: Exchange, now: float) -> Iterator[Judgement]:
    at_sent = walk.windows.get(exchange.seq, ANYTHING)
    if exchange in walk.open:
        walk.open.remove(exchange)
    # The window of a mutating request holds its own effect too; what was possible without it is judged instead.
    without = _window_without(walk, exchange, at_sent, now)
    walk.windows[exchange.seq] = at_sent | walk.reach(now)
    if exchange.operation == "getBuild":
        if exchange.status == 200 and walk.owns(exchange) and exchange.request.method == "GET":
            yield from reads.judge_read(walk, exchange)
    else:
        yield from _mutated(walk, exchange, without, now)
    walk.windows.pop(exchange.seq, None)


def _window_without(walk: Walk, exchange: Exchange, window: frozenset[State], now: float) -> frozenset[State]:
    if exchange.seq in walk.overlapping:
        return window | walk.reach(now)
    return walk.reach(now)


def _mutated(walk: Walk, exchange: Exchange, before: frozenset[State], now: float) -> Iterator[Judgement]:
    if exchange.request.method in ("HEAD", "OPTIONS"):
        return
    owned = walk.owns(exchange)
    if exchange.operation == "startBuild" and owned and walk.content:
        yield from starts.judge_start(walk, exchange, before)
    if exchange.operation == "cancelBuild" and owned and walk.content:
        yield from cancels.judge_cancel(walk, exchange, before)
    if not 200 <= exchange.status < 300:
        _without_success(walk, exchange, before, owned, now)
    elif not owned and exchange.operation != "publishTemplate":
        walk.possible = walk.reach(now) | walk.effect(exchange, walk.reach(now))
    elif exchange.operation == "startBuild":
        _started(walk, exchange, before)
    elif exchange.operation == "cancelBuild":
        cancels.apply_cancel(walk, exchange, before)
    elif exchange.operation == "deleteTemplate":
        walk.begin(None)
    else:
        _published(walk, exchange)


def _without_success(walk: Walk, exchange: Exchange, before: frozenset[State], owned: bool, now: float) -> None:
    if exchange.operation == "cancelBuild" and exchange.status == 404 and owned:
        cancels.apply_cancel(walk, exchange, before)
    elif walk.takes_effect(exchange):
        walk.possible = walk.reach(now) | walk.effect(exchange, walk.reach(now))
    elif exchange.operation in MUTATING:
        walk.refused.append(exchange)


def _started(walk: Walk, start: Exchange, before: frozenset[State]) -> None:
    overlapped = start.seq in walk.overlapping
    starts.apply_start(walk, start, before, overlapped)
    if overlapped:
        # Any order of what overlapped is possible, so nothing that was possible before is ruled out.
        walk.possible |= before - {State.NOT_BUILT} if start.body.get("status") == "building" else before


def _published(walk: Walk, exchange: Exchange) -> None:
    content = _content_of(walk, exchange)
    if content is None:
        walk.possible = ANYTHING
    elif walk.content is None or content.key != walk.content.key:
        walk.begin(content)
    if exchange.note.get("auto_build") and content:
        walk.possible = ANYTHING
        walk.build = Build(exchange, exchange.sent_at, False, "", walk.cancels > 0)


def _content_of(walk: Walk, exchange: Exchange) -> Content | None:
    """
    What the version holds after this publish; None where the history does not know.
    """
    contents = walk.history.contents(walk.ref)
    return next((c for c in reversed(contents) if c.from_at <= exchange.sent_at), None)
