"""What load runs make of servers that misbehave: the same as checks do, as far as they are told."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.command import PRIMARY
from tests.hostile.catalogue import MISBEHAVIOURS
from tests.hostile.server import Server
from touchstone.config import Settings, TargetSettings
from touchstone.errors import TargetError
from touchstone.loadgen.client import Connections
from touchstone.loadgen.setup import SettingUp
from touchstone.target.answer import Answer
from touchstone.twin import Twin

PATH = "/api/templates/default/demo/1.0.0/build"
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with Twin() as twin:
        yield twin.url


def answers(name: str, healthy: str, *methods: str) -> list[Answer]:
    """What the client of a load makes of requests that are sent one after the other."""
    with Server(MISBEHAVIOURS[name], healthy) as server:
        path = f"{urlsplit(server.url).path}{PATH.removeprefix('/api')}"
        client = Connections(server.url, LIMIT_S)
        try:
            wires = [f"{method} {path} HTTP/1.1\r\nHost: hostile\r\nContent-Length: 0\r\n" for method in methods]
            identity = "Accept-Encoding: identity\r\n\r\n"
            return [client.send(m, (wire + identity).encode()) for m, wire in zip(methods, wires, strict=True)]
        finally:
            client.close()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("endless-head", "RemoteProtocolError: the head is longer than max_head_bytes = 65536"),
        ("endless-fields", "RemoteProtocolError: the head is longer than max_head_bytes = 65536"),
        ("header-of-1mb-reads", "RemoteProtocolError: the head is longer than max_head_bytes = 65536"),
        ("interim-flood-reads", "RemoteProtocolError: the head is longer than max_head_bytes = 65536"),
        ("5000-headers-reads", "RemoteProtocolError: the head has 5002 lines, and max_headers = 256"),
        ("body-of-1gb", "the body is longer than max_body_bytes = 4194304"),
        ("gzip-bomb", "the body is longer than max_body_bytes = 4194304 once it is unpacked"),
        ("nested-100000", "JSON is nested deeper than max_json_depth = 100"),
        ("many-values", "JSON has more values than max_json_values = 50000"),
        ("long-reason", "RemoteProtocolError: the status line is longer than 8000 bytes"),
        ("brotli-unasked", "DecodingError: the body has the content coding 'br', expected one of gzip, deflate"),
        ("conflicting-lengths", "RemoteProtocolError: Duplicate Content-Length"),
    ],
)
def test_load_client_are_bounded(name: str, error: str, healthy: str) -> None:
    """The bound that an answer hits is named, as by a check."""
    assert answers(name, healthy, "GET")[0].error == error


@pytest.mark.parametrize(
    "name",
    [
        "bare-lf",
        "obs-fold",
        "controls-in-header",
        "gzip-unasked",
        "http-1.0",
    ],
)
def test_load_client_read_over_oddities(name: str, healthy: str) -> None:
    """What a check puts up with a load puts up with."""
    (answer,) = answers(name, healthy, "GET")
    assert (answer.status, answer.error) == (401, "")
    assert answer.body.startswith(b'{"')


def test_load_client_do_not_send_on_connections_that_are_closed_early(healthy: str) -> None:
    """Where a kept-up connection was found closed, what acts gets a new one from then on."""
    found = answers("closed-at-second", healthy, *["GET"] * 4, *["POST"] * 4)
    assert [answer.error for answer in found] == [""] * 8


@pytest.mark.parametrize(("name", "kept"), [("status-999", 0), ("keep-alive-closed", 2)])
def test_server_that_is_not_the_api_is_not_judged(name: str, kept: int, healthy: str, tmp_path: Path) -> None:
    """What the first requests of a load show is judged only once it is sure that the API answered them."""
    run_log = tmp_path / "runlog.jsonl"
    with Server(MISBEHAVIOURS[name], healthy) as server:
        target = TargetSettings("url", server.url, api_key=PRIMARY)
        stage = SettingUp(Settings(target=target, state_dir=tmp_path / "state"), "260101-000000-aaaaaa", run_log)
        with contextlib.suppress(TargetError):
            stage.smoke(lambda: False)
        stage.close()
    events = [json.loads(line) for line in run_log.read_text("utf-8").splitlines()]
    assert sum(event["type"] == "exchange" for event in events) == kept
