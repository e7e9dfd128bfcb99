"""Cancels and what comes of them: each fault of a server is found, and blamed on the claims that it breaks."""

import pytest

from tests.rules.driven import broken_by
from tests.rules.simulated import Answer, Cell, Server, Version

CANCELLING: Answer = (202, {"status": "cancelling"})


class AnswersOk(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        status, body = super().cancel(version, now, answered_ms)
        return (200 if status == 202 and version.cell.ends_ms == now + 20 else status), body


class FindsNothingRunning(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        return self.idle()


class AcceptsWhenIdle(Server):
    def idle(self) -> Answer:
        return CANCELLING


class SaysNothing(Server):
    def idle(self) -> Answer:
        return 404, {"error": "nothing to cancel"}


class DeletesTheVersion(Server):
    """Nothing about the version is found any more, which other rules tell."""

    cancelled: frozenset[str] = frozenset()

    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        if version.ref in self.cancelled:
            return 404, {"error": "not found"}
        answer = super().cancel(version, now, answered_ms)
        self.cancelled |= {version.ref} if answer[0] == 202 else set()
        return answer

    def read(self, version: Version, now: int) -> Answer:
        return (404, {"error": "not found"}) if version.ref in self.cancelled else super().read(version, now)


class NeverSettles(Server):
    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        cell.ends_ms += 10**6


class DoesNothing(Server):
    def stop(self, cell: Cell, now: int) -> None:
        pass


class EndsReady(Server):
    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        cell.ends_as = "ready"


class SecondIsConflict(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        if version.cell.state == "cancelling":
            return 409, {"error": "already cancelling"}
        return super().cancel(version, now, answered_ms)


class SettledIsAccepted(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        settled = version.cell.state == "not_built" and version.cell.begun_ms
        return CANCELLING if settled else super().cancel(version, now, answered_ms)


class FinishedIsAccepted(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        finished = version.cell.state in ("ready", "failed")
        return CANCELLING if finished else super().cancel(version, now, answered_ms)


class DropsGolden(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        if version.cell.state == "ready":
            version.cell.state = "not_built"
            return self.idle()
        return super().cancel(version, now, answered_ms)


class DropsFailure(Server):
    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        if version.cell.state == "failed":
            version.cell.state = "not_built"
            return self.idle()
        return super().cancel(version, now, answered_ms)


class CancelsNeighbours(Server):
    def stop(self, cell: Cell, now: int) -> None:
        for other in [c for c in self.live if c.state == "building"]:
            super().stop(other, now)


class DropsNeighboursGoldens(Server):
    def stop(self, cell: Cell, now: int) -> None:
        super().stop(cell, now)
        for version in self.versions.values():
            if version.cell.state == "ready":
                version.cell.state = "not_built"


class PoisonsNextBuild(Server):
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
        if version.cell.state == "cancelling":
            return 202, self.identity(version) | {"status": "building"}
        return super().start(version, now)


CASES: list[tuple[type[Server], set[str]]] = [
    (AnswersOk, {"cancel.in-flight-is-202"}),
    (FindsNothingRunning, {"cancel.in-flight-is-202"}),
    (AcceptsWhenIdle, {"cancel.idle-is-404", "cancel.settled-is-idle", "cancel.finished-is-idle"}),
    (SaysNothing, {"cancel.says-idle"}),
    (DeletesTheVersion, set()),
    (NeverSettles, {"cancel.settles"}),
    (DoesNothing, {"cancel.does-not-end-ready"}),
    (EndsReady, {"cancel.does-not-end-ready"}),
    (SecondIsConflict, {"cancel.second-is-documented"}),
    (SettledIsAccepted, {"cancel.settled-is-idle"}),
    (FinishedIsAccepted, {"cancel.finished-is-idle"}),
    (DropsFailure, {"cancel.keeps-finished-golden"}),
    (DropsGolden, {"cancel.keeps-finished-golden"}),
    (CancelsNeighbours, {"cancel.keeps-neighbours"}),
    (DropsNeighboursGoldens, {"cancel.keeps-neighbours"}),
    (PoisonsNextBuild, {"cancel.next-build-completes"}),
    (StartDiesWithTheCancelled, {"cancel.next-build-completes"}),
]


@pytest.mark.parametrize(("server", "claims"), CASES, ids=[case[0].__name__ for case in CASES])
def test_fault_is_blamed_on_its_claims(server: type[Server], claims: set[str]) -> None:
    """A server with one fault breaks the claims that the fault is about, and no other one."""
    assert broken_by(server()) == claims
