"""Readings of when a build log is there, for whom, and which lines it has."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from touchstone.proof.variants.variant import permitted, recast
from touchstone.twin import App, Engine
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account
from touchstone.twin.stream import Stream


@permitted(25)
class LogIsGoneAfterTheBuild(Engine):
    """A version that is not building has no log: 404."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        """The usual log while its build runs."""
        slot = self.slots.get((version.owner, version.digest))
        return super().events(version) if slot and slot.last and not slot.last.outcome else None


@permitted(25)
class LogIsEmptyAtRest(Engine):
    """The log of a version that is not building is an empty stream."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        """The usual log while its build runs."""
        slot = self.slots.get((version.owner, version.digest))
        return super().events(version) if slot and slot.last and not slot.last.outcome else silence()


@permitted(26)
class LogOfUnknownVersionIsEmpty(App):
    """The log of a version that does not exist is an empty stream."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        """The usual answer to anything else."""
        if resource.kind == "events" and self.engine.find(account, resource.ref) is None:
            return StreamingResponse(silence(), media_type="text/event-stream")
        return await super().operate(request, account, resource)


@permitted(27)
class LateFollowerHearsWhatComes(Engine):
    """Who follows a log hears what is said from then on, and of a build that is over nothing."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        """The rest of the log."""
        slot = self.slots.get((version.owner, version.digest))
        return rest_of(slot.last.stream) if slot and slot.last else None


@permitted(source="build-events#intro (a stream of lines; how many come at once is nowhere said)")
class LogComesInLumps(Engine):
    """The lines of a log are collected for a moment and sent together."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        """The usual log in fewer pieces."""
        slot = self.slots.get((version.owner, version.digest))
        return lumps_of(slot.last.stream) if slot and slot.last else None


class Mumbling(Build):
    """A build that tells some of its phases."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        """The usual event, unless it is of a phase that is skipped."""
        if phase not in ("compile", "snapshot", "record"):
            super().say(level, phase, line, source)


class Failing(Build):
    """A build that tells its failure in a phase of its own."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        """The usual end; a failure is told while archiving."""
        super().finish(outcome, level, "archive" if outcome == "failed" else phase, line)


class Announcing(Build):
    """A build that names each command before its output."""

    async def install(self) -> str:
        """The usual steps, named first."""
        for number, step in enumerate(self.plan.steps, 1):
            command = f"echo {step.line}" if step.line else f"sleep {step.pause_s:g}"
            self.say("info", "install", f"step {number}: {command}", "builder")
        return await super().install()


class Prefixing(Build):
    """A build that marks each line with where it comes from."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        """The usual event with a mark before its line."""
        super().say(level, phase, f"[{phase}] {line}", source)


class Terse(Build):
    """A build that does not say how long it took."""

    def ready_line(self) -> str:
        """The last line, without a number."""
        return "golden snapshot is there ✓"


def spoken(name: str, kind: type[Build], says: str, *answers: int, source: str = "") -> None:
    """Enters an engine whose builds are of a kind."""

    class Speaking(Engine):
        def make_build(self, version: Version) -> Build:
            return recast(super().make_build(version), kind)

    Speaking.__doc__, Speaking.__name__ = says, name
    permitted(*answers, source=source)(Speaking)


_LINES = "build-events#line (a log line, of no form)"
spoken("PhasesAreSkipped", Mumbling, "The log has three phases.", source="build-events#example (it begins at boot)")
spoken("FailureHasAnotherPhase", Failing, "The log of a failed build ends in the phase archive.", 28)
spoken("StepsAreAnnounced", Announcing, "The log names each command before it runs.", source=_LINES)
spoken("LinesHavePrefixes", Prefixing, "Each line begins with its phase in brackets.", source=_LINES)
spoken("LastLineTellsNoTime", Terse, "The last line tells no build time.", source=_LINES)


async def silence() -> AsyncIterator[bytes]:
    """Nothing, and the end."""
    nothing: tuple[bytes, ...] = ()
    for each in nothing:
        yield each


async def rest_of(stream: Stream) -> AsyncIterator[bytes]:
    """The frames that are not there yet."""
    skipped, seen = len(stream.frames), 0
    async for frame in stream.follow():
        seen += 1
        if seen > skipped:
            yield frame


async def lumps_of(stream: Stream) -> AsyncIterator[bytes]:
    """All frames, several at a time."""
    sent = 0
    while True:
        await asyncio.sleep(0.03)
        closed, lump = stream.closed, b"".join(stream.frames[sent:])
        sent = len(stream.frames)
        if lump:
            yield lump
        if closed:
            return
