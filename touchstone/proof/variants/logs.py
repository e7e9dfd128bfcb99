"""Variants of build logs: when a log exists, the content of its frames, and their form."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from touchstone.proof.variants.variant import build_freedom, freedom, permitted
from touchstone.twin import App, Engine
from touchstone.twin.app import Resource
from touchstone.twin.build import Build, Stream
from touchstone.twin.catalog import Version
from touchstone.twin.settings import Account


@permitted(25)
class LogIsGoneAfterTheBuild(Engine):
    """Reading the log of a version that is not being built is answered with 404."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        last = self.last_of(version)
        return super().events(version) if last and not last.outcome else None


@permitted(25)
class LogIsEmptyAtRest(Engine):
    """The log of a version that is not being built is an empty stream."""

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        last = self.last_of(version)
        return super().events(version) if last and not last.outcome else silence()


@permitted(26)
class LogOfUnknownVersionIsEmpty(App):
    """The log of a version that does not exist is an empty stream."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind == "events" and self.engine.find(account, resource.ref) is None:
            return StreamingResponse(silence(), media_type="text/event-stream")
        return await super().operate(request, account, resource)


@permitted(27, over=Engine.follow)
def late_follower_hears_what_comes(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """A client gets only log lines that are written after its request; the log of a finished build is empty."""
    return rest_of(build.stream)


@permitted(source="build-events#intro (a stream of lines, without a promise about batches)", over=Engine.follow)
def log_comes_in_lumps(engine: Engine, build: Build) -> AsyncIterator[bytes]:
    """The lines of a log are sent in batches, every 30 ms."""
    return lumps_of(build.stream)


class Mumbling(Build):
    """A build that logs only some of its phases."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        if phase not in ("compile", "snapshot", "record"):
            super().say(level, phase, line, source)


class Failing(Build):
    """A build whose last log event has the phase archive if the build fails."""

    def finish(self, outcome: Any, level: Any, phase: Any, line: str) -> None:
        super().finish(outcome, level, "archive" if outcome == "failed" else phase, line)


class Announcing(Build):
    """A build that logs the list of its commands before it runs them."""

    async def install(self) -> str:
        for number, step in enumerate(self.plan.steps, 1):
            command = f"echo {step.line}" if step.line else f"sleep {step.pause_s:g}"
            self.say("info", "install", f"step {number}: {command}", "builder")
        return await super().install()


class Prefixing(Build):
    """A build that prefixes each line with its phase."""

    def say(self, level: Any, phase: Any, line: str, source: str = "") -> None:
        super().say(level, phase, f"[{phase}] {line}", source)


class Terse(Build):
    """A build whose last line contains no build time."""

    def ready_line(self) -> str:
        return "golden snapshot is there ✓"


_LINES = "build-events#line (a log line of any form)"
build_freedom(
    "phases-are-skipped", Mumbling, "The log lacks some phases.", source="build-events#example (it begins at boot)"
)
build_freedom("failure-has-another-phase", Failing, "The log of a failed build ends with phase archive.", 28)
build_freedom("steps-are-announced", Announcing, "The log lists the commands before their output.", source=_LINES)
build_freedom("lines-have-prefixes", Prefixing, "Each line begins with its phase in brackets.", source=_LINES)
build_freedom("last-line-tells-no-time", Terse, "The last line of a log contains no build time.", source=_LINES)


async def silence() -> AsyncIterator[bytes]:
    """Yields nothing."""
    nothing: tuple[bytes, ...] = ()
    for each in nothing:
        yield each


async def rest_of(stream: Stream) -> AsyncIterator[bytes]:
    """Yields only the frames that are added after this call."""
    skipped, number = len(stream.frames), 0
    async for frame in stream.follow():
        number += 1
        if number > skipped:
            yield frame


async def lumps_of(stream: Stream) -> AsyncIterator[bytes]:
    """Yields all frames, in a batch every 30 ms."""
    sent = 0
    while True:
        await asyncio.sleep(0.03)
        closed, lump = stream.closed, b"".join(stream.frames[sent:])
        sent = len(stream.frames)
        if lump:
            yield lump
        if closed:
            return


Frame = dict[str, Any]
_TS = "build-events#ts (a date-time of any offset and resolution)"
_WHATWG = "WHATWG event streams (line ends and byte order mark)"


def rewritten(
    name: str, says: str, *answers: int, source: str = "", write: Callable[[int, Frame], bytes], opening: bytes = b""
) -> None:
    """Registers, as a freedom, an engine that writes the frames of its logs in another form.

    Args:
        write: Returns the bytes of a frame, given its number in the stream and its event.
        opening: Bytes before the first frame.
    """

    class Rewriting(Engine):
        def events(self, version: Version) -> AsyncIterator[bytes] | None:
            frames = super().events(version)
            return None if frames is None else written(frames, write, opening)

    freedom(name, says, Rewriting, *answers, source=source)


