"""The HTTP client of the flows engine: finished requests out, answers in, at a fraction of what a general client costs.

It lives in gevent's loop, in one thread, and knows HTTP/1.1 as far as a caller of an API needs it: connections that
stay open, bodies with a length, in chunks or up to the end of the connection, streams, and TLS.
"""

import _socket
import contextlib
import errno
import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.socket import getaddrinfo

from touchstone.errors import UsageError
from touchstone.loadgen.framing import MalformedBody, body_of
from touchstone.loadgen.heads import HeadReader, MalformedHead, head_bytes
from touchstone.loadgen.lean_socket import Address, Broken, LeanSocket, Overdue, TlsSocket, dial
from touchstone.target.answer import Answer, Head
from touchstone.target.body import Intake, Refused
from touchstone.target.bounds import DEFAULT_BOUNDS, Bounds
from touchstone.target.tls import trusting

# An idle connection is not used again after this, as in touchstone/target/connections.py, which says why.
LONGEST_IDLE_S = 3.0

# How often deadlines are looked at: an answer may take so much longer than its time before it is given up.
SWEEP_S = 0.05

# RFC 9112 9.3.1: what may be sent again where a connection ended without a word.
_REPEATABLE = frozenset({"GET", "HEAD"})
# Framings with which the head says where the body ends.
_FORETOLD = frozenset({"length", "none"})
# What this machine ran out of. That is told by the name that httpx has for a client without a free connection, for the
# server is not to blame.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class Connections:
    """The connections to one origin. Each greenlet that sends gets one of its own, the one that was used last first.

    It belongs to the thread that made it, and is made after a process has forked.

    Args:
        url: Any URL of the origin; its path counts for nothing.
        timeout_s: Longest wait for a connection, and again for the whole answer.
        clock: Gives the times of the answers in seconds.
        ssl_context: What to trust in the place of the certificates that the system trusts.
        max_connections: How many may be open at a time; who comes later waits for one. None for any number.
        bounds: How much of an answer is read.

    Raises:
        UsageError: the URL is none of HTTP.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        clock: Callable[[], float] = time.perf_counter,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int | None = None,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url!r}: expected a URL with http:// or https:// and a host")
        tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if tls else 80)
        self._context = (ssl_context or trusting()) if tls else None
        self._timeout_s = timeout_s
        self._clock = clock
        self._hub = gevent.get_hub()
        self._bounds = bounds
        self._heads = HeadReader(self._bounds)
        # Whether the server was seen to close a connection that was kept up for the next request.
        self._closes_early = False
        self._most = max_connections
        self._slots = BoundedSemaphore(max_connections) if max_connections else None
        self._addresses: list[Address] = []
        self._open: set[LeanSocket] = set()
        self._idle: dict[LeanSocket, None] = {}
        self._closed = False
        self._sweeper = self._hub.loop.timer(SWEEP_S, SWEEP_S, ref=False)
        self._sweeper.start(self._sweep)

    def send(self, method: str, wire: bytes) -> Answer:
        """Sends a request and reads its answer, whole.

        What goes wrong is told by the answer. Where a connection that was used before ends without a word, the request
        is sent once more on a new one, unless the server may have got it and it must not come twice.

        Args:
            method: The method that *wire* begins with.
            wire: All bytes of the request.
        """
        return self._exchanged(method, wire, self._timeout_s, self._whole)

    def stream(self, wire: bytes, limit_s: float, until: Event | None = None) -> Answer:
        """Sends a GET and reads its answer piece by piece until the server ends it.

        An answer with a length is read to its end, whatever the other two say.

        Args:
            limit_s: Seconds from the head on after which the stream is left alone.
            until: Leave it as soon as this is set.
        """

        def streamed(line: LeanSocket, data: bytes, answer: Answer, head: Head) -> None:
            self._streamed(line, data, answer, head, limit_s, until)

        return self._exchanged("GET", wire, max(self._timeout_s, limit_s), streamed)

    def open_ahead(self, count: int) -> None:
        """
        Opens connections until *count* are free to be used, all at once; whoever needs one that fails will be told why.

        One that is not used within LONGEST_IDLE_S is closed again.
        """
        room = count if self._most is None else min(count, self._most - len(self._open))
        gevent.joinall([gevent.spawn(self._opened) for _ in range(room - len(self._idle))])

    def close(self) -> None:
        """Closes all connections. Requests that are on their way end with an error."""
        if not self._closed:
            self._closed = True
            self._sweeper.stop()
            self._sweeper.close()
            for line in list(self._idle):
                line.close()
            for line in self._open:
                self._hub.loop.run_callback(line.expire)

    def _exchanged(
        self, method: str, wire: bytes, wait_s: float, read: Callable[[LeanSocket, bytes, Answer, Head], None]
    ) -> Answer:
        if self._slots is None:
            return self._answered(method, wire, wait_s, read)
        began_at = self._clock()
        if not self._slots.acquire(timeout=self._timeout_s):
            now, problem = self._clock(), f"PoolTimeout: no connection was free within {self._timeout_s:g} s"
            return Answer(sent_at=began_at, head_at=now, done_at=now, error=problem)
        try:
            return self._answered(method, wire, wait_s, read)
        finally:
            self._slots.release()

    def _answered(
        self, method: str, wire: bytes, wait_s: float, read: Callable[[LeanSocket, bytes, Answer, Head], None]
    ) -> Answer:
        answer = Answer()
        line: LeanSocket | None = None
        try:
            line, data = self._asked(answer, method, wire, wait_s)
            head, data = self._headed(line, data, method)
            answer.head, answer.head_at = head, self._clock()
            read(line, data, answer, head)
            return answer
        except Broken as broken:
            answer.error = broken.problem
        except (MalformedHead, MalformedBody) as malformed:
            answer.error = f"RemoteProtocolError: {malformed}"
        except Refused as refused:
            answer.error = str(refused)
        except Overdue:
            answer.error = self._overdue(answer, wait_s)
        answer.done_at = self._clock()
        if answer.head is None:
            answer.head_at = answer.done_at
        if line is not None:
            line.close()
        return answer

    def _overdue(self, answer: Answer, wait_s: float) -> str:
        if self._closed:
            return "PoolTimeout: the client was closed before the answer was complete"
        bound = f" (request_timeout_s = {wait_s:g})" if wait_s == self._timeout_s else ""
        if answer.head is None:
            return f"ReadTimeout: no answer within {wait_s:g} s{bound}"
        return f"ReadTimeout: body not complete after {wait_s:g} s and {len(answer.body)} bytes{bound}"

    def _asked(self, answer: Answer, method: str, wire: bytes, wait_s: float) -> tuple[LeanSocket, bytes]:
        """Sends the request; the connection that it went out on, and the first bytes of the answer."""
        answer.sent_at = self._clock()
        # Where connections are closed at any moment, one that must not be asked twice has to be a new one.
        line = None if self._closes_early and method not in _REPEATABLE else self._reusable()
        if line is not None:
            line.deadline = answer.sent_at + wait_s
            try:
                return line, line.ask(wire)
            except Broken as broken:
                if not broken.unsent and method not in _REPEATABLE:
                    raise
        line = self._dialled()
        line.deadline = self._clock() + wait_s
        return line, line.ask(wire)

    def _headed(self, line: LeanSocket, data: bytes, method: str) -> tuple[Head, bytes]:
        """The head of the answer, interim ones left out, and what came of the body with it."""
        interim_bytes = 0
        while True:
            if end := head_bytes(data):
                head = self._heads.read(data[:end], method)
                data = data[end:]
                if head.status >= 200:
                    return head, data
                interim_bytes += end
                self._heads.measure(interim_bytes)
            else:
                self._heads.begin(data, interim_bytes)
                more = line.more()
                if not more:
                    raise Broken(f"RemoteProtocolError: the server closed after {len(data)} bytes of the head")
                data += more

    def _whole(self, line: LeanSocket, data: bytes, answer: Answer, head: Head) -> None:
        if len(data) == head.length and head.framing in _FORETOLD and not head.packed and self._bounds.fit(data):
            answer.body, answer.done_at = data, answer.head_at
            self._give_back(line, head, answer.done_at)
        else:
            self._read_on(line, data, answer, head)

    def _streamed(
        self, line: LeanSocket, data: bytes, answer: Answer, head: Head, limit_s: float, until: Event | None
    ) -> None:
        answer.closed = "server"
        try:
            if head.framing in _FORETOLD:
                self._read_on(line, data, answer, head, answer.chunks)
            else:
                line.deadline = answer.head_at + limit_s
                with _left_at(until, line):
                    self._read_on(line, data, answer, head, answer.chunks)
        except Overdue:
            answer.closed, answer.done_at = "client", self._clock()

    def _read_on(
        self, line: LeanSocket, data: bytes, answer: Answer, head: Head, chunks: list[tuple[float, bytes]] | None = None
    ) -> None:
        """Reads the body to its end, however that is told."""
        body, pieces = body_of(head), []
        intake = Intake(head.headers, self._bounds, streamed=chunks is not None)
        try:
            while True:
                content = body.feed(data)
                if content and (content := intake.take(content)):
                    pieces.append(content)
                    if chunks is not None:
                        chunks.append((self._clock() - answer.sent_at, content))
                if body.done:
                    break
                data = line.more()
                if not data:
                    body.end()
                    break
            intake.end()
        finally:
            answer.body = intake.kept(b"".join(pieces))
            if chunks is not None and intake.problem:
                chunks[:] = [(chunks[-1][0], answer.body)] if chunks else []
        if intake.problem:
            raise Refused(intake.problem)
        answer.done_at = self._clock()
        self._give_back(line, head, answer.done_at, body.rest)

    def _reusable(self) -> LeanSocket | None:
        while self._idle:
            line, _ = self._idle.popitem()
            if line.is_fresh():
                return line
            self._closes_early = True
            line.close()
        return None

    def _give_back(self, line: LeanSocket, head: Head, now: float, rest: bytes = b"") -> None:
        """Keeps the connection for the next request. One on which more came than an answer is in no known state."""
        if head.keep_alive and not rest:
            self._keep(line, now)
        else:
            line.close()

    def _keep(self, line: LeanSocket, now: float) -> None:
        if self._closed:
            line.close()
        else:
            line.deadline = now + LONGEST_IDLE_S
            self._idle[line] = None

    def _opened(self) -> None:
        with contextlib.suppress(Broken):
            self._keep(self._dialled(), self._clock())

    def _forget(self, line: LeanSocket) -> None:
        self._open.discard(line)
        if line in self._idle:
            del self._idle[line]
            # Not by the sweep, nor by us: the server did.
            self._closes_early |= not self._closed and self._clock() < line.deadline

    def _sweep(self) -> None:
        now = self._clock()
        for line in [line for line in self._open if line.deadline < now]:
            # Whoever was woken just now may have closed this one, or given it a request.
            if line.is_open and line.deadline < now:
                line.expire()

    def _dialled(self) -> LeanSocket:
        """A new connection, ready to be written to."""
        place = f"{self._host}:{self._port}"
        if self._closed:
            raise Broken("PoolTimeout: the client is closed", unsent=True)
        late = Broken(f"ConnectTimeout: no connection to {place} within {self._timeout_s:g} s", unsent=True)
        try:
            with gevent.Timeout(self._timeout_s, late):
                return self._ready(self._reached())
        except (OSError, ValueError) as error:
            # A ValueError says that the name is none that DNS or TLS can hold.
            ours = getattr(error, "errno", None) in _OURS
            name = "PoolTimeout: no socket is free here for" if ours else "ConnectError:"
            raise Broken(f"{name} {place}: {error}", unsent=True) from None

    def _reached(self) -> _socket.socket:
        """A socket to the first address of the host that answers, the one that did so last time before the others."""
        addresses = self._addresses or self._looked_up()
        problem: OSError = OSError(errno.EADDRNOTAVAIL, "the host has no address")
        for address in addresses:
            try:
                sock = dial(address, self._hub)
            except OSError as error:
                problem = error
            else:
                self._addresses = [address, *(other for other in addresses if other is not address)]
                return sock
        self._addresses = []
        raise problem

    def _looked_up(self) -> list[Address]:
        with contextlib.suppress(OSError):
            # An address needs no look-up, which would take another thread.
            return _socket.getaddrinfo(self._host, self._port, type=_socket.SOCK_STREAM, flags=_socket.AI_NUMERICHOST)
        return list(getaddrinfo(self._host, self._port, type=_socket.SOCK_STREAM))

    def _ready(self, sock: _socket.socket) -> LeanSocket:
        line: LeanSocket
        if self._context is None:
            line = LeanSocket(sock, self._hub, self._forget)
        else:
            line = tls = TlsSocket(sock, self._hub, self._forget, self._context, self._host)
            try:
                tls.handshake()
            except BaseException:
                tls.close()
                raise
        self._open.add(line)
        return line


@contextlib.contextmanager
def _left_at(until: Event | None, line: LeanSocket) -> Iterator[None]:
    """Ends the waiting on *line* as soon as *until* is set."""

    def leave(_: Event) -> None:
        line.expire()

    if until is not None:
        until.rawlink(leave)
    try:
        yield
    finally:
        if until is not None:
            until.unlink(leave)
