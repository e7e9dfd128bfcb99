"""Faults that show only after something else has happened: a build, a cancel, a failure, a replacement, a deletion.

No check was written for them: they were thought of without looking at the checks and went unnoticed. They led to the
episodes that follow each other in any order.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, _values, answer_json, read_limited, read_switches
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document, read_document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.paths import Resource, resource_at
from touchstone.twin.settings import Account, TwinSettings
from touchstone.twin.steps import Plan, read_plan


@breaks(
    "stateful",
    "publish.auto-build-starts",
    also=(
        "start.visible-to-next-read",
        "status.good-template-ends-ready",
        "status.failing-template-ends-failed",
        "status.build-ends",
        "reuse.only-identical-digest",
        "reuse.only-when-reused",
        "publish.force-replaces",
        "events.answers-200",
        "cancel.in-flight-is-202",
        "cancel.says-cancelling",
        "lookup.existing-version-is-found",
    ),
)
class AutoBuildTakesTheReplacedContent(App):
    """Publishing with force and auto_build starts a build of the content that it has just replaced."""

    async def publish(self, request: Request, account: Account) -> Response:
        self.engine.require_plan(account, "Publishing")
        switches = read_switches(request.scope["query_string"], ("auto_build", "force"))
        body = await read_limited(request)
        document = read_document(body, request.headers.get("content-type", ""))
        before = self.engine.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
        version = self.engine.publish(account, document, force=switches["force"])
        answer = self.engine.published_body(version)
        if switches["auto_build"]:
            answer["auto_build"] = self.auto_build(account, before or version)
        return answer_json(201, answer)


@breaks(
    "stateful",
    "cancel.in-flight-is-202",
    also=(
        "cancel.says-cancelling",
        "cancel.does-not-end-ready",
        "cancel.settles",
        "events.cancelled-ends-on-cancel",
        "cancel.idle-is-404",
        # Whoever believes the 404 takes what goes on for a failure that did not last.
        "status.failed-stays-failed",
    ),
    profile="standard",
)
class RetryCannotBeCancelled(Engine):
    """A cancel looks at the first build of a version, so that it finds nothing where a later build is running."""

    def __init__(self, settings: TwinSettings) -> None:
        self._first: dict[int, tuple[Slot, Build]] = {}
        super().__init__(settings)

    def launch(self, version: Version) -> Build:
        build = super().launch(version)
        slot = self.slot_of(version)
        self._first.setdefault(id(slot), (slot, build))
        return build

    def cancel(self, version: Version) -> bool:
        self.require_own(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and id(slot) in self._first and self._first[id(slot)][1].outcome:
            return False
        return super().cancel(version)


@breaks(
    "concurrency",
    "status.good-template-ends-ready",
    also=(
        "events.carry-the-output",
        "events.ready-ends-on-ready",
        "cancel.next-build-completes",
        "cancel.keeps-neighbours",
        "cancel.in-flight-is-202",
        "start.while-building-is-harmless",
        "start.concurrent-share-one-build",
        "reuse.ready-at-once",
        "reuse.same-digest-elsewhere",
        "status.build-does-not-vanish",
        "publish.auto-build-starts",
    ),
)
class FailureSpreads(Engine):
    """When a build fails, the other builds that its account has running fail with it."""

    def __init__(self, settings: TwinSettings) -> None:
        self._owners: dict[Build, str] = {}
        super().__init__(settings)

    def launch(self, version: Version) -> Build:
        build = super().launch(version)
        self._owners[build] = version.owner
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner = self._owners.pop(build, None)
        if build.outcome != "failed" or owner is None:
            return
        for other in list(self.running):
            if other.in_flight and self._owners.get(other) == owner:
                other._stop_working()
                other.error = "the machine is gone"
                other.finish("failed", "error", "install", f"build failed: {other.error}")


@breaks(
    "stateful",
    "lookup.existing-version-is-found",
    also=(
        "template.read-shows-the-published",
        "template.delete-says-deleted",
        "status.answers-200",
        "status.unbuilt-is-not-built",
        "start.answers-202",
        "start.visible-to-next-read",
        "publish.auto-build-starts",
        "events.answers-200",
        "cancel.in-flight-is-202",
    ),
)
class TombstonesOutlivePublishing(Engine):
    """A ref that was deleted can be published again, with 201, and is still not found."""

    def __init__(self, settings: TwinSettings) -> None:
        self._tombstones: set[tuple[str, Ref]] = set()
        super().__init__(settings)

    def delete(self, version: Version) -> Body:
        self._tombstones.add((version.owner, version.ref))
        return super().delete(version)

    def find(self, account: Account, ref: Ref) -> Version | None:
        return None if (account.key, ref) in self._tombstones else super().find(account, ref)


@breaks(
    "stateful",
    "events.carry-the-output",
    also=(
        "events.own-lines-only",
        "publish.force-replaces",
        "reuse.only-identical-digest",
        "status.good-template-ends-ready",
        "status.failing-template-ends-failed",
        "status.ready-after-its-steps",
        "cancel.in-flight-is-202",
        "cancel.does-not-end-ready",
    ),
)
class ForcedContentBuildsTheOldSteps(Engine):
    """A version whose content was replaced by force is built with the steps that it was first published with."""

    def __init__(self, settings: TwinSettings) -> None:
        self._plans: dict[tuple[str, Ref], Plan] = {}
        super().__init__(settings)

    def _store(self, owner: str, document: Document) -> Version:
        version = super()._store(owner, document)
        self._plans.setdefault((owner, version.ref), read_plan(version.template))
        return version

    def delete(self, version: Version) -> Body:
        self._plans.pop((version.owner, version.ref), None)
        return super().delete(version)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.plan = self._plans.get((version.owner, version.ref), build.plan)
        return build


@breaks(
    "semantic",
    "http.wrong-method-is-405",
    also=(
        "http.status-is-documented",
        "status.changes-only-by-a-start",
        "status.unbuilt-is-not-built",
        "status.build-does-not-vanish",
    ),
)
class EventsTakeTheVerbsOfTheBuild(App):
    """POST and DELETE are matched by the beginning of the path: on the log they start and cancel the build."""

    async def answer(self, request: Request) -> Response:
        raw_path: bytes = request.scope["raw_path"]
        resource = resource_at(raw_path, self.settings.base_path)
        if resource is not None and resource.kind == "events" and request.method in ("POST", "DELETE"):
            account = self.engine.account_of(_values(request.scope, b"authorization"))
            return await self.operate(request, account, Resource("build", resource.ref))
        return await super().answer(request)


class Names(Engine):
    """Remembers for which version each build was begun."""

    def __init__(self, settings: TwinSettings) -> None:
        self.begun_for: dict[Build, Ref] = {}
        super().__init__(settings)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.begun_for[build] = version.ref
        return build


@breaks("semantic", "start.ref-is-the-path")
class JoinTellsTheFirstRef(Names):
    """A start that joins the running build of another version with the same digest names that other version."""

    def start(self, account: Account, version: Version) -> Body:
        body, last = super().start(account, version), self.slot_of(version).last
        if body["status"] == "building" and last is not None:
            body["ref"] = str(self.begun_for[last])
        return body


@breaks(
    "stateful",
    "reuse.ready-at-once",
    also=(
        "start.concurrent-share-one-build",
        "reuse.is-flagged",
        "reuse.same-digest-elsewhere",
        "status.ready-stays-ready",
        "status.build-time-is-stable",
    ),
)
class AutomaticGoldenIsNotReused(App):
    """A golden that publishing with auto_build made is not found by a start, which builds it again."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.automatic: set[Build] = set()

    def auto_build(self, account: Account, version: Version) -> str:
        slot = self.engine.slot_of(version)
        before = slot.last
        status = super().auto_build(account, version)
        if slot.last is not None and slot.last is not before:
            self.automatic.add(slot.last)
        return status

    def start_build(self, account: Account, version: Version) -> Response:
        slot = self.engine.slot_of(version)
        golden = slot.golden
        if golden in self.automatic:
            slot.golden = None
        try:
            return super().start_build(account, version)
        except Refusal:
            slot.golden = golden
            raise


