"""Reads the answer to a follower of a build log: its frames, its framing, and the frame that ends it."""

import functools
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from touchstone.contract.document import EVENT_STREAM
from touchstone.contract.event_stream import Event, FramingProblem, parse
from touchstone.contract.json_text import read_json
from touchstone.facts.exchange import Exchange
from touchstone.rules.answers import media_type

# Facts 7.30: fields that the standard does not have are to be ignored; a line may be as long as it likes.
_NO_FAULTS = frozenset({"unknown-field", "line-too-long", "event-too-long", "more-problems"})
_TOO_LONG = frozenset({"line-too-long", "event-too-long"})

# Phases that end a build by their name; a failed build ends on any phase with the level error (facts 7.28).
LAST_PHASES = frozenset({"ready", "cancel", "timeout"})
# How terminals are told colours.
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TELLING = ("phase", "level", "line")


@dataclass(frozen=True, slots=True)
class Log:
    """What one follower of a build log was sent.

    Attributes:
        events: All data frames in order.
        faults: What is wrong with the framing, in order.
        values: The JSON objects of the frames; those that are none are left out.
        misread: The data of the first frame that is no JSON object and why, or None.
        complete: Nothing is missing between its frames, and all of them can be read.
    """

    events: tuple[Event, ...]
    faults: tuple[FramingProblem, ...]
    values: tuple[dict[str, Any], ...]
    misread: tuple[str, str] | None
    complete: bool

    @property
    def lines(self) -> tuple[dict[str, Any], ...]:
        """The frames that tell something: a bare object is a sign of life, not a line of the log."""
        return tuple(value for value in self.values if any(key in value for key in _TELLING))

    @property
    def last(self) -> dict[str, Any]:
        """The last frame that tells something, or an empty one."""
        return self.lines[-1] if self.lines else {}

    @property
    def ended(self) -> bool:
        """Whether the last frame is one that ends a build."""
        return phase_of(self.last) in LAST_PHASES or self.last.get("level") == "error"


def is_stream(exchange: Exchange) -> bool:
    """Whether a build log was asked for and an event stream is what came."""
    if not follows(exchange) or exchange.response is None or exchange.status != 200:
        return False
    return media_type(exchange.response) == EVENT_STREAM


def follows(exchange: Exchange) -> bool:
    """Whether the request asks for a build log."""
    return exchange.operation == "streamBuildEvents" and exchange.request.method == "GET"


def log_of(exchange: Exchange) -> Log | None:
    """The log that a follower was sent; None where the answer is no event stream."""
    if not is_stream(exchange) or exchange.response is None:
        return None
    return _read(exchange.response.body, cut=exchange.closed == "client" or bool(exchange.error))


def phase_of(value: dict[str, Any]) -> str:
    """The phase that a frame tells, or empty."""
    phase = value.get("phase")
    return phase if isinstance(phase, str) else ""


def ended_by_server(exchange: Exchange) -> bool:
    """Whether the server ended the answer in an orderly way."""
    return exchange.closed != "client" and not exchange.error


def moment(value: object) -> datetime | None:
    """A timestamp with an offset as a moment, or None where the text is none."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.upper())
    except ValueError:
        return None
    return found if found.tzinfo else None


def names(text: str, marker: str) -> int:
    """How often *marker* stands in *text* by itself, not as part of a longer name."""
    return len(_alone(marker).findall(_COLOUR.sub(" ", text)))


def printed(line: object, marker: str) -> int:
    """
    How often a log line holds what ``echo`` printed; the command itself, which a build may log too, does not count.
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
    for event in stream.events:
        value, problem = _object(event.data)
        if problem:
            misread = misread or (event.data, problem)
        else:
            values.append(value)
    skipped = any(problem.kind in _TOO_LONG for problem in stream.problems)
    return Log(stream.events, faults, tuple(values), misread, not faults and misread is None and not skipped)


def _object(data: str) -> tuple[dict[str, Any], str]:
    try:
        value = read_json(data.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        return {}, str(error)
    if not isinstance(value, dict):
        return {}, "is JSON, but no object"
    return value, ""
