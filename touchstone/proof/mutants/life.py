"""Faults of life cycle transitions: a transition is skipped, late, lost, or applied to another version."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from touchstone.proof.faults.fault import Fault, Kind, own, refusing
from touchstone.proof.mutants.derived import BUILD_TIME, CONTENT, EXISTENCE, STATE, derived
from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot, Status
from touchstone.twin.serve import says_of, with_method
from touchstone.twin.settings import Account

# Delay of a late transition: longer than the time until the next read, shorter than the build timeout.
LATE_S = 0.4
# Time until a late cancel settles: longer than the cancel timeout.
DYING_S = 1.6
# Starts within this time count as simultaneous; a later start meets a running build.
SIMULTANEOUS_S = 0.05
# Extra duration of an unnecessary second build, so that it ends after the first.
SLOWER_S = 0.3
# Timeouts for faults whose build never ends or settles.
HASTY = {"build_timeout_s": 2.0, "cancel_timeout_s": 1.0}

TRANSITIONS = (
    *("publish", "replace", "delete", "auto-build", "start", "join", "reuse", "succeeds", "fails", "cancel"),
    *("cancel-settles", "restart-after-cancel", "restart-after-failure"),
)
LIFE_FAULTS: dict[str, Fault] = {}


def enter(
    name: str, claims: str, also: str = "", *, kind: Kind = "stateful", over: Any = None, **more: Any
) -> Callable[[Any], Any]:
    """Registers an engine, an application or a build as a fault; its docstring becomes the description.

    Args:
        claims: Globs of claims; one claim must be found broken.
        also: Globs of claims that may be broken as well. STATE is added for transitions of builds.
        over: The method of the twin that the function replaces.
        more: Other attributes of the fault. *every*: one in this many builds has the registered build class.
    """
    transition = name.partition(".")[0]
    assert transition in TRANSITIONS, name
    assert name not in LIFE_FAULTS, name
    if transition not in {"publish", "replace", "delete"}:
        also = f"{also} {STATE}"
    every = more.pop("every", 1)

    def register(part: Any) -> Any:
        whole = with_method(part, over)
        whole = _building(whole, every) if issubclass(whole, Build) else whole
        more["engine" if issubclass(whole, Engine) else "app"] = whole
        LIFE_FAULTS[name] = derived(name, says_of(part), kind, claims, also, **more)
        return part

    return register


def _building(kind: type[Build], every: int) -> type[Engine]:
    """Returns an engine in which one in *every* builds has the class *kind*."""

    class Building(Engine):
        builds = 0

        def make_build(self, version: Version) -> Build:
            build = super().make_build(version)
            self.builds += 1
            if self.builds % every == 0:
                build.__class__ = kind
            return build

    return Building


def later(call: Callable[..., Any], *arguments: Any) -> None:
    """Calls a function LATE_S seconds from now, which is after the response."""
    asyncio.get_running_loop().call_later(LATE_S, call, *arguments)


class Storing(Engine):
    """Engine that calls the hook `stored` after each publish that stores a version.

    Attributes:
        publishes: Number of new versions that were published.
    """

    publishes = 0

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        before = {(v.owner, v.ref): v for v in self.catalog}
        version = super().publish(account, document, force)
        old = before.get((version.owner, version.ref))
        if version is not old:
            self.publishes += old is None
            self.stored(version, old)
        return version

    def stored(self, version: Version, old: Version | None) -> None:
        """Hook: receives each stored version, and the version that it replaced or None."""

    def put_back(self, version: Version, old: Version | None) -> None:
        """Undoes a publish: removes the version and restores the old one, if any."""
        self.catalog.remove(version)
        if old is not None:
            self.catalog.put(old)

    def neighbour(self, version: Version) -> Version | None:
        """Returns the account's latest version other than *version*, or None."""
        own = [v for v in self.catalog if v.owner == version.owner and v.ref != version.ref]
        return own[-1] if own else None

    def others(self, version: Version) -> list[Version]:
        """Returns the versions of accounts other than the owner of *version*."""
        return [v for v in self.catalog if v.owner not in {version.owner, ""}]


