"""Faults of cancelling: the response, and the effect on the build, on other builds and on the next one."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import code, drop, instead, on, put
from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

CANCELLING, IDLE = {"status": "cancelling"}, {"status": "idle"}
HASTY = {"build_timeout_s": 2.0}
HASTIER = {**HASTY, "cancel_timeout_s": 1.0}


class Obliging(App):
    """Base class: a cancel without a running build is accepted.

    Attributes:
        states: States in which a version gets the wrong response; ``settled``: its last build was cancelled.
    """

    states: tuple[str, ...] = ()

    def cancel_build(self, version: Version) -> Response:
        state, last = str(self.engine.status_body(version)["status"]), self.engine.last_of(version)
        if last is not None and last.outcome == "cancelled":
            state = "settled"
        response = super().cancel_build(version)
        return answer_json(202, CANCELLING) if response.status_code == 404 and state in self.states else response


class Deaf(Build):
    """A build that ignores a cancel."""

    def cancel(self) -> None:
        pass


# fmt: off
# --- in flight ---
fault("cancel-answers-200", "semantic", "cancel.in-flight-is-202", "A cancel that is accepted is answered with 200.",
      on("cancelBuild.202.*", code(200)), also="cancel.second-is-documented http.status-is-documented")
fault("cancel-says-canceled", "semantic", "cancel.says-cancelling", "An accepted cancel has the status `canceled`.",
      on("cancelBuild.202.*", put(status="canceled")))
fault("cancel-says-nothing", "schema", "cancel.says-cancelling",
      "A cancel that is accepted is answered with an empty object.", on("cancelBuild.202.*", drop("status")))
fault("cancel-deletes-nothing-found", "stateful", "cancel.in-flight-is-202",
      "A cancel of a running build is answered with 404, but the build is cancelled.",
      App, target=HASTY, cancel_build=lambda self, version: (self.engine.cancel(version), answer_json(404, IDLE))[1])
fault("cancel-does-nothing", "stateful", "cancel.does-not-end-ready",
      "A cancel gets a 202, but the build continues.",
      # The build may fail by itself after the cancel; the log then ends with an error.
      Engine, build_class=Deaf,
      also="status.ready-after-its-steps cancel.settles cancel.settled-is-idle events.cancelled-ends-on-cancel")
fault("cancel-never-settles", "timing", "cancel.settles", "A cancelled build has the status building forever.",
      Engine, pace={"settle_s": 1e6}, target=HASTIER)
fault("start-joins-the-dying", "concurrency", "cancel.next-build-completes",
      "A start before a cancel has settled joins the cancelled build.", Engine, target=HASTY,
      joinable=lambda _, slot: slot.last is not None and not slot.last.outcome)
# --- nothing to cancel ---
fault("unbuilt-cancel-is-accepted", "stateful", "cancel.idle-is-404",
      "A cancel of a version without a build is accepted.", Obliging, states=("not_built",))
fault("failed-cancel-is-accepted", "stateful", "cancel.finished-is-idle",
      "A cancel of a version whose build failed is accepted.", Obliging, states=("failed",))
fault("settled-cancel-is-accepted", "stateful", "cancel.settled-is-idle",
      "A cancel of a version whose build is already cancelled is accepted again.", Obliging, states=("settled",))
fault("idle-cancel-is-an-error", "semantic", "cancel.says-idle",
      "A cancel without a running build gets the response for an unknown version.",
      on("cancelBuild.404.idle", instead(404, {"error": "Nothing is building."})))
# fmt: on


@breaks("stateful", "cancel.in-flight-is-202", target=HASTIER, over=Engine.cancel)
def cancel_finds_nothing(engine: Engine, version: Version) -> bool:
    """While another build of the account runs, a cancel is answered with 404, and both builds keep running."""
    own = engine.last_of(version)
    others = (build for build in engine.running if build.version.owner == version.owner and build is not own)
    return not any(build.in_flight for build in others) and Engine.cancel(engine, version)


@breaks("stateful", "cancel.in-flight-is-202")
class JoinedBuildConflicts(Engine):
    """A cancel of a build that a second start has joined is refused with 409."""

    joined = own(set[Any])

    def start(self, account: Account, version: Version) -> Any:
        if self.joinable(self.slot_of(version)):
            self.joined.add(self.last_of(version))
        return super().start(account, version)

    def cancel(self, version: Version) -> bool:
        if (last := self.last_of(version)) is not None and last in self.joined and last.in_flight:
            raise Refusal(409, "Somebody else needs this build.")
        return super().cancel(version)


class SecondCancel(Engine):
    """Base class: a second cancel, sent before the first one has settled, goes wrong."""

    def second(self, build: Build) -> bool:
        raise NotImplementedError

    def cancel(self, version: Version) -> bool:
        last = self.last_of(version)
        if last is not None and last.cancelling and not last.outcome:
            return self.second(last)
        return super().cancel(version)


@breaks("stateful", "cancel.says-cancelling", over=App.cancel_build)
def second_cancel_says_idle(app: App, version: Version) -> Response:
    """A second cancel before the first one has settled is answered with 202 and the status ``idle``."""
    last = app.engine.last_of(version)
    again = last is not None and last.cancelling and not last.outcome
    response = App.cancel_build(app, version)
    return answer_json(202, IDLE) if again else response


@breaks("stateful", "cancel.does-not-end-ready", over=SecondCancel.second,
        also="events.carry-the-output cancel.settles")  # fmt: skip
def second_cancel_revives(engine: SecondCancel, build: Build) -> bool:
    """A second cancel before the first one has settled makes the version ready."""
    build.build_time_ms = 100
    build.finish("ready", "success", "ready", build.ready_line())
    return True


@breaks("semantic", "lookup.existing-version-is-found", "status.answers-200", over=App.operate,
        also="cancel.says-idle template.read-shows-the-published publish.other-content-is-409 lookup.*")  # fmt: skip
async def cancel_deletes(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A cancel of a running build deletes its version."""
    response = await App.operate(app, request, account, resource)
    if resource.kind == "build" and request.method == "DELETE" and response.status_code == 202:
        app.engine.delete(app.engine.require(account, resource.ref))
    return response


