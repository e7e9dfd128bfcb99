"""The command `drift`: plays recorded scenarios against a live target and compares the shape of old and new responses.

The shape of a response: status, media type, header names, field names, types of values, and texts of a single word.
A change is *breaking* if a client of the recorded responses may fail, *compatible* if such a client works as before,
and *cosmetic* if no client needs the header.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal, get_args

from touchstone.check import runner
from touchstone.check.handover import Errand
from touchstone.check.job import RECORDED_TWIN, Outcome
from touchstone.config import Settings
from touchstone.contract.document import EVENT_STREAM
from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_json
from touchstone.errors import UsageError
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.facts.wording import plural, some
from touchstone.recordings import reader
from touchstone.recordings.recorder import Written, record, scenario_of, shows_nothing, taken
from touchstone.recordings.recording import Recording, Terms, step
from touchstone.types import Conclude, Progress

# The observed values of each part of a response, such as ``status``, ``header retry-after`` or ``field errors[].code``.
# A value is a status, a media type, a word or the name of a type. A header has no values.
Shape = dict[str, set[str]]
Severity = Literal["breaking", "compatible", "cosmetic"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

_WORD = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_LONGEST_WORD = 24
# Headers that are not compared, because proxies add or remove them.
_UNSTEADY_HEADERS = frozenset({"date", "age"})
# Headers that clients need, so that their removal is breaking.
_NEEDED_HEADERS = frozenset({"header allow", "header location", "header retry-after", "header www-authenticate"})
_TYPES = {bool: "true or false", int: "an integer", float: "a number", str: "a string", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Drift:
    """Differences between a target and its recordings."""

    outcome: Outcome
    changes: Mapping[str, Severity]  # differences, one sentence each
    uncompared: dict[str, str]  # scenarios that could not be compared, with the reason
    exit_code: int  # 1: a claim is broken, or --fail-on; 3: a scenario could not be compared; 2, 130: as in a check
    reason: str  # reason of the exit code, one sentence
    written: Sequence[Written] = ()  # new recordings


def chosen(paths: Sequence[Path]) -> dict[str, Recording]:
    """Reads recordings by scenario; raises a UsageError if a file records no scenario, or two record the same one."""
    found: dict[str, Recording] = {}
    for recording in map(reader.read, reader.found(paths)):
        if scenario_of(recording.case) != recording.name:
            problem = "records no scenario; leave it out; `touchstone record --list` prints the scenarios"
            raise UsageError(f"{recording.path}: {problem}")
        if recording.name in found:
            earlier = found[recording.name].path
            raise UsageError(f"{recording.path}: records the same scenario as {earlier}; leave one of them out")
        found[recording.name] = recording
    return found


def compare(
    settings: Settings,
    before: dict[str, Recording],
    argv: Sequence[str],
    progress: Progress,
    conclude: Conclude,
    *,
    fail_on: Severity | None = None,
    out: Path | None = None,
) -> Drift:
    """Plays the scenarios of *before* on a target and compares the responses.

    *fail_on*: least severity of a change that gives exit code 1; *out*: folder for new recordings.
    """
    errand, written = Errand("drift", "record", tuple(before)), tuple[Written, ...]()
    if out:
        outcome, written = record(settings, errand, out, argv, progress, conclude)
    else:
        outcome = runner.check(settings, argv, progress, conclude, RECORDED_TWIN, errand)
    log = read(outcome.run_log)
    # A failed case is compared as well: it has findings, but it was played to the end. Terms are not compared.
    played = taken(log, before, Terms(), good=("passed", "failed"))
    now = {name: recording for name, recording in played.items() if isinstance(recording, Recording)}
    missing = {name: why for name, why in played.items() if isinstance(why, str)}
    absent = {name: why for name, why in missing.items() if shows_nothing(log, name)}
    gone: dict[str, Severity] = {f"{name}: {why}": "breaking" for name, why in absent.items()}
    changes = {**drift(before, now), **gone}
    uncompared = {name: why for name, why in missing.items() if name not in absent}
    by_severity = {name: [text for text, one in changes.items() if one == name] for name in SEVERITIES}
    summary = {"schema_version": 1, "changes": list(changes), "by_severity": by_severity, "not_compared": uncompared}
    write_whole(outcome.folder / "drift.json", json.dumps(summary, indent=2) + "\n")
    severe = fail_on and any(by_severity[name] for name in SEVERITIES[: SEVERITIES.index(fail_on) + 1])
    code = outcome.exit_code if outcome.exit_code in (1, 2, 130) else 3 if uncompared else int(bool(severe))
    counts = ", ".join(f"{len(texts)} {name}" for name, texts in by_severity.items() if texts)
    text = f"{log.header.target.name}: {plural(len(changes), 'change')}" + (f" ({counts})" if counts else "")
    if code == 130:
        text = "interrupted"
    elif code == 3:
        why = f": {log.footer.reason}" if log.footer and log.footer.reason else ""
        text = f"{text}; {plural(len(uncompared), 'scenario')} could not be compared{why}"
    elif outcome.exit_code == 1:
        text += ", and a claim is broken"
    elif not changes:
        text = f"{log.header.target.name}: no drift"
    return Drift(outcome, changes, uncompared, code, text, written)


def drift(before: Mapping[str, Recording], now: Mapping[str, Recording]) -> dict[str, Severity]:
    """Differences between old and new recordings of the same scenarios, each listed once with all its places."""
    same = sorted(before.keys() & now.keys())
    changes: dict[tuple[Severity, str], list[str]] = defaultdict(list)
    for name in same:
        for change in _steps(before[name], now[name]):
            changes["breaking", change].append(name)
    old, new = (_shapes(exchange for name in same for exchange in side[name].exchanges) for side in (before, now))
    for occasion in (occasion for occasion in old if occasion in new):
        for difference in _differences(old[occasion], new[occasion]):
            changes[difference].append(occasion)
    return {f"{some(places)}: {change}": severity for (severity, change), places in changes.items()}


def _steps(before: Recording, now: Recording) -> Iterator[str]:
    old, new = before.steps, now.steps
    for kind, i, till, k, until in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            after = f"after {old[i - 1]!r}" if i else "at the beginning"
            was, is_now = (" → ".join(steps) or "nothing" for steps in (old[i:till], new[k:until]))
            yield f"steps {after}: {was} in the recording, {is_now} now"


def _shapes(exchanges: Iterable[Exchange]) -> dict[str, Shape]:
    """The combined shape of all responses by occasion (operation and step), such as ``getBuild (ready)``."""
    shapes: dict[str, Shape] = defaultdict(lambda: defaultdict(set))
    for exchange in exchanges:
        if exchange.response is not None:
            shape = shapes[f"{exchange.operation or exchange.request.method} ({step(exchange)})"]
            for part, value in _parts(exchange.response):
                shape[part] |= {value} if value else set()
    return shapes


def _parts(response: Response) -> Iterator[tuple[str, str]]:
    media_type = (response.header("content-type") or "").partition(";")[0].strip().lower()
    yield "status", str(response.status)
    yield "media type", media_type or "none"
    for name in sorted({name.lower() for name, _ in response.headers} - _UNSTEADY_HEADERS):
        yield f"header {name}", ""
    texts = [response.body] if response.body else []
    if media_type == EVENT_STREAM:
        texts = [data.encode() for data in parse(response.body).events]
    for text in texts:
        try:
            yield from _fields("", read_json(text))
        except ValueError:
            yield "field the body", "no JSON"


def _fields(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(f"{place}.{name}" if place else str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(f"{place}[]", inner)
    else:
        is_word = isinstance(value, str) and len(value) <= _LONGEST_WORD and _WORD.fullmatch(value)
        yield f"field {place or 'the body'}", value if is_word else _TYPES[type(value)]


def _differences(old: Shape, new: Shape) -> Iterator[tuple[Severity, str]]:
    for part in dict.fromkeys((*old, *new)):
        was, is_now = old.get(part), new.get(part)
        is_header = part.startswith("header ")
        if was is None:
            text = f"{part} is new" + (f": {_joined(is_now)}" if is_now else "")
            yield "cosmetic" if is_header else "compatible", text
        elif is_now is None:
            text = f"{part} is gone" + (f"; it was {_joined(was)}" if was else "")
            yield "cosmetic" if is_header and part not in _NEEDED_HEADERS else "breaking", text
        elif _TYPES[str] in was | is_now and part.startswith("field "):
            # If a field has free text, single words in the field count as free text too.
            types = _TYPES.values()
            was, is_now = ({value if value in types else _TYPES[str] for value in one} for one in (was, is_now))
        if was and is_now and was != is_now:
            text = f"{part}: {_joined(was)} in the recording, {_joined(is_now)} now"
            yield "compatible" if is_now < was else "breaking", text


def _joined(values: set[str] | None) -> str:
    return " or ".join(sorted(values or ()))
