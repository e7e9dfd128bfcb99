"""HTTP client of a load: connections of gevent, the parser llhttp, and limits on everything that it reads.

It replaces Locust's FastHttpSession, which does not limit heads, joins the pieces of a stream, and merges header lines.
"""

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.socket
import httptools

from touchstone.contract.document import Contract
from touchstone.target import bounds as limits
from touchstone.target.bounds import DEFAULT_BOUNDS, Bounds, Intake, Refused
from touchstone.target.call import Answer, Call, Head, MessageBuilder, OutgoingRequest
from touchstone.target.connections import LONGEST_IDLE_S, trusting
from touchstone.target.keys import Keys

MAX_CONNECTIONS = 10_000
_PIECE_BYTES = 65_536
_CLOSED = "PoolTimeout: the client was closed before the response was complete"
# Errors that mean that this machine ran out of a resource; the server is not the cause.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

# The cache of prepared requests is cleared when it has this many entries, of about a kilobyte each.
MAX_PREPARED = 50_000


class Requests(MessageBuilder):
    """Builds requests and caches them, so that equal calls share one request; *url* has no trailing slash."""

    def __init__(self, url: str, keys: Keys, contract: Contract) -> None:
        super().__init__(url, keys, contract)
        self._prepared: dict[str, OutgoingRequest] = {}

    def prepared(self, call: Call) -> OutgoingRequest:
        """Request for *call*; raises `LookupError` if the run lacks the key that the call needs."""
        key = repr(call)
        if key not in self._prepared:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            self._prepared[key] = self.prepare(call)
        return self._prepared[key]

    def wire(self, request: OutgoingRequest) -> bytes:
        """HTTP/1.1 bytes of a request, which may contain a key."""
        target, headers = self.head(request)
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode("utf-8") + request.body


class Broken(Exception):
    """The response is missing or incomplete; the text becomes `Answer.error`."""


class _Unanswered(Broken):
    """The connection ended before the first byte of a response."""


