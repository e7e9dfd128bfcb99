"""Faults of starting a build: response, effect, reuse of finished snapshots (goldens), and concurrent starts."""

import asyncio
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import code, drop, on, put
from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.proof.faults.publishing import ref_of
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

HASTY = {"build_timeout_s": 2.0}
# Duration of a start, long enough for a second start to overlap the first.
SLOW_S = 0.1


# fmt: off
# --- the response ---
fault("golden-dir-is-a-list", "schema", "start.body-is-documented",
      "The field golden_dir in the response to a start is a list instead of a string.",
      on("startBuild.202.ready", put(golden_dir=lambda data: ["golden", data["digest"]])))
# To a client, a status that changes from not_built to building after the start looks like a build without a start.
fault("first-read-is-stale", "stateful", "start.visible-to-next-read",
      "The first status read after a start still returns not_built.",
      on("getBuild.200.building", lambda answer, past: put(status="not_built")(answer, past) if next(
          (old.operation for old in reversed(past.answers) if old.ref == answer.ref), "") == "startBuild" else answer),
      also="status.changes-only-by-a-start status.build-does-not-vanish cancel.idle-is-404 cancel.next-build-completes "
      "publish.auto-build-starts")
# --- reuse ---
fault("reuse-is-not-told", "semantic", "reuse.is-flagged", "A start that reuses a golden is answered without reused.",
      on("startBuild.202.ready", drop("reused")))
fault("reuse-answers-201", "semantic", "reuse.status-code", "A start that reuses a golden is answered with 201.",
      on("startBuild.202.ready", code(201)), also="http.status-is-documented")
fault("new-build-claims-reuse", "semantic", "reuse.only-when-reused",
      "A start that begins a build is answered with reused true.", on("startBuild.202.building", put(reused=True)))
fault("deleted-version-stays", "semantic", "start.refuses-deleted-version lookup.deleted-version-is-404",
      "A delete is acknowledged, but the version stays.", Engine, delete=lambda *_: {"deleted": True},
      also="publish.answers-201")
# fmt: on


@breaks("stateful", "start.answers-202", over=App.start_build)
def restart_answers_200(app: App, account: Account, version: Version) -> Response:
    """A start after a failed build is answered with 200."""
    again = app.engine.status_body(version)["status"] == "failed"
    return answer_json(200 if again else 202, app.engine.start(account, version))


@breaks("semantic", "start.fresh-is-building", also="start.after-cancel-builds-again")
class StartPromisesReady(Engine):
    """If a template was built before, a start that begins a build gets ready and an estimated build time."""

    built = own(set[str])

    def launch(self, version: Version) -> Build:
        self.built.add(version.ref.name)
        return super().launch(version)

    def start(self, account: Account, version: Version) -> Body:
        known, before = version.ref.name in self.built, self.last_of(version)
        data = super().start(account, version)
        begins = self.last_of(version) is not before
        return data | {"status": "ready", "build_time_ms": 200} if known and begins else data


@breaks("stateful", "start.ref-is-the-path", over=Engine.reused_body)
def reuse_tells_the_first_ref(engine: Engine, version: Version, golden: Build) -> Body:
    """If a start reuses the snapshot (golden) of another version, its response has the ref of that other version."""
    return Engine.reused_body(engine, version, golden) | {"ref": str(golden.version.ref)}


async def over(build: Build | None) -> None:
    """Waits for the end of a build."""
    if build is not None:
        async for _ in build.stream.follow():
            pass


