"""Faults of keys: who is let in without one, or with a wrong one."""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource, resource_at
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account

# A server that lets in whoever shows no key lets in whoever shows one in the query.
NO_KEY_NEEDED = ("auth.query-key-is-401",)


def first_account(engine: Engine) -> Account:
    """The account that the first key belongs to."""
    return next(iter(engine._accounts.values()))


def asked_for(request: Request, engine: Engine) -> tuple[str, list[Version]]:
    """What a path names: the kind of resource, and the versions of all accounts under its ref."""
    resource = resource_at(request.scope["raw_path"], engine.settings.base_path) or Resource("templates")
    return resource.kind, [version for version in engine.catalog if version.ref == resource.ref]


# --- let in without a key ----------------------------------------------------------------------------------------


@breaks("security", "auth.missing-key-is-401", also=NO_KEY_NEEDED, target={"build_timeout_s": 2.0})
class NobodyNeedsAKey(Engine):
    """A request without a key counts as the first account's."""

    def account_of(self, authorization: list[str]) -> Account:
        return super().account_of(authorization) if authorization else first_account(self)


class SomeNeedNoKey(App):
    """Requests of one kind count as the first account's when they show no key."""

    def needs_none(self, request: Request) -> bool:
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        if "authorization" not in request.headers and self.needs_none(request):
            key = f"Bearer {first_account(self.engine).key}".encode()
            request = Request(
                {**request.scope, "headers": [*request.scope["headers"], (b"authorization", key)]}, request.receive
            )
        return await super().answer(request)


@breaks("security", "auth.missing-key-is-401", also=NO_KEY_NEEDED)
class LogsNeedNoKey(SomeNeedNoKey):
    """Whoever asks may follow a build log."""

    def needs_none(self, request: Request) -> bool:
        return asked_for(request, self.engine)[0] == "events"


@breaks("security", "auth.missing-key-is-401", also=NO_KEY_NEEDED)
class PublishingNeedsNoKey(SomeNeedNoKey):
    """Whoever asks may publish."""

    def needs_none(self, request: Request) -> bool:
        return request.method == "POST" and asked_for(request, self.engine)[0] == "templates"


@breaks("security", "auth.missing-key-is-401", also=("http.head-matches-get",))
class HeadNeedsNoKey(SomeNeedNoKey):
    """HEAD is served to whoever asks."""

    def needs_none(self, request: Request) -> bool:
        return request.method == "HEAD"


@breaks("security", "auth.missing-key-is-401", "auth.unknown-key-is-401")
class VersionsAreLookedUpFirst(App):
    """A version that nobody has is 404 to whoever asks, with a key or without."""

    async def answer(self, request: Request) -> Response:
        kind, versions = asked_for(request, self.engine)
        if kind != "templates" and not versions and request.method in ("GET", "POST", "DELETE"):
            raise Refusal(404, "Template version not found.")
        return await super().answer(request)


# --- let in with a wrong key -------------------------------------------------------------------------------------


@breaks("security", "auth.near-key-is-401")
class KeysComparedByPrefix(Engine):
    """A key with something behind it is accepted."""

    def account_of(self, authorization: list[str]) -> Account:
        for key in self._accounts:
            if authorization and authorization[0].startswith(f"Bearer {key}"):
                return self._accounts[key]
        return super().account_of(authorization)


@breaks("security", "auth.unknown-key-is-401")
class KeysIgnoreCase(Engine):
    """A key in capitals is the same key."""

    def account_of(self, authorization: list[str]) -> Account:
        for key, account in self._accounts.items():
            if authorization and authorization[0].lower() == f"bearer {key.lower()}":
                return account
        return super().account_of(authorization)


@breaks("security", "auth.unknown-key-is-401")
class LogsTakeAnyKey(App):
    """Whether a key exists is not looked at where a build log is followed."""

    async def answer(self, request: Request) -> Response:
        try:
            return await super().answer(request)
        except Refusal as refusal:
            if refusal.status != 401 or not request.headers.get("authorization", "").startswith("Bearer sk_live_0"):
                raise
            kind, versions = asked_for(request, self.engine)
            if kind != "events" or not versions:
                raise
            return self.stream_events(request, versions[0])


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


@breaks("security", "auth.malformed-header-is-401")
class SchemeIsNotLookedAt(Engine):
    """A right key is accepted behind any scheme."""

    def is_bearer(self, scheme: str) -> bool:
        return bool(scheme)