@breaks("stateful", "cancel.does-not-end-ready", over=Engine.ended,
        also="cancel.finished-is-idle events.ready-ends-on-ready status.ready-after-its-steps "
             "events.carry-the-output")  # fmt: skip
def cancel_marks_ready(engine: Engine, slot: Slot, build: Build) -> None:
    """After a cancel, the version becomes ready, with an incomplete snapshot (golden)."""
    Engine.ended(engine, slot, build)
    if build.outcome == "cancelled" and build.cancelling:
        build.build_time_ms, slot.golden = 100, build


@breaks("stateful", "cancel.settles", also="cancel.settled-is-idle", over=Engine.status_body)
def cancelled_build_resumes(engine: Engine, version: Version) -> Body:
    """After a cancel, a version has the status not_built for one read, and then builds again without a start."""
    body, slot = Engine.status_body(engine, version), engine.slot_of(version)
    if slot.last is not None and slot.last.outcome == "cancelled" and body["status"] == "not_built":
        slot.last = engine.launch(version)
    return body


class CancelHits(Engine):
    """Base class: a cancel has a side effect."""

    def hit(self, version: Version, cancelled: bool) -> None:
        """Causes the side effect; *cancelled*: whether a build was cancelled."""
        raise NotImplementedError

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        self.hit(version, cancelled)
        return cancelled


# If nobody read the status between the end of the build and the cancel, the build itself seems to have vanished.
@breaks("stateful", "cancel.keeps-finished-golden", over=CancelHits.hit,
        also="start.while-building-is-harmless reuse.ready-at-once auth.refused-changes-nothing "
             "status.build-does-not-vanish cancel.next-build-completes cancel.keeps-neighbours")  # fmt: skip
