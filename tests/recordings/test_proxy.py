"""`touchstone proxy` changes nothing that passes, records it without secrets, and blames only what it shows."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser import Browser
from tests.command import KEYS as ENVIRONMENT
from tests.recordings.conftest import Run
from tests.recordings.passing import KEYS, Client, passing, proxied, suite
from tests.recordings.test_served_recordings import CLIENTS
from touchstone.proof import catalogue
from touchstone.proof.faults import FAULTS
from touchstone.proof.variants import VARIANTS
from touchstone.recordings.proxy import Passage, Proxy
from touchstone.recordings.reader import read
from touchstone.recordings.replay import alone
from touchstone.twin import TwinSettings
from touchstone.twin.serve import Behaviour

BASE = TwinSettings(build_s=0.05, settle_s=0.1)
FAITHFUL = Behaviour("", "")
REQUEST = b"GET /api/x?q=%%2F HTTP/1.1\r\nhOST: %s\r\nX-Odd:  kept \r\nX-Odd: twice\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 Fine\r\nX-Case: Kept\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


# --- what passes -----------------------------------------------------------------------------------------------------


@contextmanager
def raw_target(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that runs *serve* for each connection, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def through(url: str, most_bytes: int = 1_000_000) -> Iterator[tuple[socket.socket, list[Passage]]]:
    """A connection to a proxy in front of *url*, and what has passed."""
    passages: list[Passage] = []
    with proxied(Proxy(url, passages.append, most_bytes)) as own_url:
        address = "127.0.0.1", int(httpx.URL(own_url).port or 0)
        with socket.create_connection(address, timeout=20) as client:
            yield client, passages


def received(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end) and (byte := connection.recv(1)):
        data += byte
    return data


def test_only_the_host_is_changed() -> None:
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        for _ in range(2):
            heads.append(received(connection, b"\r\n\r\n"))
            connection.sendall(CHUNKED)

    with raw_target(serve) as url, through(url) as (client, passages):
        for _ in range(2):  # on one connection
            client.sendall(REQUEST % b"proxy.test")
            assert received(client, b"0\r\n\r\n") == CHUNKED
    host = httpx.URL(url).netloc
    assert heads == [(REQUEST % host).replace(b"hOST", b"Host")] * 2
    assert [(p.answer.status, [data for _, data in p.answer.chunks]) for p in passages] == [(200, [b"abc"])] * 2


def test_pieces_of_a_stream_pass_before_the_next_one_is_sent() -> None:
    seen = threading.Event()
    pieces = [b"data: one\n\n", b"data: two\n\n"]

    def serve(connection: socket.socket) -> None:
        received(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for piece in pieces:
            connection.sendall(piece)
            assert seen.wait(20)
            seen.clear()

    with raw_target(serve) as url, through(url) as (client, passages):
        client.sendall(REQUEST % b"x")
        received(client, b"\r\n\r\n")
        for piece in pieces:
            assert received(client, piece).endswith(piece)
            seen.set()
        assert client.recv(10) == b""
    (passage,) = passages
    assert (passage.answer.error, b"".join(data for _, data in passage.answer.chunks)) == ("", b"".join(pieces))


def test_what_is_no_http_passes_too_and_is_an_error() -> None:
    def serve(connection: socket.socket) -> None:
        received(connection, b"\r\n\r\n")
        connection.sendall(b"nonsense\r\n\r\n")

    with raw_target(serve) as url, through(url) as (client, passages):
        client.sendall(REQUEST % b"x")
        assert received(client, b"nothing") == b"nonsense\r\n\r\n"
    assert passages[0].answer.error.startswith("RemoteProtocolError")


def test_dead_target_is_a_502_and_no_finding(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
    with passing(url, tmp_path) as proxy, Client(proxy.url) as client:
        answer = client.one("GET", "/templates/default/x/1.0.0/build")
    assert (answer.status_code, "cannot be reached" in answer.json()["detail"]) == (502, True)
    assert (proxy.broken, list(proxy.traffic.left_out)) == ({}, ["that did not reach the target (Connection refused)"])


def test_target_that_dies_in_a_response_ends_the_response_of_the_client() -> None:
    def serve(connection: socket.socket) -> None:
        received(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    with raw_target(serve) as url, through(url) as (client, passages):
        client.sendall(REQUEST % b"x")
        assert received(client, b"nothing").endswith(b"\r\n\r\nabc")
    assert (passages[0].answer.error != "", passages[0].answer.closed) == (True, "")


def test_client_that_leaves_ends_the_request_to_the_target() -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        received(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")
        connection.settimeout(20)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        ended.set()

    with raw_target(serve) as url, through(url) as (client, passages):
        client.sendall(REQUEST % b"x")
        received(client, b"one\n\n")
        client.close()
        assert ended.wait(20)
    assert passages[0].answer.closed == "client"


def test_long_body_passes_whole_and_is_not_kept() -> None:
    body = os.urandom(100_000)

    def serve(connection: socket.socket) -> None:
        _head, _, data = received(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
        while len(data) < len(body):
            data += connection.recv(65536)
        assert data == body
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body)

    with raw_target(serve) as url, through(url, most_bytes=1000) as (client, passages):
        client.sendall(b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        client.sendall(body)
        data = b""
        while not data.endswith(body):
            data += client.recv(65536)
    (passage,) = passages
    assert (passage.is_cut, len(passage.body) + sum(len(data) for _, data in passage.answer.chunks)) == (True, 0)


# --- what is concluded -----------------------------------------------------------------------------------------------


def judged(behaviour: Behaviour, folder: Path) -> dict[str, str]:
    """The claims that the suite shows to be broken, with the finding."""
    target = {name: value for name, value in behaviour.target.items() if name.endswith("_timeout_s")}
    some_hang = suppress(httpx.HTTPError)
    with behaviour.twin(BASE) as twin, passing(twin.url, folder, **target) as proxy, some_hang:
        suite(proxy.url)
    return proxy.broken


def test_correct_target_has_no_finding_and_a_recording_without_keys(tmp_path: Path) -> None:
    with FAITHFUL.twin(BASE) as twin, passing(twin.url, tmp_path) as proxy:
        suite(proxy.url)
    assert (proxy.broken, dict(proxy.traffic.left_out), len(proxy.traffic.claims) >= 70) == ({}, {}, True)
    text = proxy.har.read_text("utf-8") + (tmp_path / "runlog.jsonl").read_text("utf-8")
    assert [key for key in (*KEYS.values(), "nobody_has_this") if key in text] == []
    recording = read(proxy.har)
    assert (recording.origin, recording.is_changed, len(recording.exchanges)) == ("har", False, proxy.traffic.count)
    assert alone(recording)[1] == ()


@pytest.mark.parametrize("client", CLIENTS)
def test_no_client_is_the_reason_for_a_finding(client: Any, tmp_path: Path) -> None:
    with FAITHFUL.twin(BASE) as twin, passing(twin.url, tmp_path) as proxy:
        version = f"{proxy.url}/templates/default/mine/1.0.0"
        headers = {"Authorization": f"Bearer {KEYS['primary']}", "Content-Type": "application/json"}
        about = {"name": "mine", "version": "1.0.0"}
        document = json.dumps({"api_version": "orgo.ai/v1", "template": about, "build": {"run": ["echo x"]}})
        steps = [("POST", f"{proxy.url}/templates", document), ("POST", f"{version}/build", "")]
        steps += [("GET", f"{version}/build/events", ""), ("GET", f"{version}/build", ""), ("GET", version, "")]
        answers = client([{"method": m, "url": url, "headers": headers, "body": body} for m, url, body in steps])
    assert [status for status, _ in answers] == [201, 202, 200, 200, 200]
    assert (proxy.broken, proxy.traffic.count) == ({}, 5)


def test_page_in_a_browser_is_judged(chromium: Browser, tmp_path: Path) -> None:
    twin = FAULTS["missing-key-is-called-invalid"].twin(BASE)
    with twin, passing(twin.url, tmp_path) as proxy, chromium.tab() as tab:
        tab.open(f"{proxy.url}/templates/default/x/1.0.0")
        tab.value(f"fetch('{proxy.url}/templates/default/x/1.0.0/build').then(answer => answer.status)")
    assert set(proxy.broken) == {"auth.missing-key-text"}


# Faults that the suite shows, each with its claim.
SHOWN = (
    *("bad-request-is-a-list", "cancel-says-canceled", "delete-does-nothing", "digest-in-capitals"),
    *("json-is-called-text", "last-event-is-backdated", "log-is-plain-text", "new-build-claims-reuse"),
    *("not-found-shows-the-stack", "plan-is-not-enforced", "ready-has-no-build-time", "second-cancel-fails"),
    *("small-plan-is-402", "status-in-capitals", "timestamps-are-local", "getBuild.200.ready.Content-Length.more"),
    *("getBuild.200.failed.code.failing", "getBuild.200.failed.error.drop", "publishTemplate.409.error.drop"),
    *("auth.missing-key.skip.streamBuildEvents", "publishTemplate.201.plain.code.undocumented"),
    "startBuild.202.building.ref.other-version",
)


@pytest.mark.whole
@pytest.mark.parametrize("name", SHOWN)
def test_shown_fault_is_blamed_on_its_claim(name: str, tmp_path: Path) -> None:
    fault = catalogue.fault(name)
    assert set(fault.breaks) & judged(fault, tmp_path).keys()


@pytest.mark.whole
@pytest.mark.parametrize("name", VARIANTS)
def test_no_variant_is_blamed(name: str, tmp_path: Path) -> None:
    assert judged(VARIANTS[name], tmp_path) == {}


def test_other_clients_of_the_account_are_no_finding(tmp_path: Path) -> None:
    twin = FAITHFUL.twin(BASE)
    with twin, passing(twin.url, tmp_path) as proxy, Client(proxy.url) as seen, Client(twin.url) as unseen:
        version = unseen.publish("mine", "echo x")
        seen.all(version, "GET /build", "GET ")
        unseen.all(version, "POST /build")
        unseen.wait(version)
        seen.all(version, "GET /build", "POST /build", "GET /build/events")
        unseen.all(version, "DELETE ")
        seen.all(version, "GET /build", "POST /build")
        unseen.publish("mine", "exit 1")
        unseen.all(version, "POST /build")
        unseen.wait(version)
        seen.all(version, "GET /build", "GET ")
    assert proxy.broken == {}


# --- the command -----------------------------------------------------------------------------------------------------


BROKEN, LEFT_OUT = "broken auth.missing-key-text (should): ", "not judged: exchanges with a key that is in no --as"
WITHOUT_SETTINGS = ("--fail-on", "should", "--as", f"second={KEYS['second']}")


@pytest.mark.parametrize(
    ("options", "environment", "lines", "code"),
    [((), ENVIRONMENT, [BROKEN], 0), (WITHOUT_SETTINGS, {}, [BROKEN, LEFT_OUT], 1)],
)
def test_command_prints_findings_as_they_come_and_leaves_a_report(
    options: tuple[str, ...], environment: dict[str, str], lines: list[str], code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "touchstone", "proxy", "--port", "0", *options, "--url"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORGO_")}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with FAULTS["missing-key-is-called-invalid"].twin(BASE) as twin:
        process = subprocess.Popen([*command, twin.url], env=kept | environment, **pipes)
        try:
            assert process.stdout
            found = re.search(r"proxy at (\S+),", process.stdout.readline())
            assert found
            with Client(found[1]) as client:
                for key in (None, "second", "primary", "restricted"):
                    client.one("GET", "/templates/default/x/1.0.0", key=key)
            assert [line for line in lines if not process.stdout.readline().startswith(line)] == []
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=60)[0]
        finally:
            process.kill()
            process.communicate()
    (folder,) = (tmp_path / "reports").iterdir()
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert (process.returncode, report["counts"]["broken"]) == (code, 1)
    assert out.splitlines()[-1].startswith(f"exit {code}: ")
    recording = (folder / "traffic.har").read_text("utf-8")
    assert len(read(folder / "traffic.har").exchanges) == 4
    assert [key for key in KEYS.values() if key in recording] == []
    assert {"<key:primary>", "<key:second>"} <= set(re.findall("<key:[^>]+>", recording))


def test_command_needs_a_target(run: Run) -> None:
    ended = run("proxy", "--port", "0")
    assert (ended.code, "--target NAME or --url URL" in ended.err) == (2, True)
