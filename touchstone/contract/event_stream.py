"""Strict parser of server-sent events (WHATWG HTML standard, 9.2). Lines that receivers ignore are problems, too."""

import re
from dataclasses import dataclass
from typing import Literal

# A stream that consists of problems must not fill the memory.
MAX_PROBLEMS = 100
_EXCERPT_BYTES = 60

_END_OF_LINE = re.compile(rb"\r\n?|\n")
_FIELD_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MILLISECONDS = re.compile(r"[0-9]{1,18}")
_BOM = b"\xef\xbb\xbf"

ProblemKind = Literal[
    "unknown-field",  # a field that the standard does not define; receivers ignore the field
    "stray-line",  # text that is not a field, such as a line of JSON without data:
    "invalid-utf8",  # bytes that are not UTF-8; each invalid sequence becomes U+FFFD
    "invalid-retry",  # a retry that is not a number in ASCII digits; receivers ignore the field
    "invalid-id",  # an id that contains NUL; receivers ignore the id
    "unterminated-event",  # the stream ended before the blank line; the event is dropped
    "more-problems",  # further problems were not recorded
]


@dataclass(frozen=True, slots=True)
class FramingProblem:
    """A deviation from a well-formed stream."""

    kind: ProblemKind
    line: int  # from 1
    found: str  # beginning of the line, as a bytes repr

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.found}"


@dataclass(frozen=True, slots=True)
class ParsedStream:
    """Events and problems of a whole stream, in order."""

    events: tuple[str, ...]  # data of each complete event: its data lines, joined by line feeds
    problems: tuple[FramingProblem, ...]


class _Parser:
    """Parses a stream line by line."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.problems: list[FramingProblem] = []  # after 100, a last one says that others were not recorded
        self._line = b""
        self._line_number = 0
        self._start_event()

    def take(self, line: bytes, *, is_last: bool = False) -> None:
        """Parses the next line; a blank one completes an event. The last line ends the stream and is incomplete."""
        self._line, self._line_number = line, self._line_number + 1
        # Section 9.2.5: a byte order mark at the beginning of the stream does not belong to the first line.
        raw = line.removeprefix(_BOM) if self._line_number == 1 else line
        if is_last:
            if (raw and not raw.startswith(b":")) or self._has_fields:
                self._report("unterminated-event")
        elif raw:
            self._take_line(raw)
        else:
            if self._data:
                self.events.append("\n".join(self._data))
            self._start_event()

    def _start_event(self) -> None:
        self._data: list[str] = []
        self._has_fields = False

    def _take_line(self, raw: bytes) -> None:
        # No byte of a multi-byte character looks like an end of line, so lines can be decoded one by one.
        text = raw.decode("utf-8", errors="replace")
        if "\ufffd" in text and raw != text.encode():
            self._report("invalid-utf8")
        if text.startswith(":"):
            return
        self._has_fields = True
        name, colon, value = text.partition(":")
        match name:
            case "data":
                self._data.append(value.removeprefix(" "))
            case "id" if "\0" in value:
                self._report("invalid-id")
            case "retry" if not _MILLISECONDS.fullmatch(value.removeprefix(" ")):
                self._report("invalid-retry")
            case "event" | "id" | "retry":
                pass  # build logs do without them
            case _ if colon and _FIELD_NAME.fullmatch(name):
                self._report("unknown-field")
            case _:
                self._report("stray-line")

    def _report(self, kind: ProblemKind) -> None:
        if len(self.problems) > MAX_PROBLEMS:
            return
        if len(self.problems) == MAX_PROBLEMS:
            kind = "more-problems"
        self.problems.append(FramingProblem(kind, self._line_number, repr(self._line[:_EXCERPT_BYTES])))


def parse(body: bytes) -> ParsedStream:
    """Parses a complete stream."""
    parser, start = _Parser(), 0
    for end in _END_OF_LINE.finditer(body):
        parser.take(body[start : end.start()])
        start = end.end()
    parser.take(body[start:], is_last=True)
    return ParsedStream(tuple(parser.events), tuple(parser.problems))
