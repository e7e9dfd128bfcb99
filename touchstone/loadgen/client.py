"""The HTTP client of a load: geventhttpclient's connections, the parser llhttp, and bounds on all that is read.

Locust's FastHttpSession bounds no head, joins the pieces of a stream and regroups header lines.
"""

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.socket
import httptools
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.target.answer import Answer, Head
from touchstone.target.body import BEYOND_BYTES, Intake, Refused
from touchstone.target.bounds import DEFAULT_BOUNDS, KEPT_BYTES, MAX_STATUS_LINE_BYTES, STATUS_LINE_TOO_LONG, Bounds
from touchstone.target.call import Call, Keys, OutgoingRequest, Wording
from touchstone.target.tls import trusting

# An idle connection is not used again after this: see touchstone/target/connections.py.
LONGEST_IDLE_S = 3.0

MAX_CONNECTIONS = 10_000
_PIECE_BYTES = 65_536
_CLOSED = "PoolTimeout: the client was closed before the answer was complete"
# What this machine ran out of: the server is not to blame.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

# About a kilobyte each; when there are so many, all are prepared anew.
MAX_PREPARED = 50_000
# Of a longer body a load keeps the beginning: to mark its secrets would take longer than to get it.
LONG_BODY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRequest:
    """A request that is ready to be sent any number of times; its bytes in HTTP/1.1 may hold a key."""

    call: Call = field(repr=False)
    operation: str
    ref: str | None
    wire: bytes = field(repr=False)
    request: Request


