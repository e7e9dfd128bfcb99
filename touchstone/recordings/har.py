"""A recording as a HAR 1.2 document. Data without a place in the format is stored in fields that begin with _.

har.schema.json describes the format as browsers and proxies write it, and our own fields. Reading computes the times of
an exchange from ``startedDateTime`` and ``timings``, and the chunks of a stream from ``content`` and their lengths.

Source: HAR 1.2, http://www.softwareishard.com/blog/har-12-spec/
"""

import base64
import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, Field, ValidationError

from touchstone.contract.document import Problem, Schema, resolved
from touchstone.errors import described, unwritten
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.recordings.recording import TRAFFIC, Headers, Origin, Recording, Terms, step

Json = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

OURS = "_touchstone"
FORMAT = 1

# Reason phrases of RFC 9110, which Python has from 3.13 on. So every Python version writes the same recording.
_RENAMED = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | _RENAMED

Count = Annotated[int, Field(ge=0, lt=2**53)]


class _About(BaseModel):
    """The fields that describe a whole recording, in contrast to one entry."""

    format: Count
    case: str
    claims: tuple[str, ...]
    contract_sha256: str
    entries_sha256: str
    target: str
    terms: Terms


class _Beside(BaseModel, strict=True):
    """The fields that Touchstone adds to a HAR entry."""

    seq: Count
    operation: str
    ref: str | None
    credential: Credential
    closed: Closed
    note: dict[str, Any]


def problems(document: object) -> tuple[Problem, ...]:
    """All violations of the format."""
    return _schema().problems(document)


@cache
def _schema() -> Schema:
    definition = resolved(json.loads(Path(__file__).with_name("har.schema.json").read_text("utf-8")))
    # `resolved` has copied the definitions to where they are used. If they stayed here, they would be validated twice.
    del definition["$defs"]
    return Schema(definition)


