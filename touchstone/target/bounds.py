"""Limits of responses: how much of a target's output the harness reads and keeps. Each limit is a setting."""

import re
import threading
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
