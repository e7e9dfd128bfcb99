"""Faults of keys, accounts and plans: who is let in, what is done for those who are refused, what others touch."""

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
# A server that lets in whoever shows no key lets in whoever shows one in the query.
NO_KEY_NEEDED = "auth.query-key-is-401"


def first_account(engine: Engine) -> Account:
    """The account that the first key belongs to."""
    return next(iter(engine._accounts.values()))


def asked_for(request: Request, engine: Engine) -> tuple[str, list[Version]]:
    """What a path names: the kind of resource, and the versions of all accounts under its ref."""
    resource = resource_at(request.scope["raw_path"], engine.settings.base_path) or Resource("templates")
    return resource.kind, [version for version in engine.catalog if version.ref == resource.ref]


class SomeNeedNoKey(App):
    """Requests of one kind count as the first account's when they show no key."""

    def needs_none(self, method: str, kind: str) -> bool:
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        kind, _ = asked_for(request, self.engine)
        if "authorization" not in request.headers and self.needs_none(request.method, kind):
            key = b"authorization", f"Bearer {first_account(self.engine).key}".encode()
            request = Request({**request.scope, "headers": [*request.scope["headers"], key]}, request.receive)
        return await super().answer(request)


class RefusesKeys(Engine):
    """A refusal of a key that was shown is told in another way."""

    def tell(self, refusal: Refusal) -> None:
        raise NotImplementedError

    def account_of(self, authorization: list[str]) -> Account:
        try:
            return super().account_of(authorization)
        except Refusal as refusal:
            if authorization:
                self.tell(refusal)
            raise


class RefusedIsDone(App):
    """What a request without a key asks for is done before it is refused."""

    def done(self, method: str, kind: str, version: Version) -> Any:
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        if "authorization" not in request.headers and not request.scope["query_string"]:
            kind, versions = asked_for(request, self.engine)
            for version in versions:
                self.done(request.method, kind, version)
        return await super().answer(request)


# fmt: off
# --- let in ---
fault("nobody-needs-a-key", "security", "auth.missing-key-is-401",
      "A request without a key counts as the first account's.", Engine, also=NO_KEY_NEEDED,
      account_of=lambda self, shown: Engine.account_of(self, shown) if shown else first_account(self),
      target=HASTY)
fault("logs-need-no-key", "security", "auth.missing-key-is-401", "Whoever asks may follow a build log.",
      SomeNeedNoKey, also=NO_KEY_NEEDED, needs_none=lambda _, method, kind: kind == "events")
fault("publishing-needs-no-key", "security", "auth.missing-key-is-401", "Whoever asks may publish.",
      SomeNeedNoKey, also=NO_KEY_NEEDED, needs_none=lambda _, *asked: asked == ("POST", "templates"))
fault("head-needs-no-key", "security", "auth.missing-key-is-401", "HEAD is served to whoever asks.",
      SomeNeedNoKey, also="http.head-matches-get", needs_none=lambda _, method, kind: method == "HEAD")
fault("scheme-is-not-looked-at", "security", "auth.malformed-header-is-401",
      "A right key is accepted behind any scheme.", Engine, is_bearer=lambda _, scheme: bool(scheme))
# --- told otherwise ---
fault("wrong-key-is-403", "semantic", "auth.unknown-key-is-401 auth.near-key-is-401 auth.malformed-header-is-401",
      "A wrong key is forbidden rather than unauthorized.",
      RefusesKeys, tell=lambda _, refusal: setattr(refusal, "status", 403))
fault("wrong-key-is-unauthorized", "semantic", "auth.invalid-key-text",
      "A wrong key is told nothing but that it is not authorized.",
      RefusesKeys, tell=lambda _, refusal: refusal.body.update(error="Not authorized."))
# fmt: on


@breaks("security", "auth.missing-key-is-401", "auth.unknown-key-is-401", over=App.answer)
async def versions_are_looked_up_first(app: App, request: Request) -> Response:
    """A version that nobody has is 404 to whoever asks, with a key or without."""
    kind, versions = asked_for(request, app.engine)
    if kind != "templates" and not versions and request.method in ("GET", "POST", "DELETE"):
        raise Refusal(404, "Template version not found.")
    return await App.answer(app, request)


@breaks("security", "auth.near-key-is-401", over=Engine.account_of)
def keys_compared_by_prefix(engine: Engine, authorization: list[str]) -> Account:
    """A key with something behind it is accepted."""
    for key, account in engine._accounts.items():
        if authorization and authorization[0].startswith(f"Bearer {key}"):
            return account
    return Engine.account_of(engine, authorization)


