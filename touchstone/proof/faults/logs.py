"""Faults of build logs: their frames and what these hold, how a log ends, when it opens and closes, and for whom."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks, fault, own
from touchstone.twin.app import App, no_such_build
from touchstone.twin.build import Build, Stream
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine

Event = dict[str, Any]
HASTY = {"cancel_timeout_s": 1.0}


def frame_of(event: Any) -> bytes:
    """Anything as the data of one frame."""
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def event_of(frame: bytes) -> Event:
    """The event that a frame holds."""
    return dict(json.loads(frame.removeprefix(b"data: ")))


def ends(event: Event) -> bool:
    """Whether an event is the last one of its build."""
    return event["phase"] in ("ready", "cancel", "timeout") or event["level"] == "error"


def is_output(event: Event) -> bool:
    """Whether an event is what a build step printed."""
    return event["phase"] == "install" and "source" not in event and not ends(event)


def moved(event: Event, seconds: float) -> Event:
    """The event at another time."""
    told = datetime.fromisoformat(event["ts"]) + timedelta(seconds=seconds)
    return {**event, "ts": told.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


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

    def change(self, event: Event) -> Any:
        """What the frame holds that is told instead."""
        raise NotImplementedError

    def tell(self, event: Event) -> Iterable[bytes]:
        """The frames that tell *event*."""
        return (frame_of(self.change(event)),)

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        build.stream = Retold(self.tell)
        return build


def where(field: str, value: str, **fields: str) -> Callable[[Engine, Event], Event]:
    """A change of the events with one value in a field: other values in some of their fields."""
    return lambda _, event: event | fields if event[field] == value else event


class StaysOpen(Engine):
    """The log of a build that ends in certain ways stays open."""

    outcomes: tuple[str, ...] = ()

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        close = build.stream.close
        build.stream.close = lambda: None if build.outcome in self.outcomes else close()  # type: ignore[method-assign]  # of this one
        return build


# fmt: off
# --- frames ---
fault("lines-without-data", "stream", "events.framing",
      "Every frame is followed by its line alone, outside any field.", Tells,
      tell=lambda _, event: (frame_of(event), b"[" + event["line"].encode() + b"]\n\n"))
fault("last-frame-is-open", "stream", "events.framing",
      "The last frame lacks the blank line, so that no reader takes it.", Tells,
      tell=lambda _, event: (frame_of(event)[: -1 if ends(event) else None],))
fault("log-is-not-utf-8", "stream", "events.framing", "The log holds a byte that is no UTF-8.", Tells,
      tell=lambda _, event: (frame_of(event).replace(b"booted", b"boot\xe9"),))
fault("frames-are-lines", "stream", "events.json-per-frame", "What a build step prints is sent as it is.", Tells,
      tell=lambda _, event: (
          b"data: " + event["line"].encode() + b"\n\n" if is_output(event) else frame_of(event),))
fault("frames-are-lists", "stream", "events.json-per-frame", "Each frame holds a list of one event.", Tells,
      change=lambda _, event: [event])
# --- fields ---
fault("timestamp-is-a-number", "stream", "events.fields-are-documented",
      "The time of an event is in seconds since 1970.", Tells,
      change=lambda _, event: event | {"ts": datetime.fromisoformat(event["ts"]).timestamp()})
fault("source-is-null", "stream", "events.fields-are-documented", "An event without a source has one that is null.",
      Tells, change=lambda _, event: {"source": None, **event})
fault("level-is-warning", "stream", "events.level-is-documented",
      "The end of a cancelled build is of level `warning`.", Tells, change=where("level", "warn", level="warning"))
fault("failure-has-its-own-phase", "stream", "events.phase-is-documented",
      "A build that fails ends on a phase called `failed`.", Tells, change=where("level", "error", phase="failed"))
fault("timestamps-without-zone", "stream", "events.timestamps-are-iso", "Timestamps have no offset.", Tells,
      change=lambda _, event: event | {"ts": event["ts"].removesuffix("Z")})
fault("last-event-is-backdated", "stream", "events.timestamps-in-order",
      "The last event is dated two seconds before the others.", Tells,
      change=lambda _, event: moved(event, -2.0 if ends(event) else 0.0))
fault("timestamps-are-local", "stream", "events.timestamps-are-true",
      "Timestamps tell the time of another zone and call it UTC.", Tells,
      change=lambda _, event: moved(event, 7200.0))
# --- how a log ends, and what it holds ---
fault("log-ends-without-end", "stream",
      "events.ready-ends-on-ready events.failed-ends-on-error events.cancelled-ends-on-cancel",
      "The log closes without a frame that says how the build ended.", Tells,
      tell=lambda _, event: () if ends(event) else (frame_of(event),))
fault("ready-is-not-said", "stream", "events.ready-ends-on-ready",
      "The log of a build that succeeds ends on the phase archive.", Tells,
      change=where("phase", "ready", phase="archive"))
fault("failure-ends-on-ready", "stream", "events.failed-ends-on-error",
      "The log of a build that fails ends on the phase ready.", Tells,
      change=where("level", "error", level="success", phase="ready"))
fault("cancel-is-a-timeout", "stream", "events.cancelled-ends-on-cancel",
      "The log of a build that is cancelled ends on the phase timeout.", Tells,
      change=where("phase", "cancel", phase="timeout"))
fault("cleaning-up-is-logged", "stream", "events.terminal-frame-comes-last",
      "After the end of a build the log tells how its machine is removed.", Tells,
      tell=lambda _, event: map(frame_of, (event, *[event | {
          "level": "info", "phase": "archive", "line": "removed the machine"}] * ends(event))))
fault("output-is-logged-twice", "stream", "events.carry-the-output",
      "What a build step prints appears in the log twice.", Tells,
      tell=lambda _, event: map(frame_of, (event, *[event | {"source": "builder"}] * is_output(event))))
fault("output-is-cut-short", "stream", "events.carry-the-output",
      "A line of the log holds eight characters at most, unless the builder says it.", Tells,
      change=lambda _, event: event | {"line": event["line"][:8] if is_output(event) else event["line"]})
# --- when it closes ---
fault("log-never-closes", "stream", "events.close-at-the-end", "The log of a finished build stays open.",
      StaysOpen, outcomes=("ready", "failed"), also="events.finished-version-closes", target=HASTY)
fault("log-of-a-cancel-stays-open", "stream", "events.close-at-the-end",
      "The log of a build that was cancelled stays open.", StaysOpen, outcomes=("cancelled",), target=HASTY)
# fmt: on


@breaks("stream", "events.media-type", over=App.stream_events)
def log_is_plain_text(app: App, request: Request, version: Version) -> Response:
    """The build log is sent as text/plain."""
    response = App.stream_events(app, request, version)
    response.headers["content-type"] = "text/plain; charset=utf-8"
    return response


@breaks("stream", "events.answers-200", over=App.stream_events)
def log_is_there_at_the_end(app: App, request: Request, version: Version) -> Response:
    """There is no log until its build is over."""
    last = app.engine.last_of(version)
    if last is not None and not last.outcome:
        raise no_such_build()
    return App.stream_events(app, request, version)


@breaks("stream", "events.timestamps-are-true", over=Engine.follow)
async def old_timestamps_are_local(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """A log that is told again tells the time of another zone and calls it UTC."""
    over = bool(build.outcome)
    async for frame in build.stream.follow():
        yield frame_of(moved(event_of(frame), -7200.0)) if over else frame


class Beside(Stream):
    """Frames go to the logs of other builds as well."""

    def __init__(self, others: Callable[[bytes], Iterable[Stream]]) -> None:
        super().__init__()
        self._others = others

    def emit(self, frame_bytes: bytes) -> None:
        super().emit(frame_bytes)
        for stream in self._others(frame_bytes):
            Stream.emit(stream, frame_bytes)


@breaks("concurrency", "events.own-lines-only", over=Engine.make_build)
def logs_are_mixed(engine: Engine, version: Version) -> Build:
    """What one build prints appears in the log of every other one."""
    build = Engine.make_build(engine, version)
    build.stream = Beside(
        lambda frame: [other.stream for other in engine.running if b'"install"' in frame and other is not build]
    )
    return build


@breaks("stateful", "events.own-lines-only")
class LogGoesOnWithTheNextBuild(Engine):
    """The log of a version begins with what the build before printed, though its content was replaced."""

    printed = own(dict[Any, Stream])

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        printed = self.printed.setdefault((version.owner, version.ref), Stream())
        build.stream = Beside(lambda frame: [printed] if b'"install"' in frame and b'"builder"' not in frame else [])
        build.stream.frames.extend(printed.frames)
        return build


@breaks("concurrency", "events.watchers-agree")
class SecondFollowerMissesLines(Engine):
    """Whoever follows beside another one misses how the snapshot is taken."""

    followers = own(Counter[Build])

    async def follow(self, build: Build) -> AsyncIterator[bytes]:
        self.followers[build] += 1
        number = self.followers[build]
        async for frame in build.stream.follow():
            if number == 1 or event_of(frame)["phase"] != "snapshot":
                yield frame


@breaks("semantic", "events.build-time-agrees")
class LogCountsTheQueue(Tells):
    """The last line of the log tells a build time that is a second longer than the one in the status."""

    def change(self, event: Event) -> Event:
        if event["phase"] != "ready":
            return event
        words = event["line"].split(" ")
        words[-2] = f"{float(words[-2]) + 1.0:.1f}"
        return {**event, "line": " ".join(words)}


@breaks("stream", "events.open-while-building", also="events.cancelled-ends-on-cancel", over=Engine.follow)
async def log_is_a_snapshot(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """The log holds what there is so far and ends, though the build runs."""
    for frame in list(build.stream.frames):
        yield frame


@breaks("stream", "events.open-while-building", over=Engine.follow)
async def log_times_out(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """A log in which nothing happens for a twentieth of a second is closed."""
    frames = aiter(build.stream.follow())
    while True:
        try:
            yield await asyncio.wait_for(anext(frames), 0.05)
        except (TimeoutError, StopAsyncIteration):
            return


@breaks("timing", "events.close-at-the-end", target=HASTY, over=Engine.follow)
async def log_closes_late(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """The log of a build that fails closes a good while after it."""
    live = not build.outcome
    async for frame in build.stream.follow():
        yield frame
    if live and build.outcome == "failed":
        await asyncio.sleep(1.5)


@breaks("stream", "events.finished-version-closes", target=HASTY, over=Engine.follow)
async def log_of_the_finished_is_open(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """Who follows a finished build waits for what never comes."""
    over = bool(build.outcome)
    async for frame in build.stream.follow():
        yield frame
    if over:
        await asyncio.Event().wait()


# fmt: off
fault("log-of-the-unbuilt-is-open", "stream", "events.finished-version-closes",
      "Who follows a version that was never built waits for its build.", Engine,
      events=lambda self, version: Engine.events(self, version) or Stream().follow(), target=HASTY)
# fmt: on
