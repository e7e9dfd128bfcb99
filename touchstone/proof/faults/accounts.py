"""Faults between accounts: what another one sees and touches, and what a plan that is too small does not keep out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks, fault
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import App
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

HASTY = {"build_timeout_s": 2.0}
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
# fmt: on


# What was one's own and is deleted is another's version, too, where that one gave it the same name.
@breaks("semantic", "access.others-version-is-404", also="lookup.deleted-version-is-404", over=App.operate)
async def others_version_is_403(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """Another account's version is forbidden, which tells that there is one."""
    owners = {version.owner for version in app.engine.catalog if version.ref == resource.ref}
    if owners and account.key not in owners:
        raise Refusal(403, "Access denied.")
    return await App.operate(app, request, account, resource)


# The plan is looked at first, so what does not exist for the account is told to pay as well.
@breaks(
    "semantic",
    "access.start-needs-scale",
    "access.publish-needs-scale",
    "http.status-is-documented",
    also="access.others-version-is-404 lookup.unknown-name-is-404",
    over=Engine.require_plan,
)
def small_plan_is_402(engine: Engine, account: Account, doing: str) -> None:
    """An account below the plan is asked to pay."""
    if not engine.may_build(account):
        raise Refusal(402, f"{doing} templates needs a Scale plan.")


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
