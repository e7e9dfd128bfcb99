"""Faults of simultaneous starts: what only shows where one request meets another."""

import asyncio
import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# How long a start takes, so that a second one meets it.
SLOW_S = 0.1


class Racing(App):
    """A server whose starts take a while and tell the second of two of one version from the first."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.starting: set[Any] = set()

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "build" or request.method != "POST":
            return await super().operate(request, account, resource)
        if (account.key, resource.ref) in self.starting:
            return await self.second(request, account, resource)
        version = self.engine.find(account, resource.ref)
        if version is not None and self.engine.joinable(self.engine.slot_of(version)):
            return await super().operate(request, account, resource)
        self.starting.add((account.key, resource.ref))
        try:
            await asyncio.sleep(SLOW_S)
            return await super().operate(request, account, resource)
        finally:
            self.starting.discard((account.key, resource.ref))

    async def second(self, request: Request, account: Account, resource: Resource) -> Response:
        """The answer to a start while another one of the version is being answered."""
        return await super().operate(request, account, resource)


@breaks("concurrency", "start.concurrent-answers-are-documented", also=("http.no-server-error",))
class SecondStartAtOnceFails(Racing):
    """A start that comes while another one of the version is being answered makes the server fail."""

    async def second(self, request: Request, account: Account, resource: Resource) -> Response:
        raise Refusal(500, "duplicate key")


@breaks("concurrency", "start.concurrent-answers-are-documented", also=("lookup.existing-version-is-found",))
class SecondStartAtOnceIsNotFound(Racing):
    """A start that comes while another one of the version is being answered does not find the version."""

    async def second(self, request: Request, account: Account, resource: Resource) -> Response:
        raise Refusal(404, "Template version not found.")


@breaks("concurrency", "start.concurrent-share-one-build", target={"build_timeout_s": 2.0})
class SimultaneousStartsEndEachOther(Racing):
    """A start that meets another one of its version ends the build that both lead to."""

    async def second(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.engine.require(account, resource.ref)
        await asyncio.sleep(2 * SLOW_S)
        last = self.engine.slot_of(version).last
        if last is not None:
            last.end_cancelled("build ended by another start")
        return answer_json(202, self.engine.building_body(version))


@breaks(
    "concurrency",
    "start.concurrent-share-one-build",
    also=("cancel.finished-is-idle", "status.build-time-is-stable", "events.build-time-agrees"),
)
class EachStartBuilds(Engine):
    """A start while a build runs begins a second one, which takes longer and replaces the golden of the first."""

    def joinable(self, slot: Slot) -> bool:
        return False

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.slot_of(version).last
        if last is not None and not last.outcome:
            build.pace = dataclasses.replace(build.pace, build_s=last.pace.build_s + 0.1)
        return build


@breaks("concurrency", "start.concurrent-share-one-build")
class SecondStartAtOnceComesLate(Racing):
    """A start that meets another one of its version begins a build of its own once the first one is ready."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.late: set[Any] = set()

    async def second(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.engine.require(account, resource.ref)
        self.late.add((version.owner, version.digest))
        return answer_json(202, self.engine.building_body(version))

    def get_build(self, version: Version) -> Response:
        body: Body = self.engine.status_body(version)
        slot = self.engine.slot_of(version)
        if body["status"] == "ready" and (version.owner, version.digest) in self.late:
            self.late.discard((version.owner, version.digest))
            slot.golden, slot.last = None, self.engine.launch(version)
        return answer_json(200, body)
