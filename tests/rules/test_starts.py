"""What starts are answered: each fault of a server is found, and blamed on the claims that it breaks."""

import pytest

from tests.rules.driven import broken_by, findings
from tests.rules.exchanges import broken
from tests.rules.simulated import Answer, Server, Step, Version


class AnswersOk(Server):
    def begun(self, version: Version, now: int) -> Answer:
        return 200, super().begun(version, now)[1]


class SaysReady(Server):
    def begun(self, version: Version, now: int) -> Answer:
        return 202, super().begun(version, now)[1] | {"status": "ready"}


class SaysNotBuilt(Server):
    def begun(self, version: Version, now: int) -> Answer:
        return 202, super().begun(version, now)[1] | {"status": "not_built"}


class Waits(Server):
    """Answers once the build is over, with what was the case at the beginning."""

    def holds_back_ms(self, step: Step) -> int:
        return self.versions[step.ref].recipe.sleep_ms + 30 if step.kind == "start" else 0


class WaitsAndTells(Waits):
    """Answers once the build is over, with its result."""

    def begun(self, version: Version, now: int) -> Answer:
        return 202, super().begun(version, now)[1] | {"status": "ready", "build_time_ms": 320, "reused": False}


class RefusesWhileBuilding(Server):
    def joined(self, version: Version, now: int) -> Answer:
        return 400, {"error": "already building"}


class EndsBuildWhenJoined(Server):
    def joined(self, version: Version, now: int) -> Answer:
        version.cell.state = "not_built"
        return super().joined(version, now)


class CrashesOnSecondStart(Server):
    def joined(self, version: Version, now: int) -> Answer:
        return 500, {"error": "duplicate key"}


class BuildsOncePerStart(Server):
    """Simultaneous starts have a build each, and the second one takes away what the first one built."""

    doubled: frozenset[str] = frozenset()

    def joined(self, version: Version, now: int) -> Answer:
        if now - version.cell.begun_ms < 5:
            self.doubled |= {version.ref}
        return super().joined(version, now)

    def read(self, version: Version, now: int) -> Answer:
        answer = super().read(version, now)
        if version.cell.state == "ready" and version.ref in self.doubled:
            self.doubled -= {version.ref}
            self.begun(version, now)
            version.cell.ends_ms += 200
        return answer


class KeepsFailure(Server):
    def begun(self, version: Version, now: int) -> Answer:
        if version.cell.state == "failed":
            return 202, self.built(version)
        return super().begun(version, now)


class RefusesAfterFailure(Server):
    def start(self, version: Version, now: int) -> Answer:
        return (409, {"error": "failed"}) if version.cell.state == "failed" else super().start(version, now)


class RefusesAfterCancel(Server):
    cancelled: frozenset[str] = frozenset()

    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        self.cancelled |= {version.ref}
        return super().cancel(version, now, answered_ms)

    def start(self, version: Version, now: int) -> Answer:
        if version.ref in self.cancelled and version.cell.state == "not_built":
            return 409, {"error": "cancelled"}
        return super().start(version, now)


class ForbidsAfterCancel(RefusesAfterCancel):
    def start(self, version: Version, now: int) -> Answer:
        status, body = super().start(version, now)
        return (403 if status == 409 else status), body


class NeedsPlan(Server):
    """The account is below the plan."""

    def start(self, version: Version, now: int) -> Answer:
        return 403, {"error": "upgrade"}


class LosesStarts(Server):
    def begun(self, version: Version, now: int) -> Answer:
        return 202, self.identity(version) | {"status": "building"}


class ForgetsRestarts(Server):
    def begun(self, version: Version, now: int) -> Answer:
        if version.cell.state == "failed":
            return 202, self.identity(version) | {"status": "building"}
        return super().begun(version, now)


class EndsSimultaneousStarts(Server):
    """Simultaneous starts lead to a build that is lost soon after."""

    ended_refs: frozenset[str] = frozenset()

    def joined(self, version: Version, now: int) -> Answer:
        if now - version.cell.begun_ms < 5:
            self.ended_refs |= {version.ref}
        return super().joined(version, now)

    def read(self, version: Version, now: int) -> Answer:
        if version.ref in self.ended_refs:
            version.cell.state = "not_built"
        return super().read(version, now)


class Rebuilds(Server):
    def reused(self, version: Version) -> Answer:
        return 202, self.identity(version) | {"status": "building"}


class ForgetsFlag(Server):
    def reused(self, version: Version) -> Answer:
        return 202, self.built(version)


class FlagsWithText(Server):
    def reused(self, version: Version) -> Answer:
        return 202, self.built(version) | {"reused": "true"}


class ReusesWithCreated(Server):
    def reused(self, version: Version) -> Answer:
        return 201, super().reused(version)[1]


class ReusesByName(Server):
    """Takes the golden of whatever the version held before, once it is started."""

    built_refs: frozenset[str] = frozenset()

    def begun(self, version: Version, now: int) -> Answer:
        if version.ref in self.built_refs and version.recipe.name == "revised":
            version.cell.state, version.cell.build_time_ms = "ready", 300
            return 202, self.built(version) | {"reused": True}
        self.built_refs |= {version.ref}
        return super().begun(version, now)


CASES: list[tuple[type[Server], set[str]]] = [
    (AnswersOk, {"start.answers-202"}),
    (SaysReady, {"start.fresh-is-building"}),
    (SaysNotBuilt, {"start.fresh-is-building", "start.after-cancel-builds-again"}),
    (RefusesWhileBuilding, {"start.while-building-is-harmless", "start.concurrent-answers-are-documented"}),
    (EndsBuildWhenJoined, {"start.while-building-is-harmless"}),
    (CrashesOnSecondStart, {"start.concurrent-answers-are-documented"}),
    (EndsSimultaneousStarts, {"start.concurrent-share-one-build"}),
    (BuildsOncePerStart, {"start.concurrent-share-one-build"}),
    (KeepsFailure, {"start.after-failure-builds-again"}),
    (RefusesAfterFailure, {"start.after-failure-builds-again"}),
    (RefusesAfterCancel, {"start.after-cancel-builds-again"}),
    (ForbidsAfterCancel, {"start.after-cancel-builds-again"}),
    (NeedsPlan, set()),
    (LosesStarts, {"start.visible-to-next-read"}),
    (ForgetsRestarts, {"start.visible-to-next-read"}),
    (Rebuilds, {"reuse.ready-at-once"}),
    (ForgetsFlag, {"reuse.is-flagged"}),
    (FlagsWithText, {"reuse.is-flagged"}),
    (ReusesWithCreated, {"reuse.status-code"}),
    (ReusesByName, {"reuse.only-identical-digest"}),
    (Waits, {"start.does-not-wait"}),
    (WaitsAndTells, {"start.does-not-wait"}),
]


@pytest.mark.parametrize(("server", "claims"), CASES, ids=[case[0].__name__ for case in CASES])
def test_fault_is_blamed_on_its_claims(server: type[Server], claims: set[str]) -> None:
    """A server with one fault breaks the claims that the fault is about, and no other one."""
    assert broken_by(server()) == claims


class WaitsOnce(Server):
    """The first start is slow, as it may be anywhere; the others are not."""

    held_back = False

    def holds_back_ms(self, step: Step) -> int:
        slow = step.kind == "start" and not self.held_back
        self.held_back |= slow
        return 330 if slow else 0


def test_one_slow_start_proves_nothing() -> None:
    """A start that took as long as its build may have met a slow network, unless all of them take as long."""
    told = findings(WaitsOnce())

    assert broken(told) == set()
    assert ("start.does-not-wait", "indeterminate") in told
