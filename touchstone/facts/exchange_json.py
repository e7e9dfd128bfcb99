"""The JSON form of an exchange: texts stay readable, other bytes are base64, long bodies are cut and say so."""

import base64
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from touchstone.facts.exchange import Chunk, Exchange

MAX_BODY_BYTES = 64 * 1024

_EXCHANGE: TypeAdapter[Exchange] = TypeAdapter(Exchange)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An exchange read back, and the full length of each side's body that was cut, by ``request`` or ``response``."""

    exchange: Exchange
    cut_bytes: dict[str, int]


def encode(exchange: Exchange, max_body_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The exchange as JSON values."""
    request, response = exchange.request, exchange.response
    return {
        "seq": exchange.seq,
        "operation": exchange.operation,
        "ref": exchange.ref,
        "credential": exchange.credential,
        "case": exchange.case,
        "sent_at": round(exchange.sent_at, 6),
        "head_at": round(exchange.head_at, 6),
        "done_at": round(exchange.done_at, 6),
        "request": {
            "method": request.method,
            "url": request.url,
            "headers": [list(pair) for pair in request.headers],
            "body": _encode_body(request.body, max_body_bytes),
        },
        "response": response
        and {
            "status": response.status,
            "headers": [list(pair) for pair in response.headers],
            "body": _encode_body(response.body, max_body_bytes),
            "chunks": _encode_chunks(response.chunks, response.body),
        },
        "error": exchange.error,
        "closed": exchange.closed,
        "note": exchange.note,
    }


def decode(event: dict[str, Any]) -> Decoded:
    """The exchange that `encode` wrote.

    Raises:
        ValueError: a field is missing or of another type; the message names it.
    """
    cut_bytes: dict[str, int] = {}
    values = dict(event)
    for side in ("request", "response"):
        half = event.get(side)
        if not isinstance(half, dict):
            continue  # None, or something that the validation below refuses by name
        stored = half.get("body", {})
        body = _decode_body(stored, side)
        values[side] = {**half, "body": body}
        if side == "response":
            values[side]["chunks"] = _decode_chunks(half.get("chunks", []), body)
        if "cut" in stored:
            cut_bytes[side] = int(stored["cut"])
    return Decoded(_EXCHANGE.validate_python(values), cut_bytes)


def _encode_body(body: bytes, max_body_bytes: int) -> dict[str, Any]:
    kept = body[:max_body_bytes]
    stored = _encode_bytes(kept)
    if len(body) > len(kept):
        stored["cut"] = len(body)
    return stored


def _encode_bytes(data: bytes) -> dict[str, Any]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _decode_body(stored: Any, place: str) -> bytes:
    try:
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