@breaks("security", "auth.unknown-key-is-401", over=Engine.account_of)
def keys_ignore_case(engine: Engine, authorization: list[str]) -> Account:
    """A key in capitals is the same key."""
    for key, account in engine._accounts.items():
        if authorization and authorization[0].lower() == f"bearer {key.lower()}":
            return account
    return Engine.account_of(engine, authorization)


@breaks("security", "auth.unknown-key-is-401", over=App.answer)
async def logs_take_any_key(app: App, request: Request) -> Response:
    """Whether a key exists is not looked at where a build log is followed."""
    try:
        return await App.answer(app, request)
    except Refusal as refusal:
        kind, versions = asked_for(request, app.engine)
        unknown = request.headers.get("authorization", "").startswith("Bearer sk_live_0")
        if refusal.status == 401 and unknown and kind == "events" and versions:
            return app.stream_events(request, versions[0])
        raise


@breaks("security", "auth.malformed-header-is-401", over=App.answer)
async def logs_take_a_bare_key(app: App, request: Request) -> Response:
    """Where a build log is followed, a key is accepted that stands in the Authorization header without a scheme."""
    keys = {account.key.encode() for account in app.settings.accounts}
    if asked_for(request, app.engine)[0] == "events":
        request.scope["headers"] = [
            (name, b"Bearer " + value if name == b"authorization" and value in keys else value)
            for name, value in request.scope["headers"]
        ]
    return await App.answer(app, request)


@breaks("security", "auth.query-key-is-401")
def key_in_the_query(app: Asgi) -> Asgi:
    """A key in the query string is accepted."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        keys = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("api_key")
        if keys:
            header = (b"authorization", f"Bearer {keys[0]}".encode())
            scope = {**scope, "headers": [*scope["headers"], header]}
        await app(scope, receive, send)

    return wrapped


@breaks("semantic", "auth.scheme-ignores-case")
class SchemeIsCaseSensitive(Engine):
    """Only ``Bearer`` in exactly these letters is recognised."""

    def is_bearer(self, scheme: str) -> bool:
        return scheme == "Bearer"


@breaks("security", "auth.valid-key-is-accepted", over=App.operate)
async def others_version_is_401(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """Whoever asks for another account's version is told that the key is invalid."""
    owners = {version.owner for version in asked_for(request, app.engine)[1]}
    if owners and account.key not in owners and app.engine.may_build(account):
        raise invalid_key()
    return await App.operate(app, request, account, resource)


@breaks("stateful", "auth.valid-key-is-accepted")
class WrongKeyLocksTheDoor(Engine):
    """After an unknown key the next request is refused as well, however right its key."""

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
      "A start without a key is refused with 401, after it has begun.", RefusedIsDone,
      done=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.start(app.engine._accounts[version.owner], version))
fault("refused-cancel-cancels", "security", "auth.refused-changes-nothing",
      "A cancel without a key is refused with 401, after it has been carried out.", RefusedIsDone,
      done=lambda app, method, kind, version: (method, kind) == ("DELETE", "build") and app.engine.cancel(version),
      target=HASTY)
fault("refused-delete-deletes", "security", "auth.refused-changes-nothing",
      "A delete without a key is refused with 401, after the version is gone.", RefusedIsDone,
      done=lambda app, method, kind, version: (method, kind) == ("DELETE", "template") and app.engine.delete(version))
# fmt: on


@breaks("security", "auth.refused-changes-nothing", also="template.read-shows-the-published", over=App.answer)
async def refused_publish_publishes(app: App, request: Request) -> Response:
    """A publish with an unknown key is refused with 401, after it has replaced what was there."""
    try:
        return await App.answer(app, request)
    except Refusal as refusal:
        if refusal.status == 401 and request.method == "POST" and asked_for(request, app.engine)[0] == "templates":
            document = read_document(await read_limited(request), request.headers.get("content-type", ""))
            app.engine.publish(first_account(app.engine), document, force=True)
        raise


# fmt: off
fault("missing-key-is-called-invalid", "semantic", "auth.missing-key-text",
      "A request without a key is told that its key is invalid.", Engine,
      account_of=lambda self, authorization: Engine.account_of(self, authorization or [""]))
# fmt: on


# Where two accounts have a version of one name, what one of them does to its own hits the other's.
WHERE_NAMES_ARE_SHARED = (
    "status.* cancel.settles lookup.existing-version-is-found template.read-shows-the-published "
    "publish.other-content-is-409"
)


class OthersAreLetIn(App):
    """Some requests about another account's version are carried out as that account's, unless the plan is too small."""

    def lets_in(self, method: str, kind: str, version: Version) -> bool:
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in self.engine.catalog:
            foreign = version.ref == resource.ref and version.owner not in (account.key, "")
            if foreign and self.engine.may_build(account) and self.lets_in(request.method, resource.kind, version):
                account = self.engine._accounts[version.owner]
        return await super().operate(request, account, resource)


