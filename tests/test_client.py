"""The HTTP client of a load: what an answer is, when a connection is used again, what is repeated, what is given up."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import trustme

from tests.scripted_server import LIMIT_S, Peer, Script, always, once, serving
from touchstone.errors import UsageError
from touchstone.loadgen import client
from touchstone.loadgen.client import Connections
from touchstone.target.answer import Answer
from touchstone.target.bounds import Bounds

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ROOT = Path(__file__).resolve().parent.parent


def wire(method: str, body: bytes = b"") -> bytes:
    """A request."""
    return f"{method} /base HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextlib.contextmanager
def connected(script: Script, timeout_s: float = LIMIT_S) -> Iterator[tuple[Connections, list[tuple[int, str]]]]:
    """A client of a server, and what the server has heard: the number of the connection, and the request."""
    with serving(script) as server:
        connections = Connections(server.url, timeout_s)
        try:
            yield connections, server.heard
        finally:
            connections.close()


def outcome(answer: Answer) -> tuple[int, bytes, str]:
    """What most tests ask of an answer, whose times have to be in order."""
    assert answer.sent_at <= answer.head_at <= answer.done_at
    return answer.status, answer.body, answer.error


def in_the_background(send: Callable[[], Answer]) -> "gevent.Greenlet[..., Answer]":
    """Sends while the test goes on."""
    greenlet = gevent.spawn(send)
    gevent.sleep(0.1)
    return greenlet


# --- answers and connections -----------------------------------------------------------------------------------------


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
        (OK + b"more", 200, b"{}", False),
        (OK + OK, 200, b"{}", False),
    ],
)
@pytest.mark.parametrize("bytewise", [False, True])
def test_answer_is_whole_and_its_connection_is_kept_where_it_may(
    answer: bytes, status: int, body: bytes, kept: bool, bytewise: bool
) -> None:
    """Whatever its framing, and in whatever pieces it comes."""

    def script(peer: Peer) -> None:
        while peer.hear():
            for at in range(len(answer)) if bytewise else ():
                peer.say(answer[at : at + 1])
            peer.say(b"" if bytewise else answer)

    with connected(script) as (connections, heard):
        for method in ("GET", "POST"):
            assert outcome(connections.send(method, wire(method))) == (status, body, "")
            gevent.sleep(0.02)
    assert [number for number, _ in heard] == ([1, 1] if kept else [1, 2])


def test_body_without_a_length_ends_with_its_connection() -> None:
    """A body that only the end of the connection ends is whole."""
    with connected(once(b"HTTP/1.1 200 OK\r\n\r\nhello")) as (connections, _):
        assert outcome(connections.send("GET", wire("GET"))) == (200, b"hello", "")


def test_headers_come_in_order() -> None:
    """Names in small letters, values without blanks around them, each line by itself."""
    answer = "HTTP/1.1 200 OK\r\nB:  1 \r\nA: ü\r\nb: 2\r\nContent-Length: 0\r\n\r\n".encode()
    with connected(always(answer)) as (connections, _):
        head = connections.send("GET", wire("GET")).head
    assert head
    assert head.headers == (("b", "1"), ("a", "ü"), ("b", "2"), ("content-length", "0"))


def test_requests_side_by_side_have_connections_of_their_own() -> None:
    """None waits for the answer to another one."""
    all_there = threading.Barrier(5, timeout=LIMIT_S)

    def script(peer: Peer) -> None:
        while peer.hear():
            all_there.wait()
            peer.say(OK)

    with connected(script) as (connections, heard):
        sent = [gevent.spawn(connections.send, "GET", wire("GET")) for _ in range(5)]
        gevent.joinall(sent, timeout=LIMIT_S)
        assert [outcome(each.value) for each in sent] == [(200, b"{}", "")] * 5
    assert sorted(number for number, _ in heard) == [1, 2, 3, 4, 5]


def test_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may be about to close it."""
    monkeypatch.setattr(client, "LONGEST_IDLE_S", 0.05)
    with connected(always(OK)) as (connections, heard):
        connections.send("GET", wire("GET"))
        gevent.sleep(0.1)
        connections.send("GET", wire("GET"))
    assert [number for number, _ in heard] == [1, 2]


