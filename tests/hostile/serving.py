"""The usual ways to make an answer: bytes as they are, a good answer spoilt, a body that never ends."""

from collections.abc import Callable, Iterable

from tests.hostile.line import Line, Request
from tests.hostile.server import Scene, Serve
from tests.hostile.upstream import Reply


def raw(*pieces: bytes, closes: bool = True) -> Serve:
    """Sends bytes as they are."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        line.send(*pieces)
        return not closes

    return serve


def spoilt(change: Callable[[Reply], bytes], *, closes: bool = False) -> Serve:
    """Sends what *change* makes of the good answer. Build logs and answers to HEAD are left as they are."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        if request.path.endswith("/events") or request.method == "HEAD":
            return scene.upstream.pass_on(request, line)
        line.send(change(scene.upstream.ask(request)))
        return not closes

    return serve


def flooding(head: bytes, pieces: Callable[[], Iterable[bytes]]) -> Serve:
    """Sends a head, and pieces for as long as somebody takes them."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        line.send(head)
        line.flood(pieces())
        return False

    return serve


def then(send: Callable[[Scene, Request], bytes], end: Callable[[Line], None]) -> Serve:
    """Sends something and then does something to the connection."""

    def serve(scene: Scene, line: Line, request: Request) -> bool:
        data = send(scene, request)
        if data:
            line.send(data)
        end(line)
        return False

    return serve