# If a build takes longer than the request timeout, the start is not answered in time.
@breaks("timing", "start.does-not-wait", also="http.answers", over=App.operate)
async def start_waits_for_the_build(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A start is answered only when its build has ended."""
    response = await App.operate(app, request, account, resource)
    if resource.kind == "build" and request.method == "POST":
        await over(app.engine.last_of(app.engine.require(account, resource.ref)))
    return response


# A start that is not answered in time still begins a build later.
@breaks("concurrency", "start.does-not-wait", also="http.answers limit.* status.build-ends", over=App.operate)
async def starts_take_turns(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A start is answered only when all builds of other versions have ended."""
    version = app.engine.find(account, resource.ref)
    if resource.kind == "build" and request.method == "POST" and version:
        own = app.engine.last_of(version)
        for build in [one for one in app.engine.running if one is not own]:
            await over(build)
    return await App.operate(app, request, account, resource)


class StartsUnlike(Engine):
    """Base class: after a build with a certain outcome, a start is acknowledged, but begins no build."""

    after = ""

    def otherwise(self, version: Version) -> Body:
        return self.building_body(version)

    def start(self, account: Account, version: Version) -> Body:
        last = self.last_of(version)
        if last is not None and last.outcome == self.after:
            return self.otherwise(version)
        return super().start(account, version)


@breaks("stateful", "start.after-failure-builds-again")
class FailureIsForever(StartsUnlike):
    """A start of a failed version begins no build and is answered with the old failure."""

    after, otherwise = "failed", Engine.status_body


@breaks("concurrency", "start.visible-to-next-read", target=HASTY,
        also="publish.auto-build-starts start.concurrent-* status.build-time-is-ms")  # fmt: skip
class SecondBuildIsForgotten(Engine):
    """While a build of another version of the account runs, a start is acknowledged, but no build begins."""

    def start(self, account: Account, version: Version) -> Body:
        others = (build for build in self.running if build.version.owner == account.key and build.in_flight)
        if self.last_of(version) is None and any(others):
            return self.building_body(version)
        return super().start(account, version)


@breaks("stateful", "start.while-building-is-harmless", also="start.concurrent-share-one-build", target=HASTY)
class SecondStartEndsTheBuild(Engine):
    """A start of a version that is being built ends the running build."""

    def start(self, account: Account, version: Version) -> Body:
        last, running = self.last_of(version), self.joinable(self.slot_of(version))
        data = super().start(account, version)
        if running and last is not None:
            last.end_cancelled("build ended by another start")
        return data


@breaks("stateful", "reuse.is-flagged", over=Engine.reused_body)
def reuse_elsewhere_is_not_flagged(engine: Engine, version: Version, golden: Build) -> Body:
    """A start that reuses the finished snapshot (golden) of another version is answered with reused false."""
    return Engine.reused_body(engine, version, golden) | {"reused": golden.version.ref == version.ref}


@breaks("stateful", "reuse.ready-at-once", also="cancel.finished-is-idle start.concurrent-share-one-build")
class GoldenIsReusedOnce(Engine):
    """A finished snapshot (golden) is reused only once; the next start of the ready version builds again."""

    used = own(set[Build])

    def reusable(self, slot: Slot) -> Build | None:
        if slot.golden is None or slot.golden in self.used:
            slot.golden = None
            return None
        self.used.add(slot.golden)
        return slot.golden


@breaks("stateful", "reuse.only-identical-digest", also="status.unbuilt-is-not-built", over=Engine.publish)
def reuse_by_name(engine: Engine, account: Account, document: Document, force: bool = False) -> Version:
    """A forced publish of a ready version leaves it ready, with the snapshot (golden) of the old content."""
    old = engine.catalog.get(account.key, ref_of(document))
    slot = engine.slots.get((old.owner, old.digest)) if old is not None else None
    version = Engine.publish(engine, account, document, force)
    if slot is not None and slot.golden is not None:
        engine.slots[version.owner, version.digest] = slot
    return version


@breaks("stateful", "reuse.same-digest-elsewhere", over=Engine.start,
        also="status.ready-stays-ready status.build-time-is-stable")  # fmt: skip
def golden_per_version(engine: Engine, account: Account, version: Version) -> Body:
    """A start does not reuse the finished snapshot (golden) of another version with the same digest."""
    slot = engine.slot_of(version)
    if slot.last is None or slot.last.version.ref != version.ref:
        slot.golden = None
    return Engine.start(engine, account, version)


class Racing(App):
    """Base class: starts are slow, and the second of two concurrent starts of a version is handled wrongly."""

    starting = own(set[Any])

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "build" or request.method != "POST":
            return await super().operate(request, account, resource)
        if (account.key, resource.ref) in self.starting:
            return await self.second(self.engine.require(account, resource.ref))
        version = self.engine.find(account, resource.ref)
        if version is not None and self.engine.joinable(self.engine.slot_of(version)):
            return await super().operate(request, account, resource)
        self.starting.add((account.key, resource.ref))
        try:
            await asyncio.sleep(SLOW_S)
            return await super().operate(request, account, resource)
        finally:
            self.starting.discard((account.key, resource.ref))

    async def second(self, version: Version) -> Response:
        """Returns the response to the second of two concurrent starts."""
        raise NotImplementedError


@breaks("concurrency", "start.concurrent-share-one-build", target=HASTY, over=Racing.second)
async def simultaneous_starts_end_each_other(app: Racing, version: Version) -> Response:
    """The second of two concurrent starts of a version ends the build that the first one began."""
    await asyncio.sleep(2 * SLOW_S)
    if last := app.engine.last_of(version):
        last.end_cancelled("build ended by another start")
    return answer_json(202, app.engine.building_body(version))


@breaks("concurrency", "start.concurrent-share-one-build",
        also="cancel.finished-is-idle status.build-time-is-stable events.build-time-agrees")  # fmt: skip
class EachStartBuilds(Engine):
    """A start of a version that is being built begins a second build, whose snapshot (golden) replaces the first."""

    def joinable(self, slot: Slot) -> bool:
        return False

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.last_of(version)
        if last is not None and not last.outcome:
            build.settings = replace(build.settings, build_s=last.settings.build_s + 0.1)
        return build


# fmt: off
fault("restart-is-forgotten", "stateful", "start.visible-to-next-read",
      "A start after a failed build is acknowledged, but no build begins.", StartsUnlike,
      after="failed")
fault("start-after-cancel-is-forgotten", "stateful", "cancel.next-build-completes",
      "A start after a cancelled build is acknowledged, but no build begins.", StartsUnlike, after="cancelled",
      target=HASTY)
fault("cancelled-version-conflicts", "stateful", "start.after-cancel-builds-again",
      "A start after a cancelled build is answered with 409.", Engine,
      start=refusing(Engine.start, lambda self, _, version: (last := self.last_of(version)) is not None
                     and last.outcome == "cancelled", 409, "The build was cancelled."), target=HASTY)
fault("second-start-at-once-is-not-found", "concurrency", "start.concurrent-answers-are-documented",
      "The second of two concurrent starts of a version is answered with 404.", Racing,
      second=refusing(None, lambda *_: True, 404, "Template version not found."),
      also="lookup.existing-version-is-found")
# fmt: on
