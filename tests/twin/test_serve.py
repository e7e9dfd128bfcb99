"""A twin on a port: streams, threads, signals, invalid settings, and behaviour of its sockets."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.twin.virtual import PRIMARY, document
from touchstone.errors import UsageError
from touchstone.twin import Account, App, Twin, TwinSettings

BUILD = "/templates/default/demo/1.0.0/build"
SERVE = """
import sys
from touchstone.twin import Twin, TwinSettings, serve_forever
serve_forever(Twin(TwinSettings(port=int(sys.argv[1]))), lambda line: print(line, flush=True))
print("ended", flush=True)
"""

Start = Callable[..., Twin]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts twins, and stops them after the test."""
    twins: list[Twin] = []

    def started(**settings: Any) -> Twin:
        parts = {name: settings.pop(name) for name in ("engine", "app", "wrap") if name in settings}
        twins.append(Twin(TwinSettings(**{"build_s": 0.01, "settle_s": 0.0, **settings}), **parts).start())
        return twins[-1]

    yield started
    for twin in twins:
        twin.stop()


def client(url: str, key: str = PRIMARY) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=20, verify=False, trust_env=False)


def publish_endless(api: httpx.Client) -> None:
    api.post("/templates", json=document("demo", "sleep 600"))
    api.post(BUILD)


def port_of(twin: Twin) -> int:
    return int(httpx.URL(twin.url).port or 0)


def test_url_is_on_loopback_and_twins_share_nothing(start: Start) -> None:
    twin, other = start(), start()
    assert twin.url.startswith("http://127.0.0.1:")
    assert twin.url.endswith("/api")
    with client(twin.url) as api, client(other.url) as elsewhere:
        api.post("/templates", json=document())
        assert (api.get(BUILD).status_code, elsewhere.get(BUILD).status_code) == (200, 404)
    twin.stop()
    assert twin.url == ""


def test_stop_closes_streams_and_frees_the_port(start: Start) -> None:
    twin = start()
    url, port = twin.url, port_of(twin)
    with client(url) as api:
        publish_endless(api)
        with api.stream("GET", f"{BUILD}/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            twin.stop()
            assert '"phase":"cancel"' in [line for line in lines if line][-1]
    again = start(port=port)
    assert again.url == url
    with client(url) as api:
        assert api.get(BUILD).status_code == 404


def test_stop_does_not_wait_for_slow_answers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("touchstone.twin.serve.GRACE_S", 0.05)
    received = threading.Event()

    class Slow(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            received.set()
            await super().__call__(scope, receive, send)

    twin = start(latency_s=600.0, app=Slow)
    idle = socket.create_connection(("127.0.0.1", port_of(twin)))
    with idle, client(twin.url) as api, ThreadPoolExecutor() as pool:
        response = pool.submit(api.get, BUILD)
        assert received.wait(20)
        twin.stop()
        assert isinstance(response.exception(20), httpx.TransportError)


def test_start_and_stop_can_be_repeated_and_leave_no_thread(start: Start) -> None:
    twin = start()
    url = twin.url
    assert twin.start().url == url
    for _ in range(2):
        twin.stop()
        assert "twin" not in [thread.name for thread in threading.enumerate()]
    with twin, client(twin.url) as api:
        assert api.get(BUILD).status_code == 404


def test_follower_that_goes_away_does_no_harm(start: Start) -> None:
    with client(start(build_s=0.1).url) as api:
        api.post("/templates?auto_build=true", json=document())
        with api.stream("GET", f"{BUILD}/events") as stream:
            next(stream.iter_bytes())
        assert '"phase":"ready"' in api.get(f"{BUILD}/events").text


def test_head_has_the_headers_of_get_and_no_body(start: Start) -> None:
    with client(start().url) as api:
        api.post("/templates?auto_build=true", json=document())
        api.get(f"{BUILD}/events")
        for path in (BUILD, f"{BUILD}/events", "/templates/default/demo/1.0.0", "/templates/default/none/1.0.0/build"):
            get, head = api.get(path), api.head(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            # HEAD may omit headers that depend on the body: RFC 9110, section 9.3.2.
            kept, sent = (dict(one.headers, **{"date": "", "transfer-encoding": ""}) for one in (head, get))
            assert kept == sent


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"port": 65536}, "port"),
        ({"port": -1}, "port"),
        ({"build_s": -1.0}, "build_s"),
        ({"build_s": float("nan")}, "build_s"),
        ({"latency_s": float("inf")}, "latency_s"),
        ({"settle_s": -0.1}, "settle_s"),
        ({"build_timeout_s": 0.0}, "build_timeout_s"),
        ({"capacity": 0}, "capacity"),
        ({"base_path": "api"}, "base_path"),
        ({"base_path": "/api/"}, "base_path"),
        ({"base_path": "/"}, "base_path"),
        ({"accounts": ()}, "accounts"),
        ({"accounts": (Account("same"), Account("same"))}, "accounts"),
    ],
)
def test_invalid_setting_is_a_usage_error(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"twin: {name}: ") as error:
        TwinSettings(**settings)
    assert "same" not in str(error.value)


def test_unusable_host_or_port_is_a_usage_error(start: Start) -> None:
    settings: dict[str, Any]
    port = port_of(start())
    for settings, value in (
        ({"host": "192.0.2.1"}, "'192.0.2.1'"),
        ({"host": "no host"}, "'no host'"),
        ({"port": port}, str(port)),
    ):
        with pytest.raises(UsageError, match=value):
            Twin(TwinSettings(**settings)).start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_serving_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-c", SERVE, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        announced = [process.stdout.readline() for _ in range(3)]
        with client(url) as api:
            publish_endless(api)
            with api.stream("GET", f"{BUILD}/events") as stream:
                chunks = stream.iter_bytes()
                next(chunks)
                os.kill(process.pid, number)
                assert b'"phase":"cancel"' in b"".join(chunks)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")
    assert [line.split(":")[0] for line in announced] == ["account primary", "account second", "account restricted"]
    assert PRIMARY in announced[0]


def test_two_signals_at_once_end_serving() -> None:
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", SERVE, "0"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGINT)
            os.kill(process.pid, signal.SIGTERM)
            try:
                process.communicate(timeout=20)
            finally:
                process.kill()
