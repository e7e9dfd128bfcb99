"""Faults between accounts: what another one sees and touches, and what a plan that is too small does not keep out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal, invalid_key
from touchstone.twin.app import App
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# Where two accounts have a version of one name, what one of them does to its own hits the other's.
WHERE_NAMES_ARE_SHARED = (
    "status.*",
    "cancel.settles",
    "lookup.existing-version-is-found",
    "template.read-shows-the-published",
    "publish.other-content-is-409",
)

# --- another account's versions ----------------------------------------------------------------------------------


class OthersAreLetIn(App):
    """Some requests about another account's version are carried out as that account's, unless the plan is too small."""

    def lets_in(self, request: Request, resource: Resource, version: Version) -> bool:
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in self.engine.catalog:
            foreign = version.ref == resource.ref and version.owner not in (account.key, "")
            if foreign and self.engine.may_build(account) and self.lets_in(request, resource, version):
                account = self.engine._accounts[version.owner]
        return await super().operate(request, account, resource)


@breaks("security", "access.others-version-is-404")
class OthersMayRead(OthersAreLetIn):
    """Every account can read every version."""

    def lets_in(self, request: Request, resource: Resource, version: Version) -> bool:
        return request.method == "GET"


@breaks("security", "access.others-version-is-404")
class OthersMayFollow(OthersAreLetIn):
    """Every account can follow every build log."""

    def lets_in(self, request: Request, resource: Resource, version: Version) -> bool:
        return resource.kind == "events"


@breaks("security", "access.others-version-is-404")
class GoldensAreForEveryone(OthersAreLetIn):
    """Once a version is ready, every account can read its status."""

    def lets_in(self, request: Request, resource: Resource, version: Version) -> bool:
        slot = self.engine.slots.get((version.owner, version.digest))
        reads = request.method == "GET" and resource.kind == "build"
        return reads and slot is not None and slot.golden is not None


@breaks("security", "access.others-version-is-404", target={"build_timeout_s": 2.0})
class OthersMayCancel(OthersAreLetIn):
    """Every account can cancel every build."""

    def lets_in(self, request: Request, resource: Resource, version: Version) -> bool:
        return request.method == "DELETE" and resource.kind == "build"


# What was one's own and is deleted is another's version, too, where that one gave it the same name.
@breaks("semantic", "access.others-version-is-404", also=("lookup.deleted-version-is-404",))
class OthersVersionIs403(App):
    """Another account's version is forbidden, which tells that there is one."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        owners = {version.owner for version in self.engine.catalog if version.ref == resource.ref}
        if owners and account.key not in owners:
            raise Refusal(403, "Access denied.")
        return await super().operate(request, account, resource)


class OthersActUnseen(App):
    """Some requests about another account's version are carried out before they are answered with 404."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        for version in [v for v in self.engine.catalog if v.ref == resource.ref and v.owner not in (account.key, "")]:
            self.act(request.method, resource.kind, version)
        return await super().operate(request, account, resource)


@breaks("security", "access.others-change-nothing", also=WHERE_NAMES_ARE_SHARED)
class OthersStartUnseen(OthersActUnseen):
    """Another account's start is answered with 404, and starts."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        if (method, kind) == ("POST", "build"):
            self.engine.start(self.engine._accounts[version.owner], version)


@breaks("security", "access.others-change-nothing", also=WHERE_NAMES_ARE_SHARED, target={"build_timeout_s": 2.0})
class OthersCancelUnseen(OthersActUnseen):
    """Another account's cancel is answered with 404, and cancels."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        if (method, kind) == ("DELETE", "build"):
            self.engine.cancel(version)


@breaks("security", "access.others-change-nothing", also=WHERE_NAMES_ARE_SHARED)
class OthersDeleteUnseen(OthersActUnseen):
    """Another account's delete is answered with 404, and deletes."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        if (method, kind) == ("DELETE", "template"):
            self.engine.delete(version)


@breaks("stateful", "access.others-change-nothing", also=WHERE_NAMES_ARE_SHARED, target={"build_timeout_s": 2.0})
class OthersReadsEndGoldens(OthersActUnseen):
    """Another account's start of a ready version is answered with 404, and its golden is forgotten."""

    def act(self, method: str, kind: str, version: Version) -> Any:
        if (method, kind) == ("POST", "build"):
            self.engine.slots.pop((version.owner, version.digest), None)


# --- plans -------------------------------------------------------------------------------------------------------


@breaks("security", "access.start-needs-scale", "access.publish-needs-scale")
class PlanIsNotEnforced(Engine):
    """Every plan may publish and build."""

    def require_plan(self, account: Account, doing: str) -> None:
        pass


@breaks(
    "semantic",
    "access.start-needs-scale",
    "access.publish-needs-scale",
    "http.status-is-documented",
    # The plan is looked at first, so what does not exist for the account is told to pay as well.
    also=("access.others-version-is-404", "lookup.unknown-name-is-404"),
)
class SmallPlanIs402(Engine):
    """An account below the plan is asked to pay."""

    def require_plan(self, account: Account, doing: str) -> None:
        try:
            super().require_plan(account, doing)
        except Refusal as refusal:
            refusal.status = 402
            raise


# What is told by 401 is not told by 403.
@breaks("security", "access.plan-is-no-key-matter")
class SmallPlanIs401(Engine):
    """An account below the plan is told that its key is invalid."""

    def require_plan(self, account: Account, doing: str) -> None:
        if not self.may_build(account):
            raise invalid_key()


@breaks("stateful", "access.start-needs-scale")
class SmallPlanStartsUnseen(App):
    """A start below the plan is refused with 403, after it has begun."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.engine.find(account, resource.ref)
        if resource.kind == "build" and request.method == "POST" and version and not self.engine.may_build(account):
            self.engine.start(account, version)
        return await super().operate(request, account, resource)


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
