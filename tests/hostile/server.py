"""A hostile server: one thread per connection, and a healthy server behind it."""

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.hostile.choices import every, loaded
from tests.hostile.line import Gone, Line, Request
from tests.hostile.upstream import Upstream

_POLL_S = 0.2

# Answers one request; returns whether the connection stays open.
Serve = Callable[["Scene", Line, Request], bool]


@dataclass
class Scene:
    """Context of a flaw: the healthy server, another host that records requests, and *facts* between requests."""

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
        says: Description of the behaviour.
        serve: Answers a spoilt request.
        when: Selects the spoilt requests; the healthy server answers all others.
        greets: Acts on a new connection before it is read; None for nothing.
        tls: Creates the TLS context; None for plain HTTP.
        scheme: Scheme of the URL for clients; empty for that of the server.
        listens: Whether the port is open.
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
    """Accepts connections on a loopback port, and serves each in a thread."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._opened: list[socket.socket] = []
        self._sock = socket.create_server((host, 0))
        self._sock.settimeout(_POLL_S)
        self.port = int(self._sock.getsockname()[1])

    def start(self) -> None:
        thread = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Stops all threads and closes all sockets."""
        self.stopped.set()
        for sock in (self._sock, *self._opened):
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._sock.close()

    def away(self, seconds: float) -> None:
        """Refuses connections for a while, or for good if that is a minute or more."""
        self._sock.close()
        if seconds < 60 and not self.stopped.wait(seconds):
            self._sock = socket.create_server((self.host, self.port))
            self._sock.settimeout(_POLL_S)

    def serve(self, line: Line) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                sock, _ = self._sock.accept()
            except TimeoutError:
                continue
            except OSError:
                self.stopped.wait(_POLL_S)
                continue
            sock.settimeout(_POLL_S)
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
    """Another host: records all received bytes."""

    def __init__(self) -> None:
        super().__init__("127.0.0.2")
        self.received: list[bytes] = []

    def serve(self, line: Line) -> None:
        while True:
            request = line.request(itertools.count(1))
            self.received.append(request.raw)
            line.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


class Server(Listener):
    """A server with one flaw; *under_load* spoils only requests of load engines, not those of their set-up."""

    def __init__(self, flaw: Flaw, healthy_url: str, *, under_load: bool = False) -> None:
        super().__init__()
        self.elsewhere = Elsewhere()
        self._flaw = flaw
        self._under_load = under_load and flaw.when is not every
        self._requests = itertools.count(1)
        self._context = flaw.tls() if flaw.tls else None
        self._base_path = healthy_url.partition("//")[2].partition("/")[2]
        self._scene = Scene(Upstream(healthy_url), self.elsewhere, self)

    @property
    def url(self) -> str:
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
            line.sock.settimeout(_POLL_S)
        if mine.greets:
            mine.greets(scene, line)
        goes_on = True
        while goes_on:
            request = line.request(self._requests)
            spoilt = mine.when(request) and (not self._under_load or loaded(request))
            serve = mine.serve if spoilt else healthy
            goes_on = serve(scene, line, request)


def healthy(scene: Scene, line: Line, request: Request) -> bool:
    return scene.upstream.pass_on(request, line)