class Requests:
    """Prepares the requests to the target at *url*, without a trailing slash; equal calls get the same one."""

    def __init__(self, url: str, keys: Keys, contract: Contract) -> None:
        base = urlsplit(url)
        self._wording = Wording(url, keys, contract)
        self.secrets = self._wording.secrets
        self._base_path = base.path
        host = base.netloc.rpartition("@")[2].removesuffix(":443" if base.scheme == "https" else ":80")
        self._host = host if host.isascii() else host.encode("idna").decode("ascii")
        self._prepared: dict[object, PreparedRequest] = {}

    def prepared(self, call: Call) -> PreparedRequest:
        """The request that *call* asks for; raises `LookupError` where the run has no such key."""
        key = (
            *(call.operation, call.ref, call.credential, call.method, call.path, call.body),
            *(tuple(call.query.items()), tuple(call.headers.items()), repr(call.note) if call.note else ""),
        )
        if key not in self._prepared:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            outgoing = self._wording.prepare(call)
            request = self._wording.request(outgoing)
            self._prepared[key] = PreparedRequest(call, outgoing.operation, outgoing.ref, self._wire(outgoing), request)
        return self._prepared[key]

    def _wire(self, outgoing: OutgoingRequest) -> bytes:
        # RFC 9110 12.5.3: without Accept-Encoding any may be sent; 8.6: when Content-Length is 0.
        headers = {"Host": self._host, "User-Agent": "touchstone", "Accept-Encoding": "identity"}
        if outgoing.body or outgoing.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(outgoing.body))
        lines = [f"{outgoing.method} {self._base_path}{outgoing.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in (headers | dict(outgoing.headers)).items()]
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode("utf-8") + outgoing.body

    def exchange(self, request: PreparedRequest, answer: Answer, seq: int, case: str) -> Exchange:
        """What crossed the wire, without secrets."""
        return Exchange(
            seq=seq,
            operation=request.operation,
            ref=request.ref,
            credential=request.call.credential,
            case=case,
            sent_at=answer.sent_at,
            head_at=answer.head_at if answer.head else answer.done_at,
            done_at=answer.done_at,
            request=request.request,
            response=self._response(answer),
            error=self.secrets.text(answer.error),
            closed=answer.closed,
            note=dict(request.call.note),
        )

    def _response(self, answer: Answer) -> Response | None:
        if answer.head is None:
            return None
        is_long = len(answer.body) > LONG_BODY_BYTES and not answer.chunks
        return self._wording.response(
            answer.head.status,
            answer.head.headers,
            answer.body[: KEPT_BYTES + BEYOND_BYTES] if is_long else answer.body,
            (Chunk(at_s, data) for at_s, data in answer.chunks),
            is_cut=bool(answer.error) or is_long or answer.closed == "client",
            most_bytes=KEPT_BYTES if answer.error or is_long else None,
        )


class Broken(Exception):
    """There is no complete answer; the text is what `Answer.error` becomes."""


class _Unanswered(Broken):
    """The connection ended before the first byte of an answer."""


class Connections:
    """The connections to one origin; a `UsageError` where that is none of HTTP.

    Args:
        timeout_s: Longest wait for a connection, and again for the whole answer.
        clock: Gives the times of the answers in seconds.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url!r}: expected a URL with http:// or https:// and a host")
        tls = parts.scheme == "https"
        host, port = parts.hostname, parts.port or (443 if tls else 80)
        more: dict[str, Any] = {"size": MAX_CONNECTIONS, "connection_timeout": timeout_s, "network_timeout": None}
        # It keeps none: a connection that is kept has to age, and must not have anything to be read on it.
        self._pool = (
            SSLConnectionPool(host, port, host, port, ssl_context_factory=lambda **_: trusting(), **more)
            if tls
            else ConnectionPool(host, port, host, port, **more)
        )
        self._place = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._clock = clock
        self._bounds = bounds
        self._closed = self._left = False
        self._busy: dict[Any, bool] = {}  # whether its answer is a stream that has begun
        self._idle: list[tuple[Any, float]] = []  # until when it may be used again, by the monotonic clock
        self._closes_early = False

    def send(self, method: str, wire: bytes, stream_s: float = 0.0) -> Answer:
        """Sends a request and reads its answer, which holds what goes wrong as well.

        Where a kept connection ends without an answer, a GET is sent once more. A stream is left *stream_s* after its
        head.
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
        """Reads no stream any further."""
        self._left = True
        self._shut([sock for sock, is_stream in self._busy.items() if is_stream])

    def close(self) -> None:
        """Closes all connections. Requests that are on their way end with an error."""
        self._closed = True
        self._pool.close()
        while self._idle:
            self._pool.release_socket(self._idle.pop()[0])
        self._shut(list(self._busy))

    def _shut(self, socks: Iterable[Any]) -> None:
        for sock in socks:
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which reads on as if there were no TLS.
                gevent.socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _kept(self) -> Any | None:
        while self._idle:
            sock, until_at = self._idle.pop()
            is_young = time.monotonic() < until_at
            if is_young and _is_quiet(sock):
                return sock
            self._closes_early |= is_young
            self._pool.release_socket(sock)
        return None

    def _connected(self) -> Any:
        if self._closed:
            raise Broken(_CLOSED)
        try:
            sock = self._pool.get_socket()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            text = f"ConnectTimeout: no connection to {self._place} within {self._timeout_s:g} s"
            raise Broken(text) from None
        except (OSError, ValueError, RuntimeError) as error:
            # A ValueError says that the name is none that DNS or TLS can hold.
            ours = getattr(error, "errno", None) in _OURS
            name = "PoolTimeout: no socket is free here for" if ours else "ConnectError:"
            raise Broken(f"{name} {self._place}: {error}") from None
        return sock

    def _exchange(self, sock: Any, answer: Answer, wire: bytes, stream_s: float) -> None:
        wait_s = max(self._timeout_s, stream_s)
        parser = Parser(self._bounds)
        self._busy[sock] = is_kept = False
        timeout = gevent.Timeout.start_new(wait_s)
        try:
            _ask(sock, wire, parser)
            answer.head, answer.head_at = parser.head, self._clock()
            if stream_s and parser.has_open_end:
                timeout.close()
                self._follow(sock, parser, answer, stream_s)
            else:
                self._take_body(sock, parser, answer, is_stream=bool(stream_s))
            if stream_s:
                answer.closed = answer.closed or "server"
            is_kept = parser.done and parser.keeps_alive and not self._closed
        except gevent.Timeout as over:
            if over is not timeout:
                raise
            bound = f" (request_timeout_s = {wait_s:g})" if wait_s == self._timeout_s else ""
            size = f"body not complete after {wait_s:g} s and {len(answer.body)} bytes"
            raise Broken(f"ReadTimeout: {size if answer.head else f'no answer within {wait_s:g} s'}{bound}") from None
        finally:
            timeout.close()
            del self._busy[sock]
            if is_kept:
                self._idle.append((sock, time.monotonic() + LONGEST_IDLE_S))
            else:
                self._pool.release_socket(sock)

    def _follow(self, sock: Any, parser: "Parser", answer: Answer, stream_s: float) -> None:
        """Reads a stream until the server ends it, its time is over, or the run is."""
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
                parser.feed(_received(sock))
            intake.end()
        finally:
            answer.body = intake.kept(b"".join(pieces))
            if intake.problem and answer.chunks:
                answer.chunks = [(answer.chunks[-1][0], answer.body)]
        if intake.problem:
            raise Refused(intake.problem)
        answer.done_at = self._clock()


class Parser:
    """Reads one answer from the bytes of a connection, as leniently as the client of a check does.

    Attributes:
        head: None until it is complete; interim ones are left out.
        has_open_end: Whether the head does not say how long the body is.
        keeps_alive: Whether the connection may be used for another request.
        problem: What is wrong with the body behind what was taken of it.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.head: Head | None = None
        self.problem: Broken | None = None
        self.has_open_end = self.done = self.keeps_alive = False
        self._ends_with_connection = False
        self._bounds = bounds
        self._headers: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self._status_bytes = self._head_bytes = self._since_content_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def take(self) -> bytes:
        """The content of the body that came since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed(self, data: bytes) -> None:
        """Takes what arrived, or b"" for the end; `Broken` where it is no answer, ended too early or beyond a bound."""
        if not data:
            self._end()
            return
        self._since_content_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            text = "the server switched to another protocol, and nobody had asked it to"
            raise Broken(f"RemoteProtocolError: {text}") from None
        except httptools.HttpParserError as error:
            if self.head is None:
                raise Broken(f"RemoteProtocolError: {error}") from None
            self.keeps_alive = False  # more came than an answer
            self.problem = Broken(f"RemoteProtocolError: {error}")
        self._measure()

    def _end(self) -> None:
        if self.head is not None and self._ends_with_connection:
            self.done = True
            return
        if self.head is None and not self._since_content_bytes:
            raise _Unanswered("RemoteProtocolError: the server closed the connection without an answer")
        where = "within the head of its answer" if self.head is None else "before the end of the body"
        raise Broken(f"RemoteProtocolError: the server closed {where}")

    def _measure(self) -> None:
        """Refuses a head, or what stands between pieces of the body, that is beyond its bound."""
        most, head = self._bounds.max_head_bytes, self.head
        if self._status_bytes > MAX_STATUS_LINE_BYTES:
            raise Broken(f"RemoteProtocolError: {STATUS_LINE_TOO_LONG}")
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
        """Takes a part of what stands behind the status code."""
        if self.head is None:
            self._status_bytes += len(text)
            self._head_bytes += len(text)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a line of the head, or of the trailer, which is passed over."""
        if self.head is None:
            self._head_bytes += len(name) + len(value) + 4
            self._headers.append((name.decode("latin-1").lower(), _decoded(value.strip(b" \t"))))

    def on_headers_complete(self) -> None:
        """Takes the end of a head."""
        status = self._parser.get_status_code()
        if self.head is not None or 100 <= status < 200:
            return
        self.head = Head(status, tuple(self._headers))
        framing = {name: value for name, value in self._headers if name in ("content-length", "transfer-encoding")}
        codings = framing.get("transfer-encoding", "").rpartition(",")[2].strip().lower()
        self.has_open_end = status not in (204, 304) and ("content-length" not in framing or bool(codings))
        self._ends_with_connection = self.has_open_end and codings != "chunked"

    def on_body(self, data: bytes) -> None:
        """Takes a piece of the body."""
        if not self.done:
            self._pieces.append(data)
            self._since_content_bytes = 0

    def on_message_complete(self) -> None:
        """Takes the end of an answer, or of an interim one."""
        if self.head is None:
            self._headers, self._status_bytes = [], 0
        elif self.done:
            self.keeps_alive = False  # another answer, which nobody asked for
        else:
            self.done, self.keeps_alive = True, self._parser.should_keep_alive()


def _ask(sock: Any, wire: bytes, parser: Parser) -> None:
    try:
        sock.sendall(wire)
    except OSError as error:
        raise _Unanswered(f"WriteError: {error}") from None
    parser.feed(_received(sock, _Unanswered))
    while parser.head is None:
        parser.feed(_received(sock))


def _received(sock: Any, problem: type[Broken] = Broken) -> bytes:
    try:
        data: bytes = sock.recv(_PIECE_BYTES)
    except OSError as error:
        raise problem(f"ReadError: {error}") from None
    return data


def _is_quiet(sock: Any) -> bool:
    """Whether nothing, not even its end, has come on a connection since its last answer."""
    sock.settimeout(0.0)
    try:
        gevent.socket.socket.recv(sock, 1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(None)
    return False


def _decoded(value: bytes) -> str:
    try:  # as httpx reads it
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
