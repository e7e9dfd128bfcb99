"""How far a load run has come, as its target sees it by what it is asked; and the run's processes."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread

from tests.command import children

# Shorter than clients wait for an answer.
HELD_S = 25.0

Stage = Literal["set-up", "loading", "aftermath", "clean-up"]
Asgi = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and when it came."""

    at: float
    method: str
    path: str

    @property
    def is_of_the_load(self) -> bool:
        """Whether no clean-up sends it."""
        return self.method in ("GET", "POST")


@dataclass
class Stages:
    """What a target was asked, and an event for the first request of each stage.

    Scenarios that cancel builds reach the clean-up too soon.

    Attributes:
        over: Where it is given, the first start of the load is answered when it is set: so long the load lasts.
    """

    asked: list[Asked] = field(default_factory=list)
    reached: dict[str, threading.Event] = field(
        default_factory=lambda: {stage: threading.Event() for stage in ("set-up", "loading", "aftermath", "clean-up")}
    )
    over: threading.Event | None = None
    _of_ready: int = 0

    def wrap(self, app: Asgi) -> Asgi:
        """The same application, watched."""

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                asked = Asked(time.monotonic(), scope["method"], scope["path"])
                self.asked.append(asked)
                stage = self._stage(asked)
                if stage:
                    first = not self.reached[stage].is_set()
                    self.reached[stage].set()
                    if stage == "loading" and first and self.over:
                        await anyio.to_thread.run_sync(self.over.wait, HELD_S)
            await app(scope, receive, send)

        return watched

    def _stage(self, asked: Asked) -> Stage | None:
        if asked.method == "DELETE":
            return "clean-up"
        if asked.method != "POST":
            return None
        if not asked.path.endswith("/build"):
            return "set-up"
        if "-ready" in asked.path:
            # The first one builds it, before the load.
            self._of_ready += 1
            return "aftermath" if self._of_ready > 1 else None
        return "loading"

    def after(self, at: float) -> list[Asked]:
        """The requests of the load that came after a moment."""
        return [asked for asked in self.asked if asked.is_of_the_load and asked.at > at]


def hanging(method: str, asked: list[str]) -> Callable[[Asgi], Asgi]:
    """Wraps an application so that requests with *method*, whose paths go into *asked*, are never answered."""

    def wrap(app: Asgi) -> Asgi:
        async def hung(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["method"] == method:
                asked.append(scope["path"])
                while (await receive())["type"] != "http.disconnect":
                    pass
            else:
                await app(scope, receive, send)

        return hung

    return wrap


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs; each before its own."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def words(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
