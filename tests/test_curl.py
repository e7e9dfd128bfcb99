"""The command line that sends a request again."""

import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.rules.exchanges import exchange
from touchstone.facts.curl import command, curl
from touchstone.facts.exchange import Request
from touchstone.facts.key_sources import KeySources

KEYS = {"ORGO_API_KEY": "sk_live_primary", "ORGO_SECOND_API_KEY": "sk_second", "ORGO_RESTRICTED_API_KEY": "sk_small"}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def request(method: str = "GET", url: str = "http://host/api", body: bytes = b"", **headers: str) -> Request:
    return Request(method, url, tuple((name.replace("_", "-"), value) for name, value in headers.items()), body)


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        ("primary", "Bearer $ORGO_API_KEY"),
        ("second", "Bearer $ORGO_SECOND_API_KEY"),
        ("restricted", "Bearer $ORGO_RESTRICTED_API_KEY"),
        ("longer", "Bearer ${ORGO_API_KEY}x"),
        ("shorter", "Bearer ${ORGO_API_KEY%?}"),
        ("headless", "Bearer ${ORGO_API_KEY#?}"),
        ("recased", """Bearer $(printf %s "$ORGO_API_KEY" | tr 'a-zA-Z' 'A-Za-z')"""),
        ("unknown", "Bearer sk_live_000000000000000000000000"),
    ],
)
def test_key_becomes_a_variable(credential: str, shown: str) -> None:
    """The marker of a key becomes the environment variable that holds it, or a made-up key where nobody has it."""
    line = command(request(Authorization=f"Bearer <key:{credential}>"))

    assert f'--header "Authorization: {shown}"' in line


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        ("primary", "Bearer $STAGING_KEY"),
        ("longer", "Bearer ${STAGING_KEY}x"),
        ("recased", """Bearer $(printf %s "$STAGING_KEY" | tr 'a-zA-Z' 'A-Za-z')"""),
        ("restricted", "Bearer $LOW"),
        ("second", r"Bearer <second_api_key of [targets.\$(date)]>"),
    ],
)
def test_key_is_named_as_the_settings_name_it(credential: str, shown: str) -> None:
    """The variable is the one of the target, and what stands in the file is said to; nothing in its name is run."""
    sources = KeySources("STAGING_KEY", "second_api_key of [targets.$(date)]", "LOW")
    line = command(request(Authorization=f"Bearer <key:{credential}>"), sources)

    assert f'--header "Authorization: {shown}"' in line


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        ("longer", "<api_key of [targets.a]>x"),
        ("shorter", "<api_key of [targets.a], without its last character>"),
        ("headless", "<api_key of [targets.a], without its first character>"),
        ("recased", "<api_key of [targets.a], with upper and lower case exchanged>"),
    ],
)
def test_altered_key_of_a_file_is_described(credential: str, shown: str) -> None:
    """No shell can alter what is in a file: the line says in words what to put there."""
    line = command(request(Authorization=f"Bearer <key:{credential}>"), KeySources("api_key of [targets.a]"))

    assert f'--header "Authorization: Bearer {shown}"' in line


def test_stream_is_shown_as_it_arrives() -> None:
    """A build log is printed line by line."""
    assert "--no-buffer" in shlex.split(curl(exchange("streamBuildEvents")))
    assert "--no-buffer" not in shlex.split(curl(exchange("getBuild")))


def test_large_body_is_cut() -> None:
    """A body that nobody would paste is cut, and the command says how long it was."""
    line = command(request("POST", body=b"x" * 5000))

    assert "(5000 bytes)" in line
    assert len(line) < 4500


class Echo:
    """Takes one request on a loopback socket and keeps its bytes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.settimeout(20)
            while not self._whole():
                self.received += connection.recv(65536)
            connection.sendall(ANSWER)

    def _whole(self) -> bool:
        head, end, body = self.received.partition(b"\r\n\r\n")
        sizes = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return bool(end) and len(body) >= int(sizes[0] if sizes else 0)

    def heard(self) -> tuple[str, dict[str, str], bytes]:
        """The request line, the headers and the body."""
        self._thread.join(20)
        head, _, body = self.received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}, body


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server for one request."""
    server = Echo()
    yield server
    if not server.received:  # let its thread end
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))).close()


