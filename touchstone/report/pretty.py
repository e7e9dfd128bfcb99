"""One exchange as a person reads it: the lines of a request and a response, JSON indented, streams with their times."""

import json
from dataclasses import dataclass

from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import clipped, plural

MAX_BODY_CHARS = 2_000
MAX_HEADERS = 24
MAX_HEADER_CHARS = 300
MAX_URL_CHARS = 600
_MAX_HEX_BYTES = 64
_FRAME_CHARS = 600  # what a page needs around an exchange


@dataclass(frozen=True, slots=True)
class Half:
    """One side of an exchange.

    Attributes:
        start: The first line.
        headers: The header lines.
        body: The body, or an empty text.
        remark: What the body shown leaves out, or how it was read; empty where nothing is to be said.
    """

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
    """One exchange, ready to be read.

    Attributes:
        line: The exchange in one line.
        response: None where no response came; *error* then says why.
    """

    seq: int
    line: str
    when: str
    credential: str
    case: str
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
    reply = None
    if response is not None:
        body, remark = _body(response.body, cut_bytes.get((exchange.seq, "response")))
        if response.chunks:
            remark = "; ".join(filter(None, (remark, f"read as a stream: {_stream(exchange)}")))
        reply = Half(f"HTTP {response.status}", _headers(response.headers), body, remark)
    body, remark = _body(request.body, cut_bytes.get((exchange.seq, "request")))
    start = f"{request.method} {clipped(request.url, MAX_URL_CHARS)}"
    return Readable(
        seq=exchange.seq,
        line=line(exchange, base_url),
        when=f"at {exchange.sent_at:.3f} s, took {span(exchange.elapsed_s)}",
        credential=exchange.credential,
        case=exchange.case,
        request=Half(start, _headers(request.headers), body, remark),
        response=reply,
        error=exchange.error or ("" if response else "no response"),
    )


def line(exchange: Exchange, base_url: str = "", most: int = 160) -> str:
    """The exchange in one line: method, URL without *base_url*, status or error."""
    outcome = str(exchange.status) if exchange.response else f"no response ({exchange.error or 'given up'})"
    url = exchange.request.url.removeprefix(base_url)
    return f"{exchange.request.method} {clipped(url, most)} → {clipped(outcome, most)}"


def span(duration_s: float) -> str:
    """A duration in the unit that suits it: ``4.2 ms``, ``1.21 s``, ``3 min 05 s``."""
    if duration_s < 0.9995:
        return f"{duration_s * 1000:.1f} ms" if duration_s < 0.01 else f"{duration_s * 1000:.0f} ms"
    if duration_s < 60:
        return f"{duration_s:.2f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes} min {seconds:02d} s"


def _headers(pairs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    lines = [clipped(f"{name}: {value}", MAX_HEADER_CHARS) for name, value in pairs[:MAX_HEADERS]]
    if len(pairs) > MAX_HEADERS:
        lines.append(f"… and {len(pairs) - MAX_HEADERS} more headers")
    return tuple(lines)


def _body(body: bytes, full_bytes: int | None) -> tuple[str, str]:
    """The body as text and a remark on what is not shown of it."""
    if not body:
        return "", ""
    length = full_bytes or len(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = body[:_MAX_HEX_BYTES].hex(" ") + (" …" if len(body) > _MAX_HEX_BYTES else "")
        return text, f"{length:,} bytes, not UTF-8: the first {min(len(body), _MAX_HEX_BYTES)} in hexadecimal"
    text = _indented(text)
    if full_bytes is None and len(text) <= MAX_BODY_CHARS:
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


def _stream(exchange: Exchange) -> str:
    assert exchange.response is not None
    chunks = exchange.response.chunks
    ends = {"server": "closed by the server", "client": "still open when its time was up"}
    ended = ends.get(exchange.closed, "ended")
    return (
        f"{plural(len(chunks), 'piece')}, the first after {span(chunks[0].at_s)}, "
        f"the last after {span(chunks[-1].at_s)}; {ended} after {span(exchange.elapsed_s)}"
    )
