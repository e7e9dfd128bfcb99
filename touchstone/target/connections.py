"""Connections with a deadline for the whole response."""

import functools
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import certifi
import h11
import httpcore
import httpx

from touchstone.target.bounds import MAX_STATUS_LINE_BYTES, STATUS_LINE_TOO_LONG

_T = TypeVar("_T")
_FOREVER = float("inf")

# A wait checks at this interval whether the run was stopped, and ends at most this long after the stop.
_CHECK_S = 0.1
_GRACE_S = 0.5


def in_background(future: "Future[_T]", work: Callable[[], _T]) -> None:
    """Runs *work* in a daemon thread and passes its result to *future*."""

    def fulfil() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again by future.result()
                future.set_exception(error)

    threading.Thread(target=fulfil, daemon=True).start()


class Deadline(threading.local):
    """Deadline of the current thread's request. *stopped*: function that tells whether the run was stopped."""

    _at = _leave_at = _FOREVER
    _until: threading.Event | None = None
    _head_bytes = _FOREVER
    received_bytes = 0
    _line_bytes: int | None = None  # bytes of the status line so far; None after its end

    def __init__(self, stopped: Callable[[], bool] | None = None) -> None:
        self._stopped = stopped

    def set(self, seconds: float, max_head_bytes: float = _FOREVER) -> None:
        """Sets two limits for the next request: its deadline, *seconds* from now, and the size of its response head."""
        self._at, self._leave_at, self._until = time.monotonic() + seconds, _FOREVER, None
        self._head_bytes = max_head_bytes
        self.received_bytes = self._line_bytes = 0

    def end_head(self) -> None:
        """Removes the limit of the head, because the following bytes are the body."""
        self._head_bytes = _FOREVER

    def leave_after(self, seconds: float, until: threading.Event | None) -> None:
        """Sets the deadline for the rest of the response, *seconds* from now. Setting *until* ends reading earlier."""
        self._at, self._until = time.monotonic() + seconds, until

    def bounded(self, timeout_s: float | None) -> float | None:
        """Returns *timeout_s* or the time until the deadline, whichever is less; raises ReadTimeout if none is left."""
        if self._until and self._until.is_set():
            raise httpcore.ReadTimeout("the rest is not needed")
        left_s = self._at - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the whole response took too long")
        return timeout_s if left_s == _FOREVER else min(left_s, _FOREVER if timeout_s is None else timeout_s)

    def read(self, read: Callable[[int, float | None], bytes], max_bytes: int, timeout_s: float | None) -> bytes:
        """Reads bytes with the function *read*, which gets a maximum size and a time-out that ends at the deadline.

        A head or status line that is too long is rejected before a parser gets it.

        Raises:
            httpcore.ReadTimeout: nothing arrived in time, or the rest is not needed.
            httpcore.PoolTimeout: the run was stopped meanwhile, which is not a fault of the target.
            httpcore.RemoteProtocolError: the head, including interim responses, or the status line is too long.
        """
        if self.received_bytes >= self._head_bytes:
            raise httpcore.RemoteProtocolError(f"the head is longer than max_head_bytes = {self._head_bytes}")
        most = int(min(max_bytes, self._head_bytes - self.received_bytes))
        data = self._read(lambda left_s: read(most, left_s), self.bounded(timeout_s))
        self.received_bytes += len(data)
        if self._line_bytes is not None and self._head_bytes < _FOREVER:
            before, line_feed, _ = data.partition(b"\n")
            self._line_bytes += len(before)
            if self._line_bytes > MAX_STATUS_LINE_BYTES:
                raise httpcore.RemoteProtocolError(STATUS_LINE_TOO_LONG)
            self._line_bytes = None if line_feed else self._line_bytes
        return data

    def _read(self, read: Callable[[float | None], bytes], timeout_s: float | None) -> bytes:
        if self._stopped is None and self._until is None:
            return read(timeout_s)
        ends_at = _FOREVER if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = ends_at - time.monotonic()
            try:
                return read(max(0.0, min(_CHECK_S, left_s)))
            except httpcore.ReadTimeout:
                if left_s <= _CHECK_S:
                    raise
                self.bounded(None)
                self._check_stopped()

    def connected(self, connect: Callable[[], httpcore.NetworkStream]) -> httpcore.NetworkStream:
        """Opens a connection with *connect*; raises PoolTimeout if the run was stopped meanwhile."""
        if self._stopped is None:
            return connect()
        # connect() cannot be interrupted, so it runs in another thread.
        future: Future[httpcore.NetworkStream] = Future()
        in_background(future, connect)
        while True:
            try:
                return future.result(_CHECK_S)
            except TimeoutError:
                self._check_stopped()

    def _check_stopped(self) -> None:
        now = time.monotonic()
        if self._stopped and self._stopped():
            self._leave_at = min(self._leave_at, now + _GRACE_S)
        if now >= self._leave_at:
            raise httpcore.PoolTimeout("the run was stopped before the response was complete")


