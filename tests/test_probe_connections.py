"""The connections of a probe: what is sent when, and no server that makes it wait, hold or lose anything."""

import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.command import PRIMARY
from tests.raw_server import listening
from touchstone.config import TargetSettings
from touchstone.contract.document import Contract
from touchstone.limiter.probe.connections import Link, Reply
from touchstone.target.bounds import Bounds

REF = "default/some@1.0.0"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TIGHT = Bounds(max_head_bytes=2_000, max_headers=20, max_body_bytes=1_000, max_json_depth=5)


def request(connection: socket.socket) -> bytes:
    """The head of one request; empty where the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(4096)
        if not more:
            return b""
        data += more
    return data


@contextmanager
def linked(answers: list[bytes], timeout_s: float = 1.0, drip_s: float = 0.0) -> Iterator[tuple[Link, list[bytes]]]:
    """A link to a server that gives these answers, each once and the last one for good, and what it was asked.

    An empty answer closes the connection.
    """
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while head := request(connection):
            asked.append(head)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if not answer:
                return
            if not drip_s:
                connection.sendall(answer)
                continue
            for byte in answer:
                connection.sendall(bytes([byte]))
                time.sleep(drip_s)

    with listening(serve) as url:
        target = replace(TargetSettings(), url=url, api_key=PRIMARY, request_timeout_s=timeout_s, bounds=TIGHT)
        link = Link(url, target, Contract.load(), time.monotonic)
        try:
            yield link, asked
        finally:
            link.close()


def once(link: Link, operation: str = "getBuild") -> Reply:
    """Sends one limited request."""
    return link.send(link.prepared(operation, REF))


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (OK, 200, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 200, "ReadTimeout: body not complete"),
        (b"HTTP/1.1 200 OK\r\n", 0, "ReadTimeout: no answer within 0.5 s"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 3_000, 0, "RemoteProtocolError: the head is longer than max_head_bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 200, 0, "RemoteProtocolError: the head is longer than max_head_bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30 + b"\r\n", 200, "RemoteProtocolError: the head has 30 lines"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"a" * 2_000,
            200,
            "the body is longer than max_body_bytes",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"[" * 20, 200, "JSON is nested deeper than"),
        (b"nonsense\r\n\r\n", 0, "RemoteProtocolError: "),
        (b"", 0, "RemoteProtocolError: Server disconnected without sending a response."),
    ],
    ids=("whole", "chunked", "interim", "short", "half", "long", "interims", "many", "large", "deep", "none", "closed"),
)
def test_answer_is_read_within_its_bounds(answer: bytes, status: int, error: str) -> None:
    """What is wrong with it is said, and the status is none unless the answer is whole."""
    with linked([answer], timeout_s=0.5) as (link, _):
        reply = once(link, "startBuild")
    assert (reply.status, reply.error[: len(error)]) == (status, error)
    assert (reply.error == "") == (error == "")
    assert reply.whole_status == (0 if error else 200)
    assert reply.done_at >= reply.sent_at


def test_packed_answer_is_unpacked_no_further_than_its_bound() -> None:
    """A few bytes may be many once they are unpacked."""
    body = gzip.compress(b" " * 1_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with linked([head + body]) as (link, _):
        reply = once(link)
    assert "max_body_bytes" in reply.error
    assert len(reply.body) < 70_000


def test_dripping_server_is_not_waited_for() -> None:
    """A byte now and then does not put the end off."""
    began = time.monotonic()
    with linked([OK], timeout_s=0.4, drip_s=0.05) as (link, _):
        reply = once(link)
    assert reply.error == "ReadTimeout: no answer within 0.4 s"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("operation", "times", "status"), [("getBuild", 3, 200), ("startBuild", 2, 0)])
def test_read_is_sent_again_where_its_connection_was_just_closed(operation: str, times: int, status: int) -> None:
    """A start is not: it may have begun a build."""
    with linked([OK, b"", OK]) as (link, asked):
        assert once(link).status == 200
        reply = once(link, operation)
    assert (reply.status, len(asked)) == (status, times)


def test_connection_that_was_closed_meanwhile_is_replaced_before_it_is_used() -> None:
    """No request is lost to it."""

    def serve(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(OK)

    with listening(serve) as url:
        target = replace(TargetSettings(), url=url, api_key=PRIMARY, request_timeout_s=1.0)
        link = Link(url, target, Contract.load(), time.monotonic)
        for _ in range(3):
            assert once(link, "startBuild").status == 200
            time.sleep(0.05)
        link.close()


def test_requests_go_out_before_any_of_them_is_answered() -> None:
    """Each on a connection of its own that stands open by then."""
    with linked([OK]) as (link, asked):
        link.open(20)
        prepared = link.prepared("startBuild", REF)
        flights = [link.spawn(link.send, prepared) for _ in range(20)]
        replies = [flight.result() for flight in flights]
    assert [reply.status for reply in replies] == [200] * 20
    assert len(asked) == 20
    assert max(reply.sent_at for reply in replies) - min(reply.sent_at for reply in replies) < 0.1


def test_exchange_holds_no_key() -> None:
    """Neither the one that was sent nor one that comes back."""
    body = f'{{"error": "no such key {PRIMARY}"}}'.encode()
    with linked([b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body]) as (link, asked):
        reply, prepared = once(link), link.prepared("getBuild", REF)
        exchange = link.exchange(prepared, reply, 7, "probe")
    assert PRIMARY.encode() in asked[0]
    assert PRIMARY not in repr(exchange) + repr(prepared)
    assert (exchange.status, exchange.seq, exchange.ref, exchange.operation) == (403, 7, REF, "getBuild")


def test_server_that_is_not_there_is_an_error_of_its_own() -> None:
    """It is told from one that does not answer: a start that met it began nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
    link = Link(url, replace(TargetSettings(), url=url, api_key=PRIMARY), Contract.load(), time.monotonic)
    assert once(link).error.startswith("ConnectError: ")
    link.close()
