"""Faults of starting a build: what a start is answered, what it does, when a golden is reused, and starts that meet."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import code, drop, on, put
from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

HASTY = {"build_timeout_s": 2.0}
# How long a start takes, so that a second one meets it.
SLOW_S = 0.1


def joins(engine: Engine, account: Account, version: Version) -> bool:
    """Whether a start meets a build that runs."""
    return engine.joinable(engine.slot_of(version))


def follows(outcome: str) -> Callable[[Engine, Account, Version], bool]:
    """Whether a start comes after a build with that outcome."""
    return lambda engine, _, version: (last := engine.last_of(version)) is not None and last.outcome == outcome


# fmt: off
# --- what a start is answered ---
fault("start-answers-200", "semantic", "start.answers-202", "A start that begins a build is answered with 200.",
      App, start_build=lambda self, account, version: answer_json(200, self.engine.start(account, version)))
fault("start-has-no-digest", "schema", "start.body-is-documented",
      "A start that begins a build leaves the digest out.", on("startBuild.202.building", drop("digest")))
fault("golden-dir-is-a-list", "schema", "start.body-is-documented",
      "An answer that reuses a golden tells its directory in parts.",
      on("startBuild.202.ready", put(golden_dir=lambda said: ["golden", said["digest"]])))
fault("start-tells-another-ref", "semantic", "start.ref-is-the-path",
      "A start that begins a build names the latest version instead of the one in the path.",
      on("startBuild.202.building", put(ref=lambda said: f"{said['ref'].rpartition('@')[0]}@latest")))
# --- what is told of a reuse ---
fault("reuse-is-not-told", "semantic", "reuse.is-flagged", "An answer that reuses a golden does not say so.",
      on("startBuild.202.ready", drop("reused")))
fault("reuse-answers-201", "semantic", "reuse.status-code", "A start that reuses a golden is answered with 201.",
      on("startBuild.202.ready", code(201)), also="http.status-is-documented")
fault("reuse-conflicts", "semantic", "reuse.status-code reuse.ready-at-once",
      "A start of a ready version is answered with 409.",
      on("startBuild.202.ready", lambda answer, _: replace(answer, status=409).saying({"error": "It is built."})))
fault("reuse-says-building", "semantic", "reuse.ready-at-once",
      "A start of a ready version says building, though nothing is built.", Engine,
      reused_body=lambda self, version, _: self.building_body(version), also="reuse.same-digest-elsewhere")
fault("new-build-claims-reuse", "semantic", "reuse.only-when-reused",
      "A start that begins a build says reused true.", on("startBuild.202.building", put(reused=True)))
fault("status-claims-reuse", "stateful", "reuse.only-when-reused",
      "A version reads as reused though it was built for itself and never started again.",
      on("getBuild.200.ready", put(reused=True)))
fault("running-build-claims-reuse", "stateful", "reuse.only-when-reused",
      "A version that is building reads as reused.", on("getBuild.200.building", put(reused=True)))
fault("golden-is-built-again", "stateful", "reuse.ready-at-once", "A start of a ready version builds it once more.",
      Engine, reusable=lambda *_: None, also="reuse.same-digest-elsewhere events.ready-ends-on-ready "
      "cancel.finished-is-idle status.build-time-is-stable")
fault("deleted-version-stays", "semantic", "start.refuses-deleted-version lookup.deleted-version-is-404",
      "A delete is acknowledged and forgotten.", Engine, delete=lambda *_: {"deleted": True})
# fmt: on


@breaks("stateful", "start.answers-202", over=App.start_build)
def restart_answers_200(app: App, account: Account, version: Version) -> Response:
    """A start is answered with 200 where the last build of the version failed."""
    again = app.engine.status_body(version)["status"] == "failed"
    return answer_json(200 if again else 202, app.engine.start(account, version))


@breaks("semantic", "start.fresh-is-building")
class StartTellsTheStateBefore(Engine):
    """The first start after the host was woken up begins a build and still says not_built."""

    awake = False

    def start(self, account: Account, version: Version) -> Body:
        before = self.status_body(version)["status"]
        said = super().start(account, version)
        if self.awake or before != "not_built" or said["status"] != "building":
            return said
        self.awake = True
        return said | {"status": before}


@breaks("semantic", "start.fresh-is-building", also="start.after-cancel-builds-again")
class StartPromisesReady(Engine):
    """A start that begins a build of a template that was built before says ready, with the time that it should take."""

    built = own(set[str])

    def launch(self, version: Version) -> Build:
        self.built.add(version.ref.name)
        return super().launch(version)

    def start(self, account: Account, version: Version) -> Body:
        known, before = version.ref.name in self.built, self.last_of(version)
        said = super().start(account, version)
        begins = self.last_of(version) is not before
        return said | {"status": "ready", "build_time_ms": 200} if known and begins else said


@breaks("stateful", "start.ref-is-the-path", over=Engine.reused_body)
def reuse_tells_the_first_ref(engine: Engine, version: Version, golden: Build) -> Body:
    """
    A start that reuses a golden names the version that was built, though another one with its digest was asked for.
    """
    return Engine.reused_body(engine, version, golden) | {"ref": str(golden.version.ref)}


async def over(build: Build | None) -> None:
    """Waits until a build is over."""
    if build is not None:
        async for _ in build.stream.follow():
            pass


# Where a build takes longer than an answer may, its start is not answered in time.
@breaks("timing", "start.does-not-wait", also="http.answers", over=App.operate)
async def start_waits_for_the_build(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A start is answered when its build is over, with what was true at its beginning."""
    response = await App.operate(app, request, account, resource)
    if resource.kind == "build" and request.method == "POST":
        await over(app.engine.last_of(app.engine.require(account, resource.ref)))
    return response


