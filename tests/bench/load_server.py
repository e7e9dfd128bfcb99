"""The small server that stands in for nginx: one answer to everything, kept-up connections, and a count.

Ports on the command line: plain, heads that differ, TLS; then the files of certificate and key, empty for no TLS.
"""

import asyncio
import ssl
import sys
import uuid
from typing import cast

from tests.bench.load_target import BODY, COUNTS_PATH

_END = b"\r\n\r\n"


class Counts:
    """Requests served, of all connections."""

    requests = 0


class Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self, *, differs: bool) -> None:
        self._differs = differs
        self._held = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._held = (self._held + data).split(_END)
        for request in requests:
            Counts.requests += 1
            asks = request.startswith(f"GET {COUNTS_PATH} ".encode())
            self._transport.write(_counts() if asks else self._answer())

    def _answer(self) -> bytes:
        return answer(BODY, f"X-Request-Id: {uuid.uuid4().hex}\r\n") if self._differs else PLAIN


def answer(body: str, header: str = "") -> bytes:
    """All bytes of an answer."""
    kind = "Content-Type: application/json"
    return f"HTTP/1.1 200 OK\r\n{kind}\r\n{header}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")


def _counts() -> bytes:
    served = Counts.requests
    return answer(f"Active connections: 1 \nserver accepts handled requests\n {served} {served} {served} \n")


PLAIN = answer(BODY)


async def main(plain: int, heads: int, tls: int, certificate: str, key: str) -> None:
    """Serves until it is killed."""
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Answering(differs=False), "127.0.0.1", plain)
    await loop.create_server(lambda: Answering(differs=True), "127.0.0.1", heads)
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        await loop.create_server(lambda: Answering(differs=False), "127.0.0.1", tls, ssl=context)
    await asyncio.Event().wait()


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    plain_, heads_, tls_, certificate_, key_ = sys.argv[1:]
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(main(int(plain_), int(heads_), int(tls_), certificate_, key_))