async def written(
    frames: AsyncIterator[bytes], write: Callable[[int, Frame], bytes], opening: bytes
) -> AsyncIterator[bytes]:
    """Yields the frames of a log in another form."""
    number = 0
    if opening:
        yield opening
    async for frame in frames:
        number += 1
        yield write(number, json.loads(frame.removeprefix(b"data: ")))


def compact(event: Frame) -> str:
    """Returns an event as JSON without spaces."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def data(event: Frame) -> bytes:
    """Returns an event as a frame of the usual form."""
    return f"data: {compact(event)}\n\n".encode()


def at(event: Frame, form: Callable[[datetime], str]) -> bytes:
    """Returns an event as a frame; *form* writes its timestamp."""
    return data(event | {"ts": form(datetime.fromisoformat(event["ts"]))})


def ends(event: Frame) -> bool:
    """Whether an event is the last one of its build."""
    return event.get("phase") in ("ready", "cancel", "timeout") or event.get("level") == "error"


def without(event: Frame, *fields: str) -> Frame:
    """Returns an event without the fields *fields*; the last event of a build stays complete."""
    return event if ends(event) else {key: value for key, value in event.items() if key not in fields}


def in_several_lines(event: Frame) -> bytes:
    """Returns a frame whose JSON spans several data lines, without a space after the colon."""
    lines = json.dumps(event, indent=2).splitlines()
    return "".join(f"data:{line}\n" for line in lines).encode() + b"\n"


# fmt: off
rewritten("frames-have-no-level", "Only the last event has a level.", 31, write=lambda _, e: data(without(e, "level")))
rewritten("frames-have-no-phase", "Only the last event has a phase.", 31, write=lambda _, e: data(without(e, "phase")))
rewritten("frames-have-no-line", "Only output of build steps and the last event have a line.", 31,
          write=lambda _, e: data(e if e["phase"] == "install" else without(e, "line")))
rewritten("frames-hold-the-line-alone",
          "Events contain only a line; the last event also has a level and a phase.", 31,
          write=lambda _, e: data({k: v for k, v in without(e, "level", "phase").items() if k not in ("ts", "source")}))
rewritten("failure-has-no-phase", "The last event of a failed build has a level, but no phase.", 28, 31,
          write=lambda _, e: data({k: v for k, v in e.items() if k != "phase" or e.get("level") != "error"}))
rewritten("frames-hold-more", "Events have undocumented fields.",
          source="build-events#fields (a list that is not called complete)",
          write=lambda number, e: data({**e, "seq": number, "host": None, "tags": ["build"]}))
rewritten("times-in-whole-seconds", "Timestamps have whole seconds.", source="build-events#example",
          write=lambda _, e: at(e, lambda ts: ts.replace(microsecond=0).isoformat().replace("+00:00", "Z")))
rewritten("times-with-zero-offset", "Timestamps end in +00:00 and have microseconds.", source=_TS,
          write=lambda _, e: at(e, lambda ts: ts.isoformat(timespec="microseconds")))
rewritten("times-in-another-zone", "Timestamps have the offset -07:00.", source=_TS,
          write=lambda _, e: at(e, lambda ts: ts.astimezone(timezone(timedelta(hours=-7))).isoformat()))
rewritten("frames-with-keep-alives", "Comments are sent as keep-alives, between frames and before the first frame.", 30,
          write=lambda _, e: data(e) + b": keep-alive\n\n", opening=b":\n\n")
rewritten("frames-with-ids", "Frames have an id and an event name, and the stream begins with a retry field.", 30,
          write=lambda number, e: f"id: {number}\nevent: log\n".encode() + data(e), opening=b"retry: 3000\n\n")
rewritten("frames-end-in-crlf", "Lines of the stream end in CR LF, and the stream begins with a byte order mark.",
          source=_WHATWG, write=lambda _, e: data(e).replace(b"\n", b"\r\n"), opening=b"\xef\xbb\xbf")
rewritten("frames-in-several-lines", "The JSON of a frame spans several data lines, and lines end in CR.",
          source="WHATWG event streams (data lines are joined); RFC 8259 2 (space between tokens)",
          write=lambda _, e: in_several_lines(e).replace(b"\n", b"\r"))
rewritten("frames-spelled-otherwise",
          "The JSON of a frame has spaces, another order of keys, and some escaped letters.",
          source="RFC 8259 2, 4, 7",
          write=lambda _, e: f"data: {json.dumps(dict(reversed(e.items())))}\n\n".replace(
              "build", r"\u0062uild").encode())
# fmt: on
