"""Faults of starting a build: what a start is answered, and what it does."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# --- what is answered ------------------------------------------------------------------------------------------------


@breaks("semantic", "start.answers-202")
class StartAnswers200(App):
    """A start that begins a build is answered with 200."""

    def start_build(self, account: Account, version: Version) -> Response:
        return answer_json(200, self.engine.start(account, version))


@breaks("stateful", "start.answers-202")
class RestartAnswers200(App):
    """A start is answered with 200 where the last build of the version failed."""

    def start_build(self, account: Account, version: Version) -> Response:
        again = self.engine.status_body(version)["status"] == "failed"
        return answer_json(200 if again else 202, self.engine.start(account, version))


@breaks("semantic", "start.fresh-is-building")
class StartTellsTheStateBefore(Engine):
    """The first start after the host was woken up begins a build and still says not_built."""

    awake = False

    def start(self, account: Account, version: Version) -> Body:
        before = self.status_body(version)["status"]
        body = super().start(account, version)
        if self.awake or before != "not_built" or body["status"] != "building":
            return body
        self.awake = True
        return body | {"status": before}


@breaks("semantic", "start.fresh-is-building", also=("start.after-cancel-builds-again",))
class StartPromisesReady(Engine):
    """A start that begins a build of a template that was built before says ready, with the time that it should take."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.built: set[str] = set()

    def launch(self, version: Version) -> Build:
        self.built.add(version.ref.name)
        return super().launch(version)

    def start(self, account: Account, version: Version) -> Body:
        known, before = version.ref.name in self.built, self.slot_of(version).last
        body = super().start(account, version)
        begins = self.slot_of(version).last is not before
        return body | {"status": "ready", "build_time_ms": 200} if known and begins else body


@breaks("schema", "start.body-is-documented")
class StartHasNoDigest(Engine):
    """A start that begins a build leaves the digest out."""

    def building_body(self, version: Version) -> Body:
        body = super().building_body(version)
        del body["digest"]
        return body


@breaks("schema", "start.body-is-documented")
class GoldenDirIsAList(Engine):
    """An answer that reuses a golden tells its directory in parts."""

    def reused_body(self, version: Version, golden: Build) -> Body:
        return super().reused_body(version, golden) | {"golden_dir": ["golden", version.digest]}


@breaks("semantic", "start.ref-is-the-path")
class StartTellsAnotherRef(Engine):
    """A start that begins a build names the latest version instead of the one in the path."""

    def building_body(self, version: Version) -> Body:
        ref = f"{version.ref.namespace}/{version.ref.name}@latest"
        return super().building_body(version) | {"ref": ref}


@breaks("stateful", "start.ref-is-the-path")
class ReuseTellsTheFirstRef(Engine):
    """
    A start that reuses a golden names the version that was built, though another one with its digest was asked for.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.built: dict[str, str] = {}

    def launch(self, version: Version) -> Build:
        self.built[version.digest] = str(version.ref)
        return super().launch(version)

    def reused_body(self, version: Version, golden: Build) -> Body:
        return super().reused_body(version, golden) | {"ref": self.built.get(version.digest, str(version.ref))}


# --- how long it takes -----------------------------------------------------------------------------------------------


async def over(engine: Engine, version: Version) -> None:
    """Waits until no build of a version is under way."""
    last = engine.slot_of(version).last
    if last is not None:
        async for _ in last.stream.follow():
            pass


# Where a build takes longer than an answer may, its start is not answered in time.
@breaks("timing", "start.does-not-wait", also=("http.answers",))
class StartWaitsForTheBuild(App):
    """A start is answered when its build is over, with what was true at its beginning."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if resource.kind == "build" and request.method == "POST":
            await over(self.engine, self.engine.require(account, resource.ref))
        return response


