"""
The lean client brings each request its own answer, whole, or the reason why there is none, and sends no POST twice.
"""

import socket
import threading

import pytest

from tests.lean_client import Client, client, looks, process
from tests.lean_server import LIMIT_S, Peer, always, once, serving

__all__ = ["client", "process"]  # fixtures

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

GET, POST = ["GET", "/"], ["POST", "/"]


# --- answers that are whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "answer", "status", "body"),
    [
        ("GET", OK, 200, "hello"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, ""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, ""),
        ("GET", CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n", 200, "hello"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK, 200, "hello"),
    ],
)
def test_connection_is_used_again_after_a_whole_answer(
    client: Client, method: str, answer: bytes, status: int, body: str
) -> None:
    """Whatever tells the end of an answer, the next one is read from its beginning, on the same connection."""
    with serving(always(answer)) as server:
        client.connect(server.url)
        answers = client.send([method, "/1"], [method, "/2"], [method, "/3"])
        assert [looks(answer) for answer in answers] == [(status, body, "")] * 3
        assert server.heard == [(1, f"{method} /{number}") for number in (1, 2, 3)]


def test_headers_come_as_they_were_sent(client: Client) -> None:
    """The head of the answer is that of the answer, not of an interim one."""
    with serving(
        once(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No\r\nRetry-After: 1\r\n\r\n")
    ) as server:
        client.connect(server.url)
        assert client.send(GET)[0]["headers"] == [["Retry-After", "1"]]


@pytest.mark.parametrize(
    "answer", [OK, CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + OK]
)
def test_answer_may_come_byte_by_byte(client: Client, answer: bytes) -> None:
    """An answer is the same in whatever pieces it comes."""

    def script(peer: Peer) -> None:
        while peer.hear():
            for at in range(len(answer)):
                peer.say(answer[at : at + 1])

    with serving(script) as server:
        client.connect(server.url)
        assert [looks(found) for found in client.send(GET, GET)] == [(200, "hello", "")] * 2


def test_body_without_a_length_ends_with_its_connection(client: Client) -> None:
    """A body that only the end of the connection ends is whole, and the next request goes out on another one."""
    with serving(once(b"HTTP/1.1 200 OK\r\n\r\nhello")) as server:
        client.connect(server.url)
        assert [looks(answer) for answer in client.send(GET, POST)] == [(200, "hello", "")] * 2
        assert server.heard == [(1, "GET /"), (2, "POST /")]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"more than there should be",
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\nmore",
    ],
)
def test_connection_is_not_used_again_where_it_must_not(client: Client, answer: bytes) -> None:
    """A connection that the server wants closed, or on which too much came, is left."""
    with serving(always(answer)) as server:
        client.connect(server.url)
        assert [looks(answer) for answer in client.send(POST, POST)] == [(200, "hello", "")] * 2
        assert [number for number, _ in server.heard] == [1, 2]


def test_greenlets_get_their_own_answers(client: Client) -> None:
    """Requests go out side by side, each on a connection of its own, and each gets the answer that names it; the
    connections serve the next ones.
    """
    together = threading.Barrier(20, timeout=LIMIT_S)

    def script(peer: Peer) -> None:
        while said := peer.hear():
            together.wait()
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said.encode()))

    with serving(script) as server:
        client.connect(server.url)
        for round_ in ("a", "b"):
            answers = client.send_at_once(*(["POST", f"/{round_}{number}"] for number in range(20)))
            assert [answer["body"] for answer in answers] == [f"POST /{round_}{number}" for number in range(20)]
        assert {number for number, _ in server.heard} == set(range(1, 21))


def test_large_request_is_sent_whole(client: Client) -> None:
    """A request that does not fit into the socket at once is sent to its end."""
    with serving(always(OK)) as server:
        client.connect(server.url)
        big = ["POST", "/", 12_000_000]
        assert [looks(answer) for answer in client.send(big, big, POST)] == [(200, "hello", "")] * 3
        assert [number for number, _ in server.heard] == [1, 1, 1]


