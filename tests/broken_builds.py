"""
Broken servers whose fault lies in building: starting, reading, reusing, cancelling.
"""

import asyncio
import dataclasses
import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.broken_twins import breaks
from touchstone.twin import Account, App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.app import answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Slot
from touchstone.twin.paths import Resource

# --- starting ----------------------------------------------------------------------------------------------------


@breaks("start.answers-202")
class StartAnswers200(App):
    """
    A start that begins a build is answered with 200.
    """

    def start_build(self, account: Account, version: Version) -> Response:
        body = self.engine.start(account, version)
        return answer_json(200, body)


@breaks("start.does-not-wait", beside="start.*")
class StartWaitsForTheBuild(App):
    """
    A start is answered when its build is over.
    """

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if resource.kind == "build" and request.method == "POST":
            slot = self.engine.slot_of(self.engine.require(account, resource.ref))
            if slot.last is not None and not slot.golden:
                async for _ in slot.last.stream.follow():
                    pass
        return response


@breaks(
    "start.visible-to-next-read",
    # The version that reads not_built and then builds has begun to build by itself, as far as anybody can see.
    also=(
        "status.changes-only-by-a-start",
        "status.build-does-not-vanish",
        "cancel.idle-is-404",
        "cancel.next-build-completes",
        "publish.auto-build-starts",
    ),
)
class FirstReadIsStale(Engine):
    """
    The first read after a start still shows the state before it.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stale: dict[Any, Any] = {}

    def start(self, account: Account, version: Version) -> Any:
        before = super().status_body(version)
        body = super().start(account, version)
        if before["status"] == "not_built":
            self.stale[version.ref] = before
        return body

    def status_body(self, version: Version) -> Any:
        return self.stale.pop(version.ref, None) or super().status_body(version)


@breaks("start.ref-is-the-path")
class StartTellsAnotherRef(Engine):
    """
    The answer to a start names the latest version instead of the one in the path.
    """

    def building_body(self, version: Version) -> Any:
        ref = f"{version.ref.namespace}/{version.ref.name}@latest"
        return {**super().building_body(version), "ref": ref}


@breaks("start.after-failure-builds-again")
class FailureIsForever(Engine):
    """
    A version that failed once answers each later start with its old failure.
    """

    def start(self, account: Account, version: Version) -> Any:
        slot = self.slot_of(version)
        if slot.last is not None and slot.last.outcome == "failed":
            return self.status_body(version)
        return super().start(account, version)


@breaks("start.concurrent-answers-are-documented", also=("http.no-server-error",))
class SecondStartAtOnceFails(App):
    """
    A start that comes while another one of the version is being answered makes the server fail.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.starting: set[Any] = set()

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "build" or request.method != "POST":
            return await super().operate(request, account, resource)
        if resource.ref in self.starting:
            raise Refusal(500, "duplicate key")
        self.starting.add(resource.ref)
        try:
            await asyncio.sleep(0.1)  # the fault itself: a start that takes so long that a second one meets it
            return await super().operate(request, account, resource)
        finally:
            self.starting.discard(resource.ref)


@breaks(
    "start.concurrent-share-one-build",
    also=("status.build-time-is-stable", "events.build-time-agrees"),
    beside="start.*",
)
class EachStartBuilds(Engine):
    """
    A start while a build runs begins a second one, which takes longer and replaces the golden of the first.
    """

    def joinable(self, slot: Slot) -> bool:
        return False

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.slot_of(version).last
        if last is not None and not last.outcome:
            build.pace = dataclasses.replace(build.pace, build_s=last.pace.build_s + 0.1)
        return build


@breaks("start.refuses-deleted-version", "lookup.deleted-version-is-404")
class DeletedVersionStays(Engine):
    """
    A delete is acknowledged and forgotten.
    """

    def delete(self, version: Version) -> Any:
        return {"deleted": True}


# --- reading -----------------------------------------------------------------------------------------------------


@breaks("status.is-one-of-four")
class FifthStatus(Engine):
    """
    A version that nobody built reads ``idle``.
    """

    def status_body(self, version: Version) -> Any:
        body = super().status_body(version)
        return body | {"status": "idle"} if body["status"] == "not_built" else body


@breaks("status.is-one-of-four")
class StatusIsAnObject(Engine):
    """
    A ready version has an object where its status belongs.
    """

    def status_body(self, version: Version) -> Any:
        body = super().status_body(version)
        return body | {"status": {"state": "ready"}} if body["status"] == "ready" else body