def fingerprint(entries: list[Json]) -> str:
    """SHA-256 of the entries; if it differs from the stored value, somebody changed the file."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def moment(text: str) -> datetime:
    """Parses an ISO 8601 time, as UTC if it has no offset; raises a ValueError for other text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {described(text)}, expected a time in ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def utc(at: datetime) -> str:
    """Formats a time in ISO 8601, in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def render(recording: Recording) -> str:
    """Renders a HAR file with sorted keys, one field per line."""
    name, began_at = recording.name, recording.recorded_at
    entries = [_entry(exchange, recording) for exchange in recording.exchanges]
    about = {
        "format": FORMAT,
        "case": recording.case,
        "claims": sorted(recording.claims),
        "contract_sha256": recording.contract_sha256,
        "entries_sha256": fingerprint(entries),
        "steps": list(recording.steps),
        "target": recording.target,
        "terms": json.loads(json.dumps(asdict(recording.terms))),
    }
    log = {
        "version": "1.2",
        "creator": {"name": "touchstone", "version": recording.tool_version},
        "pages": [{"id": name, "title": name, "startedDateTime": began_at, "pageTimings": {}}],
        "entries": entries,
        OURS: about,
    }
    return json.dumps({"log": log}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class HarWriter:
    """Writes a recording while it grows; the file is valid after each exchange. Raises OutputError if it cannot."""

    def __init__(self, path: Path, recording: Recording) -> None:
        self._path, self._recording = path, recording
        head, entries, tail = render(recording).partition('"entries": [')
        self._tail = tail.encode()
        self._end, self._separator = 0, ""
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise unwritten(f"{path}: cannot be written: {error.strerror}", error) from error
        self._write(head + entries)

    def add(self, exchange: Exchange) -> None:
        """Appends an exchange."""
        entry = json.dumps(_entry(exchange, self._recording), sort_keys=True, ensure_ascii=False)
        self._write(f"{self._separator}\n{entry}")
        self._separator = ","

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        try:
            self._file.seek(self._end)
            self._file.write(data + self._tail)
            self._file.flush()
        except OSError as error:
            raise unwritten(f"{self._path}: cannot be written: {error.strerror}", error) from error
        self._end += len(data)


def _entry(exchange: Exchange, recording: Recording) -> Json:
    wait_ms, receive_ms = _ms(exchange.head_at - exchange.sent_at), _ms(exchange.done_at - exchange.head_at)
    return {
        "pageref": recording.name,
        "startedDateTime": utc(moment(recording.recorded_at) + timedelta(seconds=exchange.sent_at)),
        "time": round(wait_ms + receive_ms, 3),
        "timings": {"send": 0, "wait": wait_ms, "receive": receive_ms},
        "cache": {},
        "request": _request(exchange.request),
        "response": _response(exchange),
        "_case": exchange.case,
        "_claims": sorted(recording.evidence.get(exchange.seq, ())),
        "_exchange": {name: getattr(exchange, name) for name in _Beside.model_fields},
        "_resourceType": "fetch",  # browsers filter entries by this field
        "_step": step(exchange),
    }


def _request(request: Request) -> Json:
    query = parse_qsl(request.url.partition("#")[0].partition("?")[2], keep_blank_values=True)
    half = {
        "method": request.method,
        "url": request.url.replace("<", "%3C").replace(">", "%3E"),
        "httpVersion": "HTTP/1.1",
        "headers": _pairs(request.headers),
        "queryString": [{"name": name, "value": value} for name, value in query],
        "cookies": [],
        "headersSize": -1,
        "bodySize": len(request.body),
    }
    if request.body:
        mime = next((value for name, value in request.headers if name.lower() == "content-type"), "")
        half["postData"] = {"mimeType": mime} | _text(request.body, "_encoding")
    return half


def _response(exchange: Exchange) -> Json:
    response = exchange.response or Response(0)
    content = {"size": len(response.body), "mimeType": response.header("content-type") or ""}
    half = {
        "status": response.status,
        "statusText": _PHRASES.get(response.status, ""),
        "httpVersion": "HTTP/1.1",
        "headers": _pairs(response.headers),
        "cookies": [],
        "content": content | _text(response.body, "encoding"),
        "redirectURL": response.header("location") or "",
        "headersSize": -1,
        "bodySize": -1,
    }
    if response.chunks:
        half["_chunks"] = [{"at_ms": _ms(chunk.at_s), "bytes": len(chunk.data)} for chunk in response.chunks]
    return half | ({"_error": exchange.error} if exchange.error else {})


def _text(data: bytes, name: str) -> Json:
    """The fields of a body: its text if it is UTF-8, else base64 and a field called *name* with the word ``base64``."""
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(data).decode("ascii"), name: "base64"}


def _pairs(headers: Headers) -> list[Json]:
    ordered = sorted(headers, key=lambda pair: pair[0].lower())
    return [{"name": name, "value": value} for name, value in ordered]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def decode(document: Json, path: str = "") -> Recording:
    """Decodes a document of Touchstone without `problems`; raises a ValueError with the JSON pointer of a bad value."""
    log = document["log"]
    about = _valid(_About, log[OURS], f"/log/{OURS}")
    if about.format > FORMAT:
        raise ValueError(f"/log/{OURS}/format: is {about.format}, expected {FORMAT}: use a newer touchstone")
    recorded_at = log["pages"][0]["startedDateTime"]
    exchanges: dict[int, Exchange] = {}
    evidence: dict[int, tuple[str, ...]] = {}
    for number, entry in enumerate(log["entries"]):
        place = f"/log/entries/{number}"
        beside = _valid(_Beside, entry["_exchange"], f"{place}/_exchange")
        if beside.seq in exchanges:
            raise ValueError(f"{place}/_exchange/seq: is {beside.seq}, as of an earlier entry; expected another")
        try:
            exchange = _exchange(entry, beside, recorded_at)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        exchanges[exchange.seq] = exchange
        evidence[exchange.seq] = tuple(entry.get("_claims", ()))
    origin: Origin = "har" if about.case == TRAFFIC else "touchstone"
    own = {name: getattr(about, name) for name in ("case", "claims", "contract_sha256", "target", "terms")}
    return Recording(
        name=log["pages"][0]["id"],
        exchanges=tuple(exchanges[seq] for seq in sorted(exchanges)),
        origin=origin,
        path=path,
        recorded_at=recorded_at,
        tool_version=log["creator"]["version"],
        **own,
        evidence=evidence,
        is_changed=origin == "touchstone" and about.entries_sha256 != fingerprint(log["entries"]),
    )


def _valid(model: type[Model], value: object, place: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        pointer = "/".join((place, *map(str, first["loc"])))
        raise ValueError(f"{pointer}: {first['msg']}, got {described(first['input'])}") from error


def _exchange(entry: Json, beside: _Beside, began_at: str) -> Exchange:
    request, answer, timings = entry["request"], entry["response"], entry["timings"]
    sent_at = round((moment(entry["startedDateTime"]) - moment(began_at)).total_seconds(), 6)
    head_at = round(sent_at + timings["wait"] / 1000, 6)
    url = request["url"]
    if "%3Ckey:" in url:  # placeholder of a key
        url = url.replace("%3Ckey:", "<key:").replace("%3E", ">")
    return Exchange(
        case=entry.get("_case", ""),
        sent_at=sent_at,
        head_at=head_at,
        done_at=round(head_at + timings["receive"] / 1000, 6),
        request=Request(request["method"], url, _headers(request), body_of(request.get("postData"))),
        response=_response_of(answer) if answer["status"] else None,
        error=answer.get("_error", ""),
        **dict(beside),
    )


def _response_of(half: Json) -> Response:
    body = body_of(half["content"])
    chunks, start = [], 0
    for chunk in half.get("_chunks", ()):
        end = start + int(chunk["bytes"])
        chunks.append(Chunk(chunk["at_ms"] / 1000, body[start:end]))
        start = end
    if chunks and start < len(body):
        # The text was edited and is longer than its chunks: keep the rest.
        chunks.append(Chunk(chunks[-1].at_s, body[start:]))
    return Response(int(half["status"]), _headers(half), body, tuple(chunks))


def _headers(half: Json) -> Headers:
    return tuple((pair["name"], pair["value"]) for pair in half["headers"])


def body_of(content: Json | None) -> bytes:
    """The bytes of a body; raises a ValueError for invalid base64."""
    content = content or {}
    text = content.get("text") or ""
    if "base64" not in (content.get("encoding"), content.get("_encoding")):
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"a body is no base64: {error}; expected base64, its encoding") from error
