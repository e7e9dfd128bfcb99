"""
Faults of how builds end: the ways to ready, to failed and to cancelled gone wrong.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine, Slot, Status
from touchstone.twin.faults.fault import Kind
from touchstone.twin.mutants.transitions import HASTY, LATE_S, Storing, enter, later
from touchstone.twin.settings import Account

_DYING_S = 1.6


def _ends(
    name: str, kind: Kind = "stateful", target: dict[str, Any] | None = None, every: int = 1
) -> Callable[[type[Build]], type[Build]]:
    """
    Enters an engine one in *every* of whose builds is of another class.
    """

    def entered(build_class: type[Build]) -> type[Build]:
        class Ending(Storing):
            builds = 0

            def make_build(self, version: Version) -> Build:
                build = super().make_build(version)
                self.builds += 1
                if self.builds % every == 0:
                    build.__class__ = build_class
                return build

        Ending.__doc__ = build_class.__doc__
        enter(name, kind, target)(Ending)
        return build_class

    return entered


# --- ready and failed ------------------------------------------------------------------------------------------------


@_ends("succeeds.skip")
class _SuccessVanishes(Build):
    """
    A build that succeeds leaves its version not built.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        super().finish("cancelled" if outcome == "ready" else outcome, level, phase, line)


@_ends("succeeds.as-failed")
class _SuccessFails(Build):
    """
    A build that succeeds ends failed.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == "ready":
            self.error = "the snapshot failed"
            outcome, level, phase, line = "failed", "error", "snapshot", "build failed: the snapshot failed"
        super().finish(outcome, level, phase, line)


@_ends("succeeds.never", "timing", HASTY, every=4)
class _SuccessNeverShows(Build):
    """
    Every fourth build goes on for ever where it should succeed.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome != "ready":
            super().finish(outcome, level, phase, line)


@_ends("succeeds.in-its-log-only", "timing", HASTY, every=4)
class _SuccessOnlyLogged(Build):
    """
    The log of every fourth build says that it succeeded and its status does not.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == "ready":
            self.say(level, phase, line)
            self.stream.close()
            return
        super().finish(outcome, level, phase, line)


@_ends("succeeds.before-its-steps", "timing")
class _SuccessTooSoon(Build):
    """
    A build is ready without waiting for its steps.
    """

    async def spend(self, seconds: float) -> None:
        await super().spend(min(seconds, 0.01))


@_ends("succeeds.before-it-began", "timing")
class _SuccessAtOnce(Build):
    """
    A build is over as soon as it is launched.
    """

    async def spend(self, seconds: float) -> None:
        await asyncio.sleep(0)


@enter("succeeds.then-gone")
class _ReadyGoes(Engine):
    """
    A version that became ready is not built a while later.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            later(self._forget, slot)

    def _forget(self, slot: Slot) -> None:
        slot.golden = slot.last = None


@enter("succeeds.then-failed")
class _ReadyFails(Engine):
    """
    A version that became ready has failed a while later.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            later(self._fail, slot)

    def _fail(self, slot: Slot) -> None:
        if slot.last is not None and slot.last.outcome == "ready":
            slot.golden, slot.last.outcome, slot.last.error = None, "failed", "the snapshot was lost"


@enter("succeeds.for-neighbour")
class _SucceedsForAll(Engine):
    """
    A build that succeeds makes every version of its account ready.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        for version in [v for v in self.catalog if v.owner == owner and build.outcome == "ready"]:
            other = self.slot_of(version)
            other.golden, other.last = other.golden or build, other.last or build


@enter("succeeds.for-others", "security")
class _SucceedsForOthers(Engine):
    """
    A build that succeeds makes the versions of the other account ready.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        for version in [v for v in self.catalog if v.owner not in {owner, ""} and build.outcome == "ready"]:
            other = self.slot_of(version)
            other.golden, other.last = other.golden or build, other.last or build


@_ends("fails.as-ready")
class _FailureSucceeds(Build):
    """
    A build with a failing step ends ready.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == "failed":
            self.build_time_ms = 150
            outcome, level, phase, line = "ready", "success", "ready", self.ready_line()
        super().finish(outcome, level, phase, line)


@_ends("fails.skip")
class _FailureVanishes(Build):
    """
    A build with a failing step leaves its version not built.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        super().finish("cancelled" if outcome == "failed" else outcome, level, phase, line)


@_ends("fails.never", "timing", HASTY)
class _FailureNeverShows(Build):
    """
    A build with a failing step goes on for ever.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome != "failed":
            super().finish(outcome, level, phase, line)


@enter("fails.then-gone")
class _FailureGoes(Engine):
    """
    A version that has failed is not built a while later.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "failed":
            later(setattr, build, "outcome", "cancelled")


@enter("fails.then-building")
class _FailureRepeats(Engine):
    """
    A version that has failed builds again by itself.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "failed":
            later(self._again, slot, build)

    def _again(self, slot: Slot, build: Build) -> None:
        version = next((v for v in self.catalog if self.slots.get((v.owner, v.digest)) is slot), None)
        if version is not None and slot.last is build:
            slot.last = self.launch(version)


