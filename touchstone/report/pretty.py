"""One exchange as a person reads it: the lines of a request and a response, JSON indented, streams with their times."""

import json
from dataclasses import dataclass

from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import brief, clipped, plural

MAX_BODY_CHARS = 2_000
MAX_HEADERS = 24
_MAX_HEX_BYTES = 64
_ENDS = {"server": "closed by the server", "client": "still open when its time was up"}


@dataclass(frozen=True, slots=True)
class Half:
    """One side of an exchange; *remark* says what the body shown leaves out, or how it was read."""

    start: str
    headers: tuple[str, ...]
    body: str
    remark: str


@dataclass(frozen=True, slots=True)
class Readable:
    """One exchange, ready to be read; where no response came, *error* says why."""

    exchange: Exchange
    line: str
    request: Half
    response: Half | None
    error: str

    @property
    def size(self) -> int:
        """Characters that the exchange takes on a page, with the frame around it."""
        halves = [self.request, self.response] if self.response else [self.request]
        texts = [text for half in halves for text in (half.start, *half.headers, half.body, half.remark)]
        return 600 + sum(map(len, texts)) + (0 if self.response else len(self.error))


def readable(exchange: Exchange, cut_bytes: dict[tuple[int, str], int], base_url: str = "") -> Readable:
    """The exchange for a reader; *cut_bytes* are full lengths of bodies that the run log holds only in part."""
    request, response = exchange.request, exchange.response
    body, remark = _body(request.body, cut_bytes.get((exchange.seq, "request")))
    start = f"{request.method} {clipped(request.url, 600)}"
    question, reply = Half(start, _headers(request.headers), body, remark), None
    outcome = str(exchange.status) if response else f"no response ({exchange.error or 'given up'})"
    if response is not None:
        body, remark = _body(response.body, cut_bytes.get((exchange.seq, "response")))
        if chunks := response.chunks:
            first, last, ended = brief(chunks[0].at_s), brief(chunks[-1].at_s), _ENDS.get(exchange.closed, "ended")
            stream = f"read as a stream: {plural(len(chunks), 'piece')}, the first after {first}, the last after {last}"
            stream += f"; {ended} after {brief(exchange.elapsed_s)}"
            remark = f"{remark}; {stream}" if remark else stream
        reply = Half(f"HTTP {response.status}", _headers(response.headers), body, remark)
    line = f"{request.method} {clipped(request.url.removeprefix(base_url), 160)} → {clipped(outcome, 160)}"
    return Readable(exchange, line, question, reply, exchange.error or ("" if response else "no response"))


def _headers(pairs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    lines = [clipped(f"{name}: {value}", 300) for name, value in pairs[:MAX_HEADERS]]
    more = [f"… and {len(pairs) - MAX_HEADERS} more headers"] if len(pairs) > MAX_HEADERS else []
    return (*lines, *more)


def _body(body: bytes, full_bytes: int | None) -> tuple[str, str]:
    """The body as text and a remark on what is not shown of it."""
    length = full_bytes or len(body)
    try:
        text = _indented(body.decode("utf-8"))
    except UnicodeDecodeError:
        text = body[:_MAX_HEX_BYTES].hex(" ") + (" …" if len(body) > _MAX_HEX_BYTES else "")
        return text, f"{length:,} bytes, not UTF-8: the first {min(len(body), _MAX_HEX_BYTES)} in hexadecimal"
    if not body or (full_bytes is None and len(text) <= MAX_BODY_CHARS):
        return text, ""
    return clipped(text, MAX_BODY_CHARS), f"cut: the whole body has {length:,} bytes"


def _indented(text: str) -> str:
    """JSON with line breaks; anything else, and JSON that would lose something on the way, as it came."""
    try:
        return json.dumps(json.loads(text, object_pairs_hook=_unique), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice")
    return value
