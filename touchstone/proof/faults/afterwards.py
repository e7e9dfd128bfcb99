"""Faults that earlier checks missed: publishing, refs, accounts, and sequences of operations.

Their authors did not know the checks. The faults led to new cases: random sequences of operations, complete
documents in every format, and invalid documents for existing versions.
"""

import hashlib
import json
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.proof.faults.publishing import ref_of
from touchstone.proof.faults.unforeseen import document_of
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, Resource, answer_json, read_switches, resource_at
from touchstone.twin.build import Build, Plan
from touchstone.twin.catalog import EVERYONE, Ref, Version
from touchstone.twin.documents import API_VERSION, Document, read_body, read_document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

_CONFLICT = "This version is published with other content; publish another, or use force=true."
Place = tuple[str, Ref]


def forced(request: Request, name: str = "force") -> bool:
    """Whether a publish has the query parameter *name* with the value true."""
    return read_switches(request.scope["query_string"], (name,))[name]


@breaks("semantic", "digest.is-stable", also="digest.* publish.* status.* reuse.*", over=Engine.publish)
def force_enters_the_digest(engine: Engine, account: Account, document: Document, force: bool = False) -> Version:
    """Publishing the same content with force yields another digest."""
    version = Engine.publish(engine, account, document, force)
    if force:
        version = replace(version, digest=hashlib.sha256(f"{engine.digest_of(document)}&force".encode()).hexdigest())
        engine.catalog.put(version)
    return version


@breaks("stateful", "publish.answers-201", also="publish.body-is-documented publish.auto-build-starts")
class DeletedContentStillConflicts(Engine):
    """Publishing other content under a deleted ref is answered with 409."""

    buried = own(dict[Place, str])

    def delete(self, version: Version) -> Body:
        self.buried[version.owner, version.ref] = version.digest
        return super().delete(version)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        key, digest = (account.key, ref_of(document)), self.digest_of(document)
        if not force and self.buried.get(key, digest) != digest:
            raise Refusal(409, _CONFLICT)
        self.buried.pop(key, None)
        return super().publish(account, document, force)


@breaks("stateful", "publish.force-replaces", also="digest.* publish.* template.read-* reuse.* status.*")
class ForcingBackIsSkipped(Engine):
    """A forced publish that brings back earlier content of a version is acknowledged, but changes nothing."""

    held = own(dict[Place, dict[str, Version]])

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
    """After a version is deleted and published with other content, reading it still shows the old document."""

    documents = own(dict[Place, Any])

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        version = super().publish(account, document, force)
        place = version.owner, version.ref
        if version is not old:
            self.documents[place] = version.template if old else self.documents.get(place, version.template)
        return version

    def template_body(self, version: Version) -> Body:
        document = self.documents.get((version.owner, version.ref), version.template)
        return {**super().template_body(version), "template": document}


@breaks("semantic", "template.read-shows-the-published")
class DocumentIsStoredByDigest(Engine):
    """Reading a template shows the document of another version with the same digest."""

    documents = own(dict[tuple[str, str], Any])

    def _store(self, owner: str, document: Document) -> Version:
        version = super()._store(owner, document)
        self.documents.setdefault((owner, version.digest), version.template)
        return version

    def template_body(self, version: Version) -> Body:
        stored = self.documents.get((version.owner, version.digest), version.template)
        return super().template_body(version) | {"template": stored}


@breaks("stateful", "status.build-does-not-vanish", also="status.* start.* events.* publish.*", over=Engine.publish)
def republishing_ends_the_build(engine: Engine, account: Account, document: Document, force: bool = False) -> Version:
    """Publishing the same content again ends the running build of the version."""
    old = engine.catalog.get(account.key, ref_of(document))
    version = Engine.publish(engine, account, document, force)
    if old is version and not force and (last := engine.last_of(version)):
        last.end_cancelled("build ended: its version was published")
    return version


@breaks("concurrency", "lookup.existing-version-is-found",
        also="http.head-matches-get lookup.* status.* digest.* publish.* template.* start.* reuse.* cancel.* events.* "
             "auth.refused-changes-nothing")  # fmt: skip
