"""
The lean client waits no longer and reads no more than it should, leaves streams when it is told to, and checks who is
at the other end.
"""

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from tests.lean_client import Client, client, looks, process
from tests.lean_server import LIMIT_S, Peer, Script, always, once, serving
from touchstone.target import connections
from touchstone.target.bounds import DEFAULT_BOUNDS

__all__ = ["client", "process"]  # fixtures

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = EVENTS + b"Transfer-Encoding: chunked\r\n\r\n"

GET, POST = ["GET", "/"], ["POST", "/"]

# Long enough for a loopback connection, and over at once.
SHORT_S = 0.05


def greeting(then: Script) -> Script:
    """
    Answers the first request on each connection, so that connecting is not what takes time, and goes on as *then* does.
    """

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK)
        then(peer)

    return script


def saying(answer: bytes, said: threading.Event | None = None) -> Script:
    """Says *answer* to a request and then no more."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(answer)
        if said:
            said.set()
        peer.wait_for_end()

    return script


def test_limits_are_those_of_the_transport(client: Client) -> None:
    """Load runs trust an idle connection for as long as checks do."""
    found = client.do("constants")
    assert found == {"LONGEST_IDLE_S": connections.LONGEST_IDLE_S}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http:///path"])
def test_url_of_another_kind_is_a_mistake_of_the_caller(process: Client, url: str) -> None:
    """A URL that is none of HTTP is refused before anything is sent."""
    assert process.do("connect", url, 1.0, None, None, 1.0).startswith(repr(url))


# --- time --------------------------------------------------------------------------------------------------------


def test_silence_is_given_up(client: Client) -> None:
    """Where no answer comes in time, the request ends with an error and its connection is closed."""
    with serving(greeting(saying(b""))) as server:
        client.connect(server.url)
        client.send(GET)
        client.do("hurry", SHORT_S)
        assert looks(client.send(POST)[0]) == (0, "", "ReadTimeout: no answer within 0.05 s (request_timeout_s = 0.05)")
        assert server.gone.wait(LIMIT_S)
        assert server.heard == [(1, "GET /"), (1, "POST /")]


def test_every_request_has_its_time(client: Client) -> None:
    """The time for an answer is set for the first request on a connection, and anew for each one after it."""
    asked, answer_it = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        while peer.hear():
            asked.set()
            answer_it.wait(LIMIT_S)
            answer_it.clear()
            peer.say(OK)

    with serving(script) as server:
        client.connect(server.url, idle_s=10 * LIMIT_S)
        for _ in range(2):
            client.do("begin", [POST])
            assert asked.wait(LIMIT_S)
            asked.clear()
            (left_s,) = client.do("left_s")
            assert left_s <= LIMIT_S
            answer_it.set()
            client.do("ended")
            (left_s,) = client.do("left_s")
            assert left_s > LIMIT_S
        assert [number for number, _ in server.heard] == [1, 1]


@pytest.mark.parametrize(
    ("answer", "status", "body", "problem"),
    [
        (OK[:20], 0, "", "no answer within 20 s (request_timeout_s = 20)"),
        (OK[:-2], 200, "hel", "body not complete after 20 s and 3 bytes (request_timeout_s = 20)"),
        (EVENTS + b"\r\nhel", 200, "hel", "body not complete after 20 s and 3 bytes (request_timeout_s = 20)"),
    ],
)
def test_answer_that_is_not_complete_in_time_is_given_up(
    client: Client, answer: bytes, status: int, body: str, problem: str
) -> None:
    """An answer that has only begun when its time is over is an error, and what had come of it is kept."""
    said = threading.Event()
    with serving(saying(answer, said)) as server:
        client.connect(server.url)
        client.do("begin", [POST])
        assert said.wait(LIMIT_S)
        client.do("turn")
        client.do("expire")
        assert looks(client.do("ended")[0]) == (status, body, f"ReadTimeout: {problem}")
        assert server.gone.wait(LIMIT_S)


def test_dripping_answer_is_given_up(client: Client) -> None:
    """The time is for the whole answer: a byte now and then does not buy more."""
    over = threading.Event()

    def drip(peer: Peer) -> None:
        peer.hear()
        peer.say(CHUNKED)
        while not over.wait(0.005):
            peer.say(b"1\r\nx\r\n")

    with serving(greeting(drip)) as server:
        client.connect(server.url)
        client.send(GET)
        client.do("hurry", SHORT_S)
        assert looks(client.send(GET)[0])[2].startswith("ReadTimeout: ")
        over.set()


def test_request_that_nobody_reads_is_given_up(client: Client) -> None:
    """The time counts as well while a large request waits to be read."""
    over = threading.Event()
    with serving(greeting(lambda peer: over.wait(LIMIT_S) and None)) as server:
        client.connect(server.url)
        client.send(GET)
        client.do("hurry", SHORT_S)
        assert looks(client.send(["POST", "/", 12_000_000])[0]) == (
            0,
            "",
            "ReadTimeout: no answer within 0.05 s (request_timeout_s = 0.05)",
        )
        over.set()


def test_busy_generator_makes_no_answer_late(client: Client) -> None:
    """An answer that came while this process had no time to look is an answer, also where its time is over by then."""
    asked, answer_it = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.hear()
        asked.set()
        answer_it.wait(LIMIT_S)
        peer.say(OK)
        peer.hear()
        peer.say(OK)

    with serving(script) as server:
        client.connect(server.url)
        client.do("begin", [POST])
        assert asked.wait(LIMIT_S)
        assert client.do("busy") == "busy"
        answer_it.set()
        assert client.hear() == "done"
        assert looks(client.do("ended")[0]) == (200, "hello", "")
        assert looks(client.send(POST)[0]) == (200, "hello", "")
        assert [number for number, _ in server.heard] == [1, 1]


def test_killed_greenlet_leaves_nothing_open(client: Client) -> None:
    """A request whose greenlet is killed takes its connection with it."""
    asked = threading.Event()
    with serving(saying(b"", asked)) as server:
        client.connect(server.url)
        client.do("begin", [POST])
        assert asked.wait(LIMIT_S)
        client.do("kill")
        assert server.gone.wait(LIMIT_S)


def test_closing_ends_what_is_under_way(client: Client) -> None:
    """When the client is closed, requests end with an error that is not the server's, and no other one is sent."""
    asked = threading.Event()
    with serving(saying(b"", asked)) as server:
        client.connect(server.url)
        client.do("begin", [POST])
        assert asked.wait(LIMIT_S)
        client.do("close")
        assert looks(client.do("ended")[0])[2] == "PoolTimeout: the client was closed before the answer was complete"
        assert looks(client.send(POST)[0])[2] == "PoolTimeout: the client is closed"


