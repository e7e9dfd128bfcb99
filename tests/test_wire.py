"""
A prepared request says what the transport of a check says, and what comes of it is the exchange that a check makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

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
from touchstone.loadgen.client import LONG_BODY_BYTES, PreparedRequest, Requests
from touchstone.target.answer import Answer
from touchstone.target.bounds import KEPT_BYTES
from touchstone.target.call import Call, Keys
from touchstone.target.transport import Transport

URL = "http://127.0.0.1:8123/base/api"
KEYS = Keys("sk_live_0123456789/abc+def", "sk_live_second_account_key", "sk_live_restricted_account")
SECRETS = [str(key) for key in (KEYS.primary, KEYS.second, KEYS.restricted)]
REF = "default/demo@1.0.0"
CREDENTIALS: tuple[Credential, ...] = (
    *("primary", "second", "restricted", "none", "unknown", "longer", "shorter", "recased", "malformed", "query"),
    "lowercase-scheme",
)
CALLS = (
    *(Call("getBuild", REF, credential) for credential in CREDENTIALS),
    *(Call(operation, REF) for operation in ("startBuild", "cancelBuild", "streamBuildEvents", "getTemplate")),
    Call("startBuild", "default/a b/c@1.0.0+ü"),
    Call("publishTemplate", REF, query={"auto_build": "true", "a b": "&"}, body=b"{}"),
    Call("publishTemplate", REF, headers={"Content-Type": "application/yaml", "X-A": "1"}, body=b"a: \xff\x00"),
    Call("publishTemplate", REF, headers={"Accept": "text/plain"}, note={"content": "hello"}),
    Call(method="GET", path="/templates/..%2f/x/1/build?x=%2F&"),
    Call(method="POST", path="/templates/default/d%65mo/1.0.0/build"),
    Call(method="PATCH", path="/templates/default/demo/1.0.0/build"),
    Call(method="PUT", path="/nowhere", credential="query"),
    Call("getBuild", REF, method="HEAD", headers={"User-Agent": "other"}),
)


def requests(url: str = URL, keys: Keys = KEYS) -> Requests:
    return Requests(url, keys, Contract.load())


def on_the_wire(request: PreparedRequest) -> tuple[str, str, dict[str, str], bytes, bool]:
    """Method, target, headers and body as a server reads them, and whether it may keep the connection."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(request.wire)
    events: list[object] = []
    while server.their_state is h11.SEND_BODY or not events:
        events.append(server.next_event())
    asked, *rest = (event for event in events if not isinstance(event, h11.EndOfMessage))
    assert isinstance(asked, h11.Request)
    assert server.trailing_data == (b"", False)
    body = b"".join(bytes(part.data) for part in rest if isinstance(part, h11.Data))
    headers = {name.decode(): value.decode() for name, value in asked.headers}
    assert len(headers) == len(asked.headers)
    return asked.method.decode(), asked.target.decode(), headers, body, server.their_state is h11.DONE


