"""The HTTP client of a load: what an answer is, when a connection is used again, what is repeated, what is given up."""

import contextlib
import itertools
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gevent
import pytest
import trustme

from tests.raw_server import listening
from touchstone.loadgen import client
from touchstone.loadgen.client import Connections
from touchstone.target.bounds import Bounds
from touchstone.target.call import Answer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STARTED = CHUNKED + b"3\r\none\r\n"
ROOT = Path(__file__).resolve().parents[2]

# Nothing waits this long unless it hangs.
LIMIT_S = 20.0

Requests = list[tuple[int, str]]


@dataclass
class Peer:
    number: int
    sock: socket.socket
    requests: Requests

    def receive(self) -> str:
        """The method and target of the next request, whose body is read over; empty where the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self.sock.recv(1)):
                return ""
            data += more
        length = int(data.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while length:
            length -= len(self.sock.recv(min(length, 65536)))
        request = data.decode().rpartition(" HTTP/1.1\r\n")[0]
        self.requests.append((self.number, request))
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait_for_end(self) -> None:
        while self.sock.recv(65536):
            pass


Script = Callable[[Peer], None]


@contextlib.contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, Requests]]:
    """The URL of a server that runs a script on each connection, and the requests that it received."""
    numbers, requests = itertools.count(1), Requests()

    def serve(sock: socket.socket) -> None:
        number = next(numbers)
        sock.settimeout(LIMIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(sock, server_side=True) if context else sock as wrapped:
            script(Peer(number, wrapped, requests))

    with listening(serve) as url:
        yield url.replace("http:", "https:" if context else "http:"), requests


def always(answer: bytes) -> Script:
    def script(peer: Peer) -> None:
        while peer.receive():
            peer.send(answer)

    return script


def once(answer: bytes) -> Script:
    """Gives the first request on each connection an answer that arrives together with the end of the connection."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.sock.send(answer, socket.MSG_MORE)
        peer.sock.close()

    return script


def then_waits(answer: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer)
        peer.wait_for_end()

    return script


def wire(method: str, body: bytes = b"") -> bytes:
    return f"{method} /base HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextlib.contextmanager
def connected(script: Script, timeout_s: float = LIMIT_S) -> Iterator[tuple[Connections, Requests]]:
    """A client of a server, and the requests that the server received, each with the number of its connection."""
    with serving(script) as (url, requests):
        connections = Connections(url, timeout_s)
        try:
            yield connections, requests
        finally:
            connections.close()


def outcome(answer: Answer) -> tuple[int, bytes, str]:
    """Status, body and kind of the error; the times of the answer have to be in order."""
    assert answer.sent_at <= answer.head_at <= answer.done_at
    return answer.head.status if answer.head else 0, answer.body, answer.error.partition(":")[0]


@pytest.mark.parametrize(
    ("answer", "status", "body", "kept"),
    [
        (OK, 200, b"{}", True),
        (CHUNKED + b"3;x=y\r\nabc\r\n2 \r\nde\r\n0\r\nT: x\r\n\r\n", 200, b"abcde", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, 200, b"{}", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
        (OK + OK, 200, b"{}", False),
    ],
)
@pytest.mark.parametrize("bytewise", [False, True])
def test_answer_is_whole_and_its_connection_kept_where_possible(
    answer: bytes, status: int, body: bytes, kept: bool, bytewise: bool
) -> None:
    pieces = [answer[at : at + 1] for at in range(len(answer))] if bytewise else [answer]

    def script(peer: Peer) -> None:
        while peer.receive():
            for piece in pieces:
                peer.send(piece)

    with connected(script) as (connections, requests):
        for method in ("GET", "POST"):
            assert outcome(connections.send(method, wire(method))) == (status, body, "")
            gevent.sleep(0.02)  # what the server sends too much arrives
    assert [number for number, _ in requests] == ([1, 1] if kept else [1, 2])


def test_connection_idle_for_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_IDLE_S", 0.01)
    with connected(always(OK)) as (connections, requests):
        connections.send("GET", wire("GET"))
        gevent.sleep(0.02)
        connections.send("GET", wire("GET"))
    assert [number for number, _ in requests] == [1, 2]


@pytest.mark.parametrize(
    ("method", "expected", "sent"), [("GET", (200, b"{}", ""), 3), ("POST", (0, b"", "RemoteProtocolError"), 2)]
)
def test_only_a_safe_request_is_repeated_on_a_new_connection(
    method: str, expected: tuple[int, bytes, str], sent: int
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK)
        if peer.number == 1:
            peer.receive()  # and no answer
        else:
            peer.wait_for_end()

    with connected(script) as (connections, requests):
        connections.send("GET", wire("GET"))
        assert outcome(connections.send(method, wire(method))) == expected
    assert [request for _, request in requests] == ["GET /base", *[f"{method} /base"] * (sent - 1)]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b", 0, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", 200, b"ab"),
        (CHUNKED + b"3\r\nabc\r\n", 200, b"abc"),
        (CHUNKED + b"x\r\n", 200, b""),
        (b"hello", 0, b""),
        (b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", 0, b""),
    ],
)
def test_incomplete_or_malformed_answer_is_an_error(answer: bytes, status: int, body: bytes) -> None:
    with connected(once(answer)) as (connections, _):
        assert outcome(connections.send("POST", wire("POST"))) == (status, body, "RemoteProtocolError")


