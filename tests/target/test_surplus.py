"""Bytes after the end of a response are reported, and never mistaken for the next response."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.raw_server import listening
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange
from touchstone.rules import protocol
from touchstone.rules.history import History
from touchstone.target.call import Call
from touchstone.target.keys import Keys
from touchstone.target.transport import Transport

REF = "default/demo@1.0.0"
GET, HEAD = Call("getBuild", REF), Call("getBuild", REF, method="HEAD")
JSON = b"Content-Type: application/json\r\n"
ANOTHER = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"


def counted(body: bytes, more: bytes = b"") -> bytes:
    """A response with a Content-Length, and bytes after it."""
    return b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body + more


@contextmanager
def server(*answers: bytes, connections: list[int] | None = None) -> Iterator[str]:
    """Sends one response per request, in order, on persistent connections; counts the requests of each connection."""
    left, used = iter(answers), connections if connections is not None else []

    def serve(connection: socket.socket) -> None:
        number, data = len(used), b""
        used.append(0)
        while more := connection.recv(65536):
            data += more
            if data.endswith(b"\r\n\r\n"):
                used[number] += 1
                data = b""
                connection.sendall(next(left))

    with listening(serve) as url:
        yield url


def sent(url: str, *calls: Call) -> list[Exchange]:
    """Sends calls in sequence."""
    transport = Transport(url, Keys("sk_live_test_primary"), Contract.load(), lambda _: None, 5.0)
    try:
        return [transport.send(call) for call in calls]
    finally:
        transport.close()


def verdict_on(exchange: Exchange) -> list[str]:
    """Judgements of the claim that every request gets a response."""
    return [judgement.outcome for judgement in protocol.answered(exchange, History(Contract.load()))]


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        pytest.param(GET, counted(b"{}", ANOTHER), id="another-answer"),
        pytest.param(GET, counted(b"{}", b"x"), id="longer-than-announced"),
        pytest.param(GET, counted(b"{}", b"\r\n"), id="blank-line"),
        pytest.param(GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + ANOTHER,
                     id="behind-chunks"),
        pytest.param(GET, b"HTTP/1.1 204 No Content\r\n\r\n{}", id="body-of-204"),
        pytest.param(GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}", id="body-of-304"),
        pytest.param(HEAD, counted(b"{}"), id="body-of-head"),
        pytest.param(GET, counted(b"{}", ANOTHER).replace(JSON, JSON + b"Connection: close\r\n"), id="last-answer"),
    ],
)  # fmt: skip
def test_bytes_after_a_response_are_a_finding(call: Call, answer: bytes) -> None:
    connections: list[int] = []
    with server(answer, counted(b'{"status": "ready"}'), counted(b"{}"), connections=connections) as url:
        first, second, third = sent(url, call, GET, GET)
    assert not first.error
    assert (second.status, second.body, third.status) == (200, {"status": "ready"}, 200)
    assert [verdict_on(exchange) for exchange in (first, second, third)] == [["broken"], ["held"], ["held"]]
    assert connections == [1, 1, 1]


def test_clean_responses_share_a_connection() -> None:
    connections: list[int] = []
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    with server(counted(b"{}"), head, counted(b"{}"), connections=connections) as url:
        exchanges = sent(url, GET, HEAD, GET)
    assert [verdict_on(exchange) for exchange in exchanges] == [["held"]] * 3
    assert connections == [3]
