"""Faults that went unnoticed once, since they show late, on a second try, or where nobody looked.

No check was written for any of them. What they led to: a cancel late in a build, a start right after a log has ended,
logs of builds that nobody reads beside, builds that print nothing, a full host that is looked at, another ready version
of the name, second tries of what was refused, and copies that are published at one moment.
"""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.proof.faults.unforeseen import ref_of
from touchstone.twin.answers import Refusal, no_such_version
from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import read_document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account, TwinSettings
from touchstone.twin.stream import Stream


@breaks(
    "stateful",
    "reuse.ready-at-once",
    # What is built again though it was ready can be cancelled, too.
    also=("reuse.is-flagged", "status.ready-stays-ready", "start.*", "cancel.finished-is-idle"),
)
class GoldenIsFiledByTheFirstRead(Engine):
    """
    The result of a build is filed when its status is read: a start before that builds again, though the log has ended.
    """

    def __init__(self, settings: TwinSettings) -> None:
        self.filed: set[Build] = set()
        super().__init__(settings)

    def status_body(self, version: Version) -> Body:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.golden is not None:
            self.filed.add(slot.golden)
        return super().status_body(version)

    def reusable(self, slot: Slot) -> Build | None:
        return slot.golden if slot.golden in self.filed else None


class ClosedByReading(Stream):
    """A log that waits for somebody to read the status."""

    over = False

    def close(self) -> None:
        self.over = True

    def read(self) -> None:
        """The status was read."""
        if self.over:
            super().close()


@breaks("timing", "events.close-at-the-end", target={"build_timeout_s": 3.0, "cancel_timeout_s": 1.0})
class UnreadLogStaysOpen(Engine):
    """The log of a build that is over stays open until somebody reads the status."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream = ClosedByReading()
        return build

    def status_body(self, version: Version) -> Body:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and isinstance(slot.last.stream, ClosedByReading):
            slot.last.stream.read()
        return super().status_body(version)


@breaks("timing", "cancel.in-flight-is-202", profile="standard", also=("cancel.*", "events.cancelled-ends-on-cancel"))
class CancelTokenExpires(Engine):
    """
    What a build can be cancelled by expires after one second: a later cancel finds nothing, and the build goes on.
    """

    def __init__(self, settings: TwinSettings) -> None:
        self.begun_at: dict[Build, float] = {}
        super().__init__(settings)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.begun_at[build] = time.monotonic()
        return build

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        running = slot.last if slot is not None else None
        if running is not None and running.in_flight and time.monotonic() - self.begun_at[running] > 1.0:
            return False
        return super().cancel(version)


@breaks(
    "load",
    "status.build-does-not-vanish",
    profile="standard",
    pace={"capacity": 3},
    also=("status.*", "start.*", "events.*", "cancel.*", "limit.*", "access.others-change-nothing"),
)
class FullHostMakesRoom(Engine):
    """
    A start for which the host has no room is accepted, and the build that has run for longest is ended in its favour.
    """

    def check_capacity(self) -> None:
        running = [build for build in self.running if build.in_flight]
        if self.settings.capacity is not None and len(running) >= self.settings.capacity:
            running[0].end_cancelled("build ended: room was needed")


@breaks("semantic", "status.answers-200", also=("lookup.existing-version-is-found", "http.head-matches-get"))
class StatusJoinsTheSteps(App):
    """The status of a version without build steps is not found, though it can be read, built and followed."""

    def get_build(self, version: Version) -> Response:
        if not (version.template.get("build") or {}).get("run"):
            raise no_such_version()
        return super().get_build(version)


@breaks("semantic", "status.failed-has-error")
class SilentFailureHasNoReason(Engine):
    """A failed build whose steps printed nothing has no reason."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        slot = self.slots.get((version.owner, version.digest))
        steps = slot.last.plan.steps if slot is not None and slot.last is not None else ()
        if body["status"] == "failed" and not any(step.line for step in steps):
            del body["error"]
        return body


@breaks("semantic", "status.build-time-is-stable", also=("status.build-time-is-ms", "events.build-time-agrees"))
class BuildTimeIsOfTheName(Engine):
    """Every ready version of a name tells the build time of the one that became ready last."""

    def __init__(self, settings: TwinSettings) -> None:
        self.latest: dict[tuple[str, str], int | None] = {}
        self.named: dict[Build, tuple[str, str]] = {}
        super().__init__(settings)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.named[build] = (version.owner, version.ref.name)
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            self.latest[self.named[build]] = build.build_time_ms

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "ready":
            body["build_time_ms"] = self.latest.get((version.owner, version.ref.name), body["build_time_ms"])
        return body


@breaks("security", "access.start-needs-scale", also=("status.changes-only-by-a-start",))
class PlanIsAskedOnce(Engine):
    """An account below the plan is refused its first start, and builds with each further one."""

    def __init__(self, settings: TwinSettings) -> None:
        self.asked: set[str] = set()
        super().__init__(settings)

    def require_plan(self, account: Account, doing: str) -> None:
        if doing != "Building" or account.key not in self.asked:
            self.asked.add(account.key)
            super().require_plan(account, doing)


@breaks("stateful", "publish.answers-201", also=("auth.refused-changes-nothing",))
class RefusedPublishReservesTheRef(App):
    """
    A publish that is refused with 401 reserves its new version: who publishes it afterwards without force hears 409.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.reserved: set[Ref] = set()

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        try:
            return await super().answer(request)
        except Refusal as refusal:
            if refusal.status == 401 and request.method == "POST" and body:
                self.reserved.add(ref_of(read_document(body, request.headers.get("content-type", ""))))
            raise

    async def publish(self, request: Request, account: Account) -> Response:
        ref = ref_of(read_document(await request.body(), request.headers.get("content-type", "")))
        if ref in self.reserved and self.engine.catalog.get(account.key, ref) is None:
            self.reserved.discard(ref)
            raise Refusal(409, "This version is being published.")
        return await super().publish(request, account)


@breaks("concurrency", "publish.republish-identical-is-accepted")
class SimultaneousCopiesCollide(App):
    """Of simultaneous publishes of one new version with the same content all but the first are in conflict."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.underway: set[Ref] = set()

    async def publish(self, request: Request, account: Account) -> Response:
        ref = ref_of(read_document(await request.body(), request.headers.get("content-type", "")))
        if ref in self.underway:
            raise Refusal(409, "This version is being published.")
        if self.engine.catalog.get(account.key, ref) is None:
            self.underway.add(ref)
            await asyncio.sleep(0.05)
            self.underway.discard(ref)
        return await super().publish(request, account)
