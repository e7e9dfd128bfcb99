"""Faults of what a log says: how its build ended, what it printed, how long it took, and to whom."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from touchstone.proof.faults.fault import breaks
from touchstone.proof.faults.followers import Follows
from touchstone.proof.faults.logs import Changes, Event, Tells, ends, event_of, frame_of
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.stream import Stream

ENDS = ("events.ready-ends-on-ready", "events.failed-ends-on-error", "events.cancelled-ends-on-cancel")

# --- how it ends -------------------------------------------------------------------------------------------------


@breaks("stream", *ENDS)
class LogEndsWithoutEnd(Tells):
    """The log closes without a frame that says how the build ended."""

    def tell(self, event: Event) -> Iterable[bytes]:
        if not ends(event):
            yield frame_of(event)


@breaks("stream", "events.ready-ends-on-ready")
class ReadyIsNotSaid(Changes):
    """The log of a build that succeeds ends on the phase archive."""

    def change(self, event: Event) -> Event:
        return {**event, "phase": "archive"} if event["phase"] == "ready" else event


@breaks("stream", "events.failed-ends-on-error")
class FailureEndsOnReady(Changes):
    """The log of a build that fails ends on the phase ready."""

    def change(self, event: Event) -> Event:
        return {**event, "level": "success", "phase": "ready"} if event["level"] == "error" else event


@breaks("stream", "events.cancelled-ends-on-cancel")
class CancelIsATimeout(Changes):
    """The log of a build that is cancelled ends on the phase timeout."""

    def change(self, event: Event) -> Event:
        return {**event, "phase": "timeout"} if event["phase"] == "cancel" else event


@breaks("stream", "events.terminal-frame-comes-last")
class CleaningUpIsLogged(Tells):
    """After the end of a build the log tells how its machine is removed."""

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)
        if ends(event):
            yield frame_of({**event, "level": "info", "phase": "archive", "line": "removed the machine"})


# --- what it holds -----------------------------------------------------------------------------------------------


class Beside(Stream):
    """Frames go to the logs of other builds as well."""

    def __init__(self, others: Any) -> None:
        super().__init__()
        self._others = others

    def emit(self, frame_bytes: bytes) -> None:
        super().emit(frame_bytes)
        for stream in self._others(frame_bytes):
            Stream.emit(stream, frame_bytes)


@breaks("concurrency", "events.own-lines-only")
class LogsAreMixed(Engine):
    """What one build prints appears in the log of every other one."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)

        def others(frame: bytes) -> list[Stream]:
            return [other.stream for other in self.running if b'"install"' in frame and other is not build]

        build.stream = Beside(others)
        return build


@breaks("stateful", "events.own-lines-only")
class LogGoesOnWithTheNextBuild(Engine):
    """The log of a version begins with what the build before printed, though its content was replaced."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.printed: dict[Any, list[bytes]] = {}

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        printed = self.printed.setdefault((version.owner, version.ref), [])

        def kept(frame: bytes) -> list[Stream]:
            if b'"install"' in frame and b'"builder"' not in frame:
                printed.append(frame)
            return []

        build.stream = Beside(kept)
        build.stream.frames.extend(printed)
        return build


@breaks("stream", "events.carry-the-output")
class OutputIsLoggedTwice(Tells):
    """What a build step prints appears in the log twice."""

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)
        if event["phase"] == "install" and "source" not in event and not ends(event):
            yield frame_of({**event, "source": "builder"})


@breaks("stream", "events.carry-the-output")
class OutputIsCutShort(Changes):
    """A line of the log holds eight characters at most, unless the builder says it."""

    def change(self, event: Event) -> Event:
        printed = event["phase"] == "install" and "source" not in event and not ends(event)
        return {**event, "line": event["line"][:8]} if printed else event


@breaks("concurrency", "events.watchers-agree")
class SecondFollowerMissesLines(Follows):
    """Whoever follows beside another one misses how the snapshot is taken."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.followers: dict[Build, int] = {}

    async def followed(self, build: Build) -> AsyncIterator[bytes]:
        self.followers[build] = number = self.followers.get(build, 0) + 1
        async for frame in build.stream.follow():
            if number == 1 or event_of(frame)["phase"] != "snapshot":
                yield frame


@breaks("semantic", "events.build-time-agrees")
class LogCountsTheQueue(Changes):
    """The last line of the log tells a build time that is a second longer than the one in the status."""

    def change(self, event: Event) -> Event:
        if event["phase"] != "ready":
            return event
        words = event["line"].split(" ")
        words[-2] = f"{float(words[-2]) + 1.0:.1f}"
        return {**event, "line": " ".join(words)}
