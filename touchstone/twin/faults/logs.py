"""
Faults of build logs: their frames and what these hold.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.faults.fault import breaks
from touchstone.twin.stream import Stream

Event = dict[str, Any]


def frame_of(event: Any) -> bytes:
    """
    Anything as the data of one frame.
    """
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def event_of(frame: bytes) -> Event:
    """
    The event that a frame holds.
    """
    return dict(json.loads(frame.removeprefix(b"data: ")))


def ends(event: Event) -> bool:
    """
    Whether an event is the last one of its build.
    """
    return event["phase"] in ("ready", "cancel", "timeout") or event["level"] == "error"


class Retold(Stream):
    """
    Each event is told in the words of *tell*, which may be none or several frames.
    """

    def __init__(self, tell: Callable[[Event], Iterable[bytes]]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, frame_bytes: bytes) -> None:
        for told in self._tell(event_of(frame_bytes)):
            super().emit(told)


class Tells(Engine):
    """
    Build logs tell their events in another way.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        """
        The frames that tell *event*.
        """
        raise NotImplementedError

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream = Retold(self.tell)
        return build


class Changes(Tells):
    """
    Build logs have other values in the fields of their events.
    """

    def change(self, event: Event) -> Event:
        """
        The event that is told instead.
        """
        raise NotImplementedError

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(self.change(event))


# --- the answer --------------------------------------------------------------------------------------------------


class LogAnswers(App):
    """
    A build log is sent in another kind of answer.
    """

    def sent(self, response: Response) -> Response:
        """
        The answer instead of *response*.
        """
        raise NotImplementedError

    def stream_events(self, request: Request, version: Version) -> Response:
        return self.sent(super().stream_events(request, version))


@breaks("stream", "events.media-type")
class LogIsPlainText(LogAnswers):
    """
    The build log is sent as text/plain.
    """

    def sent(self, response: Response) -> Response:
        response.headers["content-type"] = "text/plain; charset=utf-8"
        return response


@breaks("stream", "events.media-type")
class LogIsCalledJson(LogAnswers):
    """
    The build log is an event stream and is called application/x-ndjson.
    """

    def sent(self, response: Response) -> Response:
        response.headers["content-type"] = "application/x-ndjson"
        return response


@breaks("stream", "events.answers-200", also=("http.status-is-documented",))
class LogIs206(LogAnswers):
    """
    The build log is partial content.
    """

    def sent(self, response: Response) -> Response:
        response.status_code = 206
        return response


# --- frames ------------------------------------------------------------------------------------------------------


@breaks("stream", "events.framing")
class LinesWithoutData(Tells):
    """
    Every frame is followed by its line alone, outside any field.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)
        yield b"[" + event["line"].encode() + b"]\n\n"


@breaks("stream", "events.framing")
class LastFrameIsOpen(Tells):
    """
    The last frame lacks the blank line, so that no reader takes it.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)[: -1 if ends(event) else None]


@breaks("stream", "events.framing")
class LogIsNotUtf8(Tells):
    """
    The log holds a byte that is no UTF-8.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event).replace(b"booted", b"boot\xe9")


@breaks("stream", "events.framing")
class RetryIsInWords(Tells):
    """
    The log opens with a retry that is no number.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        if event["phase"] == "compile":
            yield b"retry: soon\n\n"
        yield frame_of(event)


@breaks("stream", "events.json-per-frame")
class FramesArePython(Tells):
    """
    Each frame holds the repr of a dictionary.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        yield b"data: " + repr(event).encode() + b"\n\n"


@breaks("stream", "events.json-per-frame")
class FramesAreLines(Tells):
    """
    What a build step prints is sent as it is.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        bare = event["phase"] == "install" and "source" not in event and not ends(event)
        yield b"data: " + event["line"].encode() + b"\n\n" if bare else frame_of(event)


