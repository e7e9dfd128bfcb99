"""Parses build logs, and judges each log on its own: its format, its frames and foreign lines.

`agreement.py` compares logs with reads. A frame is the JSON object of one event.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from touchstone.contract.document import EVENT_STREAM, Problem
from touchstone.contract.event_stream import FramingProblem, parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import Content, History
from touchstone.rules.messages import media_type
from touchstone.rules.rule import broken, held, judged, render, rule, unclear
from touchstone.rules.timeline import reports_building

# These are not the server's faults: clients ignore unknown fields.
_NO_FAULTS = frozenset({"unknown-field", "more-problems"})

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
    return Log(stream.events, faults, tuple(values), misread, not faults and misread is None)


def render_frame(frame: dict[str, Any]) -> str:
    """Renders a frame without its time, such as ``'took a snapshot' {"phase": "snapshot"}``."""
    rest = {name: value for name, value in frame.items() if name not in ("line", "ts")}
    rendered = [render(frame["line"], 80)] if "line" in frame else []
    return " ".join([*rendered, render(rest)] if rest else rendered) or "an empty frame"


_FIELDS = "events.fields-are-documented"
# The claim that a wrong value breaks, by field and schema keyword. A wrong type breaks `_FIELDS` instead.
_VALUE_CLAIMS = {
    ("/level", "enum"): "events.level-is-documented",
    ("/phase", "enum"): "events.phase-is-documented",
    ("/ts", "format"): "events.timestamps-are-iso",
}
_FIELD_OF_CLAIM = {claim: field.removeprefix("/") for (field, _), claim in _VALUE_CLAIMS.items()}
_EXPECTED = {
    _FIELDS: "ts, level, phase, source and line as strings",
    "events.level-is-documented": "info, success, warn, error",
    "events.phase-is-documented": "publish, compile, boot, install, snapshot, record, archive, ready, cancel, timeout",
    "events.timestamps-are-iso": "a date-time with an offset, such as 2026-03-14T09:26:53Z",
}


@rule("events.media-type", "events.media-type")
def log_media_type(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that each log has the media type text/event-stream. An empty response without a media type is no log."""
    response = exchange.response
    if not follows(exchange) or response is None or response.status != 200:
        return
    kind = media_type(response)
    if kind or response.body:
        claim, actual = "events.media-type", kind or "no Content-Type"
        yield judged(claim, kind == EVENT_STREAM, exchange, expected=EVENT_STREAM, actual=actual)


