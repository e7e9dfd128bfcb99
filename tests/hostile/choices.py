"""Which requests a hostile server spoils, and building blocks of its responses."""

import json
from collections.abc import Iterator

from tests.hostile.line import Request

JSON = ("Content-Type", "application/json")
SMOKE = "touchstone-smoke-test"
MIB = b" " * (1 << 20)

# Text that reports must escape: it would run, colour, hide or reorder.
GARBAGE = (
    '<script>alert("touchstone")</script>\x1b[2J\x1b]0;owned\x07\u202egnp\x00\x9b31m&amp;<img src=x onerror=alert(1)>'
)


def every(request: Request) -> bool:
    """All requests, including those of the preflight."""
    return True


def later(request: Request) -> bool:
    """All requests after the preflight."""
    return SMOKE not in request.target


def reads(request: Request) -> bool:
    return later(request) and request.method == "GET" and request.path.endswith("/build")


def starts(request: Request) -> bool:
    return later(request) and request.method == "POST" and request.path.endswith("/build")


def streams(request: Request) -> bool:
    return later(request) and request.method == "GET" and request.path.endswith("/events")


def loaded(request: Request) -> bool:
    """Requests of a load engine: unlike checks, it sends ``Accept-Encoding: identity``."""
    return ("accept-encoding", "identity") in {(name.lower(), value) for name, value in request.headers}


def third(request: Request) -> bool:
    """One request in three after the preflight."""
    return later(request) and request.number % 3 == 0


def spelled(value: object) -> bytes:
    return json.dumps(value).encode()


def head(status: str = "200 OK", *lines: str, version: str = "HTTP/1.1") -> bytes:
    """A head with its blank line."""
    return "\r\n".join([f"{version} {status}", *lines, "", ""]).encode("latin-1")


def whole(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """A response with Content-Length."""
    return head(status, *lines, f"Content-Length: {len(body)}") + body


def gigabyte(piece: bytes = MIB) -> Iterator[bytes]:
    """Repeats *piece* up to one gigabyte."""
    for _ in range((1 << 30) // len(piece)):
        yield piece
