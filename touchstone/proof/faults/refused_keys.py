"""Faults of refused keys: how they are told, what is done for them all the same, and right ones that are refused."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.proof.faults.keys import asked_for, first_account
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import App, read_limited
from touchstone.twin.catalog import Version
from touchstone.twin.documents import read_document
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# --- told otherwise than 401 -------------------------------------------------------------------------------------


@breaks("semantic", "auth.unknown-key-is-401", "auth.near-key-is-401", "auth.malformed-header-is-401")
class WrongKeyIs403(Engine):
    """A wrong key is forbidden rather than unauthorized."""

    def account_of(self, authorization: list[str]) -> Account:
        try:
            return super().account_of(authorization)
        except Refusal as refusal:
            if authorization:
                refusal.status = 403
            raise


@breaks("semantic", "auth.missing-key-text")
class MissingKeyIsCalledInvalid(Engine):
    """A request without a key is told that its key is invalid."""

    def account_of(self, authorization: list[str]) -> Account:
        if not authorization:
            raise invalid_key()
        return super().account_of(authorization)


@breaks("semantic", "auth.invalid-key-text")
class WrongKeyIsUnauthorized(Engine):
    """A wrong key is told nothing but that it is not authorized."""

    def account_of(self, authorization: list[str]) -> Account:
        try:
            return super().account_of(authorization)
        except Refusal as refusal:
            if authorization:
                refusal.body["error"] = "Not authorized."
            raise


# --- kept out with a right key -----------------------------------------------------------------------------------


@breaks("semantic", "auth.scheme-ignores-case")
class SchemeIsCaseSensitive(Engine):
    """Only ``Bearer`` in exactly these letters is recognised."""

    def is_bearer(self, scheme: str) -> bool:
        return scheme == "Bearer"


@breaks("security", "auth.valid-key-is-accepted")
class OthersVersionIs401(App):
    """Whoever asks for another account's version is told that the key is invalid."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        owners = {version.owner for version in asked_for(request, self.engine)[1]}
        if owners and account.key not in owners and self.engine.may_build(account):
            raise invalid_key()
        return await super().operate(request, account, resource)


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


# --- refused, and done all the same ------------------------------------------------------------------------------


class RefusedIsDone(App):
    """What a request without a key asks for is done before it is refused."""

    def done(self, kind: str, request: Request, version: Version) -> Any:
        raise NotImplementedError

    async def answer(self, request: Request) -> Response:
        if "authorization" not in request.headers and not request.scope["query_string"]:
            kind, versions = asked_for(request, self.engine)
            for version in versions:
                self.done(kind, request, version)
        return await super().answer(request)


@breaks("security", "auth.refused-changes-nothing")
class RefusedStartStarts(RefusedIsDone):
    """A start without a key is refused with 401, after it has begun."""

    def done(self, kind: str, request: Request, version: Version) -> Any:
        if kind == "build" and request.method == "POST":
            self.engine.start(self.engine._accounts[version.owner], version)


@breaks("security", "auth.refused-changes-nothing", target={"build_timeout_s": 2.0})
class RefusedCancelCancels(RefusedIsDone):
    """A cancel without a key is refused with 401, after it has been carried out."""

    def done(self, kind: str, request: Request, version: Version) -> Any:
        if kind == "build" and request.method == "DELETE":
            self.engine.cancel(version)


@breaks("security", "auth.refused-changes-nothing")
class RefusedDeleteDeletes(RefusedIsDone):
    """A delete without a key is refused with 401, after the version is gone."""

    def done(self, kind: str, request: Request, version: Version) -> Any:
        if kind == "template" and request.method == "DELETE":
            self.engine.delete(version)


@breaks("security", "auth.refused-changes-nothing", also=("template.read-shows-the-published",))
class RefusedPublishPublishes(App):
    """A publish with an unknown key is refused with 401, after it has replaced what was there."""

    async def answer(self, request: Request) -> Response:
        try:
            return await super().answer(request)
        except Refusal as refusal:
            if refusal.status == 401 and request.method == "POST" and asked_for(request, self.engine)[0] == "templates":
                document = read_document(await read_limited(request), request.headers.get("content-type", ""))
                self.engine.publish(first_account(self.engine), document, force=True)
            raise
