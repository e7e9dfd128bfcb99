"""Faults of the transitions of the life cycle: each is skipped, late, lost, or applied to something else."""

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

# Later than anything that is read in between, sooner than a build may last.
LATE_S = 0.4
# Longer than a cancel may take.
DYING_S = 1.6
# Requests that are sent at the same moment arrive within this, as a rule; a start that joins comes later.
SIMULTANEOUS_S = 0.05
# How much longer a build takes that should have been joined, so that it outlives the one that it stands beside.
SLOWER_S = 0.3
# A fault whose build never ends or settles holds its examination up for as long as either may take.
HASTY = {"build_timeout_s": 2.0, "cancel_timeout_s": 1.0}

TRANSITIONS = (
    *("publish", "replace", "delete", "auto-build", "start", "join", "reuse", "succeeds", "fails", "cancel"),
    *("cancel-settles", "restart-after-cancel", "restart-after-failure"),
)
LIFE_FAULTS: dict[str, Fault] = {}


def enter(
    name: str, claims: str, also: str = "", *, kind: Kind = "stateful", over: Any = None, **more: Any
) -> Callable[[Any], Any]:
    """Enters an engine, an application or a build as a way in which a transition goes wrong; its docstring says which.

    Args:
        claims: Globs of claims, one of which has to be found broken.
        also: Globs of those that may be as well, besides those about states where the transition is one of states.
        over: The method of the twin in whose place the function is put.
        more: Other attributes of a fault; *every* is the number of builds of which one is of that class.
    """
    transition = name.partition(".")[0]
    assert transition in TRANSITIONS, name
    assert name not in LIFE_FAULTS, name
    if transition not in {"publish", "replace", "delete"}:
        also = f"{also} {STATE}"
    every = more.pop("every", 1)

    def entered(part: Any) -> Any:
        whole = with_method(part, over)
        whole = _building(whole, every) if issubclass(whole, Build) else whole
        more["engine" if issubclass(whole, Engine) else "app"] = whole
        LIFE_FAULTS[name] = derived(name, says_of(part), kind, claims, also, **more)
        return part

    return entered


def _building(kind: type[Build], every: int) -> type[Engine]:
    """An engine one in *every* of whose builds is of another class."""

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
    """Calls when the answer is long gone."""
    asyncio.get_running_loop().call_later(LATE_S, call, *arguments)


class Storing(Engine):
    """Has one method for what a publish stores.

    Attributes:
        publishes: How many new versions were published.
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
        """Keeps a version in the place of an old one."""

    def put_back(self, version: Version, old: Version | None) -> None:
        """Undoes a publish."""
        self.catalog.remove(version)
        if old is not None:
            self.catalog.put(old)

    def neighbour(self, version: Version) -> Version | None:
        """The version that the same account published before this one."""
        own = [v for v in self.catalog if v.owner == version.owner and v.ref != version.ref]
        return own[-1] if own else None

    def others(self, version: Version) -> list[Version]:
        """The versions of other accounts."""
        return [v for v in self.catalog if v.owner not in {version.owner, ""}]


class StoringNew(Storing):
    """Every third new version is mistreated: whoever uses the server gets on in between."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is None and self.publishes % 3 == 0:
            self.put_back(version, old)
            self.mistreat(version)

    def mistreat(self, version: Version) -> None:
        """Stores a version in another way, or not at all."""


@enter("publish.skip", "lookup.existing-version-is-found", EXISTENCE)
class _PublishSkips(StoringNew):
    """Publishing every third new version says so and stores nothing."""


@enter("publish.to-other-account", "lookup.existing-version-is-found access.others-version-is-404", EXISTENCE)
class _PublishesToOthers(StoringNew):
    """Every third version that is published belongs to another account."""

    def mistreat(self, version: Version) -> None:
        other = next(account.key for account in self.settings.accounts if account.key != version.owner)
        self.catalog.put(replace(version, owner=other))


@enter("publish.late", "lookup.existing-version-is-found", f"{EXISTENCE} digest.* status.*", kind="timing")
class _PublishesLate(StoringNew):
    """Every third new version is found a while after its publish was acknowledged."""

    def mistreat(self, version: Version) -> None:
        later(self.catalog.put, version)


@enter("publish.to-everybody", "access.others-version-is-404", EXISTENCE, kind="security", over=Storing.stored)
def _publishes_to_all(engine: Storing, version: Version, old: Version | None) -> None:
    """What is published is found by every account on the same plan."""
    for account in engine.settings.accounts:
        if engine.may_build(account):
            engine.catalog.put(replace(version, owner=account.key))


_REPLACED = f"{STATE} {CONTENT} lookup.deleted-version-is-404"


