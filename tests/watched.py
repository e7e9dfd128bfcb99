"""A twin in the test process whose insides a test may look at while a child process judges it."""

import threading
from collections.abc import Callable
from typing import Any

import httpx

from tests.command import PRIMARY
from touchstone.twin import Engine, Twin, TwinSettings
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version

# A check of this claim alone starts one build and polls for its end, so it stands still where builds have none.
WAITING = "status.ready-after-its-steps"
ENDLESS_S = 600.0


class Watched:
    """A served twin, what is left on it, and an event for the moment at which so many builds have begun.

    Args:
        builds: Number of the build whose start sets *reached*.
        engine: What the twin does otherwise than the usual one.
        wrap: Puts another application around it.
        settings: How the twin behaves.

    Attributes:
        asked: Method and path of each request that it received.
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
        self.asked: list[tuple[str, str]] = []
        self.engine: Any = None
        watcher = self

        class Seen(engine):  # type: ignore[misc, valid-type]  # a class that is given
            def __init__(self, settings: TwinSettings) -> None:
                super().__init__(settings)
                watcher.engine = self

            def launch(self, version: Version) -> Build:
                build = super().launch(version)
                watcher.launched.append(str(version.ref))
                if len(watcher.launched) == builds:
                    watcher.reached.set()
                return build

        def heard(app: Any) -> Any:
            inner = wrap(app)

            async def hear(scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] == "http":
                    watcher.asked.append((scope["method"], scope["path"]))
                await inner(scope, receive, send)

            return hear

        self.twin = Twin(TwinSettings(**{"build_s": 0.05, "settle_s": 0.02, **settings}), engine=Seen, wrap=heard)

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.twin.url

    def refs(self) -> list[str]:
        """The versions on it that it did not bring along."""
        assert self.engine
        own = (v for v in self.engine.catalog if not v.curated and v.ref.name != "legacy-demo")
        return sorted(str(version.ref) for version in own)

    def running(self) -> int:
        """How many builds nobody has ended or cancelled."""
        assert self.engine
        return sum(build.in_flight for build in list(self.engine.running))

    def publish(self, name: str, *, build: bool = False, key: str = PRIMARY) -> str:
        """Publishes a version as somebody who has nothing to do with a run; its ref."""
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