def cancel_drops_the_golden(engine: CancelHits, version: Version, cancelled: bool) -> None:
    """A cancel of a ready version is answered with idle, but deletes the finished snapshot (golden)."""
    slot = engine.slots.get((version.owner, version.digest))
    if slot is not None and slot.golden is not None:
        del engine.slots[version.owner, version.digest]


@breaks("stateful", "cancel.keeps-finished-golden", target=HASTY, over=CancelHits.hit)
def cancel_clears_the_failure(engine: CancelHits, version: Version, cancelled: bool) -> None:
    """A cancel of a failed version is answered with idle, but resets the version to not_built."""
    if (last := engine.last_of(version)) is not None and last.outcome == "failed":
        del engine.slots[version.owner, version.digest]


@breaks("security", "cancel.keeps-neighbours", over=CancelHits.hit,
        also="start.while-building-is-harmless cancel.next-build-completes")  # fmt: skip
def cancel_hits_strangers(engine: CancelHits, version: Version, cancelled: bool) -> None:
    """A cancel also ends the running builds of all other accounts."""
    for build in list(engine.running) if cancelled else ():
        if build.version.owner != version.owner:
            build.cancel()


@breaks("stateful", "cancel.keeps-neighbours", over=CancelHits.hit,
        also="status.ready-stays-ready status.concurrent-reads-agree status.build-does-not-vanish cancel.* "
             "reuse.*")  # fmt: skip
def cancel_drops_goldens(engine: CancelHits, version: Version, cancelled: bool) -> None:
    """A cancel of a running build resets all ready versions of the account to not_built."""
    for key, slot in list(engine.slots.items()) if cancelled else ():
        if key[0] == version.owner and slot.golden is not None:
            del engine.slots[key]


@breaks("stateful", "cancel.keeps-neighbours", target=HASTY,
        also="start.while-building-is-harmless status.ready-after-its-steps status.build-time-is-ms cancel.* "
             "status.build-does-not-vanish access.others-change-nothing")  # fmt: skip
class CancelHitsTheOldest(Engine):
    """A cancel ends the oldest running build of the account instead of the requested one."""

    def cancel(self, version: Version) -> bool:
        self.require_own(version)
        last = self.last_of(version)
        if last is None or last.outcome:
            return False
        builds = [build for build in self.running if build.version.owner == version.owner and build.in_flight]
        min(builds or [last], key=lambda build: build._started_at).cancel()
        return True


@breaks("stateful", "cancel.next-build-completes", also="status.build-does-not-vanish", target=HASTY)
class CancelPoisonsTheNext(CancelHits):
    """After a cancel, the next build of the same version is cancelled by itself, without a request."""

    poisoned = own(set[Any])

    def hit(self, version: Version, cancelled: bool) -> None:
        if cancelled:
            self.poisoned.add(version.ref)

    def launch(self, version: Version) -> Build:
        build = super().launch(version)
        if version.ref in self.poisoned:
            self.poisoned.discard(version.ref)
            asyncio.get_running_loop().call_later(0.05, build.end_cancelled, "build cancelled")
        return build


@breaks("stateful", "start.after-cancel-builds-again", over=Engine.reusable)
def half_built_is_reused(engine: Engine, slot: Slot) -> Build | None:
    """A start after a cancelled build is answered with ready and reuses the incomplete snapshot (golden)."""
    if slot.last is not None and slot.last.outcome == "cancelled":
        slot.last.build_time_ms, slot.golden = 100, slot.last
    return slot.golden


# fmt: off
fault("second-cancel-conflicts", "stateful", "cancel.second-is-documented",
      "A second cancel before the first one has settled is answered with 409.", SecondCancel,
      second=refusing(None, lambda *_: True, 409, "A cancel is under way."))
fault("second-cancel-fails", "stateful", "http.no-server-error",
      "A second cancel before the first one has settled is answered with 500.", SecondCancel,
      second=refusing(None, lambda *_: True, 500, "Invalid state."), also="cancel.second-is-documented")
# fmt: on