@rule("events.framing", "events.framing")
def log_framing(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that a log is a well-formed event stream. A log without events may be due to a broken connection."""
    log = log_of(exchange)
    if log is None or not exchange.response or not exchange.response.body:
        return
    if log.faults or log.events:
        actual = "".join(map(str, log.faults[:1]))
        yield judged("events.framing", not log.faults, exchange, expected="a well-formed event stream", actual=actual)


@rule("events.json", "events.json-per-frame")
def json_per_frame(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that the data of each frame is one JSON object."""
    log = log_of(exchange)
    if log is None or not log.events:
        return
    data, problem = log.misread or ("", "")
    actual, expected = f"data {render(data)} {problem}", "one JSON object in each frame"
    yield judged("events.json-per-frame", log.misread is None, exchange, expected=expected, actual=actual)


@rule("events.fields", _FIELDS, *_VALUE_CLAIMS.values())
def frame_fields(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that each field of a frame has a documented type and value. No field is required (ambiguity 7.31)."""
    log = log_of(exchange)
    if log is None:
        return
    faults: dict[str, tuple[int, Problem]] = {}
    for number, value in enumerate(log.values, 1):
        for problem in history.contract.event.problems(value):
            faults.setdefault(_claim_of(problem, value), (number, problem))
    for claim in (_FIELDS, *_VALUE_CLAIMS.values()):
        if claim in faults:
            number, problem = faults[claim]
            actual = f"frame {number}: {problem.pointer.removeprefix('/')} {render(problem.value)}"
            yield broken(claim, exchange, expected=_EXPECTED[claim], actual=actual)
        elif any(_at_stake(claim, value) for value in log.values):
            yield held(claim, exchange)
        elif log.values and claim in _FIELD_OF_CLAIM:
            yield unclear(claim, exchange, why=f"no frame has the optional field {_FIELD_OF_CLAIM[claim]}")


@rule("events.order", "events.timestamps-in-order")
def times_in_order(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that timestamps do not go backwards."""
    log = log_of(exchange)
    stamps = [(at, value["ts"]) for value in log.values if (at := moment(value.get("ts")))] if log else []
    if len(stamps) < 2:
        return
    actual = next((f"{later} after {one}" for (at, one), (then, later) in pairwise(stamps) if at > then), "")
    expected = "timestamps that do not go backwards"
    yield judged("events.timestamps-in-order", not actual, exchange, expected=expected, actual=actual)


@rule("events.end", "events.terminal-frame-comes-last")
def end_comes_last(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that no frame follows the one that ends the build."""
    log = log_of(exchange)
    lines = log.lines if log else ()
    if not (ends := [number for number, value in enumerate(lines) if phase_of(value) in LAST_PHASES]):
        return
    end, after = lines[ends[0]], lines[ends[0] + 1 :]
    # A log may report a cancel twice, when requested and when done, in different words.
    again = [v for v in after if v.get("phase") == end["phase"] != "ready" and v.get("line") != end.get("line")]
    stray = next((value for value in after if value not in again), None)
    actual = "" if stray is None else f"{render_frame(stray)} after phase {end['phase']}"
    expected = "no frame after the one that ends the build"
    yield judged("events.terminal-frame-comes-last", not actual, exchange, expected=expected, actual=actual)


@rule("events.own-lines", "events.own-lines-only")
def own_lines(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a log contains no output of other versions, and none of an earlier document of its own version."""
    log = log_of(exchange)
    # For a version that this run never had, the claims about missing versions apply instead.
    if log is None or not log.events or exchange.ref is None or not history.contents(exchange.ref):
        return
    text = "\n".join(str(field) for value in log.values for field in value.values())
    strange = _strange(exchange, history, text)
    for content in strange:
        if names(text, content.marker):
            actual = f"{content.marker!r}, output of the build of {content.ref}"
            yield broken("events.own-lines-only", exchange, expected="lines of this build only", actual=actual)
            return
    starts = (e for content in strange for e in history.story(content.ref) if reports_building(e))
    if any(e.sent_at < exchange.done_at for e in starts):
        yield held("events.own-lines-only", exchange)


def _claim_of(problem: Problem, value: dict[str, object]) -> str:
    field = problem.pointer.removeprefix("/")
    if not isinstance(value.get(field), str):
        return _FIELDS
    return _VALUE_CLAIMS.get((problem.pointer, problem.keyword), _FIELDS)


def _at_stake(claim: str, value: dict[str, object]) -> bool:
    if claim == _FIELDS:
        return any(key in value for key in ("ts", "level", "phase", "source", "line"))
    return isinstance(value.get(_FIELD_OF_CLAIM[claim]), str)


def _strange(exchange: Exchange, history: History, text: str) -> list[Content]:
    """Returns the documents whose output must not be in this log. Versions with the same digest may share output."""
    same_name = history.contents(exchange.ref or "")
    # Two accounts may have a version of this name. With a third key, a log or an accepted publish may be of either.
    own = [c for c in same_name if c.owner in {exchange.credential, *REFUSED_CREDENTIALS}] or list(same_name)
    keys, digests = {c.key for c in own}, {c.digest for c in own if c.digest}
    markers = {c.marker for c in own}
    others = (c for c in history.all_contents() if c.marker and c.marker not in markers)
    strange = [c for c in others if c.key not in keys and c.digest not in digests]
    # Until the next build, a log may repeat the build of an earlier document. It must not mix the two builds.
    now = own[-1] if own else None
    built = now and (names(text, now.marker) or _is_built(now, exchange, history))
    if now and now.marker and now.sure_at <= exchange.sent_at and built:
        strange += [c for c in own[:-1] if c.marker and c.marker != now.marker]
    return strange


def _is_built(content: Content, exchange: Exchange, history: History) -> bool:
    story = [e for e in history.story(content.ref) if content.sure_at <= e.sent_at and e.done_at <= exchange.sent_at]
    begun_at = min((e.done_at for e in story if reports_building(e)), default=float("inf"))
    reads = (e for e in story if e.operation == "getBuild" and e.sent_at >= begun_at)
    return any(e.body.get("status") == "ready" and e.body.get("digest") == content.digest for e in reads)
