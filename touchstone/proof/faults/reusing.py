"""Faults of reusing goldens: when one is taken, and what is told of it."""

from typing import Any

from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine, Slot
from touchstone.twin.settings import Account

# --- what is told ----------------------------------------------------------------------------------------------------


@breaks("semantic", "reuse.is-flagged")
class ReuseIsNotTold(Engine):
    """An answer that reuses a golden does not say so."""

    def reused_body(self, version: Version, golden: Build) -> Body:
        body = super().reused_body(version, golden)
        del body["reused"]
        return body


@breaks("stateful", "reuse.is-flagged")
class ReuseIsToldOnce(Engine):
    """Only the first answer that reuses a golden says so."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.told: set[Build] = set()

    def reused_body(self, version: Version, golden: Build) -> Body:
        first = golden not in self.told
        self.told.add(golden)
        return super().reused_body(version, golden) | {"reused": first}


@breaks("stateful", "reuse.is-flagged")
class ReuseElsewhereIsNotTold(Engine):
    """An answer that reuses the golden of another version does not say so."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.built: dict[Any, Any] = {}

    def launch(self, version: Version) -> Build:
        self.built[version.owner, version.digest] = version.ref
        return super().launch(version)

    def reused_body(self, version: Version, golden: Build) -> Body:
        own = self.built.get((version.owner, version.digest)) == version.ref
        return super().reused_body(version, golden) | {"reused": own}


@breaks("semantic", "reuse.status-code", also=("http.status-is-documented",))
class ReuseAnswers201(App):
    """A start that reuses a golden is answered with 201."""

    def start_build(self, account: Account, version: Version) -> Response:
        body = self.engine.start(account, version)
        return answer_json(201 if body["status"] == "ready" else 202, body)


@breaks("semantic", "reuse.status-code", "reuse.ready-at-once")
class ReuseConflicts(Engine):
    """A start of a ready version is answered with 409."""

    def reused_body(self, version: Version, golden: Build) -> Body:
        raise Refusal(409, "This version is built already.")


@breaks("semantic", "reuse.ready-at-once", also=("reuse.same-digest-elsewhere",))
class ReuseSaysBuilding(Engine):
    """A start of a ready version says building, though nothing is built."""

    def reused_body(self, version: Version, golden: Build) -> Body:
        return self.building_body(version)


@breaks("semantic", "reuse.only-when-reused")
class NewBuildClaimsReuse(Engine):
    """A start that begins a build says reused true."""

    def building_body(self, version: Version) -> Body:
        return super().building_body(version) | {"reused": True}


@breaks("stateful", "reuse.only-when-reused")
class JoiningClaimsReuse(Engine):
    """A start while the version builds says reused true."""

    def start(self, account: Account, version: Version) -> Body:
        joins = self.joinable(self.slot_of(version))
        body = super().start(account, version)
        return body | {"reused": True} if joins and body["status"] == "building" else body


@breaks("stateful", "reuse.only-when-reused")
class StatusClaimsReuse(Engine):
    """A version reads as reused though it was built for itself and never started again."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"reused": True} if "reused" in body else body


@breaks("stateful", "reuse.only-when-reused")
class RunningBuildClaimsReuse(Engine):
    """A version that is building reads as reused."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"reused": True} if body["status"] == "building" else body


# --- when one is taken -----------------------------------------------------------------------------------------------


@breaks(
    "stateful",
    "reuse.ready-at-once",
    also=(
        "reuse.same-digest-elsewhere",
        "events.ready-ends-on-ready",
        "cancel.finished-is-idle",
        "status.build-time-is-stable",
    ),
)
class GoldenIsBuiltAgain(Engine):
    """A start of a ready version builds it once more."""

    def reusable(self, slot: Slot) -> Build | None:
        return None


@breaks("stateful", "reuse.ready-at-once")
class GoldenIsReusedOnce(Engine):
    """A golden is reused once; the next start of its version builds it again."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.used: set[Build] = set()

    def reusable(self, slot: Slot) -> Build | None:
        if slot.golden is None or slot.golden in self.used:
            slot.golden = None
            return None
        self.used.add(slot.golden)
        return slot.golden


@breaks("stateful", "reuse.only-identical-digest", also=("status.unbuilt-is-not-built",))
class ReuseByName(Engine):
    """The golden belongs to the name of a version, not to its content."""

    def slot_of(self, version: Version) -> Slot:
        slot = self.slots.setdefault((version.owner, str(version.ref)), Slot())
        return self.slots.setdefault((version.owner, version.digest), slot)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        self.slot_of(version)
        return version

    def release(self, version: Version) -> None:
        pass


@breaks("stateful", "reuse.same-digest-elsewhere", also=("status.build-time-is-stable",))
class GoldenPerVersion(Engine):
    """Two versions with one digest are each built for themselves."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.built: dict[Any, Any] = {}

    def launch(self, version: Version) -> Build:
        self.built[version.owner, version.digest] = version.ref
        return super().launch(version)

    def start(self, account: Account, version: Version) -> Body:
        if self.built.get((version.owner, version.digest)) != version.ref:
            self.slot_of(version).golden = None
        return super().start(account, version)
