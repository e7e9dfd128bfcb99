"""Faults of HTTP: answers that do not come, statuses, media types, JSON, and methods."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Version
from touchstone.twin.paths import Resource
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account

# --- answers that do not come ------------------------------------------------------------------------------------


class OnceUnbuilt(App):
    """The status of a version that nobody built is told in another way."""

    def tell(self, response: Response) -> Response:
        """The answer instead of *response*."""
        raise NotImplementedError

    def get_build(self, version: Version) -> Response:
        response = super().get_build(version)
        return self.tell(response) if b'"not_built"' in bytes(response.body) else response


@breaks("schema", "http.answers")
class BodyIsCutOff(OnceUnbuilt):
    """The status of a version that nobody built ends before its announced length."""

    def tell(self, response: Response) -> Response:
        response.headers["content-length"] = str(len(response.body) + 10)
        return response


@breaks("timing", "http.answers", target={"request_timeout_s": 0.5})
class IdleCancelHangs(App):
    """A cancel of a version that is ready is never answered."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        version = self.engine.find(account, resource.ref)
        cancels = resource.kind == "build" and request.method == "DELETE"
        if cancels and version and self.engine.status_body(version)["status"] == "ready":
            await asyncio.Event().wait()
        return response


@breaks("concurrency", "http.answers", target={"request_timeout_s": 0.5})
class ReadersWaitForTheLock(App):
    """Of simultaneous reads of a version that is ready only the first is answered in time."""

    held = False

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if resource.kind == "build" and request.method == "GET" and b'"ready"' in bytes(response.body):
            if self.held:
                await asyncio.sleep(1.5)
            else:
                # Long enough for those that were sent at the same moment to arrive.
                self.held = True
                await asyncio.sleep(0.02)
                self.held = False
        return response


@breaks("schema", "http.answers")
def answers_come_twice(asgi_app: Asgi) -> Asgi:
    """Behind the answer to a status read comes another one that nobody asked for, on the same connection."""

    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            transport = send.__self__.transport  # type: ignore[attr-defined]  # what uvicorn writes to
            await send(message)
            if is_last and status == 200 and scope["method"] == "GET" and scope["path"].endswith("/build"):
                transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

        await asgi_app(scope, receive, sent)

    return twice


@breaks("schema", "http.answers")
class UnknownIsCalledGzip(App):
    """The answer for a version that does not exist is said to be gzip and is none."""

    def refused(self, refusal: Refusal) -> Response:
        response = super().refused(refusal)
        if refusal.status == 404:
            response.headers["content-encoding"] = "gzip"
        return response


# --- failures ----------------------------------------------------------------------------------------------------


@breaks("stateful", "http.no-server-error", also=("status.answers-200",))
class EverySeventhReadFails(App):
    """Each seventh read of a status makes the server fail."""

    reads = 0

    def get_build(self, version: Version) -> Response:
        self.reads += 1
        if self.reads % 7 == 0:
            raise Refusal(500, "Internal error.")
        return super().get_build(version)


# --- statuses ----------------------------------------------------------------------------------------------------


@breaks("semantic", "http.status-is-documented", "publish.answers-201")
class PublishedIs202(App):
    """Publishing is answered with 202."""

    async def publish(self, request: Request, account: Account) -> Response:
        response = await super().publish(request, account)
        response.status_code = 202
        return response


@breaks(
    "semantic",
    "http.status-is-documented",
    "lookup.unknown-version-is-404",
    "lookup.unknown-name-is-404",
    also=("lookup.*", "access.others-version-is-404", "start.refuses-deleted-version"),
)
class UnknownIs410(App):
    """A version that does not exist is gone."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 404:
            refusal.status = 410
        return super().refused(refusal)


# --- media types and JSON ----------------------------------------------------------------------------------------


@breaks("schema", "http.json-media-type")
class JsonIsCalledText(App):
    """The status is JSON and is called text/html."""

    def get_build(self, version: Version) -> Response:
        return Response(super().get_build(version).body, 200, media_type="text/html")


@breaks("schema", "http.body-is-json")
class JsonIsCutOff(OnceUnbuilt):
    """The status of a version that nobody built lacks its closing brace."""

    def tell(self, response: Response) -> Response:
        return Response(response.body[:-1], 200, media_type="application/json")


@breaks("schema", "http.body-is-json")
class StartsAnswerTwice(App):
    """The answer to a start is two JSON objects."""

    def start_build(self, account: Account, version: Version) -> Response:
        response = super().start_build(account, version)
        return Response(bytes(response.body) * 2, response.status_code, media_type="application/json")


@breaks("schema", "http.body-is-json")
class PublishedIsLatin1(App):
    """The answer to publishing is not in UTF-8."""

    async def publish(self, request: Request, account: Account) -> Response:
        response = await super().publish(request, account)
        body = bytes(response.body)[:-1] + ',"note":"veröffentlicht"}'.encode("latin-1")
        return Response(body, response.status_code, media_type="application/json")


@breaks("schema", "http.body-is-json")
class CancelledIsNotANumber(App):
    """The answer to a cancel holds a NaN."""

    def cancel_build(self, version: Version) -> Response:
        response = super().cancel_build(version)
        body = bytes(response.body)[:-1] + b',"progress":NaN}'
        return Response(body, response.status_code, media_type="application/json")


# --- methods -----------------------------------------------------------------------------------------------------


@breaks("semantic", "http.wrong-method-is-405")
class WrongMethodIs200(App):
    """A method that a path does not have is answered with 200."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 405:
            return answer_json(200, {})
        return super().refused(refusal)


@breaks("semantic", "http.wrong-method-is-405")
class PutIsPost(App):
    """PUT starts a build like POST."""

    async def answer(self, request: Request) -> Response:
        if request.method == "PUT":
            request = Request({**request.scope, "method": "POST"}, request.receive)
        return await super().answer(request)


class HeadDiffers(App):
    """HEAD is answered otherwise than GET."""

    async def head(self, request: Request) -> Response:
        """The answer to a HEAD."""
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        return await (self.head(request) if request.method == "HEAD" else super().answer(request))


@breaks("semantic", "http.head-matches-get")
class HeadFindsEverything(HeadDiffers):
    """HEAD is 200 for whoever has a key, whatever it asks for."""

    async def head(self, request: Request) -> Response:
        self.engine.account_of([value for key, value in request.headers.items() if key == "authorization"])
        return Response(b"", 200)


@breaks("semantic", "http.head-matches-get")
class HeadHasNoLength(HeadDiffers):
    """HEAD announces a length of nothing where GET has a body."""

    async def head(self, request: Request) -> Response:
        response = await super().answer(Request({**request.scope, "method": "GET"}, request.receive))
        return Response(b"", response.status_code, media_type=response.media_type)


@breaks("stateful", "status.changes-only-by-a-start")
class HeadStarts(HeadDiffers):
    """HEAD of a build starts it, as any method would that is not GET."""

    async def head(self, request: Request) -> Response:
        response = await super().answer(Request({**request.scope, "method": "GET"}, request.receive))
        path = request.scope["path"].removeprefix(self.settings.base_path).split("/")
        for version in [v for v in self.engine.catalog if path[5:] == ["build"] and list(_parts(v)) == path[2:5]]:
            self.engine.start(self.engine._accounts[version.owner], version)
        return response


def _parts(version: Version) -> tuple[str, str, str]:
    return version.ref.namespace, version.ref.name, version.ref.version
