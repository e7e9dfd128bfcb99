"""Recordings that answer a client with the state of each version: a start moves on, a poll repeats its response.

A recorded exchange answers a request with the same method, path, query and body; a publish needs only the same version.
"""

import contextlib
import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

import anyio
import httpx

from touchstone.errors import RecordingError
from touchstone.facts.exchange import Chunk, Credential, Exchange, Response
from touchstone.recordings.foreign import published_ref
from touchstone.recordings.recording import BASE_URL, RUN_ID, Recording, moved, without_credentials
from touchstone.target.keys import Keys

KEY = "sk_live_test_recorded"
_KEYS = Keys(KEY, f"{KEY}_second", f"{KEY}_restricted")
_VALID: tuple[Credential, ...] = ("primary", "second", "restricted", "lowercase-scheme")
_ROLES: tuple[Credential, ...] = (*_VALID, "longer", "shorter", "recased")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_QUOTED = 200
_HEADERS_OF_THE_WIRE = frozenset({"content-length", "content-encoding", "transfer-encoding"})


class RequestKey(NamedTuple):
    """What identifies a request in a recording; each part has a normal form, so that equal requests have equal keys."""

    method: str
    path: str  # below the base URL, with uniform percent-encoding
    query: str  # sorted, form-encoded
    body: bytes  # JSON without white space and with sorted keys; other bodies unchanged

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        body = f" with the body {self.body[:_MAX_QUOTED]!r}" if self.body else ""
        return f"{self.method} {self.path}{query}{body}"


def request_key(method: str, target: str, body: bytes) -> RequestKey:
    """Returns what identifies a request; *target* is its path below the base URL, and its query."""
    path, _, query = target.partition("?")
    pairs = sorted(parse_qsl(query, keep_blank_values=True, errors="replace"))
    if body[:1] in (b"{", b"["):
        with contextlib.suppress(ValueError, RecursionError):
            body = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    path = "/".join(quote(unquote_to_bytes(part), safe="") for part in path.split("/"))
    return RequestKey(method.upper(), path, urlencode(pairs, errors="replace"), body)


@dataclass(slots=True)
class _Story:
    """The exchanges about one version, in order, and how far the client has come."""

    exchanges: list[Exchange] = field(default_factory=list)
    at: int = -1  # index of the last exchange that answered a request
    has_changed: bool = False  # whether the client has changed the version
    streams: list[int] = field(default_factory=list)  # indexes of the streams that are being sent

    def next(self, wanted: Sequence[Exchange], *, reads: bool) -> Exchange | None:
        """Returns the exchange that answers a request equal to those of *wanted*; None if its state does not fit.

        A read gets the next response before the next change of the version, and then repeats it. While the log of a
        build is sent, a read gets no response that was recorded after the log. A change gets its next response, or
        repeats the last one if nothing has changed since.
        """
        changes = list(self._changes())
        since = max((i for i in changes if i <= self.at), default=0)
        until = min((i for i in changes if i > self.at), default=len(self.exchanges))
        numbers = {each.seq for each in wanted}
        places = [i for i, each in enumerate(self.exchanges) if each.seq in numbers]
        ahead = [i for i in places if i > self.at and (i < until or not reads)]
        behind = [i for i in places if since <= i <= self.at]
        if reads and self.streams and behind:
            ahead = [i for i in ahead if i < min(self.streams)]
        # A client that has not changed anything yet may begin in the middle.
        later = [] if self.has_changed else [i for i in places if i > self.at]
        found = (*ahead[:1], *behind[-1:], *later[:1])
        return self._go_to(found[0]) if found else None

    def _changes(self) -> Iterator[int]:
        """Yields the indexes of all changes, without those that repeat the change before with the same result."""
        before = None
        for index, each in enumerate(self.exchanges):
            if _changes(each) and before != (before := (key_of(each), each.status, each.body.get("status"))):
                yield index

    def _go_to(self, place: int) -> Exchange:
        exchange = self.exchanges[place]
        self.has_changed |= _changes(exchange)
        if exchange.response and exchange.response.chunks:
            self.streams.append(place)
        elif place > self.at or _changes(exchange):
            self.at = place
        return exchange