class BuildEndWritesTheVersionsBack(Engine):
    """When a build succeeds, all publishes and deletes of the account since the start of that build are undone."""

    copies = own(dict[Build, list[Version]])

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.copies[build] = [one for one in self.catalog if one.owner == version.owner]
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            for one in [one for one in self.catalog if one.owner == build.version.owner]:
                self.catalog.remove(one)
            for one in self.copies[build]:
                self.catalog.put(one)


@breaks("semantic", "template.read-shows-the-published", over=App.publish)
async def yaml_numbers_become_texts(app: App, request: Request, account: Account) -> Response:
    """Reading a template that was published as YAML shows its integers as strings."""
    document = await document_of(request)
    response = await App.publish(app, request, account)
    version = app.engine.catalog.get(account.key, ref_of(document))
    if version is not None and "yaml" in request.headers.get("content-type", ""):
        app.engine.catalog.put(replace(version, template=json.loads(json.dumps(version.template), parse_int=str)))
    return response


@breaks("stateful", "lookup.existing-version-is-found", also="http.no-server-error status.answers-200 template.read-*")
class ForceDeletesBeforeItChecks(App):
    """A forced publish of an invalid document is answered with 422, but deletes the existing version."""

    async def publish(self, request: Request, account: Account) -> Response:
        body = await request.body()
        try:
            return await super().publish(request, account)
        except Refusal as refusal:
            if refusal.status == 422 and forced(request):
                about = json.loads(body)["template"]
                ref = Ref("default", about.get("name"), about.get("version"))
                if version := self.engine.catalog.get(account.key, ref):
                    self.engine.delete(version)
            raise


@breaks("semantic", "publish.invalid-is-422", over=App.publish)
async def force_skips_the_schema(app: App, request: Request, account: Account) -> Response:
    """A forced publish of an invalid document is answered with 201, and the version gets this document."""
    body = await request.body()
    try:
        return await App.publish(app, request, account)
    except Refusal as refusal:
        content = read_body(body) if refusal.status == 422 and forced(request) else None
        if not isinstance(content, dict):
            raise
        valid = json.dumps({"api_version": API_VERSION, "template": content.get("template")}).encode()
        document = replace(read_document(valid), content=content)
        return answer_json(201, app.engine.published_body(app.engine.publish(account, document, force=True)))


@breaks("stateful", "lookup.existing-version-is-found",
        also="template.read-shows-the-published template.delete-says-deleted status.answers-200 "
             "status.unbuilt-is-not-built start.answers-202 start.visible-to-next-read publish.auto-build-starts "
             "events.answers-200 cancel.in-flight-is-202")  # fmt: skip
class TombstonesOutlivePublishing(Engine):
    """Publishing a deleted version again is answered with 201, but the version is still not found."""

    tombstones = own(set[Place])

    def delete(self, version: Version) -> Body:
        self.tombstones.add((version.owner, version.ref))
        return super().delete(version)

    def find(self, account: Account, ref: Ref) -> Version | None:
        return None if (account.key, ref) in self.tombstones else super().find(account, ref)


@breaks("stateful", "events.carry-the-output",
        also="status.build-time-is-ms events.own-lines-only publish.force-replaces reuse.only-identical-digest "
             "status.good-template-ends-ready status.failing-template-ends-failed status.ready-after-its-steps "
             "cancel.in-flight-is-202 cancel.does-not-end-ready")  # fmt: skip
class ForcedContentBuildsTheOldSteps(Engine):
    """After a forced publish, a build still runs the steps of the content that was published first."""

    plans = own(dict[Place, Plan])

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        self.plans.setdefault((version.owner, version.ref), super().make_build(version).plan)
        return version

    def delete(self, version: Version) -> Body:
        self.plans.pop((version.owner, version.ref), None)
        return super().delete(version)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.plan = self.plans.get((version.owner, version.ref), build.plan)
        return build


@breaks("security", "access.publish-needs-scale", also="publish.auto-build-starts", over=App.publish)
async def auto_build_checks_the_plan_later(app: App, request: Request, account: Account) -> Response:
    """An account below the Scale plan can publish with auto_build; only the build is refused."""
    if app.engine.may_build(account) or not forced(request, "auto_build"):
        return await App.publish(app, request, account)
    version = app.engine.publish(account, await document_of(request), force=forced(request))
    return answer_json(201, {**app.engine.published_body(version), "auto_build": "not_built"})


