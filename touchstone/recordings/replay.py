"""Recordings in the place of a target: which are played, how they answer, and what each needs to be judged.

Each is judged by itself, since two may have been made of different targets and at different times. So that a run log of
several can be read, each takes place after the one before it and its exchanges are numbered on.

A request is answered by the recorded exchange with the same method, path, query and body; where there are several, by
each in its turn, and then by an error.

A file of others shows a part of what happened to an account, and no more than that. Another tab, a colleague or a
machine may publish, start, cancel and delete with the same key, also between two requests that follow each other at
once, and what a page publishes may have been built the day before. So whatever needs to know what a version was before
is no finding there. What an answer says by itself is one, whoever else is at work.
"""

import difflib
import functools
import json
import math
import re
import threading
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import httpx

from touchstone.config import TargetSettings, Templates
from touchstone.errors import RecordingError
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.recordings import reader
from touchstone.recordings.recording import BASE_URL, Accounts, Recording, moved
from touchstone.rules import catalogue
from touchstone.rules.history import Bounds, Content
from touchstone.rules.judge import Judge, by_all_rules
from touchstone.target.call import Call
from touchstone.target.clock import RecordedClock, wait_s
from touchstone.target.transport import SERVED

# What stands for keys in a replay: the recording has only markers of them.
KEYS = {role: f"sk_live_test_replayed_{role}" for role in ("primary", "second", "restricted")}
# Between two recordings, in seconds of the run log.
PAUSE_S = 1.0

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_SHOWN_BODY = 200
_HEADERS_OF_THE_WIRE = frozenset({"content-length", "content-encoding", "transfer-encoding"})

WHY = "something that the recording does not show may explain it"

# The rule that concludes from the starts of a run that nothing of it can still be in the way.
_OF_ALL_STARTS = frozenset({"room.free"})
_OF_ONE_ANSWER = frozenset(rule.id for rule in catalogue.EXCHANGE_RULES) - _OF_ALL_STARTS
# What story rules say of one answer by itself: that the publish which asks for a build tells of it, and no other one,
# and that no line of a log is younger than its answer.
_BY_ITSELF = frozenset(
    {"publish.auto-build-starts", "publish.auto-build-only-when-asked", "events.timestamps-are-true"}
)
# A start that is answered ready has found a golden, whatever was known of the version before.
_ALWAYS = frozenset({"reuse.is-flagged"})


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestKey:
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


def request_key(method: str, target: str, body: bytes, base_path: str = "") -> RequestKey:
    """The canonical form of a request.

    Args:
        target: Path and query as sent.
        base_path: What paths begin with that is not part of the API.
    """
    path, _, query = target.partition("?")
    path = path.removeprefix(base_path)
    pairs = sorted(parse_qsl(query, keep_blank_values=True, errors="replace"))
    return RequestKey(method.upper(), _canonical_path(path), urlencode(pairs, errors="replace"), _canonical_body(body))


def recorded_key(exchange: Exchange) -> RequestKey:
    """The canonical form of the request of an exchange."""
    split = urlsplit(exchange.request.url)
    target = exchange.request.url.partition(split.netloc)[2] if split.netloc else exchange.request.url
    return request_key(exchange.request.method, target, exchange.request.body, urlsplit(BASE_URL).path)


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
    _waiting: dict[RequestKey, deque[Exchange]] = field(init=False)
    _served: dict[RequestKey, list[Exchange]] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._served = defaultdict(list)
        self._waiting = defaultdict(deque)
        for exchange in self.recording.exchanges:
            self._waiting[recorded_key(exchange)].append(exchange)

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
        exchange = self._take(self._key_of(request))
        if (slot := request.extensions.get(SERVED)) is not None:
            slot.append(exchange)
        self.clock.come_to(exchange.done_at)
        if exchange.response is None:
            raise failure(exchange.error, request)
        headers = [(n, v) for n, v in exchange.response.headers if n.lower() not in _HEADERS_OF_THE_WIRE]
        return httpx.Response(exchange.response.status, headers=headers, stream=_Body(exchange, self.speed, request))

    def _key_of(self, request: httpx.Request) -> RequestKey:
        raw = request.extensions.get("target", request.url.raw_path).decode("utf-8", "replace")
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else request.content
        base_path = urlsplit(BASE_URL).path
        return request_key(
            request.method, self.clean(raw), self.clean(body.decode("latin-1")).encode("latin-1"), base_path
        )

    def _take(self, wanted: RequestKey) -> Exchange:
        with self._lock:
            if queue := self._waiting.get(wanted):
                exchange = queue.popleft()
                self._served[wanted].append(exchange)
                return exchange
            self.errors.append(self._missing(wanted))
            raise RecordingError(self.errors[-1])

    def _missing(self, wanted: RequestKey) -> str:
        place = self.recording.place
        if before := self._served.get(wanted):
            entries = ", ".join(self._number(exchange) for exchange in before)
            times = f"asked for the {len(before) + 1}. time, recorded {len(before)} times"
            return f"{place}: {wanted}: {times} (entry {entries})"
        return f"{place}: {wanted}: not in this recording; {self._nearest(wanted)}"

    def _nearest(self, wanted: RequestKey) -> str:
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


