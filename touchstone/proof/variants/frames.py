"""Readings of what a frame of a build log holds, and how an event stream is written down."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from touchstone.proof.variants.variant import permitted
from touchstone.twin import Engine
from touchstone.twin.catalog import Version

Frame = dict[str, Any]
_TS = "build-events#ts (a date-time, of no offset and no resolution)"
_WHATWG = "WHATWG event streams (a comment, a field and a line end that every reader knows)"


def rewritten(
    name: str, says: str, *answers: int, source: str = "", write: Callable[[int, Frame], bytes], opening: bytes = b""
) -> None:
    """Enters an engine whose logs are written down in another way.

    Args:
        write: The bytes of one frame, given its number in the stream and what it holds.
        opening: What comes before the first frame.
    """

    class Rewriting(Engine):
        def events(self, version: Version) -> AsyncIterator[bytes] | None:
            frames = super().events(version)
            return None if frames is None else written(frames, write, opening)

    Rewriting.__doc__, Rewriting.__name__ = says, name
    permitted(*answers, source=source)(Rewriting)


async def written(
    frames: AsyncIterator[bytes], write: Callable[[int, Frame], bytes], opening: bytes
) -> AsyncIterator[bytes]:
    """The frames of a log, each written down anew."""
    number = 0
    if opening:
        yield opening
    async for frame in frames:
        number += 1
        yield write(number, json.loads(frame.removeprefix(b"data: ")))


def compact(event: Frame) -> str:
    """An event as JSON without spaces."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def data(event: Frame) -> bytes:
    """An event as the usual frame."""
    return f"data: {compact(event)}\n\n".encode()


def at(event: Frame, form: Callable[[datetime], str]) -> bytes:
    """The usual frame with its time in another form."""
    return data(event | {"ts": form(datetime.fromisoformat(event["ts"]))})


def ends(event: Frame) -> bool:
    """Whether a frame tells the end of a build."""
    return event.get("phase") in ("ready", "cancel", "timeout") or event.get("level") == "error"


def without(event: Frame, *fields: str) -> Frame:
    """An event without some of its fields, unless it tells the end."""
    return event if ends(event) else {key: value for key, value in event.items() if key not in fields}


def in_several_lines(event: Frame) -> bytes:
    """A frame whose JSON goes over several lines of data, without a space after the colon."""
    lines = json.dumps(event, indent=2).splitlines()
    return "".join(f"data:{line}\n" for line in lines).encode() + b"\n"


rewritten("FramesHaveNoLevel", "Only the last frame has a level.", 31, write=lambda _, e: data(without(e, "level")))
rewritten("FramesHaveNoPhase", "Only the last frame has a phase.", 31, write=lambda _, e: data(without(e, "phase")))
rewritten(
    "FramesHaveNoLine",
    "Only what a build step printed and the last frame have a line.",
    31,
    write=lambda _, e: data(e if e["phase"] == "install" else without(e, "line")),
)
rewritten(
    "FramesHoldTheLineAlone",
    "A frame is a line and nothing else, but for the one that tells the end, which has no time and no source.",
    31,
    write=lambda _, e: data({k: v for k, v in without(e, "level", "phase").items() if k not in ("ts", "source")}),
)
rewritten(
    "FailureHasNoPhase",
    "The frame that tells a failure has a level and no phase.",
    28,
    31,
    write=lambda _, e: data({k: v for k, v in e.items() if k != "phase" or e.get("level") != "error"}),
)
rewritten(
    "FramesHoldMore",
    "A frame has fields that nobody documented.",
    source="build-events#fields (they are listed, none of them said to be the last)",
    write=lambda number, e: data({**e, "seq": number, "host": None, "tags": ["build"]}),
)
rewritten(
    "TimesInWholeSeconds",
    "Timestamps have whole seconds.",
    source="build-events#example",
    write=lambda _, e: at(e, lambda ts: ts.replace(microsecond=0).isoformat().replace("+00:00", "Z")),
)
rewritten(
    "TimesWithZeroOffset",
    "Timestamps end in +00:00 and have microseconds.",
    source=_TS,
    write=lambda _, e: at(e, lambda ts: ts.isoformat(timespec="microseconds")),
)
rewritten(
    "TimesInAnotherZone",
    "Timestamps are of a zone west of Greenwich.",
    source=_TS,
    write=lambda _, e: at(e, lambda ts: ts.astimezone(timezone(timedelta(hours=-7))).isoformat()),
)
rewritten(
    "FramesWithKeepAlives",
    "Comments keep the stream alive, between frames and before the first.",
    30,
    write=lambda _, e: data(e) + b": keep-alive\n\n",
    opening=b":\n\n",
)
rewritten(
    "FramesWithIds",
    "Frames have ids and the name of an event, and the stream says when to come back.",
    30,
    write=lambda number, e: f"id: {number}\nevent: log\n".encode() + data(e),
    opening=b"retry: 3000\n\n",
)
rewritten(
    "FramesEndInCrlf",
    "Lines of the stream end in CR LF, and it begins with a byte order mark.",
    source=_WHATWG,
    write=lambda _, e: data(e).replace(b"\n", b"\r\n"),
    opening=b"\xef\xbb\xbf",
)
rewritten(
    "FramesInSeveralLines",
    "The JSON of a frame goes over several lines of data, and lines end in CR.",
    source="WHATWG event streams (lines of data are joined); RFC 8259 2 (space between tokens)",
    write=lambda _, e: in_several_lines(e).replace(b"\n", b"\r"),
)
rewritten(
    "FramesSpelledOtherwise",
    "The JSON of a frame has spaces, its keys in another order, and escapes in the place of some letters.",
    source="RFC 8259 2, 4, 7",
    write=lambda _, e: f"data: {json.dumps(dict(reversed(e.items())))}\n\n".replace("build", r"\u0062uild").encode(),
)
