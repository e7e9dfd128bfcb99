"""HTTP client of a probe: opens connections before requests are due, which a pool of httpcore cannot do."""

import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpcore

from touchstone.config import TargetSettings
from touchstone.contract.document import Contract
from touchstone.target.bounds import Intake, Refused
from touchstone.target.call import Answer as Reply
from touchstone.target.call import Call, Head, MessageBuilder, OutgoingRequest
from touchstone.target.connections import BoundedBackend, Deadline, trusting

# Seconds for which an idle connection is used again: servers close idle ones, some after a few seconds.
_FRESH_S = 1.5
# RFC 9110 9.2.1: safe methods may be sent again on a new connection if the old one was closed.
_SAFE = frozenset({"GET", "HEAD"})
_FAILED = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Request that is ready to be sent; *headers* contains the key."""

    outgoing: OutgoingRequest
    url: httpcore.URL = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)


class Link:
    """Thread-safe client for the requests of a probe. It uses the first key, and sends in the thread that calls it."""

    def __init__(self, url: str, target: TargetSettings, contract: Contract, now: Callable[[], float]) -> None:
        base = urlsplit(url)
        self._tls = trusting() if base.scheme == "https" else None
        self._host, self._port = base.hostname or "", base.port or (443 if self._tls else 80)
        self._builder = MessageBuilder(url, target.credentials(), contract)
        self.secrets, self.exchange = self._builder.secrets, self._builder.exchange
        self.now, self.timeout_s, self.bounds = now, target.request_timeout_s, target.bounds
        self._closed = threading.Event()
        self._deadline = Deadline(self._closed.is_set)
        self._threads = ThreadPoolExecutor(1024)  # one thread for each concurrent request
        self.spawn = self._threads.submit
        self._free: list[tuple[float, httpcore.HTTP11Connection]] = []  # each with the time of its last use
        self.prepared = functools.lru_cache(4096)(self._prepared)

    def open(self, count: int) -> None:
        """Opens connections until *count* are free; if opening fails, `send` tries again."""
        fresh = [each for each in (self._taken() for _ in range(count)) if each]
        opening = [self.spawn(self._connected) for _ in range(count - len(fresh))]
        wait(opening)
        fresh += [each.result() for each in opening if not each.exception()]
        self._free += [(self.now(), each) for each in fresh]

    def _taken(self) -> httpcore.HTTP11Connection | None:
        with contextlib.suppress(IndexError):
            while True:
                used_at, connection = self._free.pop()
                if self.now() - used_at <= _FRESH_S and not connection.has_expired():
                    return connection
                connection.close()
        return None

    def _connected(self) -> httpcore.HTTP11Connection:
        origin = httpcore.Origin(b"https" if self._tls else b"http", self._host.encode(), self._port)
        try:
            stream = BoundedBackend(self._deadline).connect_tcp(self._host, self._port, self.timeout_s)
            stream = stream.start_tls(self._tls, self._host, self.timeout_s) if self._tls else stream
        except ValueError as error:  # DNS or TLS cannot represent the name
            raise httpcore.ConnectError(str(error)) from None
        return httpcore.HTTP11Connection(origin, stream)

    def send(self, prepared: Prepared, timeout_s: float = 0.0, sent: threading.Event | None = None) -> Reply:
        """Sends a request and waits for the response; repeats a read if the server had just closed the connection.

        *timeout_s*: 0 for the time-out in the settings of the target; *sent* is set once the request is sent, or fails.
        """
        sent = sent or threading.Event()
        extensions = {
            "timeout": {"write": self.timeout_s},
            "trace": lambda event, _: sent.set() if event == "http11.send_request_body.complete" else None,
        }
        outgoing, headers = prepared.outgoing, list(prepared.headers)
        request = httpcore.Request(
            outgoing.method, prepared.url, headers=headers, content=outgoing.body, extensions=extensions
        )
        connection, timeout_s = self._taken(), timeout_s or self.timeout_s
        was_used = connection is not None and connection.is_idle()
        reply = self._exchange(request, timeout_s, connection)
        is_empty = not (reply.head or self._deadline.received_bytes)
        if reply.error and was_used and is_empty and outgoing.method in _SAFE:
            reply = self._exchange(request, timeout_s, None)
        sent.set()
        return reply

    def _exchange(
        self, request: httpcore.Request, timeout_s: float, connection: httpcore.HTTP11Connection | None
    ) -> Reply:
        reply = Reply(sent_at=self.now())
        self._deadline.set(timeout_s, self.bounds.max_head_bytes)
        try:
            connection = connection or self._connected()
            self._read(reply, connection.handle_request(request))
        except httpcore.ReadTimeout:
            what = f"body not complete after {len(reply.body)} bytes and" if reply.head else "no response within"
            reply.error = f"ReadTimeout: {what} {timeout_s:g} s"
        except _FAILED as error:
            reply.error = f"{type(error).__name__}: {error}"
        reply.done_at = self.now()
        # Bytes after the end of a response would be read as the next response.
        if connection and (reply.error or connection._h11_state.trailing_data[0]):  # noqa: SLF001 - nothing public has it
            connection.close()
        elif connection and connection.is_idle():
            self._free.append((reply.done_at, connection))
        return reply

    def _read(self, reply: Reply, response: httpcore.Response) -> None:
        """Reads a response into *reply*, up to the size limits of the target."""
        self._deadline.end_head()
        headers = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in response.headers)
        reply.head, reply.head_at = Head(response.status, headers), self.now()
        if (count := len(headers)) > self.bounds.max_headers:
            raise httpcore.RemoteProtocolError(f"the head has {count} lines, and {self.bounds.describe('max_headers')}")
        intake, pieces = Intake(headers, self.bounds), list[bytes]()
        try:
            for piece in response.iter_stream():
                pieces.append(intake.take(piece))
            intake.end()
        except Refused:
            pass
        finally:
            reply.body = intake.kept(b"".join(pieces))
            reply.error = intake.problem
            response.close()

    def _prepared(self, operation: str, ref: str) -> Prepared:
        outgoing = self._builder.prepare(Call(operation, ref))
        target, headers = self._builder.head(outgoing)
        raw, scheme = ((n.encode(), value.encode()) for n, value in headers.items()), b"https" if self._tls else b"http"
        url = httpcore.URL(scheme=scheme, host=self._host.encode(), port=self._port, target=target.encode())
        return Prepared(outgoing, url, tuple(raw))

    def close(self) -> None:
        """Closes all connections; pending requests fail soon after."""
        self._closed.set()
        while self._free:
            self._free.pop()[1].close()
        self._threads.shutdown(wait=False)
