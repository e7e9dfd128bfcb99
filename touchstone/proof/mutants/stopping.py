"""Faults of how builds are stopped: cancelling and its settling gone wrong."""

import asyncio
from typing import Any

from touchstone.proof.mutants.endings import ends
from touchstone.proof.mutants.transitions import HASTY, LATE_S, Storing, enter, later
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine, Slot, Status
from touchstone.twin.settings import Account

_DYING_S = 1.6


@ends("cancel.skip")
class _CancelSkips(Build):
    """A cancel says cancelling and changes nothing."""

    def cancel(self) -> None:
        pass


@ends("cancel.late", "timing")
class _CancelsLate(Build):
    """A cancel is acknowledged and takes effect a while later."""

    def cancel(self) -> None:
        later(super().cancel)


class _Cancelling(Storing):
    """Has one method for what a cancel that is accepted does besides."""

    def cancel(self, version: Version) -> bool:
        found = super().cancel(version)
        if found:
            self.cancelled(version)
        return found

    def cancelled(self, version: Version) -> None:
        """Does more than it should."""

    def stop(self, version: Version) -> None:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None:
            slot.last.cancel()


@enter("cancel.of-neighbour")
class _CancelsNeighbours(_Cancelling):
    """A cancel also stops the other builds of the account."""

    def cancelled(self, version: Version) -> None:
        for other in [v for v in self.catalog if v.owner == version.owner]:
            self.stop(other)


@enter("cancel.of-others", "security")
class _CancelsOthers(_Cancelling):
    """A cancel also stops the builds of the other account."""

    def cancelled(self, version: Version) -> None:
        for other in [v for v in self.catalog if v.owner not in {version.owner, ""}]:
            self.stop(other)


@enter("cancel.of-neighbour-only")
class _CancelsNeighbourOnly(_Cancelling):
    """A cancel stops another build of the account where there is one."""

    def cancel(self, version: Version) -> bool:
        others = [v for v in self.catalog if v.owner == version.owner and v.ref != version.ref]
        slots = [self.slots.get((v.owner, v.digest)) for v in others]
        running = [slot.last for slot in slots if slot is not None and slot.last is not None and slot.last.in_flight]
        if not running:
            return super().cancel(version)
        running[0].cancel()
        return True


@enter("cancel.lost-beside-another", "concurrency")
class _CancelLost(Engine):
    """A cancel while another build of the account runs is acknowledged and changes nothing."""

    def cancel(self, version: Version) -> bool:
        own = self.slots.get((version.owner, version.digest))
        others = [s.last for (whose, _), s in self.slots.items() if whose == version.owner and s is not own and s.last]
        running = own is not None and own.last is not None and own.last.in_flight
        if running and any(other.in_flight for other in others):
            return True
        return super().cancel(version)


@enter("cancel.of-finished")
class _CancelsFinished(Engine):
    """A cancel of a finished version finds nothing, and makes it not built."""

    def cancel(self, version: Version) -> bool:
        found = super().cancel(version)
        slot = self.slots.get((version.owner, version.digest))
        if not found and slot is not None:
            slot.golden = slot.last = None
        return found


@enter("cancel.of-next")
class _CancelsNext(_Cancelling):
    """A cancel also stops the next build of the version."""

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
    """Another account's request about a version stops its build."""

    def require(self, account: Account, ref: Any) -> Version:
        for version in [v for v in self.catalog if v.ref == ref and v.owner not in {account.key, ""}]:
            self.cancel(version)
        return super().require(account, ref)


@ends("cancel-settles.never", "timing", HASTY, every=2)
class _NeverSettles(Build):
    """Every other build reads building for ever once it is cancelled."""

    def end_cancelled(self, line: str) -> None:
        pass


@ends("cancel-settles.late", "timing", HASTY, every=2)
class _SettlesLate(Build):
    """Every other build is gone only after longer than a cancel may take once it is cancelled."""

    def end_cancelled(self, line: str) -> None:
        asyncio.get_running_loop().call_later(_DYING_S, super().end_cancelled, line)


@ends("cancel-settles.as-ready")
class _SettlesReady(Build):
    """A cancelled build ends ready."""

    def end_cancelled(self, line: str) -> None:
        self.build_time_ms = 100
        self.finish("ready", "success", "ready", self.ready_line())


@enter("cancel-settles.as-failed")
class _SettlesFailed(Engine):
    """A cancelled build reads failed."""

    def state_of(self, slot: Slot | None) -> Status:
        state = super().state_of(slot)
        if slot is not None and slot.last is not None and slot.last.outcome == "cancelled" and state == "not_built":
            slot.last.error = "cancelled"
            return "failed"
        return state


@enter("cancel-settles.as-fifth-status")
class _SettlesCancelled(Engine):
    """A cancelled build reads cancelled."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and slot.last.outcome == "cancelled" and slot.golden is None:
            body["status"] = "cancelled"
        return body


@enter("cancel-settles.as-building-again")
class _SettlesBuilding(Engine):
    """A cancelled build begins again by itself."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        version = next((v for v in self.catalog if self.slots.get((v.owner, v.digest)) is slot), None)
        if build.outcome == "cancelled" and build.cancelling and version is not None:
            asyncio.get_running_loop().call_later(LATE_S / 10, self._again, slot, build, version)

    def _again(self, slot: Slot, build: Build, version: Version) -> None:
        if slot.last is build:
            slot.last = self.launch(version)


@ends("cancel-settles.without-a-last-line")
class _SettlesSilently(Build):
    """The log of a cancelled build closes without telling why."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        if phase != "cancel":
            super().say(level, phase, line, source)


@ends("cancel-settles.with-an-open-log", "stream", HASTY)
class _SettlesOpen(Build):
    """The log of a cancelled build stays open."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        close = self.stream.close
        if outcome == "cancelled":
            self.stream.close = lambda: None  # type: ignore[method-assign]  # this one stream is to stay open
        super().finish(outcome, level, phase, line)
        self.stream.close = close  # type: ignore[method-assign]  # the same
