"""Faults of what a cancel does: to the build, to finished versions, to neighbours, to the next build."""

import asyncio
from typing import Any

from touchstone.proof.faults.fault import breaks
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

# --- the cancelled build ---------------------------------------------------------------------------------------------


class Deaf(Build):
    """A build that a cancel reaches and does not stop."""

    def cancel(self) -> None:
        pass


@breaks(
    "stateful",
    "cancel.does-not-end-ready",
    also=(
        "cancel.settles",
        "cancel.settled-is-idle",
        # What goes on after its cancel may fail by itself, and its log says so.
        "events.cancelled-ends-on-cancel",
    ),
)
class CancelDoesNothing(Engine):
    """A cancel is acknowledged, and the build goes on."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.__class__ = Deaf
        return build


@breaks(
    "stateful",
    "cancel.does-not-end-ready",
    also=(
        "events.ready-ends-on-ready",
        "status.ready-after-its-steps",
        "events.carry-the-output",
    ),
)
class CancelMarksReady(Engine):
    """A cancelled build settles as ready, with what was built until then."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "cancelled" and build.cancelling:
            build.build_time_ms, slot.golden = 100, build


@breaks("stateful", "cancel.does-not-end-ready", also=("cancel.settles",))
class SecondCancelRevives(Engine):
    """A second cancel while the first one settles makes the version ready."""

    def cancel(self, version: Version) -> bool:
        slot = self.slot_of(version)
        if slot.last is not None and slot.last.cancelling and not slot.last.outcome:
            slot.last.build_time_ms = 100
            slot.last.finish("ready", "success", "ready", slot.last.ready_line())
            return True
        return super().cancel(version)


class Unsettled(Build):
    """A build that stops to work when it is cancelled and never ends."""

    def cancel(self) -> None:
        self.cancelling = True
        self._stop_working()


@breaks("timing", "cancel.settles", target={"build_timeout_s": 2.0, "cancel_timeout_s": 1.0})
class CancelNeverSettles(Engine):
    """A cancelled build stays in the state building."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.__class__ = Unsettled
        return build


@breaks("stateful", "cancel.settles", also=("cancel.settled-is-idle",))
class CancelledBuildResumes(Engine):
    """A version whose build was cancelled reads not_built once, and then builds again."""

    def status_body(self, version: Version) -> Body:
        body, slot = super().status_body(version), self.slot_of(version)
        if slot.last is not None and slot.last.outcome == "cancelled" and body["status"] == "not_built":
            slot.last = self.launch(version)
        return body


@breaks("schema", "status.is-one-of-four")
class CancellingIsAStatus(Engine):
    """A build that is being cancelled reads ``cancelling``."""

    def status_body(self, version: Version) -> Body:
        body, last = super().status_body(version), self.slot_of(version).last
        dying = last is not None and last.cancelling and not last.outcome
        return body | {"status": "cancelling"} if dying else body


# --- finished versions -----------------------------------------------------------------------------------------------


# Where no read fell between the end of a build and the cancel, the build itself may as well have vanished.
@breaks(
    "stateful",
    "cancel.keeps-finished-golden",
    also=("auth.refused-changes-nothing", "status.build-does-not-vanish", "cancel.next-build-completes"),
)
class CancelDropsTheGolden(Engine):
    """A cancel of a ready version says that nothing is building, and makes it not built."""

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.golden is not None:
            del self.slots[version.owner, version.digest]
        return cancelled


@breaks("stateful", "cancel.keeps-finished-golden", target={"build_timeout_s": 2.0})
class CancelClearsTheFailure(Engine):
    """A cancel of a version whose build failed says that nothing is building, and makes it not built."""

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and slot.last.outcome == "failed":
            del self.slots[version.owner, version.digest]
        return cancelled


# --- neighbours ------------------------------------------------------------------------------------------------------


@breaks("stateful", "cancel.keeps-neighbours", target={"build_timeout_s": 2.0})
class CancelHitsNeighbours(Engine):
    """A cancel ends every build of the host."""

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        if cancelled:
            for build in list(self.running):
                build.cancel()
        return cancelled


@breaks("security", "cancel.keeps-neighbours")
class CancelHitsStrangers(Engine):
    """A cancel ends the builds of all other accounts as well."""

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        if cancelled:
            for (owner, _), slot in list(self.slots.items()):
                if owner != version.owner and slot.last is not None:
                    slot.last.cancel()
        return cancelled


@breaks("stateful", "cancel.keeps-neighbours")
class CancelDropsGoldens(Engine):
    """A cancel of a running build makes the ready versions of its account not built."""

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        if cancelled:
            for key, slot in list(self.slots.items()):
                if key[0] == version.owner and slot.golden is not None:
                    del self.slots[key]
        return cancelled


@breaks(
    "stateful",
    "cancel.keeps-neighbours",
    also=("cancel.settles", "cancel.does-not-end-ready"),
    target={"build_timeout_s": 2.0},
)
class CancelHitsTheOldest(Engine):
    """A cancel ends the build of its account that was started first, whichever it was asked for."""

    def cancel(self, version: Version) -> bool:
        self.require_own(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is None or slot.last is None or slot.last.outcome:
            return False
        slots = (slot for (owner, _), slot in self.slots.items() if owner == version.owner)
        builds = [slot.last for slot in slots if slot.last is not None and slot.last.in_flight]
        min(builds or [slot.last], key=lambda build: build._started_at).cancel()
        return True


# --- the next build --------------------------------------------------------------------------------------------------


class Poisonous(Engine):
    """An engine that remembers which versions had a build cancelled, until the next one begins."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.poisoned: set[Any] = set()

    def cancel(self, version: Version) -> bool:
        cancelled = super().cancel(version)
        if cancelled:
            self.poisoned.add(version.ref)
        return cancelled

    def launch(self, version: Version) -> Build:
        build = super().launch(version)
        if version.ref in self.poisoned:
            self.poisoned.discard(version.ref)
            self.poison(build)
        return build

    def poison(self, build: Build) -> None:
        """What becomes of the build after a cancelled one."""


@breaks(
    "stateful", "cancel.next-build-completes", also=("status.build-does-not-vanish",), target={"build_timeout_s": 2.0}
)
class CancelPoisonsTheNext(Poisonous):
    """The build after a cancelled one of the same version is cancelled as well."""

    def poison(self, build: Build) -> None:
        asyncio.get_running_loop().call_later(0.05, build.end_cancelled, "build cancelled")


@breaks("concurrency", "cancel.next-build-completes", target={"build_timeout_s": 2.0})
class StartJoinsTheDying(Engine):
    """A start while a cancel settles joins the build that is being cancelled."""

    def joinable(self, slot: Slot) -> bool:
        return slot.last is not None and not slot.last.outcome


@breaks("stateful", "start.after-cancel-builds-again")
class HalfBuiltIsReused(Engine):
    """A start after a cancelled build answers ready and reuses what was built until then."""

    def reusable(self, slot: Slot) -> Build | None:
        if slot.last is not None and slot.last.outcome == "cancelled":
            slot.last.build_time_ms, slot.golden = 100, slot.last
        return slot.golden


@breaks("stateful", "cancel.next-build-completes", target={"build_timeout_s": 2.0})
class StartAfterCancelIsForgotten(Engine):
    """A start after a cancelled build is acknowledged, and nothing is built."""

    def start(self, account: Account, version: Version) -> Body:
        last = self.slot_of(version).last
        if last is not None and last.outcome == "cancelled":
            return self.building_body(version)
        return super().start(account, version)