@enter("replace.late", "publish.force-replaces", _REPLACED, kind="timing", over=Storing.stored)
def _replaces_late(engine: Storing, version: Version, old: Version | None) -> None:
    """Force is acknowledged and takes effect a while later."""
    if old is not None:
        engine.put_back(version, old)
        later(engine.catalog.put, version)


@enter("replace.of-neighbour", "digest.* status.*", f"{CONTENT} cancel.keeps-neighbours", over=Storing.stored)
def _replaces_neighbour(engine: Storing, version: Version, old: Version | None) -> None:
    """Force replaces the content of the account's previous version as well."""
    other = engine.neighbour(version) if old is not None else None
    if other is not None:
        engine.catalog.put(replace(version, ref=other.ref))


@enter("replace.keeps-golden", "reuse.only-identical-digest", STATE, over=Storing.stored)
def _replace_keeps_golden(engine: Storing, version: Version, old: Version | None) -> None:
    """The golden of what was replaced counts for the new content."""
    if old is not None and (slot := engine.slots.get((old.owner, old.digest))):
        engine.slots[version.owner, version.digest] = slot


@enter(
    "delete.late",
    "lookup.deleted-version-is-404 start.refuses-deleted-version",
    EXISTENCE,
    kind="timing",
)
class _DeletesLate(Engine):
    """Deleting takes effect a while after it was acknowledged."""

    def delete(self, version: Version) -> Body:
        later(super().delete, version)
        return {"deleted": True}


@enter("delete.of-neighbour", "lookup.existing-version-is-found", EXISTENCE)
class _DeletesNeighbour(Storing):
    """Deleting a version also deletes the account's one before it."""

    def delete(self, version: Version) -> Body:
        other = self.neighbour(version)
        if other is not None:
            self.catalog.remove(other)
        return super().delete(version)


@enter(
    "delete.drops-shared-golden",
    "status.ready-stays-ready",
    f"{STATE} reuse.same-digest-elsewhere",
    pace={"digest_scope": "content"},
    over=Engine.delete,
)
def _delete_drops_golden(engine: Engine, version: Version) -> Body:
    """Deleting a version drops a golden that another version still has."""
    answer = Engine.delete(engine, version)
    engine.slots.pop((version.owner, version.digest), None)
    return answer


_NOT_STARTED = "status.changes-only-by-a-start status.unbuilt-is-not-built"
_AUTOMATIC = "publish.auto-build-starts start.visible-to-next-read status.changes-only-by-a-start"


@enter("start.skip", "start.visible-to-next-read", over=Engine.launch)
def _start_skips(engine: Engine, version: Version) -> Build:
    """A start says building and builds nothing."""
    build = engine.make_build(version)
    build.end_cancelled("never begun")
    return build


@enter("start.late", "start.visible-to-next-read", kind="timing")
class _StartsLate(Engine):
    """A start is acknowledged, and its build shows a while later."""

    def start(self, account: Account, version: Version) -> Body:
        if self.reusable(self.slot_of(version)) or self.joinable(self.slot_of(version)):
            return super().start(account, version)
        later(super().start, account, version)
        return self.building_body(version)


class StartingMore(Storing):
    """A start builds other versions as well that nobody has built."""

    def more(self, version: Version) -> list[Version]:
        raise NotImplementedError

    def launch(self, version: Version) -> Build:
        for other in self.more(version):
            if self.slot_of(other).last is None:
                self.slot_of(other).last = super().launch(other)
        return super().launch(version)


@enter("start.of-neighbour", _NOT_STARTED, over=StartingMore.more)
def _starts_neighbour(engine: StartingMore, version: Version) -> list[Version]:
    """A start builds the account's previous version as well."""
    return [other] if (other := engine.neighbour(version)) else []


@enter("start.of-others", _NOT_STARTED, kind="security")
class _StartsOthers(StartingMore):
    """A start builds everything of the other account as well."""

    more = Storing.others


@enter(
    "start.twice",
    "status.* start.concurrent-share-one-build",
    "events.timestamps-are-true",
    kind="concurrency",
)
class _StartsTwice(Engine):
    """A start begins two builds, one after the other, and the second one counts."""

    def launch(self, version: Version) -> Build:
        slot = self.slot_of(version)

        def again() -> None:
            slot.golden, slot.last = None, super(_StartsTwice, self).launch(version)

        later(again)
        return super().launch(version)


@enter("auto-build.late", _AUTOMATIC, kind="timing")
class _AutoBuildsLate(App):
    """The build that publishing starts begins a while after it was told."""

    def auto_build(self, account: Account, version: Version) -> str:
        later(super().auto_build, account, version)
        return "building"


