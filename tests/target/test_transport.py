"""Requests match their calls, exchanges are limited in size, and none contains a key."""

import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import respx

from tests.raw_server import listening
from touchstone.contract.document import Contract
from touchstone.facts.exchange import EXPIRED, Credential, Exchange
from touchstone.target.bounds import Bounds
from touchstone.target.call import Call, Leaves, asks_auto_build, may_publish, may_start
from touchstone.target.keys import KeyCommand, Keys
from touchstone.target.transport import Transport
from touchstone.twin import DEFAULT_ACCOUNTS, Twin, TwinSettings

URL = "http://127.0.0.1:8123/base/api"
KEYS = Keys("sk_live_0123456789/abc+def", "sk_live_second_account_key", "sk_live_restricted_account")
REF = "default/demo@1.0.0"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EMPTY = HEAD + b"Content-Length: 2\r\n\r\n{}"

Answer = Callable[[socket.socket], object]
Sender = Callable[..., Exchange]


@pytest.fixture
def send() -> Iterator[Sender]:
    """Sends a call and returns the recorded exchange."""
    opened: list[Transport] = []

    def run(call: Call, url: str = URL, keys: Keys = KEYS, timeout_s: float = 20.0) -> Exchange:
        recorded: list[Exchange] = []
        transport = Transport(url, keys, Contract.load(), recorded.append, timeout_s)
        opened.append(transport)
        exchange = transport.send(call, "case")
        assert recorded == [exchange]
        return exchange

    yield run
    for transport in opened:
        transport.close()


@contextmanager
def server(answer: Answer | bytes, requests: list[bytes] | None = None) -> Iterator[str]:
    """Serves the first request of each connection with *answer*, which is bytes or a function; yields the base URL."""

    def serve(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
            data += more
        if requests is not None:
            requests.append(data)
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection)

    with listening(serve) as url:
        yield url


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ("primary", f"Bearer {KEYS.primary}"),
        ("second", f"Bearer {KEYS.second}"),
        ("restricted", f"Bearer {KEYS.restricted}"),
        ("longer", f"Bearer {KEYS.primary}x"),
        ("shorter", f"Bearer {KEYS.primary[:-1]}"),
        ("recased", f"Bearer {KEYS.primary.swapcase()}"),
        ("malformed", f"Basic {KEYS.primary}"),
        ("lowercase-scheme", f"bearer {KEYS.primary}"),
        ("none", None),
        ("query", None),
    ],
)
def test_credential_is_sent_and_recorded_as_a_marker(send: Sender, credential: Credential, header: str | None) -> None:
    body = f"key: {KEYS.primary}".encode()
    with respx.mock() as router:
        route = router.post(url__startswith=URL).respond(json={})
        always = {"X-Env": ("TOKEN", "Bearer hush-12")}
        exchange = send(Call("publishTemplate", REF, credential, body=body), keys=replace(KEYS, always=always))
    request = route.calls.last.request
    target = request.extensions["target"].decode()
    assert (request.headers.get("Authorization"), request.content) == (header, body)
    assert target.startswith("/base/api/templates")
    assert (quote(KEYS.primary) in target) == (credential == "query")
    assert exchange.credential == credential
    assert (request.headers["X-Env"], dict(exchange.request.headers)["X-Env"]) == ("Bearer hush-12", "<env:TOKEN>")
    assert exchange.request.body == b"key: <key:primary>"
    assert not [key for key in (KEYS.primary[:-1], quote(KEYS.primary[:-1], safe="")) if key in repr(exchange)]


def test_call_fills_its_path_and_is_recorded(send: Sender) -> None:
    with respx.mock() as router:
        route = router.delete(url__startswith=URL).respond(201, json={"ref": REF})
        headers, body = {"X-A": "1"}, b"{}"
        call = Call(
            "cancelBuild", "default/a b/c@d@1.0.0+x", query={"a b": "&"}, headers=headers, body=body, note={"a": 1}
        )
        exchange = send(call)
    target = "/base/api/templates/default/a%20b%2Fc%40d/1.0.0%2Bx/build?a%20b=%26"
    assert route.calls.last.request.extensions["target"] == target.encode()
    assert route.calls.last.request.content == body
    assert exchange.request.url == f"http://127.0.0.1:8123{target}"
    assert ("X-A", "1") in exchange.request.headers
    assert (exchange.request.body, exchange.note, exchange.case, exchange.seq) == (body, {"a": 1}, "case", 1)
    assert 0 <= exchange.sent_at <= exchange.head_at <= exchange.done_at


