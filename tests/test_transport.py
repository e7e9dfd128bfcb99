"""What goes over the wire is what was asked for, what comes back is a bounded fact, and neither holds a key."""

import base64
import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
import respx

from tests.raw_server import listening
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.target.bounds import KEPT_BYTES
from touchstone.target.call import Call, Keys, fill
from touchstone.target.transport import Transport
from touchstone.twin import DEFAULT_ACCOUNTS, Twin, TwinSettings

URL = "http://127.0.0.1:8123/base/api"
KEYS = Keys("sk_live_0123456789/abc+def", "sk_live_second_account_key", "sk_live_restricted_account")
REF = "default/demo@1.0.0"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Answer = Callable[[socket.socket], None]
Sender = Callable[..., Exchange]


@pytest.fixture
def send() -> Iterator[Sender]:
    """Sends one call and returns the exchange that was recorded."""
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
def server(answer: Answer, requests: list[bytes] | None = None) -> Iterator[str]:
    """Answers each connection's first request byte by byte as *answer* likes; the base URL."""

    def serve(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
            data += more
        if requests is not None:
            requests.append(data)
        answer(connection)

    with listening(serve) as url:
        yield url


def saying(data: bytes) -> Answer:
    """Says *data* and closes."""
    return lambda connection: connection.sendall(data)


def dripping(head: bytes, stop: threading.Event, drop: bytes = b" ") -> Answer:
    """Says *head*, then one byte after the other, never later than a time-out would strike, until *stop*."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while not stop.wait(0.02):
            connection.sendall(drop)

    return answer


# --- what is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ("primary", f"Bearer {KEYS.primary}"),
        ("second", f"Bearer {KEYS.second}"),
        ("restricted", f"Bearer {KEYS.restricted}"),
        ("unknown", f"Bearer {UNKNOWN_KEY}"),
        ("longer", f"Bearer {KEYS.primary}x"),
        ("shorter", f"Bearer {KEYS.primary[:-1]}"),
        ("recased", f"Bearer {KEYS.primary.swapcase()}"),
        ("malformed", f"Basic {KEYS.primary}"),
        ("lowercase-scheme", f"bearer {KEYS.primary}"),
        ("none", None),
        ("query", None),
    ],
)
def test_each_credential_is_shown_in_its_way(send: Sender, credential: Credential, header: str | None) -> None:
    """A credential decides the Authorization header; a key in the query is there and nowhere else."""
    with respx.mock() as router:
        route = router.get(url__startswith=URL).respond(json={})
        exchange = send(Call("getBuild", REF, credential))
    request = route.calls.last.request
    assert request.headers.get("Authorization") == header
    target = request.extensions["target"].decode()
    assert target.startswith("/base/api/templates/default/demo/1.0.0/build")
    assert (quote(KEYS.primary) in target) == (credential == "query")
    assert exchange.credential == credential


def test_operation_fills_its_path_and_the_base_path_is_kept(send: Sender) -> None:
    """An operation has its method and its path below the base path of the target; the parts of the ref are encoded."""
    with respx.mock() as router:
        route = router.route(url__startswith=URL).respond(json={})
        exchange = send(Call("cancelBuild", "default/a b/c@1.0.0+x"))
    request = route.calls.last.request
    assert request.method == "DELETE"
    assert request.extensions["target"] == b"/base/api/templates/default/a%20b%2Fc/1.0.0%2Bx/build"
    assert exchange.request.url == "http://127.0.0.1:8123/base/api/templates/default/a%20b%2Fc/1.0.0%2Bx/build"


@pytest.mark.parametrize(
    "path",
    [
        "/templates/..%2f/x/1/build",
        "/templates/a/../b//c/build",
        "/templates/%zz/%00/x",
        "/templates/a/b/c/build?x=%2F&",
    ],
)
def test_path_goes_out_byte_for_byte(send: Sender, path: str) -> None:
    """Nothing on the way tidies a path: dots, slashes, broken escapes and other letters arrive as they were given."""
    requests: list[bytes] = []
    with server(saying(HEAD + b"Content-Length: 2\r\n\r\n{}"), requests) as url:
        exchange = send(Call(method="GET", path=path), url)
    assert requests[0].split(b"\r\n")[0] == b"GET /api" + path.encode() + b" HTTP/1.1"
    assert exchange.request.url == url + path
    assert exchange.status == 200


def test_operation_and_ref_are_read_from_the_path(send: Sender) -> None:
    """A request that only has a path belongs to the operation and the version that the path names."""
    with respx.mock() as router:
        router.route(url__startswith=URL).respond(json={})
        known = send(Call(method="POST", path="/templates/default/d%65mo/1.0.0/build"))
        other = send(Call(method="PATCH", path="/templates/default/demo/1.0.0/build"))
        nowhere = send(Call(method="GET", path="/nowhere"))
    assert (known.operation, known.ref) == ("startBuild", REF)
    assert (other.operation, other.ref) == ("", REF)
    assert (nowhere.operation, nowhere.ref) == ("", None)


def test_call_is_told_as_it_was_meant(send: Sender) -> None:
    """Query, headers, body, note and case of a call are in its exchange, and its times are in order."""
    with respx.mock() as router:
        route = router.post(url__startswith=URL).respond(201, json={"ref": REF})
        exchange = send(
            Call("publishTemplate", REF, query={"auto_build": "true"}, headers={"X-A": "1"}, body=b"{}", note={"a": 1})
        )
    assert route.calls.last.request.extensions["target"] == b"/base/api/templates?auto_build=true"
    assert route.calls.last.request.content == b"{}"
    assert ("X-A", "1") in exchange.request.headers
    assert (exchange.request.body, exchange.note, exchange.case, exchange.seq) == (b"{}", {"a": 1}, "case", 1)
    assert 0 <= exchange.sent_at <= exchange.head_at <= exchange.done_at


def test_redirect_is_an_answer(send: Sender) -> None:
    """A redirect is not followed: where it leads is another server's business, and the key stays here."""
    with respx.mock() as router:
        route = router.get(url__startswith=URL).respond(302, headers={"Location": "http://127.0.0.1:9/elsewhere"})
        exchange = send(Call("getBuild", REF))
    assert (exchange.status, route.call_count) == (302, 1)


def test_proxy_of_the_environment_is_not_used(send: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment would see the keys and answer for the target."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with server(saying(HEAD + b"Content-Length: 2\r\n\r\n{}")) as url:
        assert send(Call("getBuild", REF), url).status == 200


def test_credential_that_the_run_lacks_is_a_mistake(send: Sender) -> None:
    """A case must not ask for a key that there is not."""
    with pytest.raises(LookupError, match="second"):
        send(Call("getBuild", REF, "second"), keys=Keys("sk_live_only_this_one"))


def test_keys_are_not_in_their_repr() -> None:
    """Whatever prints the keys of a run prints none of them."""
    assert not [key for key in (KEYS.primary, KEYS.second, KEYS.restricted) if str(key) in repr(KEYS)]


# --- what is kept of it ------------------------------------------------------------------------------------------


def spellings(key: str) -> list[str]:
    """The forms in which a server may repeat a key."""
    return [
        key,
        quote(key, safe=""),
        quote(key, safe="").lower(),
        json.dumps(key)[1:-1].replace("/", r"\/"),
        base64.b64encode(key.encode()).decode(),
        key[:-1],
    ]


@pytest.mark.parametrize("number", range(6))
def test_no_spelling_of_a_key_is_kept(send: Sender, number: int) -> None:
    """
    Wherever a server repeats a key, in a header, in a body or in a stream, and however spelt, a marker stands for it.
    """
    for key in (KEYS.primary, str(KEYS.second), str(KEYS.restricted)):
        told = spellings(key)[number]
        with respx.mock() as router:
            router.get(url__startswith=URL).respond(401, headers={"X-Echo": told}, text=f'{{"error": "{told}"}}')
            exchange = send(Call("getBuild", REF, "query"))
        assert exchange.response
        assert key[:-1] not in repr(exchange)
        assert told not in repr(exchange)
        assert b"<key:" in exchange.response.body
        assert "<key:" in str(exchange.response.header("x-echo"))


@pytest.mark.parametrize(
    "credential", ["primary", "longer", "shorter", "recased", "malformed", "query", "lowercase-scheme"]
)
def test_request_is_kept_without_its_key(send: Sender, credential: Credential) -> None:
    """The request in an exchange has markers where it had keys, in the URL, the headers and the body."""
    with respx.mock() as router:
        router.post(url__startswith=URL).respond(json={})
        exchange = send(Call("publishTemplate", REF, credential, body=f"key: {KEYS.primary}".encode()))
    assert KEYS.primary[:-1] not in repr(exchange)
    assert quote(KEYS.primary[:-1], safe="") not in repr(exchange)
    assert exchange.request.body == b"key: <key:primary>"


def test_key_across_pieces_of_a_stream_is_marked(send: Sender) -> None:
    """A key that the network cuts into pieces is in no piece and not in all of them together."""
    wait = threading.Event()
    pieces = [b"data: " + KEYS.primary[:9].encode(), KEYS.primary[9:20].encode(), KEYS.primary[20:].encode(), b"\n\n"]

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for piece in pieces:
            wait.wait(
                0.05
            )  # never set: apart in time they arrive apart, or else they are one piece and the test is weak
            connection.sendall(piece)

    with server(answer) as url:
        exchange = send(Call("streamBuildEvents", REF, stream_s=20.0), url)
    assert exchange.response
    assert exchange.response.body == b"data: <key:primary>\n\n"
    assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body


# --- what does not come, or does not end -------------------------------------------------------------------------


def test_nothing_listening_is_part_of_the_exchange(send: Sender) -> None:
    """A refused connection gives an exchange without a response that says why."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    exchange = send(Call("getBuild", REF), f"http://127.0.0.1:{port}/api")
    assert (exchange.response, exchange.status, exchange.body) == (None, 0, {})
    assert exchange.error.startswith("ConnectError")
    assert exchange.head_at == exchange.done_at


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_broken_answer_is_part_of_the_exchange(send: Sender, said: bytes) -> None:
    """A server that hangs up, breaks off in its head or speaks another protocol gives an exchange with the reason."""
    with server(saying(said)) as url:
        exchange = send(Call("getBuild", REF), url)
    assert exchange.response is None
    assert exchange.error.startswith("RemoteProtocolError")


def test_body_that_breaks_off_is_kept_with_the_reason(send: Sender) -> None:
    """Of a body that is shorter than announced, what came is kept, and the exchange says that it is not whole."""
    with server(saying(HEAD + b"Content-Length: 100\r\n\r\n{")) as url:
        exchange = send(Call("getBuild", REF), url)
    assert exchange.response
    assert (exchange.status, exchange.response.body) == (200, b"{")
    assert exchange.error.startswith("RemoteProtocolError")


def test_silence_is_given_up_after_the_time_of_a_request(send: Sender) -> None:
    """A server that takes a request and says nothing is left after the time that a request may take."""
    stop = threading.Event()
    with server(lambda _: stop.wait(30) and None) as url:
        exchange = send(Call("getBuild", REF), url, timeout_s=0.2)
        stop.set()
    assert exchange.error.startswith("ReadTimeout")


@pytest.mark.timeout("30")
@pytest.mark.parametrize("length", [b"", b"Content-Length: 100000\r\n"])
def test_dripping_body_is_bounded(send: Sender, length: bytes) -> None:
    """A body that comes byte by byte, announced or not, is left after the time that a request may take as a whole."""
    stop = threading.Event()
    with server(dripping(HEAD + length + b"\r\n", stop)) as url:
        exchange = send(Call("getBuild", REF), url, timeout_s=0.3)
        stop.set()
    assert exchange.status == 200
    assert exchange.error.startswith("body not complete after")


@pytest.mark.timeout("30")
def test_dripping_head_is_bounded(send: Sender) -> None:
    """A head that comes byte by byte is left after the time that a request may take."""
    stop = threading.Event()
    with server(dripping(HEAD + b"X-Long: ", stop, b"x")) as url:
        exchange = send(Call("getBuild", REF), url, timeout_s=0.3)
        stop.set()
    assert exchange.response is None
    assert exchange.error.startswith("ReadTimeout")


def test_body_without_end_is_cut(send: Sender) -> None:
    """A body is read up to a size that no answer of this API needs."""
    block = b"x" * 65536

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"\r\n")
        while True:
            connection.sendall(block)

    with server(answer) as url:
        exchange = send(Call("getBuild", REF), url)
    assert exchange.response
    assert exchange.response.body == b"x" * KEPT_BYTES
    assert exchange.error == "the body is longer than max_body_bytes = 4194304"


def test_compressed_body_is_read(send: Sender) -> None:
    """The body of an exchange is what the server meant, not how it was packed."""
    packed = gzip.compress(b'{"status": "ready"}')
    with server(saying(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)) as url:
        exchange = send(Call("getBuild", REF), url)
    assert exchange.body == {"status": "ready"}


def test_compressed_stream_that_is_left_is_no_torn_one(send: Sender) -> None:
    """A stream that nobody wants any more has no end; what came of it is read, and nothing is wrong with it."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    left = threading.Event()

    def answer(connection: socket.socket) -> None:
        left.wait(20 if connection.send(HEAD + b"Content-Encoding: gzip\r\n\r\n" + packed) else 0)

    with server(answer) as url:
        exchange = send(Call("streamBuildEvents", REF, stream_s=0.3), url)
        left.set()
    assert (exchange.error, exchange.closed) == ("", "client")
    assert exchange.response
    assert exchange.response.body == b"data: 1\n\n"


def test_broken_compression_is_part_of_the_exchange(send: Sender) -> None:
    """A body that cannot be unpacked is a fact about the server, not an exception here."""
    with server(saying(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")) as url:
        exchange = send(Call("getBuild", REF), url)
    assert exchange.status == 200
    assert exchange.error.startswith("DecodingError")


@pytest.mark.parametrize("value", [b"caf\xe9", b"\xff\xfe"])
def test_header_in_another_encoding_is_kept(send: Sender, value: bytes) -> None:
    """Bytes in a header that are no UTF-8 neither break the run nor are lost."""
    with server(saying(HEAD + b"X-Odd: " + value + b"\r\nContent-Length: 2\r\n\r\n{}")) as url:
        exchange = send(Call("getBuild", REF), url)
    assert exchange.response
    assert exchange.response.header("x-odd") == value.decode("latin-1")


# --- streams -----------------------------------------------------------------------------------------------------


def test_cookie_of_an_answer_is_not_sent_with_the_next_request() -> None:
    """A request is what its call says: what an answer leaves with the client would be in no exchange."""
    requests: list[bytes] = []
    keeps = b"Set-Cookie: session=abc; Path=/\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with server(lambda connection: connection.sendall(HEAD + keeps), requests) as url:
        transport = Transport(url, KEYS, Contract.load(), lambda _: None)
        try:
            assert [transport.send(Call(method="GET", path="/x"), "case").status for _ in range(2)] == [200, 200]
        finally:
            transport.close()
    assert len(requests) == 2
    assert b"cookie" not in requests[1].lower()


@pytest.fixture
def twin() -> Iterator[Twin]:
    """A twin whose builds last until they are cancelled."""
    with Twin(TwinSettings(build_s=600.0, settle_s=0.0)) as served:
        yield served


@pytest.fixture
def building(twin: Twin) -> Iterator[Transport]:
    """A transport to a twin on which REF is being built."""
    keys = {account.name: account.key for account in DEFAULT_ACCOUNTS}
    transport = Transport(twin.url, Keys(keys["primary"]), Contract.load(), lambda _: None)
    document: dict[str, Any] = {"api_version": "orgo.ai/v1", "template": {"name": "demo", "version": "1.0.0"}}
    published = transport.send(
        Call("publishTemplate", REF, headers={"Content-Type": "application/json"}, body=json.dumps(document).encode())
    )
    assert published.status == 201
    assert transport.send(Call("startBuild", REF)).status == 202
    yield transport
    transport.close()


def followed(transport: Transport, call: Call) -> tuple[threading.Thread, list[Exchange]]:
    """Sends *call* in another thread; returns when its head has arrived."""
    done: list[Exchange] = []
    thread = threading.Thread(target=lambda: done.append(transport.send(call)))
    thread.start()
    assert call.opened
    assert call.opened.wait(20)
    return thread, done


def test_stream_that_the_server_ends_is_closed_by_it(building: Transport) -> None:
    """A log that ends with its build is closed by the server, and its pieces are in the order of their times."""
    call = Call("streamBuildEvents", REF, stream_s=60.0, opened=threading.Event(), until=threading.Event())
    thread, done = followed(building, call)
    assert building.send(Call("cancelBuild", REF)).status == 202
    thread.join(20)
    (exchange,) = done
    assert (exchange.status, exchange.closed, exchange.error) == (200, "server", "")
    assert exchange.response
    assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
    times = [chunk.at_s for chunk in exchange.response.chunks]
    assert times == sorted(times)
    assert exchange.head_at <= exchange.done_at


def test_stream_is_left_when_nobody_wants_it(building: Transport) -> None:
    """A log that is still open is left as soon as the event is set; what came so far is kept."""
    call = Call("streamBuildEvents", REF, stream_s=60.0, opened=threading.Event(), until=threading.Event())
    thread, done = followed(building, call)
    assert call.until
    call.until.set()
    thread.join(20)
    (exchange,) = done
    assert (exchange.status, exchange.closed, exchange.error) == (200, "client", "")
    assert building.send(Call("getBuild", REF)).body["status"] == "building"


def test_stream_is_left_when_its_time_is_up(building: Transport) -> None:
    """A log that does not end is left after its time."""
    exchange = building.send(Call("streamBuildEvents", REF, stream_s=0.2))
    assert (exchange.status, exchange.closed, exchange.error) == (200, "client", "")


def test_stream_that_is_never_answered_wakes_its_waiter(send: Sender) -> None:
    """Who waits for the head of a stream is woken also when none comes."""
    opened = threading.Event()
    with server(saying(b"")) as url:
        exchange = send(Call("streamBuildEvents", REF, stream_s=5.0, opened=opened), url)
    assert opened.is_set()
    assert exchange.response is None


def test_many_threads_share_one_transport(building: Transport) -> None:
    """Requests of several threads get numbers of their own, in the order in which they were sent."""
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


@pytest.mark.parametrize(
    ("template", "ref", "path"),
    [
        ("/templates/{namespace}/{name}/{version}", "a/b@1.0.0", "/templates/a/b/1.0.0"),
        ("/templates/{namespace}/{name}/{version}", "a/b@c@1", "/templates/a/b%40c/1"),
        ("/templates", "a/b@1", "/templates"),
        ("/templates/{name}", None, "/templates/{name}"),
    ],
)
def test_path_template_is_filled_from_a_ref(template: str, ref: str | None, path: str) -> None:
    """Namespace ends at the first slash and the version starts behind the last at-sign."""
    assert fill(template, ref) == path
