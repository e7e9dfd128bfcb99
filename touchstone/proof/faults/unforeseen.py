"""Faults that went unnoticed once, since the situation in which they show did not come about.

No check was written for any of them. What they led to: cases that ask for everything in every state of a version, that
look at all the others meanwhile, and that let two accounts use one name.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from touchstone.proof.faults.fault import breaks
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account, TwinSettings
from touchstone.twin.stream import EventLevel, Phase, Stream


def ref_of(document: Document) -> Ref:
    """What a document is published as."""
    return Ref(document.namespace, document.name, document.version)


# --- followers and logs ----------------------------------------------------------------------------------------------


@breaks(
    "stream",
    "status.build-does-not-vanish",
    also=(
        "status.good-template-ends-ready",
        "status.failing-template-ends-failed",
        "status.build-ends",
        "start.*",
        "cancel.*",
        "events.*",
        "reuse.only-identical-digest",
        "publish.auto-build-starts",
    ),
)
class WhoLeavesTheLogCancels(Engine):
    """When somebody who follows a running build hangs up, the build is cancelled."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        slot = self.slots.get((version.owner, version.digest))
        return self._follow(slot.last) if slot and slot.last else None

    async def _follow(self, build: Build) -> AsyncIterator[bytes]:
        try:
            async for event in build.stream.follow():
                yield event
        finally:
            if not build.outcome:
                build.cancel()


@breaks("stream", "events.terminal-frame-comes-last", also=("events.own-lines-only", "cancel.keeps-neighbours"))
class CancelIsLoggedEverywhere(Engine):
    """That a build is cancelled is told in the log of every other build that its account has running, which goes on."""

    def cancel(self, version: Version) -> bool:
        mine = self.slots.get((version.owner, version.digest))
        fresh = mine is not None and mine.last is not None and mine.last.in_flight
        found = super().cancel(version)
        for (owner, _), slot in self.slots.items():
            if fresh and owner == version.owner and slot is not mine and slot.last is not None and slot.last.in_flight:
                slot.last.say("warn", "cancel", "build cancelled")
        return found


class _OneLineAMillisecond(Build):
    said_at = float("-inf")

    def say(self, level: EventLevel, phase: Phase, line: str, source: str = "") -> None:
        now_at = time.monotonic()
        if phase in ("ready", "cancel", "timeout") or level == "error" or now_at - self.said_at >= 0.001:
            self.said_at = now_at
            super().say(level, phase, line, source)


@breaks("stream", "events.carry-the-output")
class LinesAreKeyedByTheirMillisecond(Engine):
    """Of the lines that a build prints within one millisecond only the first is logged."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        return _OneLineAMillisecond(build.plan, build.pace, build._on_end)


@breaks("stream", "events.finished-version-closes", also=("http.answers", "events.close-at-the-end"))
class LogOfTheReplacedStaysOpen(Engine):
    """
    Who follows a version that was built, and whose content was replaced since, waits without end for its next build.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.replaced: set[tuple[str, Ref]] = set()
        self.waiting: list[Stream] = []

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        slot = self.slots.get((old.owner, old.digest)) if old else None
        version = super().publish(account, document, force)
        if slot is not None and slot.last is not None and version is not old:
            self.replaced.add((version.owner, version.ref))
        return version

    def delete(self, version: Version) -> Body:
        self.replaced.discard((version.owner, version.ref))
        return super().delete(version)

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        events = super().events(version)
        if events is None and (version.owner, version.ref) in self.replaced:
            self.waiting.append(Stream())
            return self.waiting[-1].follow()
        return events

    def close(self) -> None:
        for stream in self.waiting:
            stream.close()
        super().close()


class _Untidy(Build):
    def finish(self, outcome: Any, level: EventLevel, phase: Phase, line: str) -> None:
        if outcome == "failed" and not self.outcome:
            self.say(level, phase, line)
            super().finish(outcome, "info", "archive", "tidied up")
        else:
            super().finish(outcome, level, phase, line)


@breaks("stream", "events.terminal-frame-comes-last", also=("events.failed-ends-on-error",))
class FailuresAreTidiedUpLater(Engine):
    """A frame that tells of tidying up follows the error that ends a failed build."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        return _Untidy(build.plan, build.pace, build._on_end)


# --- cancels and room ------------------------------------------------------------------------------------------------


class _Deaf(Build):
    def cancel(self) -> None:
        if not self.outcome:
            self.cancelling = True

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


@breaks(
    "timing",
    "cancel.does-not-end-ready",
    also=("cancel.*", "start.after-cancel-builds-again", "status.*", "events.*"),
)
class CancelIsLookedAtBetweenSteps(Engine):
    """A cancel is looked at before each step: one during the last step is acknowledged, and the build ends ready."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        return _Deaf(build.plan, build.pace, build._on_end)


@breaks(
    "load",
    "limit.ends-after-back-off",
    also=("start.*", "cancel.next-build-completes", "status.*", "limit.*", "publish.auto-build-starts", "reuse.*"),
)
class CancelledBuildsKeepTheirPlace(Engine):
    """A build that was cancelled keeps its place on the host for good, so that there is none left some time."""

    kept = 0

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        self.kept += build.outcome == "cancelled"

    def check_capacity(self) -> None:
        if self.settings.capacity is not None and self.kept >= self.settings.capacity:
            raise self.too_many("Host capacity reached. Back off and retry.", 1.0)
        super().check_capacity()
