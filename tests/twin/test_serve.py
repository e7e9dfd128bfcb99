"""Starting and stopping: ports, threads, streams and signals."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.twin.conftest import PRIMARY, Api
from touchstone.errors import UsageError
from touchstone.twin import Account, Twin, TwinSettings

SERVE = """
import sys
from touchstone.twin import Twin, TwinSettings, serve_forever
serve_forever(Twin(TwinSettings(port=int(sys.argv[1]))), lambda line: print(line, flush=True))
print("ended", flush=True)
"""


def test_url_is_on_loopback_with_the_base_path(serve: Callable[..., Twin]) -> None:
    """The URL is what paths are added to; a twin that does not run has none."""
    twin = serve()
    assert twin.url.startswith("http://127.0.0.1:")
    assert twin.url.endswith("/api")
    twin.stop()
    assert twin.url == ""


@pytest.mark.parametrize("base_path", ["", "/", "/v2/deep"])
def test_base_path_is_a_setting(connect: Callable[..., Api], base_path: str) -> None:
    """The base path may be empty or deep; a slash alone is refused."""
    if base_path == "/":
        with pytest.raises(UsageError, match="base_path: found '/'"):
            TwinSettings(base_path=base_path)
        return
    api = connect(base_path=base_path)
    assert api.url.endswith(base_path)
    assert api.built()["status"] == "ready"


def test_twins_in_one_process_share_nothing(connect: Callable[..., Api]) -> None:
    """What is published to one is unknown to the other."""
    first, second = connect(), connect()
    first.built()
    assert second.status().status_code == 404
    assert first.url != second.url


def test_accounts_are_a_setting(connect: Callable[..., Api]) -> None:
    """Only the given keys are known."""
    api = connect(key="sk_live_mine", accounts=(Account("sk_live_mine"),))
    assert api.publish().status_code == 201
    assert connect(to=api.url).status().status_code == 401


def test_stop_closes_streams_and_frees_the_port(connect: Callable[..., Api], serve: Callable[..., Twin]) -> None:
    """An open stream ends, and the same port can be listened on at once, by an empty twin."""
    twin = serve(build_s=600.0)
    api = connect(to=twin.url)
    api.publish()
    api.start()
    with api.http.stream("GET", "/templates/default/demo/1.0.0/build/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        twin.stop()
        assert '"phase":"cancel"' in [line for line in lines if line][-1]
    port = int(httpx.URL(api.url).port or 0)
    again = serve(port=port)
    assert again.url == api.url
    assert connect(to=again.url).status().status_code == 404


def test_stop_does_not_wait_for_slow_answers(serve: Callable[..., Twin]) -> None:
    """A request that is still being answered is cut off."""
    asked, failed = threading.Event(), threading.Event()

    def wrap(inner: Any) -> Any:
        async def outer(scope: Any, receive: Any, send: Any) -> None:
            asked.set()
            await inner(scope, receive, send)

        return outer

    twin = serve(latency_s=600.0, wrap=wrap)

    def ask() -> None:
        try:
            httpx.get(twin.url, timeout=60)
        except httpx.TransportError:
            failed.set()

    asking = threading.Thread(target=ask)
    with socket.create_connection(("127.0.0.1", int(httpx.URL(twin.url).port or 0))):
        asking.start()
        assert asked.wait(20)
        twin.stop()
    asking.join(20)
    assert failed.is_set()


def test_start_and_stop_can_be_repeated(serve: Callable[..., Twin]) -> None:
    """A second start or stop changes nothing, and a stopped twin starts anew."""
    twin = serve()
    url = twin.url
    assert twin.start().url == url
    twin.stop()
    twin.stop()
    with twin:
        assert httpx.get(twin.url).status_code == 404


def test_no_thread_is_left_behind() -> None:
    """Stopping joins the thread."""
    with Twin():
        assert "twin" in [thread.name for thread in threading.enumerate()]
    assert "twin" not in [thread.name for thread in threading.enumerate()]


def test_port_in_use_is_a_usage_error(serve: Callable[..., Twin]) -> None:
    """The message names the port and what to do."""
    port = int(httpx.URL(serve().url).port or 0)
    with pytest.raises(UsageError, match=rf"port: found {port}, which is in use on 127\.0\.0\.1.*0 for any free one"):
        Twin(TwinSettings(port=port)).start()


@pytest.mark.parametrize("host", ["192.0.2.1", "no host"])
def test_host_of_another_machine_is_a_usage_error(host: str) -> None:
    """The message names the host."""
    with pytest.raises(UsageError, match=f"cannot listen on '{host}'"):
        Twin(TwinSettings(host=host)).start()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"port": 65536}, "port: found 65536; expected 0 to 65535"),
        ({"port": -1}, "port: found -1"),
        ({"build_s": -1.0}, "build_s: found -1.0; expected seconds, 0 or more"),
        ({"build_s": float("nan")}, "build_s: found nan"),
        ({"latency_s": float("inf")}, "latency_s: found inf"),
        ({"settle_s": -0.1}, "settle_s: found -0.1"),
        ({"build_timeout_s": 0.0}, "build_timeout_s: found 0.0; expected seconds, more than 0"),
        ({"capacity": 0}, "capacity: found 0; expected 1 build or more"),
        ({"base_path": "api"}, "base_path: found 'api'"),
        ({"base_path": "/api/"}, "base_path: found '/api/'"),
        ({"accounts": ()}, "accounts: found '0 accounts'"),
        ({"accounts": (Account("same"), Account("same"))}, "each with a key of its own"),
    ],
)
def test_setting_that_cannot_work_is_a_usage_error(settings: dict[str, Any], says: str) -> None:
    """The message names the setting, what was found and what was expected, and never a key."""
    with pytest.raises(UsageError) as caught:
        TwinSettings(**settings)
    assert says in str(caught.value)
    assert "same" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_serving_cleanly(number: signal.Signals) -> None:
    """
    The foreground server announces its URL and its accounts, answers, and returns on a signal, even with a stream open.
    """
    command = [sys.executable, "-c", SERVE, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        announced = [first, *(process.stdout.readline() for _ in range(3))]
        api = Api(first.split()[-1])
        api.publish("demo", "sleep 600")
        api.start()
        with api.http.stream("GET", "/templates/default/demo/1.0.0/build/events") as stream:
            chunks = stream.iter_bytes()
            next(chunks)
            os.kill(process.pid, number)
            assert b'"phase":"cancel"' in b"".join(chunks)
        api.http.close()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")
    assert first.startswith("twin listening on http://127.0.0.1:")
    assert [line.split(":")[0] for line in announced[1:]] == ["account primary", "account second", "account restricted"]
    assert PRIMARY in announced[1]


def test_foreground_server_refuses_a_port_in_use(serve: Callable[..., Twin]) -> None:
    """The error comes before anything is announced."""
    port = str(httpx.URL(serve().url).port)
    done = subprocess.run([sys.executable, "-c", SERVE, port], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == ""
    assert "UsageError: twin: port: found" in done.stderr