@pytest.mark.parametrize("path", ["/..%2f/x/1/build", "/a/../b//c/build", "/%zz/%00/x", "/a/b/c/build?x=%2F&"])
def test_path_is_sent_byte_for_byte(send: Sender, path: str) -> None:
    requests: list[bytes] = []
    with server(EMPTY, requests) as url:
        exchange = send(Call(method="GET", path=f"/templates{path}"), url)
    assert requests[0].split(b"\r\n")[0] == b"GET /api/templates" + path.encode() + b" HTTP/1.1"
    assert (exchange.request.url, exchange.status) == (f"{url}/templates{path}", 200)


def test_redirect_is_not_followed(send: Sender) -> None:
    with respx.mock() as router:
        route = router.get(url__startswith=URL).respond(302, headers={"Location": "http://127.0.0.1:9/elsewhere"})
        exchange = send(Call("getBuild", REF))
    assert (exchange.status, route.call_count) == (302, 1)


def test_proxy_of_the_environment_is_not_used(send: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with server(EMPTY) as url:
        assert send(Call("getBuild", REF), url).status == 200


def test_cookie_is_not_sent_with_the_next_request() -> None:
    requests: list[bytes] = []
    answer = HEAD + b"Set-Cookie: session=abc; Path=/\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with server(answer, requests) as url:
        transport = Transport(url, KEYS, Contract.load(), lambda _: None)
        assert [transport.send(Call(method="GET", path="/x"), "case").status for _ in range(2)] == [200, 200]
        transport.close()
    assert b"cookie" not in requests[1].lower()


def test_missing_key_is_an_error_and_no_repr_has_keys(send: Sender) -> None:
    with pytest.raises(LookupError, match="second"):
        send(Call("getBuild", REF, "second"), keys=Keys("sk_live_only_this_one"))
    assert not [key for key in (KEYS.primary, KEYS.second, KEYS.restricted) if str(key) in repr(KEYS)]


@pytest.mark.parametrize(
    ("call", "publishes", "starts", "asks"),
    [
        (Call("publishTemplate", REF), True, False, False),
        (Call("publishTemplate", REF, query={"auto_build": "true"}), True, False, True),
        (Call("publishTemplate", REF, query={"auto_build": "false"}), True, False, False),
        (Call(method="put", path="//TEMPLATES/%2e/?auto_build=1"), True, False, True),
        (Call(method="POST", path="/templates?auto_build=false&force=true"), True, False, False),
        (Call(method="POST", path="/templates?auto_build=false&auto_build=true"), True, False, True),
        (Call(method="POST", path="/templates?auto%5Fbuild=False"), True, False, True),
        (Call("startBuild", REF), False, True, False),
        (Call(method="POST", path="/templates/a/b/x/../1/Build/"), False, True, False),
        (Call(method="GET", path="/templates/a/b/1/build"), False, False, False),
        (Call("getBuild", REF), False, False, False),
    ],
)
def test_call_that_acts_is_recognised_in_any_spelling(call: Call, publishes: bool, starts: bool, asks: bool) -> None:
    assert (may_publish(call), may_start(call), asks_auto_build(call)) == (publishes, starts, asks)


MANY_FIELDS = HEAD + b"X: y\r\n" * 254


def as_gzip(body: bytes) -> bytes:
    return HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("answer", "body", "error"),
    [
        (b"", None, "RemoteProtocolError: "),
        (b"HTTP/1.1 200", None, "RemoteProtocolError: "),
        (MANY_FIELDS + b"X: y\r\nContent-Length: 2\r\n\r\n{}", None, "RemoteProtocolError: the head has 257 lines"),
        (MANY_FIELDS + b"Content-Length: 2\r\n\r\n{}", b"{}", ""),
        (HEAD + b"X-Odd: caf\xe9\r\nContent-Length: 100\r\n\r\n{", b"{", "RemoteProtocolError: "),
        (as_gzip(gzip.compress(b"{}")), b"{}", ""),
        (as_gzip(b"nope"), b"", "DecodingError: "),
    ],
    ids=["nothing", "half-head", "many-fields", "most-fields", "torn", "gzip", "no-gzip"],
)  # fmt: skip
def test_broken_response_has_its_error(send: Sender, answer: bytes, body: bytes | None, error: str) -> None:
    opened = threading.Event()
    with server(answer) as url:
        exchange = send(Call("getBuild", REF, opened=opened), url)
    assert opened.is_set()
    assert (exchange.response.body if exchange.response else None) == body
    assert exchange.error.startswith(error)
    assert bool(exchange.error) == bool(error)


