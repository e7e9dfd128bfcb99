"""Faults of keys, accounts and plans: missing access checks, effects of refused requests, access to other accounts."""

from collections.abc import Callable
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import on, put
from touchstone.proof.faults.fault import breaks, fault, refusing
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import App, Resource, read_limited, resource_at
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document, read_document
from touchstone.twin.engine import Engine
from touchstone.twin.settings import Account

HASTY = {"build_timeout_s": 2.0}


def first_account(engine: Engine) -> Account:
    """Returns the account of the first key."""
    return next(iter(engine._accounts.values()))


def requested(request: Request, engine: Engine) -> tuple[str, list[Version]]:
    """Returns the kind of the requested resource, and every version with the requested ref, in any account."""
    resource = resource_at(request.scope["raw_path"], engine.settings.base_path) or Resource("templates")
    return resource.kind, [version for version in engine.catalog if version.ref == resource.ref]


# fmt: off
# --- missing access checks ---
fault("scheme-is-not-looked-at", "security", "auth.malformed-header-is-401",
      "A valid key is accepted with any scheme, not just Bearer.", Engine, is_bearer=lambda _, scheme: bool(scheme))
# --- wrong responses ---
fault("wrong-key-is-unauthorized", "semantic", "auth.invalid-key-text",
      "The 401 for a wrong key does not say that the key is invalid.", on("*.401", put(
          error=lambda data: data["error"] if data["error"].startswith("Missing") else "Not authorized.")))
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


@breaks("security", "auth.query-key-is-401", over=App.answer)
async def key_in_the_query(app: App, request: Request) -> Response:
    """A key in the query string (`api_key`) is accepted."""
    if key := request.query_params.get("api_key"):
        request.scope["headers"] = [*request.scope["headers"], (b"authorization", f"Bearer {key}".encode())]
    return await App.answer(app, request)


@breaks("security", "auth.missing-key-is-401", also="http.head-matches-get", over=App.answer)
async def head_needs_no_key(app: App, request: Request) -> Response:
    """HEAD works without a key: for the first account."""
    if request.method == "HEAD" and not any(name == b"authorization" for name, _ in request.scope["headers"]):
        key = first_account(app.engine).key
        request.scope["headers"] = [*request.scope["headers"], (b"authorization", f"Bearer {key}".encode())]
    return await App.answer(app, request)


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


@breaks("stateful", "auth.valid-key-is-accepted",
        also="auth.scheme-ignores-case access.plan-is-no-key-matter http.head-matches-get")  # fmt: skip
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


@breaks("security", "auth.refused-changes-nothing", over=App.answer,
        also="reuse.ready-at-once status.ready-stays-ready template.read-shows-the-published")  # fmt: skip
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


class RefusedIsDone(App):
    """Base class: a request without a key is carried out before it is refused."""

    done: ClassVar[Callable[..., Any]]

    async def answer(self, request: Request) -> Response:
        if "authorization" not in request.headers and not request.scope["query_string"]:
            kind, versions = requested(request, self.engine)
            for version in versions:
                self.done(request.method, kind, version)
        return await super().answer(request)


class OthersActAnyway(App):
    """Base class: some requests about another account's version are carried out, then answered with 404."""

    done: ClassVar[Callable[..., Any]]

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in [v for v in self.engine.catalog if v.ref == resource.ref and v.owner not in (account.key, "")]:
            self.done(request.method, resource.kind, version)
        return await super().operate(request, account, resource)


# fmt: off
for _verb, _effect, _done in (
    ("start", "the build begins", lambda app, method, kind, version: (method, kind) == ("POST", "build")
     and app.engine.start(app.engine._accounts[version.owner], version)),
    ("cancel", "the build is cancelled", lambda app, method, kind, version: (method, kind) == ("DELETE", "build")
     and app.engine.cancel(version)),
    ("delete", "the version is deleted", lambda app, method, kind, version: (method, kind) == ("DELETE", "template")
     and app.engine.delete(version)),
):
    fault(f"refused-{_verb}-{_verb}s", "security", "auth.refused-changes-nothing",
          f"A {_verb} without a key is refused with 401, but {_effect}.", RefusedIsDone, done=_done, target=HASTY)
    fault(f"others-{_verb}-unseen", "security", "access.others-change-nothing",
          f"A {_verb} from another account is answered with 404, but {_effect}.", OthersActAnyway, done=_done,
          also=WHERE_NAMES_ARE_SHARED, target=HASTY)
fault("others-reads-end-goldens", "stateful", "access.others-change-nothing",
      "A start of a ready version from another account is answered with 404, but drops the snapshot (golden).",
      OthersActAnyway, done=lambda app, method, kind, version: (method, kind) == ("POST", "build")
      and app.engine.slots.pop((version.owner, version.digest), None),
      also=f"{WHERE_NAMES_ARE_SHARED} auth.refused-changes-nothing reuse.ready-at-once", target=HASTY)
# fmt: on


@breaks("security", "access.others-version-is-404", also="access.others-change-nothing", over=Engine.find)
def goldens_are_for_everyone(engine: Engine, account: Account, ref: Ref) -> Version | None:
    """Once a version is ready, other accounts can read, cancel and delete it."""
    ready = (v for v in engine.catalog if v.ref == ref and engine.status_body(v)["status"] == "ready")
    return Engine.find(engine, account, ref) or next(ready, None)


# fmt: off
fault("plan-is-not-enforced", "security", "access.start-needs-scale access.publish-needs-scale",
      "Accounts below the Scale plan can publish and build.", Engine, require_plan=lambda *_: None)
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
