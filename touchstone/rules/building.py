"""
The life-cycle rule: replays the story of a version and judges each answer against what its builds can have become.
"""

from collections.abc import Iterator

from touchstone.contract.lifecycle import State
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules import cancels, reads, starts
from touchstone.rules.history import History
from touchstone.rules.requests import excused, spelling
from touchstone.rules.rule import rule
from touchstone.rules.walk import ANYTHING, EXCHANGING, NEVER_AT, Flight, Walk, lost


@rule("building.life-cycle", *starts.CLAIMS, *cancels.CLAIMS, *reads.CLAIMS)
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


RULES = (life_cycle,)


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
            yield from reads.judge_read(walk, flight)
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
        yield from starts.judge_start(walk, flight)
    if exchange.operation == "cancelBuild":
        yield from cancels.judge_cancel(walk, exchange, flight.window)


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
            cancels.apply_cancel(walk, exchange, flight.window)
    elif lost(exchange) or not walk.owns(exchange) or not flight.beside <= {exchange.operation}:
        _blurred(walk, flight)
    elif exchange.operation == "startBuild":
        starts.apply_start(walk, flight, exchange.body.get("status"))
    else:
        cancels.apply_cancel(walk, exchange, flight.window)


def _blurred(walk: Walk, flight: Flight) -> None:
    """The request took effect in any order with others, or may have."""
    walk.possible |= flight.window | walk.effect(flight.exchange, flight.window)
    walk.doubt()
    if flight.exchange.operation == "startBuild":
        starts.note_build(walk, flight, surely_begun=False)
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
        starts.apply_start(walk, flight, "ready" if ready else flight.exchange.body.get("auto_build"))


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