@breaks("status.build-time-is-ms", also=("events.build-time-agrees", "status.build-time-is-stable"))
class BuildTimeInSeconds(Engine):
    """
    build_time_ms holds seconds.
    """

    def status_body(self, version: Version) -> Any:
        body = super().status_body(version)
        if "build_time_ms" in body:
            body["build_time_ms"] = round(body["build_time_ms"] / 1000)
        return body


@breaks("status.ready-stays-ready", also=("status.concurrent-reads-agree", "cancel.keeps-finished-golden"))
class ReadyFlickers(App):
    """
    A ready version that is read twice in a row, with nothing in between, says the second time that it is building.
    """

    last: Any = None

    async def answer(self, request: Request) -> Response:
        asked = (request.method, request.scope["raw_path"], request.headers.get("authorization"))
        again, self.last = asked == self.last, asked
        response = await super().answer(request)
        if not again or b'"status":"ready"' not in getattr(response, "body", b"") or request.method != "GET":
            return response
        self.last = None
        body = json.loads(response.body)
        return answer_json(200, {"ref": body["ref"], "digest": body["digest"], "status": "building"})


@breaks("status.failed-has-error", also=("status.body-is-documented",))
class FailureWithoutReason(Engine):
    """
    A failed version tells no reason.
    """

    def status_body(self, version: Version) -> Any:
        body = super().status_body(version)
        body.pop("error", None)
        return body


@breaks("status.failing-template-ends-failed")
class FailingStepIsIgnored(Engine):
    """
    A build whose last step fails ends ready.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.plan = dataclasses.replace(build.plan, steps=tuple(s for s in build.plan.steps if not s.exit_status))
        return build


@breaks("status.ready-after-its-steps")
class StepsAreSkipped(Engine):
    """
    A build is ready before its steps can have run.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        steps = tuple(dataclasses.replace(step, pause_s=0.0) for step in build.plan.steps)
        build.plan = dataclasses.replace(build.plan, steps=steps)
        return build


class Endless(Build):
    async def work(self) -> str:
        await asyncio.Event().wait()
        return ""