class BoundedBackend(httpcore.NetworkBackend):
    """Opens connections whose reads end at a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._plain = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(self, *where: Any, **more: Any) -> httpcore.NetworkStream:
        """Opens a connection."""
        stream = self._deadline.connected(lambda: self._plain.connect_tcp(*where, **more))
        return _BoundedStream(stream, self._deadline)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, plain: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._plain = plain
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._deadline.read(self._plain.read, max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._plain.write(buffer, timeout)

    def close(self) -> None:
        self._plain.close()

    def start_tls(self, *terms: Any, **more: Any) -> httpcore.NetworkStream:
        return _BoundedStream(self._plain.start_tls(*terms, **more), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)


@functools.cache
def trusting() -> ssl.SSLContext:
    """Returns an SSL context with the certificates of OpenSSL, SSL_CERT_FILE or SSL_CERT_DIR, else those of certifi."""
    paths = ssl.get_default_verify_paths()
    # A context does not list certificates in a folder, because OpenSSL reads them on demand.
    has_folder = bool(paths.capath) and any(list(Path(paths.capath).iterdir()))
    return ssl.create_default_context(cafile=None if paths.cafile or has_folder else certifi.where())


# Idle connections are not reused after this time. Servers close them after 5 s (Node, uvicorn) or later. A
# request on a connection that is being closed would seem to have no response.
LONGEST_IDLE_S = 3.0
SURPLUS_BYTES = "touchstone.surplus_bytes"  # response extension: number of bytes that followed the response


class Wire(httpx.HTTPTransport):
    """Connection pool with deadlines; it keeps up to *kept* idle connections for reuse."""

    def __init__(self, backend: BoundedBackend, kept: int = 32) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=LONGEST_IDLE_S)
        super().__init__(verify=trusting(), trust_env=False, limits=limits)
        self._pool._network_backend = backend  # noqa: SLF001  # httpx has no argument for it; a test checks it

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; closes its connection if more bytes follow the response."""
        response = super().handle_request(request)
        response.stream = _Ended(response.stream, response.extensions)
        return response


class _Ended(httpx.SyncByteStream):
    """Response body. Closes the connection if more bytes follow the body, since httpcore would reuse the connection."""

    def __init__(self, plain: Any, extensions: dict[str, Any]) -> None:
        self._plain = plain
        self._extensions = extensions

    def __iter__(self) -> Iterator[bytes]:
        yield from self._plain

    def close(self) -> None:
        stream = self._plain._httpcore_stream  # noqa: SLF001  # there is no public access; a test checks it
        # Mocked responses have no connection.
        connection = getattr(getattr(stream, "_stream", None), "_connection", None)
        if connection is not None:
            parser = connection._h11_state  # noqa: SLF001  # the same
            surplus, _ = parser.trailing_data
            if surplus and parser.their_state in (h11.DONE, h11.MUST_CLOSE):
                self._extensions[SURPLUS_BYTES] = len(surplus)
                self._extensions["network_stream"].close()
        self._plain.close()
