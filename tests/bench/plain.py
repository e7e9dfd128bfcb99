"""One run of plain `schemathesis run` against one server, in a process of its own, and what it complained about.

The settings are either those it has by itself or those of best.toml, for which a few versions are published beforehand
so that its dictionaries name something that exists. The command is called in a process that was forked from one that
has imported it; nothing else about it is changed, and each run has a folder of its own, since what it keeps in one
would change the next run.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import hypothesis.configuration
from schemathesis.cli import schemathesis

from touchstone.check.job import EMBEDDED_TWIN
from touchstone.contract.files import openapi_dir
from touchstone.proof.catalogue import candidate
from touchstone.proof.result import Subject
from touchstone.twin.serve import Asgi, Behaviour

Preset = Literal["default", "best"]
PRESETS: tuple[Preset, ...] = ("default", "best")
HERE = Path(__file__).parent
KEY = "sk_live_test_primary"

# A server that hangs costs a request timeout each time; what was found by then counts.
LAST_S = 180.0

# What best.toml's dictionaries name: the steps of each version's build, and whether it is built beforehand.
PUBLISHED = {"bench-ready": ("echo bench", True), "bench-failed": ("exit 1", True), "bench-slow": ("sleep 0.9", False)}
SETTLED_S = 3.0


@dataclass(frozen=True, slots=True, order=True)
class Alarm:
    """One kind of complaint.

    Attributes:
        code: Schemathesis' own for the kind of failure; empty for an error.
        operation: Whose answer it is about.
        detail: What was wrong with the request, or what had deleted the resource: without it, one false alarm on the
            correct server would hide everything that the same check finds on the same operation.
    """

    check: str
    code: str
    operation: str
    detail: str = ""

    def __str__(self) -> str:
        about = " ".join(part for part in (self.code, self.check, "on", self.operation) if part)
        return f"{about} ({self.detail})" if self.detail else about


@dataclass(frozen=True, slots=True)
class Order:
    """What one run is to do.

    Attributes:
        subject: The server; None for the correct twin.
        folder: Of this run alone.
    """

    subject: Subject | None
    preset: Preset
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class PlainRun:
    """What came of one run.

    Attributes:
        requests: All that reached the server, without those that prepared it; of a run that was cut off, those that it
            had told of.
        ended: Whether it came to its end; one that did not is judged by what it had said until then.
    """

    alarms: frozenset[Alarm]
    requests: int
    seconds: float
    ended: bool


def plain_run(order: Order, context: Any) -> PlainRun:
    """Runs it in a new process, for LAST_S at the most."""
    shutil.rmtree(order.folder, ignore_errors=True)
    order.folder.mkdir(parents=True)
    began = time.monotonic()
    process = context.Process(target=main, args=(order,), daemon=True)
    process.start()
    process.join(LAST_S)
    if process.is_alive():
        process.kill()
        process.join()
    seconds = time.monotonic() - began
    alarms = alarms_in(order.folder / "events.ndjson")
    try:
        counted = json.loads((order.folder / "counted.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return PlainRun(alarms, requests_in(order.folder / "events.ndjson"), seconds, ended=False)
    return PlainRun(alarms, counted["requests"], counted["seconds"], ended=True)


def main(order: Order) -> None:
    """The body of the process."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.chdir(order.folder)
    hypothesis.configuration.set_hypothesis_home_dir(order.folder / ".hypothesis")
    behaviour = Behaviour("correct", "")
    if order.subject is not None:
        behaviour = candidate(order.subject.name, order.subject.sort, order.seed).behaviour
    counter = Counter()
    behaviour = dataclasses.replace(behaviour, wrap=_counted(counter, behaviour.wrap))
    with behaviour.twin(EMBEDDED_TWIN) as twin, output_to(order.folder / "output.txt"):
        if order.preset == "best":
            prepare(twin.url)
            shutil.copy(HERE / "best.toml", "schemathesis.toml")
            shutil.copy(HERE / "accounts.json", "accounts.json")
        counter.requests, began = 0, time.monotonic()
        with contextlib.suppress(SystemExit):
            schemathesis(arguments(order, twin.url), standalone_mode=False)
        counted = {"requests": counter.requests, "seconds": round(time.monotonic() - began, 3)}
    Path("counted.json").write_text(json.dumps(counted), encoding="utf-8")


