"""What requests travel on: connections that keep to a deadline for the whole answer, and a client without memory."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import h11
import httpcore
import httpx

from touchstone.target.bounds import MAX_STATUS_LINE_BYTES, STATUS_LINE_TOO_LONG
from touchstone.target.tls import trusting

_T = TypeVar("_T")
_FOREVER = float("inf")

# While something is waited for it is looked so often whether the run was stopped, and then waited so long at most.
_LOOK_S = 0.1
_GRACE_S = 0.5


def in_background(future: "Future[_T]", work: Callable[[], _T]) -> None:
    """Has *work* give *future* its result, in a thread that keeps no process from its end."""

    def fulfil() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
                future.set_exception(error)

    threading.Thread(target=fulfil, daemon=True).start()


class Deadline(threading.local):
    """Until when the request of the current thread must be over; *stopped* says whether the run was stopped."""

    _at = _leave_at = _FOREVER
    _until: threading.Event | None = None
    _head_bytes = _FOREVER
    heard_bytes = 0
    _line_bytes: int | None = None  # Of the status line, as long as it has no end

    def __init__(self, stopped: Callable[[], bool] | None = None) -> None:
        self._stopped = stopped

    def set(self, seconds: float, max_head_bytes: float = _FOREVER) -> None:
        """Gives the request that comes next *seconds* from now, and its answer a head of so many bytes."""
        self._at, self._leave_at, self._until = time.monotonic() + seconds, _FOREVER, None
        self._head_bytes = max_head_bytes
        self.heard_bytes = self._line_bytes = 0

    def headed(self) -> None:
        """Takes note that the head is there: what is read from now on is no part of it."""
        self._head_bytes = _FOREVER

    def leave_after(self, seconds: float, until: threading.Event | None) -> None:
        """Gives the rest of the answer *seconds* from now, and no more of it is read once *until* is set."""
        self._at, self._until = time.monotonic() + seconds, until

    def bounded(self, timeout_s: float | None) -> float | None:
        """A time-out that ends no later than the deadline; ReadTimeout where that is over or nobody wants the rest."""
        if self._until and self._until.is_set():
            raise httpcore.ReadTimeout("nobody wants the rest")
        left_s = self._at - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the answer as a whole took too long")
        return timeout_s if left_s == _FOREVER else min(left_s, _FOREVER if timeout_s is None else timeout_s)

    def read(self, read: Callable[[int, float | None], bytes], max_bytes: int, timeout_s: float | None) -> bytes:
        """What *read*, which takes how much to read and a time-out, reads until the deadline.

        A head or a status line that is too long is refused before a parser has it.

        Raises:
            httpcore.ReadTimeout: nothing came in time, or nobody wants it any more.
            httpcore.PoolTimeout: the run was stopped meanwhile, which is no fault of the target.
            httpcore.RemoteProtocolError: the head is too long, with all that precedes it, or its first line.
        """
        if self.heard_bytes >= self._head_bytes:
            raise httpcore.RemoteProtocolError(f"the head is longer than max_head_bytes = {self._head_bytes}")
        most = int(min(max_bytes, self._head_bytes - self.heard_bytes))
        data = self._read(lambda left_s: read(most, left_s), self.bounded(timeout_s))
        self.heard_bytes += len(data)
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
                return read(max(0.0, min(_LOOK_S, left_s)))
            except httpcore.ReadTimeout:
                if left_s <= _LOOK_S:
                    raise
                self.bounded(None)
                self._look()

    def connected(self, connect: Callable[[], httpcore.NetworkStream]) -> httpcore.NetworkStream:
        """What *connect* connects to; PoolTimeout where the run was stopped meanwhile."""
        if self._stopped is None:
            return connect()
        # Nothing but another thread can wait for a connection and look up now and then.
        future: Future[httpcore.NetworkStream] = Future()
        in_background(future, connect)
        while True:
            try:
                return future.result(_LOOK_S)
            except TimeoutError:
                self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if self._stopped and self._stopped():
            self._leave_at = min(self._leave_at, now + _GRACE_S)
        if now >= self._leave_at:
            raise httpcore.PoolTimeout("the run was stopped before the answer was complete")


class BoundedBackend(httpcore.NetworkBackend):
    """Opens connections whose reads keep to a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._plain = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to *host*."""
        stream = self._deadline.connected(
            lambda: self._plain.connect_tcp(host, port, timeout, local_address, socket_options)
        )
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

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _BoundedStream(self._plain.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)


# An idle connection is not used again after this: servers close theirs after 5 s (Node, uvicorn) or later, and a
# request that meets the closing would look like one that was not answered.
LONGEST_IDLE_S = 3.0
SURPLUS_BYTES = "touchstone.surplus_bytes"  # Where an answer says how many bytes came behind its end


class Wire(httpx.HTTPTransport):
    """Connections that keep to a deadline; *kept* are kept for another request, 0 for none."""

    def __init__(self, backend: BoundedBackend, kept: int = 32) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=LONGEST_IDLE_S)
        super().__init__(verify=trusting(), trust_env=False, limits=limits)
        self._pool._network_backend = backend  # noqa: SLF001  # httpx passes none on; a test sees if it gets lost

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; its connection is not used again where more comes than the answer."""
        response = super().handle_request(request)
        response.stream = _Ended(response.stream, response.extensions)
        return response


class _Ended(httpx.SyncByteStream):
    """A body that closes its connection, once it is read, where bytes came behind its end: httpcore would keep it."""

    def __init__(self, plain: Any, extensions: dict[str, Any]) -> None:
        self._plain = plain
        self._extensions = extensions

    def __iter__(self) -> Iterator[bytes]:
        yield from self._plain

    def close(self) -> None:
        stream = self._plain._httpcore_stream  # noqa: SLF001  # nothing public has it; a test sees if it gets lost
        # What is served in the place of the network has no connection.
        connection = getattr(getattr(stream, "_stream", None), "_connection", None)
        if connection is not None:
            parser = connection._h11_state  # noqa: SLF001  # the same
            surplus, _ = parser.trailing_data
            if surplus and parser.their_state in (h11.DONE, h11.MUST_CLOSE):
                self._extensions[SURPLUS_BYTES] = len(surplus)
                self._extensions["network_stream"].close()
        self._plain.close()


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        pass

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Gives none."""


def keep_no_cookies(client: httpx.Client) -> None:
    """Lets a client send what it is told and no more: an answer's cookies would go out with the next request."""
    client._cookies = _NoCookies()  # noqa: SLF001  # httpx copies a jar that it is given; a test sees if it gets lost