@enter("auto-build.of-neighbour", _AUTOMATIC, over=App.auto_build)
def _auto_builds_neighbour(app: App, account: Account, version: Version) -> str:
    """Publishing with auto_build builds the account's first version instead."""
    App.auto_build(app, account, next(v for v in app.engine.catalog if v.owner == account.key))
    return "building"


@enter(
    "join.skip",
    "cancel.finished-is-idle start.concurrent-share-one-build status.build-time-is-stable",
    kind="concurrency",
)
class _JoinSkips(Engine):
    """A start beside a build that has run for a while begins another, slower one; simultaneous starts share one."""

    launched_at = 0.0

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.last_of(version)
        if last is not None and last.in_flight:
            build.settings = replace(build.settings, build_s=build.settings.build_s + SLOWER_S)
        return build

    def launch(self, version: Version) -> Build:
        self.launched_at = time.monotonic()
        return super().launch(version)

    def joinable(self, slot: Slot) -> bool:
        return super().joinable(slot) and time.monotonic() < self.launched_at + SIMULTANEOUS_S


@enter(
    "join.of-neighbour",
    "start.* status.* reuse.* events.own-lines-only",
    "status.ready-after-its-steps events.carry-the-output",
    kind="concurrency",
    over=Engine.slot_of,
)
def _joins_neighbour(engine: Engine, version: Version) -> Slot:
    """A start joins whatever build of the account runs."""
    slot = Engine.slot_of(engine, version)
    running = (s for (owner, _), s in engine.slots.items() if owner == version.owner and s.last and s.last.in_flight)
    if slot.last is None and (other := next(running, None)) is not None:
        engine.slots[version.owner, version.digest] = other
        return other
    return slot


@enter("reuse.of-neighbour", "start.fresh-is-building reuse.*", "events.own-lines-only", over=Engine.reusable)
def _reuses_neighbour(engine: Engine, slot: Slot) -> Build | None:
    """A start takes any golden of the account."""
    owner = next((owner for (owner, _), known in engine.slots.items() if known is slot), "")
    goldens = (s.golden for (whose, _), s in engine.slots.items() if whose == owner and s.golden is not None)
    slot.golden = slot.golden or next(goldens, None)
    slot.last = slot.last or slot.golden
    return slot.golden


@enter("reuse.of-failure", "start.after-failure-builds-again", over=Engine.reusable)
def _reuses_failure(engine: Engine, slot: Slot) -> Build | None:
    """A start of a version whose last build failed answers ready."""
    failed = slot.last is not None and slot.last.outcome == "failed"
    return slot.last if failed else Engine.reusable(engine, slot)


