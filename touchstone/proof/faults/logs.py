"""Faults of build logs: their frames and what these hold."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.stream import Stream

Event = dict[str, Any]


def frame_of(event: Any) -> bytes:
    """Anything as the data of one frame."""
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def event_of(frame: bytes) -> Event:
    """The event that a frame holds."""
    return dict(json.loads(frame.removeprefix(b"data: ")))


def ends(event: Event) -> bool:
    """Whether an event is the last one of its build."""
    return event["phase"] in ("ready", "cancel", "timeout") or event["level"] == "error"


class Retold(Stream):
    """Each event is told in the words of *tell*, which may be none or several frames."""

    def __init__(self, tell: Callable[[Event], Iterable[bytes]]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, frame_bytes: bytes) -> None:
        for told in self._tell(event_of(frame_bytes)):
            super().emit(told)


class Tells(Engine):
    """Build logs tell their events in another way."""

    def tell(self, event: Event) -> Iterable[bytes]:
        """The frames that tell *event*."""
        raise NotImplementedError

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream = Retold(self.tell)
        return build


class Changes(Tells):
    """Build logs have other values in the fields of their events."""

    def change(self, event: Event) -> Event:
        """The event that is told instead."""
        raise NotImplementedError

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(self.change(event))


# --- the answer --------------------------------------------------------------------------------------------------


@breaks("stream", "events.media-type")
class LogIsPlainText(App):
    """The build log is sent as text/plain."""

    def stream_events(self, request: Request, version: Version) -> Response:
        response = super().stream_events(request, version)
        response.headers["content-type"] = "text/plain; charset=utf-8"
        return response


# --- frames ------------------------------------------------------------------------------------------------------


@breaks("stream", "events.framing")
class LinesWithoutData(Tells):
    """Every frame is followed by its line alone, outside any field."""

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)
        yield b"[" + event["line"].encode() + b"]\n\n"


@breaks("stream", "events.framing")
class LastFrameIsOpen(Tells):
    """The last frame lacks the blank line, so that no reader takes it."""

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)[: -1 if ends(event) else None]


@breaks("stream", "events.framing")
class LogIsNotUtf8(Tells):
    """The log holds a byte that is no UTF-8."""

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event).replace(b"booted", b"boot\xe9")


@breaks("stream", "events.json-per-frame")
class FramesAreLines(Tells):
    """What a build step prints is sent as it is."""

    def tell(self, event: Event) -> Iterable[bytes]:
        bare = event["phase"] == "install" and "source" not in event and not ends(event)
        yield b"data: " + event["line"].encode() + b"\n\n" if bare else frame_of(event)


@breaks("stream", "events.json-per-frame")
class FramesAreLists(Tells):
    """Each frame holds a list of one event."""

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of([event])


# --- fields ------------------------------------------------------------------------------------------------------


@breaks("stream", "events.fields-are-documented")
class TimestampIsANumber(Changes):
    """The time of an event is in seconds since 1970."""

    def change(self, event: Event) -> Event:
        return {**event, "ts": datetime.fromisoformat(event["ts"]).timestamp()}


@breaks("stream", "events.fields-are-documented")
class SourceIsNull(Changes):
    """An event without a source has one that is null."""

    def change(self, event: Event) -> Event:
        return {"source": None, **event}


@breaks("stream", "events.level-is-documented")
class LevelIsWarning(Changes):
    """The end of a cancelled build is of level ``warning``."""

    def change(self, event: Event) -> Event:
        return {**event, "level": "warning" if event["level"] == "warn" else event["level"]}


@breaks("stream", "events.phase-is-documented")
class FailureHasItsOwnPhase(Changes):
    """A build that fails ends on a phase called ``failed``."""

    def change(self, event: Event) -> Event:
        return {**event, "phase": "failed"} if event["level"] == "error" else event


# --- times -------------------------------------------------------------------------------------------------------


def moved(event: Event, seconds: float) -> Event:
    """The event at another time."""
    told = datetime.fromisoformat(event["ts"]) + timedelta(seconds=seconds)
    return {**event, "ts": told.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


@breaks("stream", "events.timestamps-are-iso")
class TimestampsWithoutZone(Changes):
    """Timestamps have no offset."""

    def change(self, event: Event) -> Event:
        return {**event, "ts": event["ts"].removesuffix("Z")}


@breaks("stream", "events.timestamps-in-order")
class LastEventIsBackdated(Changes):
    """The last event is dated two seconds before the others."""

    def change(self, event: Event) -> Event:
        return moved(event, -2.0) if ends(event) else event


@breaks("stream", "events.timestamps-are-true")
class TimestampsAreLocal(Changes):
    """Timestamps tell the time of another zone and call it UTC."""

    def change(self, event: Event) -> Event:
        return moved(event, 7200.0)


@breaks("stream", "events.timestamps-are-true")
class OldTimestampsAreLocal(Engine):
    """A log that is told again tells the time of another zone and calls it UTC."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        slot = self.slots.get((version.owner, version.digest))
        over = slot is not None and slot.last is not None and bool(slot.last.outcome)
        frames = super().events(version)
        return self._moved(frames) if over and frames else frames

    async def _moved(self, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for frame in frames:
            yield frame_of(moved(event_of(frame), -7200.0))
