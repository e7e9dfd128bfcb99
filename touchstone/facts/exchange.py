"""One request and its response as they crossed the wire. Keys are markers by then (see redact.py), so none can leak."""

import base64
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

MAX_BODY_BYTES = 64 * 1024  # of a body in a run log

Credential = Literal[
    "primary",  # the key of the account under test
    "second",  # the key of another account on the Scale plan
    "restricted",  # the key of an account below the Scale plan
    "none",  # no Authorization header at all
    "unknown",  # a well-formed key that no account has
    "longer",  # the primary key and one character more, at either end
    "shorter",  # the primary key without its last character, or without its first
    "recased",  # the primary key with its small letters large and its large ones small
    "malformed",  # an Authorization header that carries no bearer key: wrong scheme, no token
    "query",  # the primary key in the query string only
    "lowercase-scheme",  # the primary key behind the scheme written in other letters than usual
]

REFUSED_CREDENTIALS: frozenset[Credential] = frozenset(
    {"none", "unknown", "longer", "shorter", "recased", "malformed", "query"}
)

Closed = Literal["server", "client", ""]

_SHORT_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent. Secrets in *url*, *headers* and *body* are already markers such as ``<key:primary>``."""

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
    """What came back. *chunks* is empty unless the body was read as a stream; *body* is always whole."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: tuple[Chunk, ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of header *name*, any case, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body as JSON; ValueError where it is not JSON in UTF-8."""
        return json.loads(self.body.decode("utf-8"))

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None where it is anything else."""
        return (_short_object if len(self.body) <= _SHORT_BYTES else _long_object)(self.body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# Rules ask for the same body again and again; nobody changes what they get. JSON takes many times its length once it is
# read: of long bodies only a few are held.
_short_object = lru_cache(maxsize=8192)(_object)
_long_object = lru_cache(maxsize=8)(_object)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, with times."""

    seq: int  # Number in the run, from 1, in the order in which requests were sent.
    operation: str  # operationId of the contract, or ``""`` for a request outside it.
    ref: str | None  # ``namespace/name@version`` that the path names, percent-decoded, or None.
    credential: Credential  # Whose key was shown, and how.
    case: str  # Stable id of the test that sent it.
    sent_at: float  # Seconds since the run started, just before the request was written.
    head_at: float  # The same clock, when status and headers had arrived; equals *done_at* without a response.
    done_at: float  # The same clock, when the last byte had arrived or the exchange was given up.
    request: Request  # What was sent.
    response: Response | None = None  # What came back, or None.
    error: str = ""  # Why there is no response, e.g. ``ReadTimeout: ...``; empty otherwise.
    closed: Closed = ""  # For a stream: who ended it. ``client`` means that it was still open when its time was up.
    note: dict[str, Any] = field(default_factory=dict)  # What the sender says beside the bytes: see NOTES.

    @property
    def status(self) -> int:
        """The status code, or 0 where no response came."""
        return self.response.status if self.response else 0

    @property
    def body(self) -> dict[str, Any]:
        """The response as a JSON object, or an empty dict where it is anything else."""
        return (self.response.json_object() or {}) if self.response else {}

    @property
    def elapsed_s(self) -> float:
        """Seconds from sent to done."""
        return self.done_at - self.sent_at

    def overlaps(self, other: "Exchange") -> bool:
        """Whether both were on their way at some moment."""
        return self.sent_at < other.done_at and other.sent_at < self.done_at


def encode(exchange: Exchange) -> dict[str, Any]:
    """The exchange as JSON values: texts stay readable, other bytes are base64, long bodies are cut and say so."""
    values = asdict(exchange)
    values |= {name: round(values[name], 6) for name in ("sent_at", "head_at", "done_at")}
    values["request"]["body"] = _encode_body(exchange.request.body)
    if response := exchange.response:
        chunks = _encode_chunks(response.chunks, response.body)
        values["response"] |= {"body": _encode_body(response.body), "chunks": chunks}
    return values


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """What `encode` wrote, with bytes and chunks again; ValueError names a body or the chunks of another form."""
    values = dict(event)
    for side in ("request", "response"):
        half = event.get(side)
        if not isinstance(half, dict):
            continue  # None, or something that the validation refuses by name
        body = _decode_body(half.get("body", {}), side)
        values[side] = {**half, "body": body}
        if side == "response":
            values[side]["chunks"] = _decode_chunks(half.get("chunks", []), body)
    return values


def cut_bytes(event: dict[str, Any]) -> dict[tuple[int, str], int]:
    """By ``(seq, "request" or "response")``, the full length of each body that a sound event holds only in part."""
    halves = ((side, event[side]) for side in ("request", "response") if event.get(side))
    return {(event["seq"], side): int(half["body"]["cut"]) for side, half in halves if "cut" in half.get("body", {})}


def _encode_body(body: bytes) -> dict[str, Any]:
    cut = {"cut": len(body)} if len(body) > MAX_BODY_BYTES else {}
    return _encode_bytes(body[:MAX_BODY_BYTES]) | cut


def _encode_bytes(data: bytes) -> dict[str, Any]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _decode_body(stored: Any, place: str) -> bytes:
    try:
        if type(stored.get("cut", 0)) is not int:
            raise TypeError  # noqa: TRY301 - told below, as any other form
        if "base64" in stored:
            return base64.b64decode(stored["base64"], validate=True)
        return str(stored.get("text", "")).encode("utf-8")
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{place}.body: expected an object with text or base64, got {stored!r:.80}") from error


def _encode_chunks(chunks: tuple[Chunk, ...], body: bytes) -> list[list[Any]]:
    """Each chunk as its time and its length within the body; as its time and its bytes where the two do not agree."""
    if b"".join(chunk.data for chunk in chunks) == body:
        return [[round(chunk.at_s, 6), len(chunk.data)] for chunk in chunks]
    return [[round(chunk.at_s, 6), _encode_bytes(chunk.data)] for chunk in chunks]


def _decode_chunks(stored: Any, body: bytes) -> list[dict[str, Any]]:
    chunks: list[dict[str, Any]] = []
    start = 0
    try:
        for at_s, piece in stored:
            if isinstance(piece, int):
                data, start = body[start : start + piece], start + piece
            else:
                data = _decode_body(piece, "response.chunks")
            chunks.append({"at_s": at_s, "data": data})
    except TypeError as error:
        raise ValueError(f"response.chunks: expected pairs of time and length, got {stored!r:.80}") from error
    return chunks
