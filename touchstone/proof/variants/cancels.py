"""Readings of what a cancel is answered and what becomes of the cancelled build."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.variant import Variant, enter, permitted, recast
from touchstone.twin import App, Engine
from touchstone.twin.app import answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Slot, Status
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# How long a log that has told the end of its build stays open.
LINGERS_S = 0.5

enter(
    Variant(
        name="cancel-settles-slowly",
        says="A cancelled build reads building for another second.",
        answers=(12,),
        source="facts 7.12",
        pace={"settle_s": 1.0},
    )
)
enter(
    Variant(
        name="cancel-settles-at-once",
        says="A cancelled build is gone when the cancel is answered.",
        answers=(12, 13),
        source="facts 7.12, 7.13",
        pace={"settle_s": 0.0},
    )
)


@permitted(12)
class CancelledReadsFailed(Engine):
    """A version whose build was cancelled reads failed and says why."""

    def state_of(self, slot: Slot | None) -> Status:
        """The usual status; a cancelled build is a failed one."""
        cancelled = slot is not None and slot.last is not None and slot.last.outcome == "cancelled"
        state = super().state_of(slot)
        return "failed" if cancelled and state == "not_built" else state

    def status_body(self, version: Version) -> Body:
        """The usual answer with a reason."""
        body = super().status_body(version)
        return body | {"error": body["error"] or "The build was cancelled."} if "error" in body else body


@permitted(12)
class CancelLeavesTheEarlierFailure(Engine):
    """A version that had failed before a build of it was cancelled reads failed again, as it did."""

    def __init__(self, *arguments: Any) -> None:
        self.before: dict[Build, Build] = {}
        super().__init__(*arguments)

    def make_build(self, version: Version) -> Build:
        """The usual build; remembers the failed one that it follows."""
        build, last = super().make_build(version), self.slot_of(version).last
        if last is not None and last.outcome == "failed":
            self.before[build] = last
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        """The usual end; a cancelled build gives way to the failed one before it."""
        super().ended(slot, build)
        if build.outcome == "cancelled" and slot.last is build:
            slot.last = self.before.get(build, build)


@permitted(13)
class SecondCancelFindsNothing(Engine):
    """While a cancelled build settles there is nothing to cancel any more."""

    def cancel(self, version: Version) -> bool:
        """Cancels what nobody has cancelled yet."""
        slot = self.slots.get((version.owner, version.digest))
        settling = slot is not None and slot.last is not None and slot.last.cancelling
        return False if settling else super().cancel(version)


@permitted(14)
class UnknownVersionIsIdle(App):
    """A cancel of a version that does not exist is answered like one that finds nothing building."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        """The usual answer to anything else."""
        cancels = resource.kind == "build" and request.method == "DELETE"
        if cancels and self.engine.find(account, resource.ref) is None:
            return answer_json(404, {"status": "idle"})
        return await super().operate(request, account, resource)


@permitted(15)
class IdleHasAnError(App):
    """The answer to a cancel with nothing to cancel has the fields of an error as well."""

    def cancel_build(self, version: Version) -> Response:
        """The usual answer; the 404 with a text."""
        if self.engine.cancel(version):
            return answer_json(202, {"status": "cancelling"})
        body = {"status": "idle", "error": "Nothing is building.", "request_id": self._request_ids.next()}
        return answer_json(404, body)


class Silenced(Build):
    """A build whose log ends when it is cancelled."""

    def cancel(self) -> None:
        """The usual cancel, told at once."""
        if not self.outcome and not self.cancelling:
            self.say("warn", "cancel", "build cancelled")
            self.stream.close()
        super().cancel()

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        """The usual end; the log has told it already where the build was cancelled."""
        if not self.stream.closed:
            super().finish(outcome, level, phase, line)
        elif not self.outcome:
            self.outcome = outcome
            self._on_end(self)


@permitted(29)
class CancelledLogEndsAtOnce(Engine):
    """The log of a cancelled build ends when the cancel is accepted, and its status settles later."""

    def make_build(self, version: Version) -> Build:
        """A build whose log does not wait for it to settle."""
        return recast(super().make_build(version), Silenced)


class Lingering(Build):
    """A build whose log is closed some time after its last frame."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        """The usual end, with the end of the stream half a second later."""
        close, loop = self.stream.close, asyncio.get_running_loop()
        self.stream.close = lambda: None  # type: ignore[method-assign]  # for the length of one call
        super().finish(outcome, level, phase, line)
        del self.stream.close
        loop.call_later(LINGERS_S, close)


@permitted(29)
class LogClosesLater(Engine):
    """The log is closed half a second after the end of its build."""

    def make_build(self, version: Version) -> Build:
        """A build whose log lingers."""
        return recast(super().make_build(version), Lingering)
