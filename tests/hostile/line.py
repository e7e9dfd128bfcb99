"""One connection as a server sees it, on plain sockets: nothing stands between a flaw and the bytes."""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

_PIECE_BYTES = 65_536
_LOOK_S = 0.05

# A request of ours is small; whatever is larger is no request.
_MOST_BYTES = 1 << 20


class Gone(Exception):
    """The other side, or the server itself, has closed the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes:
        number: Its place among all requests of the server, from 1.
        nth: Its place on its connection, from 1.
    """

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
    """A connection. Whatever fails on it ends the thread that serves it with `Gone`."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self.sock = sock
        self.stopped = stopped
        self._held = b""
        self._count = 0

    def request(self, number: "Counter") -> Request:
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
        return Request(number.take(), self._count, method, target, pairs, body, head + b"\r\n\r\n" + body)

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
        """Sends pieces until there are no more of them or nobody takes them."""
        for piece in pieces:
            self.send(piece)

    def drip(self, data: bytes, every_s: float) -> None:
        for place in range(len(data)):
            self.send(data[place : place + 1])
            self.pause(every_s)

    def pause(self, seconds: float) -> None:
        """Waits, unless the server stops or the client leaves."""
        rounds = max(1, round(seconds / _LOOK_S))
        for _ in range(rounds):
            if self.stopped.wait(_LOOK_S) or self.is_left():
                raise Gone

    def hold(self) -> None:
        """Says nothing until the client leaves."""
        while True:
            self.pause(_LOOK_S)

    def is_left(self) -> bool:
        """Whether the client has closed."""
        try:
            if not select.select([self.sock], [], [], 0)[0]:
                return False
            return not self.sock.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def half_close(self) -> None:
        """Closes the way out, and goes on to listen."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a reset: what was sent and not read is lost."""
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


class Counter:
    """Numbers requests, whichever thread reads them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def take(self) -> int:
        """The next number, from 1."""
        with self._lock:
            self._value += 1
            return self._value