def test_nothing_goes_out_on_a_connection_that_the_server_has_closed() -> None:
    """From the first such connection on, what must not be sent twice has a new one each time."""
    with connected(once(OK)) as (connections, heard):
        for method in ("GET", "POST", "POST"):
            assert outcome(connections.send(method, wire(method))) == (200, b"{}", "")
            gevent.sleep(0.05)
    assert [said for _, said in heard] == ["GET /base", "POST /base", "POST /base"]


@pytest.mark.parametrize(
    ("method", "found", "said"),
    [
        ("GET", (200, b"{}", ""), ["GET /base", "GET /base", "GET /base"]),
        ("POST", (0, b"", "RemoteProtocolError: the server closed the connection without an answer"), None),
    ],
)
def test_only_what_may_come_twice_is_repeated(
    method: str, found: tuple[int, bytes, str], said: list[str] | None
) -> None:
    """A kept connection that ends without a word may have been ended before the request arrived, or after."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK)
        if peer.number == 1:
            peer.hear()  # and no answer
        else:
            peer.wait_for_end()

    with connected(script) as (connections, heard):
        connections.send("GET", wire("GET"))
        assert outcome(connections.send(method, wire(method))) == found
    assert [what for _, what in heard] == (said or ["GET /base", "POST /base"])


def test_large_request_is_sent_whole() -> None:
    """One that does not fit into the socket at once."""
    with connected(always(OK)) as (connections, _):
        assert outcome(connections.send("POST", wire("POST", b"x" * 5_000_000))) == (200, b"{}", "")


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "body", "error"),
    [
        (b"", 0, b"", "RemoteProtocolError: the server closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nA: b", 0, b"", "RemoteProtocolError: the server closed within the head of its answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
            200,
            b"ab",
            "RemoteProtocolError: the server closed before",
        ),
        (CHUNKED + b"3\r\nabc\r\n", 200, b"abc", "RemoteProtocolError: the server closed before the end of the body"),
        (CHUNKED + b"x\r\n", 200, b"", "RemoteProtocolError: Invalid character in chunk size"),
        (b"hello", 0, b"", "RemoteProtocolError: Expected HTTP/"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            0,
            b"",
            "RemoteProtocolError: the server",
        ),
        (b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", 0, b"", "RemoteProtocolError: the status is 0"),
    ],
)
def test_answer_that_is_none_is_an_error(answer: bytes, status: int, body: bytes, error: str) -> None:
    """What came is kept, and the error says what is wrong with it."""
    with connected(once(answer)) as (connections, _):
        found = outcome(connections.send("POST", wire("POST")))
    assert found[:2] == (status, body)
    assert found[2].startswith(error)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300, "the head is longer than max_head_bytes = 200"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "the head is longer than max_head_bytes = 200"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 4 + b"\r\n", "the head has 4 lines, and max_headers = 3"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 51, "the body is longer than max_body_bytes = 50"),
        (CHUNKED + b"0\r\nA: " + b"b" * 70_000, "the body has more than 200 bytes between two pieces of content"),
    ],
)
def test_answer_is_bounded(answer: bytes, error: str) -> None:
    """An answer is given up where it is too much, and the bound is named."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(answer)
        peer.wait_for_end()

    with serving(script) as server:
        bounds = Bounds(max_head_bytes=200, max_headers=3, max_body_bytes=50)
        found = Connections(server.url, LIMIT_S, bounds=bounds).send("GET", wire("GET"))
    assert found.error.removeprefix("RemoteProtocolError: ") == error


def silent(peer: Peer) -> None:
    """Never answers."""
    peer.hear()
    peer.wait_for_end()


def dripping(peer: Peer) -> None:
    """Sends a body byte by byte and without end."""
    peer.hear()
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        peer.say(b"x")
        time.sleep(0.02)  # the slow server is what is tested


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (silent, "ReadTimeout: no answer within 0.2 s (request_timeout_s = 0.2)"),
        (dripping, "ReadTimeout: body not complete after 0.2 s and "),
    ],
)
def test_answer_that_takes_too_long_is_given_up(script: Script, error: str) -> None:
    """The time is for the whole answer, and the connection is closed after it."""
    with connected(script, timeout_s=0.2) as (connections, _):
        answer = connections.send("GET", wire("GET"))
        assert answer.error.startswith(error)
        assert answer.done_at - answer.sent_at < LIMIT_S / 2