@breaks("stream", "events.json-per-frame")
class FramesAreLists(Tells):
    """
    Each frame holds a list of one event.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of([event])


@breaks("stream", "events.json-per-frame")
class LogEndsOnDone(Tells):
    """
    After the last event there is a frame that says DONE.
    """

    def tell(self, event: Event) -> Iterable[bytes]:
        yield frame_of(event)
        if ends(event):
            yield b"data: [DONE]\n\n"


# --- fields ------------------------------------------------------------------------------------------------------


@breaks("stream", "events.fields-are-documented")
class LineIsAList(Changes):
    """
    The line of an event is a list of lines.
    """

    def change(self, event: Event) -> Event:
        return {**event, "line": [event["line"]]}


@breaks("stream", "events.fields-are-documented")
class TimestampIsANumber(Changes):
    """
    The time of an event is in seconds since 1970.
    """

    def change(self, event: Event) -> Event:
        return {**event, "ts": datetime.fromisoformat(event["ts"]).timestamp()}


@breaks("stream", "events.fields-are-documented")
class LevelIsANumber(Changes):
    """
    The level of an event is a number.
    """

    def change(self, event: Event) -> Event:
        return {**event, "level": ["info", "success", "warn", "error"].index(event["level"])}


@breaks("stream", "events.fields-are-documented")
class SourceIsNull(Changes):
    """
    An event without a source has one that is null.
    """

    def change(self, event: Event) -> Event:
        return {"source": None, **event}


@breaks("stream", "events.level-is-documented")
class LevelIsInCapitals(Changes):
    """
    Levels are written in capitals.
    """

    def change(self, event: Event) -> Event:
        return {**event, "level": event["level"].upper()}


@breaks("stream", "events.level-is-documented")
class LevelIsWarning(Changes):
    """
    The end of a cancelled build is of level ``warning``.
    """

    def change(self, event: Event) -> Event:
        return {**event, "level": "warning" if event["level"] == "warn" else event["level"]}


@breaks("stream", "events.phase-is-documented")
class PhaseIsBuilding(Changes):
    """
    Build steps run in a phase called ``building``.
    """

    def change(self, event: Event) -> Event:
        return {**event, "phase": "building" if event["phase"] == "install" else event["phase"]}


@breaks("stream", "events.phase-is-documented")
class FailureHasItsOwnPhase(Changes):
    """
    A build that fails ends on a phase called ``failed``.
    """

    def change(self, event: Event) -> Event:
        return {**event, "phase": "failed"} if event["level"] == "error" else event


# --- times -------------------------------------------------------------------------------------------------------


def moved(event: Event, seconds: float) -> Event:
    """
    The event at another time.
    """
    told = datetime.fromisoformat(event["ts"]) + timedelta(seconds=seconds)
    return {**event, "ts": told.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


@breaks("stream", "events.timestamps-are-iso")
class TimestampsWithoutZone(Changes):
    """
    Timestamps have no offset.
    """

    def change(self, event: Event) -> Event:
        return {**event, "ts": event["ts"].removesuffix("Z")}


@breaks("stream", "events.timestamps-are-iso")
class TimestampsAreHttpDates(Changes):
    """
    Timestamps are written as HTTP headers have them.
    """

    def change(self, event: Event) -> Event:
        return {**event, "ts": format_datetime(datetime.fromisoformat(event["ts"]), usegmt=True)}


@breaks("stream", "events.timestamps-are-iso")
class LastTimestampIsEmpty(Changes):
    """
    The last event has an empty timestamp.
    """

    def change(self, event: Event) -> Event:
        return {**event, "ts": ""} if ends(event) else event


@breaks("stream", "events.timestamps-in-order")
class LastEventIsBackdated(Changes):
    """
    The last event is dated two seconds before the others.
    """

    def change(self, event: Event) -> Event:
        return moved(event, -2.0) if ends(event) else event


@breaks("stream", "events.timestamps-in-order")
class SourcesHaveTheirOwnClocks(Changes):
    """
    What the builder says is dated by a clock that is a second ahead.
    """

    def change(self, event: Event) -> Event:
        return moved(event, 1.0) if "source" in event else event


@breaks("stream", "events.timestamps-are-true")
class TimestampsAreLocal(Changes):
    """
    Timestamps tell the time of another zone and call it UTC.
    """

    def change(self, event: Event) -> Event:
        return moved(event, 7200.0)


@breaks("stream", "events.timestamps-are-true")
class TimestampsCountFromZero(Changes):
    """
    Timestamps count from the beginning of 1970.
    """

    began_at = 0.0

    def change(self, event: Event) -> Event:
        at = datetime.fromisoformat(event["ts"]).timestamp()
        self.began_at = self.began_at or at
        told = datetime.fromtimestamp(at - self.began_at, UTC).isoformat(timespec="milliseconds")
        return {**event, "ts": told.replace("+00:00", "Z")}
