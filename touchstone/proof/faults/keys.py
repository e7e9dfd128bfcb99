"""Faults of keys, accounts and plans: missing access checks, effects of refused requests, access to other accounts."""

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.faults.fault import breaks, fault, refusing
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import App, Resource, read_limited, resource_at
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document, read_document
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account

HASTY = {"build_timeout_s": 2.0}
# A server that accepts requests without a key also accepts those with a key in the query.
NO_KEY_NEEDED = "auth.query-key-is-401"


def first_account(engine: Engine) -> Account:
    """Returns the account of the first key."""
    return next(iter(engine._accounts.values()))


def requested(request: Request, engine: Engine) -> tuple[str, list[Version]]:
    """Returns the kind of the requested resource, and every version with the requested ref, in any account."""
    resource = resource_at(request.scope["raw_path"], engine.settings.base_path) or Resource("templates")
    return resource.kind, [version for version in engine.catalog if version.ref == resource.ref]


class SomeNeedNoKey(App):
    """Base class: some requests without a key are served for the first account."""

    def needs_none(self, method: str, kind: str) -> bool:
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        kind, _ = requested(request, self.engine)
        if "authorization" not in request.headers and self.needs_none(request.method, kind):
            key = b"authorization", f"Bearer {first_account(self.engine).key}".encode()
            request = Request({**request.scope, "headers": [*request.scope["headers"], key]}, request.receive)
        return await super().answer(request)


class RefusesKeys(Engine):
    """Base class: the 401 for a wrong key is changed."""

    def alter(self, refusal: Refusal) -> None:
        raise NotImplementedError

    def account_of(self, authorization: list[str]) -> Account:
        try:
            return super().account_of(authorization)
        except Refusal as refusal:
            if authorization:
                self.alter(refusal)
            raise


class RefusedIsDone(App):
    """Base class: a request without a key is carried out before it is refused."""

    def done(self, method: str, kind: str, version: Version) -> Any:
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        if "authorization" not in request.headers and not request.scope["query_string"]:
            kind, versions = requested(request, self.engine)
            for version in versions:
                self.done(request.method, kind, version)
        return await super().answer(request)


# fmt: off
# --- missing access checks ---
fault("nobody-needs-a-key", "security", "auth.missing-key-is-401",
      "A request without a key is served for the first account.", Engine, also=NO_KEY_NEEDED,
      account_of=lambda self, values: Engine.account_of(self, values) if values else first_account(self),
      target=HASTY)
fault("logs-need-no-key", "security", "auth.missing-key-is-401", "Build logs can be read without a key.",
      SomeNeedNoKey, also=NO_KEY_NEEDED, needs_none=lambda _, method, kind: kind == "events")
fault("publishing-needs-no-key", "security", "auth.missing-key-is-401", "Publishing works without a key.",
      SomeNeedNoKey, also=NO_KEY_NEEDED, needs_none=lambda _, method, kind: (method, kind) == ("POST", "templates"))
fault("head-needs-no-key", "security", "auth.missing-key-is-401", "HEAD works without a key.",
      SomeNeedNoKey, also="http.head-matches-get", needs_none=lambda _, method, kind: method == "HEAD")
fault("scheme-is-not-looked-at", "security", "auth.malformed-header-is-401",
      "A valid key is accepted with any scheme, not just Bearer.", Engine, is_bearer=lambda _, scheme: bool(scheme))
# --- wrong responses ---
fault("wrong-key-is-403", "semantic", "auth.unknown-key-is-401 auth.near-key-is-401 auth.malformed-header-is-401",
      "A wrong key is answered with 403 instead of 401.",
      RefusesKeys, alter=lambda _, refusal: setattr(refusal, "status", 403))
fault("wrong-key-is-unauthorized", "semantic", "auth.invalid-key-text",
      "The 401 for a wrong key does not say that the key is invalid.",
      RefusesKeys, alter=lambda _, refusal: refusal.body.update(error="Not authorized."))
# fmt: on


@breaks("security", "auth.missing-key-is-401", "auth.unknown-key-is-401", over=App.answer)
async def versions_are_looked_up_first(app: App, request: Request) -> Response:
    """A request for an unknown version is answered with 404 even if the key is missing or wrong."""
    kind, versions = requested(request, app.engine)
    if kind != "templates" and not versions and request.method in ("GET", "POST", "DELETE"):
        raise Refusal(404, "Template version not found.")
    return await App.answer(app, request)


@breaks("security", "auth.near-key-is-401", over=Engine.account_of)
def keys_compared_by_prefix(engine: Engine, authorization: list[str]) -> Account:
    """A valid key followed by extra characters is accepted."""
    for key, account in engine._accounts.items():
        if authorization and authorization[0].startswith(f"Bearer {key}"):
            return account
    return Engine.account_of(engine, authorization)


