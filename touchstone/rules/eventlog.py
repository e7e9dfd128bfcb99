"""Reads the answer to a follower of a build log: its frames, its framing, the frame that ends it; and renders them."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from touchstone.contract.document import EVENT_STREAM
from touchstone.contract.event_stream import Event, FramingProblem, parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Exchange
from touchstone.rules.messages import media_type
from touchstone.rules.rule import render

# Facts 7.30: fields that the standard does not have are to be ignored; a line may be as long as it likes.
_NO_FAULTS = frozenset({"unknown-field", "line-too-long", "event-too-long", "more-problems"})
_TOO_LONG = frozenset({"line-too-long", "event-too-long"})

# Phases that end a build by their name; a failed build ends on any phase with the level error (facts 7.28).
LAST_PHASES = frozenset({"ready", "cancel", "timeout"})
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # How terminals are told colours.


@dataclass(frozen=True, slots=True)
class Log:
    """What one follower of a build log was sent."""

    events: tuple[Event, ...]  # All data frames in order.
    faults: tuple[FramingProblem, ...]  # What is wrong with the framing, in order.
    values: tuple[dict[str, Any], ...]  # The JSON objects of the frames; those that are none are left out.
    misread: tuple[str, str] | None  # The data of the first frame that is no JSON object and why, or None.
    complete: bool  # Nothing is missing between its frames, and all of them can be read.

    @property
    def lines(self) -> tuple[dict[str, Any], ...]:
        """The frames that tell something: a bare object is a sign of life, not a line of the log."""
        return tuple(value for value in self.values if value.keys() & {"phase", "level", "line"})

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


def is_empty_log(exchange: Exchange) -> bool:
    """Whether the answer is an event stream without an event."""
    if exchange.operation != "streamBuildEvents" or exchange.response is None or exchange.status != 200:
        return False
    return not parse(exchange.response.body).events


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
    """How often a log line holds what ``echo`` printed; the command itself, which a build may log, does not count."""
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
        try:
            value = read_json(event.data.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            misread = misread or (event.data, str(error))
            continue
        if isinstance(value, dict):
            values.append(value)
        else:
            misread = misread or (event.data, "is JSON, but no object")
    skipped = any(problem.kind in _TOO_LONG for problem in stream.problems)
    return Log(stream.events, faults, tuple(values), misread, not faults and misread is None and not skipped)


def render_frame(frame: dict[str, Any]) -> str:
    """A frame without its time, such as ``'took a snapshot' {"phase": "snapshot"}``."""
    rest = {name: value for name, value in frame.items() if name not in ("line", "ts")}
    rendered = [render(frame["line"], 80)] if "line" in frame else []
    return " ".join([*rendered, render(rest)] if rest else rendered) or "a frame that tells nothing"


def without_time(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame without its timestamp."""
    return {name: value for name, value in frame.items() if name != "ts"}


def lines_astray(came: Sequence[str], lines: Sequence[str]) -> str:
    """What is wrong with the lines that came, each of which is one of *lines*; empty where nothing is."""
    missing = [number for number, line in enumerate(lines, 1) if line not in came]
    if missing:
        first = render(lines[missing[0] - 1], 80)
        return f"{len(missing)} of {len(lines)} lines missing, the first is line {missing[0]}: {first}"
    if list(came) == list(lines):
        return ""
    return render([lines.index(line) + 1 for line in came]) + " is the order of their numbers"


def frames_apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> str:
    """Where the frames of two watchers who saw the same end differ; empty where only times or the first frames do."""
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if without_time(a) != without_time(b):
            return f"{render_frame(a)} for one watcher, {render_frame(b)} for another at the same place"
    return ""
