"""Server side of one connection on plain sockets, so that flaws control each byte."""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_PIECE_BYTES = 65_536
_POLL_S = 0.05

# Our requests are small; a larger one is invalid.
_MOST_BYTES = 1 << 20


class Gone(Exception):
    """The other side, or the server itself, has closed the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; *number* counts those of the server from 1, *nth* those of the connection."""

    number: int
    nth: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    raw: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Line:
    """A connection; any failure raises `Gone` in its thread."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self.sock = sock
        self.stopped = stopped
        self._held = b""
        self._count = 0

    def request(self, numbers: Iterator[int]) -> Request:
        while b"\r\n\r\n" not in self._held:
            self._held += self._more()
        head, _, rest = self._held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        length = next((int(value) for name, value in pairs if name.lower() == "content-length"), 0)
        while len(rest) < length:
            rest += self._more()
        body, self._held = rest[:length], rest[length:]
        self._count += 1
        method, target, _ = first.split(" ", 2)
        return Request(next(numbers), self._count, method, target, pairs, body, head + b"\r\n\r\n" + body)

    def any(self) -> bytes:
        return self._more()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if self.stopped.is_set():
                    raise Gone
                try:
                    view = view[self.sock.send(view) :]
                except TimeoutError:
                    continue
                except OSError as error:
                    raise Gone from error

    def flood(self, pieces: Iterable[bytes]) -> None:
        """Sends all pieces, unless the client leaves."""
        for piece in pieces:
            self.send(piece)

    def drip(self, data: bytes, every_s: float) -> None:
        for place in range(len(data)):
            self.send(data[place : place + 1])
            self.pause(every_s)

    def pause(self, seconds: float) -> None:
        """Waits; `Gone` if the server stops or the client leaves."""
        rounds = max(1, round(seconds / _POLL_S))
        for _ in range(rounds):
            if self.stopped.wait(_POLL_S) or self.is_left():
                raise Gone

    def hold(self) -> None:
        """Stays silent until the client leaves."""
        while True:
            self.pause(_POLL_S)

    def is_left(self) -> bool:
        """Whether the client has closed."""
        try:
            if not select.select([self.sock], [], [], 0)[0]:
                return False
            return not self.sock.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def half_close(self) -> None:
        """Closes the sending side only."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a reset: unread data is lost."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
        raise Gone

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def _more(self) -> bytes:
        if len(self._held) > _MOST_BYTES:
            raise Gone
        while not self.stopped.is_set():
            try:
                data = self.sock.recv(_PIECE_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise Gone from error
            if not data:
                raise Gone
            return data
        raise Gone
