"""Readings of HTTP itself: what is left to any server, and to whatever stands before it."""

import gzip
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.variants.variant import Variant, enter, permitted
from touchstone.twin.serve import Asgi

Headers = list[tuple[bytes, bytes]]
# The server reads these itself, by their usual names.
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")

enter(
    Variant(
        name="far-away",
        says="Every answer takes 30 ms longer.",
        source="RFC 9110 (it knows no time)",
        pace={"latency_s": 0.03},
    )
)


class Answer:
    """Another application whose answers are changed on their way out."""

    def __init__(self, asgi_app: Asgi) -> None:
        self.asgi_app = asgi_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and the changed answer back."""
        json_answer = False

        async def changed(message: Message) -> None:
            nonlocal json_answer
            if message["type"] == "http.response.start":
                json_answer = (b"content-type", b"application/json") in message["headers"]
                message = {**message, "headers": list(self.headers(list(message["headers"]), is_json=json_answer))}
                await send(message)
                return
            for part in self.parts(message, is_json=json_answer):
                await send(part)

        await self.asgi_app(scope, receive, changed)

    def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:  # a seam
        """The headers that are sent."""
        return headers

    def parts(self, message: Message, *, is_json: bool) -> Iterator[Message]:  # a seam
        """What is sent of the body in the place of one message."""
        yield message


@permitted(source="RFC 9110 8.3 (a media type may have parameters)")
def media_types_with_charset(asgi_app: Asgi) -> Asgi:
    """Media types name the character set."""

    class Charset(Answer):
        def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:
            more = b"; charset=utf-8" if is_json else b";charset=UTF-8"
            return [(name, value.partition(b";")[0] + more if name == b"content-type" else value)
                    for name, value in headers]  # fmt: skip

    return Charset(asgi_app)


class Kept(bytes):
    """The name of a header that the server does not write down in small letters."""

    def lower(self) -> "Kept":
        """The name as it is."""
        return self


@permitted(source="RFC 9110 5.1 (names of headers ignore case)")
def header_names_in_capitals(asgi_app: Asgi) -> Asgi:
    """Names of headers are in capitals."""

    class Capitals(Answer):
        def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:  # a seam
            return [(name if name in _FRAMING else Kept(name.upper()), value) for name, value in headers]

    return Capitals(asgi_app)


@permitted(source="RFC 9110 5.1 (headers that nobody knows are ignored)")
def more_headers(asgi_app: Asgi) -> Asgi:
    """Answers have headers of a proxy, of a cache and of limits."""

    class More(Answer):
        def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:  # a seam
            yield from headers
            yield from (
                (b"x-ratelimit-limit", b"60"),
                (b"x-ratelimit-remaining", b"12"),
                (b"x-request-id", b"f3b1c5d2-0c53-4a8b-8e54-0d5b6d0f6a11"),
                (b"strict-transport-security", b"max-age=63072000"),
                (b"vary", b"Authorization, Accept-Encoding"),
                (b"server-timing", b"app;dur=1.2"),
                (b"set-cookie", b"edge=1; Path=/; HttpOnly"),
                (b"via", b"1.1 edge"),
            )

    return More(asgi_app)


@permitted(source="RFC 9112 7.1 (a body may come in chunks, without its length)")
def json_in_chunks(asgi_app: Asgi) -> Asgi:
    """JSON comes in pieces, and its length is not announced."""

    class Chunks(Answer):
        def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:
            return [header for header in headers if header[0] != b"content-length" or not is_json]

        def parts(self, message: Message, *, is_json: bool) -> Iterator[Message]:
            yield from in_pieces(message, 11) if is_json else (message,)

    return Chunks(asgi_app)


@permitted(source="RFC 8259 2, 7 (space between tokens, escapes in the place of characters)")
def json_spelled_otherwise(asgi_app: Asgi) -> Asgi:
    """JSON is indented, its keys are in another order, and letters may be escaped."""

    class Spelled(Answer):
        def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:
            return [header for header in headers if header[0] != b"content-length" or not is_json]

        def parts(self, message: Message, *, is_json: bool) -> Iterator[Message]:
            body = message.get("body")
            if is_json and body:
                text = json.dumps(json.loads(body), indent=2, sort_keys=True) + "\n"
                message = {**message, "body": text.replace("template", r"\u0074emplate").encode()}
            yield message

    return Spelled(asgi_app)


@permitted(source="build-events#intro, RFC 9112 7.1 (where a stream is cut says nothing)")
def log_in_small_pieces(asgi_app: Asgi) -> Asgi:
    """A log is sent a few bytes at a time, cut within frames and within characters."""

    class Pieces(Answer):
        def parts(self, message: Message, *, is_json: bool) -> Iterator[Message]:
            yield from (message,) if is_json else in_pieces(message, 7)

    return Pieces(asgi_app)


@permitted(source="RFC 9112 9.6 (a server may close after any answer)")
def connections_are_closed(asgi_app: Asgi) -> Asgi:
    """Each answer ends its connection."""

    class Closing(Answer):
        def headers(self, headers: Headers, *, is_json: bool) -> Iterable[tuple[bytes, bytes]]:  # a seam
            return [*headers, (b"connection", b"close")]

    return Closing(asgi_app)


@permitted(source="RFC 9110 12.5.3 (a client that names gzip takes it)")
def answers_are_compressed(asgi_app: Asgi) -> Asgi:
    """JSON is sent as gzip to a client that takes it."""
    compressed: Asgi = GZipMiddleware(asgi_app, minimum_size=1)
    return compressed


@permitted(source="RFC 9110 8.6 (the length of a body that is packed anew each time changes)")
def answers_are_packed_anew(asgi_app: Asgi) -> Asgi:
    """JSON is sent as gzip of another length each time, so that its length tells nothing of what it holds."""
    sent = itertools.count()

    async def packed(scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}

        async def pack(message: Message) -> None:
            nonlocal start
            if (
                message["type"] == "http.response.start"
                and (b"content-type", b"application/json") in message["headers"]
            ):
                start = message
            elif start and message["type"] == "http.response.body":
                body = _gzip(message.get("body", b""), b"x" * (1 + next(sent) % 7))
                length = (b"content-length", str(len(body)).encode())
                headers = [header for header in start["headers"] if header[0] != b"content-length"]
                await send({**start, "headers": [*headers, (b"content-encoding", b"gzip"), length]})
                await send({**message, "body": body})
            else:
                await send(message)

        takes_it = any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])
        await asgi_app(scope, receive, pack if takes_it else send)

    return packed


def _gzip(body: bytes, name: bytes) -> bytes:
    """One member of gzip with the name of a file.

    Source: RFC 1952 2.3.1.
    """
    packed = gzip.compress(body, mtime=0)
    return packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:]


@permitted(
    source="RFC 9110 9.1 (GET and HEAD alone are asked of a server for all purposes; api-intro#statuses names 405)"
)
def head_is_405(asgi_app: Asgi) -> Asgi:
    """HEAD is a method that no path has."""

    async def headless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await asgi_app(scope, receive, send)
            return
        headers: list[Any] = [(b"allow", b"GET"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body"})

    return headless


def in_pieces(message: Message, size: int) -> Iterator[Message]:
    """A message in several, each with at most so many bytes."""
    body: bytes = message.get("body", b"")
    cuts = range(0, len(body), size)
    for start in cuts:
        more = start + size < len(body) or message.get("more_body", False)
        yield {**message, "body": body[start : start + size], "more_body": more}
    if not body:
        yield message
