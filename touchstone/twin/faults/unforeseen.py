"""
Faults that went unnoticed once, since the situation in which they show did not come about.

No check was written for any of them. What they led to: cases that ask for everything in every state of a version, that
look at all the others meanwhile, and that let two accounts use one name.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json, read_limited, read_switches
from touchstone.twin.build import Build
from touchstone.twin.catalog import EVERYONE, Ref, Version
from touchstone.twin.documents import Document, read_document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.faults.fault import breaks
from touchstone.twin.settings import Account, TwinSettings
from touchstone.twin.stream import EventLevel, Phase, Stream


def ref_of(document: Document) -> Ref:
    """
    What a document is published as.
    """
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
    """
    When somebody who follows a running build hangs up, the build is cancelled.
    """

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
    """
    That a build is cancelled is told in the log of every other build that its account has running, which goes on.
    """

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
    """
    Of the lines that a build prints within one millisecond only the first is logged.
    """

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
    """
    A frame that tells of tidying up follows the error that ends a failed build.
    """

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
    """
    A cancel is looked at before each step: one during the last step is acknowledged, and the build ends ready.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        return _Deaf(build.plan, build.pace, build._on_end)


@breaks(
    "load",
    "limit.ends-after-back-off",
    also=("start.*", "cancel.next-build-completes", "status.*", "limit.*", "publish.auto-build-starts", "reuse.*"),
)
class CancelledBuildsKeepTheirPlace(Engine):
    """
    A build that was cancelled keeps its place on the host for good, so that there is none left some time.
    """

    kept = 0

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        self.kept += build.outcome == "cancelled"

    def check_capacity(self) -> None:
        if self.settings.capacity is not None and self.kept >= self.settings.capacity:
            raise self.too_many("Host capacity reached. Back off and retry.", 1.0)
        super().check_capacity()


# --- content ---------------------------------------------------------------------------------------------------------


@breaks("semantic", "digest.is-stable", also=("digest.*", "publish.*", "status.*", "reuse.*"))
class ForceEntersTheDigest(Engine):
    """
    The same content has another digest when it is published with force.
    """

    forced = False

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        self.forced = force
        try:
            return super().publish(account, document, force)
        finally:
            self.forced = False

    def digest_of(self, document: Document) -> str:
        digest = super().digest_of(document)
        return hashlib.sha256(f"{digest}&force=true".encode()).hexdigest() if self.forced else digest


@breaks("stateful", "publish.answers-201", also=("publish.body-is-documented", "publish.auto-build-starts"))
class DeletedContentStillConflicts(Engine):
    """
    A ref that was deleted can be published again with the same content only; other content conflicts with it.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.buried: dict[tuple[str, Ref], str] = {}

    def delete(self, version: Version) -> Body:
        self.buried[version.owner, version.ref] = version.digest
        return super().delete(version)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        key, digest = (account.key, ref_of(document)), self.digest_of(document)
        if not force and self.buried.get(key, digest) != digest:
            raise Refusal(409, "This version is published with other content; publish another, or use force=true.")
        self.buried.pop(key, None)
        return super().publish(account, document, force)


@breaks(
    "stateful",
    "publish.force-replaces",
    also=("digest.*", "publish.*", "template.read-shows-the-published", "reuse.*", "status.*"),
)
class ForcingBackIsSkipped(Engine):
    """
    A forced publish of content that its ref held before is answered as if it were done, and changes nothing.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.held: dict[tuple[str, Ref], dict[str, Version]] = {}

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
    """
    A ref that is deleted and published with other content has the new digest and build, and shows the old document.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.documents: dict[tuple[str, Ref], Any] = {}

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        version = super().publish(account, document, force)
        if old is None:
            self.documents.setdefault((version.owner, version.ref), version.template)
        elif version is not old:
            self.documents[version.owner, version.ref] = version.template
        return version

    def template_body(self, version: Version) -> Body:
        document = self.documents.get((version.owner, version.ref), version.template)
        return {**super().template_body(version), "template": document}


@breaks("stateful", "status.build-does-not-vanish", also=("status.*", "start.*", "events.*", "publish.*"))
class RepublishingEndsTheBuild(Engine):
    """
    Publishing the same content again is accepted and ends the build that the version has running.
    """

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        version = super().publish(account, document, force)
        slot = self.slots.get((version.owner, version.digest))
        if old is version and not force and slot is not None and slot.last is not None:
            slot.last.end_cancelled("build ended: its version was published")
        return version


@breaks(
    "concurrency",
    "lookup.existing-version-is-found",
    also=("lookup.*", "status.*", "digest.*", "publish.*", "template.*", "start.*", "reuse.*", "cancel.*", "events.*"),
)
class BuildEndWritesTheVersionsBack(Engine):
    """
    A build that succeeds writes back the versions that its account had at its start: what was done since is undone.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.copies: dict[Build, tuple[str, list[Version]]] = {}

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.copies[build] = version.owner, [one for one in self.catalog if one.owner == version.owner]
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner, copies = self.copies.pop(build)
        if build.outcome == "ready":
            for one in [one for one in self.catalog if one.owner == owner]:
                self.catalog.remove(one)
            for one in copies:
                self.catalog.put(one)


# --- accounts --------------------------------------------------------------------------------------------------------


@breaks("security", "publish.answers-201", also=("access.*",))
class RefsAreUniqueAcrossAccounts(Engine):
    """
    A ref that one account has published is a conflict for every other account.
    """

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        ref, own = ref_of(document), (account.key, EVERYONE)
        if any(version.ref == ref and version.owner not in own for version in self.catalog):
            raise Refusal(409, "This version is published with other content; publish another, or use force=true.")
        return super().publish(account, document, force)


@breaks("security", "access.publish-needs-scale", also=("publish.auto-build-starts",))
class AutoBuildLooksAtThePlanLater(App):
    """
    A publish with auto_build leaves the plan to the start of its build: below the plan it is published, not built.
    """

    async def publish(self, request: Request, account: Account) -> Response:
        switches = read_switches(request.scope["query_string"], ("auto_build", "force"))
        if self.engine.may_build(account) or not switches["auto_build"]:
            return await super().publish(request, account)
        document = read_document(await read_limited(request), request.headers.get("content-type", ""))
        version = self.engine.publish(account, document, force=switches["force"])
        return answer_json(201, {**self.engine.published_body(version), "auto_build": "not_built"})


# --- versions of one content -----------------------------------------------------------------------------------------


class Noting(Engine):
    """
    A right engine that knows for which version each build was started.
    """

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.built_as: dict[Build, Ref] = {}

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        self.built_as[build] = version.ref
        return build


@breaks("semantic", "cancel.in-flight-is-202", also=("cancel.*", "events.*", "reuse.same-digest-elsewhere"))
class OnlyTheStartedRefCancels(Noting):
    """
    A build that two versions of one digest share reads building for both, but a cancel of the second one says idle.
    """

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        if slot and slot.last and self.built_as.get(slot.last, version.ref) != version.ref:
            return False
        return super().cancel(version)


@breaks("semantic", "status.build-time-is-stable", also=("status.build-time-is-ms", "reuse.same-digest-elsewhere"))
class BuildTimeStaysWithTheBuiltVersion(Noting):
    """
    The build time is kept with the version that was built: the status of another one of its digest tells 0.
    """

    def status_body(self, version: Version) -> Body:
        body, slot = super().status_body(version), self.slots.get((version.owner, version.digest))
        golden = slot.golden if slot else None
        if golden and self.built_as.get(golden, version.ref) != version.ref and "build_time_ms" in body:
            body["build_time_ms"] = 0
        return body
