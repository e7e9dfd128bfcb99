"""Faults of reading the status: wrong states and transitions, wrong fields, and values that change later."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import drop, on, put
from touchstone.proof.faults.fault import breaks, fault, own
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.build import Build, Step
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

HASTY = {"build_timeout_s": 2.0}
# Duration of a read, so that simultaneous reads overlap.
SLOW_S = 0.02


def begin(engine: Engine, version: Version) -> None:
    """Starts the build of an unbuilt version."""
    slot = engine.slot_of(version)
    slot.last = slot.last or engine.launch(version)


class Endless(Build):
    """A build that never ends."""

    async def work(self) -> str:
        await asyncio.Event().wait()
        return ""


# fmt: off
# --- the status code and the state ---
fault("status-in-capitals", "schema", "status.is-one-of-four", "Every status is in upper case.",
      on("[gs]*tBuild.20?.*", put(status=lambda data: data["status"].upper())),
      also="start.* reuse.* publish.auto-build-starts", target={**HASTY, "cancel_timeout_s": 1.0})
fault("failing-build-vanishes", "stateful", "status.build-does-not-vanish",
      "After a failed build, the version has the status not_built.", Engine, target=HASTY,
      state_of=lambda self, slot: {"failed": "not_built"}.get(state := Engine.state_of(self, slot), state))
fault("build-times-out-at-once", "timing", "status.good-template-ends-ready",
      "A build fails if it takes longer than 0.1 s.", Engine, pace={"build_timeout_s": 0.1})
fault("no-build-ends", "timing", "status.build-ends", "No build ends unless it is cancelled.", Engine,
      build_class=Endless, target={**HASTY, "cancel_timeout_s": 1.0}, also="limit.ends-after-back-off")
# --- the fields ---
fault("nulls-for-absent-fields", "schema", "status.body-is-documented",
      "A status response contains null for each absent field.", Engine,
      status_body=lambda self, version: dict.fromkeys(
          ("golden_dir", "build_time_ms", "reused", "error")) | Engine.status_body(self, version))
fault("ready-has-no-build-time", "schema", "status.ready-has-build-time",
      "The status of a ready version has no build time.", on("getBuild.200.ready", drop("build_time_ms")))
fault("building-tells-its-time", "semantic", "status.build-time-only-when-ready",
      "The status of a building version contains a build time.",
      on("getBuild.200.building", put(build_time_ms=12)))
fault("build-time-grows", "stateful", "status.build-time-is-stable",
      "The build time of a ready version grows by one millisecond with each request for the version.",
      on("getBuild.200.ready", lambda answer, past: answer.with_json(answer.data | {
          "build_time_ms": answer.data["build_time_ms"] + sum(old.ref == answer.ref for old in past.answers)})),
      also="status.concurrent-reads-agree events.build-time-agrees")
fault("success-is-an-error", "semantic", "status.error-only-when-failed",
      "The status of a ready version has the error `none`.", on("getBuild.200.ready", put(error="none")))
# fmt: on


@breaks("stateful", "status.unbuilt-is-not-built", "publish.auto-build-only-when-asked", over=Engine.publish,
        also="status.changes-only-by-a-start cancel.idle-is-404")  # fmt: skip
def publishing_builds(engine: Engine, account: Account, document: Document, force: bool = False) -> Version:
    """Publishing without auto_build starts a build."""
    begin(engine, version := Engine.publish(engine, account, document, force))
    return version


@breaks("stateful", "status.changes-only-by-a-start", over=App.get_build,
        also="status.unbuilt-is-not-built reuse.only-identical-digest")  # fmt: skip
def reading_builds(app: App, version: Version) -> Response:
    """Reading the status of an unbuilt version starts its build."""
    response = App.get_build(app, version)
    begin(app.engine, version)
    return response


@breaks("stateful", "status.changes-only-by-a-start", over=App.operate)
async def head_builds(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A HEAD request for the status of an unbuilt version starts its build."""
    response = await App.operate(app, request, account, resource)
    if request.method == "HEAD" and resource.kind == "build":
        begin(app.engine, app.engine.require(account, resource.ref))
    return response


@breaks("stateful", "status.changes-only-by-a-start", over=App.stream_events, also="reuse.only-identical-digest")
def following_builds(app: App, request: Request, version: Version) -> Response:
    """Reading the log of an unbuilt version starts its build."""
    begin(app.engine, version)
    return App.stream_events(app, request, version)


class Vanishing(Build):
    """A build that disappears after its last step: its version becomes not_built."""

    async def install(self) -> str:
        await super().install()
        self.end_cancelled("machine lost")
        return ""


class FirstLongBuild(Engine):
    """Base class: the first build with a step that takes time gets the faulty class *kind*."""

    kind: type[Build] | None = None

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        if build.plan.pause_s and self.kind is not None:
            build.__class__, self.kind = self.kind, None
        return build


@breaks("stateful", "status.good-template-ends-ready", over=App.auto_build)
def automatic_build_fails(app: App, account: Account, version: Version) -> str:
    """A build that auto_build starts always fails."""
    status = App.auto_build(app, account, version)
    if last := app.engine.last_of(version):
        last.plan = replace(last.plan, steps=(Step(exit_status=1),))
    return status


@breaks("semantic", "status.failing-template-ends-failed", over=Engine.make_build)
def failing_step_is_ignored(engine: Engine, version: Version) -> Build:
    """A build with a failing step ends as ready."""
    build = Engine.make_build(engine, version)
    build.plan = replace(build.plan, steps=tuple(step for step in build.plan.steps if not step.exit_status))
    return build