def test_server_that_is_not_there_is_not_reached() -> None:
    """A refused connection and a name that nobody knows are told apart from answers that do not come."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        errors = [Connections(one, 1.0).send("GET", wire("GET")).error for one in (url, "http://a..b:80")]
    assert errors[0].startswith("ConnectError: 127.0.0.1:")
    assert errors[1].startswith("ConnectError: a..b:80: ")


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://"])
def test_url_of_another_kind_is_a_mistake(url: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(UsageError, match="expected a URL with http:// or https:// and a host"):
        Connections(url, 1.0)


def test_closing_ends_what_is_under_way() -> None:
    """Requests end with an error that is not the server's, and no other one is sent."""
    with connected(silent) as (connections, _):
        sent = in_the_background(lambda: connections.send("GET", wire("GET")))
        connections.close()
        closed = "PoolTimeout: the client was closed before the answer was complete"
        assert sent.get(timeout=LIMIT_S).error == closed
        assert connections.send("GET", wire("GET")).error == closed


# --- streams ---------------------------------------------------------------------------------------------------------


def test_pieces_of_a_stream_have_their_times() -> None:
    """Each is kept with the seconds since the request; the server that ends the stream is named."""

    def script(peer: Peer) -> None:
        while peer.hear():
            for piece in (CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
                peer.say(piece)
                time.sleep(0.1)  # what the times of the pieces are to show

    with connected(script) as (connections, heard):
        answer = connections.send("GET", wire("GET"), stream_s=LIMIT_S)
        connections.send("GET", wire("GET"), stream_s=LIMIT_S)
    assert (answer.body, answer.closed, answer.error) == (b"onetwo", "server", "")
    (first_s, one), (second_s, two) = answer.chunks
    assert (one, two) == (b"one", b"two")
    assert 0.1 <= first_s <= second_s - 0.05
    assert [number for number, _ in heard] == [1, 1]


@pytest.mark.parametrize("by", ["time", "run"])
def test_stream_that_goes_on_is_left(by: str) -> None:
    """When its time is over, or the run is: that is no error, and all that came is kept."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(CHUNKED + b"3\r\none\r\n")
        peer.wait_for_end()

    with connected(script) as (connections, _):
        sent = in_the_background(
            lambda: connections.send("GET", wire("GET"), stream_s=0.3 if by == "time" else LIMIT_S)
        )
        if by == "run":
            connections.leave_streams()
        answer = sent.get(timeout=LIMIT_S / 2)
    assert (answer.body, answer.closed, answer.error) == (b"one", "client", "")


def test_stream_that_breaks_off_is_an_error() -> None:
    """A stream whose connection ends before its last chunk."""
    with connected(once(CHUNKED + b"3\r\none\r\n")) as (connections, _):
        answer = connections.send("GET", wire("GET"), stream_s=LIMIT_S)
    assert (answer.body, answer.closed) == (b"one", "server")
    assert answer.error == "RemoteProtocolError: the server closed before the end of the body"


def test_answer_in_the_place_of_a_stream_is_read_whole() -> None:
    """Such as a refusal with a length."""
    with connected(always(OK)) as (connections, _):
        answer = connections.send("GET", wire("GET"), stream_s=0.001)
    assert (answer.body, answer.closed, answer.error) == (b"{}", "server", "")


# --- TLS -------------------------------------------------------------------------------------------------------------

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
gevent.sleep(0.3)
connections.close()
print(sent.get(timeout=20.0).error)
# The certificate is for the address.
print(Connections(sys.argv[1].replace("127.0.0.1", "localhost"), 20.0).send("GET", wire).error.partition(":")[0])
"""


def test_answers_come_through_tls(tmp_path: Path) -> None:
    """All is as without TLS, and a server whose certificate is for another name gets no request."""
    import ssl

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"y" * 500_000

    def script(peer: Peer) -> None:
        for answer in (large, large, CHUNKED + b"3\r\none\r\n0\r\n\r\n"):
            peer.hear()
            peer.say(answer)
        silent(peer)

    with serving(script, context) as server:
        environment = {"PATH": "/usr/bin", "SSL_CERT_FILE": str(tmp_path / "trusted.pem"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TLS_CHILD, server.url]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        assert {number for number, _ in server.heard} == {1}
    assert ended.stdout.splitlines() == [
        "200 500000  ",
        "200 500000  ",
        "200 3 server ",
        "PoolTimeout: the client was closed before the answer was complete",
        "ConnectError",
    ]
