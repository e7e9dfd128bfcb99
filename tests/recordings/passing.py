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
from touchstone.recordings.traffic import Traffic
from touchstone.twin import DEFAULT_ACCOUNTS

KEYS = {account.name: account.key for account in DEFAULT_ACCOUNTS}
HEADER = '{"type": "header", "schema_version": 1}'


@dataclass
class Passing:
    """A running proxy: its URL, what it judges with, and the claims that were found broken so far."""

    url: str
    traffic: Traffic
    broken: dict[str, str]
    har: Path


@contextmanager
def passing(url: str, folder: Path, **target: Any) -> Iterator[Passing]:
    """A proxy in front of the server at *url*; everything is judged at the end."""
    folder.mkdir(exist_ok=True, parents=True)
    har = HarWriter(
        folder / "traffic.har", Recording("traffic", (), recorded_at="2026-01-31T00:00:00.000000Z", case=TRAFFIC)
    )
    log = RunLogWriter(folder / "runlog.jsonl")
    broken: dict[str, str] = {}

    def note(event: dict[str, Any]) -> None:
        broken.setdefault(event["claim"], event["text"])

    keys = {"api_key": KEYS["primary"], "second_api_key": KEYS["second"], "restricted_api_key": KEYS["restricted"]}
    settings = TargetSettings("url", url, **keys, **target)
    traffic = Traffic(settings, {}, log, har, note)
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    place: list[str] = []

    async def serve() -> None:
        proxy = Proxy(url, traffic.add, settings.bounds.max_body_bytes)
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
        yield Passing(place[0], traffic, broken, folder / "traffic.har")
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
        traffic.finish()
        har.close()
        log.close()


def suite(url: str) -> None:
    """An end-to-end suite: publishes, builds, follows, reuses, cancels, fails, and is refused in the usual ways."""
    with httpx.Client(base_url=url, timeout=20) as client:

        def send(method: str, path: str, key: str | None = "primary", **more: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {KEYS.get(key, key)}"} if key else {}
            return client.request(method, path, headers=headers | more.pop("headers", {}), **more)

        def publish(name: str, *steps: str, key: str = "primary", query: str = "", **about: Any) -> str:
            template = {"name": name, "version": "1.0.0", **about}
            document = {"api_version": "orgo.ai/v1", "template": template, "build": {"run": list(steps)}}
            send("POST", f"/templates{query}", key, json=document)
            return f"/templates/default/{name}/1.0.0"

        def wait(path: str) -> str:
            for _ in range(400):
                answer = send("GET", f"{path}/build")
                body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
                if not isinstance(body, dict) or body.get("status") != "building":
                    break
            return path

        good = publish("good", "echo good-1", "echo good-2")
        for method, part in (
            ("GET", ""),
            ("GET", "/build"),
            ("DELETE", "/build"),
            ("POST", "/build"),
            ("POST", "/build"),
        ):
            send(method, good + part)
        send("GET", f"{good}/build/events")
        wait(good)
        for method, part in (
            ("GET", "/build/events"),
            ("POST", "/build"),
            ("DELETE", "/build"),
            ("GET", ""),
            ("HEAD", "/build"),
        ):
            send(method, good + part)
        for key in (None, "sk_live_test_nobody_has_this", "second", "restricted"):
            for method, part in (
                ("GET", "/build"),
                ("POST", "/build"),
                ("DELETE", "/build"),
                ("GET", "/build/events"),
                ("GET", ""),
            ):
                send(method, good + part, key)
        slow = publish("slow", "echo slow-1", "sleep 30")
        for method in ("POST", "GET", "DELETE", "DELETE"):
            send(method, f"{slow}/build")
        wait(slow)
        send("GET", f"{slow}/build/events")
        bad = publish("bad", "echo bad-1", "exit 1")
        send("POST", f"{bad}/build")
        send("GET", f"{bad}/build/events")
        wait(bad)
        auto = publish("auto", "echo auto-1", query="?auto_build=true")
        send("GET", f"{auto}/build/events")
        wait(auto)
        publish("good", "echo other")
        publish("good", "echo other", query="?force=true")
        send("GET", f"{good}/build")
        publish("mine", "echo x", key="restricted")
        send("POST", "/templates", content=b"{", headers={"Content-Type": "application/json"})
        send("POST", "/templates", json={"api_version": "orgo.ai/v1"})
        send("PUT", f"{good}/build")
        for method, part in (
            ("POST", "/build"),
            ("GET", "/build"),
            ("DELETE", "/build"),
            ("GET", "/build/events"),
            ("GET", ""),
        ):
            send(method, f"/templates/default/nowhere/9.9.9{part}")
        send("POST", "/templates/system/claude-code/1.0.0/build")
        send("GET", "/templates/system/claude-code/1.0.0/build")
        send("DELETE", good)
        send("GET", f"{good}/build")