# A start that is not answered in time begins its build all the same, some time.
@breaks("concurrency", "start.does-not-wait", also="http.answers limit.* status.build-ends", over=App.operate)
async def starts_take_turns(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A start waits until no build of another version runs any more."""
    version = app.engine.find(account, resource.ref)
    if resource.kind == "build" and request.method == "POST" and version:
        own = app.engine.last_of(version)
        for build in [one for one in app.engine.running if one is not own]:
            await over(build)
    return await App.operate(app, request, account, resource)


# The version that reads not_built and then builds has begun to build by itself, as far as anybody can see.
@breaks(
    "stateful",
    "start.visible-to-next-read",
    also="status.changes-only-by-a-start status.build-does-not-vanish cancel.idle-is-404 cancel.next-build-completes "
    "publish.auto-build-starts",
)
class FirstReadIsStale(Engine):
    """The first read after a start still shows the state before it."""

    stale = own(dict[Any, Body])

    def start(self, account: Account, version: Version) -> Body:
        before = super().status_body(version)
        said = super().start(account, version)
        if before["status"] == "not_built":
            self.stale[version.ref] = before
        return said

    def status_body(self, version: Version) -> Body:
        return self.stale.pop(version.ref, None) or super().status_body(version)


class StartsUnlike(Engine):
    """A start of a version whose last build ended in a certain way is answered otherwise, and begins nothing."""

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
    """A version that failed once answers each later start with its old failure."""

    after, otherwise = "failed", Engine.status_body


@breaks("concurrency", "start.visible-to-next-read", also="start.concurrent-share-one-build", target=HASTY)
class SecondBuildIsForgotten(Engine):
    """A start while the account builds another version is acknowledged, and nothing is built."""

    def start(self, account: Account, version: Version) -> Body:
        others = (build for build in self.running if build.version.owner == account.key and build.in_flight)
        if self.last_of(version) is None and any(others):
            return self.building_body(version)
        return super().start(account, version)


@breaks("stateful", "start.while-building-is-harmless", also="start.concurrent-share-one-build", target=HASTY)
class SecondStartEndsTheBuild(Engine):
    """A start while the version builds is acknowledged, and ends that build."""

    def start(self, account: Account, version: Version) -> Body:
        last, running = self.last_of(version), self.joinable(self.slot_of(version))
        said = super().start(account, version)
        if running and last is not None:
            last.end_cancelled("build ended by another start")
        return said


@breaks("stateful", "reuse.is-flagged")
class ReuseIsToldOnce(Engine):
    """Only the first answer that reuses a golden says so."""

    told = own(set[Build])

    def reused_body(self, version: Version, golden: Build) -> Body:
        first = golden not in self.told
        self.told.add(golden)
        return super().reused_body(version, golden) | {"reused": first}


@breaks("stateful", "reuse.is-flagged", over=Engine.reused_body)
def reuse_elsewhere_is_not_told(engine: Engine, version: Version, golden: Build) -> Body:
    """An answer that reuses the golden of another version does not say so."""
    return Engine.reused_body(engine, version, golden) | {"reused": golden.version.ref == version.ref}


@breaks("stateful", "reuse.only-when-reused", over=Engine.start)
def joining_claims_reuse(engine: Engine, account: Account, version: Version) -> Body:
    """A start while the version builds says reused true."""
    joins = engine.joinable(engine.slot_of(version))
    said = Engine.start(engine, account, version)
    return said | {"reused": True} if joins and said["status"] == "building" else said


@breaks("stateful", "reuse.ready-at-once")
class GoldenIsReusedOnce(Engine):
    """A golden is reused once; the next start of its version builds it again."""

    used = own(set[Build])

    def reusable(self, slot: Slot) -> Build | None:
        if slot.golden is None or slot.golden in self.used:
            slot.golden = None
            return None
        self.used.add(slot.golden)
        return slot.golden


@breaks("stateful", "reuse.only-identical-digest", also="status.unbuilt-is-not-built")
class ReuseByName(Engine):
    """The golden belongs to the name of a version, not to its content."""

    def slot_of(self, version: Version) -> Slot:
        slot = self.slots.setdefault((version.owner, str(version.ref)), Slot())
        return self.slots.setdefault((version.owner, version.digest), slot)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        self.slot_of(version := super().publish(account, document, force))
        return version

    def release(self, version: Version) -> None:
        pass


@breaks("stateful", "reuse.same-digest-elsewhere", also="status.build-time-is-stable", over=Engine.start)
def golden_per_version(engine: Engine, account: Account, version: Version) -> Body:
    """Two versions with one digest are each built for themselves."""
    slot = engine.slot_of(version)
    if slot.last is None or slot.last.version.ref != version.ref:
        slot.golden = None
    return Engine.start(engine, account, version)


class Racing(App):
    """A server whose starts take a while and tell the second of two of one version from the first."""

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
        """The answer to a start while another one of the version is being answered."""
        raise NotImplementedError


@breaks("concurrency", "start.concurrent-share-one-build", target=HASTY, over=Racing.second)
async def simultaneous_starts_end_each_other(app: Racing, version: Version) -> Response:
    """A start that meets another one of its version ends the build that both lead to."""
    await asyncio.sleep(2 * SLOW_S)
    if last := app.engine.last_of(version):
        last.end_cancelled("build ended by another start")
    return answer_json(202, app.engine.building_body(version))


@breaks(
    "concurrency",
    "start.concurrent-share-one-build",
    also="cancel.finished-is-idle status.build-time-is-stable events.build-time-agrees",
)
class EachStartBuilds(Engine):
    """A start while a build runs begins a second one, which takes longer and replaces the golden of the first."""

    def joinable(self, slot: Slot) -> bool:
        return False

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.last_of(version)
        if last is not None and not last.outcome:
            build.settings = replace(build.settings, build_s=last.settings.build_s + 0.1)
        return build


@breaks("concurrency", "start.concurrent-share-one-build")
class SecondStartAtOnceComesLate(Racing):
    """A start that meets another one of its version begins a build of its own once the first one is ready."""

    late = own(set[Any])

    async def second(self, version: Version) -> Response:
        self.late.add((version.owner, version.digest))
        return answer_json(202, self.engine.building_body(version))

    def get_build(self, version: Version) -> Response:
        said, slot = self.engine.status_body(version), self.engine.slot_of(version)
        if said["status"] == "ready" and (version.owner, version.digest) in self.late:
            self.late.discard((version.owner, version.digest))
            slot.golden, slot.last = None, self.engine.launch(version)
        return answer_json(200, said)


# fmt: off
fault("restart-is-forgotten", "stateful", "start.visible-to-next-read",
      "A start of a version whose last build failed is acknowledged, and nothing is built.", StartsUnlike,
      after="failed")
fault("start-after-cancel-is-forgotten", "stateful", "cancel.next-build-completes",
      "A start after a cancelled build is acknowledged, and nothing is built.", StartsUnlike, after="cancelled",
      target=HASTY)
fault("cancelled-version-conflicts", "stateful", "start.after-cancel-builds-again",
      "A start of a version whose build was cancelled is answered with 409.", Engine,
      start=refusing(Engine.start, follows("cancelled"), 409, "The build was cancelled."), target=HASTY)
fault("second-start-is-a-bad-request", "semantic", "start.while-building-is-harmless",
      "A start while the version builds is answered with 400.", Engine,
      start=refusing(Engine.start, joins, 400, "This version is being built."),
      also="start.concurrent-answers-are-documented")
fault("second-start-at-once-fails", "concurrency", "start.concurrent-answers-are-documented",
      "A start that comes while another one of the version is being answered makes the server fail.", Racing,
      second=refusing(None, lambda *_: True, 500, "duplicate key"), also="http.no-server-error")
fault("second-start-at-once-is-not-found", "concurrency", "start.concurrent-answers-are-documented",
      "A start that comes while another one of the version is being answered does not find the version.", Racing,
      second=refusing(None, lambda *_: True, 404, "Template version not found."),
      also="lookup.existing-version-is-found")
# fmt: on
