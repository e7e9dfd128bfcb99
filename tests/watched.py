"""A twin in the test process with an accessible engine, while a child process judges it."""

import threading
from collections.abc import Callable
from typing import Any

import httpx

from tests.command import PRIMARY
from touchstone.twin import Engine, Twin, TwinSettings
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version

# A check of this claim starts one build and polls for its end: an endless build keeps it waiting.
WAITING = "status.ready-after-its-steps"
ENDLESS_S = 600.0


class Watched:
    """A served twin that records its requests and builds.

    Args:
        builds: Number of the build whose start sets *reached*.
        engine: Engine of the twin.
        wrap: Wraps the application.
        settings: Settings of the twin.

    Attributes:
        received: Method and path of each request.
    """

    def __init__(
        self,
        builds: int = 1,
        engine: type[Engine] = Engine,
        wrap: Callable[[Any], Any] = lambda app: app,
        **settings: Any,
    ) -> None:
        self.reached = threading.Event()
        self.launched: list[str] = []
        self.received: list[tuple[str, str]] = []
        self.engine: Any = None
        watcher = self

        class Recording(engine):  # type: ignore[misc, valid-type]  # a class in a variable
            def __init__(self, settings: TwinSettings) -> None:
                super().__init__(settings)
                watcher.engine = self

            def launch(self, version: Version) -> Build:
                build: Build = super().launch(version)
                watcher.launched.append(str(version.ref))
                if len(watcher.launched) == builds:
                    watcher.reached.set()
                return build

        def recorded(app: Any) -> Any:
            inner = wrap(app)

            async def record(scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] == "http":
                    watcher.received.append((scope["method"], scope["path"]))
                await inner(scope, receive, send)

            return record

        own = TwinSettings(**{"build_s": 0.05, "settle_s": 0.02, **settings})
        self.twin = Twin(own, engine=Recording, wrap=recorded)

    @property
    def url(self) -> str:
        return self.twin.url

    def refs(self) -> list[str]:
        """Published versions, without those that every twin has."""
        assert self.engine
        own = (v for v in self.engine.catalog if not v.curated and v.ref.name != "legacy-demo")
        return sorted(str(version.ref) for version in own)

    def running(self) -> int:
        """Number of running builds."""
        assert self.engine
        return sum(build.in_flight for build in list(self.engine.running))

    def publish(self, name: str, *, build: bool = False, key: str = PRIMARY) -> str:
        """Publishes a version outside of any run; returns its ref."""
        document = {
            "api_version": "orgo.ai/v1",
            "template": {"name": name, "version": "1.0.0"},
            "build": {"run": [f"echo {name}"]},
        }
        headers = {"Authorization": f"Bearer {key}"}
        query = "?auto_build=true" if build else ""
        answer = httpx.post(f"{self.url}/templates{query}", json=document, headers=headers, timeout=20)
        assert answer.status_code == 201
        return str(answer.json()["ref"])

    def __enter__(self) -> "Watched":
        self.twin.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.twin.stop()
