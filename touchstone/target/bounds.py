"""How much of an answer is read: what a target may not make us hold, whatever it sends. Each is a setting."""

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

KEPT_BYTES = 64 * 1024  # Of a body that is beyond its bound so much is kept: as much as a run log holds

LEAST_KEPT_BYTES = 4 * 1024  # So much is kept of each head and each body when all that a run may keep is used up

# Of a head that is cut: fields that rules look at are kept, and of a value no more than this.
_NEEDED = frozenset({"content-type", "retry-after", "date", "allow", "location", "cache-control", "age"})
_NEEDED |= {"content-length", "content-encoding"}
_MOST_VALUE_CHARS = 200

LONGEST_HEAD_BYTES = 100 * 1024  # The parser beneath httpx holds no longer head

# As much as RFC 9112 3 asks of a request line.
MAX_STATUS_LINE_BYTES = 8_000
STATUS_LINE_TOO_LONG = f"the status line is longer than {MAX_STATUS_LINE_BYTES} bytes"

# A string is passed over as a whole, also one that never ends; what it holds is no nesting, and no comma of an array.
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{\]},]', re.DOTALL)
_OPENING = frozenset({b"[", b"{"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds, by the names of their settings.

    Attributes:
        max_head_bytes: Of a head, with all interim answers before it; Node lets one have 16 KiB.
        max_headers: Lines of a head; 100 are what Apache and Python's own client let through.
        max_body_bytes: Of a body that is no stream, packed or unpacked.
        max_stream_bytes: The same for a stream.
        max_json_depth: Arrays and objects within each other.
        max_json_values: Values of one text of JSON, counted by its commas and opening brackets.
        max_total_bytes: Of all heads and bodies that a run keeps together, not counting the first 4 KiB of each.
    """

    max_head_bytes: int = 64 * 1024
    max_headers: int = 256
    max_body_bytes: int = 4 * 1024 * 1024
    max_stream_bytes: int = 4 * 1024 * 1024
    max_line_bytes: int = 1024 * 1024
    max_json_depth: int = 100
    max_json_values: int = 50_000
    max_total_bytes: int = 32 * 1024 * 1024

    def describe(self, name: str) -> str:
        """A bound for messages, such as ``max_headers = 256``."""
        return f"{name} = {getattr(self, name)}"

    def cut(self, body: bytes) -> "Cut | None":
        """Where JSON goes beyond them; None where it does not, or is none."""
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
        """The same for the JSON in each data line of a stream of events."""
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
    """What a run may still keep of answers; usable from several threads."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether a head or a body of so many bytes may be kept; then they are taken."""
        more_bytes = size - LEAST_KEPT_BYTES
        with self._lock:
            fits = more_bytes <= max(0, self._left_bytes)
            self._left_bytes -= max(0, more_bytes) if fits else 0
        return fits


def head_bytes(headers: Iterable[tuple[str, str]]) -> int:
    """About how long the fields of a head are."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def cut_head(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The fields of a head that are kept where there is no room for all: the last one says what was cut."""
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
    """Where JSON goes beyond a bound: the length of what comes before that, and what is wrong."""

    at: int
    problem: str


DEFAULT_BOUNDS = Bounds()
BOUND_NAMES = tuple(field.name for field in fields(Bounds))