# --- numbers and sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "close"])
def test_body_that_is_too_long_is_an_error(client: Client, framing: str) -> None:
    """A body is read up to its limit and not beyond."""
    most = DEFAULT_BOUNDS.max_body_bytes

    def script(peer: Peer) -> None:
        while said := peer.hear():
            size = most + int(said.rpartition("/")[2])
            head = b"Content-Length: %d\r\n" % size if framing == "length" else b"Connection: close\r\n"
            peer.say(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"x" * size)
            if framing == "close":
                return

    with serving(script) as server:
        client.connect(server.url)
        whole, beyond = client.send(["GET", "/0"], ["GET", "/1"])
        assert (whole["error"], len(whole["body"])) == ("", most)
        assert beyond["error"] == f"the body is longer than max_body_bytes = {most}"


def test_connections_are_bounded_where_that_is_asked_for(client: Client) -> None:
    """With a bound, as many requests are under way at a time and the others wait, for so long and no longer."""
    pair = threading.Barrier(2, timeout=LIMIT_S)

    def script(peer: Peer) -> None:
        while peer.hear():
            pair.wait()
            peer.say(OK)

    with serving(script) as server:
        client.connect(server.url, most=2)
        assert [looks(answer) for answer in client.send_at_once(*[POST] * 6)] == [(200, "hello", "")] * 6
        assert {number for number, _ in server.heard} == {1, 2}
    with serving(saying(b"")) as server:
        client.connect(server.url, most=1)
        client.do("begin", [POST])
        client.do("hurry", SHORT_S)
        assert looks(client.send(POST)[0]) == (0, "", "PoolTimeout: no connection was free within 0.05 s")


