"""Faults of what a cancel is answered: in flight, once more, and where there is nothing to cancel."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

CANCELLING = {"status": "cancelling"}
IDLE = {"status": "idle"}

# --- in flight -------------------------------------------------------------------------------------------------------


@breaks("semantic", "cancel.in-flight-is-202", also=("cancel.second-is-documented", "http.status-is-documented"))
class CancelAnswers200(App):
    """A cancel that is accepted is answered with 200."""

    def cancel_build(self, version: Version) -> Response:
        return answer_json(200, CANCELLING) if self.engine.cancel(version) else answer_json(404, IDLE)


@breaks("stateful", "cancel.in-flight-is-202", target={"build_timeout_s": 2.0, "cancel_timeout_s": 1.0})
class CancelFindsNothing(Engine):
    """A cancel finds nothing to cancel while its account runs another build as well, and both go on."""

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        others = (s.last for (owner, _), s in self.slots.items() if owner == version.owner and s is not slot)
        if any(last is not None and last.in_flight for last in others):
            return False
        return super().cancel(version)


@breaks("stateful", "cancel.in-flight-is-202")
class JoinedBuildConflicts(Engine):
    """A cancel of a build that was started twice is refused with 409."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.joined: set[Any] = set()

    def start(self, account: Account, version: Version) -> Any:
        if self.joinable(self.slot_of(version)):
            self.joined.add(self.slot_of(version).last)
        return super().start(account, version)

    def cancel(self, version: Version) -> bool:
        if (last := self.slot_of(version).last) is not None and last in self.joined and last.in_flight:
            raise Refusal(409, "Somebody else needs this build.")
        return super().cancel(version)


@breaks("semantic", "cancel.says-cancelling")
class CancelSaysCanceled(App):
    """A cancel that is accepted says ``canceled``."""

    def cancel_build(self, version: Version) -> Response:
        return answer_json(202, {"status": "canceled"}) if self.engine.cancel(version) else answer_json(404, IDLE)


@breaks("schema", "cancel.says-cancelling")
class CancelSaysNothing(App):
    """A cancel that is accepted is answered with an empty object."""

    def cancel_build(self, version: Version) -> Response:
        return answer_json(202, {}) if self.engine.cancel(version) else answer_json(404, IDLE)


@breaks("stateful", "cancel.says-cancelling")
class SecondCancelSaysIdle(App):
    """A second cancel while the first one settles is accepted and says ``idle``."""

    def cancel_build(self, version: Version) -> Response:
        last = self.engine.slot_of(version).last
        again = last is not None and last.cancelling
        return (
            answer_json(202, IDLE if again else CANCELLING) if self.engine.cancel(version) else answer_json(404, IDLE)
        )


@breaks("stateful", "cancel.second-is-documented")
class SecondCancelConflicts(Engine):
    """A second cancel while the first one settles is answered with 409."""

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and slot.last.cancelling and not slot.last.outcome:
            raise Refusal(409, "A cancel is under way.")
        return super().cancel(version)


@breaks("stateful", "http.no-server-error", also=("cancel.second-is-documented",))
class SecondCancelFails(Engine):
    """A second cancel while the first one settles makes the server fail."""

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and slot.last.cancelling and not slot.last.outcome:
            raise Refusal(500, "Invalid state.")
        return super().cancel(version)


# --- nothing to cancel -----------------------------------------------------------------------------------------------


class Obliging(App):
    """A server that answers a cancel with nothing to cancel in its own way, depending on the state of the version."""

    states: tuple[str, ...] = ()

    def idle(self) -> Response:
        """The answer."""
        return answer_json(202, CANCELLING)

    def cancel_build(self, version: Version) -> Response:
        state = str(self.engine.status_body(version)["status"])
        last = self.engine.slot_of(version).last
        if last is not None and last.outcome == "cancelled":
            state = "settled"
        response = super().cancel_build(version)
        return self.idle() if response.status_code == 404 and state in self.states else response


@breaks("stateful", "cancel.idle-is-404")
class UnbuiltCancelIsAccepted(Obliging):
    """A cancel of a version that nobody built is accepted."""

    states = ("not_built",)


@breaks("stateful", "cancel.finished-is-idle")
class ReadyCancelIsAccepted(Obliging):
    """A cancel of a ready version is accepted."""

    states = ("ready",)


@breaks("stateful", "cancel.finished-is-idle")
class FailedCancelIsAccepted(Obliging):
    """A cancel of a version whose build failed is accepted."""

    states = ("failed",)


@breaks("stateful", "cancel.settled-is-idle")
class SettledCancelIsAccepted(Obliging):
    """A cancel of a version whose build was cancelled before is accepted once more."""

    states = ("settled",)


@breaks(
    "semantic",
    "cancel.idle-is-404",
    "cancel.finished-is-idle",
    also=("cancel.settled-is-idle", "cancel.says-cancelling", "http.status-is-documented"),
)
class IdleCancelAnswers200(Obliging):
    """A cancel with nothing to cancel is answered with 200."""

    states = ("not_built", "ready", "failed", "settled")

    def idle(self) -> Response:
        return answer_json(200, IDLE)


@breaks("semantic", "cancel.says-idle")
class IdleCancelIsAnError(Obliging):
    """A cancel with nothing to cancel is answered like one of a version that does not exist."""

    states = ("not_built", "ready", "failed", "settled")

    def idle(self) -> Response:
        return answer_json(404, {"error": "Nothing is building."})


@breaks("stateful", "cancel.says-idle", also=("error.has-the-documented-shape",))
class ReadyCancelSaysReady(Obliging):
    """A cancel of a ready version finds nothing to cancel and says ``ready``."""

    states = ("ready",)

    def idle(self) -> Response:
        return answer_json(404, {"status": "ready"})


@breaks("stateful", "cancel.in-flight-is-202", target={"build_timeout_s": 2.0})
class CancelDeletesNothingFound(App):
    """A cancel of a running build says that nothing was found, and cancels it all the same."""

    def cancel_build(self, version: Version) -> Response:
        self.engine.cancel(version)
        return answer_json(404, IDLE)


@breaks(
    "semantic",
    "lookup.existing-version-is-found",
    "status.answers-200",
    also=(
        "cancel.says-idle",
        "template.read-shows-the-published",
        "publish.other-content-is-409",
        "lookup.*",
    ),
)
class CancelDeletes(App):
    """A cancel of a running build deletes its version."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        response = await super().operate(request, account, resource)
        if resource.kind == "build" and request.method == "DELETE" and response.status_code == 202:
            self.engine.delete(self.engine.require(account, resource.ref))
        return response
