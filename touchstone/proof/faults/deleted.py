"""Faults of deleted versions: what is left of them."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.app import App
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account


class Remembers(App):
    """Deleted versions are remembered."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.deleted: dict[Any, Version] = {}

    def delete_template(self, version: Version) -> Response:
        self.deleted[version.owner, version.ref] = version
        return super().delete_template(version)

    def left(self, account: Account, resource: Resource) -> Version | None:
        """The deleted version that is asked for."""
        return None if self.engine.find(account, resource.ref) else self.deleted.get((account.key, resource.ref))


@breaks("stateful", "lookup.deleted-version-is-404", "start.refuses-deleted-version")
class DeletedIsOnlyHidden(Remembers):
    """A deleted version can be read and built for ever."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.left(account, resource)
        if version and resource.kind == "build" and request.method != "DELETE":
            return self.start_build(account, version) if request.method == "POST" else self.get_build(version)
        return await super().operate(request, account, resource)


@breaks("stateful", "lookup.deleted-version-is-404", also=("http.head-matches-get",))
class DeletedGoldenIsReady(Remembers):
    """A version that was ready when it was deleted still reads ready."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.left(account, resource)
        reads = resource.kind == "build" and request.method == "GET"
        if version and reads and self.engine.status_body(version)["status"] == "ready":
            return self.get_build(version)
        return await super().operate(request, account, resource)


@breaks("stateful", "lookup.deleted-version-is-404", also=("http.head-matches-get",))
class DeletedDocumentIsShown(Remembers):
    """The document of a deleted version can still be read."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.left(account, resource)
        if version and resource.kind == "template" and request.method == "GET":
            return self.get_template(version)
        return await super().operate(request, account, resource)