@breaks(
    "stateful",
    "status.ready-stays-ready",
    also=("reuse.same-digest-elsewhere", "reuse.ready-at-once", "reuse.is-flagged", "status.build-does-not-vanish"),
)
class GoldenDiesWithItsFirstVersion(Names):
    """
    When the version for which a golden was built is deleted or replaced, the other versions of its digest lose it too.
    """

    def release(self, version: Version) -> None:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.golden is not None and self.begun_for[slot.golden] == version.ref:
            slot.golden = slot.last = None
        super().release(version)


@breaks(
    "stateful",
    "cancel.does-not-end-ready",
    also=("cancel.settles", "cancel.settled-is-idle", "events.cancelled-ends-on-cancel"),
    profile="standard",
)
class VersionIsCancelledOnce(Engine):
    """The first cancel of a version works; a cancel of a later build of it is acknowledged, and that build goes on."""

    def __init__(self, settings: TwinSettings) -> None:
        self.cancelled: set[tuple[str, Ref]] = set()
        super().__init__(settings)

    def cancel(self, version: Version) -> bool:
        place = version.owner, version.ref
        slot = self.slots.get((version.owner, version.digest))
        if place in self.cancelled and self.joinable(slot or Slot()):
            return True
        done = super().cancel(version)
        if done:
            self.cancelled.add(place)
        return done


@breaks(
    "stream",
    "events.terminal-frame-comes-last",
    also=("events.own-lines-only", "events.carry-the-output", "events.timestamps-are-true"),
)
class LogContinuesTheCancelledOne(Engine):
    """The log of a build that is started after a cancelled one begins with all that the cancelled one logged."""

    def make_build(self, version: Version) -> Build:
        last = self.slot_of(version).last
        build = super().make_build(version)
        if last is not None and last.outcome == "cancelled":
            build.stream.frames = list(last.stream.frames)
        return build


@breaks("semantic", "template.read-shows-the-published")
class DocumentIsStoredByDigest(Engine):
    """
    Reading a version shows the document that was published first with its digest, with that one's name and version.
    """

    def __init__(self, settings: TwinSettings) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        super().__init__(settings)

    def _store(self, owner: str, document: Document) -> Version:
        version = super()._store(owner, document)
        self.documents.setdefault((owner, version.digest), version.template)
        return version

    def template_body(self, version: Version) -> Body:
        return {**self.published_body(version), "template": self.documents[version.owner, version.digest]}


@breaks("stateful", "http.no-server-error", also=("publish.answers-201", "http.status-is-documented"))
class ForceOnNothingFails(Engine):
    """A forced publish of a version that does not exist yet makes the server fail, as there is nothing to replace."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        if force and self.catalog.get(account.key, Ref(document.namespace, document.name, document.version)) is None:
            raise Refusal(500, "Internal error.")
        return super().publish(account, document, force)
