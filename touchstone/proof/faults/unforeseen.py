"""Faults that earlier checks missed because no case created the situation or the timing in which they appear.

Their authors did not know the checks. The faults led to new cases: every operation in every state of a version, the
same ref in two accounts, late cancels, starts right after the end of a log, builds without output, a full host,
retries of refused requests, and simultaneous publishes.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.proof.faults.logs import event_of, frame_of
from touchstone.proof.faults.publishing import ref_of
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.build import Build, EventLevel, Phase, Stream, timestamp
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document, read_document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account


def has_no_steps(_: App, version: Version) -> bool:
    """Whether a version has no build steps."""
    return not (version.template.get("build") or {}).get("run")


async def document_of(request: Request) -> Document:
    """Returns the document in a publish request."""
    return read_document(await request.body(), request.headers.get("content-type", ""))


@breaks("stream", "status.build-does-not-vanish", over=Engine.follow,
        also="status.good-template-ends-ready status.failing-template-ends-failed status.build-ends start.* cancel.* "
             "events.* reuse.only-identical-digest publish.auto-build-starts")  # fmt: skip
async def who_leaves_the_log_cancels(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """A build is cancelled when a client that reads its log disconnects."""
    try:
        async for event in build.stream.follow():
            yield event
    finally:
        if not build.outcome:
            build.cancel()


@breaks("stream", "events.terminal-frame-comes-last", also="events.own-lines-only cancel.keeps-neighbours")
class CancelIsLoggedEverywhere(Engine):
    """The cancel event of a build also appears in the logs of the account's other running builds."""

    def cancel(self, version: Version) -> bool:
        own = self.last_of(version)
        fresh = own is not None and own.in_flight
        found = super().cancel(version)
        for build in self.running if fresh else ():
            if build.version.owner == version.owner and build is not own and build.in_flight:
                build.say("warn", "cancel", "build cancelled")
        return found


class OneLineAMillisecond(Build):
    """A build that logs at most one line per millisecond and drops the others."""

    logged_at = float("-inf")

    def say(self, level: EventLevel, phase: Phase, line: str, source: str = "") -> None:
        now_at = time.monotonic()
        if phase in ("ready", "cancel", "timeout") or level == "error" or now_at - self.logged_at >= 0.001:
            self.logged_at = now_at
            super().say(level, phase, line, source)


class Untidy(Build):
    """A build that logs a clean-up event after a failure."""

    def finish(self, outcome: Any, level: EventLevel, phase: Phase, line: str) -> None:
        if outcome == "failed" and not self.outcome:
            self.say(level, phase, line)
            super().finish(outcome, "info", "archive", "tidied up")
        else:
            super().finish(outcome, level, phase, line)


class DeafWhileItWorks(Build):
    """A build that checks for a cancel only before each step."""

    def cancel(self) -> None:
        self.cancelling = self.cancelling or not self.outcome

    async def install(self) -> str:
        for number, step in enumerate(self.plan.steps, 1):
            if self.cancelling:
                self.end_cancelled("build cancelled")
                await asyncio.sleep(0)
            if step.exit_status:
                return f"build.run step {number} ended with exit status {step.exit_status}"
            if step.line:
                self.say("info", "install", step.line)
            await self.spend(step.pause_s)
        return ""


# fmt: off
fault("lines-are-keyed-by-their-millisecond", "stream", "events.carry-the-output",
      "Of several lines that a build prints within one millisecond, only the first is logged.", Engine,
      build_class=OneLineAMillisecond)
fault("failures-are-tidied-up-later", "stream", "events.terminal-frame-comes-last",
      "The log of a failed build continues with a clean-up event after the error.", Engine, build_class=Untidy,
      also="events.failed-ends-on-error")
fault("cancel-is-looked-at-between-steps", "timing", "cancel.does-not-end-ready",
      "A cancel during the last step of a build is accepted, but the build ends ready.",
      Engine, build_class=DeafWhileItWorks, also="cancel.* start.after-cancel-builds-again status.* events.*")
# fmt: on


@breaks("stream", "events.finished-version-closes", also="http.answers events.close-at-the-end")
class LogOfTheReplacedStaysOpen(Engine):
    """After a forced publish over a built version, its log is an empty stream that never closes."""

    replacing = own(set[tuple[str, str]])

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        built = old is not None and self.last_of(old) is not None
        version = super().publish(account, document, force)
        if built and version is not old:
            self.replacing.add((version.owner, version.digest))
        return version

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        waits = (version.owner, version.digest) in self.replacing
        return super().events(version) or (Stream().follow() if waits else None)


