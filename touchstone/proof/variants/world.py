"""Variants of the world around the API: caches, connections, forms of HTTP, slow drifts, limits and streams."""

import asyncio
import itertools
import re
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.faults.fault import own
from touchstone.proof.variants.http import Headers, outgoing, unmeasured
from touchstone.proof.variants.variant import FREEDOMS, freedom, permitted
from touchstone.twin import App, Engine, RateLimit
from touchstone.twin.app import Resource
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account


@permitted(source="RFC 9110 8.8.3, 13.1.2, 14.2 (ETag, If-None-Match and Range)")
class ReadsCanBeCached(App):
    """Status reads have a strong ETag, template reads a weak one; a known read gets a 304, and a range a 206."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if request.method not in ("GET", "HEAD") or response.status_code != 200 or resource.kind == "events":
            return response
        tag, known = f'"{zlib.crc32(response.body):x}"', ",".join(request.headers.getlist("if-none-match"))
        fields = {"ETag": tag} if resource.kind == "build" else {"ETag": f"W/{tag}", "Accept-Ranges": "bytes"}
        if known == "*" or tag in re.findall('"[^"]*"', known):
            return Response(None, 304, fields)
        response.headers.update(fields)
        return part_of(request, response)


def part_of(request: Request, response: Response) -> Response:
    """Returns the part of a template that a GET asks for; RFC 9110 14.2: other ranges may be ignored."""
    found, body = re.fullmatch(r"bytes=(\d{1,9})-(\d{0,9})", request.headers.get("range", "")), bytes(response.body)
    first, last = (int(found[1]), min(int(found[2] or 10**9), len(body) - 1)) if found else (0, -1)
    is_whole = "accept-ranges" not in response.headers or "if-range" in request.headers or last < first
    if is_whole or request.method != "GET":
        return response
    fields = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(body[first : last + 1], 206, {**fields, "Content-Range": f"bytes {first}-{last}/{len(body)}"})


@permitted(source="RFC 9112 9.5, 9.6 (a server may close an idle connection, and any connection after a response)")
def connections_end_early(asgi_app: Asgi) -> Asgi:
    """Every third response ends its connection, and 50 ms without a request end one without notice."""
    turns = itertools.cycle((asgi_app, asgi_app, FREEDOMS["connections-are-closed"].wrap(asgi_app)))

    async def ending(scope: Scope, receive: Receive, send: Send) -> None:
        if cycle := getattr(send, "__self__", None):  # of uvicorn
            cycle.on_response.__self__.timeout_keep_alive = 0.05
        await next(turns)(scope, receive, send)

    return ending


def written(edit: Callable[[bytes], bytes], headers: Callable[[Headers, bool], Headers]) -> Callable[[Asgi], Asgi]:
    """Returns a wrapper that changes headers, and edits what uvicorn writes: a head, or one piece of a body."""

    def wrap(asgi_app: Asgi) -> Asgi:
        async def editing(scope: Scope, receive: Receive, send: Send) -> None:
            if cycle := getattr(send, "__self__", None):  # of uvicorn
                plain = cycle.transport  # RFC 9112 9.6: an abrupt close may lose a response, so only one half is closed
                cycle.transport = SimpleNamespace(write=lambda data: plain.write(edit(data)), close=plain.write_eof)
            await outgoing(headers)(asgi_app)(scope, receive, send)

        return editing

    return wrap


def to_http_1_0(data: bytes) -> bytes:
    """Makes a head one of HTTP/1.0, or removes the chunked coding of a piece."""
    if data.startswith(b"HTTP/"):
        return data.replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(b"transfer-encoding: chunked\r\n", b"")
    size, _, rest = data.partition(b"\r\n")
    return rest[: int(size or b"0", 16)]


def respelled(data: bytes) -> bytes:
    """Removes the reason of a head and changes its spaces; adds an extension to a chunk, and a trailer to the last."""
    if data.startswith(b"HTTP/"):
        return re.sub(rb"(?m)^([\w-]+): (.*)\r$", rb"\1:\2 \t\r", re.sub(rb"^(\S+ \d+ )[^\r]*", rb"\1", data))
    data = re.sub(rb"^([0-9a-f]+)\r\n", rb'\1;note="a; b"\r\n', data)
    return re.sub(rb"(^|\r\n)(0[^\r]*\r\n)\r\n\Z", rb"\1\2server-timing: app;dur=1\r\n\r\n", data)


# fmt: off
_LIMITS = "build#errors (429, without a number or a method of counting)"
_MORE = [(b"trailer", b"server-timing"), (b"vary", b"accept"), (b"vary", b"origin"), (b"x-b", b""), (b"x-a", b"\xf6")]
freedom("hints-come-first", "Every response follows an interim response with the status 103.",
        written(lambda data: b"HTTP/1.1 103 Early Hints\r\n\r\n" * data.startswith(b"HTTP/") + data,
                lambda headers, _: [*headers, (b"link", b"</docs>; rel=help")]),
        source="RFC 9110 15.2 (a client must accept interim responses that it does not expect)")
freedom("responses-in-http-1-0", "Responses are of HTTP/1.0: without a length, and each ends with its connection.",
        written(to_http_1_0, lambda headers, is_json: [*unmeasured(headers, is_json), (b"connection", b"close")]),
        source="RFC 1945 6, 7.2.2; RFC 9112 6.3 (a body without a length ends with the connection)")
freedom("http-spelled-otherwise", "Heads have no reason and other spaces; chunks have extensions and trailers.",
        written(respelled, lambda headers, is_json: [*unmeasured(headers, is_json), *_MORE]),
        source="RFC 9110 5.3, 5.5, 6.5; RFC 9112 4, 5, 7.1 (no reason, optional spaces, extensions, trailers)")
freedom("few-starts-at-once", "An account has at most four starts in work, each for 20 ms; more are refused.", Engine,
        source=_LIMITS, pace={"rate": RateLimit.parse("concurrency:4,takes=0.02")})
freedom("starts-wait-their-turn", "Starts above 20 a second wait for their turn, and only the 31st is refused.", Engine,
        source=_LIMITS, pace={"rate": RateLimit.parse("leaky-bucket:20/1,burst=30,delay=5")})
freedom("few-builds-at-once", "An account has at most three builds in flight, those being cancelled included.", Engine,
        source=_LIMITS, pace={"rate": RateLimit.parse("builds:3")})
# fmt: on


@permitted(source="RFC 9110 (it sets no time limits)")
class LatencyJitters(App):
    """Requests wait for up to 80 ms before they take effect, and responses afterwards."""

    pauses = own(lambda: itertools.cycle((0.0, 0.0, 0.08, 0.0, 0.01, 0.0, 0.04)))

    async def answer(self, request: Request) -> Response:
        await asyncio.sleep(next(self.pauses))
        response = await super().answer(request)
        await asyncio.sleep(next(self.pauses))
        return response


@permitted(source="build#intro (two minutes are typical, not promised); ambiguity 7.12")
class BuildsGetSlower(Engine):
    """Builds and cancels take 10 ms longer for each content built so far; every twentieth is as fast as the first."""

    def make_build(self, version: Version) -> Build:
        build, more_s = super().make_build(version), len(self.slots) % 20 * 0.01
        build.settings = replace(self.settings, build_s=self.settings.build_s + more_s, settle_s=0.05 + more_s)
        return build


@permitted(30, over=Engine.follow)
async def log_comes_in_halves(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """A log comes in batches every 50 ms, each in two halves; silence is filled with comments."""
    sent, closed = 0, False
    while not closed:
        closed, batch = build.stream.closed, b"".join(build.stream.frames[sent:]) or b": no news\n\n"
        sent = len(build.stream.frames)
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            yield half
            await asyncio.sleep(0.025)


@permitted(source="RFC 9110 12.5.3 (a client that lists gzip accepts it, also for a stream)", over=App.stream_events)
def logs_are_compressed(app: App, request: Request, version: Version) -> Response:
    """Logs are compressed with gzip, piece by piece, for clients that accept gzip."""
    response = App.stream_events(app, request, version)
    if "gzip" in request.headers.get("accept-encoding", ""):
        response.headers["Content-Encoding"] = "gzip"
        response.body_iterator = compressed(response.body_iterator)  # type: ignore[attr-defined]  # a StreamingResponse
    return response


async def compressed(frames: Any) -> AsyncIterator[bytes]:
    """Yields each frame compressed, and then the end of the gzip stream."""
    packer = zlib.compressobj(wbits=31)
    async for frame in frames:
        yield packer.compress(frame) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