class Connections:
    """Connections to the origin of *url*; *timeout_s* limits the wait for one, and then the whole response."""

    def __init__(
        self, url: str, timeout_s: float, clock: Callable[[], float] = time.monotonic, bounds: Bounds = DEFAULT_BOUNDS
    ) -> None:
        parts = urlsplit(url)
        self._tls = trusting() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._tls else 80)
        self._timeout_s = timeout_s
        self._clock = clock
        self._bounds = bounds
        self._closed = self._left = False
        self._busy: dict[Any, bool] = {}  # open requests by socket: whether the response is a stream
        self._idle: list[tuple[Any, float]] = []  # each with the monotonic time until which it may be reused
        self._closes_early = False

    def send(self, method: str, wire: bytes, stream_s: float = 0.0) -> Answer:
        """Sends a request and reads its response; an error is returned in `Answer.error`.

        If a reused connection ends without a response, a GET or HEAD is sent once more. *stream_s*: how many seconds
        after its head a stream is read; 0 for a response that is not a stream.
        """
        answer = Answer(sent_at=self._clock())
        may_repeat = method in ("GET", "HEAD")  # RFC 9112 9.3.1
        try:
            kept = self._kept() if may_repeat or not self._closes_early else None
            try:
                self._exchange(kept or self._connected(), answer, wire, stream_s)
            except _Unanswered:
                if self._closed or not (kept and may_repeat):
                    raise
                self._exchange(self._connected(), answer, wire, stream_s)
        except (Broken, Refused) as broken:
            answer.error = str(Broken(_CLOSED) if self._closed else broken)
        answer.done_at = answer.done_at or self._clock()
        if answer.head is None:
            answer.head_at = answer.done_at
        return answer

    def leave_streams(self) -> None:
        """Stops reading all streams."""
        self._left = True
        self._shut([sock for sock, is_stream in self._busy.items() if is_stream])

    def close(self) -> None:
        """Closes all connections. Open requests end with an error."""
        self._closed = True
        while self._idle:
            self._idle.pop()[0].close()
        self._shut(list(self._busy))

    def _shut(self, socks: Iterable[Any]) -> None:
        for sock in socks:
            with contextlib.suppress(OSError):
                # A TLS socket's own `shutdown` removes TLS first, so that an open read would go on in plain text.
                gevent.socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _kept(self) -> Any | None:
        while self._idle:
            sock, until_at = self._idle.pop()
            is_young = time.monotonic() < until_at
            if is_young and _is_quiet(sock):
                return sock
            self._closes_early |= is_young
            sock.close()
        return None

    def _connected(self) -> Any:
        if self._closed:
            raise Broken(_CLOSED)
        place = f"{self._host}:{self._port}"
        try:
            sock = gevent.socket.create_connection((self._host, self._port), self._timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
            sock.settimeout(None)
        except TimeoutError:
            raise Broken(f"ConnectTimeout: no connection to {place} within {self._timeout_s:g} s") from None
        except (OSError, ValueError) as error:
            # A ValueError means that the host name is invalid in DNS or TLS.
            ours = getattr(error, "errno", None) in _OURS
            name = "PoolTimeout: no socket is free here for" if ours else "ConnectError:"
            raise Broken(f"{name} {place}: {error}") from None
        return sock

    def _exchange(self, sock: Any, answer: Answer, wire: bytes, stream_s: float) -> None:
        wait_s = max(self._timeout_s, stream_s)
        parser = Parser(self._bounds)
        self._busy[sock] = is_kept = False
        timeout = gevent.Timeout.start_new(wait_s)
        try:
            _write(sock, wire)
            while parser.head is None:
                _read(sock, parser)
            answer.head, answer.head_at = parser.head, self._clock()
            if stream_s and parser.has_open_end:
                timeout.close()
                self._follow(sock, parser, answer, stream_s)
            else:
                self._take_body(sock, parser, answer, is_stream=bool(stream_s))
                answer.closed = "server" if stream_s else ""
            is_kept = parser.done and parser.keeps_alive and not self._closed
        except gevent.Timeout as over:
            if over is not timeout:
                raise
            bound = f" (request_timeout_s = {wait_s:g})" if wait_s == self._timeout_s else ""
            size = f"body not complete after {wait_s:g} s and {len(answer.body)} bytes"
            raise Broken(f"ReadTimeout: {size if answer.head else f'no response within {wait_s:g} s'}{bound}") from None
        finally:
            timeout.close()
            del self._busy[sock]
            if is_kept:
                self._idle.append((sock, time.monotonic() + LONGEST_IDLE_S))
            else:
                sock.close()

    def _follow(self, sock: Any, parser: "Parser", answer: Answer, stream_s: float) -> None:
        """Reads a stream until the server ends it, *stream_s* seconds are over, or the run ends."""
        self._busy[sock] = True
        if self._left:
            self._shut([sock])
        answer.closed, over = "server", Broken()
        try:
            with gevent.Timeout(stream_s, over):
                self._take_body(sock, parser, answer, is_stream=True)
        except Broken as broken:
            if broken is not over and not self._left:
                raise
            answer.closed = "client"

    def _take_body(self, sock: Any, parser: "Parser", answer: Answer, *, is_stream: bool) -> None:
        assert parser.head is not None
        intake, pieces = Intake(parser.head.headers, self._bounds, streamed=is_stream), []
        try:
            while True:
                content = parser.take()
                if content and (content := intake.take(content)):
                    pieces.append(content)
                    if is_stream:
                        answer.chunks.append((self._clock() - answer.sent_at, content))
                if parser.done:
                    break
                if parser.problem is not None:
                    raise parser.problem
                _read(sock, parser)
            intake.end()
        finally:
            answer.body = intake.kept(b"".join(pieces))
            if intake.problem and answer.chunks:
                answer.chunks = [(answer.chunks[-1][0], answer.body)]
        if intake.problem:
            raise Refused(intake.problem)
        answer.done_at = self._clock()


class Parser:
    """Parses one response from the bytes of a connection, as leniently as the HTTP client of a check.

    Attributes:
        head: Head of the response; None until the head is complete. Interim (1xx) responses are skipped.
        has_begun: Whether anything was received.
        has_open_end: Whether the head does not say how long the body is.
        keeps_alive: Whether the connection can be reused for another request.
        problem: Error in the body; the content before the error was parsed.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.head: Head | None = None
        self.problem: Broken | None = None
        self.has_begun = self.has_open_end = self.done = self.keeps_alive = False
        self._ends_with_connection = False
        self._bounds = bounds
        self._headers: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self._status_bytes = self._head_bytes = self._since_content_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        lenient = ("headers", "chunked_length", "optional_cr_before_lf", "spaces_after_chunk_size")
        self._parser.set_dangerous_leniencies(**{f"lenient_{name}": True for name in lenient})

    def take(self) -> bytes:
        """Returns the content of the body that was parsed since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed(self, data: bytes) -> None:
        """Parses received bytes; b"" is the end. Raises `Broken` for an invalid, incomplete or too long response."""
        if not data:
            self._end()
            return
        self.has_begun = True
        self._since_content_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            text = "the server switched to another protocol without a request"
            raise Broken(f"RemoteProtocolError: {text}") from None
        except httptools.HttpParserError as error:
            if self.head is None:
                raise Broken(f"RemoteProtocolError: {error}") from None
            self.keeps_alive = False  # the error may be data after a complete response
            self.problem = Broken(f"RemoteProtocolError: {error}")
        self._measure()

    def _end(self) -> None:
        if self.head is not None and self._ends_with_connection:
            self.done = True
            return
        if not self.has_begun:
            raise _Unanswered("RemoteProtocolError: the server closed the connection without a response")
        where = "within the head of its response" if self.head is None else "before the end of the body"
        raise Broken(f"RemoteProtocolError: the server closed {where}")

    def _measure(self) -> None:
        """Raises `Broken` if the head exceeds a limit, or if the framing between two body chunks does."""
        most, head = self._bounds.max_head_bytes, self.head
        if self._status_bytes > limits.MAX_STATUS_LINE_BYTES:
            raise Broken(f"RemoteProtocolError: {limits.STATUS_LINE_TOO_LONG}")
        if self._head_bytes > most or (head is None and self._since_content_bytes > most):
            raise Broken(f"RemoteProtocolError: the head is longer than {self._bounds.describe('max_head_bytes')}")
        if self._since_content_bytes > most + _PIECE_BYTES and not self._pieces:
            raise Broken(f"RemoteProtocolError: the body has more than {most} bytes between two pieces of content")
        if head is None:
            return
        if head.status < 100:
            raise Broken(f"RemoteProtocolError: the status is {head.status}, expected one from 100")
        if len(head.headers) > self._bounds.max_headers:
            bound = self._bounds.describe("max_headers")
            raise Broken(f"RemoteProtocolError: the head has {len(head.headers)} lines, and {bound}")

    def on_status(self, text: bytes) -> None:
        """Called by the parser with a part of the reason phrase."""
        if self.head is None:
            self._status_bytes += len(text)
            self._head_bytes += len(text)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with a header line; ignores lines after the body (the trailer)."""
        if self.head is None:
            self._head_bytes += len(name) + len(value) + 4
            self._headers.append((name.decode("latin-1").lower(), _decoded(value.strip(b" \t"))))

    def on_headers_complete(self) -> None:
        """Called by the parser at the end of a head, also of an interim response."""
        status = self._parser.get_status_code()
        if self.head is not None or 100 <= status < 200:
            return
        self.head = Head(status, tuple(self._headers))
        framing = {name: value for name, value in self._headers if name in ("content-length", "transfer-encoding")}
        codings = framing.get("transfer-encoding", "").rpartition(",")[2].strip().lower()
        self.has_open_end = status not in (204, 304) and ("content-length" not in framing or bool(codings))
        self._ends_with_connection = self.has_open_end and codings != "chunked"

    def on_body(self, data: bytes) -> None:
        """Called by the parser with a piece of the body."""
        if not self.done:
            self._pieces.append(data)
            self._since_content_bytes = 0

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a response, also of an interim response."""
        if self.head is None:
            self._headers, self._status_bytes = [], 0
        elif self.done:
            self.keeps_alive = False  # the server sent a second response without a request
        else:
            self.done, self.keeps_alive = True, self._parser.should_keep_alive()


def _write(sock: Any, wire: bytes) -> None:
    try:
        sock.sendall(wire)
    except OSError as error:
        raise _Unanswered(f"WriteError: {error}") from None


def _read(sock: Any, parser: Parser) -> None:
    try:
        data = sock.recv(_PIECE_BYTES)
    except OSError as error:
        raise (Broken if parser.has_begun else _Unanswered)(f"ReadError: {error}") from None
    parser.feed(data)


def _is_quiet(sock: Any) -> bool:
    """Whether nothing arrived on an idle connection since its last response, neither data nor a close."""
    sock.settimeout(0.0)
    try:
        gevent.socket.socket.recv(sock, 1, socket.MSG_PEEK)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        sock.settimeout(None)
    return False


def _decoded(value: bytes) -> str:
    try:  # as httpx decodes header values
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
