"""A server that misbehaves: a thread for each connection, and a healthy server behind it where that is wanted."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.hostile.choices import every, loaded
from tests.hostile.line import Counter, Gone, Line, Request
from tests.hostile.upstream import Upstream

_LOOK_S = 0.2

# Answers one request; whether the connection can go on.
Serve = Callable[["Scene", Line, Request], bool]


@dataclass
class Scene:
    """What a flaw has at hand while it serves.

    Attributes:
        upstream: The healthy server.
        elsewhere: A listener on another port, which only notes what it hears.
        facts: Whatever it wants to remember from one request to the next.
    """

    upstream: Upstream
    elsewhere: "Elsewhere"
    server: "Server"
    lock: threading.Lock = field(default_factory=threading.Lock)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flaw:
    """One way to be hostile.

    Attributes:
        name: In kebab-case.
        says: What the server does, for people.
        serve: What it does to a request.
        when: To which requests; the healthy server answers all others.
        greets: What it does with a connection before it reads anything; None for nothing.
        tls: Makes the context of a server that speaks TLS; None for one that does not.
        scheme: Of the URL that a client is given; that of the server where it is empty.
        listens: Whether anybody answers at its port at all.
    """

    name: str
    says: str
    serve: Serve
    when: Callable[[Request], bool] = every
    greets: Callable[["Scene", Line], None] | None = None
    tls: Callable[[], ssl.SSLContext] | None = None
    scheme: str = ""
    listens: bool = True


class Listener:
    """Accepts connections on a loopback port, and has a thread serve each."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._opened: list[socket.socket] = []
        self._sock = socket.create_server((host, 0))
        self._sock.settimeout(_LOOK_S)
        self.port = int(self._sock.getsockname()[1])

    def start(self) -> None:
        thread = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Stops all that it has begun."""
        self.stopped.set()
        for sock in (self._sock, *self._opened):
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._sock.close()

    def away(self, seconds: float) -> None:
        """Lets nobody in for a while, as a server that died and is started again."""
        self._sock.close()
        if not self.stopped.wait(seconds):
            self._sock = socket.create_server((self.host, self.port))
            self._sock.settimeout(_LOOK_S)

    def vanish(self) -> None:
        """Lets nobody in any more."""
        self._sock.close()

    def serve(self, line: Line) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                sock, _ = self._sock.accept()
            except TimeoutError:
                continue
            except OSError:
                self.stopped.wait(_LOOK_S)
                continue
            sock.settimeout(_LOOK_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._served, args=(sock,), daemon=True)
            self._opened = [one for one in self._opened if one.fileno() >= 0] + [sock]
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def _served(self, sock: socket.socket) -> None:
        line = Line(sock, self.stopped)
        try:
            with contextlib.suppress(Gone, OSError):
                self.serve(line)
        finally:
            line.close()


class Elsewhere(Listener):
    """Another host: it notes all bytes that reach it."""

    def __init__(self) -> None:
        super().__init__("127.0.0.2")
        self.received: list[bytes] = []

    def serve(self, line: Line) -> None:
        while True:
            request = line.request(Counter())
            self.received.append(request.raw)
            line.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


class Server(Listener):
    """A server with one flaw.

    Args:
        healthy_url: Base URL of the server behind it.
        under_load: Whether only requests of load engines are spoilt, and none of those that set the stage for them.
    """

    def __init__(self, flaw: Flaw, healthy_url: str, *, under_load: bool = False) -> None:
        super().__init__()
        self.elsewhere = Elsewhere()
        self._flaw = flaw
        self._under_load = under_load and flaw.when is not every
        self._requests = Counter()
        self._context = flaw.tls() if flaw.tls else None
        self._base_path = healthy_url.partition("//")[2].partition("/")[2]
        self._scene = Scene(Upstream(healthy_url), self.elsewhere, self)

    @property
    def url(self) -> str:
        """Where it pretends to be the API."""
        scheme = self._flaw.scheme or ("https" if self._context else "http")
        return f"{scheme}://{self.host}:{self.port}/{self._base_path}"

    def __enter__(self) -> Self:
        self.elsewhere.start()
        if self._flaw.listens:
            self.start()
        else:
            self._sock.close()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.elsewhere.close()

    def serve(self, line: Line) -> None:
        mine, scene = self._flaw, self._scene
        if self._context:
            line.sock.settimeout(5.0)
            line.sock = self._context.wrap_socket(line.sock, server_side=True)
            line.sock.settimeout(_LOOK_S)
        if mine.greets:
            mine.greets(scene, line)
        goes_on = True
        while goes_on:
            request = line.request(self._requests)
            spoilt = mine.when(request) and (not self._under_load or loaded(request))
            serve = mine.serve if spoilt else _healthy
            goes_on = serve(scene, line, request)


def _healthy(scene: Scene, line: Line, request: Request) -> bool:
    return scene.upstream.pass_on(request, line)
