"""Judges each build log on its own: its format, its frames and foreign lines. `logs.py` compares logs with reads."""

from collections.abc import Iterator
from itertools import pairwise

from touchstone.contract.document import EVENT_STREAM, Problem
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.eventlog import LAST_PHASES, follows, log_of, moment, names, phase_of, render_frame
from touchstone.rules.history import Content, History
from touchstone.rules.messages import media_type
from touchstone.rules.rule import broken, held, judged, render, rule, unclear
from touchstone.rules.timeline import reports_building

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
    if log.faults:
        yield broken("events.framing", exchange, expected="a well-formed event stream", actual=str(log.faults[0]))
    elif log.events:
        yield held("events.framing", exchange)


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
    ends = [number for number, value in enumerate(lines) if phase_of(value) in LAST_PHASES]
    if not ends:
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
