"""What status reads show: each fault of a server is found, and blamed on the claims that it breaks."""

import pytest

from tests.rules.driven import broken_by
from tests.rules.simulated import LIMITED, NOT_FOUND, Answer, Cell, Server, Step, Version


class ShowsUnbuiltAsFailed(Server):
    def read(self, version: Version, now: int) -> Answer:
        status, body = super().read(version, now)
        return status, body | ({"status": "failed", "error": "?"} if body["status"] == "not_built" else {})


class BuildsWhenRead(Server):
    def read(self, version: Version, now: int) -> Answer:
        answer = super().read(version, now)
        if version.cell.state == "not_built":
            self.begun(version, now)
        return answer


class LosesBuilds(Server):
    def ended(self, cell: Cell) -> None:
        cell.ends_as = "not_built"
        super().ended(cell)


class LosesGoldens(Server):
    def read(self, version: Version, now: int) -> Answer:
        answer = super().read(version, now)
        if version.cell.state == "ready":
            version.cell.state = "not_built"
            self.goldens.clear()
        return answer


class Flickers(Server):
    """Every second read of what is ready says building."""

    reads = 0

    def read(self, version: Version, now: int) -> Answer:
        status, body = super().read(version, now)
        self.reads += 1
        return status, body | ({"status": "building"} if body["status"] == "ready" and self.reads % 2 else {})


class ForgetsFailures(Server):
    def read(self, version: Version, now: int) -> Answer:
        answer = super().read(version, now)
        if version.cell.state == "failed":
            version.cell.state = "not_built"
        return answer


class RetriesFailures(Server):
    def read(self, version: Version, now: int) -> Answer:
        answer = super().read(version, now)
        if version.cell.state == "failed":
            self.begun(version, now)
        return answer


class FailsGood(Server):
    def ended(self, cell: Cell) -> None:
        if cell.state == "building":
            cell.ends_as = "failed"
        super().ended(cell)


class PassesBad(Server):
    def ended(self, cell: Cell) -> None:
        if cell.ends_as == "failed":
            cell.ends_as = "ready"
        super().ended(cell)


class NeverEnds(Server):
    def begun(self, version: Version, now: int) -> Answer:
        answer = super().begun(version, now)
        version.cell.ends_ms += 10**6
        return answer


class EndsAtOnce(Server):
    def begun(self, version: Version, now: int) -> Answer:
        answer = super().begun(version, now)
        version.cell.ends_ms = now + 1
        return answer


class TellsSeconds(Server):
    def built(self, version: Version) -> dict[str, object]:
        shown = super().built(version)
        return shown | ({"build_time_ms": shown["build_time_ms"] // 1000} if "build_time_ms" in shown else {})


class TellsMicroseconds(Server):
    def built(self, version: Version) -> dict[str, object]:
        shown = super().built(version)
        return shown | ({"build_time_ms": shown["build_time_ms"] * 1000} if "build_time_ms" in shown else {})


class ReadsAsReused(Server):
    def read(self, version: Version, now: int) -> Answer:
        return 200, super().read(version, now)[1] | {"reused": True}


class ShowsGoldenOfOldContent(Server):
    def replaced(self, step: Step, old: Version) -> Version:
        version = super().replaced(step, old)
        version.cell.state, version.cell.build_time_ms = old.cell.state, old.cell.build_time_ms
        return version


class RefusedKeyStarts(Server):
    def refused_key(self, step: Step, now: int) -> Answer | None:
        if step.kind == "start":
            self.start(self.versions[step.ref], now)
        return None


class RefusedKeyCancels(Server):
    def refused_key(self, step: Step, now: int) -> Answer | None:
        if step.kind == "cancel":
            self.versions[step.ref].cell.state = "not_built"
        return None


class OthersStart(Server):
    def foreign(self, step: Step, version: Version, now: int) -> Answer:
        if step.kind == "start":
            self.start(version, now)
        return NOT_FOUND


class OthersCancel(Server):
    def foreign(self, step: Step, version: Version, now: int) -> Answer:
        if step.kind == "cancel":
            version.cell.state = "not_built"
        return NOT_FOUND


class LimitedStartStarts(Server):
    def limited(self, step: Step, now: int) -> Answer:
        self.start(self.versions[step.ref], now)
        return LIMITED


CASES: list[tuple[type[Server], set[str]]] = [
    (ShowsUnbuiltAsFailed, {"status.unbuilt-is-not-built"}),
    (BuildsWhenRead, {"status.changes-only-by-a-start"}),
    (LosesBuilds, {"status.build-does-not-vanish"}),
    (LosesGoldens, {"status.ready-stays-ready"}),
    (Flickers, {"status.ready-stays-ready"}),
    (ForgetsFailures, {"status.failed-stays-failed"}),
    (RetriesFailures, {"status.failed-stays-failed"}),
    (FailsGood, {"status.good-template-ends-ready"}),
    (PassesBad, {"status.failing-template-ends-failed"}),
    (NeverEnds, {"status.build-ends"}),
    (EndsAtOnce, {"status.ready-after-its-steps"}),
    (TellsSeconds, {"status.build-time-is-ms"}),
    (TellsMicroseconds, {"status.build-time-is-ms"}),
    (ReadsAsReused, {"reuse.only-when-reused"}),
    (ShowsGoldenOfOldContent, {"reuse.only-identical-digest"}),
    (RefusedKeyStarts, {"auth.refused-changes-nothing"}),
    (RefusedKeyCancels, {"auth.refused-changes-nothing"}),
    (OthersStart, {"access.others-change-nothing"}),
    (OthersCancel, {"access.others-change-nothing"}),
    (LimitedStartStarts, {"limit.refused-start-starts-nothing"}),
]


@pytest.mark.parametrize(("server", "claims"), CASES, ids=[case[0].__name__ for case in CASES])
def test_fault_is_blamed_on_its_claims(server: type[Server], claims: set[str]) -> None:
    """A server with one fault breaks the claims that the fault is about, and no other one."""
    assert broken_by(server()) == claims
