"""Faults of publishing: what a publish is answered, what it changes, and what it builds."""

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, read_switches
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account

# --- what it is answered -----------------------------------------------------------------------------------------


@breaks("stateful", "publish.answers-201")
class SecondVersionIs409(Engine):
    """A name can have one version only; another one is a conflict."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        ref = Ref(document.namespace, document.name, document.version)
        if any(version.ref.name == ref.name and version.ref != ref for version in self.catalog):
            raise Refusal(409, "This template exists.")
        return super().publish(account, document, force)


class PublishedBody(Engine):
    """The answer to publishing holds something else; reading a document does not."""

    def published(self, version: Version) -> Body:
        """Fields that replace the usual ones; None leaves one out."""
        raise NotImplementedError

    def published_body(self, version: Version) -> Body:
        body = super().published_body(version) | self.published(version)
        return {name: value for name, value in body.items() if value is not None}

    def template_body(self, version: Version) -> Body:
        return {**Engine.published_body(self, version), "template": version.template}


@breaks("schema", "publish.body-is-documented")
class PublishedWhenIsANumber(PublishedBody):
    """The answer to publishing says when in seconds since 1970."""

    def published(self, version: Version) -> Body:
        return {"published": 1_773_480_413}


@breaks("stateful", "publish.ref-is-the-document")
class PublishedRefIsTheLastOne(PublishedBody):
    """The ref in the answer to publishing is that of the publish before."""

    last = ""

    def published(self, version: Version) -> Body:
        last, self.last = self.last, str(version.ref)
        return {"ref": last or self.last}


# --- identical and other content ---------------------------------------------------------------------------------


class Repeats(Engine):
    """A publish of a version that exists is treated in another way."""

    def again(self, old: Version, document: Document, force: bool) -> Version | None:
        """The version that comes of it; None where nothing is special."""
        raise NotImplementedError

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
        return (self.again(old, document, force) if old else None) or super().publish(account, document, force)

    def same(self, old: Version, document: Document) -> bool:
        """Whether the content is there already."""
        return old.digest == self.digest_of(document)


@breaks("semantic", "publish.republish-identical-is-accepted")
class IdenticalIs409(Repeats):
    """The same content again is a conflict."""

    def again(self, old: Version, document: Document, force: bool) -> Version | None:
        if self.same(old, document) and not force:
            raise Refusal(409, "This version exists.")
        return None


@breaks("stateful", "publish.republish-identical-is-accepted")
class IdenticalIs409OnceBuilt(Repeats):
    """The same content again is a conflict as soon as it is built."""

    def again(self, old: Version, document: Document, force: bool) -> Version | None:
        if self.same(old, document) and not force and self.status_body(old)["status"] == "ready":
            raise Refusal(409, "This version is built.")
        return None


@breaks("semantic", "publish.other-content-is-409", also=("publish.force-replaces",))
class PublishAlwaysReplaces(Engine):
    """Other content replaces what is published, without force."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        return super().publish(account, document, force=True)


@breaks("semantic", "publish.other-content-is-409")
class OtherContentIsIgnored(Repeats):
    """Other content without force is answered like the same, and changes nothing."""

    def again(self, old: Version, document: Document, force: bool) -> Version | None:
        return None if force or self.same(old, document) else old


@breaks(
    "stateful",
    "publish.conflict-keeps-content",
    also=(
        "events.build-time-agrees",
        "template.read-shows-the-published",
        "status.good-template-ends-ready",
        "publish.other-content-is-409",
        "status.ready-stays-ready",
        "events.own-lines-only",
    ),
)
class ConflictOverwrites(Engine):
    """A publish that conflicts is refused with 409 after it has replaced the content."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        try:
            return super().publish(account, document, force)
        except Refusal as refusal:
            if refusal.status == 409:
                self._store(account.key, document)
            raise


@breaks(
    "stateful",
    "publish.conflict-keeps-content",
    also=(
        "status.good-template-ends-ready",
        "template.read-shows-the-published",
    ),
)
class ConflictSwapsTheDocument(Engine):
    """A publish that conflicts is refused with 409, and its document is shown from then on."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        try:
            return super().publish(account, document, force)
        except Refusal as refusal:
            old = self.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
            if refusal.status == 409 and old:
                self.catalog.put(dataclasses.replace(old, template=document.content))
            raise


@breaks(
    "semantic",
    "publish.force-replaces",
    also=(
        "status.unbuilt-is-not-built",
        "digest.follows-content",
    ),
)
class ForceChangesNothing(Repeats):
    """A forced publish is answered as if it replaced the content, and does not."""

    def again(self, old: Version, document: Document, force: bool) -> Version | None:
        return old if force and not self.same(old, document) else None


@breaks("stateful", "publish.force-replaces")
class ForceKeepsTheDocument(Repeats):
    """A forced publish gets a new digest and build, and the old document goes on being shown."""

    def again(self, old: Version, document: Document, force: bool) -> Version | None:
        if not force or self.same(old, document):
            return None
        self._shown[old.owner, old.ref] = old.template
        return None

    def __init__(self, *args: Any) -> None:
        self._shown: dict[Any, Any] = {}
        super().__init__(*args)

    def template_body(self, version: Version) -> Body:
        body = super().template_body(version)
        return {**body, "template": self._shown.get((version.owner, version.ref), version.template)}


# --- what it builds ----------------------------------------------------------------------------------------------


@breaks("semantic", "publish.auto-build-starts", target={"build_timeout_s": 2.0})
class AutoBuildIsForgotten(App):
    """Publishing with auto_build says building and starts nothing."""

    def auto_build(self, account: Account, version: Version) -> str:
        return "building"


@breaks("semantic", "publish.auto-build-only-when-asked", also=("status.unbuilt-is-not-built",))
class AutoBuildFalseBuilds(App):
    """Whatever auto_build says, it is taken for a yes."""

    async def publish(self, request: Request, account: Account) -> Response:
        query = request.scope["query_string"].replace(b"auto_build=false", b"auto_build=true")
        return await super().publish(Request({**request.scope, "query_string": query}, request.receive), account)


@breaks("schema", "publish.auto-build-only-when-asked")
class AutoBuildIsAlwaysTold(App):
    """The answer to every publish mentions auto_build."""

    async def publish(self, request: Request, account: Account) -> Response:
        response = await super().publish(request, account)
        if read_switches(request.scope["query_string"], ("auto_build",))["auto_build"]:
            return response
        body = bytes(response.body)[:-1] + b',"auto_build":"not_built"}'
        return Response(body, response.status_code, media_type="application/json")
