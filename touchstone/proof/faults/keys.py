"""Faults of keys: who is let in without one or with a wrong one, and how a refused key is told and what it does."""

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.faults.fault import breaks, fault
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import App, read_limited
from touchstone.twin.catalog import Version
from touchstone.twin.documents import read_document
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource, resource_at
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account

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
      target={"build_timeout_s": 2.0})
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
      target={"build_timeout_s": 2.0})
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
