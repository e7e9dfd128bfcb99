"""Faults of how builds begin: starting, joining, reusing and building again gone wrong."""

import time
from dataclasses import replace

from touchstone.proof.mutants.transitions import Storing, enter, later
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine, Slot, Status
from touchstone.twin.settings import Account, TwinSettings

# Requests that are sent at the same moment arrive within this, as a rule; a start that joins comes later.
SIMULTANEOUS_S = 0.05
# How much longer a build takes that should have been joined, so that it outlives the one that it stands beside.
SLOWER_S = 0.3


@enter("start.skip")
class _StartSkips(Engine):
    """A start says building and builds nothing."""

    def launch(self, version: Version) -> Build:
        build = self.make_build(version)
        build.end_cancelled("never begun")
        return build


@enter("start.late", "timing")
class _StartsLate(Engine):
    """A start is acknowledged, and its build shows a while later."""

    def start(self, account: Account, version: Version) -> Body:
        if self.reusable(self.slot_of(version)) or self.joinable(self.slot_of(version)):
            return super().start(account, version)
        later(super().start, account, version)
        return self.building_body(version)


@enter("start.of-neighbour")
class _StartsNeighbour(Storing):
    """A start builds the account's previous version as well."""

    def launch(self, version: Version) -> Build:
        other = self.neighbour(version)
        if other is not None and self.slot_of(other).last is None:
            self.slot_of(other).last = super().launch(other)
        return super().launch(version)


@enter("start.of-others", "security")
class _StartsOthers(Storing):
    """A start builds everything of the other account as well."""

    def launch(self, version: Version) -> Build:
        for other in [v for v in self.catalog if v.owner not in {version.owner, ""}]:
            if self.slot_of(other).last is None:
                self.slot_of(other).last = super().launch(other)
        return super().launch(version)


@enter("start.though-refused", "load")
class _StartsThoughRefused(Engine):
    """A start that is refused for a limit begins a build."""

    def start(self, account: Account, version: Version) -> Body:
        try:
            return super().start(account, version)
        except Refusal:
            slot = self.slot_of(version)
            if slot.golden is None and not self.joinable(slot):
                slot.last = self.launch(version)
            raise


@enter("start.twice", "concurrency")
class _StartsTwice(Engine):
    """A start begins two builds, one after the other, and the second one counts."""

    def launch(self, version: Version) -> Build:
        slot = self.slot_of(version)

        def again() -> None:
            slot.golden, slot.last = None, super(_StartsTwice, self).launch(version)

        later(again)
        return super().launch(version)


@enter("start.by-reading")
class _StartsByReading(Engine):
    """Reading the status of a version that nobody built builds it."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        slot = self.slot_of(version)
        if slot.last is None:
            slot.last = self.launch(version)
        return body


@enter("auto-build.skip")
class _AutoBuildSkips(App):
    """Publishing with auto_build says building and builds nothing."""

    def auto_build(self, account: Account, version: Version) -> str:
        return "building"


@enter("auto-build.late", "timing")
class _AutoBuildsLate(App):
    """The build that publishing starts begins a while after it was told."""

    def auto_build(self, account: Account, version: Version) -> str:
        later(super().auto_build, account, version)
        return "building"


@enter("auto-build.of-neighbour")
class _AutoBuildsNeighbour(App):
    """Publishing with auto_build builds the account's first version instead."""

    def auto_build(self, account: Account, version: Version) -> str:
        other = next(v for v in self.engine.catalog if v.owner == account.key)
        super().auto_build(account, other)
        return "building"


