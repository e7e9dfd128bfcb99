"""A reverse proxy that passes bytes on as they come, and reports each request with its response once it is complete.

Each connection of a client has one connection to the target. h11 only reads along, to find where a message ends: of
what passes, nothing is changed but the Host header.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import h11

from touchstone.target.call import NOT_REACHED, Answer, Head
from touchstone.target.connections import trusting

_PIECE_BYTES = 65_536
_MAX_HEAD_BYTES = 1 << 20
_HOST = re.compile(rb"(?im)^host:[^\r\n]*")
_MAX_CHUNKS = 10_000
_POLL_S = 0.05


@dataclass(slots=True)
class Passage:
    """One request and its response, as they passed. Times are in seconds on the monotonic clock."""

    method: str
    target: str  # path and query
    headers: tuple[tuple[str, str], ...]
    answer: Answer  # its *chunks* have the body, with its transfer coding removed
    body: bytearray = field(default_factory=bytearray)
    is_cut: bool = False  # whether a body was longer than the proxy keeps
    _kept_bytes: int = 0

    def keep(self, body: bytes, most_bytes: int) -> None:
        """Keeps a piece of the body of the response, unless the body is too long."""
        self._kept_bytes += len(body)
        if self._kept_bytes > most_bytes or len(self.answer.chunks) >= _MAX_CHUNKS:
            self.is_cut = True
        else:
            self.answer.chunks.append((time.monotonic() - self.answer.sent_at, body))


class Proxy:
    """Passes requests to the server at *url*, whose path is not used. *passed* receives each passage at its end."""

    def __init__(self, url: str, passed: Callable[[Passage], None], most_bytes: int) -> None:
        base = urlsplit(url)
        self._tls = trusting() if base.scheme == "https" else None
        self._address = base.hostname or "", base.port or (443 if self._tls else 80)
        self.host = base.netloc.rpartition("@")[2].encode("idna")
        self.most_bytes = most_bytes  # kept of each body
        self._passed = passed
        self._count = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection of a client until one side closes it."""
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        # asyncio does so only for listeners of its own.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # only `stop` cancels
                await _Connection(self, reader, writer).run()
        finally:
            self._connections.discard(task)
            writer.close()

    async def stop(self) -> None:
        """Ends all connections; a response that is incomplete counts as given up by its client."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Opens a connection to the target; raises OSError."""
        return await asyncio.open_connection(*self._address, ssl=self._tls)

    def begin(self, request: h11.Request) -> Passage:
        """Returns the passage of a request that is about to be sent."""
        self._count += 1
        method, target = request.method.decode(), request.target.decode("latin-1")
        answer = Answer(sent_at=time.monotonic(), seq=self._count)
        return Passage(method, target, _text(request.headers.raw_items()), answer)

    def end(self, passage: Passage) -> None:
        """Reports a passage."""
        passage.answer.done_at = time.monotonic()
        passage.answer.head_at = passage.answer.head_at or passage.answer.done_at
        self._passed(passage)


