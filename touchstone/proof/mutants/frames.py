"""Faults of build logs: the fields of frames, their order and number, their framing, and when the log ends."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.mutants.derived import derived
from touchstone.proof.mutants.logs import Frames, LogChange, Seen, framed, read, wrapped_logs
from touchstone.proof.mutants.surface import EVENT_FIELDS

_PREFIX = "streamBuildEvents.200"
_DELAY_S = 0.5
# A log that stays open holds its followers up for as long as a cancel may take.
_HASTY = {"cancel_timeout_s": 1.0}
Alter = Callable[[dict[str, Any]], Any]


def frame_faults() -> Iterator[Fault]:
    """Every field of a frame, every word of its enums, every way to mistreat a sequence of frames."""
    for name in EVENT_FIELDS:
        yield _field(name, "drop", "is left out", "schema", _dropping(name))
        yield _field(name, "null", "is null", "schema", _setting(name, None))
        yield _field(name, "type", "is a number", "schema", _setting(name, 7))
    for name, value, how in _VALUES:
        yield _field(name, how, f"has the value {how}", "semantic", _setting(name, value))
    for name, old, new in _WORDS:
        yield _field(name, f"{old}.{new}", f"is {new} where it should be {old}", "semantic", _word(name, old, new))
    for name in ("line", "phase"):
        says = "is the one of another build"
        yield _fault(f"{name}.swap", f"In a build log, {name} {says}.", "stream", _swapping(name))
    for how, says, change in _SEQUENCES:
        yield _fault(how, f"A build log {says}.", "stream", change, _HASTY if "close" in how else None)
    for how, says, alter in _BYTES:
        yield _fault(f"framing.{how}", f"In a build log, {says}.", "stream", _each(alter))


_VALUES: tuple[tuple[str, Any, str], ...] = (
    ("ts", "12:30", "no-date"),
    ("ts", "2026-03-14T09:26:53", "no-offset"),
    ("ts", "2001-01-01T00:00:00Z", "long-ago"),
    ("ts", "2101-01-01T00:00:00Z", "far-ahead"),
    ("ts", 1_700_000_000, "epoch-seconds"),
    ("level", "debug", "debug"),
    ("phase", "building", "building"),
    ("phase", "", "empty"),
    ("line", "", "empty"),
)

# Words of an enum in the place of another one.
_WORDS = (
    ("level", "error", "info"),
    ("level", "warn", "warning"),
    ("level", "error", "failure"),
    ("phase", "ready", "archive"),
    ("phase", "ready", "cancel"),
    ("phase", "ready", "timeout"),
    ("phase", "cancel", "ready"),
    ("phase", "cancel", "timeout"),
    ("phase", "install", "ready"),
    ("phase", "compile", "cancel"),
    ("phase", "archive", "timeout"),
    ("phase", "install", "Install"),
)


def _fault(how: str, says: str, kind: Kind, change: LogChange, target: dict[str, Any] | None = None) -> Fault:
    return derived(f"{_PREFIX}.{how}", says, kind, target=target, wrap=wrapped_logs(change))


def _field(name: str, how: str, says: str, kind: Kind, alter: Alter) -> Fault:
    def change(frame: bytes) -> bytes:
        value = read(frame)
        if name not in value:
            return frame
        changed = alter(value)
        return frame if changed == read(frame) else framed(changed)

    return _fault(f"{name}.{how}", f"In a build log, {name} {says}.", kind, _each(change))


def _dropping(name: str) -> Alter:
    return lambda value: {key: told for key, told in value.items() if key != name}


def _setting(name: str, new: Any) -> Alter:
    return lambda value: value | {name: new}


def _word(name: str, old: str, new: str) -> Alter:
    return lambda value: value | {name: new} if value[name] == old else value


def _each(alter: Callable[[bytes], bytes]) -> LogChange:
    """Alters every frame by itself."""

    async def changed(frames: Frames, _ref: str, _seen: Seen) -> Frames:
        async for frame in frames:
            yield alter(frame)

    return changed


def _swapping(name: str) -> LogChange:
    async def changed(frames: Frames, ref: str, seen: Seen) -> Frames:
        async for frame in frames:
            value = read(frame)
            other = seen.other(ref, name, value.get(name))
            yield framed(value | {name: other}) if other is not None else frame

    return changed


async def _doubled(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    async for frame in frames:
        yield frame
        yield frame


async def _last_doubled(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    frame = b""
    async for frame in frames:
        yield frame
    yield frame


async def _exchanged(frames: Frames, _ref: str, _seen: Seen) -> Frames:
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


async def _without_first(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    first = True
    async for frame in frames:
        if not first:
            yield frame
        first = False


async def _without_prints(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    async for frame in frames:
        if "source" in read(frame) or read(frame)["phase"] != "install":
            yield frame


async def _without_last(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    kept = b""
    async for frame in frames:
        if kept:
            yield kept
        kept = frame


async def _first_only(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    async for frame in frames:
        yield frame
        return


async def _second_half_cut(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    kept = b""
    async for frame in frames:
        if kept:
            yield kept
        kept = frame
    yield kept[: len(kept) // 2]


async def _never_closed(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    async for frame in frames:
        yield frame
    await asyncio.Event().wait()


async def _closed_late(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    async for frame in frames:
        yield frame
    await asyncio.sleep(_HASTY["cancel_timeout_s"] + _DELAY_S)


async def _nothing_said(frames: Frames, _ref: str, _seen: Seen) -> Frames:
    async for frame in frames:
        if not frame:
            yield frame


async def _others_added(frames: Frames, ref: str, seen: Seen) -> Frames:
    async for frame in frames:
        yield frame
        if "source" not in read(frame) and read(frame)["phase"] == "install":
            for other, told in list(seen.frames.items()):
                for line in told if other != ref else ():
                    if "source" not in read(line) and read(line)["phase"] == "install":
                        yield line


async def _every_other_without_boot(frames: Frames, _ref: str, seen: Seen) -> Frames:
    skips = seen.opened % 2
    async for frame in frames:
        if not (skips and read(frame)["phase"] == "boot"):
            yield frame


_SEQUENCES: tuple[tuple[str, str, LogChange], ...] = (
    ("frames.doubled", "tells everything twice", _doubled),
    ("frames.last-doubled", "ends twice", _last_doubled),
    ("frames.exchanged", "tells each two lines in the wrong order", _exchanged),
    ("frames.first-dropped", "lacks its first line", _without_first),
    ("frames.prints-dropped", "lacks what the build prints", _without_prints),
    ("frames.last-dropped", "lacks its last line", _without_last),
    ("frames.all-dropped", "stays empty", _nothing_said),
    ("frames.others-added", "also holds what another build prints", _others_added),
    ("frames.boot-dropped-for-every-other", "lacks a line for every other follower", _every_other_without_boot),
    ("close.early", "closes after its first line", _first_only),
    ("close.in-a-frame", "closes in the middle of its last line", _second_half_cut),
    ("close.never", "never closes", _never_closed),
    ("close.late", "closes long after its build", _closed_late),
)

_BYTES: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("one-line-end", "frames are not separated", lambda frame: frame[:-1]),
    ("no-field-name", "frames are bare JSON", lambda frame: frame.removeprefix(b"data: ")),
    ("comments", "every frame is a comment", lambda frame: b": " + frame.removeprefix(b"data: ")),
    ("data-in-two", "the data of a frame is two JSON values", lambda frame: frame[:-1] + b"data: {}\n\n"),
    ("not-utf-8", "a line is not UTF-8", lambda frame: frame.replace(b'"line":"', b'"line":"\xff')),
    ("array", "the data of a frame is an array", lambda frame: b"data: [" + frame[6:-2] + b"]\n\n"),
    ("text", "the data of a frame is no JSON", lambda frame: b"data: " + str(read(frame)).encode() + b"\n\n"),
    ("cut-json", "the data of a frame lacks its last byte", lambda frame: frame[:-3] + b"\n\n"),
    ("no-data", "frames have an event and no data", lambda frame: frame.replace(b"data: ", b"event: ")),
)