@enter("restart-after-failure.late", "start.after-failure-builds-again start.visible-to-next-read", kind="timing")
class _FailureReadsOn(Engine):
    """A version that builds again after a failure reads failed for a while."""

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
    """A build that ends in another way than with one outcome."""

    outcome_before = "ready"

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        """Ends it, or does not."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if outcome == self.outcome_before and not self.outcome:
            self.otherwise(level, phase, line)
        else:
            super().finish(outcome, level, phase, line)


@enter("succeeds.skip", "status.build-does-not-vanish")
class _SuccessVanishes(EndsOtherwise):
    """A build that succeeds leaves its version not built."""

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        super().finish("cancelled", level, phase, line)


@enter("succeeds.as-failed", "status.good-template-ends-ready")
class _SuccessFails(EndsOtherwise):
    """A build that succeeds ends failed."""

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        self.error = "the snapshot failed"
        super().finish("failed", "error", "snapshot", "build failed: the snapshot failed")


@enter("succeeds.in-its-log-only", "status.build-ends events.*", kind="timing", target=HASTY, every=4)
class _SuccessOnlyLogged(EndsOtherwise):
    """The log of every fourth build says that it succeeded and its status does not."""

    def otherwise(self, level: Any, phase: Any, line: str) -> None:
        self.say(level, phase, line)
        self.stream.close()


@enter("succeeds.before-it-began", "status.ready-after-its-steps start.visible-to-next-read", BUILD_TIME, kind="timing")
class _SuccessAtOnce(Build):
    """A build is over as soon as it is launched."""

    async def spend(self, seconds: float) -> None:
        await asyncio.sleep(0)


@enter("succeeds.then-failed", "status.ready-stays-ready reuse.ready-at-once")
class _ReadyFails(Engine):
    """A version that became ready has failed a while later."""

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "ready":
            later(self._fail, slot)

    def _fail(self, slot: Slot) -> None:
        if slot.last is not None and slot.last.outcome == "ready":
            slot.golden, slot.last.outcome, slot.last.error = None, "failed", "the snapshot was lost"


class EndsForAll(Engine):
    """A build that ends in a certain way makes other versions end so that nobody has built."""

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


@enter("succeeds.for-neighbour", _NOT_STARTED, "events.build-time-agrees")
class _SucceedsForAll(EndsForAll):
    """A build that succeeds makes every version of its account ready."""


@enter("succeeds.for-others", _NOT_STARTED, "events.build-time-agrees", kind="security", over=EndsForAll.all)
def _succeeds_for_others(engine: EndsForAll, build: Build) -> list[Version]:
    """A build that succeeds makes the versions of the other account ready."""
    return [v for v in engine.catalog if v.owner not in {build.version.owner, ""}]


@enter("fails.for-neighbour", "status.unbuilt-is-not-built status.changes-only-by-a-start")
class _FailsForAll(EndsForAll):
    """A build that fails makes every version of its account fail that is not ready."""

    outcome = "failed"


@enter(
    "succeeds.lost-beside-another",
    "status.build-does-not-vanish status.good-template-ends-ready",
    kind="concurrency",
    over=Engine.ended,
)
def _success_lost(engine: Engine, slot: Slot, build: Build) -> None:
    """The golden of a build that ends while another one of the account runs is lost."""
    others = (b for b in engine.running if b.version.owner == build.version.owner and b is not build)
    if build.outcome == "ready" and any(other.in_flight for other in others):
        build.outcome = "cancelled"
    Engine.ended(engine, slot, build)


@enter("fails.never", "status.build-ends", kind="timing", target=HASTY)
class _FailureNeverShows(EndsOtherwise):
    """A build with a failing step goes on for ever."""

    outcome_before = "failed"


@enter("cancel.late", "cancel.does-not-end-ready cancel.settles", kind="timing")
class _CancelsLate(Build):
    """A cancel is acknowledged and takes effect a while later."""

    def cancel(self) -> None:
        later(super().cancel)


@enter("cancel.lost-beside-another", "cancel.does-not-end-ready cancel.settles", kind="concurrency", over=Engine.cancel)
def _cancel_lost(engine: Engine, version: Version) -> bool:
    """A cancel while another build of the account runs is acknowledged and changes nothing."""
    own = engine.last_of(version)
    others = (b for b in engine.running if b.version.owner == version.owner and b is not own)
    if own is not None and own.in_flight and any(other.in_flight for other in others):
        return True
    return Engine.cancel(engine, version)


@enter("cancel-settles.late", "cancel.settles", kind="timing", target=HASTY, every=2)
class _SettlesLate(Build):
    """Every other build is gone only after longer than a cancel may take once it is cancelled."""

    def end_cancelled(self, line: str) -> None:
        asyncio.get_running_loop().call_later(DYING_S, super().end_cancelled, line)


@enter("cancel-settles.as-failed", "cancel.settles", over=Engine.state_of)
def _settles_failed(engine: Engine, slot: Slot | None) -> Status:
    """A cancelled build reads failed."""
    state = Engine.state_of(engine, slot)
    if slot is not None and slot.last is not None and slot.last.outcome == "cancelled" and state == "not_built":
        slot.last.error = "cancelled"
        return "failed"
    return state


@enter("cancel-settles.as-fifth-status", "status.is-one-of-four", over=Engine.status_body)
def _settles_cancelled(engine: Engine, version: Version) -> Body:
    """A cancelled build reads cancelled."""
    body, last = Engine.status_body(engine, version), engine.last_of(version)
    gone = last is not None and last.outcome == "cancelled" and body["status"] == "not_built"
    return body | {"status": "cancelled"} if gone else body


@enter("cancel-settles.without-a-last-line", "events.cancelled-ends-on-cancel")
class _SettlesSilently(Build):
    """The log of a cancelled build closes without telling why."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        if phase != "cancel":
            super().say(level, phase, line, source)


# fmt: off
for _name, _claims, _says, _joinable, _kind in (
    ("join.fails", "http.no-server-error", "A start beside a running build makes the server fail.",
     refusing(lambda *_: False, Engine.joinable, 500, "Internal error."), "concurrency"),
    ("join.second-lost", "lookup.existing-version-is-found start.*",
     "The second start of a version that is building is answered as not found.",
     refusing(lambda *_: False, Engine.joinable, 404, "Template version not found."), "concurrency"),
    ("restart-after-failure.refused", "start.after-failure-builds-again start.visible-to-next-read",
     "A start after a failure is refused.",
     refusing(Engine.joinable, lambda _, slot: slot.last and slot.last.outcome == "failed", 409, "It failed."),
     "stateful"),
):
    _part = type("Refusing", (Engine,), {"joinable": _joinable, "__doc__": _says})
    enter(_name, _claims, kind=_kind)(_part)  # type: ignore[arg-type]  # each is one
# fmt: on