@_ends("fails.with-the-last-reason")
class _FailureIsTold(Build):
    """
    A build with a failing step ends failed without a reason.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        self.error = ""
        super().finish(outcome, level, phase, line)


# --- cancelled -------------------------------------------------------------------------------------------------------


@_ends("cancel.skip")
class _CancelSkips(Build):
    """
    A cancel says cancelling and changes nothing.
    """

    def cancel(self) -> None:
        pass


@_ends("cancel.late", "timing")
class _CancelsLate(Build):
    """
    A cancel is acknowledged and takes effect a while later.
    """

    def cancel(self) -> None:
        later(super().cancel)


class _Cancelling(Storing):
    """
    Has one method for what a cancel that is accepted does besides.
    """

    def cancel(self, version: Version) -> bool:
        found = super().cancel(version)
        if found:
            self.cancelled(version)
        return found

    def cancelled(self, version: Version) -> None:
        """
        Does more than it should.
        """

    def stop(self, version: Version) -> None:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None:
            slot.last.cancel()


@enter("cancel.of-neighbour")
class _CancelsNeighbours(_Cancelling):
    """
    A cancel also stops the other builds of the account.
    """

    def cancelled(self, version: Version) -> None:
        for other in [v for v in self.catalog if v.owner == version.owner]:
            self.stop(other)


@enter("cancel.of-others", "security")
class _CancelsOthers(_Cancelling):
    """
    A cancel also stops the builds of the other account.
    """

    def cancelled(self, version: Version) -> None:
        for other in [v for v in self.catalog if v.owner not in {version.owner, ""}]:
            self.stop(other)


@enter("cancel.of-neighbour-only")
class _CancelsNeighbourOnly(_Cancelling):
    """
    A cancel stops another build of the account where there is one.
    """

    def cancel(self, version: Version) -> bool:
        others = [v for v in self.catalog if v.owner == version.owner and v.ref != version.ref]
        slots = [self.slots.get((v.owner, v.digest)) for v in others]
        running = [slot.last for slot in slots if slot is not None and slot.last is not None and slot.last.in_flight]
        if not running:
            return super().cancel(version)
        running[0].cancel()
        return True


@enter("cancel.of-finished")
class _CancelsFinished(Engine):
    """
    A cancel of a finished version finds nothing, and makes it not built.
    """

    def cancel(self, version: Version) -> bool:
        found = super().cancel(version)
        slot = self.slots.get((version.owner, version.digest))
        if not found and slot is not None:
            slot.golden = slot.last = None
        return found


@enter("cancel.of-next")
class _CancelsNext(_Cancelling):
    """
    A cancel also stops the next build of the version.
    """

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.marked: set[str] = set()

    def cancelled(self, version: Version) -> None:
        self.marked.add(str(version.ref))

    def launch(self, version: Version) -> Build:
        build = super().launch(version)
        if str(version.ref) in self.marked:
            self.marked.discard(str(version.ref))
            asyncio.get_running_loop().call_later(0.05, build.cancel)
        return build


@enter("cancel.though-not-own", "security")
class _CancelsUnseen(Engine):
    """
    Another account's request about a version stops its build.
    """

    def require(self, account: Account, ref: Any) -> Version:
        for version in [v for v in self.catalog if v.ref == ref and v.owner not in {account.key, ""}]:
            self.cancel(version)
        return super().require(account, ref)


@_ends("cancel-settles.never", "timing", HASTY, every=2)
class _NeverSettles(Build):
    """
    Every other build reads building for ever once it is cancelled.
    """

    def end_cancelled(self, line: str) -> None:
        pass


@_ends("cancel-settles.late", "timing", HASTY, every=2)
class _SettlesLate(Build):
    """
    Every other build is gone only after longer than a cancel may take once it is cancelled.
    """

    def end_cancelled(self, line: str) -> None:
        asyncio.get_running_loop().call_later(_DYING_S, super().end_cancelled, line)


@_ends("cancel-settles.as-ready")
class _SettlesReady(Build):
    """
    A cancelled build ends ready.
    """

    def end_cancelled(self, line: str) -> None:
        self.build_time_ms = 100
        self.finish("ready", "success", "ready", self.ready_line())


@enter("cancel-settles.as-failed")
class _SettlesFailed(Engine):
    """
    A cancelled build reads failed.
    """

    def state_of(self, slot: Slot | None) -> Status:
        state = super().state_of(slot)
        if slot is not None and slot.last is not None and slot.last.outcome == "cancelled" and state == "not_built":
            slot.last.error = "cancelled"
            return "failed"
        return state


@enter("cancel-settles.as-fifth-status")
class _SettlesCancelled(Engine):
    """
    A cancelled build reads cancelled.
    """

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and slot.last.outcome == "cancelled" and slot.golden is None:
            body["status"] = "cancelled"
        return body


@enter("cancel-settles.as-building-again")
class _SettlesBuilding(Engine):
    """
    A cancelled build begins again by itself.
    """

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        version = next((v for v in self.catalog if self.slots.get((v.owner, v.digest)) is slot), None)
        if build.outcome == "cancelled" and build.cancelling and version is not None:
            asyncio.get_running_loop().call_later(LATE_S / 10, self._again, slot, build, version)

    def _again(self, slot: Slot, build: Build, version: Version) -> None:
        if slot.last is build:
            slot.last = self.launch(version)


@_ends("cancel-settles.without-a-last-line")
class _SettlesSilently(Build):
    """
    The log of a cancelled build closes without telling why.
    """

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        if phase != "cancel":
            super().say(level, phase, line, source)


@_ends("cancel-settles.with-an-open-log", "stream", HASTY)
class _SettlesOpen(Build):
    """
    The log of a cancelled build stays open.
    """

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        close = self.stream.close
        if outcome == "cancelled":
            self.stream.close = lambda: None  # type: ignore[method-assign]  # this one stream is to stay open
        super().finish(outcome, level, phase, line)
        self.stream.close = close  # type: ignore[method-assign]  # the same