@breaks("stream", "events.timestamps-are-true", over=Engine.follow)
async def old_lines_are_stamped_anew(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """Lines that were logged before a client connected get the time of the connection as their timestamp."""
    old, now = len(build.stream.frames), timestamp(time.time())
    async for frame in build.stream.follow():
        yield frame_of({**event_of(frame), "ts": now}) if old > 0 else frame
        old -= 1


@breaks("timing", "events.close-at-the-end", target={"build_timeout_s": 3.0, "cancel_timeout_s": 1.0})
class UnreadLogStaysOpen(Engine):
    """The log of a finished build stays open until a client reads the status."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream.close = lambda: None  # type: ignore[method-assign]  # of this one
        return build

    def status_body(self, version: Version) -> Body:
        if (last := self.last_of(version)) is not None and last.outcome:
            Stream.close(last.stream)
        return super().status_body(version)


@breaks("load", "limit.ends-after-back-off",
        also="start.* cancel.next-build-completes status.* limit.* publish.auto-build-starts reuse.*")  # fmt: skip
class CancelledBuildsKeepTheirPlace(Engine):
    """Cancelled builds use up host capacity forever; once none is left, every start of a build gets a 429."""

    kept = 0

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        self.kept += build.outcome == "cancelled"

    def check_capacity(self) -> None:
        if self.settings.capacity is not None and self.kept >= self.settings.capacity:
            raise self.too_many("Host capacity reached. Back off and retry.", 1.0)
        super().check_capacity()


@breaks("timing", "cancel.in-flight-is-202", profile="standard", also="cancel.* events.cancelled-ends-on-cancel")
class CancelTokenExpires(Engine):
    """A cancel more than one second after the start is answered with 404, and the build keeps running."""

    def cancel(self, version: Version) -> bool:
        last = self.last_of(version)
        expired = last is not None and last.in_flight and time.monotonic() - last._started_at > 1.0
        return not expired and super().cancel(version)


@breaks("load", "status.build-does-not-vanish", pace={"capacity": 3}, over=Engine.check_capacity,
        also="publish.auto-build-starts status.* start.* events.* cancel.* limit.* "
             "access.others-change-nothing")  # fmt: skip
def full_host_makes_room(engine: Engine) -> None:
    """A start on a full host is accepted, and the oldest running build is ended."""
    running = [build for build in engine.running if build.in_flight]
    if engine.settings.capacity is not None and len(running) >= engine.settings.capacity:
        running[0].end_cancelled("build ended: room was needed")


# The unnecessary second build can also be cancelled.
@breaks("stateful", "reuse.ready-at-once",
        also="reuse.is-flagged status.ready-stays-ready start.* cancel.finished-is-idle")  # fmt: skip
class GoldenIsFiledByTheFirstRead(Engine):
    """A start does not reuse a snapshot (golden) until a client has read the status after the end of the build."""

    filed = own(set[Build | None])

    def status_body(self, version: Version) -> Body:
        if slot := self.slots.get((version.owner, version.digest)):
            self.filed.add(slot.golden)
        return super().status_body(version)

    def reusable(self, slot: Slot) -> Build | None:
        return slot.golden if slot.golden in self.filed else None


@breaks("semantic", "status.failed-has-error", over=Engine.status_body)
def silent_failure_has_no_reason(engine: Engine, version: Version) -> Body:
    """The status of a failed build without output has no error."""
    body, last = Engine.status_body(engine, version), engine.last_of(version)
    if body["status"] == "failed" and not any(step.line for step in (last.plan.steps if last else ())):
        del body["error"]
    return body


@breaks("security", "access.start-needs-scale", also="status.changes-only-by-a-start")
class PlanIsAskedOnce(Engine):
    """Only the first start of an account below the Scale plan is refused with 403."""

    refused = own(set[str])

    def require_plan(self, account: Account, doing: str) -> None:
        if doing != "Building" or account.key not in self.refused:
            self.refused.add(account.key)
            super().require_plan(account, doing)


@breaks("stateful", "publish.answers-201", also="auth.refused-changes-nothing")
class RefusedPublishReservesTheRef(App):
    """After a publish that was refused with 401, publishing that version is answered with 409."""

    reserved = own(set[Ref])

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        try:
            return await super().answer(request)
        except Refusal as refusal:
            if refusal.status == 401 and request.method == "POST" and body:
                self.reserved.add(ref_of(await document_of(request)))
            raise

    async def publish(self, request: Request, account: Account) -> Response:
        ref = ref_of(await document_of(request))
        if ref in self.reserved and self.engine.catalog.get(account.key, ref) is None:
            self.reserved.discard(ref)
            raise Refusal(409, "This version is being published.")
        return await super().publish(request, account)


@breaks("concurrency", "publish.republish-identical-is-accepted")
class SimultaneousCopiesCollide(App):
    """If clients publish the same new version at once, only the first succeeds; the others get a 409."""

    underway = own(set[Ref])

    async def publish(self, request: Request, account: Account) -> Response:
        ref = ref_of(await document_of(request))
        if ref in self.underway:
            raise Refusal(409, "This version is being published.")
        if self.engine.catalog.get(account.key, ref) is None:
            self.underway.add(ref)
            await asyncio.sleep(0.05)
            self.underway.discard(ref)
        return await super().publish(request, account)


@breaks("concurrency", "publish.other-content-is-409", over=App.publish,
        also="template.read-shows-the-published publish.answers-201 digest.is-the-published-one")  # fmt: skip
async def simultaneous_publishes_both_win(app: App, request: Request, account: Account) -> Response:
    """If two clients publish a new version at once with different content, both get a 201."""
    app.engine.require_plan(account, "Publishing")
    document = await document_of(request)
    if app.engine.catalog.get(account.key, ref_of(document)) is None:
        await asyncio.sleep(0.05)
        app.engine.publish(account, document, force=True)
    return await App.publish(app, request, account)


# fmt: off
fault("status-joins-the-steps", "semantic", "status.answers-200",
      "The status of a version without build steps is answered with 404.", App,
      get_build=refusing(App.get_build, has_no_steps, 404, "Template version not found."),
      also="lookup.existing-version-is-found http.head-matches-get")
# fmt: on
