"""Parses the event stream of a build log, and renders its frames (one JSON object for each event)."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from touchstone.contract.document import EVENT_STREAM
from touchstone.contract.event_stream import FramingProblem, parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Exchange
from touchstone.rules.messages import media_type
from touchstone.rules.rule import render

# These are not the server's faults: clients ignore unknown fields, and lines may have any length (ambiguity 7.30).
_NO_FAULTS = frozenset({"unknown-field", "line-too-long", "event-too-long", "more-problems"})
_TOO_LONG = frozenset({"line-too-long", "event-too-long"})

LAST_PHASES = frozenset({"ready", "cancel", "timeout"})  # a failed build: any phase with level error (ambiguity 7.28)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # ANSI colours


@dataclass(frozen=True, slots=True)
class Log:
    """One response to a request for a build log."""

    events: tuple[str, ...]  # data of all frames in order
    faults: tuple[FramingProblem, ...]  # violations of the event stream format, in order
    values: tuple[dict[str, Any], ...]  # the JSON objects in the frames; other frames are left out
    misread: tuple[str, str] | None  # data of the first frame that is no JSON object, and the error; or None
    complete: bool  # no frame is missing or unreadable

    @property
    def lines(self) -> tuple[dict[str, Any], ...]:
        """The frames with a phase, a level or a line. Other frames only keep the connection open."""
        return tuple(value for value in self.values if value.keys() & {"phase", "level", "line"})

    @property
    def last(self) -> dict[str, Any]:
        """The last frame of *lines*, or an empty one."""
        return self.lines[-1] if self.lines else {}

    @property
    def ended(self) -> bool:
        """Whether the last frame ends a build."""
        return phase_of(self.last) in LAST_PHASES or self.last.get("level") == "error"


def is_stream(exchange: Exchange) -> bool:
    """Whether a request for a build log got an event stream."""
    response = exchange.response if follows(exchange) and exchange.status == 200 else None
    return response is not None and media_type(response) == EVENT_STREAM


def follows(exchange: Exchange) -> bool:
    """Whether the request is for a build log."""
    return exchange.operation == "streamBuildEvents" and exchange.request.method == "GET"


def is_empty_log(exchange: Exchange) -> bool:
    """Whether the response is an event stream without events."""
    response = exchange.response if exchange.operation == "streamBuildEvents" and exchange.status == 200 else None
    return response is not None and not parse(response.body).events


def log_of(exchange: Exchange) -> Log | None:
    """Returns the log in the response, or None if it is no event stream."""
    if not is_stream(exchange) or exchange.response is None:
        return None
    return _read(exchange.response.body, cut=exchange.closed == "client" or bool(exchange.error))


def phase_of(value: dict[str, Any]) -> str:
    """Returns the phase of a frame, or an empty string."""
    phase = value.get("phase")
    return phase if isinstance(phase, str) else ""


def ended_by_server(exchange: Exchange) -> bool:
    """Whether the server ended the response, rather than the client or an error."""
    return exchange.closed != "client" and not exchange.error


def moment(value: object) -> datetime | None:
    """Parses a timestamp with an offset from UTC; returns None if the offset is missing or the timestamp is invalid."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.upper())
    except ValueError:
        return None
    return found if found.tzinfo else None


def names(text: str, marker: str) -> int:
    """Counts the occurrences of *marker* as a whole word in *text*."""
    return len(_alone(marker).findall(_COLOUR.sub(" ", text)))


def printed(line: object, marker: str) -> int:
    """Counts how often a log line shows *marker* as output.

    A line that logs the command itself, ``echo`` followed by *marker*, does not count.
    """
    if not isinstance(line, str):
        return 0
    return len(_alone(marker, not_after=r"(?<!echo )(?<!echo [\"'])").findall(_COLOUR.sub(" ", line)))


@functools.lru_cache(maxsize=1024)
def _alone(marker: str, not_after: str = "") -> re.Pattern[str]:
    return re.compile(rf"{not_after}(?<![\w.-]){re.escape(marker)}(?![\w-])(?!\.\w)")


@functools.lru_cache(maxsize=32)
def _read(body: bytes, *, cut: bool) -> Log:
    stream = parse(body)
    excused = _NO_FAULTS | ({"unterminated-event"} if cut else set())
    faults = tuple(problem for problem in stream.problems if problem.kind not in excused)
    values: list[dict[str, Any]] = []
    misread: tuple[str, str] | None = None
    for data in stream.events:
        try:
            value = read_json(data.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            misread = misread or (data, str(error))
            continue
        if isinstance(value, dict):
            values.append(value)
        else:
            misread = misread or (data, "is JSON, but not an object")
    skipped = any(problem.kind in _TOO_LONG for problem in stream.problems)
    return Log(stream.events, faults, tuple(values), misread, not faults and misread is None and not skipped)


def render_frame(frame: dict[str, Any]) -> str:
    """Renders a frame without its time, such as ``'took a snapshot' {"phase": "snapshot"}``."""
    rest = {name: value for name, value in frame.items() if name not in ("line", "ts")}
    rendered = [render(frame["line"], 80)] if "line" in frame else []
    return " ".join([*rendered, render(rest)] if rest else rendered) or "an empty frame"


def without_time(frame: dict[str, Any]) -> dict[str, Any]:
    """Copy of a frame without its timestamp."""
    return {name: value for name, value in frame.items() if name != "ts"}


def line_problem(found: Sequence[str], lines: Sequence[str]) -> str:
    """Describes which of *lines* are missing from *found*, or the wrong order of *found*; empty if both are equal."""
    missing = [number for number, line in enumerate(lines, 1) if line not in found]
    if missing:
        first = render(lines[missing[0] - 1], 80)
        return f"{len(missing)} of {len(lines)} lines missing, the first is line {missing[0]}: {first}"
    if list(found) == list(lines):
        return ""
    return render([lines.index(line) + 1 for line in found]) + " is the order of the lines"


def frames_apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> str:
    """Describes the last difference between two logs of one build. Times and missing first frames do not count."""
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if without_time(a) != without_time(b):
            return f"{render_frame(a)} for one client, {render_frame(b)} for the other at the same position"
    return ""
