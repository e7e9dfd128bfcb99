"""Readings of how builds begin, share and end."""

import asyncio
import time
from typing import Any

from starlette.responses import Response

from touchstone.proof.variants.variant import Variant, enter, permitted, recast
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Slot, Status
from touchstone.twin.settings import Account

# How long the status takes to learn of an end that the log has told.
LEARNS_LATE_S = 0.05

enter(
    Variant(
        name="fast-builds",
        says="A build takes its own steps and 10 ms.",
        source="build#intro (two minutes are typical, not promised)",
        pace={"build_s": 0.01},
    )
)
enter(
    Variant(
        name="slow-builds",
        says="A build takes its own steps and a second.",
        source="build#intro (two minutes are typical, not promised)",
        pace={"build_s": 1.0},
    )
)
enter(
    Variant(
        name="time-limit-on-builds",
        says="A build that takes longer than three seconds fails, and its log ends on timeout.",
        answers=(32,),
        source="facts 7.32",
        pace={"build_timeout_s": 3.0},
    )
)


@permitted(32, 33, pace={"build_timeout_s": 3.0})
class TimedOutReadsNotBuilt(Engine):
    """A build that takes longer than three seconds is given up, and its version reads not_built."""

    def state_of(self, slot: Slot | None) -> Status:
        """The usual status, but no failure for what ran out of time."""
        state = super().state_of(slot)
        out_of_time = slot is not None and slot.last is not None and "timed out" in slot.last.error
        return "not_built" if state == "failed" and out_of_time else state


@permitted(10)
class StartWhileBuildingIs409(Engine):
    """A start while the version builds is a conflict, and changes nothing."""

    def start(self, account: Account, version: Version) -> Body:
        """Starts, unless a build is in flight."""
        if self.joinable(self.slot_of(version)):
            raise Refusal(409, "A build of this version is running.", code="BUILD_IN_PROGRESS")
        return super().start(account, version)


@permitted(10)
class StartWhileBuildingIs200(App):
    """A start that joins the build in flight is answered with 200."""

    def start_build(self, account: Account, version: Version) -> Response:
        """Starts, and tells a build that was there from a new one."""
        joins = self.engine.joinable(self.engine.slot_of(version))
        response = super().start_build(account, version)
        response.status_code = 200 if joins else response.status_code
        return response


@permitted(10, 12)
class StartWhileSettlingIs409(Engine):
    """
    A start while a cancelled build still reads building is a conflict like any other start while it reads building.
    """

    def start(self, account: Account, version: Version) -> Body:
        """Starts, unless the version reads building."""
        if self.state_of(self.slot_of(version)) == "building":
            raise Refusal(409, "A build of this version is running.")
        return super().start(account, version)


@permitted(4)
class GoldensAreSharedByAccounts(Engine):
    """A start finds the golden of whoever built the same digest first."""

    def reusable(self, slot: Slot) -> Build | None:
        """The account's own golden, or another's of the same digest."""
        if slot.golden is None:
            digest = next(digest for (_, digest), known in self.slots.items() if known is slot)
            golden = next((s.golden for (_, its), s in self.slots.items() if its == digest and s.golden), None)
            if golden is not None:
                slot.last = slot.golden = golden
        return slot.golden


class Queued(Build):
    """A build that waits for its turn."""

    turn: asyncio.Lock

    async def work(self) -> str:
        """The usual work, once those before it are over."""
        async with self.turn:
            self._due_at = time.monotonic()
            return await super().work()


@permitted(source="build#errors (429 where no host has room: here one always has, some time)")
class BuildsQueueUp(Engine):
    """Builds of all accounts run one after the other; one that waits for its turn reads building."""

    def __init__(self, *arguments: Any) -> None:
        self.turn = asyncio.Lock()
        super().__init__(*arguments)

    def check_capacity(self) -> None:
        """Refuses none."""

    def make_build(self, version: Version) -> Build:
        """A build that waits for its turn."""
        build = recast(super().make_build(version), Queued)
        assert isinstance(build, Queued)
        build.turn = self.turn
        return build


class Seen(Build):
    """A build whose status learns of its end after the log."""

    _over = False

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        """The last event and the end of the stream first, the state a moment later."""
        if self.outcome or self._over:
            return
        self._over = True
        self.say(level, phase, line)
        self.stream.close()
        asyncio.get_running_loop().call_later(LEARNS_LATE_S, self._learn, outcome)

    def cancel(self) -> None:
        """Stops what is not over."""
        if not self._over:
            super().cancel()

    def _learn(self, outcome: Any) -> None:
        self.outcome = outcome
        self._on_end(self)


@permitted(source="build-events#intro, build-status#status (neither says which of the two tells an end first)")
class StatusFollowsTheLog(Engine):
    """The log of a build ends a moment before its status says so."""

    def make_build(self, version: Version) -> Build:
        """A build whose end is told in another order."""
        return recast(super().make_build(version), Seen)


class Crashing(Build):
    """A build that cannot compile its document."""

    async def work(self) -> str:
        """Says what went wrong and ends."""
        self.say("error", "compile", "cannot resolve a secret", "builder")
        return "cannot resolve a secret"


@permitted(48)
class SecretsCrashTheBuild(Engine):
    """A document that refers to a secret is valid, and its build fails."""

    def make_build(self, version: Version) -> Build:
        """The usual build, unless the document refers to a secret."""
        build = super().make_build(version)
        secret = any(isinstance(value, dict) for value in (version.template.get("env") or {}).values())
        return recast(build, Crashing) if secret else build


class Rounded(Build):
    """A build whose time is told in steps of ten milliseconds."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        """The usual end with a rounded time."""
        self.build_time_ms = -(-self.build_time_ms // 10) * 10
        super().finish(outcome, level, phase, line)


@permitted(source="build-status#example (118420: whole hundredths of a second)")
class BuildTimeIsRounded(Engine):
    """Build times are whole hundredths of a second."""

    def make_build(self, version: Version) -> Build:
        """A build with a rounded time."""
        return recast(super().make_build(version), Rounded)
