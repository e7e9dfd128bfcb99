"""Faults of access: one operation skips one rule about keys, accounts, plans or versions."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.boundary import requested
from touchstone.proof.faults.fault import Fault, own
from touchstone.proof.mutants.derived import EXISTENCE, derived
from touchstone.proof.surface import OPERATIONS
from touchstone.twin.answers import invalid_key, no_such_version
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import DEFAULT_ACCOUNTS, Account

_FIRST = DEFAULT_ACCOUNTS[0].key
_KEYS = frozenset(account.key for account in DEFAULT_ACCOUNTS)
# Every operation on an existing version.
ABOUT_ONE = tuple(operation for operation in OPERATIONS if operation != "publishTemplate")
_UNCHANGED = "auth.refused-changes-nothing"
_REFUSED = "auth.scheme-ignores-case auth.missing-key-text access.plan-* http.head-matches-get start.concurrent-*"
# Claims that may break if an operation serves another version in place of an unknown one.
_OTHERS = (
    f"{EXISTENCE} *.ref-is-the-path lookup.odd-spelling-is-404 events.own-lines-only cancel.keeps-neighbours start.* "
    f"status.build-does-not-vanish status.build-time-is-ms {_UNCHANGED}"
)


def access_faults() -> Iterator[Fault]:
    """Yields a fault for each pair of an access rule and an operation that ignores the rule."""
    for rule, (says, lets_in, claims, also) in KEY_RULES.items():
        for operation in OPERATIONS:
            text, wrap = f"{operation} accepts {says}.", _letting_in(operation, lets_in)
            yield derived(f"auth.{rule}.skip.{operation}", text, "security", claims, also, wrap=wrap)
    for operation in OPERATIONS:
        text = f"{operation} refuses every fifth request with a valid key with 401."
        name, claims = f"auth.valid-key.refuse.{operation}", "auth.valid-key-is-accepted"
        yield derived(name, text, "security", claims, _REFUSED, wrap=_refusing(operation))
    for rule, (says, finds, usual, also) in VERSION_RULES.items():
        for operation in ABOUT_ONE:
            builds = (rule, operation) == ("deleted-version", "startBuild")
            claims = "start.refuses-deleted-version" if builds else usual
            text, parts = f"{operation} serves {says}.", {"app": _serving(operation, finds), "engine": Remembering}
            yield derived(f"access.{rule}.skip.{operation}", text, "security", claims, also, **parts)
    for operation, verb in (("startBuild", "start"), ("publishTemplate", "publish")):
        text, claims = f"{operation} accepts every plan.", f"access.{verb}-needs-scale"
        yield derived(f"access.plan.skip.{operation}", text, "security", claims, app=_every_plan(operation))


def _key_in(header: str | None) -> str:
    return (header or "").rpartition(" ")[2]


def _unknown(header: str | None, _query: str) -> str:
    key = _key_in(header)
    is_near = any(key[:-1] == known or known[:-1] == key for known in _KEYS)
    fits = (header or "").startswith("Bearer ") and key and key not in _KEYS and not is_near
    return _FIRST if fits else ""


def _longer(header: str | None, _query: str) -> str:
    key = _key_in(header)
    return key[:-1] if key[:-1] in _KEYS else ""


def _shorter(header: str | None, _query: str) -> str:
    key = _key_in(header)
    return next((known for known in _KEYS if known[:-1] == key), "")


def _malformed(header: str | None, _query: str) -> str:
    key = _key_in(header)
    return key if key in _KEYS and not (header or "").lower().startswith("bearer ") else ""


def _queried(header: str | None, query: str) -> str:
    return parse_qs(query).get("api_key", [""])[0] if header is None else ""


# By rule: description, function from header and query to the accepted key, broken claims, claims that may break.
KEY_RULES: dict[str, tuple[str, Callable[[str | None, str], str], str, str]] = {
    "missing-key": ("a request without a key", lambda header, _: _FIRST if header is None else "",
        "auth.missing-key-is-401", f"{_UNCHANGED} auth.query-key-is-401"),
    "unknown-key": ("an unknown key", _unknown, "auth.unknown-key-is-401", f"{_UNCHANGED} auth.near-key-is-401"),
    "longer-key": ("a valid key plus one character", _longer, "auth.near-key-is-401", _UNCHANGED),
    "shorter-key": ("a valid key without its last character", _shorter, "auth.near-key-is-401", _UNCHANGED),
    "malformed-header": ("a valid key with a wrong scheme or none", _malformed, "auth.malformed-header-is-401",
        _UNCHANGED),
    "query-key": ("a key in the query string", _queried, "auth.query-key-is-401", _UNCHANGED),
}  # fmt: skip


def _letting_in(operation: str, lets_in: Callable[[str | None, str], str]) -> Callable[[Asgi], Asgi]:
    def wrap(app: Asgi) -> Asgi:
        async def authorised(scope: Scope, receive: Receive, send: Send) -> None:
            if requested(scope)[0] == operation:
                values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
                key = lets_in(values[0] if values else None, scope["query_string"].decode("latin-1"))
                if key:
                    others = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
                    scope = {**scope, "headers": [*others, (b"authorization", f"Bearer {key}".encode())]}
            await app(scope, receive, send)

        return authorised

    return wrap


def _refusing(operation: str) -> Callable[[Asgi], Asgi]:
    def wrap(app: Asgi) -> Asgi:
        requests = 0

        async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal requests
            requests += requested(scope)[0] == operation
            if requested(scope)[0] == operation and requests % 5 == 0:
                refusal = invalid_key()
                await answer_json(refusal.status, refusal.body, refusal.headers)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return refusing

    return wrap


class Remembering(Engine):
    """Engine that keeps deleted versions."""

    deleted = own(dict[tuple[str, Ref], Version])

    def delete(self, version: Version) -> dict[str, Any]:
        self.deleted[version.owner, version.ref] = version
        return super().delete(version)

    def versions_of(self, account: Account) -> list[Version]:
        """Returns the versions of an account."""
        return [version for version in self.catalog if version.owner == account.key]


Finds = Callable[[Remembering, Account, Ref], Version | None]


def _of_others(engine: Remembering, account: Account, ref: Ref) -> Version | None:
    return next((v for v in engine.catalog if v.ref == ref and v.owner not in {account.key, ""}), None)


def _other_version(engine: Remembering, account: Account, ref: Ref) -> Version | None:
    own = engine.versions_of(account)
    return next((v for v in own if (v.ref.namespace, v.ref.name) == (ref.namespace, ref.name)), None)


def _other_name(engine: Remembering, account: Account, ref: Ref) -> Version | None:
    known = any((v.ref.namespace, v.ref.name) == (ref.namespace, ref.name) for v in engine.catalog)
    own = engine.versions_of(account) if ref.namespace == "default" and not known else []
    return next((v for v in own if engine.status_body(v)["status"] == "building"), next(iter(own), None))


def _other_namespace(engine: Remembering, account: Account, ref: Ref) -> Version | None:
    own = engine.versions_of(account) if ref.namespace != "default" else []
    return next((v for v in own if (v.ref.name, v.ref.version) == (ref.name, ref.version)), None)


# By rule: description, function that finds the version to serve, broken claims, claims that may break.
VERSION_RULES: dict[str, tuple[str, Finds, str, str]] = {
    "others-version": ("another account's version", _of_others, "access.others-version-is-404",
        "access.others-change-nothing"),
    "deleted-version": ("a deleted version", lambda engine, account, ref: engine.deleted.get((account.key,
        ref)), "lookup.deleted-version-is-404", ""),
    "unknown-version": ("another version instead of an unknown one", _other_version, "lookup.unknown-version-is-404",
        _OTHERS),
    "unknown-name": ("another template instead of an unknown one", _other_name, "lookup.unknown-name-is-404", _OTHERS),
    "unknown-namespace": ("a template of another namespace instead of an unknown one", _other_namespace,
        "lookup.unknown-namespace-is-404", _OTHERS),
}  # fmt: skip


def _serving(operation: str, finds: Finds) -> type[App]:
    class Serving(App):
        """Application that serves a wrong version for an unknown ref."""

        async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
            engine = self.engine
            if requested(request.scope)[0] != operation or engine.find(account, resource.ref):
                return await super().operate(request, account, resource)
            assert isinstance(engine, Remembering)
            version = finds(engine, account, resource.ref)
            if version is None:
                raise no_such_version()
            if operation == "startBuild":
                engine.require_plan(account, "Building")
                return self.start_build(engine._accounts[version.owner], version)
            if operation == "streamBuildEvents":
                return self.stream_events(request, version)
            serve: dict[str, Callable[[Version], Response]] = {
                "getTemplate": self.get_template,
                "deleteTemplate": self.delete_template,
                "getBuild": self.get_build,
                "cancelBuild": self.cancel_build,
            }
            return serve[operation](version)

    return Serving


def _every_plan(operation: str) -> type[App]:
    class EveryPlan(App):
        """Application that treats every account as one with the Scale plan."""

        async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
            if requested(request.scope)[0] == operation:
                account = Account(account.key, "scale", account.name)
            return await super().operate(request, account, resource)

    return EveryPlan