class StoringNew(Storing):
    """Base class: every third new version is stored in a wrong way; cases need the correct versions in between."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is None and self.publishes % 3 == 0:
            self.put_back(version, old)
            self.mistreat(version)

    def mistreat(self, version: Version) -> None:
        """Stores a version in a wrong way, or not at all."""


@enter("publish.skip", "lookup.existing-version-is-found", f"{EXISTENCE} start.concurrent-*")
class _PublishSkips(StoringNew):
    """Every third publish of a new version is acknowledged, but the version is not found afterwards."""


@enter("publish.to-other-account", "lookup.existing-version-is-found access.others-version-is-404",
       f"{EXISTENCE} start.concurrent-*")  # fmt: skip
class _PublishesToOthers(StoringNew):
    """Every third new version goes to another account: that account finds it, but its publisher does not."""

    def mistreat(self, version: Version) -> None:
        other = next(account.key for account in self.settings.accounts if account.key != version.owner)
        self.catalog.put(replace(version, owner=other))


@enter("publish.late", "lookup.existing-version-is-found", f"{EXISTENCE} digest.* status.* start.*", kind="timing")
class _PublishesLate(StoringNew):
    """Every third new version can be found only 0.4 s after its publish."""

    def mistreat(self, version: Version) -> None:
        later(self.catalog.put, version)


@enter("publish.to-everybody", "access.others-version-is-404", EXISTENCE, kind="security", over=Storing.stored)
def _publishes_to_all(engine: Storing, version: Version, old: Version | None) -> None:
    """Published versions are visible to all accounts with the Scale plan."""
    for account in engine.settings.accounts:
        if engine.may_build(account):
            engine.catalog.put(replace(version, owner=account.key))


_REPLACED = f"{STATE} {CONTENT} lookup.deleted-version-is-404"


@enter("replace.late", "publish.force-replaces", _REPLACED, kind="timing", over=Storing.stored)
def _replaces_late(engine: Storing, version: Version, old: Version | None) -> None:
    """A forced publish takes effect only 0.4 s after its response."""
    if old is not None:
        engine.put_back(version, old)
        later(engine.catalog.put, version)


@enter("replace.of-neighbour", "digest.* status.*", f"{CONTENT} cancel.* start.* events.*", over=Storing.stored)
def _replaces_neighbour(engine: Storing, version: Version, old: Version | None) -> None:
    """A forced publish also replaces the content of another version of the account."""
    other = engine.neighbour(version) if old is not None else None
    if other is not None:
        engine.catalog.put(replace(version, ref=other.ref))


@enter("delete.late", "lookup.deleted-version-is-404 start.refuses-deleted-version", EXISTENCE, kind="timing")
class _DeletesLate(Engine):
    """A delete takes effect only 0.4 s after its response."""

    def delete(self, version: Version) -> Body:
        later(super().delete, version)
        return {"deleted": True}


@enter("delete.of-neighbour", "lookup.existing-version-is-found", f"{EXISTENCE} start.concurrent-*")
class _DeletesNeighbour(Storing):
    """Deleting a version also deletes another version of the account."""

    def delete(self, version: Version) -> Body:
        other = self.neighbour(version)
        if other is not None:
            self.catalog.remove(other)
        return super().delete(version)


@enter("delete.drops-shared-golden", "status.ready-stays-ready", f"{STATE} reuse.same-digest-elsewhere",
       pace={"digest_scope": "content"}, over=Engine.delete)  # fmt: skip
def _delete_drops_golden(engine: Engine, version: Version) -> Body:
    """Deleting a version also drops its snapshot (golden), so other versions with its digest become not_built."""
    answer = Engine.delete(engine, version)
    engine.slots.pop((version.owner, version.digest), None)
    return answer


_NOT_STARTED = "status.changes-only-by-a-start status.unbuilt-is-not-built"
_AUTOMATIC = "publish.auto-build-starts start.visible-to-next-read status.changes-only-by-a-start"


@enter("start.skip", "start.visible-to-next-read", over=Engine.launch)
def _start_skips(engine: Engine, version: Version) -> Build:
    """A start is answered with building, but no build begins."""
    build = engine.make_build(version)
    build.end_cancelled("never begun")
    return build


@enter("start.late", "start.visible-to-next-read", "events.answers-200 events.finished-*", kind="timing")
class _StartsLate(Engine):
    """A start is acknowledged, but its build begins 0.4 s later."""

    def start(self, account: Account, version: Version) -> Body:
        if self.reusable(self.slot_of(version)) or self.joinable(self.slot_of(version)):
            return super().start(account, version)
        later(super().start, account, version)
        return self.building_body(version)


class StartingMore(Storing):
    """Base class: a start also builds those versions that `more` returns, if they are unbuilt."""

    def more(self, version: Version) -> list[Version]:
        raise NotImplementedError

    def launch(self, version: Version) -> Build:
        for other in self.more(version):
            if self.slot_of(other).last is None:
                self.slot_of(other).last = super().launch(other)
        return super().launch(version)


@enter("start.of-neighbour", _NOT_STARTED, over=StartingMore.more)
def _starts_neighbour(engine: StartingMore, version: Version) -> list[Version]:
    """A start also builds another version of the account."""
    return [other] if (other := engine.neighbour(version)) else []


@enter("start.of-others", _NOT_STARTED, kind="security")
class _StartsOthers(StartingMore):
    """A start also builds all versions of other accounts."""

    more = Storing.others


@enter("start.twice", "status.* start.concurrent-share-one-build", "events.timestamps-are-true", kind="concurrency")
class _StartsTwice(Engine):
    """A start that begins a build begins a second one 0.4 s later, which replaces the first."""

    def launch(self, version: Version) -> Build:
        slot = self.slot_of(version)

        def again() -> None:
            slot.golden, slot.last = None, super(_StartsTwice, self).launch(version)

        later(again)
        return super().launch(version)


@enter("auto-build.late", _AUTOMATIC, kind="timing")
class _AutoBuildsLate(App):
    """Publishing with auto_build is answered with building, but the build begins 0.4 s later."""

    def auto_build(self, account: Account, version: Version) -> str:
        later(super().auto_build, account, version)
        return "building"


@enter("auto-build.of-neighbour", _AUTOMATIC, over=App.auto_build)
def _auto_builds_neighbour(app: App, account: Account, version: Version) -> str:
    """Publishing with auto_build builds the account's oldest version instead of the published one."""
    App.auto_build(app, account, next(v for v in app.engine.catalog if v.owner == account.key))
    return "building"


