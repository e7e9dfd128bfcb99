"""Servers for tests of an API client: a recording that answers the client's requests, or a live twin."""

import asyncio
import itertools
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import respx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as Answer
from starlette.types import Receive, Scope, Send

from touchstone.config import Count, Seed, Text, Url, fits, kind
from touchstone.contract.files import recordings_dir
from touchstone.errors import Kind, RecordingError, Unfit, UsageError, checked, nearest
from touchstone.facts.exchange import Exchange, Response
from touchstone.proof import catalogue
from touchstone.recordings import reader
from touchstone.recordings.conversation import Conversation
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.twin import DEFAULT_ACCOUNTS, RateLimit, TwinSettings
from touchstone.twin.console import ConsoleTwin, problem
from touchstone.twin.limits import FORM
from touchstone.twin.serve import Behaviour, Serving, listen

PUBLISHED_WITHIN_S = 10.0
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
        pairs = self._conversation.headers(response)
        headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in pairs]
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
    """Serves a conversation below its *url*, on *port* or any free one; raises a UsageError if the port is taken."""
    serving = Serving(RecordingApp(conversation, log), listen("127.0.0.1", port))
    conversation.url = serving.origin + _BASE_PATH
    try:
        yield
    finally:
        serving.stop()


class ServedRecording(Conversation):
    """A recording that answers every httpx client of the process, sync or async, in the context of *router*.

    With *serve*, it answers over HTTP on this machine instead, so that any client may be tested. *errors* lists all
    requests without a recorded response; a test that expects some clears it.
    """

    def __init__(self, recording: Recording, speed: float = 0.0, *, serve: bool = False) -> None:
        super().__init__([recording], checked("speed", speed, _amount))
        self._serves = serve

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answers requests in this context."""
        if self._serves:
            with served(self):
                yield
            return
        router = respx.MockRouter(assert_all_called=False)
        router.route().mock(side_effect=self.serve)
        with router:
            yield


@contextmanager
def recorded(
    scenario: str | Path, speed: float = 0.0, folder: Path | None = None, *, serve: bool = False
) -> Iterator[ServedRecording]:
    """Serves a recording; at the end, raises a RecordingError if a request had no recorded response."""
    recording = ServedRecording(read(scenario, folder), speed, serve=serve)
    with recording.running():
        yield recording
    if recording.errors:
        raise RecordingError("\n".join(dict.fromkeys(recording.errors)))


class RecordedRoute(respx.Route):
    """A route that answers from a recording, and from its beginning again once its router has stopped."""

    def __init__(self, recording: Recording, speed: float, base_url: str) -> None:
        super().__init__()
        pace, url = checked("speed", speed, _amount), checked("base_url", base_url, kind(Url))
        self._playback = Conversation([recording], pace, url)
        self.side_effect = self._playback.serve

    def rollback(self) -> None:
        """Restores the state before the start of the router, as respx does with side effects of other routes."""
        super().rollback()
        self._playback.rewind()


def read(scenario: str | Path, folder: str | Path | None = None) -> Recording:
    """The recording of a scenario; *scenario* is a name or a path. Raises a UsageError if there is no such file."""
    if isinstance(scenario, Path) or Path(scenario).suffix in {".har", ".json"}:
        if not Path(scenario).is_file():
            raise UsageError(f"recording {str(scenario)!r}: no such file; expected one, or the name of a scenario")
        return reader.read(Path(scenario))
    place = Path(folder) if folder else recordings_dir()
    known = {path.stem: path for path in place.glob("*.har")}
    if scenario not in known:
        where = f" in {folder}" if folder else ""
        expected = "expected its name or the path of a HAR file"
        raise UsageError(f"scenario {scenario!r}: no recording{where}; {expected}; {nearest(scenario, known)}")
    return reader.read(known[scenario])


class ServedTwin(ConsoleTwin):
    """A live twin on a free port of this machine.

    Args:
        plan: Plan of the account with *key*: ``scale``, or ``hacker``, which may neither publish nor build.
        fault: Name of a fault; `touchstone prove --list` prints them.
        variant: Name of another correct reading of the documentation.
        options: Fields of TwinSettings; *rate* as text such as ``2/1``. None means the default. A UsageError for an
            unknown or invalid option has the nearest valid one.
    """

    def __init__(
        self, *, plan: str | None = None, fault: str | None = None, variant: str | None = None, **options: Any
    ) -> None:
        plan = checked("plan", plan or "scale", _of("scale", "hacker"))
        self.key = next(account.key for account in DEFAULT_ACCOUNTS if account.plan == plan)
        self.keys = {account.name: account.key for account in DEFAULT_ACCOUNTS}
        for name in options:
            if name not in OPTIONS:
                raise UsageError(f"{name}: unknown option; {nearest(name, [*OPTIONS, 'plan', 'fault', 'variant'])}")
        chosen = {name: checked(name, value, OPTIONS[name]) for name, value in options.items() if value is not None}
        behaviour = _behaviour(fault, variant)
        for name in sorted(behaviour.pace.keys() & chosen.keys()):
            if behaviour.pace[name] != chosen[name]:
                raise UsageError(f"{name}: {behaviour.name} needs {behaviour.pace[name]}; leave {name} out")
        settings = TwinSettings(**{"build_s": 0.05, **chosen})
        super().__init__(settings, behaviour, catalogue.faulty, faults=[fault] if fault else [], control=True)
        self._numbers = itertools.count(1)

    def switch(self, *faults: str, **limits: Any) -> None:
        """Switches to these faults and changes *limits*, while versions and builds stay; without both, ends all faults.

        *limits*: rate, capacity, retry_after, latency_s, build_s, settle_s or build_timeout_s. Raises a UsageError for
        an unknown name or an invalid value.
        """
        __tracebackhide__ = True
        origin = self.url.removesuffix(self.settings.base_path)
        for what, value in [("faults", faults)] * bool(faults or not limits) + [("limits", limits)] * bool(limits):
            self._send("PUT", f"{origin}/__touchstone/{what}", value, f"switch {what}")

    def publish(self, *steps: str, name: str = "", version: str = "1.0.0") -> str:
        """Publishes a version for the account ``primary`` and returns its ref, ``namespace/name@version``.

        *steps*: build steps, ``echo TEXT``, ``sleep N``, or ``exit 1`` to fail; *name*: by default, a new name. Raises
        a UsageError if the twin rejects the version.
        """
        __tracebackhide__ = True
        name = name or f"published-{next(self._numbers)}"
        about = {"name": name, "version": version}
        document = {"api_version": "orgo.ai/v1", "template": about, "build": {"run": list(steps)}}
        self._send("POST", f"{self.url}/templates", document, f"publish {quote(name)}@{version}")
        return f"default/{name}@{version}"

    def _send(self, method: str, url: str, value: object, doing: str) -> None:
        __tracebackhide__ = True
        headers = {"Authorization": f"Bearer {self.keys['primary']}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(value).encode(), headers, method=method)
        # Proxies in the environment are ignored, because the twin runs on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(request, timeout=PUBLISHED_WITHIN_S).close()
        except urllib.error.HTTPError as error:
            with error:
                refusal = f"the twin answers {error.code} {error.read().decode(errors='replace')}"
            raise UsageError(f"{doing}: {refusal}") from None


def _amount(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise Unfit("a number of 0 or more")


def _rate(value: object) -> RateLimit:
    if isinstance(value, str):
        return RateLimit.parse(value)
    raise Unfit(FORM)


def _of(*choices: str) -> Kind[str]:
    return kind(Annotated[Literal[choices], fits(*choices)])


OPTIONS: Mapping[str, Kind[Any]] = {
    **dict.fromkeys(("build_s", "settle_s", "latency_s", "build_timeout_s"), _amount),
    "rate": _rate,
    "capacity": kind(Count),
    "retry_after": _of("seconds", "date", "none"),
    "digest_scope": _of("document", "content"),
    "seed": kind(Seed),
}


def _behaviour(fault: str | None, variant: str | None) -> Behaviour:
    if fault is not None and variant is not None:
        raise UsageError("fault and variant: expected only one; start a second twin for the other")
    try:
        if fault is not None:
            return catalogue.fault(checked("fault", fault, kind(Text)))
        if variant is not None:
            return catalogue.variant(checked("variant", variant, kind(Text)))
    except UsageError as error:
        # The message of the catalogue begins with a command-line flag; here the name of an argument is right.
        raise UsageError(str(error).removeprefix("--")) from None
    return Behaviour("faithful", "Keeps every promise.")
