"""A proxy in this process, and a client whose requests show as much as an ordinary end-to-end suite."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from touchstone.config import TargetSettings
from touchstone.facts.runlog import RunLogWriter
from touchstone.recordings.har import HarWriter
from touchstone.recordings.proxy import Proxy
from touchstone.recordings.recording import TRAFFIC, Recording
from touchstone.recordings.traffic import FINDING, Traffic
from touchstone.twin import DEFAULT_ACCOUNTS

KEYS = {account.name: account.key for account in DEFAULT_ACCOUNTS}
SETTINGS = {"api_key": KEYS["primary"], "second_api_key": KEYS["second"], "restricted_api_key": KEYS["restricted"]}


@dataclass
class Passing:
    """A running proxy: its URL, what it judges with, and the claims that were found broken so far."""

    url: str
    traffic: Traffic
    broken: dict[str, str]
    har: Path


@contextmanager
def proxied(proxy: Proxy) -> Iterator[str]:
    """Serves *proxy* in a thread, and yields its URL."""
    loop, started, ended, place = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), list[str]()

    async def serve() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        place.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api")
        started.set()
        async with server:
            await ended.wait()
            server.close()
            await proxy.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait(10)
    try:
        yield place[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


@contextmanager
def passing(url: str, folder: Path, **target: Any) -> Iterator[Passing]:
    """A proxy in front of the server at *url*; everything is judged at the end."""
    folder.mkdir(exist_ok=True, parents=True)
    recording = Recording("traffic", (), recorded_at="2026-01-31T00:00:00.000000Z", case=TRAFFIC)
    har, log = HarWriter(folder / "traffic.har", recording), RunLogWriter(folder / "runlog.jsonl")
    broken: dict[str, str] = {}

    def note(event: dict[str, Any]) -> None:
        if event["type"] == FINDING:
            broken[event["claim"]] = event["text"]

    settings = TargetSettings("url", url, **SETTINGS, **target)
    traffic = Traffic(settings, {}, log, har, note)
    try:
        with proxied(Proxy(url, traffic.add, settings.bounds.max_body_bytes)) as own_url:
            yield Passing(own_url, traffic, broken, folder / "traffic.har")
    finally:
        traffic.finish()
        har.close()
        log.close()


class Client(httpx.Client):
    """A client that checks nothing."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, timeout=20)

    def one(self, method: str, path: str, key: str | None = "primary", **more: Any) -> httpx.Response:
        """Sends one request, with the key of an account, another key, or none."""
        headers = {"Authorization": f"Bearer {KEYS.get(key, key)}"} if key else {}
        return self.request(method, path, headers=headers | more.pop("headers", {}), **more)

    def all(self, version: str, *requests: str, key: str | None = "primary") -> None:
        """Sends requests such as ``GET /build`` about one version."""
        for request in requests:
            method, _, part = request.partition(" ")
            self.one(method, version + part, key)

    def publish(self, name: str, *steps: str, key: str = "primary", query: str = "") -> str:
        """Publishes a version and returns its path."""
        template = {"name": name, "version": "1.0.0"}
        document = {"api_version": "orgo.ai/v1", "template": template, "build": {"run": list(steps)}}
        self.one("POST", f"/templates{query}", key, json=document)
        return f"/templates/default/{name}/1.0.0"

    def wait(self, version: str) -> None:
        """Reads the status until the build has ended."""
        for _ in range(400):
            answer = self.one("GET", f"{version}/build")
            body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
            if not isinstance(body, dict) or body.get("status") != "building":
                break


EACH = ("POST /build", "GET /build", "DELETE /build", "GET /build/events", "GET ")


def suite(url: str) -> None:
    """An end-to-end suite: publishes, builds, follows, reuses, cancels, fails, and is refused in the usual ways."""
    with Client(url) as client:
        good = client.publish("good", "echo good-1", "echo good-2")
        client.all(good, "GET ", "GET /build", "DELETE /build", "POST /build", "POST /build", "GET /build/events")
        client.wait(good)
        client.all(good, "GET /build/events", "POST /build", "DELETE /build", "GET ", "HEAD /build")
        for key in (None, "sk_live_test_nobody_has_this", "second", "restricted"):
            client.all(good, *EACH, key=key)
        slow = client.publish("slow", "echo slow-1", "sleep 30")
        client.all(slow, "POST /build", "GET /build", "DELETE /build", "DELETE /build")
        client.wait(slow)
        client.all(slow, "GET /build/events")
        bad = client.publish("bad", "echo bad-1", "exit 1")
        client.all(bad, "POST /build", "GET /build/events")
        client.wait(bad)
        auto = client.publish("auto", "echo auto-1", query="?auto_build=true")
        client.all(auto, "GET /build/events")
        client.wait(auto)
        client.publish("good", "echo other")
        client.publish("good", "echo other", query="?force=true")
        client.all(good, "GET /build")
        client.publish("mine", "echo x", key="restricted")
        client.one("POST", "/templates", content=b"{", headers={"Content-Type": "application/json"})
        client.one("POST", "/templates", json={"api_version": "orgo.ai/v1"})
        client.all(good, "PUT /build")
        client.all("/templates/default/nowhere/9.9.9", *EACH)
        client.all("/templates/system/claude-code/1.0.0", "POST /build", "GET /build")
        client.all(good, "DELETE ", "GET /build")
