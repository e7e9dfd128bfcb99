"""The healthy server behind a hostile one."""

import http.client
import select
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from tests.hostile.line import Line, Request

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "te", "host"})
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Reply:
    """A response that can be changed before it is sent."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def but(self, *headers: tuple[str, str], body: bytes | None = None) -> "Reply":
        """A copy with other headers or body."""
        replaced = {name.lower() for name, _ in headers}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in replaced)
        return replace(self, headers=(*kept, *headers), body=self.body if body is None else body)

    def head(self, *more: str) -> bytes:
        """Status line, headers without framing, and the blank line."""
        lines = [f"HTTP/1.1 {self.status:03d} {self.reason}", *(f"{n}: {v}" for n, v in self.headers), *more]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def wire(self) -> bytes:
        """The complete, correct response."""
        if self.status in (204, 304):
            return self.head()
        return self.head(f"Content-Length: {len(self.body)}") + self.body


class Upstream:
    """The healthy server at *url*."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80

    def ask(self, request: Request) -> Reply:
        """Forwards *request*; returns the response."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            headers = {name: value for name, value in request.headers if name.lower() not in _HOP}
            connection.request(request.method, request.target, request.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
            kept = tuple((name, value) for name, value in answer.getheaders() if name.lower() not in _HOP)
            return Reply(answer.status, answer.reason, kept, body)
        finally:
            connection.close()

    def pieces(self, request: Request, line: Line) -> Iterator[bytes]:
        """Forwards *request*; yields the response until it ends or the client leaves."""
        with socket.create_connection((self.host, self.port), timeout=10) as out:
            lines = [f"{n}: {v}" for n, v in request.headers if n.lower() not in _HOP]
            head = [f"{request.method} {request.target} HTTP/1.1", f"Host: {self.host}", "Connection: close", *lines]
            out.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + request.body)
            while not line.stopped.is_set() and not line.is_left():
                if select.select([out], [], [], _POLL_S)[0]:
                    if not (data := out.recv(65_536)):
                        return
                    yield data

    def pass_on(self, request: Request, line: Line) -> bool:
        """Answers with the healthy server's response; returns whether the connection stays open."""
        if request.path.endswith("/events") and request.method == "GET":
            line.flood(self.pieces(request, line))
            return False
        reply = self.ask(request)
        line.send(reply.but(body=b"").wire() if request.method == "HEAD" else reply.wire())
        return True


def unchunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decodes a chunked response: yields its head, then the data."""
    held, left, started = b"", 0, False
    for piece in pieces:
        held += piece
        if not started:
            head, blank, rest = held.partition(b"\r\n\r\n")
            if not blank:
                continue
            yield head + blank
            held, started = rest, True
        while held:
            if left:
                yield held[:left]
                left, held = max(0, left - len(held)), held[left:]
                continue
            size, end, rest = held.lstrip(b"\r\n").partition(b"\r\n")
            if not end:
                break
            left, held = int(size, 16), rest
            if not left:
                return
