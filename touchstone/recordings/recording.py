"""A recording: the exchanges of one scenario, its steps, and its terms (settings of the target that judging needs).

In a recording, BASE_URL stands for the URL of the target, and RUN_ID for the run id in names of templates. So tests
stay the same when a recording is made again. redact.py has already replaced known secrets by placeholders. This module
removes irrelevant headers, and values whose names suggest a credential, such as ``password``.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from pathlib import PurePath
from typing import Literal

from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.target.redact import REDACTED

Headers = tuple[tuple[str, str], ...]
Clean = Callable[[str], str]

BASE_URL = "https://builds.test/api"
RUN_ID = "recorded"
TRAFFIC = "proxy.traffic"  # case of a recording that `touchstone proxy` made

_PUBLISHED = {200: "published", 201: "published", 409: "publish conflicts"}
_REFUSED = {401: "key refused", 403: "not allowed", 404: "not found", 405: "no such method", 429: "limited"}

Origin = Literal["touchstone", "har"]  # made by `touchstone record`; saved by a browser, a proxy or a tester
Owner = Literal["primary", "second", "restricted"]
# The account of a key in a foreign file, a HAR file of another tool; ``unknown`` for an invalid key.
Account = Literal["primary", "second", "restricted", "unknown"]
Accounts = Mapping[str, Account]
Ends = Literal["ready", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Given:
    """A version that existed before the recording: its owner, and the outcome of its build."""

    ref: str
    owner: Owner = "primary"
    outcome: Ends = "unknown"


@dataclass(frozen=True, slots=True)
class Terms:
    """Settings of the recorded target that its judgement needs."""

    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0
    given: tuple[Given, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """The exchanges of one scenario, or of a foreign file."""

    name: str  # name of the scenario, or of a foreign file
    exchanges: tuple[Exchange, ...]  # sorted by *seq*; *sent_at* of the first is 0
    origin: Origin = "touchstone"
    path: str = ""  # empty without a file
    recorded_at: str = ""  # time of the first request, ISO 8601 in UTC with microseconds; empty if unknown
    tool_version: str = ""
    contract_sha256: str = ""
    target: str = ""  # ``embedded``, or a name in the settings
    case: str = ""
    claims: tuple[str, ...] = ()  # claims that the scenario tests
    terms: Terms = Terms()
    evidence: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # claims that held, by *seq* of the exchange
    left_out: Mapping[str, int] = field(default_factory=dict)  # number of skipped entries of a file, by reason
    is_changed: bool = False  # whether the file was edited after Touchstone wrote it

    @property
    def steps(self) -> tuple[str, ...]:
        """The step of each exchange, in order; equal steps in a row are listed once."""
        return tuple(name for name, _ in groupby(map(step, self.exchanges)))

    @property
    def place(self) -> str:
        """The name in messages: the file name, or the name of the scenario."""
        return PurePath(self.path).name or self.name


def moved(exchange: Exchange, seq: int, by_s: float) -> Exchange:
    """A copy of the exchange with the number *seq*, *by_s* seconds later."""
    sent_at, head_at, done_at = (round(at + by_s, 6) for at in (exchange.sent_at, exchange.head_at, exchange.done_at))
    return replace(exchange, seq=seq, sent_at=sent_at, head_at=head_at, done_at=done_at)


def step(exchange: Exchange) -> str:
    """The step of one exchange: what it shows about the version, such as ``building`` or ``nothing to cancel``."""
    status, state = exchange.status, str(exchange.body.get("status", ""))
    if exchange.response is None:
        return "no answer"
    if exchange.operation == "cancelBuild" and status in (202, 404) and state:
        return state.replace("idle", "nothing to cancel")
    if status in _REFUSED:
        return _REFUSED[status]
    match exchange.operation:
        case "publishTemplate":
            auto = exchange.body.get("auto_build")
            return _PUBLISHED.get(status, f"publish refused: {status}") + (f", {auto}" if auto else "")
        case "startBuild" if state == "ready":
            return "reused"
        case "startBuild" | "getBuild" if state:
            return state.replace("_", " ")
        case "deleteTemplate" if 200 <= status < 300:
            return "deleted"
        case "streamBuildEvents" if 200 <= status < 300:
            return f"log ends on {_last_phase(exchange)}"
    return f"{exchange.operation or exchange.request.method}: {status}"


def _last_phase(exchange: Exchange) -> str:
    events = parse(exchange.response.body).events if exchange.response else ()
    if not events:
        return "nothing"
    try:
        value = read_json(events[-1].encode())
    except ValueError:
        return "no JSON"
    if not isinstance(value, dict):
        return "no object"
    return str(value.get("phase")) + (", an error" if value.get("level") == "error" else "")


# Headers that are kept, because the meaning of a request or a response depends on them. Other headers belong to the
# client or its network. Content-Length is removed too, because replaced names change it.
REQUEST_HEADERS = frozenset({"accept", "authorization", "content-type", "idempotency-key", "last-event-id"})
# fmt: off
RESPONSE_HEADERS = frozenset({
    "age", "allow", "cache-control", "content-type", "date", "location", "ratelimit", "ratelimit-limit",
    "ratelimit-policy", "ratelimit-remaining", "ratelimit-reset", "retry-after", "www-authenticate",
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset",
})
# fmt: on

_NAMES = r"(?:[\w-]*(?:api[_-]?key|access[_-]?token|auth[_-]?token|password|passwd|secret)|token|authorization|cookie)"
# Placeholders such as ``<key:primary>`` stay, because they show the account of a key.
_BY_NAME = (
    re.compile(rf'(?i)("{_NAMES}"\s*:\s*")(?!<)((?:[^"\\]|\\.)+)(")'),
    re.compile(rf"""(?i)([?&]{_NAMES}=)(?!<|%3C)([^&\s"'<>]+)()"""),
    re.compile(r"""(?i)(\b(?:bearer|basic)\s+)(?!<)([A-Za-z0-9+/_.~=-]{8,})()"""),
)
_FRAME = re.compile(rb"(?s).*?(?:\r\n|\r|\n){2}|.+")


