"""Recordings in place of a target: serves the recorded responses, and judges recordings.

Each recording is judged separately. A recorded exchange answers a request with the same method, path, query and body.
If several recorded requests are equal, their responses are used in order, each once. A further request is an error.
A client of its own needs a `conversation` instead, which has the state of each version.

A foreign file (a HAR file of another tool) shows only some requests of an account: other clients may use its key. So a
response that contradicts earlier responses is no finding there. A response that is wrong by itself is a finding.
"""

import contextlib
import functools
import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

import anyio
import httpx

from touchstone.config import TargetSettings, Templates
from touchstone.errors import RecordingError
from touchstone.facts.exchange import Chunk, Exchange, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.recordings import reader
from touchstone.recordings.recording import BASE_URL, Accounts, Given, Recording
from touchstone.rules import catalogue
from touchstone.rules.history import Bounds, Content
from touchstone.rules.judge import Judge, by_all_rules
from touchstone.target.clock import RecordedClock, wait_s
from touchstone.target.transport import SERVED

# Keys of a replay; the recording has only placeholders for the real keys.
KEYS = {role: f"sk_live_test_replayed_{role}" for role in ("primary", "second", "restricted")}

_MAX_QUOTED = 200
_HEADERS_OF_THE_WIRE = frozenset({"content-length", "content-encoding", "transfer-encoding"})

# The rule room.free is right only if it sees every start of the account.
_OF_ONE_ANSWER = frozenset(rule.id for rule in catalogue.EXCHANGE_RULES) - {"room.free"}
# Claims that a single exchange can break, although their rules judge all exchanges of a version together: a publish
# reports its auto-build, and no event is newer than the response that contains it.
_IN_ONE_EXCHANGE = frozenset(
    {"publish.auto-build-starts", "publish.auto-build-only-when-asked", "events.timestamps-are-true"}
)
# Other requests cannot explain this violation: a start that returns ready reuses a snapshot in any case.
_ALWAYS = frozenset({"reuse.is-flagged"})


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


class Playback:
    """Serves one recording below *url*. *speed* of event streams: 1 as recorded, 0 without pauses."""

    def __init__(
        self, recording: Recording, speed: float = 0.0, clock: RecordedClock | None = None, url: str = BASE_URL
    ) -> None:
        self.recording = recording
        self.url, self._base = url, str(httpx.URL(url)).rstrip("/") + "/"
        self.clock = clock or RecordedClock()
        self.clean: Callable[[str], str] = str  # replaces secrets in a request by their placeholders
        self.errors: list[str] = []  # requests without a recorded response
        self._speed = speed or math.inf
        self._served: Counter[RequestKey] = Counter()
        self._lock = threading.Lock()
        self._recorded: dict[RequestKey, list[Exchange]] = defaultdict(list)
        for exchange in recording.exchanges:
            self._recorded[key_of(exchange)].append(exchange)

    def rewind(self) -> None:
        """Makes every recorded response available again."""
        with self._lock:
            self._served.clear()

    def left(self) -> tuple[Exchange, ...]:
        """Recorded exchanges whose response no request has received yet, in order."""
        left = (exchange for key, known in self._recorded.items() for exchange in known[self._served[key] :])
        return tuple(sorted(left, key=lambda exchange: exchange.seq))

    def serve(self, request: httpx.Request) -> httpx.Response:
        """Returns the recorded response to a request; raises an httpx.TransportError if there was none.

        Raises a RecordingError that names the nearest recorded request, if the request is not recorded, was sent too
        often, or is not below *url*.
        """
        target = request.extensions.get("target", request.url.raw_path).decode("utf-8", "replace")
        url = f"{request.url.scheme}://{request.url.netloc.decode()}{target}"
        if not url.startswith(self._base):
            where = url.partition("?")[0]  # without the query, because it may contain a key
            problem = f"not below the URL of the recording; expected {self._base}…"
            raise self._rejected(f"{request.method} {where}: {problem}; set the base URL of the client to it")
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else request.content
        exchange = self.find(request.method, url[len(self._base) - 1 :], request.headers.get("authorization"), body)
        if (slot := request.extensions.get(SERVED)) is not None:
            slot.append(exchange)
        self.clock.come_to(exchange.done_at)
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
        below, sent = self.clean(target), self.clean(body.decode("latin-1"))
        key = request_key(method, below, sent.encode("latin-1"))
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

    def _pick(self, key: RequestKey, authorization: str | None) -> Exchange:  # noqa: ARG002 - a conversation reads it
        known, times = self._recorded.get(key, []), self._served[key]
        if times < len(known):
            self._served[key] += 1
            return known[times]
        if known:
            entries = ", ".join(map(self._number, known))
            raise self._rejected(f"{key}: sent {times + 1} times, recorded {times} times (entry {entries})")
        raise self._unknown(key)

    def _ended(self, exchange: Exchange) -> None:
        """Called when the last chunk of a response was sent, or the client left."""

    def _unknown(self, key: RequestKey) -> RecordingError:
        return self._rejected(f"{key}: not in this recording; {self._nearest(key)}")

    def _rejected(self, problem: str) -> RecordingError:
        self.errors.append(f"{self.recording.place}: {problem}")
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
        return f"the nearest is entry {self._number(self._recorded[near][0])}; {parts}"

    def _number(self, exchange: Exchange) -> str:
        return str(self.recording.exchanges.index(exchange))