def test_trailer_is_bounded() -> None:
    with serving(then_waits(CHUNKED + b"0\r\nA: " + b"b" * 70_000)) as (url, _):
        found = Connections(url, LIMIT_S, bounds=Bounds(max_head_bytes=200)).send("GET", wire("GET"))
    assert "200 bytes" in found.error


def test_answer_that_takes_too_long_is_given_up() -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            peer.send(b"x")
            time.sleep(0.02)  # the slow server is what is tested

    with connected(script, timeout_s=0.1) as (connections, _):
        assert outcome(connections.send("GET", wire("GET")))[2] == "ReadTimeout"


def test_server_that_cannot_be_reached_is_a_connect_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{bound.getsockname()[1]}", "http://a..b:80"):
            assert outcome(Connections(url, 1.0).send("GET", wire("GET"))) == (0, b"", "ConnectError")


def test_pieces_of_a_stream_have_their_times() -> None:
    def script(peer: Peer) -> None:
        while peer.receive():
            for piece in (CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
                peer.send(piece)
                time.sleep(0.05)  # what the times of the pieces are to show

    with connected(script) as (connections, requests):
        answer = connections.send("GET", wire("GET"), stream_s=LIMIT_S)
        connections.send("GET", wire("GET"), stream_s=LIMIT_S)
    assert (answer.closed, outcome(answer)) == ("server", (200, b"onetwo", ""))
    (first_s, one), (second_s, two) = answer.chunks
    assert (one, two) == (b"one", b"two")
    assert 0.04 <= first_s <= second_s - 0.02
    assert [number for number, _ in requests] == [1, 1]


@pytest.mark.parametrize("by", ["time", "run"])
def test_stream_that_goes_on_is_left_without_an_error(by: str) -> None:
    with connected(then_waits(STARTED)) as (connections, _):
        stream_s = 0.1 if by == "time" else LIMIT_S
        sent = gevent.spawn(connections.send, "GET", wire("GET"), stream_s)
        gevent.sleep(0.05)
        if by == "run":
            connections.leave_streams()
        answer = sent.get(timeout=LIMIT_S / 2)
    assert (answer.closed, outcome(answer)) == ("client", (200, b"one", ""))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (once(STARTED), (200, b"one", "RemoteProtocolError")),
        (once(b"HTTP/1.1 200 OK\r\n\r\nhello"), (200, b"hello", "")),
        (always(OK), (200, b"{}", "")),
    ],
    ids=["breaks-off", "ends-with-its-connection", "has-a-length"],
)
def test_stream_ended_by_the_server_is_judged_by_its_framing(script: Script, expected: tuple[int, bytes, str]) -> None:
    with connected(script) as (connections, _):
        answer = connections.send("GET", wire("GET"), stream_s=0.2)
    assert (answer.closed, outcome(answer)) == ("server", expected)


# Importing Locust replaces Python's sockets.
TLS_CHILD = """
import sys
import locust, gevent
from touchstone.loadgen.client import Connections
connections = Connections(sys.argv[1], 20.0)
wire = b"GET /base HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n\\r\\n"
for stream_s in (0.0, 0.0, 20.0):
    answer = connections.send("GET", wire, stream_s)
    print(answer.status, len(answer.body), answer.closed, answer.error)
sent = gevent.spawn(connections.send, "GET", wire)
gevent.sleep(0.1)
connections.close()
print(sent.get(timeout=20.0).error.partition(":")[0])
# The certificate is for the address.
print(Connections(sys.argv[1].replace("127.0.0.1", "localhost"), 20.0).send("GET", wire).error.partition(":")[0])
"""


def test_answers_arrive_through_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"y" * 500_000

    def script(peer: Peer) -> None:
        for answer in (large, large, STARTED + b"0\r\n\r\n"):
            peer.receive()
            peer.send(answer)
        then_waits(b"")(peer)

    with serving(script, context) as (url, requests):
        environment = {"PATH": "/usr/bin", "SSL_CERT_FILE": str(tmp_path / "trusted.pem"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TLS_CHILD, url]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["200 500000  "] * 2 + ["200 3 server ", "PoolTimeout", "ConnectError"]
    assert {number for number, _ in requests} == {1}