class OthersActUnseen(App):
    """Some requests about another account's version are carried out before they are answered with 404."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in [v for v in self.engine.catalog if v.ref == resource.ref and v.owner not in (account.key, "")]:
            self.act(request.method, resource.kind, version)
        return await super().operate(request, account, resource)


# fmt: off
fault("others-may-read", "security", "access.others-version-is-404", "Every account can read every version.",
      OthersAreLetIn, lets_in=lambda _, method, kind, version: method == "GET")
fault("others-may-follow", "security", "access.others-version-is-404", "Every account can follow every build log.",
      OthersAreLetIn, lets_in=lambda _, method, kind, version: kind == "events")
fault("goldens-are-for-everyone", "security", "access.others-version-is-404",
      "Once a version is ready, every account can read its status.", OthersAreLetIn,
      lets_in=lambda app, *asked: asked[:2] == ("GET", "build")
      and app.engine.status_body(asked[2])["status"] == "ready")
fault("others-may-cancel", "security", "access.others-version-is-404", "Every account can cancel every build.",
      OthersAreLetIn, lets_in=lambda _, method, kind, version: (method, kind) == ("DELETE", "build"), target=HASTY)
fault("others-start-unseen", "security", "access.others-change-nothing",
      "Another account's start is answered with 404, and starts.", OthersActUnseen, also=WHERE_NAMES_ARE_SHARED,
      act=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.start(app.engine._accounts[version.owner], version))
fault("others-cancel-unseen", "security", "access.others-change-nothing",
      "Another account's cancel is answered with 404, and cancels.", OthersActUnseen, also=WHERE_NAMES_ARE_SHARED,
      act=lambda app, method, kind, version: (method, kind) == ("DELETE", "build") and app.engine.cancel(version),
      target=HASTY)
fault("others-delete-unseen", "security", "access.others-change-nothing",
      "Another account's delete is answered with 404, and deletes.", OthersActUnseen, also=WHERE_NAMES_ARE_SHARED,
      act=lambda app, method, kind, version: (method, kind) == ("DELETE", "template") and app.engine.delete(version))
fault("others-reads-end-goldens", "stateful", "access.others-change-nothing",
      "Another account's start of a ready version is answered with 404, and its golden is forgotten.",
      OthersActUnseen, act=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.slots.pop((version.owner, version.digest), None), also=WHERE_NAMES_ARE_SHARED, target=HASTY)
fault("plan-is-not-enforced", "security", "access.start-needs-scale access.publish-needs-scale",
      "Every plan may publish and build.", Engine, require_plan=lambda *_: None)
# What was one's own and is deleted is another's version, too, where that one gave it the same name.
fault("others-version-is-403", "semantic", "access.others-version-is-404",
      "Another account's version is forbidden, which tells that there is one.", App,
      operate=refusing(App.operate, lambda app, _, account, resource: (owners := {
          version.owner for version in app.engine.catalog if version.ref == resource.ref})
          and account.key not in owners, 403, "Access denied."), also="lookup.deleted-version-is-404")
# The plan is looked at first, so what does not exist for the account is told to pay as well.
fault("small-plan-is-402", "semantic",
      "access.start-needs-scale access.publish-needs-scale http.status-is-documented",
      "An account below the plan is asked to pay.", Engine, require_plan=refusing(
          lambda *_: None, lambda self, account, _: not self.may_build(account), 402, "Building needs a Scale plan."),
      also="access.others-version-is-404 lookup.unknown-name-is-404")
# fmt: on


# What is told by 401 is not told by 403.
@breaks("security", "access.plan-is-no-key-matter", over=Engine.require_plan)
def small_plan_is_401(engine: Engine, account: Account, doing: str) -> None:
    """An account below the plan is told that its key is invalid."""
    if not engine.may_build(account):
        raise invalid_key()


@breaks("stateful", "access.start-needs-scale", over=App.operate)
async def small_plan_starts_unseen(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A start below the plan is refused with 403, after it has begun."""
    version = app.engine.find(account, resource.ref)
    if resource.kind == "build" and request.method == "POST" and version and not app.engine.may_build(account):
        app.engine.start(account, version)
    return await App.operate(app, request, account, resource)


@breaks("stateful", "access.publish-needs-scale")
class SmallPlanPublishesUnseen(Engine):
    """A publish below the plan is refused with 403, after it is done."""

    def require_plan(self, account: Account, doing: str) -> None:
        if doing != "Publishing":
            super().require_plan(account, doing)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        super().require_plan(account, "Publishing")
        return version