@breaks("stateful", "publish.auto-build-starts",
        also="start.visible-to-next-read status.good-template-ends-ready status.failing-template-ends-failed "
             "status.build-ends reuse.only-identical-digest reuse.only-when-reused publish.force-replaces "
             "events.answers-200 cancel.in-flight-is-202 cancel.says-cancelling "
             "lookup.existing-version-is-found")  # fmt: skip
class AutoBuildTakesTheReplacedContent(App):
    """Publishing with force and auto_build builds the replaced content instead of the new one."""

    before: Version | None = None

    async def publish(self, request: Request, account: Account) -> Response:
        # The body has been read, so no other request runs between here and the start of the build.
        self.before = self.engine.catalog.get(account.key, ref_of(await document_of(request)))
        return await super().publish(request, account)

    def auto_build(self, account: Account, version: Version) -> str:
        return super().auto_build(account, self.before or version)


# For a client that trusts the 404, the running build looks like a failure that did not last.
@breaks("stateful", "cancel.in-flight-is-202",
        also="cancel.says-cancelling cancel.does-not-end-ready cancel.settles events.cancelled-ends-on-cancel "
             "cancel.idle-is-404 status.failed-stays-failed")  # fmt: skip
class RetryCannotBeCancelled(Engine):
    """Only the first build of a version can be cancelled; a cancel of a later one is answered with 404."""

    first = own(dict[int, tuple[Slot, Build]])

    def launch(self, version: Version) -> Build:
        build, slot = super().launch(version), self.slot_of(version)
        self.first.setdefault(id(slot), (slot, build))
        return build

    def cancel(self, version: Version) -> bool:
        first = self.first.get(id(self.slots.get((version.owner, version.digest))))
        return not (first and first[1].outcome) and super().cancel(version)


@breaks("concurrency", "status.good-template-ends-ready", over=Engine.ended,
        also="events.carry-the-output events.ready-ends-on-ready cancel.next-build-completes cancel.keeps-neighbours "
             "cancel.in-flight-is-202 start.while-building-is-harmless start.concurrent-share-one-build "
             "reuse.ready-at-once reuse.same-digest-elsewhere status.build-does-not-vanish "
             "publish.auto-build-starts")  # fmt: skip
def failure_spreads(engine: Engine, slot: Slot, build: Build) -> None:
    """When a build fails, all other running builds of the account fail as well."""
    Engine.ended(engine, slot, build)
    for other in list(engine.running) if build.outcome == "failed" else ():
        if other.in_flight and other.version.owner == build.version.owner:
            other._stop_working()
            other.error = "the machine is gone"
            other.finish("failed", "error", "install", f"build failed: {other.error}")


@breaks("semantic", "http.wrong-method-is-405", over=App.answer,
        also="http.status-is-documented status.changes-only-by-a-start status.unbuilt-is-not-built "
             "status.build-does-not-vanish")  # fmt: skip
async def events_take_the_verbs_of_the_build(app: App, request: Request) -> Response:
    """POST on the path of a build log starts the build, and DELETE cancels it."""
    resource = resource_at(request.scope["raw_path"], app.settings.base_path)
    if resource is not None and resource.kind == "events" and request.method in ("POST", "DELETE"):
        account = app.engine.account_of(request.headers.getlist("authorization"))
        return await app.operate(request, account, Resource("build", resource.ref))
    return await App.answer(app, request)


@breaks("semantic", "status.build-time-is-stable", also="status.build-time-is-ms reuse.same-digest-elsewhere")
class BuildTimeStaysWithTheBuiltVersion(Engine):
    """A ready version that shares the snapshot (golden) of another version shows a build time of 0."""

    def status_body(self, version: Version) -> Body:
        body, last = super().status_body(version), self.last_of(version)
        other = last is not None and last.version.ref != version.ref
        return body | {"build_time_ms": 0} if other and "build_time_ms" in body else body


