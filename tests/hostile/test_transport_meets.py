"""
What the transport of checks makes of servers that misbehave: bounded, told, and never sent twice where it must not be.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.command import PRIMARY
from tests.hostile.catalogue import MISBEHAVIOURS
from tests.hostile.detours import authority
from tests.hostile.server import Server
from touchstone.check.preflight import smoke
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.exchange import Exchange
from touchstone.target.bounds import KEPT_BYTES, LEAST_KEPT_BYTES, Bounds, head_bytes
from touchstone.target.call import Call, Keys
from touchstone.target.tls import trusting
from touchstone.target.transport import Transport
from touchstone.twin import Twin

REF = "default/demo@1.0.0"
READ = Call("getBuild", REF)


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with Twin() as twin:
        yield twin.url


@contextmanager
def asking(name: str, healthy: str, timeout_s: float = 20.0, bounds: Bounds | None = None) -> Iterator[Transport]:
    """A transport to a server that misbehaves."""
    with Server(MISBEHAVIOURS[name], healthy) as server:
        quiet = lambda _exchange: None  # noqa: E731 - nobody listens
        transport = Transport(server.url, Keys(PRIMARY), Contract.load(), quiet, timeout_s, bounds=bounds or Bounds())
        try:
            yield transport
            assert server.elsewhere.heard == []
        finally:
            transport.close()


def asked(name: str, healthy: str, **more: float) -> Exchange:
    """One read of a status."""
    with asking(name, healthy, **more) as transport:
        return transport.send(READ)


def test_read_is_sent_again_on_another_connection(healthy: str) -> None:
    """A read that meets a kept-up connection just closed is sent once more, which its exchange and the run tell."""
    with asking("closed-at-second", healthy) as transport:
        first, second, third = (transport.send(READ) for _ in range(3))
        assert (first.status, second.status, third.status) == (404, 404, 404)
        assert "resent" not in first.note
        assert "Server disconnected" in second.note["resent"]
        assert transport.remark == "1 read was sent again, as the server had closed a kept-up connection just before"


def test_reset_read_is_sent_again_once(healthy: str) -> None:
    """Where the new connection is reset as well, the server does not answer: there is no third try."""
    with asking("reset-before-head", healthy) as transport:
        exchange = transport.send(READ)
        assert exchange.error.startswith("ReadError")
        assert "resent" not in exchange.note
        assert transport.remark == ""


def test_what_acts_is_never_sent_twice(healthy: str) -> None:
    """A start has a connection of its own, so that it meets none that is closed, and is not repeated."""
    with asking("reset-at-second", healthy) as transport:
        for _ in range(3):
            assert transport.send(READ).status == 404
            start = transport.send(Call("startBuild", REF))
            assert (start.status, start.error, start.note) == (404, "", {})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("endless-head", "max_head_bytes = 65536"),
        ("endless-fields", "max_head_bytes = 65536"),
        ("header-of-1mb", "max_head_bytes = 65536"),
        ("10000-headers", "max_head"),
        ("5000-headers-reads", "the head has 5002 lines, and max_headers = 256"),
        ("interim-flood", "max_head_bytes = 65536"),
        ("long-reason", "the status line is longer than 8000 bytes"),
    ],
)
def test_head_is_bounded(name: str, told: str, healthy: str) -> None:
    """A head that is too long, or has too many lines, is no answer, and the bound is named."""
    exchange = asked(name, healthy)
    assert exchange.response is None
    assert told in exchange.error


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("body-of-1gb", "the body is longer than max_body_bytes = 4194304"),
        ("gzip-bomb", "the body is longer than max_body_bytes = 4194304 once it is unpacked"),
        ("deflate-bomb", "the body is longer than max_body_bytes = 4194304 once it is unpacked"),
        ("nested-100000", "JSON is nested deeper than max_json_depth = 100"),
        ("nested-100000-objects", "JSON is nested deeper than max_json_depth = 100"),
        ("many-values", "JSON has more values than max_json_values = 50000"),
        ("gzip-and-more", "the body is longer than max_body_bytes = 4194304"),
        ("unknown-encoding", "DecodingError: the body has the content coding 'snappiest'"),
        ("key-as-coding", "DecodingError: the body has the content coding '<key:primary>'"),
    ],
)
def test_body_is_bounded(name: str, told: str, healthy: str) -> None:
    """Of a body that is too long or too deep little is kept, and the bound is named."""
    exchange = asked(name, healthy)
    assert exchange.response
    assert len(exchange.response.body) <= KEPT_BYTES
    assert exchange.error.startswith(told)
    assert exchange.body == {}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("log-line-endless", "a line of the stream is longer than max_line_bytes = 1048576"),
        ("log-line-of-100mb", "a line of the stream is longer than max_line_bytes = 1048576"),
        ("log-of-comments", "the stream is longer than max_stream_bytes = 4194304"),
        ("log-of-empty-events", "the stream is longer than max_stream_bytes = 4194304"),
    ],
)
def test_stream_is_bounded(name: str, told: str, healthy: str) -> None:
    """A stream is read up to its bounds, and the one that it hit is named."""
    with asking(name, healthy) as transport:
        exchange = transport.send(Call("streamBuildEvents", REF, stream_s=60.0))
    assert exchange.response
    assert (exchange.error, exchange.closed) == (told, "server")
    assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
    assert len(exchange.response.body) <= KEPT_BYTES


def test_bodies_are_bounded_together(healthy: str) -> None:
    """Bodies that are each within their bound do not fill the memory in the long run."""
    with asking("bodies-of-1mb", healthy, bounds=Bounds(max_total_bytes=2_500_000)) as transport:
        found = [transport.send(READ) for _ in range(3)]
        assert transport.remark.startswith("1 long body was cut and not judged")
    assert [exchange.error for exchange in found] == [
        "",
        "",
        "OutOfRoom: bodies are longer than max_total_bytes = 2500000 together",
    ]
    assert [len(e.response.body) > KEPT_BYTES for e in found if e.response] == [True, True, False]


def test_heads_are_bounded_together_with_bodies(healthy: str) -> None:
    """Heads that are each within their bound do not fill memory and disk in the long run; what is cut says so."""
    with asking("header-of-60kb", healthy, bounds=Bounds(max_total_bytes=130_000)) as transport:
        found = [transport.send(READ) for _ in range(6)]
        assert "4 long heads were cut" in transport.remark
    heads = [exchange.response.headers for exchange in found if exchange.response]
    assert [head_bytes(head) > 60_000 for head in heads] == [True, True, False, False, False, False]
    assert sum(map(head_bytes, heads)) <= 130_000 + 6 * LEAST_KEPT_BYTES
    assert [dict(head).get("touchstone-cut", "")[:12] for head in heads[2:]] == ["the head had"] * 4
    assert {exchange.error for exchange in found} == {""}
    assert {dict(head)["content-type"] for head in heads} == {"application/json"}


def test_many_bodies_of_some_length_are_bounded_together(healthy: str) -> None:
    """A budget holds all that is kept of bodies, not only what each has beyond what a run log holds of one."""
    with asking("long-bodies", healthy, bounds=Bounds(max_total_bytes=150_000)) as transport:
        found = [transport.send(READ).response for _ in range(4)]
    assert sum(len(one.body) for one in found if one) <= 150_000 + 4 * LEAST_KEPT_BYTES


@pytest.mark.parametrize("name", ["silent", "silent-reads", "body-byte-a-second"])
def test_time_is_told_by_its_setting(name: str, healthy: str) -> None:
    """An answer that does not come in time, or not whole, names the setting that says how long it was waited for."""
    assert asked(name, healthy, timeout_s=0.3).error.endswith("(request_timeout_s = 0.3)")


@pytest.mark.parametrize("name", ["redirect-loop", "redirect-elsewhere", "redirect-elsewhere-reads"])
def test_redirect_is_an_answer(name: str, healthy: str) -> None:
    """A redirect is not followed anywhere, and no other host hears a word."""
    exchange = asked(name, healthy)
    assert 300 <= exchange.status < 400


@pytest.mark.parametrize(
    "name", ["bare-lf", "obs-fold", "same-length-twice", "http-1.0", "interim-answers", "gzip-unasked"]
)
def test_oddities_are_read_over(name: str, healthy: str) -> None:
    """What a client may or has to put up with changes nothing."""
    exchange = asked(name, healthy)
    assert (exchange.status, exchange.error) == (404, "")
    assert exchange.body["error"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tls-expired", "CERTIFICATE_VERIFY_FAILED"),
        ("tls-self-signed", "CERTIFICATE_VERIFY_FAILED"),
        ("tls-wrong-host", "CERTIFICATE_VERIFY_FAILED"),
        ("tls-not-spoken", "SSL"),
        ("tls-only", ""),
    ],
)
def test_certificate_is_checked(name: str, told: str, healthy: str) -> None:
    """No request goes to a server that cannot show who it is."""
    exchange = asked(name, healthy)
    assert exchange.response is None
    assert told in exchange.error


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gzip-bomb-first", "no whole answer: the body is longer than max_body_bytes = 4194304 once it is unpacked"),
        ("nested-100000-first", "no whole answer: JSON is nested deeper than max_json_depth = 100"),
        ("reset-after-head", "no whole answer: ReadError"),
        ("endless-head", "no answer: RemoteProtocolError: the head is longer than max_head_bytes = 65536"),
        ("redirect-elsewhere", "not a template build API"),
    ],
)
def test_target_that_cannot_be_judged_is_told_with_the_reason(name: str, told: str, healthy: str) -> None:
    """Where the first requests are answered by nothing that can be read, the run says what was in the way."""
    with asking(name, healthy) as transport, pytest.raises(TargetError, match=re.escape(told)):
        smoke(transport)


def test_certificate_of_the_host_is_taken(healthy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine trusts, or SSL_CERT_FILE names, is trusted by checks."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority().cert_pem.write_to_path(file.name)
        monkeypatch.setenv("SSL_CERT_FILE", file.name)
        trusting.cache_clear()
        try:
            assert asked("tls-good", healthy).status == 404
            assert "Hostname mismatch" in asked("tls-wrong-host", healthy).error.replace("IP address", "Hostname")
            assert "expired" in asked("tls-expired", healthy).error
        finally:
            trusting.cache_clear()
