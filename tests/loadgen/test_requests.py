"""A prepared request sends what the transport of a check sends, and its exchange is the one that a check makes."""

from dataclasses import replace
from typing import get_args

import h11
import httpx
import pytest
import respx

from tests.answered import answer_of, head, request_of
from tests.answered import requests as recorded_requests
from tests.encodings import left
from tests.recorded import every, recorded
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Credential, Exchange
from touchstone.loadgen.client import Requests
from touchstone.target.bounds import KEPT_BYTES
from touchstone.target.call import LONG_BODY_BYTES, Answer, Call
from touchstone.target.keys import Keys
from touchstone.target.transport import Transport

URL = "http://127.0.0.1:8123/base/api"
KEYS = Keys("sk_live_0123456789/abc+def", "sk_live_second_account_key", "sk_live_restricted_account")
SECRETS = [str(key) for key in (KEYS.primary, KEYS.second, KEYS.restricted)]
REF = "default/demo@1.0.0"
CALLS = (
    *(Call("getBuild", REF, credential) for credential in get_args(Credential)),
    *(Call(operation, REF) for operation in ("startBuild", "cancelBuild", "streamBuildEvents", "getTemplate")),
    Call("startBuild", "default/a b/c@1.0.0+ü"),
    Call("publishTemplate", REF, query={"auto_build": "true", "a b": "&"}, body=b"{}"),
    Call("publishTemplate", REF, headers={"Content-Type": "application/yaml", "X-A": "1"}, body=b"a: \xff\x00"),
    Call(method="GET", path="/templates/..%2f/x/1/build?x=%2F&"),
    Call(method="PUT", path="/nowhere", credential="query"),
    Call("getBuild", REF, method="HEAD", headers={"User-Agent": "other"}),
)


def requests(url: str = URL, keys: Keys = KEYS) -> Requests:
    return Requests(url, keys, Contract.load())


def on_the_wire(call: Call, url: str = URL) -> tuple[str, str, dict[str, str], bytes]:
    """Method, target, headers and body as a server reads them, which keeps the connection."""
    server, its = h11.Connection(h11.SERVER), requests(url)
    server.receive_data(its.wire(its.prepared(call)))
    events: list[object] = []
    while server.their_state is h11.SEND_BODY or not events:
        events.append(server.next_event())
    first, *rest = (event for event in events if not isinstance(event, h11.EndOfMessage))
    assert isinstance(first, h11.Request)
    assert server.trailing_data == (b"", False)
    assert server.their_state is h11.DONE
    body = b"".join(bytes(part.data) for part in rest if isinstance(part, h11.Data))
    headers = {name.decode(): value.decode() for name, value in first.headers}
    assert len(headers) == len(first.headers)
    return first.method.decode(), first.target.decode(), headers, body


def transported(call: Call) -> tuple[Exchange, httpx.Request]:
    """The exchange that a transport makes of *call*, and what it sent."""
    with respx.mock() as router:
        route = router.route(url__startswith="http://127.0.0.1:8123").mock(return_value=httpx.Response(200))
        transport = Transport(URL, KEYS, Contract.load(), lambda _: None)
        try:
            return transport.send(call, "case"), route.calls.last.request
        finally:
            transport.close()


def exchange_of(answer: Answer, operation: str = "getBuild") -> Exchange:
    its = requests()
    return its.exchange(its.prepared(Call(operation, REF)), answer, 7, "x")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.operation}{call.method}{call.path}-{call.credential}")
