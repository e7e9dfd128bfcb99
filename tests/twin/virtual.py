"""A twin in virtual time: requests call its application directly, and waiting only advances a clock."""

import asyncio
import json
import selectors
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import pytest

from touchstone.twin import Engine, TwinSettings
from touchstone.twin.serve import Asgi, Behaviour

PRIMARY, SECOND, RESTRICTED = "sk_live_test_primary", "sk_live_test_second", "sk_live_test_restricted"
BEGAN_AT = 1_800_000_000.0  # the beginning of a minute
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    clock: "Clock"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to wait for")
        self.clock.now_s += timeout
        return super().select(0)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time advances as soon as no task can run."""

    current: ClassVar["Clock"]  # the clock that the twin reads

    def __init__(self) -> None:
        Clock.current = self
        self.now_s = 0.0
        self.background: list[asyncio.Task[Any]] = []  # kept, as the loop itself does not hold them
        selector = _Selector()
        selector.clock = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        Clock.current = self
        return self.run_until_complete(work)

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def end(self) -> None:
        """Cancels all tasks and closes the loop."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run(_all(tasks))
        self.close()


async def _all(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _idle() -> None:
    """Runs all tasks that do not wait for a time."""
    for _ in range(100):
        await asyncio.sleep(0)


def patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the twin, its faults and its variants read the current clock."""
    virtual = SimpleNamespace(monotonic=lambda: Clock.current.now_s, time=lambda: BEGAN_AT + Clock.current.now_s)
    for name, module in list(sys.modules.items()):
        if name.startswith(("touchstone.twin.", "touchstone.proof.")) and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", virtual)


@dataclass(slots=True)
class Answer:
    """The response of an application, with the times of its chunks."""

    status: int = 0  # 0 before the response
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    is_whole: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return next((value.decode() for key, value in self.headers if key.decode().lower() == name), "")

    def events(self) -> list[dict[str, Any]]:
        """The events of a stream with one data line in each frame."""
        *frames, rest = self.text.split("\n\n")
        assert rest == ""
        assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
        return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def document(name: str = "demo", *run: str, version: str = "1.0.0") -> dict[str, Any]:
    """A small valid document."""
    about = {"name": name, "version": version}
    return {"api_version": "orgo.ai/v1", "template": about, "build": {"run": list(run) or [f"echo {name}"]}}


def path_of(name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> str:
    return f"/templates/{namespace}/{name}/{version}"


@dataclass(slots=True)
class Api:
    """Requests of one account to a twin, by default for the version ``default/demo@1.0.0``."""

    clock: Clock
    app: Asgi
    engine: Engine
    key: str | None = PRIMARY

    def with_key(self, key: str | None) -> "Api":
        return Api(self.clock, self.app, self.engine, key)

    def request(self, method: str, path: str, **more: Any) -> Answer:
        """Sends a request and returns the complete response, after at most an hour."""
        answer = Answer()
        with suppress(TimeoutError):
            self.clock.run(asyncio.wait_for(self._call(answer, method, path, **more), 3600))
        return answer

    def begin(self, method: str, path: str, **more: Any) -> Answer:
        """Sends a request; returns the response, which grows as time advances."""
        answer = Answer()
        self.clock.background.append(self.clock.create_task(self._call(answer, method, path, **more)))
        self.clock.run(_idle())
        return answer

    async def _call(
        self,
        answer: Answer,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        body: bytes | list[bytes] = b"",
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        pairs, parts = list(headers or []), [body] if isinstance(body, bytes) else list(body)
        if self.key is not None and "Authorization" not in dict(pairs):
            pairs.append(("Authorization", f"Bearer {self.key}"))
        if json_body is not None:
            parts, pairs = [json.dumps(json_body).encode()], [*pairs, ("Content-Type", "application/json")]
        target, _, query = (self.engine.settings.base_path + path).partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": target,
            "raw_path": target.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
            "server": ("twin", 80),
            "client": ("127.0.0.1", 1),
            "state": {},
        }

        async def receive() -> dict[str, Any]:
            if not parts:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message.get("headers", ()))
                return
            if message.get("body"):
                answer.pieces.append((self.clock.now_s, bytes(message["body"])))
            answer.is_whole = not message.get("more_body", False)

        await self.app(scope, receive, send)

    def publish(self, name: str = "demo", *run: str, version: str = "1.0.0", query: str = "") -> Answer:
        return self.request("POST", f"/templates{query}", json_body=document(name, *run, version=version))

    def start(self, *version: str) -> Answer:
        return self.request("POST", f"{path_of(*version)}/build")

    def status(self, *version: str) -> Answer:
        return self.request("GET", f"{path_of(*version)}/build")

    def state(self, *version: str) -> str:
        return str(self.status(*version).json()["status"])

    def cancel(self, *version: str) -> Answer:
        return self.request("DELETE", f"{path_of(*version)}/build")

    def template(self, *version: str) -> Answer:
        return self.request("GET", path_of(*version))

    def delete(self, *version: str) -> Answer:
        return self.request("DELETE", path_of(*version))

    def log(self, *version: str) -> Answer:
        """The complete log, at the end of the build."""
        return self.request("GET", f"{path_of(*version)}/build/events")

    def follow(self, *version: str) -> Answer:
        """The log of a build, which grows as time advances."""
        return self.begin("GET", f"{path_of(*version)}/build/events")

    def built(self, name: str = "demo", *run: str) -> dict[str, Any]:
        """Publishes and builds a version; returns its status."""
        assert self.publish(name, *run).status == 201
        assert self.start(name).status == 202
        self.log(name)
        return dict(self.status(name).json())


def served(clock: Clock, behaviour: Behaviour | None = None, **settings: Any) -> Api:
    """A twin with a behaviour, used by its primary account."""
    Clock.current = clock
    behaviour = behaviour or Behaviour("faithful", "")
    engine_class = settings.pop("engine", behaviour.engine)
    engine = engine_class(TwinSettings(**{"build_s": 0.6, "settle_s": 0.1, **settings, **behaviour.pace}))
    return Api(clock, behaviour.wrap(behaviour.app(engine)), engine)
