"""Flaws of heads: too long, too many, malformed, contradictory, and statuses that do not exist."""

import itertools
from collections.abc import Iterator

from tests.hostile.choices import JSON, every, head, later, reads, streams, whole
from tests.hostile.line import Line, Request
from tests.hostile.server import Flaw, Scene, Serve
from tests.hostile.serving import flooding, framed, raw, spoilt
from tests.hostile.upstream import Reply

_TYPE = ": ".join(JSON)
_BODY = b'{"error": "no"}'
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" * 400


def _bare(reply: Reply) -> bytes:
    return reply.head(f"Content-Length: {len(reply.body)}").replace(b"\r\n", b"\n") + reply.body


def _both(reply: Reply) -> bytes:
    return reply.head("Content-Length: 3", "Transfer-Encoding: chunked") + chunked(reply.body)


def chunked(body: bytes) -> bytes:
    """A body in two chunks."""
    half = len(body) // 2
    parts = (body[:half], body[half:])
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts if part) + b"0\r\n\r\n"


def _in_chunks(*after: bytes) -> Serve:
    return spoilt(lambda reply: reply.head("Transfer-Encoding: chunked") + b"".join(after), closes=True)


def _older(reply: Reply) -> bytes:
    return reply.head("Connection: close").replace(b"HTTP/1.1", b"HTTP/1.0", 1) + reply.body


def _early_hints(reply: Reply) -> bytes:
    return b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply.wire()


def _with_body(scene: Scene, line: Line, request: Request) -> bool:
    """204 with a body, which a client may take for the next response."""
    if request.method != "DELETE":
        return scene.upstream.pass_on(request, line)
    scene.upstream.ask(request)
    line.send(head("204 No Content", _TYPE, "Content-Length: 60") + whole(b'{"status": "ready"}', _TYPE)[:60])
    return True


def _lines() -> Iterator[bytes]:
    return (b"x-%d: y\r\n" % number for number in itertools.count())


def _endless(begin: bytes, piece: bytes) -> Serve:
    return flooding(begin, lambda: itertools.repeat(piece))


def _wordy(reply: Reply) -> bytes:
    status, rest = reply.wire().split(b"\r\n", 1)
    return status + b"y" * 60_000 + b"\r\n" + rest


_LENGTH, _WRONG = "Content-Length: {length}", "Content-Length: {wrong}"
_HUGE = "Content-Length: 1" + "0" * 30
_CONTROLS = "X-Odd: a\x01\x1b[31mb\x7f"
_SWITCHING = head("101 Switching", "Upgrade: h2c", "Connection: upgrade")
_MANY = [f"X-{number}: y" for number in range(10_000)]
_LONG = ("X-Long", "a" * 60_000)
_LONGER = ("X-Long", "a" * 1_000_000)
_FEW_BYTES = [f"x{number:04x}:" for number in range(5_000)]

ALL = (
    Flaw("endless-head", "sends a header that never ends", _endless(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * 65_536)),
    Flaw("endless-fields", "sends headers and never a last one", flooding(b"HTTP/1.1 200 OK\r\n", _lines)),
    Flaw("header-of-1mb", "sends one header of 1 MB", raw(whole(_BODY, _TYPE, "X-Long: " + "a" * 1_000_000))),
    Flaw("header-of-1mb-reads", "the same to status reads", spoilt(lambda r: r.but(_LONGER).wire()), reads),
    Flaw("header-of-60kb", "adds one header of 60 KB to each answer", spoilt(lambda r: r.but(_LONG).wire()), later),
    Flaw("10000-headers", "sends 10,000 headers", raw(whole(_BODY, _TYPE, *_MANY))),
    Flaw("5000-headers-reads", "sends 5,000 headers to status reads", raw(whole(_BODY, _TYPE, *_FEW_BYTES)), reads),
    Flaw("header-of-1mb-streams", "the same to build logs", raw(whole(b"", ": ".join(_LONGER))), streams),
    Flaw("long-reason", "sends a reason of 60,000 letters behind its status", spoilt(_wordy), reads),
    Flaw("bare-lf", "ends lines with a line feed alone", spoilt(_bare), later),
    Flaw("obs-fold", "folds a header over two lines", framed("X-Folded: one", "  two", _LENGTH), later),
    Flaw("same-length-twice", "sends Content-Length twice", framed(_LENGTH, _LENGTH), later),
    Flaw("same-length-in-a-list", "lists the same length twice", framed(_LENGTH + ", {length}"), later),
    Flaw("conflicting-lengths", "sends two different Content-Lengths", framed(_LENGTH, _WRONG), reads),
    Flaw("length-and-chunked", "sends Content-Length and chunks", spoilt(_both), reads),
    Flaw("length-negative", "sends Content-Length: -5", framed("Content-Length: -5", closes=True), reads),
    Flaw("length-no-number", "sends Content-Length: many", framed("Content-Length: many", closes=True), reads),
    Flaw("length-astronomic", "sends Content-Length: 10^30", framed(_HUGE, closes=True), reads),
    Flaw("chunk-size-no-number", "sends a chunk size that is no number", _in_chunks(b"zz\r\nabc\r\n"), reads),
    Flaw("chunk-size-huge", "sends a chunk size of 2^80", _in_chunks(b"1" + b"0" * 20 + b"\r\nabc\r\n"), reads),
    Flaw("chunk-too-short", "sends more in a chunk than its size", _in_chunks(b"3\r\nabcdef\r\n0\r\n\r\n"), reads),
    Flaw("chunk-without-last", "closes before the last chunk", _in_chunks(b"3\r\nabc\r\n"), reads),
    Flaw("status-000", "answers with status 000", raw(whole(_BODY, _TYPE, status="000 None")), every),
    Flaw("status-999", "answers with status 999", raw(whole(_BODY, _TYPE, status="999 Odd")), every),
    Flaw("status-000-reads", "the same to status reads", raw(whole(_BODY, _TYPE, status="000 None")), reads),
    Flaw("status-999-reads", "the same to status reads", raw(whole(_BODY, _TYPE, status="999 Odd")), reads),
    Flaw("http-1.0", "speaks HTTP/1.0 and closes after each answer", spoilt(_older, closes=True)),
    Flaw("http-0.9", "answers without any head", raw(b'{"status": "ready"}\n'), every),
    Flaw("garbage-bytes", "answers with bytes of no protocol", raw(bytes(range(256)) * 8), every),
    Flaw("interim-answers", "sends 102 and 103 before each answer", spoilt(_early_hints), later),
    Flaw("interim-flood", "sends 100 for ever", _endless(b"", _INTERIM)),
    Flaw("interim-flood-reads", "the same to status reads", _endless(b"", _INTERIM), reads),
    Flaw("switches-protocols", "answers status reads with 101", raw(_SWITCHING), reads),
    Flaw("204-with-body", "sends a body behind 204", _with_body, later),
    Flaw("controls-in-header", "sends control characters in a header", framed(_CONTROLS, _LENGTH), reads),
)
