"""Reads the answer to a follower of a build log: its frames, its framing, the frame that ends it; and renders them."""

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
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


_FIRST = ("phase", "level", "source")
_MAX_CHARS = 80
_MAX_SPANS = 8


def render_frame(frame: dict[str, Any]) -> str:
    """A frame without its time, such as ``'took a snapshot' (phase snapshot, level info)``."""
    names = [*(name for name in _FIRST if name in frame), *sorted(frame.keys() - {*_FIRST, "line", "ts"})]
    fields = ", ".join(f"{_plain(name)} {_plain(frame[name])}" for name in names)
    if "line" not in frame:
        return fields or "a frame that tells nothing"
    line = render(frame["line"], _MAX_CHARS)
    return f"{line} ({fields})" if fields else line


def lines_astray(came: Sequence[str], lines: Sequence[str]) -> str:
    """What is wrong with the lines that came, such as ``line 12 of 40 missing: 'abc'``; empty where nothing is.

    Args:
        came: Those of *lines* that came, in the order in which they came.
        lines: All that were printed, each of them once.
    """
    number_of = {line: number for number, line in enumerate(lines, 1)}
    numbers = [number_of[line] for line in came]
    missing = [number for number in number_of.values() if number not in set(numbers)]
    if missing:
        first = _first("line", missing, render(lines[missing[0] - 1], _MAX_CHARS))
        return f"{_numbers('line', missing)} of {len(lines)} missing{first}"
    for number, times in Counter(numbers).items():
        if times > 1:
            return f"line {number} of {len(lines)} {times} times: {render(lines[number - 1], _MAX_CHARS)}"
    for before, after in pairwise(numbers):
        if before > after:
            return f"line {after} of {len(lines)} after line {before}: {render(lines[after - 1], _MAX_CHARS)}"
    return ""


def frames_apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> str:
    """Where the frames of two watchers who saw the same end differ; empty where only times or the first frames do."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    apart = next(((a, b) for a, b in pairs if {**a, "ts": None} != {**b, "ts": None}), None)
    if apart is None:
        return ""
    missed, missed_too = _missed(other, one), _missed(one, other)
    if bool(missed) == bool(missed_too):
        return f"{render_frame(apart[0])} for one watcher, {render_frame(apart[1])} for another at the same place"
    whole, missing = (one, missed) if missed else (other, missed_too)
    first = _first("frame", missing, render_frame(whole[missing[0] - 1]))
    return f"of {len(whole)} frames that one watcher was sent, another missed {_numbers('frame', missing)}{first}"


def _missed(frames: Sequence[dict[str, Any]], whole: Sequence[dict[str, Any]]) -> list[int]:
    """The numbers of the frames of *whole* that are not among *frames*, but for those before the first that is."""
    left = Counter(map(_key, frames))
    numbers, begun = [], False
    for number, frame in enumerate(whole, 1):
        key = _key(frame)
        if left[key]:
            left[key] -= 1
            begun = True
        elif begun:
            numbers.append(number)
    return numbers


def _key(frame: dict[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in frame.items() if name != "ts"))


def _numbers(what: str, numbers: Sequence[int]) -> str:
    """Such as ``line 3`` or ``lines 3, 5 to 9 and 12``."""
    spans = list(_spans(numbers))
    rendered = [f"{first} to {last}" if last > first else str(first) for first, last in spans[:_MAX_SPANS]]
    rest = sum(last - first + 1 for first, last in spans[_MAX_SPANS:])
    rendered += [f"{rest} more"] if rest else []
    joined = f"{', '.join(rendered[:-1])} and {rendered[-1]}" if len(rendered) > 1 else rendered[0]
    return f"{what}{'s' if len(numbers) > 1 else ''} {joined}"


def _first(what: str, numbers: Sequence[int], rendered: str) -> str:
    return f": {rendered}" if len(numbers) == 1 else f"; {what} {numbers[0]} is {rendered}"


def _spans(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each row of numbers without a gap; two neighbours are told one by one."""
    for _, places in groupby(enumerate(numbers), lambda at: at[1] - at[0]):
        row = [number for _, number in places]
        yield from [(row[0], row[-1])] if len(row) > 2 else [(number, number) for number in row]


def _plain(value: object) -> str:
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != "" and len(value) < _MAX_CHARS
    return str(value) if plain else render(value, _MAX_CHARS)
