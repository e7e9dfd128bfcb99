"""Faults of the states that a status read shows: which one, and when it changes."""

import asyncio
import dataclasses
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import no_such_version
from touchstone.twin.app import App, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot, Status
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account
from touchstone.twin.steps import Step

# --- the status code -------------------------------------------------------------------------------------------------


@breaks("semantic", "status.answers-200", "lookup.existing-version-is-found")
class UnbuiltHasNoStatus(App):
    """Reading the status of a version that was never built is answered with 404."""

    def get_build(self, version: Version) -> Response:
        if self.engine.status_body(version)["status"] == "not_built":
            raise no_such_version()
        return super().get_build(version)


@breaks("semantic", "status.answers-200", also=("http.no-server-error",))
class FailedBuildIsAServerError(App):
    """Reading the status of a version whose build failed is answered with 500 and the reason."""

    def get_build(self, version: Version) -> Response:
        body = self.engine.status_body(version)
        return answer_json(500 if body["status"] == "failed" else 200, body)


@breaks("semantic", "status.answers-200", also=("http.status-is-documented",))
class BuildingIsAccepted(App):
    """Reading the status of a version that is building is answered with 202."""

    def get_build(self, version: Version) -> Response:
        body = self.engine.status_body(version)
        return answer_json(202 if body["status"] == "building" else 200, body)


# --- which states there are ------------------------------------------------------------------------------------------


@breaks("schema", "status.is-one-of-four")
class FifthStatus(Engine):
    """A version that nobody built reads ``idle``."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"status": "idle"} if body["status"] == "not_built" else body


@breaks("schema", "status.is-one-of-four")
class StatusIsAnObject(Engine):
    """A running build has an object where its status belongs."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"status": {"state": "building"}} if body["status"] == "building" else body


@breaks(
    "schema",
    "status.is-one-of-four",
    also=("start.*", "reuse.*", "publish.auto-build-starts"),
    target={"build_timeout_s": 2.0, "cancel_timeout_s": 1.0},
)
class StatusInCapitals(Engine):
    """Every status is written in capitals."""

    def status_body(self, version: Version) -> Body:
        return in_capitals(super().status_body(version))

    def building_body(self, version: Version) -> Body:
        return in_capitals(super().building_body(version))

    def reused_body(self, version: Version, golden: Build) -> Body:
        return in_capitals(super().reused_body(version, golden))


def in_capitals(body: Body) -> Body:
    """The same with another spelling of its status."""
    return body | {"status": body["status"].upper()}


# --- not built -------------------------------------------------------------------------------------------------------


@breaks(
    "stateful",
    "status.unbuilt-is-not-built",
    "publish.auto-build-only-when-asked",
    also=("status.changes-only-by-a-start", "cancel.idle-is-404"),
)
class PublishingBuilds(Engine):
    """Publishing starts a build that nobody asked for."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        slot = self.slot_of(version)
        slot.last = slot.last or self.launch(version)
        return version


@breaks("semantic", "status.unbuilt-is-not-built")
class UnbuiltReadsFailed(Engine):
    """A version that nobody built reads failed, for want of a build."""

    def status_body(self, version: Version) -> Body:
        body, slot = super().status_body(version), self.slots.get((version.owner, version.digest))
        return body | {"status": "failed", "error": "no build"} if slot is None or slot.last is None else body


@breaks("stateful", "status.changes-only-by-a-start", also=("reuse.only-identical-digest",))
class ReadingBuilds(App):
    """Reading the status of a version that nobody built starts its build."""

    def get_build(self, version: Version) -> Response:
        response, slot = super().get_build(version), self.engine.slot_of(version)
        slot.last = slot.last or self.engine.launch(version)
        return response


@breaks("stateful", "status.changes-only-by-a-start")
class HeadBuilds(App):
    """A HEAD request for the status of a version that nobody built starts its build."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if request.method == "HEAD" and resource.kind == "build":
            slot = self.engine.slot_of(version := self.engine.require(account, resource.ref))
            slot.last = slot.last or self.engine.launch(version)
        return response


@breaks("stateful", "status.changes-only-by-a-start")
class FollowingBuilds(App):
    """Following the log of a version that nobody built starts its build."""

    def stream_events(self, request: Request, version: Version) -> Response:
        slot = self.engine.slot_of(version)
        slot.last = slot.last or self.engine.launch(version)
        return super().stream_events(request, version)


