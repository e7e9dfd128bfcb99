"""The client of loads makes the same of servers that misbehave as the transport of checks."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.command import PRIMARY
from tests.hostile.catalogue import FLAWS
from tests.hostile.server import Server
from touchstone.config import Settings, TargetSettings
from touchstone.errors import TargetError
from touchstone.loadgen.client import Connections
from touchstone.loadgen.setup import SettingUp
from touchstone.target.answer import Answer
from touchstone.twin import Twin

LIMIT_S = 20.0
HEAD, BODY = "max_head_bytes = 65536", "max_body_bytes = 4194304"


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with Twin() as twin:
        yield twin.url


def answers(name: str, healthy: str, *methods: str) -> list[Answer]:
    """The answers to requests that are sent one after the other."""
    with Server(FLAWS[name], healthy) as server:
        path = f"{urlsplit(server.url).path}/templates/default/demo/1.0.0/build"
        client = Connections(server.url, LIMIT_S)
        more = "Host: hostile\r\nContent-Length: 0\r\nAccept-Encoding: identity\r\n\r\n"
        try:
            return [client.send(method, f"{method} {path} HTTP/1.1\r\n{more}".encode()) for method in methods]
        finally:
            client.close()


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        *((name, HEAD) for name in ("endless-head", "endless-fields", "header-of-1mb-reads", "interim-flood-reads")),
        ("5000-headers-reads", "max_headers = 256"),
        *((name, BODY) for name in ("body-of-1gb", "gzip-bomb")),
        ("nested-100000", "max_json_depth = 100"),
        ("many-values", "max_json_values = 50000"),
        ("long-reason", "8000 bytes"),
        ("brotli-unasked", "'br'"),
        ("conflicting-lengths", "RemoteProtocolError: Duplicate Content-Length"),
    ],
)
def test_answer_to_a_load_is_bounded(name: str, bound: str, healthy: str) -> None:
    (answer,) = answers(name, healthy, "GET")
    assert bound in answer.error


@pytest.mark.parametrize("name", ["bare-lf", "obs-fold", "controls-in-header", "gzip-unasked", "http-1.0"])
def test_load_puts_up_with_what_a_check_does(name: str, healthy: str) -> None:
    (answer,) = answers(name, healthy, "GET")
    assert (answer.status, answer.error, answer.body[:2]) == (401, "", b'{"')


def test_load_sends_nothing_that_acts_on_connections_closed_early(healthy: str) -> None:
    found = answers("closed-at-second", healthy, *["GET"] * 4, *["POST"] * 4)
    assert [answer.error for answer in found] == [""] * 8


@pytest.mark.parametrize(("name", "kept"), [("status-999", 0), ("keep-alive-closed", 2)])
def test_server_that_is_not_the_api_is_not_judged(name: str, kept: int, healthy: str, tmp_path: Path) -> None:
    """The first exchanges of a load are kept only once it is sure that the API answered them."""
    run_log = tmp_path / "runlog.jsonl"
    with Server(FLAWS[name], healthy) as server:
        target = TargetSettings("url", server.url, api_key=PRIMARY)
        setting_up = SettingUp(Settings(target=target, state_dir=tmp_path / "state"), "260101-000000-aaaaaa", run_log)
        with contextlib.suppress(TargetError):
            setting_up.smoke(lambda: False)
        setting_up.close()
    assert run_log.read_text("utf-8").count('"type":"exchange"') == kept
