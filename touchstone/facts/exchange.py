"""One request and its response, as sent and received. touchstone/target/redact.py replaces keys by placeholders."""

import base64
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

MAX_BODY_BYTES = 64 * 1024  # a run log stores no more of a body

Credential = Literal[
    "primary",  # the key of the account under test
    "second",  # the key of another account on the Scale plan
    "restricted",  # the key of an account below the Scale plan
    "none",  # no Authorization header at all
    "unknown",  # a well-formed key that no account has
    "longer",  # the primary key with one more character at either end
    "shorter",  # the primary key without its last character, or without its first
    "recased",  # the primary key with upper and lower case swapped
    "malformed",  # an Authorization header without a bearer key: wrong scheme, no token
    "query",  # the primary key in the query string only
    "lowercase-scheme",  # the primary key after the scheme in lower case
]

REFUSED_CREDENTIALS: frozenset[Credential] = frozenset(
    {"none", "unknown", "longer", "shorter", "recased", "malformed", "query"}
)

Closed = Literal["server", "client", ""]

EXPIRED = "expired_key"  # note of a 401 to a key that had expired; the next exchange repeats the request

_SHORT_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Placeholders such as ``<key:primary>`` replace secrets in *url*, *headers* and *body*."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed body: seconds since the request was sent, and its bytes."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A response. *body* is the whole body. *chunks* are its pieces if the body was read as a stream, else empty."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: tuple[Chunk, ...] = ()

    def header(self, name: str) -> str | None:
        """First value of the header *name* (case-insensitive), or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """Parses the body; raises ValueError if it is not JSON in UTF-8."""
        return json.loads(self.body.decode("utf-8"))

    def json_object(self) -> dict[str, Any] | None:
        """Returns the body as a JSON object; None if the body is anything else."""
        return (_short_object if len(self.body) <= _SHORT_BYTES else _long_object)(self.body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# Rules parse the same bodies repeatedly and never modify the result. Parsed JSON takes many times its length in memory,
# so only a few long bodies are cached.
_short_object = lru_cache(maxsize=8192)(_object)
_long_object = lru_cache(maxsize=8)(_object)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, with times."""

    seq: int  # Number in the run, from 1, in the order of sending.
    operation: str  # operationId; empty for a request that is no operation of the contract.
    ref: str | None  # ``namespace/name@version`` in the path, percent-decoded, or None.
    credential: Credential
    case: str  # Id of the case that sent the request.
    sent_at: float  # Seconds since the start of the run, just before the request was written.
    head_at: float  # Arrival of status and headers; equals *done_at* without a response.
    done_at: float  # Arrival of the last byte, or the end of waiting.
    request: Request
    response: Response | None = None
    error: str = ""  # Why the response is missing or incomplete, e.g. ``ReadTimeout: ...``; empty otherwise.
    closed: Closed = ""  # Who ended a stream: ``client`` if the stream was still open at its time limit.
    note: dict[str, Any] = field(default_factory=dict)  # Other facts, such as ``surplus_bytes`` after the response.

    @property
    def status(self) -> int:
        """Status code, or 0 without a response."""
        return self.response.status if self.response else 0

    @property
    def body(self) -> dict[str, Any]:
        """Response body as a JSON object; an empty dict if the body is anything else."""
        return (self.response.json_object() or {}) if self.response else {}

    @property
    def elapsed_s(self) -> float:
        """Seconds from the start of the request to the end of the response."""
        return self.done_at - self.sent_at

    def overlaps(self, other: "Exchange") -> bool:
        """Whether both exchanges were in progress at the same time."""
        return self.sent_at < other.done_at and other.sent_at < self.done_at


def encode(exchange: Exchange) -> dict[str, Any]:
    """Converts an exchange to JSON values. Text stays text, other bytes become base64, long bodies are truncated."""
    values = asdict(exchange)
    values |= {name: round(values[name], 6) for name in ("sent_at", "head_at", "done_at")}
    values["request"]["body"] = _encode_body(exchange.request.body)
    if response := exchange.response:
        chunks = [[round(chunk.at_s, 6), len(chunk.data)] for chunk in response.chunks]
        values["response"] |= {"body": _encode_body(response.body), "chunks": chunks}
    return values


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """Restores bytes and chunks in the output of `encode`; raises ValueError if a body or the chunks are malformed."""
    values = dict(event)
    for side in ("request", "response"):
        half = event.get(side)
        if not isinstance(half, dict):
            continue  # None, or a value that the validation rejects
        body = _decode_body(half.get("body", {}), side)
        values[side] = {**half, "body": body}
        if side == "response":
            values[side]["chunks"] = _decode_chunks(half.get("chunks", []), body)
    return values


def cut_bytes(event: dict[str, Any]) -> dict[tuple[int, str], int]:
    """Returns the full length of each body that `encode` truncated, by ``(seq, "request" or "response")``."""
    halves = ((side, event[side]) for side in ("request", "response") if event.get(side))
    return {(event["seq"], side): int(half["body"]["cut"]) for side, half in halves if "cut" in half.get("body", {})}


def _encode_body(body: bytes) -> dict[str, Any]:
    kept, cut = body[:MAX_BODY_BYTES], {"cut": len(body)} if len(body) > MAX_BODY_BYTES else {}
    try:
        return {"text": kept.decode("utf-8"), **cut}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(kept).decode("ascii"), **cut}


def _decode_body(stored: Any, side: str) -> bytes:
    try:
        if type(stored.get("cut", 0)) is not int:
            raise TypeError  # noqa: TRY301 - reported below like any other form
        if "base64" in stored:
            return base64.b64decode(stored["base64"], validate=True)
        return str(stored.get("text", "")).encode("utf-8")
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{side}.body: expected an object with text or base64, got {stored!r:.80}") from error


def _decode_chunks(stored: Any, body: bytes) -> list[dict[str, Any]]:
    chunks: list[dict[str, Any]] = []
    start = 0
    try:
        for at_s, length in stored:
            chunks.append({"at_s": at_s, "data": body[start : start + length]})
            start += length
    except TypeError as error:
        raise ValueError(f"response.chunks: expected pairs of time and length, got {stored!r:.80}") from error
    return chunks
