"""
Bounds how long an answer may take as a whole: a time-out for each of its pieces never strikes where a server drips.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore


class Deadline(threading.local):
    """
    Until when the request that the current thread is sending must be over.
    """

    _at = float("inf")

    def set(self, seconds: float) -> None:
        """
        Gives the request that comes next *seconds* from now.
        """
        self._at = time.monotonic() + seconds

    def bounded(self, timeout_s: float | None) -> float | None:
        """
        A time-out that ends no later than the deadline.

        Raises:
            httpcore.ReadTimeout: the deadline is over.
        """
        left_s = self._at - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the answer as a whole took too long")
        if left_s == float("inf"):
            return timeout_s
        return left_s if timeout_s is None else min(timeout_s, left_s)


class BoundedBackend(httpcore.NetworkBackend):
    """
    Opens connections whose reads keep to a deadline.
    """

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
        """
        A connection to *host*.
        """
        stream = self._plain.connect_tcp(host, port, timeout, local_address, socket_options)
        return _BoundedStream(stream, self._deadline)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, plain: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._plain = plain
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._plain.read(max_bytes, self._deadline.bounded(timeout))

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
