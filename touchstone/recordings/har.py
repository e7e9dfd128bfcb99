"""
A recording as a HAR 1.2 document: what the format has a place for stands there, the rest in fields that begin with _.

What others write is checked against the format as it is written in practice (har.schema.json): what Chrome, Firefox and
mitmproxy are known to leave out, or to write as null, passes.

Nothing is written twice, so that a change of one byte changes what is replayed: moments follow from
``startedDateTime``, ``timings`` and ``time``, the pieces of a stream from ``content`` and their lengths.

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
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, Field, ValidationError

from touchstone.contract.document import Problem, Schema, resolved
from touchstone.contract.quoting import described
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.recordings.recording import Recording, Terms, step

Json = dict[str, Any]

OURS = "_touchstone"
FORMAT = 1
NO_RESPONSE = "_error"
# What takes longer than a year is no exchange.
MAX_MS = 366 * 86_400_000

# What RFC 9110 calls otherwise than its forerunners, and Python only from 3.13 on: a recording is the same with any.
_RENAMED = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def render(recording: Recording) -> str:
    """The text of a HAR file: keys sorted, each entry a block of lines."""
    return json.dumps(encode(recording), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def encode(recording: Recording) -> Json:
    """The recording as JSON values; see `render`."""
    page = {
        "id": recording.name,
        "title": recording.name,
        "startedDateTime": recording.recorded_at,
        "pageTimings": {},
    }
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
    creator = {"name": "touchstone", "version": recording.tool_version}
    return {"log": {"version": "1.2", "creator": creator, "pages": [page], "entries": entries, OURS: about}}


def decode(document: Json, path: str = "") -> Recording:
    """The recording that `encode` wrote.

    Raises:
        ValueError: a field is missing or has a value that it cannot have; the text names it by its JSON pointer.
    """
    log = document["log"]
    about: _About = _read("/log/_touchstone", lambda: _About.model_validate(log[OURS]))
    if about.format > FORMAT:
        raise ValueError(f"/log/_touchstone/format: is {about.format}, expected {FORMAT}: use a newer touchstone")
    page, version = _read("/log", lambda: (dict(log["pages"][0]), str(log["creator"]["version"])))
    _read("/log/pages/0", lambda: (page["id"], moment(page["startedDateTime"])))
    recorded_at = page["startedDateTime"]
    entries: list[Json] = _read("/log", lambda: [*log["entries"]])
    exchanges: dict[int, Exchange] = {}
    evidence: dict[int, tuple[str, ...]] = {}
    for number, entry in enumerate(entries):
        place = f"/log/entries/{number}"
        exchange: Exchange = _read(place, lambda e=entry: read_entry(e, recorded_at))
        if exchange.seq in exchanges:
            raise ValueError(f"{place}/_exchange/seq: is {exchange.seq}, which is an earlier entry's")
        exchanges[exchange.seq] = exchange
        evidence[exchange.seq] = _read(f"{place}/_claims", lambda e=entry: tuple(map(str, e.get("_claims", ()))))
    return Recording(
        name=str(page["id"]),
        exchanges=tuple(exchanges[seq] for seq in sorted(exchanges)),
        path=path,
        recorded_at=recorded_at,
        tool_version=version,
        contract_sha256=about.contract_sha256,
        target=about.target,
        case=about.case,
        claims=tuple(about.claims),
        terms=about.terms,
        evidence=evidence,
        is_changed=about.entries_sha256 != fingerprint(entries),
    )


def fingerprint(entries: list[Json]) -> str:
    """SHA-256 of the entries: it tells a file that was changed since it was recorded."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def problems(document: object) -> tuple[Problem, ...]:
    """Every disagreement with the format HAR 1.2, in the order of the pointers; numbers in them count as numbers.

    Args:
        document: The whole file as JSON reads it, `log` included.
    """
    return tuple(sorted(_schema().problems(document), key=_place))


@cache
def _schema() -> Schema:
    definition = resolved(json.loads(Path(__file__).with_name("har.schema.json").read_text("utf-8")))
    # Each part stands where it is used now; left here, all would be checked against the meta-schema once more.
    del definition["$defs"]
    return Schema(definition)


def _place(problem: Problem) -> list[tuple[int, str]]:
    return [(int(step) if step.isdecimal() else -1, step) for step in problem.pointer.split("/")]


# --- what is about the whole -----------------------------------------------------------------------------------------


Count = Annotated[int, Field(ge=0, lt=2**53)]


class _About(BaseModel):
    """What `encode` writes about the whole."""

    format: Count
    case: str
    claims: list[str]
    contract_sha256: str
    entries_sha256: str
    target: str
    terms: Terms


class _Beside(BaseModel, strict=True):
    """What `encode` writes about one exchange beside what HAR has a place for."""

    seq: Count
    operation: str
    ref: str | None
    credential: Credential
    closed: Closed
    note: dict[str, Any]


def moment(text: str) -> datetime:
    """The moment that a text in ISO 8601 names; one without an offset is in UTC.

    Raises:
        ValueError: it names none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {described(text)}, no moment in ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def utc(at: datetime) -> str:
    """A moment in ISO 8601 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# --- one entry -------------------------------------------------------------------------------------------------------