# A failing build also ends at once, so a read right after the start may find it no longer running.
@breaks("timing", "status.ready-after-its-steps", also="status.build-time-is-ms start.visible-to-next-read")
class StepsAreSkipped(Engine):
    """A build does not wait for its steps, and is ready too early."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.plan = replace(build.plan, steps=tuple(replace(step, pause_s=0.0) for step in build.plan.steps))
        return build


@breaks("stateful", "status.ref-is-the-path")
class StatusTellsTheBuiltRef(Engine):
    """While a build runs, every status response contains the ref of the last started version."""

    started = ""

    def launch(self, version: Version) -> Build:
        self.started = str(version.ref)
        return super().launch(version)

    def status_body(self, version: Version) -> Body:
        return super().status_body(version) | ({"ref": self.started} if self.running else {})


@breaks("semantic", "status.build-time-is-ms", also="events.build-time-agrees", over=Engine.ended)
def build_time_counts_from_the_epoch(engine: Engine, slot: Slot, build: Build) -> None:
    """The build time is the end of the build, in milliseconds since 1970."""
    build.build_time_ms = build.build_time_ms and round(time.time() * 1000)
    Engine.ended(engine, slot, build)


@breaks("stateful", "status.error-only-when-failed")
class OldFailureIsShown(Engine):
    """A version that is built again after a failure still has the old error in its status."""

    reasons = own(dict[Any, str])

    def status_body(self, version: Version) -> Body:
        data = super().status_body(version)
        if data["status"] == "failed":
            self.reasons[version.ref] = data["error"]
        return data | ({"error": self.reasons[version.ref]} if version.ref in self.reasons else {})


@breaks("stateful", "status.ready-stays-ready", also="reuse.same-digest-elsewhere reuse.ready-at-once")
class GoldenExpires(Engine):
    """After two status reads, a ready version has the status not_built."""

    reads = own(Counter[Any])

    def status_body(self, version: Version) -> Body:
        data = super().status_body(version)
        if data["status"] == "ready":
            self.reads[version.owner, version.digest] += 1
            if self.reads[version.owner, version.digest] == 2:
                del self.slots[version.owner, version.digest]
        return data


@breaks("stateful", "status.ready-stays-ready", also="auth.refused-changes-nothing status.concurrent-reads-agree")
class ReuseIsReadAsABuild(Engine):
    """The first status read after the reuse of a finished snapshot (golden) returns building."""

    reused = own(set[Any])

    def reused_body(self, version: Version, golden: Build) -> Body:
        self.reused.add(version.ref)
        return super().reused_body(version, golden)

    def status_body(self, version: Version) -> Body:
        if version.ref in self.reused:
            self.reused.discard(version.ref)
            return self.building_body(version)
        return super().status_body(version)


@breaks("stateful", "status.ready-stays-ready", over=Engine.publish,
        also="reuse.ready-at-once reuse.same-digest-elsewhere")  # fmt: skip
def republishing_drops_the_golden(engine: Engine, account: Account, document: Document, force: bool = False) -> Version:
    """Publishing the same content again resets a ready version to not_built."""
    version = Engine.publish(engine, account, document, force)
    engine.slots.pop((version.owner, version.digest), None)
    return version


class AfterAFailure(Engine):
    """Base class: a status read of a failed version has a side effect."""

    def after(self, version: Version, slot: Slot) -> None:
        raise NotImplementedError

    def status_body(self, version: Version) -> Body:
        data = super().status_body(version)
        if data["status"] == "failed":
            self.after(version, self.slot_of(version))
        return data


@breaks("stateful", "status.failed-stays-failed", over=AfterAFailure.after)
def failure_fades(engine: AfterAFailure, version: Version, slot: Slot) -> None:
    """A failed version has the status failed for one read, and then not_built."""
    del engine.slots[version.owner, version.digest]


@breaks("stateful", "status.failed-stays-failed", also="cancel.finished-is-idle", over=AfterAFailure.after)
def failure_is_retried(engine: AfterAFailure, version: Version, slot: Slot) -> None:
    """Reading the status of a failed version starts a new build."""
    slot.last = engine.launch(version)


@breaks("concurrency", "status.concurrent-reads-agree", also="status.build-time-is-stable")
class SimultaneousReadsDiffer(App):
    """If clients read the status of a ready version at once, only the first gets the right build time."""

    reading = own(Counter[Any])

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "build" or request.method != "GET":
            return await super().operate(request, account, resource)
        self.reading[resource.ref] += 1
        try:
            crowd = self.reading[resource.ref]
            response = await super().operate(request, account, resource)
            await asyncio.sleep(SLOW_S)
            data = json.loads(bytes(response.body))
            if crowd > 1 and "build_time_ms" in data:
                return answer_json(200, data | {"build_time_ms": data["build_time_ms"] + 1})
            return response
        finally:
            self.reading[resource.ref] -= 1


# fmt: off
fault("first-long-build-vanishes", "stateful", "status.build-does-not-vanish",
      "The first build with a step that takes time vanishes: its version has the status not_built.", FirstLongBuild,
      kind=Vanishing, target=HASTY)
fault("first-long-build-never-ends", "timing", "status.build-ends",
      "The first build with a step that takes time never ends.", FirstLongBuild, kind=Endless,
      target=HASTY)
# fmt: on
