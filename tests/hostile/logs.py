"""Flaws of build logs (event streams)."""

import itertools
from collections.abc import Callable, Iterable, Iterator

from tests.hostile.choices import GARBAGE, head, streams
from tests.hostile.line import Line, Request
from tests.hostile.server import Flaw, Scene, Serve
from tests.hostile.serving import flooding, raw, then
from tests.hostile.upstream import unchunked

_HEAD = head("200 OK", "Content-Type: text/event-stream", "Cache-Control: no-store", "Connection: close")
_GARBAGE = f"event: {GARBAGE}\ndata: {GARBAGE}\n{GARBAGE}\n\n".encode()
_MIB = b"x" * (1 << 20)


def _long_line() -> Iterator[bytes]:
    yield b'event: log\ndata: {"line": "'
    yield from itertools.repeat(_MIB, 100)
    yield b'"}\n\n'


def _endless(piece: bytes) -> Serve:
    return flooding(_HEAD, lambda: itertools.repeat(piece))


def _rewritten(change: Callable[[Iterator[bytes]], Iterable[bytes]]) -> Serve:
    """Forwards a good log with changes."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        pieces = unchunked(scene.upstream.pieces(request, line))
        first = next(pieces, b"")
        if b" 200 " not in first[:20]:
            return scene.upstream.pass_on(request, line)
        line.send(_HEAD)
        line.flood(change(pieces))
        return False

    return serve


def _bytewise(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Adds a multi-byte character to each event, and sends such characters in parts."""
    yield b": \xe2"
    for piece in pieces:
        yield b"\x82\xac\n: \xe2"
        yield b"\x82"
        yield b"\xac\n"
        yield from (piece[at : at + 1] for at in range(len(piece)))
        yield b": \xe2"
    yield b"\x82\xac\n"


def _unended(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece.replace(b"\n", b" ").replace(b"\r", b" ") for piece in pieces)


def _spoilt_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece.replace(b"data:", b"data: \xff\xfe", 1) for piece in pieces)


ALL = (
    Flaw("log-without-line-ends", "sends build logs without ends of lines", _rewritten(_unended), streams),
    Flaw("log-line-endless", "sends one line for ever as a build log", _endless(_MIB), streams),
    Flaw("log-line-of-100mb", "sends a line of 100 MB in build logs", flooding(_HEAD, _long_line), streams),
    Flaw("log-of-comments", "sends comments for ever as a build log", _endless(b": still here\n" * 4_000), streams),
    Flaw("log-of-empty-events", "sends empty events for ever", _endless(b"data:\n\n" * 8_000), streams),
    Flaw("log-silent", "sends the head of a build log and nothing else", then(_HEAD, Line.hold), streams),
    Flaw("log-unanswered", "does not answer requests for a build log", then(b"", Line.hold), streams),
    Flaw("log-bytewise", "cuts build logs within characters of UTF-8", _rewritten(_bytewise), streams),
    Flaw("log-invalid-utf8", "sends invalid UTF-8 in build logs", _rewritten(_spoilt_utf8), streams),
    Flaw("log-of-garbage", "sends markup and terminal escapes as a build log", raw(_HEAD, _GARBAGE * 200), streams),
)