def _entry(exchange: Exchange, recording: Recording) -> Json:
    wait_s, receive_s = exchange.head_at - exchange.sent_at, exchange.done_at - exchange.head_at
    return {
        "pageref": recording.name,
        "startedDateTime": utc(moment(recording.recorded_at) + timedelta(seconds=exchange.sent_at)),
        "time": round(_ms(wait_s) + _ms(receive_s), 3),
        "timings": {"send": 0, "wait": _ms(wait_s), "receive": _ms(receive_s)},
        "cache": {},
        "request": _request(exchange.request),
        "response": _response(exchange),
        "_case": exchange.case,
        "_claims": sorted(recording.evidence.get(exchange.seq, ())),
        "_exchange": {name: getattr(exchange, name) for name in _Beside.model_fields},
        "_resourceType": "fetch",  # what browsers filter by
        "_step": step(exchange),
    }


def read_entry(entry: Json, began_at: str) -> Exchange:
    """One entry that `encode` wrote as an exchange.

    Args:
        began_at: When the recording began.

    Raises:
        ValueError, KeyError, TypeError: it is not one.
    """
    ours = _Beside.model_validate(entry["_exchange"])
    sent_at = round((moment(entry["startedDateTime"]) - moment(began_at)).total_seconds(), 6)
    head_at = round(sent_at + _seconds(entry["timings"]["wait"]), 6)
    return Exchange(
        case=str(entry.get("_case", "")),
        sent_at=sent_at,
        head_at=head_at,
        done_at=round(head_at + _seconds(entry["timings"]["receive"]), 6),
        request=read_request(entry["request"]),
        response=read_response(entry["response"]),
        error=str(entry["response"].get(NO_RESPONSE, "")),
        **dict(ours),
    )


def _request(request: Request) -> Json:
    headers = _pairs(request.headers)
    query_text = request.url.partition("#")[0].partition("?")[2]
    query = [{"name": name, "value": value} for name, value in parse_qsl(query_text, keep_blank_values=True)]
    half = {
        "method": request.method,
        "url": request.url.replace("<", "%3C").replace(">", "%3E"),
        "httpVersion": "HTTP/1.1",
        "headers": headers,
        "queryString": query,
        "cookies": [],
        "headersSize": -1,
        "bodySize": len(request.body),
    }
    if not request.body:
        return half
    mime = next((value for name, value in request.headers if name.lower() == "content-type"), "")
    text, encoding = _text(request.body)
    return half | {"postData": {"mimeType": mime, "text": text} | ({"_encoding": encoding} if encoding else {})}


def read_request(half: Json) -> Request:
    """The request of an entry; the marker of a key in its URL is one again."""
    posted = half.get("postData") or {}
    body = _bytes(posted.get("text") or "", posted.get("_encoding") or posted.get("encoding") or "")
    url = half["url"].replace("%3Ckey:", "<key:").replace("%3E", ">") if "%3Ckey:" in half["url"] else half["url"]
    return Request(str(half["method"]), str(url), _headers(half["headers"]), body)


def _response(exchange: Exchange) -> Json:
    response = exchange.response or Response(0)
    text, encoding = _text(response.body)
    mime = response.header("content-type") or ""
    half = {
        "status": response.status,
        "statusText": _phrase(response.status),
        "httpVersion": "HTTP/1.1",
        "headers": _pairs(response.headers),
        "cookies": [],
        "content": {"size": len(response.body), "mimeType": mime, "text": text}
        | ({"encoding": encoding} if encoding else {}),
        "redirectURL": response.header("location") or "",
        "headersSize": -1,
        "bodySize": -1,
    }
    if response.chunks:
        half["_chunks"] = [{"at_ms": _ms(chunk.at_s), "bytes": len(chunk.data)} for chunk in response.chunks]
    return half | ({NO_RESPONSE: exchange.error} if exchange.error else {})


def read_response(half: Json) -> Response | None:
    """The response of an entry, or None where none came."""
    if not half["status"]:
        return None
    body = read_content(half["content"])
    chunks, start = [], 0
    for chunk in half.get("_chunks", ()):
        end = start + _whole(chunk["bytes"])
        chunks.append(Chunk(_seconds(chunk["at_ms"]), body[start:end]))
        start = end
    if chunks and start < len(body):
        # Somebody made the text longer than its pieces: nothing of it is lost.
        chunks.append(Chunk(chunks[-1].at_s, body[start:]))
    return Response(_whole(half["status"]), _headers(half["headers"]), body, tuple(chunks))


def read_content(content: Json) -> bytes:
    """The bytes of a body.

    Raises:
        ValueError: they are said to be base64 and are not.
    """
    return _bytes(content.get("text") or "", content.get("encoding") or "")


def _text(data: bytes) -> tuple[str, str]:
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii"), "base64"


def _bytes(text: str, encoding: str) -> bytes:
    return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode("utf-8", "surrogatepass")


def _pairs(headers: tuple[tuple[str, str], ...]) -> list[Json]:
    ordered = sorted(headers, key=lambda pair: pair[0].lower())
    return [{"name": name, "value": value} for name, value in ordered]


def _headers(pairs: list[Json]) -> tuple[tuple[str, str], ...]:
    return tuple((str(pair["name"]), str(pair["value"])) for pair in pairs)


def _phrase(status: int) -> str:
    try:
        return _RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return ""


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    raise ValueError(f"is {described(value)}, expected a whole number of 0 or more")


def _seconds(value: object) -> float:
    """Milliseconds of a file in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_MS:
        return value / 1000
    raise ValueError(f"is {described(value)}, expected milliseconds, 0 or more")


def _read(pointer: str, read: Any) -> Any:
    try:
        return read()
    except KeyError as error:
        raise ValueError(f"{pointer}: has no {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join((pointer, *map(str, first["loc"])))
        raise ValueError(f"{place}: {first['msg']}, got {described(first['input'])}") from error
    except (TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"{pointer}: {error}") from error
