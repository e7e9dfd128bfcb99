"""
Broken servers whose fault lies around building: keys, accounts, lookup, limits, errors, HTTP, publishing.
"""

import time
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.broken_twins import breaks
from touchstone.twin import Account, App, Engine, RateLimit
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.limits import limiter_for
from touchstone.twin.paths import Resource
from touchstone.twin.serve import Asgi

TIGHT: dict[str, Any] = {"rate": RateLimit(6, 2.0)}

# --- keys and accounts -------------------------------------------------------------------------------------------


@breaks("auth.missing-key-is-401", also=("auth.query-key-is-401", "auth.refused-changes-nothing"))
class NobodyNeedsAKey(Engine):
    """
    A request without a key counts as the first account's.
    """

    def account_of(self, authorization: list[str]) -> Account:
        return super().account_of(authorization or [f"Bearer {next(iter(self._accounts))}"])


@breaks("auth.near-key-is-401", also=("auth.refused-changes-nothing",))
class KeysComparedByPrefix(Engine):
    """
    A key with something behind it is accepted.
    """

    def account_of(self, authorization: list[str]) -> Account:
        for key in self._accounts:
            if authorization and authorization[0].startswith(f"Bearer {key}"):
                return self._accounts[key]
        return super().account_of(authorization)


@breaks("auth.query-key-is-401", also=("auth.refused-changes-nothing",))
def key_in_the_query(app: Asgi) -> Asgi:
    """
    A key in the query string is accepted.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        keys = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("api_key")
        if keys:
            header = (b"authorization", f"Bearer {keys[0]}".encode())
            scope = scope | {"headers": [*scope["headers"], header]}
        await app(scope, receive, send)

    return wrapped


@breaks("auth.refused-changes-nothing")
class RefusedStartStarts(App):
    """
    A start without a key is refused with 401, after it has begun.
    """

    async def answer(self, request: Request) -> Response:
        if request.method == "POST" and "authorization" not in request.headers:
            path = request.scope["path"].removeprefix(self.settings.base_path).split("/")
            for version in [v for v in self.engine.catalog if path[2:3] and v.ref == Ref(*path[2:5])]:
                self.engine.start(self.engine._accounts[version.owner], version)
        return await super().answer(request)


@breaks("auth.refused-changes-nothing")
class RefusedCancelCancels(App):
    """
    A cancel without a key is refused with 401, after it has been carried out.
    """

    async def answer(self, request: Request) -> Response:
        if request.method == "DELETE" and "authorization" not in request.headers:
            path = request.scope["path"].removeprefix(self.settings.base_path).split("/")
            for version in [v for v in self.engine.catalog if path[5:] == ["build"] and v.ref == Ref(*path[2:5])]:
                self.engine.cancel(version)
        return await super().answer(request)


@breaks("auth.scheme-ignores-case")
class SchemeIsCaseSensitive(Engine):
    """
    Only ``Bearer`` in exactly these letters is recognised.
    """

    def is_bearer(self, scheme: str) -> bool:
        return scheme == "Bearer"


@breaks("access.others-version-is-404")
class OthersMayRead(App):
    """
    Every account can read every version.
    """

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        owners = [version.owner for version in self.engine.catalog if version.ref == resource.ref]
        if request.method == "GET" and owners and owners[0] in self.engine._accounts:
            account = self.engine._accounts[owners[0]]
        return await super().operate(request, account, resource)


@breaks("access.others-change-nothing", also=("cancel.keeps-neighbours",))
class OthersCancelUnseen(App):
    """
    Another account's cancel is answered with 404, and cancels.
    """

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind == "build" and request.method == "DELETE":
            for version in [v for v in self.engine.catalog if v.ref == resource.ref and v.owner != account.key]:
                self.engine.cancel(version)
        return await super().operate(request, account, resource)


@breaks("access.start-needs-scale", "access.publish-needs-scale")
class PlanIsNotEnforced(Engine):
    """
    Every plan may publish and build.
    """

    def require_plan(self, account: Account, doing: str) -> None:
        pass


@breaks("access.plan-is-no-key-matter")
class SmallPlanIs401(Engine):
    """
    An account below the plan is told that its key is invalid.
    """

    def require_plan(self, account: Account, doing: str) -> None:
        if not self.may_build(account):
            raise invalid_key()


# --- lookup ------------------------------------------------------------------------------------------------------


@breaks(
    "lookup.unknown-version-is-404",
    also=("lookup.odd-spelling-is-404", "lookup.deleted-version-is-404", "http.head-matches-get"),
)
class UnknownVersionIsNotBuilt(App):
    """
    The status of a version that does not exist is 200 not_built, where its name exists.
    """

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        names = {(v.owner, v.ref.namespace, v.ref.name) for v in self.engine.catalog}
        known = (account.key, resource.ref.namespace, resource.ref.name) in names
        if (
            resource.kind == "build"
            and request.method == "GET"
            and known
            and not self.engine.find(account, resource.ref)
        ):
            return answer_json(200, {"ref": str(resource.ref), "digest": "0" * 64, "status": "not_built"})
        return await super().operate(request, account, resource)


@breaks("lookup.odd-spelling-is-404", also=("http.no-server-error",))
class OddSpellingFails(App):
    """
    A name outside ASCII makes the server fail.
    """

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if not resource.ref.name.isascii():
            raise Refusal(500, "Internal error.")
        return await super().operate(request, account, resource)


# --- limits ------------------------------------------------------------------------------------------------------


@breaks("limit.refused-start-starts-nothing", also=("start.fresh-is-building",), pace=TIGHT)
class RefusedStartBuilds(Engine):
    """
    A start is refused with 429 after its build has begun.
    """

    def start(self, account: Account, version: Version) -> Any:
        try:
            return super().start(account, version)
        except Refusal:
            slot = self.slot_of(version)
            if not slot.golden and not self.joinable(slot):
                slot.last = self.launch(version)
            raise


@breaks("http.no-server-error", beside="limit.*", pace=TIGHT)
class LimitIs503(Engine):
    """
    A limit is answered with 503.
    """

    def too_many(self, error: str, wait_s: float) -> Refusal:
        return Refusal(503, error)


@breaks("limit.has-the-error-shape", also=("error.has-the-documented-shape",), pace=TIGHT)
class LimitHasNoBody(App):
    """
    A 429 says ``detail`` where an error says ``error``.
    """

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 429:
            return answer_json(429, {"detail": "slow down"}, refusal.headers)
        return super().refused(refusal)


@breaks("limit.retry-after-is-honest", pace={"rate": RateLimit(6, 5.0)})
class RetryAfterIsTooShort(Engine):
    """
    Retry-After always says one second.
    """

    def too_many(self, error: str, wait_s: float) -> Refusal:
        return super().too_many(error, 1.0)


@breaks("limit.is-per-key", pace=TIGHT)
class LimitIsShared(Engine):
    """
    All keys use up one rate.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._limiters = dict.fromkeys(self._limiters, limiter_for(self.settings.rate))


