"""One connection of the lean client: bytes out, bytes in, parked in gevent's loop meanwhile; plain or TLS.

The socket is watched for as long as it is open. That saves the loop two system calls a request, and one that the server
closes while nobody uses it is closed here at once. It is also closed whenever an exception leaves it.
"""

import _socket
import contextlib
import errno
import os
import ssl
from collections.abc import Callable
from typing import Any

from gevent import getcurrent
from gevent.monkey import get_original

# The plain one of the interpreter, also where Locust has put another one in its place: it never waits here.
_poll = get_original("select", "poll")

_READ, _WRITE = 1, 2
_POLLIN = 1
_PIECE_BYTES = 65_536

# What getaddrinfo says of an address: family, type, protocol, canonical name, address.
Address = tuple[int, int, int, str, tuple[Any, ...]]


class Broken(Exception):
    """The connection is of no use any more.

    Attributes:
        problem: Why, as in `Answer.error`.
        unsent: Whether no byte of the request can have reached the server.
    """

    def __init__(self, problem: str, *, unsent: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.unsent = unsent


class Overdue(Exception):
    """The time for an answer is over, or nobody wants the rest of it."""


class LeanSocket:
    """A connection without TLS.

    Args:
        forget: Called when it is closed.

    Attributes:
        deadline: When somebody is to call `expire`, on the clock of that somebody.
        is_open: Whether it can be used.
    """

    def __init__(self, sock: _socket.socket, hub: Any, forget: Callable[["LeanSocket"], None]) -> None:
        self.deadline = float("inf")
        self.is_open = True
        self._sock = sock
        self._hub = hub
        self._forget = forget
        self._parked: Any = None
        self._overdue = False
        self._news = _poll()
        self._news.register(sock.fileno(), _POLLIN)
        self._readable = hub.loop.io(sock.fileno(), _READ)
        self._readable.start(self._wake)

    def ask(self, wire: bytes) -> bytes:
        """Sends a request and waits for the first bytes of its answer.

        Raises:
            Broken: none came.
            Overdue: none came in time.
        """
        self._overdue = False
        self._send(wire)
        data = self.more()
        if not data:
            self.close()
            raise Broken("RemoteProtocolError: the server closed the connection without an answer")
        return data

    def more(self) -> bytes:
        """Waits for bytes; none where the server has closed.

        Raises:
            Broken: the connection failed.
            Overdue: none came in time.
        """
        try:
            return self._arrival()
        except OSError as error:
            self.close()
            raise Broken(f"ReadError: {error}") from None

    def is_fresh(self) -> bool:
        """Whether a request may be sent: the server has neither closed nor said anything since its last answer."""
        return not self._news.poll(0) or self._is_harmless()

    def expire(self) -> None:
        """Ends the waiting, or closes it where nobody waits; to be called from within gevent's loop."""
        if self._parked is None:
            self.close()
        else:
            self._overdue = True
            self._parked.switch(self)

    def close(self) -> None:
        """Closes it; once is enough."""
        if self.is_open:
            self.is_open = False
            self._readable.stop()
            self._readable.close()
            self._sock.close()
            self._forget(self)

    def _send(self, wire: bytes) -> None:
        try:
            sent = self._sock.send(wire)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.close()
            raise Broken(f"WriteError: {error}", unsent=True) from None
        if sent < len(wire):
            self._send_rest(memoryview(wire)[sent:])

    def _send_rest(self, rest: memoryview) -> None:
        """
        Sends what did not fit at once. Where the server hangs up meanwhile, it may have said why: the reader finds out.
        """
        # A server that talks meanwhile must not wake a greenlet that cannot listen yet.
        self._readable.stop()
        writable = self._hub.loop.io(self._sock.fileno(), _WRITE)
        writable.start(self._wake)
        try:
            while rest and not self._overdue:
                self._park()
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._sock.send(rest) :]
        except OSError:
            pass
        finally:
            writable.stop()
            writable.close()
        self._readable.start(self._wake)

    def _arrival(self) -> bytes:
        """Waits for bytes as they are on the wire.

        Raises:
            OSError: the connection failed.
            Overdue: none came in time.
        """
        while not self._overdue:
            self._park()
            # Also where the time is over: a generator that was busy elsewhere makes no answer late.
            with contextlib.suppress(BlockingIOError):
                return self._sock.recv(_PIECE_BYTES)
        self.close()
        raise Overdue

    def _park(self) -> None:
        """Lets others run until the socket is ready or `expire` is called."""
        self._parked = getcurrent()
        try:
            # Only `_wake` and `expire` switch with this value; whatever else switches here is a mistake.
            while self._hub.switch() is not self:
                pass
        except BaseException:
            self.close()
            raise
        finally:
            self._parked = None

    def _wake(self) -> None:
        if self._parked is not None:
            self._parked.switch(self)
        elif not self.is_fresh():
            self.close()

    def _is_harmless(self) -> bool:
        """Whether the connection can be used although something arrived that nobody asked for."""
        return False


