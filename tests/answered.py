"""Responses and requests of the load client, made from recorded exchanges."""

import functools
from collections.abc import Sequence
from dataclasses import replace

from tests.distorted import distorted
from tests.recorded import every, recorded
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.client import Requests
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.replay import given_of
from touchstone.rules.history import Bounds, History
from touchstone.target.call import Answer, Call, Head, OutgoingRequest
from touchstone.target.keys import Keys

JSON = (("Content-Type", "application/json"),)


def head(status: int = 200, headers: Sequence[tuple[str, str]] = JSON) -> Head:
    """A response head as the load client returns it, with lower-case names."""
    return Head(status, tuple((name.lower(), value) for name, value in headers))


def answer_of(exchange: Exchange) -> Answer:
    """The load client's response for *exchange*."""
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
    """The keys of a replay."""
    return Keys("sk_live_test_replayed_primary", "sk_live_test_replayed_second", "sk_live_test_replayed_restricted")


def requests() -> Requests:
    """Requests to the base URL of recordings."""
    return Requests(BASE_URL, keys(), Contract.load())


def call_of(exchange: Exchange) -> Call:
    """The call that repeats a recorded exchange."""
    target = exchange.request.url.removeprefix(BASE_URL)
    if exchange.credential == "query":
        # The transport adds the key itself.
        target = target.replace("?api_key=<key:primary>", "").replace("&api_key=<key:primary>", "")
    streamed = exchange.response is not None and bool(exchange.response.chunks)
    publishes = exchange.operation == "publishTemplate"
    return Call(
        # The path contains operation and ref, except for a publish.
        operation=exchange.operation if publishes else "",
        ref=exchange.ref if publishes else None,
        credential=exchange.credential,
        method=exchange.request.method,
        path=target,
        # Our spelling of names: another one would be a second header.
        headers={name.title(): value for name, value in exchange.request.headers},
        body=exchange.request.body,
        note=exchange.note,
        stream_s=max(1.0, exchange.elapsed_s) if streamed else 0.0,
    )


def request_of(exchange: Exchange, its: Requests) -> OutgoingRequest:
    """The prepared request that repeats *exchange*."""
    call = call_of(exchange)
    # The recording has a marker instead of the key; the request has a key.
    headers = {name: value for name, value in call.headers.items() if "<key:" not in value}
    return its.prepared(replace(call, operation=exchange.operation, ref=exchange.ref, headers=headers))


def set_up(recording: Recording) -> History:
    """The history before a load run that repeats *recording*: contract, given contents and publishes."""
    return history_of(recording, [one for one in recording.exchanges if one.operation == "publishTemplate"])


def history_of(recording: Recording, exchanges: Sequence[Exchange]) -> History:
    """The history after *exchanges*."""
    bounds = Bounds(recording.terms.build_timeout_s, recording.terms.cancel_timeout_s)
    known = History(Contract.load(), bounds, given=given_of(recording))
    for exchange in exchanges:
        known.add(exchange)
    return known


@functools.cache
def corpus() -> tuple[tuple[Recording, tuple[Exchange, ...]], ...]:
    """Every recording, with its own exchanges and twice with a third of them distorted."""
    wrong = ((r, tuple(distorted(r.exchanges, seed, 0.35))) for seed in (1, 2) for r in map(recorded, every()))
    return (*((recorded(name), recorded(name).exchanges) for name in every()), *wrong)