@breaks("security", "auth.unknown-key-is-401", over=Engine.account_of)
def keys_ignore_case(engine: Engine, authorization: list[str]) -> Account:
    """Keys are compared without regard to case."""
    for key, account in engine._accounts.items():
        if authorization and authorization[0].lower() == f"bearer {key.lower()}":
            return account
    return Engine.account_of(engine, authorization)


@breaks("security", "auth.unknown-key-is-401", over=App.answer)
async def logs_take_any_key(app: App, request: Request) -> Response:
    """Build logs can be read with an unknown key."""
    try:
        return await App.answer(app, request)
    except Refusal as refusal:
        kind, versions = requested(request, app.engine)
        unknown = request.headers.get("authorization", "").startswith("Bearer sk_live_0")
        if refusal.status == 401 and unknown and kind == "events" and versions:
            return app.stream_events(request, versions[0])
        raise


@breaks("security", "auth.malformed-header-is-401", over=App.answer)
async def logs_take_a_bare_key(app: App, request: Request) -> Response:
    """Build logs can be read with an Authorization header that has a valid key but no scheme."""
    keys = {account.key.encode() for account in app.settings.accounts}
    if requested(request, app.engine)[0] == "events":
        request.scope["headers"] = [
            (name, b"Bearer " + value if name == b"authorization" and value in keys else value)
            for name, value in request.scope["headers"]
        ]
    return await App.answer(app, request)


@breaks("security", "auth.query-key-is-401")
def key_in_the_query(app: Asgi) -> Asgi:
    """A key in the query string (`api_key`) is accepted."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        keys = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("api_key")
        if keys:
            header = (b"authorization", f"Bearer {keys[0]}".encode())
            scope = {**scope, "headers": [*scope["headers"], header]}
        await app(scope, receive, send)

    return wrapped


@breaks("semantic", "auth.scheme-ignores-case")
class SchemeIsCaseSensitive(Engine):
    """The scheme ``Bearer`` is rejected in any other case, such as ``bearer``."""

    def is_bearer(self, scheme: str) -> bool:
        return scheme == "Bearer"


@breaks("security", "auth.valid-key-is-accepted", over=App.operate)
async def others_version_is_401(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A request for another account's version is answered with 401 and the error of an invalid key."""
    owners = {version.owner for version in requested(request, app.engine)[1]}
    if owners and account.key not in owners and app.engine.may_build(account):
        raise invalid_key()
    return await App.operate(app, request, account, resource)


@breaks(
    "stateful",
    "auth.valid-key-is-accepted",
    also="auth.scheme-ignores-case access.plan-is-no-key-matter http.head-matches-get",
)
class WrongKeyLocksTheDoor(Engine):
    """After a request without a valid key, the next request gets a 401, even with a valid key."""

    locked = False

    def account_of(self, authorization: list[str]) -> Account:
        self.locked, locked = False, self.locked
        try:
            account = super().account_of(authorization)
        except Refusal:
            self.locked = True
            raise
        if locked:
            raise invalid_key()
        return account


# fmt: off
fault("refused-start-starts", "security", "auth.refused-changes-nothing",
      "A start without a key is refused with 401, but the build begins.", RefusedIsDone,
      done=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.start(app.engine._accounts[version.owner], version))
fault("refused-cancel-cancels", "security", "auth.refused-changes-nothing",
      "A cancel without a key is refused with 401, but the build is cancelled.", RefusedIsDone,
      done=lambda app, method, kind, version: (method, kind) == ("DELETE", "build") and app.engine.cancel(version),
      target=HASTY)
fault("refused-delete-deletes", "security", "auth.refused-changes-nothing",
      "A delete without a key is refused with 401, but the version is deleted.", RefusedIsDone,
      done=lambda app, method, kind, version: (method, kind) == ("DELETE", "template") and app.engine.delete(version))
# fmt: on


@breaks(
    "security",
    "auth.refused-changes-nothing",
    also="reuse.ready-at-once status.ready-stays-ready template.read-shows-the-published",
    over=App.answer,
)
async def refused_publish_publishes(app: App, request: Request) -> Response:
    """A publish with an unknown key is refused with 401, but replaces the existing content."""
    try:
        return await App.answer(app, request)
    except Refusal as refusal:
        if refusal.status == 401 and request.method == "POST" and requested(request, app.engine)[0] == "templates":
            document = read_document(await read_limited(request), request.headers.get("content-type", ""))
            app.engine.publish(first_account(app.engine), document, force=True)
        raise


# fmt: off
fault("missing-key-is-called-invalid", "semantic", "auth.missing-key-text",
      "The 401 for a missing key says that the key is invalid.", Engine,
      account_of=lambda self, authorization: Engine.account_of(self, authorization or [""]))
# fmt: on


# If two accounts have a version with the same ref, each request about one version also affects the other.
WHERE_NAMES_ARE_SHARED = (
    "status.* cancel.settles lookup.existing-version-is-found template.read-shows-the-published "
    "publish.other-content-is-409"
)


