"""Faults that went unnoticed once, of what is published, under which name, and by whom; see `unforeseen.py`."""

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.proof.faults.unforeseen import ref_of
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json, read_limited, read_switches
from touchstone.twin.build import Build
from touchstone.twin.catalog import EVERYONE, Ref, Version
from touchstone.twin.documents import Document, read_document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account, TwinSettings

# --- content ---------------------------------------------------------------------------------------------------------


@breaks("semantic", "digest.is-stable", also=("digest.*", "publish.*", "status.*", "reuse.*"))
class ForceEntersTheDigest(Engine):
    """The same content has another digest when it is published with force."""

    forced = False

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        self.forced = force
        try:
            return super().publish(account, document, force)
        finally:
            self.forced = False

    def digest_of(self, document: Document) -> str:
        digest = super().digest_of(document)
        return hashlib.sha256(f"{digest}&force=true".encode()).hexdigest() if self.forced else digest


@breaks("stateful", "publish.answers-201", also=("publish.body-is-documented", "publish.auto-build-starts"))
class DeletedContentStillConflicts(Engine):
    """A ref that was deleted can be published again with the same content only; other content conflicts with it."""

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.buried: dict[tuple[str, Ref], str] = {}

    def delete(self, version: Version) -> Body:
        self.buried[version.owner, version.ref] = version.digest
        return super().delete(version)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        key, digest = (account.key, ref_of(document)), self.digest_of(document)
        if not force and self.buried.get(key, digest) != digest:
            raise Refusal(409, "This version is published with other content; publish another, or use force=true.")
        self.buried.pop(key, None)
        return super().publish(account, document, force)


@breaks(
    "stateful",
    "publish.force-replaces",
    also=("digest.*", "publish.*", "template.read-shows-the-published", "reuse.*", "status.*"),
)
class ForcingBackIsSkipped(Engine):
    """A forced publish of content that its ref held before is answered as if it were done, and changes nothing."""

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.held: dict[tuple[str, Ref], dict[str, Version]] = {}

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        held = self.held.setdefault((account.key, ref_of(document)), {})
        old, digest = self.catalog.get(account.key, ref_of(document)), self.digest_of(document)
        if force and old is not None and old.digest != digest and digest in held:
            return held[digest]
        version = super().publish(account, document, force)
        held[version.digest] = version
        return version

    def delete(self, version: Version) -> Body:
        self.held.pop((version.owner, version.ref), None)
        return super().delete(version)


@breaks("stateful", "template.read-shows-the-published")
class DocumentOutlivesItsVersion(Engine):
    """
    A ref that is deleted and published with other content has the new digest and build, and shows the old document.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.documents: dict[tuple[str, Ref], Any] = {}

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        version = super().publish(account, document, force)
        if old is None:
            self.documents.setdefault((version.owner, version.ref), version.template)
        elif version is not old:
            self.documents[version.owner, version.ref] = version.template
        return version

    def template_body(self, version: Version) -> Body:
        document = self.documents.get((version.owner, version.ref), version.template)
        return {**super().template_body(version), "template": document}


@breaks("stateful", "status.build-does-not-vanish", also=("status.*", "start.*", "events.*", "publish.*"))
class RepublishingEndsTheBuild(Engine):
    """Publishing the same content again is accepted and ends the build that the version has running."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        version = super().publish(account, document, force)
        slot = self.slots.get((version.owner, version.digest))
        if old is version and not force and slot is not None and slot.last is not None:
            slot.last.end_cancelled("build ended: its version was published")
        return version


@breaks(
    "concurrency",
    "lookup.existing-version-is-found",
    also=("lookup.*", "status.*", "digest.*", "publish.*", "template.*", "start.*", "reuse.*", "cancel.*", "events.*"),
)
class BuildEndWritesTheVersionsBack(Engine):
    """
    A build that succeeds writes back the versions that its account had at its start: what was done since is undone.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.copies: dict[Build, tuple[str, list[Version]]] = {}

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.copies[build] = version.owner, [one for one in self.catalog if one.owner == version.owner]
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner, copies = self.copies.pop(build)
        if build.outcome == "ready":
            for one in [one for one in self.catalog if one.owner == owner]:
                self.catalog.remove(one)
            for one in copies:
                self.catalog.put(one)


# --- accounts --------------------------------------------------------------------------------------------------------


@breaks("security", "publish.answers-201", also=("access.*",))
class RefsAreUniqueAcrossAccounts(Engine):
    """A ref that one account has published is a conflict for every other account."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        ref, own = ref_of(document), (account.key, EVERYONE)
        if any(version.ref == ref and version.owner not in own for version in self.catalog):
            raise Refusal(409, "This version is published with other content; publish another, or use force=true.")
        return super().publish(account, document, force)


@breaks("security", "access.publish-needs-scale", also=("publish.auto-build-starts",))
class AutoBuildLooksAtThePlanLater(App):
    """
    A publish with auto_build leaves the plan to the start of its build: below the plan it is published, not built.
    """

    async def publish(self, request: Request, account: Account) -> Response:
        switches = read_switches(request.scope["query_string"], ("auto_build", "force"))
        if self.engine.may_build(account) or not switches["auto_build"]:
            return await super().publish(request, account)
        document = read_document(await read_limited(request), request.headers.get("content-type", ""))
        version = self.engine.publish(account, document, force=switches["force"])
        return answer_json(201, {**self.engine.published_body(version), "auto_build": "not_built"})


# --- versions of one content -----------------------------------------------------------------------------------------


class Noting(Engine):
    """A right engine that knows for which version each build was started."""

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.built_as: dict[Build, Ref] = {}

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.built_as[build] = version.ref
        return build


@breaks("semantic", "cancel.in-flight-is-202", also=("cancel.*", "events.*", "reuse.same-digest-elsewhere"))
class OnlyTheStartedRefCancels(Noting):
    """
    A build that two versions of one digest share reads building for both, but a cancel of the second one says idle.
    """

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        if slot and slot.last and self.built_as.get(slot.last, version.ref) != version.ref:
            return False
        return super().cancel(version)


@breaks("semantic", "status.build-time-is-stable", also=("status.build-time-is-ms", "reuse.same-digest-elsewhere"))
class BuildTimeStaysWithTheBuiltVersion(Noting):
    """The build time is kept with the version that was built: the status of another one of its digest tells 0."""

    def status_body(self, version: Version) -> Body:
        body, slot = super().status_body(version), self.slots.get((version.owner, version.digest))
        golden = slot.golden if slot else None
        if golden and self.built_as.get(golden, version.ref) != version.ref and "build_time_ms" in body:
            body["build_time_ms"] = 0
        return body
