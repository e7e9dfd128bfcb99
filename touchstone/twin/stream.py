"""The event stream of one build: what was said so far, and waiting for what comes next."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Literal

EventLevel = Literal["info", "success", "warn", "error"]
Phase = Literal["publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout"]


def timestamp(epoch_s: float) -> str:
    """ISO 8601 in UTC with milliseconds and a Z."""
    whole = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return whole.replace("+00:00", "Z")


def frame(ts: str, level: EventLevel, phase: Phase, line: str, source: str = "") -> bytes:
    """One event as the bytes of a server-sent event. JSON escapes line ends, so the data is always one line."""
    event = {"ts": ts, "level": level, "phase": phase}
    if source:
        event["source"] = source
    event["line"] = line
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class Stream:
    """Keeps every frame of a build, so that a late subscriber misses none."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = False
        self._news = asyncio.Event()

    def emit(self, frame_bytes: bytes) -> None:
        """Adds a frame and wakes the subscribers."""
        self.frames.append(frame_bytes)
        self._wake()

    def close(self) -> None:
        """Lets every subscriber finish once it has read what is there."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        # Each piece of news has its own event: a subscriber that is still sending cannot swallow another's.
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self) -> AsyncIterator[bytes]:
        """Yields all frames from the beginning, then each new one, until the stream is closed."""
        sent = 0
        while True:
            while sent < len(self.frames):
                sent += 1
                yield self.frames[sent - 1]
            if self.closed:
                return
            await self._news.wait()