@pytest.mark.parametrize("gently", [True, False])
def test_refusal_of_a_large_request_is_heard(client: Client, gently: bool) -> None:
    """Where the server answers before it has read all and closes, its answer counts."""
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def script(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.say(refusal)
        if gently:
            peer.sock.shutdown(socket.SHUT_WR)
            peer.wait_for_end()

    with serving(script) as server:
        client.connect(server.url)
        assert looks(client.send(["POST", "/", 12_000_000])[0]) == (413, "", "")


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_host_may_be_a_name_or_of_ipv6(client: Client, host: str) -> None:
    """A name is looked up and each of its addresses tried; an address of IPv6 stands in brackets."""
    try:
        with serving(once(OK), host="::1" if host == "::1" else "127.0.0.1") as server:
            client.connect(server.url.replace("127.0.0.1", host))
            assert looks(client.send(GET)[0]) == (200, "hello", "")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


def test_every_address_of_a_host_is_tried(client: Client) -> None:
    """Where nobody listens at one address of the host, the next one is tried, and tried first from then on."""
    with serving(always(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")) as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        client.connect(server.url)
        places = [bound.getsockname()[1], int(server.url.rpartition(":")[2].partition("/")[0])]
        client.do("resolve", places)
        assert [looks(answer) for answer in client.send(POST, POST)] == [(204, "", "")] * 2
        assert client.do("resolved") == places[::-1]


# --- connections that end ----------------------------------------------------------------------------------------


def test_post_does_not_go_out_on_a_closed_connection(client: Client) -> None:
    """A connection that the server closed with its last answer is left before a POST is written, which is sent once."""
    with serving(once(OK)) as server:
        client.connect(server.url)
        assert [looks(answer) for answer in client.send(POST, POST, POST)] == [(200, "hello", "")] * 3
        assert server.heard == [(1, "POST /"), (2, "POST /"), (3, "POST /")]


def test_idle_connection_that_the_server_closes_is_closed(client: Client) -> None:
    """A connection that the server closes while nobody uses it does not linger."""
    with serving(once(OK)) as server:
        client.connect(server.url, idle_s=10 * LIMIT_S)
        client.send(GET)
        assert server.gone.wait(LIMIT_S)
        assert client.do("is_emptied")


def test_connecting_is_a_part_of_the_answers_time(client: Client) -> None:
    """A request counts as sent before a connection is opened for it: a server that is slow to take one is slow."""
    with serving(always(OK)) as server:
        client.connect(server.url)
        assert client.do("sent_before_dialling")


def test_connections_are_opened_ahead(client: Client) -> None:
    """
    Requests find the connections that were opened for them; those that are free already count, and none is too many.
    """
    with serving(always(OK)) as server:
        client.connect(server.url, idle_s=10 * LIMIT_S)
        client.send(GET)
        assert client.do("open_ahead", 3) == 3
        client.send_at_once(GET, GET, GET)
        assert {number for number, _ in server.heard} == {1, 2, 3}
        assert client.do("open_ahead", 2) == 3


def test_connections_that_are_opened_ahead_are_bounded(client: Client) -> None:
    """No more connections are opened ahead than may be open at a time, and one that fails is no error yet."""
    with serving(always(OK)) as server:
        client.connect(server.url, most=2, idle_s=10 * LIMIT_S)
        assert client.do("open_ahead", 5) == 2
    client.connect("http://127.0.0.1:1")
    assert client.do("open_ahead", 2) == 0


def test_idle_connection_is_closed_in_time(client: Client) -> None:
    """A connection that nobody has used for a while is closed before the server closes it."""
    with serving(always(OK)) as server:
        client.connect(server.url, idle_s=0.0)
        client.send(GET)
        assert client.do("is_emptied")
        client.send(GET)
        assert [number for number, _ in server.heard] == [1, 2]


@pytest.mark.parametrize(
    ("method", "first", "outcome", "heard"),
    [
        ("GET", b"", (200, "hello", ""), ["GET", "GET"]),
        ("HEAD", b"", (200, "", ""), ["HEAD", "HEAD"]),
        ("POST", b"", (0, "", "RemoteProtocolError: the server closed the connection without an answer"), ["POST"]),
        ("DELETE", b"", (0, "", "RemoteProtocolError: the server closed the connection without an answer"), ["DELETE"]),
        ("GET", b"HTTP", (0, "", "RemoteProtocolError: the server closed after 4 bytes of the head"), ["GET"]),
    ],
)
def test_request_is_repeated_only_where_that_is_safe(
    client: Client, method: str, first: bytes, outcome: tuple[int, str, str], heard: list[str]
) -> None:
    """Where a used connection ends without a word, a GET is sent once more, on a new one; a POST is not, nor is a GET
    whose answer had begun.
    """

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK)
        if peer.hear() and peer.number == 1:
            peer.say(first)

    with serving(script) as server:
        client.connect(server.url)
        client.send(POST)
        server.heard.clear()
        assert looks(client.send([method, "/"])[0]) == outcome
        assert [said for _, said in server.heard] == [f"{one} /" for one in heard]


def test_repeated_request_goes_out_on_a_new_connection(client: Client) -> None:
    """A request is repeated on a new connection, not on another one that may have ended as well."""
    both = threading.Barrier(2, timeout=LIMIT_S)

    def script(peer: Peer) -> None:
        if peer.hear() and peer.number <= 2:
            both.wait()
        peer.say(OK)
        if peer.hear() and peer.number > 2:
            peer.say(OK)

    with serving(script) as server:
        client.connect(server.url)
        client.send_at_once(POST, POST)
        assert looks(client.send(GET)[0]) == (200, "hello", "")
        assert server.heard[-1] == (3, "GET /")


def test_request_on_a_new_connection_is_not_repeated(client: Client) -> None:
    """A server that closes a new connection without an answer gets no second request."""
    with serving(once(b"")) as server:
        client.connect(server.url)
        status, _, error = looks(client.send(GET)[0])
        assert (status, error) == (0, "RemoteProtocolError: the server closed the connection without an answer")
        assert server.heard == [(1, "GET /")]


def test_post_that_could_not_be_written_goes_out_on_a_new_connection(client: Client) -> None:
    """Where not one byte of a POST could be written, it is sent on another connection, and the server hears it once."""
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK)
        over.wait(LIMIT_S)

    with serving(script) as server:
        client.connect(server.url)
        client.send(POST)
        client.do("deafen")
        assert looks(client.send(["POST", "/again"])[0]) == (200, "hello", "")
        over.set()
        assert server.heard == [(1, "POST /"), (2, "POST /again")]


@pytest.mark.parametrize(
    ("answer", "status", "body", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", 200, "hello", "the server closed after 5 of 50 bytes"),
        (CHUNKED + b"5\r\nhello\r\n", 200, "hello", "the server closed before the last chunk of the body"),
        (CHUNKED + b"x\r\n", 200, "", "the size of a chunk is b'x'"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 0, "", "the server closed after 27 bytes of the head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 0, "", "Duplicate Content-Length"),
    ],
)
def test_answer_that_is_cut_short_or_broken_is_an_error(
    client: Client, answer: bytes, status: int, body: str, problem: str
) -> None:
    """An answer that ends too early or breaks its framing says so, and brings what had come of it."""
    with serving(once(answer)) as server:
        client.connect(server.url)
        found = client.send(POST)[0]
        assert found["error"].startswith("RemoteProtocolError: ")
        assert problem in found["error"]
        assert (found["status"], found["body"]) == (status, body)


def test_broken_connection_is_an_error(client: Client) -> None:
    """A connection that the server's machine resets is told as such."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with serving(script) as server:
        client.connect(server.url)
        assert looks(client.send(POST)[0]) == (0, "", "ReadError: [Errno 104] Connection reset by peer")


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\0\2\2\n"])
def test_garbage_is_an_error_at_once(client: Client, garbage: bytes) -> None:
    """What can be no answer is refused though its end never comes, and the connection is closed."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(garbage)
        peer.wait_for_end()

    with serving(script) as server:
        client.connect(server.url)
        assert client.send(GET)[0]["error"].startswith("RemoteProtocolError: ")
        assert server.gone.wait(LIMIT_S)
