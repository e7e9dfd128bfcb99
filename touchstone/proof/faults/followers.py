"""Faults of following: when a log opens, and when it closes."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.app import App, no_such_build
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.stream import Stream


@breaks("stream", "events.answers-200")
class LogIsThereAtTheEnd(App):
    """There is no log until its build is over."""

    def stream_events(self, request: Request, version: Version) -> Response:
        slot = self.engine.slots.get((version.owner, version.digest))
        if slot is not None and slot.last is not None and not slot.last.outcome:
            raise no_such_build()
        return super().stream_events(request, version)


class Follows(Engine):
    """A log is followed in another way."""

    def followed(self, build: Build) -> AsyncIterator[bytes]:
        """What one follower of *build* is sent."""
        raise NotImplementedError

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        slot = self.slots.get((version.owner, version.digest))
        return self.followed(slot.last) if slot and slot.last else None


@breaks("stream", "events.open-while-building", also=("events.cancelled-ends-on-cancel",))
class LogIsASnapshot(Follows):
    """The log holds what there is so far and ends, though the build runs."""

    async def followed(self, build: Build) -> AsyncIterator[bytes]:
        for frame in list(build.stream.frames):
            yield frame


@breaks("stream", "events.open-while-building")
class LogTimesOut(Follows):
    """A log in which nothing happens for a twentieth of a second is closed."""

    async def followed(self, build: Build) -> AsyncIterator[bytes]:
        frames = aiter(build.stream.follow())
        while True:
            try:
                yield await asyncio.wait_for(anext(frames), 0.05)
            except (TimeoutError, StopAsyncIteration):
                return


class StaysOpen(Engine):
    """Logs of some builds stay open when these are over."""

    outcomes: tuple[str, ...] = ()

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream = Unclosed(build, self.outcomes)
        return build


class Unclosed(Stream):
    """The log of a build with one of *outcomes* is not closed."""

    def __init__(self, build: Build, outcomes: tuple[str, ...]) -> None:
        super().__init__()
        self._build, self._outcomes = build, outcomes

    def close(self) -> None:
        if self._build.outcome not in self._outcomes:
            super().close()


@breaks("stream", "events.close-at-the-end", also=("events.finished-version-closes",), target={"cancel_timeout_s": 1.0})
class LogNeverCloses(StaysOpen):
    """The log of a finished build stays open."""

    outcomes = ("ready", "failed")


@breaks("stream", "events.close-at-the-end", target={"cancel_timeout_s": 1.0})
class LogOfACancelStaysOpen(StaysOpen):
    """The log of a build that was cancelled stays open."""

    outcomes = ("cancelled",)


@breaks("timing", "events.close-at-the-end", target={"cancel_timeout_s": 1.0})
class LogClosesLate(Follows):
    """The log of a build that fails closes a good while after it."""

    async def followed(self, build: Build) -> AsyncIterator[bytes]:
        live = not build.outcome
        async for frame in build.stream.follow():
            yield frame
        if live and build.outcome == "failed":
            await asyncio.sleep(1.5)


@breaks("stream", "events.finished-version-closes", target={"cancel_timeout_s": 1.0})
class LogOfTheFinishedIsOpen(Follows):
    """Who follows a finished build waits for what never comes."""

    async def followed(self, build: Build) -> AsyncIterator[bytes]:
        over = bool(build.outcome)
        async for frame in build.stream.follow():
            yield frame
        if over:
            await asyncio.Event().wait()


@breaks("stream", "events.finished-version-closes", target={"cancel_timeout_s": 1.0})
class LogOfTheUnbuiltIsOpen(Engine):
    """Who follows a version that was never built waits for its build."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        return super().events(version) or _silence()


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""
