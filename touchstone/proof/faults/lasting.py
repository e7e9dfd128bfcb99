"""Faults of what a finished build is read as later on, and by several at once."""

import asyncio
import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.app import App, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# How long a read takes where others are to meet it.
SLOW_S = 0.02

# --- ready -----------------------------------------------------------------------------------------------------------


@breaks("stateful", "status.ready-stays-ready", also=("status.concurrent-reads-agree", "cancel.keeps-finished-golden"))
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
        body = json.loads(bytes(response.body))
        return answer_json(200, {"ref": body["ref"], "digest": body["digest"], "status": "building"})


@breaks(
    "stateful",
    "status.ready-stays-ready",
    also=(
        "reuse.same-digest-elsewhere",
        "reuse.ready-at-once",
    ),
)
class GoldenExpires(Engine):
    """A version that was read ready twice is not built any more."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reads: Counter[Any] = Counter()

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "ready":
            self.reads[version.owner, version.digest] += 1
            if self.reads[version.owner, version.digest] == 2:
                del self.slots[version.owner, version.digest]
        return body


@breaks("stateful", "status.ready-stays-ready", also=("status.concurrent-reads-agree",))
class ReuseIsReadAsABuild(Engine):
    """The first read after a golden was reused says building."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reused: set[Any] = set()

    def reused_body(self, version: Version, golden: Build) -> Body:
        self.reused.add(version.ref)
        return super().reused_body(version, golden)

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if version.ref in self.reused:
            self.reused.discard(version.ref)
            return self.building_body(version)
        return body


@breaks("stateful", "status.ready-stays-ready", also=("reuse.same-digest-elsewhere",))
class RepublishingDropsTheGolden(Engine):
    """Publishing the same content once more makes a ready version not built."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        self.slots.pop((version.owner, version.digest), None)
        return version


# --- failed ----------------------------------------------------------------------------------------------------------


@breaks("stateful", "status.failed-stays-failed")
class FailureFades(Engine):
    """A failure is told once; then the version reads not_built."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "failed":
            del self.slots[version.owner, version.digest]
        return body


@breaks("stateful", "status.failed-stays-failed", also=("cancel.finished-is-idle",))
class FailureIsRetried(Engine):
    """Reading the failure of a version starts its build once more."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "failed":
            self.slot_of(version).last = self.launch(version)
        return body


@breaks("stateful", "status.failed-stays-failed")
class FailureHeals(Engine):
    """A version whose failure was read becomes ready."""

    def status_body(self, version: Version) -> Body:
        body, slot = super().status_body(version), self.slot_of(version)
        if body["status"] == "failed" and slot.last is not None:
            slot.golden = slot.last
        return body


# --- several readers -------------------------------------------------------------------------------------------------


class Crowded(App):
    """A server whose status reads take a while and know how many others are on their way."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.reading: Counter[Any] = Counter()

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "build" or request.method != "GET":
            return await super().operate(request, account, resource)
        self.reading[resource.ref] += 1
        try:
            crowd = self.reading[resource.ref]
            response = await super().operate(request, account, resource)
            await asyncio.sleep(SLOW_S)
            return answer_json(200, self.crowded(json.loads(bytes(response.body)))) if crowd > 1 else response
        finally:
            self.reading[resource.ref] -= 1

    def crowded(self, body: Body) -> Body:
        """What a read is answered while another one of the version is on its way."""
        return body


@breaks("concurrency", "status.concurrent-reads-agree", also=("status.build-time-is-stable",))
class SimultaneousReadsDiffer(Crowded):
    """Of several reads of a ready version at the same moment only the first tells its true build time."""

    def crowded(self, body: Body) -> Body:
        return body | {"build_time_ms": body["build_time_ms"] + 1} if "build_time_ms" in body else body