def _likeness(one: RequestKey, other: RequestKey) -> tuple[bool, bool, float, bool]:
    alike = difflib.SequenceMatcher(None, one.path, other.path).ratio()
    return (one.path == other.path, one.method == other.method, alike, one.query == other.query)


def _difference(near: RequestKey, wanted: RequestKey) -> str:
    """How a request differs from the nearest recorded one, part by part."""
    parts = [
        f"{part}: sent {_cut(getattr(wanted, part))}, recorded {_cut(getattr(near, part))}"
        for part in ("method", "path", "query", "body")
        if getattr(near, part) != getattr(wanted, part)
    ]
    return "; ".join(parts)


def _cut(value: str | bytes) -> str:
    return repr(value) if len(value) <= _SHOWN_BODY else f"{value[:_SHOWN_BODY]!r}…"


# --- which are played -------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def plays(paths: tuple[str, ...], accounts: tuple[tuple[str, str], ...] = ()) -> Mapping[str, Recording]:
    """The recordings in files, in their order, by their names, with a number where an earlier one has that, too.

    Args:
        accounts: Keys in files of others, each with its account.

    Raises:
        RecordingError: a file holds none.
    """
    found: dict[str, Recording] = {}
    times: Counter[str] = Counter()
    for path in paths:
        recording = reader.read(Path(path), cast("Accounts", dict(accounts)))
        times[recording.name] += 1
        number = times[recording.name]
        found[recording.name + (f"-{number}" if number > 1 else "")] = recording
    return found


class Replay:
    """The recordings of a run, and the one that is on.

    Args:
        speed: How many times as fast streams and waits are as they were; 0 for at once.
    """

    def __init__(self, recordings: Mapping[str, Recording], speed: float) -> None:
        self._recordings = recordings
        self._speed = speed or math.inf
        self._playback = Playback(Recording("none", ()))
        self._seq = 0
        self.clock = RecordedClock(self._speed)
        self.wire = httpx.MockTransport(self._serve)

    def put_on(self, name: str) -> Playback:
        """Puts one recording on, where the one before it ended."""
        began_at = self.clock.now() + PAUSE_S if self._seq else 0.0
        recording = self._recordings[name]
        exchanges = tuple(moved(each, each.seq + self._seq, began_at) for each in recording.exchanges)
        self._seq = max((exchange.seq for exchange in exchanges), default=self._seq)
        self.clock.come_to(began_at)
        self._playback = Playback(replace(recording, exchanges=exchanges), self._speed, self.clock)
        return self._playback

    def _serve(self, request: httpx.Request) -> httpx.Response:
        return self._playback.serve(request)


def target_of(recording: Recording, like: TargetSettings) -> TargetSettings:
    """The settings that a recording was made with."""
    terms = recording.terms
    named: dict[str, tuple[str, ...]] = {
        "buildable": tuple(one.ref for one in terms.given if one.outcome == "ready"),
        "failing": tuple(one.ref for one in terms.given if one.outcome == "failed"),
        "restricted": tuple(one.ref for one in terms.given if one.owner == "restricted"),
    }
    return replace(
        like,
        api_key=KEYS["primary"],
        second_api_key=KEYS["second"] if "second" in terms.keys else None,
        restricted_api_key=KEYS["restricted"] if "restricted" in terms.keys else None,
        build_timeout_s=terms.build_timeout_s,
        cancel_timeout_s=terms.cancel_timeout_s,
        patience_s=terms.patience_s,
        publish=terms.publish,
        templates=Templates(**named),
    )


def given_of(recording: Recording) -> dict[str, Content]:
    """The versions that were there before, as the rules know them."""
    before = float("-inf")
    return {
        one.ref: Content(one.ref, one.owner, f"given:{one.ref}", one.outcome, 0.0, "", 0, before, before)
        for one in recording.terms.given
    }