def key_of(exchange: Exchange) -> RequestKey:
    """Returns what identifies the request of a recorded exchange."""
    request = exchange.request
    return request_key(request.method, request.url.removeprefix(BASE_URL), request.body)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a recorded response, in the recorded chunks and at the recorded pace."""

    def __init__(self, playback: Playback, exchange: Exchange, response: Response, request: httpx.Request) -> None:
        self._playback, self._exchange, self._response, self._request = playback, exchange, response, request

    def __iter__(self) -> Iterator[bytes]:
        for data, pause_s in self._paced_chunks():
            wait_s(pause_s)
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


@functools.lru_cache(maxsize=1)
def plays(paths: tuple[str, ...], accounts: tuple[tuple[str, str], ...] = ()) -> Mapping[str, Recording]:
    """Reads recordings and returns them by name; a repeated name gets a number. *accounts* are (key, account) pairs."""
    found: dict[str, Recording] = {}
    times: Counter[str] = Counter()
    for path in paths:
        recording = reader.read(Path(path), cast("Accounts", dict(accounts)))
        times[recording.name] += 1
        number = times[recording.name]
        found[recording.name + (f"-{number}" if number > 1 else "")] = recording
    return found


def target_of(recording: Recording, like: TargetSettings) -> TargetSettings:
    """Settings for a replay: the terms of the recording, and all other settings from *like*."""
    terms = recording.terms
    templates = Templates(
        buildable=tuple(one.ref for one in terms.given if one.outcome == "ready"),
        failing=tuple(one.ref for one in terms.given if one.outcome == "failed"),
        restricted=tuple(one.ref for one in terms.given if one.owner == "restricted"),
    )
    same = {name: getattr(terms, name) for name in ("build_timeout_s", "cancel_timeout_s", "patience_s", "publish")}
    return replace(
        like,
        api_key=KEYS["primary"],
        second_api_key=KEYS["second"] if "second" in terms.keys else None,
        restricted_api_key=KEYS["restricted"] if "restricted" in terms.keys else None,
        templates=templates,
        **same,
    )


def in_short(exchange: Exchange) -> str:
    """Describes a recorded exchange, such as ``POST /templates → 201``."""
    return f"{exchange.request.method} {exchange.request.url.removeprefix(BASE_URL)} → {exchange.status}"


def alone(recording: Recording) -> tuple[tuple[Judgement, ...], tuple[Finding, ...], Mapping[str, str]]:
    """Judges a recording without a replay, by the ends of its exchanges: judgements, findings, and errors by rule."""
    judge = judge_of(recording)
    by_end = sorted(recording.exchanges, key=lambda exchange: exchange.done_at)
    judgements = [judgement for exchange in by_end for judgement in judge.add(exchange)]
    judgements += judge.conclude(dict.fromkeys(exchange.ref for exchange in recording.exchanges if exchange.ref))
    judged = tuple(map(conclusion_of(recording), judgements))
    return judged, tuple(judge.finding(one) for one in judged if one.outcome == "broken"), judge.failed


def judge_of(recording: Recording) -> Judge:
    """A judge that knows the versions and the time limits in the terms of a recording."""
    bounds = Bounds(recording.terms.build_timeout_s, recording.terms.cancel_timeout_s)
    return by_all_rules(bounds, given_of(recording))


def given_of(recording: Recording) -> dict[str, Content]:
    """The versions that existed before the recording, in the form that rules use."""
    return {one.ref: content_of(one) for one in recording.terms.given}


def content_of(given: Given) -> Content:
    """A version that existed before the recording, in the form that rules use."""
    before = float("-inf")
    return Content(given.ref, given.owner, f"given:{given.ref}", given.outcome, 0.0, "", 0, before, before)


def conclusion_of(recording: Recording) -> Callable[[Judgement], Judgement]:
    """The function to apply to each judgement: `doubted` for a foreign file; otherwise a function without effect."""
    return (lambda judgement: judgement) if recording.origin == "touchstone" else doubted


def doubted(judgement: Judgement) -> Judgement:
    """Turns *broken* into *indeterminate* if unrecorded requests may explain it; returns other judgements unchanged."""
    if judgement.outcome != "broken" or judgement.check in _OF_ONE_ANSWER or judgement.claim in _ALWAYS:
        return judgement
    if judgement.claim in _IN_ONE_EXCHANGE and len(judgement.evidence) == 1:
        return judgement
    why = f"requests outside the recording may explain it: {judgement.actual}"
    return replace(judgement, outcome="indeterminate", expected="", actual=why)


def evidence_of(recording: Recording) -> dict[int, tuple[str, ...]]:
    """Claims that held, by *seq* of the exchange that decided; equal requests that overlap get the claims of both."""
    found: dict[int, set[str]] = defaultdict(set)
    for judgement in alone(recording)[0]:
        if judgement.outcome == "held":
            found[judgement.evidence[-1]].add(judgement.claim)
    together = {
        one.seq: [e.seq for e in recording.exchanges if e is one or (e.overlaps(one) and e.request == one.request)]
        for one in recording.exchanges
    }
    return {seq: tuple(sorted(set().union(*(found[other] for other in group)))) for seq, group in together.items()}