def arguments(order: Order, url: str) -> list[str]:
    """The command line after ``schemathesis``."""
    given = ["run", str(openapi_dir() / "builds.yaml"), "--url", url, "--no-color", "--seed", str(order.seed)]
    given += ["--report-ndjson-path", str(order.folder / "events.ndjson")]
    if order.preset == "default":
        given += ["--header", f"Authorization: Bearer {KEY}"]
    return given


def prepare(url: str) -> None:
    """Publishes what best.toml names and waits until the builds are over; a server that refuses is left as it is."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(headers=headers, timeout=2.0) as client, contextlib.suppress(httpx.HTTPError):
        for name, (step, built) in PUBLISHED.items():
            about = {"name": name, "version": "1.0.0"}
            document = {"api_version": "orgo.ai/v1", "template": about, "build": {"run": [step]}}
            client.post(f"{url}/templates", json=document)
            if built:
                client.post(f"{url}/templates/default/{name}/1.0.0/build")
        for name in (name for name, (_, built) in PUBLISHED.items() if built):
            _follow(client, f"{url}/templates/default/{name}/1.0.0/build/events")


def _follow(client: httpx.Client, path: str) -> None:
    """Reads a stream of events until it ends, which is when the build is over, or until enough time has passed."""
    until = time.monotonic() + SETTLED_S
    with client.stream("GET", path) as events:
        for _ in events.iter_bytes():
            if time.monotonic() > until:
                break


class Counter:
    """How many requests came."""

    requests = 0


def alarms_in(events: Path) -> frozenset[Alarm]:
    """All kinds of complaints in a file of events, also in one that ends in the middle of a line."""
    alarms: set[Alarm] = set()
    for event in _events(events):
        for kind, value in event.items():
            if kind == "ScenarioFinished":
                alarms.update(_failures(value["recorder"]))
            elif kind in ("NonFatalError", "FatalError"):
                alarms.add(_error(value))
    return frozenset(alarms)


def requests_in(events: Path) -> int:
    """How many requests a file of events tells of."""
    finished = (event["ScenarioFinished"] for event in _events(events) if "ScenarioFinished" in event)
    return sum(len(scenario["recorder"].get("interactions", {})) for scenario in finished)


def _failures(recorder: dict[str, Any]) -> Iterator[Alarm]:
    for case_id, checks in recorder.get("checks", {}).items():
        case = recorder["cases"][case_id]["value"]
        for check in checks:
            if check["status"] == "failure":
                failure = check["failure_info"]["failure"]
                where = f"{case['method']} {case['path']}"
                yield Alarm(check["name"], str(failure.get("code") or ""), where, _detail(failure))


def _detail(failure: dict[str, Any]) -> str:
    if failure.get("code") == "ST301":
        return f"after {failure['operation']}"
    _, found, component = str(failure.get("message", "")).partition("Invalid component: ")
    return component.splitlines()[0] if found else ""


def _error(value: dict[str, Any]) -> Alarm:
    error = value.get("value") or value.get("exception") or {}
    kind = error.get("type") or error.get("name") or "error" if isinstance(error, dict) else str(error)[:60]
    return Alarm(str(kind), "", str(value.get("label") or "the run"))


def _events(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def _counted(counter: Counter, inner: Any) -> Any:
    def wrapped(app: Asgi) -> Asgi:
        behaving = inner(app)

        async def counting(scope: Any, receive: Any, send: Any) -> None:
            counter.requests += scope["type"] == "http"
            await behaving(scope, receive, send)

        return counting

    return wrapped


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Whatever is printed meanwhile goes to *path*."""
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def end_with_parent() -> None:
    """Waits for the parent to end, and ends this process, too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(3)
