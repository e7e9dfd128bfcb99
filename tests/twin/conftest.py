"""A twin per test, and a small client that says what is asked for in the words of the contract."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from touchstone.twin import Engine, Twin, TwinSettings
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version

PRIMARY, SECOND, RESTRICTED = "sk_live_test_primary", "sk_live_test_second", "sk_live_test_restricted"


def document(name: str = "demo", *run: str, version: str = "1.0.0") -> dict[str, Any]:
    """A small valid document."""
    return {
        "api_version": "orgo.ai/v1",
        "template": {"name": name, "version": version},
        "build": {"run": list(run) or [f"echo {name}"]},
    }


class Api:
    """One account's view of a twin; every operation is about one version, ``default/demo@1.0.0`` by default."""

    def __init__(self, url: str, key: str | None = PRIMARY) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        self.url = url
        self.http = httpx.Client(base_url=url, headers=headers, timeout=20)

    def publish(self, name: str = "demo", *run: str, version: str = "1.0.0", query: str = "") -> httpx.Response:
        return self.http.post(f"/templates{query}", json=document(name, *run, version=version))

    def start(self, name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> httpx.Response:
        return self.http.post(f"/templates/{namespace}/{name}/{version}/build")

    def status(self, name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> httpx.Response:
        return self.http.get(f"/templates/{namespace}/{name}/{version}/build")

    def cancel(self, name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> httpx.Response:
        return self.http.delete(f"/templates/{namespace}/{name}/{version}/build")

    def template(self, name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> httpx.Response:
        return self.http.get(f"/templates/{namespace}/{name}/{version}")

    def delete(self, name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> httpx.Response:
        return self.http.delete(f"/templates/{namespace}/{name}/{version}")

    def events(self, name: str = "demo", version: str = "1.0.0", namespace: str = "default") -> list[dict[str, Any]]:
        """Reads the stream to its end, which is also how a test waits for a build."""
        text = self.http.get(f"/templates/{namespace}/{name}/{version}/build/events").text
        return frames_of(text)

    def built(self, name: str = "demo", *run: str) -> dict[str, Any]:
        """Publishes and builds a version, and returns its status."""
        assert self.publish(name, *run).status_code == 201
        assert self.start(name).status_code == 202
        self.events(name)
        return dict(self.status(name).json())


def paced(*build_s: float) -> type[Engine]:
    """An engine whose first build takes the first duration, the second the second, and all others the last."""

    class Paced(Engine):
        def make_build(self, version: Version) -> Build:
            build = super().make_build(version)
            self.made = getattr(self, "made", 0) + 1
            length_s = build_s[min(self.made, len(build_s)) - 1]
            build.settings = dataclasses.replace(build.settings, build_s=length_s)
            return build

    return Paced


def frames_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream whose every frame is one data line."""
    *frames, rest = text.split("\n\n")
    assert rest == ""
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


@pytest.fixture
def serve() -> Iterator[Callable[..., Twin]]:
    """Starts twins, and stops them at the end of the test."""
    twins: list[Twin] = []

    def start(**settings: Any) -> Twin:
        seams = {name: settings.pop(name) for name in ("engine", "app", "wrap") if name in settings}
        twins.append(Twin(TwinSettings(**{"build_s": 0.01, "settle_s": 0.0, **settings}), **seams).start())
        return twins[-1]

    yield start
    for twin in twins:
        twin.stop()


@pytest.fixture
def connect(serve: Callable[..., Twin]) -> Iterator[Callable[..., Api]]:
    """Starts a twin with the given settings and connects to it; ``to=url`` connects to one that runs."""
    apis: list[Api] = []

    def open_api(*, key: str | None = PRIMARY, to: str = "", **settings: Any) -> Api:
        apis.append(Api(to or serve(**settings).url, key))
        return apis[-1]

    yield open_api
    for api in apis:
        api.http.close()


@pytest.fixture
def api(connect: Callable[..., Api]) -> Api:
    """The primary account of a twin whose builds take 10 ms."""
    return connect()


@pytest.fixture
def slow(connect: Callable[..., Api]) -> Api:
    """The primary account of a twin whose builds do not end within a test, and whose cancelled ones do not settle."""
    return connect(build_s=600.0, settle_s=600.0)