@enter("join.skip", "cancel.finished-is-idle start.concurrent-share-one-build status.build-time-is-stable",
       kind="concurrency")  # fmt: skip
class _JoinSkips(Engine):
    """A start that comes more than 50 ms after the one that began the build begins a new, slower build."""

    def make_build(self, version: Version) -> Build:
        build: Any = super().make_build(version)
        build.made_at, last = time.monotonic(), self.last_of(version)
        if last is not None and last.in_flight:
            build.settings = replace(build.settings, build_s=build.settings.build_s + SLOWER_S)
        return build  # type: ignore[no-any-return]

    def joinable(self, slot: Slot) -> bool:
        last: Any = slot.last
        return super().joinable(slot) and time.monotonic() < last.made_at + SIMULTANEOUS_S


@enter("join.of-neighbour", "start.* status.* reuse.* events.own-lines-only",
       "status.ready-after-its-steps events.carry-the-output", kind="concurrency", over=Engine.slot_of)  # fmt: skip
def _joins_neighbour(engine: Engine, version: Version) -> Slot:
    """The first start of a version joins any running build of the account, even of other content."""
    slot = Engine.slot_of(engine, version)
    running = (s for (owner, _), s in engine.slots.items() if owner == version.owner and s.last and s.last.in_flight)
    if slot.last is None and (other := next(running, None)) is not None:
        engine.slots[version.owner, version.digest] = other
        return other
    return slot


@enter("reuse.of-neighbour", "start.fresh-is-building reuse.*", "events.own-lines-only", over=Engine.reusable)
def _reuses_neighbour(engine: Engine, slot: Slot) -> Build | None:
    """A start reuses any finished snapshot (golden) of the account, even of other content."""
    owner = next((owner for (owner, _), known in engine.slots.items() if known is slot), "")
    goldens = (s.golden for (whose, _), s in engine.slots.items() if whose == owner and s.golden is not None)
    slot.golden = slot.golden or next(goldens, None)
    slot.last = slot.last or slot.golden
    return slot.golden


