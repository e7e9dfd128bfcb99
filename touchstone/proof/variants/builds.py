"""Variants: how builds begin, are shared and end, and how cancels are answered."""

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import own
from touchstone.proof.variants.variant import build_freedom, freedom, permitted, recast
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.app import Resource, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Slot, Status
from touchstone.twin.settings import Account

# Time from the last log event of a build until its status changes.
LEARNS_LATE_S = 0.05
# Time from the last log event of a build until its log closes.
LINGERS_S = 0.5

# fmt: off
freedom("fast-builds", "A build takes 10 ms plus its steps.", Engine, pace={"build_s": 0.01},
        source="build#intro (two minutes are typical, not promised)")
freedom("slow-builds", "A build takes one second plus its steps.", Engine, pace={"build_s": 1.0},
        source="build#intro (two minutes are typical, not promised)")
freedom("time-limit-on-builds", "A build fails after three seconds, and its log ends with phase timeout.",
        Engine, 32, pace={"build_timeout_s": 3.0})
freedom("cancel-settles-slowly", "A cancelled build has the status building for one more second.", Engine, 12,
        pace={"settle_s": 1.0})
freedom("cancel-settles-at-once", "A cancel has settled before the response.", Engine, 12, 13,
        pace={"settle_s": 0.0})
# fmt: on


@permitted(32, 33, pace={"build_timeout_s": 3.0})
class TimedOutReadsNotBuilt(Engine):
    """A build is aborted after three seconds, and its version then has the status not_built."""

    def state_of(self, slot: Slot | None) -> Status:
        state = super().state_of(slot)
        out_of_time = slot is not None and slot.last is not None and "timed out" in slot.last.error
        return "not_built" if state == "failed" and out_of_time else state


@permitted(10)
class StartWhileBuildingIs409(Engine):
    """A start of a version that is being built is answered with 409 and changes nothing."""

    def start(self, account: Account, version: Version) -> Body:
        if self.joinable(self.slot_of(version)):
            raise Refusal(409, "A build of this version is running.", code="BUILD_IN_PROGRESS")
        return super().start(account, version)


@permitted(10)
class StartWhileBuildingIs200(App):
    """A start of a version that is being built is answered with 200."""

    def start_build(self, account: Account, version: Version) -> Response:
        joins = self.engine.joinable(self.engine.slot_of(version))
        response = super().start_build(account, version)
        response.status_code = 200 if joins else response.status_code
        return response


@permitted(10, 12)
class StartWhileSettlingIs409(Engine):
    """While a version has the status building, even after its build was cancelled, a start is answered with 409."""

    def start(self, account: Account, version: Version) -> Body:
        if self.state_of(self.slot_of(version)) == "building":
            raise Refusal(409, "A build of this version is running.")
        return super().start(account, version)


@permitted(4, over=Engine.reusable)
def goldens_are_shared_by_accounts(engine: Engine, slot: Slot) -> Build | None:
    """A start reuses a finished snapshot (golden) with the same digest, even if another account built it."""
    if slot.golden is None:
        digest = next(digest for (_, digest), known in engine.slots.items() if known is slot)
        golden = next((s.golden for (_, its), s in engine.slots.items() if its == digest and s.golden), None)
        if golden is not None:
            slot.last = slot.golden = golden
    return slot.golden


class Queued(Build):
    """A build that waits for its turn before it does any work."""

    turn: asyncio.Lock

    async def work(self) -> str:
        async with self.turn:
            self._due_at = time.monotonic()
            return await super().work()


@permitted(source="build#errors (429 if no host has capacity; a server may queue builds instead)")
class BuildsQueueUp(Engine):
    """Builds of all accounts run one after the other; a queued build has the status building."""

    turn = own(asyncio.Lock)

    def check_capacity(self) -> None:
        pass

    def make_build(self, version: Version) -> Build:
        build = recast(super().make_build(version), Queued)
        assert isinstance(build, Queued)
        build.turn = self.turn
        return build


class LateStatus(Build):
    """A build whose status changes a moment after its log has ended."""

    _over = False

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if self.outcome or self._over:
            return
        self._over = True
        self.say(level, phase, line)
        self.stream.close()
        asyncio.get_running_loop().call_later(LEARNS_LATE_S, self._learn, outcome)

    def cancel(self) -> None:
        if not self._over:
            super().cancel()

    def _learn(self, outcome: Any) -> None:
        self.outcome = outcome
        self._on_end(self)


