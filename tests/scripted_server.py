"""A server of few words for the client of a load: what it says on each connection is a function of the test."""

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Nothing waits this long unless it hangs.
LIMIT_S = 20.0


@dataclass
class Peer:
    """The server's end of one connection.

    Attributes:
        number: From 1, in the order in which connections came.
    """

    number: int
    sock: socket.socket
    server: "Server"

    def hear(self) -> str:
        """The method and target of the next request, whose body is read over; empty where the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(1)
            if not more:
                return ""
            data += more
        length = int(data.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while length:
            length -= len(self.sock.recv(min(length, 65536)))
        said = data.decode().rpartition(" HTTP/1.1\r\n")[0]
        self.server.heard.append((self.number, said))
        return said

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def say_and_close(self, data: bytes) -> None:
        """Says the last word so that it arrives together with the end of the connection."""
        self.sock.send(data, socket.MSG_MORE)
        self.sock.close()

    def wait_for_end(self) -> None:
        """Says no more until the client has closed."""
        while self.sock.recv(65536):
            pass


Script = Callable[[Peer], None]


class Server:
    """A server that runs a script on each connection, in a thread of its own, and closes it when that returns.

    Attributes:
        heard: Number of the connection, method and target of each request.
        gone: Set whenever a connection is over.
    """

    def __init__(self, script: Script, context: ssl.SSLContext | None, host: str) -> None:
        self.heard: list[tuple[int, str]] = []
        self.gone = threading.Event()
        self._script = script
        self._context = context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        scheme, name = "https" if context else "http", f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{name}:{self._listener.getsockname()[1]}/base"
        self._opened: list[socket.socket] = []
        self._stopped = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """Ends all connections and waits for their scripts."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(LIMIT_S)
        # Set before the connections are looked at: one that comes in between finds it set.
        self._stopped = True
        for sock in list(self._opened):
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT_S)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for number in itertools.count(1):
                sock, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(number, sock), daemon=True))
                self._threads[-1].start()

    def _serve(self, number: int, sock: socket.socket) -> None:
        sock.settimeout(LIMIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the client went away, which is its right
            sock = self._context.wrap_socket(sock, server_side=True) if self._context else sock
            self._opened.append(sock)
            if self._stopped:
                sock.shutdown(socket.SHUT_RDWR)
            self._script(Peer(number, sock, self))
        sock.close()
        self.gone.set()


@contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    """A server for as long as a test wants one."""
    server = Server(script, context, host)
    try:
        yield server
    finally:
        server.stop()


def always(answer: bytes) -> Script:
    """Gives each request the same answer, for as long as the client likes."""

    def script(peer: Peer) -> None:
        while peer.hear():
            peer.say(answer)

    return script


def once(answer: bytes) -> Script:
    """Gives the first request on each connection an answer and closes."""

    def script(peer: Peer) -> None:
        peer.hear()
        peer.say_and_close(answer)

    return script
