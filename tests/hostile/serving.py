"""Usual kinds of responses: raw bytes, changed good responses, endless bodies."""

from collections.abc import Callable, Iterable

from tests.hostile.line import Line, Request
from tests.hostile.server import Scene, Serve
from tests.hostile.upstream import Reply


def raw(*pieces: bytes, closes: bool = True) -> Serve:
    """Sends raw bytes."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        line.send(*pieces)
        return not closes

    return serve


def spoilt(change: Callable[[Reply], bytes], *, closes: bool = False) -> Serve:
    """Sends the good response, changed by *change*; build logs and responses to HEAD stay unchanged."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        if request.path.endswith("/events") or request.method == "HEAD":
            return scene.upstream.pass_on(request, line)
        line.send(change(scene.upstream.ask(request)))
        return not closes

    return serve


def framed(*lines: str, closes: bool = False) -> Serve:
    """Sends the good response with other framing; *lines* may contain its ``{length}`` and a ``{wrong}`` one."""

    def change(reply: Reply) -> bytes:
        length = len(reply.body)
        return reply.head(*(line.format(length=length, wrong=length + 20) for line in lines)) + reply.body

    return spoilt(change, closes=closes)


def flooding(head: bytes, pieces: Callable[[], Iterable[bytes]]) -> Serve:
    """Sends a head, then pieces until the client leaves."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        line.send(head)
        line.flood(pieces())
        return False

    return serve


def then(data: bytes, end: Callable[[Line], None]) -> Serve:
    """Sends *data*, then calls *end* with the connection."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        line.send(data)
        end(line)
        return False

    return serve