def test_prepared_request_sends_what_the_transport_sends(call: Call) -> None:
    exchange, sent = transported(call)
    method, target, headers, body = on_the_wire(call)
    assert (method, target.encode(), body) == (sent.method, sent.extensions["target"], sent.content)
    apart = {"connection", "accept-encoding"}  # one connection a request or many, and nobody decodes here
    theirs = {name: value for name, value in sent.headers.items() if name not in apart}
    assert {name: value for name, value in headers.items() if name not in apart} == theirs
    assert headers["accept-encoding"] == "identity"
    made = requests().exchange(requests().prepared(call), Answer(), 1, "")
    assert (made.operation, made.ref, made.request) == (exchange.operation, exchange.ref, exchange.request)


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://127.0.0.1:8123/base/api", "127.0.0.1:8123", "/base/api/x"),
        ("http://builds.test:80", "builds.test", "/x"),
        ("http://bücher.test:81", "xn--bcher-kva.test:81", "/x"),
        ("http://me:secret@builds.test", "builds.test", "/x"),
    ],
)
def test_host_is_the_authority_of_the_target(url: str, host: str, target: str) -> None:
    _, sent, headers, _ = on_the_wire(Call(method="GET", path="/x"), url)
    assert (headers["host"], sent) == (host, target)


def test_key_that_the_run_lacks_is_an_error_and_no_repr_has_one() -> None:
    request = requests().prepared(Call("publishTemplate", REF, "query", body=KEYS.primary.encode()))
    assert KEYS.primary.encode() in requests().wire(request)
    assert left(repr(request), SECRETS) == set()
    with pytest.raises(LookupError, match="second"):
        requests(keys=Keys("sk_live_only_this_one")).prepared(Call("getBuild", REF, "second"))


@pytest.mark.parametrize("name", every())
def test_recorded_exchange_comes_of_its_request_and_its_answer(name: str) -> None:
    its = recorded_requests()
    for exchange in recorded(name).exchanges:
        again = its.exchange(request_of(exchange, its), answer_of(exchange), exchange.seq, exchange.case)
        headers = {name.lower(): value for name, value in exchange.request.headers}
        assert {name.lower(): value for name, value in again.request.headers} == headers
        assert replace(again, request=replace(again.request, headers=exchange.request.headers)) == exchange


def test_incomplete_answer_keeps_what_came_and_no_key() -> None:
    nothing = Answer(sent_at=1.0, done_at=3.0, error=f"ReadTimeout: no byte for {KEYS.primary}")
    exchange = exchange_of(nothing)
    assert (exchange.response, exchange.status, exchange.head_at, exchange.seq) == (None, 0, 3.0, 7)
    assert exchange.error == "ReadTimeout: no byte for <key:primary>"
    half = Answer(head(200), b'{"sta', sent_at=1.0, head_at=1.5, done_at=2.0, error="RemoteProtocolError: broke off")
    exchange = exchange_of(half)
    assert exchange.response
    assert (exchange.response.body, exchange.head_at, exchange.error) == (half.body, 1.5, half.error)


@pytest.mark.parametrize(
    ("left_bytes", "more_bytes", "error"), [(1, LONG_BODY_BYTES, ""), (17, 4_000, "RemoteProtocolError")]
)
def test_key_across_the_end_of_what_is_kept_is_marked(left_bytes: int, more_bytes: int, error: str) -> None:
    body = b"x" * (KEPT_BYTES - left_bytes) + KEYS.primary.encode() + b"y" * more_bytes
    exchange = exchange_of(Answer(head(200), body, error=error))
    assert exchange.response
    assert len(exchange.response.body) == KEPT_BYTES
    assert exchange.response.body.lstrip(b"x") == (b"<key:primary>" + b"y" * 99)[:left_bytes]


def test_key_across_pieces_of_a_stream_is_in_no_piece() -> None:
    body = b"data: " + KEYS.primary.encode() + b"\n\n"
    for cut in range(len(body) + 1):
        answer = Answer(head(), body, [(0.1, body[:cut]), (0.2, body[cut:])], closed="client")
        exchange = exchange_of(answer, "streamBuildEvents")
        assert exchange.response
        assert exchange.response.body == b"data: <key:primary>\n\n"
        assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
        assert left(repr(exchange), SECRETS) == set()
        assert exchange.closed == "client"
