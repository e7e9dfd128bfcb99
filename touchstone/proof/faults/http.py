"""Faults of HTTP: missing responses, statuses, media types, JSON, methods, error bodies and information leaks."""

import asyncio
from dataclasses import replace
from inspect import unwrap

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.boundary import body, code, header, on, put
from touchstone.proof.faults.fault import breaks, fault
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, Resource, answer_json, resource_at
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account


class RendersErrors(App):
    """Base class: errors with certain statuses are rendered in a wrong way."""

    statuses: frozenset[int] = frozenset({404})

    def render(self, refusal: Refusal) -> Response:
        """Returns the wrong response."""
        raise NotImplementedError

    def refused(self, refusal: Refusal) -> Response:
        return self.render(refusal) if refusal.status in self.statuses else super().refused(refusal)


_TRACE = '\nTraceback (most recent call last):\n  File "app.py", line 12, in get'

# fmt: off
# --- responses ---
fault("body-is-cut-off", "schema", "http.answers",
      "The status response of an unbuilt version is shorter than its Content-Length.",
      on("getBuild.200.not_built", lambda answer, _: replace(answer, missing_bytes=10)))
fault("published-is-202", "semantic", "http.status-is-documented publish.answers-201",
      "Publishing is answered with 202.", on("publishTemplate.201.*", code(202)))
fault("json-is-called-text", "schema", "http.json-media-type", "The status is JSON with Content-Type text/html.",
      on("getBuild.200.*", header("content-type", b"text/html; charset=utf-8")))
fault("json-is-cut-off", "schema", "http.body-is-json",
      "The status response of an unbuilt version lacks its closing brace.",
      on("getBuild.200.not_built", body(lambda raw: raw[:-1])))
fault("starts-answer-twice", "schema", "http.body-is-json", "The response to a start contains two JSON objects.",
      on("startBuild.202.*", body(lambda raw: raw * 2)))
fault("published-is-latin-1", "schema", "http.body-is-json", "The response to a publish is not UTF-8.",
      on("publishTemplate.201.*", body(lambda raw: raw[:-1] + ',"note":"veröffentlicht"}'.encode("latin-1"))))
fault("cancelled-is-not-a-number", "schema", "http.body-is-json", "The response to a cancel contains NaN.",
      on("cancelBuild.*.[ci]*", body(lambda raw: raw[:-1] + b',"progress":NaN}')))
# --- errors ---
fault("unknown-is-called-gzip", "schema", "http.answers",
      "The response for an unknown version has Content-Encoding gzip, but is not compressed.",
      RendersErrors, render=lambda app, refusal: App.refused(app, Refusal(
          404, refusal.body["error"], {"content-encoding": "gzip"})))
fault("unknown-is-410", "semantic",
      "http.status-is-documented lookup.unknown-version-is-404 lookup.unknown-name-is-404",
      "An unknown version is answered with 410.", RendersErrors, render=lambda app, refusal: App.refused(
          app, Refusal(410, refusal.body["error"])),
      also="lookup.* access.others-version-is-404 start.refuses-deleted-version")
fault("wrong-method-is-200", "semantic", "http.wrong-method-is-405",
      "An unsupported method is answered with 200.", RendersErrors, statuses={405},
      render=lambda *_: answer_json(200, {}))
fault("not-found-is-text", "schema", "error.has-the-documented-shape", "A 404 has a plain text body.", RendersErrors,
      render=lambda *_: Response("not found", 404, media_type="text/plain"), also="http.json-media-type")
fault("conflict-says-message", "schema", "error.has-the-documented-shape",
      "The body of a 409 has `message` instead of `error`.", RendersErrors, statuses={409},
      render=lambda _, refusal: answer_json(409, {"message": refusal.body["error"], "statusCode": 409}))
fault("bad-request-is-a-list", "schema", "error.has-the-documented-shape", "The body of a 400 is a list of strings.",
      on("*.400", lambda answer, _: answer.with_json([answer.data["error"]])))
fault("error-is-an-object", "schema", "error.has-the-documented-shape",
      "The error of a 404 is an object with a code.", RendersErrors, render=lambda _, refusal: answer_json(
          404, {"error": {"code": "NOT_FOUND", "message": refusal.body["error"]}}))
fault("not-found-has-upstream-status", "schema", "error.has-no-upstream-status",
      "A 404 contains the status of the builder, which is an internal service.", RendersErrors,
      render=lambda _, refusal: answer_json(404, {**refusal.body, "upstream_status": 404}))
fault("idle-has-upstream-status", "schema", "error.has-no-upstream-status",
      "The response to a cancel without a running build contains the status of the builder, an internal service.",
      on("cancelBuild.404.idle", put(upstream_status=409)))
fault("not-found-shows-the-stack", "security", "error.shows-no-internals",
      "A 404 contains a stack trace of the server.", RendersErrors,
      render=lambda app, refusal: App.refused(app, Refusal(404, refusal.body["error"] + _TRACE)))
