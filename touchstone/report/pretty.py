"""One exchange as a person reads it: the lines of a request and a response, JSON indented, streams with their times."""

import json
from dataclasses import dataclass

from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import brief, clipped, plural

MAX_BODY_CHARS = 2_000
MAX_HEADERS = 24
MAX_HEADER_CHARS = 300
MAX_URL_CHARS = 600
_MAX_HEX_BYTES = 64
_FRAME_CHARS = 600  # what a page needs around an exchange
_ENDS = {"server": "closed by the server", "client": "still open when its time was up"}


@dataclass(frozen=True, slots=True)
class Half:
    """One side of an exchange; *remark* says what the body shown leaves out, or how it was read."""

    start: str
    headers: tuple[str, ...]
    body: str
    remark: str

    @property
    def size(self) -> int:
        """Characters that the side takes to show."""
        return len(self.start) + sum(map(len, self.headers)) + len(self.body) + len(self.remark)


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
        """Characters that the exchange takes to show."""
        return _FRAME_CHARS + self.request.size + (self.response.size if self.response else len(self.error))


def readable(exchange: Exchange, cut_bytes: dict[tuple[int, str], int], base_url: str = "") -> Readable:
    """The exchange for a reader.

    Args:
        exchange: What crossed the wire.
        cut_bytes: The full lengths of bodies that the run log holds only in part.
        base_url: Left out where the exchange is told in one line.
    """
    request, response = exchange.request, exchange.response
    body, remark = _body(request.body, cut_bytes.get((exchange.seq, "request")))
    start = f"{request.method} {clipped(request.url, MAX_URL_CHARS)}"
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
    lines = [clipped(f"{name}: {value}", MAX_HEADER_CHARS) for name, value in pairs[:MAX_HEADERS]]
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
