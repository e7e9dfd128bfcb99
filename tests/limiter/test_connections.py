"""The connections of a probe: no server makes it wait, hold or lose anything, and no key gets into an exchange."""

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
from touchstone.limiter.probe.sender import Link
from touchstone.target.bounds import Bounds
from touchstone.target.call import Answer

REF = "default/some@1.0.0"
HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TIGHT = Bounds(max_head_bytes=2_000, max_headers=20, max_body_bytes=1_000, max_json_depth=5)


def request(connection: socket.socket) -> bytes:
    """The head of one request; empty where the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(4096)):
            return b""
        data += more
    return data


def link_to(url: str, timeout_s: float = 1.0) -> Link:
    target = replace(TargetSettings(), url=url, api_key=PRIMARY, request_timeout_s=timeout_s, bounds=TIGHT)
    return Link(url, target, Contract.load(), time.monotonic)


@contextmanager
def linked(
    answers: list[bytes], timeout_s: float = 1.0, drip_s: float = 0.0, *, closes: bool = False
) -> Iterator[tuple[Link, list[bytes]]]:
    """A link to a server, and the requests that it receives.

    Args:
        answers: Each is given once, and the last one for good; an empty one closes the connection.
        closes: Whether it closes each connection after an answer.
    """
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while head := request(connection):
            requests.append(head)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            for part in [bytes([byte]) for byte in answer] if drip_s else [answer]:
                connection.sendall(part)
                time.sleep(drip_s)  # a slow response is what is tested
            if closes or not answer:
                return

    with listening(serve) as url:
        link = link_to(url, timeout_s)
        try:
            yield link, requests
        finally:
            link.close()


def once(link: Link, operation: str = "getBuild") -> Answer:
    return link.send(link.prepared(operation, REF))


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        pytest.param(OK, 200, "", id="whole"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, "", id="chunked"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, "", id="interim"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\n{}", 200, "ReadTimeout", id="short"),
        pytest.param(HEAD, 0, "ReadTimeout", id="half"),
        pytest.param(HEAD + b"X: " + b"a" * 3_000, 0, "max_head_bytes", id="long"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 200, 0, "max_head_bytes", id="interims"),
        pytest.param(HEAD + b"X: y\r\n" * 30 + b"\r\n", 200, "30 lines", id="many"),
        pytest.param(HEAD + b"Content-Length: 2000\r\n\r\n" + b"a" * 2_000, 200, "max_body_bytes", id="large"),
        pytest.param(HEAD + b"Content-Length: 20\r\n\r\n" + b"[" * 20, 200, "max_json_depth", id="deep"),
        pytest.param(b"nonsense\r\n\r\n", 0, "RemoteProtocolError", id="none"),
        pytest.param(b"", 0, "RemoteProtocolError", id="closed"),
    ],
)
def test_answer_is_read_within_its_bounds(answer: bytes, status: int, error: str) -> None:
    with linked([answer], timeout_s=0.3) as (link, _):
        reply = once(link, "startBuild")
    received = reply.head.status if reply.head else 0
    assert (received, error in reply.error, bool(reply.error)) == (status, True, bool(error))
    assert reply.status == (0 if error else 200)
    assert reply.done_at >= reply.sent_at


def test_packed_answer_is_unpacked_no_further_than_its_bound() -> None:
    body = gzip.compress(b" " * 1_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with linked([head + body]) as (link, _):
        reply = once(link)
    assert ("max_body_bytes" in reply.error, len(reply.body) < 70_000) == (True, True)


def test_dripping_server_does_not_put_the_end_off() -> None:
    with linked([OK], timeout_s=0.3, drip_s=0.05) as (link, _):
        reply = once(link)
    assert (reply.error.partition(":")[0], reply.status) == ("ReadTimeout", 0)


@pytest.mark.parametrize(("operation", "times", "status"), [("getBuild", 3, 200), ("startBuild", 2, 0)])
def test_only_a_read_is_sent_again_on_a_closed_connection(operation: str, times: int, status: int) -> None:
    with linked([OK, b"", OK]) as (link, requests):
        assert once(link).status == 200
        reply = once(link, operation)
    assert (reply.status, len(requests)) == (status, times)


def test_connection_that_was_closed_meanwhile_is_replaced() -> None:
    with linked([OK], closes=True) as (link, _):
        for _number in range(3):
            assert once(link, "startBuild").status == 200
            time.sleep(0.05)  # the close arrives meanwhile, and no event announces it to a client


def test_requests_go_out_on_connections_of_their_own() -> None:
    with linked([OK]) as (link, requests):
        link.open(20)
        prepared = link.prepared("startBuild", REF)
        replies = [flight.result() for flight in [link.spawn(link.send, prepared) for _ in range(20)]]
    assert [reply.status for reply in replies] == [200] * 20
    assert len(requests) == 20


def test_exchange_holds_no_key() -> None:
    body = f'{{"error": "no such key {PRIMARY}"}}'.encode()
    with linked([b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body]) as (link, requests):
        reply, prepared = once(link), link.prepared("getBuild", REF)
        exchange = link.exchange(prepared, reply, 7, "probe")
    assert PRIMARY.encode() in requests[0]
    assert PRIMARY not in repr(exchange) + repr(prepared)
    assert (exchange.status, exchange.seq, exchange.ref, exchange.operation) == (403, 7, REF, "getBuild")


def test_server_that_is_not_there_is_an_error_of_its_own() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        link = link_to(f"http://127.0.0.1:{bound.getsockname()[1]}/api")
    assert once(link).error.startswith("ConnectError: ")
    link.close()