@breaks("semantic", "cancel.in-flight-is-202", also="cancel.* events.* reuse.same-digest-elsewhere", over=Engine.cancel)
def only_the_started_ref_cancels(engine: Engine, version: Version) -> bool:
    """If two versions share a running build, a cancel of the version that did not start it is answered with idle."""
    last = engine.last_of(version)
    return (last is None or last.version.ref == version.ref) and Engine.cancel(engine, version)


@breaks("semantic", "start.ref-is-the-path", over=Engine.start)
def join_tells_the_first_ref(engine: Engine, account: Account, version: Version) -> Body:
    """If a start joins the build of another version, its response has the ref of that other version."""
    body, last = Engine.start(engine, account, version), engine.last_of(version)
    return body | {"ref": str(last.version.ref)} if body["status"] == "building" and last is not None else body


@breaks("stateful", "reuse.ready-at-once",
        also="start.concurrent-share-one-build reuse.is-flagged reuse.same-digest-elsewhere status.ready-stays-ready "
             "status.build-time-is-stable")  # fmt: skip
class AutomaticGoldenIsNotReused(App):
    """A start does not reuse a finished snapshot (golden) that auto_build has built, but builds again."""

    automatic = own(set[Build | None])

    def auto_build(self, account: Account, version: Version) -> str:
        before = self.engine.last_of(version)
        status = super().auto_build(account, version)
        self.automatic |= {self.engine.last_of(version)} - {before}
        return status

    def start_build(self, account: Account, version: Version) -> Response:
        slot = self.engine.slot_of(version)
        golden, slot.golden = slot.golden, None if slot.golden in self.automatic else slot.golden
        try:
            return super().start_build(account, version)
        except Refusal:
            slot.golden = golden
            raise


@breaks("stateful", "status.ready-stays-ready", over=Engine.release,
        also="reuse.same-digest-elsewhere reuse.ready-at-once reuse.is-flagged "
             "status.build-does-not-vanish")  # fmt: skip
def golden_dies_with_its_first_version(engine: Engine, version: Version) -> None:
    """If the version that was built is deleted or replaced, other versions with its digest become not_built."""
    slot = engine.slots.get((version.owner, version.digest))
    if slot is not None and slot.golden is not None and slot.golden.version.ref == version.ref:
        slot.golden = slot.last = None
    Engine.release(engine, version)


@breaks("stateful", "cancel.does-not-end-ready",
        also="cancel.settles cancel.settled-is-idle events.cancelled-ends-on-cancel")  # fmt: skip
class VersionIsCancelledOnce(Engine):
    """A version can be cancelled once; a cancel of a later build is accepted, but that build keeps running."""

    cancelled = own(set[Place])

    def cancel(self, version: Version) -> bool:
        place = version.owner, version.ref
        if place in self.cancelled and self.joinable(self.slots.get((version.owner, version.digest), Slot())):
            return True
        done = super().cancel(version)
        if done:
            self.cancelled.add(place)
        return done


@breaks("stream", "events.terminal-frame-comes-last", over=Engine.make_build,
        also="events.own-lines-only events.carry-the-output events.timestamps-are-true")  # fmt: skip
def log_continues_the_cancelled_one(engine: Engine, version: Version) -> Build:
    """After a cancelled build, the log of the next build begins with the log of the cancelled one."""
    last, build = engine.last_of(version), Engine.make_build(engine, version)
    if last is not None and last.outcome == "cancelled":
        build.stream.frames = list(last.stream.frames)
    return build


# fmt: off
fault("force-on-nothing-fails", "stateful", "http.no-server-error",
      "A forced publish of a new version is answered with 500.",
      Engine, publish=refusing(Engine.publish, lambda self, account, document, force=False: force
                               and self.catalog.get(account.key, ref_of(document)) is None, 500, "Internal error."),
      also="publish.answers-201 http.status-is-documented")
fault("refs-are-unique-across-accounts", "security", "publish.answers-201",
      "Publishing a ref that another account has published is answered with 409.", Engine, also="access.*",
      publish=refusing(Engine.publish, lambda self, account, document, **_: any(
          version.ref == ref_of(document) and version.owner not in (account.key, EVERYONE)
          for version in self.catalog), 409, _CONFLICT))
# fmt: on
