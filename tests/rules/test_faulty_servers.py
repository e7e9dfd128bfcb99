"""The life-cycle rule on simulated servers: a fault breaks its claims only; a correct server upholds each claim."""

from collections.abc import Callable
from typing import Any

from tests.rules.driven import broken_by, findings
from tests.rules.judging import cases
from tests.rules.simulated import LIMITED, NOT_FOUND, Answer, Cell, Manners, Server, Step, Version
from touchstone.rules.lifecycle import life_cycle

CANCELLING: Answer = (202, {"status": "cancelling"})


def fault(**methods: Callable[..., Any]) -> type[Server]:
    """A server with other methods."""
    return type("Faulty", (Server,), methods)


def begins(code: int = 202, **body: Any) -> type[Server]:
    """A server with another status code or body for a start that begins a build."""
    return fault(begun=lambda server, *about: (code, Server.begun(server, *about)[1] | body))


def acknowledged(server: Server, version: Version, *_: Any) -> Answer:
    """Responds to a start without starting."""
    return 202, server.identity(version) | {"status": "building"}


class Waits(Server):
    """Responds after the build with the facts from before."""

    def delay_ms(self, step: Step) -> int:
        return self.versions[step.ref].recipe.sleep_ms + 30 if step.kind == "start" else 0


class WaitsForTheResult(Waits):
    def begun(self, version: Version, now: int) -> Answer:
        return 202, super().begun(version, now)[1] | {"status": "ready", "build_time_ms": 320, "reused": False}


class WaitsOnce(Server):
    """Only the first start is slow."""

    held_back = False

    def delay_ms(self, step: Step) -> int:
        slow = step.kind == "start" and not self.held_back
        self.held_back |= slow
        return 330 if slow else 0


class EndsBuildWhenJoined(Server):
    def joined(self, version: Version, now: int) -> Answer:
        version.cell.state = "not_built"
        return super().joined(version, now)


class Doubles(Server):
    """Records versions with overlapping starts."""

    doubled: frozenset[str] = frozenset()

    def joined(self, version: Version, now: int) -> Answer:
        if now - version.cell.begun_ms < 5:
            self.doubled |= {version.ref}
        return super().joined(version, now)


class BuildsOncePerStart(Doubles):
    """The second of two simultaneous builds removes the golden of the first one."""

    def read(self, version: Version, now: int) -> Answer:
        answer = super().read(version, now)
        if version.cell.state == "ready" and version.ref in self.doubled:
            self.doubled -= {version.ref}
            self.begun(version, now)
            version.cell.ends_ms += 200
        return answer


class LosesSimultaneousStarts(Doubles):
    def read(self, version: Version, now: int) -> Answer:
        if version.ref in self.doubled:
            version.cell.state = "not_built"
        return super().read(version, now)


class RefusesAfterCancel(Server):
    status = 409
    cancelled: frozenset[str] = frozenset()

    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        self.cancelled |= {version.ref}
        return super().cancel(version, now, answered_ms)

    def start(self, version: Version, now: int) -> Answer:
        if version.ref in self.cancelled and version.cell.state == "not_built":
            return self.status, {"error": "cancelled"}
        return super().start(version, now)


class ForbidsAfterCancel(RefusesAfterCancel):
    status = 403


class AfterFailure(Server):
    """A start after a failure is accepted and starts no build."""

    def begun(self, version: Version, now: int) -> Answer:
        return self.failed(version) if version.cell.state == "failed" else super().begun(version, now)

    def failed(self, version: Version) -> Answer:
        return acknowledged(self, version)


class KeepsFailure(AfterFailure):
    def failed(self, version: Version) -> Answer:
        return 202, self.built(version)


class RefusesAfterFailure(AfterFailure):
    def failed(self, version: Version) -> Answer:
        return 409, {"error": "failed"}


class ReusesByName(Server):
    """A start reuses the golden of the version's earlier content."""

    built_refs: frozenset[str] = frozenset()

    def begun(self, version: Version, now: int) -> Answer:
        if version.ref in self.built_refs and version.recipe.name == "revised":
            version.cell.state, version.cell.build_time_ms = "ready", 300
            return 202, self.built(version) | {"reused": True}
        self.built_refs |= {version.ref}
        return super().begun(version, now)