@breaks("status.build-ends", target={"build_timeout_s": 1.0})
class BuildNeverEnds(Engine):
    """
    A build runs until somebody cancels it.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.__class__ = Endless
        return build


@breaks(
    "status.unbuilt-is-not-built",
    "publish.auto-build-only-when-asked",
    also=("status.changes-only-by-a-start", "cancel.idle-is-404"),
)
class PublishingBuilds(Engine):
    """
    Publishing starts a build that nobody asked for.
    """

    def publish(self, account: Account, document: Any, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        slot = self.slot_of(version)
        slot.last = slot.last or self.launch(version)
        return version


# --- reusing and digests -----------------------------------------------------------------------------------------


@breaks("reuse.is-flagged")
class ReuseIsNotTold(Engine):
    """
    An answer that reuses a golden does not say so.
    """

    def reused_body(self, version: Version, golden: Build) -> Any:
        body = super().reused_body(version, golden)
        del body["reused"]
        return body


@breaks("reuse.ready-at-once", also=("cancel.finished-is-idle",))
class GoldenIsBuiltAgain(Engine):
    """
    A start of a ready version builds it once more.
    """

    def reusable(self, slot: Slot) -> Build | None:
        return None


@breaks("reuse.only-when-reused")
class NewBuildClaimsReuse(Engine):
    """
    A start that begins a build says reused true.
    """

    def building_body(self, version: Version) -> Any:
        return super().building_body(version) | {"reused": True}


@breaks("reuse.only-identical-digest")
class ReuseByName(Engine):
    """
    The golden belongs to the name of a version, not to its content.
    """

    def slot_of(self, version: Version) -> Slot:
        slot = self.slots.setdefault((version.owner, str(version.ref)), Slot())
        return self.slots.setdefault((version.owner, version.digest), slot)

    def publish(self, account: Account, document: Any, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        self.slot_of(version)
        return version

    def release(self, version: Version) -> None:
        pass


@breaks(
    "digest.is-stable",
    also=("digest.is-the-published-one", "auth.refused-changes-nothing", "publish.conflict-keeps-content"),
)
class DigestDrifts(Engine):
    """
    Each read of the status shows another digest.
    """

    reads = 0

    def status_body(self, version: Version) -> Any:
        self.reads += 1
        digest = f"{self.reads:04x}{version.digest[4:]}"
        return super().status_body(version) | {"digest": digest}


@breaks("digest.follows-content", also=("reuse.only-identical-digest",))
class DigestOfTheName(Engine):
    """
    The digest covers name and version and not the content.
    """

    def digest_of(self, document: Any) -> str:
        return hashlib.sha256(f"{document.name}@{document.version}".encode()).hexdigest()

    def publish(self, account: Account, document: Any, force: bool = False) -> Version:
        old = self.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
        if old is not None and old.template != document.content and not force:
            raise Refusal(409, "This version is published with other content.")
        return self._store(account.key, document)


@breaks("digest.ignores-spelling", also=("publish.republish-identical-is-accepted", "digest.is-the-published-one"))
class DigestOfTheBytes(App):
    """
    The same document has another digest in YAML than in JSON.
    """

    async def publish(self, request: Request, account: Account) -> Response:
        salt = "yaml" in request.headers.get("content-type", "")
        plain = type(self.engine).digest_of
        self.engine.digest_of = lambda document: plain(self.engine, document)[:: -1 if salt else 1]
        return await super().publish(request, account)


# --- cancelling --------------------------------------------------------------------------------------------------


@breaks("cancel.in-flight-is-202", also=("cancel.second-is-documented", "http.status-is-documented"))
class CancelAnswers200(App):
    """
    A cancel that is accepted is answered with 200.
    """

    def cancel_build(self, version: Version) -> Response:
        if self.engine.cancel(version):
            return answer_json(200, {"status": "cancelling"})
        return answer_json(404, {"status": "idle"})


@breaks("cancel.says-cancelling")
class CancelSaysCanceled(App):
    """
    A cancel that is accepted says ``canceled``.
    """

    def cancel_build(self, version: Version) -> Response:
        if self.engine.cancel(version):
            return answer_json(202, {"status": "canceled"})
        return answer_json(404, {"status": "idle"})


@breaks(
    "cancel.idle-is-404",
    "cancel.finished-is-idle",
    also=("cancel.settled-is-idle", "cancel.says-cancelling", "http.status-is-documented"),
)
class IdleCancelAnswers200(App):
    """
    A cancel with nothing to cancel is answered with 200.
    """

    def cancel_build(self, version: Version) -> Response:
        if self.engine.cancel(version):
            return answer_json(202, {"status": "cancelling"})
        return answer_json(200, {"status": "idle"})


@breaks("cancel.does-not-end-ready", also=("cancel.settles", "cancel.settled-is-idle"))
class CancelDoesNothing(Engine):
    """
    A cancel is acknowledged, and the build goes on.
    """

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        return slot is not None and slot.last is not None and not slot.last.outcome


@breaks("cancel.settles", target={"cancel_timeout_s": 1.0})
class CancelNeverSettles(Engine):
    """
    A cancelled build stays in the state building.
    """

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        if slot is None or slot.last is None or slot.last.outcome:
            return False
        if not slot.last.cancelling:
            slot.last.cancelling = True
            slot.last._stop_working()
        return True


@breaks("cancel.second-is-documented", also=("http.status-is-documented",))
class SecondCancelConflicts(Engine):
    """
    A second cancel while the first one settles is answered with 409.
    """

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and slot.last.cancelling and not slot.last.outcome:
            raise Refusal(409, "A cancel is under way.")
        return super().cancel(version)


@breaks("cancel.keeps-finished-golden", also=("auth.refused-changes-nothing",))
class CancelDropsTheGolden(Engine):
    """
    A cancel of a ready version says that nothing is building, and makes it not built.
    """

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.golden is not None:
            del self.slots[version.owner, version.digest]
        return cancelled


@breaks("cancel.keeps-neighbours")
class CancelHitsNeighbours(Engine):
    """
    A cancel ends every build of the host.
    """

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        if cancelled:
            for build in list(self.running):
                build.cancel()
        return cancelled


@breaks("cancel.next-build-completes")
class CancelPoisonsTheNext(Engine):
    """
    The build after a cancelled one of the same version is cancelled as well.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.poisoned: set[Any] = set()

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        if cancelled:
            self.poisoned.add(version.ref)
        return cancelled

    def launch(self, version: Version) -> Build:
        build = super().launch(version)
        if version.ref in self.poisoned:
            self.poisoned.discard(version.ref)
            asyncio.get_running_loop().call_later(0.05, build.end_cancelled, "build cancelled")
        return build