def transported(
    call: Call, status: int, headers: Sequence[tuple[str, str]], body: bytes
) -> tuple[Exchange, httpx.Request]:
    """The exchange that a transport makes of *call*, and what it sent."""
    with respx.mock() as router:
        answer = httpx.Response(status, headers=list(headers), content=body)
        route = router.route(url__startswith="http://127.0.0.1:8123").mock(return_value=answer)
        transport = Transport(URL, KEYS, Contract.load(), lambda _: None)
        try:
            return transport.send(call, "case"), route.calls.last.request
        finally:
            transport.close()


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.operation}{call.method}{call.path}-{call.credential}")
def test_shot_says_what_the_transport_says(call: Call) -> None:
    """Method, target, Host, body and every header that the transport was given are on the wire as it sends them."""
    exchange, sent = transported(call, 200, [], b"")
    request = requests().prepared(call)

    method, target, headers, body, stays_open = on_the_wire(request)

    assert (method, target.encode()) == (sent.method, sent.extensions["target"])
    assert body == sent.content
    apart = {"connection", "accept-encoding"}  # one connection a request or many, and nobody decodes here
    theirs = {name: value for name, value in sent.headers.items() if name not in apart}
    assert {name: value for name, value in headers.items() if name not in apart} == theirs
    assert headers["accept-encoding"] == "identity"
    assert stays_open
    assert (request.operation, request.ref, request.request.method) == (exchange.operation, exchange.ref, method)
    assert request.request == exchange.request


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("GET", b"x", "1"),
        ("POST", b"", "0"),
        ("PUT", b"", "0"),
        ("PATCH", b"", "0"),
        ("POST", b"\xff" * 70_000, "70000"),
    ],
)
def test_length_is_said_where_there_may_be_a_body(method: str, body: bytes, length: str | None) -> None:
    """Content-Length is there with a body, and without one for the methods that have one as a rule."""
    headers = on_the_wire(requests().prepared(Call(method=method, path="/x", body=body)))[2]
    assert headers.get("content-length") == length


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://127.0.0.1:8123/base/api", "127.0.0.1:8123", "/base/api/x"),
        ("http://builds.test:80", "builds.test", "/x"),
        ("https://builds.test:443/api", "builds.test", "/api/x"),
        ("https://builds.test:80", "builds.test:80", "/x"),
        ("http://[::1]:9/a", "[::1]:9", "/a/x"),
        ("http://bücher.test:81", "xn--bcher-kva.test:81", "/x"),
        ("http://me:secret@builds.test", "builds.test", "/x"),
    ],
)
def test_host_is_the_authority_of_the_target(url: str, host: str, target: str) -> None:
    """Host names the server without who signs in and without a port that goes without saying; the base path is kept."""
    _, sent, headers, _, _ = on_the_wire(requests(url).prepared(Call(method="GET", path="/x")))
    assert (headers["host"], sent) == (host, target)


def test_key_that_the_run_lacks_is_a_mistake() -> None:
    """A scenario must not ask for a key that there is not."""
    with pytest.raises(LookupError, match="second"):
        requests(keys=Keys("sk_live_only_this_one")).prepared(Call("getBuild", REF, "second"))


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_repr_of_a_shot_shows_no_key(credential: Credential) -> None:
    """Whatever prints a request prints no part of a key, whose bytes are in it."""
    call = Call("publishTemplate", REF, credential, body=KEYS.primary.encode(), headers={"X-A": str(KEYS.second)})
    request = requests().prepared(call)
    assert KEYS.primary.encode() in request.wire
    assert left(repr(request), SECRETS) == set()
    assert left(repr(request.request), SECRETS) == set()


# --- one request for equal calls -------------------------------------------------------------------------------------


def test_equal_calls_get_one_shot() -> None:
    """A call that says the same is the same request, so that whoever knows a request knows its call."""
    its = requests()
    made = [its.prepared(replace(call, query=dict(call.query), note=dict(call.note))) for call in CALLS]
    assert all(again is request for again, request in zip(map(its.prepared, CALLS), made, strict=True))
    assert len(set(made)) == len(CALLS)


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "startBuild"},
        {"ref": "default/demo@1.0.1"},
        {"credential": "second"},
        {"method": "HEAD"},
        {"path": "/x"},
        {"query": {"a": "1"}},
        {"headers": {"X-A": "1"}},
        {"body": b"1"},
        {"note": {"invalid": "empty"}},
    ],
)
def test_other_call_gets_another_shot(change: Mapping[str, Any]) -> None:
    """Whatever of a call a rule or a server can tell makes another request, and the note is part of it."""
    its = requests()
    call = Call("getBuild", REF)
    other = its.prepared(replace(call, **change))
    assert other is not its.prepared(call)
    assert other.call.note == change.get("note", {})


