"""Readings of HTTP and of what answers hold: fields, error bodies, texts, and what stands before the server."""

import gzip
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.variants.variant import freedom, permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.app import answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Body
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account


@permitted(6, over=Engine.building_body)
def fresh_start_says_reused_false(engine: Engine, version: Version) -> Body:
    """The answer to a start that begins a build says reused false."""
    return {**Engine.building_body(engine, version), "reused": False}


@permitted(6, 9, over=Engine.status_body)
def reads_leave_out_reused(engine: Engine, version: Version) -> Body:
    """A status read does not mention reused."""
    body = Engine.status_body(engine, version)
    body.pop("reused", None)
    return body


@permitted(7)
class ReadsRememberTheReuse(Engine):
    """After a reuse the status reads say reused true, too."""

    def __init__(self, *arguments: Any) -> None:
        self.reused: set[tuple[str, Ref, Build]] = set()
        super().__init__(*arguments)

    def reused_body(self, version: Version, golden: Build) -> Body:
        self.reused.add((version.owner, version.ref, golden))
        return super().reused_body(version, golden)

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        golden = self.slot_of(version).golden if body["status"] == "ready" else None
        return body | {"reused": (version.owner, version.ref, golden) in self.reused} if golden else body


@permitted(8)
class GoldenDirIsShown(Engine):
    """A built version tells the directory of its golden."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | self.place_of(version) if body["status"] == "ready" else body

    def reused_body(self, version: Version, golden: Build) -> Body:
        return super().reused_body(version, golden) | self.place_of(version)

    def place_of(self, version: Version) -> Body:
        return {"golden_dir": f"/var/lib/goldens/{version.digest[-16:]}"}


@permitted(5, over=App.start_build)
def reuse_answers_200(app: App, account: Account, version: Version) -> Response:
    """A start that reuses a golden is answered with 200."""
    response = App.start_build(app, account, version)
    response.status_code = 200 if parsed(response)["status"] == "ready" else response.status_code
    return response


@permitted(34, over=Engine.status_body)
def failure_looks_like_an_error(engine: Engine, version: Version) -> Body:
    """The status of a failed build has the fields of an API error beside its own."""
    body = Engine.status_body(engine, version)
    if body["status"] == "failed":
        body |= {"code": "BUILD_FAILED", "request_id": "5b0cf8a4-7a3e-4d0c-9b1c-6a1f0f6f2b77"}
    return body


@permitted(source="build#response (an object whose fields are listed, none of them said to be the last)")
class MoreFieldsThanDocumented(App):
    """Every JSON object holds fields that nobody documented."""

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
    """An error has no request_id and no code."""
    body = {key: value for key, value in refusal.body.items() if key in ("error", "errors")}
    return answer_json(refusal.status, body, refusal.headers)


@permitted(16, over=App.refused)
def every_error_has_a_code(app: App, refusal: Refusal) -> Response:
    """The second stable field is code: every error has one."""
    body = {"code": f"E{refusal.status}", **refusal.body, "request_id": app._request_ids.next()}
    return answer_json(refusal.status, body, refusal.headers)


@permitted(17, over=App.refused)
def request_ids_of_any_length(app: App, refusal: Refusal) -> Response:
    """The id of a request is a number, which is longer with some requests than with others."""
    number = int(app._request_ids.next().replace("-", ""), 16)
    return answer_json(
        refusal.status, {**refusal.body, "request_id": f"{number % 10 ** (1 + number % 7)}"}, refusal.headers
    )


@permitted(17, over=App.refused)
def request_id_in_a_header_only(app: App, refusal: Refusal) -> Response:
    """The id of a request is in a header and in no body."""
    headers = {**refusal.headers, "X-Request-Id": app._request_ids.next()}
    return answer_json(refusal.status, refusal.body, headers)


@permitted(39, over=App.refused)
def invalid_document_lists_errors_only(app: App, refusal: Refusal) -> Response:
    """The answer to an invalid document lists its errors and has no text of its own."""
    if "errors" in refusal.body:
        del refusal.body["error"]
    return App.refused(app, refusal)


def with_more(response: Response) -> dict[str, Any]:
    """The JSON object of an answer with undocumented fields of several kinds."""
    body = parsed(response)
    return {**body, "api_revision": 7, "links": {"self": "/api"}, "hints": [], "note": None}


def parsed(response: Response) -> dict[str, Any]:
    """The JSON object of an answer."""
    return dict(json.loads(bytes(response.body)))


Headers = list[tuple[bytes, bytes]]
# The server reads these itself, by their usual names.
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")

freedom(
    "far-away",
    "Every answer takes 30 ms longer.",
    Engine,
    pace={"latency_s": 0.03},
    source="RFC 9110 (it knows no time)",
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
