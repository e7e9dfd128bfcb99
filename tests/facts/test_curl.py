"""curl commands that repeat a request, with variables in place of keys."""

import shlex
import shutil
import socket
import subprocess

import pytest

from tests.raw_server import listening
from tests.rules.exchanges import exchange
from touchstone.facts.curl import command, curl
from touchstone.facts.exchange import Request
from touchstone.facts.key_sources import KeySources

KEYS = {"ORGO_API_KEY": "sk_live_primary", "ORGO_SECOND_API_KEY": "sk_second", "ORGO_RESTRICTED_API_KEY": "sk_small"}
IN_FILE = KeySources("api_key of [targets.a]", "second_api_key of [targets.$(date)]", "LOW")


def request(method: str = "GET", url: str = "/a", body: bytes = b"", **headers: str) -> Request:
    return Request(method, url, tuple((name.replace("_", "-"), value) for name, value in headers.items()), body)


@pytest.mark.parametrize(
    ("key", "sources", "word"),
    [
        ("primary", KeySources("STAGING_KEY"), "$STAGING_KEY"),
        ("unknown", KeySources(), "sk_live_" + "0" * 24),
        ("primary", IN_FILE, "<api_key of [targets.a]>"),
        ("second", IN_FILE, r"<second_api_key of [targets.\$(date)]>"),
        ("longer", IN_FILE, "<api_key of [targets.a]>x"),
        ("shorter", IN_FILE, "<api_key of [targets.a], without its last character>"),
    ],
)
def test_key_is_a_variable_or_its_place_in_the_settings(key: str, sources: KeySources, word: str) -> None:
    line = command(request(Authorization=f"Bearer <key:{key}>", X_Env="<env:STAGING_TOKEN>"), sources)
    assert '--header "X-Env: $STAGING_TOKEN"' in line
    assert f'--header "Authorization: Bearer {word}"' in line


def test_stream_is_printed_as_it_arrives() -> None:
    assert "--no-buffer" in shlex.split(curl(exchange("streamBuildEvents")))
    assert "--no-buffer" not in shlex.split(curl(exchange("getBuild")))


@pytest.mark.parametrize("body", [b"x" * 5000, b"\xff" * 5000])
def test_large_body_is_cut_with_its_length(body: bytes) -> None:
    line = command(request("POST", body=body))
    assert "(5000 bytes)" in line
    assert len(line) < 4500 if body.isascii() else len(line) < 4096 * 4 + 400


def is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    sizes = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return bool(end) and len(body) >= int(sizes[0] if sizes else 0)


def repeated(sent: Request) -> tuple[str, dict[str, str], bytes]:
    """Runs the command of a request in a shell; returns the received request line, headers and body."""
    received: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        data = b""
        while not is_whole(data):
            data += connection.recv(65536)
        received.append(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with listening(serve) as url:
        line = command(Request(sent.method, url.removesuffix("/api") + sent.url, sent.headers, sent.body))
        environment = KEYS | {"PATH": "/usr/bin:/bin:/usr/local/bin", "NO_PROXY": "*"}
        subprocess.run(["sh", "-c", line], env=environment, capture_output=True, timeout=30, check=True)
    head, _, body = received[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}, body


DOCUMENT = b'{"a": "it\'s $HOME `x`\\n"}\n\n'
# Each request with the request line and headers that a server must receive; None for a header that it must not.
# fmt: off
REQUESTS: dict[str, tuple[Request, str, dict[str, str | None]]] = {
    "a read": (request(Accept="*/*", Authorization="Bearer <key:primary>"), "GET /a",
               {"authorization": "Bearer sk_live_primary", "accept": "*/*"}),
    "longer key": (request("POST", Authorization="Bearer <key:longer>"), "POST /a",
                   {"authorization": "Bearer sk_live_primaryx"}),
    "shorter key": (request("DELETE", Authorization="Bearer <key:shorter>"), "DELETE /a",
                    {"authorization": "Bearer sk_live_primar"}),
    "headless key": (request(Authorization="Bearer <key:headless>"), "GET /a",
                     {"authorization": "Bearer k_live_primary"}),
    "recased key": (request(Authorization="Bearer <key:recased>"), "GET /a",
                    {"authorization": "Bearer SK_LIVE_PRIMARY"}),
    "key in the query": (request(url="/a?api_key=<key:second>"), "GET /a?api_key=sk_second", {}),
    "odd path": (request(url="/a/../b//%2e/{c}[1-3]/$HOME/it's`x`"), "GET /a/../b//%2e/{c}[1-3]/$HOME/it's`x`", {}),
    "other headers": (request(Accept="image/png", X_Empty="", Authorization="Basic abc"), "GET /a",
                      {"accept": "image/png", "x-empty": "", "authorization": "Basic abc"}),
    "document": (request("POST", body=DOCUMENT, Content_Type="application/json"), "POST /a",
                 {"content-type": "application/json"}),
    "document with a key": (request("POST", body=b'{"k": "$HOME <key:primary>"}', Content_Type="a/b"), "POST /a", {}),
    "body like a file": (request("POST", body=b"@/etc/host"), "POST /a", {"content-type": None}),
    "body of a read": (request(body=b"x"), "GET /a", {}),
    "body that is no text": (request("POST", body=b"\xff\x00%\\1'\n"), "POST /a", {}),
    "HEAD": (request("HEAD"), "HEAD /a", {}),
}
# fmt: on


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(("sent", "line", "headers"), REQUESTS.values(), ids=REQUESTS)
def test_command_sends_the_same_request(sent: Request, line: str, headers: dict[str, str | None]) -> None:
    received_line, received_headers, body = repeated(sent)
    assert received_line == f"{line} HTTP/1.1"
    assert {name: received_headers.get(name) for name in headers} == headers
    assert body == sent.body.replace(b"<key:primary>", b"sk_live_primary")