def test_nobody_listening_is_an_error(client: Client) -> None:
    """A connection that is refused is told with its place."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{bound.getsockname()[1]}"
        client.connect(f"http://{place}")
        assert looks(client.send(POST)[0]) == (0, "", f"ConnectError: {place}: [Errno 111] Connection refused")


def test_name_that_cannot_be_one_is_an_error(client: Client) -> None:
    """A name that no look-up takes is told like a host that is not there."""
    client.connect("http://a..b:80")
    assert looks(client.send(POST)[0])[2].startswith("ConnectError: a..b:80: ")


def test_connection_that_does_not_come_about_is_given_up(client: Client) -> None:
    """A server that takes no connections is waited for as long as for an answer."""
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        place = f"127.0.0.1:{full.getsockname()[1]}"
        client.connect(f"http://{place}", timeout_s=SHORT_S)
        assert looks(client.send(POST)[0]) == (0, "", f"ConnectTimeout: no connection to {place} within 0.05 s")


def test_lack_of_sockets_is_not_the_servers_fault(client: Client) -> None:
    """Where this machine has no socket left, the error has a name of which nobody blames the server."""
    with serving(always(OK)) as server:
        client.connect(server.url)
        assert looks(client.do("exhausted")[0])[2].startswith("PoolTimeout: no socket is free here for 127.0.0.1:")
        assert looks(client.send(POST)[0]) == (200, "hello", "")


# --- streams -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [True, False])
def test_stream_is_read_until_the_server_ends_it(client: Client, chunked: bool) -> None:
    """Each piece of a stream is kept with its time; the server that ends it is named."""
    begun, go_on = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say((CHUNKED + b"3\r\none\r\n") if chunked else EVENTS + b"\r\none")
        begun.set()
        go_on.wait(LIMIT_S)
        peer.say(b"3\r\ntwo\r\n0\r\n\r\n" if chunked else b"two")

    with serving(script) as server:
        client.connect(server.url)
        client.do("begin_stream", LIMIT_S)
        assert begun.wait(LIMIT_S)
        client.do("turn")
        go_on.set()
        found = client.do("ended")[0]
        assert looks(found) == (200, "onetwo", "")
        assert (found["closed"], found["chunks"], found["rising"]) == ("server", ["one", "two"], True)


def test_stream_that_ends_leaves_its_connection(client: Client) -> None:
    """After a stream whose end was told the connection is used again."""
    with serving(always(CHUNKED + b"3\r\none\r\n0\r\n\r\n")) as server:
        client.connect(server.url)
        assert [client.stream()["closed"], client.stream()["closed"]] == ["server", "server"]
        assert [number for number, _ in server.heard] == [1, 1]


def test_stream_is_left_when_its_time_is_over(client: Client) -> None:
    """A stream that goes on is left after its time: that is no error, and the connection is closed."""
    with serving(saying(CHUNKED + b"3\r\none\r\n")) as server:
        client.connect(server.url)
        found = client.stream(limit_s=SHORT_S)
        assert looks(found) == (200, "one", "")
        assert (found["closed"], found["chunks"]) == ("client", ["one"])
        assert server.gone.wait(LIMIT_S)


def test_stream_is_left_when_nobody_wants_it(client: Client) -> None:
    """A stream is left as soon as its event is set, with all that had come of it."""
    begun = threading.Event()
    with serving(saying(CHUNKED + b"3\r\none\r\n", begun)) as server:
        client.connect(server.url)
        client.do("begin_stream", LIMIT_S)
        assert begun.wait(LIMIT_S)
        client.do("leave")
        found = client.do("ended")[0]
        assert looks(found) == (200, "one", "")
        assert (found["closed"], found["chunks"]) == ("client", ["one"])
        assert server.gone.wait(LIMIT_S)


def test_stream_that_breaks_off_is_an_error(client: Client) -> None:
    """A stream whose connection ends before its last chunk is told as such."""
    with serving(once(CHUNKED + b"3\r\none\r\n")) as server:
        client.connect(server.url)
        found = client.stream()
        assert looks(found)[1:] == ("one", "RemoteProtocolError: the server closed before the last chunk of the body")
        assert found["closed"] == "server"


def test_answer_of_another_kind_is_read_like_any(client: Client) -> None:
    """
    An answer with a length in the place of a stream is read to its end, also where nobody wants the stream any more.
    """
    begun, go_on = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK[:-2])
        begun.set()
        go_on.wait(LIMIT_S)
        peer.say(OK[-2:])

    with serving(script) as server:
        client.connect(server.url)
        client.do("leave")
        client.do("begin_stream", 0.0)
        assert begun.wait(LIMIT_S)
        client.do("turn")
        go_on.set()
        found = client.do("ended")[0]
        assert looks(found) == (200, "hello", "")
        assert (found["closed"], found["chunks"]) == ("server", ["hel", "lo"])


def test_stream_without_a_head_is_given_up(client: Client) -> None:
    """A stream whose head does not come is an error like any answer that does not come."""
    with serving(greeting(saying(b""))) as server:
        client.connect(server.url)
        client.send(GET)
        client.do("hurry", SHORT_S)
        found = client.stream(limit_s=SHORT_S / 2)
        assert looks(found) == (0, "", "ReadTimeout: no answer within 0.05 s (request_timeout_s = 0.05)")
        assert found["closed"] == ""


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody signed, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True)
    with (folder / "key.pem").open("a") as file:
        file.write((folder / "certificate.pem").read_text())
    return folder / "key.pem"


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_answers_come_through_tls(client: Client, context: ssl.SSLContext, certificate: Path) -> None:
    """With TLS a connection is used again, too, and large requests and answers are whole."""
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"y" * 500_000

    def script(peer: Peer) -> None:
        while said := peer.hear():
            peer.say(large if said.endswith("large") else OK)

    with serving(script, context) as server:
        client.connect(server.url, trust=certificate)
        first, big, last = client.send(POST, ["POST", "/large", 3_000_000], POST)
        assert looks(first) == looks(last) == (200, "hello", "")
        assert looks(big) == (200, "y" * 500_000, "")
        assert {number for number, _ in server.heard} == {1}


def test_stream_comes_through_tls(client: Client, context: ssl.SSLContext, certificate: Path) -> None:
    """A stream that ends with its connection is read with TLS as well."""
    with serving(lambda peer: bool(peer.hear()) and peer.say(EVENTS + b"\r\none"), context) as server:
        client.connect(server.url, trust=certificate)
        found = client.stream()
        assert looks(found) == (200, "one", "")
        assert found["closed"] == "server"


def test_silence_is_given_up_with_tls(client: Client, context: ssl.SSLContext, certificate: Path) -> None:
    """The time for an answer ends with TLS as without."""
    with serving(greeting(saying(b"")), context) as server:
        client.connect(server.url, trust=certificate)
        client.send(GET)
        client.do("hurry", SHORT_S)
        assert looks(client.send(POST)[0]) == (0, "", "ReadTimeout: no answer within 0.05 s (request_timeout_s = 0.05)")


def test_idle_connection_with_tls_that_the_server_closes_is_closed(
    client: Client, context: ssl.SSLContext, certificate: Path
) -> None:
    """A connection with TLS that the server closes while nobody uses it does not linger."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK)
        peer.hear()
        peer.say(OK)

    with serving(script, context) as server:
        client.connect(server.url, trust=certificate, idle_s=10 * LIMIT_S)
        assert [looks(answer) for answer in client.send(POST, POST)] == [(200, "hello", "")] * 2
        assert server.gone.wait(LIMIT_S)
        assert client.do("is_emptied")
        assert [number for number, _ in server.heard] == [1, 1]