class TlsSocket(LeanSocket):
    """A connection with TLS; `handshake` comes first.

    Its records are made in memory, so that waiting is the same as without TLS.
    """

    def __init__(
        self,
        sock: _socket.socket,
        hub: Any,
        forget: Callable[[LeanSocket], None],
        context: ssl.SSLContext,
        host: str,
    ) -> None:
        super().__init__(sock, hub, forget)
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_hostname=host)

    def handshake(self) -> None:
        """Agrees on keys and checks the server's certificate.

        Raises:
            OSError: that failed; `ssl.SSLError` is one.
        """
        while True:
            try:
                self._tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                pass
            finally:
                self._flush()
            self._decrypt_later(self._arrival())

    def more(self) -> bytes:
        """Waits for bytes; none where the server has closed.

        Raises:
            Broken: the connection failed.
            Overdue: none came in time.
        """
        try:
            while True:
                if self._arrived.pending or self._arrived.eof or self._tls.pending():
                    data = self._decrypted()
                    if data is not None:
                        return data
                self._decrypt_later(self._arrival())
        except OSError as error:
            self.close()
            raise Broken(f"ReadError: {error}") from None

    def _is_harmless(self) -> bool:
        """Whether all that arrived is what servers say in TLS of their own accord, such as keys for another session."""
        try:
            self._decrypt_later(self._sock.recv(_PIECE_BYTES))
            return self._decrypted() is None
        except OSError:
            return False

    def _decrypt_later(self, records: bytes) -> None:
        if records:
            self._arrived.write(records)
        else:
            self._arrived.write_eof()

    def _decrypted(self) -> bytes | None:
        """What the records that arrived hold: None where the next one is not complete, no bytes at the end."""
        try:
            return self._tls.read(_PIECE_BYTES)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _send(self, wire: bytes) -> None:
        # What TLS had to answer to the server since the last request goes out before this one.
        try:
            self._tls.write(wire)
        except OSError as error:
            self.close()
            raise Broken(f"WriteError: {error}", unsent=True) from None
        super()._send(self._leaving.read())

    def _flush(self) -> None:
        """Sends a part of the handshake, a few bytes for which there is room, or the alert that ends it.

        The server need not be there any more to hear them; whoever reads next finds out.
        """
        if self._leaving.pending:
            with contextlib.suppress(OSError):
                self._sock.send(self._leaving.read())


def dial(address: Address, hub: Any) -> _socket.socket:
    """A connected socket that never blocks.

    Raises:
        OSError: nobody answers there.
    """
    # The plain one of the interpreter: what Locust puts in the place of `socket.socket` waits in its own way.
    sock = _socket.socket(address[0], _socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        _connect(sock, address, hub)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: _socket.socket, address: Address, hub: Any) -> None:
    code = sock.connect_ex(address[4])
    if code == errno.EINPROGRESS:
        writable = hub.loop.io(sock.fileno(), _WRITE)
        try:
            hub.wait(writable)
        finally:
            writable.close()
        code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
