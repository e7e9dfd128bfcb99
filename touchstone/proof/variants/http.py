"""Variants of HTTP and of response bodies: fields, error bodies, texts, and effects of a proxy."""

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.boundary import code, drop, on, put
from touchstone.proof.faults.fault import own
from touchstone.proof.variants.variant import freedom, permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.app import answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Body
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account


@permitted(7)
class ReadsRememberTheReuse(Engine):
    """After a start that reused a snapshot (golden), status responses of the version have reused true as well."""

    reused = own(set[tuple[str, Ref, Build]])

    def reused_body(self, version: Version, golden: Build) -> Body:
        self.reused.add((version.owner, version.ref, golden))
        return super().reused_body(version, golden)

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        golden = self.slot_of(version).golden if body["status"] == "ready" else None
        return body | {"reused": (version.owner, version.ref, golden) in self.reused} if golden else body


@permitted(8)
class GoldenDirIsShown(Engine):
    """Every response with the status ready contains the field golden_dir."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | self.place_of(version) if body["status"] == "ready" else body

    def reused_body(self, version: Version, golden: Build) -> Body:
        return super().reused_body(version, golden) | self.place_of(version)

    def place_of(self, version: Version) -> Body:
        return {"golden_dir": f"/var/lib/goldens/{version.digest[-16:]}"}


@permitted(source="build#response (a list of fields that is not called complete)")
class MoreFieldsThanDocumented(App):
    """Every JSON response contains undocumented fields."""

    async def operate(self, request: Request, account: Account, resource: Any) -> Response:
        response = await super().operate(request, account, resource)
        if response.media_type != "application/json":
            return response
        return answer_json(response.status_code, with_more(response))

    def refused(self, refusal: Refusal) -> Response:
        response = super().refused(refusal)
        return answer_json(refusal.status, with_more(response), refusal.headers)


@permitted(16, 17, over=App.refused)
def errors_hold_error_alone(app: App, refusal: Refusal) -> Response:
    """Error responses have no request_id and no code."""
    body = {key: value for key, value in refusal.body.items() if key in ("error", "errors")}
    return answer_json(refusal.status, body, refusal.headers)


@permitted(16, over=App.refused)
def every_error_has_a_code(app: App, refusal: Refusal) -> Response:
    """Every error response has a code."""
    body = {"code": f"E{refusal.status}", **refusal.body, "request_id": app.request_id()}
    return answer_json(refusal.status, body, refusal.headers)


@permitted(17, over=App.refused)
def request_ids_of_any_length(app: App, refusal: Refusal) -> Response:
    """The request_id of an error consists of one to seven digits."""
    number = int(app.request_id().replace("-", ""), 16)
    return answer_json(
        refusal.status, {**refusal.body, "request_id": f"{number % 10 ** (1 + number % 7)}"}, refusal.headers
    )


@permitted(17, over=App.refused)
def request_id_in_a_header_only(app: App, refusal: Refusal) -> Response:
    """Error responses have the request id in the header X-Request-Id, not in the body."""
    headers = {**refusal.headers, "X-Request-Id": app.request_id()}
    return answer_json(refusal.status, refusal.body, headers)


@permitted(39)
class InvalidDocumentListsErrorsOnly(App):
    """The 422 for an invalid document has a list of errors, but no error text."""

    def refused(self, refusal: Refusal) -> Response:
        if "errors" in refusal.body:
            del refusal.body["error"]
        return super().refused(refusal)


def with_more(response: Response) -> dict[str, Any]:
    """Returns the JSON object of a response, with undocumented fields of several types added."""
    body = parsed(response)
    return {**body, "api_revision": 7, "links": {"self": "/api"}, "hints": [], "note": None}


def parsed(response: Response) -> dict[str, Any]:
    """Parses the JSON object of a response."""
    return dict(json.loads(bytes(response.body)))


# Headers that uvicorn itself reads in lower case.
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


Headers = list[tuple[bytes, bytes]]
Parts = Callable[[Message, bool], Iterable[Message]]


def outgoing(
    headers: Callable[[Headers, bool], Headers] = lambda headers, _: headers,
    parts: Parts = lambda message, _: (message,),
) -> Callable[[Asgi], Asgi]:
    """Returns a wrapper that changes outgoing responses.

    Args:
        headers: Returns the headers to send, given the usual ones and whether the response is JSON.
        parts: Returns the messages to send, given one body message and whether the response is JSON.
    """

    def wrap(asgi_app: Asgi) -> Asgi:
        async def changing(scope: Scope, receive: Receive, send: Send) -> None:
            is_json = False

            async def changed(message: Message) -> None:
                nonlocal is_json
                if message["type"] == "http.response.start":
                    is_json = (b"content-type", b"application/json") in message["headers"]
                    await send({**message, "headers": headers(list(message["headers"]), is_json)})
                    return
                for part in parts(message, is_json):
                    await send(part)

            await asgi_app(scope, receive, changed)

        return changing

    return wrap


class Kept(bytes):
    """Header name that uvicorn does not convert to lower case."""

    def lower(self) -> "Kept":
        return self


def typed(headers: Headers, is_json: bool) -> Headers:
    """Returns headers with a charset in the media type."""
    more = b"; charset=utf-8" if is_json else b";charset=UTF-8"
    return [(name, value.partition(b";")[0] + more if name == b"content-type" else value) for name, value in headers]


def unmeasured(headers: Headers, is_json: bool) -> Headers:
    """Returns the headers without Content-Length if the response is JSON."""
    return [header for header in headers if header[0] != b"content-length" or not is_json]


def spelled(message: Message, is_json: bool) -> Iterator[Message]:
    """Yields the message with its JSON serialised in another way."""
    body = message.get("body")
    if is_json and body:
        text = json.dumps(json.loads(body), indent=2, sort_keys=True) + "\n"
        message = {**message, "body": text.replace("template", r"\u0074emplate").encode()}
    yield message


_PROXY: Headers = [
    (b"x-ratelimit-limit", b"60"),
    (b"x-ratelimit-remaining", b"12"),
    (b"x-request-id", b"f3b1c5d2-0c53-4a8b-8e54-0d5b6d0f6a11"),
    (b"strict-transport-security", b"max-age=63072000"),
    (b"vary", b"Authorization, Accept-Encoding"),
    (b"server-timing", b"app;dur=1.2"),
    (b"set-cookie", b"edge=1; Path=/; HttpOnly"),
    (b"via", b"1.1 edge"),
]


@permitted(source="RFC 9110 12.5.3 (a client that lists gzip accepts it)")
def answers_are_compressed(asgi_app: Asgi) -> Asgi:
    """JSON is compressed with gzip for clients that accept gzip."""
    compressed: Asgi = GZipMiddleware(asgi_app, minimum_size=1)
    return compressed


@permitted(source="RFC 9110 8.6 (the length of a compressed body may change)")
def answers_are_packed_anew(asgi_app: Asgi) -> Asgi:
    """JSON is compressed with gzip, and the compressed length changes with each response."""
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
    """Compresses *body* to a gzip member with the file name *name* (RFC 1952 2.3.1)."""
    packed = gzip.compress(body, mtime=0)
    return packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:]


@permitted(source="RFC 9110 9.1 (a general-purpose server must support GET and HEAD; api-intro#statuses lists 405)")
def head_is_405(asgi_app: Asgi) -> Asgi:
    """HEAD is answered with 405."""

    async def headless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await asgi_app(scope, receive, send)
            return
        headers: list[Any] = [(b"allow", b"GET"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body"})

    return headless


def in_pieces(message: Message, size: int) -> Iterator[Message]:
    """Splits a message into several with at most *size* bytes each."""
    body: bytes = message.get("body", b"")
    cuts = range(0, len(body), size)
    for start in cuts:
        more = start + size < len(body) or message.get("more_body", False)
        yield {**message, "body": body[start : start + size], "more_body": more}
    if not body:
        yield message


# fmt: off
freedom("fresh-start-says-reused-false", "A start that begins a build is answered with reused false.",
        on("startBuild.202.building", put(reused=False)), 6)
freedom("reads-leave-out-reused", "Status responses have no reused.", on("getBuild.200.*", drop("reused")), 6, 9)
freedom("reuse-answers-200", "A start that reuses a golden is answered with 200.",
        on("startBuild.202.ready", code(200)), 5)
freedom("failure-looks-like-an-error", "The status of a failed version also has the fields of an API error.",
        on("getBuild.200.failed", put(
            code="BUILD_FAILED", request_id="5b0cf8a4-7a3e-4d0c-9b1c-6a1f0f6f2b77")), 34)
freedom("far-away", "Every response takes 30 ms longer.", Engine, pace={"latency_s": 0.03},
        source="RFC 9110 (it sets no time limits)")
freedom("media-types-with-charset", "Media types have a charset parameter.", outgoing(typed),
        source="RFC 9110 8.3 (a media type may have parameters)")
freedom("header-names-in-capitals", "Header names are in upper case.",
        outgoing(lambda headers, _: [
            (name if name in _FRAMING else Kept(name.upper()), value) for name, value in headers]),
        source="RFC 9110 5.1 (header names are case-insensitive)")
freedom("more-headers", "Responses have additional headers of a proxy, a cache and a rate limiter.",
        outgoing(lambda headers, _: [*headers, *_PROXY]), source="RFC 9110 5.1 (unknown headers are ignored)")
freedom("json-in-chunks", "JSON is sent in chunks, without a Content-Length.",
        outgoing(unmeasured, lambda message, is_json: in_pieces(message, 11) if is_json else (message,)),
        source="RFC 9112 7.1 (a body may be sent in chunks, without its length)")
freedom("json-spelled-otherwise", "JSON is indented, its keys have another order, and some letters are escaped.",
        outgoing(unmeasured, spelled),
        source="RFC 8259 2, 7 (space between tokens, escaped characters)")
freedom("log-in-small-pieces", "A log is sent in chunks of seven bytes, which split frames and characters.",
        outgoing(parts=lambda message, is_json: (message,) if is_json else in_pieces(message, 7)),
        source="build-events#intro, RFC 9112 7.1 (the size of chunks has no meaning)")
freedom("connections-are-closed", "The server closes the connection after each response.",
        outgoing(lambda headers, _: [*headers, (b"connection", b"close")]),
        source="RFC 9112 9.6 (a server may close after any response)")
# fmt: on
