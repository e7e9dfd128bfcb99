"""Limits of responses: how much of a target's output the harness reads and keeps. Each limit is a setting.

`Intake` reads a body in pieces: it decompresses the body and enforces the limits.
"""

import re
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

KEPT_BYTES = 64 * 1024  # kept of a body that exceeds its limit; as much as a run log keeps of any body

LEAST_KEPT_BYTES = 4 * 1024  # kept of each head and each body once max_total_bytes is used up

# A truncated head keeps these fields, which rules need. Long values are cut to _MOST_VALUE_CHARS.
_NEEDED = frozenset({"content-type", "retry-after", "date", "allow", "location", "cache-control", "age"})
_NEEDED |= {"content-length", "content-encoding"}
_MOST_VALUE_CHARS = 200

LONGEST_HEAD_BYTES = 100 * 1024  # limit of the parser in httpx

# RFC 9112 3 recommends to support request lines of this length; Touchstone applies it to status lines.
MAX_STATUS_LINE_BYTES = 8_000
STATUS_LINE_TOO_LONG = f"the status line is longer than {MAX_STATUS_LINE_BYTES} bytes"

# Matches strings as a whole, also unterminated ones, so that brackets and commas in strings do not count.
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{\]},]', re.DOTALL)
_OPENING = frozenset({b"[", b"{"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of responses; each limit has the name of its setting."""

    max_head_bytes: int = 64 * 1024  # of a head and the interim (1xx) responses before it; Node allows 16 KiB
    max_headers: int = 256  # header lines of a head; Apache and Python's own client allow 100
    max_body_bytes: int = 4 * 1024 * 1024  # of a body that is not a stream, before and after decompression
    max_stream_bytes: int = 4 * 1024 * 1024  # of a stream, before and after decompression
    max_line_bytes: int = 1024 * 1024
    max_json_depth: int = 100
    max_json_values: int = 50_000  # in one JSON body, counted by commas and opening brackets; lines in one stream
    max_total_bytes: int = 32 * 1024 * 1024  # of all heads and bodies of a run, without the first 4 KiB of each

    def describe(self, name: str) -> str:
        """Returns a limit as messages show it, such as ``max_headers = 256``."""
        return f"{name} = {getattr(self, name)}"

    def cut(self, body: bytes) -> "Cut | None":
        """Returns the place at which JSON exceeds a limit; None if *body* exceeds no limit or is not JSON."""
        if not self._may_be_beyond(body) or body.lstrip()[:1] not in _OPENING:
            return None
        depth = values = 0
        for mark in _MARK.finditer(body):
            depth += (mark[0] in _OPENING) - (mark[0] in (b"]", b"}"))
            values += mark[0] in _OPENING or mark[0] == b","
            if depth > self.max_json_depth:
                return Cut(mark.start(), f"JSON is nested deeper than {self.describe('max_json_depth')}")
            if values > self.max_json_values:
                return Cut(mark.start(), f"JSON has more values than {self.describe('max_json_values')}")
        return None

    def cut_stream(self, stream: bytes) -> "Cut | None":
        """Returns the first place at which the JSON in a data line of an event stream exceeds a limit, or None."""
        at = 0
        for line in stream.splitlines(keepends=True) if self._may_be_beyond(stream) else ():
            cut = self.cut(line[5:]) if line.startswith(b"data:") else None
            if cut is not None:
                return replace(cut, at=at + 5 + cut.at)
            at += len(line)
        return None

    def _may_be_beyond(self, text: bytes) -> bool:
        opened = text.count(b"[") + text.count(b"{")
        return opened > self.max_json_depth or opened + text.count(b",") > self.max_json_values


class Room:
    """Counts how many bytes of responses a run may still keep; usable from several threads."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Reserves *size* bytes for a head or body, without its first 4 KiB; returns whether they fit."""
        more_bytes = size - LEAST_KEPT_BYTES
        with self._lock:
            fits = more_bytes <= max(0, self._left_bytes)
            self._left_bytes -= max(0, more_bytes) if fits else 0
        return fits


def head_bytes(headers: Iterable[tuple[str, str]]) -> int:
    """Approximate length of header fields in bytes."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def cut_head(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Truncates the fields of a head; adds a last field that tells the original size."""
    kept, size = [], 0
    for name, value in headers:
        if len(name) <= _MOST_VALUE_CHARS:
            short = value if len(value) <= _MOST_VALUE_CHARS else f"{value[:_MOST_VALUE_CHARS]}… (cut)"
            size += len(name) + len(short)
            if size <= LEAST_KEPT_BYTES or name.lower() in _NEEDED:
                kept.append((name, short))
    return (*kept, ("touchstone-cut", f"the head had {len(headers)} fields of {head_bytes(headers)} bytes"))


@dataclass(frozen=True, slots=True)
class Cut:
    """Place at which JSON exceeds a limit. *at*: number of bytes before the place; *problem*: the exceeded limit."""

    at: int
    problem: str


DEFAULT_BOUNDS = Bounds()
BOUND_NAMES = tuple(field.name for field in fields(Bounds))


ACCEPTED = "gzip, deflate"  # requested content codings; no others are decompressed
# Redaction also gets this many bytes after the kept part of a body, because a secret may cross the cut.
BEYOND_BYTES = 4096
_MAX_CODINGS = 3
_MAX_MEMBERS = 100
_LONGEST_NAME = 40
_FRAME_BYTES = 2
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Refused(Exception):
    """The rest of a body is not read; the text is the reason."""


class _Decoder:
    """Decoder of one content coding."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = b""
        self._members = 1
        self._zlib = None if name == "deflate" else zlib.decompressobj(_GZIP_BITS)

    def decompress(self, data: bytes, most: int) -> bytes:
        """Decompresses *data*, which may have several gzip members (RFC 1952 2.2). *most*: rough output limit."""
        if self._zlib is None or not self._begun:
            data = self._begun = self._begun + data
        if self._zlib is None:
            if len(data) < _FRAME_BYTES:
                return b""
            # Whether there is a zlib header (RFC 1950, 2.2). RFC 9110 8.4.1.2 requires it; many servers omit it.
            header = int.from_bytes(data[:_FRAME_BYTES], "big")
            is_framed = data[0] & 0x0F == zlib.DEFLATED and header % 31 == 0
            self._zlib = zlib.decompressobj(_ZLIB_BITS if is_framed else _RAW_BITS)
        try:
            plain = self._zlib.decompress(data, max(most, 0) + 1)
            while self._name != "deflate" and self._zlib.unused_data.startswith(_GZIP_MAGIC):
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise Refused(f"DecodingError: the gzip body has more than {_MAX_MEMBERS} members")
                rest, self._zlib = self._zlib.unused_data, zlib.decompressobj(_GZIP_BITS)
                plain += self._zlib.decompress(rest, max(most - len(plain), 0) + 1)
        except zlib.error as error:
            raise Refused(f"DecodingError: the body is not valid {self._name}: {error}") from None
        return plain

    def end(self) -> None:
        """Raises Refused if the compressed data is incomplete."""
        if self._begun and not (self._zlib and self._zlib.eof):
            raise Refused(f"DecodingError: the {self._name} body ends too early")


class Intake:
    """Receives one body, decompresses it, and checks its limits."""

    def __init__(self, headers: Iterable[tuple[str, str]], bounds: Bounds, *, streamed: bool = False) -> None:
        self.problem = ""  # why the body is incomplete or exceeds a limit; empty for a valid body
        self.size = 0  # bytes received so far, decompressed
        self._bounds = bounds
        self._streamed = streamed
        self._bound = "max_stream_bytes" if streamed else "max_body_bytes"
        self._most: int = getattr(bounds, self._bound)
        self._line_bytes = self._lines = self._wire_bytes = 0
        values = [value for key, value in headers if key.lower() == "content-encoding"]
        self._codings = [name.strip() for name in ",".join(values).split(",")]
        self._decoders: list[_Decoder] | None = None

    def take(self, data: bytes) -> bytes:
        """Decompresses a piece; sets *problem* and raises Refused if the piece is invalid or exceeds a limit."""
        try:
            return self._taken(data)
        except Refused as refused:
            self.problem = str(refused)
            raise

    def end(self) -> None:
        """Must be called at the end of the body; sets *problem* if the body is incomplete."""
        try:
            for decoder in self._decoders or ():
                decoder.end()
        except Refused as refused:
            self.problem = str(refused)

    def kept(self, body: bytes) -> bytes:
        """Returns the part of *body* to keep: all, or only the beginning if there is a problem or too much JSON."""
        cut = self._bounds.cut_stream(body) if self._streamed else self._bounds.cut(body)
        if cut is not None:
            self.problem = self.problem or cut.problem
            body = body[: cut.at]
        return body[: KEPT_BYTES + BEYOND_BYTES] if self.problem else body

    def _taken(self, data: bytes) -> bytes:
        if self._decoders is None:
            self._decoders = self._begun()
        self._wire_bytes += len(data)
        for decoder in self._decoders:
            data = decoder.decompress(data, self._most - self.size)
        self.size += len(data)
        if max(self.size, self._wire_bytes) > self._most:
            later = " after decompression" if self._decoders and self.size > self._most else ""
            what = "stream" if self._streamed else "body"
            raise Refused(f"the {what} is longer than {self._bounds.describe(self._bound)}{later}")
        if self._streamed:
            self._measure_lines(data)
        return data

    def _begun(self) -> list[_Decoder]:
        codings = [name for name in self._codings if name.lower() not in ("", "identity")]
        if len(codings) > _MAX_CODINGS:
            raise Refused(f"DecodingError: {len(codings)} content codings, expected {_MAX_CODINGS} or fewer")
        for name in reversed(codings):
            if name.lower() not in ("gzip", "x-gzip", "deflate"):
                # A long name is not quoted even in part, since redaction does not recognise a short part of a key.
                found = repr(name) if len(name) <= _LONGEST_NAME else f"a name of {len(name)} characters"
                raise Refused(f"DecodingError: the body has the content coding {found}, expected one of {ACCEPTED}")
        return [_Decoder(name.lower()) for name in reversed(codings)]

    def _measure_lines(self, data: bytes) -> None:
        most = self._bounds.max_line_bytes
        lines = data.replace(b"\r", b"\n").split(b"\n")
        longest = max(self._line_bytes + len(lines[0]), *map(len, lines))
        if longest > most:
            raise Refused(f"a line of the stream is longer than {self._bounds.describe('max_line_bytes')}")
        self._lines += max(data.count(b"\n"), data.count(b"\r"))
        if self._lines > self._bounds.max_json_values:
            raise Refused(f"the stream has more lines than {self._bounds.describe('max_json_values')}")
        self._line_bytes = len(lines[-1]) + (self._line_bytes if len(lines) == 1 else 0)
