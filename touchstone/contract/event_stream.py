"""Strict incremental parser of server-sent events (WHATWG HTML standard, section 9.2).

The result does not depend on how bytes are split into chunks. Invalid lines, which receivers ignore, are problems.
"""

import re
from dataclasses import dataclass
from typing import Literal

# Browsers set no limit; Node's eventsource and Go's bufio.Scanner (64 KiB) do. 1 MiB is far above any log line.
MAX_LINE_BYTES = 1 << 20
# A stream that consists of problems must not fill the memory.
MAX_PROBLEMS = 100
_EXCERPT_BYTES = 60

_END_OF_LINE = re.compile(rb"\r\n?|\n")
_FIELD_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MILLISECONDS = re.compile(r"[0-9]{1,18}")
_BOM = b"\xef\xbb\xbf"
_LF = 0x0A

ProblemKind = Literal[
    "unknown-field",  # a field that the standard does not define; receivers ignore the field
    "stray-line",  # text that is not a field, such as a line of JSON without data:
    "invalid-utf8",  # bytes that are not UTF-8; each invalid sequence becomes U+FFFD
    "invalid-retry",  # a retry that is not a number in ASCII digits; receivers ignore the field
    "invalid-id",  # an id that contains NUL; receivers ignore the id
    "line-too-long",  # the line exceeds the limit; its event is dropped
    "event-too-long",  # the data before the blank line exceeds the limit; the event is dropped
    "unterminated-event",  # the stream ended before the blank line; the event is dropped
    "more-problems",  # further problems were not recorded
]


@dataclass(frozen=True, slots=True)
class Event:
    """One complete event of a stream."""

    event: str  # event type, ``message`` by default
    data: str  # data lines, joined by line feeds
    id: str = ""  # last id that the stream has set so far
    retry: int | None = None  # reconnection time in milliseconds


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

    events: tuple[Event, ...]
    problems: tuple[FramingProblem, ...]


class EventStreamParser:
    """Parses events as bytes arrive. A line, and the data of an event, may have at most *max_line_bytes* bytes."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._problems: list[FramingProblem] = []
        self._line = bytearray()
        self._line_number = 1
        self._after_cr = False
        self._skipping_line = False
        self._last_event_id = ""
        self._start_event()

    @property
    def problems(self) -> tuple[FramingProblem, ...]:
        """Problems so far, in order; after 100, a last problem reports that further problems were not recorded."""
        return tuple(self._problems)

    def feed(self, data: bytes) -> list[Event]:
        """Parses the next bytes and returns the events that they complete, in order."""
        if not data:
            return []
        position = 1 if self._after_cr and data[0] == _LF else 0
        self._after_cr = data.endswith(b"\r")
        events = []
        for end in _END_OF_LINE.finditer(data, position):
            self._extend_line(data[position : end.start()])
            position = end.end()
            if event := self._end_line():
                events.append(event)
        self._extend_line(data[position:])
        return events

    def close(self) -> None:
        """Ends the stream. If the blank line after the last event is missing, the event is dropped and reported."""
        rest = self._text_bytes()
        begun = bool(rest) and not rest.startswith(b":")
        if begun or self._skipping_line or self._has_fields:
            self._report("unterminated-event")
        self._line.clear()
        self._skipping_line = False
        self._start_event()

    def _start_event(self) -> None:
        self._event_type = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._retry: int | None = None
        self._has_fields = False
        self._spoiled = False

    def _extend_line(self, piece: bytes) -> None:
        if self._skipping_line:
            return
        self._line += piece
        if len(self._line) > self._max_line_bytes:
            self._report("line-too-long")
            self._line.clear()
            self._skipping_line = True
            # The whole event is dropped: without this line, it would look like an event that the server never sent.
            self._spoiled = True

    def _end_line(self) -> Event | None:
        event = None
        if self._skipping_line:
            self._skipping_line = False
        elif raw := self._text_bytes():
            self._take_line(raw)
        else:
            if self._data and not self._spoiled:
                event = Event(self._event_type or "message", "\n".join(self._data), self._last_event_id, self._retry)
            self._start_event()
        self._line.clear()
        self._line_number += 1
        return event

    def _text_bytes(self) -> bytes:
        # Section 9.2.5: a byte order mark at the beginning of the stream does not belong to the first line.
        line = bytes(self._line)
        return line.removeprefix(_BOM) if self._line_number == 1 else line

    def _take_line(self, raw: bytes) -> None:
        # No byte of a multi-byte character looks like an end of line, so lines can be decoded one by one.
        text = raw.decode("utf-8", errors="replace")
        if "\ufffd" in text and raw != text.encode():
            self._report("invalid-utf8")
        if not text.startswith(":"):
            name, colon, value = text.partition(":")
            self._has_fields = True
            self._take_field(name, value.removeprefix(" "), bool(colon))

    def _take_field(self, name: str, value: str, has_colon: bool) -> None:
        match name:
            case "data":
                self._take_data(value)
            case "event":
                self._event_type = value
            case "id" if "\0" in value:
                self._report("invalid-id")
            case "id":
                self._last_event_id = value
            case "retry" if _MILLISECONDS.fullmatch(value):
                self._retry = int(value)
            case "retry":
                self._report("invalid-retry")
            case _ if has_colon and _FIELD_NAME.fullmatch(name):
                self._report("unknown-field")
            case _:
                self._report("stray-line")

    def _take_data(self, value: str) -> None:
        if self._spoiled:
            return
        # Line feeds between data lines count, so that endless empty data lines reach the limit.
        self._data_bytes += len(value.encode()) + 1
        self._data.append(value)
        if self._data_bytes > self._max_line_bytes + 1:
            self._report("event-too-long")
            self._spoiled = True
            self._data.clear()

    def _report(self, kind: ProblemKind) -> None:
        if len(self._problems) > MAX_PROBLEMS:
            return
        if len(self._problems) == MAX_PROBLEMS:
            kind = "more-problems"
        excerpt = bytes(self._line[: min(_EXCERPT_BYTES, self._max_line_bytes)])
        self._problems.append(FramingProblem(kind, self._line_number, repr(excerpt)))


def parse(body: bytes) -> ParsedStream:
    """Parses a complete stream."""
    parser = EventStreamParser()
    events = parser.feed(body)
    parser.close()
    return ParsedStream(tuple(events), parser.problems)