def test_unreachable_target_is_recorded_with_its_error(send: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    exchange = send(Call("getBuild", REF), f"http://127.0.0.1:{port}/api")
    assert (exchange.response, exchange.status, exchange.body) == (None, 0, {})
    assert exchange.error.startswith("ConnectError")
    assert exchange.head_at == exchange.done_at


@pytest.mark.timeout("30")
@pytest.mark.parametrize(
    ("head", "drop", "error"),
    [
        (b"", b"", "ReadTimeout"),
        (HEAD + b"X-Long: ", b"x", "ReadTimeout"),
        (HEAD + b"\r\n", b" ", "body not complete"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b" ", "body not complete"),
    ],
    ids=["silence", "head", "body", "announced-body"],
)
def test_slow_response_ends_at_the_time_out(send: Sender, head: bytes, drop: bytes, error: str) -> None:
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while not stop.wait(0.02):  # sooner than the time-out of one read
            connection.sendall(drop)

    with server(answer) as url:
        exchange = send(Call("getBuild", REF, timeout_s=0.2), url, timeout_s=300)
        stop.set()
    assert exchange.status == (200 if "body" in error else 0)
    assert exchange.error.startswith(error)
    assert "(0.2 s, because an earlier getBuild exceeded request_timeout_s = 300)" in exchange.error


def test_bodies_and_heads_beyond_the_total_limit_are_truncated(send: Sender) -> None:
    body, value = b'"' + b"x" * 9_000 + b'"', b"y" * 9_000
    with server(
        HEAD + b"Connection: close\r\nX-Long: %b\r\nContent-Length: %d\r\n\r\n" % (value, len(body)) + body
    ) as url:
        exchanges: list[Exchange] = []
        transport = Transport(url, KEYS, Contract.load(), exchanges.append, bounds=Bounds(max_total_bytes=10_000))
        for _ in range(2):
            transport.send(Call("getBuild", REF))
        transport.close()
    first, second = exchanges
    assert (transport.cut, transport.cut_heads, transport.resent) == (1, 1, 0)
    assert all(text in transport.remark for text in ("1 ", "max_total_bytes = 10000"))
    assert first.response
    assert second.response
    assert (first.error, first.response.body) == ("", body)
    assert second.error.startswith("OutOfRoom")
    assert second.response.body == body[:4096]
    assert len(str(second.response.header("x-long"))) < 300
    assert second.response.header("content-type") == "application/json"


def test_many_pieces_of_a_stream_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"%d\n" % number for number in range(1_500)]
    transport = Transport(URL, KEYS, Contract.load(), lambda _: None)
    monkeypatch.setattr(transport.clock, "now", lambda: 0.0)
    with respx.mock() as router:
        router.get(url__startswith=URL).mock(return_value=httpx.Response(200, content=iter(pieces)))
        response = transport.send(Call("streamBuildEvents", REF, stream_s=20.0)).response
    transport.close()
    assert response
    assert b"".join(chunk.data for chunk in response.chunks) == response.body == b"".join(pieces)
    assert len(response.chunks) == 1_000  # all within one moment


@pytest.fixture(scope="module")
def building() -> Iterator[Transport]:
    """A transport to a twin with a published version REF whose builds take very long."""
    document: dict[str, Any] = {"api_version": "orgo.ai/v1", "template": {"name": "demo", "version": "1.0.0"}}
    headers, body = {"Content-Type": "application/json"}, json.dumps(document).encode()
    with Twin(TwinSettings(build_s=600.0, settle_s=0.0)) as twin:
        transport = Transport(twin.url, Keys(DEFAULT_ACCOUNTS[0].key), Contract.load(), lambda _: None)
        assert transport.send(Call("publishTemplate", REF, headers=headers, body=body)).status == 201
        yield transport
        transport.close()


@pytest.mark.parametrize("ends", ["server", "event", "time"])
def test_stream_ends_with_its_build_its_event_or_its_time(building: Transport, ends: str) -> None:
    assert building.send(Call("startBuild", REF)).status == 202
    opened, until = threading.Event(), threading.Event()
    call = Call("streamBuildEvents", REF, stream_s=0.2 if ends == "time" else 60.0, opened=opened, until=until)
    done: list[Exchange] = []
    thread = threading.Thread(target=lambda: done.append(building.send(call)))
    thread.start()
    assert opened.wait(20)
    if ends == "server":
        assert building.send(Call("cancelBuild", REF)).status == 202
    elif ends == "event":
        until.set()
    thread.join(20)
    (exchange,) = done
    assert (exchange.status, exchange.closed, exchange.error) == (200, "server" if ends == "server" else "client", "")
    assert exchange.response
    times = [chunk.at_s for chunk in exchange.response.chunks]
    assert times == sorted(times)
    assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
    if ends != "server":
        assert building.send(Call("getBuild", REF)).body["status"] == "building"


