"""Serves recordings over HTTP on this machine, to clients in any language."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as Answer
from starlette.types import Receive, Scope, Send

from touchstone.errors import RecordingError
from touchstone.facts.exchange import Exchange, Response
from touchstone.recordings.conversation import Conversation
from touchstone.recordings.recording import BASE_URL
from touchstone.twin.console import problem
from touchstone.twin.serve import Serving, listen

_BASE_PATH = urlsplit(BASE_URL).path


class RecordingApp:
    """The ASGI application of a conversation. *log* receives a line for each request, or is None."""

    def __init__(self, conversation: Conversation, log: Callable[[str], None] | None = None) -> None:
        self._conversation, self._log = conversation, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Responds to one request; a request without a recorded response gets a 501 problem document.

        ``POST /__touchstone/rewind`` begins again, and returns the errors since the last one as a JSON array.
        """
        if scope["type"] != "http":
            return
        request, target = Request(scope, receive), scope["raw_path"].decode("latin-1")
        status, remark = 501, ""
        try:
            if (request.method, target) == ("POST", "/__touchstone/rewind"):
                errors, self._conversation.errors = self._conversation.errors, []
                self._conversation.rewind()
                status = 200
                await JSONResponse(list(dict.fromkeys(errors)))(scope, receive, send)
                return
            exchange = await self._find(request, target)
            assert exchange.response
            status = exchange.response.status
            await self._send(exchange, exchange.response, scope, receive, send)
        except RecordingError as error:
            remark = f": {error}"
            await problem(501, str(error))(scope, receive, send)
        finally:
            if self._log:
                self._log(f"{time.strftime('%H:%M:%S')} {request.method} {target} {status}{remark}")

    async def _find(self, request: Request, target: str) -> Exchange:
        conversation = self._conversation
        query = request.scope["query_string"].decode("latin-1")
        if not target.startswith(f"{_BASE_PATH}/"):
            conversation.errors.append(f"{request.method} {target}: not below {conversation.url}; check the base URL")
            raise RecordingError(conversation.errors[-1])
        below = target.removeprefix(_BASE_PATH) + (f"?{query}" if query else "")
        body = await request.body()
        exchange = conversation.find(request.method, below, request.headers.get("authorization"), body)
        if exchange.response is None:
            raise RecordingError(f"{request.method} {target}: recorded without a response: {exchange.error}")
        return exchange

    async def _send(self, exchange: Exchange, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in self._conversation.headers(response)
        ]
        if not response.chunks and not exchange.error:
            answer = Answer(response.body, response.status)
            lengths = [pair for pair in answer.raw_headers if pair[0] == b"content-length"]
            answer.raw_headers = [*headers, *(lengths if response.status not in (204, 304) else [])]
            await answer(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        for data, pause_s in self._conversation.paced_chunks(exchange):
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            await send({"type": "http.response.body", "body": data, "more_body": True})
        if not exchange.error:  # otherwise the recorded response was incomplete, and the server closes the connection
            await send({"type": "http.response.body"})


@contextmanager
def served(conversation: Conversation, port: int = 0, log: Callable[[str], None] | None = None) -> Iterator[None]:
    """Serves a conversation below its *url*, which is set; *port*: 0 for any free one.

    Raises a UsageError if the port is not free.
    """
    serving = Serving(RecordingApp(conversation, log), listen("127.0.0.1", port))
    conversation.url = serving.origin + _BASE_PATH
    try:
        yield
    finally:
        serving.stop()
