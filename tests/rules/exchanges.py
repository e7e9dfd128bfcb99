"""Makes exchanges and histories for tests of rules, so that a test says only what it is about."""

import functools
import json as _json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from touchstone.contract.document import Contract
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.facts.finding import Judgement
from touchstone.rules.catalogue import EXCHANGE_RULES, STORY_RULES
from touchstone.rules.history import Bounds, Content, History
from touchstone.rules.rule import Rule

BASE = "http://127.0.0.1:9/api"
REF = "default/touchstone-t1-hello@1.0.0"
OTHER_REF = "default/touchstone-t1-other@1.0.0"
UNKNOWN_REF = "default/touchstone-t1-nothing@1.0.0"
DIGEST = "ab" * 32

UNSET: Any = object()


def exchange_rules(*subjects: str) -> tuple[Rule[Exchange], ...]:
    """The exchange rules whose ids begin with one of the subjects."""
    return tuple(rule for rule in EXCHANGE_RULES if rule.id.partition(".")[0] in subjects)


def story_rules(*subjects: str) -> tuple[Rule[str], ...]:
    """The story rules whose ids begin with one of the subjects."""
    return tuple(rule for rule in STORY_RULES if rule.id.partition(".")[0] in subjects)


@functools.cache
def contract() -> Contract:
    """The bundled contract, read once."""
    return Contract.load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What `exchange` may be told beside operation and status.

    Attributes:
        json: Value of a JSON body; its media type is added to *headers* unless they name one.
        frames: Values of the data frames of an event stream, 0.1 s apart.
        chunks: Seconds after sending and bytes of each piece of a stream; instead of *frames*.
        sent_at: *seq* seconds unless told; *done_at* is 10 ms later, or when the last chunk came.
        path: Path and query below the base as sent; made from operation and *ref* unless told.
        headers, body: Of the response.
        error: Why there is no response; a time-out unless told where the status is 0.
        closed: ``server`` for a stream with status 200 unless told.
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


def exchange(operation: str = "getBuild", status: int = 200, **facts: Any) -> Exchange:
    """One exchange; everything has a default that fits the rest. Status 0 stands for no response."""
    told = Facts(**facts)
    pieces = told.pieces()
    streamed = operation == "streamBuildEvents" and status == 200
    began = float(told.seq) if told.sent_at is None else told.sent_at
    ended = began + (pieces[-1].at_s if pieces else 0.01) if told.done_at is None else told.done_at
    return Exchange(
        seq=told.seq,
        operation=operation,
        ref=told.ref,
        credential=told.credential,
        case=told.case,
        sent_at=began,
        head_at=min(began + 0.01, ended),
        done_at=ended,
        request=_request(operation, told),
        response=_response(status, told, pieces, streamed) if status else None,
        error=told.error or ("" if status else "ReadTimeout: timed out"),
        closed=told.closed if told.closed is not None else ("server" if streamed else ""),
        note=dict(told.note),
    )


def publish(
    seq: int = 1,
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
    """A publish of *ref* with its answer; *more* goes to `exchange`."""
    answer: dict[str, Any] = {"ref": ref, "digest": digest, "published": "2026-03-14T09:26:53Z"}
    if auto_build is not None:
        answer["auto_build"] = auto_build
    meaning = {"content": content, "outcome": "ready", "sleep_s": 0.0, "marker": f"marker-{content}"} | dict(note or {})
    if status >= 400:
        answer = {"error": "refused"}
    facts: dict[str, Any] = {"json": answer, "ref": ref, "seq": seq, "credential": credential, "note": meaning}
    return exchange("publishTemplate", status, **(facts | more))


def build(status: str = "building", ref: str = REF, digest: str = DIGEST, **more: Any) -> dict[str, Any]:
    """A build object in *status* with what the contract asks of it."""
    asked: dict[str, dict[str, Any]] = {"ready": {"build_time_ms": 1200}, "failed": {"error": "step 1 ended with 1"}}
    return {"ref": ref, "digest": digest, "status": status} | asked.get(status, {}) | more


def frame(value: object) -> bytes:
    """One data frame of an event stream."""
    return b"data:" + _json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def history(*exchanges: Exchange, given: Mapping[str, Content] | None = None, bounds: Bounds | None = None) -> History:
    """A history over the bundled contract that holds *exchanges*."""
    made = History(contract(), bounds or Bounds(), given or {})
    for each in exchanges:
        made.add(each)
    return made


def said(judgements: Iterable[Judgement]) -> set[tuple[str, str]]:
    """What judgements come down to: claim and outcome."""
    return {(j.claim, j.outcome) for j in judgements}


def verdicts(rules: Iterable[Rule[Exchange]], *exchanges: Exchange, **more: Any) -> set[tuple[str, str]]:
    """What exchange rules say of the last of *exchanges*, once all are in the history."""
    known = history(*exchanges, **more)
    return said(j for rule in rules for j in rule(exchanges[-1], known))


def story_verdicts(
    rules: Iterable[Rule[str]], *exchanges: Exchange, ref: str = REF, **more: Any
) -> set[tuple[str, str]]:
    """What story rules say of *ref*, once all *exchanges* are in the history."""
    known = history(*exchanges, **more)
    return said(j for rule in rules for j in rule(ref, known))


def broken(verdicts: Iterable[tuple[str, str]]) -> set[str]:
    """The claims that were found broken."""
    return {claim for claim, outcome in verdicts if outcome == "broken"}


def _path(template: str, ref: str | None) -> str:
    if ref is None or "{" not in template:
        return template
    namespace, _, rest = ref.partition("/")
    name, _, version = rest.rpartition("@")
    for key, value in (("namespace", namespace), ("name", name), ("version", version)):
        template = template.replace("{" + key + "}", quote(value, safe=""))
    return template


def _request(operation: str, told: Facts) -> Request:
    known = contract().operations.get(operation)
    path = told.path if told.path is not None else _path(known.path if known else "", told.ref)
    method = told.method or (known.method if known else "GET")
    return Request(method, BASE + path, tuple(told.request_headers.items()), told.request_body)


def _response(status: int, told: Facts, pieces: tuple[Chunk, ...], streamed: bool) -> Response:
    body, headers = told.body, {key.lower(): value for key, value in told.headers.items()}
    if told.json is not UNSET:
        body = _json.dumps(told.json).encode()
        headers = {"content-type": "application/json"} | headers
    elif streamed:
        body = b"".join(piece.data for piece in pieces) or body
        headers = {"content-type": "text/event-stream"} | headers
    return Response(status, tuple(headers.items()), body, pieces)