@enter("reuse.of-failure", "start.after-failure-builds-again", over=Engine.reusable)
def _reuses_failure(engine: Engine, slot: Slot) -> Build | None:
    """A start after a failed build is answered with ready, and nothing is built."""
    failed = slot.last is not None and slot.last.outcome == "failed"
    return slot.last if failed else Engine.reusable(engine, slot)


@enter("restart-after-failure.late", "start.after-failure-builds-again start.visible-to-next-read", kind="timing")
class _FailureReadsOn(Engine):
    """After a start of a failed version, the version still has the status failed for 0.4 s."""

    hidden = own(set[Build])

    def launch(self, version: Version) -> Build:
        last, build = self.last_of(version), super().launch(version)
        if last is not None and last.outcome == "failed":
            self.hidden.add(build)
            later(self.hidden.discard, build)
        return build

    def state_of(self, slot: Slot | None) -> Status:
        if slot is not None and slot.last in self.hidden:
            slot.last.error = slot.last.error or "as before"
            return "failed"
        return super().state_of(slot)


class EndsOtherwise(Build):
    """Base class: a build that should end with *outcome_before* ends in another way."""

    outcome_before = "ready"

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        """Ends the build in another way, or not at all."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == self.outcome_before and not self.outcome:
            self.otherwise(level, phase, line)
        else:
            super().finish(outcome, level, phase, line)


@enter("succeeds.skip", "status.build-does-not-vanish")
class _SuccessVanishes(EndsOtherwise):
    """After a successful build, the version has the status not_built."""

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        super().finish("cancelled", level, phase, line)


@enter("succeeds.as-failed", "status.good-template-ends-ready")
class _SuccessFails(EndsOtherwise):
    """A build whose steps all succeed ends as failed."""

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        self.error = "the snapshot failed"
        super().finish("failed", "error", "snapshot", "build failed: the snapshot failed")


@enter("succeeds.in-its-log-only", "status.build-ends events.*", kind="timing", target=HASTY, every=4)
class _SuccessOnlyLogged(EndsOtherwise):
    """Every fourth successful build has the status building forever, though its log ends with ready."""

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        self.say(level, phase, line)
        self.stream.close()


@enter("succeeds.before-it-began", "status.ready-after-its-steps start.visible-to-next-read", BUILD_TIME, kind="timing")
class _SuccessAtOnce(Build):
    """A build ends as soon as it is started."""

    async def spend(self, seconds: float) -> None:
        await asyncio.sleep(0)


@enter("succeeds.then-failed", "status.ready-stays-ready reuse.ready-at-once")
class _ReadyFails(Engine):
    """The status of a version changes from ready to failed 0.4 s after the end of its build."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            later(self._fail, slot)

    def _fail(self, slot: Slot) -> None:
        if slot.last is not None and slot.last.outcome == "ready":
            slot.golden, slot.last.outcome, slot.last.error = None, "failed", "the snapshot was lost"


class EndsForAll(Engine):
    """Base class: the outcome of a build is copied to other, unbuilt versions."""

    outcome = "ready"

    def all(self, build: Build) -> list[Version]:
        return [v for v in self.catalog if v.owner == build.version.owner]

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        for version in self.all(build) if build.outcome == self.outcome else ():
            other = self.slot_of(version)
            other.last = other.last or build
            if build.outcome == "ready":
                other.golden = other.golden or build


@enter("succeeds.for-neighbour", _NOT_STARTED, "events.build-time-agrees events.own-lines-only")
class _SucceedsForAll(EndsForAll):
    """A successful build makes every unbuilt version of the account ready."""


@enter("succeeds.for-others", _NOT_STARTED, "events.build-time-agrees", kind="security", over=EndsForAll.all)
def _succeeds_for_others(engine: EndsForAll, build: Build) -> list[Version]:
    """A successful build makes the unbuilt versions of other accounts ready."""
    return [v for v in engine.catalog if v.owner not in {build.version.owner, ""}]


@enter("fails.for-neighbour", "status.unbuilt-is-not-built status.changes-only-by-a-start", "events.own-lines-only")
class _FailsForAll(EndsForAll):
    """A failed build makes every unbuilt version of the account failed."""

    outcome = "failed"