# A start that is not answered in time begins its build all the same, some time.
@breaks("concurrency", "start.does-not-wait", also=("http.answers", "limit.*", "status.build-ends"))
class StartsTakeTurns(App):
    """A start waits until no build of another version runs any more."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if (
            resource.kind == "build"
            and request.method == "POST"
            and (version := self.engine.find(account, resource.ref))
        ):
            own = self.engine.slot_of(version).last
            for build in [one for one in self.engine.running if one is not own]:
                async for _ in build.stream.follow():
                    pass
        return await super().operate(request, account, resource)


# --- what it does ----------------------------------------------------------------------------------------------------


@breaks(
    "stateful",
    "start.visible-to-next-read",
    # The version that reads not_built and then builds has begun to build by itself, as far as anybody can see.
    also=(
        "status.changes-only-by-a-start",
        "status.build-does-not-vanish",
        "cancel.idle-is-404",
        "cancel.next-build-completes",
        "publish.auto-build-starts",
    ),
)
class FirstReadIsStale(Engine):
    """The first read after a start still shows the state before it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stale: dict[Any, Body] = {}

    def start(self, account: Account, version: Version) -> Body:
        before = super().status_body(version)
        body = super().start(account, version)
        if before["status"] == "not_built":
            self.stale[version.ref] = before
        return body

    def status_body(self, version: Version) -> Body:
        return self.stale.pop(version.ref, None) or super().status_body(version)


@breaks("stateful", "start.visible-to-next-read")
class RestartIsForgotten(Engine):
    """A start of a version whose last build failed is acknowledged, and nothing is built."""

    def start(self, account: Account, version: Version) -> Body:
        last = self.slot_of(version).last
        if last is not None and last.outcome == "failed":
            return self.building_body(version)
        return super().start(account, version)


@breaks(
    "concurrency",
    "start.visible-to-next-read",
    also=("start.concurrent-share-one-build",),
    target={"build_timeout_s": 2.0},
)
class SecondBuildIsForgotten(Engine):
    """A start while the account builds another version is acknowledged, and nothing is built."""

    def start(self, account: Account, version: Version) -> Body:
        slot = self.slot_of(version)
        others = (s.last for (owner, _), s in self.slots.items() if owner == account.key and s is not slot)
        if slot.last is None and any(last is not None and last.in_flight for last in others):
            return self.building_body(version)
        return super().start(account, version)


@breaks("semantic", "start.while-building-is-harmless", also=("start.concurrent-answers-are-documented",))
class SecondStartIsABadRequest(Engine):
    """A start while the version builds is answered with 400."""

    def start(self, account: Account, version: Version) -> Body:
        if self.joinable(self.slot_of(version)):
            raise Refusal(400, "This version is being built.")
        return super().start(account, version)


@breaks(
    "stateful",
    "start.while-building-is-harmless",
    also=("start.concurrent-share-one-build",),
    target={"build_timeout_s": 2.0},
)
class SecondStartEndsTheBuild(Engine):
    """A start while the version builds is acknowledged, and ends that build."""

    def start(self, account: Account, version: Version) -> Body:
        slot = self.slot_of(version)
        last, running = slot.last, self.joinable(slot)
        body = super().start(account, version)
        if running and last is not None:
            last.end_cancelled("build ended by another start")
        return body


@breaks("stateful", "start.after-failure-builds-again")
class FailureIsForever(Engine):
    """A version that failed once answers each later start with its old failure."""

    def start(self, account: Account, version: Version) -> Body:
        last = self.slot_of(version).last
        if last is not None and last.outcome == "failed":
            return self.status_body(version)
        return super().start(account, version)


@breaks("stateful", "start.after-cancel-builds-again", target={"build_timeout_s": 2.0})
class CancelledVersionConflicts(Engine):
    """A start of a version whose build was cancelled is answered with 409."""

    def start(self, account: Account, version: Version) -> Body:
        last = self.slot_of(version).last
        if last is not None and last.outcome == "cancelled":
            raise Refusal(409, "The build of this version was cancelled.")
        return super().start(account, version)


@breaks("semantic", "start.refuses-deleted-version", "lookup.deleted-version-is-404")
class DeletedVersionStays(Engine):
    """A delete is acknowledged and forgotten."""

    def delete(self, version: Version) -> Body:
        return {"deleted": True}


@breaks("stateful", "start.refuses-deleted-version", also=("lookup.deleted-version-is-404",))
class DeletedVersionBuilds(App):
    """A deleted version is not found any more, except by a start, which builds it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.deleted: dict[Any, Version] = {}

    def delete_template(self, version: Version) -> Response:
        self.deleted[version.owner, version.ref] = version
        return super().delete_template(version)

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        gone = self.deleted.get((account.key, resource.ref))
        if gone and resource.kind == "build" and request.method == "POST":
            return self.start_build(account, gone)
        return await super().operate(request, account, resource)