class OthersAreLetIn(App):
    """Base class: some requests about another account's version are served, if the plan allows the operation."""

    def lets_in(self, method: str, kind: str, version: Version) -> bool:
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in self.engine.catalog:
            foreign = version.ref == resource.ref and self.engine.find(account, version.ref) is None
            if foreign and self.engine.may_build(account) and self.lets_in(request.method, resource.kind, version):
                account = self.engine._accounts[version.owner]
        return await super().operate(request, account, resource)


class OthersActAnyway(App):
    """Base class: some requests about another account's version are carried out, then answered with 404."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in [v for v in self.engine.catalog if v.ref == resource.ref and v.owner not in (account.key, "")]:
            self.act(request.method, resource.kind, version)
        return await super().operate(request, account, resource)


# fmt: off
fault("others-may-read", "security", "access.others-version-is-404", "Every account can read every version.",
      OthersAreLetIn, lets_in=lambda _, method, kind, version: method == "GET", also="lookup.deleted-version-is-404")
fault("others-may-follow", "security", "access.others-version-is-404", "Every account can follow every build log.",
      OthersAreLetIn, lets_in=lambda _, method, kind, version: kind == "events")
fault("goldens-are-for-everyone", "security", "access.others-version-is-404",
      "Once a version is ready, every account can read its status.", OthersAreLetIn,
      lets_in=lambda app, method, kind, version: (method, kind) == ("GET", "build")
      and app.engine.status_body(version)["status"] == "ready")
fault("others-may-cancel", "security", "access.others-version-is-404", "Every account can cancel every build.",
      OthersAreLetIn, lets_in=lambda _, method, kind, version: (method, kind) == ("DELETE", "build"), target=HASTY)
fault("others-start-unseen", "security", "access.others-change-nothing",
      "A start from another account gets a 404, but the build begins.", OthersActAnyway, also=WHERE_NAMES_ARE_SHARED,
      act=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.start(app.engine._accounts[version.owner], version))
fault("others-cancel-unseen", "security", "access.others-change-nothing",
      "A cancel from another account gets a 404, but takes effect.", OthersActAnyway, also=WHERE_NAMES_ARE_SHARED,
      act=lambda app, method, kind, version: (method, kind) == ("DELETE", "build") and app.engine.cancel(version),
      target=HASTY)
fault("others-delete-unseen", "security", "access.others-change-nothing",
      "A delete from another account gets a 404, but takes effect.", OthersActAnyway, also=WHERE_NAMES_ARE_SHARED,
      act=lambda app, method, kind, version: (method, kind) == ("DELETE", "template") and app.engine.delete(version))
fault("others-reads-end-goldens", "stateful", "access.others-change-nothing",
      "A start of a ready version from another account is answered with 404, but drops the snapshot (golden).",
      OthersActAnyway, act=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.slots.pop((version.owner, version.digest), None),
      also=f"{WHERE_NAMES_ARE_SHARED} auth.refused-changes-nothing reuse.ready-at-once", target=HASTY)
fault("plan-is-not-enforced", "security", "access.start-needs-scale access.publish-needs-scale",
      "Accounts below the Scale plan can publish and build.", Engine, require_plan=lambda *_: None)
# A deleted version counts as another account's version if that account has a version with the same ref.
fault("others-version-is-403", "semantic", "access.others-version-is-404",
      "A request for another account's version is answered with 403 instead of 404.", App,
      operate=refusing(App.operate, lambda app, _, account, resource: (owners := {
          version.owner for version in app.engine.catalog if version.ref == resource.ref})
          and account.key not in owners, 403, "Access denied."), also="lookup.deleted-version-is-404")
# The plan is checked first, so a request for an unknown version gets a 402, too.
fault("small-plan-is-402", "semantic",
      "access.start-needs-scale access.publish-needs-scale http.status-is-documented",
      "An account below the Scale plan gets a 402 instead of a 403.", Engine, require_plan=refusing(
          lambda *_: None, lambda self, account, _: not self.may_build(account), 402, "Building needs a Scale plan."),
      also="access.others-version-is-404 lookup.unknown-name-is-404")
# fmt: on


@breaks("security", "access.plan-is-no-key-matter", over=Engine.require_plan)
def small_plan_is_401(engine: Engine, account: Account, doing: str) -> None:
    """An account below the Scale plan gets the 401 of an invalid key."""
    if not engine.may_build(account):
        raise invalid_key()


@breaks("stateful", "access.start-needs-scale", over=App.operate)
async def small_plan_starts_anyway(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A start by an account below the Scale plan is refused with 403, but the build begins."""
    version = app.engine.find(account, resource.ref)
    if resource.kind == "build" and request.method == "POST" and version and not app.engine.may_build(account):
        app.engine.start(account, version)
    return await App.operate(app, request, account, resource)


@breaks("stateful", "access.publish-needs-scale")
class SmallPlanPublishesAnyway(Engine):
    """A publish by an account below the Scale plan is refused with 403, but the version is published."""

    def require_plan(self, account: Account, doing: str) -> None:
        if doing != "Publishing":
            super().require_plan(account, doing)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        super().require_plan(account, "Publishing")
        return version
