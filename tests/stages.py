"""Progress of a load run by the requests that its target receives; and the processes of a run."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread

from tests.command import children

# Shorter than the timeout of clients.
HELD_S = 25.0

Stage = Literal["set-up", "loading", "aftermath", "clean-up"]
Asgi = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Received:
    """One request, and its time of arrival."""

    at: float
    method: str
    path: str

    @property
    def is_of_the_load(self) -> bool:
        """Whether the load sends such requests, and no clean-up does."""
        return self.method in ("GET", "POST")


@dataclass
class Stages:
    """Requests that a target received, and an event for the first one of each stage.

    It does not suit scenarios that cancel builds: they would reach the clean-up too soon.

    Attributes:
        over: Optional event that ends the load: the first start of the load is answered once it is set.
    """

    received: list[Received] = field(default_factory=list)
    reached: dict[str, threading.Event] = field(
        default_factory=lambda: {stage: threading.Event() for stage in ("set-up", "loading", "aftermath", "clean-up")}
    )
    over: threading.Event | None = None
    _of_ready: int = 0

    def wrap(self, app: Asgi) -> Asgi:
        """Wraps an application to record its requests."""

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                request = Received(time.monotonic(), scope["method"], scope["path"])
                self.received.append(request)
                if stage := self._stage(request):
                    first = not self.reached[stage].is_set()
                    self.reached[stage].set()
                    if stage == "loading" and first and self.over:
                        await anyio.to_thread.run_sync(self.over.wait, HELD_S)
            await app(scope, receive, send)

        return watched

    def _stage(self, request: Received) -> Stage | None:
        if request.method == "DELETE":
            return "clean-up"
        if request.method != "POST":
            return None
        if not request.path.endswith("/build"):
            return "set-up"
        if "-ready" in request.path:
            # The first one builds it, before the load.
            self._of_ready += 1
            return "aftermath" if self._of_ready > 1 else None
        return "loading"

    def after(self, at: float) -> list[Received]:
        """Requests of the load after *at*."""
        return [request for request in self.received if request.is_of_the_load and request.at > at]


def hanging(method: str, received: list[str]) -> Callable[[Asgi], Asgi]:
    """Wraps an application so that requests with *method* get no response; their paths go into *received*."""

    def wrap(app: Asgi) -> Asgi:
        async def hung(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["method"] == method:
                received.append(scope["path"])
                while (await receive())["type"] != "http.disconnect":
                    pass
            else:
                await app(scope, receive, send)

        return hung

    return wrap


def descendants(pid: int) -> list[int]:
    """All processes below *pid*, parents first."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def command_line(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
