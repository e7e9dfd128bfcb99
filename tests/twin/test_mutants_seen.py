"""Derived faults do what their names say: in a life that visits every kind of answer, each shows something else."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import httpx
import pytest

from tests.twin.conftest import PRIMARY, RESTRICTED, SECOND, document
from touchstone.proof.faults.fault import Fault
from touchstone.proof.mutants import generated, life
from touchstone.twin import TwinSettings

FAULTS = generated(1)
SETTINGS = TwinSettings(build_s=0.006, settle_s=0.004, capacity=3, seed=1)
NOW = datetime.now(UTC)
UNKNOWN = "/templates/default/none/1.0.0"

# What a life in which one request follows another, within a second, does not show: waits, clocks that go on, other
# builds at the same time, versions of one name; and what never ends.
UNSEEN = (
    *("*.delay", "*.never", "*.late", "*.build_time_ms.swap*", "*.build_time_ms.repeat"),
    *("succeeds.before-*", "cancel-settles.as-building-again", "cancel-settles.with-an-open-log"),
    *("start.twice", "join.skip", "restart-after-cancel.joins-the-dying", "cancel.of-next", "cancel.though-not-own"),
    *("*.for-others", "*.of-others", "*.of-neighbour", "fails.for-neighbour", "delete.of-all-versions"),
    "delete.drops-shared-golden",
)
# A new sample for each new list of names; all of them take a minute.
SAMPLE = sorted(
    random.Random(1).sample([name for name in FAULTS if not any(fnmatchcase(name, glob) for glob in UNSEEN)], 40)
)


def life_of(fault: Fault) -> list[str]:
    """What a server that has the fault answers from its first request to its last, without what differs by chance."""
    return asyncio.run(_life_of(fault))


async def _life_of(fault: Fault) -> list[str]:
    engine = fault.engine(SETTINGS)
    transport = httpx.ASGITransport(app=fault.wrap(fault.app(engine)), raise_app_exceptions=False)
    told: list[str] = []
    async with httpx.AsyncClient(transport=transport, base_url="http://twin/api") as client:

        async def ask(method: str, path: str, key: str | None = f"Bearer {PRIMARY}", **more: Any) -> httpx.Response:
            headers = {"Authorization": key} if key is not None else {}
            response = await client.request(method, path, headers=headers, **more)
            told.append(f"{method} {path} {steady(response)}")
            return response

        for chapter in (_publishing, _building, _failing, _cancelling, _limits, _accounts, _keys, _deleting):
            await chapter(ask)
    engine.close()
    return told


Ask = Callable[..., Awaitable[httpx.Response]]


def steady(response: httpx.Response) -> str:
    """An answer in one line."""
    names = ("content-type", "content-length", "retry-after", "www-authenticate")
    headers = {name: response.headers.get(name) for name in names}
    if response.headers.get("content-length") == str(len(response.content)):
        headers["content-length"] = "right"
    text = response.content.decode("utf-8", "replace")
    text = re.sub(rf"{NOW:%Y-%m}-[0-9T:.]+Z", "now", text)
    text = re.sub(r'("build_time_ms":)\d{1,3}\b(?!\.)', r"\1some", text)
    text = re.sub(r"ready in \d\.\d s", "ready", text)
    return f"{response.status_code} {headers} {text}"


async def _ended(ask: Ask, name: str) -> None:
    path = f"/templates/default/{name}/1.0.0/build"
    await ask("GET", f"{path}/events")


async def _publishing(ask: Ask) -> None:
    first = document("demo", "echo one")
    await ask("POST", "/templates", json=first)
    await ask("POST", "/templates", json=first)
    await ask("GET", "/templates/default/demo/1.0.0")
    for body in (json.dumps(document("demo", "echo two")), "", "{", '{"api_version": "orgo.ai/v1"}'):
        await ask("POST", "/templates", content=body)
    await ask("GET", "/templates/default/demo/1.0.0")
    for name in ("other", "third", "fourth", "fifth"):
        await ask("POST", "/templates", json=document(name))
        await ask("GET", f"/templates/default/{name}/1.0.0")
    await ask("POST", "/templates?force=true", json=document("fourth", "echo two"))
    await ask("GET", "/templates/default/fourth/1.0.0")
    await ask("GET", "/templates/default/fourth/1.0.0/build")


async def _building(ask: Ask) -> None:
    for name in ("demo", "other"):
        path = f"/templates/default/{name}/1.0.0/build"
        for method in ("GET", "GET", "POST", "GET", "POST", "GET"):
            await ask(method, path)
        await _ended(ask, name)
        for method in ("GET", "GET", "POST", "POST", "GET", "DELETE", "DELETE", "GET"):
            await ask(method, path)
    await ask("POST", "/templates?force=true", json=document("demo", "echo three"))
    for method in ("GET", "POST", "GET", "POST", "GET"):
        await ask(method, "/templates/default/demo/1.0.0/build")
    await _ended(ask, "demo")
    for _ in range(2):
        await ask("GET", "/templates/default/demo/1.0.0/build")
    for name in ("auto", "auto-too"):
        await ask("POST", "/templates?auto_build=true", json=document(name))
        await ask("GET", f"/templates/default/{name}/1.0.0/build")
        await _ended(ask, name)
        await ask("GET", f"/templates/default/{name}/1.0.0/build")


async def _failing(ask: Ask) -> None:
    for name in ("bad", "worse"):
        path = f"/templates/default/{name}/1.0.0/build"
        await ask("POST", "/templates", json=document(name, "echo begun", "exit 1"))
        for _ in range(2):
            for method in ("POST", "GET"):
                await ask(method, path)
            await _ended(ask, name)
            await ask("GET", path)


async def _cancelling(ask: Ask) -> None:
    for name in ("slow", "slower"):
        path = f"/templates/default/{name}/1.0.0/build"
        await ask("POST", "/templates", json=document(name, "sleep 0.02"))
        for method in ("POST", "DELETE", "GET", "DELETE"):
            await ask(method, path)
        await _ended(ask, name)
        for method in ("GET", "DELETE", "POST", "GET"):
            await ask(method, path)
        await _ended(ask, name)
        await ask("GET", path)


async def _limits(ask: Ask) -> None:
    for number in range(5):
        await ask("POST", "/templates", json=document(f"long-{number}", "sleep 0.02", f"echo {number}"))
        await ask("POST", f"/templates/default/long-{number}/1.0.0/build")
    await ask("GET", "/templates/default/long-4/1.0.0/build")
    await ask("DELETE", "/templates/default/long-0/1.0.0/build")
    for number in range(3):
        await _ended(ask, f"long-{number}")
        await ask("GET", f"/templates/default/long-{number}/1.0.0/build")


async def _accounts(ask: Ask) -> None:
    second, restricted = f"Bearer {SECOND}", f"Bearer {RESTRICTED}"
    await _everything(ask, "/templates/default/other/1.0.0", second)
    for name in ("mine", "mine-too"):
        await ask("POST", "/templates", second, json=document(name))
        for method in ("GET", "POST", "GET"):
            await ask(method, f"/templates/default/{name}/1.0.0/build", second)
        await ask("GET", f"/templates/default/{name}/1.0.0/build/events", second)
        for method in ("GET", "POST"):
            await ask(method, f"/templates/default/{name}/1.0.0/build", second)
        await ask("GET", f"/templates/default/{name}/1.0.0/build", f"Bearer {PRIMARY}")
    for name in ("late", "late-too"):
        await ask("POST", "/templates", json=document(name))
        for method in ("GET", "POST"):
            await ask(method, f"/templates/default/{name}/1.0.0/build")
        await _ended(ask, name)
        for path in ("/build", ""):
            await ask("GET", f"/templates/default/{name}/1.0.0{path}")
    await ask("POST", "/templates", restricted, json=document("small"))
    await ask("POST", "/templates/default/legacy-demo/1.0.0/build", restricted)


async def _keys(ask: Ask) -> None:
    odd = (None, "Bearer sk_live_unknown", f"Bearer {PRIMARY}x", f"Bearer {PRIMARY[:-1]}", f"Basic {PRIMARY}")
    for key in odd:
        await _everything(ask, UNKNOWN, key)
        await ask("POST", "/templates", key, json=document("odd"))
    await _everything(ask, UNKNOWN, None, f"?api_key={PRIMARY}")
    await ask("POST", f"/templates?api_key={PRIMARY}", None, json=document("odd"))
    for path in (UNKNOWN, "/templates/default/demo/9.9.9", "/templates/nowhere/demo/1.0.0"):
        await _everything(ask, path, f"Bearer {PRIMARY}")


async def _everything(ask: Ask, path: str, key: str | None, query: str = "") -> None:
    for method, rest in (("GET", ""), ("POST", "/build"), ("GET", "/build"), ("DELETE", "/build")):
        await ask(method, f"{path}{rest}{query}", key)
    await ask("GET", f"{path}/build/events{query}", key)
    await ask("DELETE", f"{path}{query}", key)


async def _deleting(ask: Ask) -> None:
    await ask("GET", "/templates/default/demo/1.0.0/build")
    await ask("GET", "/templates/default/other/1.0.0/build")
    for name in ("other", "third"):
        await ask("DELETE", f"/templates/default/{name}/1.0.0")
        await _everything(ask, f"/templates/default/{name}/1.0.0", f"Bearer {PRIMARY}")
    for name in ("demo", "fourth", "fifth"):
        await ask("GET", f"/templates/default/{name}/1.0.0")


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens a moment later happens at once."""
    monkeypatch.setattr(life, "LATE_S", 0.0)


@pytest.fixture(scope="module")
def plain() -> list[str]:
    """The life with a server that keeps every promise."""
    return life_of(Fault(name="none", says="Nothing.", kind="schema", breaks=()))


def test_life_repeats(plain: list[str]) -> None:
    """What differs is the doing of a fault."""
    assert life_of(Fault(name="none", says="Nothing.", kind="schema", breaks=())) == plain


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("name", SAMPLE)
def test_fault_shows(name: str, plain: list[str]) -> None:
    """Somewhere in the life an answer is another one."""
    assert life_of(FAULTS[name]) != plain
