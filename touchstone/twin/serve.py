"""Serves a twin on a port: in a thread of its own, or in the foreground until a signal."""

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import uvicorn

from touchstone.errors import UsageError
from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.settings import TwinSettings

Asgi = Callable[..., Any]
START_TIMEOUT_S = STOP_TIMEOUT_S = 10.0
GRACE_S = 0.5
_POLL_S = 0.05
BESIDE = " + "  # between the names of combined behaviours


def unwrapped(asgi_app: Asgi) -> Asgi:
    """Returns the application unchanged."""
    return asgi_app


def says_of(part: Any) -> str:
    """Returns the docstring of a class or method on one line, with code in single backticks."""
    return " ".join((part.__doc__ or "").split()).replace("``", "`")


def with_method(part: Any, over: Callable[..., Any] | None) -> Any:
    """Returns a subclass of the class of the method *over*, with *part* instead. Without *over*, returns *part*."""
    if over is None:
        return part
    base = getattr(sys.modules[over.__module__], over.__qualname__.partition(".")[0])
    return type(part.__name__, (base,), {over.__name__: part})


class Twin:
    """One server of the API; a process may run several. *wrap* wraps the ASGI application of the server."""

    def __init__(
        self,
        settings: TwinSettings | None = None,
        *,
        engine: type[Engine] = Engine,
        app: type[App] = App,
        wrap: Callable[[Asgi], Asgi] = unwrapped,
    ) -> None:
        self.settings = settings or TwinSettings()
        self.url = ""  # without a final slash; empty while the twin is stopped
        self._engine_class, self._app_class, self._wrap = engine, app, wrap
        self._serving: Serving | None = None

    def start(self) -> Self:
        """Starts the server and returns once it is up; raises a UsageError for an unusable host or port."""
        if self._serving is not None:
            return self
        listener = listen(self.settings.host, self.settings.port)
        engine = self._engine_class(self.settings)
        self._serving = Serving(self.application(engine), listener, engine.close)
        self.url = self._serving.origin + self.settings.base_path
        return self

    def application(self, engine: Engine) -> Asgi:
        """Returns the ASGI application of the server."""
        return self._wrap(self._app_class(engine))

    def stop(self) -> None:
        """Ends builds, closes streams and frees the port. The next `start` begins without earlier versions."""
        if self._serving is not None:
            self._serving.stop()
            self._serving, self.url = None, ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Serving:
    """An ASGI application that is served on *listener*, in a thread of its own; *close* is called before it stops."""

    def __init__(self, app: Asgi, listener: socket.socket, close: Callable[[], None] = lambda: None) -> None:
        host, port = listener.getsockname()[:2]
        self.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._server = _Server(app, close)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="server", daemon=True)
        self._thread.start()
        if not self._server.up.wait(START_TIMEOUT_S):
            raise RuntimeError(f"the server did not start within {START_TIMEOUT_S} s")

    def stop(self) -> None:
        """Closes streams and frees the port."""
        self._server.stop()
        self._thread.join(STOP_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A named behaviour of the twin, such as a fault or a variant."""

    name: str  # lowercase words joined by hyphens; derived names also have dots
    says: str  # difference from the default twin, one sentence
    engine: type[Engine] = Engine
    app: type[App] = App
    wrap: Callable[[Asgi], Asgi] = unwrapped
    pace: Mapping[str, Any] = field(default_factory=dict)  # fields of TwinSettings that the behaviour needs
    target: Mapping[str, Any] = field(default_factory=dict)  # settings in touchstone.toml that a check needs

    def twin(self, settings: TwinSettings) -> Twin:
        """Returns a twin with this behaviour; its *pace* overrides *settings*."""
        return Twin(replace(settings, **self.pace), engine=self.engine, app=self.app, wrap=self.wrap)


def combined(parts: Sequence[Behaviour]) -> Behaviour:
    """Returns all *parts* as one behaviour. If two change the same response, the first one wins."""
    engines = tuple(one.engine for one in parts if one.engine is not Engine)
    apps = tuple(one.app for one in parts if one.app is not App)

    def wrap(asgi_app: Asgi) -> Asgi:
        for one in reversed(parts):
            asgi_app = one.wrap(asgi_app)
        return asgi_app

    return Behaviour(
        name=BESIDE.join(one.name for one in parts),
        says=" ".join(one.says for one in parts),
        engine=type("Together", engines, {}) if engines else Engine,
        app=type("Together", apps, {}) if apps else App,
        wrap=wrap if any(one.wrap is not unwrapped for one in parts) else unwrapped,
        pace={key: value for one in reversed(parts) for key, value in one.pace.items()},
        target={key: value for one in reversed(parts) for key, value in one.target.items()},
    )


class _Server(uvicorn.Server):
    """A uvicorn server that signals when it is up, and that stops at once instead of at uvicorn's next tick."""

    def __init__(self, app: Asgi, close: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # Longer than clients keep idle connections: the client must close first.
            timeout_keep_alive=120,
        )
        super().__init__(config)
        self.up = threading.Event()
        self._close = close
        self._halt = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.up.set()
        ticking = asyncio.create_task(super().main_loop())
        await self._halt.wait()
        ticking.cancel()
        self._close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the listener, lets responses finish for GRACE_S seconds, and closes the connections."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=GRACE_S)
        # Connections before tasks: a cancelled task would still write a response.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(0)  # lets the loop handle aborted connections

    def stop(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is already closed
                self._loop.call_soon_threadsafe(self._halt.set)


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; raises a UsageError for an unusable host or port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        problem = f"cannot listen on {host!r} port {port}: {getattr(error, 'strerror', error)}"
        expected = "expected an address of this machine and a free port, such as 127.0.0.1 and 0 for any free one"
        raise UsageError(f"{problem}; {expected}") from None


@contextlib.contextmanager
def until_signal() -> Iterator[Callable[[], None]]:
    """Yields a function that waits for SIGINT or SIGTERM, which do not end the process inside this block."""
    received: list[int] = []

    def wait() -> None:
        # A signal that arrives just before a lock is waited for would not end that wait.
        while not received:
            time.sleep(_POLL_S)

    numbers = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda *arrived: received.append(arrived[0])) for number in numbers}
    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_forever(twin: Twin, announce: Callable[[str], None]) -> None:
    """Serves in the main thread until SIGINT or SIGTERM. *announce* gets a line for the URL and for each account."""
    with until_signal() as wait, twin:
        announce(f"twin listening on {twin.url}")
        for account in twin.settings.accounts:
            announce(f"account {account.name or '(no name)'}: plan {account.plan}, key {account.key}")
        wait()
