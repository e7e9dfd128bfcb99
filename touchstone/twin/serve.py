"""A twin on a port: in a thread of its own for tests, or in the foreground until a signal ends it."""

import asyncio
import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn

from touchstone.errors import UsageError
from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.settings import TwinSettings

Asgi = Callable[..., Any]
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
GRACE_S = 0.5
FLUSH_S, FLUSH_TRIES = 0.1, 20


class Twin:
    """One server. Any number may run in one process.

    Args:
        settings: How it behaves; a correct server on a free port where it is None.
        engine: What decides; a subclass breaks a promise on purpose.
        app: What speaks HTTP; the same.
        wrap: Puts another application around the finished one.
    """

    def __init__(
        self,
        settings: TwinSettings | None = None,
        *,
        engine: type[Engine] = Engine,
        app: type[App] = App,
        wrap: Callable[[Asgi], Asgi] = lambda asgi_app: asgi_app,
    ) -> None:
        self.settings = settings or TwinSettings()
        self._engine_class = engine
        self._app_class = app
        self._wrap = wrap
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """What the paths of the API are added to, such as ``http://127.0.0.1:8123/api``; empty before the start."""
        return self._url

    def start(self) -> Self:
        """Listens, and returns when requests are answered.

        Raises:
            UsageError: the port is in use, or the host is not one of this machine.
        """
        if self._server is not None:
            return self
        listener = _listener(self.settings)
        engine = self._engine_class(self.settings)
        self._server = _Server(self._wrap(self._app_class(engine)), engine)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="twin", daemon=True)
        self._thread.start()
        if not self._server.up.wait(START_TIMEOUT_S):
            raise RuntimeError(f"twin: no answer from its own thread within {START_TIMEOUT_S} s")
        self._url = _url(self.settings, listener)
        return self

    def stop(self) -> None:
        """Ends builds, closes open streams, and frees the port. The twin can be started again, empty."""
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join(STOP_TIMEOUT_S)
        self._server, self._thread, self._url = None, None, ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """Tells when it is up, and stops without waiting for the next tick."""

    def __init__(self, app: Asgi, engine: Engine) -> None:
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # Longer than any client keeps an idle connection in its pool: ours must not be the end that closes.
            timeout_keep_alive=120,
        )
        super().__init__(config)
        self.up = threading.Event()
        self._engine = engine
        self._halt = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Refreshes the Date header once a second, until it is told to stop."""
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.up.set()
        while not self._halt.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._halt.wait(), 1.0)
            await self.on_tick(0)
        self._engine.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the listener, lets answers that are under way finish, and closes the connections."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=GRACE_S)
        await self._flush()
        # Connections before tasks: a cancelled task would still write an answer of its own.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(0)  # the loop tells aborted connections so

    async def _flush(self) -> None:
        # A closed connection stays in the set until its last bytes are written, and has no event to wait for.
        for _ in range(FLUSH_TRIES):
            if not self.server_state.connections:
                return
            await asyncio.sleep(FLUSH_S / FLUSH_TRIES)

    def stop(self) -> None:
        """Asks it to stop; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(self._halt.set)


def _listener(settings: TwinSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise _cannot_listen(settings, error) from None
    return listener


def _cannot_listen(settings: TwinSettings, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"twin: port: found {settings.port}, which is in use on {settings.host}; "
            "expected a free port; choose another, or 0 for any free one"
        )
    return UsageError(
        f"twin: cannot listen on {settings.host!r} port {settings.port}: {error.strerror or error}; "
        "expected an address of this machine and a port that you may use, e.g. 127.0.0.1 and 0"
    )


def _url(settings: TwinSettings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}{settings.base_path}"


def serve_forever(twin: Twin, announce: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM, then stops cleanly. Call it in the main thread.

    Args:
        twin: What is served; not started yet.
        announce: Is given, once requests are answered, one line with the URL, then one for each account.

    Raises:
        UsageError: the port is in use, or the host is not one of this machine.
    """
    with _until_signal() as ended, twin:
        announce(f"twin listening on {twin.url}")
        for account in twin.settings.accounts:
            announce(f"account {account.name or '(no name)'}: plan {account.plan}, key {account.key}")
        ended.wait()


@contextlib.contextmanager
def _until_signal() -> Iterator[threading.Event]:
    ended = threading.Event()

    def end(_number: int, _stack: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
