"""Faults of a server that wears out: each answer makes the next one a little worse. Only a long run shows them."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App

SLOWER_S = 0.0002
LONGER_BYTES = 8
KEPT_BYTES = 100_000
FAILS_FROM = 250
FAILS_EVERY = 10
# What is answered with 500 breaks what was promised of that answer.
_ANY_ANSWER = ("load.errors", "start.*", "status.*", "cancel.*", "events.*", "publish.*", "template.*")


class Wears(App):
    """Counts its answers."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.answers = 0

    async def answer(self, request: Request) -> Response:
        self.answers += 1
        return await self.worn(request, await super().answer(request))

    async def worn(self, request: Request, response: Response) -> Response:
        """What becomes of an answer."""
        raise NotImplementedError


@breaks("timing", "load.drift-latency", also=("load.*", "start.does-not-wait", "http.answers"), under="load")
class AnswersBecomeSlower(Wears):
    """Each answer takes a fifth of a millisecond longer than the one before."""

    async def worn(self, request: Request, response: Response) -> Response:
        await asyncio.sleep(self.answers * SLOWER_S)
        return response


@breaks("load", "load.drift-bytes", under="load")
class AnswersBecomeLonger(Wears):
    """Each status has eight blanks more at its end than the answer before."""

    async def worn(self, request: Request, response: Response) -> Response:
        is_status = request.method == "GET" and request.url.path.endswith("/build")
        if not is_status or response.status_code != 200:
            return response
        body = bytes(response.body) + b" " * (LONGER_BYTES * self.answers)
        return Response(body, 200, media_type="application/json")


@breaks("load", "load.drift-errors", "http.no-server-error", also=_ANY_ANSWER, under="load")
class ErrorsBecomeFrequent(Wears):
    """After its first 250 answers every tenth is a 500."""

    async def worn(self, request: Request, response: Response) -> Response:
        if self.answers > FAILS_FROM and self.answers % FAILS_EVERY == 0:
            raise Refusal(500, "Internal error.")
        return response


@breaks("load", "load.drift-memory", under="load")
class MemoryIsKept(Wears):
    """Each answer leaves a hundred kilobytes behind."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: list[bytearray] = []

    async def worn(self, request: Request, response: Response) -> Response:
        self.kept.append(bytearray(b"\1" * KEPT_BYTES))
        return response
