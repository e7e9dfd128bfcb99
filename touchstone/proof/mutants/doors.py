"""Faults of access: each rule about keys, accounts, plans and versions is skipped, on one operation at a time."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.faults.fault import Fault
from touchstone.proof.mutants.boundary import asked_for
from touchstone.proof.mutants.derived import derived
from touchstone.proof.mutants.surface import OPERATIONS
from touchstone.twin.answers import invalid_key, no_such_version
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import DEFAULT_ACCOUNTS, Account

_FIRST = DEFAULT_ACCOUNTS[0].key
_KEYS = frozenset(account.key for account in DEFAULT_ACCOUNTS)
# Every operation about a version that is there.
ABOUT_ONE = tuple(operation for operation in OPERATIONS if operation != "publishTemplate")


def door_faults() -> Iterator[Fault]:
    """Every rule, every operation."""
    for rule, (says, lets_in) in KEY_RULES.items():
        for operation in OPERATIONS:
            told = f"{operation} accepts {says}."
            yield derived(f"auth.{rule}.skip.{operation}", told, "security", wrap=_letting_in(operation, lets_in))
    for operation in OPERATIONS:
        told = f"{operation} refuses every fifth request with a valid key as if the key were unknown."
        yield derived(f"auth.valid-key.refuse.{operation}", told, "security", wrap=_refusing(operation))
    for rule, (says, shows) in VERSION_RULES.items():
        for operation in ABOUT_ONE:
            told = f"{operation} serves {says}."
            parts: dict[str, Any] = {"app": _showing(operation, shows)}
            if rule == "deleted-version":
                parts["engine"] = Remembering
            yield derived(f"access.{rule}.skip.{operation}", told, "security", **parts)
    for operation in ("startBuild", "publishTemplate"):
        told = f"{operation} serves every plan."
        yield derived(f"access.plan.skip.{operation}", told, "security", app=_every_plan(operation))


# --- keys ------------------------------------------------------------------------------------------------------------


def _key_in(header: str | None) -> str:
    return (header or "").rpartition(" ")[2]


def _missing(header: str | None, _query: str) -> str:
    return _FIRST if header is None else ""


def _unknown(header: str | None, _query: str) -> str:
    key = _key_in(header)
    fits = (header or "").startswith("Bearer ") and key and key not in _KEYS and not _is_near(key)
    return _FIRST if fits else ""


def _is_near(key: str) -> bool:
    return any(key[:-1] == known or known[:-1] == key for known in _KEYS)


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


# By rule: what passes for a key, and the key that it passes for, given the header and the query.
KEY_RULES: dict[str, tuple[str, Callable[[str | None, str], str]]] = {
    "missing-key": ("a request without a key", _missing),
    "unknown-key": ("a key that nobody has", _unknown),
    "longer-key": ("a key with a character too many", _longer),
    "shorter-key": ("a key with a character too few", _shorter),
    "malformed-header": ("a key behind another scheme or none", _malformed),
    "query-key": ("a key in the query", _queried),
}


def _letting_in(operation: str, lets_in: Callable[[str | None, str], str]) -> Callable[[Asgi], Asgi]:
    def wrap(app: Asgi) -> Asgi:
        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            if asked_for(scope)[0] == operation:
                values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
                key = lets_in(values[0] if values else None, scope["query_string"].decode("latin-1"))
                if key:
                    others = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
                    scope = {**scope, "headers": [*others, (b"authorization", f"Bearer {key}".encode())]}
            await app(scope, receive, send)

        return asked

    return wrap


def _refusing(operation: str) -> Callable[[Asgi], Asgi]:
    def wrap(app: Asgi) -> Asgi:
        asked_times = 0

        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal asked_times
            if asked_for(scope)[0] == operation:
                asked_times += 1
                if asked_times % 5 == 0:
                    refusal = invalid_key()
                    await answer_json(refusal.status, refusal.body, refusal.headers)(scope, receive, send)
                    return
            await app(scope, receive, send)

        return asked

    return wrap


# --- versions and plans ----------------------------------------------------------------------------------------------


class Remembering(Engine):
    """Keeps what was deleted in a place of its own."""

    def delete(self, version: Version) -> dict[str, Any]:
        """Deletes a version and remembers it."""
        self.deleted = {**getattr(self, "deleted", {}), (version.owner, version.ref): version}
        return super().delete(version)


def _of_others(engine: Engine, account: Account, ref: Ref) -> Version | None:
    return next((v for v in engine.catalog if v.ref == ref and v.owner not in {account.key, ""}), None)


def _deleted(engine: Engine, account: Account, ref: Ref) -> Version | None:
    found: Version | None = getattr(engine, "deleted", {}).get((account.key, ref))
    return found


def _other_version(engine: Engine, account: Account, ref: Ref) -> Version | None:
    own = (v for v in engine.catalog if v.owner == account.key)
    return next((v for v in own if (v.ref.namespace, v.ref.name) == (ref.namespace, ref.name)), None)


def _other_name(engine: Engine, account: Account, ref: Ref) -> Version | None:
    return _any_own(engine, account) if ref.namespace == "default" and _is_nobodys(engine, ref) else None


def _other_namespace(engine: Engine, account: Account, ref: Ref) -> Version | None:
    own = (v for v in engine.catalog if v.owner == account.key and ref.namespace != "default")
    return next((v for v in own if (v.ref.name, v.ref.version) == (ref.name, ref.version)), None)


def _any_own(engine: Engine, account: Account) -> Version | None:
    own = [v for v in engine.catalog if v.owner == account.key]
    return next((v for v in own if engine.status_body(v)["status"] == "building"), next(iter(own), None))


def _is_nobodys(engine: Engine, ref: Ref) -> bool:
    return not any((v.ref.namespace, v.ref.name) == (ref.namespace, ref.name) for v in engine.catalog)


# By rule: what is served, and the version that is served where there is none of that ref.
VERSION_RULES: dict[str, tuple[str, Callable[[Engine, Account, Ref], Version | None]]] = {
    "others-version": ("another account's version", _of_others),
    "deleted-version": ("a version that was deleted", _deleted),
    "unknown-version": ("another version where there is none", _other_version),
    "unknown-name": ("another template where there is none", _other_name),
    "unknown-namespace": ("a template of another namespace where there is none", _other_namespace),
}


def _showing(operation: str, shows: Callable[[Engine, Account, Ref], Version | None]) -> type[App]:
    class Showing(App):
        """Serves what it should not find."""

        async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
            """Carries out one operation on another version where there is none."""
            if asked_for(request.scope)[0] != operation or self.engine.find(account, resource.ref):
                return await super().operate(request, account, resource)
            version = shows(self.engine, account, resource.ref)
            if version is None:
                raise no_such_version()
            return await self._serve(request, account, version)

        async def _serve(self, request: Request, account: Account, version: Version) -> Response:
            owner = next(known for known in self.settings.accounts if known.key == version.owner)
            match operation:
                case "getTemplate":
                    return self.get_template(version)
                case "deleteTemplate":
                    return self.delete_template(version)
                case "startBuild":
                    self.engine.require_plan(account, "Building")
                    return self.start_build(owner, version)
                case "getBuild":
                    return self.get_build(version)
                case "cancelBuild":
                    return self.cancel_build(version)
            return self.stream_events(request, version)

    return Showing


def _every_plan(operation: str) -> type[App]:
    class EveryPlan(App):
        """Asks for no plan."""

        async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
            """Carries out one operation as if the account were on the largest plan."""
            if asked_for(request.scope)[0] == operation:
                account = Account(account.key, "scale", account.name)
            return await super().operate(request, account, resource)

    return EveryPlan
