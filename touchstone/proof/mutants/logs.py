"""Faults of build logs: the fields of frames, their order and number, their framing, and when the log ends.

An ASGI wrapper around the twin changes the frames on the way to the clients.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.boundary import is_log, requested
from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.faults.logs import event_of, frame_of
from touchstone.proof.mutants.derived import LOG, derived
from touchstone.proof.surface import EVENT_FIELDS
from touchstone.twin.serve import Asgi

_DELAY_S = 0.5
# A follower waits this long for a log that stays open.
_HASTY = {"cancel_timeout_s": 1.0}


@dataclass(slots=True)
class LogHistory:
    """All log frames that one twin has sent.

    Attributes:
        frames: The frames by ref.
        opened: Number of log requests.
    """

    frames: dict[str, list[bytes]] = field(default_factory=dict)
    opened: int = 0

    def other(self, ref: str, name: str, value: Any) -> Any:
        """Returns the latest value of *name* in the log of another version that differs from *value*, or None."""
        for other, frames in reversed(self.frames.items()):
            values = (event_of(frame).get(name) for frame in reversed(frames) if other != ref)
            found = next((one for one in values if one is not None and one != value), None)
            if found is not None:
                return found
        return None


Frames = AsyncIterator[bytes]
# Given the frames of one log, its ref and the history of all logs, yields the chunks to send.
LogChange = Callable[[Frames, str, LogHistory], Frames]


def is_output(frame: bytes) -> bool:
    """Whether a frame contains output of a build step."""
    return "source" not in event_of(frame) and event_of(frame)["phase"] == "install"


def wrapped_logs(change: LogChange) -> Callable[[Asgi], Asgi]:
    """Returns an ASGI wrapper that changes build logs and no other responses."""

    def wrap(app: Asgi) -> Asgi:
        history = LogHistory()

        async def relayed(scope: Scope, receive: Receive, send: Send) -> None:
            operation, ref = requested(scope)
            if operation != "streamBuildEvents" or scope["method"] != "GET":
                await app(scope, receive, send)
                return
            queue: asyncio.Queue[Message] = asyncio.Queue()
            serving = asyncio.create_task(app(scope, receive, queue.put))
            await send(start := await queue.get())
            if not is_log(start):
                await send(await queue.get())
                await serving
                return
            history.opened += 1
            try:
                async for piece in change(_frames(queue, history.frames.setdefault(ref, [])), ref, history):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                serving.cancel()

        return relayed

    return wrap


async def _frames(queue: "asyncio.Queue[Message]", sent: list[bytes]) -> Frames:
    while True:
        message = await queue.get()
        if message.get("body"):
            sent.append(message["body"])
            yield message["body"]
        if not message.get("more_body", False):
            return


def log_faults() -> Iterator[Fault]:
    """Yields a fault for each change of a field, an enum value, the sequence of frames, or their bytes."""
    for name in EVENT_FIELDS:
        yield _field(name, "drop", "is missing", "schema", _DROPPED[name], _dropping(name))
        for how, says, new in (("null", "is null", None), ("type", "is a number", 7)):
            yield _field(name, how, says, "schema", "events.fields-are-documented", _setting(name, new))
    for name, value, how, claims in _VALUES:
        yield _field(name, how, f"has a wrong value: {how}", "semantic", claims, _setting(name, value))
    for name, old, new_value, claims in _ENUM_VALUES:
        says = f"is {new_value} instead of {old}"
        yield _field(name, f"{old}.{new_value}", says, "semantic", claims, _setting(name, new_value, old))
    for name, claims, also in (
        ("line", "events.own-lines-only events.carry-the-output", "events.*"),
        ("phase", "events.terminal-frame-comes-last events.*-ends-on-*", ""),
    ):
        text = f"In a build log, {name} comes from another build."
        yield _fault(f"{name}.swap", text, "stream", _swapping(name), claims, f"{also} {LOG}")
    for how, says, change, claims in _SEQUENCES:
        target = _HASTY if "close" in how else None
        also = LOG if how in {"close.early", "close.in-a-frame"} or how.startswith("frames") else ""
        yield _fault(how, f"A build log {says}.", "stream", change, claims, also, target)
    for how, says, alter, claims in _BYTES:
        also = LOG if "json" in claims else ""
        yield _fault(f"framing.{how}", f"In a build log, {says}.", "stream", _each(alter), claims, also)


# The broken claims if a field is missing.
_DROPPED = {
    "ts": "events.timestamps-*",
    "level": "events.failed-ends-on-error",
    "phase": "events.*-ends-on-*",
    "source": "events.fields-are-documented",
    "line": "events.carry-the-output",
}

_VALUES: tuple[tuple[str, Any, str, str], ...] = (
    ("ts", "12:30", "no-date", "events.timestamps-*"),
    ("ts", "2026-03-14T09:26:53", "no-offset", "events.timestamps-*"),
    ("ts", "2001-01-01T00:00:00Z", "long-ago", "events.timestamps-*"),
    ("ts", "2101-01-01T00:00:00Z", "far-ahead", "events.timestamps-*"),
    ("ts", 1_700_000_000, "epoch-seconds", "events.fields-are-documented"),
    ("level", "debug", "debug", "events.level-is-documented"),
    ("phase", "building", "building", "events.phase-is-documented"),
    ("phase", "", "empty", "events.phase-is-documented"), ("line", "", "empty", "events.carry-the-output"),
)  # fmt: skip

# Field, right value, wrong value, and the broken claims.
_ENUM_VALUES = (
    ("level", "error", "info", "events.failed-ends-on-error"),
    ("level", "warn", "warning", "events.level-is-documented"),
    ("level", "error", "failure", "events.level-is-documented"),
    ("phase", "ready", "archive", "events.ready-ends-on-ready"),
    ("phase", "ready", "cancel", "events.ready-ends-on-ready"),
    ("phase", "ready", "timeout", "events.ready-ends-on-ready"),
    ("phase", "cancel", "ready", "events.cancelled-ends-on-cancel"),
    ("phase", "cancel", "timeout", "events.cancelled-ends-on-cancel"),
    ("phase", "install", "ready", "events.terminal-frame-comes-last"),
    ("phase", "compile", "cancel", "events.terminal-frame-comes-last"),
    ("phase", "archive", "timeout", "events.terminal-frame-comes-last"),
    ("phase", "install", "Install", "events.phase-is-documented"),
)  # fmt: skip


def _fault(
    how: str, says: str, kind: Kind, change: LogChange, claims: str, also: str, target: dict[str, Any] | None = None
) -> Fault:
    return derived(f"streamBuildEvents.200.{how}", says, kind, claims, also, target=target, wrap=wrapped_logs(change))


def _field(name: str, how: str, says: str, kind: Kind, claims: str, alter: Callable[[dict[str, Any]], Any]) -> Fault:
    def change(frame: bytes) -> bytes:
        value = event_of(frame)
        if name not in value:
            return frame
        alter(value)
        return frame if value == event_of(frame) else frame_of(value)

    also = LOG if name in {"level", "phase", "line"} else ""
    return _fault(f"{name}.{how}", f"In a build log, {name} {says}.", kind, _each(change), claims, also)


def _dropping(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.pop(name)


def _setting(name: str, new: Any, old: str | None = None) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update({name: new}) if old in {None, value[name]} else None


def _each(alter: Callable[[bytes], bytes]) -> LogChange:
    """Returns a change that alters each frame separately."""

    async def changed(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
        async for frame in frames:
            yield alter(frame)

    return changed


def _swapping(name: str) -> LogChange:
    async def changed(frames: Frames, ref: str, history: LogHistory) -> Frames:
        async for frame in frames:
            value = event_of(frame)
            other = history.other(ref, name, value.get(name))
            yield frame_of(value | {name: other}) if other is not None else frame

    return changed


def _numbered(pieces: Callable[[int, bytes], tuple[bytes, ...]]) -> LogChange:
    """Returns a change that sends, for each frame, the chunks that *pieces* returns for its number and its bytes."""

    async def changed(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
        number = 0
        async for frame in frames:
            for piece in pieces(number, frame):
                yield piece
            number += 1

    return changed


def _ended(last: Callable[[bytes], tuple[bytes, ...]]) -> LogChange:
    """Returns a change that sends, instead of the last frame, the chunks that *last* returns for it."""

    async def changed(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
        kept = b""
        async for frame in frames:
            if kept:
                yield kept
            kept = frame
        for piece in last(kept):
            yield piece

    return changed


def _open(wait: Callable[[], Any]) -> LogChange:
    """Returns a change of the twin that delays the end of the log."""

    async def changed(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
        async for frame in frames:
            yield frame
        await wait()

    return changed


async def _last_doubled(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
    frame = b""
    async for frame in frames:
        yield frame
    yield frame


async def _exchanged(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
    kept = b""
    async for frame in frames:
        if kept:
            yield frame
            yield kept
            kept = b""
        else:
            kept = frame
    if kept:
        yield kept


async def _first_only(frames: Frames, _ref: str, _history: LogHistory) -> Frames:
    async for frame in frames:
        yield frame
        return


async def _others_added(frames: Frames, ref: str, history: LogHistory) -> Frames:
    async for frame in frames:
        yield frame
        if is_output(frame):
            for other, sent in list(history.frames.items()):
                for line in sent if other != ref else ():
                    if is_output(line):
                        yield line


async def _every_other_without_boot(frames: Frames, _ref: str, history: LogHistory) -> Frames:
    skips = history.opened % 2
    async for frame in frames:
        if not (skips and event_of(frame)["phase"] == "boot"):
            yield frame


# fmt: off
_SEQUENCES: tuple[tuple[str, str, LogChange, str], ...] = (
    ("frames.doubled", "contains each frame twice", _numbered(lambda _, frame: (frame, frame)),
     "events.terminal-frame-comes-last events.carry-the-output start.concurrent-share-one-build"),
    ("frames.last-doubled", "contains its last frame twice", _last_doubled, "events.terminal-frame-comes-last"),
    ("frames.exchanged", "has each two frames in the wrong order", _exchanged,
     "events.timestamps-in-order events.*-ends-on-*"),
    ("frames.first-dropped", "lacks its first frame", _numbered(lambda number, frame: (frame,) if number else ()),
     "events.*"),
    ("frames.prints-dropped", "lacks the output of build steps",
     _numbered(lambda _, frame: () if is_output(frame) else (frame,)), "events.carry-the-output"),
    ("frames.last-dropped", "lacks its last frame", _ended(lambda _: ()), "events.*-ends-on-*"),
    ("frames.all-dropped", "is empty", _numbered(lambda *_: ()), "events.*-ends-on-* events.carry-the-output"),
    ("frames.others-added", "also contains the output of other builds", _others_added, "events.own-lines-only"),
    ("frames.boot-dropped-for-every-other", "lacks a line for every other follower", _every_other_without_boot,
     "events.watchers-agree"),
    ("close.early", "closes after its first frame", _first_only, "events.open-while-building"),
    ("close.in-a-frame", "closes in the middle of its last frame", _ended(lambda frame: (frame[: len(frame) // 2],)),
     "events.framing"),
    ("close.never", "never closes", _open(lambda: asyncio.Event().wait()),
     "events.close-at-the-end events.finished-version-closes"),
    ("close.late", "closes long after its build", _open(lambda: asyncio.sleep(_HASTY["cancel_timeout_s"] + _DELAY_S)),
     "events.close-at-the-end events.finished-version-closes"),
)
_BYTES: tuple[tuple[str, str, Callable[[bytes], bytes], str], ...] = (
    ("one-line-end", "no blank line ends a frame", lambda frame: frame[:-1], "events.json-per-frame events.framing"),
    ("no-field-name", "frames are bare JSON", lambda frame: frame.removeprefix(b"data: "), "events.*"),
    ("comments", "every frame is a comment", lambda frame: b": " + frame.removeprefix(b"data: "), "events.*"),
    ("data-in-two", "the data of a frame is two JSON values", lambda frame: frame[:-1] + b"data: {}\n\n",
     "events.json-per-frame"),
    ("not-utf-8", "a line is not UTF-8", lambda frame: frame.replace(b'"line":"', b'"line":"\xff'), "events.framing"),
    ("array", "the data of a frame is a JSON array", lambda frame: b"data: [" + frame[6:-2] + b"]\n\n",
     "events.json-per-frame"),
    ("text", "the data of a frame is not JSON", lambda frame: b"data: " + str(event_of(frame)).encode() + b"\n\n",
     "events.json-per-frame"),
    ("cut-json", "the data of a frame lacks its last byte", lambda frame: frame[:-3] + b"\n\n",
     "events.json-per-frame"),
    ("no-data", "frames have event instead of data", lambda frame: frame.replace(b"data: ", b"event: "), "events.*"),
)
# fmt: on