@enter("auto-build.unasked")
class _AutoBuildsUnasked(Storing):
    """Publishing builds a new version without being asked to."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is None:
            self.slot_of(version).last = self.launch(version)


@enter("join.skip", "concurrency")
class _JoinSkips(Engine):
    """A start beside a build that has run for a while begins another, slower one; simultaneous starts share one."""

    launched_at = 0.0

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.slot_of(version).last
        if last is not None and last.in_flight:
            build.pace = replace(build.pace, build_s=build.pace.build_s + SLOWER_S)
        return build

    def launch(self, version: Version) -> Build:
        self.launched_at = time.monotonic()
        return super().launch(version)

    def joinable(self, slot: Slot) -> bool:
        return super().joinable(slot) and time.monotonic() < self.launched_at + SIMULTANEOUS_S


@enter("join.fails", "concurrency")
class _JoinFails(Engine):
    """A start beside a running build makes the server fail."""

    def joinable(self, slot: Slot) -> bool:
        if super().joinable(slot):
            raise Refusal(500, "Internal error.")
        return False


@enter("join.cancels", "concurrency")
class _JoinCancels(Engine):
    """A start beside a running build cancels that one."""

    def joinable(self, slot: Slot) -> bool:
        joins = super().joinable(slot)
        if joins and slot.last is not None:
            slot.last.cancel()
        return joins


@enter("join.of-neighbour", "concurrency")
class _JoinsNeighbour(Engine):
    """A start joins whatever build of the account runs."""

    def slot_of(self, version: Version) -> Slot:
        slot = super().slot_of(version)
        running = (s for (owner, _), s in self.slots.items() if owner == version.owner and s.last and s.last.in_flight)
        if slot.last is None and (other := next(running, None)) is not None:
            self.slots[version.owner, version.digest] = other
            return other
        return slot


@enter("join.second-lost", "concurrency")
class _SecondStartLost(Engine):
    """The second start of a version that is building is answered as not found."""

    def joinable(self, slot: Slot) -> bool:
        if super().joinable(slot):
            raise Refusal(404, "Template version not found.")
        return False


@enter("reuse.skip")
class _ReuseSkips(Engine):
    """A start of a version that is ready builds it again."""

    def reusable(self, slot: Slot) -> Build | None:
        if slot.golden is not None:
            slot.golden = None
        return None


@enter("reuse.of-neighbour")
class _ReusesNeighbour(Engine):
    """A start takes any golden of the account."""

    def reusable(self, slot: Slot) -> Build | None:
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        goldens = (s.golden for (whose, _), s in self.slots.items() if whose == owner and s.golden is not None)
        slot.golden = slot.golden or next(goldens, None)
        slot.last = slot.last or slot.golden
        return slot.golden


@enter("reuse.of-failure")
class _ReusesFailure(Engine):
    """A start of a version whose last build failed answers ready."""

    def reusable(self, slot: Slot) -> Build | None:
        failed = slot.last is not None and slot.last.outcome == "failed"
        return slot.last if failed else super().reusable(slot)


@enter("reuse.of-cancelled")
class _ReusesCancelled(Engine):
    """A start of a version whose last build was cancelled answers ready."""

    def reusable(self, slot: Slot) -> Build | None:
        cancelled = slot.last is not None and slot.last.outcome == "cancelled"
        return slot.last if cancelled else super().reusable(slot)


@enter("restart-after-failure.skip")
class _FailureIsFinal(Engine):
    """A start after a failure says building and builds nothing."""

    def joinable(self, slot: Slot) -> bool:
        return super().joinable(slot) or (slot.last is not None and slot.last.outcome == "failed")


@enter("restart-after-failure.refused")
class _FailureIsRefused(Engine):
    """A start after a failure is refused."""

    def joinable(self, slot: Slot) -> bool:
        if slot.last is not None and slot.last.outcome == "failed":
            raise Refusal(409, "The last build failed.")
        return super().joinable(slot)


@enter("restart-after-failure.late", "timing")
class _FailureReadsOn(Engine):
    """A version that builds again after a failure reads failed for a while."""

    def __init__(self, settings: TwinSettings) -> None:
        super().__init__(settings)
        self.hidden: set[Build] = set()

    def launch(self, version: Version) -> Build:
        last = self.slot_of(version).last
        build = super().launch(version)
        if last is not None and last.outcome == "failed":
            self.hidden.add(build)
            later(self.hidden.discard, build)
        return build

    def state_of(self, slot: Slot | None) -> Status:
        if slot is not None and slot.last in self.hidden:
            slot.last.error = slot.last.error or "as before"
            return "failed"
        return super().state_of(slot)


@enter("restart-after-cancel.skip")
class _CancelIsFinal(Engine):
    """A start after a cancel says building and builds nothing."""

    def joinable(self, slot: Slot) -> bool:
        return super().joinable(slot) or (slot.last is not None and slot.last.outcome == "cancelled")


@enter("restart-after-cancel.joins-the-dying")
class _JoinsTheDying(Engine):
    """A start while a cancel settles joins the build that is going."""

    def joinable(self, slot: Slot) -> bool:
        return slot.last is not None and not slot.last.outcome


@enter("restart-after-cancel.refused")
class _CancelIsRefused(Engine):
    """A start after a cancel is refused."""

    def joinable(self, slot: Slot) -> bool:
        if slot.last is not None and slot.last.outcome == "cancelled":
            raise Refusal(403, "This version was cancelled.")
        return super().joinable(slot)