def test_many_threads_share_one_transport(building: Transport) -> None:
    done: list[Exchange] = []
    barrier = threading.Barrier(8)

    def read() -> None:
        barrier.wait()
        done.append(building.send(Call("getBuild", REF)))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {exchange.status for exchange in done} == {200}
    assert len({exchange.seq for exchange in done}) == 8


OLD, NEW = KEYS.primary, "sk_live_renewed_qrstuvwx"


def test_expired_key_is_renewed_and_the_request_repeated(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(NEW)
    command, recorded = KeyCommand("place", "cat key", os.environ, str(tmp_path), [OLD]), list[Exchange]()
    transport = Transport(URL, KEYS, Contract.load(), recorded.append, command=command)
    own = {"Authorization": f"Bearer {OLD}"}  # of a case that sends a header of its own
    sent = [(OLD, 401), (OLD, 200), (OLD, 401), (OLD, 401), (NEW, 200), (NEW, 401)]
    with respx.mock() as router:
        route = router.get(url__startswith=URL)
        route.side_effect = [httpx.Response(status, json={"echo": OLD + NEW}) for _, status in sent]
        answers = [transport.send(Call("getBuild", REF, headers=headers)) for headers in ({}, {}, own, {}, {})]
    assert [call.request.headers["Authorization"] for call in route.calls] == [f"Bearer {key}" for key, _ in sent]
    assert [exchange.status for exchange in recorded] == [status for _, status in sent]
    assert [exchange.seq for exchange in recorded if EXPIRED in exchange.note] == [4]
    assert answers == recorded[:3] + recorded[4:]
    assert not [key for key in (OLD, NEW) if key in repr(recorded[4:])]
    assert transport.remark.startswith("1 request ")


def test_renewals_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command, renewed = KeyCommand("place", "cat key", os.environ, str(tmp_path), [OLD]), list[int]()
    for now in range(0, 600, 30):
        monkeypatch.setattr(time, "monotonic", lambda now=now: float(now))
        (tmp_path / "key").write_text({0: OLD, 60: ""}.get(now, f"{NEW}-{now}"))
        command.renews(used := command.keys[-1], 200)
        renewed += [now] if command.renews(used, 401) else []
    assert renewed == [120, 180, 240]


@pytest.mark.parametrize("leaves", ["request", "answer", "response"])
def test_client_leaves_during_an_exchange(send: Sender, leaves: Leaves) -> None:
    received: list[bytes] = []
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        body = received[0].partition(b"\r\n\r\n")[2]
        while len(body) < 10 and (more := connection.recv(65536)):
            body += more
        received.append(body)
        if leaves != "request":
            connection.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")
            assert connection.recv(1) == b""  # the client closes, although the response is not complete
        over.set()

    call = Call("publishTemplate", REF, body=b"0123456789", leaves=leaves)
    with server(answer, received) as url:
        exchange = send(call, url)
        assert over.wait(10)
    assert exchange.note == {"left": leaves}
    assert exchange.error == f"Left: the client left during the {leaves}"
    assert exchange.status == (200 if leaves == "response" else 0)
    assert received[-1] == (b"01234" if leaves == "request" else b"0123456789")


def test_body_in_two_halves_and_a_late_reader(send: Sender) -> None:
    pieces: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        while len(received[0].partition(b"\r\n\r\n")[2]) + sum(map(len, pieces)) < 10:
            pieces.append(connection.recv(65536))
        connection.sendall(HEAD + b"\r\n{}")

    received: list[bytes] = []
    with server(answer, received) as url:
        call = Call("publishTemplate", REF, body=b"0123456789", pause_s=0.05, stream_s=5.0, delay_s=0.05)
        exchange = send(call, url)
    assert b"Content-Length: 10" in received[0]
    assert (received[0].partition(b"\r\n\r\n")[2] + b"".join(pieces)) == b"0123456789"
    assert exchange.response
    assert exchange.response.chunks[0].at_s >= 0.1
