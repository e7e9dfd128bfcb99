"""What the engines of load runs make of servers that misbehave: the same as checks do, as far as they are told."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import PRIMARY
from tests.hostile.catalogue import MISBEHAVIOURS
from tests.hostile.server import Server
from tests.lean_client import Client
from touchstone.config import Settings, TargetSettings
from touchstone.errors import TargetError
from touchstone.loadgen.bulk_answer import Incoming
from touchstone.loadgen.framing import MalformedBody
from touchstone.loadgen.heads import HeadReader, MalformedHead
from touchstone.loadgen.setup import SettingUp
from touchstone.target.bounds import Bounds
from touchstone.twin import Twin

PATH = "/api/templates/default/demo/1.0.0/build"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with Twin() as twin:
        yield twin.url


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    process = Client()
    yield process
    process.end()


def told(client: Client, name: str, healthy: str) -> dict[str, object]:
    """What the client of the flows engine tells of one read."""
    with Server(MISBEHAVIOURS[name], healthy) as server:
        client.connect(server.url)
        return client.send(["GET", PATH])[0]


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
        ("conflicting-lengths", "RemoteProtocolError: Duplicate Content-Length: b'HTTP/1.1 401 Unauthorized'"),
    ],
)
def test_flows_are_bounded(client: Client, name: str, error: str, healthy: str) -> None:
    """The bound that an answer hits is named, in the words of a check."""
    assert told(client, name, healthy)["error"] == error


@pytest.mark.parametrize(
    "name",
    [
        "bare-lf",
        "obs-fold",
        "same-length-twice",
        "same-length-in-a-list",
        "controls-in-header",
        "gzip-unasked",
        "http-1.0",
    ],
)
def test_flows_read_over_oddities(client: Client, name: str, healthy: str) -> None:
    """What a check puts up with a load puts up with."""
    answer = told(client, name, healthy)
    assert (answer["status"], answer["error"]) == (401, "")
    assert str(answer["body"]).startswith('{"')


def test_flows_do_not_send_on_connections_that_are_closed_early(client: Client, healthy: str) -> None:
    """Where a kept-up connection was found closed, what acts gets a new one from then on."""
    with Server(MISBEHAVIOURS["closed-at-second"], healthy) as server:
        client.connect(server.url)
        answers = client.send(*(["GET", PATH] for _ in range(4)), *(["POST", PATH] for _ in range(4)))
    assert [answer["error"] for answer in answers] == [""] * 8


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


def fed(data: bytes, bounds: Bounds) -> Incoming:
    """What the bulk engine has of an answer once these bytes have come."""
    incoming = Incoming(HeadReader(bounds), "GET", bounds)
    incoming.feed(data, 1.0)
    return incoming


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (OK + b"A: " + b"b" * 200, "max_head_bytes = 200"),
        (OK + b"A: " + b"b" * 200 + b"\r\n\r\n", "max_head_bytes = 200"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "max_head_bytes = 200"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 7 + OK + b"A: b\r\nC: ddddddddddddddd", "max_head_bytes = 200"),
        (OK + b"A: b\r\n" * 4 + b"\r\n", "the head has 4 lines, and max_headers = 3"),
        (OK + b"\r\n" + b"x" * 51, "the body is longer than max_body_bytes = 50"),
    ],
)
def test_bulk_is_bounded(data: bytes, words: str) -> None:
    """The bulk engine gives an answer up at the first byte that is too much, and names the bound."""
    with pytest.raises((MalformedHead, MalformedBody), match=words):
        fed(data, Bounds(max_head_bytes=200, max_headers=3, max_body_bytes=50))


def test_bulk_takes_what_is_within_its_bounds() -> None:
    """An answer that goes right up to its bounds is whole."""
    interim, head = b"HTTP/1.1 103 Early\r\n\r\n", OK + b"A: b\r\nC: d\r\nContent-Length: 50\r\n\r\n"
    most = Bounds(max_head_bytes=len(interim + head), max_headers=3, max_body_bytes=50)
    incoming = fed(interim + head + b"x" * 50, most)
    assert (incoming.body, incoming.head and incoming.head.status) == (b"x" * 50, 200)


def test_head_says_whether_its_body_is_packed() -> None:
    """A content coding is told with the head, whatever it is."""
    reader = HeadReader()
    assert reader.read(OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", "GET").packed
    assert not reader.read(OK + b"Content-Length: 3\r\n\r\n", "GET").packed