# --- what comes of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, [("Content-Type", "application/json"), ("X-A", "1"), ("x-a", "2")], b'{"status": "ready"}'),
        (401, [("X-Echo", f"is {KEYS.primary}?")], b'{"error": "%b"}' % quote(KEYS.primary, safe="").encode()),
        (429, [("Set-Cookie", "session=abc"), ("Retry-After", "1")], KEYS.primary.encode() + b"\xff\x00"),
        (500, [("Location", f"/x?api_key={KEYS.second}")], b"<html>"),
        (204, [], b""),
    ],
)
def test_exchange_is_the_one_of_the_transport(status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    """Of one answer the two make one exchange, and no key is in it."""
    call = Call("getBuild", REF, note={"a": 1})
    wanted, _ = transported(call, status, headers, body)
    assert wanted.response
    given = [*headers, *((n, v) for n, v in wanted.response.headers if n == "content-length")]
    its = requests()

    exchange = its.exchange(its.prepared(call), Answer(head(status, given), body), wanted.seq, "case")

    timed = replace(exchange, sent_at=wanted.sent_at, head_at=wanted.head_at, done_at=wanted.done_at)
    assert timed == wanted
    assert left(repr(exchange), SECRETS) == set()


@pytest.mark.parametrize("name", every())
def test_recorded_exchange_comes_of_its_shot_and_its_answer(name: str) -> None:
    """
    Every recorded exchange is made again of the request that it names and of the bytes that came, streams included.
    """
    its = recorded_requests()
    for exchange in recorded(name).exchanges:
        made = its.exchange(request_of(exchange, its), answer_of(exchange), exchange.seq, exchange.case)
        told = {name.lower(): value for name, value in exchange.request.headers}
        assert {name.lower(): value for name, value in made.request.headers} == told
        assert replace(made, request=replace(made.request, headers=exchange.request.headers)) == exchange


def test_answer_without_a_head_is_an_error_without_a_response() -> None:
    """Where no head came there is no response, the head's time is the end's, and the error is told without a key."""
    its = requests()
    answer = Answer(sent_at=1.0, done_at=3.0, error=f"ReadTimeout: no byte for {KEYS.primary}")
    exchange = its.exchange(its.prepared(Call("getBuild", REF)), answer, 7, "x")
    assert (exchange.response, exchange.status, exchange.head_at, exchange.seq) == (None, 0, 3.0, 7)
    assert exchange.error == "ReadTimeout: no byte for <key:primary>"


def test_answer_that_broke_off_keeps_what_came() -> None:
    """A body that is not whole is kept beside the reason."""
    its = requests()
    answer = Answer(head(200), b'{"sta', sent_at=1.0, head_at=1.5, done_at=2.0, error="RemoteProtocolError: broke off")
    exchange = its.exchange(its.prepared(Call("getBuild", REF)), answer, 1, "")
    assert exchange.response
    assert (exchange.status, exchange.response.body, exchange.error) == (
        200,
        b'{"sta',
        "RemoteProtocolError: broke off",
    )


@pytest.mark.parametrize("left_bytes", [1, 17, 25])
@pytest.mark.parametrize(
    ("more_bytes", "told"),
    [(LONG_BODY_BYTES, {}), (4_000, {"error": "RemoteProtocolError"})],
)
def test_key_across_the_end_of_what_is_kept_is_marked(left_bytes: int, more_bytes: int, told: dict[str, Any]) -> None:
    """Of a long body a load keeps the beginning, and in that no beginning of a key."""
    its = requests()
    body = b"x" * (KEPT_BYTES - left_bytes) + KEYS.primary.encode() + b"y" * more_bytes
    answer = Answer(head(200), body, sent_at=1.0, head_at=1.5, done_at=2.0, **told)
    exchange = its.exchange(its.prepared(Call("getBuild", REF)), answer, 1, "")
    assert exchange.response
    assert len(exchange.response.body) == KEPT_BYTES
    assert exchange.response.body.lstrip(b"x") == (b"<key:primary>" + b"y" * 99)[:left_bytes]


@pytest.mark.parametrize("sent", [10, 17, 25])
def test_key_that_a_body_breaks_off_in_is_marked(sent: int) -> None:
    """Where an answer ends in the middle of a key, the beginning of it is not kept."""
    its = requests()
    body = b"key " + KEYS.primary[:sent].encode()
    answer = Answer(head(200), body, sent_at=1.0, head_at=1.5, done_at=2.0, error="RemoteProtocolError: broke off")
    exchange = its.exchange(its.prepared(Call("getBuild", REF)), answer, 1, "")
    assert exchange.response
    assert exchange.response.body == b"key <key:primary>"


def test_key_across_pieces_of_a_stream_leaves_no_piece() -> None:
    """A key that the network cut in two is in no chunk, however it was cut; who ended the stream is kept."""
    its = requests()
    request = its.prepared(Call("streamBuildEvents", REF))
    said = b"data: " + KEYS.primary.encode() + b"\n\n"
    for cut in range(len(said) + 1):
        chunks = [(0.1, said[:cut]), (0.2, said[cut:])]
        exchange = its.exchange(request, Answer(head(), said, chunks, closed="client"), 1, "")
        assert exchange.response
        assert exchange.response.body == b"data: <key:primary>\n\n"
        assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
        assert left(repr(exchange), SECRETS) == set()
        assert exchange.closed == "client"