@enter("succeeds.lost-beside-another", "status.build-does-not-vanish status.good-template-ends-ready",
       kind="concurrency", over=Engine.ended)  # fmt: skip
def _success_lost(engine: Engine, slot: Slot, build: Build) -> None:
    """If another build of the account still runs when a build succeeds, the built version becomes not_built."""
    others = (b for b in engine.running if b.version.owner == build.version.owner and b is not build)
    if build.outcome == "ready" and any(other.in_flight for other in others):
        build.outcome = "cancelled"
    Engine.ended(engine, slot, build)


@enter("fails.never", "status.build-ends", kind="timing", target=HASTY)
class _FailureNeverShows(EndsOtherwise):
    """A build with a failing step never ends."""

    outcome_before = "failed"


@enter("cancel.late", "cancel.does-not-end-ready cancel.settles", kind="timing")
class _CancelsLate(Build):
    """A cancel takes effect only 0.4 s after its response."""

    def cancel(self) -> None:
        later(super().cancel)


@enter("cancel.lost-beside-another", "cancel.does-not-end-ready cancel.settles", kind="concurrency", over=Engine.cancel)
def _cancel_lost(engine: Engine, version: Version) -> bool:
    """If another build of the account runs, a cancel is accepted, but changes nothing."""
    own = engine.last_of(version)
    others = (b for b in engine.running if b.version.owner == version.owner and b is not own)
    if own is not None and own.in_flight and any(other.in_flight for other in others):
        return True
    return Engine.cancel(engine, version)


@enter("cancel-settles.late", "cancel.settles", kind="timing", target=HASTY, every=2)
class _SettlesLate(Build):
    """Every second cancelled build has the status building for 1.6 s after the cancel."""

    def end_cancelled(self, line: str) -> None:
        asyncio.get_running_loop().call_later(DYING_S, super().end_cancelled, line)


@enter("cancel-settles.as-failed", "cancel.settles", over=Engine.state_of)
def _settles_failed(engine: Engine, slot: Slot | None) -> Status:
    """After a cancelled build, the version has the status failed."""
    state = Engine.state_of(engine, slot)
    if slot is not None and slot.last is not None and slot.last.outcome == "cancelled" and state == "not_built":
        slot.last.error = "cancelled"
        return "failed"
    return state


@enter("cancel-settles.as-fifth-status", "status.is-one-of-four", over=Engine.status_body)
def _settles_cancelled(engine: Engine, version: Version) -> Body:
    """After a cancelled build, the version has the undocumented status cancelled."""
    body, last = Engine.status_body(engine, version), engine.last_of(version)
    gone = last is not None and last.outcome == "cancelled" and body["status"] == "not_built"
    return body | {"status": "cancelled"} if gone else body


@enter("cancel-settles.without-a-last-line", "events.cancelled-ends-on-cancel")
class _SettlesSilently(Build):
    """The log of a cancelled build closes without an event for the cancel."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        if phase != "cancel":
            super().say(level, phase, line, source)


# fmt: off
for _name, _claims, _says, _joinable, _kind in (
    ("join.fails", "http.no-server-error", "A start of a building version is answered with 500.",
     refusing(lambda *_: False, Engine.joinable, 500, "Internal error."), "concurrency"),
    ("join.refused", "start.*", "A start of a building version is answered with 400.",
     refusing(lambda *_: False, Engine.joinable, 400, "It is being built."), "concurrency"),
    ("join.second-lost", "lookup.existing-version-is-found start.*",
     "A start of a building version is answered with 404.",
     refusing(lambda *_: False, Engine.joinable, 404, "Template version not found."), "concurrency"),
    ("restart-after-failure.refused", "start.after-failure-builds-again start.visible-to-next-read",
     "A start after a failed build is answered with 409.",
     refusing(Engine.joinable, lambda _, slot: slot.last and slot.last.outcome == "failed", 409, "It failed."),
     "stateful"),
):
    _part = type("Refusing", (Engine,), {"joinable": _joinable, "__doc__": _says})
    enter(_name, _claims, kind=_kind)(_part)  # type: ignore[arg-type]  # each is one
# fmt: on
