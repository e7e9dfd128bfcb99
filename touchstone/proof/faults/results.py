"""Faults of the status answer as an object: its fields, the build time, the reason of a failure."""

import time
from collections import Counter
from typing import Any

from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine

# --- the object ------------------------------------------------------------------------------------------------------


@breaks("schema", "status.body-is-documented")
class NullsForAbsentFields(Engine):
    """A status answer holds null for each field that it has nothing to say in."""

    def status_body(self, version: Version) -> Body:
        nulls: Body = dict.fromkeys(("golden_dir", "build_time_ms", "reused", "error"))
        return nulls | super().status_body(version)


@breaks("schema", "status.body-is-documented")
class BuildingIsAList(App):
    """Reading the status of a version that is building shows a list of its builds."""

    def get_build(self, version: Version) -> Response:
        response = super().get_build(version)
        if self.engine.status_body(version)["status"] == "building":
            return Response(b"[" + bytes(response.body) + b"]", media_type="application/json")
        return response


@breaks("schema", "status.body-is-documented")
class UnbuiltIsAnEmptyObject(App):
    """Reading the status of a version that nobody built shows an empty object."""

    def get_build(self, version: Version) -> Response:
        slot = self.engine.slot_of(version)
        return Response(b"{}", media_type="application/json") if slot.last is None else super().get_build(version)


@breaks("schema", "status.body-is-documented")
class ReusedIsANumber(Engine):
    """Whether a golden was reused is told as 0 or 1 in a status answer."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"reused": int(body["reused"])} if "reused" in body else body


@breaks("semantic", "status.ref-is-the-path")
class StatusTellsTheLatestRef(Engine):
    """The status names the latest version instead of the one in the path."""

    def status_body(self, version: Version) -> Body:
        return super().status_body(version) | {"ref": f"{version.ref.namespace}/{version.ref.name}@latest"}


@breaks("stateful", "status.ref-is-the-path")
class StatusTellsTheBuiltRef(Engine):
    """The status names the version that was started last, as long as anything is building."""

    started = ""

    def launch(self, version: Version) -> Build:
        self.started = str(version.ref)
        return super().launch(version)

    def status_body(self, version: Version) -> Body:
        return super().status_body(version) | ({"ref": self.started} if self.running else {})


# --- the build time --------------------------------------------------------------------------------------------------


class Timed(Engine):
    """An engine that tells the build time in its own way."""

    def told(self, build_time_ms: int) -> Any:
        """What stands in the place of the build time."""
        return build_time_ms

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"build_time_ms": self.told(body["build_time_ms"])} if "build_time_ms" in body else body


@breaks("semantic", "status.build-time-is-ms", also=("events.build-time-agrees", "status.build-time-is-stable"))
class BuildTimeInSeconds(Timed):
    """The build time of a status answer is in whole seconds."""

    def told(self, build_time_ms: int) -> Any:
        return round(build_time_ms / 1000)


@breaks("semantic", "status.build-time-is-ms", also=("events.build-time-agrees",))
class BuildTimeCountsFromTheEpoch(Engine):
    """The build time, wherever it is told, is the moment at which the build ended."""

    def ended(self, slot: Any, build: Build) -> None:
        build.build_time_ms = build.build_time_ms and round(time.time() * 1000)
        super().ended(slot, build)


@breaks("schema", "status.ready-has-build-time")
class ReadyHasNoBuildTime(Engine):
    """The status of a ready version tells no build time."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        body.pop("build_time_ms", None)
        return body


@breaks("schema", "status.ready-has-build-time", also=("status.build-time-is-stable",))
class BuildTimeIsFractional(Timed):
    """The build time has decimals."""

    def told(self, build_time_ms: int) -> Any:
        return build_time_ms + 0.25


@breaks("stateful", "status.build-time-is-stable", also=("status.concurrent-reads-agree", "events.build-time-agrees"))
class BuildTimeGrows(Engine):
    """Each read of a ready version tells a build time that is longer by a millisecond."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reads: Counter[Any] = Counter()

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if "build_time_ms" in body:
            self.reads[version.owner, version.digest] += 1
            body["build_time_ms"] += self.reads[version.owner, version.digest]
        return body


@breaks("semantic", "status.build-time-is-stable")
class ReuseTakesNoTime(Engine):
    """An answer that reuses a golden tells a build time of nothing."""

    def reused_body(self, version: Version, golden: Build) -> Body:
        return super().reused_body(version, golden) | {"build_time_ms": 0}


@breaks("semantic", "status.build-time-only-when-ready")
class BuildingTellsItsTime(Engine):
    """A version that is building tells the time that its last step took."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"build_time_ms": 12} if body["status"] == "building" else body


@breaks("semantic", "status.build-time-only-when-ready")
class StartEstimatesTheTime(Engine):
    """The answer to a start tells how long the build will take."""

    def building_body(self, version: Version) -> Body:
        return super().building_body(version) | {"build_time_ms": 120_000}


# --- the reason of a failure -----------------------------------------------------------------------------------------


@breaks("schema", "status.failed-has-error")
class FailureWithoutReason(Engine):
    """A failed version tells no reason."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        body.pop("error", None)
        return body


@breaks("schema", "status.failed-has-error")
class FailureReasonIsEmpty(Engine):
    """A failed version tells an empty reason."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"error": ""} if "error" in body else body


@breaks("stateful", "status.error-only-when-failed")
class OldFailureIsShown(Engine):
    """A version that is built once more after a failure still tells the reason of that failure."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reasons: dict[Any, str] = {}

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        if body["status"] == "failed":
            self.reasons[version.ref] = body["error"]
        return body | ({"error": self.reasons[version.ref]} if version.ref in self.reasons else {})


@breaks("semantic", "status.error-only-when-failed")
class SuccessIsAnError(Engine):
    """A ready version says in error that there was none."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"error": "none"} if body["status"] == "ready" else body
