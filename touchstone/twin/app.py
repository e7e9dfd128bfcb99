"""The HTTP layer of the twin: it parses requests and renders responses. `Engine` does the rest."""

import asyncio
import json
import logging
import random
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from touchstone.twin.answers import Refusal
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Problem, invalid, read_document
from touchstone.twin.engine import Engine
from touchstone.twin.settings import Account

Kind = Literal["templates", "template", "build", "events"]
METHODS: dict[Kind, tuple[str, ...]] = {
    "templates": ("POST",),
    "template": ("DELETE", "GET", "HEAD"),
    "build": ("DELETE", "GET", "HEAD", "POST"),
    "events": ("GET", "HEAD"),
}
NO_REF = Ref("", "", "")
_KINDS: dict[tuple[str, ...], Kind] = {(): "template", ("build",): "build", ("build", "events"): "events"}


@dataclass(frozen=True, slots=True)
class Resource:
    """The kind of resource and the version that a path addresses. For ``/templates``, *ref* is empty."""

    kind: Kind
    ref: Ref = NO_REF


@lru_cache(maxsize=512)
def resource_at(raw_path: bytes, base_path: str) -> Resource | None:
    """Returns the resource at a path, or None. An encoded slash is part of a segment (RFC 3986, section 2.4)."""
    prefix = base_path.encode() + b"/"
    if not raw_path.startswith(prefix):
        return None
    try:
        first, *parts = [unquote_to_bytes(part).decode() for part in raw_path[len(prefix) :].split(b"/")]
    except UnicodeDecodeError:
        return None
    if first == "templates" and not parts:
        return Resource("templates")
    kind = _KINDS.get(tuple(parts[3:])) if first == "templates" and len(parts) >= 3 else None
    return Resource(kind, Ref(*parts[:3])) if kind else None


LARGEST_BODY_BYTES = 1_000_000
SWITCHES = {"true": True, "1": True, "false": False, "0": False}
logger = logging.getLogger(__name__)


class App:
    """The ASGI application of one twin."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.settings = engine.settings
        self._random = random.Random(engine.settings.seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Responds to one request; an unexpected exception becomes a 500."""
        if scope["type"] != "http":
            return
        if self.settings.latency_s:
            await asyncio.sleep(self.settings.latency_s)
        try:
            response = await self.answer(Request(scope, receive))
        except Refusal as refusal:
            response = self.refused(refusal)
        except ClientDisconnect:
            return
        except Exception:
            logger.exception("the twin failed to answer %s %s", scope["method"], scope["path"])
            response = self.refused(Refusal(500, "Internal error."))
        await response(scope, receive, send)

    def refused(self, refusal: Refusal) -> Response:
        """Renders an error response as JSON, with a new request id."""
        return answer_json(refusal.status, {**refusal.body, "request_id": self.request_id()}, refusal.headers)

    def request_id(self) -> str:
        """Returns a random UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    async def answer(self, request: Request) -> Response:
        """Finds the account and the resource, then carries out the operation; raises error responses as Refusals."""
        raw_path: bytes = request.scope["raw_path"]
        base = f"{self.settings.base_path}/".encode()
        if not raw_path.startswith(base):
            raise Refusal(404, "No such path.")
        account = self.engine.account_of(request.headers.getlist("authorization"))
        resource = resource_at(raw_path, self.settings.base_path)
        if resource is None:
            raise Refusal(404, "No such path.")
        allowed = METHODS[resource.kind]
        if request.method not in allowed:
            raise Refusal(405, "Method not allowed.", {"Allow": ", ".join(allowed)})
        return await self.operate(request, account, resource)

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        """Carries out the operation that *request* names, on *resource*."""
        reads = request.method in ("GET", "HEAD")
        if resource.kind == "templates":
            return await self.publish(request, account)
        if resource.kind == "build" and request.method == "POST":
            self.engine.require_plan(account, "Building")
        version = self.engine.require(account, resource.ref)
        if resource.kind == "template":
            return self.get_template(version) if reads else self.delete_template(version)
        if resource.kind == "events":
            return self.stream_events(request, version)
        if reads:
            return self.get_build(version)
        if request.method != "POST":
            return self.cancel_build(version)
        response = self.start_build(account, version)
        await self.hold()
        return response

    async def hold(self) -> None:
        """Waits for as long as the rate limiter delays the response to the start that was just accepted."""
        delay_s, self.engine.delay_s = self.engine.delay_s, 0.0
        if delay_s:
            await asyncio.sleep(delay_s)

    async def publish(self, request: Request, account: Account) -> Response:
        """Publishes the document in the body; with ``auto_build=true``, also starts a build of the version."""
        self.engine.require_plan(account, "Publishing")
        switches = read_switches(request.scope["query_string"], ("auto_build", "force"))
        body = await read_limited(request)
        document = read_document(body, request.headers.get("content-type", ""))
        version = self.engine.publish(account, document, force=switches["force"])
        answer = self.engine.published_body(version)
        if switches["auto_build"]:
            answer["auto_build"] = self.auto_build(account, version)
            await self.hold()
        return answer_json(201, answer)

    def auto_build(self, account: Account, version: Version) -> str:
        """Starts the build of a published version; returns the status, or ``not_built`` if the start is rejected."""
        try:
            return str(self.engine.start(account, version)["status"])
        except Refusal:
            return "not_built"

    def get_template(self, version: Version) -> Response:
        """Returns the version and its document."""
        return answer_json(200, self.engine.template_body(version))

    def delete_template(self, version: Version) -> Response:
        """Deletes the version."""
        self.engine.require_own(version)
        return answer_json(200, self.engine.delete(version))

    def start_build(self, account: Account, version: Version) -> Response:
        """Starts the build and does not wait for it."""
        return answer_json(202, self.engine.start(account, version))

    def get_build(self, version: Version) -> Response:
        """Returns the status of the build."""
        return answer_json(200, self.engine.status_body(version))

    def cancel_build(self, version: Version) -> Response:
        """Cancels the build, or returns a 404 with the body ``{"status": "idle"}`` if no build runs."""
        if self.engine.cancel(version):
            return answer_json(202, {"status": "cancelling"})
        return answer_json(404, {"status": "idle"})

    def stream_events(self, request: Request, version: Version) -> Response:
        """Streams the events of the last build; raises a 404 if there was no build."""
        events = self.engine.events(version)
        if events is None:
            raise no_such_build()
        content = events if request.method == "GET" else ()
        return StreamingResponse(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def no_such_build() -> Refusal:
    """Returns the 404 for a request for the events of a version that was never built."""
    return Refusal(404, "This version has never been built.")


def answer_json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Renders a response with a JSON body."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, headers, "application/json")


async def read_limited(request: Request) -> bytes:
    """Reads the body of a request; raises a 413 as soon as more than LARGEST_BODY_BYTES have arrived."""
    parts, size_bytes = [], 0
    async for part in request.stream():
        parts.append(part)
        size_bytes += len(part)
        if size_bytes > LARGEST_BODY_BYTES:
            raise Refusal(413, f"The template is larger than {LARGEST_BODY_BYTES} bytes.")
    return b"".join(parts)


def read_switches(query: bytes, names: tuple[str, ...]) -> dict[str, bool]:
    """Returns boolean query parameters: false if missing, the last value if repeated. Invalid values raise a 422."""
    sent = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    if wrong := [name for name in names if sent.get(name, "false").lower() not in SWITCHES]:
        raise invalid([Problem(name, "invalid_type", "expected true or false") for name in wrong])
    return {name: SWITCHES[sent.get(name, "false").lower()] for name in names}
