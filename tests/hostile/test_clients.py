"""Clients of checks and loads against hostile servers: bounded, with reasons, and no write is sent twice."""

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.command import PRIMARY
from tests.hostile.catalogue import FLAWS
from tests.hostile.detours import authority
from tests.hostile.server import Server
from touchstone.check.preflight import smoke
from touchstone.config import Settings, TargetSettings
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.client import Connections
from touchstone.loadgen.runner import SettingUp
from touchstone.target.bounds import KEPT_BYTES, LEAST_KEPT_BYTES, Bounds, head_bytes
from touchstone.target.call import Answer, Call
from touchstone.target.connections import trusting
from touchstone.target.keys import Keys
from touchstone.target.transport import Transport
from touchstone.twin import Twin

REF = "default/demo@1.0.0"
READ = Call("getBuild", REF)
HEAD, BODY = "max_head_bytes = 65536", "max_body_bytes = 4194304"


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with Twin() as twin:
        yield twin.url


@contextmanager
def transport_to(name: str, healthy: str, timeout_s: float = 20.0, bounds: Bounds | None = None) -> Iterator[Transport]:
    """A transport to a hostile server; no request reaches another host."""
    with Server(FLAWS[name], healthy) as server:
        keep_none = lambda _exchange: None  # noqa: E731 - nobody listens
        keys, known = Keys(PRIMARY), bounds or Bounds()
        transport = Transport(server.url, keys, Contract.load(), keep_none, timeout_s, bounds=known)
        try:
            yield transport
            assert server.elsewhere.received == []
        finally:
            transport.close()


def read(name: str, healthy: str, timeout_s: float = 20.0) -> Exchange:
    """One read of a status."""
    with transport_to(name, healthy, timeout_s) as transport:
        return transport.send(READ)


# --- what is sent again -----------------------------------------------------------------------------------------------


def test_read_on_a_closed_connection_is_resent(healthy: str) -> None:
    with transport_to("closed-at-second", healthy) as transport:
        exchanges = [transport.send(READ) for _ in range(3)]
        assert [exchange.status for exchange in exchanges] == [404] * 3
        assert ["resent" in exchange.note for exchange in exchanges[:2]] == [False, True]
        assert transport.remark.startswith("1 read ")


def test_read_that_is_reset_twice_is_given_up(healthy: str) -> None:
    with transport_to("reset-before-head", healthy) as transport:
        exchange = transport.send(READ)
        assert (exchange.error[:9], "resent" in exchange.note, transport.remark) == ("ReadError", False, "")


def test_what_acts_is_never_sent_twice(healthy: str) -> None:
    with transport_to("reset-at-second", healthy) as transport:
        for _ in range(3):
            assert transport.send(READ).status == 404
            start = transport.send(Call("startBuild", REF))
            assert (start.status, start.error, start.note) == (404, "", {})


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        *((name, HEAD) for name in ("endless-head", "endless-fields", "header-of-1mb", "interim-flood")),
        ("10000-headers", "max_head"),
        ("5000-headers-reads", "max_headers = 256"),
        ("long-reason", "8000 bytes"),
    ],
)
def test_head_is_bounded(name: str, bound: str, healthy: str) -> None:
    exchange = read(name, healthy)
    assert (exchange.response, bound in exchange.error) == (None, True), exchange.error


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        *((name, BODY) for name in ("body-of-1gb", "gzip-bomb", "deflate-bomb", "gzip-and-more")),
        *((name, "max_json_depth = 100") for name in ("nested-100000", "nested-100000-objects")),
        ("many-values", "max_json_values = 50000"),
        ("unknown-encoding", "'snappiest'"),
        ("key-as-coding", "'<key:primary>'"),
    ],
)
def test_body_is_bounded(name: str, bound: str, healthy: str) -> None:
    exchange = read(name, healthy)
    assert exchange.response
    assert len(exchange.response.body) <= KEPT_BYTES
    assert (bound in exchange.error, exchange.body) == (True, {}), exchange.error


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        *((name, "max_line_bytes = 1048576") for name in ("log-line-endless", "log-line-of-100mb")),
        *((name, "max_json_values = 50000") for name in ("log-of-comments", "log-of-empty-events")),
    ],
)
def test_stream_is_bounded(name: str, bound: str, healthy: str) -> None:
    with transport_to(name, healthy) as transport:
        exchange = transport.send(Call("streamBuildEvents", REF, stream_s=60.0))
    assert exchange.response
    assert (bound in exchange.error, exchange.closed) == (True, "server"), exchange.error
    assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
    assert len(exchange.response.body) <= KEPT_BYTES


def test_bodies_are_bounded_together(healthy: str) -> None:
    with transport_to("bodies-of-1mb", healthy, bounds=Bounds(max_total_bytes=2_500_000)) as transport:
        exchanges = [transport.send(READ) for _ in range(3)]
        assert transport.remark.startswith("1 long body ")
    assert ["max_total_bytes = 2500000" in exchange.error for exchange in exchanges] == [False, False, True]
    assert [len(e.response.body) > KEPT_BYTES for e in exchanges if e.response] == [True, True, False]


