"""A target with few workers: each read of a build waits for a free one, and takes the same time."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.stages import Asgi


@dataclass
class Workers:
    """Workers that need *service_s* for a read.

    Attributes:
        refuses_from: Number of reads after which all are answered with 429; None for no limit.
        reads: Arrival times of reads on the loop's clock.
        busiest: Largest number of simultaneous reads, including waiting ones.
    """

    workers: int
    service_s: float
    refuses_from: int | None = None
    reads: list[float] = field(default_factory=list)
    refused: int = 0
    busiest: int = 0
    _inside: int = 0
    _free: asyncio.Semaphore | None = None

    def wrap(self, app: Asgi) -> Asgi:
        """Wraps an application with the workers."""

        async def served(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].endswith("/build"):
                await app(scope, receive, send)
                return
            self._free = self._free or asyncio.Semaphore(self.workers)
            self.reads.append(asyncio.get_running_loop().time())
            if self.refuses_from is not None and len(self.reads) > self.refuses_from:
                self.refused += 1
                await _refuse(send)
                return
            self._inside += 1
            self.busiest = max(self.busiest, self._inside)
            async with self._free:
                await asyncio.sleep(self.service_s)
                await app(scope, receive, send)
            self._inside -= 1

        return served


async def _refuse(send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
    body = b'{"error": "too many reads"}'
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
