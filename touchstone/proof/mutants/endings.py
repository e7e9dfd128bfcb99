"""Faults of how builds end by themselves: the ways to ready and to failed gone wrong."""

import asyncio
from collections.abc import Callable
from typing import Any

from touchstone.proof.faults.fault import Kind
from touchstone.proof.mutants.transitions import HASTY, Storing, enter, later
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine, Slot


def ends(
    name: str, kind: Kind = "stateful", target: dict[str, Any] | None = None, every: int = 1
) -> Callable[[type[Build]], type[Build]]:
    """Enters an engine one in *every* of whose builds is of another class."""

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


@ends("succeeds.skip")
class _SuccessVanishes(Build):
    """A build that succeeds leaves its version not built."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        super().finish("cancelled" if outcome == "ready" else outcome, level, phase, line)


@ends("succeeds.as-failed")
class _SuccessFails(Build):
    """A build that succeeds ends failed."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == "ready":
            self.error = "the snapshot failed"
            outcome, level, phase, line = "failed", "error", "snapshot", "build failed: the snapshot failed"
        super().finish(outcome, level, phase, line)


@ends("succeeds.never", "timing", HASTY, every=4)
class _SuccessNeverShows(Build):
    """Every fourth build goes on for ever where it should succeed."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome != "ready":
            super().finish(outcome, level, phase, line)


@ends("succeeds.in-its-log-only", "timing", HASTY, every=4)
class _SuccessOnlyLogged(Build):
    """The log of every fourth build says that it succeeded and its status does not."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == "ready":
            self.say(level, phase, line)
            self.stream.close()
            return
        super().finish(outcome, level, phase, line)


@ends("succeeds.before-its-steps", "timing")
class _SuccessTooSoon(Build):
    """A build is ready without waiting for its steps."""

    async def spend(self, seconds: float) -> None:
        await super().spend(min(seconds, 0.01))


@ends("succeeds.before-it-began", "timing")
class _SuccessAtOnce(Build):
    """A build is over as soon as it is launched."""

    async def spend(self, seconds: float) -> None:
        await asyncio.sleep(0)


@enter("succeeds.then-gone")
class _ReadyGoes(Engine):
    """A version that became ready is not built a while later."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            later(self._forget, slot)

    def _forget(self, slot: Slot) -> None:
        slot.golden = slot.last = None


@enter("succeeds.then-failed")
class _ReadyFails(Engine):
    """A version that became ready has failed a while later."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            later(self._fail, slot)

    def _fail(self, slot: Slot) -> None:
        if slot.last is not None and slot.last.outcome == "ready":
            slot.golden, slot.last.outcome, slot.last.error = None, "failed", "the snapshot was lost"


@enter("succeeds.for-neighbour")
class _SucceedsForAll(Engine):
    """A build that succeeds makes every version of its account ready."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        for version in [v for v in self.catalog if v.owner == owner and build.outcome == "ready"]:
            other = self.slot_of(version)
            other.golden, other.last = other.golden or build, other.last or build


@enter("succeeds.for-others", "security")
class _SucceedsForOthers(Engine):
    """A build that succeeds makes the versions of the other account ready."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        for version in [v for v in self.catalog if v.owner not in {owner, ""} and build.outcome == "ready"]:
            other = self.slot_of(version)
            other.golden, other.last = other.golden or build, other.last or build


@ends("fails.as-ready")
class _FailureSucceeds(Build):
    """A build with a failing step ends ready."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == "failed":
            self.build_time_ms = 150
            outcome, level, phase, line = "ready", "success", "ready", self.ready_line()
        super().finish(outcome, level, phase, line)


@ends("fails.skip")
class _FailureVanishes(Build):
    """A build with a failing step leaves its version not built."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        super().finish("cancelled" if outcome == "failed" else outcome, level, phase, line)


@ends("fails.never", "timing", HASTY)
class _FailureNeverShows(Build):
    """A build with a failing step goes on for ever."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome != "failed":
            super().finish(outcome, level, phase, line)


@enter("fails.then-gone")
class _FailureGoes(Engine):
    """A version that has failed is not built a while later."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "failed":
            later(setattr, build, "outcome", "cancelled")


@enter("fails.then-building")
class _FailureRepeats(Engine):
    """A version that has failed builds again by itself."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "failed":
            later(self._again, slot, build)

    def _again(self, slot: Slot, build: Build) -> None:
        version = next((v for v in self.catalog if self.slots.get((v.owner, v.digest)) is slot), None)
        if version is not None and slot.last is build:
            slot.last = self.launch(version)


@ends("fails.with-the-last-reason")
class _FailureIsTold(Build):
    """A build with a failing step ends failed without a reason."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        self.error = ""
        super().finish(outcome, level, phase, line)


@enter("fails.for-neighbour")
class _FailsForAll(Engine):
    """A build that fails makes every version of its account fail that is not ready."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        for version in [v for v in self.catalog if v.owner == owner and build.outcome == "failed"]:
            self.slot_of(version).last = self.slot_of(version).last or build


@enter("succeeds.lost-beside-another", "concurrency")
class _SuccessLost(Engine):
    """The golden of a build that ends while another one of the account runs is lost."""

    def ended(self, slot: Slot, build: Build) -> None:
        owner = next((owner for (owner, _), known in self.slots.items() if known is slot), "")
        others = [s.last for (whose, _), s in self.slots.items() if whose == owner and s is not slot and s.last]
        if build.outcome == "ready" and any(other.in_flight for other in others):
            build.outcome = "cancelled"
        super().ended(slot, build)
