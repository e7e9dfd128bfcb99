"""
Broken servers whose fault lies in the build log.
"""

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.broken_twins import breaks
from touchstone.twin import App, Engine
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.stream import Stream


@breaks("events.media-type")
class LogIsPlainText(App):
    """
    The build log is sent as text/plain.
    """

    def stream_events(self, request: Request, version: Version) -> Response:
        response = super().stream_events(request, version)
        response.headers["content-type"] = "text/plain; charset=utf-8"
        return response


class Mute(Build):
    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        if phase not in {"ready", "cancel"} and level != "error":
            super().say(level, phase, line, source)


@breaks("events.ready-ends-on-ready", "events.failed-ends-on-error", "events.cancelled-ends-on-cancel")
class LogEndsWithoutEnd(Engine):
    """
    The log closes without a frame that says how the build ended.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.__class__ = Mute
        return build


@breaks("events.own-lines-only", also=("events.carry-the-output",))
class LogsAreMixed(Engine):
    """
    What one build prints appears in the log of every other one.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)

        def everywhere(frame: bytes) -> None:
            others = [other for other in self.running if b'"install"' in frame and other is not build]
            for stream in (build.stream, *(other.stream for other in others)):
                Stream.emit(stream, frame)

        build.stream.emit = everywhere
        return build


@breaks("events.close-at-the-end", also=("events.finished-version-closes",), target={"cancel_timeout_s": 1.0})
class LogNeverCloses(Engine):
    """
    The log of a finished build stays open.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream.close = lambda: None
        return build


@breaks(
    "events.open-while-building",
    also=("events.ready-ends-on-ready", "events.failed-ends-on-error", "events.cancelled-ends-on-cancel"),
)
class LogIsASnapshot(Engine):
    """
    The log holds what there is so far and ends, though the build runs.
    """

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        slot = self.slots.get((version.owner, version.digest))
        return _once(list(slot.last.stream.frames)) if slot and slot.last else None


async def _once(frames: list[bytes]) -> AsyncIterator[bytes]:
    for frame in frames:
        yield frame


class Zoneless(Build):
    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        super().say(level, phase, line, source)
        self.stream.frames[-1] = self.stream.frames[-1].replace(b'Z","level', b'","level')


@breaks("events.timestamps-are-iso", also=("events.timestamps-are-true",))
class TimestampsWithoutZone(Engine):
    """
    The timestamps of the log have no offset.
    """

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.__class__ = Zoneless
        return build
