"""The server that both generators load, on a port of the command line: one answer with its own request id; a count."""

import asyncio
import json
import sys
import uuid
from typing import cast

REF = "default/touchstone-bench-ready@1.0.0"
PATH = "/api/templates/default/touchstone-bench-ready/1.0.0/build"
COUNTS_PATH = "/requests-served"
BODY = json.dumps(
    {
        "ref": REF,
        "digest": "5518e9c22ac8253412634a98df4e9fa8849418ed8446afe1bc72a498f5cdf346",
        "status": "ready",
        "build_time_ms": 104730,
        "reused": False,
    },
    separators=(",", ":"),
)
_END = b"\r\n\r\n"


class Answering(asyncio.Protocol):
    """One connection. Requests are counted over all of them."""

    requests = 0

    def __init__(self) -> None:
        self._held = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._held = (self._held + data).split(_END)
        for request in requests:
            Answering.requests += 1
            asks = request.startswith(f"GET {COUNTS_PATH} ".encode())
            self._transport.write(answer(str(Answering.requests) if asks else BODY))


def answer(body: str) -> bytes:
    """All bytes of an answer."""
    head = f"Content-Type: application/json\r\nX-Request-Id: {uuid.uuid4().hex}\r\nContent-Length: {len(body)}"
    return f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}".encode("ascii")


async def main(port: int) -> None:
    """Serves until it is killed."""
    await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