def finds_nothing(server: Server, *_: Any) -> Answer:
    return server.idle()


class LosesTheVersion(Server):
    """A cancelled version is not found any more, which other rules judge."""

    cancelled: frozenset[str] = frozenset()

    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        if version.ref in self.cancelled:
            return NOT_FOUND
        answer = super().cancel(version, now, answered_ms)
        self.cancelled |= {version.ref} if answer[0] == 202 else set()
        return answer

    def read(self, version: Version, now: int) -> Answer:
        return NOT_FOUND if version.ref in self.cancelled else super().read(version, now)


def cancels(states: tuple[str, ...], answer: Answer | None = None, leaves: str = "") -> type[Server]:
    """A server with another response to a cancel in one of *states*, or another state after it."""

    def cancel(server: Server, version: Version, now: int, answered_ms: int) -> Answer:
        if version.cell.state not in states:
            return Server.cancel(server, version, now, answered_ms)
        version.cell.state = leaves or version.cell.state
        return answer or server.idle()

    return fault(cancel=cancel)


class SettledIsAccepted(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        settled = version.cell.state == "not_built" and version.cell.begun_ms
        return CANCELLING if settled else super().cancel(version, now, answered_ms)


class AnswersOkToCancels(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        status, body = super().cancel(version, now, answered_ms)
        return (200 if status == 202 and version.cell.ends_ms == now + 20 else status), body


class NeverSettles(Server):
    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        cell.ends_ms += 10**6


class CancelEndsReady(Server):
    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        cell.ends_as = "ready"


class CancelsNeighbours(Server):
    def stop(self, cell: Cell, now: int) -> None:
        for other in [c for c in self.live if c.state == "building"]:
            super().stop(other, now)


class DropsGoldensOfNeighbours(Server):
    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        for version in self.versions.values():
            if version.cell.state == "ready":
                version.cell.state = "not_built"


class PoisonsTheNextBuild(Server):
    poisoned: frozenset[Cell] = frozenset()

    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        self.poisoned |= {cell}

    def begun(self, version: Version, now: int) -> Answer:
        answer = super().begun(version, now)
        if version.cell in self.poisoned:
            version.cell.ends_as = "failed"
        return answer


class StartDiesWithTheCancelled(Server):
    def start(self, version: Version, now: int) -> Answer:
        return (acknowledged if version.cell.state == "cancelling" else Server.start)(self, version, now)


def after_read(state: str, change: Callable[[Server, Version, int], Any]) -> type[Server]:
    """A server that changes a version in one state when it is read."""

    def read(server: Server, version: Version, now: int) -> Answer:
        answer = Server.read(server, version, now)
        if version.cell.state == state:
            change(server, version, now)
        return answer

    return fault(read=read)


def drop(server: Server, version: Version, _: int) -> None:
    """Removes a build."""
    version.cell.state = "not_built"
    server.goldens.clear()


def ends(was: tuple[str, object], becomes: str) -> type[Server]:
    """A server that ends builds differently if their field *was* has a given value."""

    def ended(server: Server, cell: Cell) -> None:
        if getattr(cell, was[0]) == was[1]:
            cell.ends_as = becomes
        Server.ended(server, cell)

    return fault(ended=ended)


def measures(unit_ms: float) -> type[Server]:
    """A server with build times in another unit."""

    def built(server: Server, version: Version) -> dict[str, Any]:
        body = Server.built(server, version)
        return body | ({"build_time_ms": int(body["build_time_ms"] / unit_ms)} if "build_time_ms" in body else {})

    return fault(built=built)


def takes(change_ms: Callable[[Cell, int], int]) -> type[Server]:
    """A server with other build durations."""

    def begun(server: Server, version: Version, now: int) -> Answer:
        answer = Server.begun(server, version, now)
        version.cell.ends_ms = change_ms(version.cell, now)
        return answer

    return fault(begun=begun)


class Flickers(Server):
    """Every second read of a ready version shows building."""

    reads = 0

    def read(self, version: Version, now: int) -> Answer:
        status, body = super().read(version, now)
        self.reads += 1
        return status, body | ({"status": "building"} if body["status"] == "ready" and self.reads % 2 else {})


class UnbuiltReadsFailed(Server):
    def read(self, version: Version, now: int) -> Answer:
        status, body = super().read(version, now)
        return status, body | ({"status": "failed", "error": "?"} if body["status"] == "not_built" else {})


class KeepsGoldenOfOldContent(Server):
    def replaced(self, step: Step, old: Version) -> Version:
        version = super().replaced(step, old)
        version.cell.state, version.cell.build_time_ms = old.cell.state, old.cell.build_time_ms
        return version


def refused(method: str, kind: str, answer: Answer | None) -> type[Server]:
    """A server on which refused requests start or cancel builds."""

    def acts(server: Server, step: Step, *about: Any) -> Answer | None:
        if step.kind == kind == "start":
            server.start(server.versions[step.ref], about[-1])
        elif step.kind == kind:
            server.versions[step.ref].cell.state = "not_built"
        return answer

    return fault(**{method: acts})


def reuses(code: int = 202, **body: Any) -> type[Server]:
    """A server with another response to a start of a ready version."""
    return fault(reused=lambda server, version: (code, server.built(version) | body))


FAULTS: dict[str, tuple[type[Server], set[str]]] = {
    "a start is 200": (begins(200), {"start.answers-202"}),
    "a start says ready": (begins(status="ready"), {"start.fresh-is-building"}),
    "a start says not built": (begins(status="not_built"),
        {"start.fresh-is-building", "start.after-cancel-builds-again"}),
    "a start is refused while building": (fault(joined=lambda *_: (400, {"error": "already building"})),
        {"start.while-building-is-harmless", "start.concurrent-answers-are-documented"}),
    "a start ends the build": (EndsBuildWhenJoined, {"start.while-building-is-harmless"}),
    "a second start crashes": (fault(joined=lambda *_: (500, {"error": "duplicate key"})),
        {"start.concurrent-answers-are-documented"}),
    "a second start finds the key invalid": (fault(joined=lambda *_: (401, {"error": "invalid key"})), set()),
    "simultaneous starts are lost": (LosesSimultaneousStarts, {"start.concurrent-share-one-build"}),
    "simultaneous starts build twice": (BuildsOncePerStart, {"start.concurrent-share-one-build"}),
    "a failure stays": (KeepsFailure, {"start.after-failure-builds-again"}),
    "a start is refused after a failure": (RefusesAfterFailure, {"start.after-failure-builds-again"}),
    "a start is refused after a cancel": (RefusesAfterCancel, {"start.after-cancel-builds-again"}),
    "a start is forbidden after a cancel": (ForbidsAfterCancel, {"start.after-cancel-builds-again"}),
    "the account is below the plan": (fault(start=lambda *_: (403, {"error": "upgrade"})), set()),
    "starts are lost": (fault(begun=acknowledged), {"start.visible-to-next-read"}),
    "restarts are lost": (AfterFailure, {"start.visible-to-next-read"}),
    "a start builds again": (fault(reused=acknowledged), {"reuse.ready-at-once"}),
    "a reuse has no flag": (reuses(), {"reuse.is-flagged"}),
    "a reuse has a text as flag": (reuses(reused="true"), {"reuse.is-flagged"}),
    "a reuse is 201": (reuses(201, reused=True), {"reuse.status-code"}),
    "a golden is reused by name": (ReusesByName, {"reuse.only-identical-digest"}),
    "starts wait": (Waits, {"start.does-not-wait"}),
    "starts wait for the result": (WaitsForTheResult, {"start.does-not-wait"}),
    "one start is slow": (WaitsOnce, set()),
    "a cancel is 200": (AnswersOkToCancels, {"cancel.in-flight-is-202"}),
    "a cancel finds nothing": (fault(cancel=finds_nothing), {"cancel.in-flight-is-202"}),
    "an idle cancel is accepted": (fault(idle=lambda _: CANCELLING),
        {"cancel.idle-is-404", "cancel.settled-is-idle", "cancel.finished-is-idle"}),
    "an idle cancel does not say so": (fault(idle=lambda _: NOT_FOUND), {"cancel.says-idle"}),
    "a cancel deletes the version": (LosesTheVersion, set()),
    "a cancel never settles": (NeverSettles, {"cancel.settles"}),
    "a cancel does nothing": (fault(stop=lambda *_: None), {"cancel.does-not-end-ready"}),
    "a cancelled build ends ready": (CancelEndsReady, {"cancel.does-not-end-ready"}),
    "a second cancel is a conflict": (cancels(("cancelling",), (409, {"error": "already cancelling"})),
        {"cancel.second-is-documented"}),
    "a settled cancel is accepted": (SettledIsAccepted, {"cancel.settled-is-idle"}),
    "a cancel of a finished build is accepted": (cancels(("ready", "failed"), CANCELLING), {"cancel.finished-is-idle"}),
    "a cancel drops a failure": (cancels(("failed",), leaves="not_built"), {"cancel.keeps-finished-golden"}),
    "a cancel drops a golden": (cancels(("ready",), leaves="not_built"), {"cancel.keeps-finished-golden"}),
    "a cancel ends the builds of neighbours": (CancelsNeighbours, {"cancel.keeps-neighbours"}),
    "a cancel drops the goldens of neighbours": (DropsGoldensOfNeighbours, {"cancel.keeps-neighbours"}),
    "a cancel poisons the next build": (PoisonsTheNextBuild, {"cancel.next-build-completes"}),
    "a start dies with the cancelled build": (StartDiesWithTheCancelled, {"cancel.next-build-completes"}),
    "an unbuilt version reads failed": (UnbuiltReadsFailed, {"status.unbuilt-is-not-built"}),
    "a read builds": (after_read("not_built", Server.begun), {"status.changes-only-by-a-start"}),
    "builds are lost": (ends(("reused", False), "not_built"), {"status.build-does-not-vanish"}),
    "goldens are lost": (after_read("ready", drop), {"status.ready-stays-ready"}),
    "the status flickers": (Flickers, {"status.ready-stays-ready"}),
    "failures are forgotten": (after_read("failed", drop), {"status.failed-stays-failed"}),
    "failures are tried again": (after_read("failed", Server.begun), {"status.failed-stays-failed"}),
    "a good build fails": (ends(("state", "building"), "failed"), {"status.good-template-ends-ready"}),
    "a bad build passes": (ends(("ends_as", "failed"), "ready"), {"status.failing-template-ends-failed"}),
    "builds never end": (takes(lambda cell, _: cell.ends_ms + 10**6), {"status.build-ends"}),
    "builds end at once": (takes(lambda _, now: now + 1), {"status.ready-after-its-steps"}),
    "build times are seconds": (measures(1000), {"status.build-time-is-ms"}),
    "build times are microseconds": (measures(0.001), {"status.build-time-is-ms"}),
    "reads say reused": (fault(read=lambda server, version, now: (200, server.built(version) | {"reused": True})),
        {"reuse.only-when-reused"}),
    "new content has the old golden": (KeepsGoldenOfOldContent, {"reuse.only-identical-digest"}),
    "a refused key starts": (refused("refused_key", "start", None), {"auth.refused-changes-nothing"}),
    "a refused key cancels": (refused("refused_key", "cancel", None), {"auth.refused-changes-nothing"}),
    "another account starts": (refused("foreign", "start", NOT_FOUND), {"access.others-change-nothing"}),
    "another account cancels": (refused("foreign", "cancel", NOT_FOUND), {"access.others-change-nothing"}),
    "a limited start starts": (refused("limited", "start", LIMITED), {"limit.refused-start-starts-nothing"}),
}  # fmt: skip


@cases("server claims", FAULTS)
def test_fault_is_blamed_on_its_claims_alone(server: type[Server], claims: set[str]) -> None:
    assert broken_by(server()) == claims


def test_one_slow_start_is_indeterminate() -> None:
    assert ("start.does-not-wait", "indeterminate") in findings(WaitsOnce())


def test_correct_server_holds_every_claim_and_a_fault_breaks_each() -> None:
    assert findings(Server(Manners(settle_ms=20))) == {(claim, "held") for claim in life_cycle.claims}
    assert {claim for _, claims in FAULTS.values() for claim in claims} == life_cycle.claims
