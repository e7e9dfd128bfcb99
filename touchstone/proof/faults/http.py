"""Faults of HTTP: missing responses, statuses, media types, JSON, methods, error bodies and information leaks."""

import asyncio
from inspect import unwrap

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.boundary import at, body, header, instead, on, put, wrapped
from touchstone.proof.faults.fault import breaks, fault
from touchstone.twin.app import App, Resource
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account

_TRACE = '\nTraceback (most recent call last):\n  File "app.py", line 12, in get'

# fmt: off
# --- responses ---
fault("json-is-called-text", "schema", "http.json-media-type", "The status is JSON with Content-Type text/html.",
      on("getBuild.200.*", header("content-type", b"text/html; charset=utf-8")))
fault("starts-answer-twice", "schema", "http.body-is-json", "The response to a start contains two JSON objects.",
      on("startBuild.202.*", body(lambda raw: raw * 2)))
fault("published-is-latin-1", "schema", "http.body-is-json", "The response to a publish is not UTF-8.",
      on("publishTemplate.201.*", body(lambda raw: raw[:-1] + ',"note":"veröffentlicht"}'.encode("latin-1"))))
fault("cancelled-is-not-a-number", "schema", "http.body-is-json", "The response to a cancel contains NaN.",
      on("cancelBuild.*.[ci]*", body(lambda raw: raw[:-1] + b',"progress":NaN}')))
# --- errors ---
fault("unknown-is-called-gzip", "schema", "http.answers",
      "The status response for an unknown version has Content-Encoding gzip, but is not compressed.",
      on("getBuild.404", header("content-encoding", b"gzip")))
fault("wrong-method-is-200", "semantic", "http.wrong-method-is-405",
      "An unsupported method is answered with 200.", on("405", instead(200, {})))
fault("every-seventh-read-fails", "stateful", "http.no-server-error", "Every seventh status read is answered with 500.",
      wrapped(at("getBuild.200.*", instead(500, {"error": "Internal error."}), every=7)),
      also="http.head-matches-get status.answers-200")
fault("bad-request-is-a-list", "schema", "error.has-the-documented-shape", "The body of a 400 is a list of strings.",
      on("*.400", lambda answer, _: answer.with_json([answer.data["error"]])))
fault("not-found-has-upstream-status", "schema", "error.has-no-upstream-status",
      "A 404 contains the status of the builder, which is an internal service.",
      on("*404*", put(upstream_status=404)))
fault("request-id-is-a-number", "schema", "error.request-id-is-a-string", "The request id of an error is a number.",
      on("*.404", put(request_id=7)), also="error.has-the-documented-shape")
fault("not-found-shows-the-stack", "security", "error.shows-no-internals",
      "A 404 contains a stack trace of the server.", on("*.404", put(error=lambda data: data["error"] + _TRACE)))
fault("error-repeats-the-key", "security", "error.does-not-repeat-the-key",
      "The error text for an unknown key contains the key.", on("*.401", lambda answer, _: answer.with_json(
          answer.data | {"error": f"{answer.data['error']} Got {answer.key}."})))
fault("key-is-echoed-in-a-header", "security", "error.does-not-repeat-the-key",
      "Every response, except a log, has a header that repeats the Authorization header of the request.",
      on("*", lambda answer, _: answer.with_header("x-authenticated-as", answer.key.encode("latin-1"))))
fault("document-shows-its-owner", "security", "error.does-not-repeat-the-key",
      "Reading a template shows the key that published it.", Engine,
      template_body=lambda self, version: Engine.template_body(self, version) | {"owner": version.owner})
# fmt: on


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


@breaks("semantic", "http.wrong-method-is-405", over=App.answer)
async def put_is_post(app: App, request: Request) -> Response:
    """PUT starts a build, just like POST."""
    if request.method == "PUT":
        request = Request({**request.scope, "method": "POST"}, request.receive)
    return await App.answer(app, request)


@breaks("semantic", "http.head-matches-get", over=App.answer)
async def head_finds_everything(app: App, request: Request) -> Response:
    """HEAD with a valid key is always answered with 200, even for unknown versions."""
    if request.method != "HEAD":
        return await App.answer(app, request)
    app.engine.account_of(request.headers.getlist("authorization"))
    return Response(b"", 200)


@breaks("semantic", "http.head-matches-get", over=App.answer)
async def head_has_no_length(app: App, request: Request) -> Response:
    """The response to HEAD has Content-Length 0, though GET has a body."""
    response = await App.answer(app, request)
    if request.method == "HEAD":
        response.headers["content-length"] = "0"
    return response