@breaks("limit.reads-are-not-charged", pace=TIGHT, profile="standard")
class PollingIsCharged(Engine):
    """
    Each read of a status counts as a start.
    """

    def status_body(self, version: Version) -> Any:
        limiter = self._limiters.get(version.owner)
        if limiter is not None and limiter.wait_s(time.monotonic()) <= 0:
            limiter.take(time.monotonic())
        return super().status_body(version)


# --- errors and HTTP ---------------------------------------------------------------------------------------------


@breaks("error.does-not-repeat-the-key")
class ErrorRepeatsTheKey(Engine):
    """
    The error for an unknown key quotes it.
    """

    def account_of(self, authorization: list[str]) -> Account:
        try:
            return super().account_of(authorization)
        except Refusal as refusal:
            refusal.body["error"] += f" Got {authorization}." if authorization else ""
            raise


@breaks("error.has-the-documented-shape", also=("http.json-media-type",))
class ErrorsAreText(App):
    """
    A 404 is plain text.
    """

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 404:
            return Response("not found", 404, media_type="text/plain")
        return super().refused(refusal)


@breaks("error.shows-no-internals")
class ErrorsShowTheStack(App):
    """
    A 404 shows where in the server it was raised.
    """

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 404:
            refusal.body["error"] += '\nTraceback (most recent call last):\n  File "app.py", line 12, in get'
        return super().refused(refusal)


@breaks("http.wrong-method-is-405")
class WrongMethodIs200(App):
    """
    A method that a path does not have is answered with 200.
    """

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 405:
            return answer_json(200, {})
        return super().refused(refusal)


@breaks("http.body-is-json")
class JsonIsCutOff(App):
    """
    The status of a version that nobody built lacks its closing brace.
    """

    def get_build(self, version: Version) -> Response:
        response = super().get_build(version)
        return Response(response.body[:-1], 200, media_type="application/json") if unbuilt(response) else response


@breaks("http.answers")
class BodyIsCutOff(App):
    """
    The status of a version that nobody built ends before its announced length.
    """

    def get_build(self, version: Version) -> Response:
        response = super().get_build(version)
        if unbuilt(response):
            response.headers["content-length"] = str(len(response.body) + 10)
        return response


@breaks("http.json-media-type")
class JsonIsCalledText(App):
    """
    The status is JSON and is called text/html.
    """

    def get_build(self, version: Version) -> Response:
        return Response(super().get_build(version).body, 200, media_type="text/html")


@breaks("status.answers-200", also=("http.status-is-documented",), beside="status.failed-*")
class FailureIs409(App):
    """
    The status of a failed version is answered with 409.
    """

    def get_build(self, version: Version) -> Response:
        response = super().get_build(version)
        if b'"failed"' in response.body:
            return Response(response.body, 409, media_type="application/json")
        return response


# --- publishing --------------------------------------------------------------------------------------------------


@breaks("publish.conflict-keeps-content", also=("status.ready-stays-ready", "events.own-lines-only"))
class ConflictOverwrites(Engine):
    """
    A publish that conflicts is refused with 409 after it has replaced the content.
    """

    def publish(self, account: Account, document: Any, force: bool = False) -> Version:
        try:
            return super().publish(account, document, force)
        except Refusal as refusal:
            if refusal.status == 409:
                self._store(account.key, document)
            raise


@breaks("publish.auto-build-starts", also=("start.visible-to-next-read",))
class AutoBuildIsForgotten(App):
    """
    Publishing with auto_build says building and starts nothing.
    """

    def auto_build(self, account: Account, version: Version) -> str:
        return "building"


@breaks("publish.other-content-is-409", also=("publish.force-replaces",))
class PublishAlwaysReplaces(Engine):
    """
    Other content replaces what is published, without force.
    """

    def publish(self, account: Account, document: Any, force: bool = False) -> Version:
        return super().publish(account, document, force=True)


@breaks("publish.invalid-is-422")
class InvalidIs400(App):
    """
    A document that breaks the schema is answered with 400 and no list.
    """

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 422:
            return super().refused(Refusal(400, "Bad template."))
        return super().refused(refusal)


def unbuilt(response: Response) -> bool:
    """
    Whether a status says not_built.
    """
    return b'"not_built"' in response.body