def run(line: str) -> subprocess.CompletedProcess[bytes]:
    environment = KEYS | {"PATH": "/usr/bin:/bin:/usr/local/bin", "NO_PROXY": "*"}
    return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, timeout=30, check=True)


REQUESTS: dict[str, tuple[Request, str, dict[str, str], bytes]] = {
    "a read": (
        request(url="/api/build", Accept="*/*", Authorization="Bearer <key:primary>"),
        "GET /api/build HTTP/1.1",
        {"authorization": "Bearer sk_live_primary", "accept": "*/*"},
        b"",
    ),
    "a key with a character more": (
        request("POST", "/a", Authorization="Bearer <key:longer>"),
        "POST /a HTTP/1.1",
        {"authorization": "Bearer sk_live_primaryx"},
        b"",
    ),
    "a key with a character less": (
        request("DELETE", "/a", Authorization="Bearer <key:shorter>"),
        "DELETE /a HTTP/1.1",
        {"authorization": "Bearer sk_live_primar"},
        b"",
    ),
    "a key in the query": (request(url="/a?api_key=<key:second>"), "GET /a?api_key=sk_second HTTP/1.1", {}, b""),
    "an odd path": (
        request(url="/a/../b//%2e%2E/{c}[1-3]/$HOME/it's`x`"),
        "GET /a/../b//%2e%2E/{c}[1-3]/$HOME/it's`x` HTTP/1.1",
        {},
        b"",
    ),
    "an odd path with a key": (
        request(url='/$HOME/`x`/"y"?k=<key:primary>'),
        'GET /$HOME/`x`/"y"?k=sk_live_primary HTTP/1.1',
        {},
        b"",
    ),
    "other headers": (
        request(url="/a", Accept="image/png", X_Empty="", Authorization="Basic abc"),
        "GET /a HTTP/1.1",
        {"accept": "image/png", "x-empty": "", "authorization": "Basic abc"},
        b"",
    ),
    "a document": (
        request("POST", "/a", b'{"a": "it\'s $HOME `x`\\n"}\n\n', Content_Type="application/json"),
        "POST /a HTTP/1.1",
        {"content-type": "application/json"},
        b'{"a": "it\'s $HOME `x`\\n"}\n\n',
    ),
    "a document with a key": (
        request("POST", "/a", b'{"k": "$HOME <key:primary>"}', Content_Type="application/json"),
        "POST /a HTTP/1.1",
        {"content-type": "application/json"},
        b'{"k": "$HOME sk_live_primary"}',
    ),
    "a body that looks like a file": (request("POST", "/a", b"@/etc/host"), "POST /a HTTP/1.1", {}, b"@/etc/host"),
    "a body of a read": (request("GET", "/a", b"x"), "GET /a HTTP/1.1", {}, b"x"),
    "a body that is no text": (request("POST", "/a", b"\xff\x00%\\1'\n"), "POST /a HTTP/1.1", {}, b"\xff\x00%\\1'\n"),
    "a body with a zero byte": (request("POST", "/a", b"a\x00b"), "POST /a HTTP/1.1", {}, b"a\x00b"),
    "a HEAD": (request("HEAD", "/a"), "HEAD /a HTTP/1.1", {}, b""),
    "another method": (request("PATCH", "/a"), "PATCH /a HTTP/1.1", {}, b""),
}


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(("sent", "line", "headers", "body"), REQUESTS.values(), ids=REQUESTS)
def test_command_sends_the_same_request(
    echo: Echo, sent: Request, line: str, headers: dict[str, str], body: bytes
) -> None:
    """A shell that runs the command sends the request again, byte for byte where it matters."""
    run(command(Request(sent.method, echo.url + sent.url, sent.headers, sent.body)))
    heard_line, heard_headers, heard_body = echo.heard()

    assert heard_line == line
    assert {name: heard_headers.get(name) for name in headers} == headers
    assert heard_body == body


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_body_without_a_media_type_stays_without(echo: Echo) -> None:
    """Curl is kept from calling a body a form that nobody called so."""
    run(command(request("POST", echo.url + "/a", b"x")))

    assert "content-type" not in echo.heard()[1]
