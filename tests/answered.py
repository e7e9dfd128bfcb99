"""Answers as a load gets them, made by hand or of recorded exchanges."""

import functools
from collections.abc import Sequence
from dataclasses import replace

from tests.distorted import distorted
from tests.recorded import every, recorded
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.client import PreparedRequest, Requests
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.replay import KEYS, given_of
from touchstone.rules.history import Bounds, History
from touchstone.target.answer import Answer, Head
from touchstone.target.call import Call, Keys

JSON = (("Content-Type", "application/json"),)


def head(status: int = 200, headers: Sequence[tuple[str, str]] = JSON) -> Head:
    """A head as the client of a load gives it, names in small letters."""
    return Head(status, tuple((name.lower(), value) for name, value in headers))


def answer_of(exchange: Exchange) -> Answer:
    """What a load gets where *exchange* was had."""
    response = exchange.response
    return Answer(
        head=head(response.status, response.headers) if response else None,
        body=response.body if response else b"",
        chunks=[(chunk.at_s, chunk.data) for chunk in response.chunks] if response else [],
        sent_at=exchange.sent_at,
        head_at=exchange.head_at,
        done_at=exchange.done_at,
        error=exchange.error,
        closed=exchange.closed,
    )


def keys() -> Keys:
    """The keys that a replay shows."""
    return Keys(**KEYS)


def requests() -> Requests:
    """Requests to what was recorded."""
    return Requests(BASE_URL, keys(), Contract.load())


def call_of(exchange: Exchange) -> Call:
    """The call that sends the request of a recorded exchange again."""
    target = exchange.request.url.removeprefix(BASE_URL)
    if exchange.credential == "query":
        # The transport adds the key itself.
        target = target.replace("?api_key=<key:primary>", "").replace("&api_key=<key:primary>", "")
    streamed = exchange.response is not None and bool(exchange.response.chunks)
    publishes = exchange.operation == "publishTemplate"
    return Call(
        # What a request is about follows from its path; only of a publish the path does not tell it.
        operation=exchange.operation if publishes else "",
        ref=exchange.ref if publishes else None,
        credential=exchange.credential,
        method=exchange.request.method,
        path=target,
        # Names as we write them: one that is written otherwise would stand beside our own.
        headers={name.title(): value for name, value in exchange.request.headers},
        body=exchange.request.body,
        note=exchange.note,
        stream_s=max(1.0, exchange.elapsed_s) if streamed else 0.0,
    )


def request_of(exchange: Exchange, its: Requests) -> PreparedRequest:
    """The request that asks again what *exchange* asked."""
    call = call_of(exchange)
    # The recording has a marker where its key was; the request shows one.
    headers = {name: value for name, value in call.headers.items() if "<key:" not in value}
    return its.prepared(replace(call, operation=exchange.operation, ref=exchange.ref, headers=headers))


def set_up(recording: Recording) -> History:
    """What was known before a load run that asked the same: the contract, what was given, and what was published."""
    return known_after(recording, [one for one in recording.exchanges if one.operation == "publishTemplate"])


def known_after(recording: Recording, exchanges: Sequence[Exchange]) -> History:
    """What is known when all *exchanges* are over."""
    bounds = Bounds(recording.terms.build_timeout_s, recording.terms.cancel_timeout_s)
    known = History(Contract.load(), bounds, given=given_of(recording))
    for exchange in exchanges:
        known.add(exchange)
    return known


@functools.cache
def corpus() -> tuple[tuple[Recording, tuple[Exchange, ...]], ...]:
    """
    Every recording with its exchanges as they were, and with a third of them as a server out of its mind gives them.
    """
    wrong = ((r, tuple(distorted(r.exchanges, seed, 0.35))) for seed in (1, 2) for r in map(recorded, every()))
    return (*((recorded(name), recorded(name).exchanges) for name in every()), *wrong)