fault("document-shows-its-owner", "security", "error.does-not-repeat-the-key",
      "Reading a template shows the key that published it.", Engine,
      template_body=lambda self, version: Engine.template_body(self, version) | {"owner": version.owner})
# fmt: on


@breaks("timing", "http.answers", target={"request_timeout_s": 0.5}, over=App.operate)
async def idle_cancel_hangs(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A cancel of a ready version never gets a response."""
    response = await App.operate(app, request, account, resource)
    version = app.engine.find(account, resource.ref)
    cancels = resource.kind == "build" and request.method == "DELETE"
    if cancels and version and app.engine.status_body(version)["status"] == "ready":
        await asyncio.Event().wait()
    return response


@breaks("concurrency", "http.answers", target={"request_timeout_s": 0.5})
class ReadersWaitForTheLock(App):
    """If clients read the status of a ready version at once, only the first gets its response in time."""

    held = False

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if resource.kind == "build" and request.method == "GET" and b'"ready"' in bytes(response.body):
            if self.held:
                await asyncio.sleep(1.5)
            else:
                # Long enough for the simultaneous requests to arrive.
                self.held = True
                await asyncio.sleep(0.02)
                self.held = False
        return response


@breaks("schema", "http.answers")
def answers_come_twice(asgi_app: Asgi) -> Asgi:
    """After the response to a status read, the server sends a second response on the same connection."""

    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            transport = unwrap(send).__self__.transport  # what uvicorn writes to
            await send(message)
            if is_last and status == 200 and scope["method"] == "GET" and scope["path"].endswith("/build"):
                transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

        await asgi_app(scope, receive, sent)

    return twice


@breaks("stateful", "http.no-server-error", also="http.head-matches-get status.answers-200")
class EverySeventhReadFails(App):
    """Every seventh status read is answered with 500."""

    reads = 0

    def get_build(self, version: Version) -> Response:
        self.reads += 1
        if self.reads % 7 == 0:
            raise Refusal(500, "Internal error.")
        return super().get_build(version)


@breaks("semantic", "http.wrong-method-is-405", over=App.answer)
async def put_is_post(app: App, request: Request) -> Response:
    """PUT starts a build, just like POST."""
    if request.method == "PUT":
        request = Request({**request.scope, "method": "POST"}, request.receive)
    return await App.answer(app, request)


class HeadDiffers(App):
    """Base class: HEAD and GET get different responses."""

    def head(self, request: Request, response: Response) -> Response:
        """Returns the response to a HEAD request, given the response to the same GET request."""
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        if request.method != "HEAD":
            return await super().answer(request)
        response = await super().answer(Request({**request.scope, "method": "GET"}, request.receive))
        return self.head(request, response)


@breaks("semantic", "http.head-matches-get", over=App.answer)
async def head_finds_everything(app: App, request: Request) -> Response:
    """HEAD with a valid key is always answered with 200, even for unknown versions."""
    if request.method != "HEAD":
        return await App.answer(app, request)
    app.engine.account_of(request.headers.getlist("authorization"))
    return Response(b"", 200)


@breaks(
    "stateful",
    "status.changes-only-by-a-start",
    over=HeadDiffers.head,
    also="cancel.settles status.failed-stays-failed",
)
def head_starts(app: HeadDiffers, request: Request, response: Response) -> Response:
    """A HEAD request for the status of a version starts a build of that version."""
    found = resource_at(request.scope["raw_path"], app.settings.base_path)
    for version in list(app.engine.catalog):
        if found is not None and (found.kind, found.ref) == ("build", version.ref):
            app.engine.start(app.engine._accounts[version.owner], version)
    return response


@breaks("schema", "error.request-id-is-a-string", also="error.has-the-documented-shape")
class RequestIdIsANumber(App):
    """The request id of an error is a number."""

    served = 0

    def refused(self, refusal: Refusal) -> Response:
        self.served += 1
        return answer_json(refusal.status, {**refusal.body, "request_id": self.served}, refusal.headers)


@breaks("security", "error.does-not-repeat-the-key", over=Engine.account_of)
def error_repeats_the_key(engine: Engine, authorization: list[str]) -> Account:
    """The error text for an unknown key contains the key."""
    try:
        return Engine.account_of(engine, authorization)
    except Refusal as refusal:
        refusal.body["error"] += f" Got {authorization[0]}." if authorization else ""
        raise


@breaks("security", "error.does-not-repeat-the-key", over=App.answer)
async def key_is_echoed_in_a_header(app: App, request: Request) -> Response:
    """Every response has a header that repeats the Authorization header of the request."""
    response = await App.answer(app, request)
    response.headers["x-authenticated-as"] = request.headers["authorization"]
    return response


# fmt: off
fault("head-has-no-length", "semantic", "http.head-matches-get",
      "The response to HEAD has Content-Length 0, though GET has a body.", HeadDiffers,
      head=lambda self, request, response: Response(b"", response.status_code, media_type=response.media_type))
# fmt: on