class Conversation:
    """Recordings that answer one client. *errors* lists the requests without a recorded response."""

    keys = _KEYS.hidden()

    def __init__(self, recordings: Sequence[Recording], speed: float = 0.0, url: str = BASE_URL) -> None:
        self.recording = first = recordings[0]
        exchanges: list[Exchange] = []
        self.url, self._base = url, str(httpx.URL(url)).rstrip("/") + "/"
        self.errors: list[str] = []
        self._name = ", ".join(recording.place for recording in recordings)
        self._speed, self._secrets, self._lock = speed or math.inf, _KEYS.secrets(), threading.Lock()
        self._recorded: dict[RequestKey, list[Exchange]] = defaultdict(list)
        self._places: dict[int, str] = {}
        for recording in recordings:
            for number, each in enumerate(recording.exchanges):
                exchange = moved(each, len(exchanges) + 1, 0.0)
                exchanges.append(exchange)
                self._recorded[key_of(exchange)].append(exchange)
                self._places[exchange.seq] = f"{number} of {recording.place}" if len(recordings) > 1 else str(number)
        self._exchanges = tuple(exchanges)
        self.rewind()
        self.used: set[int] = set()  # *seq* of each exchange that has answered a request
        # *refs* are all versions, in order; *ref* is the version that the first scenario is about.
        self.refs = tuple(dict.fromkeys(each.ref for each in exchanges if each.ref))
        self.ref = _subject(first)
        path, _, self.version = self.ref.partition("@")
        self.namespace, _, self.name = path.partition("/")
        roles = [each.credential for each in first.exchanges]
        self.key = self.keys["restricted" if "restricted" in roles and "primary" not in roles else "primary"]

    def rewind(self) -> None:
        """Begins again: no client has changed anything."""
        self._stories: dict[str | None, _Story] = defaultdict(_Story)
        for exchange in self._exchanges:
            self._stories[exchange.ref].exchanges.append(exchange)

    @property
    def unused(self) -> tuple[str, ...]:
        """The exchanges that have not answered a request, in order, such as ``POST /templates → 201``."""
        return tuple(in_short(each) for each in self._exchanges if each.seq not in self.used)

    def serve(self, request: httpx.Request) -> httpx.Response:
        """Returns the recorded response to a request; raises an httpx.TransportError if there was none.

        Raises a RecordingError that names the nearest recorded request, if the request is not recorded, does not fit
        the state of its version, or is not below *url*.
        """
        target = request.url.raw_path.decode("utf-8", "replace")
        url = f"{request.url.scheme}://{request.url.netloc.decode()}{target}"
        if not url.startswith(self._base):
            where = url.partition("?")[0]  # without the query, because it may contain a key
            problem = f"not below the URL of the recording; expected {self._base}…"
            raise self._rejected(f"{request.method} {where}: {problem}; set the base URL of the client to it")
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else request.content
        exchange = self.find(request.method, url[len(self._base) - 1 :], request.headers.get("authorization"), body)
        if (response := exchange.response) is None:
            raise _failure(exchange.error, request)
        # respx reads a ByteStream at once, so that its calls have the body.
        is_whole = not response.chunks and not exchange.error
        stream = httpx.ByteStream(response.body) if is_whole else _Body(self, exchange, response, request)
        return httpx.Response(response.status, headers=self.headers(response), stream=stream)

    def headers(self, response: Response) -> list[tuple[str, str]]:
        """The headers of a response; links, such as Location, point to where the client sends its requests."""
        sent = [(n, v) for n, v in response.headers if n.lower() not in _HEADERS_OF_THE_WIRE]
        return [(name, value.replace(BASE_URL, self.url)) for name, value in sent]

    def find(self, method: str, target: str, authorization: str | None, body: bytes) -> Exchange:
        """Returns the recorded exchange for a request; *target*: path below the base URL, and query.

        Raises a RecordingError that names the nearest recorded request.
        """
        key = request_key(method, without_credentials(self._secrets.text(target)), self._secrets.data(body))
        with self._lock:
            return self._pick(key, authorization)

    def paced_chunks(self, exchange: Exchange) -> Iterator[tuple[bytes, float]]:
        """Yields each chunk of a response with the pause before it, in seconds."""
        response, before_s = exchange.response or Response(0), exchange.head_at - exchange.sent_at
        try:
            for chunk in response.chunks or (Chunk(before_s, response.body),):
                yield chunk.data, max(0.0, chunk.at_s - before_s) / self._speed
                before_s = max(before_s, chunk.at_s)
        finally:
            self._ended(exchange)

    def _rejected(self, problem: str) -> RecordingError:
        self.errors.append(without_credentials(f"{self._name}: {problem}"))
        return RecordingError(self.errors[-1])

    def _nearest(self, wanted: RequestKey) -> str:
        """Describes the most similar recorded request and its differences."""

        def similarity(one: RequestKey) -> tuple[bool, bool, float, bool]:
            alike = SequenceMatcher(None, one.path, wanted.path).ratio()
            return one.path == wanted.path, one.method == wanted.method, alike, one.query == wanted.query

        if not self._recorded:
            return "the recording is empty"
        near = max(self._recorded, key=similarity)
        parts = "; ".join(
            f"{name}: sent {sent!r:.{_MAX_QUOTED}}, recorded {recorded!r:.{_MAX_QUOTED}}"
            for name, sent, recorded in zip(RequestKey._fields, wanted, near, strict=True)
            if sent != recorded
        )
        return f"the nearest is entry {self._places[self._recorded[near][0].seq]}; {parts}"

    def _pick(self, key: RequestKey, authorization: str | None) -> Exchange:
        equal = self._recorded.get(key, []) or self._published(key)
        if not (wanted := _sent_by(_role(authorization), equal)):
            raise self._rejected(f"{key}: not in this recording; {self._nearest(key)}")
        story = self._stories[wanted[0].ref]
        exchange = story.next(wanted, reads=key.method in _READS)
        if exchange is None:
            places, last = ", ".join(self._places[each.seq] for each in wanted), story.exchanges[story.at]
            state = f"after entry {self._places[last.seq]}, {in_short(last)}"
            raise self._rejected(f"{key}: recorded in another state only (entry {places}), not {state}")
        self.used.add(exchange.seq)
        return exchange

    def _published(self, key: RequestKey) -> list[Exchange]:
        """The publishes of the version that a request publishes with another document."""
        ref = published_ref(key.body, {}) if (key.method, key.path) == ("POST", "/templates") else None
        same = (each for other, known in self._recorded.items() if other[:3] == key[:3] for each in known)
        return [each for each in same if ref and each.ref == ref]

    def _ended(self, exchange: Exchange) -> None:
        story = self._stories[exchange.ref]
        place = [each.seq for each in story.exchanges].index(exchange.seq)
        if place in story.streams:
            story.streams.remove(place)
            story.at = max(story.at, place)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a recorded response, in the recorded chunks and at the recorded pace."""

    def __init__(self, playback: Conversation, exchange: Exchange, response: Response, request: httpx.Request) -> None:
        self._playback, self._exchange, self._response, self._request = playback, exchange, response, request

    def __iter__(self) -> Iterator[bytes]:
        for data, pause_s in self._paced_chunks():
            time.sleep(max(0.0, pause_s))
            yield data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data, pause_s in self._paced_chunks():
            if pause_s > 0:
                await anyio.sleep(pause_s)
            yield data

    def _paced_chunks(self) -> Iterator[tuple[bytes, float]]:
        """Yields each chunk with the pause before it, in seconds; then raises the recorded error."""
        yield from self._playback.paced_chunks(self._exchange)
        if self._exchange.error:
            raise _failure(self._exchange.error, self._request)


def _failure(error: str, request: httpx.Request) -> httpx.TransportError:
    """The httpx exception that a recorded error names; RemoteProtocolError if the error names none."""
    name, _, message = error.partition(": ")
    kind = getattr(httpx, name, None)
    if not (isinstance(kind, type) and issubclass(kind, httpx.TransportError)):
        kind, message = httpx.RemoteProtocolError, error
    return kind(message, request=request)


def key_of(exchange: Exchange) -> RequestKey:
    """Returns what identifies the request of a recorded exchange."""
    request = exchange.request
    return request_key(request.method, request.url.removeprefix(BASE_URL), request.body)


def in_short(exchange: Exchange) -> str:
    """Describes a recorded exchange, such as ``POST /templates → 201``."""
    return f"{exchange.request.method} {exchange.request.url.removeprefix(BASE_URL)} → {exchange.status}"


def _changes(exchange: Exchange) -> bool:
    """Whether an exchange changed its version, so that earlier responses to reads are out of date."""
    return exchange.request.method not in _READS and 200 <= exchange.status < 300


def _role(authorization: str | None) -> Credential:
    """The credential of a request, as a recording names it."""
    if authorization is None:
        return "none"
    for role in _ROLES:
        if _KEYS.headers(role)["Authorization"] == authorization:
            return role
    return "unknown" if authorization.lower().startswith("bearer ") else "malformed"


def _sent_by(role: Credential, known: Sequence[Exchange]) -> list[Exchange]:
    """Of equal requests, those of the same account; all if there are none, because any key may be used."""
    for wanted in (role, "primary" if role in (*_VALID, "none") else "unknown", "primary"):
        if found := [each for each in known if each.credential == wanted]:
            return found
    return list(known)


def _subject(recording: Recording) -> str:
    """The version that a scenario is about: its own, or another one if only a start of that one was refused."""
    refs = [each.ref for each in recording.exchanges if each.ref]
    own = f"/touchstone-{RUN_ID}-{recording.name}@"
    refused = [e.ref for e in recording.exchanges if e.ref and e.operation == "startBuild" and e.status >= 400]
    mine = [ref for ref in refs if own in ref]
    return next(iter([ref for ref in mine if ref in refused] or refused or mine or refs), "")
