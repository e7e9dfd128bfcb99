"""Faults of build logs: framing and fields, missing or extra lines, and when a log opens and closes."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.twin.app import App
from touchstone.twin.build import Build, Stream
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine

Event = dict[str, Any]
HASTY = {"cancel_timeout_s": 1.0}


def frame_of(event: Any) -> bytes:
    """Returns a frame with a value as its JSON data."""
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def event_of(frame: bytes) -> Event:
    """Parses the event in a frame."""
    return dict(json.loads(frame.removeprefix(b"data: ")))


def ends(event: Event) -> bool:
    """Whether an event is the last one of its build."""
    return event["phase"] in ("ready", "cancel", "timeout") or event["level"] == "error"


def is_output(event: Event) -> bool:
    """Whether an event is output of a build step."""
    return event["phase"] == "install" and "source" not in event and not ends(event)


def moved(event: Event, seconds: float) -> Event:
    """Returns the event with its time shifted."""
    time = datetime.fromisoformat(event["ts"]) + timedelta(seconds=seconds)
    return {**event, "ts": time.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class ChangedStream(Stream):
    """A log stream that replaces each event by the frames that *render* returns: none, one or several."""

    def __init__(self, render: Callable[[Event], Iterable[bytes]]) -> None:
        super().__init__()
        self._render = render

    def emit(self, frame_bytes: bytes) -> None:
        for frame in self._render(event_of(frame_bytes)):
            super().emit(frame)


class ChangesEvents(Engine):
    """Base class: build logs contain changed events."""

    def change(self, event: Event) -> Any:
        """Returns the JSON value to send in place of *event*."""
        raise NotImplementedError

    def render(self, event: Event) -> Iterable[bytes]:
        """Returns the frames that replace *event*."""
        return (frame_of(self.change(event)),)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream = ChangedStream(self.render)
        return build


def where(field: str, value: str, **fields: str) -> Callable[[Engine, Event], Event]:
    """Returns a change that sets *fields* in all events whose field *field* has the value *value*."""
    return lambda _, event: event | fields if event[field] == value else event


class StaysOpen(Engine):
    """Base class: the log of a build with certain outcomes stays open."""

    outcomes: tuple[str, ...] = ()

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        close = build.stream.close
        build.stream.close = lambda: None if build.outcome in self.outcomes else close()  # type: ignore[method-assign]  # of this one
        return build


# fmt: off
# --- frames ---
fault("lines-without-data", "stream", "events.framing",
      "Every frame is followed by a copy of its line, as text outside any SSE field.", ChangesEvents,
      render=lambda _, event: (frame_of(event), b"[" + event["line"].encode() + b"]\n\n"))
fault("frames-are-lines", "stream", "events.json-per-frame", "Output of build steps is not JSON.", ChangesEvents,
      render=lambda _, event: (
          b"data: " + event["line"].encode() + b"\n\n" if is_output(event) else frame_of(event),))
# --- fields ---
fault("source-is-null", "stream", "events.fields-are-documented", "Events without a source have a null source.",
      ChangesEvents, change=lambda _, event: {"source": None, **event})
fault("level-is-warning", "stream", "events.level-is-documented",
      "The last event of a cancelled build has level `warning`.",
      ChangesEvents, change=where("level", "warn", level="warning"))
fault("failure-has-its-own-phase", "stream", "events.phase-is-documented",
      "The last event of a failed build has phase `failed`.",
      ChangesEvents, change=where("level", "error", phase="failed"))
fault("timestamps-without-zone", "stream", "events.timestamps-are-iso", "Timestamps lack the UTC offset.",
      ChangesEvents, change=lambda _, event: event | {"ts": event["ts"].removesuffix("Z")})
fault("last-event-is-backdated", "stream", "events.timestamps-in-order",
      "The timestamp of the last event is two seconds before its true time.", ChangesEvents,
      change=lambda _, event: moved(event, -2.0 if ends(event) else 0.0))
fault("timestamps-are-local", "stream", "events.timestamps-are-true",
      "Timestamps are in local time, two hours ahead, but are marked as UTC.", ChangesEvents,
      change=lambda _, event: moved(event, 7200.0))
# --- the last event, and the lines ---
fault("log-ends-without-end", "stream",
      "events.ready-ends-on-ready events.failed-ends-on-error events.cancelled-ends-on-cancel",
      "The log closes without an event for the end of the build.", ChangesEvents,
      render=lambda _, event: () if ends(event) else (frame_of(event),))
fault("output-is-cut-short", "stream", "events.carry-the-output",
      "Output of build steps is truncated to eight characters in the log.", ChangesEvents,
      change=lambda _, event: event | {"line": event["line"][:8] if is_output(event) else event["line"]})
# --- closing ---
fault("log-never-closes", "stream", "events.close-at-the-end", "The log of a finished build stays open.",
      StaysOpen, outcomes=("ready", "failed"), also="events.finished-version-closes", target=HASTY)
fault("log-of-a-cancel-stays-open", "stream", "events.close-at-the-end",
      "The log of a cancelled build stays open.", StaysOpen, outcomes=("cancelled",), target=HASTY,
      also="events.finished-version-closes")
fault("log-is-there-at-the-end", "stream", "events.answers-200",
      "The log of a running build is answered with 404.", App, stream_events=refusing(
          App.stream_events, lambda app, _, version: (last := app.engine.last_of(version)) is not None
          and not last.outcome, 404, "This version has never been built."))
# fmt: on


@breaks("stream", "events.media-type", over=App.stream_events)
def log_is_plain_text(app: App, request: Request, version: Version) -> Response:
    """The build log is sent as text/plain."""
    response = App.stream_events(app, request, version)
    response.headers["content-type"] = "text/plain; charset=utf-8"
    return response


class Beside(Stream):
    """A log stream that copies frames into other streams."""

    def __init__(self, others: Callable[[bytes], Iterable[Stream]]) -> None:
        super().__init__()
        self._others = others

    def emit(self, frame_bytes: bytes) -> None:
        super().emit(frame_bytes)
        for stream in self._others(frame_bytes):
            Stream.emit(stream, frame_bytes)


@breaks("stateful", "events.own-lines-only")
class LogGoesOnWithTheNextBuild(Engine):
    """The log of a build begins with the output of the previous build of the version."""

    streams = own(dict[Any, Stream])

    def make_build(self, version: Version) -> Build:
        build, place = super().make_build(version), (version.owner, version.ref)
        before = self.streams.get(place, Stream()).frames
        build.stream.frames.extend(frame for frame in before if is_output(event_of(frame)))
        self.streams[place] = build.stream
        return build


@breaks("concurrency", "events.watchers-agree")
class SecondFollowerMissesLines(Engine):
    """Only the first client that follows a log gets the events of phase snapshot; all others miss them."""

    followers = own(Counter[Build])

    async def follow(self, build: Build) -> AsyncIterator[bytes]:
        self.followers[build] += 1
        number = self.followers[build]
        async for frame in build.stream.follow():
            if number == 1 or event_of(frame)["phase"] != "snapshot":
                yield frame


@breaks("semantic", "events.build-time-agrees")
class LogCountsTheQueue(ChangesEvents):
    """The build time in the last line of a log is one second longer than in the status."""

    def change(self, event: Event) -> Event:
        if event["phase"] != "ready":
            return event
        parts = event["line"].split(" ")
        parts[-2] = f"{float(parts[-2]) + 1.0:.1f}"
        return {**event, "line": " ".join(parts)}


@breaks("stream", "events.open-while-building", also="events.cancelled-ends-on-cancel", over=Engine.follow)
async def log_is_a_snapshot(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """The log of a running build closes after the lines that were written before the request."""
    for frame in list(build.stream.frames):
        yield frame


@breaks("stream", "events.open-while-building", over=Engine.follow, also="events.cancelled-ends-on-cancel")
async def log_times_out(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """A log closes if no new line comes for 50 ms."""
    frames = aiter(build.stream.follow())
    while True:
        try:
            yield await asyncio.wait_for(anext(frames), 0.05)
        except (TimeoutError, StopAsyncIteration):
            return


# fmt: off
fault("log-of-the-unbuilt-is-open", "stream", "events.finished-version-closes",
      "The log of an unbuilt version stays open until the version is built.", Engine,
      events=lambda self, version: Engine.events(self, version) or Stream().follow(), target=HASTY)
# fmt: on