def cleaned(exchange: Exchange, change: Clean, change_body: Clean | None = None) -> Exchange:
    """Removes credentials and irrelevant headers; applies *change* to the text, or *change_body*, if any, to bodies."""

    def clean(text: str) -> str:
        return without_credentials(change(text))

    def data(body: bytes) -> bytes:
        # Latin-1 maps each byte to one character, so bytes of any encoding survive.
        return without_credentials((change_body or change)(body.decode("latin-1"))).encode("latin-1")

    def kept(headers: Headers, names: frozenset[str]) -> Headers:
        return tuple((name, clean(value)) for name, value in headers if name.lower() in names)

    request, response = exchange.request, exchange.response
    if response:
        body = data(response.body)
        chunks, headers = _cut(body, response), kept(response.headers, RESPONSE_HEADERS)
        response = replace(response, headers=headers, body=body, chunks=chunks)
    return replace(
        exchange,
        ref=exchange.ref and clean(exchange.ref),
        request=Request(request.method, clean(request.url), kept(request.headers, REQUEST_HEADERS), data(request.body)),
        response=response,
        error=clean(exchange.error),
        note=json.loads(clean(json.dumps(exchange.note, ensure_ascii=False))),
    )


def without_credentials(text: str) -> str:
    """Replaces credentials in JSON members, in query parameters, and after ``Bearer`` or ``Basic`` by a placeholder."""
    for pattern in _BY_NAME:
        text = pattern.sub(rf"\1{REDACTED}\3", text)
    return text


def _cut(body: bytes, response: Response) -> tuple[Chunk, ...]:
    """Splits the cleaned *body* of a stream into one chunk per event, with the time at which its last byte arrived."""
    if not response.chunks:
        return ()
    arrived = list(accumulate(len(chunk.data) for chunk in response.chunks))
    stops = accumulate(map(len, _FRAME.findall(response.body)))
    times = [response.chunks[min(bisect_left(arrived, stop), len(arrived) - 1)].at_s for stop in stops]
    frames = _FRAME.findall(body)
    if len(times) != len(frames):
        return (Chunk(response.chunks[-1].at_s, body),)
    return tuple(Chunk(at_s, data) for at_s, data in zip(times, frames, strict=True))