def bounds_of(recording: Recording) -> Bounds:
    """How long builds and cancels might take."""
    return Bounds(recording.terms.build_timeout_s, recording.terms.cancel_timeout_s)


def unused_words(unused: Sequence[Exchange], most: int = 3) -> str:
    """What is said of exchanges that a scenario did not ask for."""
    first = list(map(in_short, unused[:most]))
    more = f" and {len(unused) - most} more" if len(unused) > most else ""
    return f"{len(unused)} recorded, but not asked for by the scenario: {', '.join(first)}{more}"


def in_short(exchange: Exchange) -> str:
    """A recorded exchange in a few words."""
    return f"{exchange.request.method} {exchange.request.url.removeprefix(BASE_URL)} → {exchange.status}"


def call_of(exchange: Exchange) -> Call:
    """The call that sends the request of a recorded exchange again."""
    base = urlsplit(BASE_URL)
    target = exchange.request.url.removeprefix(f"{base.scheme}://{base.netloc}{base.path}")
    if exchange.credential == "query":
        # The transport adds the key itself.
        target = target.replace("?api_key=<key:primary>", "").replace("&api_key=<key:primary>", "")
    streamed = exchange.response is not None and bool(exchange.response.chunks)
    publishes = exchange.operation == "publishTemplate"
    return Call(
        # What a request is about follows from its path; only of a publish the path does not tell it.
        operation=exchange.operation if publishes else "",
        ref=exchange.ref if publishes else None,
        credential=exchange.credential,
        method=exchange.request.method,
        path=target,
        # Names as we write them: one that is written otherwise would stand beside our own.
        headers={name.title(): value for name, value in exchange.request.headers},
        body=exchange.request.body,
        note=exchange.note,
        stream_s=max(1.0, exchange.elapsed_s) if streamed else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Alone:
    """A recording judged by itself, without being played."""

    judge: Judge
    judgements: tuple[Judgement, ...]

    def findings(self) -> tuple[Finding, ...]:
        """The disagreements that it shows."""
        return tuple(self.judge.finding(j) for j in self.judgements if j.outcome == "broken")


def alone(recording: Recording) -> Alone:
    """What the rules say of a recording, exchanges seen in the order in which they were over."""
    judge = by_all_rules(bounds_of(recording), given_of(recording))
    by_end = sorted(recording.exchanges, key=lambda exchange: exchange.done_at)
    seen = [judgement for exchange in by_end for judgement in judge.see(exchange)]
    refs = dict.fromkeys(exchange.ref for exchange in recording.exchanges if exchange.ref)
    return Alone(judge, tuple(map(conclusion_of(recording), (*seen, *judge.tell(refs)))))


def conclusion_of(recording: Recording) -> Callable[[Judgement], Judgement]:
    """What becomes of a judgement: a file of others shows a part of what happened, one of ours all of it."""
    return (lambda judgement: judgement) if recording.origin == "touchstone" else doubted


def evidence_of(judged: Alone, recording: Recording) -> dict[int, tuple[str, ...]]:
    """By *seq*, the claims that an exchange was the last evidence for.

    Of requests that were sent at the same moment each counts for all: which of them was the last one is chance.
    """
    found: dict[int, set[str]] = defaultdict(set)
    for judgement in judged.judgements:
        if judgement.outcome == "held":
            found[judgement.evidence[-1]].add(judgement.claim)
    together = {each.seq: _together(each, recording) for each in recording.exchanges}
    return {seq: tuple(sorted(set().union(*(found[other] for other in group)))) for seq, group in together.items()}


def _together(exchange: Exchange, recording: Recording) -> list[int]:
    return [
        other.seq
        for other in recording.exchanges
        if (other.request == exchange.request and other.sent_at < exchange.done_at and exchange.sent_at < other.done_at)
        or other is exchange
    ]


# --- files of others -------------------------------------------------------------------------------------------------


def doubted(judgement: Judgement) -> Judgement:
    """A broken judgement that the unseen may explain as one that is open; any other as it is."""
    if judgement.outcome != "broken" or judgement.check in _OF_ONE_ANSWER or judgement.claim in _ALWAYS:
        return judgement
    if judgement.claim in _BY_ITSELF and len(judgement.evidence) == 1:
        return judgement
    return replace(judgement, outcome="indeterminate", expected="", actual=f"{WHY}: {judgement.actual}")
