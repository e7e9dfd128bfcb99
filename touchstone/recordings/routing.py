"""Serves a recording to httpx clients through respx: one route for all of it, with an index behind it.

A request is answered by the recorded exchange with the same method, path, query and body; where there are several, by
each in its turn, and then by an error. respx compares a request with each route in turn, which takes milliseconds at
a thousand of them; the index takes the same time for any number.
"""

import difflib
import json
import math
import re
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import httpx
import respx

from touchstone.errors import RecordingError
from touchstone.facts.exchange import Exchange
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.target.clock import RecordedClock, wait_s
from touchstone.target.transport import SERVED

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_SHOWN_BODY = 200
_HEADERS_OF_THE_WIRE = frozenset({"content-length", "content-encoding", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is recognised by, each part in canonical form.

    Attributes:
        path: Below the base of the API, letters that need no percent-encoding decoded.
        query: Sorted, form-encoded.
        body: JSON without white space and with sorted keys, or the bytes as they are.
    """

    method: str
    path: str
    query: str
    body: bytes

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        body = f" with the body {self.body[:_SHOWN_BODY]!r}" if self.body else ""
        return f"{self.method} {self.path}{query}{body}"


def asked(method: str, target: str, body: bytes, base_path: str = "") -> Asked:
    """The canonical form of a request.

    Args:
        target: Path and query as sent.
        base_path: What paths begin with that is not part of the API.
    """
    path, _, query = target.partition("?")
    path = path.removeprefix(base_path)
    pairs = sorted(parse_qsl(query, keep_blank_values=True, errors="replace"))
    return Asked(method.upper(), _canonical_path(path), urlencode(pairs, errors="replace"), _canonical_body(body))


def recorded(exchange: Exchange, base_url: str = BASE_URL) -> Asked:
    """The canonical form of the request of an exchange."""
    split = urlsplit(exchange.request.url)
    target = exchange.request.url.partition(split.netloc)[2] if split.netloc else exchange.request.url
    return asked(exchange.request.method, target, exchange.request.body, urlsplit(base_url).path)


def _canonical_path(path: str) -> str:
    # RFC 3986 6.2.2: letters that need no encoding mean the same with one, and hexadecimal digits are large.
    def canonical(match: "re.Match[str]") -> str:
        letter = chr(int(match[1], 16))
        return letter if _UNRESERVED.fullmatch(letter) else match[0].upper()

    return re.sub(r"%([0-9A-Fa-f]{2})", canonical, path)


def _canonical_body(body: bytes) -> bytes:
    if body[:1] not in (b"{", b"["):
        return body
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body


@dataclass
class Playback:
    """One recording being served.

    Attributes:
        recording: What is served.
        speed: How many times as fast streams come as they came; infinite for at once.
        clean: Makes the text of a request what it is in a recording: no secrets.
        errors: What was asked for in vain.
    """

    recording: Recording
    speed: float = math.inf
    clock: RecordedClock = field(default_factory=RecordedClock)
    clean: Callable[[str], str] = str
    errors: list[str] = field(default_factory=list)
    router: respx.MockRouter = field(init=False)
    _waiting: dict[Asked, deque[Exchange]] = field(init=False)
    _served: dict[Asked, list[Exchange]] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._served = defaultdict(list)
        self._waiting = defaultdict(deque)
        for exchange in self.recording.exchanges:
            self._waiting[recorded(exchange)].append(exchange)
        self.router = respx.MockRouter(assert_all_called=False)
        self.router.route().mock(side_effect=self.serve)

    def unused(self) -> tuple[Exchange, ...]:
        """The exchanges that nobody has asked for, in their order."""
        left = (exchange for queue in self._waiting.values() for exchange in queue)
        return tuple(sorted(left, key=lambda exchange: exchange.seq))

    def serve(self, request: httpx.Request) -> httpx.Response:
        """The recorded answer to a request.

        Raises:
            RecordingError: there is none, or none any more; the message shows the nearest one.
            httpx.TransportError: none came when it was recorded.
        """
        exchange = self._take(self._asked(request))
        if (slot := request.extensions.get(SERVED)) is not None:
            slot.append(exchange)
        self.clock.come_to(exchange.done_at)
        if exchange.response is None:
            raise failure(exchange.error, request)
        headers = [(n, v) for n, v in exchange.response.headers if n.lower() not in _HEADERS_OF_THE_WIRE]
        return httpx.Response(exchange.response.status, headers=headers, stream=_Body(exchange, self.speed, request))

    def _asked(self, request: httpx.Request) -> Asked:
        raw = request.extensions.get("target", request.url.raw_path).decode("utf-8", "replace")
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else request.content
        base_path = urlsplit(BASE_URL).path
        return asked(request.method, self.clean(raw), self.clean(body.decode("latin-1")).encode("latin-1"), base_path)

    def _take(self, wanted: Asked) -> Exchange:
        with self._lock:
            if queue := self._waiting.get(wanted):
                exchange = queue.popleft()
                self._served[wanted].append(exchange)
                return exchange
            self.errors.append(self._missing(wanted))
            raise RecordingError(self.errors[-1])

    def _missing(self, wanted: Asked) -> str:
        place = self.recording.place
        if before := self._served.get(wanted):
            entries = ", ".join(self._number(exchange) for exchange in before)
            times = f"asked for the {len(before) + 1}. time, recorded {len(before)} times"
            return f"{place}: {wanted}: {times} (entry {entries})"
        return f"{place}: {wanted}: not in this recording; {self._nearest(wanted)}"

    def _nearest(self, wanted: Asked) -> str:
        known = list(dict.fromkeys([*self._waiting, *self._served]))
        if not known:
            return "it is empty"
        near = max(known, key=lambda one: _likeness(one, wanted))
        first = [*self._served.get(near, ()), *self._waiting.get(near, ())][0]
        return f"the nearest is entry {self._number(first)}; {_difference(near, wanted)}"

    def _number(self, exchange: Exchange) -> str:
        return str(self.recording.exchanges.index(exchange))


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a recorded answer, in the pieces and, if wished, at the pace in which it came."""

    def __init__(self, exchange: Exchange, speed: float, request: httpx.Request) -> None:
        self._exchange = exchange
        self._speed = speed
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        for data, pause_s in self._pieces():
            wait_s(pause_s)
            yield data
        self._fail()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data, pause_s in self._pieces():
            if pause_s > 0:
                await anyio.sleep(pause_s)
            yield data
        self._fail()

    def _pieces(self) -> Iterable[tuple[bytes, float]]:
        """Each piece, and how long to wait before it."""
        response = self._exchange.response
        if response is None or not response.chunks:
            yield (response.body if response else b""), 0.0
            return
        before_s = self._exchange.head_at - self._exchange.sent_at
        for chunk in response.chunks:
            yield chunk.data, max(0.0, chunk.at_s - before_s) / self._speed
            before_s = max(before_s, chunk.at_s)

    def _fail(self) -> None:
        if self._exchange.error:
            raise failure(self._exchange.error, self._request)


def failure(error: str, request: httpx.Request) -> httpx.TransportError:
    """The exception that a recorded error began with, or that of a connection which broke off."""
    name, _, message = error.partition(": ")
    kind = getattr(httpx, name, None)
    if not (isinstance(kind, type) and issubclass(kind, httpx.TransportError)):
        kind, message = httpx.RemoteProtocolError, error
    return kind(message, request=request)


def _likeness(one: Asked, other: Asked) -> tuple[bool, bool, float, bool]:
    alike = difflib.SequenceMatcher(None, one.path, other.path).ratio()
    return (one.path == other.path, one.method == other.method, alike, one.query == other.query)


def _difference(near: Asked, wanted: Asked) -> str:
    """How a request differs from the nearest recorded one, part by part."""
    parts = [
        f"{part}: sent {_cut(getattr(wanted, part))}, recorded {_cut(getattr(near, part))}"
        for part in ("method", "path", "query", "body")
        if getattr(near, part) != getattr(wanted, part)
    ]
    return "; ".join(parts)


def _cut(value: str | bytes) -> str:
    return repr(value) if len(value) <= _SHOWN_BODY else f"{value[:_SHOWN_BODY]!r}…"


class ReplayTransport(httpx.BaseTransport):
    """What a client of ours is given in the place of the network: serves the recording that is on."""

    def __init__(self) -> None:
        self.playback: Playback | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answers as the recording does, through respx."""
        if self.playback is None:
            raise RecordingError("no recording is on; this is a fault of touchstone")
        request.read()
        return self.playback.router.handler(request)