class _Connection:
    """One connection of a client, and its connection to the target."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._rest = b""  # received from the client, and not yet part of a request
        self._far: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Passes requests on, one after the other."""
        try:
            while await self._pass_one():
                pass
        finally:
            if self._far:
                self._far[1].close()

    async def _head(self) -> bytes:
        """Receives the head of the next request, without its empty line; returns nothing if none comes."""
        while b"\r\n\r\n" not in self._rest:
            data = await self._reader.read(_PIECE_BYTES)
            self._rest += data
            if not data or len(self._rest) > _MAX_HEAD_BYTES:
                return b""
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head

    async def _pass_one(self) -> bool:
        """Passes one request and its response; returns whether the connections may carry another one."""
        if not (head := await self._head()):
            return False
        inbound = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        inbound.receive_data(head + b"\r\n\r\n")
        try:
            request = inbound.next_event()
            assert isinstance(request, h11.Request)
            passage = self._proxy.begin(request)
        except h11.RemoteProtocolError as error:
            return await self._refuse(400, f"the request is no HTTP/1.1: {error}")
        return await self._exchange(head, request.method, inbound, passage)

    async def _exchange(self, head: bytes, method: bytes, inbound: h11.Connection, passage: Passage) -> bool:
        """Sends a request on, and its response back; returns whether the connections may carry another one."""
        is_reused = self._far is not None and not self._far[0].at_eof()
        try:
            far_reader, far_writer = await self._connect()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            passage.answer.error = f"{NOT_REACHED[0]}: {why}"
            self._proxy.end(passage)
            return await self._refuse(502, f"the target cannot be reached: {why}")
        far_writer.write(_HOST.sub(b"Host: " + self._proxy.host, head, count=1) + b"\r\n\r\n")
        begun, self._rest = self._rest, b""
        sending = asyncio.create_task(self._send(inbound, begun, passage, far_writer))
        try:
            try:
                may_go_on = await self._receive(method, passage, far_reader)
            except BaseException:  # the client has gone, or the proxy stops: not the fault of the target
                passage.answer.closed = "client"
                raise
            if not passage.answer.head and not passage.answer.error:
                kind = NOT_REACHED[0] if is_reused else "RemoteProtocolError"
                passage.answer.error = f"{kind}: the target closed the connection without a response"
            # The target may respond before it has the whole request.
            while may_go_on and inbound.their_state is h11.SEND_BODY and not sending.done():
                await asyncio.wait([sending], timeout=_POLL_S)
            return may_go_on and inbound.their_state is h11.DONE
        finally:
            sending.cancel()
            self._proxy.end(passage)
            await asyncio.gather(sending, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection to the target: the one of the last request, unless the target has closed it since."""
        if self._far and self._far[0].at_eof():
            self._far[1].close()
            self._far = None
        self._far = self._far or await self._proxy.connect()
        return self._far

    async def _send(self, inbound: h11.Connection, data: bytes, passage: Passage, writer: asyncio.StreamWriter) -> None:
        """Passes the body of a request on; then waits, and closes the connection to the target if the client leaves."""
        try:
            while True:
                if data:
                    inbound.receive_data(data)
                while isinstance(event := inbound.next_event(), h11.Data):
                    passage.is_cut |= len(passage.body) + len(event.data) > self._proxy.most_bytes
                    passage.body += b"" if passage.is_cut else event.data
                if is_complete := isinstance(event, h11.EndOfMessage):
                    self._rest = inbound.trailing_data[0]
                writer.write(data[: len(data) - len(self._rest)])
                await writer.drain()
                if is_complete or not (data := await self._reader.read(_PIECE_BYTES)):
                    break
            # Only a client that does not wait for responses sends its next request now.
            if not self._rest:
                self._rest = await self._reader.read(_PIECE_BYTES)
            has_left = not self._rest
        except (ConnectionError, h11.RemoteProtocolError):
            has_left = True
        if has_left:
            passage.answer.closed = "client"
            writer.transport.abort()

    async def _receive(self, method: bytes, passage: Passage, reader: asyncio.StreamReader) -> bool:
        """Passes a response on as it comes; returns whether the connection to the target may be used again."""
        outbound = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        outbound.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"target")]))
        outbound.send(h11.EndOfMessage())
        while True:
            try:
                data = await reader.read(_PIECE_BYTES)
            except OSError as error:  # the target has gone, or the client has
                passage.answer.error = passage.answer.error or f"ReadError: {error.strerror or error}"
                return False
            self._writer.write(data)
            await self._writer.drain()
            if not passage.answer.error:
                try:
                    outbound.receive_data(data)
                    if self._is_complete(outbound, passage):
                        return bool(data) and outbound.their_state is h11.DONE and not outbound.trailing_data[0]
                except h11.RemoteProtocolError as error:  # the client gets what comes, whatever it is
                    passage.answer.error = f"RemoteProtocolError: {error}" if data or passage.answer.head else ""
            if not data:
                return False

    def _is_complete(self, outbound: h11.Connection, passage: Passage) -> bool:
        """Reads along what has come of a response; returns whether it is complete."""
        while True:
            event = outbound.next_event()
            if isinstance(event, h11.Response):
                passage.answer.head_at = time.monotonic()
                passage.answer.head = Head(event.status_code, _text(event.headers))
            elif isinstance(event, h11.Data):
                passage.keep(bytes(event.data), self._proxy.most_bytes)
            elif not isinstance(event, h11.InformationalResponse):
                return isinstance(event, h11.EndOfMessage)

    async def _refuse(self, status: int, detail: str) -> bool:
        """Answers a request that cannot be passed on."""
        body = json.dumps({"status": status, "detail": f"touchstone proxy: {detail}"}).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/problem+json\r\n"
        self._writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await self._writer.drain()
        return False


def _text(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
