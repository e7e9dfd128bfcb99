"""Flaws of connections: refused, reset, half-closed, silent, and servers that restart."""

import time
from functools import partial

from tests.hostile.choices import JSON, every, head, later, reads, third, whole
from tests.hostile.line import Gone, Line, Request
from tests.hostile.server import Flaw, Scene
from tests.hostile.serving import raw, then
from tests.hostile.upstream import Reply

_NO = whole(b'{"error": "no"}', ": ".join(JSON), status="500 No")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: applica"


_HEADED = head("200 OK", "Content-Type: application/json", "Content-Length: 40") + b'{"status"'


def _linger_reset(line: Line) -> None:
    line.pause(0.05)  # earlier data has to arrive first
    line.reset()


def _half_closed(line: Line) -> None:
    line.half_close()
    line.hold()


def _dripped(scene: Scene, line: Line, request: Request) -> bool:
    line.drip(whole(b'{"error": "slow"}', ": ".join(JSON), status="404 Not Found"), 1.0)
    return False


def _dripped_body(scene: Scene, line: Line, request: Request) -> bool:
    reply = scene.upstream.ask(request)
    line.send(reply.head(f"Content-Length: {len(reply.body)}"))
    line.drip(reply.body, 1.0)
    return False


def _closed_after(scene: Scene, line: Line, request: Request) -> bool:
    return scene.upstream.pass_on(request, line) and False


def _closed_before_second(scene: Scene, line: Line, request: Request) -> bool:
    """Reads the second request of a connection, and closes without a response."""
    if request.nth == 1 or request.method != "GET":
        return scene.upstream.pass_on(request, line)
    return False


def _reset_at_second(scene: Scene, line: Line, request: Request) -> bool:
    if request.nth == 1:
        return scene.upstream.pass_on(request, line)
    line.reset()
    return False


def _away(scene: Scene, line: Line, request: Request, *, for_s: float) -> bool:
    """Answers seven requests, then is down for a while."""
    with scene.lock:
        count = scene.facts["count"] = scene.facts.get("count", 0) + 1
        if count == 8:
            scene.facts["back_at"] = time.monotonic() + for_s
            scene.server.away(for_s)
    if count == 8:
        raise Gone
    return scene.upstream.pass_on(request, line)


def _swapped(scene: Scene, line: Line, request: Request) -> bool:
    """Answers each read with the response to the previous read of any connection."""
    mine = scene.upstream.ask(request)
    with scene.lock:
        other: Reply = scene.facts.get("kept", mine)
        scene.facts["kept"] = mine
    line.send(other.wire())
    return True


ALL = (
    Flaw("refused", "nobody listens", raw(), listens=False),
    Flaw("reset-before-head", "resets instead of an answer", then(b"", _linger_reset)),
    Flaw("reset-within-head", "resets within the head", then(_HEAD, _linger_reset)),
    Flaw("reset-after-head", "resets within the body", then(_HEADED, _linger_reset)),
    Flaw("reset-reads", "resets each status read instead of an answer", then(b"", _linger_reset), reads),
    Flaw("reset-within-reads", "resets within the body of each status read", then(_HEADED, _linger_reset), reads),
    Flaw("closed-before-head", "closes without an answer", raw(), every),
    Flaw("half-closed", "closes its way out at once and listens on", then(b"", _half_closed)),
    Flaw("half-closed-reads", "half-closes within the body of status reads", then(_HEADED, _half_closed), reads),
    Flaw("silent", "accepts, reads and never says anything", then(b"", Line.hold)),
    Flaw("silent-reads", "never answers a status read", then(b"", Line.hold), reads),
    Flaw("byte-a-second", "sends one byte a second", _dripped),
    Flaw("body-byte-a-second", "sends bodies of status reads at one byte a second", _dripped_body, reads),
    Flaw("keep-alive-closed", "closes after each answer without announcing it", _closed_after),
    Flaw("closed-at-second", "closes when a second read comes on a connection", _closed_before_second),
    Flaw("reset-at-second", "resets when a second request comes on a connection", _reset_at_second, later),
    Flaw("dies-and-returns", "dies after 7 requests and is back 1.5 s later", partial(_away, for_s=1.5), later),
    Flaw("dies-for-good", "dies after 7 requests", partial(_away, for_s=3600.0), later),
    Flaw("third-is-500", "answers 500 to one request in three", raw(_NO, closes=False), third),
    Flaw("swapped-answers", "gives each status read the answer of the one before", _swapped, reads),
)