def test_idle_connection_stays_open_while_tls_talks_to_itself(
    client: Client, context: ssl.SSLContext, certificate: Path
) -> None:
    """
    What TLS says of its own accord on an idle connection, such as that it wants to know who is there, closes nothing.
    """
    go_on, said = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(OK)
        go_on.wait(LIMIT_S)
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.sock.verify_client_post_handshake()
        peer.sock.do_handshake()
        said.set()
        peer.hear()
        peer.say(OK)

    context.verify_mode = ssl.CERT_OPTIONAL
    with serving(script, context) as server:
        client.connect(server.url, trust=certificate, idle_s=10 * LIMIT_S)
        client.send(POST)
        go_on.set()
        assert said.wait(LIMIT_S)
        client.do("turn")
        assert looks(client.send(POST)[0]) == (200, "hello", "")
        assert [number for number, _ in server.heard] == [1, 1]


def test_stranger_at_the_other_end_is_refused(client: Client, context: ssl.SSLContext, certificate: Path) -> None:
    """A certificate that nobody trusts, and one of another host, end the connection before anything is sent."""
    with serving(always(OK), context) as server:
        client.connect(server.url)
        assert "CERTIFICATE_VERIFY_FAILED" in looks(client.send(POST)[0])[2]
        client.connect(server.url.replace("127.0.0.1", "localhost"), trust=certificate)
        error = looks(client.send(POST)[0])[2]
        assert error.startswith("ConnectError: localhost:")
        assert "Hostname mismatch" in error
        assert server.heard == []


def test_server_without_tls_is_refused(client: Client) -> None:
    """A server that speaks no TLS where it should is an error."""

    def script(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(script) as server:
        client.connect(server.url.replace("http://", "https://"))
        assert looks(client.send(POST)[0])[2].startswith("ConnectError: 127.0.0.1:")