# fmt: off
build_freedom("status-follows-the-log", LateStatus, "The log of a build ends a moment before its status changes.",
       source="build-events#intro, build-status#status (neither says which of the two ends first)")
# fmt: on


class Crashing(Build):
    """A build that fails to compile its document."""

    async def work(self) -> str:
        self.say("error", "compile", "cannot resolve a secret", "builder")
        return "cannot resolve a secret"


@permitted(48)
class SecretsCrashTheBuild(Engine):
    """A document that refers to a secret can be published, but its build fails."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        secret = any(isinstance(value, dict) for value in (version.template.get("env") or {}).values())
        return recast(build, Crashing) if secret else build


class Rounded(Build):
    """A build whose build time is rounded up to a multiple of 10 ms."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        self.build_time_ms = -(-self.build_time_ms // 10) * 10
        super().finish(outcome, level, phase, line)


# fmt: off
build_freedom("build-time-is-rounded", Rounded, "Build times are multiples of 10 ms.",
       source="build-status#example (118420: whole hundredths of a second)")
# fmt: on


@permitted(12)
class CancelledReadsFailed(Engine):
    """A version whose build was cancelled has the status failed and an error."""

    def state_of(self, slot: Slot | None) -> Status:
        cancelled = slot is not None and slot.last is not None and slot.last.outcome == "cancelled"
        state = super().state_of(slot)
        return "failed" if cancelled and state == "not_built" else state

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"error": body["error"] or "The build was cancelled."} if "error" in body else body


@permitted(12)
class CancelLeavesTheEarlierFailure(Engine):
    """After a failed build, the cancel of the next build brings back the status failed and the earlier error."""

    before = own(dict[Build, Build])

    def make_build(self, version: Version) -> Build:
        build, last = super().make_build(version), self.slot_of(version).last
        if last is not None and last.outcome == "failed":
            self.before[build] = last
        return build

    def ended(self, slot: Slot, build: Build) -> None:
        super().ended(slot, build)
        if build.outcome == "cancelled" and slot.last is build:
            slot.last = self.before.get(build, build)


@permitted(13)
class SecondCancelFindsNothing(Engine):
    """A second cancel before the first has settled is answered with 404."""

    def cancel(self, version: Version) -> bool:
        slot = self.slots.get((version.owner, version.digest))
        settling = slot is not None and slot.last is not None and slot.last.cancelling
        return False if settling else super().cancel(version)


@permitted(14)
class UnknownVersionIsIdle(App):
    """A cancel of an unknown version is answered like a cancel without a running build: 404 with the status idle."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        cancels = resource.kind == "build" and request.method == "DELETE"
        if cancels and self.engine.find(account, resource.ref) is None:
            return answer_json(404, {"status": "idle"})
        return await super().operate(request, account, resource)


@permitted(15, over=App.cancel_build)
def idle_has_an_error(app: App, version: Version) -> Response:
    """The 404 for a cancel without a running build has an error and a request_id besides the status idle."""
    if app.engine.cancel(version):
        return answer_json(202, {"status": "cancelling"})
    body = {"status": "idle", "error": "Nothing is building.", "request_id": app.request_id()}
    return answer_json(404, body)


class Silenced(Build):
    """A build whose log ends as soon as the build is cancelled."""

    def cancel(self) -> None:
        if not self.outcome and not self.cancelling:
            self.say("warn", "cancel", "build cancelled")
            self.stream.close()
        super().cancel()

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        if not self.stream.closed:
            super().finish(outcome, level, phase, line)
        elif not self.outcome:
            self.outcome = outcome
            self._on_end(self)


# fmt: off
build_freedom("cancelled-log-ends-at-once", Silenced,
       "The log of a cancelled build ends when the cancel is accepted; its status settles later.", 29)
# fmt: on


class Lingering(Build):
    """A build whose log closes some time after its last frame."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        close, loop = self.stream.close, asyncio.get_running_loop()
        self.stream.close = lambda: None  # type: ignore[method-assign]  # for the length of one call
        super().finish(outcome, level, phase, line)
        del self.stream.close
        loop.call_later(LINGERS_S, close)


# fmt: off
build_freedom("log-closes-later", Lingering, "The log closes half a second after the end of its build.", 29)
# fmt: on