def test_bodies_kept_in_part_count_as_well(healthy: str) -> None:
    with transport_to("long-bodies", healthy, bounds=Bounds(max_total_bytes=150_000)) as transport:
        responses = [transport.send(READ).response for _ in range(4)]
    assert sum(len(one.body) for one in responses if one) <= 150_000 + 4 * LEAST_KEPT_BYTES


def test_heads_are_bounded_together_with_bodies(healthy: str) -> None:
    with transport_to("header-of-60kb", healthy, bounds=Bounds(max_total_bytes=130_000)) as transport:
        exchanges = [transport.send(READ) for _ in range(4)]
        assert "2 long heads" in transport.remark
    heads = [exchange.response.headers for exchange in exchanges if exchange.response]
    assert [head_bytes(head) > 60_000 for head in heads] == [True, True, False, False]
    assert sum(map(head_bytes, heads)) <= 130_000 + 4 * LEAST_KEPT_BYTES
    assert ["touchstone-cut" in dict(head) for head in heads] == [False, False, True, True]
    assert {(exchange.error, dict(head)["content-type"]) for exchange, head in zip(exchanges, heads, strict=True)} == {
        ("", "application/json")
    }


@pytest.mark.parametrize("name", ["silent", "silent-reads", "body-byte-a-second"])
def test_timeout_names_its_setting(name: str, healthy: str) -> None:
    assert read(name, healthy, timeout_s=0.1).error.endswith("(request_timeout_s = 0.1)")


# --- what is no error, and what is no API -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["redirect-loop", "redirect-elsewhere", "redirect-elsewhere-reads"])
def test_redirect_is_an_answer_and_not_followed(name: str, healthy: str) -> None:
    assert 300 <= read(name, healthy).status < 400


@pytest.mark.parametrize(
    "name", ["bare-lf", "obs-fold", "same-length-twice", "http-1.0", "interim-answers", "gzip-unasked"]
)
def test_tolerable_oddity_changes_nothing(name: str, healthy: str) -> None:
    exchange = read(name, healthy)
    assert (exchange.status, exchange.error, "error" in exchange.body) == (404, "", True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gzip-bomb-first", BODY),
        ("nested-100000-first", "max_json_depth = 100"),
        ("reset-after-head", "ReadError"),
        ("endless-head", HEAD),
        ("redirect-elsewhere", "API"),
    ],
)
def test_target_that_cannot_be_judged_is_refused_with_the_reason(name: str, reason: str, healthy: str) -> None:
    with transport_to(name, healthy) as transport, pytest.raises(TargetError, match=reason):
        smoke(transport)


@pytest.mark.parametrize("name", ["tls-expired", "tls-self-signed", "tls-wrong-host", "tls-not-spoken", "tls-only"])
def test_untrusted_server_is_sent_nothing(name: str, healthy: str) -> None:
    exchange = read(name, healthy)
    assert (exchange.response, exchange.error != "") == (None, True)


def test_certificate_of_ssl_cert_file_is_trusted(healthy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority().cert_pem.write_to_path(file.name)
        monkeypatch.setenv("SSL_CERT_FILE", file.name)
        trusting.cache_clear()
        try:
            assert read("tls-good", healthy).status == 404
            assert "mismatch" in read("tls-wrong-host", healthy).error
            assert "expired" in read("tls-expired", healthy).error
        finally:
            trusting.cache_clear()


# --- the client of loads ----------------------------------------------------------------------------------------------

LIMIT_S = 20.0


def answers(name: str, healthy: str, *methods: str) -> list[Answer]:
    """Responses to requests in sequence."""
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
def test_load_accepts_what_a_check_accepts(name: str, healthy: str) -> None:
    (answer,) = answers(name, healthy, "GET")
    assert (answer.status, answer.error, answer.body[:2]) == (401, "", b'{"')


def test_load_sends_nothing_that_acts_on_connections_closed_early(healthy: str) -> None:
    found = answers("closed-at-second", healthy, *["GET"] * 4, *["POST"] * 4)
    assert [answer.error for answer in found] == [""] * 8


@pytest.mark.parametrize(("name", "kept"), [("status-999", 0), ("keep-alive-closed", 2)])
def test_server_that_is_not_the_api_is_not_judged(name: str, kept: int, healthy: str, tmp_path: Path) -> None:
    run_log = tmp_path / "runlog.jsonl"
    with Server(FLAWS[name], healthy) as server:
        target = TargetSettings("url", server.url, api_key=PRIMARY)
        setting_up = SettingUp(Settings(target=target, state_dir=tmp_path / "state"), "260101-000000-aaaaaa", run_log)
        with contextlib.suppress(TargetError):
            setting_up.smoke(lambda: False)
        setting_up.close()
    assert run_log.read_text("utf-8").count('"type":"exchange"') == kept
