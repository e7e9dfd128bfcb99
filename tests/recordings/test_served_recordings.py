"""A recording answers real clients over HTTP, with the state of each version, and at the pace of its streams."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from tests.recorded import every, recorded
from touchstone.errors import RecordingError
from touchstone.recordings import servers
from touchstone.recordings.conversation import _KEYS, Conversation
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.servers import ServedRecording

FETCH = Path(__file__).with_name("clients") / "fetch.mjs"
Sent = dict[str, Any]
Answers = list[tuple[int, str]]


def with_httpx(requests: list[Sent]) -> Answers:
    with httpx.Client() as client:
        answers = [client.request(r["method"], r["url"], headers=r["headers"], content=r["body"]) for r in requests]
    return [(answer.status_code, answer.text) for answer in answers]


def with_httpx2(requests: list[Sent]) -> Answers:
    with httpx2.Client() as client:
        answers = [client.request(r["method"], r["url"], headers=r["headers"], content=r["body"]) for r in requests]
    return [(answer.status_code, answer.text) for answer in answers]


def with_aiohttp(requests: list[Sent]) -> Answers:
    async def send() -> Answers:
        answers = []
        async with aiohttp.ClientSession() as session:
            for r in requests:
                async with session.request(r["method"], r["url"], headers=r["headers"], data=r["body"]) as answer:
                    answers.append((answer.status, await answer.text()))
        return answers

    return asyncio.run(send())


def with_curl(requests: list[Sent]) -> Answers:
    answers = []
    for r in requests:
        headers = [word for name, value in r["headers"].items() for word in ("-H", f"{name}: {value}")]
        method = ["--head"] if r["method"] == "HEAD" else ["-X", r["method"]]
        command = ["curl", "-sS", "--path-as-is", *method, *headers, "-w", "\n%{http_code}", "-o", "-", r["url"]]
        command += ["--data-binary", r["body"]] if r["body"] else []
        body, _, status = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
        answers.append((int(status), "" if r["method"] == "HEAD" else body))
    return answers


def with_fetch(requests: list[Sent]) -> Answers:
    ended = subprocess.run(["node", FETCH], input=json.dumps(requests), capture_output=True, text=True, check=True)
    return [(status, body) for status, body in json.loads(ended.stdout)]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


CLIENTS = [
    pytest.param(with_httpx, id="httpx"),
    pytest.param(with_httpx2, id="httpx2"),
    pytest.param(with_aiohttp, id="aiohttp"),
    pytest.param(with_curl, id="curl", marks=needs("curl")),
    pytest.param(with_fetch, id="fetch", marks=needs("node")),
]


def sent(recording: Recording, served: Conversation) -> list[Sent]:
    """The recorded requests as a client sends them to *served*."""
    requests = []
    for exchange in recording.exchanges:
        own = {name: value for name, value in exchange.request.headers if name == "content-type"}
        url = exchange.request.url.replace(BASE_URL, served.url).replace("<key:primary>", served.key)
        body = exchange.request.body.decode()
        headers = own | _KEYS.headers(exchange.credential)
        requests.append({"method": exchange.request.method, "url": url, "headers": headers, "body": body})
    return requests


@pytest.mark.enable_socket
@pytest.mark.parametrize("client", CLIENTS)
def test_every_recording_answers_each_client_as_recorded(client: Any) -> None:
    for name in every():
        recording = recorded(name)
        served = ServedRecording(recording, serve=True)
        with served.running():
            answers = client(sent(recording, served))
        bodies = [b"" if e.request.method == "HEAD" else e.response.body for e in recording.exchanges if e.response]
        expected = zip([e.status for e in recording.exchanges], [body.decode() for body in bodies], strict=True)
        assert answers == list(expected), name
        assert (served.errors, served.unused) == ([], ()), name


class Client:
    """A client of one version that answers with the status in each body, or else with the status code."""

    def __init__(self, served: Conversation, role: str = "primary") -> None:
        self.served, self.path = served, f"/templates/{served.namespace}/{served.name}/{served.version}/build"
        self.authorization = f"Bearer {served.keys[role]}"

    def __call__(self, *steps: str) -> list[Any]:
        answers = []
        for step in steps:
            method = {"start": "POST", "cancel": "DELETE"}.get(step, "GET")
            path = self.path + ("/events" if step == "log" else "")
            exchange = self.served.find(method, path, self.authorization, b"")
            if step == "log":
                list(self.served.paced_chunks(exchange))
            answers.append(exchange.body.get("status", exchange.status))
        return answers


STORIES = {
    "fresh-build": ["poll not_built", "poll not_built", "start building", "poll building", "poll ready", "poll ready"],
    "cancel-in-flight": [
        *("start building", "poll building", "poll building", "poll building", "cancel cancelling", "poll building"),
        *("poll not_built", "poll not_built", "cancel idle", "start building", "log 200", "poll ready"),
    ],
    "cancel-when-idle": ["poll not_built", "poll not_built", "cancel idle", "cancel idle", "poll not_built"],
    "reuse": ["start building", "start ready", "poll ready", "start ready"],
    "rate-limit": ["start 429", "start building", "poll building"],
    "capacity": ["start 429", "poll not_built", "start building", "poll building", "cancel cancelling", "log 200"],
    "failed-build": ["start building", "poll building", "log 200", "poll failed"],
    "unknown-version": ["poll 404", "start 404", "cancel 404", "log 404"],
    "joined-build": ["start building", "poll building", "poll ready"],
}


@pytest.mark.parametrize("name", STORIES)
def test_client_reads_what_its_own_requests_led_to(name: str) -> None:
    steps, expected = zip(*(step.split() for step in STORIES[name]), strict=True)
    served = ServedRecording(recorded(name))
    for _ in range(2):
        answers = Client(served)(*steps)
        assert [str(answer) for answer in answers] == list(expected)
        served.rewind()
    assert not served.errors


def test_poll_shows_the_end_of_a_build_only_after_its_log_that_is_being_read() -> None:
    served = ServedRecording(recorded("events-ready"), speed=1.0)
    client = Client(served)
    assert client("start", "poll") == ["building", "building"]
    log = served.paced_chunks(served.find("GET", client.path + "/events", client.authorization, b""))
    next(log)
    assert client("poll", "poll") == ["building", "building"]
    assert sum(pause_s for _, pause_s in log) > 0
    assert client("poll") == ["ready"]


def test_account_decides_which_response_is_served() -> None:
    served = ServedRecording(recorded("other-account"))
    assert Client(served)("start", "poll") == ["building", "building"]
    assert Client(served, "second")("start", "poll", "cancel") == [404, 404, 404]
    assert ServedRecording(recorded("below-plan")).key == served.keys["restricted"]
    served = ServedRecording(recorded("invalid-key"))
    assert Client(served)("start", "poll") == ["building", "building"]
    path = Client(served).path
    assert [served.find("GET", path, key, b"").status for key in ("Bearer sk_live_test_x", "Basic x")] == [401, 401]
    assert (
        ServedRecording(recorded("missing-key"))
        .find("POST", Client(served).path.replace("invalid", "missing"), None, b"")
        .status
        == 401
    )


def test_publish_of_another_document_gets_the_response_for_its_version() -> None:
    served = ServedRecording(recorded("fresh-build"))
    document = {"template": {"name": served.name, "version": served.version}, "build": {"run": ["echo mine"]}}
    assert served.find("POST", "/templates", None, json.dumps(document).encode()).status == 201
    with pytest.raises(RecordingError, match="nearest"):
        served.find("POST", "/templates", None, json.dumps(document | {"template": {"name": "other"}}).encode())


def test_response_of_another_state_is_an_error_that_names_the_state() -> None:
    served = ServedRecording(recorded("cancel-in-flight"))
    client = Client(served)
    client("start", "cancel", "start")
    with pytest.raises(RecordingError, match=r"another state.*after entry 17, POST .* 202"):
        client("cancel")
    assert len(served.errors) == 1
    with pytest.raises(RecordingError):
        served.find("GET", "/nowhere?api_key=a_key_of_somebody", None, b'{"api_key": "the_key_of_somebody"}')
    assert "of_somebody" not in served.errors[-1]


@pytest.mark.enable_socket
def test_request_that_is_not_recorded_gets_a_problem_document() -> None:
    served = ServedRecording(recorded("reuse"), serve=True)
    with served.running():
        answer = httpx.put(f"{served.url}/templates/{served.namespace}/{served.name}/{served.version}/build")
        outside = httpx.get(served.url.removesuffix("/api") + "/health")
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/problem+json")
    assert "the nearest is entry 1; method: sent 'PUT', recorded 'POST'" in answer.json()["detail"]
    assert (outside.status_code, len(served.errors)) == (501, 2)


@contextmanager
def command(*words: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Runs ``touchstone replay --serve``; yields its URL and the process."""
    line = [sys.executable, "-m", "touchstone", "replay", "--serve", *words]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout
        yield process.stdout.readline().split()[-1], process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.mark.enable_socket
def test_command_serves_several_recordings_and_begins_again_when_asked() -> None:
    paths = [f"templates/default/touchstone-recorded-{name}/1.0.0/build" for name in ("reuse", "failed-build")]
    with command("0", "reuse", str(servers.recordings_dir() / "failed-build.har")) as (url, process):
        for _ in range(2):
            starts = [httpx.post(f"{url}/{path}").json()["status"] for path in paths]
            assert starts == ["building", "building"]
            assert httpx.post(f"{url}/{paths[0]}").json()["status"] == "ready"
            assert httpx.get(f"{url}/{paths[1]}/events").text.count("data:") > 2
            assert httpx.put(f"{url}/{paths[0]}").status_code == 501
            errors = httpx.post(url.removesuffix("/api") + "/__touchstone/rewind").json()
            assert [error.partition(": PUT ")[1] != "" for error in errors] == [True]
    assert process.returncode == 0
