"""
Stands between the application and the followers of build logs: what it sends is what a change makes of the frames.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.mutants.boundary import asked_for, is_log
from touchstone.twin.serve import Asgi

_PREFIX = b"data: "


@dataclass(slots=True)
class Seen:
    """What was sent of all logs of one twin so far.

    Attributes:
        frames: The frames by ref.
        opened: How many logs were followed.
    """

    frames: dict[str, list[bytes]] = field(default_factory=dict)
    opened: int = 0

    def other(self, ref: str, name: str, value: Any) -> Any:
        """What *name* says in the latest frame of another version's log that says something else than *value*."""
        for other, frames in reversed(self.frames.items()):
            told = (read(frame).get(name) for frame in reversed(frames) if other != ref)
            found = next((said for said in told if said is not None and said != value), None)
            if found is not None:
                return found
        return None


Frames = AsyncIterator[bytes]
# Given the frames of one log, the ref that it is about and what was seen of all logs: the pieces to be sent.
LogChange = Callable[[Frames, str, Seen], Frames]


def read(frame: bytes) -> dict[str, Any]:
    """The JSON object of a frame."""
    found: dict[str, Any] = json.loads(frame.removeprefix(_PREFIX))
    return found


def framed(value: Any) -> bytes:
    """A frame that holds a value."""
    return _PREFIX + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def wrapped_logs(change: LogChange) -> Callable[[Asgi], Asgi]:
    """An application whose build logs a change has first; other answers pass as they are."""

    def wrap(app: Asgi) -> Asgi:
        seen = Seen()

        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            operation, ref = asked_for(scope)
            if operation != "streamBuildEvents" or scope["method"] != "GET":
                await app(scope, receive, send)
                return
            await _relay(app, (scope, receive, send), change, ref, seen)

        return asked

    return wrap


async def _relay(app: Asgi, call: tuple[Scope, Receive, Send], change: LogChange, ref: str, seen: Seen) -> None:
    scope, receive, send = call
    queue: asyncio.Queue[Message] = asyncio.Queue()
    serving = asyncio.create_task(app(scope, receive, queue.put))
    start = await queue.get()
    await send(start)
    if not is_log(start):
        await send(await queue.get())
        await serving
        return
    seen.opened += 1
    try:
        async for piece in change(_frames(queue, seen.frames.setdefault(ref, [])), ref, seen):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        serving.cancel()


async def _frames(queue: "asyncio.Queue[Message]", seen: list[bytes]) -> Frames:
    while True:
        message = await queue.get()
        if message.get("body"):
            seen.append(message["body"])
            yield message["body"]
        if not message.get("more_body", False):
            return
