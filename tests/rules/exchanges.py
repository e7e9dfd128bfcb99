"""Exchanges and histories with defaults for tests."""

import functools
import json as _json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from touchstone.contract.document import Contract
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.rules.history import Bounds, Content, History, Outcome
from touchstone.rules.messages import parts

BASE = "http://127.0.0.1:9/api"
REF = "default/touchstone-t1-hello@1.0.0"
OTHER_REF = "default/touchstone-t1-other@1.0.0"
UNKNOWN_REF = "default/touchstone-t1-nothing@1.0.0"
DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32
ERROR = {"error": "no"}

UNSET: Any = object()


@functools.cache
def contract() -> Contract:
    """The bundled contract, read once."""
    return Contract.load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Optional facts of `exchange`.

    Attributes:
        json: Value of a JSON body; adds its media type to *headers* if they have none.
        frames: Values of the data frames of an event stream, 0.1 s apart.
        chunks: Pieces of a stream, as seconds after sending and bytes; instead of *frames*.
        sent_at: *seq* seconds by default; *done_at* is 10 ms later, or the time of the last chunk.
        path: Path and query below the base; by default from operation and *ref*.
        headers, body: Of the response.
        error: Why there is no response; by default a time-out if the status is 0.
        closed: By default ``server`` for a stream with status 200.
    """

    json: Any = UNSET
    body: bytes = b""
    frames: Sequence[object] | None = None
    chunks: Iterable[tuple[float, bytes]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    ref: str | None = REF
    credential: Credential = "primary"
    seq: int = 1
    case: str = "test"
    sent_at: float | None = None
    done_at: float | None = None
    note: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    path: str | None = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    request_body: bytes = b""
    error: str = ""
    closed: Closed | None = None

    def pieces(self) -> tuple[Chunk, ...]:
        if self.frames is not None:
            return tuple(Chunk(0.1 * (i + 1), frame(value)) for i, value in enumerate(self.frames))
        return tuple(Chunk(at_s, data) for at_s, data in self.chunks)


def exchange(operation: str = "getBuild", status: int = 200, **more: Any) -> Exchange:
    """An exchange with defaults; status 0 means no response."""
    facts = Facts(**more)
    pieces = facts.pieces()
    streamed = operation == "streamBuildEvents" and status == 200
    sent_at = float(facts.seq) if facts.sent_at is None else facts.sent_at
    done_at = sent_at + (pieces[-1].at_s if pieces else 0.01) if facts.done_at is None else facts.done_at
    return Exchange(
        seq=facts.seq,
        operation=operation,
        ref=facts.ref,
        credential=facts.credential,
        case=facts.case,
        sent_at=sent_at,
        head_at=min(sent_at + 0.01, done_at),
        done_at=done_at,
        request=_request(operation, facts),
        response=_response(status, facts, pieces, streamed) if status else None,
        error=facts.error or ("" if status else "ReadTimeout: timed out"),
        closed=facts.closed if facts.closed is not None else ("server" if streamed else ""),
        note=dict(facts.note),
    )


def when(moment: float) -> dict[str, Any]:
    """Number and times: an integer is the number; a float is the time of sending, with a response 0.5 s later."""
    if isinstance(moment, int):
        return {"seq": moment}
    return {"seq": round(moment * 10), "sent_at": moment, "done_at": moment + 0.5}


def publish(
    seq: float = 1,
    ref: str = REF,
    *,
    content: str = "hello",
    status: int = 201,
    credential: Credential = "primary",
    digest: str = DIGEST,
    auto_build: str | None = None,
    note: Mapping[str, Any] | None = None,
    **more: Any,
) -> Exchange:
    """A publish of *ref* with its response; *more* goes to `exchange`."""
    answer: dict[str, Any] = {"ref": ref, "digest": digest, "published": "2026-03-14T09:26:53Z"}
    if auto_build is not None:
        answer["auto_build"] = auto_build
    meaning = {"content": content, "outcome": "ready", "sleep_s": 0.0, "marker": f"marker-{content}"} | dict(note or {})
    if status >= 400:
        answer = {"error": "refused"}
    facts: dict[str, Any] = {"json": answer, "ref": ref, "credential": credential, "note": meaning} | when(seq)
    return exchange("publishTemplate", status, **(facts | more))


def build(status: str = "building", ref: str = REF, digest: str = DIGEST, **more: Any) -> dict[str, Any]:
    """A build object with the required fields of *status*."""
    required: dict[str, dict[str, Any]] = {"ready": {"build_time_ms": 1200}, "failed": {"error": "step 1 ended with 1"}}
    return {"ref": ref, "digest": digest, "status": status} | required.get(status, {}) | more


def frame(value: object) -> bytes:
    """One data frame of an event stream."""
    return b"data:" + _json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def given(owner: Credential = "primary", outcome: Outcome = "ready", ref: str = REF) -> dict[str, Content]:
    """A version from the settings."""
    return {ref: Content(ref, owner, "given", outcome, 0.0, "", 0, float("-inf"), float("-inf"))}


def history(*exchanges: Exchange, given: Mapping[str, Content] | None = None, bounds: Bounds | None = None) -> History:
    """A history of *exchanges* with the bundled contract."""
    known = History(contract(), bounds or Bounds(), given or {})
    for each in exchanges:
        known.add(each)
    return known


def _path(template: str, ref: str | None) -> str:
    if ref is None or "{" not in template:
        return template
    for key, value in zip(("namespace", "name", "version"), parts(ref), strict=True):
        template = template.replace("{" + key + "}", quote(value, safe=""))
    return template


def _request(operation: str, facts: Facts) -> Request:
    known = contract().operations.get(operation)
    path = facts.path if facts.path is not None else _path(known.path if known else "", facts.ref)
    method = facts.method or (known.method if known else "GET")
    return Request(method, BASE + path, tuple(facts.request_headers.items()), facts.request_body)


def _response(status: int, facts: Facts, pieces: tuple[Chunk, ...], streamed: bool) -> Response:
    body, headers = facts.body, {key.lower(): value for key, value in facts.headers.items()}
    if facts.json is not UNSET:
        body = _json.dumps(facts.json).encode()
        headers = {"content-type": "application/json"} | headers
    elif streamed:
        body = b"".join(piece.data for piece in pieces) or body
        headers = {"content-type": "text/event-stream"} | headers
    return Response(status, tuple(headers.items()), body, pieces)