# --- building --------------------------------------------------------------------------------------------------------


@breaks("stateful", "status.build-does-not-vanish", also=("cancel.settles",))
class EverySecondReadOfABuildIsStale(Engine):
    """Every second read of a running build says not_built, as one of two replicas does."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reads: Counter[Any] = Counter()

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "building":
            build = self.slot_of(version).last
            self.reads[build] += 1
            if self.reads[build] % 2 == 0:
                return body | {"status": "not_built"}
        return body


class Vanishing(Build):
    """A build whose machine is lost while it runs its steps."""

    async def install(self) -> str:
        await super().install()
        self.end_cancelled("machine lost")
        return ""


@breaks("stateful", "status.build-does-not-vanish", target={"build_timeout_s": 2.0})
class FirstLongBuildVanishes(Engine):
    """The first build whose steps take time ends as if it had never begun."""

    vanished = False

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        if build.plan.pause_s and not self.vanished:
            self.vanished = True
            build.__class__ = Vanishing
        return build


@breaks("stateful", "status.build-does-not-vanish", target={"build_timeout_s": 2.0})
class FailingBuildVanishes(Engine):
    """A build that fails leaves the version as if nobody had built it."""

    def state_of(self, slot: Slot | None) -> Status:
        state = super().state_of(slot)
        return "not_built" if state == "failed" else state


@breaks("timing", "status.good-template-ends-ready", pace={"build_timeout_s": 0.1})
class BuildTimesOutAtOnce(Engine):
    """A build fails that takes longer than a moment."""


@breaks("stateful", "status.good-template-ends-ready")
class AutomaticBuildFails(App):
    """A build that publishing starts fails, whatever its steps."""

    def auto_build(self, account: Account, version: Version) -> str:
        status = super().auto_build(account, version)
        if last := self.engine.slot_of(version).last:
            last.plan = dataclasses.replace(last.plan, steps=(Step(exit_status=1),))
        return status


@breaks("semantic", "status.failing-template-ends-failed")
class FailingStepIsIgnored(Engine):
    """A build whose last step fails ends ready."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.plan = dataclasses.replace(build.plan, steps=tuple(s for s in build.plan.steps if not s.exit_status))
        return build


@breaks("semantic", "status.failing-template-ends-failed", also=("events.ready-ends-on-ready", "reuse.ready-at-once"))
class FailedBuildReadsReady(Engine):
    """A build that failed reads ready, though its log tells the failure."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "failed":
            del body["error"]
            body |= {"status": "ready", "build_time_ms": 200}
        return body


class Endless(Build):
    """A build that never comes to its end."""

    async def work(self) -> str:
        await asyncio.Event().wait()
        return ""


@breaks("timing", "status.build-ends", target={"build_timeout_s": 2.0})
class FirstLongBuildNeverEnds(Engine):
    """The first build whose steps take time runs until somebody cancels it."""

    hanging = False

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        if build.plan.pause_s and not self.hanging:
            self.hanging = True
            build.__class__ = Endless
        return build


@breaks("timing", "status.build-ends", target={"build_timeout_s": 2.0, "cancel_timeout_s": 1.0})
class NoBuildEnds(Engine):
    """Builds run until somebody cancels them."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.__class__ = Endless
        return build


@breaks(
    "timing",
    "status.build-ends",
    also=(
        "cancel.in-flight-is-202",
        "events.open-while-building",
        "status.failed-stays-failed",
    ),
    target={"build_timeout_s": 2.0},
)
class FailureIsNeverTold(Engine):
    """A build that failed still reads building, though its log is closed."""

    def state_of(self, slot: Slot | None) -> Status:
        state = super().state_of(slot)
        return "building" if state == "failed" else state


# A build that fails fails at once, too, so that a read after its start may find no trace of it.
@breaks("timing", "status.ready-after-its-steps", also=("status.build-time-is-ms", "start.visible-to-next-read"))
class StepsAreSkipped(Engine):
    """A build is ready before its steps can have run."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        steps = tuple(dataclasses.replace(step, pause_s=0.0) for step in build.plan.steps)
        build.plan = dataclasses.replace(build.plan, steps=steps)
        return build
